"""Pooling and windows on CuPy arrays: the launches of pool.cu. Results lie in memory as (N, *spatial, C)."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from minigrad.backend import xp
from minigrad.kernels.cuda.loader import (
    blocks_for,
    ctype,
    launch,
    pixels_last,
    rank_for,
    stride_fields,
    strides,
    sum_dtype,
    window,
    window_fields,
)
from minigrad.window import Geometry, out_sizes

Array = Any
Sizes = tuple[int, ...]

NOWHERE = np.uintp(0)  # a null pointer, as a kernel takes it


def _pool(x: Array, y: Array, tap: Array, kernel: Sizes, geometry: Geometry, rank: int) -> Any:
    """The `Pool` of pool.cu: x under the windows, y and tap with an element for each window."""
    arrays = [(name, stride_fields(rank)) for name in ("x", "y", "tap")]
    dtype = np.dtype([("batch", np.int64), ("channels", np.int64), ("window", window_fields(rank)), *arrays])
    lie = window(x.shape[2:], y.shape[2:], kernel, geometry, rank)
    return np.array([(*x.shape[:2], lie, strides(x, rank), strides(y, rank), strides(tap, rank))], dtype)


def _tap_type(kernel: Sizes) -> tuple[Any, str]:
    return (np.uint8, "unsigned char") if prod(kernel) <= 256 else (np.int32, "int")


def max_pool(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool) -> tuple[Array, Array | None]:
    """The largest value of each window and the tap that holds it: the first at a tie, nan before everything."""
    return _extreme(x, kernel, geometry, with_tap, "true")


def min_pool(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool) -> tuple[Array, Array | None]:
    """The smallest value of each window and the tap that holds it: the first at a tie, nan before everything."""
    return _extreme(x, kernel, geometry, with_tap, "false")


def _extreme(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool, largest: str) -> tuple[Array, Array | None]:
    """The tap is None, and never written, unless it is wanted."""
    c, rank = ctype("pooling", x), rank_for("pooling", len(kernel))
    dtype, tap_type = _tap_type(kernel)
    shape = (*x.shape[:2], *out_sizes(x.shape[2:], kernel, geometry))
    y = pixels_last(shape, x.dtype, xp(x).empty)
    tap = pixels_last(shape, dtype, xp(x).empty) if with_tap else None
    if y.size:
        form = _pool(x, y, y if tap is None else tap, kernel, geometry, rank)
        where = NOWHERE if tap is None else tap
        launch("pool", f"extreme<{c}, {largest}, {tap_type}, {rank}>", blocks_for(y.size), x, y, where, form)
    return y, tap


def pool_gather(x: Array, tap: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """From each window of x (N, C, *spatial), the element at its tap (N, C, *out)."""
    c, rank = ctype("pooling", x), rank_for("pooling", len(kernel))
    dtype, tap_type = _tap_type(kernel)
    tap = tap.astype(dtype, copy=False)
    y = pixels_last(tap.shape, x.dtype, xp(x).empty)
    if y.size:
        form = _pool(x, y, tap, kernel, geometry, rank)
        launch("pool", f"gather<{c}, {tap_type}, {rank}>", blocks_for(y.size), x, tap, y, form)
    return y


def pool_scatter(g: Array, tap: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """Zeros of this shape, with g (N, C, *out) added to each window at its tap (N, C, *out)."""
    c, rank = ctype("pooling", g), rank_for("pooling", len(kernel))
    dtype, tap_type = _tap_type(kernel)
    tap = tap.astype(dtype, copy=False)
    dx = pixels_last(shape, g.dtype, xp(g).empty)
    if dx.size:
        form = _pool(dx, g, tap, kernel, geometry, rank)
        launch("pool", f"scatter<{c}, {tap_type}, {rank}>", blocks_for(dx.size), g, tap, dx, form)
    return dx


@cache
def _inverse(divisor: tuple, dtype: Any) -> np.ndarray:
    """1 over the product of what each axis has for its positions."""
    product = np.ones((), np.float64)
    for counts in divisor:
        product = np.multiply.outer(product, np.asarray(counts, np.float64))
    return (1 / product).astype(dtype)


def _scales(divisor: Any, c: str, library: Any) -> tuple:
    """The `scales` and the `scale` of pool.cu: a number for each position and nothing, or nothing and one number."""
    dtype = sum_dtype(c)
    if isinstance(divisor, tuple):
        return library.asarray(_inverse(divisor, dtype)), dtype(0)
    return np.uintp(0), dtype(1 / divisor)


def avg_pool(x: Array, kernel: Sizes, geometry: Geometry, divisor: Any) -> Array:
    """The sum of each window of x (N, C, *spatial), divided by one number or by (a tuple for each axis) of them."""
    c, rank = ctype("pooling", x), rank_for("pooling", len(kernel))
    y = pixels_last((*x.shape[:2], *out_sizes(x.shape[2:], kernel, geometry)), x.dtype, xp(x).empty)
    if y.size:
        form = _pool(x, y, y, kernel, geometry, rank)
        launch("pool", f"window_sum<{c}, {rank}>", blocks_for(y.size), x, y, *_scales(divisor, c, xp(x)), form)
    return y


def avg_pool_input(g: Array, kernel: Sizes, geometry: Geometry, divisor: Any, shape: Sizes) -> Array:
    """The adjoint of `avg_pool`: each gradient, divided, spread over its window."""
    c, rank = ctype("pooling", g), rank_for("pooling", len(kernel))
    dx = pixels_last(shape, g.dtype, xp(g).empty)
    if dx.size:
        form = _pool(dx, g, g, kernel, geometry, rank)
        launch("pool", f"window_spread<{c}, {rank}>", blocks_for(dx.size), g, dx, *_scales(divisor, c, xp(g)), form)
    return dx


def unfold(x: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """The windows of x (N, C, *spatial) as (N, C, *kernel, *out), in memory (*out, N, C, *kernel)."""
    c, rank, n = ctype("unfold", x), rank_for("unfold", len(kernel)), len(kernel)
    out = out_sizes(x.shape[2:], kernel, geometry)
    columns = xp(x).empty((*out, *x.shape[:2], prod(kernel)), x.dtype)
    if columns.size:
        windows = columns[..., 0].transpose(n, n + 1, *range(n))
        form = _pool(x, windows, windows, kernel, geometry, rank)
        launch("pool", f"unfold<{c}, {rank}>", blocks_for(columns.size), x, columns, form)
    split = columns.reshape(*columns.shape[:-1], *kernel)
    return split.transpose(n, n + 1, *range(n + 2, 2 * n + 2), *range(n))


def fold(columns: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """The adjoint of `unfold`: columns (N, C, *kernel, *out) added up where they came from, (N, C, *spatial)."""
    c, rank, n = ctype("fold", columns), rank_for("fold", len(kernel)), len(kernel)
    first = columns.transpose(*range(2 + n, 2 + 2 * n), *range(2 + n))
    flat = xp(columns).ascontiguousarray(first.reshape(*first.shape[: n + 2], prod(kernel)))
    dx = pixels_last(shape, columns.dtype, xp(columns).empty)
    if dx.size:
        windows = flat[..., 0].transpose(n, n + 1, *range(n))
        form = _pool(dx, windows, windows, kernel, geometry, rank)
        launch("pool", f"fold<{c}, {rank}>", blocks_for(dx.size), flat, dx, form)
    return dx
