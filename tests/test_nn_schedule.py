"""Learning-rate schedules: each against its recursion or a table, resuming, composing, and what they refuse."""

import copy
import json
import math

import pytest

import minigrad as mg
from minigrad.nn import schedule as s
from minigrad.nn.optim import SGD, Adam

STEPS = 30


def optimizer(kind=SGD, **options):
    """Two groups, of learning rates 0.5 and 0.125."""
    p, q = (mg.zeros(2, requires_grad=True) for _ in "pq")
    return kind([{"params": [p]}, {"params": [q], "lr": 0.125}], **{"lr": 0.5, **options})


def run(make, steps=STEPS, opt=None):
    """The learning rates of both groups before the first step and after each."""
    opt = opt or optimizer()
    schedule = make(opt)
    rates = []
    for t in range(steps + 1):
        assert schedule.last_epoch == t
        assert schedule.get_last_lr() == [group["lr"] for group in opt.param_groups]
        rates.append([group["lr"] for group in opt.param_groups])
        if t < steps:
            schedule.step()
    return rates


def recursion(first, change, steps=STEPS):
    """factor(0) = first, factor(t) = change(t, factor(t - 1))."""
    factors = [first]
    for t in range(1, steps + 1):
        factors.append(change(t, factors[-1]))
    return factors


FACTORS = [
    (lambda o: s.LambdaLR(o, lambda t: 1 / (1 + t)), [1 / (1 + t) for t in range(STEPS + 1)]),
    (lambda o: s.ConstantLR(o), [1 / 3] * 5 + [1.0] * (STEPS - 4)),
    (lambda o: s.LinearLR(o, 0.2, 0.6, 8), recursion(0.2, lambda t, f: f + 0.05 if t <= 8 else f)),
    (lambda o: s.StepLR(o, 7, 0.5), recursion(1, lambda t, f: f / 2 if t % 7 == 0 else f)),
    (lambda o: s.MultiStepLR(o, [3, 4, 11], 0.1), recursion(1, lambda t, f: f * 0.1 if t in (3, 4, 11) else f)),
    (lambda o: s.ExponentialLR(o, 0.9), recursion(1, lambda t, f: f * 0.9)),
    (lambda o: s.PolynomialLR(o, 10, 2.0), [max(0, 1 - t / 10) ** 2 for t in range(STEPS + 1)]),
    (lambda o: s.CosineAnnealingLR(o, 12), [math.cos(math.pi * t / 24) ** 2 for t in range(STEPS + 1)]),
    (
        lambda o: s.CosineAnnealingWarmRestarts(o, 4, 2),  # cycles from 0, 4, 12 and 28
        [
            math.cos(math.pi * (t - start) / (2 * length)) ** 2
            for start, length in ((0, 4), (4, 8), (12, 16), (28, 3))
            for t in range(start, start + length)
        ][:28]
        + [math.cos(math.pi * t / 64) ** 2 for t in range(3)],
    ),
]


@pytest.mark.parametrize(("make", "factors"), FACTORS)
def test_a_schedule_that_multiplies_is_its_recursion(make, factors):
    assert run(make) == [pytest.approx([0.5 * f, 0.125 * f], rel=1e-12, abs=1e-16) for f in factors]


def test_eta_min_is_where_a_cosine_ends():
    rates = run(lambda o: s.CosineAnnealingLR(o, 10, eta_min=0.1), 20)
    assert rates[0] == rates[20] == [0.5, 0.125]
    assert rates[5] == pytest.approx([0.3, 0.1125])
    assert rates[10] == [0.1, 0.1]
    rates = run(lambda o: s.CosineAnnealingWarmRestarts(o, 10, eta_min=0.1), 20)
    assert rates[0] == rates[10] == rates[20] == [0.5, 0.125]
    assert rates[5] == pytest.approx([0.3, 0.1125])


def test_the_closed_form_does_not_drift():
    (last, _) = run(lambda o: s.StepLR(o, 10, 0.1), 3000)[-1]
    assert last == 0.5 * 0.1**300


def test_functions_of_their_own_for_each_group():
    rates = run(lambda o: s.LambdaLR(o, [lambda t: 1 + t, lambda t: 0]), 2)
    assert rates == [[0.5, 0], [1.0, 0], [1.5, 0]]


