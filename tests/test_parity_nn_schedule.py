"""Schedules, averages, clipping and L-BFGS against PyTorch."""

import math
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import schedule as ours

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

theirs = torch.optim.lr_scheduler
STEPS = 70
CYCLE = {"max_lr": [0.4, 0.1], "total_steps": STEPS + 1}

# for both: `n` is the module of schedules, `o` the optimizer
SCHEDULES = {
    "lambda": lambda n, o: n.LambdaLR(o, lambda t: 0.95**t),
    "lambdas": lambda n, o: n.LambdaLR(o, [lambda t: 0.95**t, lambda t: 1 / (1 + t)]),
    "constant": lambda n, o: n.ConstantLR(o),
    "constant 20": lambda n, o: n.ConstantLR(o, factor=0.7, total_iters=20),
    "linear": lambda n, o: n.LinearLR(o),
    "linear down": lambda n, o: n.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=40),
    "step": lambda n, o: n.StepLR(o, step_size=20),
    "step 7": lambda n, o: n.StepLR(o, 7, gamma=0.5),
    "multi step": lambda n, o: n.MultiStepLR(o, [10, 30, 31]),
    "multi step 2": lambda n, o: n.MultiStepLR(o, milestones=[1, 60], gamma=0.3),
    "exponential": lambda n, o: n.ExponentialLR(o, 0.9),
    "polynomial": lambda n, o: n.PolynomialLR(o),
    "polynomial 50": lambda n, o: n.PolynomialLR(o, total_iters=50, power=2.0),
    "cosine": lambda n, o: n.CosineAnnealingLR(o, 100),
    "cosine, two periods": lambda n, o: n.CosineAnnealingLR(o, T_max=17, eta_min=0.01),
    "restarts": lambda n, o: n.CosineAnnealingWarmRestarts(o, 9),
    "restarts 2": lambda n, o: n.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.01),
    "restarts 3": lambda n, o: n.CosineAnnealingWarmRestarts(o, 2, 3),
    "one cycle": lambda n, o: n.OneCycleLR(o, **CYCLE),
    "one cycle, epochs": lambda n, o: n.OneCycleLR(o, 0.3, epochs=8, steps_per_epoch=10, pct_start=0.25),
    "one cycle, linear": lambda n, o: n.OneCycleLR(o, **CYCLE, anneal_strategy="linear", base_momentum=[0.5, 0.6]),
    "one cycle, three phases": lambda n, o: n.OneCycleLR(o, **CYCLE, three_phase=True, div_factor=3.0),
    "one cycle, no momentum": lambda n, o: n.OneCycleLR(o, **CYCLE, cycle_momentum=False, final_div_factor=9.0),
    "sequence": lambda n, o: n.SequentialLR(
        o, [n.LinearLR(o, 0.1, total_iters=10), n.CosineAnnealingLR(o, 40)], milestones=[10]
    ),
    "sequence of three": lambda n, o: n.SequentialLR(
        o, [n.ConstantLR(o, 0.1, 99), n.ExponentialLR(o, 0.9), n.StepLR(o, 5, 0.5)], [20, 41]
    ),
    "chain": lambda n, o: n.ChainedScheduler([n.ConstantLR(o, 0.1, 20), n.ExponentialLR(o, 0.9)]),
    "chain of three": lambda n, o: n.ChainedScheduler(
        [n.LinearLR(o, 0.1, total_iters=20), n.CosineAnnealingLR(o, 90), n.MultiStepLR(o, [30, 50], 0.5)], optimizer=o
    ),
}


def optimizers(kind="SGD"):
    """Two groups of one tensor, of learning rates 0.4 and 0.05."""
    options = {"momentum": 0.9} if kind == "SGD" else {}
    pair = []
    for library, tensor in ((nn.optim, mg.zeros), (torch.optim, torch.zeros)):
        p, q = (tensor(3, requires_grad=True) for _ in "pq")
        pair.append(getattr(library, kind)([{"params": [p]}, {"params": [q], "lr": 0.05}], lr=0.4, **options))
    return pair


def same_options(a, b):
    for group, their_group in zip(a.param_groups, b.param_groups, strict=True):
        for name in group.keys() & {"lr", "momentum", "betas"}:
            assert group[name] == pytest.approx(their_group[name], rel=1e-9, abs=1e-14), name


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name, kind):
    a, b = optimizers(kind)
    with warnings.catch_warnings(action="ignore"):  # PyTorch's own code calls step in ways it deprecates
        schedule, their_schedule = SCHEDULES[name](ours, a), SCHEDULES[name](theirs, b)
        for _ in range(STEPS):
            same_options(a, b)
            assert schedule.get_last_lr() == pytest.approx(their_schedule.get_last_lr(), rel=1e-9, abs=1e-14)
            for optimizer, s in ((a, schedule), (b, their_schedule)):
                optimizer.step()
                s.step()
        same_options(a, b)
    for key in ("last_epoch", "base_lrs", "gamma", "total_iters", "T_max", "eta_min"):
        if key in schedule.state_dict() and key in their_schedule.state_dict():
            assert schedule.state_dict()[key] == pytest.approx(their_schedule.state_dict()[key])


