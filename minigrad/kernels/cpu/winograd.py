"""Convolution by Winograd's minimal filtering: tiles of the image and the kernel are transformed, multiplied, and
transformed back, with fewer products than the formula has.

One axis.  F(m, r) gives m outputs of a filter of r taps with m + r - 1 products instead of m*r:

    y = At [(G w) * (Bt x)]        x: m + r - 1 inputs, w: r taps, *: element by element

The matrices come from polynomials (`toom_cook`).  On an image both axes are transformed one after the other, so that
F(4x4, 3x3) has 36 products for 16 outputs of 9 taps, a quarter of the 144.  The sum over input channels is taken
between, where each of the 36 points is one product of matrices: M[p] = V[p] U[p], with V (36, tiles * N, C) from the
image and U (36, C, K) from the kernels; the transform back is linear and is applied to the sums.

The way back needs no algorithm of its own: the forward pass is linear in x and in w, and its adjoints are

    dM = A g At        dx = overlapping sums of  B (dM Ut) Bt        dw = Gt (Vt dM) G

so that both gradients share dM, and neither pads g nor transforms the kernels anew.

The memory order makes it fast.  One pixel of the batch is a run of N*C numbers, so a transform along an axis is a
product of a small matrix with a strided view, read where it lies and written where it goes: no tile is gathered, no
result scattered.  Where a tile sticks out of the image the matrix loses the columns that would meet nothing: padding is
never laid out.  `docs/winograd.md` derives all of this from the beginning.

Sources: S. Winograd, "Arithmetic complexity of computations", 1980, chapter 5; A. Lavin and S. Gray, "Fast algorithms
for convolutional neural networks", CVPR 2016, sections 4 and 5.  Points: B. Barabasz, A. Anderson, K. Soodhalter, D.
Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks", 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import partial
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigrad.kernels.cpu.cost import KERNELS, Case, Cost
from minigrad.kernels.cpu.memory import Array, Memory, Sizes, accumulator, as_runs, cuts, workspace
from minigrad.threads import run
from minigrad.window import Geometry, Pairs

BLOCK = 1 << 20  # numbers in V and M of one block of tiles, 4 MiB of float32: beyond, they leave the cache
ROWS = 128  # rows of a block at least: with fewer, reading U takes longer than multiplying with it
# Nanoseconds, see kernels/cpu/cost.py: of a multiply-add; to make a number of U and read it; of the calls
# that each layer and each row of tiles needs; to transform a number of V and of M.
PRODUCT, FILTER, CALLS, ROW = 0.0285, 1.2, 110_000, 18_000
TRANSFORMS = {"forward": (0.83, 0.63), "input gradient": (1.4, 0.67), "weight gradient": (0.75, 0.64)}
SLICE = 1 << 13  # numbers of a plane of U that are transformed at once, so that both steps stay in the cache
AT_ONCE = 1 << 18  # numbers of U that are made, or whose gradients are added up, at once: they stay in the cache
# How threads share a layer: in parts, if it has several blocks and few channels ...
PARTS = 4  # at most
WORTH = 1 << 18  # numbers of V and M in a part
SUMS = 1 << 21  # numbers of dU in all parts together
# ... else each block. To hand work out and wait for its end takes 50 microseconds, a piece should take 100.
STRIPS = 8  # pieces of a block that are transformed, at most
LEAST = 1 << 17  # numbers of V and M in a piece
RUN = 1 << 10  # numbers of a run in a piece; with 256, transforms take 1.3 times as long
PRODUCTS = 1 << 22  # multiply-adds in a piece


# ---- the matrices of one axis ---------------------------------------------------------------------------------------


def toom_cook(m: int, r: int, points: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Bt, G and At of F(m, r): m + r - 2 points, all different, and infinity.

    A product of polynomials a(x) b(x) of degrees m-1 and r-1 is known from its values at m + r - 1 points: evaluate,
    multiply, interpolate (A. Toom 1963, S. Cook 1966). Filtering is the transpose of that: where evaluation multiplied
    from the left, it does so from the right. With M(x) the product of all (x - p):

        At[o, i] = p_i^o     G[i, t] = p_i^t / prod_{j != i} (p_i - p_j)     Bt[i] = coefficients of M(x)/(x - p_i)

    and for infinity the highest coefficients alone: At's last column and G's last row are unit vectors, and Bt's last
    row is M itself. With points whose products are short binary fractions, At and Bt are exact.
    """
    n = m + r - 1
    at, g, bt = np.zeros((m, n)), np.zeros((n, r)), np.zeros((n, n))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        at[:, i] = p ** np.arange(m)
        g[i] = p ** np.arange(r) / prod(p - q for q in others)
        bt[i, : n - 1] = np.poly1d(others, r=True).coeffs[::-1]
    at[-1, -1] = g[-1, -1] = 1
    bt[-1] = np.poly1d(points, r=True).coeffs[::-1]
    return bt, g, at


