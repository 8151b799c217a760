"""Convolution as matrix products: the windows of a block of positions, unrolled to rows, times the kernels as columns.

The rows of one block fit the workspace, so memory does not grow with the image, and they are in the cache when they
are multiplied. The gradient in the input is a convolution too: of the gradient, with the kernels mirrored and their
channels exchanged, once for each phase of the stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd, prod

import numpy as np

from minigrad.kernels.cpu.memory import (
    WORKSPACE,
    Array,
    Block,
    Sizes,
    accumulator,
    blocks,
    clear_outside,
    meetings,
    workspace,
)
from minigrad.window import Geometry

FEW = 16  # channels: with fewer, runs along the positions are longer than runs along the channels


def unrolled(x: Array, kernel: Sizes, block: Block, geometry: Geometry, dtype: np.dtype) -> Array:
    """The windows of x (*spatial, N, C) at a block of (*positions, N): (groups, rows, taps * C/groups), in workspace.

    With few channels the memory order is (groups, taps, C/groups, rows), and the product takes it transposed.
    """
    groups, taps = geometry.groups, prod(kernel)
    c = x.shape[-1] // groups
    shape = tuple(where.stop - where.start for where in block)
    rows = prod(shape)
    as_it_lies = taps == 1 and max(geometry.stride) == 1 and not any(map(any, geometry.padding))
    if as_it_lies and x.dtype == dtype:
        return x[block].reshape(rows, groups, c).swapaxes(0, 1)
    if c < FEW:
        columns = workspace((groups, taps, c, *shape), dtype)
        by_tap = np.moveaxis(columns, (1, 0, 2), (0, -2, -1))  # (taps, *block, groups, c)
        out = columns.reshape(groups, taps * c, rows).swapaxes(1, 2)
    else:
        columns = workspace((groups, *shape, taps, c), dtype)
        by_tap = np.moveaxis(columns, (-2, 0), (0, -2))
        out = columns.reshape(groups, rows, taps * c)
    grouped = x.reshape(*x.shape[:-1], groups, c)[(slice(None),) * len(kernel) + block[-1:]]
    for tap, inside, source in meetings(kernel, x.shape[: len(kernel)], block[:-1], geometry):
        clear_outside(by_tap[tap], inside)
        by_tap[tap][inside] = grouped[source]
    return out


def arranged(x: Array, kernel: Sizes, groups: int) -> Array:
    """x (*spatial, N, C) as `unrolled` reads it best: with few channels and several taps, channel by channel."""
    if x.shape[-1] // groups >= FEW or prod(kernel) == 1:
        return x
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1)


def correlate(x: Array, matrix: Array, kernel: Sizes, geometry: Geometry, y: Array, bias: Array | None = None) -> None:
    """Fill y (*out, N, K) with the windows of x (*spatial, N, C) times matrix (groups, taps * C/groups, K/groups)."""
    groups, inner, k = matrix.shape
    x = arranged(x, kernel, groups)
    for block in blocks(y.shape[:-1], WORKSPACE // max(groups * inner, y.shape[-1], 1)):
        rows = unrolled(x, kernel, block, geometry, matrix.dtype)
        part = y[block]
        in_place = part.dtype == matrix.dtype and part.flags.c_contiguous
        out = part if in_place else np.empty(part.shape, matrix.dtype)
        np.matmul(rows, matrix, out=out.reshape(-1, groups, k).swapaxes(0, 1))
        if bias is not None:
            runs = out.reshape(-1, out.shape[-2] * out.shape[-1])
            runs += np.tile(bias, out.shape[-2])  # one long row instead of a short one for each pixel
        if not in_place:
            part[...] = out


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
    """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C/groups, *kernel)."""
    correlate(x, _matrix(w, geometry.groups, accumulator(x, w)), w.shape[2:], geometry, y, b)


def _matrix(w: Array, groups: int, dtype: np.dtype) -> Array:
    """w (K, C/groups, *kernel) as (groups, taps * C/groups, K/groups): a view where it lies in memory taps first."""
    k, c, taps = w.shape[0], w.shape[1], prod(w.shape[2:])
    first = w.transpose(*range(2, w.ndim), 1, 0).astype(dtype, copy=False)
    return first.reshape(taps * c, groups, k // groups).swapaxes(0, 1)


def conv_input(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The gradient in x into dx (*spatial, N, C); g is (*out, N, K).

    Elements of x that are s apart see the same taps, at neighbouring positions: for each of these phases the gradient
    is a convolution of g with stride 1, over those taps in reverse.
    """
    groups, dtype = geometry.groups, accumulator(w, g)
    k, c = w.shape[0] // groups, w.shape[1]
    plans = [
        list(_phases(*axis))
        for axis in zip(dx.shape[: w.ndim - 2], w.shape[2:], *geometry[:3], g.shape[: w.ndim - 2], strict=True)
    ]
    for phase in product(*plans):
        where = tuple(p[0] for p in phase)
        taps = tuple(p[1] for p in phase)
        target = dx[where]
        if 0 in target.shape:
            continue
        if any(len(range(*t)) == 0 for t in taps):
            target[...] = 0
            continue
        kernel = tuple(len(range(*t)) for t in taps)
        chosen = w[(slice(None), slice(None), *(_reverse(t) for t in taps))]
        by_tap = chosen.reshape(groups, k, c, *kernel).transpose(0, *range(3, 3 + len(kernel)), 1, 2)
        if prod(kernel) > 1:  # one tap alone is multiplied as it lies, transposed
            by_tap = _exchanged(by_tap, dtype)
        matrix = by_tap.astype(dtype, copy=False).reshape(groups, prod(kernel) * k, c)
        sub = geometry._replace(
            stride=(1,) * len(kernel), padding=tuple(p[2] for p in phase), dilation=tuple(p[3] for p in phase)
        )
        correlate(g, matrix, kernel, sub, target)


