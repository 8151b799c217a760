"""Values and gradients of every op against PyTorch's, edge values included."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from tests.optable import ROWS, Row

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", reason="PyTorch is the oracle here: `make parity` installs it")

rows = pytest.mark.parametrize("row", [row for row in ROWS if row.torch], ids=lambda row: row.id)
NO_TORCH = {
    "avg_pool",
    "avg_pool_input",
    "conv_input",
    "conv_local",
    "conv_matrix",
    "conv_transpose",
    "conv_weight",
    "fold",
    "global_avg_pool",
    "global_max_pool",
    "global_min_pool",
    "lp_pool",
    "max_pool",
    "max_unpool",
    "min_pool",
    "min_pool1d",
    "min_pool2d",
    "min_pool3d",
    "pool_gather",
    "pool_index",
    "pool_scatter",
    "transfer",
    "unfold",
}  # PyTorch has them as parts of others, through which they are compared


def both(call: Callable, theirs: Callable, arrays: list[np.ndarray], rtol: float, atol: float = 0.0) -> None:
    """The same value and the same gradients, or no gradient on both sides."""
    xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    ts = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    y, t = call(*xs), theirs(torch, *ts)
    expected = t.detach().numpy()
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=rtol, atol=atol)
    assert y.requires_grad == t.requires_grad
    if t.requires_grad:
        seed = np.random.default_rng(0).standard_normal(expected.shape).astype(expected.dtype)
        ours = mg.grad(y, [x for x in xs if x.requires_grad], seed, allow_unused=True)
        others = torch.autograd.grad(t, [x for x in ts if x.requires_grad], torch.tensor(seed), allow_unused=True)
        for g, h in zip(ours, others, strict=True):
            assert (g is None) == (h is None)
            if g is not None:
                np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=rtol, atol=atol)


def test_every_op_is_compared() -> None:
    assert {row.op for row in ROWS} == {row.op for row in ROWS if row.torch} | NO_TORCH


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("float64", 1e-12, 1e-13), ("float32", 1e-5, 1e-6)])
@rows
def test_op(row: Row, dtype: str, rtol: float, atol: float) -> None:
    arrays = [x.astype(dtype) for x in row.inputs(np.random.default_rng(3))]
    both(row.call, row.torch, arrays, rtol, atol)


EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 80.0, -80.0], "float32")
UNARY = {
    name: name
    for name in (
        *("negative", "abs", "sign", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "logical_not"),
        *("expm1", "log1p", "rsqrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "erf"),
        *("floor", "ceil", "round", "isnan", "isinf", "isfinite", "selu"),
    )
} | {
    name: f"nn.functional.{name}"
    for name in ("leaky_relu", "elu", "gelu", "silu", "hardtanh", "relu6", "logsigmoid", "softplus")
}
BINARY = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "divide": "divide",
    "maximum": "maximum",
    "minimum": "minimum",
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
    "arctan2": "arctan2",
}


@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero|overflow|underflow):RuntimeWarning")
@pytest.mark.parametrize("op", UNARY)
def test_edges(op: str) -> None:
    # The sign of nan is nan in NumPy, whose names our ops have, and 0 in PyTorch; so is the slope of abs there.
    edges = EDGES[~np.isnan(EDGES)] if op in ("sign", "abs") else EDGES
    both(getattr(mg, op), lambda t, x: operator.attrgetter(UNARY[op])(t)(x), [edges], 3e-6, 1e-37)


@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero|overflow|underflow):RuntimeWarning")
@pytest.mark.parametrize("op", BINARY)
def test_pairs_of_edges(op: str) -> None:
    x, y = (a.ravel() for a in np.meshgrid(EDGES, EDGES))
    both(getattr(mg, op), lambda t, x, y: getattr(t, BINARY[op])(x, y), [x, y], 2e-6, 1e-37)


@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_powers_of_edges() -> None:
    values = np.array([0.0, 1.0, 2.0, 0.5, 3.0, -1.0, -2.0], "float32")
    x, y = (a.ravel() for a in np.meshgrid(values, values))
    both(mg.power, lambda t, x, y: t.pow(x, y), [x, y], 1e-6)
    for exponent in (0, 1, 2, 3, -1, 0.5):
        both(lambda x, e=exponent: x**e, lambda t, x, e=exponent: x**e, [values], 1e-6)
        both(lambda x, e=exponent: e**x, lambda t, x, e=exponent: e**x, [values], 1e-6)


@pytest.mark.parametrize("op", ["max", "min"])
def test_ties_in_reductions(op: str) -> None:
    x = np.array([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0], [2.0, 1.0, 1.0]], "float32")
    both(lambda t: getattr(mg, op)(t, 1), lambda t, a: getattr(t, f"a{op}")(a, dim=1), [x], 1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, "float32")
    both(lambda a: mg.sum(a, 0), lambda t, a: t.sum(a, dim=0), [x], 0)
    both(mg.relu, lambda t, a: t.relu(a), [x], 0)
    both(lambda a: mg.softmax(a, 0), lambda t, a: t.softmax(a, 0), [x], 0) if shape[0] else None


@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")
@pytest.mark.parametrize("logits", [[1e4, -1e4, 0], [3e38, -3e38, 1], [-np.inf, 0, 1], [88.0, 89, 90]])
def test_softmax_and_cross_entropy_at_extreme_logits(logits: list[float]) -> None:
    x = np.array([logits], "float32")
    both(lambda a: mg.softmax(a, 1), lambda t, a: t.softmax(a, 1), [x], 1e-6, 1e-30)
    both(lambda a: mg.log_softmax(a, 1), lambda t, a: t.log_softmax(a, 1), [x], 1e-6)
    y = np.array([1])
    both(mg.cross_entropy, lambda t, a, b: t.nn.functional.cross_entropy(a, b), [x, y], 1e-6)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 2)])
def test_cross_entropy(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape), rng.integers(0, shape[1], shape[:1] + shape[2:])
    both(mg.cross_entropy, lambda t, a, b: t.nn.functional.cross_entropy(a, b), [x, y], 1e-12)


@pytest.mark.parametrize("op", ["std", "norm"])
def test_kinks_at_zero_have_the_gradient_zero(op: str) -> None:
    x = np.zeros((2, 3), "float32")
    theirs = {"std": lambda t, a: t.std(a, 1, correction=0), "norm": lambda t, a: t.linalg.vector_norm(a, 2, 1)}[op]
    both(lambda a: getattr(mg, op)(a, axis=1), theirs, [x], 0)


def test_a_prelu_weight_and_a_sort_with_ties_and_nan() -> None:
    x = np.array([[2.0, np.nan, 1.0, 2.0, -np.inf, 1.0]], "float32")
    both(mg.sort, lambda t, a: t.sort(a, stable=True)[0], [x], 0)
    for descending in (False, True):
        theirs = torch.argsort(torch.tensor(x), dim=-1, descending=descending, stable=True)
        np.testing.assert_array_equal(mg.argsort(x, -1, descending), theirs.numpy())
    both(mg.prelu, lambda t, a, w: t.nn.functional.prelu(a, w), [np.array([[0.0, -0.0, -1.0]]), np.array([0.2])], 1e-12)


def test_erf_to_two_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-6.5, 6.5, 100_001), 10.0 ** np.linspace(-300, 0, 5001)])
    exact = torch.special.erf(torch.tensor(x, dtype=torch.float64)).numpy()
    off = np.abs(mg.erf(x) - exact) / np.spacing(np.abs(exact) + 1e-320)
    assert off.max() <= 3  # each is within 2 of the truth


@pytest.mark.parametrize("name", ["jacobian", "hessian", "jvp", "vjp", "hvp"])
def test_functional_derivatives(name: str) -> None:
    rng = np.random.default_rng(0)
    x, w, v = rng.standard_normal((2, 3)), rng.standard_normal(3), rng.standard_normal((2, 3))
    scalar = name in ("hessian", "hvp")

    def ours(a, b):
        y = mg.tanh(a * b) * mg.exp(a)
        return y.sum() if scalar else y

    def theirs(a, b):
        y = torch.tanh(a * b) * torch.exp(a)
        return y.sum() if scalar else y

    vectors = {"jvp": (v, w), "hvp": (v, w), "vjp": v}.get(name)
    as_torch = lambda a: tuple(map(as_torch, a)) if isinstance(a, tuple) else torch.tensor(a)  # noqa: E731
    extra = () if vectors is None else (vectors,)
    got = getattr(mg, name)(ours, (x, w), *extra)
    expected = getattr(torch.autograd.functional, name)(theirs, as_torch((x, w)), *map(as_torch, extra))

    def compare(a, b):
        if isinstance(a, tuple):
            assert len(a) == len(b)
            for one, other in zip(a, b, strict=True):
                compare(one, other)
        else:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)

    compare(got, expected)