def test_the_table_of_lenet():
    rates = [first for first, _ in run(lambda o: s.TableLR(o, s.LENET_1998), 19)]
    assert rates == [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8


def cycle(**options):
    return lambda o: s.OneCycleLR(o, [1.0, 0.1], **{"total_steps": 21, "pct_start": 8 / 21, **options})


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("three", [False, True])
def test_one_cycle_goes_through_its_points(anneal, three):
    """The peak is at 8/21 * 21 - 1 = 7; in three phases the initial rate is back at 14; the least one comes at 20."""
    opt = optimizer(momentum=0.5)
    schedule = cycle(anneal_strategy=anneal, three_phase=three, div_factor=10, final_div_factor=100)(opt)
    points = {0: (0.1, 0.95), 7: (1.0, 0.85), 20: (0.001, 0.95)} | ({14: (0.1, 0.95)} if three else {})
    lrs = []
    for t in range(22):
        first, second = opt.param_groups
        lrs.append(first["lr"])
        assert second["lr"] == pytest.approx(first["lr"] / 10)
        if t in points:
            assert (first["lr"], first["momentum"]) == pytest.approx(points[t])
        if t < 21:
            schedule.step()
    assert lrs[20] == lrs[21]
    for low, high, sign in [(0, 7, 1), (7, 14, -1), (14, 20, -1)]:
        piece = lrs[low : high + 1]
        assert sorted(piece, key=lambda lr: sign * lr) == piece
        if anneal == "linear" and (three or low == 0):
            assert piece[1] - piece[0] == pytest.approx(piece[-1] - piece[-2])
    with pytest.raises(ValueError, match="the cycle has 21 steps, this would be step 22: make total_steps larger"):
        schedule.step()
    assert schedule.last_epoch == 21


def test_one_cycle_with_betas_or_without_momentum():
    opt = optimizer(Adam)
    cycle(max_momentum=0.7)(opt)
    assert [group["betas"] for group in opt.param_groups] == [(0.7, 0.999)] * 2
    opt = optimizer(momentum=0.3)
    cycle(cycle_momentum=False, total_steps=None, epochs=3, steps_per_epoch=7)(opt)
    assert [group["momentum"] for group in opt.param_groups] == [0.3] * 2


@pytest.mark.parametrize("pct", [0.0, 0.1, 1.0])
def test_one_cycle_at_the_edges(pct):
    """A rise of no steps at all begins at the peak, or after it; one of all steps ends there."""
    lrs = [first for first, _ in run(cycle(pct_start=pct, total_steps=10, cycle_momentum=False), 10)]
    assert max(lrs) == pytest.approx(1.0, abs=0.05)
    assert lrs.index(max(lrs)) == (9 if pct == 1 else 0)


def plateau(metrics, **options):
    opt = optimizer()
    schedule = s.ReduceLROnPlateau(opt, **{"factor": 0.5, "patience": 1, **options})
    rates = []
    for metric in metrics:
        schedule.step(metric)
        rates.append(opt.param_groups[0]["lr"])
    assert schedule.get_last_lr() == [group["lr"] for group in opt.param_groups]
    return rates


def test_a_plateau():
    assert plateau([3, 2, 2, 2, 2, 2, 1]) == [0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert plateau([3, 3, 3, 3, 3, 3], cooldown=2) == [0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    assert plateau([3] * 9, cooldown=2)[-3:] == [0.125, 0.125, 0.125]
    assert plateau([1, 2, 3, 3, 3], mode="max") == [0.5, 0.5, 0.5, 0.5, 0.25]
    assert plateau([math.nan] * 2) == [0.5, 0.25]
    assert plateau([4, 3.5, 3.5], threshold=0.2) == [0.5, 0.5, 0.25]
    assert plateau([4, 3.5, 3.5], threshold=0.2, threshold_mode="abs") == [0.5, 0.5, 0.5]
    assert plateau([4, 4.5, 4.5], mode="max", threshold=0.2) == [0.5, 0.5, 0.25]
    assert plateau([4, 4.5, 4.5], mode="max", threshold=0.2, threshold_mode="abs") == [0.5, 0.5, 0.5]
    assert plateau([1] * 9, min_lr=[0.2, 0])[-1] == 0.2
    assert plateau([1] * 9, eps=0.2)[-1] == 0.25
    assert plateau(mg.tensor([1.0, 1.0, 1.0]))[-1] == 0.25


@pytest.mark.parametrize(("strategy", "middle"), [("cos", 0.5), ("linear", 0.5)])
def test_swa_takes_over_from_another_schedule(strategy, middle):
    opt = optimizer()
    decay, swa = s.ExponentialLR(opt, 0.5), s.SWALR(opt, [0.05, 0.45], anneal_epochs=4, anneal_strategy=strategy)
    decay.step()
    rates = [swa.step() or swa.get_last_lr() for _ in range(6)]
    assert rates[1] == pytest.approx([middle * (0.25 + 0.05), middle * (0.0625 + 0.45)])
    assert rates[3] == rates[5] == [0.05, 0.45]
    assert [group["lr"] for group in opt.param_groups] == [0.05, 0.45]
    if strategy == "cos":
        assert rates[0][0] == pytest.approx(0.05 + 0.2 * (2 + math.sqrt(2)) / 4)


def test_swa_at_once():
    opt = optimizer()
    schedule = s.SWALR(opt, 0.05, anneal_epochs=0)
    assert schedule.get_last_lr() == [0.5, 0.125]
    schedule.step()
    assert schedule.get_last_lr() == [0.05, 0.05]


def test_one_after_another():
    def make(o):
        return s.SequentialLR(o, [s.ConstantLR(o, 0.1, 99), s.StepLR(o, 2), s.ExponentialLR(o, 0.5)], [3, 6])

    factors = [0.1, 0.1, 0.1, 1, 1, 0.1, 1, 0.5, 0.25, 0.125]
    assert run(make, 9) == [pytest.approx([0.5 * f, 0.125 * f]) for f in factors]


def test_one_after_another_with_a_cycle_of_the_momentum():
    opt = optimizer(momentum=0.5)
    schedule = s.SequentialLR(opt, [s.LinearLR(opt), cycle()(opt)], [5])
    for _ in range(5 + 7):
        schedule.step()
    assert opt.param_groups[0]["momentum"] == pytest.approx(0.85)
    assert opt.param_groups[0]["lr"] == pytest.approx(1.0)


def test_all_at_once():
    def make(o):
        return s.ChainedScheduler([s.LinearLR(o, 0.5, 1, 4), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 30)])

    factors = [(0.5 + min(t, 4) / 8) * 0.9**t * math.cos(math.pi * t / 60) ** 2 for t in range(STEPS + 1)]
    assert run(make) == [pytest.approx([0.5 * f, 0.125 * f], rel=1e-12, abs=1e-16) for f in factors]
    opt = optimizer(momentum=0.5)
    chain = s.ChainedScheduler([cycle()(opt), s.StepLR(opt, 4, 0.5)], opt)
    for _ in range(7):
        chain.step()
    assert opt.param_groups[0]["momentum"] == pytest.approx(0.85)
    assert opt.param_groups[0]["lr"] == pytest.approx(0.5 * 25 * 0.5)  # 25 times the initial rate, and halved once


def test_compositions_nest():
    def make(o):
        inner = s.SequentialLR(o, [s.LinearLR(o, 0.25, 1, 3), s.ExponentialLR(o, 0.5)], [3])
        return s.ChainedScheduler([inner, s.StepLR(o, 2, 0.5)])

    factors = [0.25, 0.5, 0.75 / 2, 0.5, 0.5 / 4, 0.25 / 4]
    assert run(make, 5) == [pytest.approx([0.5 * f, 0.125 * f]) for f in factors]


def nested(o):
    return s.SequentialLR(o, [s.LinearLR(o), s.ChainedScheduler([s.StepLR(o, 3), cycle()(o)])], [5])


RESUMED = [
    *(make for make, _ in FACTORS),
    lambda o: s.TableLR(o, s.LENET_1998),
    lambda o: s.SWALR(o, 0.01, anneal_epochs=15),
    cycle(three_phase=True),
    nested,
]


@pytest.mark.parametrize("make", RESUMED)
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_loaded_state_goes_on_bit_for_bit(make, optimizer_first):
    opt = optimizer(momentum=0.9)
    schedule = make(opt)
    for _ in range(9):
        schedule.step()
    states = opt.state_dict(), json.loads(json.dumps(schedule.state_dict()))
    other = optimizer(momentum=0.9, lr=0.25)
    resumed = make(other)
    loads = [lambda: other.load_state_dict(states[0]), lambda: resumed.load_state_dict(states[1])]
    for load in loads if optimizer_first else reversed(loads):
        load()
    assert resumed.state_dict() == schedule.state_dict()
    for _ in range(11):
        assert [(g["lr"], g["momentum"]) for g in other.param_groups] == [
            (g["lr"], g["momentum"]) for g in opt.param_groups
        ]
        schedule.step()
        resumed.step()
    assert states[1] == json.loads(json.dumps(states[1]))
    assert states[1]["last_epoch"] == 9


def test_a_loaded_plateau_goes_on():
    opt, other = optimizer(), optimizer(lr=0.25)
    make = lambda o: s.ReduceLROnPlateau(o, patience=2, cooldown=1)  # noqa: E731
    schedule, resumed = make(opt), make(other)
    for _ in range(5):
        schedule.step(1.0)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for _ in range(9):
        assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in opt.param_groups]
        schedule.step(1.0)
        resumed.step(1.0)
    fresh = json.loads(json.dumps(make(optimizer()).state_dict()))
    assert fresh["best"] == math.inf


def test_a_state_is_a_snapshot_and_brings_its_arguments():
    opt = optimizer()
    schedule = s.MultiStepLR(opt, [1, 3], 0.5)
    state = schedule.state_dict()
    schedule.step()
    schedule.milestones.append(7)
    assert (state["last_epoch"], state["milestones"]) == (0, [1, 3])
    other = s.MultiStepLR(optimizer(), [5])
    other.load_state_dict(state)
    assert (other.milestones, other.gamma) == ([1, 3], 0.5)
    assert repr(other) == ("MultiStepLR(milestones=[1, 3], gamma=0.5, base_lrs=[0.5, 0.125], last_epoch=0)")


def test_last_epoch_begins_later():
    opt = optimizer()
    for _ in range(4):
        s.StepLR(opt, 2, 0.5).step()
    expected = run(lambda o: s.StepLR(o, 2, 0.5), 5)[4]
    assert s.StepLR(opt, 2, 0.5, last_epoch=3).get_last_lr() == expected
    for other in (optimizer(), copy.deepcopy(opt)):  # the initial rate is in the groups, where it is saved and copied
        other.load_state_dict(opt.state_dict())
        assert s.StepLR(other, 2, 0.5, last_epoch=3).get_last_lr() == expected
    with pytest.raises(ValueError, match="last_epoch=3 goes on with an earlier schedule, but group 0 of the optimizer"):
        s.StepLR(optimizer(), 2, 0.5, last_epoch=3)


def test_the_initial_rate_is_that_before_the_first_schedule():
    opt = optimizer()
    s.ConstantLR(opt, 0.1)
    assert s.ExponentialLR(opt, 0.9).base_lrs == [0.5, 0.125]
    opt.add_param_group({"params": mg.zeros(2, requires_grad=True), "lr": 0.75})
    assert s.ExponentialLR(opt, 0.9).base_lrs == [0.5, 0.125, 0.75]


def test_a_change_by_hand_lasts_until_the_next_step():
    opt = optimizer()
    schedule = s.ExponentialLR(opt, 0.5)
    opt.param_groups[0]["lr"] = 7.0
    assert opt.param_groups[0]["lr"] == 7.0
    schedule.step()
    assert opt.param_groups[0]["lr"] == 0.25


def refuse(make, text, error=ValueError):
    opt = optimizer()
    with pytest.raises(error, match=text):
        make(opt)
    assert [group["lr"] for group in opt.param_groups] == [0.5, 0.125]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o: s.LambdaLR(o, [lambda t: 1]), "lr_lambda must be one value, or one for each of the 2 groups, got 1"),
        (lambda o: s.ConstantLR(o, 1.5), "factor must be from 0 to 1, got 1.5"),
        (lambda o: s.ConstantLR(o, 0.5, 0), "total_iters must be a positive integer, got 0"),
        (lambda o: s.LinearLR(o, 0), "start_factor must be above 0 and at most 1, got 0"),
        (lambda o: s.LinearLR(o, 1, 2), "end_factor must be from 0 to 1, got 2"),
        (lambda o: s.LinearLR(o, total_iters=2.5), "total_iters must be a positive integer, got 2.5"),
        (lambda o: s.StepLR(o, 0), "step_size must be a positive integer, got 0"),
        (lambda o: s.StepLR(o, 1, -1), "gamma must be at least 0, got -1"),
        (lambda o: s.MultiStepLR(o, [3, 3]), r"milestones must be positive integers, .* before, got \[3, 3\]"),
        (lambda o: s.MultiStepLR(o, [0, 3]), r"milestones must be positive integers, .* before, got \[0, 3\]"),
        (lambda o: s.MultiStepLR(o, [1.5]), r"milestones must be positive integers, .* before, got \[1.5\]"),
        (lambda o: s.MultiStepLR(o, [1], -1), "gamma must be at least 0, got -1"),
        (lambda o: s.ExponentialLR(o, math.nan), "gamma must be at least 0, got nan"),
        (lambda o: s.PolynomialLR(o, -1), "total_iters must be a positive integer, got -1"),
        (lambda o: s.PolynomialLR(o, 5, 0), "power must be positive, got 0"),
        (lambda o: s.CosineAnnealingLR(o, 0), "T_max must be a positive integer, got 0"),
        (lambda o: s.CosineAnnealingLR(o, 9, -1), "eta_min must be at least 0, got -1"),
        (lambda o: s.CosineAnnealingWarmRestarts(o, 0), "T_0 must be a positive integer, got 0"),
        (lambda o: s.CosineAnnealingWarmRestarts(o, 2, 1.5), "T_mult must be a positive integer, got 1.5"),
        (lambda o: s.CosineAnnealingWarmRestarts(o, 2, 1, -1), "eta_min must be at least 0, got -1"),
        (lambda o: s.OneCycleLR(o, 1.0), "OneCycleLR needs total_steps, or both epochs and steps_per_epoch"),
        (lambda o: s.OneCycleLR(o, 1.0, epochs=3), "needs total_steps, or both epochs and steps_per_epoch"),
        (lambda o: s.OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=1), "epochs must be a positive integer, got 0"),
        (lambda o: s.OneCycleLR(o, 1.0, epochs=1, steps_per_epoch=0), "steps_per_epoch must be a positive integer"),
        (lambda o: s.OneCycleLR(o, 1.0, 0), "total_steps must be a positive integer, got 0"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, pct_start=2), "pct_start must be from 0 to 1, got 2"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, pct_start=0.6, three_phase=True), "pct_start must be from 0 to 0.5"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, anneal_strategy="x"), "anneal_strategy must be 'cos' or 'linear', got 'x'"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, div_factor=0), "div_factor must be positive, got 0"),
        (lambda o: s.OneCycleLR(o, 1.0, 9, final_div_factor=0), "final_div_factor must be positive, got 0"),
        (lambda o: s.OneCycleLR(o, [1.0], 9), "max_lr must be one value, or one for each of the 2 groups, got 1"),
        (lambda o: s.ReduceLROnPlateau(o, "low"), "mode must be 'min' or 'max', got 'low'"),
        (lambda o: s.ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode must be 'rel' or 'abs', got 'x'"),
        (lambda o: s.ReduceLROnPlateau(o, factor=1), "factor must be at least 0 and below 1, got 1"),
        (lambda o: s.ReduceLROnPlateau(o, patience=-1), "patience must be at least 0, got -1"),
        (lambda o: s.ReduceLROnPlateau(o, min_lr=[0]), "min_lr must be one value, or one for each of the 2 groups"),
        (lambda o: s.TableLR(o, []), "table must be pairs of a learning rate and a number of steps"),
        (lambda o: s.TableLR(o, [(1, 2, 3)]), "table must be pairs"),
        (lambda o: s.TableLR(o, [(-1, None)]), r"the learning rates of a table must be at least 0, got \[-1\]"),
        (lambda o: s.TableLR(o, [(1, 2), (1, 3)]), r"positive integers and, at last, None, got \[2, 3\]"),
        (lambda o: s.TableLR(o, [(1, 0), (1, None)]), r"positive integers and, at last, None, got \[0, None\]"),
        (lambda o: s.SWALR(o, -1), "swa_lr must be at least 0, got -1"),
        (lambda o: s.SWALR(o, [1, 2, 3]), "swa_lr must be one value, or one for each of the 2 groups, got 3"),
        (lambda o: s.SWALR(o, 1, 1.5), "anneal_epochs must be an integer of at least 0, got 1.5"),
        (lambda o: s.SWALR(o, 1, anneal_strategy="x"), "anneal_strategy must be 'cos' or 'linear', got 'x'"),
        (lambda o: s.StepLR(o, 1, last_epoch=-2), "last_epoch must be -1 or the number of the last step, got -2"),
        (lambda o: s.SequentialLR(o, [], []), "SequentialLR needs at least one schedule"),
        (lambda o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]), "got 1 schedules and 1 milestones"),
        (lambda o: s.SequentialLR(o, [s.StepLR(o, 1)] * 3, [3, 2]), "milestones must be positive integers"),
        (lambda o: s.SequentialLR(o, [s.StepLR(optimizer(), 1)], []), r"schedulers\[0\], a StepLR, is for another"),
        (lambda o: s.ChainedScheduler([]), "ChainedScheduler needs at least one schedule, got none"),
        (lambda o: s.ChainedScheduler([s.StepLR(optimizer(), 1)], o), r"schedulers\[0\], a StepLR, is for another"),
    ],
)
def test_bad_arguments(make, text):
    refuse(make, text)


