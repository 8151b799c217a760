"""Receptive fields: how much of the image an element of a feature map can see, followed through every op of a model.

A window of k taps, d elements apart, over elements that see r pixels each and lie j pixels apart, sees
`r + (k - 1)*d*j` pixels, and moving by s makes `j*s` of the distance. Where paths meet, in a residual sum or a
concatenation, the largest counts. Padding belongs to the field, which may so be larger than the image.

Source: A. Araujo, W. Norris and J. Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import gcd, prod
from typing import Any, NamedTuple

from minigrad import Tensor
from minigrad.backend import shape_of
from minigrad.contract import Op
from minigrad.gradmode import Scope, Watcher, mode
from minigrad.nn import Module, PixelShuffle, PixelUnshuffle, Upsample
from minigrad.nn.layers.pool import MaxUnpool
from minigrad.nn.layers.pool_adaptive import AdaptivePool
from minigrad.window import Sizes

Lengths = tuple[Fraction, ...]

WINDOWS = ("conv", "max_pool", "min_pool", "avg_pool", "unfold")  # ops that look at x through windows
SPREADS = ("conv_input", "avg_pool_input")  # their transposes: each element of g reaches a window of the output
PRODUCTS = {"matmul": ("x", "y"), "linear": ("x", "weight")}  # ops that multiply two of their arguments
REDUCTIONS = ("sum", "mean", "max", "min", "var", "std", "prod", "logsumexp", "norm")
CUTS = ("getitem", "pad", "concatenate")  # ops that may change the size of a map and leave its elements as they are
RESAMPLING = (Upsample, AdaptivePool, PixelShuffle, PixelUnshuffle, MaxUnpool)
NEIGHBOURS = {"linear": 1, "bilinear": 1, "trilinear": 1, "bicubic": 3}  # of an element that Upsample looks at


class Reach(NamedTuple):
    """What one element of a feature map sees: one number for each spatial axis of the image."""

    field: Lengths  # so many pixels
    stride: Lengths  # those of two neighbours begin so many pixels apart
    sizes: Sizes  # how many elements the map has along the axis

    def over(self, windows: Iterable[tuple[int, Any]], sizes: Sizes) -> Reach:
        """Through windows that reach over (steps) elements to the last tap and move by (stride) along each axis."""
        rows = list(zip(self.field, self.stride, windows, strict=True))
        return Reach(tuple(r + steps * j for r, j, (steps, _) in rows), tuple(j * s for _, j, (_, s) in rows), sizes)

    def whole(self, axes: Iterable[int]) -> Reach:
        """Through one window over all of these axes."""
        gone = set(axes)
        windows = [(n - 1, n) if axis in gone else (0, 1) for axis, n in enumerate(self.sizes)]
        return self.over(windows, tuple(1 if axis in gone else n for axis, n in enumerate(self.sizes)))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape has the spatial axes of the map, or too few axes to have any."""
        return len(shape) < len(self.sizes) + 2 or self._lies_in(shape)

    def left_in(self, shape: tuple[int, ...]) -> bool:
        """Whether the positions of the map are among the axes that a sum has left, each axis or all in one."""
        return prod(self.sizes) in shape or self._lies_in(shape)

    def _lies_in(self, shape: tuple[int, ...]) -> bool:
        n = len(self.sizes)
        return any(shape[i : i + n] == self.sizes for i in range(len(shape) - n + 1))


def merged(reaches: list[Reach]) -> Reach:
    """The reach where paths meet: the largest of each; a map of one element has no say about the distance."""
    sizes = tuple(map(max, zip(*(reach.sizes for reach in reaches), strict=True)))
    maps = [reach for reach in reaches if reach.sizes == sizes] or reaches
    field, stride = ([getattr(r, name) for r in some] for name, some in (("field", reaches), ("stride", maps)))
    return Reach(tuple(map(max, zip(*field, strict=True))), tuple(map(max, zip(*stride, strict=True))), sizes)


class watched(Scope):
    """Show every op that this thread calls to watchers: `with watched(by=[watcher]):`."""

    attribute = "watchers"

    def __init__(self, *, by: Iterable[Watcher]):
        self.by = tuple(by)

    def value(self) -> tuple[Watcher, ...]:
        """The watchers so far, and these."""
        return (*mode.watchers, *self.by)


