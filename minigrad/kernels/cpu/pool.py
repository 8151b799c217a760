"""Pooling, tap by tap over blocks of positions, in runs of N*C numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import chain
from math import prod
from operator import mod
from typing import Any

import numpy as np

from minigrad.kernels.cpu.memory import (
    Array,
    Block,
    Sizes,
    accumulator,
    as_runs,
    channels_second,
    clear_outside,
    meetings,
    meetings_along,
    pixels_first,
    sweeps,
)
from minigrad.threads import run
from minigrad.window import Geometry, out_sizes

PIECE = 512  # elements that are added up one by one
Taps = list[tuple[Block, Block]]  # for each tap, the positions of a block that find it inside x, and where


def max_pool(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool) -> tuple[Array, Array | None]:
    """The largest value of each window and the tap that holds it: the first at a tie, nan before everything."""
    return _extreme(x, kernel, geometry, with_tap, np.maximum)


def min_pool(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool) -> tuple[Array, Array | None]:
    """The smallest value of each window and the tap that holds it: the first at a tie, nan before everything."""
    return _extreme(x, kernel, geometry, with_tap, np.minimum)


def _extreme(x: Array, kernel: Sizes, geometry: Geometry, with_tap: bool, better: Any) -> tuple[Array, Array | None]:
    """The tap is None unless it is wanted: to look for it takes twice as long as the maximum itself."""
    out, (n, c) = out_sizes(x.shape[2:], kernel, geometry), x.shape[:2]
    runs = as_runs(pixels_first(x))
    best = np.empty((*out, n * c), x.dtype)
    tap = np.empty(best.shape, np.min_scalar_type(prod(kernel) - 1)) if with_tap else None
    if kernel == x.shape[2:] and prod(out) == 1 and not any(map(any, geometry.padding)):
        rows = runs.reshape(prod(kernel), n * c)
        best[...] = better.reduce(rows)
        if tap is not None:
            tap[...] = rows.argmax(0) if better is np.maximum else rows.argmin(0)
    else:

        def look_at(block: Block) -> None:
            taps = [(inside, source) for _, inside, source in meetings(kernel, runs.shape[:-1], block, geometry)]
            _best(runs, taps, better, best[block])
            if tap is not None:
                _first_tap(runs, taps, best[block], tap[block])

        run(look_at, sweeps(out, n * c))
    value = channels_second(best.reshape(*out, n, c))
    return value, None if tap is None else channels_second(tap.reshape(*out, n, c))


def _best(runs: Array, taps: Taps, better: Any, best: Array) -> None:
    """The best value of each window of a block; `taps` says which windows find each tap inside, and where."""
    whole = tuple(slice(0, n) for n in best.shape[:-1])
    start = next((source for inside, source in taps if inside == whole), None)
    best[...] = _worst(best.dtype, better) if start is None else runs[start]
    for inside, source in taps:
        if source != start:
            better(best[inside], runs[source], out=best[inside])


def _first_tap(runs: Array, taps: Taps, best: Array, tap: Array) -> None:
    """Which tap won: the number of those before it that did not, of (5, 9, 9) the first, so that it is 1.

    Padding is never asked, so it cannot win; nor is the last tap, which wins where no other did.
    """
    looking = np.ones(best.shape, bool)
    numbers = looking.view(tap.dtype) if tap.itemsize == 1 else looking  # to convert takes as long as to add
    tap[...] = 0
    for inside, source in taps[:-1]:
        np.logical_and(looking[inside], runs[source] != best[inside], out=looking[inside])
        tap += numbers
    if best.dtype.kind == "f" and np.isnan(best).any():  # the first nan; unlike all others it equals nothing
        for number, (inside, source) in reversed(list(enumerate(taps))):
            np.copyto(tap[inside], number, where=np.isnan(runs[source]))


def _worst(dtype: np.dtype, better: Any) -> Any:
    if dtype.kind == "f":
        return -np.inf if better is np.maximum else np.inf
    if dtype.kind == "b":
        return better is np.minimum
    return np.iinfo(dtype).min if better is np.maximum else np.iinfo(dtype).max


def _winners(taps: Array, kernel: Sizes, geometry: Geometry, sizes: Sizes) -> Iterator[tuple[Sizes, Array]]:
    """For each row of windows, its place and where in x (*sizes, run), flattened, their winners lie.

    That is where its window begins, a sum over the axes, and from there a number for its tap.
    """
    run = taps.shape[-1]
    steps = [prod(sizes[axis + 1 :]) * run for axis in range(len(sizes))]
    along = list(geometry.along(kernel, taps.shape[:-1], steps))
    *begins, within = [(np.arange(o) * s - lo) * step for _, o, step, s, (lo, _), _ in along]
    offsets = reduce(np.add.outer, [np.arange(k) * d * step for k, _, step, _, _, d in along]).ravel()
    in_row = np.add.outer(within, np.arange(run))
    for row in np.ndindex(taps.shape[:-2]):
        places = (offsets + sum(begin[i] for begin, i in zip(begins, row, strict=True))).take(taps[row])
        places += in_row
        yield row, places


def pool_gather(x: Array, tap: Array, kernel: Sizes, geometry: Geometry) -> Array:
    """From each window of x (N, C, *spatial), the element at its tap (N, C, *out)."""
    flat, taps = pixels_first(x).reshape(-1), as_runs(pixels_first(tap))
    out = np.empty(taps.shape, x.dtype)
    for row, places in _winners(taps, kernel, geometry, x.shape[2:]):
        out[row] = flat.take(places)
    return channels_second(out.reshape(*tap.shape[2:], *tap.shape[:2]))


def pool_scatter(g: Array, tap: Array, kernel: Sizes, geometry: Geometry, shape: Sizes) -> Array:
    """Zeros of this shape, with g (N, C, *out) added to each window at its tap (N, C, *out)."""
    runs, taps = as_runs(pixels_first(g)), as_runs(pixels_first(tap))
    runs = runs.astype(accumulator(runs), copy=False)
    total = np.zeros((*shape[2:], *shape[:2]), runs.dtype)
    flat = total.reshape(-1)
    for row, places in _winners(taps, kernel, geometry, shape[2:]):
        np.add.at(flat, places.reshape(-1), runs[row].reshape(-1))
    return channels_second(total).astype(g.dtype, copy=False)


def _divide(total: Array, divisor: Any) -> None:
    """total (*out, run) by one number, or by the product of the numbers that each axis has for its positions."""
    if not isinstance(divisor, tuple):
        total /= np.asarray(divisor, total.dtype)
        return
    for axis, counts in enumerate(divisor):
        total /= np.asarray(counts, total.dtype).reshape(-1, *(1,) * (total.ndim - 1 - axis))


def avg_pool(x: Array, kernel: Sizes, geometry: Geometry, divisor: Any) -> Array:
    """The sum of each window of x (N, C, *spatial), divided by one number or by (a tuple for each axis) of them.

    A window is a product of intervals, so the sum goes axis by axis: k + k additions instead of k * k.
    """
    runs, out = as_runs(pixels_first(x)), out_sizes(x.shape[2:], kernel, geometry)
    for axis, (k, o) in enumerate(zip(kernel, out, strict=True)):
        runs = _sum_along(runs, axis, k, o, geometry)
    _divide(runs, divisor)
    return channels_second(runs.reshape(*out, *x.shape[:2]))


def _along(axis: int, k: int, size: int, out: int, geometry: Geometry) -> Iterator[tuple[Block, Block]]:
    """For each tap along one axis: the positions that find it inside, and where."""
    before, (low, _) = (slice(None),) * axis, geometry.padding[axis]
    for inside, source in meetings_along(k, size, 0, out, geometry.stride[axis], low, geometry.dilation[axis]):
        yield (*before, inside), (*before, source)


def _sum_along(x: Array, axis: int, k: int, out: int, geometry: Geometry) -> Array:
    if out == 1 and k == x.shape[axis] and geometry.padding[axis] == (0, 0) and geometry.dilation[axis] == 1:
        # The axis is not the fastest in memory, so that NumPy adds it up one by one: in pieces, not to lose digits.
        while x.shape[axis] > PIECE:
            x = np.add.reduceat(x, range(0, x.shape[axis], PIECE), axis)
        return x.sum(axis, keepdims=True)
    (inside, source), *rest = _along(axis, k, x.shape[axis], out, geometry)
    if rest and rest[0][0] == inside and inside[axis] == slice(0, out):  # all windows have both: one sweep for two
        total = x[source] + x[rest.pop(0)[1]]
    else:
        total = np.empty((*x.shape[:axis], out, *x.shape[axis + 1 :]), x.dtype)
        clear_outside(total, inside)
        total[inside] = x[source]
    for inside, source in rest:
        total[inside] += x[source]
    return total


def _are_tiles(sizes: Sizes, kernel: Sizes, geometry: Geometry) -> bool:
    """Whether every element lies in one window, and the windows side by side."""
    return (
        geometry.stride == kernel
        and not any(map(any, geometry.padding))
        and max(geometry.dilation) == 1
        and not any(map(mod, sizes, kernel))
    )


def avg_pool_input(g: Array, kernel: Sizes, geometry: Geometry, divisor: Any, shape: Sizes) -> Array:
    """The adjoint of `avg_pool`: each gradient, divided, spread over its window."""
    runs = as_runs(pixels_first(g)).copy()
    _divide(runs, divisor)
    if _are_tiles(shape[2:], kernel, geometry):
        n = len(kernel)
        boxes: Array = np.empty(
            (*chain.from_iterable(zip(runs.shape[:n], kernel, strict=True)), runs.shape[n]), g.dtype
        )
        boxes[...] = np.expand_dims(runs, tuple(range(1, 2 * n, 2)))
        return channels_second(boxes.reshape(*shape[2:], *shape[:2]))
    for axis, (k, size) in enumerate(zip(kernel, shape[2:], strict=True)):
        total = np.zeros((*runs.shape[:axis], size, *runs.shape[axis + 1 :]), g.dtype)
        apart = geometry.stride[axis] > geometry.dilation[axis] * (k - 1)
        for inside, source in _along(axis, k, size, runs.shape[axis], geometry):
            if apart:  # no element lies in two windows
                total[source] = runs[inside]
            else:
                total[source] += runs[inside]
        runs = total
    return channels_second(runs.reshape(*shape[2:], *shape[:2]))
