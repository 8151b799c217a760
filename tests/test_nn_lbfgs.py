"""L-BFGS: the two loops against the matrix, quadratics, Rosenbrock, the line search, state, and what it refuses."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn.optim import LBFGS, SGD
from minigrad.nn.optim.lbfgs import Pair, direction
from minigrad.nn.optim.line_search import Point, cubic_minimum, strong_wolfe
from tests.cudaemu import fake_cupy


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def train(f, params, steps, **options):
    """The optimizer, and the losses that its steps returned."""
    optimizer = LBFGS(params, **options)

    def closure():
        optimizer.zero_grad()
        loss = f(*params)
        loss.backward()
        return loss

    return optimizer, [optimizer.step(closure).item() for _ in range(steps)], closure


def pairs(n, count, seed=0):
    """Pairs of a convex quadratic, and its matrix."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n))
    a = a @ a.T + np.eye(n)
    steps = rng.standard_normal((count, n))
    return [Pair(s, a @ s, 1 / (s @ a @ s)) for s in steps], a


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_the_two_loops_are_the_bfgs_matrix(count):
    """H = (1 - rho s y^T) H (1 - rho y s^T) + rho s s^T, formed: Nocedal and Wright, equation 7.16."""
    kept, _ = pairs(6, count)
    h = np.eye(6)
    if kept:
        s, y, _ = kept[-1]
        h *= (s @ y) / (y @ y)
    for s, y, rho in kept:
        v = np.eye(6) - rho * np.outer(y, s)
        h = v.T @ h @ v + rho * np.outer(s, s)
    g = np.random.default_rng(1).standard_normal(6)
    np.testing.assert_allclose(direction(g, kept), -h @ g, rtol=1e-12)
    if kept:
        np.testing.assert_allclose(direction(kept[-1].y, kept), -kept[-1].s, rtol=1e-12)  # the secant equation


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_a_quadratic_takes_n_steps_with_an_exact_line_search(n):
    """As the method of conjugate gradients does."""
    _, a = pairs(n, 0)
    x, kept = np.ones(n), []
    for _ in range(n):
        g = a @ x
        d = direction(g, kept)
        step = -(g @ d) / (d @ a @ d) * d
        kept.append(Pair(step, a @ step, 1 / (step @ a @ step)))
        x = x + step
    assert abs(a @ x).max() < 1e-9 * abs(a).sum()


