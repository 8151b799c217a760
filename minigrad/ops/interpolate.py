"""Images, sequences and volumes at another size: interpolation, axis by axis."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from minigrad.autocast import under_autocast
from minigrad.backend import all_half, as_array, device_of, given, order_of, raw, shape_of, transfer_array, xp
from minigrad.ops.index import take
from minigrad.ops.linalg import matmul
from minigrad.ops.shape import astype, expand_dims, in_order, permute, reshape
from minigrad.window import per_axis


def _linear(d):
    return 1 - d


def _cubic(d):
    a = -0.75  # PyTorch's choice; Keys prefers -0.5
    return np.where(d <= 1, ((a + 2) * d - (a + 3)) * d * d + 1, a * (((d - 5) * d + 8) * d - 4))


# The weight of an element at the distance d from the wanted place, and how many elements have one.
_KERNELS: dict[str, tuple[Callable, int]] = {
    "linear": (_linear, 2),
    "bilinear": (_linear, 2),
    "trilinear": (_linear, 2),
    "bicubic": (_cubic, 4),
}
_AXES = {"bilinear": 2, "trilinear": 3, "bicubic": 2}
_NEAREST = ("nearest", "nearest-exact")


@under_autocast("high")
def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    """x at another size: what lies between its elements is taken from the nearest one, or weighted from several.

    An output element `o` has the place `p = (o + 1/2) * step - 1/2` among the elements of the input, with step = 1 /
    scale_factor, or size / output size where that was given: both arrays cover the same interval. With `align_corners`
    it is `p = o * (size - 1) / (output size - 1)`: the centres of the outermost elements coincide.

    Args:
        x: the input, (N, C, *spatial); floating, for the nearest modes of any dtype.
        size: the output size, an int or one for each spatial axis.
        scale_factor: instead of it, a number or one for each axis; the output size is floor(size * scale_factor).
        mode: "nearest": the element at floor(o * step), and "nearest-exact": at floor((o + 1/2) * step), the nearest
            indeed; "linear" (any number of axes), by PyTorch's names also "bilinear" and "trilinear": the two
            neighbours along each axis; "bicubic": the four neighbours along two axes, by cubic convolution with
            a = -0.75. Beyond the border the outermost element is repeated.
        align_corners: see above; not for the nearest modes.
        recompute_scale_factor: whether step comes from the sizes also where a scale_factor was given.

    Returns:
        (N, C, *size) in the memory order of x.

    The places of the nearest modes are computed exactly (PyTorch rounds them in float32 and errs now and then). The
    others are products with a matrix for each axis: an element that is not finite makes its rows and columns nan; and
    the linear ones keep an axis whose size stays, whatever the scale_factor, as in PyTorch.

    Raises:
        ValueError: not exactly one of size and scale_factor, a size below 1, an empty axis, an unknown mode, a mode for
            another number of axes, or align_corners with a nearest mode.
        TypeError: integers in a mode that weights.

    Source: R. Keys: Cubic convolution interpolation for digital image processing, IEEE Transactions on Acoustics,
    Speech and Signal Processing 29, 1981, equation 15.

    >>> import minigrad as mg
    >>> x = mg.tensor([[[1.0, 2.0, 4.0]]])
    >>> mg.interpolate(x, scale_factor=2)
    tensor([[[1., 1., 2., 2., 4., 4.]]])
    >>> mg.interpolate(x, 5, mode="linear", align_corners=True)
    tensor([[[1. , 1.5, 2. , 3. , 4. ]]])
    """
    x = given(x)
    shape = shape_of(x)
    n = len(shape) - 2
    if n < 1 or 0 in shape[2:]:
        raise ValueError(
            f"interpolate expects x (N, C, *spatial) with at least one element in space, got shape {shape}"
        )
    if mode not in _KERNELS and mode not in _NEAREST:
        raise ValueError(f"mode must be one of {[*_NEAREST, *_KERNELS]}, got {mode!r}")
    if _AXES.get(mode, n) != n:
        raise ValueError(f"mode {mode!r} is for {_AXES[mode]} spatial axes, x has {n}: its shape is {shape}")
    if mode in _NEAREST and align_corners is not None:
        raise ValueError(f"align_corners is for the modes {list(_KERNELS)}, got mode={mode!r}: leave it out")
    if mode in _KERNELS and raw(x).dtype.kind != "f":
        raise TypeError(f"mode {mode!r} needs floating numbers, got {raw(x).dtype}: convert them, or use 'nearest'")
    outs, factors = _wanted(shape[2:], size, scale_factor)
    if mode in _KERNELS and all_half(x):  # weights and sums in float32
        options = {"mode": mode, "align_corners": align_corners, "recompute_scale_factor": recompute_scale_factor}
        return astype(interpolate(astype(x, np.float32), size, scale_factor, **options), np.float16)
    for axis, (length, out, factor) in enumerate(zip(shape[2:], outs, factors, strict=True), start=2):
        step = Fraction(length, out) if factor is None or recompute_scale_factor else 1 / factor
        if align_corners:
            step = Fraction(length - 1, max(out - 1, 1))
        if out == length and (step == 1 or mode.endswith("linear")):
            continue
        if mode in _KERNELS:
            x = _weighted(x, axis, _matrix(mode, length, out, float(step), bool(align_corners)))
        else:
            x = _picked(x, axis, out, step, half=mode == "nearest-exact")
    return x


def _wanted(sizes: tuple[int, ...], size: Any, scale_factor: Any) -> tuple[tuple[int, ...], list[Fraction | None]]:
    """The output sizes, and the scale factors if they were given."""
    n = len(sizes)
    if (size is None) == (scale_factor is None):
        raise ValueError(f"give one of size and scale_factor, got size={size!r} and scale_factor={scale_factor!r}")
    if size is not None:
        return per_axis("size", size, n, 1), [None] * n
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
    if len(factors) != n or not all(f > 0 for f in factors):
        many = f", or {n} of them" if n > 1 else ""
        raise ValueError(f"scale_factor must be a number above 0{many}, got {scale_factor!r}")
    outs = tuple(int(length * factor) for length, factor in zip(sizes, factors, strict=True))
    if 0 in outs:
        raise ValueError(f"scale_factor={scale_factor!r} leaves nothing of the sizes {sizes}")
    return outs, [Fraction(factor).limit_denominator(1 << 16) for factor in factors]  # 0.1 means a tenth


def _along(x: Any, axis: int, change: Callable) -> Any:
    """What `change` makes of x as (before, size, after), with the axes around `axis` in memory as they lie."""
    order = order_of(as_array(raw(x)).strides)
    at = order.index(axis)
    sizes = [shape_of(x)[a] for a in order]
    y = change(reshape(permute(x, order), (prod(sizes[:at]), sizes[at], prod(sizes[at + 1 :]))))
    sizes[at] = shape_of(y)[1]
    return permute(reshape(y, sizes), [order.index(a) for a in range(len(order))])


def _picked(x: Any, axis: int, out: int, step: Fraction, half: bool) -> Any:
    size, times = shape_of(x)[axis], step.denominator
    if step.numerator == 1 and out == size * times:  # each element so many times: its gradient is a plain sum
        ones = xp(raw(x)).ones((times, 1), raw(x).dtype)  # multiplied, for a broadcast array has no order in memory
        return _along(x, axis, lambda y: reshape(expand_dims(y, 2) * ones, (shape_of(y)[0], out, shape_of(y)[2])))
    places = (2 * np.arange(out) + half) * step.numerator // (2 * step.denominator)
    places = np.minimum(places, size - 1).tolist()
    return _along(x, axis, lambda y: in_order(take(y, places, 1), (3, 2, 1)))  # NumPy may lay out a copy otherwise


def _matrix(mode: str, size: int, out: int, step: float, align_corners: bool) -> np.ndarray:
    """(out, size): how much of each element is in each element of the result."""
    kernel, taps = _KERNELS[mode]
    places = np.arange(out) * step if align_corners else (np.arange(out) + 0.5) * step - 0.5
    first = np.floor(places).astype(int) - (taps // 2 - 1)
    matrix = np.zeros((out, size))
    for source in (first + t for t in range(taps)):
        np.add.at(matrix, (np.arange(out), source.clip(0, size - 1)), kernel(abs(places - source)))
    return matrix


def _weighted(x: Any, axis: int, matrix: np.ndarray) -> Any:
    m = transfer_array(matrix.astype(raw(x).dtype), device_of(x) or "cpu")

    def change(y: Any) -> Any:
        before, size, after = shape_of(y)
        if after > 1:
            return matmul(m, y)
        return reshape(matmul(reshape(y, (before, size)), m.T), (before, len(m), 1))  # one product, not a stack of them

    return _along(x, axis, change)
