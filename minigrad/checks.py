"""Options, checked when something is made: an error says the name, what is expected, and what came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def one_of(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """The value of an option, if it is one of these.

    >>> one_of("mode", "max", ("min", "max"))
    'max'
    >>> one_of("mode", "low", ("min", "max"))
    Traceback (most recent call last):
        ...
    ValueError: mode must be 'min' or 'max', got 'low'
    """
    known = list(choices)
    if value not in known:
        *others, last = map(repr, known)
        raise ValueError(f"{name} must be {', '.join(others)}{' or ' if others else ''}{last}, got {value!r}")
    return value


def number(name: str, value: Any) -> Any:
    """The value of an option that must be a number: a text, as from a file of options, is none.

    >>> number("lr", "0.1")
    Traceback (most recent call last):
        ...
    TypeError: lr must be a number, got '0.1'
    """
    if value is None or isinstance(value, str | bytes | list | tuple | dict):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return value


def positive(name: str, value: Any) -> Any:
    """The value of an option that must be above 0.

    >>> positive("lr", 0)
    Traceback (most recent call last):
        ...
    ValueError: lr must be positive, got 0
    """
    if not number(name, value) > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value


def at_least_zero(name: str, value: Any) -> Any:
    """The value of an option that must not be negative.

    >>> at_least_zero("momentum", 0)
    0
    """
    if not number(name, value) >= 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return value


def from_zero_to_one(name: str, value: Any) -> Any:
    """The value of an option in [0, 1].

    >>> from_zero_to_one("p", 0.5)
    0.5
    """
    if not 0 <= number(name, value) <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")
    return value


def positive_int(name: str, value: Any) -> int:
    """The value of an option that must be 1, 2, ..., an integer of Python or NumPy.

    >>> positive_int("patience", np.int64(3))
    3
    >>> positive_int("patience", 2.5)
    Traceback (most recent call last):
        ...
    ValueError: patience must be a positive integer, got 2.5
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)
