"""Averages of weights against their formulas in float64, swapped in and out, saved and resumed; running statistics."""

import numpy as np
import pytest

from minigrad import nn
from minigrad.nn.averaging import EMA, AveragedModel, update_bn
from tests.cudaemu import fake_cupy


class Counting(nn.Module):
    """A model with all kinds of entries: a buffer, a frozen one, a count, a half, and a module below."""

    def __init__(self):
        self.layer = nn.Linear(3, 2)
        self.running = nn.Parameter(np.zeros(2), requires_grad=False)
        self.count = nn.Parameter(np.array(0), requires_grad=False)
        self.half = nn.Parameter(np.zeros(2, np.float16))

    def forward(self, x):
        return self.layer(x)


def iterates(n=12):
    """The model's states at n moments, far from 0 and close to each other."""
    rng = np.random.default_rng(0)
    shapes = {name: (p.shape, p.dtype) for name, p in Counting().state_dict().items()}
    return [
        {name: np.array(t) if d.kind == "i" else (1 + rng.random(s)).astype(d) for name, (s, d) in shapes.items()}
        for t in range(n)
    ]


def feed(average, states, device="cpu"):
    model = Counting().to(device)
    for state in states:
        model.load_state_dict(state)
        average.update(model)
    return {name: a.to("cpu").numpy() for name, a in average.average.items()}


def ema(values, decay):
    a = values[0]
    for x in values[1:]:
        a = decay * a + (1 - decay) * x
    return a


def warm(values, decay):
    a = values[0]
    for n, x in enumerate(values[1:], 1):
        d = min(decay, (1 + n) / (10 + n))
        a = d * a + (1 - d) * x
    return a


RULES = [
    (AveragedModel, lambda values: np.mean(values, 0)),
    (lambda m: EMA(m, 0.9), lambda values: ema(values, 0.9)),
    (lambda m: EMA(m), lambda values: ema(values, 0.999)),
    (lambda m: EMA(m, 0.4, warmup=True), lambda values: warm(values, 0.4)),
    (lambda m: EMA(m, 0.0), lambda values: values[-1]),
    (lambda m: EMA(m, 1.0), lambda values: values[0]),
]


@pytest.mark.parametrize(("make", "formula"), RULES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_average_is_its_formula(make, formula, device):
    states = iterates()
    with fake_cupy.install():
        average = make(Counting().to(device))
        values = feed(average, states, device)
    assert average.n_averaged == 12
    for name, a in values.items():
        expected = formula([state[name].astype(np.float64) for state in states]) if name != "count" else 11
        np.testing.assert_allclose(a, expected, rtol=1e-14 if a.dtype == np.float64 else 4e-7)
    assert {a.dtype for a in values.values()} == {np.dtype(d) for d in ("float32", "float64", "int64")}


def test_the_first_update_takes_the_weights_as_they_are():
    (state,) = iterates(1)
    state["running"] = np.array([np.inf, np.nan])
    values = feed(EMA(Counting()), [state])
    for name, value in state.items():
        np.testing.assert_array_equal(values[name], value)


def test_a_model_keeps_its_weights():
    states = iterates(3)
    model = Counting()
    model.load_state_dict(states[0])
    average = AveragedModel(model)
    average.update(model)
    model.load_state_dict(states[1])
    average.update(model)
    assert model.state_dict()["layer.bias"].tolist() == states[1]["layer.bias"].tolist()
    model.layer.bias.requires_grad_(False)
    mean = average.average["layer.bias"].tolist()
    with average.applied_to(model) as same:
        assert same is model
        assert model.layer.bias.tolist() == mean != states[1]["layer.bias"].tolist()
        assert model.count.item() == 1
    for name, value in model.state_dict().items():
        assert value.tolist() == states[1][name].tolist()
    assert [p.requires_grad for p in model.layer.parameters()] == [True, False]
    with pytest.raises(KeyError), average.applied_to(model):
        raise KeyError
    assert model.layer.bias.tolist() == states[1]["layer.bias"].tolist()


@pytest.mark.parametrize(("make", "formula"), RULES)
def test_a_loaded_state_goes_on_bit_for_bit(make, formula):
    states = iterates()
    whole, part, other = make(Counting()), make(Counting()), make(Counting())
    feed(part, states[:5])
    saved = part.state_dict()
    other.load_state_dict(saved)
    feed(whole, states)
    feed(other, states[5:])
    assert repr(other) == repr(whole)
    for name, a in whole.average.items():
        assert a.tolist() == other.average[name].tolist()
    assert saved["n_averaged"] == 5
    assert saved["average"]["running"].tolist() == part.average["running"].tolist()  # a snapshot


def test_the_state_can_be_saved(tmp_path):
    average = AveragedModel(nn.Linear(2, 1))
    average.update(nn.Linear(2, 1))
    nn.save(average.state_dict()["average"], tmp_path / "average")
    nn.Linear(2, 1).load_state_dict(nn.load(tmp_path / "average"))


def test_polyak_averaging_reaches_what_the_iterates_only_circle():
    """SGD at a constant rate on noisy gradients of x^2/2 keeps a variance; the mean of its iterates does not."""
    rng = np.random.default_rng(0)
    model = nn.Linear(1, 50, bias=False)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.5)
    average = AveragedModel(model)
    for _ in range(1000):
        w = model.weight
        w.grad = w.detach() + rng.standard_normal(w.shape).astype(np.float32)
        optimizer.step()
        average.update(model)
    spread = [np.mean(x.detach().numpy() ** 2) for x in (model.weight, average.average["weight"])]
    assert spread[1] < 0.01 * spread[0]


