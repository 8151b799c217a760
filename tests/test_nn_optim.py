"""Optimizers: each step against the formula in float64, groups, state, and what they refuse."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.kernels.cpu.update import BLOCK
from minigrad.nn.optim import LAMB, LARS, SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop


def sgd(p, g, s, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False, form="pytorch"):
    """The formulas of SGD, out of place."""
    g = (-g if maximize else g) + weight_decay * p
    if form == "caffe":
        s["v"] = momentum * s.get("v", 0) - lr * g
        return p + s["v"]
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


def adamw(p, g, s, lr=1e-3, weight_decay=1e-2, **options):
    """Algorithm 2 of Loshchilov and Hutter."""
    return adam(p * (1 - lr * weight_decay), g, s, lr, **options)


def nadam(p, g, s, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3, maximize=False):
    """Algorithm 2 of Dozat; the products of mu are made anew in every step."""
    g = (-g if maximize else g) + weight_decay * p
    t = s["t"] = s.get("t", 0) + 1
    mu = [betas[0] * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, t + 2)]
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    m = mu[t] * s["m"] / (1 - np.prod(mu)) + (1 - mu[t - 1]) * g / (1 - np.prod(mu[:t]))
    return p - lr * m / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def rmsprop(p, g, s, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, maximize=False):
    """Lecture 6e; centered: Graves, equations 38 to 45."""
    g = (-g if maximize else g) + weight_decay * p
    s["n"] = alpha * s.get("n", 0) + (1 - alpha) * g**2
    s["g"] = alpha * s.get("g", 0) + (1 - alpha) * g
    s["delta"] = momentum * s.get("delta", 0) + g / (np.sqrt(s["n"] - centered * s["g"] ** 2) + eps)
    return p - lr * s["delta"]


def adagrad(p, g, s, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, maximize=False):
    """Figure 1 of Duchi, Hazan and Singer."""
    g = (-g if maximize else g) + weight_decay * p
    t = s["t"] = s.get("t", 0) + 1
    s["sum"] = s.get("sum", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


def adadelta(p, g, s, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
    """Algorithm 1 of Zeiler."""
    g = (-g if maximize else g) + weight_decay * p
    s["g"] = rho * s.get("g", 0) + (1 - rho) * g**2
    delta = np.sqrt(s.get("x", 0) + eps) / np.sqrt(s["g"] + eps) * g
    s["x"] = rho * s.get("x", 0) + (1 - rho) * delta**2
    return p - lr * delta


def lars(p, g, s, lr=1e-3, momentum=0.9, weight_decay=0, trust_coefficient=1e-3, adapt=True, maximize=False):
    """Algorithm 1 of You, Gitman and Ginsburg."""
    g = -g if maximize else g
    weights, slope = (p**2).sum() ** 0.5, (g**2).sum() ** 0.5
    local = trust_coefficient * weights / (slope + weight_decay * weights) if adapt and weights and slope else 1
    s["v"] = momentum * s.get("v", 0) + lr * local * (g + weight_decay * p)
    return p - s["v"]


def lamb(p, g, s, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0, adapt=True, maximize=False):
    """Algorithm 2 of You and others, with the identity for phi."""
    g = -g if maximize else g
    t = s["t"] = s.get("t", 0) + 1
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    r = s["m"] / (1 - betas[0] ** t) / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps) + weight_decay * p
    weights, length = (p**2).sum() ** 0.5, (r**2).sum() ** 0.5
    return p - lr * (weights / length if adapt and weights and length else 1) * r


def lion(p, g, s, lr=1e-4, betas=(0.9, 0.99), weight_decay=0, maximize=False):
    """Algorithm 2 of Chen and others."""
    g = -g if maximize else g
    c = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["m"] = betas[1] * s.get("m", 0) + (1 - betas[1]) * g
    return p - lr * (np.sign(c) + weight_decay * p)


OPTIONS = [
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    (SGD, sgd, {"lr": 0.1, "weight_decay": 0.1, "form": "caffe"}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "form": "caffe", "maximize": True}),
    (Adam, adam, {}),
    (Adam, adam, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, adam, {"lr": 0.1, "amsgrad": True, "maximize": True}),
    (AdamW, adamw, {}),
    (AdamW, adamw, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.5, "maximize": True}),
    (AdamW, adamw, {"lr": 0.1, "amsgrad": True}),
    (NAdam, nadam, {}),
    (NAdam, nadam, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.5}),
    (NAdam, nadam, {"maximize": True}),
    (RMSprop, rmsprop, {}),
    (RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5}),
    (RMSprop, rmsprop, {"centered": True, "eps": 0.1, "maximize": True}),
    (RMSprop, rmsprop, {"centered": True, "eps": 0.1, "momentum": 0.5}),
    (Adagrad, adagrad, {}),
    (Adagrad, adagrad, {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1, "eps": 1e-2, "maximize": True}),
    (Adagrad, adagrad, {"initial_accumulator_value": 0.5}),
    (Adadelta, adadelta, {}),
    (Adadelta, adadelta, {"lr": 0.5, "rho": 0.8, "eps": 1e-2, "weight_decay": 0.1, "maximize": True}),
    (LARS, lars, {}),
    (LARS, lars, {"lr": 0.5, "momentum": 0.8, "weight_decay": 0.1, "trust_coefficient": 0.02, "maximize": True}),
    (LARS, lars, {"lr": 0.05, "adapt": False, "weight_decay": 0.1}),
    (LAMB, lamb, {}),
    (LAMB, lamb, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1, "maximize": True}),
    (LAMB, lamb, {"lr": 0.1, "adapt": False, "weight_decay": 0.1}),
    (Lion, lion, {}),
    (Lion, lion, {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
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


def follow(kind, formula, options, start, steps, tolerance, make=mg.tensor):
    """Step by step, against the formula in float64; `make` lays the parameter out in memory."""
    p, expected, state = make(start), start.astype("f8"), {}
    p.requires_grad_()
    optimizer = kind([p], **options)
    for g in steps:
        g = g.astype(start.dtype)
        p.grad = mg.tensor(g)
        optimizer.step()
        assert p.grad.tolist() == g.tolist()
        expected = formula(expected, g.astype("f8"), state, **options)
        assert p.dtype == start.dtype
        got = p.detach().numpy().astype("f8")
        assert got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)
    return optimizer, p


@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_fifty_steps_in_single_precision(kind, formula, options):
    rng = np.random.default_rng(2)
    steps = [rng.standard_normal((3, 4)) * 3 / (1 + t) for t in range(50)]
    follow(kind, formula, options, rng.standard_normal((3, 4)).astype("f4"), steps, 2e-6)


@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_more_elements_than_a_block(kind, formula, options):
    rng = np.random.default_rng(3)
    n = 2 * BLOCK + 77
    follow(kind, formula, options, rng.standard_normal(n), rng.standard_normal((3, n)), 1e-13)


def strided(a):
    """The same numbers in every other element of a larger memory: neither dense nor in row-major order."""
    base = np.zeros([2 * n for n in a.shape[::-1]], a.dtype)
    view = base[(slice(None, None, 2),) * a.ndim].T
    view[...] = a
    return mg.asarray(view)


LAYOUTS = {
    "transposed": lambda a: mg.asarray(np.asfortranarray(a)),
    "backwards": lambda a: mg.asarray(a[::-1].copy()[::-1]),
    "not dense": strided,
}


@pytest.mark.parametrize("shape", [(3, 4), (300, 400), (5, 1, 2, 3), (2,)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kind", "formula", "options"), [row for row in OPTIONS if len(row[2]) > 2])
def test_parameters_in_any_memory_order(kind, formula, options, layout, shape):
    rng = np.random.default_rng(4)
    start, steps = rng.standard_normal(shape), rng.standard_normal((2, *shape))
    _, p = follow(kind, formula, options, start, steps, 1e-13, LAYOUTS[layout])
    assert p._array.strides == LAYOUTS[layout](start)._array.strides  # still where it was


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2)])
@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_numbers_and_nothing(kind, formula, options, shape):
    steps = np.random.default_rng(5).standard_normal((3, *shape))
    follow(kind, formula, options, np.full(shape, 0.5), [np.asarray(g) for g in steps], 1e-13)


@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_halves_are_computed_in_single(kind, formula, options):
    """The error of three steps is that of three roundings of the parameter; what is remembered is float32."""
    rng = np.random.default_rng(6)
    start, steps = rng.standard_normal((4, 5)).astype("f2"), rng.standard_normal((3, 4, 5)) * 1e-3
    optimizer, p = follow(kind, formula, options, start, steps, 1e-3)
    kept = [v for v in optimizer.state[p].values() if not isinstance(v, (int, float))]
    assert {v.dtype.name for v in kept} <= {"float32"}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("kind", "formula", "options"), OPTIONS)
def test_temporaries_are_as_large_as_a_block(kind, formula, options):
    """Whatever the size of the parameter: here 40 MB. Each thread has its own."""
    p = mg.zeros(10_000_000, requires_grad=True)
    p.grad = mg.ones(10_000_000)
    optimizer = kind([p], **options)
    optimizer.step()
    tracemalloc.start()
    try:
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * BLOCK * 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the page faults of Linux")
def test_temporaries_are_not_given_back_to_the_system():
    """In a process that has done nothing before: the memory of a step's temporaries is that of the last step's."""
    code = """
