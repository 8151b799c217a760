"""Optimizers against PyTorch: fifty steps of each with every option; those that it lacks are in test_nn_optim.py."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"momentum": 0.9, "lr": 0.001}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "weight_decay": 0.01, "eps": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
]


def close(ours, theirs, tolerance):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert abs(ours - theirs).max() <= tolerance * abs(theirs).max()


def ids(row):
    return f"{row[0]}-" + "-".join(f"{k}={v}" for k, v in row[1].items())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=map(ids, OPTIMIZERS))
def test_fifty_steps(name, options, dtype):
    # PyTorch keeps the product of NAdam's mu in float32.
    tolerance = 1e-5 if dtype == "float32" else 1e-9 if name == "NAdam" else 1e-13
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 4), (5,), (2, 3, 4))]
    ours = [mg.tensor(p, requires_grad=True) for p in start]
    theirs = [torch.tensor(p, requires_grad=True) for p in start]
    optimizer, their_optimizer = getattr(nn.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(50):
        for p, q in zip(ours, theirs, strict=True):
            g = (rng.standard_normal(p.shape) * 3 / (1 + step)).astype(dtype)
            p.grad, q.grad = mg.tensor(g), torch.tensor(g)
        optimizer.step()
        their_optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        close(p, q, tolerance)
    our_state, their_state = optimizer.state_dict(), their_optimizer.state_dict()
    (group,), (their_group,) = our_state["param_groups"], their_state["param_groups"]
    ours_alone = {"form"} if name == "SGD" else set()
    assert set(group) - set(their_group) == ours_alone
    assert {k: group[k] for k in group.keys() - ours_alone} == {k: their_group[k] for k in group.keys() - ours_alone}
    for number, kept in their_state["state"].items():
        known = {k: v for k, v in kept.items() if v is not None}
        assert our_state["state"].get(number, {}).keys() == known.keys()
        for key, value in known.items():
            mine = our_state["state"][number][key]
            if key == "step":
                assert mine == value.item()
            elif key == "mu_product":
                assert mine == pytest.approx(value.item(), rel=1e-5)
            else:
                close(mine, value, 10 * tolerance)


@pytest.mark.parametrize("name", sorted({name for name, _ in OPTIMIZERS}))
def test_defaults_and_the_order_of_arguments(name):
    """By position too: all that PyTorch takes by position, up to what only it has."""
    theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
    ours = getattr(nn.optim, name)([mg.zeros(1, requires_grad=True)]).defaults
    assert {k: theirs[k] for k in ours if k != "form"} == {k: v for k, v in ours.items() if k != "form"}

    def by_position(kind):
        parameters = inspect.signature(kind).parameters.values()
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    mine, other = (by_position(getattr(module.optim, name)) for module in (nn, torch))
    assert mine == other[: len(mine)]


def test_a_closure():
    """Called with gradients on, under no_grad too; its value comes back."""
    ours, theirs = mg.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    found = []
    for p, kind, off in ((ours, nn.optim.Adam, mg.no_grad), (theirs, torch.optim.Adam, torch.no_grad)):
        optimizer = kind([p], lr=0.1)

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        with off():
            losses = [optimizer.step(closure).item() for _ in range(3)]
        found.append((losses, p.detach().numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6)


def test_lamb_without_its_scale_is_adamw():
    a, b = (torch.ones(3, dtype=torch.float64) for _ in "ab")
    ours, theirs = mg.tensor(a.numpy(), requires_grad=True), b.requires_grad_()
    optimizer = nn.optim.LAMB([ours], lr=0.1, weight_decay=0.5, adapt=False)
    their_optimizer = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.5, eps=1e-6)
    for step in range(5):
        g = np.array([1.0, -2.0, 0.5]) * (step + 1)
        ours.grad, theirs.grad = mg.tensor(g), torch.tensor(g)
        optimizer.step()
        their_optimizer.step()
    close(ours, theirs, 1e-14)


@pytest.mark.parametrize(("name", "options"), [("Adam", {"amsgrad": True}), ("SGD", {"momentum": 0.9}), ("SGD", {})])
def test_a_state_of_pytorch_goes_on_here(name, options, tmp_path):
    """Its options about how to compute are left out, its counts of steps are numbers, and it has no `form`."""
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((6, 3, 4))
    p, q = mg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    theirs = getattr(torch.optim, name)([q], lr=0.1, **options)
    for g in gradients[:3]:
        q.grad = torch.tensor(g)
        theirs.step()
    torch.save(theirs.state_dict(), tmp_path / "state.pth")
    ours = getattr(nn.optim, name)([p], lr=7.0)
    ours.load_state_dict(nn.load(tmp_path / "state.pth"))
    with mg.no_grad():
        p.copy_(q.detach().numpy())
    for g in gradients[3:]:
        p.grad, q.grad = mg.tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12)
