"""Images keep the memory order of the kernels, (H, W, N, C) behind their NCHW shape, through whole networks.

Where two orders meet, an addition takes many times as long and its result is in yet another order; nothing goes wrong
but the time, so it takes a test to notice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.gradmode import Watcher, mode
from minigrad.models import lenet5


def pixels_first(x: np.ndarray) -> bool:
    """Whether the strides of a 4-D array fall in the order H, W, N, C; axes of length 1 say nothing."""
    steps = [x.strides[a] for a in (2, 3, 0, 1) if x.shape[a] > 1]
    return all(a >= b for a, b in pairwise(steps)) and 0 not in steps


class Order(Watcher):
    """Collects every 4-D activation and every gradient of one that is in another order."""

    def __init__(self, image: mg.Tensor):
        self.image, self.seen = image, 0
        self.wrong: list[str] = []
        self.forward = True

    def look(self, what: str, x: Any) -> None:
        x = x if isinstance(x, np.ndarray) else x._array
        if x.ndim == 4 and x.shape[0] == self.image.shape[0] and x.shape[1] > self.image.shape[1]:
            self.seen += 1
            if not pixels_first(x):
                self.wrong.append(f"{what}: {x.shape} with strides {x.strides}")

    def called(self, op: Any, values: tuple, raw: list, result: mg.Tensor) -> None:
        if self.forward:  # on the way back, a rule's own steps may be views in any order: what it returns counts
            self.look(op.name, result)

    def arrived(self, node: Any, g: Any) -> None:
        self.look(f"gradient of {node.plan.op.name if node.plan else 'a leaf'}", g)

    def returned(self, node: Any, position: int, given: list, gx: Any) -> None:
        self.look(f"{node.plan.op.name}'s gradient in argument {position}", gx)


def weights(*shape: int) -> mg.Tensor:
    return mg.tensor(mg.randn(shape).numpy() * 0.1, requires_grad=True)


def residual(x: mg.Tensor) -> mg.Tensor:
    """Two blocks, the second with a strided shortcut; global average; a classifier."""
    y = mg.relu(mg.conv2d(x, weights(8, 3, 3, 3), weights(8), padding=1))
    z = mg.relu(mg.conv2d(y, weights(8, 8, 3, 3), padding=1))
    y = mg.relu(mg.conv2d(z, weights(8, 8, 3, 3), padding=1) + y)
    z = mg.relu(mg.conv2d(y, weights(12, 8, 3, 3), padding=1, stride=2))
    z = mg.conv2d(z, weights(12, 12, 3, 3), padding="same") * weights(1, 12, 1, 1) + weights(1, 12, 1, 1)
    y = mg.relu(z + mg.conv2d(y, weights(12, 8, 1, 1), stride=2))
    return mg.flatten(mg.global_avg_pool(y), 1) @ weights(12, 5)


def inception(x: mg.Tensor) -> mg.Tensor:
    """A stem with max pooling, two blocks of four branches joined by concatenation, flattened."""
    y = mg.max_pool2d(mg.relu(mg.conv2d(x, weights(8, 3, 3, 3), padding=1)), 2)
    for _ in range(2):
        c = y.shape[1]
        one = mg.relu(mg.conv2d(y, weights(4, c, 1, 1)))
        three = mg.leaky_relu(mg.conv2d(mg.relu(mg.conv2d(y, weights(4, c, 1, 1))), weights(6, 4, 3, 3), padding=1))
        five = mg.tanh(mg.conv2d(mg.silu(mg.conv2d(y, weights(3, c, 1, 1))), weights(4, 3, 5, 5), padding=2))
        pool = mg.sigmoid(mg.conv2d(mg.max_pool2d(y, 3, stride=1, padding=1), weights(4, c, 1, 1)))
        y = mg.concatenate([one, three, five, pool], axis=1)
    y = mg.avg_pool2d(y, 3, stride=1)
    return mg.flatten(y, 1) @ weights(y.size // y.shape[0], 5)


def by_means(x: mg.Tensor) -> mg.Tensor:
    """What a newcomer writes: mean over the pixels, a mask, a slice of the channels, padding by hand."""
    y = mg.relu(mg.conv2d(x, weights(8, 3, 3, 3), padding=1))
    y = y * (np.random.default_rng(0).random(y.shape) > 0.5)  # a mask in row-major order
    y = mg.maximum(y, mg.rand(y.shape)) + mg.rand(y.shape)
    y = y[mg.tensor([True] * y.shape[0])]
    y = mg.concatenate([y[:, :4], mg.where(y[:, 4:] > 0.1, y[:, 4:], 0.0)], axis=1)
    y = mg.conv2d(mg.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"), weights(8, 8, 3, 3))
    y = y - y.mean(axis=(0, 2, 3), keepdims=True)
    y = y * mg.take(y, list(range(8)), axis=1)
    return y.mean(axis=(2, 3)) @ weights(8, 5) + y.max(axis=(2, 3)) @ weights(8, 5)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (lambda x: lenet5()(x), (5, 1, 28, 28)),
        (residual, (5, 3, 8, 8)),
        (inception, (5, 3, 8, 8)),
        (by_means, (5, 3, 8, 8)),
    ],
    ids=["lenet5", "residual", "inception", "by means"],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_every_activation_and_gradient_lies_pixels_first(
    net: Callable, shape: tuple, create_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mg.manual_seed(0)
    x = mg.randn(shape)
    watcher = Order(x)
    monkeypatch.setattr(mode, "watchers", (watcher,))
    y = net(x)
    watcher.forward = False
    (y * y).sum().backward(create_graph=create_graph)
    assert watcher.seen > 15
    assert not watcher.wrong, "\n".join(watcher.wrong)


@pytest.mark.parametrize("out", [5, 300])
def test_the_gradient_of_a_matrix_lies_as_the_matrix_does(out):
    """An optimizer that had to turn it took a third of AlexNet's step."""
    x = mg.randn(4, 7)
    layer = nn.Linear(7, out)
    layer(x).sum().backward()
    plain = mg.randn(7, out, requires_grad=True)
    (x @ plain).sum().backward()
    assert layer.weight.grad._array.flags.c_contiguous
    assert plain.grad._array.flags.c_contiguous
    expected = np.outer(x.numpy().sum(0), np.ones(out))
    np.testing.assert_allclose(plain.grad.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected.T, rtol=1e-5)
    mg.check_gradients(lambda a, b: a @ b.T, x.numpy().astype("f8"), plain.detach().numpy().T.astype("f8"))
