"""Shapes and axes, joining, and moves to another dtype or device."""

from __future__ import annotations

import builtins
from math import prod
from typing import Any

import numpy as np

from minigrad.backend import as_array, shape_of, transfer_array, xp
from minigrad.engine import op
from minigrad.ops.axes import axes_of, one_axis, with_axes

# ---- preparing arguments --------------------------------------------------------------------------------------------


def _new_axes(axis: Any, x: Any) -> tuple[int, ...]:
    shape, count = shape_of(x), len(axis) if isinstance(axis, (tuple, list)) else 1
    return axes_of(axis, shape + (1,) * count)


def _unit_axes(axis: Any, x: Any) -> tuple[int, ...]:
    shape = shape_of(x)
    if axis is None:
        return tuple(i for i, n in enumerate(shape) if n == 1)
    axes = axes_of(axis, shape)
    if wrong := [a for a in axes if shape[a] != 1]:
        raise ValueError(f"only axes of size 1 can be squeezed; axis {wrong[0]} of shape {shape} has {shape[wrong[0]]}")
    return axes


def _given(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of ints: one size may stand alone."""
    return tuple(map(int, shape)) if isinstance(shape, (tuple, list)) else (int(shape),)


def _sizes(shape: Any, x: Any) -> tuple[int, ...]:
    """A new shape, the one -1 in it worked out."""
    wanted, have = _given(shape), shape_of(x)
    size = prod(have)
    if wanted.count(-1) == 1:
        known = prod(n for n in wanted if n != -1)
        if known > 0 and size % known == 0:
            wanted = tuple(size // known if n == -1 else n for n in wanted)
    if prod(wanted) != size or min((*wanted, 0)) < 0:
        raise ValueError(f"shape {wanted} does not hold the {size} elements of shape {have}")
    return wanted


def _permutation(axes: Any, x: Any) -> tuple[int, ...]:
    n = len(shape_of(x))
    if axes is None:
        return tuple(reversed(range(n)))
    given = axes_of(axes, shape_of(x))
    if len(given) != n:
        raise ValueError(f"axes {tuple(given)} must name each of the {n} axes of shape {shape_of(x)} once")
    return given


def _target(shape: Any, x: Any) -> tuple[int, ...]:
    wanted, have = _given(shape), shape_of(x)
    ends = zip(reversed(have), reversed(wanted), strict=False)
    if len(have) > len(wanted) or builtins.any(a not in (1, b) for a, b in ends):
        raise ValueError(
            f"shape {have} does not broadcast to {wanted}: counted from the last axis, sizes must be equal or 1"
        )
    return wanted


# ---- shapes and axes ------------------------------------------------------------------------------------------------


@op(view=True, prepare={"shape": _sizes})
def reshape(x, shape):
    """The elements in row-major order under another shape; one size may be -1 and is worked out.

    A view where the memory allows it, else a copy.

    >>> import minigrad as mg
    >>> mg.reshape(mg.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return as_array(x).reshape(shape)


reshape.vjp(x=lambda g, x_shape: reshape(g, x_shape))


@op(view=True, prepare={"axes": _permutation})
def permute(x, axes=None):
    """The axes in another order (a view); None reverses them.

    >>> import minigrad as mg
    >>> mg.permute(mg.zeros((2, 3, 4)), (0, 2, 1)).shape
    (2, 4, 3)
    """
    return as_array(x).transpose(axes)


permute.vjp(x=lambda g, axes: g.transpose([axes.index(i) for i in range(len(axes))]))


@op(view=True, prepare={"axis1": one_axis, "axis2": one_axis})
def swapaxes(x, axis1, axis2):
    """Two axes exchanged (a view)."""
    return as_array(x).swapaxes(axis1, axis2)


swapaxes.vjp(x=lambda g, axis1, axis2: g.swapaxes(axis1, axis2))


@op(view=True, prepare={"axis": _new_axes})
def expand_dims(x, axis):
    """New axes of size 1 at the positions `axis` of the result (a view)."""
    return as_array(x).reshape(with_axes(axis, x.shape))


expand_dims.vjp(x=lambda g, axis: squeeze(g, axis))


@op(view=True, prepare={"axis": _unit_axes})
def squeeze(x, axis=None):
    """The axes of size 1 removed, or only those named (a view)."""
    return as_array(x).squeeze(axis)


squeeze.vjp(x=lambda g, axis: expand_dims(g, axis))


@op(view=True, prepare={"shape": _target})
def broadcast_to(x, shape):
    """x repeated along new axes and axes of size 1: a read-only view, or a copy where that is cheaper (small shapes)."""
    x = as_array(x)
    if prod(shape) > 1024 or xp(x) is not np:
        return xp(x).broadcast_to(x, shape)
    out = np.empty(shape, x.dtype)
    out[...] = x
    return out


broadcast_to.vjp(x=lambda g: g)  # the engine sums back to the shape of x


@op
def copy(x):
    """The same values in memory of their own, in the same memory order."""
    return xp(x).array(x, copy=True, order="K")


copy.vjp(x=lambda g: g)


@op(sequence="arrays", prepare={"axis": lambda axis, arrays: one_axis(axis, next(iter(arrays), ()))})
def concatenate(arrays, axis=0):
    """Arrays joined along an existing axis; the other sizes must agree.

    >>> import minigrad as mg
    >>> mg.concatenate([mg.ones((2, 1)), mg.zeros((2, 2))], axis=1)
    tensor([[1., 0., 0.],
            [1., 0., 0.]])
    """
    return xp(*arrays).concatenate(arrays, axis)


def _cut(g, axis, arrays_shape):
    ends = np.cumsum([shape[axis] for shape in arrays_shape])
    before = (slice(None),) * axis
    return [
        g[(*before, slice(int(end) - shape[axis], int(end)))] for end, shape in zip(ends, arrays_shape, strict=True)
    ]


concatenate.vjp(arrays=_cut)


# ---- dtype and device -----------------------------------------------------------------------------------------------


@op
def astype(x, dtype):
    """x in another dtype; the gradient comes back in the dtype of x."""
    return as_array(x).astype(dtype)


astype.vjp(x=lambda g: g)  # the engine converts


@op
def transfer(x, source, target):
    """x moved from one device to another; the gradient moves back."""
    return transfer_array(x, target)


transfer.vjp(x=lambda g, source, target: transfer(g, target, source))
