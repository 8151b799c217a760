"""The table that every op stands in: how to call it, on what, and what it must give.

The tests walk over `ROWS`; an op of the registry, or a public function, without a row fails the suite. A row's
`reference` computes the value in NumPy, independently of minigrad; `torch` computes it with PyTorch, for the parity
tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import kernels, raw
from minigrad.ops import loss, normalization, pool
from minigrad.window import Geometry, per_axis

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Row:
    op: str  # the name of an op of the registry, or of a public function composed of ops
    call: Callable  # takes Tensors or arrays
    inputs: Callable[[np.random.Generator], Arrays]  # float64, away from kinks and ties
    reference: Callable  # takes NumPy arrays
    torch: Callable | None  # takes the torch module and its tensors
    case: str = ""
    order: int = 2
    differentiable: bool = True

    @property
    def id(self) -> str:
        return f"{self.op}-{self.case}" if self.case else self.op


def distinct(rng: np.random.Generator, *shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Numbers in random order, no two closer than their spacing, none at 0."""
    n = int(np.prod(shape))
    values = low + (high - low) * (np.arange(n) + 0.37) / max(n, 1)
    return rng.permutation(values).reshape(shape)


ROWS: list[Row] = []


def row(op: str, call: Callable, inputs: Callable, reference: Callable, torch: Any = None, **more: Any) -> None:
    ROWS.append(Row(op, call, inputs, reference, torch, **more))


def shapes(*wanted: tuple[int, ...], **limits: float) -> Callable:
    return lambda rng: [distinct(rng, *shape, **limits) for shape in wanted]


# ---- elementwise ----------------------------------------------------------------------------------------------------


def unary(
    op: str, reference: Callable | None = None, torch: str | Callable | None = None, low=-2.0, high=2.0, **more: Any
) -> None:
    call = getattr(mg, op)
    reference = reference or getattr(np, op)
    name = torch if isinstance(torch, str) else op
    theirs = torch if callable(torch) else lambda t, x: getattr(t, name)(x)
    row(op, call, shapes((3, 4), low=low, high=high), reference, theirs, **more)


def binary(op: str, torch: str | None = None, low=-2.0, high=2.0, **more: Any) -> None:
    call, reference, name = getattr(mg, op), getattr(np, op), torch or op
    theirs = lambda t, x, y: getattr(t, name)(x, y)  # noqa: E731
    for case, (a, b) in {"same": ((2, 3), (2, 3)), "broadcast": ((4, 1, 3), (2, 1)), "0-d": ((), (3,))}.items():
        row(op, call, lambda rng, a=a, b=b: split(rng, a, b, low, high), reference, theirs, case=case, **more)
    one = shapes((3, 2), low=low, high=high)
    row(op, lambda x: call(x, 1.5), one, lambda x: reference(x, 1.5), case="scalar", **more)
    row(op, lambda x: call(1.5, x), one, lambda x: reference(1.5, x), case="rscalar", **more)


def split(rng: np.random.Generator, a: tuple, b: tuple, low: float, high: float) -> Arrays:
    """Two arrays without a number in common, so that nothing ties."""
    n = int(np.prod(a))
    both = distinct(rng, n + int(np.prod(b)), low=low, high=high)
    return [both[:n].reshape(a), both[n:].reshape(b)]


binary("add")
binary("subtract")
binary("multiply")
binary("divide", low=0.3)
binary("power", torch="pow", low=0.3)
binary("maximum")
binary("minimum")
for _name, _torch in {
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
}.items():
    binary(_name, torch=_torch, differentiable=False)
for _name in ("logical_and", "logical_or", "logical_xor"):
    binary(_name, differentiable=False)
unary("logical_not", differentiable=False)
unary("negative")
unary("abs")
unary("sign")
unary("exp")
unary("log", low=0.3)
unary("sqrt", low=0.3)
unary("tanh")
unary("sigmoid", lambda x: 1 / (1 + np.exp(-x)))
unary("relu", lambda x: x * (x > 0))
for _name in ("isnan", "isinf", "isfinite"):
    unary(_name, differentiable=False)
for _name in ("floor", "ceil", "round", "expm1", "sin", "cos", "tan", "arctan", "sinh", "cosh"):
    unary(_name, low=-1.4, high=1.4)
for _name in ("arcsin", "arccos"):
    unary(_name, low=-0.9, high=0.9)
unary("log1p", low=-0.7)
unary("rsqrt", lambda x: 1 / np.sqrt(x), low=0.3)
unary("erf", lambda x: np.vectorize(math.erf)(x))
unary("logsigmoid", lambda x: -np.log(1 + np.exp(-x)), lambda t, x: t.nn.functional.logsigmoid(x))
unary("softplus", lambda x: np.log(1 + np.exp(x)), lambda t, x: t.nn.functional.softplus(x))
unary("silu", lambda x: x / (1 + np.exp(-x)), lambda t, x: t.nn.functional.silu(x))
unary("elu", lambda x: np.where(x > 0, x, np.exp(x) - 1), lambda t, x: t.nn.functional.elu(x))
unary(
    "selu",
    lambda x: (
        1.0507009873554804934193349852946 * np.where(x > 0, x, 1.6732632423543772848170429916717 * (np.exp(x) - 1))
    ),
    lambda t, x: t.selu(x),
)
unary("gelu", lambda x: x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2, lambda t, x: t.nn.functional.gelu(x))
unary("hardtanh", lambda x: np.clip(x, -1, 1), lambda t, x: t.nn.functional.hardtanh(x))
unary("relu6", lambda x: np.clip(x, 0, 6), lambda t, x: t.nn.functional.relu6(x), low=-4, high=9)
unary("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), lambda t, x: t.nn.functional.leaky_relu(x))
binary("arctan2")
row(
    "gelu_tanh",
    lambda x: mg.gelu(x, "tanh"),
    shapes((3, 4)),
    lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
)
row(
    "softplus",
    lambda x: mg.softplus(x, 2.0),
    shapes((5,)),
    lambda x: np.log(1 + np.exp(2 * x)) / 2,
    lambda t, x: t.nn.functional.softplus(x, 2.0),
    case="beta",
)
row(
    "elu",
    lambda x: mg.elu(x, 0.5),
    shapes((5,)),
    lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)),
    lambda t, x: t.nn.functional.elu(x, 0.5),
    case="alpha",
)
row(
    "round",
    lambda x: mg.round(x, 1),
    shapes((7,)),
    lambda x: np.round(x, 1),
    lambda t, x: t.round(x, decimals=1),
    case="1",
)
for _case, _w in {"one": (1,), "channels": (3,)}.items():
    row(
        "prelu",
        mg.prelu,
        shapes((2, 3, 4), _w),
        lambda x, w: np.where(x > 0, x, w[:, None] * x),
        lambda t, x, w: t.nn.functional.prelu(x, w),
        case=_case,
    )
row(
    "power",
    lambda x: mg.power(x, 3),
    shapes((3, 4)),
    lambda x: x * x * x,
    lambda t, x: t.pow(x, 3),
    case="integer",
)
row("power", lambda x: mg.power(x, 0), shapes((3,)), lambda x: np.ones(3), lambda t, x: t.pow(x, 0), case="zero")
row(
    "where",
    lambda x, y: mg.where(x > 0.25, x, y),
    lambda rng: split(rng, (3, 4), (4,), -2, 2),
    lambda x, y: np.where(x > 0.25, x, y),
    lambda t, x, y: t.where(x > 0.25, x, y),
)
row(
    "relu_input",
    lambda g: mg.relu_input(g, -mg.backend.raw(g)),
    shapes((3, 4)),
    lambda g: np.where(g < 0, g, 0),
    lambda t, g: t.where(g < 0, g, 0),
)
row(
    "mask",
    lambda x: mg.mask(x, x > 0.25),
    shapes((3, 4)),
    lambda x: np.where(x > 0.25, x, 0),
    lambda t, x: t.where(x > 0.25, x, 0),
)
row(
    "clip",
    lambda x: mg.clip(x, -1, 0.75),
    shapes((3, 4)),
    lambda x: np.minimum(np.maximum(x, -1), 0.75),
    lambda t, x: t.clamp(x, -1, 0.75),
)
row(
    "clip",
    mg.clip,
    lambda rng: [distinct(rng, 3, 4), distinct(rng, 4, low=-1, high=-0.5), distinct(rng, 4, low=0.5, high=1)],
    lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi),
    lambda t, x, lo, hi: t.clamp(x, lo, hi),
    case="arrays",
)
row(
    "clip",
    lambda x: mg.clip(x, min=0.1),
    shapes((5,)),
    lambda x: np.maximum(x, 0.1),
    lambda t, x: t.clamp(x, min=0.1),
    case="open",
)


# ---- reductions -----------------------------------------------------------------------------------------------------

