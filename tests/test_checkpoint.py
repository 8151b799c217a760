"""A checkpointed region gives the same derivatives, keeps less, and notices when its second run cannot be trusted."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import _reaching

W = np.random.default_rng(0).standard_normal((4, 4)) * 0.5
X = np.random.default_rng(1).standard_normal((3, 4))


def leaves() -> tuple[mg.Tensor, mg.Tensor]:
    return mg.tensor(X, requires_grad=True), mg.tensor(W, requires_grad=True)


def layers(w: mg.Tensor) -> Callable:
    return lambda x: mg.tanh(mg.tanh(x @ w) @ w)


def in_another_thread(run: Callable) -> None:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


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
    assert (kept.leaf_bytes, kept.activation_bytes) == (X.nbytes, 7 * X.nbytes)  # the arguments: x, and 7 results
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


def test_a_change_in_between_is_noticed_also_where_no_rule_saved_the_value() -> None:
    x, w = leaves()
    y = mg.checkpoint(layers(w), x)
    with mg.no_grad():
        w += 1
    with pytest.raises(RuntimeError) as caught:
        y.sum().backward()
    assert (
        "<lambda> has to run again, since it was checkpointed, but the argument 'y' of its matmul, of shape (4, 4), "
        "was changed in place at " in str(caught.value)
    )
    assert "test_checkpoint.py:" in str(caught.value)
    assert "go backward before the change, or change a copy of it" in str(caught.value)

    x, _ = leaves()
    y = mg.checkpoint(lambda t: mg.exp(t + 1.0), x)  # without checkpointing only exp's output would be saved
    with mg.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match=r"argument 'x' of its add"):
        y.sum().backward()


def test_what_the_region_makes_or_changes_itself_may_change() -> None:
    x, _ = leaves()
    mean = mg.zeros(4, dtype="float64")

    def normed(t: mg.Tensor) -> mg.Tensor:
        with mg.no_grad():
            mean.copy_(mean * 0.5 + t.detach().mean(axis=0) * 0.5)
        return mg.exp(mg.sin(t))

    y = mg.checkpoint(normed, x)
    expected = np.exp(np.sin(X)) * np.cos(X)
    with mg.no_grad():
        y.detach().copy_(0.0)  # exp saved its output, but will compute it again
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_a_second_run_that_differs_is_noticed() -> None:
    x, _ = leaves()
    calls = []

    def moody(t: mg.Tensor) -> mg.Tensor:
        calls.append(1)
        return mg.exp(mg.sin(t)) if len(calls) == 1 else mg.exp(mg.cos(t))

    y = mg.checkpoint(moody, x)
    with pytest.raises(
        RuntimeError,
        match=r"moody was checkpointed but did not compute the same when it ran again: recorded call 1 of 2 was sin of "
        r"shape \(3, 4\) and dtype float64, and is now cos of .*; it must not depend on anything that changes",
    ):
        y.sum().backward()

    def growing(t: mg.Tensor) -> mg.Tensor:
        calls.append(1)
        for _ in calls:
            t = mg.sin(t)
        return t

    y = mg.checkpoint(growing, x)
    with pytest.raises(RuntimeError, match=r"growing was .* again: it recorded 3 calls of ops, and now 4"):
        y.sum().backward()


def test_an_error_inside_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        mg.checkpoint(lambda t: 1 // 0, leaves()[0])
    assert mg.gradmode.mode.watchers == ()


# ---- what the graph is afterwards -----------------------------------------------------------------------------------


def test_derivatives_of_second_order_go_through_tensors_inside_the_region() -> None:
    found = {}

    def f(t: mg.Tensor) -> mg.Tensor:
        h = mg.sin(t)
        found.setdefault("h", h)  # of the first run: the one the user has
        return mg.exp(h) * h

    second = []
    for run in (lambda f, x: f(x), mg.checkpoint):
        found.clear()
        x, _ = leaves()
        y = run(f, x)
        (g,) = mg.grad(y, found["h"], np.ones(X.shape), create_graph=True)
        second.append(mg.grad(g, found["h"], np.ones(X.shape))[0].numpy())
    np.testing.assert_array_equal(*second)


def test_grad_through_a_part_of_the_region() -> None:
    found = {}

    def f(t: mg.Tensor) -> mg.Tensor:
        found.setdefault("h", mg.sin(t))
        return mg.exp(found["h"] if len(found) == 1 else mg.sin(t)) * 2

    x, _ = leaves()
    y = mg.checkpoint(f, x)
    (part,) = mg.grad(y, found["h"], np.ones(X.shape), retain_graph=True)
    np.testing.assert_allclose(part.numpy(), 2 * np.exp(np.sin(X)))
    (whole,) = mg.grad(y, x, np.ones(X.shape))
    np.testing.assert_allclose(whole.numpy(), 2 * np.exp(np.sin(X)) * np.cos(X))


def test_it_runs_again_once_for_each_graph() -> None:
    calls = []

    def counted(t: mg.Tensor) -> mg.Tensor:
        calls.append(1)
        return mg.exp(mg.sin(t))

    x, _ = leaves()
    y = mg.checkpoint(counted, x)
    for retain in (True, True, False):
        y.backward(np.ones(X.shape), retain_graph=retain)
    assert len(calls) == 2
    y = mg.checkpoint(lambda t: mg.checkpoint(counted, t), x)
    y.backward(np.ones(X.shape))
    assert len(calls) == 5  # forward, again for the outer region, again for the inner one


def test_a_backward_inside_the_region() -> None:
    def energy(t: mg.Tensor) -> mg.Tensor:
        (g,) = mg.grad((mg.sin(t) * t).sum(), t, create_graph=True)
        (h,) = mg.grad((t * t).sum(), t)
        return mg.exp(g * 0.1) * h

    x, _ = leaves()
    plain = mg.grad(energy(x), x, np.ones(X.shape))[0]
    np.testing.assert_array_equal(mg.grad(mg.checkpoint(energy, x), x, np.ones(X.shape))[0].numpy(), plain.numpy())


def test_a_generator_of_ones_own_draws_the_same_and_is_not_touched() -> None:
    mine = np.random.default_rng(5)

    def noisy(t: mg.Tensor) -> mg.Tensor:
        return mg.exp(t) * mg.rand(t.shape, generator=mine) * mg.rand(t.shape, generator=np.random.default_rng(1))

    x, _ = leaves()
    y = mg.checkpoint(lambda t: mg.checkpoint(noisy, t) * 2, x)
    state = mine.bit_generator.state
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy())
    assert mine.bit_generator.state == state


def test_default_generators_may_be_named_and_their_states_moved_inside() -> None:
    generator = mg.random.default_generator()

    def f(t: mg.Tensor) -> mg.Tensor:
        a = mg.rand(t.shape, generator=generator)
        mg.set_rng_state(mg.get_rng_state())
        mg.manual_seed(4)
        return mg.exp(t) * a * mg.rand(t.shape)

    x, _ = leaves()
    y = mg.checkpoint(f, x)
    mg.rand(10)
    state = mg.get_rng_state()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy())
    assert mg.get_rng_state() == state
    assert mg.random.default_generator() is generator


def test_random_numbers_that_cannot_be_drawn_again_are_noticed() -> None:
    x, _ = leaves()
    y = mg.checkpoint(lambda t: mg.exp(t) * mg.rand(t.shape, generator=np.random.default_rng()), x)
    with pytest.raises(
        RuntimeError,
        match="drew other random numbers than the first: seed the generators that it makes, and let no other thread",
    ):
        y.sum().backward()

    calls = []

    def disturbed(t: mg.Tensor) -> mg.Tensor:
        a = mg.rand(t.shape)
        if not calls:
            calls.append(in_another_thread(lambda: mg.rand(3)))
        return mg.exp(t) * a * mg.rand(t.shape)

    y = mg.checkpoint(disturbed, x)
    with pytest.raises(RuntimeError, match="drew other random numbers than the first"):
        y.sum().backward()


def test_what_other_threads_draw_in_the_meantime_does_not_matter_to_a_region_that_draws_nothing() -> None:
    def f(t: mg.Tensor) -> mg.Tensor:
        in_another_thread(lambda: mg.rand(3))
        return mg.exp(t)

    x, _ = leaves()
    mg.checkpoint(f, x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.exp(X))


def test_a_failed_second_run_leaves_the_graph_and_the_thread_as_they_were() -> None:
    fail = []

    def fragile(t: mg.Tensor) -> mg.Tensor:
        if fail:
            raise OSError("no")
        return mg.exp(t) * mg.rand(t.shape)

    x, _ = leaves()
    y = mg.checkpoint(fragile, x)
    state = mg.get_rng_state()
    fail.append(1)
    with pytest.raises(OSError, match="no"):
        y.backward(np.ones(X.shape))
    assert x.grad is None
    assert mg.gradmode.mode.watchers == ()
    assert mg.get_rng_state() == state
    fail.clear()
    y.backward(np.ones(X.shape))
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy())
