"""detect_anomaly names the first op to produce a value that is not finite, and the line that called it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.anomaly import AnomalyError

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def test_forward() -> None:
    x = mg.tensor([1.0, 0.0, -1.0])
    with mg.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        mg.exp(mg.log(x * 2))
    text = str(caught.value)
    assert text.startswith("log produced 1 nan and 1 inf (float32[3]) at ")
    assert "test_anomaly.py:" in text
    assert "  x: float32[3], from -2 to 2, mean 0" in text


def test_backward_names_the_rule_and_the_line_of_the_forward_call() -> None:
    x = mg.tensor([4.0, 0.0], requires_grad=True)
    with mg.detect_anomaly():
        y = mg.sqrt(x)
        z = (y * 3).sum()
        with pytest.raises(AnomalyError) as caught:
            z.backward()
    text = str(caught.value)
    assert text.startswith("the gradient rule of sqrt for 'x' produced 1 inf (float32[2]); sqrt was called at ")
    assert "test_anomaly.py:" in text
    assert "  g: float32[2], from 3 to 3, mean 3" in text
    assert "  out: float32[2], from 0 to 2, mean 1" in text
    assert x.grad is None


def test_second_order_is_watched_too() -> None:
    x = mg.tensor([0.0], requires_grad=True)
    with mg.detect_anomaly():
        y = mg.power(x, 1.5)
        (g,) = mg.grad(y, x, create_graph=True)
        with pytest.raises(AnomalyError, match="power"):
            mg.grad(g, x)


def test_a_value_that_came_in_bad_is_not_blamed_on_the_op() -> None:
    x = mg.tensor([1.0, np.nan])
    with mg.detect_anomaly():
        assert mg.isnan(x).tolist() == [False, True]
        assert mg.where(mg.isnan(x), 0.0, x).tolist() == [1, 0]
        with pytest.raises(AnomalyError, match=r"x of exp at .* was not finite when it came in.*\n  x: .* with 1 nan"):
            mg.exp(x)
    y = mg.tensor([1.0], requires_grad=True)
    z = mg.exp(y)
    z.register_hook(lambda g: np.array([np.inf], "float32"))
    with (
        mg.detect_anomaly(),
        pytest.raises(AnomalyError, match="of exp for 'x' was not finite already: the seed, or"),
    ):
        z.backward()


def test_sequences_are_named_by_index() -> None:
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=r"arrays\[1\] of concatenate at"):
        mg.concatenate([mg.ones(1), mg.tensor([np.inf])])


def test_a_graph_made_outside_has_no_line() -> None:
    x = mg.tensor([0.0], requires_grad=True)
    y = mg.sqrt(x)
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match="sqrt was called at a line outside detect_anomaly"):
        y.backward()


def test_off_by_default_as_a_decorator_and_in_its_own_thread() -> None:
    mg.log(mg.tensor([0.0]))

    @mg.detect_anomaly()
    def watched() -> None:
        mg.log(mg.tensor([0.0]))

    with pytest.raises(AnomalyError, match="log produced 1 inf"):
        watched()
    failed = []
    with mg.detect_anomaly(), mg.detect_anomaly():
        thread = threading.Thread(target=lambda: failed.append(mg.log(mg.tensor([0.0])).item()))
        thread.start()
        thread.join()
    assert failed == [-np.inf]
    mg.log(mg.tensor([0.0]))
