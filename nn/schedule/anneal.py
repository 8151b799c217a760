"""Ways from one number to another, exact at both ends."""

from __future__ import annotations

import math


def straight(start: float, end: float, fraction: float) -> float:
    """Along a line: start + (end - start) * fraction.

    >>> straight(1.0, 0.0, 0.25)
    0.75
    """
    return start * (1 - fraction) + end * fraction


def half_wave(start: float, end: float, fraction: float) -> float:
    """Along half a cosine: end + (start - end) * (1 + cos(pi * fraction)) / 2.

    >>> half_wave(1.0, 0.5, 0.0), half_wave(1.0, 0.5, 1.0)
    (1.0, 0.5)
    """
    return straight(start, end, (1 - math.cos(math.pi * fraction)) / 2)


ANNEALING = {"cos": half_wave, "linear": straight}
