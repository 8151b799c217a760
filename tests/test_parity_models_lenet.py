"""The networks of 1989 and 1998, written out with PyTorch's functions: outputs and all gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad import models, nn
from minigrad.models.lecun_1989 import H2
from minigrad.models.lenet_1998 import C3, digit_bitmaps

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity


def squash(a: Any) -> Any:
    return 1.7159 * torch.tanh(2 / 3 * a)


def dense(weight: Any, table: list[list[int]], channels: int) -> Any:
    """The kernels of a table of connections at their places among zeros."""
    places = ([k for k, row in enumerate(table) for _ in row], [c for row in table for c in row])
    return torch.zeros(len(table), channels, 5, 5, dtype=weight.dtype).index_put(
        tuple(map(torch.tensor, places)), weight
    )


def lenet5_1998(x: Any, p: dict[str, Any]) -> Any:
    def subsampled(a: Any, i: int) -> Any:
        weight, bias = (p[f"features.{i}.{name}"].reshape(-1, 1, 1) for name in ("weight", "bias"))
        return squash(4 * F.avg_pool2d(a, 2) * weight + bias)

    a = subsampled(squash(F.conv2d(x, p["features.0.weight"], p["features.0.bias"])), 2)
    a = subsampled(squash(F.conv2d(a, dense(p["features.4.weight"], C3, 6), p["features.4.bias"])), 6)
    a = squash(F.conv2d(a, p["features.8.weight"], p["features.8.bias"])).flatten(1)
    a = squash(F.linear(a, p["classifier.1.weight"], p["classifier.1.bias"]))
    return ((a[:, None] - torch.tensor(digit_bitmaps())) ** 2).sum(-1)


def lecun1989(x: Any, p: dict[str, Any]) -> Any:
    def bordered(a: Any) -> Any:
        return F.pad(a, (2, 1, 2, 1), value=-1.0)

    a = squash(F.conv2d(bordered(x), p["features.0.weight"], stride=2) + p["features.0.bias"])
    a = squash(F.conv2d(bordered(a), dense(p["features.2.weight"], H2, 12), stride=2) + p["features.2.bias"])
    for i in (1, 3):
        a = squash(F.linear(a.flatten(1), p[f"classifier.{i}.weight"], p[f"classifier.{i}.bias"]))
    return a


@pytest.mark.parametrize(
    ("make", "theirs", "side"), [(models.lenet5_1998, lenet5_1998, 32), (models.lecun1989, lecun1989, 16)]
)
def test_outputs_and_gradients(make: Callable[[], nn.Module], theirs: Callable, side: int) -> None:
    rng = np.random.default_rng(0)
    net, x = make().to(np.float64), rng.uniform(-1, 1, (3, 1, side, side))
    p = {name: torch.tensor(value.detach().numpy(), requires_grad=True) for name, value in net.named_parameters()}
    y, t = net(x), theirs(torch.tensor(x), p)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-11, atol=1e-12)
    seed = rng.standard_normal(y.shape)
    y.backward(seed), t.backward(torch.tensor(seed))
    for name, value in net.named_parameters():
        np.testing.assert_allclose(value.grad.numpy(), p[name].grad.numpy(), rtol=1e-8, atol=1e-11, err_msg=name)