class Form(NamedTuple):
    """An algorithm for kernels of one size and stride; the same matrices serve both axes."""

    name: str
    bt: Array  # (points, inputs of a tile)
    g: Array  # (points, taps)
    at: Array  # (outputs of a tile, points)
    error: float  # of its own, see kernels/cpu/cost.py
    stride: int = 1

    @property
    def points(self) -> int:
        return self.bt.shape[0]

    @property
    def inputs(self) -> int:
        return self.bt.shape[1]

    @property
    def taps(self) -> int:
        return self.g.shape[1]

    @property
    def outputs(self) -> int:
        return self.at.shape[0]

    @property
    def step(self) -> int:
        """How far apart tiles are in the input."""
        return self.outputs * self.stride


def stride_two(m: int, points: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Bt, G and At of m outputs of 3 taps, 2 apart: the even inputs meet taps 0 and 2 in F(m, 2), the odd ones tap 1.

    That is 2m + 1 products for 3m: 25 for 4 outputs of an image instead of 36, with m = 2.
    """
    bt, g, at = toom_cook(m, 2, points)
    n = m + 1
    both = np.zeros((n + m, 2 * m + 1)), np.zeros((n + m, 3)), np.zeros((m, n + m))
    both[0][:n, 0::2], both[0][n:, 1::2] = bt, np.eye(m)
    both[1][:n, 0::2], both[1][n:, 1] = g, 1
    both[2][:, :n], both[2][:, n:] = at, np.eye(m)
    return both


# Points that lie apart and have small powers lose few digits: 1/2 and -2 halve the error of 2 and -2, for nothing.
F4 = Form("winograd4", *toom_cook(4, 3, (0, 1, -1, 0.5, -2)), 15)
F2 = Form("winograd2", *toom_cook(2, 3, (0, 1, -1)), 3)
S2 = Form("winograd_s2", *stride_two(2, (0, 1)), 4, 2)
F25 = Form("winograd5", *toom_cook(2, 5, (0, 1, -1, 0.5, -2)), 26)


# ---- one layer ------------------------------------------------------------------------------------------------------


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
    """What a thread transforms of a block: tile columns c0 .. c1, and one of some parts of each run."""

    c0: int
    c1: int
    part: int
    parts: int

    def of(self, run: int) -> slice:
        """Its part of a run."""
        return slice(run * self.part // self.parts, run * (self.part + 1) // self.parts)


class Tiles:
    """The tiles of one convolution, its buffers, and the transforms of a block of tiles.

    x is (H, W, N*C) and y (OH, OW, N*K), both contiguous; tiles read `inputs` rows and columns of x with its padding,
    `step` apart. Threads share the rows of tiles or, if these are few, the work on a block: the transforms by strips,
    the products by points.
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
        self.bt, self.g, self.at = (matrix.astype(dtype) for matrix in (form.bt, form.g, form.at))
        self.b, self.gt, self.a = (np.ascontiguousarray(matrix.T) for matrix in (self.bt, self.g, self.at))
        self.rows, self.columns = (-(-o // form.outputs) for o in out)
        shape = self.height, self.width = _block_shape(self.rows, self.columns, n, form.points**2 * (c + k))
        self.several = shape != (self.rows, self.columns)
        self.parts = _parts(self.rows, self.height, form.points**2 * self.columns * n * (c + k), form, c * k, wanted)
        self.common, self.own = _room(form, shape, n, c, k, self.several, wanted, len(self.parts))
        self.buffers: dict[str, Array] = {}
        self.rows_above = 0  # that an earlier part goes through

    def lend(self, memory: Memory) -> None:
        """Take what all parts share out of a workspace."""
        self.buffers.update(_lent(memory, self.common, self.dtype))

    def for_part(self, number: int, memory: Memory) -> Tiles:
        """The same with buffers of its own: for one of the parts."""
        tiles = copy(self)
        tiles.rows_above = self.parts[number].start
        tiles.buffers = self.buffers | _lent(memory, self.own, self.dtype)
        if "du" in self.buffers:
            tiles.buffers["du"] = np.split(self.buffers["du"], len(self.parts))[number]
        return tiles

    def blocks(self, part: range) -> Iterator[Block]:
        """Those of a part, row by row."""
        for r in part[:: self.height]:
            for c in range(0, self.columns, self.width):
                yield Block(r, min(r + self.height, self.rows), c, min(c + self.width, self.columns))

    def strips(self, block: Block) -> list[Strip]:
        """A block in strips: parts of the runs where these are long, else columns, whose borders are read twice."""
        numbers = self.form.points**2 * block.tiles * self.n * (self.c + self.k)
        most, columns = min(STRIPS, numbers // LEAST), block.c1 - block.c0
        if (count := min(most, self.n * min(self.c, self.k) // RUN)) > 1:
            return [Strip(block.c0, block.c1, i, count) for i in range(count)]
        count = max(1, min(most, columns // 4))
        cuts = [block.c0 + columns * i // count for i in range(count + 1)]
        return [Strip(*pair, 0, 1) for pair in pairwise(cuts)]

    def scratch(self, wanted: set[str]) -> int:
        """How many numbers a thread needs for itself."""
        form, size = self.form, self.c * self.k
        strip = max(self.strips(next(self.blocks(self.parts[0]))), key=lambda strip: strip.c1 - strip.c0)
        columns = (strip.c1 - strip.c0) * form.step + form.inputs - form.step
        line = form.points * columns * self.n * max(self.c, self.k) // strip.parts
        if self.several:
            half = form.points * form.taps * min(size, SLICE)
            return max(line, half, max(AT_ONCE, size) if "dw" in wanted else 0)
        lines = self.some_lines()[0].stop
        half = lines * form.taps * min(size, SLICE)
        return max(line, lines * form.points * size) + (half if wanted & {"y", "dx"} else 0)

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
            some, count = strip.of(x.shape[2]), strip.c1 - strip.c0
            length = (count - 1) * form.step + form.inputs
            lo, hi, columns = self.inside(1, strip.c0 * form.step, length)
            v = planes[:, :, :, strip.c0 - block.c0 : strip.c1 - block.c0, some]
            with workspace() as memory:
                line = memory((form.points, length, some.stop - some.start), self.dtype)
                line[:, :lo] = 0
                line[:, hi:] = 0
                windows = as_strided(
                    line,
                    (form.points, count, form.inputs, line.shape[2]),
                    (line.strides[0], line.strides[1] * form.step, *line.strides[1:]),
                )
                for i, r in enumerate(range(block.r0, block.r1)):
                    first, last, rows = self.inside(0, r * form.step, form.inputs)
                    _along_rows(self.bt[:, first:last], x[rows, columns, some], line[:, lo:hi])
                    np.matmul(self.bt, windows, out=v[:, :, i].swapaxes(1, 2))

        run(transform, self.strips(block))

    def m_to_y(self, y: Array, block: Block, bias: Array | None) -> None:
        """y = At M A for each tile, as far as y reaches, and a run of bias."""
        m, size = self.planes("m", block, y.shape[2]), self.form.outputs

        def transform(strip: Strip) -> None:
            some, columns = strip.of(y.shape[2]), self.outputs(strip)
            with workspace() as memory:
                line, flat = self.outputs_line(memory, strip, some)
                for i, r in enumerate(range(block.r0, block.r1)):
                    tiles = m[:, :, i, strip.c0 - block.c0 : strip.c1 - block.c0, some]
                    np.matmul(self.at, tiles.swapaxes(1, 2), out=line)
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
            with workspace() as memory:
                line, flat = self.outputs_line(memory, strip, some)
                flat[:, columns.stop - columns.start :] = 0
                for i, r in enumerate(range(block.r0, block.r1)):
                    source = g[r * size : (r + 1) * size, columns, some]
                    _along_rows(self.a[:, : len(source)], source, flat[:, : source.shape[1]])
                    tiles = m[:, :, i, strip.c0 - block.c0 : strip.c1 - block.c0, some]
                    np.matmul(self.a, line, out=tiles.swapaxes(1, 2))

        run(transform, self.strips(block))

    def outputs(self, strip: Strip) -> slice:
        """The columns of y that belong to a strip."""
        return slice(strip.c0 * self.form.outputs, min(strip.c1 * self.form.outputs, self.out[1]))

    def outputs_line(self, memory: Memory, strip: Strip, some: slice) -> tuple[Array, Array]:
        """A line as (points, tile columns, outputs, run), and as (points, columns, run)."""
        p, size, length = self.form.points, self.form.outputs, some.stop - some.start
        line = memory((p, strip.c1 - strip.c0, size, length), self.dtype)
        return line, line.reshape(p, -1, length)

    def v_to_dx(self, dx: Array, block: Block, carry: Array, edge: Array) -> None:
        """The adjoint of `x_to_v`: B dV Bt of each tile, added up where tiles overlap.

        Blocks come row by row. Columns that a block shares with the next one wait in `carry`; to the rows that it
        shares with the tiles above, a tile adds, or to `edge` if those tiles are of another part.
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

        def along_columns(strip: Strip) -> None:
            """Along W, from V into lines, and what reaches into the next tiles apart from them."""
            some, columns = strip.of(length), slice(strip.c0 - block.c0, strip.c1 - block.c0)
            for i in range(height):
                tiles = v[:, :, i, columns, some].swapaxes(1, 2)
                np.matmul(self.b[:step], tiles, out=own[i, :, columns, :, some])
                np.matmul(self.b[step:], tiles, out=over[i, :, columns, :, some])

        def along_rows(strip: Strip) -> None:
            """Put the lines together, and along H from there into dx."""
            some, c0, c1 = strip.of(length), strip.c0 - block.c0, strip.c1 - block.c0
            rest = shared if strip.c1 == block.c1 else 0
            part = lines[:, :, c0 * step : c1 * step + rest, some]
            if rest:
                part[:, :, part.shape[2] - rest :] = 0
            for j in range(shared):  # the tile before c0 - ahead reaches into tile c0 with its columns from j on
                ahead = 1 + j // step
                t0, t1 = max(0, c0 - ahead), count if rest else c1 - ahead
                at = (t0 - c0 + 1) * step + j
                part[:, :, at::step][:, :, : t1 - t0] += over[:, :, t0:t1, j, some]
            if block.c0 and not c0:
                part[:, :, :shared] += carry[:height, ..., some]
            if rest and block.c1 < self.columns:
                carry[:height, ..., some] = part[:, :, part.shape[2] - rest :]
                rest = 0
            lo, hi, columns = self.inside(1, strip.c0 * step, (c1 - c0) * step + rest)
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

        strips = self.strips(block)
        run(along_columns, strips)
        run(along_rows, strips)

    def carry(self) -> Array:
        """Room for the columns that two blocks share."""
        shape = (self.height, self.form.points, self.form.inputs - self.form.step, self.n * self.c)
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
            lo, hi = max(0, start), min(start + len(edge), len(dx))
            dx[lo:hi] += edge[lo - start : max(lo, hi) - start]

    def clear_unread(self, dx: Array) -> None:
        """Zero what no tile reads."""
        bottom, right = (
            (count - 1) * self.form.step + self.form.inputs - low
            for count, low in zip((self.rows, self.columns), self.low, strict=True)
        )
        dx[max(0, bottom) :] = 0
        dx[:, max(0, right) :] = 0

    def some_points(self) -> list[slice]:
        """Points that a thread multiplies at once."""
        rows = self.height * self.width * self.n
        return cuts(self.form.points**2, max(1, PRODUCTS // max(1, rows * self.c * self.k)))

    def some_lines(self) -> list[slice]:
        """Lines of points, of which U stays in the cache."""
        return cuts(self.form.points, max(1, AT_ONCE // max(1, self.form.points * self.c * self.k)))

    def points(self, lines: slice) -> slice:
        """The points in some lines."""
        return slice(lines.start * self.form.points, lines.stop * self.form.points)

    def w_to_u(self, w: Array, lines: slice, some: slice, u: Array) -> None:
        """U = G w Gt for some pairs of channels, some lines of points: w (taps, taps, C*K) to (lines, points, C*K)."""
        with workspace() as memory:
            half = memory((len(u), self.form.taps, some.stop - some.start), self.dtype)
            np.matmul(self.g[lines], w[:, :, some].swapaxes(0, 1), out=half.swapaxes(0, 1))
            np.matmul(self.g, half, out=u[:, :, some])

    def make_u(self, w: Array) -> None:
        """U for several blocks. With one, it is made and used for some points at a time, and never leaves the cache."""
        if self.several:
            p, size = self.form.points, self.c * self.k
            u = self.part("u", p, p, size)
            run(lambda some: self.w_to_u(w, slice(0, p), some, u), cuts(size, SLICE))

    def products(self, a: Array, w: Array, out: Array, transposed: bool) -> None:
        """out = a U or, transposed, a Ut."""
        p, size = self.form.points, self.c * self.k

        def multiply(points: slice, u: Array) -> None:
            np.matmul(a[points], u.swapaxes(1, 2) if transposed else u, out=out[points])

        def make_and_multiply(lines: slice) -> None:
            with workspace() as memory:
                u = memory((lines.stop - lines.start, p, size), self.dtype)
                for some in cuts(size, SLICE):
                    self.w_to_u(w, lines, some, u)
                multiply(self.points(lines), u.reshape(-1, self.c, self.k))

        if not self.several:
            run(make_and_multiply, self.some_lines())
            return
        matrices = self.part("u", p * p, self.c, self.k)
        run(lambda points: multiply(points, matrices[points]), self.some_points())

    def gradient_products(self, v: Array, m: Array, first: bool) -> None:
        """dU += Vt dM; with one block, the first half of `u_to_dw` too, while these points are in the cache."""
        p, size, vt = self.form.points, self.c * self.k, v.swapaxes(1, 2)

        def multiply_and_transform(lines: slice) -> None:
            points, half = self.points(lines), self.halves()[lines]
            with workspace() as memory:
                du = memory((points.stop - points.start, self.c, self.k), self.dtype)
                np.matmul(vt[points], m[points], out=du)
                du = du.reshape(len(half), p, size)
                for some in cuts(size, SLICE):
                    np.matmul(self.gt, du[:, :, some], out=half[:, :, some])

        def multiply_and_add(points: slice) -> None:
            with workspace() as memory:
                part = memory(du[points].shape, self.dtype)
                np.matmul(vt[points], m[points], out=part)
                du[points] += part

        if not self.several:
            run(multiply_and_transform, self.some_lines())
            return
        du = self.part("du", p * p, self.c, self.k)
        if first:
            run(lambda points: np.matmul(vt[points], m[points], out=du[points]), self.some_points())
        else:  # some points at a time, so that a sum is made while its parts are in the cache
            run(multiply_and_add, cuts(p * p, max(1, AT_ONCE // size)))

    def halves(self) -> Array:
        """Gt dU, (points, taps, C*K)."""
        return self.part("half", self.form.points, self.form.taps, self.c * self.k)

    def u_to_dw(self, dw: Array) -> None:
        """The adjoint of `w_to_u`: dw = Gt dU G."""
        p, size = self.form.points, self.c * self.k

        def transform(some: slice) -> None:
            with workspace() as memory:
                if self.several:
                    half = memory((p, self.form.taps, some.stop - some.start), self.dtype)
                    du, *others = self.part("du", len(self.parts), p, p, size)[..., some]
                    for other in others:
                        du += other
                    np.matmul(self.gt, du, out=half)
                else:
                    half = self.halves()[:, :, some]
                np.matmul(self.gt, half.swapaxes(0, 1), out=dw[:, :, some].swapaxes(0, 1))

        run(transform, cuts(size, SLICE))


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
    count = min(PARTS, -(-rows // height), rows * numbers // WORTH)
    if "dw" in wanted:
        count = min(count, SUMS // (form.points**2 * size))
    count = 1 << max(1, count).bit_length() - 1  # 1, 2 or 4: of three, two threads would do one after the other
    blocks = -(-rows // height)
    borders = [min(rows, blocks * i // count * height) for i in range(count + 1)]
    return [range(*pair) for pair in pairwise(borders)]


def _room(
    form: Form, shape: Sizes, n: int, c: int, k: int, several: bool, wanted: set[str], parts: int
) -> tuple[dict[str, int], dict[str, int]]:
    """How many numbers each buffer holds, for blocks of this shape: those in common, those that each part has."""
    p, size, tiles = form.points, c * k, prod(shape) * n
    common, own = {}, {"v": p * p * tiles * c, "m": p * p * tiles * k}
    if several and wanted & {"y", "dx"}:
        common["u"] = p * p * size
    if "dx" in wanted:
        shared = form.inputs - form.step
        own["lines"] = p * shape[0] * (shape[1] * form.step + shared) * n * c
        own["over"] = p * prod(shape) * shared * n * c
    if "dw" in wanted:
        common.update({"du": parts * p * p * size} if several else {"half": p * form.taps * size})
    return common, own


def _lent(memory: Memory, room: dict[str, int], dtype: np.dtype) -> dict[str, Array]:
    """Buffers out of a workspace."""
    flat, start, buffers = memory((sum(room.values()),), dtype), 0, {}
    for name, size in room.items():
        buffers[name] = flat[start : start + size]
        start += size
    return buffers


# ---- the kernels ----------------------------------------------------------------------------------------------------


class Winograd:
    """The kernels of convolution by one form."""

    def __init__(self, form: Form):
        self.form = form
        self.ERROR = form.error

    def refusal(self, w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
        """Why it cannot compute a convolution."""
        r, s = self.form.taps, self.form.stride
        if w_shape[2:] != (r, r) or geometry.stride != (s, s):
            found = f"kernel {w_shape[2:]} and stride {geometry.stride}"
            return f"it is for two spatial axes, a kernel of {r}x{r} and a stride of {s}, got {found}"
        if geometry.dilation != (1, 1):
            return f"it is for a dilation of 1, got {geometry.dilation}"
        return "" if dtype.kind == "f" else f"it has fractions, so that it is for floating numbers, got {dtype}"

    def cost(self, case: Case) -> Cost:
        """Products at every point, and the transforms of image, result and kernels."""
        planes, groups = self.form.points**2, case.geometry.groups
        rows, columns = (-(-o // self.form.outputs) for o in case.out)
        tiles = case.n * rows * columns
        v, m, u = planes * tiles * case.c, planes * tiles * case.k, planes * case.c * case.k
        products = planes * tiles * case.c * case.k
        image, result = TRANSFORMS[case.kernel]
        time = products * PRODUCT + v * image + m * result + u * FILTER + CALLS + ROW * rows
        wanted = {dict(zip(KERNELS, ("y", "dx", "dw"), strict=True))[case.kernel]}
        sizes = (case.sizes, case.out, case.geometry.padding, case.n, case.c, case.k)
        layer = Tiles(self.form, *sizes, np.dtype(np.float32), wanted)
        return Cost(groups * time, groups * products, sum((layer.common | layer.own).values()) + layer.scratch(wanted))

    def conv(self, x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
        """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C/groups, *kernel)."""
        groups, dtype = geometry.groups, accumulator(y)
        tiles = self.tiles(x.shape, y.shape, geometry, dtype, {"y"})
        with workspace() as memory:
            tiles.lend(memory)
            for group in range(groups):
                runs, out = _runs(x, group, groups, dtype), _target(y, groups, dtype)
                kernels = _taps_first(w, group, groups, dtype)
                bias = None if b is None else np.tile(np.split(b, groups)[group], tiles.n)
                tiles.make_u(kernels)
                run(partial(_forward, tiles, runs, kernels, bias, out), range(len(tiles.parts)))
                _keep(out, y, group, groups)

    def conv_input(self, w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
        """The gradient in x into dx (*spatial, N, C); g is (*out, N, K)."""
        self.backward(None, w, g, geometry, dx, None)

    def conv_weight(self, x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
        """The gradient in w into dw (*kernel, C/groups, K)."""
        self.backward(x, None, g, geometry, None, dw)

    def backward(self, x: Array, w: Array, g: Array, geometry: Geometry, dx: Array, dw: Array) -> None:
        """Both gradients in one go over g, of the same dtype to sum in; or one, the other and its factor being None."""
        groups, dtype = geometry.groups, (dw if dx is None else dx).dtype
        names = {name for name, result in (("dx", dx), ("dw", dw)) if result is not None}
        tiles = self.tiles((dx if x is None else x).shape, g.shape, geometry, dtype, names)
        with workspace() as memory:
            tiles.lend(memory)
            for group in range(groups):
                grads = _runs(g, group, groups, dtype)
                kernels = to_x = edges = runs = None
                if dx is not None:
                    kernels = _taps_first(w, group, groups, dtype)
                    to_x = _target(dx, groups, dtype)
                    edges = tiles.edges(to_x)
                    tiles.clear_unread(to_x)
                    tiles.make_u(kernels)
                if dw is not None:
                    runs = _runs(x, group, groups, dtype)
                run(partial(_backward, tiles, runs, kernels, grads, to_x, edges), range(len(tiles.parts)))
                if dx is not None:
                    tiles.add_edges(to_x, edges)
                    _keep(to_x, dx, group, groups)
                if dw is not None:
                    to_w = _target(dw, groups, dtype)
                    tiles.u_to_dw(to_w)
                    _keep(to_w, dw, group, groups)

    def tiles(self, x_shape: Sizes, y_shape: Sizes, geometry: Geometry, dtype: np.dtype, wanted: set[str]) -> Tiles:
        """The tiles of one group; x_shape is (*spatial, N, C), y_shape (*out, N, K)."""
        c, k = x_shape[-1] // geometry.groups, y_shape[-1] // geometry.groups
        return Tiles(self.form, x_shape[:2], y_shape[:2], geometry.padding, x_shape[2], c, k, dtype, wanted)


def _forward(tiles: Tiles, x: Array, w: Array, bias: Array | None, y: Array, number: int) -> None:
    """One of the parts of the forward pass."""
    with workspace() as memory:
        mine = tiles.for_part(number, memory)
        for block in mine.blocks(tiles.parts[number]):
            v, m = mine.matrices(block)
            mine.x_to_v(x, block)
            mine.products(v, w, m, transposed=False)
            mine.m_to_y(y, block, bias)


def _backward(tiles: Tiles, x: Array | None, w: Array, g: Array, dx: Array | None, edges: Array, number: int) -> None:
    """One of the parts of the way back: to dx if there is one, and to dU if there is x."""
    with workspace() as memory:
        mine = tiles.for_part(number, memory)
        carry = mine.carry()
        for i, block in enumerate(mine.blocks(tiles.parts[number])):
            v, m = mine.matrices(block)
            mine.g_to_m(g, block)
            if x is not None:
                mine.x_to_v(x, block)
                mine.gradient_products(v, m, first=i == 0)
            if dx is not None:
                mine.products(m, w, v, transposed=True)
                mine.v_to_dx(dx, block, carry, edges[number])


def _runs(x: Array, group: int, groups: int, dtype: np.dtype) -> Array:
    """The channels of one group of x (*spatial, N, C) as (*spatial, N*C/groups): a view, if there is one group."""
    c = x.shape[-1] // groups
    return as_runs(np.ascontiguousarray(x[..., group * c : (group + 1) * c], dtype))


def _taps_first(w: Array, group: int, groups: int, dtype: np.dtype) -> Array:
    """The kernels of one group of w (K, C/groups, *kernel) as (*kernel, C/groups * K/groups)."""
    k = w.shape[0] // groups
    return as_runs(np.ascontiguousarray(w[group * k : (group + 1) * k].transpose(2, 3, 1, 0), dtype))


def _target(y: Array, groups: int, dtype: np.dtype) -> Array:
    """Where the result of a group is written: into y itself, with its last two axes as one, if that can be."""
    if groups == 1 and y.dtype == dtype and y.flags.c_contiguous:
        return as_runs(y)
    return np.empty((*y.shape[:-2], y.shape[-2] * y.shape[-1] // groups), dtype)


def _keep(out: Array, y: Array, group: int, groups: int) -> None:
    """Copy the result of a group to its channels of y, if it is not there already."""
    if not np.may_share_memory(out, y):
        c = y.shape[-1] // groups
        y[..., group * c : (group + 1) * c] = out.reshape(*y.shape[:-1], c)
