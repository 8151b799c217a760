"""How windows lie over the spatial axes of an array: the arithmetic that convolution, pooling and their layers share.

A window of k taps, d apart, spans `d*(k - 1) + 1` elements and moves by s. Over i elements with `lo` and `hi` elements
of padding it has `floor((i + lo + hi - d*(k - 1) - 1) / s) + 1` positions (V. Dumoulin and F. Visin, "A guide to
convolution arithmetic for deep learning", 2016, relationship 15). Every size in minigrad comes from here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import shape_of

Pairs = tuple[tuple[int, int], ...]
Sizes = tuple[int, ...]

ROUNDINGS = ("floor", "ceil", "exact")
PADDINGS = ("valid", "same", "same_lower", "full")


class Geometry(NamedTuple):
    """How a window moves over the spatial axes: one number for each axis, for padding a pair; and who computes it."""

    stride: Sizes
    padding: Pairs
    dilation: Sizes
    groups: int = 1
    algorithm: str = "auto"

    def along(self, *more: Any) -> Iterator[tuple]:
        """Axis by axis: what `more` has for it, then stride, padding and dilation."""
        return zip(*more, self.stride, self.padding, self.dilation, strict=True)


# ---- arguments ------------------------------------------------------------------------------------------------------


def per_axis(name: str, value: Any, n: int, least: int) -> Sizes:
    """An int for every axis, or one int for each of n axes."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    try:
        numbers = tuple(map(operator.index, values))
    except TypeError:
        numbers = ()
    if len(numbers) != n or any(isinstance(v, bool) or v < least for v in values):
        many = f", or {n} of them" if n > 1 else ""
        raise ValueError(f"{name} must be an integer of at least {least}{many}, got {value!r}")
    return numbers


def shape_argument(name: str, value: Any) -> Sizes:
    """A shape that was passed as an argument: integers of at least 0."""
    if hasattr(value, "shape"):
        raise ValueError(f"{name} must be a shape, got an array: pass its .shape, {tuple(value.shape)}")
    if not isinstance(value, (tuple, list)):
        raise ValueError(f"{name} must be a tuple of integers, got {value!r}")
    return per_axis(name, tuple(value), len(value), 0)


