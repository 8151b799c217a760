"""Borders around an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import as_array, empty_like_order, shape_of
from minigrad.engine import op
from minigrad.ops.index import take


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
def _pad(x, pad_width, constant_values):
    x = as_array(x)
    out = empty_like_order(x, tuple(n + lo + hi for n, (lo, hi) in zip(x.shape, pad_width, strict=True)))
    out[...] = constant_values
    out[_inside(pad_width, x.shape)] = x
    return out


def _inside(pad_width: Sequence, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(lo, lo + n) for (lo, _), n in zip(pad_width, shape, strict=True))


_pad.vjp(x=lambda g, pad_width, x_shape: g[_inside(pad_width, x_shape)])


_MODES: dict[str, Any] = {
    "reflect": "reflect",
    "symmetric": "symmetric",
    "edge": "edge",
    "wrap": "wrap",
    "replicate": "edge",  # PyTorch's names
    "circular": "wrap",
}


def pad(x, pad_width, mode="constant", constant_values=0):
    """x with a border around it.

    Args:
        x: any array.
        pad_width: (before, after) for each axis, or one pair or one int for all.
        mode: "constant" (any value); "reflect" (mirrored at the outermost element), "symmetric" (mirrored at the edge,
            which repeats that element); "edge", also called "replicate"; "wrap", also called "circular".
        constant_values: the value of a constant border.

    Raises:
        ValueError: an unknown mode, widths that do not fit, or a border for an axis that has nothing to repeat.

    >>> import minigrad as mg
    >>> mg.pad(mg.ones((1, 2)), ((0, 0), (1, 2)))
    tensor([[0., 1., 1., 0., 0.]])
    >>> mg.pad(mg.arange(3), 2, mode="reflect")
    tensor([2, 1, 0, 1, 2, 1, 0])
    """
    if mode == "constant":
        return _pad(x, pad_width, constant_values)
    if mode not in _MODES:
        raise ValueError(f"mode must be 'constant' or one of {sorted(_MODES)}, got {mode!r}")
    shape = shape_of(x)
    for axis, (lo, hi) in enumerate(_widths(pad_width, x)):
        if not lo and not hi:
            continue
        if not shape[axis]:
            raise ValueError(f"axis {axis} of shape {shape} is empty: mode {mode!r} has nothing to repeat there")
        # Where each element of the result comes from, so that the gradient adds up what came from one place.
        x = take(x, np.pad(np.arange(shape[axis]), (lo, hi), _MODES[mode]).tolist(), axis)
    return x
