"""check_gradients passes what is right, and says what is wrong with the rest."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import GradientCheckError
from tests.cudaemu import fake_cupy


@mg.op
def cube(x):
    return x * x * x


cube.vjp(x=lambda g, x: 3 * g * x * x)


def wrong(name: str, **rules: object) -> object:
    """An op x * x * y with the given rules."""

    def body(x, y):
        return x * x * y

    body.__name__ = name
    made = mg.op(body)
    made.vjp(**{"x": lambda g, x, y: 2 * g * x * y, "y": lambda g, x: g * x * x, **rules})
    return made


X, Y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([0.5, 2.0])


def test_right_gradients_pass_in_any_dtype_and_form() -> None:
    mg.check_gradients(wrong("right"), X, Y, order=3)
    mg.check_gradients(cube, X.astype("float16"))
    mg.check_gradients(cube, X.astype("float32"))
    mg.check_gradients(cube, mg.tensor(X), order=1)
    mg.check_gradients(cube, [1.0, 2.0])
    mg.check_gradients(lambda x, i: x[i], X, np.array([1, 0, 1]))
    mg.check_gradients(lambda x: (x * x, mg.exp(x)), X)
    mg.check_gradients(cube, np.zeros((0, 3)))
    mg.check_gradients(lambda x: mg.log(x), [1e-6, 3.0, 1e5])
    mg.check_gradients(lambda x: x * 1e-12, [1.0])
    mg.check_gradients(lambda x: x * 1e12, [1.0])


def test_the_report_names_input_index_numbers_and_step() -> None:
    slip = np.ones((2, 2))
    slip[1, 0] = 1.001
    bad = wrong("bad", x=lambda g, x, y: 2 * g * x * y * slip)
    with pytest.raises(GradientCheckError) as caught:
        mg.check_gradients(bad, X, Y)
    text = str(caught.value)
    assert text.startswith("the gradient of order 1 of bad is wrong for input 0 ('x'), index (1, 0): minigrad ")
    ours, theirs = (
        float(part.split()[0])
        for part in text.replace(",", "").replace("finite difference", "minigrad").split("minigrad ")[1:]
    )
    np.testing.assert_allclose(ours / theirs, 1.001, rtol=1e-6)
    assert "(step " in text


@pytest.mark.parametrize("factor", [1 + 2e-5, 1 - 2e-5, 0.0, -1.0])
@pytest.mark.parametrize("which", ["x", "y"])
def test_small_errors_in_every_entry_are_caught(which: str, factor: float) -> None:
    rules = {"x": lambda g, x, y: 2 * g * x * y * factor, "y": lambda g, x: g * x * x * factor}
    label = {"x": r"input 0 \('x'\)", "y": r"input 1 \('y'\)"}[which]
    with pytest.raises(GradientCheckError, match=f"of order 1 of bad is wrong for {label}"):
        mg.check_gradients(wrong("bad", **{which: rules[which]}), X, Y)


def test_an_error_that_shows_only_at_order_2() -> None:
    bad = wrong("bad", y=lambda g, x: g * mg.tensor(x) * mg.tensor(x))  # a rule that detaches x
    mg.check_gradients(bad, X, Y, order=1)
    with pytest.raises(GradientCheckError, match=r"the gradient of order 2 of bad is wrong for input 0"):
        mg.check_gradients(bad, X, Y)


def test_a_rule_that_differs_between_arrays_and_tensors() -> None:
    bad = wrong("bad", y=lambda g, x: g * x * x if isinstance(g, np.ndarray) else g * x)
    with pytest.raises(GradientCheckError, match=r"of order 1 for input 1 \('y'\) differs between raw"):
        mg.check_gradients(bad, X, Y)


@pytest.mark.parametrize("f", [mg.relu, lambda x: mg.maximum(x, x * 0 + 1e-9) * 1.0, lambda x: mg.clip(x, 0, 5)])
def test_a_kink_is_called_a_kink(f: object) -> None:
    with pytest.raises(GradientCheckError, match=r"has a kink at input 0 \('x'\), index \(1,\): the one-sided slopes"):
        mg.check_gradients(f, [1.0, 0.0, 2.0])


def test_a_jump_of_the_gradient_is_called_a_jump() -> None:
    with pytest.raises(GradientCheckError, match=r"has a jump at .*, index \(1,\).* no gradient of order 2"):
        mg.check_gradients(mg.abs, [1.0, 0.0])


def test_what_cannot_be_judged() -> None:
    with pytest.raises(GradientCheckError, match=r"sqrt is not finite at or near input 0 .* \(0,\) \(value -1\)"):
        mg.check_gradients(mg.sqrt, [-1.0, 2.0])
    rng = np.random.default_rng(0)
    with pytest.raises(GradientCheckError, match="gives different values for the same inputs"):
        mg.check_gradients(lambda x: x * rng.random(), [1.0])
    with pytest.raises(GradientCheckError, match="must return a Tensor of floats, or several, got 3"):
        mg.check_gradients(lambda x: 3, [1.0])


def test_a_function_that_changes_its_input() -> None:
    def sneaky(x):
        x._array *= 1.0000001
        return x * 1.0

    with pytest.raises(GradientCheckError, match=r"gives different values|changed input 0"):
        mg.check_gradients(sneaky, [1.0])


def test_on_cuda() -> None:
    with fake_cupy.install():
        mg.check_gradients(cube, mg.tensor(X, device="cuda"))