def paddings(padding: Any, sizes: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Pairs:
    """(low, high) for each axis, from an int, an int or a pair for each axis, or one of `PADDINGS`."""
    n = len(sizes)
    if isinstance(padding, str):
        if padding not in PADDINGS:
            raise ValueError(f"padding must be numbers or one of {PADDINGS}, got {padding!r}")
        return tuple(_named(padding, *axis) for axis in zip(sizes, kernel, stride, dilation, strict=True))
    if isinstance(padding, (tuple, list)) and len(padding) == n and any(isinstance(p, (tuple, list)) for p in padding):
        flat = [p for pair in padding if isinstance(pair, (tuple, list)) and len(pair) == 2 for p in pair]
        if len(flat) == 2 * n and all(isinstance(p, (int, np.integer)) and p >= 0 for p in flat):
            return tuple((int(low), int(high)) for low, high in padding)
        raise ValueError(
            f"padding must be an int, or an int or a (low, high) pair for each of {n} axes, none of them "
            f"negative, got {padding!r}"
        )
    try:
        return tuple((p, p) for p in per_axis("padding", padding, n, 0))
    except ValueError:
        raise ValueError(
            f"padding must be an integer of at least 0, one for each of {n} axes, a (low, high) pair for each, or one "
            f"of {PADDINGS}, got {padding!r}"
        ) from None


def _named(padding: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    span = dilation * (kernel - 1) + 1
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return span - 1, span - 1
    total = max(0, (-(-size // stride) - 1) * stride + span - size)  # what ceil(size / stride) positions need
    less = total // 2
    return (less, total - less) if padding == "same" else (total - less, less)


AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


def of_rank(function: Callable, n: int, doc: str) -> Callable:
    """`function`, which takes any number of spatial axes, for n of them: `conv` as `conv2d`."""

    @wraps(function)
    def ranked(x, *args, **options):
        if len(shape_of(x)) != n + 2:
            hint = "; for a single sample put x[None]" if len(shape_of(x)) == n + 1 else ""
            raise ValueError(f"{ranked.__name__} expects x (N, C, {AXES[n]}), got shape {shape_of(x)}{hint}")
        return function(x, *args, **options)

    ranked.__name__ = ranked.__qualname__ = f"{function.__name__}{n}d"
    ranked.__doc__ = doc
    return ranked


# ---- sizes ----------------------------------------------------------------------------------------------------------


def formula(i: int, k: int, s: int, p: tuple[int, int], d: int) -> str:
    """`(i + 2*p - k)/s + 1` with its numbers; k is the span of a dilated kernel, and padding of 0 is left out.

    >>> formula(28, 5, 1, (2, 2), 1), formula(10, 3, 2, (0, 0), 2), formula(6, 3, 2, (0, 1), 1)
    ('(28 + 2*2 - 5)/1 + 1', '(10 - 5)/2 + 1', '(6 + 0 + 1 - 3)/2 + 1')
    """
    border = "" if p == (0, 0) else f" + 2*{p[0]}" if p[0] == p[1] else f" + {p[0]} + {p[1]}"
    return f"({i}{border} - {d * (k - 1) + 1})/{s} + 1"


def explain(sizes: Sizes, kernel: Sizes, geometry: Geometry) -> str:
    """The output size of each axis as arithmetic, once where all are the same.

    >>> explain((28, 28), (5, 5), Geometry((1, 1), ((0, 0), (0, 0)), (1, 1)))
    '(28 - 5)/1 + 1 = 24'
    >>> explain((9, 8), (3, 3), Geometry((2, 2), ((1, 1), (1, 1)), (1, 2)))
    '(9 + 2*1 - 3)/2 + 1 = 5 and floor((8 + 2*1 - 5)/2) + 1 = 3'
    """
    texts = []
    for i, k, s, p, d in geometry.along(sizes, kernel):
        text = formula(i, k, s, p, d)
        if room(i, k, s, p, d) % s:
            text = f"floor({text.removesuffix(' + 1')}) + 1"
        texts.append(f"{text} = {positions(i, k, s, p, d)}")
    return " and ".join(dict.fromkeys(texts))


def room(i: int, k: int, s: int, p: tuple[int, int], d: int) -> int:
    """How far a window can move along an axis; below 0 where it does not fit."""
    return i + p[0] + p[1] - d * (k - 1) - 1


def positions(i: int, k: int, s: int, p: tuple[int, int], d: int, rounding: str = "floor") -> int:
    """How many positions a window has along one axis; below 1 where it does not fit."""
    free = room(i, k, s, p, d)
    if rounding == "ceil":
        count = -(-free // s) + 1
        return count - 1 if (count - 1) * s >= i + p[0] else count  # the last one must start inside
    if rounding == "exact" and free >= 0 and free % s:
        raise ValueError(
            f"the window does not fit a whole number of times: {formula(i, k, s, p, d)} = {free / s + 1:.10g}; "
            f"rounding='floor' leaves {free % s} of the padded input unread at the end"
        )
    return free // s + 1


@lru_cache(maxsize=4096)
def out_sizes(sizes: Sizes, kernel: Sizes, geometry: Geometry) -> Sizes:
    """`positions` along each axis, of windows that are known to fit."""
    return tuple(positions(*axis) for axis in geometry.along(sizes, kernel))


def input_sizes(out: Sizes, kernel: Sizes, geometry: Geometry) -> Sizes:
    """The least spatial sizes over which windows have these numbers of positions."""
    return tuple((o - 1) * s - sum(p) + d * (k - 1) + 1 for o, k, s, p, d in geometry.along(out, kernel))


@lru_cache(maxsize=4096)
def output_sizes(sizes: Sizes, kernel: Sizes, geometry: Geometry, rounding: str = "floor") -> Sizes:
    """`positions` along each axis; a window larger than its axis raises, with the arithmetic.

    Rounded up, one may be larger: it starts inside and sticks out, as the last one does elsewhere.
    """
    out = []
    for axis, (i, k, s, p, d) in enumerate(geometry.along(sizes, kernel)):
        out.append(positions(i, k, s, p, d, rounding))
        if out[-1] < 1 or (room(i, k, s, p, d) < 0 and rounding != "ceil"):
            raise ValueError(
                f"the window does not fit on spatial axis {axis}: input {i} + padding {p[0]} + {p[1]} is smaller than "
                f"the window, dilation {d}*(kernel {k} - 1) + 1 = {d * (k - 1) + 1}"
            )
    return tuple(out)


def _asked(size: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Sizes, Sizes, Geometry]:
    sizes = per_axis("size", size, len(size) if isinstance(size, (tuple, list)) else 1, 0)
    n = len(sizes)
    kernel, steps = per_axis("kernel_size", kernel_size, n, 1), per_axis("stride", stride, n, 1)
    apart = per_axis("dilation", dilation, n, 1)
    return sizes, kernel, Geometry(steps, paddings(padding, sizes, kernel, steps, apart), apart)


def output_size(size, kernel_size, *, stride=1, padding=0, dilation=1, rounding="floor"):
    """How many positions a window has: the size of what a convolution or a pooling gives.

    `floor((size + low + high - dilation*(kernel_size - 1) - 1) / stride) + 1` along each axis.

    Args:
        size: of the input: an int, or one for each spatial axis.
        kernel_size, stride, dilation: an int, or one for each axis.
        padding: an int, one for each axis, a (low, high) pair for each axis, "valid" (none), "same" (the output has
            ceil(size/stride) elements, an odd one of padding goes to the end), "same_lower" (to the start) or "full"
            (every position that touches the input).
        rounding: "floor"; "ceil", which adds a last window that sticks out, but only where it starts inside the input
            or its padding at the start; or "exact", where a fraction is an error.

    Returns:
        An int for an int, else a tuple.

    Raises:
        ValueError: a window larger than the padded input, or one that does not fit exactly where that was asked for.

    Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016, relationship 15.

    >>> import minigrad as mg
    >>> mg.output_size(227, 11, stride=4)
    55
    >>> mg.output_size((224, 112), 3, stride=2, padding="same")
    (112, 56)
    >>> mg.output_size(10, 3, stride=2), mg.output_size(10, 3, stride=2, rounding="ceil")
    (4, 5)
    >>> mg.output_size(10, 3, stride=2, rounding="exact")
    Traceback (most recent call last):
        ...
    ValueError: the window does not fit a whole number of times: (10 - 3)/2 + 1 = 4.5; rounding='floor' leaves 1 of the padded input unread at the end
    """  # noqa: E501
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {ROUNDINGS}, got {rounding!r}")
    out = output_sizes(*_asked(size, kernel_size, stride, padding, dilation), rounding)
    return out if isinstance(size, (tuple, list)) else out[0]


def unread(size, kernel_size, *, stride=1, padding=0, dilation=1):
    """How many elements at the end of the padded input no window reads when the output size is rounded down.

    `(size + low + high - dilation*(kernel_size - 1) - 1) mod stride`. The padding at the end goes unread first: with
    `high` elements of it, `max(0, unread - high)` of the input are lost.

    Args:
        size, kernel_size, stride, padding, dilation: as for `output_size`.

    Returns:
        An int for an int, else a tuple.

    Raises:
        ValueError: a window larger than the padded input.

    >>> import minigrad as mg
    >>> mg.unread(10, 3, stride=2)
    1
    >>> mg.unread((7, 6), 3, stride=2, padding=1)
    (0, 1)
    """
    sizes, kernel, geometry = _asked(size, kernel_size, stride, padding, dilation)
    output_sizes(sizes, kernel, geometry)
    left = tuple(room(i, k, s, p, d) % s for i, k, s, p, d in geometry.along(sizes, kernel))
    return left if isinstance(size, (tuple, list)) else left[0]


# ---- what a window sees ---------------------------------------------------------------------------------------------


def taps_inside(first: int, stop: int, k: int, s: int, lo: int, d: int, out: int) -> Sizes:
    """For each of `out` positions along an axis, how many of its taps fall on elements from `first` up to `stop`."""
    starts = np.arange(out) * s - lo
    before = np.clip(-((starts - first) // d), 0, k)  # taps that lie below `first`
    until = np.clip(-((starts - stop) // d), 0, k)
    return tuple((until - before).tolist())


@lru_cache(maxsize=4096)
def pooling_geometry(sizes: Sizes, kernel: Sizes, geometry: Geometry, ceil_mode: bool) -> Geometry:
    """The geometry of a pooling; with `ceil_mode`, the padding at the end reaches to the end of the last window.

    A window that sees only padding is an error: it has no largest element, and its mean would be made up.
    """
    out = output_sizes(sizes, kernel, geometry, "ceil" if ceil_mode else "floor")
    padding = []
    for axis, (i, k, o, s, (lo, hi), d) in enumerate(geometry.along(sizes, kernel, out)):
        seen = taps_inside(0, i, k, s, lo, d, o) if lo or hi or ceil_mode else ()
        if 0 in seen:
            empty = seen.index(0)
            first = empty * s - lo
            raise ValueError(
                f"a window sees only padding on spatial axis {axis}: window {empty} reads the elements {first} to "
                f"{first + d * (k - 1)}, {d} apart, of an input of {i} with padding {lo} + {hi}"
            )
        reached = (o - 1) * s + d * (k - 1) + 1 - i - lo  # by the last window, beyond the end
        padding.append((lo, max(0, reached) if ceil_mode else hi))
    return geometry._replace(padding=tuple(padding))
