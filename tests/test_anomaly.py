"""detect_anomaly names the first op to produce a value that is not finite, and the line that called it."""

from __future__ import annotations

import inspect
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
    constant, leaf, old = np.array([np.inf], "float32"), mg.tensor([np.nan], requires_grad=True), mg.exp(x)
    older = mg.exp(leaf)
    with mg.detect_anomaly():
        for value, origin in (
            (constant, "it is a constant"),
            (leaf, "it is a leaf, and held these values from the start or was changed in place"),
            (old, "it is data, or was computed before detect_anomaly or by something other than an op"),
            (older, "it was computed by exp before detect_anomaly, or was changed in place"),
        ):
            with pytest.raises(AnomalyError, match=f"y of add at .* was not finite when it came in: {origin}"):
                mg.add(mg.ones(1), value)


def test_seeds_hooks_and_sums_that_are_not_finite() -> None:
    x = mg.tensor([1.0], requires_grad=True)
    with mg.detect_anomaly():
        with pytest.raises(
            AnomalyError,
            match=r"arrived at the output of exp, called at .*test_anomaly.py:\d+ holds 1 inf .* although no rule "
            r"returned such a value: it is in the seed, or a sum of finite gradients overflowed",
        ):
            mg.exp(x).backward([np.inf])
        y = mg.exp(x)
        y.register_hook(lambda g: np.array([np.nan], "float32"))
        with pytest.raises(
            AnomalyError, match=r"a hook on the output of exp, .* returned a gradient that holds 1 nan .*was finite"
        ):
            y.backward([1.0])
        big = mg.full((1,), 3e38)
        with pytest.raises(AnomalyError, match=r"arrived at a leaf of shape \(1,\) holds 1 inf"):
            (x * big + (x - 2.0) * big).backward([1.0])


def test_a_rule_recorded_by_create_graph_is_blamed_as_a_whole() -> None:
    x = mg.tensor([4.0, 0.0], requires_grad=True)
    with mg.detect_anomaly():
        y = mg.sqrt(x)
        with pytest.raises(AnomalyError, match=r"^the gradient rule of sqrt for 'x' produced 1 inf"):
            mg.grad(y.sum(), x, create_graph=True)
        assert mg.exp(x).requires_grad
        with pytest.raises(AnomalyError, match="log produced 1 inf"):
            mg.log(x)


def test_an_error_of_another_kind_in_a_rule_does_not_blind_it() -> None:
    @mg.op
    def broken(x):
        return x * 1.0

    def rule(g):
        raise KeyError("broken")

    broken.vjp(x=rule)
    x = mg.tensor([0.0], requires_grad=True)
    with mg.detect_anomaly():
        with pytest.raises(KeyError):
            broken(x).sum().backward()
        with pytest.raises(AnomalyError, match="log produced"):
            mg.log(x)


def test_the_line_is_kept_for_a_later_block_and_is_the_users_for_an_op_of_the_user() -> None:
    @mg.op
    def inverse(x):
        return 1 / x

    inverse.vjp(x=lambda g, out: -g * out * out)
    x = mg.tensor([1e-30], requires_grad=True)
    with mg.detect_anomaly():
        y = inverse(x)  # this line
    line = inspect.getsourcelines(test_the_line_is_kept_for_a_later_block_and_is_the_users_for_an_op_of_the_user)
    number = line[1] + next(i for i, text in enumerate(line[0]) if text.endswith("# this line\n"))
    with (
        mg.detect_anomaly(),
        pytest.raises(AnomalyError, match=rf"inverse was called at .*test_anomaly\.py:{number}\."),
    ):
        y.backward([1.0])


def test_infinities_may_be_allowed() -> None:
    x = mg.tensor([1.0, 0.0])
    with mg.detect_anomaly(allow_inf=True):
        assert mg.log(x).tolist() == [0, -np.inf]
        with pytest.raises(AnomalyError, match=r"^x of multiply at .* was not finite|^multiply produced 1 nan"):
            mg.log(x) * x

    @mg.detect_anomaly(allow_inf=True)
    def watched() -> mg.Tensor:
        return mg.log(x)

    assert watched().tolist() == [0, -np.inf]


def test_sequences_are_named_by_index() -> None:
    with mg.detect_anomaly(), pytest.raises(AnomalyError, match=r"arrays\[1\] of concatenate at"):
        mg.concatenate([mg.ones(1), mg.tensor([np.inf])])


def test_a_graph_made_outside_has_no_line() -> None:
    x = mg.tensor([0.0], requires_grad=True)
    y = mg.sqrt(x)
    with (
        mg.detect_anomaly(),
        pytest.raises(AnomalyError, match="sqrt was called at a line that did not run under detect_anomaly"),
    ):
        y.backward()


def test_off_by_default_as_a_decorator_and_in_its_own_thread() -> None:
    mg.log(mg.tensor([0.0]))

    @mg.detect_anomaly()
    def watched() -> None:
        mg.log(mg.tensor([0.0]))

    with pytest.raises(AnomalyError, match="log produced 1 inf"):
        watched()

    @mg.detect_anomaly
    def bare() -> None:
        mg.log(mg.tensor([0.0]))

    with pytest.raises(AnomalyError, match="log produced 1 inf"):
        bare()
    with pytest.raises(TypeError, match=r"detect_anomaly cannot decorate steps, .* use `with detect_anomaly"):

        @mg.detect_anomaly
        def steps():
            yield 1

    failed = []
    with mg.detect_anomaly(), mg.detect_anomaly():
        thread = threading.Thread(target=lambda: failed.append(mg.log(mg.tensor([0.0])).item()))
        thread.start()
        thread.join()
    assert failed == [-np.inf]
    mg.log(mg.tensor([0.0]))


def test_inside_a_checkpointed_region_and_its_second_run() -> None:
    x = mg.tensor([0.0], requires_grad=True)
    with mg.detect_anomaly():
        with pytest.raises(AnomalyError, match=r"log produced 1 inf .*test_anomaly\.py"):
            mg.checkpoint(mg.log, x)
        y = mg.checkpoint(mg.sqrt, x)
        with pytest.raises(AnomalyError, match=r"rule of sqrt for 'x' produced 1 inf .*test_anomaly\.py"):
            y.backward([1.0])
