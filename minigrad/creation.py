"""Functions that make Tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import library
from minigrad.tensor import Tensor, asarray, wrap

Shape = int | Sequence[int]
_DLPACK_DEVICES = {1: "cpu", 3: "cpu", 2: "cuda", 13: "cuda"}  # 3 is pinned and 13 managed memory


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


def from_dlpack(x: Any) -> Tensor:
    """A tensor on the memory of any array that speaks DLPack: PyTorch, JAX, CuPy and NumPy arrays, without a copy.

    Changing the array later changes the tensor, unnoticed by the engine, as with `asarray`. An array that is read-only
    makes a tensor that cannot be written to. `Tensor.__dlpack__` is the way back.

    Raises:
        TypeError: an object without DLPack, one on another kind of device, or a dtype that tensors do not have.
        RuntimeError: memory on a GPU, where there is none for CuPy.
        BufferError: what its owner does not export: in PyTorch, a tensor that requires a gradient.

    >>> import numpy as np
    >>> a = np.zeros(2, "float32")
    >>> t = from_dlpack(a)
    >>> a[0] = 5
    >>> t
    tensor([5., 0.])
    """
    if not hasattr(x, "__dlpack_device__"):
        raise TypeError(f"from_dlpack takes an array that speaks DLPack, got {type(x).__name__}: use tensor()")
    kind = int(x.__dlpack_device__()[0])
    if kind not in _DLPACK_DEVICES:
        raise TypeError(
            f"from_dlpack takes memory of the CPU or of CUDA, got DLPack device type {kind}: copy it there first"
        )
    return asarray(library(_DLPACK_DEVICES[kind]).from_dlpack(x))
