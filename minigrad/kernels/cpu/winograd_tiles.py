"""Winograd's algorithm on the side of the image: its tiles, and the transforms of x, y and their gradients.

V = Bt x B and dM = A g At are made block by block, y = At M A and dx = the overlapping sums of B dV Bt written where
they belong. The kernels' side is `winograd_filters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigrad.kernels.cpu.memory import Array, Memory, Sizes, lent, workspace
from minigrad.kernels.cpu.winograd_forms import Form
from minigrad.threads import run
from minigrad.window import Pairs

BLOCK = 1 << 20  # numbers in V and M of one block of tiles, 4 MiB of float32: beyond, they leave the cache
ROWS = 128  # rows of a block at least: with fewer, reading U takes longer than multiplying with it
SLICE = 1 << 13  # numbers of contiguous rows that are transformed at once, so that they stay in the cache
# How threads share a layer: in parts, if it has several blocks and few channels ...
PARTS = 4  # at most
PART = 1 << 18  # numbers of V and M in a part, at least
SUMS = 1 << 21  # numbers of dU in all parts together
# ... else each block. To hand work out and wait for its end takes 50 microseconds, a piece should take 100.
STRIPS = 8  # pieces of a block that are transformed, at most
LEAST = 1 << 17  # numbers of V and M in a piece
RUN = 1 << 10  # numbers of a run in a piece


class Block(NamedTuple):
    """Tiles that are in the works at once: tile rows r0 .. r1 and tile columns c0 .. c1."""

    r0: int
    r1: int
    c0: int
    c1: int

    @property
    def tiles(self) -> int:
        return (self.r1 - self.r0) * (self.c1 - self.c0)


class Strip(NamedTuple):
    """What a thread transforms of a block: some tile rows and columns of it, and one of some parts of each run."""

    block: Block
    part: int = 0
    parts: int = 1

    def of(self, run: int) -> slice:
        """Its part of a run."""
        return slice(run * self.part // self.parts, run * (self.part + 1) // self.parts)

    def within(self, block: Block) -> tuple[slice, slice]:
        """Its rows and columns, counted from those of the whole block."""
        r0, r1, c0, c1 = self.block
        return slice(r0 - block.r0, r1 - block.r0), slice(c0 - block.c0, c1 - block.c0)


class Tiles:
    """The tiles of one convolution, its buffers, and the transforms of a block of tiles.

    x is (H, W, N*C) and y (OH, OW, N*K), both contiguous; tiles read `inputs` rows and columns of x with its padding,
    `step` apart. Threads share the rows of tiles or, if these are few, the transforms of a block by strips.
    """

    def __init__(
        self,
        form: Form,
        sizes: Sizes,
        out: Sizes,
        padding: Pairs,
        n: int,
        c: int,
        k: int,
        dtype: np.dtype,
        wanted: set[str],
    ):
        self.form, self.sizes, self.out, self.low = form, sizes, out, tuple(lo for lo, _ in padding)
        self.n, self.c, self.k, self.dtype = n, c, k, dtype
        self.bt, self.at = form.bt.astype(dtype), form.at.astype(dtype)
        self.b, self.a = np.ascontiguousarray(self.bt.T), np.ascontiguousarray(self.at.T)
        self.rows, self.columns = (-(-o // form.outputs) for o in out)
        shape = self.height, self.width = _block_shape(self.rows, self.columns, n, form.points**2 * (c + k))
        self.several = shape != (self.rows, self.columns)
        self.parts = _parts(self.rows, self.height, form.points**2 * self.columns * n * (c + k), form, c * k, wanted)
        self.room = self._room(wanted)
        self.buffers: dict[str, Array] = {}
        self.rows_above = 0  # that an earlier part goes through

    def _room(self, wanted: set[str]) -> dict[str, int]:
        """How many numbers each buffer of a part holds."""
        p, tiles = self.form.points, self.height * self.width * self.n
        room = {"v": p * p * tiles * self.c, "m": p * p * tiles * self.k}
        if "dx" in wanted:
            shared = self.form.inputs - self.form.step
            room["lines"] = p * self.height * (self.width * self.form.step + shared) * self.n * self.c
            room["over"] = p * tiles * shared * self.c
        return room

    def for_part(self, number: int, memory: Memory) -> Tiles:
        """The same with buffers of its own: for one of the parts."""
        tiles = copy(self)
        tiles.rows_above = self.parts[number].start
        tiles.buffers = lent(memory, self.room, self.dtype)
        return tiles

    def blocks(self, part: range) -> Iterator[Block]:
        """Those of a part, row by row."""
        for r in part[:: self.height]:
            for c in range(0, self.columns, self.width):
                yield Block(r, min(r + self.height, self.rows), c, min(c + self.width, self.columns))

    def strips(self, block: Block, apart: bool = True) -> list[Strip]:
        """A block in strips: parts of the runs where these are long, else rows if they are `apart`, else columns."""
        r0, r1, c0, c1 = block
        most = min(STRIPS, self.form.points**2 * block.tiles * self.n * (self.c + self.k) // LEAST)
        if (count := min(most, self.n * min(self.c, self.k) // RUN)) > 1:
            return [Strip(block, i, count) for i in range(count)]
        if apart and (count := min(most, r1 - r0)) > 1:
            return [Strip(Block(*rows, c0, c1)) for rows in _cut(r0, r1, count)]
        least = 4 if apart else 2  # what borders cost, which are read twice; what two columns share with the next one
        count = max(1, min(most, (c1 - c0) // least))
        return [Strip(Block(r0, r1, *columns)) for columns in _cut(c0, c1, count)]

    def scratch(self) -> int:
        """How many numbers a thread needs for itself to transform a strip."""
        form, strip = self.form, self.strips(next(self.blocks(self.parts[0])))[0]
        columns = (strip.block.c1 - strip.block.c0) * form.step + form.inputs - form.step
        return form.points * columns * self.n * max(self.c, self.k) // strip.parts

    def part(self, name: str, *shape: int) -> Array:
        """The beginning of a buffer."""
        return self.buffers[name][: prod(shape)].reshape(shape)

    def planes(self, name: str, block: Block, run: int) -> Array:
        """V or M as (points, points, tile rows, tile columns, run)."""
        p = self.form.points
        return self.part(name, p, p, block.r1 - block.r0, block.c1 - block.c0, run)

    def matrices(self, block: Block) -> tuple[Array, Array]:
        """V and M, the same memory, as (points * points, tiles * N, channels)."""
        p, rows = self.form.points**2, block.tiles * self.n
        return self.part("v", p, rows, self.c), self.part("m", p, rows, self.k)

    def inside(self, axis: int, first: int, count: int) -> tuple[int, int, slice]:
        """Of `count` elements of the padded x from `first` on: which lie in x, from one up to another, and where."""
        start = first - self.low[axis]
        lo = min(max(0, -start), count)
        hi = max(lo, min(count, self.sizes[axis] - start))
        return lo, hi, slice(start + lo, start + hi)

    def x_to_v(self, x: Array, block: Block) -> None:
        """V = Bt x B for each tile: along H from x into a line of columns, along W from there into V."""
        form, planes = self.form, self.planes("v", block, x.shape[2])

        def transform(strip: Strip) -> None:
            some, (r0, r1, c0, c1) = strip.of(x.shape[2]), strip.block
            length = (c1 - c0 - 1) * form.step + form.inputs
            lo, hi, columns = self.inside(1, c0 * form.step, length)
            v = planes[(..., *strip.within(block), some)]
            with workspace() as memory:
                line = memory((form.points, length, some.stop - some.start), self.dtype)
                line[:, :lo] = 0
                line[:, hi:] = 0
                windows = as_strided(
                    line,
                    (form.points, c1 - c0, form.inputs, line.shape[2]),
                    (line.strides[0], line.strides[1] * form.step, *line.strides[1:]),
                )
                for i, r in enumerate(range(r0, r1)):
                    first, last, rows = self.inside(0, r * form.step, form.inputs)
                    _along_rows(self.bt[:, first:last], x[rows, columns, some], line[:, lo:hi])
                    np.matmul(self.bt, windows, out=v[:, :, i].swapaxes(1, 2))

        run(transform, self.strips(block))

    def m_to_y(self, y: Array, block: Block, bias: Array | None) -> None:
        """y = At M A for each tile, as far as y reaches, and a run of bias."""
        m, size = self.planes("m", block, y.shape[2]), self.form.outputs

        def transform(strip: Strip) -> None:
            some, columns = strip.of(y.shape[2]), self.outputs(strip)
            part = m[(..., *strip.within(block), some)]
            with workspace() as memory:
                line, flat = self.outputs_line(memory, strip, some)
                for i, r in enumerate(range(strip.block.r0, strip.block.r1)):
                    np.matmul(self.at, part[:, :, i].swapaxes(1, 2), out=line)
                    target = y[r * size : (r + 1) * size, columns, some]
                    _along_rows(self.at[: len(target)], flat[:, : target.shape[1]], target)
                    if bias is not None:
                        target += bias[some]

        run(transform, self.strips(block))

    def g_to_m(self, g: Array, block: Block) -> None:
        """The adjoint of `m_to_y`: dM = A g At."""
        m, size = self.planes("m", block, g.shape[2]), self.form.outputs

        def transform(strip: Strip) -> None:
            some, columns = strip.of(g.shape[2]), self.outputs(strip)
            part = m[(..., *strip.within(block), some)]
            with workspace() as memory:
                line, flat = self.outputs_line(memory, strip, some)
                flat[:, columns.stop - columns.start :] = 0
                for i, r in enumerate(range(strip.block.r0, strip.block.r1)):
                    source = g[r * size : (r + 1) * size, columns, some]
                    _along_rows(self.a[:, : len(source)], source, flat[:, : source.shape[1]])
                    np.matmul(self.a, line, out=part[:, :, i].swapaxes(1, 2))

        run(transform, self.strips(block))

    def outputs(self, strip: Strip) -> slice:
        """The columns of y that belong to a strip."""
        return slice(strip.block.c0 * self.form.outputs, min(strip.block.c1 * self.form.outputs, self.out[1]))

    def outputs_line(self, memory: Memory, strip: Strip, some: slice) -> tuple[Array, Array]:
        """A line as (points, tile columns, outputs, run), and as (points, columns, run)."""
        p, size, length = self.form.points, self.form.outputs, some.stop - some.start
        line = memory((p, strip.block.c1 - strip.block.c0, size, length), self.dtype)
        return line, line.reshape(p, -1, length)

    def v_to_dx(self, dx: Array, block: Block, carry: Array, edge: Array) -> None:
        """The adjoint of `x_to_v`: B dV Bt of each tile, added up where tiles overlap.

        Blocks come row by row. Columns that a block shares with the next one wait in one of the two halves of `carry`,
        which take turns; to the rows that it shares with the tiles above, a tile adds, or to `edge` if those tiles are
        of another part.
        """
        form, length, count = self.form, dx.shape[2], block.c1 - block.c0
        step, shared, height = form.step, form.inputs - form.step, block.r1 - block.r0
        done = count * step  # columns that no later block adds to
        lines = self.part("lines", height, form.points, done + shared, length)
        own = lines[:, :, :done].reshape(height, form.points, count, step, length)
        over = self.part("over", height, form.points, count, shared, length)
        origin = self.edge(self.rows_above)
        border = origin + shared if self.rows_above else 0
        v = self.planes("v", block, length)
        turn = block.c0 // self.width % 2
        before, after = carry[turn, :height], carry[1 - turn, :height]

        def along_columns(strip: Strip) -> None:
            """Along W, from V into lines, and what reaches into the next tiles apart from them."""
            some, (rows, columns) = strip.of(length), strip.within(block)
            for i in range(rows.start, rows.stop):
                tiles = v[:, :, i, columns, some].swapaxes(1, 2)
                np.matmul(self.b[:step], tiles, out=own[i, :, columns, :, some])
                np.matmul(self.b[step:], tiles, out=over[i, :, columns, :, some])

        def along_rows(strip: Strip) -> None:
            """Put the lines together, and along H from there into dx."""
            some, (_, columns) = strip.of(length), strip.within(block)
            c0, c1 = columns.start, columns.stop
            rest = shared if c1 == count else 0
            part = lines[:, :, c0 * step : c1 * step + rest, some]
            if rest:
                part[:, :, part.shape[2] - rest :] = 0
            for j in range(shared):  # the tile before c0 - ahead reaches into tile c0 with its columns from j on
                ahead = 1 + j // step
                t0, t1 = max(0, c0 - ahead), count if rest else c1 - ahead
                at = (t0 - c0 + 1) * step + j
                part[:, :, at::step][:, :, : t1 - t0] += over[:, :, t0:t1, j, some]
            if block.c0 and not c0:
                part[:, :, :shared] += before[..., some]
            if rest and block.c1 < self.columns:
                after[..., some] = part[:, :, part.shape[2] - rest :]
                rest = 0
            lo, hi, columns = self.inside(1, strip.block.c0 * step, (c1 - c0) * step + rest)
            for i, row in enumerate(range(block.r0, block.r1)):
                first, stop, rows = self.inside(0, row * step, form.inputs)
                split = min(max(first, shared), stop) if row else first  # rows before have values already
                at = rows.start + split - first
                _along_rows(self.b[split:stop], part[i, :, lo:hi], dx[at : rows.stop, columns, some])
                if split > first:
                    with workspace() as memory:
                        more = memory((split - first, hi - lo, part.shape[3]), self.dtype)
                        _along_rows(self.b[first:split], part[i, :, lo:hi], more)
                        below = max(0, min(at, border) - rows.start)
                        edge[rows.start - origin :, columns, some][:below] += more[:below]
                        dx[rows.start + below : at, columns, some] += more[below:]

        run(along_columns, self.strips(block))
        run(along_rows, self.strips(block, apart=False))

    def carry(self) -> Array:
        """Room for the columns that a block shares with the one before, and for those with the one after."""
        shape = (2, self.height, self.form.points, self.form.inputs - self.form.step, self.n * self.c)
        return np.empty(shape, self.dtype)

    def edge(self, row: int) -> int:
        """The first row of x that a row of tiles reads."""
        return row * self.form.step - self.low[0]

    def edges(self, dx: Array) -> Array:
        """Room for what each part has for rows that the part above it goes through."""
        shared = self.form.inputs - self.form.step
        return np.zeros((len(self.parts), shared, *dx.shape[1:]), self.dtype)

    def add_edges(self, dx: Array, edges: Array) -> None:
        """Put the parts together."""
        for part, edge in list(zip(self.parts, edges, strict=True))[1:]:
            start = self.edge(part.start)
            lo = max(0, start)
            hi = max(lo, min(start + len(edge), len(dx)))  # a part may lie in the border alone
            dx[lo:hi] += edge[lo - start : hi - start]

    def clear_unread(self, dx: Array) -> None:
        """Zero what no tile reads."""
        bottom, right = (
            (count - 1) * self.form.step + self.form.inputs - low
            for count, low in zip((self.rows, self.columns), self.low, strict=True)
        )
        dx[max(0, bottom) :] = 0
        dx[:, max(0, right) :] = 0


def _cut(start: int, stop: int, count: int) -> Iterator[tuple[int, int]]:
    """A range in so many pieces, about equal."""
    return pairwise(start + (stop - start) * i // count for i in range(count + 1))


def _along_rows(matrix: Array, rows: Array, out: Array) -> None:
    """out[i] = sum_j matrix[i, j] rows[j], for rows (j, columns, run): in slices where they are contiguous."""
    _, columns, length = rows.shape
    if not rows[:1].flags.c_contiguous or not out[:1].flags.c_contiguous:
        np.matmul(matrix, rows.swapaxes(0, 1), out=out.swapaxes(0, 1))
        return
    size = columns * length
    source, target = rows.reshape(len(rows), size), out.reshape(len(out), size)
    count = size // SLICE
    whole = count * SLICE
    if count:
        slices = source[:, :whole].reshape(len(rows), count, SLICE).swapaxes(0, 1)
        np.matmul(matrix, slices, out=target[:, :whole].reshape(len(out), count, SLICE).swapaxes(0, 1))
    if whole < size:
        np.matmul(matrix, source[:, whole:], out=target[:, whole:])


def _block_shape(rows: int, columns: int, n: int, numbers: int) -> tuple[int, int]:
    """Tile rows and columns of a block, for tiles of n images with so many numbers in V and M."""
    tiles = max(1, -(-ROWS // n), BLOCK // (n * numbers))
    if tiles >= columns:
        return min(rows, tiles // columns), columns
    count = -(-columns // tiles)
    return 1, -(-columns // count)  # of about equal width


def _parts(rows: int, height: int, numbers: int, form: Form, size: int, wanted: set[str]) -> list[range]:
    """Rows of tiles, of so many numbers each, in parts: a thread goes through one by itself, and stays in its cache.

    Parts are whole blocks high. Each has a sum of dU of its own, so that with many channels there is only one part; its
    blocks, one after the other, are then shared out step by step.
    """
    count = min(PARTS, -(-rows // height), rows * numbers // PART)
    if "dw" in wanted:
        count = min(count, SUMS // (form.points**2 * size))
    count = 1 << max(1, count).bit_length() - 1  # 1, 2 or 4: of three, two threads would do one after the other
    blocks = -(-rows // height)
    return [range(first * height, min(rows, stop * height)) for first, stop in _cut(0, blocks, count)]
