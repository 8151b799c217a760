"""`check_gradients`: an independent witness for every gradient, yours too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import transfer_array
from minigrad.engine import grad
from minigrad.gradmode import enable_grad, no_grad
from minigrad.tensor import Tensor, asarray, wrap

_STEPS = [0.05 / 4**k for k in range(8)]  # relative to the size of an input
_EPS = float(np.finfo(np.float64).eps)


class GradientCheckError(AssertionError):
    """A gradient that finite differences contradict, or a function that they cannot judge."""


class _Slope(NamedTuple):
    value: float
    error: float  # estimated
    step: float
    noise: float  # what rounding alone contributes to the error

    @property
    def settled(self) -> bool:
        """Whether the quotient converged as the step shrank, or at least to where rounding hides more."""
        return self.error <= 1e-5 * abs(self.value) + 20 * self.noise


def check_gradients(f: Callable, *arrays: Any, order: int = 2, rtol: float = 1e-6, seed: int = 0) -> None:
    """Compare the gradients of `f` with finite differences, up to derivatives of this order; return if they agree.

    The outputs are projected on random numbers u and the inputs moved along a random direction v, and
    `<grad <u, f(x)>, v>` is compared with the central difference of `<u, f(x + h*v)>`, all in float64 whatever the
    dtype of the inputs. The step h is found by trying eight and keeping the one whose extrapolated quotient is the most
    stable. For order 2 the gradient itself is the function checked, recorded with `create_graph=True`; on the way each
    gradient is computed both on raw arrays and on Tensors, and the two must agree. (The projection follows
    `check_grads` of HIPS autograd, the extrapolation Ridders 1982.)

    Args:
        f: takes Tensors, returns a Tensor or several; must be deterministic.
        arrays: its inputs: arrays, Tensors or nested lists. Those of floats are differentiated, others stay constant.
        order: the highest order of derivative to check.
        rtol: the difference allowed, relative to the sum of the absolute contributions to the derivative.
        seed: of the projections.

    Raises:
        GradientCheckError: names the order, the input, the index of its worst entry, both numbers and the step; or
            says that f has a kink there (its one-sided slopes differ, so no gradient is right), is not deterministic,
            changes its inputs, or is not finite nearby.

    >>> import minigrad as mg
    >>> check_gradients(lambda x, w: mg.tanh(x @ w), [[1.0, 2.0]], [[0.5], [0.1]])
    >>> check_gradients(mg.relu, [-1.0, 0.0])
    Traceback (most recent call last):
        ...
    minigrad.testing.GradientCheckError: relu has a kink at input 0 ('x'), index (1,): the one-sided slopes of its \
