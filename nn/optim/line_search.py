"""The line search of Newton-like methods: how far to go along a direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from minigrad.backend import Array


class Point(NamedTuple):
    """A point x + t d on the line that is searched: the loss, the gradient, and the slope g . d there."""

    t: float
    f: float
    g: Array
    slope: float


def strong_wolfe(
    phi: Callable[[float], Point],
    start: Point,
    t: float,
    reach: float,
    tolerance: float,
    max_evals: int,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[Point, int]:
    """A step that lowers the loss enough and where the line is flat enough: the strong Wolfe conditions::

        f(t) <= f(0) + c1 * t * slope(0),        |slope(t)| <= c2 * |slope(0)|

    First the step grows until an interval must hold such a point; then the interval shrinks around it. A loss that is
    nan counts as too high.

    Args:
        phi: evaluates a step length.
        start: the point at 0, with a negative slope.
        t: what to try first.
        reach: the largest element of the direction.
        tolerance: end where the interval, times reach, is no longer.
        max_evals: after how many evaluations to take the best point so far.
        c1, c2: see above; 0 < c1 < c2 < 1.

    Returns:
        The point, and the number of evaluations.

    Source: Nocedal and Wright, algorithms 3.5 and 3.6.

    >>> parabola = lambda t: Point(t, (t - 3) ** 2, None, 2 * (t - 3))
    >>> strong_wolfe(parabola, parabola(0.0), 1.0, 1.0, 1e-9, 25, c2=0.1)[0].t
    3.0
    """

    def too_high(point: Point) -> bool:
        return not point.f <= start.f + c1 * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    previous, new, evals = start, phi(t), 1
    while True:  # algorithm 3.5: until there is an interval
        if too_high(new) or (evals > 1 and new.f >= previous.f):
            low, high = previous, new
            break
        if flat(new) or evals >= max_evals:
            return new, evals
        if new.slope >= 0:
            low, high = new, previous
            break
        t = cubic_minimum(previous, new, new.t + 0.01 * (new.t - previous.t), 10 * new.t)
        previous, new, evals = new, phi(t), evals + 1

    stuck = False
    # Algorithm 3.6: shrink the interval; low is the better end.
    while evals < max_evals and abs(high.t - low.t) * reach > tolerance:
        left, right = sorted((low.t, high.t))
        t = cubic_minimum(low, high, left, right)
        margin = 0.1 * (right - left)
        near = min(right - t, t - left) < margin
        if near and (stuck or t in (left, right)):  # twice near an end would shrink the interval by nothing
            t = right - margin if right - t < t - left else left + margin
        stuck = near
        new, evals = phi(t), evals + 1
        if too_high(new) or new.f >= low.f:
            high = new
            continue
        if flat(new):
            return new, evals
        if new.slope * (high.t - low.t) >= 0:
            high = low
        low = new
    return low, evals


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points with their slopes is least, brought into [low, high]; else the middle of it.

    Source: Nocedal and Wright, equation 3.59.

    >>> cubic_minimum(Point(0.0, 9.0, None, -6.0), Point(1.0, 4.0, None, -4.0), 0.0, 10.0)
    3.0
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if 0 <= square < math.inf:
        d2 = math.sqrt(square)
        if divisor := b.slope - a.slope + 2 * d2:
            return min(max(b.t - (b.t - a.t) * (b.slope + d2 - d1) / divisor, low), high)
    return (low + high) / 2