import resource
import minigrad as mg
from minigrad.nn.optim import Adam
p = mg.zeros(2_000_000, dtype="float64", requires_grad=True)
p.grad = mg.ones(2_000_000, dtype="float64")
optimizer, faults = Adam([p]), []
for _ in range(4):
    optimizer.step()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[1])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 200  # one temporary of a block has 128 pages, and the two steps make some 500 of them


def test_temporaries_for_a_gradient_in_another_order():
    p = mg.zeros((2000, 3000), requires_grad=True)
    p.grad = mg.asarray(np.ones((3000, 2000), np.float32)).T
    optimizer = LAMB([p])
    optimizer.step()
    tracemalloc.start()
    try:
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * BLOCK * 4


def test_the_forms_of_sgd_agree_until_lr_changes():
    rng = np.random.default_rng(7)
    a, b = (mg.tensor(np.ones(3), requires_grad=True) for _ in "ab")
    one, two = (SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01, form=f) for p, f in ((a, "pytorch"), (b, "caffe")))
    for step in range(10):
        g = rng.standard_normal(3)
        a.grad, b.grad = mg.tensor(g), mg.tensor(g)
        if step == 5:
            np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=1e-13)
            gathered = np.array(two.state[b]["momentum_buffer"])
            one.param_groups[0]["lr"] = two.param_groups[0]["lr"] = 0.01
        one.step()
        two.step()
        if step == 5:  # by what was gathered at the old lr, of which one form keeps a tenth and the other all
            np.testing.assert_allclose(b.detach() - a.detach(), 0.9 * gathered * (1 - 0.1), rtol=1e-12)


