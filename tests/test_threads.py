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
