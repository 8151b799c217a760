"""Initialisers: bounds and moments against their formulas, reproducibility, error texts."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def generator():
    return np.random.default_rng(1)


def test_fans():
    assert nn.init.fans((16, 6, 5, 5)) == (150, 400)
    assert nn.init.fans((3, 7)) == (7, 3)
    with pytest.raises(ValueError, match=r"at least two axes, \(out, in, \*kernel\), got shape \(3,\)"):
        nn.init.fans((3,))


def test_a_table_of_connections_has_no_single_fan_in():
    with pytest.raises(ValueError, match=r"each output channel sees its own number .*: use layer.by_fan_in\(\)"):
        nn.init.fans_of(nn.Conv2d(2, 2, 5, connections=[[0], [0, 1]]))
    assert nn.init.fans_of(nn.Conv2d(2, 2, 5)) == (50, 50)


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t, g: nn.init.uniform_(t, -2.0, 2.0, g), 2.0),
        (lambda t, g: nn.init.kaiming_uniform_(t, generator=g), math.sqrt(6 / 150)),
        (lambda t, g: nn.init.kaiming_uniform_(t, a=math.sqrt(5), generator=g), math.sqrt(1 / 150)),
        (
            lambda t, g: nn.init.kaiming_uniform_(t, mode="fan_out", nonlinearity="linear", generator=g),
            math.sqrt(3 / 1000),
        ),
        (lambda t, g: nn.init.xavier_uniform_(t, gain=2.0, generator=g), 2 * math.sqrt(6 / 1150)),
    ],
)
def test_uniform_bounds(fill, bound):
    values = fill(mg.zeros((40, 6, 5, 5)), generator()).numpy()
    assert abs(values).max() <= bound * (1 + 1e-6)
    assert abs(values).max() > 0.998 * bound  # 6,000 numbers: the chance of less is 0.998 ** 6000 < 1e-5
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * values.size)
    assert abs(values.std() - bound / math.sqrt(3)) < 0.03 * bound


@pytest.mark.parametrize(
    ("fill", "mean", "std"),
    [
        (lambda t, g: nn.init.normal_(t, 3.0, 2.0, g), 3, 2.0),
        (lambda t, g: nn.init.kaiming_normal_(t, generator=g), 0, math.sqrt(2 / 150)),
        (lambda t, g: nn.init.xavier_normal_(t, generator=g), 0, math.sqrt(2 / 1150)),
    ],
)
def test_normal_moments(fill, mean, std):
    values = fill(mg.zeros((40, 6, 5, 5)), generator()).numpy()
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * values.size)


def test_gains():
    for name, value in {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}.items():
        assert nn.init.calculate_gain(name) == value
    assert nn.init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert nn.init.calculate_gain("leaky_relu", 1) == 1
    with pytest.raises(ValueError, match=r"nonlinearity must be one of .*'tanh'.*, got 'swish'"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        nn.init.kaiming_normal_(mg.zeros((2, 2)), mode="fan")


def test_constants():
    assert nn.init.ones_(mg.zeros(2)).tolist() == [1, 1]
    assert nn.init.zeros_(mg.ones(2)).tolist() == [0, 0]
    assert nn.init.constant_(mg.ones(2), 3).tolist() == [3, 3]


def test_filled_in_place_in_any_dtype_and_memory_order():
    for dtype in (np.float16, np.float32, np.float64):
        t = nn.Parameter(mg.zeros((3, 4), dtype=dtype))
        assert nn.init.uniform_(t, generator=generator()) is t
        assert t.dtype == dtype
        assert t.requires_grad
    straight, turned = mg.zeros((3, 4)), mg.zeros((4, 3)).T
    nn.init.normal_(straight, generator=generator())
    nn.init.normal_(turned, generator=generator())
    assert straight.tolist() == turned.tolist()


def test_the_default_generator_is_the_seeded_one():
    def drawn():
        mg.manual_seed(5)
        return nn.Conv2d(2, 3, 3).weight.tolist(), nn.Linear(3, 2).bias.tolist()

    assert drawn() == drawn()


def test_default_initialisation_of_the_layers():
    mg.manual_seed(0)
    for layer, fan_in in ((nn.Linear(100, 300), 100), (nn.Conv2d(8, 300, 5, groups=2), 100)):
        for p in layer.parameters():
            largest = abs(p.detach().numpy()).max()
            assert 0.95 / math.sqrt(fan_in) < largest <= 1 / math.sqrt(fan_in) * (1 + 1e-6)
