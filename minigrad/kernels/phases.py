"""The gradient of a convolution in its input as convolutions: one for each phase of the stride."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import NamedTuple


class Phase(NamedTuple):
    """Every stride-th element of an axis of x, and the convolution of g that gives their gradient."""

    where: slice
    taps: range
    padding: tuple[int, int]  # below 0 where the convolution does not read all of g
    dilation: int


def phases(size: int, kernel: int, out: int, stride: int, padding: tuple[int, int], dilation: int) -> Iterator[Phase]:
    """The phases of one axis.

    Element `first + stride*m` of x is read at position `o = (first + low - dilation*t)/stride + m` through each tap t
    for which that is whole. Those taps are `step` apart, and their positions `apart`.
    """
    common = gcd(stride, dilation)
    step, apart = stride // common, dilation // common
    for first in range(min(stride, size)):
        shifted = first + padding[0]
        lowest = next((t for t in range(min(step, kernel)) if (shifted - dilation * t) % stride == 0), kernel)
        taps = range(lowest, kernel, step)
        base = (shifted - dilation * lowest) // stride
        count = len(range(first, size, stride))
        yield Phase(slice(first, size, stride), taps, ((len(taps) - 1) * apart - base, count + base - out), apart)


def reversed_taps(taps: range) -> slice:
    """The slice of these taps, the last one first."""
    return slice(taps[-1], taps[0] - 1 if taps[0] else None, -taps.step)
