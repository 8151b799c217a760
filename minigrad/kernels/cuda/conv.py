"""Convolution on CuPy arrays: which kernel of conv.cu serves a call, and how it is launched.

Arrays have the shape (N, C, *spatial) and any strides; results lie in memory as (N, *spatial, C), weights and their
gradients as (*kernel, in, out), so that neighbouring threads read neighbouring channels.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from minigrad.backend import xp
from minigrad.kernels.cuda.loader import (
    THREADS,
    blocks_for,
    ctype,
    launch,
    pixels_last,
    rank_for,
    rows_of,
    stride_fields,
    strides,
    sum_dtype,
    widened,
    window,
    window_fields,
)
from minigrad.kernels.phases import phases, reversed_taps
from minigrad.window import Geometry, out_sizes

Array = Any
Sizes = tuple[int, ...]

FORWARD, WEIGHT = 0, 1
TILE = 64  # of conv.cu
FEW = 4  # channels coming in or going out of a group: below, a tile of `product` would be empty
MANY = 65535  # groups: a grid has no more blocks along its last axis
SHARES = 512  # blocks that a weight gradient is cut into at most: enough to fill a large GPU


def _form(lie: tuple, x: Array, y: Array, w: Array, rank: int) -> Any:
    """The `Form` of conv.cu, as a structured array; w is (groups, out, in, *taps)."""
    dtype = np.dtype(
        [
            *((name, np.int64) for name in ("batch", "groups", "inputs", "outputs")),
            ("window", window_fields(rank)),
            ("x", stride_fields(rank)),
            ("y", stride_fields(rank)),
            *((name, np.int64) for name in ("w_group", "w_out", "w_in")),
            ("w_tap", np.int64, (rank,)),
        ]
    )
    group, out, in_, *taps = (s // w.itemsize for s in w.strides)
    values = (x.shape[0], *w.shape[:1], w.shape[2], w.shape[1], lie, strides(x, rank), strides(y, rank))
    return np.array([(*values, group, out, in_, widened(tuple(taps), rank, 0))], dtype)


def _by_group(w: Array, groups: int) -> Array:
    """w (K, C/groups, *kernel) as (groups, K/groups, C/groups, *kernel): a view."""
    return w.reshape(groups, w.shape[0] // groups, *w.shape[1:])


def _outputs_fastest(w: Array) -> Array:
    """w (groups, out, in, *taps) with its outputs side by side in memory, as neighbouring threads read them."""
    n = w.ndim - 3
    if w.shape[1] == 1 or w.strides[1] == w.itemsize:
        return w
    return xp(w).ascontiguousarray(w.transpose(0, *range(3, 3 + n), 2, 1)).transpose(0, n + 2, n + 1, *range(1, n + 1))


def _index(*arrays: Array) -> str:
    """The type of an offset: 64 bits only where an array is that large, since 32 are faster."""
    reach = max(sum(abs(s) * (n - 1) for s, n in zip(a.strides, a.shape, strict=True)) // a.itemsize for a in arrays)
    largest = max(reach, *(prod(a.shape) for a in arrays))  # a broadcast array has more elements than it reaches
    return "int" if largest < 2**31 - 2**20 else "int64"


def _check_axes(x: Array, geometry: Geometry) -> None:
    """Coordinates in an image are 32-bit numbers in the kernels."""
    for axis, (size, _, (lo, hi), _) in enumerate(geometry.along(x.shape[2:])):
        if size + abs(lo) + abs(hi) >= 2**31 - 2**20:
            raise ValueError(
                f"convolution on CUDA takes axes of up to 2^31 elements with their padding, got {size} + {lo} + {hi} "
                f"on spatial axis {axis}: cut the array, or move it with .to('cpu')"
            )


def _correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, y: Array) -> None:
    """y (N, K, *out), of any strides, from x and w (groups, K/groups, C/groups, *kernel): FORWARD."""
    groups, outputs, inputs, *kernel = w.shape
    if not y.size:
        return
    n = len(kernel)
    _check_axes(x, geometry)
    c, rank = ctype("convolution", x, w, y), rank_for("convolution", n)
    lie = window(x.shape[2:], y.shape[2:], tuple(kernel), geometry, rank)
    form = _form(lie, x, y, w, rank)
    index, none = _index(x, y, w), np.uintp(0)  # a null pointer
    if _direct(geometry, inputs, outputs):
        expression = f"direct<{c}, {rank}, {index}>"
        launch("conv", expression, blocks_for(y.size), x, w, none if bias is None else bias, y, form)
        return
    positions = y.shape[0] * prod(y.shape[2:])
    blocks = (-(-positions // TILE), -(-outputs // TILE), groups)
    rest = (none if bias is None else bias, y, none, none, form, np.int32(1))
    launch("conv", f"product<{c}, {FORWARD}, {rank}, {index}>", blocks, x, w, *rest)


def _direct(geometry: Geometry, inputs: int, outputs: int) -> bool:
    if geometry.algorithm != "auto" and geometry.groups <= MANY:
        return geometry.algorithm == "direct"
    return (geometry.groups > 1 and min(inputs, outputs) < FEW) or geometry.groups > MANY


def _is_matmul(w_shape: Sizes, geometry: Geometry) -> bool:
    """Whether the convolution is a product of matrices as it stands: one tap, no stride, no border, one group."""
    plain = geometry.groups == 1 and geometry.algorithm == "auto" and max(w_shape[2:]) == 1
    return plain and max(geometry.stride) == 1 and not any(map(any, geometry.padding))


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry) -> Array:
    """Cross-correlation of x (N, C, *spatial) with w (K, C/groups, *kernel), plus b (K,) or None -> (N, K, *out)."""
    shape = (x.shape[0], w.shape[0], *out_sizes(x.shape[2:], w.shape[2:], geometry))
    given = (x, w) if b is None else (x, w, b)
    dtype = np.result_type(*(a.dtype for a in given))
    x, w, *rest = (a.astype(dtype, copy=False) for a in given)
    b = rest[0] if rest else None
    if _is_matmul(w.shape, geometry):
        ctype("convolution", x)
        rows = xp(x).matmul(rows_of(x), w.reshape(w.shape[:2]).T)
        if b is not None:
            rows += b
        return rows.reshape(shape[0], *shape[2:], shape[1]).transpose(0, len(shape) - 1, *range(1, len(shape) - 1))
    y = pixels_last(shape, dtype, xp(x).empty)
    if not x.size:
        y[...] = 0 if b is None else b.reshape(-1, *(1,) * (y.ndim - 2))
        return y
    _correlate(
        x,
        _outputs_fastest(_by_group(w, geometry.groups)),
        None if b is None else xp(b).ascontiguousarray(b),
        geometry,
        y,
    )
    return y


def conv_input(w: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in x, for an x of this shape.

    It is FORWARD over views: for each phase of the stride a convolution of g with the taps that this phase sees, in
    reverse, and with the channels of w exchanged; its result is every stride-th element of dx.
    """
    dtype = np.result_type(w.dtype, g.dtype)
    w, g, n = w.astype(dtype, copy=False), g.astype(dtype, copy=False), w.ndim - 2
    if _is_matmul(w.shape, geometry):
        ctype("convolution", g)
        rows = xp(g).matmul(rows_of(g), w.reshape(w.shape[:2]))
        return rows.reshape(shape[0], *shape[2:], shape[1]).transpose(0, n + 1, *range(1, n + 1))
    dx = pixels_last(shape, dtype, xp(g).empty)
    if not g.size or not w.size:
        dx[...] = 0
        return dx
    exchanged = _outputs_fastest(_by_group(w, geometry.groups).swapaxes(1, 2))
    for parts in product(*(phases(*axis) for axis in geometry.along(shape[2:], w.shape[2:], g.shape[2:]))):
        where, taps, padding, dilation = zip(*parts, strict=True)
        target = dx[(slice(None), slice(None), *where)]
        if not all(taps):  # no tap reaches this phase
            target[...] = 0
            continue
        chosen = exchanged[(slice(None), slice(None), slice(None), *map(reversed_taps, taps))]
        unstrided = geometry._replace(stride=(1,) * n, padding=padding, dilation=dilation)
        _correlate(g, chosen, None, unstrided, target)
    return dx


