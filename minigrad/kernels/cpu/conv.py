"""The three kernels of convolution: which algorithm serves a call, and where its result goes.

All take and give arrays of shape (N, C, *spatial); results lie in memory pixels first, weights and their gradients as
(*kernel, in, out).
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minigrad.kernels.cpu import depthwise, direct, fft, im2col
from minigrad.kernels.cpu.cost import KERNELS, Cost, case
from minigrad.kernels.cpu.memory import Array, Sizes, accumulator, channels_second, meetings, pixels_first, pixels_view
from minigrad.kernels.cpu.space_to_depth import SpaceToDepth
from minigrad.kernels.cpu.winograd import Winograd
from minigrad.kernels.cpu.winograd_forms import F2, F4, F25, S2
from minigrad.threads import serial_blas
from minigrad.window import Geometry, out_sizes

# Each has conv, conv_input and conv_weight over arrays in memory order, `refusal` (why it cannot), `cost`, and ERROR.
ALGORITHMS: dict[str, Any] = {
    "im2col": im2col,
    "direct": direct,
    "depthwise": depthwise,
    **{form.name: Winograd(form) for form in (F4, F2, F25, S2)},
    "space_to_depth": SpaceToDepth(Winograd(F4)),
    "fft": fft,
}
MARGIN = 1.1  # what rounds more must be predicted to save a tenth of the time
SLOW = ("direct", "depthwise")  # never faster than others, but for depthwise convolution


def candidates(kernel: str, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> dict[str, Cost]:
    """What "auto" chooses from, with what each would cost.

    Algorithms that round more than a sum does are for float32 alone: who computes in float64 wants its digits.
    """
    here = case(kernel, x_shape, w_shape, geometry)
    if not depthwise.refusal(w_shape, geometry, dtype):
        return {"depthwise": depthwise.cost(here)}
    return {
        name: algorithm.cost(here)
        for name, algorithm in ALGORITHMS.items()
        if name not in SLOW
        and (dtype == np.float32 or algorithm.ERROR == im2col.ERROR)
        and not algorithm.refusal(w_shape, geometry, dtype)
    }


@lru_cache(maxsize=4096)
def choice(kernel: str, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
    """The algorithm of a kernel: the one asked for, else the one with the least predicted time.

    Nothing but shapes and dtype decides, so that a result does not depend on the moment.
    """
    if geometry.algorithm != "auto":
        return geometry.algorithm
    costs = candidates(kernel, x_shape, w_shape, geometry, dtype)
    return min(costs, key=lambda name: costs[name].time * (1 if ALGORITHMS[name].ERROR == im2col.ERROR else MARGIN))


def _chosen(kernel: str, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> Any:
    return ALGORITHMS[choice(kernel, x_shape, w_shape, geometry, dtype)]


@serial_blas
def conv(x: Array, w: Array, b: Array | None, geometry: Geometry) -> Array:
    """Cross-correlation of x (N, C, *spatial) with w (K, C/groups, *kernel), plus b (K,) or None -> (N, K, *out)."""
    out = out_sizes(x.shape[2:], w.shape[2:], geometry)
    dtype = np.result_type(x, w) if b is None else np.result_type(x, w, b)
    y = np.empty((*out, x.shape[0], w.shape[0]), dtype)
    if not x.size or not w.size:
        y[...] = 0 if b is None else b
    elif y.size:
        _chosen(KERNELS[0], x.shape, w.shape, geometry, dtype).conv(pixels_view(x), w, b, geometry, y)
    return channels_second(y)


@serial_blas
def conv_input(w: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in x, for an x of this shape."""
    dtype = np.result_type(w, g)
    dx = np.empty((*shape[2:], *shape[:2]), accumulator(w, g))
    if g.size and w.size:
        _chosen(KERNELS[1], shape, w.shape, geometry, dtype).conv_input(w, pixels_view(g), geometry, dx)
    else:
        dx[...] = 0
    return channels_second(dx).astype(dtype, copy=False)


