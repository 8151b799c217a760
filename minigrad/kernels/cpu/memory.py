"""How the CPU's kernels lay out memory: pixels first, in blocks that fit the cache, with one workspace for each thread.

Shapes are (N, C, *spatial) everywhere; in memory the order is (*spatial, N, C). One pixel of the whole batch is then
one run of N*C numbers, and a tap of a window that moves over the image is a strided slice of such runs: copies, sums
and maxima go over long runs, and the channels of a pixel are the rows of a matrix without being moved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from typing import Any

import numpy as np

from minigrad.window import Geometry

Array = Any
Sizes = tuple[int, ...]
Block = tuple[slice, ...]
Memory = Callable[[Sizes, np.dtype], Array]

WORKSPACE = 1 << 20  # numbers: 4 MiB of float32; larger blocks gained nothing, smaller ones lost
SWEEP = 1 << 18  # numbers that elementwise work takes at once: several sweeps over them stay in the last cache


class _Kept(threading.local):
    def __init__(self) -> None:
        self.kept: list[Array] = []  # workspaces that nobody uses; who came last gets the last


_threads = _Kept()


def pixels_first(x: Array) -> Array:
    """(N, C, *spatial) as (*spatial, N, C), contiguous; no copy where the memory lies so already."""
    return np.ascontiguousarray(pixels_view(x))


def pixels_view(x: Array) -> Array:
    """(N, C, *spatial) as (*spatial, N, C): a view."""
    return x.transpose(*range(2, x.ndim), 0, 1)


def channels_second(x: Array) -> Array:
    """(*spatial, N, C) as (N, C, *spatial): a view."""
    return x.transpose(x.ndim - 2, x.ndim - 1, *range(x.ndim - 2))


def as_runs(x: Array) -> Array:
    """(*spatial, N, C), contiguous, as (*spatial, N*C): a view."""
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def bits(x: Array) -> Array:
    """The same memory as integers."""
    return x.view(f"i{x.dtype.itemsize}")


def chosen(x: Array, keep: Array, out: Array | None = None) -> Array:
    """The bits of x where `keep` holds, else 0: a choice without branches, exact for inf and nan too."""
    return np.multiply(bits(x), keep, out=out)


def above_zero(x: Array, out: Array) -> Array:
    """Where not x <= 0, into out: what a relu lets pass, nan among it."""
    return np.logical_not(np.less_equal(x, 0, out=out), out=out)


def as_rows(x: Array) -> Array:
    """(N, C, *spatial) as (pixels, C), contiguous; no copy where the memory lies so already."""
    return pixels_first(x).reshape(-1, x.shape[1])


def as_images(rows: Array, shape: Sizes) -> Array:
    """(pixels, C) as (N, C, *spatial), a view: the way back."""
    return channels_second(rows.reshape(*shape[2:], *shape[:2]))


def accumulator(*arrays: Array) -> np.dtype:
    """The dtype in which products of these are summed: float16 in float32, which is also 20 times faster in NumPy."""
    dtype = np.result_type(*arrays)
    return np.dtype(np.float32) if dtype == np.float16 else dtype


@contextmanager
def workspace() -> Iterator[Memory]:
    """A function that hands out uninitialised memory, the same at each call; it is kept for the thread's next call.

    While it is lent, it is nobody else's: what runs in between, a step within a kernel as well as a signal handler that
    convolves, gets another piece.
    """
    kept = _threads.kept
    buffer = kept.pop() if kept else None

    def memory(shape: Sizes, dtype: np.dtype) -> Array:
        nonlocal buffer
        size = prod(shape) * dtype.itemsize
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)

    try:
        yield memory
    finally:
        if buffer is not None:
            kept.append(buffer)


def lent(memory: Memory, room: dict[str, int], dtype: np.dtype) -> dict[str, Array]:
    """Buffers of so many numbers each, out of a workspace."""
    flat, start, buffers = memory((sum(room.values()),), dtype), 0, {}
    for name, size in room.items():
        buffers[name] = flat[start : start + size]
        start += size
    return buffers


def blocks(sizes: Sizes, budget: int) -> Iterator[Block]:
    """Cut an index space into blocks of at most `budget` elements, each contiguous in row-major order."""
    if 0 in sizes:
        return
    inner, axis = 1, len(sizes)
    while axis and inner * sizes[axis - 1] <= budget:
        axis -= 1
        inner *= sizes[axis]
    if axis == 0:
        yield tuple(slice(0, n) for n in sizes)
        return
    n = sizes[axis - 1]  # the axis that is cut; those before it are walked one by one
    count = -(-n // max(1, budget // inner))
    cuts = [n * i // count for i in range(count + 1)]
    rest = tuple(slice(0, m) for m in sizes[axis:])
    for outer in product(*map(range, sizes[: axis - 1])):
        for lo, hi in pairwise(cuts):
            yield (*(slice(o, o + 1) for o in outer), slice(lo, hi), *rest)


def cuts(size: int, step: int) -> list[slice]:
    """range(size) in pieces."""
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def sweeps(sizes: Sizes, run: int) -> Iterator[Block]:
    """Blocks of positions with a run of numbers each, in which several sweeps stay in the cache."""
    return blocks(sizes, max(1, SWEEP // max(run, 1)))


def meetings(kernel: Sizes, sizes: Sizes, block: Block, geometry: Geometry) -> Iterator[tuple[int, Block, Block]]:
    """For each tap of the kernel, in row-major order: which positions of a block it finds inside x, and where in x.

    The first are slices relative to the block, the second of x, both empty where there are none. Padding is what is
    left out: nothing is ever copied to make a border.
    """
    axes = [
        meetings_along(k, size, where.start, where.stop, s, lo, d)
        for k, size, where, s, (lo, _), d in geometry.along(kernel, sizes, block)
    ]
    for tap, choice in enumerate(product(*axes)):
        yield tap, tuple(inside for inside, _ in choice), tuple(source for _, source in choice)


@lru_cache(maxsize=4096)
def meetings_along(k: int, size: int, start: int, stop: int, s: int, low: int, d: int) -> list[tuple[slice, slice]]:
    """The same along one axis, for positions from `start` to `stop`; kept, because a network asks it at every step."""
    found = []
    for t in range(k):
        at = start * s + t * d - low  # what the first position of the block reads
        first = max(0, -(at // s))
        last = min(stop - start, (size - 1 - at) // s + 1)
        if last <= first:
            found.append((slice(0, 0), slice(0, 0)))
        else:
            found.append((slice(first, last), slice(at + first * s, at + (last - 1) * s + 1, s)))
    return found


def clear_outside(x: Array, inside: Block) -> None:
    """Zero what lies outside of a box of leading axes; slice(None) is all of one."""
    for axis, box in enumerate(inside):
        before = (slice(None),) * axis
        if box.start:
            x[(*before, slice(0, box.start))] = 0
        if box.stop is not None and box.stop < x.shape[axis]:
            x[(*before, slice(box.stop, None))] = 0
