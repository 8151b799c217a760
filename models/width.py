"""Networks thinner than they were published, for small data and small machines."""

from __future__ import annotations

from collections.abc import Callable

from minigrad.checks import positive


def scaled(width: float) -> Callable[[int], int]:
    """How many channels, or features, a layer has in a network whose layers are `width` times as wide.

    Raises:
        ValueError: a width that is not positive.

    >>> quarter = scaled(0.25)
    >>> quarter(64), quarter(2)
    (16, 1)
    """
    positive("width", width)
    return lambda channels: max(1, round(channels * width))