for _op, _torch in {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}.items():
    _call, _reference = getattr(mg, _op), getattr(np, _op)
    for _case, _axis, _keep in (("all", None, False), ("one", 1, False), ("two", (0, -1), True), ("none", (), False)):
        row(
            _op,
            lambda x, f=_call, a=_axis, k=_keep: f(x, axis=a, keepdims=k),
            shapes((2, 3, 4)),
            lambda x, f=_reference, a=_axis, k=_keep: f(x, axis=a, keepdims=k),
            None
            if _axis == ()
            else lambda t, x, n=_torch, a=_axis, k=_keep: getattr(t, n)(
                x, dim=(0, 1, 2) if a is None else a, keepdim=k
            ),
            case=_case,
        )
for _op in ("var", "std"):
    for _case, _axis, _keep, _ddof in (("all", None, False, 0), ("one", 1, False, 1), ("two", (0, -1), True, 0)):
        row(
            _op,
            lambda x, f=_op, a=_axis, k=_keep, d=_ddof: getattr(mg, f)(x, a, d, k),
            shapes((2, 3, 4)),
            lambda x, f=_op, a=_axis, k=_keep, d=_ddof: _moment(x, f, a, k, d),
            lambda t, x, f=_op, a=_axis, k=_keep, d=_ddof: getattr(t, f)(x, dim=a, correction=d, keepdim=k),
            case=_case,
        )


def _moment(x: np.ndarray, name: str, axis: Any, keepdims: bool, ddof: int) -> np.ndarray:
    squares = (x - x.mean(axis, keepdims=True)) ** 2
    n = x.size // x.mean(axis, keepdims=True).size - ddof
    return (squares.sum(axis, keepdims=keepdims) / n) ** (1 if name == "var" else 0.5)


for _case, _axis in {"all": None, "one": 1, "two": (0, 2)}.items():
    for _zeros in (0, 1, 2):
        row(
            "prod",
            lambda x, a=_axis: mg.prod(x, a),
            lambda rng, z=_zeros: [_with_zeros(distinct(rng, 2, 3, 2, low=0.5), z)],
            lambda x, a=_axis: np.exp(np.log(np.abs(x) + (x == 0) * 1e-300).sum(a)) * (np.abs(x).min(a) > 0),
            (lambda t, x: t.prod(x)) if _axis is None else (lambda t, x: t.prod(x, 1)) if _axis == 1 else None,
            case=f"{_case}, {_zeros} zeros",
        )
for _case, _axis in {"all": None, "first": 0, "last": -1}.items():
    row(
        "cumsum",
        lambda x, a=_axis: mg.cumsum(x, a),
        shapes((3, 4)),
        lambda x, a=_axis: _running(x, a, np.sum),
        None if _axis is None else lambda t, x, a=_axis: t.cumsum(x, a),
        case=_case,
    )
    for _zeros in (0, 1, 2):
        row(
            "cumprod",
            lambda x, a=_axis: mg.cumprod(x, a),
            lambda rng, z=_zeros: [_with_zeros(distinct(rng, 3, 4), z)],
            lambda x, a=_axis: _running(x, a, np.prod),
            None if _axis is None else lambda t, x, a=_axis: t.cumprod(x, a),
            case=f"{_case}, {_zeros} zeros",
        )


def _with_zeros(x: np.ndarray, n: int) -> np.ndarray:
    x.ravel()[:: max(1, x.size // 2)][:n] = 0
    return x


def _running(x: np.ndarray, axis: int | None, reduce: Callable) -> np.ndarray:
    x = x.ravel() if axis is None else np.moveaxis(x, axis, 0)
    out = np.stack([reduce(x[: k + 1], axis=0) for k in range(len(x))])
    return out if axis is None else np.moveaxis(out, 0, axis)


for _case, _axis, _keep in (("all", None, False), ("one", 1, True), ("two", (0, 2), False)):
    row(
        "logsumexp",
        lambda x, a=_axis, k=_keep: mg.logsumexp(x, a, k),
        shapes((2, 3, 4)),
        lambda x, a=_axis, k=_keep: np.log(np.exp(x).sum(a, keepdims=k)),
        lambda t, x, a=_axis, k=_keep: t.logsumexp(x, dim=(0, 1, 2) if a is None else a, keepdim=k),
        case=_case,
    )
    for _ord in (2, 1, 3, 0.5, np.inf, -np.inf):
        row(
            "norm",
            lambda x, o=_ord, a=_axis, k=_keep: mg.norm(x, o, a, k),
            shapes((2, 3, 4)),
            lambda x, o=_ord, a=_axis, k=_keep: _norm(x, o, a, k),
            lambda t, x, o=_ord, a=_axis, k=_keep: t.linalg.vector_norm(x, o, a, k),
            case=f"{_ord} {_case}",
        )


def _norm(x: np.ndarray, ord: float, axis: Any, keepdims: bool) -> np.ndarray:
    if np.isinf(ord):
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


for _op in ("any", "all"):
    row(
        _op,
        lambda x, f=_op: getattr(mg, f)(x > 0, 1),
        shapes((3, 4)),
        lambda x, f=_op: getattr(np, f)(x > 0, 1),
        lambda t, x, f=_op: getattr(t, f)(x > 0, 1),
        differentiable=False,
    )
row(
    "argmin",
    lambda x: mg.argmin(x, 0),
    shapes((3, 4)),
    lambda x: np.argmin(x, 0),
    lambda t, x: t.argmin(x, 0),
    differentiable=False,
)
row(
    "argmax",
    lambda x: mg.argmax(x, 1),
    shapes((3, 4)),
    lambda x: np.argmax(x, 1),
    lambda t, x: t.argmax(x, 1),
    differentiable=False,
)
row("argmax", mg.argmax, shapes((3, 4)), np.argmax, lambda t, x: t.argmax(x), case="all", differentiable=False)


# ---- shapes ---------------------------------------------------------------------------------------------------------

row(
    "reshape",
    lambda x: mg.reshape(x, (4, -1)),
    shapes((2, 3, 4)),
    lambda x: x.reshape(4, 6),
    lambda t, x: x.reshape(4, -1),
)
row(
    "permute",
    lambda x: mg.permute(x, (2, 0, -2)),
    shapes((2, 3, 4)),
    lambda x: np.transpose(x, (2, 0, 1)),
    lambda t, x: t.permute(x, (2, 0, -2)),
)
row(
    "swapaxes",
    lambda x: mg.swapaxes(x, 0, -1),
    shapes((2, 3, 4)),
    lambda x: np.einsum("ijk->kji", x),
    lambda t, x: t.swapaxes(x, 0, -1),
)
row("permute", lambda x: mg.permute(x), shapes((2, 3)), np.transpose, lambda t, x: x.T, case="reverse")
row(
    "expand_dims",
    lambda x: mg.expand_dims(x, (0, -1)),
    shapes((2, 3)),
    lambda x: x[None, ..., None],
    lambda t, x: x[None, ..., None],
)
row("squeeze", mg.squeeze, shapes((1, 3, 1)), lambda x: x[0, :, 0], lambda t, x: t.squeeze(x))
row("squeeze", lambda x: mg.squeeze(x, 0), shapes((1, 3, 1)), lambda x: x[0], lambda t, x: t.squeeze(x, 0), case="one")
row(
    "broadcast_to",
    lambda x: mg.broadcast_to(x, (2, 3, 4)),
    shapes((3, 1)),
    lambda x: np.broadcast_to(x, (2, 3, 4)),
    lambda t, x: t.broadcast_to(x, (2, 3, 4)),
)
row(
    "flatten",
    lambda x: mg.flatten(x, 1, 2),
    shapes((2, 3, 2, 2)),
    lambda x: x.reshape(2, 6, 2),
    lambda t, x: t.flatten(x, 1, 2),
)
row("flatten", mg.flatten, shapes(()), lambda x: x.reshape(1), lambda t, x: t.flatten(x), case="0-d")
row(
    "stack",
    lambda *xs: mg.stack(xs, -1),
    shapes((2, 3), (2, 3)),
    lambda *xs: np.stack(xs, -1),
    lambda t, *xs: t.stack(xs, -1),
)
row(
    "split",
    lambda x: mg.split(x, [1, 3], 1)[1],
    shapes((2, 4)),
    lambda x: x[:, 1:3],
    lambda t, x: t.tensor_split(x, (1, 3), 1)[1],
)
row("split", lambda x: mg.split(x, 2)[1], shapes((4, 2)), lambda x: x[2:], lambda t, x: t.split(x, 2)[1], case="equal")
row(
    "flip",
    lambda x: mg.flip(x, (0, -1)),
    shapes((2, 3, 2)),
    lambda x: x[::-1, :, ::-1],
    lambda t, x: t.flip(x, (0, -1)),
)
row("flip", mg.flip, shapes((2, 3)), lambda x: x[::-1, ::-1], lambda t, x: t.flip(x, (0, 1)), case="all")
for _case, _shift, _axis in (("one", 2, 1), ("two", (1, -1), (0, 1)), ("flat", 3, None)):
    row(
        "roll",
        lambda x, s=_shift, a=_axis: mg.roll(x, s, a),
        shapes((3, 4)),
        lambda x, s=_shift, a=_axis: np.roll(x, s, a),
        lambda t, x, s=_shift, a=_axis: t.roll(x, s, a),
        case=_case,
    )
for _case, _reps in {"one": 2, "fewer": (2, 1), "more": (2, 1, 3)}.items():
    row(
        "tile",
        lambda x, r=_reps: mg.tile(x, r),
        shapes((2, 3)),
        lambda x, r=_reps: np.tile(x, r),
        lambda t, x, r=_reps: t.tile(x, r if isinstance(r, tuple) else (r,)),
        case=_case,
    )
for _case, _repeats, _axis in (("all", 2, None), ("one", 3, 1), ("each", [2, 0, 1], 0)):
    row(
        "repeat",
        lambda x, r=_repeats, a=_axis: mg.repeat(x, r, a),
        shapes((3, 2)),
        lambda x, r=_repeats, a=_axis: np.repeat(x, r, a),
        lambda t, x, r=_repeats, a=_axis: t.repeat_interleave(x, t.tensor(r), dim=a),
        case=_case,
    )
row("copy", mg.copy, shapes((2, 3)), lambda x: x, lambda t, x: t.clone(x))
row(
    "concatenate",
    lambda *xs: mg.concatenate(xs, 1),
    shapes((2, 1), (2, 3), (2, 2)),
    lambda *xs: np.concatenate(xs, 1),
    lambda t, *xs: t.cat(xs, 1),
)
row(
    "pad",
    lambda x: mg.pad(x, ((1, 2), (0, 1)), constant_values=0.5),
    shapes((2, 3)),
    lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=0.5),
    lambda t, x: t.nn.functional.pad(x, (0, 1, 1, 2), value=0.5),
)
for _case, _torch_mode in {
    "reflect": "reflect",
    "edge": "replicate",
    "replicate": "replicate",
    "wrap": "circular",
    "circular": "circular",
    "symmetric": None,
}.items():
    _numpy_mode = {"replicate": "edge", "circular": "wrap"}.get(_case, _case)
    row(
        "pad",
        lambda x, m=_case: mg.pad(x, ((0, 0), (0, 0), (1, 2), (0, 2)), m),
        shapes((1, 2, 3, 4)),
        lambda x, m=_numpy_mode: np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 2)), m),
        None if _torch_mode is None else lambda t, x, m=_torch_mode: t.nn.functional.pad(x, (0, 2, 1, 2), m),
        case=_case,
    )
