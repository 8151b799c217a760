"""Convolution and pooling with array functions only: the second witness of both devices' kernels.

Shapes are (N, C, *spatial) for any number of spatial axes; the memory order inside is (*spatial, N, C). Borders are
laid around a copy, and loops run over the taps of the kernel, never over pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np

from minigrad.backend import xp
from minigrad.window import Geometry, out_sizes

Array = Any
Sizes = tuple[int, ...]


def _pixels_first(x: Array) -> Array:
    """(N, C, *spatial) as (*spatial, N, C), contiguous; no copy where the memory already lies so."""
    return xp(x).ascontiguousarray(x.transpose(*range(2, x.ndim), 0, 1))


def _channels_second(x: Array) -> Array:
    """(*spatial, N, C) as (N, C, *spatial): a view."""
    return x.transpose(x.ndim - 2, x.ndim - 1, *range(x.ndim - 2))


def _padded(x: Array, geometry: Geometry, value: Any) -> Array:
    """x in (*spatial, N, C) order with its border."""
    if not any(map(any, geometry.padding)):
        return _pixels_first(x)
    sizes = [n + lo + hi for n, (lo, hi) in zip(x.shape[2:], geometry.padding, strict=True)]
    out = xp(x).full((*sizes, *x.shape[:2]), value, x.dtype)
    out[_interior(x.shape[2:], geometry)] = x.transpose(*range(2, x.ndim), 0, 1)
    return out


def _interior(sizes: Sizes, geometry: Geometry) -> tuple[slice, ...]:
    return tuple(slice(lo, lo + n) for n, (lo, _) in zip(sizes, geometry.padding, strict=True))


def _taps(kernel: Sizes, out: Sizes, geometry: Geometry) -> Iterator[tuple[slice, ...]]:
    """For each tap of the kernel, in row-major order, the slices of the padded input that it meets."""
    for tap in product(*map(range, kernel)):
        yield tuple(
            slice(d * t, d * t + s * (o - 1) + 1, s)
            for t, o, s, d in zip(tap, out, geometry.stride, geometry.dilation, strict=True)
        )


def _wide(x: Array) -> Array:
    """float16 as float32, in which it is summed."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _columns(x: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """Every window of x as a row: (*out, N, C, taps)."""
    out, padded = out_sizes(x.shape[2:], kernel, geometry), _padded(x, geometry, 0)
    columns = xp(x).empty((*out, *x.shape[:2], prod(kernel)), x.dtype)
    for tap, where in enumerate(_taps(kernel, out, geometry)):
        columns[..., tap] = padded[where]
    return columns


def _added(columns: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `_columns`: (*out, N, C, taps) added up where they came from, (N, C, *spatial)."""
    sizes = [m + lo + hi for m, (lo, hi) in zip(shape[2:], geometry.padding, strict=True)]
    total = xp(columns).zeros((*sizes, *shape[:2]), columns.dtype)
    for tap, where in enumerate(_taps(kernel, columns.shape[: len(kernel)], geometry)):
        total[where] += columns[..., tap]
    return _channels_second(total[_interior(shape[2:], geometry)])


