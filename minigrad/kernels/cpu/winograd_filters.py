"""Winograd's algorithm on the side of the kernels: U = G w Gt, the products with V and M, and dw = Gt dU G.

If V and M are one block, U is made and used, and dU used up, for some channels at a time, and neither ever leaves the
cache. With several blocks there is one U for all of them, and a sum of dU.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from minigrad.kernels.cpu.memory import Array, Memory, cuts, lent, workspace
from minigrad.kernels.cpu.winograd_forms import Form
from minigrad.threads import run

SLICE = 1 << 13  # numbers of a plane of U that are transformed at once, so that both steps stay in the cache
AT_ONCE = 1 << 18  # numbers of dU that are added up at once, so that they stay in the cache
CHANNELS = 1 << 21  # numbers of U or dU for the channels that are transformed and multiplied at once
PRODUCTS = 1 << 22  # multiply-adds in a piece of work, 100 microseconds
PIECES = 2  # of a product, at least; with more, one thread takes a tenth longer
MULTIPLE = 16  # of the channels of a piece: what BLAS multiplies at once


class Filters:
    """The transformed kernels of one convolution, and their gradients.

    w and dw are (taps, taps, C*K), contiguous; V is (points * points, rows, C), M (points * points, rows, K). Each part
    of the image's tiles adds up a dU of its own.
    """

    def __init__(
        self, form: Form, c: int, k: int, dtype: np.dtype, rows: int, several: bool, parts: int, wanted: set[str]
    ):
        self.form, self.c, self.k, self.dtype = form, c, k, dtype
        self.g = form.g.astype(dtype)
        self.gt = np.ascontiguousarray(self.g.T)
        self.rows, self.several, self.parts = rows, several, parts
        self.size, self.points = c * k, form.points**2
        self.room: dict[str, int] = {}
        if several and wanted & {"y", "dx"}:
            self.room["u"] = self.points * self.size
        if several and "dw" in wanted:
            self.room["du"] = parts * self.points * self.size
        self.u = self.du = self.sums = np.empty(0, dtype)

    def lend(self, memory: Memory) -> None:
        """Take what several blocks share out of a workspace."""
        buffers = lent(memory, self.room, self.dtype)
        if "u" in buffers:
            self.u = buffers["u"].reshape(self.points, self.c, self.k)
        if "du" in buffers:
            self.sums = buffers["du"].reshape(self.parts, self.points, self.c, self.k)

    def for_part(self, number: int) -> Filters:
        """The same with the sum of dU of one of the parts."""
        filters = copy(self)
        if self.sums.size:
            filters.du = self.sums[number]
        return filters

    def scratch(self, wanted: set[str]) -> int:
        """How many numbers a thread needs for itself."""
        taps, pair = self.form.taps, self.form.points * self.form.taps
        if self.several:
            return max(pair * min(self.size, SLICE), max(AT_ONCE, self.size) if "dw" in wanted else 0)
        needs = [0]
        if "y" in wanted:
            width = self._some(self.k, self.c)[0].stop
            needs.append((self.points + taps**2) * self.c * width + pair * min(self.c * width, SLICE))
        if wanted & {"dx", "dw"}:
            width = self._some(self.c, self.k)[0].stop
            needs.append(self.points * self.k * width + pair * min(self.k * width, SLICE))
        return max(needs)

    def _some(self, channels: int, others: int) -> list[slice]:
        """Channels that are transformed and multiplied at once."""
        total = self.points * channels * others
        pieces = min(PIECES, total * self.rows // PRODUCTS)
        width = -(-channels // max(1, pieces, -(-total // CHANNELS)))
        return cuts(channels, width + -width % MULTIPLE)

    def _to_u(self, w: Array, u: Array) -> None:
        """U = G w Gt for some pairs of channels: w (taps, taps, pairs) to (points, points, pairs)."""
        for some in cuts(w.shape[2], SLICE):
            with workspace() as memory:
                half = memory((self.form.points, self.form.taps, some.stop - some.start), self.dtype)
                np.matmul(self.g, w[:, :, some].swapaxes(0, 1), out=half.swapaxes(0, 1))
                np.matmul(self.g, half, out=u[:, :, some])

    def _to_dw(self, du: Array, dw: Array) -> None:
        """The adjoint: dw = Gt dU G."""
        for some in cuts(dw.shape[2], SLICE):
            with workspace() as memory:
                half = memory((self.form.points, self.form.taps, some.stop - some.start), self.dtype)
                np.matmul(self.gt, du[:, :, some], out=half)
                np.matmul(self.gt, half.swapaxes(0, 1), out=dw[:, :, some].swapaxes(0, 1))

    def _lines(self, u: Array) -> Array:
        """(points * points, pairs of channels) as (points, points, pairs)."""
        return u.reshape(self.form.points, self.form.points, -1)

    def _each_point(self) -> list[slice]:
        """Points that a thread multiplies at once."""
        return cuts(self.points, max(1, PRODUCTS // max(1, self.rows * self.size)))

    def make_u(self, w: Array) -> None:
        """U for several blocks."""
        if self.several:
            u = self._lines(self.u)
            run(lambda some: self._to_u(w[:, :, some], u[:, :, some]), cuts(self.size, SLICE))

    def forward(self, v: Array, w: Array, m: Array) -> None:
        """M = V U: with one block, for some of the channels of M at a time."""

        def make_and_multiply(some: slice) -> None:
            width, taps = some.stop - some.start, self.form.taps
            with workspace() as memory, workspace() as more:
                kernels = w
                if width < self.k:
                    kernels = memory((taps, taps, self.c * width), self.dtype)
                    kernels.reshape(-1, width)[...] = w.reshape(-1, self.k)[:, some]
                u = more((self.points, self.c, width), self.dtype)
                self._to_u(kernels, self._lines(u))
                np.matmul(v, u, out=m[..., some])

        if self.several:
            run(lambda points: np.matmul(v[points], self.u[points], out=m[points]), self._each_point())
        else:
            run(make_and_multiply, self._some(self.k, self.c))

    def backward(self, m: Array, w: Array, v: Array) -> None:
        """dV = dM Ut: with one block, for some of the channels of V at a time."""

        def make_and_multiply(some: slice) -> None:
            with workspace() as memory:
                u = memory((self.points, some.stop - some.start, self.k), self.dtype)
                self._to_u(w[:, :, some.start * self.k : some.stop * self.k], self._lines(u))
                np.matmul(m, u.swapaxes(1, 2), out=v[..., some])

        if self.several:
            transposed = self.u.swapaxes(1, 2)
            run(lambda points: np.matmul(m[points], transposed[points], out=v[points]), self._each_point())
        else:
            run(make_and_multiply, self._some(self.c, self.k))

    def add_gradient(self, v: Array, m: Array, dw: Array, first: bool) -> None:
        """dU (+)= Vt dM; with one block, on to dw, for some of the channels of V at a time."""
        vt = v.swapaxes(1, 2)

        def multiply_and_transform(some: slice) -> None:
            with workspace() as memory:
                du = memory((self.points, some.stop - some.start, self.k), self.dtype)
                np.matmul(vt[:, some], m, out=du)
                self._to_dw(self._lines(du), dw[:, :, some.start * self.k : some.stop * self.k])

        def multiply_and_add(points: slice) -> None:
            with workspace() as memory:
                part = memory(self.du[points].shape, self.dtype)
                np.matmul(vt[points], m[points], out=part)
                self.du[points] += part

        if not self.several:
            run(multiply_and_transform, self._some(self.c, self.k))
        elif first:
            run(lambda points: np.matmul(vt[points], m[points], out=self.du[points]), self._each_point())
        else:  # some points at a time, so that a sum is made while its parts are in the cache
            run(multiply_and_add, cuts(self.points, max(1, AT_ONCE // self.size)))

    def put_together(self, dw: Array) -> None:
        """dw from the parts' sums of dU; with one block it is there."""

        def add_and_transform(some: slice) -> None:
            du, *others = sums[..., some]
            for other in others:
                du += other
            self._to_dw(du, dw[:, :, some])

        if self.several:
            sums = self.sums.reshape(self.parts, self.form.points, self.form.points, self.size)
            run(add_and_transform, cuts(self.size, SLICE))
