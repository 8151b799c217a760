"""Reading at an index, copies with something set or added there, and picking along an axis."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from minigrad.backend import as_array, device_of, raw, shape_of, transfer_array, xp, zeros
from minigrad.engine import op
from minigrad.ops.axes import axis_of
from minigrad.ops.elementwise import equal
from minigrad.ops.shape import astype, broadcast_to, expand_dims, like, reshape

ALL = slice(None)
LONG = 128  # numbers of a slice


def plain_index(index: Any, x: Any) -> Any:
    """An index whose Tensors and lists have become integer or boolean arrays on the device of x."""
    return tuple(_plain(i, x) for i in index) if isinstance(index, tuple) else _plain(index, x)


def _plain(index: Any, x: Any) -> Any:
    if isinstance(index, (slice, int, np.integer, type(None), type(...))) and not isinstance(index, bool):
        return index
    # What was a Tensor is copied: the rules keep the index, and a later change of the Tensor must not reach them.
    array = raw(index).copy() if raw(index) is not index else as_array(index)
    if array.dtype.kind not in "iub" and not (array.size == 0 and isinstance(index, (list, tuple))):
        raise IndexError(f"an index must hold integers or booleans, got {array.dtype}")
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)  # the empty list
    place = device_of(x)
    if place and device_of(array) != place:
        if not isinstance(index, (list, tuple, bool)):
            raise ValueError(
                f"getitem needs its index on {place}, where x is, got one on {device_of(array)}: move it with "
                f".to({place!r})"
            )
        array = transfer_array(array, place)
    return array


def _may_repeat(index: Any) -> bool:
    """Whether an index can name an element twice: only arrays of integers can."""
    return builtins.any(
        getattr(i, "dtype", None) is not None and i.dtype.kind != "b" and i.ndim > 0
        for i in (index if isinstance(index, tuple) else (index,))
    )


@op(view=True, prepare={"index": plain_index})
def getitem(x, index):
    """x[index], as NumPy does it: integers, slices, None and ... give views; integer and boolean arrays, copies."""
    copied = builtins.any(getattr(i, "dtype", None) is not None for i in (index if type(index) is tuple else (index,)))
    return like(x[index], x) if copied else x[index]


getitem.vjp(x=lambda g, index, x_shape: index_add(zeros(x_shape, g), g, index))


def _fits(value, x):
    """value as an array that may be stored in x without losing its kind: no floats into integers."""
    value = xp(x).asarray(value) if device_of(value) is None else value
    if not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise TypeError(
            f"cannot store {value.dtype} values in a tensor of {x.dtype}: convert it with .to({str(value.dtype)!r})"
        )
    return value.astype(x.dtype)


def _picked_axis(x: Any, index: Any) -> int | None:
    """The axis along which an index only picks slices of an array of NumPy's, long ones; None if it does anything else.

    Slice by slice, adding takes 1 us and 0.3 ns a number; `np.add.at`, which goes number by number, 13 ns for each.
    """
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [axis for axis, part in enumerate(parts) if getattr(part, "dtype", None) is not None]
    rest = [part for axis, part in enumerate(parts) if axis not in arrays]
    whole = len(parts) <= x.ndim and builtins.all(type(part) is slice and part == ALL for part in rest)
    if type(x) is not np.ndarray or len(arrays) != 1 or not whole:
        return None
    return arrays[0] if x.size >= LONG * x.shape[arrays[0]] > 0 else None


def _add_slices(out: Any, axis: int, index: Any, value: Any) -> None:
    """Add to out, at each place along an axis that the index names, the slice that value has for it."""
    before, after = out.shape[:axis], out.shape[axis + 1 :]
    value = np.broadcast_to(value, (*before, *index.shape, *after)).reshape(*before, index.size, *after)
    targets = np.moveaxis(out, axis, 0)
    for place, part in zip(index.ravel().tolist(), np.moveaxis(value, axis, 0), strict=True):
        targets[place] += part


@op(prepare={"index": plain_index})
def index_add(x, value, index):
    """A copy of x with `value` added at the index; where the index repeats, all of its values add up."""
    out = xp(x).array(x, copy=True, order="K")
    value = _fits(value, x)
    if not _may_repeat(index):
        out[index] += value
    elif (axis := _picked_axis(out, index)) is None:
        xp(x).add.at(out, index, value)
    else:
        _add_slices(out, axis, index[axis] if isinstance(index, tuple) else index, value)
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


# ---- along an axis --------------------------------------------------------------------------------------------------


def take(x, indices, axis=None):
    """The elements at integer `indices` along `axis`, or of the flattened array.

    >>> import minigrad as mg
    >>> mg.take(mg.arange(6).reshape(2, 3), [2, 0], axis=1)
    tensor([[2, 0],
            [5, 3]])
    """
    if axis is None:
        return getitem(reshape(x, (-1,)), indices)
    return getitem(x, (*(slice(None),) * axis_of(axis, shape_of(x)), indices))


def repeat(x, repeats, axis=None):
    """Each element `repeats` times in a row along `axis`, or of the flattened array: one number, or one for each.

    >>> import minigrad as mg
    >>> mg.repeat(mg.arange(3), [0, 1, 2])
    tensor([1, 2, 2])
    """
    shape = shape_of(x)
    n = math.prod(shape) if axis is None else shape[axis_of(axis, shape)]
    repeats = np.asarray(repeats)
    if repeats.dtype.kind not in "iu" or repeats.shape not in ((), (1,), (n,)) or (repeats < 0).any():
        raise ValueError(f"repeats must be an integer of at least 0, or {n} of them, got {repeats.tolist()}")
    return take(x, np.repeat(np.arange(n), repeats).tolist(), axis)


def _grid(index, axis, shape):
    """The full index that picks `index` along one axis and its own place along the others, as gather means it."""
    index = plain_index(index, np.empty(0)) if isinstance(index, (list, tuple)) else index
    index = raw(index).copy() if raw(index) is not index else index  # as in plain_index
    if index.ndim != len(shape):
        raise ValueError(f"index must have as many axes as x {shape}, got shape {index.shape}")
    if builtins.any(n > m for a, (n, m) in enumerate(zip(index.shape, shape, strict=True)) if a != axis):
        raise ValueError(f"index {index.shape} must not be larger than x {shape} along the axes other than {axis}")
    places = []
    for a, n in enumerate(index.shape):
        own = xp(index).arange(n).reshape(tuple(n if b == a else 1 for b in range(index.ndim)))
        places.append(index if a == axis else own)
    return tuple(places)


def gather(x, axis, index):
    """Elements picked along one axis: `out[i, j] = x[index[i, j], j]` for axis 0. PyTorch's `gather`.

    Args:
        x: any array.
        axis: along which the index picks.
        index: integers, with as many axes as x and no longer than x along the others.

    >>> import minigrad as mg
    >>> mg.gather(mg.tensor([[1, 2], [3, 4]]), 1, mg.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    return getitem(x, _grid(index, axis, shape))


def scatter_add(x, axis, index, src):
    """A copy of x with src added: `out[index[i, j], j] += src[i, j]` for axis 0; repeated places add up.

    PyTorch's `scatter_add`: src has at least the shape of the index, and its excess is not used.
    """
    shape = shape_of(x)
    axis = axis_of(axis, shape)
    places = _grid(index, axis, shape)
    wanted, have = places[axis].shape, shape_of(src)
    if len(have) != len(wanted) or builtins.any(n > m for n, m in zip(wanted, have, strict=True)):
        raise ValueError(f"src {have} must have at least the shape of the index, {wanted}")
    return index_add(x, getitem(src, tuple(map(slice, wanted))) if have != wanted else src, places)


def take_along_axis(x, indices, axis=-1):
    """`gather` as NumPy has it: the other axes of x and the indices broadcast against each other.

    Args:
        x: any array.
        indices: integers, with as many axes as x.
        axis: along which they pick.
    """
    shape, wanted = shape_of(x), shape_of(indices)
    axis = axis_of(axis, shape)
    if len(wanted) != len(shape):
        raise ValueError(f"indices must have as many axes as x {shape}, got shape {wanted}")
    others = [
        np.broadcast_shapes((n,), (m,))[0] if a != axis else None
        for a, (n, m) in enumerate(zip(shape, wanted, strict=True))
    ]
    full_x = tuple(shape[axis] if n is None else n for n in others)
    full_index = tuple(wanted[axis] if n is None else n for n in others)
    indices = raw(indices).copy() if raw(indices) is not indices else indices  # as in plain_index
    return gather(broadcast_to(x, full_x), axis, broadcast_to(indices, full_index))


def one_hot(x, num_classes=None):
    """A new last axis with a 1 at the place that x names, else 0: integers (...) -> int64 (..., num_classes).

    Without `num_classes` the largest value of x decides.

    >>> import minigrad as mg
    >>> mg.one_hot(mg.tensor([2, 0]), 3)
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    x = x if device_of(x) else np.asarray(x)
    values = raw(x)
    if values.dtype.kind not in "iu":
        raise TypeError(f"one_hot needs integers, got {values.dtype}")
    lowest, highest = (int(values.min()), int(values.max())) if values.size else (0, -1)
    n = highest + 1 if num_classes is None else num_classes
    if lowest < 0 or highest >= n:
        raise ValueError(f"x must lie in 0 ... {n - 1} for num_classes={n}, got values from {lowest} to {highest}")
    return astype(equal(expand_dims(x, -1), xp(values).arange(n)), np.int64)