PLATEAUS = [
    {},
    {"patience": 2, "factor": 0.5},
    {"patience": 1, "cooldown": 3, "min_lr": [0.01, 0.02]},
    {"mode": "max", "patience": 2, "threshold": 0.05, "threshold_mode": "abs"},
    {"mode": "max", "patience": 0, "threshold": 0.1},
    {"patience": 0, "threshold": 0.1, "threshold_mode": "abs", "eps": 1e-3},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_plateau(options):
    a, b = optimizers()
    schedule, their_schedule = ours.ReduceLROnPlateau(a, **options), theirs.ReduceLROnPlateau(b, **options)
    rng = np.random.default_rng(0)
    for t in range(STEPS):
        metric = float("nan") if t == 40 else 1 / (1 + t) + 0.3 * rng.random()
        schedule.step(metric)
        their_schedule.step(metric)
        same_options(a, b)
        for key in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
            assert getattr(schedule, key) == getattr(their_schedule, key), (t, key)
    assert a.param_groups[0]["lr"] < 0.4


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 10, 40])
def test_swalr(strategy, epochs):
    a, b = optimizers()
    decay, their_decay = ours.ExponentialLR(a, 0.9), theirs.ExponentialLR(b, 0.9)
    if epochs:  # else PyTorch's constructor has set the rate already
        swa = ours.SWALR(a, [0.1, 0.01], epochs, strategy)
        their_swa = torch.optim.swa_utils.SWALR(b, [0.1, 0.01], epochs, strategy)
    for optimizer, schedule in ((a, decay), (b, their_decay)):
        for _ in range(5):
            optimizer.step()
            schedule.step()
    if not epochs:
        swa = ours.SWALR(a, 0.1, 0, strategy)
        their_swa = torch.optim.swa_utils.SWALR(b, 0.1, 0, strategy)
        swa.step()
    for _ in range(STEPS):
        for optimizer, schedule in ((a, swa), (b, their_swa)):
            optimizer.step()
            schedule.step()
        same_options(a, b)


# ---- averages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours_is", "theirs_is"),
    [
        (lambda m: nn.averaging.AveragedModel(m), lambda u: {}),
        (lambda m: nn.averaging.EMA(m, 0.9), lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)}),
        (lambda m: nn.averaging.EMA(m), lambda u: {"avg_fn": u.get_ema_avg_fn()}),
    ],
)
def test_averages(ours_is, theirs_is):
    utils = torch.optim.swa_utils
    model, their_model = nn.Linear(4, 3), torch.nn.Linear(4, 3)
    average = ours_is(model)
    their_average = utils.AveragedModel(their_model, **theirs_is(utils))
    rng = np.random.default_rng(0)
    for _ in range(60):
        values = {name: rng.standard_normal(p.shape).astype(np.float32) for name, p in model.named_parameters()}
        model.load_state_dict(values)
        their_model.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
        average.update(model)
        their_average.update_parameters(their_model)
    assert average.n_averaged == their_average.n_averaged.item()
    for name, a in average.average.items():
        np.testing.assert_allclose(a.numpy(), their_average.module.state_dict()[name].numpy(), rtol=2e-5, atol=1e-6)


# ---- clipping -------------------------------------------------------------------------------------------------------


def gradients(scale):
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal(shape) * scale).astype(np.float32) for shape in ((3, 4), (), (5, 2, 2), (0, 3))]
    mine, other = [], []
    for array in [*arrays, None]:
        p, q = mg.zeros(2 if array is None else array.shape), torch.zeros(2 if array is None else array.shape)
        if array is not None:
            p.grad, q.grad = mg.tensor(array), torch.tensor(array)
        mine.append(p)
        other.append(q)
    return mine, other


def same_gradients(mine, other):
    for p, q in zip(mine, other, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 10, math.inf])
@pytest.mark.parametrize("order", [2.0, 1.0, math.inf, 3.0, 0.5])
def test_clipping_by_the_norm(scale, order):
    mine, other = gradients(scale)
    norm = nn.utils.clip_grad_norm_(iter(mine), 1.0, order)
    their_norm = torch.nn.utils.clip_grad_norm_(other[:3], 1.0, order)
    np.testing.assert_allclose(norm.numpy(), their_norm.numpy(), rtol=2e-6)
    same_gradients(mine[:3], other[:3])


def test_clipping_by_value():
    mine, other = gradients(1)
    nn.utils.clip_grad_value_(iter(mine), 0.5)
    torch.nn.utils.clip_grad_value_(other, 0.5)
    same_gradients(mine, other)


# ---- L-BFGS ---------------------------------------------------------------------------------------------------------


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("function", [rosenbrock, lambda x: (x**4 + (x - 2) ** 2).sum() + x[0] * x[1]])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e-3},
        {"lr": 1e-3, "max_iter": 5, "history_size": 3},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2, "lr": 0.5},
        {"line_search_fn": "strong_wolfe", "max_iter": 9, "max_eval": 99, "tolerance_change": 1e-6},
    ],
)
def test_lbfgs(function, options):
    start = np.array([-1.2, 1.0, 0.3, -0.5])
    x, z = mg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    pair = (nn.optim.LBFGS([x], **options), x), (torch.optim.LBFGS([z], **options), z)
    for _ in range(4):
        losses = []
        for optimizer, p in pair:

            def closure(optimizer=optimizer, p=p):
                optimizer.zero_grad()
                loss = function(p)
                loss.backward()
                return loss

            losses.append(optimizer.step(closure).item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-6, abs=1e-12)
        np.testing.assert_allclose(x.detach().numpy(), z.detach().numpy(), rtol=1e-5)
    ours_kept, theirs_kept = (optimizer.state_dict()["state"][0] for optimizer, _ in pair)
    for name in ("n_iter", "func_evals"):
        assert ours_kept[name] == theirs_kept[name]
    assert len(ours_kept["old_dirs"]) == len(theirs_kept["old_dirs"])
    assert ours_kept.keys() <= theirs_kept.keys()