row(
    "pad",
    lambda x: mg.pad(x, (5, 4), "reflect"),
    shapes((3,)),
    lambda x: np.pad(x, (5, 4), "reflect"),
    case="reflect many times",
)
row("astype", lambda x: mg.astype(x, np.float64), shapes((3,)), lambda x: x.astype("f8"), lambda t, x: x.double())
row(
    "transfer",
    lambda x: mg.transfer(x, mg.backend.device_of(x), mg.backend.device_of(x)),
    shapes((3,)),
    lambda x: x,
    None,
)
INDICES: dict[str, Any] = {
    "integer": 1,
    "negative": (-1, 2),
    "slice": (slice(None), slice(3, 0, -2)),
    "new axis": (None, ..., 0),
    "repeated": ([0, 2, 0, 0],),
    "pairs": ([0, 1, 0], [3, 2, 3]),
    "mixed": (slice(0, 2), [1, 1, 0]),
    "boolean": (np.arange(12).reshape(3, 4) % 3 == 0).tolist(),
}


def changed(x: np.ndarray, index: Any, value: np.ndarray, change: Callable) -> np.ndarray:
    """x with `change(old, value)` at each place of the index, one place after the other."""
    out, places = x.copy(), np.arange(x.size).reshape(x.shape)[index]
    for place, v in zip(places.ravel(), np.broadcast_to(value, places.shape).ravel(), strict=True):
        out.flat[place] = change(out.flat[place], v)
    return out


def _torch_index(t: Any, index: Any) -> Any:
    """PyTorch takes a nested list for a tuple."""
    return t.tensor(index) if isinstance(index, list) else index


def _torch_changed(t: Any, x: Any, index: Any, value: Any, accumulate: bool) -> Any:
    flat = t.arange(x.numel()).reshape(x.shape)[_torch_index(t, index)].reshape(-1)
    return x.reshape(-1).index_put((flat,), value.reshape(-1), accumulate=accumulate).reshape(x.shape)


for _case, _index in INDICES.items():
    _cut = np.zeros((3, 4))[_index].shape
    _steps_back, _repeats = _case == "slice", _case in ("repeated", "pairs", "mixed")  # PyTorch has neither
    row(
        "getitem",
        lambda x, i=_index: mg.getitem(x, i),
        shapes((3, 4)),
        lambda x, i=_index: x[i],
        None if _steps_back else lambda t, x, i=_index: x[_torch_index(t, i)],
        case=_case,
    )
    row(
        "index_add",
        lambda x, v, i=_index: mg.index_add(x, v, i),
        shapes((3, 4), _cut),
        lambda x, v, i=_index: changed(x, i, v, lambda old, new: old + new),
        None if _steps_back else lambda t, x, v, i=_index: _torch_changed(t, x, i, v, True),
        case=_case,
    )
    row(
        "index_set",
        lambda x, v, i=_index: mg.index_set(x, v, i)[0],
        shapes((3, 4), _cut),
        lambda x, v, i=_index: changed(x, i, v, lambda old, new: new),
        None if _steps_back or _repeats else lambda t, x, v, i=_index: _torch_changed(t, x, i, v, False),
        case=_case,
    )
row(
    "index_set",
    lambda x, v: mg.index_set(x, v, (slice(None), slice(1, 3)))[0],
    shapes((3, 4), (2,)),
    lambda x, v: changed(x, (slice(None), slice(1, 3)), v, lambda old, new: new),
    case="broadcast",
)
row(
    "index_set",
    lambda x, v: mg.index_set(x, v, ([0, 2, 0],))[0],
    shapes((3, 4), (4,)),
    lambda x, v: changed(x, ([0, 2, 0],), v, lambda old, new: new),
    case="repeated broadcast",
)


PICKS = np.array([[0, 2, 1, 2], [1, 1, 0, 2]])
row(
    "gather",
    lambda x: mg.gather(x, 0, like(x, PICKS)),
    shapes((3, 5)),
    lambda x: np.array([[x[PICKS[i, j], j] for j in range(4)] for i in range(2)]),
    lambda t, x: t.gather(x, 0, t.tensor(PICKS)),
)
for _case, _src in {"exact": (2, 4), "excess": (2, 6)}.items():
    row(
        "scatter_add",
        lambda x, v: mg.scatter_add(x, 0, like(x, PICKS), v),
        shapes((3, 5), _src),
        lambda x, v: _scattered(x, v),
        # PyTorch 2.13 cannot go back through an excess of src.
        (lambda t, x, v: t.scatter_add(x, 0, t.tensor(PICKS), v)) if _case == "exact" else None,
        case=_case,
    )


