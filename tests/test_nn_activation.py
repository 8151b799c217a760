"""Activations as layers: formulas in float64, derivatives at kinks, arguments, texts of errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

X = np.array([-30.0, -6.0, -2.0, -0.7, 0.3, 1.0, 2.5, 7.0, 30.0])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
FORMULAS: list[tuple[nn.Module, Callable]] = [
    (nn.ReLU(), lambda x: max(x, 0)),
    (nn.ReLU6(), lambda x: min(max(x, 0), 6)),
    (nn.LeakyReLU(0.2), lambda x: x if x > 0 else 0.2 * x),
    (nn.Hardtanh(-2.5, 1.5), lambda x: min(max(x, -2.5), 1.5)),
    (nn.Hardsigmoid(), lambda x: min(max(x / 6 + 0.5, 0), 1)),
    (nn.Hardswish(), lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
    (nn.Tanh(), math.tanh),
    (nn.ScaledTanh(), lambda x: 1.7159 * math.tanh(2 * x / 3)),
    (nn.ScaledTanh(2.0, 0.5), lambda x: 2 * math.tanh(x / 2)),
    (nn.Sigmoid(), sigmoid),
    (nn.LogSigmoid(), lambda x: math.log(sigmoid(x))),
    (nn.Softsign(), lambda x: x / (1 + abs(x))),
    (nn.Softplus(threshold=math.inf), softplus),
    (nn.Softplus(2.0, 3.0), lambda x: x if 2 * x > 3 else softplus(2 * x) / 2),
    (nn.ELU(1.5), lambda x: x if x > 0 else 1.5 * math.expm1(x)),
    (nn.CELU(1.5), lambda x: x if x > 0 else 1.5 * math.expm1(x / 1.5)),
    (nn.SELU(), lambda x: SELU[0] * (x if x > 0 else SELU[1] * math.expm1(x))),
    (nn.GELU(), lambda x: x * math.erfc(-x / math.sqrt(2)) / 2),
    (nn.GELU("tanh"), lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
    (nn.SiLU(), lambda x: x * sigmoid(x)),
    (nn.Mish(), lambda x: x * math.tanh(softplus(x))),
]


@pytest.mark.parametrize(("layer", "formula"), FORMULAS, ids=lambda v: repr(v) if isinstance(v, nn.Module) else "")
def test_formula(layer: nn.Module, formula: Callable) -> None:
    np.testing.assert_allclose(layer(X).numpy(), [formula(x) for x in X.tolist()], rtol=2e-13, atol=1e-14)
    assert layer(mg.tensor(0.5)).shape == ()
    assert layer(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("layer", "x", "slopes"),
    [
        (nn.ReLU(), [0], [0]),
        (nn.ReLU6(), [0, 6], [0, 0]),
        (nn.LeakyReLU(0.2), [0], [0.2]),
        (nn.Hardtanh(), [-1, 1], [0, 0]),
        (nn.Hardsigmoid(), [-3, 3], [0, 0]),
        (nn.Hardswish(), [-3, 3], [0, 1]),
        (nn.Softsign(), [0], [1]),
        (nn.ELU(0.5), [0], [0.5]),
        (nn.CELU(0.5), [0], [1]),
        (nn.Maxout(2), [[2, 2]], [[0.5, 0.5]]),
    ],
    ids=lambda v: repr(v) if isinstance(v, nn.Module) else "",
)
def test_derivative_at_the_kinks(layer: nn.Module, x: list, slopes: list) -> None:
    x = mg.tensor(x, dtype=np.float64, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == slopes


def test_prelu_learns_its_slopes() -> None:
    x = np.arange(-12.0, 12.0, dtype=np.float32).reshape(2, 3, 4) + 0.5
    one, each = nn.PReLU(), nn.PReLU(3, init=0.1)
    assert one.weight.tolist() == [0.25]
    np.testing.assert_allclose(one(x).detach().numpy(), np.where(x > 0, x, 0.25 * x))
    each(x).sum().backward()
    np.testing.assert_allclose(each.weight.grad.numpy(), np.minimum(x, 0).sum((0, 2)))
    with mg.no_grad():
        each.weight[1] = 5.0
    each.reset_parameters()
    np.testing.assert_allclose(each.weight.detach().numpy(), 0.1)


def test_maxout_is_the_largest_of_the_pieces() -> None:
    x = np.random.default_rng(0).standard_normal((2, 6, 3, 2))
    y = nn.Maxout(3)(x).numpy()
    for n, c, i, j in np.ndindex(y.shape):
        assert y[n, c, i, j] == max(x[n, 3 * c + k, i, j] for k in range(3))
    # Two pieces, x and -x, make |x|; with one piece nothing is chosen.
    absolute = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Maxout(2))
    absolute[0].load_state_dict({"weight": [[1.0], [-1.0]]})
    assert absolute(mg.tensor([[-3.0], [2.0]])).tolist() == [[3], [2]]
    np.testing.assert_array_equal(nn.Maxout(1)(x).numpy(), x)


def test_scaled_tanh_maps_one_to_one() -> None:
    """The source's choice: f(1) = 1, f(-1) = -1, and the second derivative is the largest there."""
    layer = nn.ScaledTanh()
    np.testing.assert_allclose(layer(np.array([-1.0, 1.0])).numpy(), [-1, 1], atol=1e-5)
    x = mg.tensor(np.linspace(0.5, 1.5, 101), requires_grad=True)
    (first,) = mg.grad(layer(x).sum(), [x], create_graph=True)
    (second,) = mg.grad(first.sum(), [x])
    assert abs(x.detach().numpy()[abs(second.numpy()).argmax()] - 1) < 0.02


