"""Whether calls of ops are recorded: `no_grad` and `enable_grad`, each thread for itself."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


class _Mode(threading.local):
    recording = True
    watchers: tuple = ()  # who is told of every call and every gradient: checkpointing and anomaly detection


mode = _Mode()


class _Switch:
    """Base of `no_grad` and `enable_grad`: a context manager and decorator that holds in its own thread only."""

    recording: bool

    def __new__(cls, function: Callable | None = None) -> Any:
        return super().__new__(cls) if function is None else super().__new__(cls)(function)

    def __enter__(self) -> None:
        self._before = [*getattr(self, "_before", ()), mode.recording]  # a list: one object may be entered twice
        mode.recording = self.recording

    def __exit__(self, *_: object) -> None:
        mode.recording = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{type(self).__name__} cannot decorate {function.__name__}, whose body runs after the call returns; "
                f"use `with {type(self).__name__}():` inside it"
            )

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return inside


class no_grad(_Switch):
    """Compute without recording, in this thread: `with no_grad():` or `@no_grad()`.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    recording = False


class enable_grad(_Switch):
    """Record again inside a `no_grad` region, in this thread: `with enable_grad():` or `@enable_grad()`."""

    recording = True


def is_grad_enabled() -> bool:
    """Whether ops called by this thread are recorded."""
    return mode.recording