def _scattered(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    out = x.copy()
    for i, j in np.ndindex(PICKS.shape):
        out[PICKS[i, j], j] += v[i, j]
    return out


row(
    "take_along_axis",
    lambda x: mg.take_along_axis(x, like(x, PICKS[:, :1]), 0),
    shapes((3, 5)),
    lambda x: np.take_along_axis(x, PICKS[:, :1], 0),
    lambda t, x: t.take_along_dim(x, t.tensor(PICKS[:, :1]), 0),
)
row(
    "take",
    lambda x: mg.take(x, [[0, 2], [2, 2]], 1),
    shapes((2, 3)),
    lambda x: np.take(x, [[0, 2], [2, 2]], 1),
    lambda t, x: x[:, t.tensor([[0, 2], [2, 2]])],
)
row(
    "take",
    lambda x: mg.take(x, [5, 0]),
    shapes((2, 3)),
    lambda x: np.take(x, [5, 0]),
    lambda t, x: t.take(x, t.tensor([5, 0])),
    case="flat",
)
row(
    "one_hot",
    lambda x: mg.one_hot(mg.argsort(x), 5),
    shapes((2, 3)),
    lambda x: np.eye(5, dtype=int)[np.argsort(x)],
    lambda t, x: t.nn.functional.one_hot(t.argsort(x), 5),
    differentiable=False,
)
for _case, _axis, _descending in (("last", -1, False), ("first", 0, True)):
    row(
        "argsort",
        lambda x, a=_axis, d=_descending: mg.argsort(x, a, d),
        shapes((3, 4)),
        lambda x, a=_axis, d=_descending: np.argsort(-x if d else x, a),
        lambda t, x, a=_axis, d=_descending: t.argsort(x, a, d),
        case=_case,
        differentiable=False,
    )
    row(
        "sort",
        lambda x, a=_axis, d=_descending: mg.sort(x, a, d),
        shapes((3, 4)),
        lambda x, a=_axis, d=_descending: np.flip(np.sort(x, a), a) if d else np.sort(x, a),
        lambda t, x, a=_axis, d=_descending: t.sort(x, a, d)[0],
        case=_case,
    )
    row(
        "topk",
        lambda x, a=_axis, d=_descending: mg.topk(x, 2, a, d)[0],
        shapes((3, 4)),
        lambda x, a=_axis, d=_descending: np.moveaxis(
            np.array([np.sort(r)[::-1][:2] if d else np.sort(r)[:2] for r in np.moveaxis(x, a, -1)]), -1, a
        ),
        lambda t, x, a=_axis, d=_descending: t.topk(x, 2, a, d)[0],
        case=_case,
    )


# ---- linear algebra -------------------------------------------------------------------------------------------------

for _case, (_a, _b) in {
    "matrices": ((3, 4), (4, 2)),
    "stacks": ((5, 1, 3, 4), (2, 4, 2)),
    "vector matrix": ((4,), (4, 2)),
    "vector stack": ((4,), (5, 4, 2)),
    "matrix vector": ((3, 4), (4,)),
    "stack vector": ((5, 3, 4), (4,)),
    "vectors": ((4,), (4,)),
}.items():
    row(
        "matmul",
        mg.matmul,
        shapes(_a, _b),
        lambda x, y: np.einsum("...ij,...jk->...ik", *_as_matrices(x, y)).reshape(np.matmul(x, y).shape),
        lambda t, x, y: t.matmul(x, y),
        case=_case,
    )


for _case, (_x, _bias) in {
    "batch": ((5, 4), True),
    "without bias": ((5, 4), False),
    "more axes": ((2, 5, 4), True),
    "one": ((4,), True),
}.items():
    row(
        "linear",
        mg.linear,
        shapes(_x, (3, 4), *([(3,)] if _bias else [])),
        lambda x, w, b=0.0: np.einsum("...i,oi->...o", x, w) + b,
        lambda t, x, w, b=None: t.nn.functional.linear(x, w, b),
        case=_case,
    )


def _as_matrices(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (x[None] if x.ndim == 1 else x), (y[:, None] if y.ndim == 1 else y)


EINSUMS: dict[str, tuple] = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "bij, bjk -> bk": ((2, 3, 2), (2, 2, 4)),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "ij->j": ((2, 3),),
    "ij->ji": ((2, 3),),
    "i,j,k->ikj": ((2,), (3,), (2,)),
    "...ij,...j->...i": ((4, 1, 2, 3), (2, 3)),
    "iij,j->i": ((2, 2, 3), (3,)),
    "i,i,i->": ((3,), (3,), (3,)),
    "a...,b...->...ab": ((2, 3), (4, 3)),
    ",i->i": ((), (3,)),
}
for _case, _operands in EINSUMS.items():
    row(
        "einsum",
        lambda *xs, s=_case: mg.einsum(s, *xs),
        shapes(*_operands),
        lambda *xs, s=_case: np.einsum(s, *xs),
        lambda t, *xs, s=_case: t.einsum(s, *xs),
        case=_case,
    )
row("outer", mg.outer, shapes((3,), (4,)), lambda x, y: x[:, None] * y, lambda t, x, y: t.outer(x, y))
for _case, _axes, (_a, _b) in (
    ("two", 2, ((2, 3, 4), (3, 4, 5))),
    ("none", 0, ((2,), (3,))),
    ("lists", ([0, -1], [1, 0]), ((2, 3, 4), (4, 2, 5))),
):
    row(
        "tensordot",
        lambda x, y, a=_axes: mg.tensordot(x, y, a),
        shapes(_a, _b),
        lambda x, y, a=_axes: np.tensordot(x, y, a),
        lambda t, x, y, a=_axes: t.tensordot(x, y, dims=a),
        case=_case,
    )


def _regular(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Matrices far from singular ones."""
    return rng.standard_normal(shape) * 0.5 + 2 * np.eye(shape[-1])


for _case, _shape in {"one": (3, 3), "stack": (2, 2, 2)}.items():
    row(
        "inv",
        mg.inv,
        lambda rng, s=_shape: [_regular(rng, *s)],
        lambda x: np.linalg.solve(x, np.broadcast_to(np.eye(x.shape[-1]), x.shape)),
        lambda t, x: t.linalg.inv(x),
        case=_case,
    )
    row(
        "det",
        mg.det,
        lambda rng, s=_shape: [_regular(rng, *s)],
        lambda x: np.linalg.eigvals(x).prod(-1).real,
        lambda t, x: t.linalg.det(x),
        case=_case,
    )
    row(
        "slogdet",
        lambda x: mg.slogdet(x)[1],
        lambda rng, s=_shape: [-_regular(rng, *s)],
        lambda x: np.log(np.abs(np.linalg.eigvals(x))).sum(-1),
        lambda t, x: t.linalg.slogdet(x)[1],
        case=_case,
    )
    row(
        "cholesky",
        lambda x: mg.cholesky(mg.matmul(x, x.swapaxes(-1, -2))),
        lambda rng, s=_shape: [_regular(rng, *s)],
        lambda x: np.linalg.cholesky(np.einsum("...ij,...kj->...ik", x, x)),
        lambda t, x: t.linalg.cholesky(x @ x.mT),
        case=_case,
    )
for _case, _a, _b in (("vector", (3, 3), (3,)), ("matrix", (3, 3), (3, 2)), ("stack", (4, 2, 2), (4, 2, 3))):
    row(
        "solve",
        mg.solve,
        lambda rng, a=_a, b=_b: [_regular(rng, *a), rng.standard_normal(b)],
        lambda a, b: (np.linalg.inv(a) @ (b[:, None] if b.ndim == 1 else b)).reshape(b.shape),
        lambda t, a, b: t.linalg.solve(a, b),
        case=_case,
    )


# ---- softmax --------------------------------------------------------------------------------------------------------


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


for _axis in (0, -1):
    row(
        "softmax",
        lambda x, a=_axis: mg.softmax(x, a),
        shapes((3, 4)),
        lambda x, a=_axis: _softmax(x, a),
        lambda t, x, a=_axis: t.softmax(x, a),
        case=f"axis {_axis}",
    )
    row(
        "log_softmax",
        lambda x, a=_axis: mg.log_softmax(x, a),
        shapes((3, 4)),
        lambda x, a=_axis: np.log(_softmax(x, a)),
        lambda t, x, a=_axis: t.log_softmax(x, a),
        case=f"axis {_axis}",
    )


LOGITS = {"classes": (4, 3), "one": (3,), "pixels": (2, 3, 2, 2)}
CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0])
for _case, _shape in LOGITS.items():
    for _options in (
        {},
        {"reduction": "sum"},
        {"reduction": "none"},
        {"label_smoothing": 0.1},
        {"weight": True},
        {"weight": True, "label_smoothing": 0.2, "reduction": "none"},
        {"ignore_index": 1},
        {"ignore_index": 1, "weight": True, "label_smoothing": 0.3},
    ):
        row(
            "cross_entropy",
            lambda x, o=_options: mg.cross_entropy(
                x, like(x, _classes(x.shape)), **_weighted(o, lambda w: like(x, w.astype(x.dtype)))
            ),
            shapes(_shape),
            lambda x, o=_options: brute_cross_entropy(x, _classes(x.shape), **_weighted(o, lambda w: w)),
            lambda t, x, o=_options: t.nn.functional.cross_entropy(
                x, t.tensor(_classes(x.shape)), **_weighted(o, lambda w: t.tensor(w, dtype=x.dtype))
            ),
            case=f"{_case} {_options}",
        )
    for _options in ({}, {"label_smoothing": 0.1, "reduction": "none"}, {"weight": True, "reduction": "mean"}):
        row(
            "cross_entropy",
            lambda x, q, o=_options: mg.cross_entropy(
                x, mg.softmax(q, _class_axis(q)), **_weighted(o, lambda w: like(x, w.astype(x.dtype)))
            ),
            shapes(_shape, _shape),
            lambda x, q, o=_options: brute_cross_entropy(x, _softmax(q, _class_axis(q)), **_weighted(o, lambda w: w)),
            lambda t, x, q, o=_options: t.nn.functional.cross_entropy(
                x, t.softmax(q, _class_axis(q)), **_weighted(o, lambda w: t.tensor(w, dtype=x.dtype))
            ),
            case=f"{_case} distribution {_options}",
        )


def _class_axis(x: Any) -> int:
    return min(1, x.ndim - 1)


def _classes(shape: tuple) -> np.ndarray:
    """The right classes for logits of this shape: all three occur."""
    axis = min(1, len(shape) - 1)
    rest = shape[:axis] + shape[axis + 1 :]
    return (np.arange(int(np.prod(rest))) * 2 % 3).reshape(rest)


def _weighted(options: dict, convert: Callable) -> dict:
    return {k: convert(CLASS_WEIGHTS) if k == "weight" else v for k, v in options.items()}


def brute_cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Position by position, from the definition."""
    axis = _class_axis(x)
    rows, n = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]), x.shape[axis]
    w = np.ones(n) if weight is None else weight
    losses, weights = [], []
    soft = target.shape == x.shape and target.dtype.kind == "f"
    targets = np.moveaxis(target, axis, -1).reshape(-1, n) if soft else target.ravel()
    for logits, t in zip(rows, targets, strict=True):
        p = np.exp(logits) / np.exp(logits).sum()
        q = t if soft else np.eye(n)[t]
        ignored = not soft and t == ignore_index
        q = q * (1 - label_smoothing) + label_smoothing / n
        losses.append(0.0 if ignored else -sum(w[c] * q[c] * np.log(p[c]) for c in range(n)))
        weights.append(0.0 if ignored else 1.0 if soft else w[t])
    if reduction == "none":
        return np.reshape(losses, np.moveaxis(x, axis, -1).shape[:-1])
    return np.sum(losses) / (np.sum(weights) if reduction == "mean" else 1)


