"""Reading and writing at an index: getitem, and the copies with something set or added there."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.backend import as_array, device_of, raw, transfer_array, xp, zeros
from minigrad.engine import op


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