def test_a_closure_runs_with_gradients_and_its_value_comes_back():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = SGD([p], lr=0.25)

    def closure():
        assert mg.is_grad_enabled()
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 1
    assert p.tolist() == [0.5]
    assert optimizer.step() is None


def test_a_gradient_that_does_not_fit_changes_nothing():
    p, q = mg.ones(2, requires_grad=True), mg.ones(3, requires_grad=True)
    p.grad, q.grad = mg.ones(2), mg.ones(2)
    optimizer = Adam([p, q])
    with pytest.raises(ValueError, match=r"a parameter of shape \(3,\) on cpu has a gradient of shape \(2,\) on cpu"):
        optimizer.step()
    assert (p.tolist(), optimizer.state) == ([1, 1], {})


def test_numpy_numbers_as_options_do_not_widen():
    """A schedule may compute lr with NumPy: a float64 of it must not turn the blocks into float64."""
    one, two = (mg.tensor(np.full(5, 0.3, "f4"), requires_grad=True) for _ in "ab")
    a, b = Adam([one], lr=0.1), Adam([two], lr=np.float64(0.1), betas=(np.float64(0.9), np.float64(0.999)))
    for p, optimizer in ((one, a), (two, b)):
        p.grad = mg.tensor(np.linspace(-1, 1, 5).astype("f4"))
        optimizer.step()
    assert one.tolist() == two.tolist()


