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

so that both gradients share dM, and neither pads g nor mirrors the kernels.

The memory order makes it fast.  One pixel of the batch is a run of N*C numbers, so a transform along an axis is a
product of a small matrix with a strided view, read where it lies and written where it goes: no tile is gathered, no
result scattered.  Where a tile sticks out of the image the matrix loses the columns that would meet nothing: padding is
never laid out.  `docs/winograd.md` derives all of this from the beginning.

The matrices are in `winograd_forms`, what happens to images in `winograd_tiles`, and to kernels in `winograd_filters`.

Sources: S. Winograd, "Arithmetic complexity of computations", 1980, chapter 5; A. Lavin and S. Gray, "Fast algorithms
for convolutional neural networks", CVPR 2016, sections 4 and 5.  Points: B. Barabasz, A. Anderson, K. Soodhalter, D.
Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks", 2020.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from minigrad.kernels.cpu.cost import KERNELS, Case, Cost
from minigrad.kernels.cpu.memory import Array, Sizes, accumulator, as_runs, workspace
from minigrad.kernels.cpu.winograd_filters import Filters
from minigrad.kernels.cpu.winograd_forms import Form
from minigrad.kernels.cpu.winograd_tiles import Tiles
from minigrad.threads import run
from minigrad.window import Geometry

# Nanoseconds, see kernels/cpu/cost.py: of a multiply-add; to make a number of U and read it; of the calls
# that each layer and each row of tiles needs; to transform a number of V and of M.
PRODUCT, FILTER, CALLS, ROW = 0.0285, 1.2, 110_000, 18_000
TRANSFORMS = {"forward": (0.83, 0.63), "input gradient": (1.4, 0.67), "weight gradient": (0.75, 0.64)}


class Winograd:
    """The kernels of convolution by one form."""

    def __init__(self, form: Form):
        self.form = form
        self.ERROR, self.GAIN = form.error, form.gain

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
        n, c, k = max(1, case.n), max(1, case.c), max(1, case.k)  # no images, or no channels, are planned for as one
        dtype = np.dtype(np.float32)
        layer = Tiles(self.form, case.sizes, case.out, case.geometry.padding, n, c, k, dtype, wanted)
        filters = _filters(layer, wanted)
        buffers = sum(layer.room.values()) + sum(filters.room.values())
        return Cost(groups * time, groups * products, buffers + max(layer.scratch(), filters.scratch(wanted)))

    def conv(self, x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
        """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C/groups, *kernel)."""
        groups, dtype = geometry.groups, accumulator(y)
        tiles, filters = self.shared(x.shape, y.shape, geometry, dtype, {"y"})
        with workspace() as memory:
            filters.lend(memory)
            for group in range(groups):
                runs, out = _runs(x, group, groups, dtype), _target(y, groups, dtype)
                kernels = _taps_first(w, group, groups, dtype)
                bias = None if b is None else np.tile(np.split(b, groups)[group], tiles.n)
                filters.make_u(kernels)
                run(partial(_forward, tiles, filters, runs, kernels, bias, out), range(len(tiles.parts)))
                _keep(out, y, group, groups)

    def conv_input(self, w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
        """The gradient in x into dx (*spatial, N, C); g is (*out, N, K)."""
        self.backward(None, w, g, geometry, dx, None)

    def conv_weight(self, x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
        """The gradient in w into dw (*kernel, C/groups, K)."""
        self.backward(x, None, g, geometry, None, dw)

    def backward(self, x: Array, w: Array, g: Array, geometry: Geometry, dx: Array, dw: Array) -> None:
        """Both gradients in one go over g, of the same dtype to sum in; or one: the other and its factor are None."""
        groups, dtype = geometry.groups, (dw if dx is None else dx).dtype
        names = {name for name, result in (("dx", dx), ("dw", dw)) if result is not None}
        tiles, filters = self.shared((dx if x is None else x).shape, g.shape, geometry, dtype, names)
        with workspace() as memory:
            filters.lend(memory)
            for group in range(groups):
                grads = _runs(g, group, groups, dtype)
                kernels = to_x = edges = runs = to_w = None
                if dx is not None:
                    kernels = _taps_first(w, group, groups, dtype)
                    to_x = _target(dx, groups, dtype)
                    edges = tiles.edges(to_x)
                    tiles.clear_unread(to_x)
                    filters.make_u(kernels)
                if dw is not None:
                    runs, to_w = _runs(x, group, groups, dtype), _target(dw, groups, dtype)
                work = partial(_backward, tiles, filters, runs, kernels, grads, to_x, to_w, edges)
                run(work, range(len(tiles.parts)))
                if dx is not None:
                    tiles.add_edges(to_x, edges)
                    _keep(to_x, dx, group, groups)
                if dw is not None:
                    filters.put_together(to_w)
                    _keep(to_w, dw, group, groups)

    def shared(
        self, x_shape: Sizes, y_shape: Sizes, geometry: Geometry, dtype: np.dtype, wanted: set[str]
    ) -> tuple[Tiles, Filters]:
        """Tiles and filters of one group; x_shape is (*spatial, N, C), y_shape (*out, N, K)."""
        c, k = x_shape[-1] // geometry.groups, y_shape[-1] // geometry.groups
        tiles = Tiles(self.form, x_shape[:2], y_shape[:2], geometry.padding, x_shape[2], c, k, dtype, wanted)
        return tiles, _filters(tiles, wanted)


def _filters(tiles: Tiles, wanted: set[str]) -> Filters:
    """What goes with these tiles on the side of the kernels."""
    rows = tiles.height * tiles.width * tiles.n
    return Filters(tiles.form, tiles.c, tiles.k, tiles.dtype, rows, tiles.several, len(tiles.parts), wanted)


def _forward(tiles: Tiles, filters: Filters, x: Array, w: Array, bias: Array | None, y: Array, number: int) -> None:
    """One of the parts of the forward pass."""
    with workspace() as memory:
        mine = tiles.for_part(number, memory)
        for block in mine.blocks(tiles.parts[number]):
            v, m = mine.matrices(block)
            mine.x_to_v(x, block)
            filters.forward(v, w, m)
            mine.m_to_y(y, block, bias)


def _backward(
    tiles: Tiles,
    filters: Filters,
    x: Array | None,
    w: Array,
    g: Array,
    dx: Array | None,
    dw: Array | None,
    edges: Array,
    number: int,
) -> None:
    """One of the parts of the way back: to dx if there is one, and to dU, or dw, if there is x."""
    with workspace() as memory:
        mine, sums = tiles.for_part(number, memory), filters.for_part(number)
        carry = None if dx is None else mine.carry()
        for i, block in enumerate(mine.blocks(tiles.parts[number])):
            v, m = mine.matrices(block)
            mine.g_to_m(g, block)
            if x is not None:
                mine.x_to_v(x, block)
                sums.add_gradient(v, m, dw, first=i == 0)
            if dx is not None:
                sums.backward(m, w, v)
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
