"""Clipping of gradients against the formula in float64, on both devices."""

import math
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils import clip_grad_norm_, clip_grad_value_
from tests.cudaemu import fake_cupy

SHAPES = [(3, 4), (), (2, 5, 2), (0, 2)]


def parameters(dtype=np.float64, scale=1.0, device="cpu"):
    """Parameters with gradients, one of them in another memory order, and one without."""
    rng = np.random.default_rng(0)
    result = []
    for shape in SHAPES:
        p = mg.zeros(shape, requires_grad=True, device=device)
        p.grad = mg.tensor((rng.standard_normal(shape[::-1]) * scale).astype(dtype), device=device).T
        result.append(p)
    return [*result, mg.zeros(2, requires_grad=True, device=device)]


def gradients(given):
    return [p.grad.to("cpu").numpy().astype(np.float64) for p in given if p.grad is not None]


def norm(arrays, order):
    x = abs(np.concatenate([a.ravel() for a in arrays]))
    return x.max() if order == math.inf else (x**order).sum() ** (1 / order)


@pytest.mark.parametrize("order", [2, 1, 3, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.7, 0.0, 1e6])
def test_the_norm_is_clipped(order, max_norm):
    given = parameters()
    before = gradients(given)
    total = clip_grad_norm_((p for p in given), max_norm, order)
    assert (total.shape, total.requires_grad) == ((), False)
    assert total.item() == pytest.approx(norm(before, order), rel=1e-14)
    factor = min(1, max_norm / (norm(before, order) + 1e-6))
    for a, b in zip(gradients(given), before, strict=True):
        np.testing.assert_allclose(a, factor * b, rtol=1e-14)
    assert norm(gradients(given), order) <= max_norm or max_norm == 1e6
    assert given[-1].grad is None


@pytest.mark.parametrize("order", [2, 1, math.inf])
def test_half_precision_does_not_overflow(order):
    given = parameters(np.float16, scale=300)
    before = gradients(given)
    total = clip_grad_norm_(given, 10.0, order)
    assert (total.dtype, {p.grad.dtype for p in given[:-1]}) == (np.float32, {np.dtype(np.float16)})
    assert total.item() == pytest.approx(norm(before, order), rel=1e-6)
    for a, b in zip(gradients(given), before, strict=True):
        np.testing.assert_allclose(a, 10 / norm(before, order) * b, rtol=2e-3)


def test_values_are_clipped():
    given = parameters()
    given[0].grad[0, 0] = math.nan
    before = gradients(given)
    clip_grad_value_((p for p in given), 0.25)
    for a, b in zip(gradients(given), before, strict=True):
        np.testing.assert_array_equal(a, np.clip(b, -0.25, 0.25))


@pytest.mark.parametrize("clip", [lambda p: clip_grad_norm_(p, 0.1), lambda p: clip_grad_value_(p, 0.1)])
def test_it_goes_through_the_door_once_for_each_gradient(clip):
    """One tensor alone; the same gradient twice; and gradients that are part of a graph."""
    p, q = (mg.tensor([3.0, 4.0], requires_grad=True) for _ in "pq")
    (p**3).sum().backward(create_graph=True)
    q.grad = p.grad
    y = (p.grad * p.grad).sum()
    before = p.grad.version.count
    clip([p, q, p])
    assert p.grad.version.count == before + 1
    assert p.grad.requires_grad
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()
    p.grad = None
    (p * p).sum().backward()
    clip(p)
    assert max(p.grad.tolist()) <= np.float32(0.1)


def test_without_gradients():
    assert clip_grad_norm_([mg.zeros(2)], 1.0).item() == 0
    assert clip_grad_norm_([], 1.0).item() == 0
    clip_grad_value_([], 1.0)


def test_a_norm_that_is_not_finite():
    p = mg.zeros(2, requires_grad=True)
    for value, text in ((math.nan, "nan"), (math.inf, "inf"), (3e38, "inf")):
        p.grad = mg.tensor([value, 1.0])
        with pytest.raises(RuntimeError, match=f"the norm of order 2.0 of the gradients is {text}, so they cannot"):
            clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
        assert p.grad.tolist() == pytest.approx([value, 1.0], nan_ok=True)
    p.grad = mg.tensor([math.inf, 1.0])
    assert clip_grad_norm_(p, 1.0).item() == math.inf
    np.testing.assert_array_equal(p.grad.numpy(), [math.nan, 0])


def test_what_is_refused():
    p = mg.tensor([1.0], requires_grad=True)
    p.grad = mg.tensor([5.0])
    for call, text, error in [
        (lambda: clip_grad_norm_(p, -1.0), "max_norm must be at least 0, got -1.0", ValueError),
        (lambda: clip_grad_norm_(p, math.nan), "max_norm must be at least 0, got nan", ValueError),
        (lambda: clip_grad_norm_(p, 1.0, 0), "norm_type must be above 0, got 0", ValueError),
        (lambda: clip_grad_norm_([p, 3], 1.0), r"parameters\[1\] must be a Tensor, got int", TypeError),
        (lambda: clip_grad_value_(p, -1.0), "clip_value must be at least 0, got -1.0", ValueError),
        (lambda: clip_grad_value_(nn.Linear(1, 1), 1.0), "pass model.parameters", TypeError),
    ]:
        with pytest.raises(error, match=text):
            call()
    assert p.grad.tolist() == [5]


@pytest.mark.parametrize("order", [2, 1, math.inf])
def test_on_the_device(order):
    with fake_cupy.install():
        for dtype in (np.float32, np.float16):
            results = []
            for device in ("cpu", "cuda"):
                given = parameters(dtype, device=device)
                total = clip_grad_norm_(given, 0.5, order)
                assert total.device == device
                clip_grad_value_(given, 0.2)
                results.append([total.to("cpu").numpy(), *gradients(given)])
            for a, b in zip(*results, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == np.float32 else 2e-3)
        with pytest.raises(ValueError, match=r"on one device, they are on \['cpu', 'cuda'\]: clip them separately"):
            clip_grad_norm_([*parameters(), *parameters(device="cuda")], 1.0)


@pytest.mark.parametrize(
    ("clip", "copies"), [(lambda p: clip_grad_norm_(p, 0.1), 1), (lambda p: clip_grad_value_(p, 0.1), 0)]
)
def test_memory(clip, copies):
    """At most one array in the gradient's own dtype at a time."""
    p = mg.zeros(1 << 20, requires_grad=True)
    p.grad = mg.ones(1 << 20)
    tracemalloc.start()
    try:
        clip(p)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (copies + 0.1) * 4 * p.size
