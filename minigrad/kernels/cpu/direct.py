"""Convolution tap by tap, as its formula reads: the shifted input times one tap of the kernel, summed.

No windows are copied. For a depthwise convolution, where a product of matrices would have one column, this is the fast
way; for any other it is the one to compare with.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.kernels.cpu.memory import SWEEP, Array, Sizes, accumulator, as_runs, blocks, meetings
from minigrad.window import Geometry


def _taps(w: Array, groups: int, dtype: np.dtype) -> Array:
    """w (K, C/groups, *kernel) as (taps, groups, C/groups, K/groups)."""
    k, c, taps = w.shape[0], w.shape[1], prod(w.shape[2:])
    grouped = w.reshape(groups, k // groups, c, taps)
    return np.ascontiguousarray(grouped.transpose(3, 0, 2, 1), dtype)


def _grouped(x: Array, groups: int) -> Array:
    """(*spatial, N, C) as (*spatial, groups, N, C/groups)."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups).swapaxes(-3, -2)


def _depthwise(w: Array, geometry: Geometry) -> bool:
    """Whether every kernel sees one channel and every channel has one kernel: then elements are multiplied."""
    return w.shape[1] == 1 and w.shape[0] == geometry.groups


def _cut(sizes: Sizes, run: int) -> list[tuple[slice, ...]]:
    """Blocks of positions in which several sweeps over runs of this length stay in the cache."""
    return list(blocks(sizes, max(1, SWEEP // max(run, 1))))


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
    """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C/groups, *kernel)."""
    x, n, dtype = np.ascontiguousarray(x), y.shape[-2], accumulator(x, w)
    taps, depthwise = _taps(w, geometry.groups, dtype), _depthwise(w, geometry)
    if depthwise:
        runs, factors = as_runs(x), np.tile(taps[:, :, 0, 0], n)
    else:
        runs = _grouped(x, geometry.groups)
    for block in _cut(y.shape[:-2], n * y.shape[-1]):
        part = y[block]
        total = np.zeros(part.shape, dtype)
        out = as_runs(total) if depthwise else _grouped(total, geometry.groups)
        for tap, inside, source in meetings(w.shape[2:], x.shape[:-2], block, geometry):
            out[inside] += runs[source] * factors[tap] if depthwise else np.matmul(runs[source], taps[tap])
        if b is not None:
            total += b
        part[...] = total


def conv_input(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The gradient in x added up in dx (*spatial, N, C), of a dtype to sum in; g is (*out, N, K)."""
    g, n = np.ascontiguousarray(g), g.shape[-2]
    taps, depthwise = _taps(w, geometry.groups, dx.dtype), _depthwise(w, geometry)
    dx[...] = 0
    if depthwise:
        runs, out, factors = as_runs(g), as_runs(dx), np.tile(taps[:, :, 0, 0], n)
    else:
        runs, out = _grouped(g, geometry.groups), _grouped(dx, geometry.groups)
    for block in _cut(g.shape[:-2], n * g.shape[-1]):
        part = runs[block]
        for tap, inside, source in meetings(w.shape[2:], dx.shape[:-2], block, geometry):
            g_part = part[inside]
            out[source] += g_part * factors[tap] if depthwise else np.matmul(g_part, taps[tap].swapaxes(1, 2))


def conv_weight(x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
    """The gradient in w added up in dw (*kernel, C/groups, K), of a dtype to sum in."""
    x, groups, (c, k) = np.ascontiguousarray(x), geometry.groups, dw.shape[-2:]
    kernel, n, spatial = dw.shape[:-2], g.shape[-2], tuple(range(g.ndim - 2))
    depthwise = c == 1 and k == groups
    dw[...] = 0
    taps = dw.reshape(prod(kernel), c, groups, k // groups).swapaxes(1, 2)
    xs, gs = _grouped(x, groups), _grouped(g, groups)
    for block in _cut(g.shape[:-2], n * max(k, x.shape[-1])):
        part = g[block] if depthwise else gs[block]
        for tap, inside, source in meetings(kernel, x.shape[:-2], block, geometry):
            if depthwise:
                product = (x[source] * part[inside]).astype(dw.dtype, copy=False)
                taps[tap, :, 0, 0] += _rows_sum(product.reshape(prod(product.shape[:-2]), n * k)).reshape(n, k).sum(0)
            else:
                taps[tap] += np.matmul(xs[source].swapaxes(-1, -2), part[inside]).sum(spatial, dtype=dw.dtype)


def _rows_sum(x: Array) -> Array:
    """The sum over the rows of a matrix: by a product with ones, twice as fast as NumPy's reduction."""
    return np.ones(len(x), x.dtype) @ x