def test_what_has_another_type():
    refuse(lambda o: s.StepLR(o.param_groups, 1), "optimizer must be an Optimizer, got list", TypeError)
    refuse(lambda o: s.OneCycleLR(None, 1.0, 9), "optimizer must be an Optimizer, got NoneType", TypeError)
    refuse(lambda o: s.LambdaLR(o, 3), "lr_lambda must be a function of the number of steps, got 3", TypeError)
    text = r"schedulers\[0\] must be a formula in the number of steps, which {} is not"
    for wrong in (s.ReduceLROnPlateau, lambda o: s.SWALR(o, 0.1)):
        refuse(
            lambda o, wrong=wrong: s.ChainedScheduler([wrong(o)]), text.format("(ReduceLROnPlateau|SWALR)"), TypeError
        )
        refuse(lambda o, wrong=wrong: s.SequentialLR(o, [wrong(o)], []), text.format(".*"), TypeError)
    refuse(lambda o: s.ChainedScheduler([3]), text.format("int"), TypeError)


def test_an_optimizer_without_momentum():
    class Plain(SGD):
        """SGD that has only a learning rate."""

        def __init__(self, params):
            super().__init__(params)
            self.defaults = {"lr": 1.0}

    opt = Plain([mg.zeros(2, requires_grad=True)])
    with pytest.raises(ValueError, match="Plain has neither momentum nor betas to cycle: pass cycle_momentum=False"):
        s.OneCycleLR(opt, 1.0, 9)