def _exchanged(matrix: Array, dtype: np.dtype) -> Array:
    """A contiguous copy of (..., K, C) from where C lies before K, in strips so that both sides stay in the cache."""
    out = np.empty(matrix.shape, dtype)
    for i in range(0, matrix.shape[-1], 32):
        out[..., i : i + 32] = matrix[..., i : i + 32]
    return out


def _phases(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int, out: int
) -> Iterator[tuple[slice, tuple[int, int, int], tuple[int, int], int]]:
    """For each phase of an axis: its elements of x, its taps (a range), and padding and dilation of its convolution.

    Element `i0 + stride*m` of x is read at position `o = (i0 + low - dilation*t)/stride + m` through each tap t for
    which that is whole. Those taps are `step` apart, and their positions `dilation*step/stride`.
    """
    common = gcd(stride, dilation)
    step, apart = stride // common, dilation // common
    for i0 in range(min(stride, size)):
        first = next((t for t in range(min(step, kernel)) if (i0 + padding[0] - dilation * t) % stride == 0), kernel)
        taps = range(first, kernel, step)
        count = len(range(i0, size, stride))
        base = (i0 + padding[0] - dilation * first) // stride
        lo = (len(taps) - 1) * apart - base
        hi = count - 1 + base + 1 - out
        yield slice(i0, size, stride), (first, kernel, step), (lo, hi), apart


def _reverse(taps: tuple[int, int, int]) -> slice:
    """The slice of a range of taps, last one first."""
    first, _, step = taps
    last = range(*taps)[-1]
    return slice(last, first - 1 if first else None, -step)


def conv_weight(x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
    """The gradient in w into dw (*kernel, C/groups, K), a few taps at a time over all positions.

    Taps are taken together until they have some hundred channels, so that the products are neither small nor many and
    seldom need a second block of positions, whose result would have to be added.
    """
    if 0 in g.shape:
        dw[...] = 0
        return
    groups = geometry.groups
    kernel, (c, k) = dw.shape[:-2], dw.shape[-2:]
    x = arranged(x, kernel, groups)
    flat = dw.reshape(prod(kernel), c, groups, k // groups)
    for start, stop, sub, part in _tap_groups(kernel, groups * c, geometry):
        total = flat[start:stop].reshape((stop - start) * c, groups, k // groups).swapaxes(0, 1)
        for number, block in enumerate(blocks(g.shape[:-1], WORKSPACE // max((stop - start) * c * groups, 1))):
            rows = unrolled(x, part, block, sub, dw.dtype).swapaxes(1, 2)
            grads = g[block].reshape(-1, groups, k // groups).swapaxes(0, 1).astype(dw.dtype, copy=False)
            if number:
                total += np.matmul(rows, grads)
            else:
                np.matmul(rows, grads, out=total)


def _tap_groups(kernel: Sizes, channels: int, geometry: Geometry) -> Iterator[tuple[int, int, Geometry, Sizes]]:
    """Cut the taps into boxes: (first tap, last + 1, geometry of the box, its kernel)."""
    axis, inner = len(kernel), 1
    while axis and inner * kernel[axis - 1] * channels <= 768:
        axis -= 1
        inner *= kernel[axis]
    for number, outer in enumerate(product(*map(range, kernel[:axis]))):
        at = (*outer, *(0,) * (len(kernel) - axis))
        padding = tuple(
            (lo - t * d, hi) for (lo, hi), t, d in zip(geometry.padding, at, geometry.dilation, strict=True)
        )
        yield number * inner, (number + 1) * inner, geometry._replace(padding=padding), (1,) * axis + kernel[axis:]