class ReceptiveFields(Watcher):
    """Follows an image through a model while it watches: `of(tensor)` is what an element of the tensor sees.

    It sees every op, so residual sums, concatenations and what a `forward` computes between its layers need no rule of
    their own. Convolutions, transposed ones and pools are windows; so is whatever sums over a whole map, as a mean
    over its axes or a product with the weights of a Linear. Strided slices count. What is lost track of, as a map that
    was resized by other means than a layer, is None, and so is all that comes of it: never a wrong number.

    >>> import minigrad as mg
    >>> image, w = mg.zeros((1, 1, 9, 9)), mg.zeros((1, 1, 3, 3))
    >>> fields = ReceptiveFields(image)
    >>> with watched(by=[fields]):
    ...     y = mg.max_pool(mg.conv(image, w), 2)
    >>> [int(n) for n in fields.of(y).field], [int(n) for n in fields.of(y).stride]
    ([4, 4], [2, 2])
    """

    def __init__(self, image: Tensor):
        self._known: dict[int, tuple[weakref.ref[Tensor], Reach | None]] = {}
        ones = (Fraction(1),) * (image.ndim - 2)
        self._note(image, Reach(ones, ones, image.shape[2:]))

    def of(self, x: Any) -> Reach | None:
        """What an element of x sees; None where it is not known."""
        reach = self._reach(x)
        return reach if reach is not None and reach.fits(x.shape) else None

    def called(self, op: Op, values: tuple, raw: list, result: Tensor) -> None:
        """Work out the reach of the result of an op."""
        given = dict(zip(op.parameters, values, strict=True))
        if op.name in WINDOWS + SPREADS:
            x = given["x" if op.name in WINDOWS else "g"]
            if self._has(x):
                self._note(result, self._moved(op, given, x, result))
            return
        sources = [x for x in _tensors(values) if self._has(x)]
        if sources:
            reaches = [self._passed(op, given, x, result) for x in sources]
            known = [reach for reach in reaches if reach is not None]
            self._note(result, merged(known) if len(known) == len(reaches) else None)

    def layer(self, module: Module, x: Any, out: Any, moves: bool) -> None:
        """Say that a layer has been called.

        Args:
            module: one that holds no other.
            x, out: its input and its output.
            moves: whether it had windows or weighted sums. Without, a layer that keeps the shape, as a norm, a softmax
                or an activation does, hands on the field of its input: statistics over the map do not count.
        """
        before = self._reach(x)
        if not isinstance(out, Tensor) or before is None or x is out:
            return
        if isinstance(module, RESAMPLING) and x.shape[2:] == before.sizes:
            neighbours = NEIGHBOURS.get(module.mode, 0) if isinstance(module, Upsample) else 0
            if isinstance(module, PixelUnshuffle):  # its pixels become channels, which see a block of them together
                neighbours = module.downscale_factor - 1
            ratios = [Fraction(i, o) for i, o in zip(x.shape[2:], out.shape[2:], strict=True)]
            after = before.over([(neighbours, ratio) for ratio in ratios], out.shape[2:])
            if isinstance(module, AdaptivePool):  # its windows were seen; only their distance is no whole number
                pooled = self._reach(out)
                self._note(out, None if pooled is None else after._replace(field=pooled.field))
            else:
                self._note(out, after)
        elif not self._has(out) or (not moves and x.shape == out.shape):
            self._note(out, before)

    # ---- what is known ----------------------------------------------------------------------------------------------

    def _note(self, x: Tensor, reach: Reach | None) -> None:
        self._known[id(x)] = weakref.ref(x), reach  # weakly: a summary must not hold every activation

    def _has(self, x: Any) -> bool:
        return id(x) in self._known and self._known[id(x)][0]() is x

    def _reach(self, x: Any) -> Reach | None:
        return self._known[id(x)][1] if self._has(x) else None

    # ---- the rules --------------------------------------------------------------------------------------------------

    def _moved(self, op: Op, given: dict[str, Any], x: Tensor, result: Tensor) -> Reach | None:
        """Through the windows of an op, or backwards through them."""
        reach, geometry = self._reach(x), given["geometry"]
        if reach is None or x.shape[2:] != reach.sizes:
            return None
        kernel = given["kernel"] if "kernel" in given else shape_of(given["w"])[2:]
        sizes = result.shape[-len(kernel) :]
        axes = [(k, s, d) for k, s, _, d in geometry.along(kernel)]
        if op.name in WINDOWS:
            return reach.over([((k - 1) * d, s) for k, s, d in axes], sizes)
        windows = []
        for k, s, d in axes:
            every = s // gcd(s, d)  # an element of the output is reached by each `every`-th tap
            windows.append(((k - 1) // every * every * d // s, Fraction(1, s)))
        return reach.over(windows, sizes)

    def _passed(self, op: Op, given: dict[str, Any], x: Tensor, result: Tensor) -> Reach | None:
        """Through an op without windows, by the argument x."""
        reach = self._reach(x)
        if reach is None or (op.elementwise and not reach.fits(x.shape)):
            return None
        axes = range(len(reach.sizes))
        is_map = x.shape[2:] == reach.sizes
        if op.name in REDUCTIONS:
            if is_map:
                return reach.whole(axis - 2 for axis in given["axis"] if axis >= 2)
            return reach if reach.left_in(result.shape) else reach.whole(axes)
        if op.name == "einsum":
            return reach if reach.left_in(result.shape) else reach.whole(axes)
        if op.name in PRODUCTS:
            if not all(isinstance(given[name], Tensor) for name in PRODUCTS[op.name]):
                return None  # a matrix of constants, as `interpolate` has: it may be nearly empty
            rows, columns = result.shape[:-1], (*result.shape[:-2], *result.shape[-1:])
            return reach if reach.left_in(rows if x is given["x"] else columns) else reach.whole(axes)
        if op.name in CUTS and is_map and result.ndim == x.ndim:
            steps = _steps(given["index"], x.ndim)[2:] if op.name == "getitem" else [1] * len(reach.sizes)
            return reach.over([(0, step) for step in steps], result.shape[2:])
        return reach


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _steps(index: Any, ndim: int) -> list[int]:
    """The step of an index along each axis."""
    items = list(index) if isinstance(index, tuple) else [index]
    at = next((i for i, item in enumerate(items) if item is ...), len(items))
    items[at : at + 1] = [slice(None)] * (ndim - len(items) + (at < len(items)))
    return [abs(item.step or 1) if isinstance(item, slice) else 1 for item in items]