def test_groups_that_come_later():
    opt = optimizer()
    schedules = s.StepLR(opt, 1), s.SWALR(opt, 0.1)
    opt.add_param_group({"params": mg.zeros(2, requires_grad=True)})
    for schedule in schedules:
        with pytest.raises(ValueError, match="the optimizer has 3 groups, the schedule was made for 2: add groups"):
            schedule.step()
        assert schedule.last_epoch == 0


def test_states_that_do_not_fit():
    one = s.StepLR(optimizer(), 1)
    single = SGD([mg.zeros(2, requires_grad=True)], lr=1.0)
    for state, text in [
        (
            s.ExponentialLR(optimizer(), 0.5).state_dict(),
            r"another schedule: it has \['base_lrs', 'gamma', 'last_epoch'\]",
        ),
        (s.StepLR(single, 1).state_dict(), "the state is for 1 groups, the optimizer has 2"),
    ]:
        before = repr(one)
        with pytest.raises(ValueError, match=text):
            one.load_state_dict(state)
        assert repr(one) == before
    opt = optimizer()
    pair, alone = (s.ChainedScheduler([s.StepLR(opt, 1) for _ in range(n)]) for n in (2, 1))
    with pytest.raises(ValueError, match="the state is that of 1 schedules, ChainedScheduler has 2"):
        pair.load_state_dict(alone.state_dict())
    with pytest.raises(ValueError, match="the state is that of another schedule"):
        alone.load_state_dict(s.ChainedScheduler([s.ExponentialLR(opt, 0.5)]).state_dict())
