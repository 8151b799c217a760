"""docs/user_ops.md: its examples run, on the CPU as one session, and what it promises for the GPU on the fake CuPy."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.contract import REGISTRY
from tests.cudaemu import fake_cupy

TEXT = (Path(__file__).parent.parent / "docs" / "user_ops.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Everything that the page defines, after all of its blocks have run without a difference."""
    globs: dict[str, Any] = {}
    test = doctest.DocTestParser().get_doctest("\n".join(BLOCKS), globs, "user_ops.md", "user_ops.md", 0)
    assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
    return test.globs


def test_every_block_is_an_example(names: dict[str, Any]) -> None:
    assert all(block.startswith(">>> ") for block in BLOCKS)
    assert names["mg"] is mg


@pytest.mark.parametrize("name", ["cube", "my_exp", "sinc", "scaled"])
def test_one_body_serves_both_libraries(names: dict[str, Any], name: str) -> None:
    op, values = names[name], np.array([0.5, -2.0, 0.0])
    expected = mg.vjp(op, values, np.ones(3))
    with fake_cupy.install():
        got = mg.vjp(op, mg.tensor(values, device="cuda"), [1.0, 1.0, 1.0])
        for one, other in zip(got, expected, strict=True):
            assert one.device == "cuda"
            np.testing.assert_array_equal(one.to("cpu"), other)


def test_a_body_of_its_own_for_the_gpu_is_picked(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    softsign = names["softsign"]
    picked = []
    monkeypatch.setitem(
        softsign.op.function.__globals__, "softsign_cuda", lambda x: picked.append(x) or x / (1 + abs(x))
    )
    with fake_cupy.install():
        x = mg.tensor([0.5, -2.0], device="cuda", requires_grad=True)
        y = softsign(x)
        y.sum().backward()
        assert len(picked) == 1
        assert y.device == x.grad.device == "cuda"
        np.testing.assert_allclose(x.grad.to("cpu"), 1 / (1 + np.abs([0.5, 2.0])) ** 2, rtol=1e-6)


@pytest.mark.gpu
def test_the_kernel_on_the_gpu(names: dict[str, Any]) -> None:
    x = mg.tensor(np.array([0.5, -2.0, 0.0]), device="cuda")
    np.testing.assert_allclose(names["softsign"](x).to("cpu"), names["softsign"](x.to("cpu")), rtol=1e-14)
    mg.check_gradients(names["softsign"], mg.tensor([0.5, -2.0], device="cuda"))


def test_a_users_op_does_not_join_minigrads(names: dict[str, Any]) -> None:
    assert names["cube"].op not in REGISTRY.values()
    assert names["cube"].__name__ == "cube"


def test_a_floating_auxiliary_output_in_a_rule_is_found_out() -> None:
    """The trap that the page warns of: order 1 is right, order 2 is not."""

    @mg.op(aux=("twice",))
    def trap(x: Any) -> Any:
        return x * x, 2 * x

    trap.vjp(x=lambda g, twice: g * twice)
    mg.check_gradients(lambda x: trap(x)[0], [1.0, 2.0], order=1)
    with pytest.raises(AssertionError, match="gradient of order 2"):
        mg.check_gradients(lambda x: trap(x)[0], [1.0, 2.0])


def test_an_argument_that_is_none_of_the_ops_has_no_rule() -> None:
    @mg.op
    def double(x: Any) -> Any:
        return x + x

    with pytest.raises(TypeError, match=r"double has no argument 'y' to differentiate; it has \('x',\)"):
        double.vjp(y=lambda g: g)


def test_none_from_a_rule_is_no_gradient() -> None:
    @mg.op
    def first(x: Any, y: Any) -> Any:
        return x + 0 * y

    first.vjp(x=lambda g: g, y=lambda g: None)
    x, y = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    first(x, y).sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert y.grad is None


def test_broadcasting_and_dtypes_are_undone_for_a_users_op() -> None:
    @mg.op
    def my_sum(x: Any, y: Any) -> Any:
        return x + y

    my_sum.vjp(x=lambda g: g, y=lambda g: g)
    x, y = mg.ones((2, 1), requires_grad=True), mg.tensor(np.ones((3,)), requires_grad=True)
    my_sum(x, y).sum().backward()
    assert (x.grad.shape, x.grad.dtype, y.grad.shape, y.grad.dtype) == ((2, 1), "float32", (3,), "float64")
