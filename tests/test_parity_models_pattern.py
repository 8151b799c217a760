"""Networks from patterns against PyTorch's, built layer by layer: text, keys, logits and gradients."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad import models
from tests.test_parity_nn_layers import close

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

T = torch.nn


def lecture() -> dict:
    layers, channels = [], 3
    for width in (4, 8, 16):
        for _ in range(2):
            layers += [T.Conv2d(channels, width, 3, padding=1), T.ReLU()]
            channels = width
        layers += [T.MaxPool2d(2)]
    dense = [T.Flatten(), T.Linear(16 * 4 * 4, 20), T.ReLU(), T.Linear(20, 20), T.ReLU(), T.Linear(20, 10)]
    return {"features": layers, "classifier": dense}


def overlapping() -> dict:
    first = [T.Conv2d(2, 6, 5, stride=2, padding=0), T.Tanh(), T.MaxPool2d(3, 2, padding=1, ceil_mode=True)]
    second = [T.Conv2d(6, 6, (1, 3), padding=(0, 2), dilation=2, groups=2, bias=False), T.LeakyReLU(0.2)]
    return {"features": [*first, *second, T.AvgPool2d((2, 1), stride=1), T.AdaptiveAvgPool2d(1)]}


def line() -> dict:
    layers = [T.Conv1d(2, 4, 5, padding=2), T.BatchNorm1d(4), T.ELU(), T.MaxPool1d(2), T.AdaptiveMaxPool1d(3)]
    dense = [T.Flatten(), T.Dropout(0.25), T.Linear(12, 5), T.BatchNorm1d(5), T.Sigmoid(), T.Linear(5, 3, bias=False)]
    return {"features": layers, "classifier": [*dense, T.LogSoftmax(1)]}


def cube() -> dict:
    layers = [T.Conv3d(1, 2, 3, padding=1), T.PReLU(2), T.MaxPool3d(2), T.BatchNorm3d(2)]
    return {"features": layers, "classifier": [T.Flatten(), T.Linear(16, 2)]}


def perceptron() -> dict:
    return {"classifier": [T.Linear(7, 6), T.SiLU(), T.Linear(6, 6), T.SiLU(), T.Linear(6, 3)]}


def linear() -> dict:
    return {"classifier": [T.Flatten(), T.Linear(18, 3)]}


CASES = [
    (
        "INPUT 3x32x32 -> [[CONV 4 -> RELU]*2 -> POOL] -> [[CONV 8 -> RELU]*2 -> POOL] -> [[CONV 16 -> RELU]*2 -> POOL]"
        " -> [FC 20 -> RELU]*2 -> FC 10",
        lecture,
    ),
    (
        "INPUT 2x20x17 -> CONV 6 5x5 stride 2 pad 0 -> TANH -> POOL max 3 s=2 p=1 ceil -> CONV 6 1x3 d=2 g=2 nobias "
        "-> LEAKYRELU 0.2 -> AVGPOOL 2x1 s=1 -> ADAPTIVEPOOL 1",
        overlapping,
    ),
    (
        "INPUT 2x11 -> CONV 4 5 -> BN -> ELU -> POOL -> ADAPTIVEMAXPOOL 3 -> FLATTEN -> DROPOUT 0.25 -> FC 5 -> BN "
        "-> SIGMOID -> FC 3 nobias -> LOGSOFTMAX",
        line,
    ),
    ("INPUT 1x4x4x4 -> CONV 2 -> PRELU 2 -> POOL -> BN -> FC 2", cube),
    ("INPUT 7 -> [FC 6 -> SILU]*2 -> FC 3", perceptron),
    ("INPUT 2x3x3 -> FC 3", linear),
]


@pytest.mark.parametrize(("text", "build"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_same_network(text: str, build: Callable) -> None:
    ours = models.from_pattern(text)
    theirs = T.Sequential(OrderedDict((name, T.Sequential(*layers)) for name, layers in build().items()))
    assert repr(ours) == repr(theirs)
    state = {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)

    sizes = tuple(map(int, text.split()[1].split("x")))
    x = np.random.default_rng(0).standard_normal((4, *sizes))
    y, t = ours.to("float64").eval()(x), theirs.double().eval()(torch.tensor(x))
    close(y, t, 1e-13)
    seed = np.random.default_rng(1).standard_normal(y.shape)
    expected = torch.autograd.grad(t, list(theirs.parameters()), torch.tensor(seed))
    for g, h in zip(mg.grad(y, list(ours.parameters()), seed), expected, strict=True):
        close(g, h, 1e-12)
