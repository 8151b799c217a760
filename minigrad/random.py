"""Random numbers: one default generator, seeded by `manual_seed`; every function also takes a generator of yours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import transfer_array
from minigrad.tensor import Tensor, wrap

_default = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the default generator from a seed, and return it.

    >>> _ = manual_seed(0)
    >>> a = rand(3)
    >>> _ = manual_seed(0)
    >>> bool((rand(3) == a).sum() == 3)
    True
    """
    global _default
    _default = np.random.default_rng(seed)
    return _default


def default_generator() -> np.random.Generator:
    """The generator that is used when none is given."""
    return _default


def _sizes(shape: tuple) -> Any:
    """rand(2, 3) and rand((2, 3)) mean the same."""
    return shape[0] if len(shape) == 1 else shape


def _drawn(array: Any, device: str, requires_grad: bool) -> Tensor:
    return wrap(transfer_array(np.asarray(array), device)).requires_grad_(requires_grad)


def rand(
    *shape: int | Sequence[int],
    dtype: Any = np.float32,
    device: str = "cpu",
    requires_grad: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Numbers drawn evenly from [0, 1)."""
    return _drawn((generator or _default).random(_sizes(shape), dtype), device, requires_grad)


def randn(
    *shape: int | Sequence[int],
    dtype: Any = np.float32,
    device: str = "cpu",
    requires_grad: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Numbers drawn from the normal distribution with mean 0 and variance 1."""
    return _drawn((generator or _default).standard_normal(_sizes(shape), dtype), device, requires_grad)