row(
    "log_loss",
    lambda x: loss._log_loss(x, like(x, _classes(x.shape)))[0],
    shapes((4, 3, 2)),
    lambda x: brute_cross_entropy(x, _classes(x.shape), reduction="none"),
    lambda t, x: t.nn.functional.cross_entropy(x, t.tensor(_classes(tuple(x.shape))), reduction="none"),
)
row(
    "log_loss_input",
    lambda g, x: loss._log_loss_input(g, x, like(x, _classes(x.shape)), *logarithm_of(x)),
    shapes((4,), (4, 3)),
    lambda g, x: g[:, None] * (_softmax(x, 1) - np.eye(3)[_classes(x.shape)]),
    lambda t, g, x: t.autograd.grad(
        t.nn.functional.cross_entropy(x, t.tensor(_classes((4, 3))), reduction="none"), x, g, create_graph=True
    )[0],
)


# ---- normalisation --------------------------------------------------------------------------------------------------


def statistics(x: Any) -> tuple:
    """Mean and variance of each channel, as the op takes them: raw arrays."""
    return kernels(raw(x)).moments(raw(x))


def logarithm_of(x: Any) -> tuple:
    """log(sum(exp(x))) of each row in two parts, as the op takes it: raw arrays."""
    top = raw(mg.max(raw(x), 1))
    return top, raw(mg.logsumexp(raw(x), 1)) - top


def brute_standardize(x: np.ndarray, eps: float) -> np.ndarray:
    """Channel by channel, from the definition."""
    out = np.empty(x.shape)
    for c in range(x.shape[1]):
        values = x[:, c]
        mean = sum(values.ravel().tolist()) / values.size
        var = sum((v - mean) ** 2 for v in values.ravel().tolist()) / values.size
        out[:, c] = (values - mean) / math.sqrt(var + eps)
    return out


def across(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))


def brute_norm_gradient(g: np.ndarray, x: np.ndarray, w: np.ndarray, eps: float) -> np.ndarray:
    """Channel by channel, the product of g*w with the matrix of derivatives, written out."""
    x_hat, out = brute_standardize(x, eps), np.empty(x.shape)
    for c in range(x.shape[1]):
        h, n = x_hat[:, c].ravel(), x[:, c].size
        matrix = (np.eye(n) - 1 / n - np.outer(h, h) / n) / math.sqrt(x[:, c].var() + eps)
        out[:, c] = (w[c] * g[:, c].ravel() @ matrix).reshape(x[:, c].shape)
    return out


row(
    "standardize",
    lambda x: mg.standardize(x, (0, 2), 0.1),
    shapes((3, 2, 4)),
    lambda x: brute_standardize(x, 0.1),
    lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True, eps=0.1),
)
for _case, _shape in {"images": (2, 3, 2, 3), "vectors": (4, 3), "lines": (3, 3, 2)}.items():
    row(
        "batch_norm",
        lambda x, w, b: normalization._batch_norm(x, w, b, None, 0.1, False)[0],
        shapes(_shape, (3,), (3,)),
        lambda x, w, b: brute_standardize(x, 0.1) * across(w, x) + across(b, x),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True, eps=0.1),
        case=_case,
    )
    for _activation in (None, "relu"):
        row(
            "batch_norm_act",
            lambda x, w, b, r, a=_activation: mg.batch_norm_act(x, w, b, eps=0.1, residual=r, activation=a),
            shapes(_shape, (3,), (3,), _shape),
            lambda x, w, b, r, a=_activation: np.maximum(
                brute_standardize(x, 0.1) * across(w, x) + across(b, x) + r, 0 if a else -np.inf
            ),
            lambda t, x, w, b, r, a=_activation: (t.relu if a else lambda y: y)(
                t.nn.functional.batch_norm(x, None, None, w, b, True, eps=0.1) + r
            ),
            case=f"{_case}, residual, {_activation}",
        )
row(
    "batch_norm_act",
    lambda x: mg.batch_norm_act(x),
    shapes((2, 3, 2, 3)),
    lambda x: brute_standardize(x, 1e-5),
    lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True),
    case="without weights",
)
row(
    "batch_norm_act",
    lambda x, w, b, m, v: mg.batch_norm_act(x, w, b, mean=m, var=v * v, activation="relu"),
    shapes((2, 3, 2, 3), (3,), (3,), (3,), (3,)),
    lambda x, w, b, m, v: np.maximum(
        (x - across(m, x)) / np.sqrt(across(v * v, x) + 1e-5) * across(w, x) + across(b, x), 0
    ),
    lambda t, x, w, b, m, v: t.relu(
        (x - m.reshape(1, 3, 1, 1)) / (v.reshape(1, 3, 1, 1) ** 2 + 1e-5).sqrt() * w.reshape(1, 3, 1, 1)
        + b.reshape(1, 3, 1, 1)
    ),
    case="given statistics",
)
row(
    "batch_norm_input",
    lambda g, x, w: normalization._batch_norm_input(g, x, w, *statistics(x), 0.1),
    shapes((3, 2, 3), (3, 2, 3), (2,)),
    lambda g, x, w: brute_norm_gradient(g, x, w, 0.1),
    lambda t, g, x, w: t.autograd.grad(
        t.nn.functional.batch_norm(x, None, None, w, None, True, eps=0.1), x, g, create_graph=True
    )[0],
)
row(
    "batch_norm_weight",
    lambda g, x: normalization._batch_norm_weight(g, x, *statistics(x), 0.1),
    shapes((3, 2, 3), (3, 2, 3)),
    lambda g, x: np.einsum("ncl,ncl->c", g, brute_standardize(x, 0.1)),
    lambda t, g, x: (g * t.nn.functional.batch_norm(x, None, None, training=True, eps=0.1)).sum((0, 2)),
)
row(
    "normalized",
    lambda x, m, v, w, b, r: normalization._normalized(x, m, v * v, w, b, r, 0.1, True),
    shapes((2, 3, 2, 3), (3,), (3,), (3,), (3,), (2, 3, 2, 3)),
    lambda x, m, v, w, b, r: np.maximum(
        (x - across(m, x)) / np.sqrt(across(v * v, x) + 0.1) * across(w, x) + across(b, x) + r, 0
    ),
    lambda t, x, m, v, w, b, r: t.relu(
        t.einsum("ncij,c->ncij", x - m.reshape(1, 3, 1, 1), w / (v * v + 0.1).sqrt()) + b.reshape(1, 3, 1, 1) + r
    ),
)


def brute_window(x: np.ndarray, low: int, high: int) -> np.ndarray:
    channels = x.shape[1]
    return np.stack([x[:, max(c - low, 0) : min(c + high + 1, channels)].sum(1) for c in range(channels)], 1)


