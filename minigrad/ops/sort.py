"""Order: sorting, and the largest of many. An order is an index, and values are picked with it."""

from __future__ import annotations

from minigrad.backend import as_array, shape_of, xp
from minigrad.engine import op
from minigrad.ops.axes import axis_of, one_axis
from minigrad.ops.index import take_along_axis


@op(prepare={"axis": one_axis})
def argsort(x, axis=-1, descending=False):
    """The indices that sort x along `axis`. Equal elements keep their order (on both sides), and nan is the largest."""
    x = as_array(x)
    if not isinstance(descending, (bool, int)):
        raise TypeError(f"descending must be True or False, got {descending!r}")
    if not descending:
        return xp(x).argsort(x, axis=axis, kind="stable")
    order = xp(x).argsort(xp(x).flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp(x).flip(order, axis)


def sort(x, axis=-1, descending=False):
    """x sorted along `axis`; nan is the largest. `argsort` gives the indices.

    >>> import minigrad as mg
    >>> mg.sort(mg.tensor([3.0, 1.0, 2.0]), descending=True)
    tensor([3., 2., 1.])
    """
    return take_along_axis(x, argsort(x, axis, descending), axis)


def topk(x, k, axis=-1, largest=True):
    """The k largest elements along `axis` and their indices, the largest first; or the smallest, the smallest first.

    >>> import minigrad as mg
    >>> values, indices = mg.topk(mg.tensor([3.0, 1.0, 2.0]), 2)
    >>> values, indices
    (tensor([3., 2.]), tensor([0, 2]))
    """
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    if not 0 <= k <= shape[axis]:
        raise ValueError(f"k must be between 0 and {shape[axis]}, the size of axis {axis} of shape {shape}; got {k}")
    indices = argsort(x, axis, largest)[(*(slice(None),) * axis, slice(k))]
    return take_along_axis(x, indices, axis), indices
