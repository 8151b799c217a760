"""nn against PyTorch: logits, losses, gradients, optimizers, initial values, names and texts."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def torch_lenet():
    t = torch.nn
    net = t.Module()
    net.features = t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.Tanh(), t.AvgPool2d(2), t.Conv2d(6, 16, 5), t.Tanh(), t.AvgPool2d(2)
    )
    net.classifier = t.Sequential(
        t.Flatten(), t.Linear(400, 120), t.Tanh(), t.Linear(120, 84), t.Tanh(), t.Linear(84, 10)
    )
    net.forward = lambda x: net.classifier(net.features(x))
    return net


def both_lenets():
    ours, theirs = models.lenet5(), torch_lenet()
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})
    return ours, theirs


def batch(n=16):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, n)


def close(ours, theirs, tolerance):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert abs(ours - theirs).max() <= tolerance * abs(theirs).max()


def test_lenet_keys_shapes_and_repr():
    ours, theirs = both_lenets()
    assert [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()] == [
        (k, v.shape) for k, v in ours.state_dict().items()
    ]
    assert repr(ours) == "LeNet5" + repr(theirs).removeprefix("Module")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_lenet_logits_loss_and_gradients(dtype, tolerance):
    ours, theirs = both_lenets()
    ours.to(dtype)
    theirs.to(getattr(torch, dtype))
    x, target = batch()
    x = x.astype(dtype)
    logits, their_logits = ours(x), theirs(torch.tensor(x))
    loss = nn.CrossEntropyLoss()(logits, target)
    their_loss = torch.nn.CrossEntropyLoss()(their_logits, torch.tensor(target))
    loss.backward()
    their_loss.backward()
    close(logits, their_logits, tolerance)
    close(loss, their_loss, tolerance)
    for (name, p), (their_name, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == their_name
        close(p.grad, q.grad, tolerance)


def test_a_training_run():
    ours, theirs = both_lenets()
    x, target = batch(64)
    optimizer, their_optimizer = nn.optim.Adam(ours.parameters()), torch.optim.Adam(theirs.parameters())
    losses = []
    for i in range(0, 64, 16):
        loss = nn.CrossEntropyLoss()(ours(x[i : i + 16]), target[i : i + 16])
        their_loss = torch.nn.CrossEntropyLoss()(theirs(torch.tensor(x[i : i + 16])), torch.tensor(target[i : i + 16]))
        for o, value in ((optimizer, loss), (their_optimizer, their_loss)):
            o.zero_grad()
            value.backward()
            o.step()
        losses.append((loss.item(), their_loss.item()))
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-4)


# ---- initial values -------------------------------------------------------------------------------------------------

INITIALISERS = [
    ("uniform_", {"a": -2.0, "b": 3.0}),
    ("normal_", {"mean": 1.0, "std": 2.0}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": math.sqrt(5)}),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}),
    ("xavier_uniform_", {"gain": 2.0}),
    ("xavier_normal_", {}),
]


def same_distribution(ours, theirs):
    """The two-sample Kolmogorov-Smirnov test: the largest distance of the two empirical distribution functions."""
    ours, theirs = np.sort(ours.detach().numpy().ravel()), np.sort(theirs.detach().numpy().ravel())
    points = np.concatenate([ours, theirs])
    below = [np.searchsorted(sample, points, side="right") / sample.size for sample in (ours, theirs)]
    limit = math.sqrt(-math.log(1e-4 / 2) / 2 * (1 / ours.size + 1 / theirs.size))  # at significance 1e-4
    assert abs(below[0] - below[1]).max() < limit


def same_bound(ours, theirs):
    np.testing.assert_allclose(abs(ours.detach().numpy()).max(), abs(theirs.detach().numpy()).max(), rtol=5e-3)


@pytest.mark.parametrize(("name", "options"), INITIALISERS)
def test_initialisers(name, options):
    torch.manual_seed(0)
    ours = getattr(nn.init, name)(mg.zeros((40, 8, 5, 5)), **options)
    theirs = getattr(torch.nn.init, name)(torch.zeros(40, 8, 5, 5), **options)
    same_distribution(ours, theirs)
    if "uniform" in name:
        same_bound(ours, theirs)


@pytest.mark.parametrize(("name", "arguments"), [("Linear", (200, 1000)), ("Conv2d", (8, 1000, 5, 1, 0, 1, 2))])
def test_default_initial_values(name, arguments):
    torch.manual_seed(0)
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    for p, q in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        assert p.shape == tuple(q.shape)
        same_distribution(p, q)
        same_bound(p, q)


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains(name):
    assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


# ---- layers and names -----------------------------------------------------------------------------------------------

LAYERS = [
    ("Linear", (3, 2), {}, (4, 3)),
    ("Linear", (3, 2), {"bias": False}, (4, 5, 3)),
    ("Conv2d", (4, 6, 3), {}, (2, 4, 8, 9)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "dilation": 2, "groups": 2}, (2, 4, 8, 9)),
    ("Conv2d", (4, 8, 3), {"padding": 1, "groups": 4, "bias": False}, (2, 4, 8, 9)),
    ("MaxPool2d", (2,), {}, (2, 4, 8, 9)),
    ("MaxPool2d", ((3, 2),), {"stride": 2, "padding": 1}, (2, 4, 8, 9)),
    ("AvgPool2d", (2,), {}, (2, 4, 8, 9)),
    ("AvgPool2d", (3, 2, 1), {}, (2, 4, 8, 9)),
    ("Tanh", (), {}, (3, 4)),
    ("ReLU", (), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Softmax", (1,), {}, (3, 4)),
    ("Flatten", (), {}, (2, 3, 4, 5)),
    ("Flatten", (0, -2), {}, (2, 3, 4, 5)),
    ("CrossEntropyLoss", (), {}, None),
]


@pytest.mark.parametrize(("name", "arguments", "options", "shape"), LAYERS)
def test_layers(name, arguments, options, shape):
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert repr(ours) == repr(theirs)
    assert [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()] == [
        (k, v.shape) for k, v in ours.state_dict().items()
    ]
    if shape:
        theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        close(ours(x), theirs(torch.tensor(x)), 1e-5)


def test_containers():
    def build(n):
        net = n.Module()
        net.body = n.Sequential(n.Linear(2, 2), n.Sequential(n.Tanh(), n.Linear(2, 3)))
        net.scale = n.Parameter(torch.ones(2) if n is torch.nn else np.ones(2, np.float32))
        net.heads = n.ModuleList([n.Linear(3, 1), n.Linear(3, 1, bias=False)])
        net.tail = net.body[1:]
        return net

    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for walk in ("named_parameters", "named_modules", "named_children"):
        assert [name for name, _ in getattr(ours, walk)()] == [name for name, _ in getattr(theirs, walk)()]


def test_torch_reads_what_we_save_and_the_reverse(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    ours, theirs = models.lenet5(), torch_lenet()
    nn.save(ours, tmp_path / "ours")
    theirs.load_state_dict(safetensors.load_file(tmp_path / "ours"))
    x, _ = batch()
    close(ours(x), theirs(torch.tensor(x)), 1e-5)
    safetensors.save_file(torch_lenet().state_dict(), tmp_path / "theirs")
    ours.load_state_dict(nn.load(tmp_path / "theirs"))