@pytest.mark.parametrize("n", [2, 10])
def test_rosenbrock_to_eight_digits(n):
    x = mg.tensor(np.tile([-1.2, 1.0], n // 2), requires_grad=True)
    _, losses, _ = train(rosenbrock, [x], 20, line_search_fn="strong_wolfe", tolerance_change=0.0)
    np.testing.assert_allclose(x.detach().numpy(), np.ones(n), atol=1e-8)
    assert losses == sorted(losses, reverse=True)


def test_several_parameters_in_any_order_and_one_without_a_gradient():
    """A linear least-squares problem, whose solution is known; the unused parameter stays."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20, 3)), rng.standard_normal((20, 4))
    w = mg.tensor(np.zeros((4, 3)), requires_grad=True)
    wt = mg.asarray(np.zeros((4, 3)).T).requires_grad_()
    bias, unused = (mg.tensor(np.zeros(()), requires_grad=True) for _ in range(2))
    train(
        lambda *p: ((mg.tensor(a) @ p[0] + p[1].T.sum() * 0 + p[2] - mg.tensor(b)) ** 2).sum(),
        [wt, w, bias, unused],
        5,
        line_search_fn="strong_wolfe",
        tolerance_change=0.0,
        tolerance_grad=1e-12,
    )
    full = np.kron(np.eye(4), a)
    solution = np.linalg.lstsq(np.column_stack([full, np.ones(80)]), b.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(wt.detach().numpy().T.ravel(), solution[:12], atol=1e-8)
    assert bias.item() == pytest.approx(solution[12], abs=1e-8)
    assert (unused.item(), w.tolist()) == (0, np.zeros((4, 3)).tolist())


def counted(function):
    """A one-dimensional function as the points of a line search, and the list of where it was evaluated."""
    visited = []

    def phi(t):
        visited.append(t)
        x = mg.tensor(np.float64(t), requires_grad=True)
        with np.errstate(all="ignore"):  # far away an exponential is inf
            y = function(x)
            y.backward()
        return Point(t, y.item(), None, x.grad.item())

    return phi, visited


LINES = [
    lambda t: -t / (t * t + 2),
    lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
    lambda t: (t - 1.3) ** 2,
    lambda t: mg.exp(t) - 5 * t,
    lambda t: -t + 0.1 * t * t + 0.2 * mg.sin(4 * t),
]


@pytest.mark.parametrize("function", LINES)
@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("c2", [0.9, 0.1])
def test_the_line_search_meets_the_strong_wolfe_conditions(function, first, c2):
    """More and Thuente's functions among others, from far too small and far too large first steps."""
    phi, visited = counted(function)
    start = phi(0.0)
    point, evals = strong_wolfe(phi, start, first, 1.0, 1e-12, 50, c2=c2)
    assert evals == len(visited) - 1 < 50
    assert point.t in visited
    assert point.f <= start.f + 1e-4 * point.t * start.slope
    assert abs(point.slope) <= c2 * abs(start.slope)


@pytest.mark.parametrize("first", [2.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("steepness", [1e6, 1e30])
def test_the_line_search_gets_past_a_wall(first, steepness):
    """The cubics are least near the gentle end, or at it by rounding: alone they take hundreds of steps, or stay."""
    phi, _ = counted(lambda t: -t + steepness * mg.maximum(t - 1, 0.0) ** 2)
    point, evals = strong_wolfe(phi, phi(0.0), first, 1.0, 1e-14, 200)
    assert evals < 50
    assert point.t == pytest.approx(1, abs=1e-6)


def test_a_loss_that_rises_ends_the_growth():
    """Still below the line of the first condition and still going down, but higher than the step before."""
    values = iter([(-1.0, -1.0), (-0.9, -1.0), (-2.0, 0.0)])
    visited = []

    def phi(t):
        visited.append(t)
        f, slope = next(values)
        return Point(t, f, None, slope)

    strong_wolfe(phi, Point(0.0, 0.0, None, -1.0), 1.0, 1.0, 1e-9, 9)
    assert visited[0] == 1 < visited[2] < visited[1]


def test_the_line_search_without_success():
    phi, visited = counted(lambda t: -t)  # without a floor
    point, evals = strong_wolfe(phi, phi(0.0), 1.0, 1.0, 1e-9, 7)
    assert (evals, point.t) == (7, max(visited))
    phi, _ = counted(lambda t: t)  # a slope that lies
    point, _ = strong_wolfe(phi, Point(0.0, 0.0, None, -1.0), 1.0, 1.0, 1e-9, 100)
    assert point.t == 0
    phi, visited = counted(lambda t: -t + mg.log(3 - t) * 0)  # nan from 3 on
    point, _ = strong_wolfe(phi, phi(0.0), 8.0, 1.0, 1e-3, 60)
    assert 0 < point.t < 3


def test_the_minimum_of_a_cubic():
    """x^3 - 3 x has it at 1, from either side and in either order; where there is none, the middle."""
    points = [Point(t, t**3 - 3 * t, None, 3 * t * t - 3) for t in (0.25, 4.0)]
    for a, b in (points, points[::-1]):
        assert cubic_minimum(a, b, 0, 5) == pytest.approx(1)
        assert cubic_minimum(a, b, 2, 5) == 2
        assert cubic_minimum(a, b, 0, 0.5) == 0.5
    assert cubic_minimum(Point(0, 0, None, -1), Point(1, -2, None, -3), 0, 1) == 0.5
    assert cubic_minimum(Point(0, 0, None, -1), Point(1, -1, None, -1), 0, 1) == 0.5
    assert cubic_minimum(Point(0, 0, None, -1), Point(1, math.nan, None, 1), 0, 1) == 0.5


def test_a_search_that_found_nothing_leaves_the_parameters():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    train(lambda x: (x * x).sum(), [x], 1, lr=1e3, max_eval=2, line_search_fn="strong_wolfe")
    assert x.tolist() == [1, 2]


def test_a_loss_that_stays_ends_a_step():
    """From 1 to -1 on x^2: far, but not down."""
    x = mg.tensor([1.0], requires_grad=True)
    optimizer, _, closure = train(lambda x: (x * x).sum(), [x], 1, lr=2.0)
    assert (x.item(), optimizer.last["n_iter"]) == (-1, 1)
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step(closure)
    assert x.item() == 0


def test_it_stops():
    x = mg.tensor(np.array([-1.2, 1.0]), requires_grad=True)
    optimizer, _, _ = train(rosenbrock, [x], 1, max_iter=3, max_eval=9, lr=1e-3)
    assert (optimizer.last["n_iter"], optimizer.last["func_evals"]) == (3, 3)  # the last iteration only moves
    optimizer, _, _ = train(rosenbrock, [x], 1, max_eval=7, line_search_fn="strong_wolfe")
    assert optimizer.last["func_evals"] <= 7
    optimizer, _, closure = train(rosenbrock, [x], 10, line_search_fn="strong_wolfe", history_size=4)
    assert len(optimizer.pairs) == 4
    evals, at = optimizer.last["func_evals"], x.tolist()
    optimizer.step(closure)
    assert optimizer.last["func_evals"] == evals + 1  # nothing to do: the gradient is small
    assert x.tolist() == at


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_loaded_state_goes_on_bit_for_bit(search, dtype):
    options = {"max_iter": 4, "line_search_fn": search, "lr": 0.5 if search else 1e-3, "history_size": 5}
    x = mg.tensor(np.array([-1.2, 1.0, 0.5], dtype), requires_grad=True)
    optimizer, _, closure = train(rosenbrock, [x], 2, **options)
    state = optimizer.state_dict()
    kept = str(state)
    z = mg.tensor(x.detach(), requires_grad=True)
    other, _, other_closure = train(rosenbrock, [z], 0)
    other.load_state_dict(state)
    for _ in range(3):
        assert optimizer.step(closure).item() == other.step(other_closure).item()
        assert x.tolist() == z.tolist()
    assert str(state) == kept
    assert repr(other) == repr(optimizer)
    assert str(other.state_dict()) == str(optimizer.state_dict())
    fresh = LBFGS([z])
    fresh.load_state_dict(LBFGS([z]).state_dict())
    assert fresh.last == {"func_evals": 0, "n_iter": 0}


def test_it_goes_through_the_door():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    train(lambda x: (x * x).sum(), [x], 1)
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_on_the_device():
    results = []
    with fake_cupy.install():
        for device in ("cpu", "cuda"):
            x = mg.tensor(np.array([-1.2, 1.0]), requires_grad=True, device=device)
            h = mg.tensor(np.array([0.5], np.float16), requires_grad=True, device=device)
            optimizer, losses, _ = train(
                lambda x, h: rosenbrock(x) + (h.astype(np.float64) - 2).sum() ** 2,
                [x, h],
                5,
                line_search_fn="strong_wolfe",
            )
            optimizer.load_state_dict(optimizer.state_dict())
            assert {v.device for v in (x, h, optimizer.state_dict()["state"][0]["d"])} == {device}
            results.append([*losses, *x.tolist(), *h.tolist()])
        mixed = LBFGS([mg.zeros(1), mg.zeros(1, device="cuda")])
        with pytest.raises(ValueError, match=r"the parameters must be on one device, they are on \['cpu', 'cuda'\]"):
            mixed.step(lambda: 0.0)
    np.testing.assert_allclose(*results, rtol=1e-9)
    assert results[0][-1] == 2


def test_what_is_refused():
    p, q = mg.zeros(2, requires_grad=True), mg.zeros(3, requires_grad=True)
    for options, text in [
        ({"lr": 0}, "lr must be positive, got 0"),
        ({"max_iter": 0}, "max_iter must be a positive integer, got 0"),
        ({"max_eval": 1.5}, "max_eval must be a positive integer, got 1.5"),
        ({"history_size": 0}, "history_size must be a positive integer, got 0"),
        ({"tolerance_grad": -1}, "tolerance_grad must be at least 0, got -1"),
        ({"tolerance_change": -1}, "tolerance_change must be at least 0, got -1"),
        ({"line_search_fn": "wolfe"}, "line_search_fn must be None or 'strong_wolfe', got 'wolfe'"),
    ]:
        with pytest.raises(ValueError, match=text):
            LBFGS([p], **options)
    with pytest.raises(ValueError, match="LBFGS takes all parameters as one vector: it can have one group only"):
        LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(TypeError, match=r"LBFGS.step needs a closure, to compute the loss and its gradients"):
        LBFGS([p]).step()
    one, _, _ = train(lambda p: (p - 1).sum() ** 2, [p], 1)
    two = LBFGS([q], lr=0.5)
    with pytest.raises(ValueError, match=r"the state's d has shape \(2,\), the parameters have 3 elements"):
        two.load_state_dict(one.state_dict())
    assert (two.last, two.pairs, two.param_groups[0]["lr"]) == ({"func_evals": 0, "n_iter": 0}, [], 0.5)
    with pytest.raises(ValueError, match=r'a state has the keys "state" and "param_groups", .* got \[\]'):
        two.load_state_dict({})
    ragged = LBFGS([q]).state_dict()
    ragged["state"] = {0: {"old_stps": [mg.ones(q.size)]}}
    with pytest.raises(ValueError, match="the state's old_stps, old_dirs and ro must be as many, got 1, 0, 0"):
        two.load_state_dict({**ragged, "param_groups": two.state_dict()["param_groups"]})
    for foreign in (SGD([q], momentum=0.9), SGD([p], momentum=0.9)):
        foreign.param_groups[0]["params"][0].grad = mg.ones(foreign.param_groups[0]["params"][0].shape)
        foreign.step()
        with pytest.raises(ValueError, match="the state is that of another optimizer: its options are"):
            two.load_state_dict(foreign.state_dict())