def test_softmax_and_its_logarithm() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    for dim in (0, 1, -1):
        p = np.exp(x) / np.exp(x).sum(dim, keepdims=True)
        np.testing.assert_allclose(nn.Softmax(dim)(x).numpy(), p, rtol=1e-14)
        np.testing.assert_allclose(nn.LogSoftmax(dim)(x).numpy(), np.log(p), rtol=1e-13)


def test_glu_is_the_gated_half() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    np.testing.assert_allclose(nn.GLU()(x).numpy(), x[:, :2] / (1 + np.exp(-x[:, 2:])), rtol=1e-14)
    np.testing.assert_allclose(nn.GLU(0)(x.T).numpy(), (x[:, :2] / (1 + np.exp(-x[:, 2:]))).T, rtol=1e-14)


def test_inplace_is_taken_and_changes_nothing() -> None:
    for kind in (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.ELU, nn.CELU, nn.SELU):
        x = mg.tensor(X)
        y = kind(inplace=True)(x)
        np.testing.assert_array_equal(x.numpy(), X)
        np.testing.assert_array_equal(y.numpy(), kind()(x).numpy())
    assert repr(nn.ReLU(True)) == "ReLU(inplace=True)"


def test_repr_of_what_pytorch_does_not_have() -> None:
    assert repr(nn.ScaledTanh(2, 0.5)) == "ScaledTanh(amplitude=2, slope=0.5)"
    assert repr(nn.Maxout(4)) == "Maxout(pieces=4)"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Hardtanh(1, 1), "min_val must be below max_val, got min_val=1 and max_val=1"),
        (lambda: nn.CELU(0), "alpha must be above 0, got 0"),
        (lambda: nn.Maxout(0), "pieces must be at least 1, got 0"),
        (
            lambda: nn.Maxout(4)(mg.zeros((2, 6))),
            r"Maxout expects \(N, C, ...\) with C a multiple of pieces=4, .*\(2, 6\)",
        ),
        (lambda: nn.GLU()(mg.zeros((2, 3))), r"GLU expects an even size along dim=-1, got an input of shape \(2, 3\)"),
        (lambda: nn.GLU(2)(mg.zeros((2, 4))), r"GLU expects an even size along dim=2, got an input of shape \(2, 4\)"),
        (lambda: nn.GELU("erf")(mg.zeros(1)), "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: nn.PReLU(3)(mg.zeros((2, 4))), r"weight must have shape \(1,\) or \(4,\)"),
    ],
)
def test_errors(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_relu_of_more_than_a_row_in_any_memory_order(dtype):
    base = (10 * np.random.default_rng(0).standard_normal((4, 30, 9, 17))).astype(dtype)
    base.flat[:3] = 0
    for x in (base, base.transpose(2, 3, 0, 1), base.T[:, ::2], base[::-1], base[:1], base.reshape(-1), base[..., 1:]):
        before = x.copy()
        y = mg.relu(x)
        np.testing.assert_array_equal(y, np.where(x > 0, x, 0))
        assert (y.dtype, y.strides) == (dtype, np.maximum(x, 0).strides)
        assert not np.shares_memory(x, y)
        np.testing.assert_array_equal(x, before)
    if base.dtype.kind == "f":
        base.flat[5:8] = np.nan, np.inf, -np.inf
        np.testing.assert_array_equal(mg.relu(base).flat[5:8], [np.nan, np.inf, 0])