def brute_lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    return x / (k + alpha * brute_window(x * x, size // 2, (size - 1) // 2)) ** beta


row(
    "channel_window",
    lambda x: normalization._channel_window(x, 2, 1),
    shapes((2, 5, 2)),
    lambda x: brute_window(x, 2, 1),
    lambda t, x: t.nn.functional.pad(x, (0, 0, 2, 1)).unfold(1, 4, 1).sum(-1),
)
for _size in (1, 3, 4, 9):
    row(
        "lrn",
        lambda x, s=_size: normalization._lrn(x, s, 0.3, 0.75, 2.0),
        shapes((2, 5, 2, 2)),
        lambda x, s=_size: brute_lrn(x, s, 0.3, 0.75, 2.0),
        lambda t, x, s=_size: t.nn.functional.local_response_norm(x, s, 0.3 * s, 0.75, 2.0),
        case=f"over {_size}",
    )
for _form in ("pytorch", "paper"):
    row(
        "local_response_norm",
        lambda x, f=_form: mg.local_response_norm(x, 3, alpha=0.6, beta=1.5, form=f),
        shapes((2, 5, 2)),
        lambda x, f=_form: brute_lrn(x, 3, 0.6 if f == "paper" else 0.2, 1.5, 1.0),
        lambda t, x, f=_form: t.nn.functional.local_response_norm(x, 3, 1.8 if f == "paper" else 0.6, 1.5),
        case=_form,
    )


def brute_lrn_gradient(g: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The product of g with the matrix of derivatives, written out."""
    s = k + alpha * brute_window(x * x, size // 2, (size - 1) // 2)
    out = g * s**-beta
    for i, j in itertools.product(range(x.shape[1]), repeat=2):  # how y_i depends on x_j through s_i
        if i - size // 2 <= j <= i + (size - 1) // 2:
            out[:, j] -= g[:, i] * x[:, i] * beta * s[:, i] ** (-beta - 1) * 2 * alpha * x[:, j]
    return out


for _size in (3, 4):
    row(
        "lrn_input",
        lambda g, x, s=_size: normalization._lrn_input(g, x, s, 0.3, 0.75, 2.0),
        shapes((2, 5, 2), (2, 5, 2)),
        lambda g, x, s=_size: brute_lrn_gradient(g, x, s, 0.3, 0.75, 2.0),
        lambda t, g, x, s=_size: t.autograd.grad(
            t.nn.functional.local_response_norm(x, s, 0.3 * s, 0.75, 2.0), x, g, create_graph=True
        )[0],
        case=f"over {_size}",
    )

_FORTRAN = (8, 16, 48)
row("in_order", lambda x: mg.in_order(x, _FORTRAN), shapes((2, 3, 4)), lambda x: x, lambda t, x: x)

# ---- convolution and pooling: brute force, one number at a time -----------------------------------------------------


def _positions(x_shape: tuple, kernel: tuple, geometry: Geometry) -> Any:
    """Every pair of output position and kernel tap, with the input position they meet in, if it is not padding."""
    out = [
        (i + lo + hi - d * (k - 1) - 1) // s + 1
        for i, k, s, (lo, hi), d in zip(x_shape[2:], kernel, *geometry[:3], strict=True)
    ]
    for o in itertools.product(*map(range, out)):
        for t in itertools.product(*map(range, kernel)):
            at = [
                a * s + b * d - lo
                for a, s, b, d, (lo, _) in zip(o, geometry.stride, t, geometry.dilation, geometry.padding, strict=True)
            ]
            if all(0 <= a < n for a, n in zip(at, x_shape[2:], strict=True)):
                yield o, t, tuple(at)


def brute_conv(x: np.ndarray, w: np.ndarray, geometry: Geometry) -> np.ndarray:
    g = np.zeros((x.shape[0], w.shape[0], *out_sizes(x.shape, w.shape[2:], geometry)))
    per_x, per_g = w.shape[1], w.shape[0] // geometry.groups
    for o, t, at in _positions(x.shape, w.shape[2:], geometry):
        for k in range(w.shape[0]):
            for c in range(per_x):
                g[(slice(None), k, *o)] += w[(k, c, *t)] * x[(slice(None), k // per_g * per_x + c, *at)]
    return g


def brute_conv_input(w: np.ndarray, g: np.ndarray, geometry: Geometry, shape: tuple) -> np.ndarray:
    x = np.zeros(shape)
    per_x, per_g = w.shape[1], w.shape[0] // geometry.groups
    for o, t, at in _positions(shape, w.shape[2:], geometry):
        for k in range(w.shape[0]):
            for c in range(per_x):
                x[(slice(None), k // per_g * per_x + c, *at)] += w[(k, c, *t)] * g[(slice(None), k, *o)]
    return x


def brute_conv_weight(x: np.ndarray, g: np.ndarray, geometry: Geometry, shape: tuple) -> np.ndarray:
    w = np.zeros(shape)
    per_x, per_g = shape[1], shape[0] // geometry.groups
    for o, t, at in _positions(x.shape, shape[2:], geometry):
        for k in range(shape[0]):
            for c in range(per_x):
                w[(k, c, *t)] += (x[(slice(None), k // per_g * per_x + c, *at)] * g[(slice(None), k, *o)]).sum()
    return w


def out_sizes(x_shape: tuple, kernel: tuple, geometry: Geometry) -> tuple[int, ...]:
    """Counted, not computed: how many times the window fits."""
    sizes = []
    for i, k, s, (lo, hi), d in zip(x_shape[2:], kernel, *geometry[:3], strict=True):
        sizes.append(sum(1 for start in range(0, i + lo + hi, s) if start + d * (k - 1) < i + lo + hi))
    return tuple(sizes)


def windows(x: np.ndarray, kernel: tuple, geometry: Geometry) -> dict:
    """output position -> its input positions, in row-major order of the taps."""
    found: dict = {}
    for o, _, at in _positions(x.shape, kernel, geometry):
        found.setdefault(o, []).append(at)
    return found


def brute_pool(x: np.ndarray, kernel: tuple, geometry: Geometry, reduce: Callable) -> np.ndarray:
    out = np.zeros((*x.shape[:2], *out_sizes(x.shape, kernel, geometry)))
    for o, places in windows(x, kernel, geometry).items():
        out[(slice(None), slice(None), *o)] = reduce(np.stack([x[(slice(None), slice(None), *p)] for p in places]), 0)
    return out


PLAIN = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1))
STRIDED = Geometry((2, 1), ((1, 0), (2, 1)), (1, 2), 2)
DEPTHWISE = Geometry((1, 2), ((1, 1), (0, 1)), (2, 1), 3)


def window_options(geometry: Geometry) -> dict:
    return {k: getattr(geometry, k) for k in ("stride", "padding", "dilation")}


for _case, _geometry, _x, _w in (
    ("plain", PLAIN, (2, 3, 5, 4), (2, 3, 3, 2)),
    ("all at once", STRIDED, (2, 4, 6, 7), (4, 2, 3, 2)),
    ("direct", STRIDED._replace(algorithm="direct"), (2, 4, 6, 7), (4, 2, 3, 2)),
    ("depthwise", DEPTHWISE, (2, 3, 5, 4), (3, 1, 3, 2)),
    ("multiplier", DEPTHWISE, (2, 3, 5, 4), (6, 1, 3, 2)),
    ("many channels", PLAIN, (2, 17, 3, 3), (2, 17, 2, 2)),
    ("1-d", Geometry((2,), ((1, 1),), (1,)), (2, 2, 7), (3, 2, 3)),
    ("3-d", Geometry((1, 2, 1), ((0, 1),) * 3, (1, 1, 1)), (1, 2, 3, 4, 3), (2, 2, 2, 3, 2)),
    ("4-d", Geometry((1, 2, 1, 1), ((0, 1),) * 4, (1, 1, 2, 1)), (1, 1, 2, 3, 2, 2), (2, 1, 2, 2, 2, 1)),
):
    _g = (_x[0], _w[0], *out_sizes(_x, _w[2:], _geometry))
    row(
        "conv",
        lambda x, w, b, p=_geometry: mg.conv(x, w, b, **p._asdict()),
        shapes(_x, _w, (_w[0],)),
        lambda x, w, b, p=_geometry: brute_conv(x, w, p) + b.reshape(-1, *(1,) * (x.ndim - 2)),
        None if len(_x) > 5 else lambda t, x, w, b, p=_geometry: _torch_conv(t, x, w, b, p),
        case=_case,
    )
    row(
        "conv_input",
        lambda w, g, p=_geometry, s=_x: mg.conv_input(w, g, s, **p._asdict()),
        shapes(_w, _g),
        lambda w, g, p=_geometry, s=_x: brute_conv_input(w, g, p, s),
        case=_case,
    )
    row(
        "conv_weight",
        lambda x, g, p=_geometry, s=_w: mg.conv_weight(x, g, s, **p._asdict()),
        shapes(_x, _g),
        lambda x, g, p=_geometry, s=_w: brute_conv_weight(x, g, p, s),
        case=_case,
    )


def _torch_conv(t: Any, x: Any, w: Any, b: Any, geometry: Geometry) -> Any:
    """PyTorch pads alike on both sides only, so the border is laid first."""
    border = [p for pair in reversed(geometry.padding) for p in pair]
    function = getattr(t.nn.functional, f"conv{x.ndim - 2}d")
    return function(t.nn.functional.pad(x, border), w, b, geometry.stride, 0, geometry.dilation, geometry.groups)


row(
    "channel_sum",
    lambda g: mg.channel_sum(g),
    shapes((2, 3, 2, 3)),
    lambda g: np.einsum("ncij->c", g),
    lambda t, g: g.sum((0, 2, 3)),
)


def brute_unfold(x: np.ndarray, kernel: tuple, geometry: Geometry) -> np.ndarray:
    columns = np.zeros((*x.shape[:2], *kernel, *out_sizes(x.shape, kernel, geometry)))
    for o, t, at in _positions(x.shape, kernel, geometry):
        columns[(slice(None), slice(None), *t, *o)] = x[(slice(None), slice(None), *at)]
    return columns


_window = {"stride": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 2)}
WINDOW = Geometry(*_window.values())
row(
    "unfold",
    lambda x: mg.unfold(x, (3, 2), **_window),
    shapes((2, 2, 5, 4)),
    lambda x: brute_unfold(x, (3, 2), WINDOW).reshape(2, 12, -1),
)
row(
    "fold",
    lambda c: mg.fold(c, (5, 4), (3, 2), **_window),
    shapes((2, 12, 6)),
    lambda c: brute_fold(c.reshape(2, 2, 3, 2, 2, 3), WINDOW, (2, 2, 5, 4)),
)


def brute_fold(columns: np.ndarray, geometry: Geometry, shape: tuple) -> np.ndarray:
    x = np.zeros(shape)
    for o, t, at in _positions(shape, columns.shape[2:4], geometry):
        x[(slice(None), slice(None), *at)] += columns[(slice(None), slice(None), *t, *o)]
    return x


def brute_local(x: np.ndarray, w: np.ndarray, geometry: Geometry) -> np.ndarray:
    n = x.ndim - 2
    y = np.zeros((x.shape[0], w.shape[n], *w.shape[:n]))
    for o in itertools.product(*map(range, w.shape[:n])):
        y[(..., *o)] = brute_conv(x, w[o], geometry)[(..., *o)]
    return y


for _case, _geometry, _x, _w, _b in (
    ("2-d", Geometry((1, 2), ((1, 0), (0, 1)), (1, 1), 2), (2, 4, 3, 4), (3, 2, 2, 2, 2, 3), (2, 3, 2)),
    ("1-d", Geometry((1,), ((0, 0),), (2,)), (2, 2, 5), (3, 3, 2, 2), (3,)),
):
    row(
        "conv_local",
        lambda x, w, b, p=_geometry: mg.conv_local(x, w, b, groups=p.groups, **window_options(p)),
        shapes(_x, _w, _b),
        lambda x, w, b, p=_geometry: brute_local(x, w, p) + b.reshape(*b.shape, *(1,) * (x.ndim - 1 - b.ndim)),
        case=_case,
    )


def brute_matrix(w: np.ndarray, shape: tuple, geometry: Geometry) -> np.ndarray:
    """Element by element: what the unit vector of an input element gives."""
    columns = []
    for i in range(math.prod(shape)):
        unit = np.zeros(math.prod(shape))
        unit[i] = 1
        columns.append(brute_conv(unit.reshape(1, *shape), w, geometry).ravel())
    return np.stack(columns, 1)


row(
    "conv_matrix",
    lambda w: mg.conv_matrix(w, (2, 3, 4), stride=(2, 1), padding=1, groups=2),
    shapes((2, 1, 2, 3)),
    lambda w: brute_matrix(w, (2, 3, 4), Geometry((2, 1), ((1, 1), (1, 1)), (1, 1), 2)),
)
for _op, _x, _w, _options, _padding in (
    ("conv_transpose", (1, 2, 2, 2, 1, 2), (2, 1, 2, 1, 2, 2), {"stride": (1, 2, 1, 1)}, 0),
    ("conv_transpose1d", (2, 4, 3), (4, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, 1),
    ("conv_transpose2d", (2, 2, 3, 2), (2, 3, 2, 3), {"stride": (2, 1), "dilation": (1, 2), "padding": 1}, 1),
    ("conv_transpose3d", (1, 2, 2, 1, 2), (2, 2, 1, 2, 2), {"stride": 2}, 0),
):
    _n = len(_x) - 2
    _s, _d = (per_axis(k, _options.get(k, 1), _n, 1) for k in ("stride", "dilation"))
    _more = _options.get("output_padding", 0)
    _sizes = tuple(
        (i - 1) * s - 2 * _padding + d * (k - 1) + 1 + _more for i, k, s, d in zip(_x[2:], _w[2:], _s, _d, strict=True)
    )
    _geometry = Geometry(_s, ((_padding, _padding),) * _n, _d, _options.get("groups", 1))
    row(
        _op,
        lambda x, w, b, f=_op, o=_options: getattr(mg, f)(x, w, b, **o),
        shapes(_x, _w, (_w[1] * _geometry.groups,)),
        lambda x, w, b, p=_geometry, s=(_x[0], _w[1] * _geometry.groups, *_sizes): (
            brute_conv_input(w, x, p, s) + b.reshape(-1, *(1,) * (x.ndim - 2))
        ),
        None if _n > 3 else lambda t, x, w, b, f=_op, o=_options: getattr(t.nn.functional, f)(x, w, b, **o),
    )

_conv_options = {"stride": 2, "padding": 1}
for _n in (1, 2, 3):
    row(
        f"conv{_n}d",
        lambda x, w, b, f=f"conv{_n}d": getattr(mg, f)(x, w, b, **_conv_options),
        shapes((2, 2, *(3, 4, 2)[:_n]), (3, 2, *(2, 3, 1)[:_n]), (3,)),
        lambda x, w, b, n=_n: brute_conv(x, w, Geometry((2,) * n, ((1, 1),) * n, (1,) * n)) + b.reshape(-1, *(1,) * n),
        lambda t, x, w, b, f=f"conv{_n}d": getattr(t.nn.functional, f)(x, w, b, **_conv_options),
    )
for _mode, _numpy in {
    "constant": {"mode": "constant", "constant_values": 1.5},
    "reflect": {"mode": "reflect"},
    "replicate": {"mode": "edge"},
    "circular": {"mode": "wrap"},
    "symmetric": {"mode": "symmetric"},
}.items():
    row(
        "conv2d",
        lambda x, w, m=_mode: mg.conv2d(
            x, w, padding=((1, 2), (0, 1)), padding_mode=m, padding_value=1.5 * (m == "constant")
        ),
        shapes((1, 2, 3, 4), (2, 2, 2, 3)),
        lambda x, w, o=_numpy: brute_conv(np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 1)), **o), w, PLAIN),
        case=_mode,
    )
row(
    "conv2d",
    lambda x, w: mg.conv2d(x, w, padding="same", flip=True),
    shapes((1, 2, 3, 4), (2, 2, 2, 3)),
    lambda x, w: brute_conv(x, w[:, :, ::-1, ::-1], Geometry((1, 1), ((0, 1), (1, 1)), (1, 1))),
    case="flip",
)
TABLE = [[0, 1], [2], [], [2, 0, 1]]
row(
    "conv2d",
    lambda x, w, b: mg.conv2d(x, w, b, connections=TABLE),
    shapes((2, 3, 3, 3), (6, 2, 2), (4,)),
    lambda x, w, b: brute_conv(x, dense(w, 3), PLAIN) + b[:, None, None],
    case="connections",
)


def dense(w: np.ndarray, channels: int) -> np.ndarray:
    out, links = np.zeros((len(TABLE), channels, *w.shape[1:])), iter(w)
    for k, seen in enumerate(TABLE):
        for c in seen:
            out[k, c] = next(links)
    return out


# ---- pooling --------------------------------------------------------------------------------------------------------

OVERLAPPING = Geometry((2, 1), ((1, 1), (0, 1)), (1, 1))
TILED = Geometry((2, 2), ((0, 0), (0, 0)), (1, 1))
DILATED = Geometry((1, 2), ((1, 0), (1, 1)), (2, 1))


for _case, _kernel, _geometry in (
    ("tiled", (2, 2), TILED),
    ("overlapping", (3, 2), OVERLAPPING),
    ("dilated", (2, 3), DILATED),
):
    _x = (2, 3, 5, 4)
    _g = (2, 3, *out_sizes(_x, _kernel, _geometry))
    for _op, _reduce in {"max_pool": np.max, "min_pool": np.min}.items():
        row(
            _op,
            lambda x, k=_kernel, p=_geometry, f=_op: getattr(mg, f)(x, k, **window_options(p)),
            shapes(_x),
            lambda x, k=_kernel, p=_geometry, r=_reduce: brute_pool(x, k, p, r),
            case=_case,
        )
    row(
        "avg_pool",
        lambda x, k=_kernel, p=_geometry: mg.avg_pool(x, k, **window_options(p)),
        shapes(_x),
        lambda x, k=_kernel, p=_geometry: brute_pool(x, k, p, np.sum) / np.prod(k),
        case=_case,
    )
    row(
        "avg_pool",
        lambda x, k=_kernel, p=_geometry: mg.avg_pool(x, k, **window_options(p), count_include_pad=False),
        shapes(_x),
        lambda x, k=_kernel, p=_geometry: brute_pool(x, k, p, np.mean),
        case=f"{_case}, what is there",
    )
    row(
        "avg_pool_input",
        lambda g, k=_kernel, p=_geometry, s=_x: pool._avg_pool_input(g, k, p, 5, s),
        shapes(_g),
        lambda g, k=_kernel, p=_geometry, s=_x: brute_conv_input(
            np.full((3, 1, *k), 1 / 5), g, p._replace(groups=3), s
        ),
        case=_case,
    )
    row(
        "lp_pool",
        lambda x, k=_kernel, p=_geometry: mg.lp_pool(x, 3, k, **window_options(p)),
        shapes(_x),
        lambda x, k=_kernel, p=_geometry: brute_pool(x, k, p, lambda v, axis: (abs(v) ** 3).sum(axis) ** (1 / 3)),
        case=_case,
    )
TAPS = Geometry((2, 1), ((0, 1), (0, 0)), (1, 1))  # windows of 2x2 over 3x3: those of the second row stick out
TAP = np.array([[[[3, 3], [0, 1]], [[1, 2], [1, 0]]]], np.uint8)
FLAT = np.array([[[[4, 5], [6, 8]], [[1, 4], [7, 7]]]])
row(
    "pool_gather",
    lambda x: mg.pool_gather(x, like(x, TAP), (2, 2), TAPS),
    shapes((1, 2, 3, 3)),
    lambda x: np.stack([x[0, c].ravel()[FLAT[0, c]] for c in range(2)])[None],
)
row(
    "pool_scatter",
    lambda g: mg.pool_scatter(g, like(g, TAP), (2, 2), TAPS, (1, 2, 3, 3)),
    shapes((1, 2, 2, 2)),
    lambda g: np.stack([np.bincount(FLAT[0, c].ravel(), g[0, c].ravel(), 9).reshape(3, 3) for c in range(2)])[None],
)
row(
    "pool_index",
    lambda x: mg.pool_index(mg.asarray(like(x, TAP)) if isinstance(x, mg.Tensor) else TAP, (2, 2), TAPS, (3, 3)),
    shapes((1,)),
    lambda x: FLAT,
    differentiable=False,
)


def like(x: Any, constant: np.ndarray) -> Any:
    """A constant array on the device of x."""
    return mg.backend.transfer_array(constant, mg.backend.device_of(x))


UNPOOLED = np.array([[[1, 5, 6], [2, 0, 7]]])
for _n in (1, 2, 3):
    _x, _k, _stride = (2, 3, *(5, 4, 3)[:_n]), (2, 3, 2)[:_n], (2, 1, 1)[:_n]
    _geometry = Geometry(_stride, ((0, 0),) * _n, (1,) * _n)
    for _op, _reduce in {"max_pool": np.max, "min_pool": np.min, "avg_pool": np.mean}.items():
        row(
            f"{_op}{_n}d",
            lambda x, f=f"{_op}{_n}d", k=_k, s=_stride: getattr(mg, f)(x, k, stride=s),
            shapes(_x),
            lambda x, k=_k, p=_geometry, r=_reduce: brute_pool(x, k, p, r),
            None
            if _op == "min_pool"
            else lambda t, x, f=f"{_op}{_n}d", k=_k, s=_stride: getattr(t.nn.functional, f)(x, k, stride=s),
        )
    row(
        f"lp_pool{_n}d",
        lambda x, f=f"lp_pool{_n}d", k=_k, s=_stride: getattr(mg, f)(x, 2, k, stride=s),
        shapes(_x),
        lambda x, k=_k, p=_geometry: brute_pool(x, k, p, lambda v, axis: np.sqrt((v * v).sum(axis))),
        lambda t, x, f=f"lp_pool{_n}d", k=_k if _n > 1 else 2, s=_stride: getattr(t.nn.functional, f)(
            x, 2, k, stride=s
        ),
    )
    _places = UNPOOLED.reshape(1, 2, 3, *(1,) * (_n - 1))
    row(
        f"max_unpool{_n}d",
        lambda x, f=f"max_unpool{_n}d", i=_places, n=_n: getattr(mg, f)(
            x, like(x, i), (3, *(1,) * (n - 1)), output_size=(8, *(1,) * (n - 1))
        ),
        shapes(_places.shape),
        lambda x: np.stack([np.bincount(UNPOOLED[0, c], x[0, c].ravel(), 8) for c in range(2)]).reshape(
            1, 2, 8, *(1,) * (x.ndim - 3)
        ),
        lambda t, x, f=f"max_unpool{_n}d", i=_places, n=_n: getattr(t.nn.functional, f)(
            x, t.from_numpy(i), (3, *(1,) * (n - 1)), output_size=(8, *(1,) * (n - 1))
        ),
    )
row(
    "max_unpool",
    lambda x: mg.max_unpool(x, like(x, UNPOOLED), 3, output_size=8),
    shapes((1, 2, 3)),
    lambda x: np.stack([np.bincount(UNPOOLED[0, c], x[0, c], 8) for c in range(2)])[None],
)
for _op, _reduce in {"global_max_pool": np.max, "global_min_pool": np.min, "global_avg_pool": np.mean}.items():
    row(_op, getattr(mg, _op), shapes((2, 3, 3, 4)), lambda x, r=_reduce: r(x, (2, 3), keepdims=True))
    row(_op, getattr(mg, _op), shapes((2, 3, 5)), lambda x, r=_reduce: r(x, 2, keepdims=True), case="1-d")


def brute_adaptive(x: np.ndarray, out: tuple, reduce: Callable) -> np.ndarray:
    y = np.zeros((*x.shape[:2], *out))
    for o in itertools.product(*map(range, out)):
        box = tuple(
            slice(math.floor(a * n / m), math.ceil((a + 1) * n / m))
            for a, n, m in zip(o, x.shape[2:], out, strict=True)
        )
        y[(..., *o)] = reduce(x[(..., *box)], tuple(range(2, x.ndim)))
    return y


for _op, _reduce in {"adaptive_avg_pool": np.mean, "adaptive_max_pool": np.max}.items():
    for _case, _x, _out in (
        ("2-d", (2, 2, 7, 6), (3, 2)),
        ("1-d", (2, 2, 7), (5,)),
        ("more", (1, 2, 3), (5,)),
        ("3-d", (1, 2, 4, 3, 5), (2, 2, 3)),
    ):
        row(
            _op,
            lambda x, f=_op, o=_out: getattr(mg, f)(x, o),
            shapes(_x),
            lambda x, r=_reduce, o=_out: brute_adaptive(x, o, r),
            lambda t, x, f=_op, o=_out: getattr(t.nn.functional, f"{f}{x.ndim - 2}d")(x, o),
            case=_case,
        )


# ---- interpolation --------------------------------------------------------------------------------------------------


def hat(d: float) -> float:
    return max(0.0, 1 - d)


def keys(d: float, a: float = -0.75) -> float:
    """Keys 1981, equation 4 with any a."""
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def brute_interpolate(x: np.ndarray, places: list[list[float]], kernel: Callable) -> np.ndarray:
    """Along each axis the sum of all elements, those beyond the border being copies of the last, by their distance."""
    for axis, wanted in enumerate(places, start=2):
        x = np.moveaxis(x, axis, 0)
        n = len(x)
        rows = [sum(kernel(abs(p - i)) * x[min(max(i, 0), n - 1)] for i in range(-3, n + 3)) for p in wanted]
        x = np.moveaxis(np.stack(rows), 0, axis)
    return x


def centres(out: int, step: float) -> list[float]:
    return [(o + 0.5) * step - 0.5 for o in range(out)]


for _case, _x, _options, _places, _kernel in (
    ("nearest", (2, 2, 3), {"scale_factor": 2}, [[0, 0, 1, 1, 2, 2]], hat),
    ("nearest sizes", (1, 2, 3, 5), {"size": (4, 3)}, [[0, 0, 1, 2], [0, 1, 3]], hat),
    ("exact", (2, 1, 3), {"size": 5, "mode": "nearest-exact"}, [[0, 0, 1, 2, 2]], hat),
    ("linear", (2, 2, 5), {"scale_factor": 0.7, "mode": "linear"}, [centres(3, 1 / 0.7)], hat),
    (
        "bilinear",
        (2, 1, 3, 4),
        {"size": (5, 3), "mode": "bilinear", "align_corners": True},
        [[0, 0.5, 1, 1.5, 2], [0, 1.5, 3]],
        hat,
    ),
    ("bicubic", (1, 2, 3, 4), {"size": (5, 3), "mode": "bicubic"}, [centres(5, 3 / 5), centres(3, 4 / 3)], keys),
    (
        "trilinear",
        (1, 2, 2, 3, 2),
        {"scale_factor": 1.7, "mode": "trilinear", "recompute_scale_factor": True},
        [centres(3, 2 / 3), centres(5, 3 / 5), centres(3, 2 / 3)],
        hat,
    ),
):
    row(
        "interpolate",
        lambda x, o=_options: mg.interpolate(x, **o),
        shapes(_x),
        lambda x, p=_places, k=_kernel: brute_interpolate(x, p, k),
        lambda t, x, o=_options: t.nn.functional.interpolate(x, **o),
        case=_case,
    )