projection are 0 and -0.132 (step 7.07e-07), so no gradient of order 1 is right; move the input away from it
    """
    xs = [asarray(a) for a in arrays]
    xs = [wrap(x._array.astype(np.float64)) if x.dtype.kind == "f" else x for x in xs]
    if not any(x.dtype.kind == "f" for x in xs):
        raise GradientCheckError(f"none of the {len(xs)} inputs is floating, so there is no gradient to check")
    before = [x.copy() for x in xs]
    name = getattr(f, "__name__", "f")
    rng = np.random.default_rng(seed)
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        names = []
    labels = [f"input {i} ({names[i]!r})" if i < len(names) else f"input {i}" for i in range(len(xs))]
    for level in range(1, order + 1):
        with np.errstate(all="ignore"):  # on the way we look at f where it may not be finite
            _check(f, xs, labels, name, level, rtol, rng)
        for label, x, b in zip(labels, xs, before, strict=True):
            if not np.array_equal(_host(x), _host(b), equal_nan=x.dtype.kind == "f"):
                raise GradientCheckError(f"{name} changed {label} in place")
        f = _gradient_of(f, xs, rng)


def _host(x: Tensor) -> np.ndarray:
    return transfer_array(x._array, "cpu")


def _outputs(f: Callable, xs: Sequence[Tensor]) -> list[Tensor]:
    ys = f(*xs)
    found = [
        y for y in (ys if isinstance(ys, (tuple, list)) else [ys]) if isinstance(y, Tensor) and y.dtype.kind == "f"
    ]
    if not found:
        raise GradientCheckError(f"f must return a Tensor of floats, or several, got {ys!r}")
    return found


def _draw(like: Tensor, rng: np.random.Generator) -> Tensor:
    return Tensor(rng.standard_normal(like.shape), device=like.device)


def _gradient_of(f: Callable, xs: Sequence[Tensor], rng: np.random.Generator) -> Callable:
    """The function that gives the gradients of `<u, f>` for a fixed random u; recorded if its inputs are."""
    us = [_draw(y, rng) for y in _outputs(f, xs)]

    def gradient(*inputs: Tensor) -> list[Tensor]:
        record = any(x.requires_grad for x in inputs)
        with enable_grad():
            leaves = [x if x.requires_grad or x.dtype.kind != "f" else wrap(x._array).requires_grad_() for x in inputs]
            return _gradients(f, leaves, us, record)

    return gradient


def _gradients(f: Callable, leaves: list[Tensor], us: list[Tensor], create_graph: bool) -> list[Tensor]:
    """d<u, f>/dx for each floating leaf; zeros where f does not depend on it."""
    floats = [x for x in leaves if x.dtype.kind == "f"]
    with enable_grad():
        live = [(y, u) for y, u in zip(_outputs(f, leaves), us, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(floats)
    if live:
        ys, seeds = zip(*live, strict=True)
        found = grad(ys, floats, seeds, create_graph=create_graph, allow_unused=True)
    return [wrap(x.xp.zeros(x.shape)) if g is None else g for x, g in zip(floats, found, strict=True)]


def _check(
    f: Callable, xs: list[Tensor], labels: list[str], name: str, level: int, rtol: float, rng: np.random.Generator
) -> None:
    floats = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
    with no_grad():
        first, again = _outputs(f, xs), _outputs(f, xs)
    if any(not np.array_equal(_host(a), _host(b), equal_nan=True) for a, b in zip(first, again, strict=True)):
        raise GradientCheckError(f"{name} gives different values for the same inputs: fix its random numbers first")
    us = [_draw(y, rng) for y in first]
    leaves = [wrap(x._array).requires_grad_() if i in floats else x for i, x in enumerate(xs)]
    fast = [_host(g) for g in _gradients(f, leaves, us, create_graph=False)]
    recorded = [_host(g) for g in _gradients(f, leaves, us, create_graph=True)]
    for i, a, b in zip(floats, fast, recorded, strict=True):
        finite = np.abs(a[np.isfinite(a)]).max(initial=0)
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-9, atol=1e-12 * finite, equal_nan=True):
            raise GradientCheckError(
                f"{name}: the gradient of order {level} for {labels[i]} differs between raw arrays and Tensors "
                f"(create_graph=True): {a.ravel()[:4]} and {b.ravel()[:4]}"
            )

    def projected(moved: list[np.ndarray]) -> tuple[float, float]:
        """<u, f> at other inputs, and the sum of its absolute terms, which bounds its rounding error."""
        inputs = list(xs)
        for i, array in zip(floats, moved, strict=True):
            inputs[i] = Tensor(array, device=xs[i].device)
        with no_grad():
            terms = [_host(u) * _host(y) for u, y in zip(us, _outputs(f, inputs), strict=True)]
        return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))

    point = [_host(xs[i]) for i in floats]
    sizes = [float(np.sqrt(np.mean(p * p))) if p.size else 0.0 for p in point]
    draw = [rng.standard_normal(p.shape) for p in point]
    even = [d * (s or 1.0) for d, s in zip(draw, sizes, strict=True)]
    own = [d * np.where(p == 0, s or 1.0, np.abs(p)) for d, p, s in zip(draw, point, sizes, strict=True)]
    for direction in (even, own):
        slope = _slope(projected, point, direction)
        terms = [g * v for g, v in zip(fast, direction, strict=True)]
        analytic = float(sum(t.sum() for t in terms))
        scale = max(float(sum(np.abs(t).sum() for t in terms)), abs(slope.value))
        if slope.settled:
            if (
                np.isfinite(analytic)
                and abs(analytic - slope.value) <= rtol * scale + 10 * slope.error + 20 * slope.noise
            ):
                return
            break
        # The quotient does not settle: we left the domain of f, or its scale. Move entries in proportion to themselves.
    _report(projected, point, fast, sizes, [labels[i] for i in floats], name, level, rtol, analytic, slope)


def _slope(projected: Callable, point: list[np.ndarray], direction: list[np.ndarray]) -> _Slope:
    """The derivative along a direction, its estimated error, and the step that gave it."""

    def at(h: float) -> tuple[float, float]:
        return projected([p + h * v for p, v in zip(point, direction, strict=True)])

    ends = [(at(h), at(-h)) for h in _STEPS]
    quotients = [(up[0] - down[0]) / (2 * h) for (up, down), h in zip(ends, _STEPS, strict=True)]
    terms = [up[1] + down[1] for up, down in ends]
    noise = [_EPS * (t / h + max(terms)) for t, h in zip(terms, _STEPS, strict=True)]
    # Each quotient errs by c*h**2 + ...: two of them, a factor 4 apart in h, cancel c.
    extrapolated = [(16 * fine - coarse) / 15 for coarse, fine in pairwise(quotients)]
    best = _Slope(np.nan, np.inf, np.nan, 0.0)
    for k in range(1, len(extrapolated)):
        error = abs(extrapolated[k] - extrapolated[k - 1]) + noise[k + 1]
        if error < best.error:
            best = _Slope(extrapolated[k], error, _STEPS[k + 1], noise[k + 1])
    return best


def _report(
    projected: Callable,
    point: list[np.ndarray],
    gradients: list[np.ndarray],
    sizes: list[float],
    labels: list[str],
    name: str,
    level: int,
    rtol: float,
    analytic: float,
    slope: _Slope,
) -> None:
    """Look at every entry alone and say what is wrong with the worst."""
    worst: tuple[float, int, tuple[int, ...], _Slope] | None = None
    for i, p in enumerate(point):
        for index in np.ndindex(p.shape):
            direction = [np.zeros(q.shape) for q in point]
            direction[i][index] = max(abs(float(p[index])), sizes[i]) or 1.0
            found = _slope(projected, point, direction)
            along = found.value / direction[i][index]
            off = abs(along - gradients[i][index])
            rank = off if np.isfinite(off) else np.inf
            if worst is None or rank > worst[0]:
                worst = (
                    rank,
                    i,
                    index,
                    _Slope(float(along), found.error, float(found.step * direction[i][index]), found.noise),
                )
    if worst is None:
        raise GradientCheckError(f"{name} has no entries to differentiate")
    _, i, index, entry = worst
    where = f"{labels[i]}, index {index}"

    def one_sided(h: float) -> tuple[float, float]:
        moved = [[q.copy() for q in point] for _ in range(2)]
        moved[0][i][index] += h
        moved[1][i][index] -= h
        middle = projected(point)[0]
        return (middle - projected(moved[1])[0]) / h, (projected(moved[0])[0] - middle) / h

    h = 1e-6 * (max(abs(float(point[i][index])), sizes[i]) or 1.0)
    (left, right), (left_far, right_far) = one_sided(h), one_sided(10 * h)
    gap, gap_far = abs(right - left), abs(right_far - left_far)
    # The gap between the slopes of a smooth function shrinks with the step, that of a kink does not; across a jump the
    # slopes themselves grow as the step shrinks.
    kink = gap > 1e-4 * max(abs(left), abs(right)) and gap > 0.5 * gap_far
    jump = max(abs(left), abs(right)) > 5 * max(abs(left_far), abs(right_far))
    if kink or jump:
        raise GradientCheckError(
            f"{name} has a {'jump' if jump else 'kink'} at {where}: the one-sided slopes of its projection are "
            f"{left:.3g} and {right:.3g} (step {h:.3g}), so no gradient of order {level} is right; move the input away "
            f"from it"
        )
    if not np.isfinite(entry.value) or not np.isfinite(projected(point)[0]):
        raise GradientCheckError(
            f"{name} is not finite at or near {where} (value {point[i][index]:.6g}), so finite differences cannot "
            f"judge its gradient of order {level}; minigrad says {gradients[i][index]:.6g}"
        )
    raise GradientCheckError(
        f"the gradient of order {level} of {name} is wrong for {where}: minigrad {gradients[i][index]:.9g}, finite "
        f"difference {entry.value:.9g} (step {entry.step:.3g}, error about {entry.error:.1g}); along a random "
        f"direction {analytic:.9g} and {slope.value:.9g}, allowed {rtol:.1g} relative"
    )
