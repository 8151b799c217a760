"""A checkpointed region gives the same derivatives, keeps less, and notices when its second run cannot be trusted."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import _reaching

W = np.random.default_rng(0).standard_normal((4, 4)) * 0.5
X = np.random.default_rng(1).standard_normal((3, 4))


def leaves() -> tuple[mg.Tensor, mg.Tensor]:
    return mg.tensor(X, requires_grad=True), mg.tensor(W, requires_grad=True)


def layers(w: mg.Tensor) -> object:
    return lambda x: mg.tanh(mg.tanh(x @ w) @ w)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_arguments_and_of_what_the_function_closes_over(create_graph: bool) -> None:
    x, w = leaves()
    u = np.random.default_rng(2).standard_normal((3, 4))
    plain = mg.grad(layers(w)(x) * x, [x, w], u)
    saved = mg.grad(mg.checkpoint(layers(w), x) * x, [x, w], u, create_graph=create_graph)
    for a, b in zip(plain, saved, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.detach().numpy())


def test_second_order() -> None:
    mg.check_gradients(lambda x, w: mg.checkpoint(layers(w), x), X, W, order=3)


def test_nested_regions_and_regions_in_a_row() -> None:
    def inner(x: mg.Tensor, w: mg.Tensor) -> mg.Tensor:
        return mg.exp(mg.sin(x @ w))

    def outer(x: mg.Tensor, w: mg.Tensor) -> mg.Tensor:
        return mg.tanh(mg.checkpoint(inner, mg.checkpoint(inner, x, w) * 0.1, w))

    x, w = leaves()
    y = mg.checkpoint(outer, x, w)
    z = mg.checkpoint(outer, y, w)
    plain = mg.tanh(inner(inner(x, w) * 0.1, w))
    plain = mg.tanh(inner(inner(plain, w) * 0.1, w))
    for create_graph in (True, False):
        a = mg.grad(z, [x, w], np.ones(z.shape), retain_graph=True, create_graph=create_graph)
        b = mg.grad(plain, [x, w], np.ones(z.shape), retain_graph=True)
        for g, h in zip(a, b, strict=True):
            np.testing.assert_allclose(g.detach().numpy(), h.numpy(), rtol=1e-13)
    mg.check_gradients(lambda x, w: mg.checkpoint(outer, x, w), X, W)


def test_several_outputs_keywords_and_passes() -> None:
    x, w = leaves()
    a, b = mg.checkpoint(lambda t, *, scale: (mg.exp(t) * scale, mg.sin(t @ w)), x, scale=3.0)
    total = a.sum() + (b * b).sum()
    total.backward(retain_graph=True)
    first = x.grad
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * first.numpy())
    with pytest.raises(RuntimeError, match="already freed"):
        total.backward()


def test_a_random_mask_is_the_same_and_the_stream_goes_on_as_if_nothing_had_been() -> None:
    def dropped(x: mg.Tensor) -> mg.Tensor:
        return mg.exp(x) * (mg.rand(x.shape, dtype="float64") > 0.5).astype("float64")

    results = []
    for run in (lambda f, x: f(x), mg.checkpoint):
        mg.manual_seed(3)
        x, _ = leaves()
        y = run(dropped, x)
        before = mg.rand(2).tolist()
        y.sum().backward()
        results.append((y.detach().numpy(), x.grad.numpy(), before, mg.rand(2).tolist()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_keeps_the_arguments_only() -> None:
    x, w = leaves()
    y = x
    for _ in range(8):
        y = mg.checkpoint(layers(w), y)
    kept = mg.graph(y)
    assert kept.bytes == 0
    assert {node.state for node in kept.nodes} == {"leaf", "checkpointed"}
    z = x
    for _ in range(8):
        z = layers(w)(z)
    assert mg.graph(z).activation_bytes == 16 * X.nbytes


def test_a_dropped_region_is_gone_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x, w = leaves()
        y = mg.checkpoint(layers(w), x)
        nodes = [weakref.ref(n) for n in _reaching([y.node], {x.node}) if n is not x.node]
        del y
        assert [n() for n in nodes] == [None] * 4
        y = mg.checkpoint(layers(w), x)
        nodes = [weakref.ref(n) for n in _reaching([y.node], {x.node}) if n is not x.node]
        y.sum().backward()
        del y
        assert [n() for n in nodes] == [None] * 4
    finally:
        gc.enable()


def test_without_recording_it_just_calls() -> None:
    x, w = leaves()
    with mg.no_grad():
        assert not mg.checkpoint(layers(w), x).requires_grad
    assert not mg.checkpoint(lambda t: t * 2, mg.ones(2)).requires_grad


def test_a_change_in_between_is_noticed() -> None:
    x, w = leaves()
    y = mg.checkpoint(layers(w), x)
    with mg.no_grad():
        w += 1
    with pytest.raises(RuntimeError, match=r"matmul used in a checkpointed region was changed .*test_check"):
        y.sum().backward()


def test_a_second_run_that_differs_is_noticed() -> None:
    x, _ = leaves()
    calls = []

    def moody(t: mg.Tensor) -> mg.Tensor:
        calls.append(1)
        return mg.exp(mg.sin(t)) if len(calls) == 1 else mg.exp(mg.cos(t))

    y = mg.checkpoint(moody, x)
    with pytest.raises(RuntimeError, match=r"its call number 1 was sin of shape \(3, 4\), then cos of shape \(3, 4\)"):
        y.sum().backward()


def test_an_error_inside_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        mg.checkpoint(lambda t: 1 // 0, leaves()[0])
    assert mg.gradmode.mode.watchers == ()