def test_what_rounding_makes_of_a_variance_is_no_nan():
    """Of a constant gradient, v - m^2 is 0 in the limit, and on the way there less than 0 in float32."""
    p = mg.tensor([0.0], requires_grad=True)
    optimizer = RMSprop([p], lr=1e-3, centered=True, alpha=0.5)
    below = False
    for _ in range(60):
        p.grad = mg.tensor([0.3])
        optimizer.step()
        kept = optimizer.state[p]
        below = below or (kept["square_avg"] - kept["grad_avg"] ** 2).item() < 0
    assert below
    assert np.isfinite(p.item())


def test_an_optimizer_follows_a_parameter_of_another_dtype():
    """As after Module.to: what is remembered changes with it."""
    layer = nn.Linear(3, 2)
    optimizer = Adam(layer.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        layer(mg.ones((1, 3), dtype=layer.weight.dtype)).sum().backward()
        optimizer.step()
        return optimizer.state[layer.weight]

    m = step()["exp_avg"].copy()
    layer.to("float64")
    kept = step()
    np.testing.assert_allclose(kept["exp_avg"], m * 0.9 + 0.1, rtol=1e-7)
    assert (kept["step"], kept["exp_avg"].dtype) == (2, np.float64)


def test_options_may_be_switched_on_between_steps():
    p = mg.tensor([1.0], requires_grad=True)
    for kind, option, value, name in (
        (SGD, "momentum", 0.9, "momentum_buffer"),
        (Adam, "amsgrad", True, "max_exp_avg_sq"),
        (RMSprop, "centered", True, "grad_avg"),
    ):
        optimizer = kind([p])
        p.grad = mg.tensor([1.0])
        optimizer.step()
        assert name not in optimizer.state[p]
        optimizer.param_groups[0][option] = value
        optimizer.step()
        assert name in optimizer.state[p]


def test_a_shared_parameter_is_stepped_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    optimizer = SGD(net.parameters(), lr=0.5)
    assert len(optimizer.param_groups[0]["params"]) == 3
    before = net[0].weight.detach().copy()
    net(mg.ones((1, 2))).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(net[0].weight.detach(), before - 0.5 * net[0].weight.grad, rtol=1e-6)


def test_groups_of_what_decays_and_what_does_not():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2, bias=False), nn.Linear(2, 3))
    net[1].weight.requires_grad_(False)
    decayed, rest = nn.optim.decay_groups(net, 0.1)
    assert [id(p) for p in decayed["params"]] == [id(net[0].weight), id(net[2].weight)]
    assert [id(p) for p in rest["params"]] == [id(net[0].bias), id(net[2].bias)]
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert len(nn.optim.decay_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1
    optimizer = LARS([decayed, {**rest, "adapt": False}], lr=1.0, momentum=0.0)
    for p in net.parameters():
        p.grad = mg.ones(p.shape)
    before = net[0].bias.detach().copy()
    optimizer.step()
    assert net[0].bias.tolist() == (before - 1).tolist()
    with pytest.raises(TypeError, match="model must be a Module, got list"):
        nn.optim.decay_groups([], 0.1)


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
    with pytest.raises(ValueError, match=r'a state has the keys "state" and "param_groups".* got \[\'weight\'\]'):
        two.load_state_dict({"weight": p})
    state = one.state_dict()
    state["state"][7] = state["state"].pop(0)
    with pytest.raises(ValueError, match=r"the state remembers parameters \[7\], which are in none of its groups"):
        SGD([p], momentum=0.9).load_state_dict(state)


def test_a_state_takes_the_dtype_of_its_parameter():
    """As in PyTorch; that of a float16 parameter is float32, in which its formula is computed."""
    start = np.linspace(-1, 1, 6).reshape(2, 3)
    for dtype, kept in (("float16", "float32"), ("float64", "float64")):
        p, q = mg.tensor(start.astype("f4"), requires_grad=True), mg.tensor(start.astype(dtype), requires_grad=True)
        one, two = Adam([p]), Adam([q])
        p.grad = mg.tensor(start.astype("f4"))
        one.step()
        two.load_state_dict(one.state_dict())
        assert two.state[q]["exp_avg"].dtype == kept
        assert two.state[q]["exp_avg"].tolist() == one.state[p]["exp_avg"].tolist()


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
    bad(
        r"SGD has no option \['beta'\]; it has \['dampening', 'form', 'lr'",
        [{"params": [p], "beta": 1}],
        error=TypeError,
    )
    bad('a parameter group is a dict with the key "params", got dict', [{"lr": 1}], error=TypeError)
    for kind in (SGD, Adam, AdamW, NAdam, RMSprop, Adagrad, Adadelta, LARS, LAMB, Lion):
        bad("lr must be positive, got 0", [p], kind=kind, lr=0)
        bad("lr must be positive, got -1", [p], kind=kind, lr=-1)
        bad("lr must be positive, got nan", [p], kind=kind, lr=float("nan"))
        bad("weight_decay must be at least 0, got -1", [p], kind=kind, weight_decay=-1)
    bad("momentum must be at least 0, got -1", [p], momentum=-1)
    bad("nesterov needs momentum > 0 and dampening = 0, got momentum=0 and dampening=0", [p], nesterov=True)
    bad("dampening=0.1", [p], nesterov=True, momentum=0.9, dampening=0.1)
    bad(r"form must be one of \('pytorch', 'caffe'\), got 'alexnet'", [p], form="alexnet")
    bad(
        "form='caffe' has no dampening and no nesterov, got dampening=0.5 and nesterov=False",
        [p],
        form="caffe",
        dampening=0.5,
    )
    bad("got dampening=0 and nesterov=True", [p], form="caffe", momentum=0.9, nesterov=True)
    for kind in (Adam, AdamW, NAdam, RMSprop, Adagrad, Adadelta, LAMB):
        bad("eps must be at least 0, got -1", [p], kind=kind, eps=-1)
    for kind in (Adam, AdamW, NAdam, LAMB, Lion):
        bad(r"betas must be two numbers in \[0, 1\), got \(0.9, 1\)", [p], kind=kind, betas=(0.9, 1))
    bad("momentum_decay must be at least 0, got -1", [p], kind=NAdam, momentum_decay=-1)
    bad("alpha must be at least 0, got -1", [p], kind=RMSprop, alpha=-1)
    bad("lr_decay must be at least 0, got -1", [p], kind=Adagrad, lr_decay=-1)
    bad("initial_accumulator_value must be at least 0", [p], kind=Adagrad, initial_accumulator_value=-1)
    bad(r"rho must be in \[0, 1\), got 1", [p], kind=Adadelta, rho=1)
    bad("trust_coefficient must be positive, got 0; adapt=False leaves", [p], kind=LARS, trust_coefficient=0)


def test_frozen_parameters_are_allowed():
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    optimizer = SGD(layer.parameters(), lr=0.1)
    before = layer.bias.tolist(), layer.weight.tolist()
    layer(mg.ones((1, 2))).sum().backward()
    optimizer.step()
    assert layer.bias.tolist() == before[0]
    assert layer.weight.tolist() != before[1]


def test_decay_groups_need_to_know_the_sizes():
    with pytest.raises(ValueError, match=r"0.weight has no size yet, which decides: run a batch through the model"):
        nn.optim.decay_groups(nn.Sequential(nn.Linear(None, 3)), 0.1)
