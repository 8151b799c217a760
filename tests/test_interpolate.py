"""interpolate: what its modes promise, memory order, dtypes, error texts; the values are in tests/optable.py."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import minigrad as mg

MODES = [("nearest", 1), ("nearest-exact", 2), ("linear", 1), ("linear", 4), ("bilinear", 2), ("trilinear", 3)]
MODES += [("bicubic", 2)]
modes = pytest.mark.parametrize(("mode", "n"), MODES)


def image(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3, 4, 5, 3, 2)[: n + 2])


@modes
def test_a_constant_stays_constant_and_the_same_size_the_same(mode: str, n: int) -> None:
    x = image(n)
    np.testing.assert_array_equal(mg.interpolate(x, x.shape[2:], mode=mode), x)
    for out in (1, 7):
        y = mg.interpolate(np.full_like(x, 3.25), out, mode=mode)
        assert y.shape == (2, 3, *(out,) * n)
        np.testing.assert_allclose(y, 3.25, rtol=1e-14)


@pytest.mark.parametrize("mode", ["linear", "bicubic"])
def test_a_straight_line_stays_straight_between_its_ends(mode: str) -> None:
    n = 2 if mode == "bicubic" else 1
    x = np.broadcast_to(np.arange(8.0), (1, 1, *(8,) * n))
    y = mg.interpolate(x, (15,) * n, mode=mode, align_corners=True)
    row = y.reshape(-1, 15)[0]
    inside = slice(0, None) if mode == "linear" else slice(2, -2)  # beyond the border the last element is repeated
    np.testing.assert_allclose(np.diff(row[::2])[inside], 1, rtol=1e-12)
    np.testing.assert_allclose(row[[0, -1]], [0, 7], atol=1e-12)


def test_shrinking_after_growing_gives_the_image_back() -> None:
    x = image(2)
    for mode in ("nearest", "nearest-exact"):
        np.testing.assert_array_equal(mg.interpolate(mg.interpolate(x, scale_factor=3), (4, 5), mode=mode), x)


def test_the_gradient_of_growing_counts_and_of_shrinking_picks() -> None:
    x = mg.ones((1, 1, 3), requires_grad=True)
    mg.interpolate(x, scale_factor=4).sum().backward()
    assert x.grad.tolist() == [[[4, 4, 4]]]
    x.grad = None
    mg.interpolate(x, 7).sum().backward()
    assert x.grad.tolist() == [[[3, 2, 2]]]
    x.grad = None
    mg.interpolate(x, 2).sum().backward()
    assert x.grad.tolist() == [[[1, 1, 0]]]


def test_a_factor_means_the_fraction_that_it_is_near() -> None:
    x = np.arange(30.0).reshape(1, 1, 30)
    assert mg.interpolate(x, scale_factor=0.1).tolist() == [[[0, 10, 20]]]
    assert mg.interpolate(x[..., :1], scale_factor=49).tolist() == [[[0] * 49]]
    assert mg.interpolate(x[..., :2], scale_factor=49).tolist() == [[[0] * 49 + [1] * 49]]


def test_not_a_number_stays_where_it_is_in_the_nearest_modes() -> None:
    x = np.array([[[1, np.nan, np.inf]]])
    np.testing.assert_array_equal(mg.interpolate(x, scale_factor=2), [[[1, 1, np.nan, np.nan, np.inf, np.inf]]])


def test_dtypes() -> None:
    assert mg.interpolate(np.arange(3, dtype=np.uint8).reshape(1, 1, 3), 4).dtype == np.uint8
    ramp = (np.arange(9) * 0.1 + 1000).astype(np.float16).reshape(1, 1, 9)
    y = mg.interpolate(ramp, 17, mode="linear", align_corners=True)
    exact = np.interp(np.arange(17) / 2, np.arange(9), ramp.ravel().astype(float))
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.ravel(), exact.astype(np.float16))  # weighted in float32, rounded once


def axes_in_memory(x: Any) -> list[int]:
    return sorted(range(x.ndim), key=lambda a: -x.strides[a])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (0, 2, 3, 1)])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(8, 10), (3, 7)])
def test_the_memory_order_stays(order: tuple, mode: str, size: tuple) -> None:
    x = image(2)
    lying = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    y = mg.interpolate(mg.asarray(lying), size, mode=mode)
    assert axes_in_memory(y._array) == list(order)
    assert all(a >= b for a, b in pairwise(y._array.strides[a] for a in order))
    np.testing.assert_allclose(y.numpy(), mg.interpolate(x, size, mode=mode), rtol=1e-14)


X = mg.ones((1, 2, 4, 5))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: mg.interpolate(X),
            ValueError,
            "give one of size and scale_factor, got size=None and scale_factor=None",
        ),
        (lambda: mg.interpolate(X, 2, 3), ValueError, "give one of size and scale_factor, got size=2 and .*=3"),
        (lambda: mg.interpolate(X, 0), ValueError, "size must be an integer of at least 1, or 2 of them, got 0"),
        (lambda: mg.interpolate(X, (1, 2, 3)), ValueError, r"size must be an integer .*, got \(1, 2, 3\)"),
        (
            lambda: mg.interpolate(X, None, -1),
            ValueError,
            "scale_factor must be a number above 0, or 2 of them, got -1",
        ),
        (lambda: mg.interpolate(X, None, (2,)), ValueError, r"scale_factor must be .*, or 2 of them, got \(2,\)"),
        (lambda: mg.interpolate(X, None, 0.2), ValueError, r"scale_factor=0.2 leaves nothing of the sizes \(4, 5\)"),
        (lambda: mg.interpolate(X, 2, mode="cubic"), ValueError, r"mode must be one of \['nearest', .*, got 'cubic'"),
        (
            lambda: mg.interpolate(X, 2, mode="trilinear"),
            ValueError,
            r"mode 'trilinear' is for 3 spatial axes, x has 2: its shape is \(1, 2, 4, 5\)",
        ),
        (
            lambda: mg.interpolate(X, 2, align_corners=False),
            ValueError,
            r"align_corners is for the modes \['linear', .*\], got mode='nearest': leave it out",
        ),
        (
            lambda: mg.interpolate(mg.ones((2, 3)), 2),
            ValueError,
            r"expects x \(N, C, \*spatial\) .* got shape \(2, 3\)",
        ),
        (
            lambda: mg.interpolate(mg.ones((2, 3, 0)), 2),
            ValueError,
            r"at least one element in space, got .*\(2, 3, 0\)",
        ),
        (
            lambda: mg.interpolate(np.ones((1, 1, 3), int), 2, mode="linear"),
            TypeError,
            "mode 'linear' needs floating numbers, got int64: convert them, or use 'nearest'",
        ),
    ],
)
def test_errors(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call()