def _by_group(x: Array, groups: int) -> Array:
    """(*positions, channels, *more) with `channels` and what follows as one row a group: (groups, positions, row)."""
    positions = x.shape[: x.ndim - 2]
    rows = x.reshape(prod(positions), groups, x.shape[-2] // groups * x.shape[-1])
    return xp(x).moveaxis(rows, 1, 0)


def _matrix(w: Array, groups: int) -> Array:
    """w (K, C/groups, *kernel) as (groups, K/groups, C/groups * taps)."""
    return w.reshape(groups, w.shape[0] // groups, prod(w.shape[1:]))


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry) -> Array:
    """Cross-correlation of x (N, C, *spatial) with w (K, C/groups, *kernel), plus b (K,) or None -> (N, K, *out)."""
    columns = _columns(_wide(x), w.shape[2:], geometry)
    rows = _by_group(columns, geometry.groups) @ xp(w).swapaxes(_matrix(_wide(w), geometry.groups), 1, 2)
    y = xp(x).moveaxis(rows, 0, 1).reshape(*columns.shape[: x.ndim - 2], x.shape[0], w.shape[0])
    dtype = np.result_type(x.dtype, w.dtype)
    if b is not None:
        y, dtype = y + b, np.result_type(dtype, b.dtype)
    return _channels_second(y.astype(dtype, copy=False))


def conv_input(w: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in x, for an x of this shape: each position's gradients added back over its window."""
    kernel, first = w.shape[2:], _pixels_first(_wide(g))
    rows = _by_group(first[..., None], geometry.groups) @ _matrix(_wide(w), geometry.groups)
    columns = xp(w).moveaxis(rows, 0, 1).reshape(*first.shape[:-1], shape[1], prod(kernel))
    return _added(columns, kernel, geometry, shape).astype(np.result_type(w.dtype, g.dtype), copy=False)


def conv_weight(x: Array, g: Array, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `conv` in w, for a w of this shape: the gradients, transposed, times the windows of x."""
    columns = _columns(_wide(x), shape[2:], geometry)
    grads = _by_group(_pixels_first(_wide(g))[..., None], geometry.groups)
    dw = xp(x).swapaxes(grads, 1, 2) @ _by_group(columns, geometry.groups)
    return dw.reshape(shape).astype(np.result_type(x.dtype, g.dtype), copy=False)


def channel_sum(g: Array) -> Array:
    """The sum over all axes of g (N, C, *spatial) but the second."""
    return _wide(g).sum(axis=(0, *range(2, g.ndim))).astype(g.dtype, copy=False)


def unfold(x: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """The windows of x (N, C, *spatial) as (N, C, *kernel, *out)."""
    columns, n = _columns(x, kernel, geometry), len(kernel)
    split = columns.reshape(*columns.shape[:-1], *kernel)
    return split.transpose(n, n + 1, *range(n + 2, 2 * n + 2), *range(n))


def fold(columns: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `unfold`: columns (N, C, *kernel, *out) added up where they came from, (N, C, *spatial)."""
    n = len(kernel)
    first = _wide(columns).transpose(*range(2 + n, 2 + 2 * n), *range(2 + n))
    flat = first.reshape(*first.shape[: n + 2], prod(kernel))
    return _added(flat, kernel, geometry, shape).astype(columns.dtype, copy=False)


def _limit(dtype: np.dtype, largest: bool) -> Any:
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    return largest if dtype.kind == "b" else getattr(np.iinfo(dtype), "max" if largest else "min")


def max_pool(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool) -> tuple[Array, Array | None]:
    """The largest value of each window and the tap that holds it: the first at a tie, nan before everything."""
    value, tap = _extreme(x, kernel, geometry, _limit(x.dtype, False), lambda value, best: value > best)
    return value, tap if with_tap else None


def min_pool(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool) -> tuple[Array, Array | None]:
    """The smallest value of each window and the tap that holds it: the first at a tie, nan before everything."""
    value, tap = _extreme(x, kernel, geometry, _limit(x.dtype, True), lambda value, best: value < best)
    return value, tap if with_tap else None


def _extreme(x: Array, kernel: Sizes, geometry: Geometry, border: Any, better: Any) -> tuple[Array, Array]:
    out, padded = out_sizes(x.shape[2:], kernel, geometry), _padded(x, geometry, border)
    inside = xp(x).pad(xp(x).ones(x.shape[2:], bool), geometry.padding)
    best = xp(x).full((*out, *x.shape[:2]), border, x.dtype)
    tap = xp(x).zeros(best.shape, np.int32)
    found = xp(x).zeros(best.shape, bool)  # an element that is no padding
    for number, where in enumerate(_taps(kernel, out, geometry)):
        value, real = padded[where], inside[where][..., None, None]
        nan_now, nan_yet = value != value, best != best
        wins = real & ~nan_yet & (better(value, best) | nan_now | ~found)
        best, tap, found = xp(x).where(wins, value, best), xp(x).where(wins, number, tap), found | real
    return _channels_second(best), _channels_second(tap)


def pool_gather(x: Array, tap: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """From each window of x (N, C, *spatial), the element at its tap (N, C, *out)."""
    padded, taps = _padded(x, geometry, 0), _pixels_first(tap)
    out = xp(x).zeros(taps.shape, x.dtype)
    for number, where in enumerate(_taps(kernel, tap.shape[2:], geometry)):
        out = xp(x).where(taps == number, padded[where], out)
    return _channels_second(out)


def pool_scatter(g: Array, tap: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """Zeros of this shape, with g (N, C, *out) added to each window at its tap (N, C, *out)."""
    grads, taps = _pixels_first(_wide(g)), _pixels_first(tap)
    sizes = [m + lo + hi for m, (lo, hi) in zip(shape[2:], geometry.padding, strict=True)]
    total = xp(g).zeros((*sizes, *shape[:2]), grads.dtype)
    for number, where in enumerate(_taps(kernel, tap.shape[2:], geometry)):
        total[where] += xp(g).where(taps == number, grads, 0)
    return _channels_second(total[_interior(shape[2:], geometry)]).astype(g.dtype, copy=False)


def _divided(total: Array, divisor: Any) -> Array:
    """total (*out, N, C) by one number, or by the product of the numbers that each axis has for its positions."""
    if not isinstance(divisor, tuple):
        return total / divisor
    for axis, counts in enumerate(divisor):
        total = total / xp(total).asarray(counts, total.dtype).reshape(-1, *(1,) * (total.ndim - 1 - axis))
    return total


def avg_pool(x: Array, kernel: Sizes, geometry: Geometry, divisor: Any) -> Array:
    """The sum of each window of x (N, C, *spatial), divided by one number or by (a tuple for each axis) of them."""
    padded, out = _padded(x, geometry, 0), out_sizes(x.shape[2:], kernel, geometry)
    total = xp(x).zeros((*out, *x.shape[:2]), x.dtype)
    for where in _taps(kernel, out, geometry):
        total += padded[where]
    return _channels_second(_divided(total, divisor))


def avg_pool_input(g: Array, kernel: Sizes, geometry: Geometry, divisor: Any, shape: Sizes) -> Array:
    """The adjoint of `avg_pool`: each gradient, divided, spread over its window."""
    sizes = [m + lo + hi for m, (lo, hi) in zip(shape[2:], geometry.padding, strict=True)]
    total, share = xp(g).zeros((*sizes, *shape[:2]), g.dtype), _divided(_pixels_first(g), divisor)
    for where in _taps(kernel, g.shape[2:], geometry):
        total[where] += share
    return _channels_second(total[_interior(shape[2:], geometry)])
