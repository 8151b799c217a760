"""Convolution as matrix products: the windows of a block of positions, unrolled to rows, times the kernels as columns.

The rows of one block fit the workspace, so memory does not grow with the image, and they are in the cache when they
are multiplied. The gradient in the input is a convolution too: of the gradient, with the kernels mirrored and their
channels exchanged, once for each phase of the stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np

from minigrad.kernels.cpu.cost import MULTIPLY_ADD, Case, Cost
from minigrad.kernels.cpu.memory import (
    WORKSPACE,
    Array,
    Block,
    Memory,
    Sizes,
    accumulator,
    blocks,
    clear_outside,
    cuts,
    meetings,
    workspace,
)
from minigrad.kernels.cpu.planes import Planes, Taps, layout
from minigrad.kernels.phases import phases, reversed_taps
from minigrad.threads import run
from minigrad.window import Geometry

BOX = 768  # rows of a product of conv_weight: large enough for BLAS, small enough that one block of positions is all
# Nanoseconds, see kernels/cpu/cost.py: to copy a number of a window, of a kernel; of the calls of a layer, of a tap.
COPY, EXCHANGE, CALLS, TAP = 0.5, 0.4, 100_000, 6_000
# Blocks for threads to share, at least; rows of a product, and nanoseconds of one thread, that each must have then.
PIECES, ROWS, WORTH = 4, 192, 400_000
FEW_ROWS = 128  # of a piece of such a product
MANY = 512  # positions whose part of a sum over all of them costs little to add
BORDER = 4  # times the image, that it may have with its border
FEW_CHANNELS = 32  # channels: with fewer, runs along the positions are longer than runs along the channels

ERROR = 2  # of its own, see kernels/cpu/cost.py


def refusal(w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
    """Why it cannot compute a convolution: it always can."""
    return ""


def cost(case: Case) -> Cost:
    """Products, and a copy of every window unless the windows are the image."""
    taps = prod(case.taps)
    plain = taps == 1 and max(case.geometry.stride) == 1
    columns = 0 if plain else case.n * case.geometry.groups * case.c * prod(case.out) * taps
    weights = case.geometry.groups * case.c * case.k * taps
    inner = min(WORKSPACE, columns // case.geometry.groups) if columns else 0
    time = case.multiply_adds * MULTIPLY_ADD + columns * COPY + weights * EXCHANGE + CALLS
    time += columns / WORKSPACE * taps * TAP
    return Cost(time, case.multiply_adds, inner)


class Pixels:
    """An image of many channels (*spatial, N, C), pixel by pixel: a tap of a window is a run of C/groups numbers."""

    def __init__(self, x: Array, geometry: Geometry):
        self.sizes, self.geometry = x.shape[:-2], geometry
        self.array = np.ascontiguousarray(x).reshape(*x.shape[:-1], geometry.groups, x.shape[-1] // geometry.groups)

    def unrolled(self, block: Block, taps: Taps, dtype: np.dtype, memory: Memory) -> Array:
        """What some taps see at a block of (*positions, N): (groups, rows, taps * C/groups), in memory that is lent."""
        groups, c = self.array.shape[-2:]
        kernel, shape = tuple(map(len, taps)), tuple(where.stop - where.start for where in block)
        rows, geometry = prod(shape), self.geometry
        as_it_lies = prod(kernel) == 1 and max(geometry.stride) == 1 and not any(map(any, geometry.padding))
        if as_it_lies and self.array.dtype == dtype:
            offsets = (t.start * d for t, d in zip(taps, geometry.dilation, strict=True))
            seen = (slice(p.start + off, p.stop + off) for p, off in zip(block, offsets, strict=False))
            return self.array[(*seen, block[-1])].reshape(rows, groups, c).swapaxes(0, 1)
        columns = memory((groups, *shape, prod(kernel), c), dtype)
        by_tap = np.moveaxis(columns, (-2, 0), (0, -2))
        # To the first of these taps the image begins later. A padding below 0 says so.
        low = (lo - t.start * d for t, _, (lo, _), d in geometry.along(taps))
        padding = tuple((lo, hi) for lo, (_, hi) in zip(low, geometry.padding, strict=True))
        for tap, inside, source in meetings(kernel, self.sizes, block[:-1], geometry._replace(padding=padding)):
            clear_outside(by_tap[tap], inside)
            by_tap[tap][inside] = self.array[(*source, block[-1])]
        return columns.reshape(groups, rows, prod(kernel) * c)


def laid_out(x: Array, kernel: Sizes, geometry: Geometry) -> Pixels | Planes:
    """An image (*spatial, N, C), laid out so that its windows are read in long runs."""
    groups = geometry.groups
    if x.shape[-1] // groups >= FEW_CHANNELS or not _bordered(x.shape[:-2], kernel, geometry):
        return Pixels(x, geometry)
    planes = Planes(x.shape, kernel, geometry, x.dtype)
    planes.fill(x)
    return planes


def _bordered(sizes: Sizes, kernel: Sizes, geometry: Geometry) -> bool:
    """Whether planes pay: some memory is their price, not to be paid by kernels dilated beyond all that there is."""
    return prod(kernel) > 1 and layout(sizes, kernel, geometry).pad <= BORDER


def correlate(x: Array, matrix: Array, kernel: Sizes, geometry: Geometry, y: Array, bias: Array | None = None) -> None:
    """Fill y (*out, N, K) with the windows of x (*spatial, N, C) times matrix (groups, taps * C/groups, K/groups)."""
    source, taps = laid_out(x, kernel, geometry), tuple(map(range, kernel))

    def multiply(block: Block) -> None:
        with workspace() as memory:
            rows = source.unrolled(block, taps, matrix.dtype, memory)
            _multiply(rows, matrix, y[block], bias)

    groups, inner, k = matrix.shape
    run(multiply, _shared_out(y.shape[:-1], groups, inner, k))


def _pieces(rows: int, groups: int, inner: int, k: int) -> int:
    """In how many pieces threads may share the copies of windows and the products with them."""
    return int(rows * groups * inner * (COPY + k * MULTIPLY_ADD) / WORTH)


def _shared_out(sizes: Sizes, groups: int, inner: int, k: int) -> Iterator[Block]:
    """Blocks of positions whose numbers fit the workspace, enough of them for several threads."""
    positions = prod(sizes)
    count = min(PIECES, positions // ROWS, _pieces(positions, groups, inner, k))
    inner, k = inner * groups, k * groups
    most = WORKSPACE // max(inner, k, 1)
    if count > 1:  # whole rows of an image, if there are as many
        most = min(most, -(-sizes[0] // count) * prod(sizes[1:]) if count <= sizes[0] else -(-positions // count))
    return blocks(sizes, most)


def _multiply(rows: Array, matrix: Array, part: Array, bias: Array | None) -> None:
    """The product, and the bias, into a block of the result."""
    groups, _, k = matrix.shape
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
    kernel = w.shape[2:]
    matrix = _matrix(w, geometry.groups, accumulator(y))
    correlate(x, matrix, kernel, geometry, y, b)


def _matrix(w: Array, groups: int, dtype: np.dtype) -> Array:
    """w (K, C/groups, *kernel) as (groups, taps * C/groups, K/groups): a view where it lies in memory taps first."""
    k, c, taps = w.shape[0], w.shape[1], prod(w.shape[2:])
    first = w.transpose(*range(2, w.ndim), 1, 0).astype(dtype, copy=False)
    return first.reshape(taps * c, groups, k // groups).swapaxes(0, 1)


def conv_input(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The gradient in x into dx (*spatial, N, C); g is (*out, N, K).

    Elements of x that are s apart see the same taps, at neighbouring positions: for each of these phases the gradient
    is a convolution of g with stride 1, over those taps in reverse. With 3 taps and a stride of 2, every other element
    sees taps 0 and 2, and those between see tap 1.
    """
    groups, dtype, n = geometry.groups, accumulator(w, g), w.ndim - 2
    k, c = w.shape[0] // groups, w.shape[1]
    if c < min(FEW_CHANNELS, k) and _bordered(dx.shape[:n], w.shape[2:], geometry):
        _scatter_few_channels(w, g, geometry, dx)
        return
    g = np.ascontiguousarray(g)
    for parts in product(*(phases(*axis) for axis in geometry.along(dx.shape[:n], w.shape[2:], g.shape[:n]))):
        where, taps, padding, dilation = zip(*parts, strict=True)
        target, kernel = dx[where], tuple(map(len, taps))
        if 0 in target.shape:
            continue
        if 0 in kernel:  # no tap reaches this phase
            target[...] = 0
            continue
        chosen = w[(slice(None), slice(None), *map(reversed_taps, taps))]
        by_tap = chosen.reshape(groups, k, c, *kernel).transpose(0, *range(3, 3 + n), 1, 2)
        if prod(kernel) > 1:  # one tap alone is multiplied as it lies, transposed
            by_tap = _exchanged(by_tap, dtype)
        matrix = by_tap.astype(dtype, copy=False).reshape(groups, prod(kernel) * k, c)
        unstrided = geometry._replace(stride=(1,) * n, padding=padding, dilation=dilation)
        correlate(g, matrix, kernel, unstrided, target)


