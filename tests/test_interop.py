"""NumPy's functions on Tensors differentiate, or raise; they never detach silently."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture
def x() -> mg.Tensor:
    return mg.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)


@pytest.mark.parametrize(
    "call",
    [
        np.exp,
        np.abs,
        np.sum,
        np.negative,
        np.transpose,
        lambda x: np.mean(x, axis=0),
        lambda x: np.max(x, axis=1, keepdims=True),
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: np.multiply(np.ones(2), x),
        lambda x: np.array([1.0, 2.0]) @ x,
        lambda x: np.arange(2.0) - x,
        lambda x: np.reshape(x, (4,)),
        lambda x: np.where(np.array([True, False]), x, 0.0),
        lambda x: np.clip(x, 1.5, 3.5),
    ],
)
def test_numpy_calls_are_recorded(x: mg.Tensor, call: object) -> None:
    y = call(x)
    assert isinstance(y, mg.Tensor)
    assert y.requires_grad
    np.testing.assert_allclose(y.detach().numpy(), call(x.numpy()))
    mg.check_gradients(call, np.array([[1.2, 2.3], [3.1, 4.4]]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (np.linalg.norm, r"np.linalg.norm on a minigrad Tensor has no minigrad op: use minigrad's own functions, or"),
        (np.sinc, r"np.sinc on a minigrad Tensor has no minigrad op"),
        (np.add.reduce, r"np.add.reduce on a minigrad Tensor is not differentiable"),
        (lambda x: np.exp(x, out=np.zeros((2, 2))), r"np.exp on a minigrad Tensor does not take out"),
        (np.cbrt, r"np.cbrt on a minigrad Tensor has no minigrad op"),
    ],
)
def test_what_cannot_be_recorded_raises(x: mg.Tensor, call: object, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call(x)


def test_an_array_cannot_be_changed_into_a_tensor_in_place(x: mg.Tensor) -> None:
    a = np.ones((2, 2))
    with pytest.raises(TypeError, match="does not take out"):
        a += x
