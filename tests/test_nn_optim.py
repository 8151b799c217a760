"""Optimizers: each step against the formula in float64, groups, state, and what they refuse."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.optim import SGD, Adam


def sgd(p, g, s, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
    """The formula of SGD, out of place."""
    g = (-g if maximize else g) + weight_decay * p
    if momentum:
        s["v"] = momentum * s["v"] + (1 - dampening) * g if "v" in s else g
        g = g + momentum * s["v"] if nesterov else s["v"]
    return p - lr * g


def adam(p, g, s, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, maximize=False):
    """Algorithm 1 of Kingma and Ba, out of place."""
    g = (-g if maximize else g) + weight_decay * p
    t = s["t"] = s.get("t", 0) + 1
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["max"] = np.maximum(s.get("max", 0), s["v"])
    m, v = s["m"] / (1 - betas[0] ** t), (s["max"] if amsgrad else s["v"]) / (1 - betas[1] ** t)
    return p - lr * m / (np.sqrt(v) + eps)


OPTIONS = [
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    (Adam, adam, {}),
    (Adam, adam, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, adam, {"lr": 0.1, "amsgrad": True, "maximize": True}),
]


def gradients(steps=6):
    return np.random.default_rng(0).standard_normal((steps, 3, 4)) * np.linspace(3, 0.1, steps)[:, None, None]


@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_steps_are_the_formula(kind, formula, options):
    start = np.random.default_rng(1).standard_normal((3, 4))
    p, expected, state = mg.tensor(start, requires_grad=True), start, {}
    optimizer = kind([p], **options)
    for g in gradients():
        p.grad = mg.tensor(g)
        optimizer.step()
        expected = formula(expected, g, state, **options)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_gradients_are_left_alone_and_may_lie_in_another_order(kind, formula, options):
    start = np.random.default_rng(1).standard_normal((3, 4))
    a, b = (mg.tensor(start, requires_grad=True) for _ in "ab")
    one, two = kind([a], **options), kind([b], **options)
    for g in gradients():
        a.grad, b.grad = mg.tensor(g), mg.tensor(g.T).T
        one.step()
        two.step()
        assert b.grad.tolist() == g.tolist()
    assert a.tolist() == b.tolist()


def test_it_goes_through_the_door():
    p = mg.tensor([1.0], requires_grad=True)
    y = (p * p).sum()
    p.grad = mg.tensor([1.0])
    before = p.version.count
    SGD([p], lr=0.1).step()
    assert p.version.count == before + 1
    assert p.requires_grad
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_without_a_gradient_nothing_happens_and_zero_grad_forgets_it():
    p, q = (mg.tensor([1.0], requires_grad=True) for _ in "pq")
    optimizer = Adam([p, q], lr=0.1)
    p.grad = mg.tensor([1.0])
    optimizer.step()
    assert q.tolist() == [1]
    assert list(optimizer.state) == [p]
    optimizer.zero_grad()
    assert p.grad is None


def test_a_diverging_run_does_not_warn():
    p = mg.tensor([3e38], requires_grad=True)
    p.grad = mg.tensor([-3e38])
    SGD([p], lr=10.0).step()
    assert p.tolist() == [np.inf]


def test_groups_have_options_of_their_own():
    p, q = (mg.tensor([1.0], requires_grad=True) for _ in "pq")
    optimizer = SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.25)
    p.grad = q.grad = mg.tensor([1.0])
    optimizer.step()
    assert (p.item(), q.item()) == (0.75, 0.5)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert (p.item(), q.item()) == (0.75, 0.0)
    assert repr(optimizer).startswith("SGD(1 tensors, lr=0.0, momentum=0,")


@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_a_loaded_state_goes_on_bit_for_bit(kind, formula, options):
    p = mg.tensor(np.ones((3, 4), np.float32), requires_grad=True)
    optimizer = kind([p], **options)
    steps = gradients().astype(np.float32)
    for g in steps[:3]:
        p.grad = mg.tensor(g)
        optimizer.step()
    weights, state = p.detach().copy(), optimizer.state_dict()
    kept = str(state)
    q = mg.tensor(weights, requires_grad=True)
    other = kind([q], lr=77.0)
    other.load_state_dict(state)
    for g in steps[3:]:
        p.grad, q.grad = mg.tensor(g), mg.tensor(g)
        optimizer.step()
        other.step()
        assert p.tolist() == q.tolist()
    assert str(state) == kept  # a snapshot: neither optimizer writes to it
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_a_state_that_does_not_fit_changes_nothing():
    p, q = mg.zeros(2, requires_grad=True), mg.zeros(3, requires_grad=True)
    p.grad = mg.ones(2)
    one, two = SGD([p], momentum=0.9), SGD([q], lr=0.5, momentum=0.9)
    one.step()
    with pytest.raises(
        ValueError, match=r"the state's momentum_buffer has shape \(2,\), its parameter has shape \(3,\)"
    ):
        two.load_state_dict(one.state_dict())
    assert two.state == {}
    assert two.param_groups[0]["lr"] == 0.5
    with pytest.raises(
        ValueError, match=r"the state has groups of \[1\] parameters, this optimizer has groups of \[2\]"
    ):
        SGD([p, q]).load_state_dict(one.state_dict())
    with pytest.raises(
        ValueError, match=r"the state is that of another optimizer: its options are .*'momentum'.*of Adam"
    ):
        Adam([p]).load_state_dict(one.state_dict())


def bad(match, *args, kind=SGD, error=ValueError, **kwargs):
    with pytest.raises(error, match=match):
        kind(*args, **kwargs)


def test_what_is_refused():
    p = mg.zeros(2, requires_grad=True)
    bad("params is empty: there is nothing to optimize", [])
    bad("params is empty", [{"params": iter(())}])
    bad(r"got one Tensor: pass a list of them, \[tensor\]", p, error=TypeError)
    bad(r"got one Tanh: pass model.parameters\(\)", nn.Tanh(), error=TypeError)
    bad(r"params\[1\] must be a Tensor, got str", [p, "x"], error=TypeError)
    bad(r"params\[0\], of shape \(2,\), is not a leaf but was computed", [p * 2])
    bad(r"params\[1\], of shape \(2,\), is given twice", [p, p])
    bad(r"params\[0\], of shape \(2,\), is given twice", [{"params": [p]}, {"params": [p]}])
    bad(r"SGD has no option \['beta'\]; it has \['dampening', 'lr'", [{"params": [p], "beta": 1}], error=TypeError)
    bad('a parameter group is a dict with the key "params", got dict', [{"lr": 1}], error=TypeError)
    for kind in (SGD, Adam):
        bad("lr must be positive, got 0", [p], kind=kind, lr=0)
        bad("lr must be positive, got -1", [p], kind=kind, lr=-1)
        bad("lr must be positive, got nan", [p], kind=kind, lr=float("nan"))
        bad("weight_decay must be at least 0, got -1", [p], kind=kind, weight_decay=-1)
    bad("momentum must be at least 0, got -1", [p], momentum=-1)
    bad("nesterov needs momentum > 0 and dampening = 0, got momentum=0 and dampening=0", [p], nesterov=True)
    bad("dampening=0.1", [p], nesterov=True, momentum=0.9, dampening=0.1)
    bad("eps must be at least 0", [p], kind=Adam, eps=-1)
    bad(r"betas must be two numbers in \[0, 1\), got \(0.9, 1\)", [p], kind=Adam, betas=(0.9, 1))


def test_frozen_parameters_are_allowed():
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    optimizer = SGD(layer.parameters(), lr=0.1)
    before = layer.bias.tolist(), layer.weight.tolist()
    layer(mg.ones((1, 2))).sum().backward()
    optimizer.step()
    assert layer.bias.tolist() == before[0]
    assert layer.weight.tolist() != before[1]
