"""Convolution and pooling in their plainest fast form, written once for NumPy and CuPy arrays.

Shapes are (N, C, *spatial) for any number of spatial axes; the memory order inside is (*spatial, N, C), "pixels first":
one pixel of the whole batch is one run of N*C numbers, so a window's tap is a strided slice of long runs. Results keep
that order behind their NCHW shape. Loops run over the taps of the kernel, never over pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.backend import xp

if TYPE_CHECKING:
    from minigrad.ops.conv import Geometry

Array = Any
Sizes = tuple[int, ...]


def _pixels_first(x: Array) -> Array:
    """(N, C, *spatial) as (*spatial, N, C), contiguous; no copy where the memory already lies so."""
    return xp(x).ascontiguousarray(x.transpose(*range(2, x.ndim), 0, 1))


def _channels_second(x: Array) -> Array:
    """(*spatial, N, C) as (N, C, *spatial): a view."""
    return x.transpose(x.ndim - 2, x.ndim - 1, *range(x.ndim - 2))


def _padded(x: Array, geometry: Geometry, value: float) -> Array:
    """x in (*spatial, N, C) order with its border."""
    if not any(map(any, geometry.padding)):
        return _pixels_first(x)
    sizes = [n + lo + hi for n, (lo, hi) in zip(x.shape[2:], geometry.padding, strict=True)]
    out = xp(x).full((*sizes, *x.shape[:2]), value, x.dtype)
    out[_interior(x.shape[2:], geometry)] = x.transpose(*range(2, x.ndim), 0, 1)
    return out


def _interior(sizes: Sizes, geometry: Geometry) -> tuple[slice, ...]:
    return tuple(slice(lo, lo + n) for n, (lo, _) in zip(sizes, geometry.padding, strict=True))


def _out_sizes(x: Array, kernel: Sizes, geometry: Geometry) -> Sizes:
    """The number of window positions along each spatial axis of a padded array."""
    return tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape, kernel, geometry.stride, geometry.dilation, strict=False)
    )


def _taps(kernel: Sizes, out: Sizes, geometry: Geometry) -> Iterator[tuple[slice, ...]]:
    """For each tap of the kernel, in row-major order, the slices of the padded input that it meets."""
    for tap in product(*map(range, kernel)):
        yield tuple(
            slice(d * t, d * t + s * (o - 1) + 1, s)
            for t, o, s, d in zip(tap, out, geometry.stride, geometry.dilation, strict=True)
        )


def _wide(x: Array) -> Array:
    """float16 as float32: NumPy multiplies half-precision matrices one element at a time."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _columns(x: Array, kernel: Sizes, geometry: Geometry) -> tuple[Array, Sizes]:
    """Every window of x as a row: (groups, positions, taps * channels of a group), and the output sizes."""
    n, c = x.shape[:2]
    groups = geometry.groups
    padded = _padded(x, geometry, 0)
    out = _out_sizes(padded, kernel, geometry)
    taps = int(np.prod(kernel))
    columns = xp(x).empty((groups, *out, n, taps, c // groups), x.dtype)
    grouped = padded.reshape(*padded.shape[:-1], groups, c // groups)
    for t, where in enumerate(_taps(kernel, out, geometry)):
        columns[..., t, :] = xp(x).moveaxis(grouped[where], -2, 0)
    return columns.reshape(groups, int(np.prod(out)) * n, taps * (c // groups)), out


def _matrix(w: Array, groups: int) -> Array:
    """w (K, C/groups, *kernel) as (groups, taps * C/groups, K/groups)."""
    k, c = w.shape[:2]
    taps = int(np.prod(w.shape[2:]))
    grouped = w.reshape(groups, k // groups, c, taps)
    return grouped.transpose(0, 3, 2, 1).reshape(groups, taps * c, k // groups)


def conv(x: Array, w: Array, geometry: Geometry) -> Array:
    """Cross-correlation as one matrix product: the windows of x, unrolled to rows, times the kernels as columns."""
    columns, out = _columns(_wide(x), w.shape[2:], geometry)
    rows = columns @ _matrix(_wide(w), geometry.groups)  # (groups, positions, K/groups)
    rows = xp(x).moveaxis(rows, 0, 1).reshape(*out, x.shape[0], w.shape[0])
    return _channels_second(rows).astype(np.result_type(x, w), copy=False)


def _by_group(g: Array, groups: int) -> Array:
    """g (N, K, *out) as (groups, positions, K/groups)."""
    n, k, *out = g.shape
    rows = _pixels_first(g).reshape(int(np.prod(out)) * n, groups, k // groups)
    return xp(g).moveaxis(rows, 1, 0)


def conv_input(w: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in x: each position's row of gradients, added back over its window."""
    groups, kernel, out = geometry.groups, w.shape[2:], g.shape[2:]
    (n, c), sizes = shape[:2], shape[2:]
    rows = _by_group(_wide(g), groups) @ xp(w).swapaxes(_matrix(_wide(w), groups), 1, 2)
    rows = rows.reshape(groups, *out, n, int(np.prod(kernel)), c // groups)
    padded = [m + lo + hi for m, (lo, hi) in zip(sizes, geometry.padding, strict=True)]
    total = xp(w).zeros((*padded, n, groups, c // groups), rows.dtype)
    for t, where in enumerate(_taps(kernel, out, geometry)):
        total[where] += xp(w).moveaxis(rows[..., t, :], 0, -2)
    total = total.reshape(*padded, n, c)[_interior(sizes, geometry)]
    return _channels_second(total).astype(np.result_type(w, g), copy=False)


def conv_weight(x: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in w: the windows of x, transposed, times the gradients; in (*kernel, C, K) order."""
    groups, (k, c), kernel = geometry.groups, shape[:2], shape[2:]
    columns, _ = _columns(_wide(x), kernel, geometry)
    product_ = xp(x).swapaxes(columns, 1, 2) @ _by_group(_wide(g), groups)  # (groups, taps * C/groups, K/groups)
    by_tap = product_.reshape(groups, int(np.prod(kernel)), c, k // groups).transpose(1, 2, 0, 3).reshape(*kernel, c, k)
    return by_tap.transpose(by_tap.ndim - 1, by_tap.ndim - 2, *range(len(kernel))).astype(
        np.result_type(x, g), copy=False
    )


def max_pool(x: Array, kernel: Sizes, geometry: Geometry) -> tuple[Array, Array]:
    """The largest value of each window and its flat spatial index: the first at a tie, nan before everything."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = _padded(x, geometry, lowest)
    out = _out_sizes(padded, kernel, geometry)
    flat = xp(x).arange(int(np.prod(x.shape[2:]))).reshape(x.shape[2:])
    border = geometry.padding
    places = xp(x).pad(flat, border, constant_values=-1)
    best: Array = None
    index: Array = None
    for where in _taps(kernel, out, geometry):
        value = padded[where]
        place = xp(x).broadcast_to(places[where][..., None, None], value.shape)
        if best is None:
            best, index = value.copy(), place.copy()
            continue
        better = (value > best) | ((value != value) & (best == best)) | ((index < 0) & (place >= 0) & (best == best))
        best = xp(x).where(better, value, best)
        index = xp(x).where(better, place, index)
    return _channels_second(best), _channels_second(index)


def pool_gather(x: Array, index: Array) -> Array:
    """x at flat spatial indices."""
    flat = x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))
    chosen = index.reshape(*index.shape[:2], int(np.prod(index.shape[2:])))
    return xp(x).take_along_axis(flat, chosen, 2).reshape(index.shape)


def pool_scatter(g: Array, index: Array, shape: Sizes) -> Array:
    """The adjoint of `pool_gather`: zeros of this shape with g added at the indices."""
    n, c, *sizes = shape
    size = int(np.prod(sizes))
    total = xp(g).zeros(n * c * size, g.dtype)
    planes = xp(g).arange(n * c).reshape(n, c, *(1,) * len(sizes)) * size
    xp(g).add.at(total, (index + planes).reshape(-1), g.reshape(-1))
    return total.reshape(shape)


def avg_pool(x: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """The mean of each window, padding counted as zeros."""
    padded = _padded(x, geometry, 0)
    out = _out_sizes(padded, kernel, geometry)
    total: Array = None
    for where in _taps(kernel, out, geometry):
        total = padded[where].copy() if total is None else xp(x).add(total, padded[where], out=total)
    total /= int(np.prod(kernel))
    return _channels_second(total)


def avg_pool_input(g: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `avg_pool`: each gradient spread evenly over its window."""
    padded = [m + lo + hi for m, (lo, hi) in zip(shape[2:], geometry.padding, strict=True)]
    total = xp(g).zeros((*padded, *shape[:2]), g.dtype)
    share = _pixels_first(g) / int(np.prod(kernel))
    for where in _taps(kernel, g.shape[2:], geometry):
        total[where] += share
    return _channels_second(total[_interior(shape[2:], geometry)])
