"""Two threads record and go back at once, and no mode of one reaches the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import minigrad as mg
from minigrad import models

X = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype("float32")


def gradients(state: dict, quiet: bool) -> list[np.ndarray]:
    net = models.lenet5()
    net.load_state_dict(state)
    if quiet:
        with mg.no_grad():
            assert not net(X).requires_grad
    loss = mg.cross_entropy(mg.checkpoint(net.features, mg.tensor(X)).reshape(4, -1) @ mg.ones((400, 10)), [1, 2, 3, 4])
    loss = loss + mg.cross_entropy(net(X), [1, 2, 3, 4])
    loss.backward()
    return [p.grad.numpy() for p in net.parameters()]


def test_concurrent_passes_equal_one_after_the_other() -> None:
    state = models.lenet5().state_dict()
    alone = gradients(state, quiet=False)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda i: gradients(state, quiet=i % 2 == 0), range(12)))
    for run in runs:
        for a, b in zip(alone, run, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_mode_in_one_thread_does_not_touch_another() -> None:
    inside, done, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        inside.wait(10)
        x = mg.ones(2, requires_grad=True)
        seen.append((x * 2).requires_grad)
        seen.append(mg.log(mg.zeros(1)).item() if np.seterr(divide="ignore") else None)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with mg.no_grad(), mg.detect_anomaly():
        inside.set()
        assert done.wait(10)
    thread.join()
    assert seen == [True, -np.inf]


def test_the_scopes_of_many_threads_do_not_mix_in_one_decorated_function() -> None:
    barrier = threading.Barrier(4)

    @mg.no_grad()
    def quiet() -> bool:
        barrier.wait(10)
        return mg.is_grad_enabled()

    def run(_: int) -> tuple[bool, bool]:
        return quiet(), mg.is_grad_enabled()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == [(False, True)] * 8


def test_a_region_collects_the_calls_of_its_own_thread_only() -> None:
    inside, done = threading.Event(), threading.Event()
    x = mg.ones(3, requires_grad=True)
    results = []

    def other() -> None:
        inside.wait(10)
        y = mg.exp(mg.ones(3, requires_grad=True))
        results.append(mg.graph(y).nodes[-1].state)
        done.set()

    def f(t: mg.Tensor) -> mg.Tensor:
        inside.set()
        assert done.wait(10)
        return mg.sin(t)

    thread = threading.Thread(target=other)
    thread.start()
    y = mg.checkpoint(f, x)
    thread.join()
    assert results == ["recorded"]
    assert mg.graph(y).nodes[-1].state == "checkpointed"
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.cos(np.ones(3, "float32")))


def test_one_seed_one_stream_in_every_thread_that_has_its_own_generator() -> None:
    def draw(_: int) -> bytes:
        mine = np.random.default_rng(3)
        y = mg.checkpoint(lambda t: mg.exp(t) * mg.rand(1000, generator=mine), mg.ones(1000, requires_grad=True))
        y.sum().backward()
        return y.detach().numpy().tobytes() + mg.randn(1000, generator=mine).numpy().tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(16)))) == 1