def conv_weight(x: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in w, for a w of this shape: in shares that are added up in a fixed order."""
    dtype = np.result_type(x.dtype, g.dtype)
    x, g, n = x.astype(dtype, copy=False), g.astype(dtype, copy=False), len(shape) - 2
    groups, inputs, outputs = geometry.groups, shape[1], shape[0] // geometry.groups
    library = xp(x)
    if _is_matmul(shape, geometry):
        ctype("convolution", x)
        dots = library.matmul(rows_of(x).T, rows_of(g))
        return dots.reshape(*shape[2:], inputs, shape[0]).transpose(n + 1, n, *range(n))
    dw = library.empty((*shape[2:], inputs, shape[0]), dtype).transpose(n + 1, n, *range(n))
    if not x.size or not g.size:
        dw[...] = 0
        return dw
    _check_axes(x, geometry)
    c, rank = ctype("convolution", x, g), rank_for("convolution", n)
    lie = window(x.shape[2:], g.shape[2:], shape[2:], geometry, rank)
    by_group = _by_group(dw, groups)
    form = _form(lie, x, g, by_group, rank)
    index = _index(x, g, dw)
    if _direct(geometry, inputs, outputs):
        launch("conv", f"direct_weight<{c}, {rank}, {index}>", (dw.size,), x, g, dw, form)
        return dw
    rows = inputs * prod(shape[2:])
    tiles = (-(-rows // TILE), -(-outputs // TILE))
    depth = g.shape[0] * prod(g.shape[2:])
    shares = max(1, min(SHARES // (prod(tiles) * groups), -(-depth // THREADS)))
    partial = library.empty((shares, groups, rows, outputs), sum_dtype(c))
    none = np.uintp(0)
    blocks = (*tiles, shares * groups)
    arguments = (x, none, none, none, g, partial, form, np.int32(shares))
    launch("conv", f"product<{c}, {WEIGHT}, {rank}, {index}>", blocks, *arguments)
    launch("conv", f"add_shares<{c}, {rank}>", blocks_for(dw.size), partial, dw, form, np.int32(shares))
    return dw


def conv_backward(x: Array, w: Array, g: Array, geometry: Geometry) -> tuple[Array, Array]:
    """`conv_input` and `conv_weight` of one g: here they share no work."""
    return conv_input(w, g, geometry, x.shape), conv_weight(x, g, geometry, w.shape)


def channel_sum(g: Array) -> Array:
    """The sum over all axes of g (N, C, *spatial) but the second."""
    rows, dtype = rows_of(g), np.float32 if g.itemsize == 2 else g.dtype
    parts = min(1024, len(rows) // 64)
    if parts > 1:  # in two steps: CuPy sums a few long columns with a few blocks, and a GPU has room for many
        whole = len(rows) // parts * parts
        sums = rows[:whole].reshape(parts, whole // parts, g.shape[1]).sum(axis=1, dtype=dtype)
        rows = xp(g).concatenate([sums, rows[whole:].astype(dtype)])
    return rows.sum(axis=0, dtype=dtype).astype(g.dtype, copy=False)