def test_what_is_refused():
    average = EMA(nn.Linear(2, 1))
    for call, text, error in [
        (lambda: EMA(nn.Linear(2, 1), 1.5), "decay must be from 0 to 1, got 1.5", ValueError),
        (lambda: AveragedModel([]), "model must be a Module, got list", TypeError),
        (
            lambda: average.update(nn.Linear(3, 1)),
            r"the model is not what is averaged here: .*as \('weight', \(1, 2\)\)",
            ValueError,
        ),
        (
            lambda: average.load_state_dict({"average": {}}),
            r'a state has the keys "n_averaged" and "average", .* got \[.average.\]',
            ValueError,
        ),
        (
            lambda: average.load_state_dict(EMA(nn.Linear(2, 1, bias=False)).state_dict()),
            r"the state is not what is averaged here: names or shapes differ, as \('bias', \(1,\)\)",
            ValueError,
        ),
    ]:
        with pytest.raises(error, match=text):
            call()
    assert average.n_averaged == 0
    assert repr(average) == "EMA(n_averaged=0, decay=0.999, warmup=False)"


def test_running_statistics_are_computed_anew():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Tanh(), nn.BatchNorm1d(3)).to("float64").eval()
    model[0].running_mean.copy_(77.0)
    model[1].train()
    batches = [np.random.default_rng(i).standard_normal((5, 3)) + i for i in range(3)]
    update_bn([batches[0], (batches[1], "label"), [batches[2]]], model)
    np.testing.assert_allclose(model[0].running_mean.numpy(), np.mean(batches, (0, 1)), rtol=1e-12)
    np.testing.assert_allclose(model[0].running_var.numpy(), np.var(batches, 1, ddof=1).mean(0), rtol=1e-12)
    squashed = [np.tanh((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)) for x in batches]
    np.testing.assert_allclose(model[2].running_mean.numpy(), np.mean(squashed, (0, 1)), rtol=1e-10, atol=1e-14)
    for layer in (model[0], model[2]):
        assert (layer.momentum, layer.num_batches_tracked.item(), layer.training) == (0.1, 3, False)
    assert [module.training for module in model.modules()] == [False, False, True, False]
    with pytest.raises(AttributeError):
        update_bn(["no array"], model)
    assert (model[0].momentum, model[0].training) == (0.1, False)
    update_bn(iter(lambda: 1 / 0, None), nn.Tanh())  # nothing to compute: no batch is drawn
