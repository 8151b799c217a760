"""Costly elementwise arithmetic on large arrays, which goes in pieces that threads share: as on small ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

import minigrad as mg

SHAPE = (4, 5, 71, 97)  # not a multiple of a piece
CUT = ["exp", "expm1", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "erf"]
CUT += ["elu", "sigmoid", "logsigmoid", "softplus", "silu", "gelu", "log", "log1p", "arcsin", "arccos"]


@pytest.fixture
def threads() -> Iterator[None]:
    before = mg.get_num_threads()
    yield
    mg.set_num_threads(before)


def numbers(dtype: str) -> np.ndarray:
    """Between 0 and 1, where all of these functions have a value."""
    return np.random.default_rng(0).uniform(0.01, 0.99, SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", CUT)
@pytest.mark.usefixtures("threads")
def test_a_large_array_has_the_values_of_small_ones(name: str, dtype: str) -> None:
    function, x = getattr(mg, name), numbers(dtype)
    small = np.concatenate([function(part) for part in np.array_split(x.ravel(), 97)]).reshape(SHAPE)
    eps = np.finfo(dtype).eps
    found = []
    for count in (1, 3):
        mg.set_num_threads(count)
        y = function(x)
        assert (y.dtype, y.shape) == (x.dtype, x.shape)
        np.testing.assert_allclose(y, small, rtol=4 * eps, atol=4 * eps)  # NumPy rounds the ends of rows differently
        found.append(y)
    np.testing.assert_array_equal(*found)


def test_any_memory_order_and_gaps() -> None:
    x = numbers("float32")
    expected = np.tanh(x)
    for order in ((2, 3, 0, 1), (3, 2, 1, 0), (0, 2, 3, 1)):
        back = np.argsort(order)
        turned = np.ascontiguousarray(x.transpose(order)).transpose(back)
        y = mg.tanh(turned)
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        assert y.strides == turned.strides
    wide = np.zeros((*SHAPE[:-1], 2 * SHAPE[-1]), np.float32)
    wide[..., ::2] = x
    np.testing.assert_allclose(mg.tanh(wide[..., ::2]), expected, rtol=1e-6)
    np.testing.assert_allclose(mg.tanh(x[:, ::-1]), expected[:, ::-1], rtol=1e-6)
    np.testing.assert_allclose(
        mg.tanh(np.broadcast_to(x[:1], SHAPE)), np.tanh(np.broadcast_to(x[:1], SHAPE)), rtol=1e-6
    )


def test_integers_give_floating_numbers() -> None:
    x = np.arange(-70_000, 70_000) % 7
    np.testing.assert_array_equal(mg.exp(x), np.exp(x))
    assert mg.sigmoid(x).dtype == np.float64


def test_parameters_that_are_arrays() -> None:
    """They broadcast against x, whose elements then belong together: nothing is cut."""
    x = numbers("float32") - 0.5
    alpha = np.arange(1.0, 6, dtype=np.float32).reshape(5, 1, 1)
    np.testing.assert_allclose(mg.elu(x, alpha), np.where(x > 0, x, alpha * np.expm1(x)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(mg.softplus(x, alpha), np.log1p(np.exp(alpha * x)) / alpha, rtol=1e-4, atol=1e-7)


def test_the_error_function_on_many_numbers() -> None:
    x = np.random.default_rng(0).standard_normal(200_000) * 2
    found = mg.erf(x)
    for i in range(0, x.size, 997):
        assert found[i] == pytest.approx(math.erf(x[i]), rel=1e-15, abs=1e-300)


def test_gradients_of_a_large_array() -> None:
    x = mg.tensor(numbers("float64"), requires_grad=True)
    for name in ("tanh", "gelu", "silu"):
        (g,) = mg.grad(getattr(mg, name)(x).sum(), [x])
        step = 1e-6
        slope = (getattr(mg, name)(x.numpy() + step) - getattr(mg, name)(x.numpy() - step)) / (2 * step)
        np.testing.assert_allclose(g, slope, atol=1e-8)


@pytest.mark.usefixtures("threads")
def test_an_error_in_a_piece_reaches_the_caller_and_names_the_op() -> None:
    mg.set_num_threads(3)
    x = np.ones(200_000)
    x[-1] = 1000
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow") as caught:
        mg.exp(x)
    assert "exp" in str(caught.value.__notes__)
    np.testing.assert_array_equal(mg.exp(x[:-1]), math.e)
