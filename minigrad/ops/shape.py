"""Ops that move elements: shapes, axes, joining, padding, indexing."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from minigrad.backend import as_array, device_of, empty_like_order, raw, shape_of, transfer_array, xp, zeros
from minigrad.engine import op

# ---- preparing arguments --------------------------------------------------------------------------------------------


def one_axis(axis: Any, x: Any) -> int:
    """An axis counted from 0; negative ones count from the end."""
    shape = shape_of(x)
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    if not -len(shape) <= axis < len(shape):
        valid = f"valid axes are {-len(shape)} to {len(shape) - 1}" if shape else "it has no axes"
        raise AxisError(f"axis {axis} is out of range for shape {shape}: {valid}")
    return int(axis) % len(shape)


def many_axes(axis: Any, x: Any) -> tuple[int, ...]:
    """A tuple of axes counted from 0; None means all of them."""
    if axis is None:
        return tuple(range(len(shape_of(x))))
    if not isinstance(axis, (tuple, list)):
        return (one_axis(axis, x),)
    axes = tuple(one_axis(a, x) for a in axis)
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis {tuple(axis)} names an axis twice for shape {shape_of(x)}")
    return axes


def optional_axis(axis: Any, x: Any) -> int | None:
    """One axis, or None for the flattened array."""
    return None if axis is None else one_axis(axis, x)


def _new_axes(axis: Any, x: Any) -> tuple[int, ...]:
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    grown = (0,) * (len(shape_of(x)) + len(axes))
    return many_axes(axes, np.empty(grown))


def _unit_axes(axis: Any, x: Any) -> tuple[int, ...]:
    shape = shape_of(x)
    if axis is None:
        return tuple(i for i, n in enumerate(shape) if n == 1)
    axes = many_axes(axis, x)
    if wrong := [a for a in axes if shape[a] != 1]:
        raise ValueError(f"only axes of size 1 can be squeezed; axis {wrong[0]} of shape {shape} has {shape[wrong[0]]}")
    return axes


def _sizes(shape: Any, x: Any) -> tuple[int, ...]:
    """A new shape, the one -1 in it worked out."""
    wanted = tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    size = int(np.prod(shape_of(x)))
    known = int(np.prod([n for n in wanted if n != -1]))
    if wanted.count(-1) == 1 and known > 0 and size % known == 0:
        wanted = tuple(size // known if n == -1 else n for n in wanted)
    if min((*wanted, 0)) < 0 or int(np.prod(wanted)) != size:
        raise ValueError(f"shape {tuple(wanted)} does not hold the {size} elements of shape {shape_of(x)}")
    return wanted


def _permutation(axes: Any, x: Any) -> tuple[int, ...]:
    n = len(shape_of(x))
    if axes is None:
        return tuple(reversed(range(n)))
    given = many_axes(tuple(axes) if isinstance(axes, (tuple, list)) else (axes,), x)
    if len(given) != n:
        raise ValueError(f"axes {tuple(given)} must name each of the {n} axes of shape {shape_of(x)} once")
    return given


def _target(shape: Any, x: Any) -> tuple[int, ...]:
    wanted = tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    have = shape_of(x)
    tail = wanted[len(wanted) - len(have) :]
    if len(have) > len(wanted) or builtins.any(a not in (1, b) for a, b in zip(have, tail, strict=True)):
        raise ValueError(
            f"shape {have} does not broadcast to {wanted}: counted from the last axis, sizes must be equal or 1"
        )
    return wanted


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


def plain_index(index: Any, x: Any) -> Any:
    """An index whose Tensors have become integer or boolean arrays on the device of x."""
    if isinstance(index, tuple):
        return tuple(plain_index(i, x) for i in index)
    if isinstance(index, (slice, int, np.integer, type(None), type(...))) and not isinstance(index, bool):
        return index
    array = as_array(raw(index))
    if array.dtype.kind not in "iub" and not (array.size == 0 and isinstance(index, list)):
        raise IndexError(f"an index must hold integers or booleans, got {array.dtype}")
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)  # the empty list
    place = device_of(x)
    if place and device_of(array) != place:
        if not isinstance(index, (list, bool)):
            raise ValueError(
                f"getitem needs its index on {place}, where x is, got one on {device_of(array)}: move it with .to()"
            )
        array = transfer_array(array, place)
    return array


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
    return xp(x).reshape(x, shape)


reshape.vjp(x=lambda g, x_shape: reshape(g, x_shape))


@op(view=True, prepare={"axes": _permutation})
def permute(x, axes=None):
    """The axes in another order (a view); None reverses them.

    >>> import minigrad as mg
    >>> mg.permute(mg.zeros((2, 3, 4)), (0, 2, 1)).shape
    (2, 4, 3)
    """
    return xp(x).transpose(x, axes)


permute.vjp(x=lambda g, axes: permute(g, tuple(np.argsort(axes))))


@op(view=True, prepare={"axis": _new_axes})
def expand_dims(x, axis):
    """New axes of size 1 at the positions `axis` of the result (a view)."""
    return xp(x).expand_dims(x, axis)


expand_dims.vjp(x=lambda g, axis: squeeze(g, axis))


@op(view=True, prepare={"axis": _unit_axes})
def squeeze(x, axis=None):
    """The axes of size 1 removed, or only those named (a view)."""
    return xp(x).squeeze(x, axis)


squeeze.vjp(x=lambda g, axis: expand_dims(g, axis))


@op(view=True, prepare={"shape": _target})
def broadcast_to(x, shape):
    """x repeated along new axes and axes of size 1, without copying (a read-only view)."""
    return xp(x).broadcast_to(x, shape)


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


# ---- indexing -------------------------------------------------------------------------------------------------------


def _may_repeat(index: Any) -> bool:
    """Whether an index can name an element twice: only arrays of integers can."""
    return builtins.any(
        getattr(i, "dtype", None) is not None and i.dtype.kind != "b" and i.ndim > 0
        for i in (index if isinstance(index, tuple) else (index,))
    )


@op(view=True, prepare={"index": plain_index})
def getitem(x, index):
    """x[index], as NumPy does it: integers, slices, None and ... give views; integer and boolean arrays, copies."""
    return x[index]


getitem.vjp(x=lambda g, index, x_shape: index_add(zeros(x_shape, g), g, index))


def _fits(value, x):
    """value as an array that may be stored in x without losing its kind: no floats into integers."""
    value = xp(x).asarray(value) if device_of(value) is None else value
    if not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise TypeError(
            f"cannot store {value.dtype} values in a tensor of {x.dtype}: convert it with .to({str(value.dtype)!r})"
        )
    return value.astype(x.dtype)


@op(prepare={"index": plain_index})
def index_add(x, value, index):
    """A copy of x with `value` added at the index; where the index repeats, all of its values add up."""
    out = xp(x).array(x, copy=True, order="K")
    value = _fits(value, x)
    if _may_repeat(index):
        xp(x).add.at(out, index, value)
    else:
        out[index] += value
    return out


index_add.vjp(x=lambda g: g, value=lambda g, index: g[index])


@op(aux=("won",), prepare={"index": plain_index})
def index_set(x, value, index):
    """A copy of x with `value` at the index; where the index repeats, one value wins and the rest get no gradient."""
    out = xp(x).array(x, copy=True, order="K")
    value = _fits(value, x)
    if not _may_repeat(index):
        out[index] = value
        return out, None
    # Write the number of each value first: the one that stays has won, and is the only one written for real. Without
    # this, NumPy and CuPy could choose different winners, and the gradient a third.
    winner = xp(x).zeros(x.shape, np.int64)
    numbers = xp(x).arange(winner[index].size).reshape(winner[index].shape)
    winner[index] = numbers
    winner = winner[index]
    out[index] = xp(x).broadcast_to(value, winner.shape).reshape(-1)[winner]
    return out, winner == numbers


index_set.vjp(
    x=lambda g, index: index_set(g, 0, index)[0],
    value=lambda g, index, won: g[index] if won is None else g[index] * won,
)


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
