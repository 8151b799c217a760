"""float16 is stored in half precision and computed in single: sums neither stop at 2048 nor overflow on the way."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


def half(values: object) -> mg.Tensor:
    return mg.tensor(np.asarray(values), dtype="float16")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: mg.sum(half(np.ones(4096))), 4096),
        (lambda: mg.mean(half(np.full(4096, 300.0))), 300),
        (lambda: mg.cumsum(half(np.ones(4096)))[-1], 4096),
        (lambda: mg.norm(half([300.0, 400.0])), 500),
        (lambda: mg.std(half([300.0, -300.0])), 300),
        (lambda: mg.prod(half([300.0, 300.0, 0.001])), 90.0),
        (lambda: mg.log_softmax(half(np.zeros(70000)))[0], -np.log(70000)),
        (lambda: mg.logsumexp(half(np.zeros(70000))), np.log(70000)),
        (lambda: mg.avg_pool2d(half(np.full((1, 1, 16, 16), 300.0)), 16).sum(), 300),
        (lambda: mg.avg_pool2d(half(np.ones((1, 1, 64, 64))), 64).sum(), 1),
        (lambda: (half(np.ones((1, 4096))) @ half(np.ones((4096, 1)))).sum(), 4096),
    ],
)
def test_value(call: object, expected: float) -> None:
    got = call()
    assert got.dtype == np.float16
    np.testing.assert_allclose(got.item(), expected, rtol=1e-3)
