"""The table that every op stands in: how to call it, on what, and what it must give.

The tests walk over `ROWS`; an op of the registry without a row fails the suite. A row's `reference` computes the value
in NumPy, independently of minigrad; `torch` computes it with PyTorch, for the parity tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.ops.conv import Geometry

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Row:
    op: str  # the registry's name
    call: Callable  # takes Tensors or arrays
    inputs: Callable[[np.random.Generator], Arrays]  # float64, away from kinks and ties
    reference: Callable  # takes NumPy arrays
    torch: Callable | None  # takes the torch module and its tensors
    case: str = ""
    order: int = 2

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


def unary(op: str, reference: Callable | None = None, torch: str | Callable | None = None, low=-2.0, high=2.0) -> None:
    call = getattr(mg, op)
    reference = reference or getattr(np, op)
    name = torch if isinstance(torch, str) else op
    theirs = torch if callable(torch) else lambda t, x: getattr(t, name)(x)
    row(op, call, shapes((3, 4), low=low, high=high), reference, theirs)


def binary(op: str, torch: str | None = None, low=-2.0, high=2.0) -> None:
    call, reference, name = getattr(mg, op), getattr(np, op), torch or op
    theirs = lambda t, x, y: getattr(t, name)(x, y)  # noqa: E731
    for case, (a, b) in {"same": ((2, 3), (2, 3)), "broadcast": ((4, 1, 3), (2, 1)), "0-d": ((), (3,))}.items():
        row(op, call, lambda rng, a=a, b=b: split(rng, a, b, low, high), reference, theirs, case=case)
    row(
        op, lambda x: call(x, 1.5), shapes((3, 2), low=low, high=high), lambda x: reference(x, 1.5), None, case="scalar"
    )
    row(
        op,
        lambda x: call(1.5, x),
        shapes((3, 2), low=low, high=high),
        lambda x: reference(1.5, x),
        None,
        case="rscalar",
    )


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
    binary(_name, torch=_torch)
for _name in ("logical_and", "logical_or", "logical_xor"):
    binary(_name)
unary("logical_not")
unary("negative")
unary("abs")
unary("sign")
unary("exp")
unary("log", low=0.3)
unary("sqrt", low=0.3)
unary("tanh")
unary("sigmoid", lambda x: 1 / (1 + np.exp(-x)))
unary("relu", lambda x: x * (x > 0))
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
row("argmax", lambda x: mg.argmax(x, 1), shapes((3, 4)), lambda x: np.argmax(x, 1), lambda t, x: t.argmax(x, 1))
row("argmax", mg.argmax, shapes((3, 4)), np.argmax, lambda t, x: t.argmax(x), case="all")


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


def _as_matrices(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (x[None] if x.ndim == 1 else x), (y[:, None] if y.ndim == 1 else y)


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
for _case, _geometry, _x, _w in (
    ("plain", PLAIN, (2, 3, 5, 4), (2, 3, 3, 2)),
    ("all at once", STRIDED, (2, 4, 6, 7), (4, 2, 3, 2)),
    ("1-d", Geometry((2,), ((1, 1),), (1,)), (2, 2, 7), (3, 2, 3)),
    ("3-d", Geometry((1, 2, 1), ((0, 1),) * 3, (1, 1, 1)), (1, 2, 3, 4, 3), (2, 2, 2, 3, 2)),
):
    _g = (_x[0], _w[0], *out_sizes(_x, _w[2:], _geometry))
    row(
        "conv",
        lambda x, w, p=_geometry: mg.conv(x, w, p),
        shapes(_x, _w),
        lambda x, w, p=_geometry: brute_conv(x, w, p),
        case=_case,
    )
    row(
        "conv_input",
        lambda w, g, p=_geometry, s=_x: mg.conv_input(w, g, p, s),
        shapes(_w, _g),
        lambda w, g, p=_geometry, s=_x: brute_conv_input(w, g, p, s),
        case=_case,
    )
    row(
        "conv_weight",
        lambda x, g, p=_geometry, s=_w: mg.conv_weight(x, g, p, s),
        shapes(_x, _g),
        lambda x, g, p=_geometry, s=_w: brute_conv_weight(x, g, p, s),
        case=_case,
    )

OVERLAPPING = Geometry((2, 1), ((1, 1), (0, 1)), (1, 1))
TILED = Geometry((2, 2), ((0, 0), (0, 0)), (1, 1))
for _case, _kernel, _geometry in (("tiled", (2, 2), TILED), ("overlapping", (3, 2), OVERLAPPING)):
    _x = (2, 3, 5, 4)
    _g = (2, 3, *out_sizes(_x, _kernel, _geometry))
    row(
        "max_pool",
        lambda x, k=_kernel, p=_geometry: mg.max_pool(x, k, p)[0],
        shapes(_x),
        lambda x, k=_kernel, p=_geometry: brute_pool(x, k, p, np.max),
        case=_case,
    )
    row(
        "avg_pool",
        lambda x, k=_kernel, p=_geometry: mg.avg_pool(x, k, p),
        shapes(_x),
        lambda x, k=_kernel, p=_geometry: brute_pool(x, k, p, np.sum) / np.prod(k),
        case=_case,
    )
    row(
        "avg_pool_input",
        lambda g, k=_kernel, p=_geometry, s=_x: mg.avg_pool_input(g, k, p, s),
        shapes(_g),
        lambda g, k=_kernel, p=_geometry, s=_x: brute_conv_input(
            np.full((3, 1, *k), 1 / np.prod(k)), g, p._replace(groups=3), s
        ),
        case=_case,
    )
FLAT = np.array([[[[3, 3], [0, 19]], [[1, 2], [3, 4]]]])
row(
    "pool_gather",
    lambda x: mg.pool_gather(x, like(x, FLAT)),
    shapes((1, 2, 5, 4)),
    lambda x: np.stack([x[0, c].ravel()[FLAT[0, c]] for c in range(2)])[None],
)
row(
    "pool_scatter",
    lambda g: mg.pool_scatter(g, like(g, FLAT), (1, 2, 5, 4)),
    shapes((1, 2, 2, 2)),
    lambda g: np.stack([np.bincount(FLAT[0, c].ravel(), g[0, c].ravel(), 20).reshape(5, 4) for c in range(2)])[None],
)


def like(x: Any, constant: np.ndarray) -> Any:
    """A constant array on the device of x."""
    return mg.backend.transfer_array(constant, mg.backend.device_of(x))
