"""Where arrays live: the library of an array, devices, transfers, and which kernels serve it.

Arrays choose the backend. `xp(x)` is the namespace that made `x`, NumPy or CuPy; there is no global device, and the
body of an op never asks which one it is on. CuPy is imported only when a GPU is asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray

DEVICES = ("cpu", "cuda")
LARGE = 1 << 16  # numbers that are worth being cut into pieces


def xp(*arrays: Any) -> Any:
    """The array library of the arguments: cupy if one is a CuPy array, else numpy (scalars and lists have none).

    >>> xp([1, 2]).__name__
    'numpy'
    """
    for x in arrays:
        if type(x) is np.ndarray:
            return np
    cupy = sys.modules.get("cupy")  # nobody can hold a CuPy array without having imported it
    return cupy if cupy is not None and any(isinstance(x, cupy.ndarray) for x in arrays) else np


def raw(x: Any) -> Any:
    """The array inside a Tensor; anything else as it is."""
    return getattr(x, "_array", x)


def as_array(x: Any) -> Array:
    """`x` as an array: NumPy reduces to scalars (np.float32) where an array with no axes is meant."""
    return x if type(x) is np.ndarray or xp(x) is not np else np.asarray(x)


def given(x: Any) -> Any:
    """An argument that may be a nested list: that as an array, all else as it is."""
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


def device_of(x: Any) -> str | None:
    """ "cpu" or "cuda" for an array or Tensor; None for what has no place: a Python or NumPy scalar, a list."""
    x = raw(x)
    if isinstance(x, np.ndarray):
        return "cpu"
    return None if xp(x) is np else "cuda"


def same_device(values: list) -> bool:
    """Whether all the arrays among the values, lists of arrays included, are on one device."""
    found: set[str | None] = set()
    for value in values:
        found.update(map(device_of, value) if isinstance(value, (list, tuple)) else (device_of(value),))
    return len(found - {None}) < 2


def floating(name: str, x: Any) -> Any:
    """x, with a nested list made an array, or a TypeError that asks for floating numbers."""
    if isinstance(x, (tuple, list)) and any(hasattr(v, "_array") for v in x):
        fields = getattr(x, "_fields", ())
        which = f"one of its fields {', '.join(fields)}" if fields else "one of them"
        raise TypeError(f"{name} needs one tensor, got a {type(x).__name__} of {len(x)}: pass {which}")
    x = given(x)
    if raw(x).dtype.kind != "f":
        raise TypeError(f"{name} needs a floating x, got {raw(x).dtype}: convert it with .to('float32')")
    return x


def describe(x: Any) -> str:
    """An argument in an error message: shape and dtype for an array, the value for a small thing."""
    if isinstance(x, (list, tuple)) and any(hasattr(v, "shape") for v in x):
        return f"[{', '.join(map(describe, x))}]"
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return f"{x.dtype}{list(x.shape)}"
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def why_no_gpu() -> str | None:
    """Why this process has no GPU: the real reason, with what to do about it; None when there is one.

    >>> import minigrad as mg
    >>> mg.cuda_is_available() == (mg.why_no_gpu() is None)
    True
    """
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            return f"CuPy is installed but cannot be imported: {error}"
        return "CuPy is not installed: install cupy-cuda13x or cupy-cuda12x, whichever your driver supports"
    except Exception as error:  # a broken CUDA installation fails in many ways, and each is the answer
        return f"CuPy is installed but cannot be imported: {error}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's CUDARuntimeError; its type moves from version to version
        return (
            f"CuPy is installed, but CUDA does not answer: {error} (cupy-cuda13x needs a driver for CUDA 13, "
            f"cupy-cuda12x one for CUDA 12; nvidia-smi shows what is there)"
        )
    return None if count else "CuPy is installed and CUDA answers, but it sees no GPU (check CUDA_VISIBLE_DEVICES)"


def cuda_is_available() -> bool:
    """Whether tensors can be moved to "cuda"."""
    return why_no_gpu() is None


def library(device: Any) -> Any:
    """The array library of a device, "cpu" or "cuda"; raises with the real reason when it is not there."""
    if device == "cpu":
        return np
    if device != "cuda":
        hint = "; one process uses one GPU, chosen by CUDA_VISIBLE_DEVICES" if str(device).startswith("cuda") else ""
        raise ValueError(f"device must be one of {DEVICES}, got {device!r}{hint}")
    if reason := why_no_gpu():
        raise RuntimeError(f"no device 'cuda' here: {reason}")
    return sys.modules["cupy"]


def transfer_array(x: Array, device: str) -> Array:
    """`x` on a device: itself when it is already there, else a copy."""
    target = library(device)
    if xp(x) is target:
        return x
    return x.get() if target is np else target.asarray(x)


def kernels(x: Array) -> ModuleType:
    """The convolution and pooling kernels that serve an array."""
    if xp(x) is np and (loaded := sys.modules.get("minigrad.kernels.cpu")):  # to import it again takes a microsecond
        return loaded
    return importlib.import_module("minigrad.kernels.cpu" if xp(x) is np else "minigrad.kernels.cuda")


def shares_memory(x: Array, y: Array) -> bool:
    """Whether two arrays overlap in memory."""
    if x.base is not None and (x.base is y or x.base is y.base):
        return True  # views of one array: the usual case, told apart in a tenth of the time
    return xp(x).may_share_memory(x, y)


def in_single(function: Callable) -> Callable:
    """A body that computes float16 in float32 and converts back: sums of halves stop at 2048 and overflow at 65504."""

    @wraps(function)
    def body(x: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(x, "dtype", None) != np.float16:
            return function(x, *args, **kwargs)
        return function(x.astype(np.float32), *args, **kwargs).astype(np.float16)

    return body


def in_pieces(function: Callable) -> Callable:
    """A body that takes long for each element of one array, with numbers: a large one goes in pieces, for threads."""

    @wraps(function)
    def body(x: Any, *args: Any) -> Any:
        if getattr(x, "size", 0) < LARGE or any(getattr(more, "ndim", 0) for more in args):
            return function(x, *args)
        return kernels(x).in_pieces(function, x, *args)

    return body


def mapped(name: str, x: Any) -> Any:
    """A costly function of the array library, by its name, of each element; a large array in pieces as above."""
    function = getattr(xp(x), name)
    return function(x) if getattr(x, "size", 0) < LARGE else kernels(x).in_pieces(function, x)


def all_half(*arrays: Any) -> bool:
    """Whether all of these, None aside, are float16."""
    return all(getattr(raw(a), "dtype", None) == np.float16 for a in arrays if a is not None)


# ---- arrays like others ----------------------------------------------------------------------------------------------


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a Tensor, array, scalar or nested list."""
    return x.shape if hasattr(x, "shape") else np.shape(x)


