"""The three kernels of convolution: which algorithm serves a call, and where its result goes.

All take and give arrays of shape (N, C, *spatial); results lie in memory pixels first, weights and their gradients as
(*kernel, in, out).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigrad.kernels.cpu import depthwise, direct, im2col
from minigrad.kernels.cpu.memory import Array, Sizes, accumulator, channels_second, meetings, pixels_first, pixels_view
from minigrad.window import Geometry, out_sizes

ALGORITHMS: dict[str, Any] = {"im2col": im2col, "direct": direct}


def chosen(w_shape: Sizes, geometry: Geometry) -> Any:
    """The module that computes a convolution: the one asked for, or the faster one for these shapes."""
    if geometry.algorithm != "auto":
        return ALGORITHMS[geometry.algorithm]
    return depthwise if depthwise.serves(w_shape, geometry.groups) else im2col


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry) -> Array:
    """Cross-correlation of x (N, C, *spatial) with w (K, C/groups, *kernel), plus b (K,) or None -> (N, K, *out)."""
    out = out_sizes(x.shape[2:], w.shape[2:], geometry)
    dtype = np.result_type(x, w) if b is None else np.result_type(x, w, b)
    y = np.empty((*out, x.shape[0], w.shape[0]), dtype)
    if y.size:
        chosen(w.shape, geometry).conv(pixels_view(x), w, b, geometry, y)
    return channels_second(y)


def conv_input(w: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in x, for an x of this shape."""
    dx = np.empty((*shape[2:], *shape[:2]), accumulator(w, g))
    chosen(w.shape, geometry).conv_input(w, pixels_view(g), geometry, dx)
    return channels_second(dx).astype(np.result_type(w, g), copy=False)


def conv_weight(x: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in w, for a w of this shape."""
    dw = np.empty((*shape[2:], shape[1], shape[0]), accumulator(x, g))
    chosen(shape, geometry).conv_weight(pixels_view(x), pixels_first(g), geometry, dw)
    return dw.transpose(dw.ndim - 1, dw.ndim - 2, *range(dw.ndim - 2)).astype(np.result_type(x, g), copy=False)


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
    flat, source = first.reshape(*out, n, c, prod(kernel)), x.transpose(*range(2, x.ndim), 0, 1)
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
