"""NumPy functions called on Tensors: the minigrad op of the same meaning runs and records, or a TypeError says why not.

Without this, `np.concatenate`, `np.mean` and the like would convert their arguments and silently cut the graph. Three
kinds of functions are served, and `tests/test_interop.py` calls all the others, to see that they raise:

- those that an op stands for, with NumPy's own arguments: an argument that the op lacks, such as `out=` or `where=`,
  raises instead of being ignored;
- those that make an array like another (`np.zeros_like`);
- those whose answer has no gradient by its nature, and is not a Tensor: what an array is (`np.shape`,
  `np.result_type`), whether two agree (`np.allclose`), and its text (`np.array_repr`).

What Python's number protocol gives is a number without a gradient, as with `float(t)` and `t.item()`. NumPy uses it,
out of our reach, where it wants one number: `np.float64(t)`, `np.complex128(t)`, `np.fromiter(t, float)`, a size as in
`np.tri(t)` and the assignment `array[i] = t` take the number out of a tensor of one element. As a dtype, a Tensor is
its own: `np.ones(2, dtype=t)`.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.backend import raw, shape_of
from minigrad.operators import Operators
from minigrad.ops.axes import axes_of
from minigrad.tensor import Tensor, wrap


def _refuse(name: str, why: str) -> TypeError:
    return TypeError(
        f"{name} on a minigrad Tensor {why}: use minigrad's own functions, or .detach().numpy() where no gradient "
        f"is needed"
    )


def ufunc(function: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """`np.exp(t)`, `array * t`: what `Tensor.__array_ufunc__` does."""
    name = f"np.{function.__name__}"
    if method != "__call__":
        raise _refuse(f"{name}.{method}", "is not differentiable")
    if kwargs:
        raise _refuse(name, f"does not take {', '.join(kwargs)}")
    op = _UFUNCS.get(function.__name__)
    if op is None and function.__name__ in ops.__all__:
        op = getattr(ops, function.__name__)
    if op is None:
        raise _refuse(name, "has no minigrad op")
    return op(*inputs)


def function(function: Callable, args: tuple, kwargs: dict) -> Any:
    """`np.mean(t, axis=0)`, `np.concatenate([t, u])`: what `Tensor.__array_function__` does."""
    name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
    key = name.removeprefix("np.")
    if key in _LIKE:
        return wrap(function(raw(args[0]), *args[1:], **kwargs) if args else function(**_raw_values(kwargs)))
    if key in _ANSWERS:
        return function(*map(raw, args), **_raw_values(kwargs))
    if key in _ELEMENTWISE_ANSWERS:
        return wrap(function(*map(raw, args), **_raw_values(kwargs)))
    if key in _ADAPTED:
        return _ADAPTED[key](*args, **kwargs)
    if key not in _SAME:
        raise _refuse(name, "has no minigrad op")
    positional, named = _translated(name, function, _SAME[key], args, kwargs)
    return _SAME[key](*positional, **named)


def _raw_values(kwargs: dict) -> dict:
    return {key: raw(value) for key, value in kwargs.items()}


# ---- functions that an op stands for, argument by argument ----------------------------------------------------------


_SAME: dict[str, Callable] = {
    name: getattr(ops, name.rpartition(".")[2])
    for name in (
        *("all", "any", "argmax", "argmin", "argsort", "broadcast_to", "concatenate", "copy", "cumprod", "cumsum"),
        *("expand_dims", "flip", "max", "mean", "min", "outer", "prod", "repeat", "reshape", "roll", "round", "sort"),
        *("split", "squeeze", "stack", "std", "sum", "swapaxes", "take", "take_along_axis", "tensordot", "tile", "var"),
        *("linalg.cholesky", "linalg.det", "linalg.inv", "linalg.matmul", "linalg.slogdet", "linalg.solve"),
        "linalg.tensordot",
    )
} | {
    "amax": ops.max,
    "amin": ops.min,
    "around": ops.round,
    "transpose": ops.permute,
    "linalg.vector_norm": ops.norm,
}

_HARMLESS = {"kind", "stable", "subok"}  # how to compute, not what: sorting is stable here, and there are no subclasses

# Written in C, without a signature in NumPy 2.0.
_SIGNATURES = {"concatenate": inspect.signature(lambda arrays, axis=0, out=None, *, dtype=None, casting="same_kind": 0)}


@cache
def _parameters(function: Callable) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def _translated(name: str, function: Callable, op: Callable, args: tuple, kwargs: dict) -> tuple[list, dict]:
    """A call of a NumPy function as one of our op: what must be given by position, what may be given by name.

    Names and positions of the optional arguments differ (the third of `np.sum` is a dtype), so all are matched by name.
    """
    signature = _SIGNATURES.get(function.__name__) or inspect.signature(function)
    ours = _parameters(op)
    positional, named, unknown = [], {}, []
    for key, value in signature.bind(*args, **kwargs).arguments.items():
        default = signature.parameters[key].default
        if default is inspect.Parameter.empty:
            positional.append(value)
        elif key in ours:
            named[key] = value
        elif _given(value, default) and key not in _HARMLESS:
            unknown.append(key)
    if unknown:
        raise _refuse(name, f"does not take {', '.join(unknown)}")
    return positional, {key: value for key, value in named.items() if value is not np._NoValue}


def _given(value: Any, default: Any) -> bool:
    """Whether an optional argument asks for something; the value may be an array, which has no truth."""
    return value is not default and not (isinstance(value, (str, bool)) and value == default)


# ---- functions whose arguments mean something else here -------------------------------------------------------------


def _plain(name: str, **arguments: Any) -> None:
    """Refuse arguments that have no counterpart, if they are given."""
    if unknown := [key for key, (value, default) in arguments.items() if _given(value, default)]:
        raise _refuse(name, f"does not take {', '.join(unknown)}")


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        raise _refuse("np.where", "needs condition, x and y")
    return ops.where(condition, x, y)


def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None, **kwargs: Any
) -> Any:
    _plain("np.clip", out=(out, None), **{key: (value, None) for key, value in kwargs.items()})
    return ops.clip(a, a_min if min is None else min, a_max if max is None else max)


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    value = kwargs.pop("constant_values", 0)
    _plain("np.pad", **{key: (value, None) for key, value in kwargs.items()})
    if not isinstance(value, numbers.Real):
        raise _refuse("np.pad", f"takes one number as constant_values, got {value!r}")
    if not isinstance(mode, str) or mode not in ("constant", "reflect", "symmetric", "edge", "wrap"):
        raise _refuse("np.pad", f"has no mode {mode!r}")
    return ops.pad(array, pad_width, mode, value)


def _einsum(*operands: Any, out: Any = None, optimize: Any = False, **kwargs: Any) -> Any:
    _plain("np.einsum", out=(out, None), **{key: (value, None) for key, value in kwargs.items()})
    if not operands or not isinstance(operands[0], str):
        raise _refuse("np.einsum", "takes its subscripts as one string")
    return ops.einsum(*operands)


def _linalg_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's norm of a matrix is another one than that of its elements, but for Frobenius'."""
    count = len(shape_of(x)) if axis is None else len(axis) if isinstance(axis, (tuple, list)) else 1
    if ord is not None and count != 1:
        if ord != "fro" or count != 2:
            raise _refuse("np.linalg.norm", f"has only the Frobenius norm of matrices, not ord={ord!r}")
        ord = None
    if isinstance(ord, str) or ord == 0:
        raise _refuse("np.linalg.norm", f"does not take ord={ord!r}")
    return ops.norm(x, 2 if ord is None else ord, axis, keepdims)


