"""Images of few channels, channel by channel and with their border, so that windows are read in long runs.

Pixel by pixel, a tap of a window over 3 channels is a run of 3 numbers. Here one channel of the whole batch is a plane
(*spatial, N), a tap of a row of windows is a run of W*N numbers, and with the border there, all taps of a column of the
kernel are one array.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.cpu.memory import Array, Block, Memory, Sizes
from minigrad.window import Geometry, input_sizes, out_sizes

Taps = tuple[range, ...]  # of each axis of a kernel
ALL = slice(None)


class Layout(NamedTuple):
    """How an image and its border lie in planes."""

    sizes: Sizes  # of a plane: along all axes but the last, then the phases of that one, and the elements of each
    out: Sizes  # the positions of the windows
    parts: tuple[tuple[tuple[Any, ...], Block], ...]  # where in the planes lies which part of the image
    whole: bool  # whether the windows see all of the image
    pad: float  # how many times larger than the image the planes are


@lru_cache(maxsize=1024)
def layout(sizes: Sizes, kernel: Sizes, geometry: Geometry) -> Layout:
    """The layout for windows over these spatial sizes; worked out once, because it takes longer than a small image.

    Those columns of an image lie side by side that a strided window meets one after the other: with a stride of 2 the
    row [0 1 2 3] is kept as [0 2 | 1 3], and tap 0 reads the first half, tap 1 the second.
    """
    out = out_sizes(sizes, kernel, geometry)
    spans = input_sizes(out, kernel, geometry._replace(padding=((0, 0),) * len(kernel)))
    lows = [low for low, _ in geometry.padding]  # below 0 where the windows begin inside the image
    seen = [range(max(0, -lo), min(n, span - lo)) for n, span, lo in zip(sizes, spans, lows, strict=True)]
    step, lo, columns = min(geometry.stride[-1], spans[-1]), lows[-1], seen[-1]
    image = tuple(slice(axis.start, max(axis.start, axis.stop)) for axis in seen[:-1])
    planes = tuple(slice(axis.start + low, axis.stop + low) for axis, low in zip(image, lows, strict=False))
    parts: list[tuple[tuple[Any, ...], Block]] = []
    for phase in range(step):
        every = columns[(phase - columns.start - lo) % step :: step]
        at = (every.start + lo) // step
        inside = (ALL, *planes, phase, slice(at, at + len(every)))
        parts.append((inside, (*image, slice(every.start, every.start + len(every) * step, step))))
    line = (step, -(-spans[-1] // step))
    whole = all(len(axis) == n for axis, n in zip(seen, sizes, strict=True))
    return Layout((*spans[:-1], *line), out, tuple(parts), whole, prod(spans) / max(1, prod(sizes)))


class Planes:
    """Zeros for an image (*spatial, N, C) and the border that its windows see, in memory (C, *spatial, N)."""

    def __init__(self, shape: Sizes, kernel: Sizes, geometry: Geometry, dtype: np.dtype):
        *sizes, n, channels = shape
        self.geometry, self.layout = geometry, layout(tuple(sizes), kernel, geometry)
        self.array: Array = np.zeros((channels, *self.layout.sizes, n), dtype)
        # A view of the windows along all axes but the last: (groups, *taps, C/groups, *positions, phase, column, N).
        groups, c = geometry.groups, channels // geometry.groups
        channel, *along, phase, column, item = self.array.strides
        by_tap = [stride * d for stride, d in zip(along, geometry.dilation, strict=False)]
        by_position = [stride * s for stride, s in zip(along, geometry.stride, strict=False)]
        shape = (groups, *kernel[:-1], c, *self.layout.out[:-1], *self.layout.sizes[-2:], n)
        strides = (channel * c, *by_tap, channel, *by_position, phase, column, item)
        self.windows: Array = np.ndarray(shape, dtype, self.array, 0, strides)

    def fill(self, x: Array) -> None:
        """Lay out an image (*spatial, N, C)."""
        by_channel = x.transpose(x.ndim - 1, *range(x.ndim - 1))
        for inside, part in self.layout.parts:
            self.array[inside] = by_channel[(ALL, *part)]

    def read(self, x: Array) -> None:
        """Write the image to x (*spatial, N, C), with 0 for what no window sees."""
        if not self.layout.whole:
            x[...] = 0
        by_channel = x.transpose(x.ndim - 1, *range(x.ndim - 1))
        for inside, part in self.layout.parts:
            by_channel[(ALL, *part)] = self.array[inside]

    def columns(self, block: Block, taps: tuple, tap: int) -> Array:
        """What a tap of the last axis, with some of each other axis, sees at a block of (*positions, N), as a view.

        (groups, *taps, C/groups, *block); no axis for taps that are a number, not a slice.
        """
        steps, phase = divmod(tap * self.geometry.dilation[-1], self.layout.sizes[-2])
        *others, along, batch = block
        return self.windows[(ALL, *taps, ALL, *others, phase, slice(along.start + steps, along.stop + steps), batch)]

    def unrolled(self, block: Block, taps: Taps, dtype: np.dtype, memory: Memory) -> Array:
        """What some taps see at a block of (*positions, N): (groups, rows, taps * C/groups), in memory that is lent.

        They lie in memory as (groups, taps, C/groups, rows), which a product takes transposed.
        """
        groups, c = self.geometry.groups, len(self.array) // self.geometry.groups
        kernel, shape = tuple(map(len, taps)), tuple(where.stop - where.start for where in block)
        columns = memory((groups, *kernel, c, *shape), dtype)
        others = tuple(slice(t.start, t.stop) for t in taps[:-1])
        for i, tap in enumerate(taps[-1]):
            columns[(*(ALL,) * len(taps), i)] = self.columns(block, others, tap)
        return columns.reshape(groups, prod(kernel) * c, prod(shape)).swapaxes(1, 2)
