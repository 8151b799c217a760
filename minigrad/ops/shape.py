"""Shapes and axes, joining, and moves to another dtype or device."""

from __future__ import annotations

import builtins
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import as_array, shape_of, transfer_array, xp
from minigrad.engine import op
from minigrad.ops.axes import axes_of, axis_of, many_axes, one_axis, with_axes

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


def like(out, x):
    """What NumPy made of x, in the memory order of x: some of its functions know only the row-major one."""
    return out if out.ndim != x.ndim or x.ndim < 3 or x.flags.c_contiguous else backend.in_order(out, x.strides)


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
    """x repeated along new axes and axes of size 1: a read-only view, or, of small ones, a copy."""
    x = as_array(x)
    if prod(shape) > 1024 or xp(x) is not np:
        return xp(x).broadcast_to(x, shape)
    out = backend.empty_like_order(x, shape)
    out[...] = x
    return out


broadcast_to.vjp(x=lambda g: g)  # the engine sums back to the shape of x


@op
def copy(x):
    """The same values in memory of their own, in the same memory order."""
    return xp(x).array(x, copy=True, order="K")


copy.vjp(x=lambda g: g)


@op(view=True)
def in_order(x, strides):
    """x with its axes in memory in the order that these strides have: itself where they lie so, else a copy.

    The engine gives every gradient the memory order of its value with it.
    """
    return backend.in_order(x, strides)


in_order.vjp(x=lambda g: g)


@op(sequence="arrays", prepare={"axis": lambda axis, arrays: one_axis(axis, next(iter(arrays), ()))})
def concatenate(arrays, axis=0):
    """Arrays joined along an existing axis; the other sizes must agree.

    >>> import minigrad as mg
    >>> mg.concatenate([mg.ones((2, 1)), mg.zeros((2, 2))], axis=1)
    tensor([[1., 0., 0.],
            [1., 0., 0.]])
    """
    out = xp(*arrays).concatenate(arrays, axis)
    first = next((a for a in arrays if out.ndim > 2 and not a.flags.c_contiguous), None)
    return out if first is None else backend.in_order(out, first.strides)


def _cut(g, axis, arrays_shape):
    ends = np.cumsum([shape[axis] for shape in arrays_shape])
    before = (slice(None),) * axis
    return [
        g[(*before, slice(int(end) - shape[axis], int(end)))] for end, shape in zip(ends, arrays_shape, strict=True)
    ]


concatenate.vjp(arrays=_cut)


def flatten(x, start_axis=0, end_axis=-1):
    """The axes from `start_axis` to `end_axis` as one.

    >>> import minigrad as mg
    >>> mg.flatten(mg.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    shape = shape_of(x)
    if not shape:
        return reshape(x, (1,))
    first, last = axis_of(start_axis, shape), axis_of(end_axis, shape)
    if first > last:
        raise ValueError(f"start_axis {start_axis} comes after end_axis {end_axis} in shape {shape}")
    return reshape(x, (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]))


def stack(arrays, axis=0):
    """Arrays of one shape joined along a new axis.

    >>> import minigrad as mg
    >>> mg.stack([mg.zeros(2), mg.ones(2)], axis=1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    arrays = list(arrays)
    shapes = [shape_of(a) for a in arrays]
    if not shapes or shapes.count(shapes[0]) != len(shapes):
        raise ValueError(f"stack needs one array or more, all of the same shape, got shapes {shapes}")
    return concatenate([expand_dims(a, axis) for a in arrays], axis_of(axis, (*shapes[0], 1)))


def split(x, indices_or_sections, axis=0):
    """A list of pieces along `axis`: that many equal ones, or cut before each of the given indices, as in NumPy.

    >>> import minigrad as mg
    >>> [p.tolist() for p in mg.split(mg.arange(5), [2, 4])]
    [[0, 1], [2, 3], [4]]
    """
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    if isinstance(indices_or_sections, int):
        n, size = indices_or_sections, shape[axis]
        if n < 1 or size % n:
            raise ValueError(
                f"axis {axis} of shape {shape} has {size} elements, which do not divide into {n} equal pieces"
            )
        cuts = [size // n * k for k in range(1, n)]
    else:
        cuts = list(indices_or_sections)
    before = (slice(None),) * axis
    return [x[(*before, slice(lo, hi))] for lo, hi in pairwise((None, *cuts, None))]


@op(view=True, prepare={"axis": many_axes})
def flip(x, axis=None):
    """The elements in reverse order along `axis`, or along all axes (a view)."""
    return x[tuple(slice(None, None, -1 if a in axis else None) for a in range(as_array(x).ndim))]


flip.vjp(x=lambda g, axis: flip(g, axis))


@op
def roll(x, shift, axis=None):
    """The elements moved by `shift` places along `axis`, what leaves at one end entering at the other.

    Several shifts go with several axes; without an axis, the flattened array is rolled.
    """
    return xp(x).roll(x, shift, axis)


def _back(shift):
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift


roll.vjp(x=lambda g, shift, axis: roll(g, _back(shift), axis))


@op
def tile(x, reps):
    """x laid out side by side, `reps` times along each axis (along the last ones where there are fewer)."""
    return like(xp(x).tile(x, reps), x)


def _tile_x(g, reps, x_shape):
    reps = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    n = max(len(reps), len(x_shape))
    reps, shape = (1,) * (n - len(reps)) + reps, (1,) * (n - len(x_shape)) + x_shape
    apart = reshape(g, tuple(m for pair in zip(reps, shape, strict=True) for m in pair))
    return apart.sum(axis=tuple(range(0, 2 * n, 2)))


tile.vjp(x=_tile_x)


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
