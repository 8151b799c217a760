"""Reductions: many elements to one, along some axes or all.

`axis` is an int, a tuple of ints, or None for all axes; with `keepdims` the reduced axes stay with size 1.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.backend import as_array
from minigrad.engine import op
from minigrad.ops.axes import many_axes, optional_axis, with_axes
from minigrad.ops.shape import astype, broadcast_to

HALF = np.dtype(np.float16)


def _kept(g, axis, keepdims):
    """A reduced array with its axes back, of size 1."""
    return g if keepdims else g.reshape(with_axes(axis, g.shape))


@op(prepare={"axis": many_axes})
def sum(x, axis=None, keepdims=False):
    """The sum over `axis`.

    Float16 is summed in float32; integers and booleans are summed in int64, as NumPy does.

    >>> import minigrad as mg
    >>> mg.sum(mg.ones((2, 3)), axis=0)
    tensor([2., 2., 2.])
    """
    x = as_array(x)
    if x.dtype is HALF:
        return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(HALF)
    return x.sum(axis=axis, keepdims=keepdims)


sum.vjp(x=lambda g, axis, keepdims, x_shape: broadcast_to(_kept(g, axis, keepdims), x_shape))


@op(prepare={"axis": many_axes})
def mean(x, axis=None, keepdims=False):
    """The arithmetic mean over `axis`. Float16 is summed in float32; integers and booleans give float64."""
    return as_array(x).mean(axis=axis, keepdims=keepdims)


def _mean_x(g, axis, keepdims, x_shape):
    n = prod(x_shape[a] for a in axis)
    return broadcast_to(_kept(g / n if n else g, axis, keepdims), x_shape)


mean.vjp(x=_mean_x)


def _to_the_extremes(g, x, out, axis, keepdims):
    """The gradient in equal parts to every element that is the extreme one."""
    hit = astype(x == _kept(out, axis, keepdims), g.dtype)
    return _kept(g, axis, keepdims) * (hit / sum(hit, axis, True))


@op(prepare={"axis": many_axes})
def max(x, axis=None, keepdims=False):
    """The largest value over `axis`; nan if there is one. Elements that tie for it share the gradient in equal parts.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 5.0, 5.0], requires_grad=True)
    >>> mg.max(x).backward()
    >>> x.grad
    tensor([0. , 0.5, 0.5])
    """
    return as_array(x).max(axis=axis, keepdims=keepdims)


max.vjp(x=_to_the_extremes)


@op(prepare={"axis": many_axes})
def min(x, axis=None, keepdims=False):
    """The smallest value over `axis`; nan if there is one. Elements that tie for it share the gradient equally."""
    return as_array(x).min(axis=axis, keepdims=keepdims)


min.vjp(x=_to_the_extremes)


@op(prepare={"axis": optional_axis})
def argmax(x, axis=None, keepdims=False):
    """The index of the largest value along `axis` (of the flattened array for None): the first where several tie."""
    return as_array(x).argmax(axis=axis, keepdims=keepdims)