def _ravel(a: Any, order: str = "C") -> Any:
    _plain("np.ravel", order=(order, "C"))
    return ops.reshape(a, (-1,))


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    shape = shape_of(a)
    sources, destinations = axes_of(source, shape), axes_of(destination, shape)
    if len(sources) != len(destinations):
        raise ValueError(f"np.moveaxis needs as many destinations as sources, got {destination} and {source}")
    order = [axis for axis in range(len(shape)) if axis not in sources]
    for to, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(to, axis)
    return ops.permute(a, order)


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    _plain("np.dot", out=(out, None))
    dimensions = len(shape_of(a)), len(shape_of(b))
    if 0 in dimensions:
        return ops.multiply(a, b)
    return ops.matmul(a, b) if max(dimensions) <= 2 else ops.tensordot(a, b, ([-1], [-2 if dimensions[1] > 1 else -1]))


def _matrix_transpose(x: Any) -> Any:
    return ops.swapaxes(x, -1, -2)


def _astype(x: Tensor, dtype: Any, *, copy: bool = True, device: Any = None) -> Any:
    _plain("np.astype", copy=(copy, True), device=(device, None))
    return x.astype(dtype)


def _at_least(arrays: Sequence[Any], dimensions: int) -> list:
    """Arrays with axes of size 1 in front, as `np.vstack` and `np.hstack` want them."""
    shapes = [shape_of(a) for a in arrays]
    return [ops.reshape(a, (1,) * (dimensions - len(s)) + s) for a, s in zip(arrays, shapes, strict=True)]


def _vstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    _plain("np.vstack", dtype=(dtype, None), casting=(casting, "same_kind"))
    return ops.concatenate(_at_least(tup, 2), 0)


def _hstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    _plain("np.hstack", dtype=(dtype, None), casting=(casting, "same_kind"))
    arrays = _at_least(tup, 1)
    return ops.concatenate(arrays, 0 if len(shape_of(arrays[0])) == 1 else 1)


_ADAPTED: dict[str, Callable] = {
    "where": _where,
    "clip": _clip,
    "pad": _pad,
    "einsum": _einsum,
    "linalg.norm": _linalg_norm,
    "ravel": _ravel,
    "moveaxis": _moveaxis,
    "dot": _dot,
    "matrix_transpose": _matrix_transpose,
    "linalg.matrix_transpose": _matrix_transpose,
    "astype": _astype,
    "vstack": _vstack,
    "hstack": _hstack,
}

_UFUNCS: dict[str, Callable] = {
    "absolute": ops.abs,
    "rint": ops.round,
    "square": lambda x: x * x,
    "positive": lambda x: x,
    "conjugate": lambda x: x,
    "bitwise_and": Operators.__and__,
    "bitwise_or": Operators.__or__,
    "bitwise_xor": Operators.__xor__,
    "invert": Operators.__invert__,
}

_LIKE = {"zeros_like", "ones_like", "empty_like", "full_like"}

_ANSWERS = {
    *("shape", "ndim", "size", "iscomplexobj", "isrealobj"),
    *("result_type", "can_cast", "min_scalar_type", "common_type"),
    *("shares_memory", "may_share_memory"),
    *("allclose", "array_equal", "array_equiv"),
    *("array_repr", "array_str", "array2string"),
}

_ELEMENTWISE_ANSWERS = {"isclose"}
