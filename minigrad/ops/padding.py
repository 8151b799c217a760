"""Borders around an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import as_array, empty_like_order, shape_of
from minigrad.engine import op


def _widths(pad_width: Any, x: Any) -> tuple[tuple[int, int], ...]:
    """(before, after) for each axis, from what NumPy takes: an int, one pair for all, or one pair for each axis."""
    n = len(shape_of(x))
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (n, 2))
    except ValueError:
        raise ValueError(f"pad_width {pad_width} must be an int, a pair, or a pair for each of the {n} axes") from None
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ValueError(f"pad_width must hold integers of at least 0, got {pad_width}")
    return tuple((int(lo), int(hi)) for lo, hi in pairs)


@op(prepare={"pad_width": _widths})
def pad(x, pad_width, constant_values=0):
    """x with a border of a constant: `pad_width` is (before, after) for each axis, or one pair or int for all.

    >>> import minigrad as mg
    >>> mg.pad(mg.ones((1, 2)), ((0, 0), (1, 2)))
    tensor([[0., 1., 1., 0., 0.]])
    """
    x = as_array(x)
    out = empty_like_order(x, tuple(n + lo + hi for n, (lo, hi) in zip(x.shape, pad_width, strict=True)))
    out[...] = constant_values
    out[_inside(pad_width, x.shape)] = x
    return out


def _inside(pad_width: Sequence, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(lo, lo + n) for (lo, _), n in zip(pad_width, shape, strict=True))


pad.vjp(x=lambda g, pad_width, x_shape: g[_inside(pad_width, x_shape)])