@serial_blas
def conv_weight(x: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in w, for a w of this shape."""
    dtype = np.result_type(x, g)
    dw = np.empty((*shape[2:], shape[1], shape[0]), accumulator(x, g))
    if g.size and x.size:
        algorithm = _chosen(KERNELS[2], x.shape, shape, geometry, dtype)
        algorithm.conv_weight(pixels_view(x), pixels_first(g), geometry, dw)
    else:
        dw[...] = 0
    return _as_weight(dw).astype(dtype, copy=False)


@serial_blas
def conv_backward(x: Array, w: Array, g: Array, geometry: Geometry) -> tuple[Array, Array]:
    """`conv_input` and `conv_weight` of one g together, for algorithms whose gradients share work."""
    dtype = np.result_type(x, w, g)
    names = {choice(kernel, x.shape, w.shape, geometry, dtype) for kernel in KERNELS[1:]}
    algorithm = ALGORITHMS[names.pop()]
    if (
        names
        or not isinstance(algorithm, Winograd)
        or {x.dtype, w.dtype, g.dtype} != {dtype}
        or not g.size
        or not w.size
    ):
        return conv_input(w, g, geometry, x.shape), conv_weight(x, g, geometry, w.shape)
    dx = np.empty((*x.shape[2:], *x.shape[:2]), accumulator(g))
    dw = np.empty((*w.shape[2:], w.shape[1], w.shape[0]), accumulator(g))
    algorithm.backward(pixels_view(x), w, pixels_view(g), geometry, dx, dw)
    return channels_second(dx).astype(dtype, copy=False), _as_weight(dw).astype(dtype, copy=False)


def _as_weight(dw: Array) -> Array:
    """(*kernel, in, out) as (out, in, *kernel): a view."""
    return dw.transpose(dw.ndim - 1, dw.ndim - 2, *range(dw.ndim - 2))


@serial_blas
def channel_sum(g: Array) -> Array:
    """The sum over all axes of g (N, C, *spatial) but the second.

    A product with ones, some thousand rows at a time: NumPy's own reduction goes over C numbers at once, which is slow
    for few channels, and one long running sum in float32 would lose digits.
    """
    rows = pixels_first(g).reshape(g.size // max(1, g.shape[1]), g.shape[1]).astype(accumulator(g), copy=False)
    n, size = len(rows), 1024
    whole = rows[: n - n % size].reshape(n // size, size, g.shape[1])
    ones = np.ones((1, size), rows.dtype)
    total = np.matmul(ones, whole).sum((0, 1)) + (ones[:, : n % size] @ rows[n - n % size :])[0]
    return total.astype(g.dtype, copy=False)


def unfold(x: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """The windows of x (N, C, *spatial) as (N, C, *kernel, *out), in memory (*out, N, C, *kernel)."""
    out = out_sizes(x.shape[2:], kernel, geometry)
    (n, c), count = x.shape[:2], len(kernel)
    first: Array = np.zeros((*out, n, c, *kernel), x.dtype)
    flat, source = first.reshape(*out, n, c, prod(kernel)), pixels_view(x)
    for tap, inside, where in meetings(kernel, x.shape[2:], tuple(slice(0, o) for o in out), geometry):
        flat[(*inside, ..., tap)] = source[where]
    return first.transpose(count, count + 1, *range(count + 2, 2 * count + 2), *range(count))


def fold(columns: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `unfold`: columns (N, C, *kernel, *out) added up where they came from, (N, C, *spatial)."""
    n = len(kernel)
    out = columns.shape[2 + n :]
    total = np.zeros((*shape[2:], *shape[:2]), accumulator(columns))
    by_tap = columns.transpose(*range(2 + n, 2 + 2 * n), 0, 1, *range(2, 2 + n))
    flat = by_tap.reshape(*out, *shape[:2], prod(kernel))
    for tap, inside, where in meetings(kernel, shape[2:], tuple(slice(0, o) for o in out), geometry):
        total[where] += flat[(*inside, ..., tap)]
    return channels_second(total).astype(columns.dtype, copy=False)