def zeros(shape: tuple[int, ...], like: Any) -> Array:
    """Raw zeros of a shape in the dtype and on the device of `like`, an array or a Tensor: a constant in a rule."""
    return empty_like_order(raw(like), shape, fill=0)


def zeros_like(x: Any) -> Array:
    """Raw zeros in the shape, dtype, device and memory order of x, an array or a Tensor."""
    x = raw(x)
    return xp(x).zeros_like(x)


def order_of(strides: tuple[int, ...]) -> list[int]:
    """The axes from the slowest to the fastest in memory."""
    return sorted(range(len(strides)), key=lambda axis: (-abs(strides[axis]), axis))


def lies_in_order(x: Array, strides: tuple[int, ...]) -> bool:
    """Whether the axes of x lie in memory in the order that these strides have; those of length 1 say nothing."""
    if x.strides == strides:
        return True
    long = [axis for axis in order_of(strides) if x.shape[axis] > 1]
    return [axis for axis in order_of(x.strides) if x.shape[axis] > 1] == long and all(x.strides[axis] for axis in long)


def in_order(x: Array, strides: tuple[int, ...]) -> Array:
    """x itself if its axes lie in memory in the order that these strides have, else a copy of it that does."""
    if lies_in_order(x, strides):
        return x
    out = make_in_order(xp(x).empty, x.shape, order_of(strides), x.dtype)
    out[...] = x
    return out


def in_one_order(function: Callable, arrays: list) -> Array:
    """Call an elementwise function so that its result lies in memory as its arguments do.

    Where two orders meet, NumPy takes ten times as long and gives a third order; CuPy always gives the row-major one.
    So the first argument in another order than row-major decides: NumPy gets the others converted, CuPy gets views of
    all with the axes in that order, and gives a result that is turned back.
    """
    like = next((a for a in arrays if getattr(a, "ndim", 0) > 2 and not a.flags.c_contiguous and all(a.strides)), None)
    if like is None:
        return function(*arrays)
    if xp(like) is np:
        same = (in_order(a, like.strides) if getattr(a, "shape", None) == like.shape else a for a in arrays)
        return function(*same)
    order, n = order_of(like.strides), like.ndim
    if any(getattr(a, "ndim", 0) > n for a in arrays):
        return function(*arrays)

    def turned(a: Any) -> Any:
        if not getattr(a, "ndim", 0):
            return a
        return a.reshape((1,) * (n - a.ndim) + a.shape).transpose(order)

    return function(*map(turned, arrays)).transpose([order.index(axis) for axis in range(n)])


def empty_like_order(x: Array, shape: tuple[int, ...], fill: float | None = None) -> Array:
    """An array of another shape whose axes lie in memory in the order of those of x.

    Where x has another number of axes, the order is row-major.
    """
    make = xp(x).empty if fill is None else xp(x).zeros
    if x.ndim != len(shape) or getattr(x.flags, "c_contiguous", True):
        return make(shape, x.dtype)
    return make_in_order(make, shape, order_of(x.strides), x.dtype)


def make_in_order(make: Callable, shape: tuple[int, ...], order: list[int], dtype: Any) -> Array:
    """What `make(shape, dtype)` gives, with its axes in memory in this order, the slowest first."""
    return make([shape[axis] for axis in order], dtype).transpose([order.index(axis) for axis in range(len(shape))])
