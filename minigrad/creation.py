"""Functions that make Tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import library
from minigrad.tensor import Tensor, wrap

Shape = int | Sequence[int]


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor holding a copy of `data`; see `Tensor` for the arguments.

    >>> tensor([1, 2]), tensor([1.0, 2.0], requires_grad=True)
    (tensor([1, 2]), tensor([1., 2.], requires_grad=True))
    """
    return Tensor(data, dtype, device, requires_grad)


def _made(array: Any, requires_grad: bool) -> Tensor:
    return wrap(array).requires_grad_(requires_grad)


def zeros(shape: Shape, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    return _made(library(device).zeros(shape, dtype), requires_grad)


def ones(shape: Shape, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _made(library(device).ones(shape, dtype), requires_grad)


def full(
    shape: Shape, value: float, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """A tensor of one value."""
    return _made(library(device).full(shape, value, dtype), requires_grad)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: str = "cpu") -> Tensor:
    """The numbers from `start` (0 when only a stop is given) in steps, up to but without `stop`.

    Integers give int64, floats float32.

    >>> arange(3), arange(1.0, 2.0, 0.5)
    (tensor([0, 1, 2]), tensor([1. , 1.5]))
    """
    start, stop = (0, start) if stop is None else (start, stop)
    if dtype is None and any(isinstance(v, float) for v in (start, stop, step)):
        dtype = np.float32
    return wrap(library(device).arange(start, stop, step, dtype))