def _scatter_few_channels(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The same for few channels: the windows that g asks for, as columns, added up where they lie.

    A convolution would read the many channels of g at every tap, to multiply them with a matrix of few columns.
    """
    groups, kernel = geometry.groups, w.shape[2:]
    g, matrix = np.ascontiguousarray(g), _matrix(w, groups, accumulator(w, g))
    _, inner, k = matrix.shape
    planes = Planes(dx.shape, kernel, geometry, matrix.dtype)
    with workspace() as memory:
        for block in blocks(g.shape[:-1], WORKSPACE // max(groups * max(inner, k), 1)):
            part = g[block]
            rows = part.reshape(prod(part.shape[:-1]), groups, k).transpose(1, 2, 0).astype(matrix.dtype, copy=False)
            columns = np.matmul(matrix, rows, out=memory((groups, inner, rows.shape[-1]), matrix.dtype))
            by_tap = columns.reshape(groups, *kernel, w.shape[1], *part.shape[:-1])
            for taps in product(*map(range, kernel)):
                windows = planes.columns(block, taps[:-1], taps[-1])
                windows += by_tap[(slice(None), *taps)]
    planes.read(dx)


def _exchanged(matrix: Array, dtype: np.dtype) -> Array:
    """A contiguous copy of (..., K, C) from where C lies before K, in strips so that both sides stay in the cache."""
    out = np.empty(matrix.shape, dtype)
    for i in range(0, matrix.shape[-1], 32):
        out[..., i : i + 32] = matrix[..., i : i + 32]
    return out


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
    source = laid_out(x, kernel, geometry)
    # Threads share the positions, if these are so many that a sum of each part costs nothing; else the taps.
    positions = prod(g.shape[:-1])
    parts = min(PIECES, positions // MANY, _pieces(positions, groups, prod(kernel) * c, k // groups))
    parts = 1 << max(1, parts).bit_length() - 1  # 1, 2 or 4: of three, two threads would do one after the other
    sums = [dw, *(np.empty_like(dw) for _ in range(parts - 1))]

    def multiply(item: tuple[int, tuple[int, int, Taps]]) -> None:
        part, (start, stop, taps) = item
        flat = sums[part].reshape(prod(kernel), c, groups, k // groups)
        total = flat[start:stop].reshape((stop - start) * c, groups, k // groups).swapaxes(0, 1)
        most = min(WORKSPACE // max((stop - start) * c * groups, 1), -(-positions // parts))
        every = list(blocks(g.shape[:-1], most))
        with workspace() as memory:
            for number, block in enumerate(every[len(every) * part // parts : len(every) * (part + 1) // parts]):
                rows = source.unrolled(block, taps, dw.dtype, memory).swapaxes(1, 2)
                grads = g[block].reshape(-1, groups, k // groups).swapaxes(0, 1).astype(dw.dtype, copy=False)
                _multiply_rows(rows, grads, total, add=number > 0, alone=len(items) == 1)

    items = list(product(range(parts), _tap_groups(kernel, groups * c)))
    run(multiply, items)
    for more in sums[1:]:
        dw += more


def _multiply_rows(rows: Array, grads: Array, total: Array, add: bool, alone: bool) -> None:
    """total (+)= rows @ grads, some rows at a time; if no other product is, at least two times."""

    def multiply(some: slice) -> None:
        if add:
            total[:, some] += np.matmul(rows[:, some], grads)
        else:
            np.matmul(rows[:, some], grads, out=total[:, some])

    _, inner, positions = rows.shape
    pieces = -(-inner // BOX)
    if alone:
        pieces = max(pieces, min(2, inner // FEW_ROWS, _pieces(positions, len(rows), inner, grads.shape[-1])))
    run(multiply, cuts(inner, -(-inner // pieces)))


def _tap_groups(kernel: Sizes, channels: int) -> Iterator[tuple[int, int, Taps]]:
    """Cut the taps into boxes: (first tap, last + 1, those of each axis)."""
    axis, inner = len(kernel), 1
    while axis and inner * kernel[axis - 1] * channels <= BOX:
        axis -= 1
        inner *= kernel[axis]
    rest = tuple(map(range, kernel[axis:]))
    for number, outer in enumerate(product(*map(range, kernel[:axis]))):
        yield number * inner, (number + 1) * inner, (*(range(t, t + 1) for t in outer), *rest)
