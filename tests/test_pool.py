"""Pooling: against a loop over single windows, its adjoints, ties, nan and padding, and what it says of bad input."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.kernels import cpu
from minigrad.window import Geometry
from tests import optable
from tests import plain_kernels as plain

ATOL = 1e-12
IMAGE = mg.ones((1, 2, 4, 4))


@st.composite
def windows(draw: st.DrawFn, dims: int) -> tuple[tuple, tuple, dict]:
    """(spatial sizes, kernel, options) of windows of which each sees some of the input."""
    most = 3 if dims < 3 else 2
    kernel, sizes, stride, padding, dilation = [], [], [], [], []
    for _ in range(dims):
        k, s, d = draw(st.integers(1, most)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        p = draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))
        reach = max(1, d * (k - 1) + 1 - sum(p))
        sizes.append(draw(st.integers(reach, reach + most)))
        kernel.append(k), stride.append(s), padding.append(p), dilation.append(d)
    options = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation)}
    options["ceil_mode"] = draw(st.booleans())
    return tuple(sizes), tuple(kernel), options


def looked_at(sizes: tuple, kernel: tuple, options: dict) -> dict[tuple, list[tuple | None]]:
    """For each window the places it reads, in row-major order of its taps; None for those outside of the input.

    Counted window by window: one more is added as long as it fits the padded input, or, in ceil mode, as long as it
    starts inside the input or the padding before it and the one before did not reach the end.
    """
    starts = []
    for i, k, s, (lo, hi), d in zip(sizes, kernel, *itertools.islice(options.values(), 3), strict=True):
        span, found = d * (k - 1) + 1, [-lo]
        while found[-1] + s + span <= i + hi:
            found.append(found[-1] + s)
        if options["ceil_mode"] and found[-1] + span < i + hi and found[-1] + s < i:
            found.append(found[-1] + s)
        starts.append(found)
    result: dict[tuple, list[tuple | None]] = {}
    for o in itertools.product(*(range(len(found)) for found in starts)):
        places: list[tuple | None] = []
        for tap in itertools.product(*map(range, kernel)):
            at = tuple(found[a] + t * d for found, a, t, d in zip(starts, o, tap, options["dilation"], strict=True))
            places.append(at if all(0 <= a < n for a, n in zip(at, sizes, strict=True)) else None)
        result[o] = places
    return result


def pooled(x: np.ndarray, seen: dict, reduce: Any) -> np.ndarray:
    shape = tuple(max(o[a] for o in seen) + 1 for a in range(x.ndim - 2))
    out = np.zeros((*x.shape[:2], *shape))
    for o, places in seen.items():
        out[(..., *o)] = reduce(np.stack([x[(..., *at)] for at in places if at is not None]), places)
    return out


@pytest.mark.parametrize("dims", [1, 2, 3])
@given(data=st.data())
def test_values_and_gradients(dims: int, data: st.DataObject) -> None:
    sizes, kernel, options = data.draw(windows(dims))
    seen = looked_at(sizes, kernel, options)
    assume(all(any(p is not None for p in places) for places in seen.values()))
    x = optable.distinct(np.random.default_rng(0), data.draw(st.integers(1, 2)), 2, *sizes)
    cases: list[tuple[Any, Any]] = [
        (lambda t: mg.max_pool(t, kernel, **options), lambda v, _: v.max(0)),
        (lambda t: mg.min_pool(t, kernel, **options), lambda v, _: v.min(0)),
        (lambda t: mg.lp_pool(t, 3, kernel, **options), lambda v, _: (abs(v) ** 3).sum(0) ** (1 / 3)),
        (lambda t: mg.avg_pool(t, kernel, **options, count_include_pad=False), lambda v, _: v.mean(0)),
        (lambda t: mg.avg_pool(t, kernel, **options, divisor_override=3), lambda v, _: v.sum(0) / 3),
    ]
    if not options["ceil_mode"]:  # what sticks out there does not count: tested below
        cases.append((lambda t: mg.avg_pool(t, kernel, **options), lambda v, _: v.sum(0) / math.prod(kernel)))
    for call, reduce in cases:
        np.testing.assert_allclose(call(x), pooled(x, seen, reduce), rtol=1e-12, atol=ATOL)
        mg.check_gradients(call, x)


@given(data=st.data())
def test_what_sticks_out_in_ceil_mode_is_no_padding(data: st.DataObject) -> None:
    """The mean counts the elements and the padding a window sees, and nothing beyond."""
    sizes, kernel, options = data.draw(windows(2))
    seen = looked_at(sizes, kernel, options)
    assume(all(any(p is not None for p in places) for places in seen.values()))
    widths = options["padding"]
    padded = tuple(n + lo + hi for n, (lo, hi) in zip(sizes, widths, strict=True))
    counted = looked_at(padded, kernel, {**options, "padding": ((0, 0),) * 2, "ceil_mode": True})
    ones = np.ones((1, 1, *sizes))
    got = mg.avg_pool(ones, kernel, **options)
    for o, places in seen.items():
        expected = sum(p is not None for p in places) / sum(p is not None for p in counted[o])
        np.testing.assert_allclose(got[(0, 0, *o)], expected, rtol=1e-12)


VALUES = st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan])


@pytest.mark.parametrize("op", ["max_pool", "min_pool"])
@pytest.mark.parametrize("kernels", [cpu, plain], ids=["cpu", "plain"])
@given(data=st.data())
def test_ties_nan_and_infinities(op: str, kernels: Any, data: st.DataObject) -> None:
    """The first of the best in row-major order wins, the first nan before everything, and padding never."""
    sizes, kernel, options = data.draw(windows(2))
    seen = looked_at(sizes, kernel, options)
    assume(all(any(p is not None for p in places) for places in seen.values()))
    x = data.draw(hnp.arrays("float64", (1, 1, *sizes), elements=VALUES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigrad.ops.pool.kernels", lambda x: kernels)
        value, index = getattr(mg, op)(x, kernel, **options, return_indices=True)
    for o, places in seen.items():
        inside = [p for p in places if p is not None]
        cell = [x[(0, 0, *p)] for p in inside]
        best = next((i for i, v in enumerate(cell) if np.isnan(v)), None)
        if best is None:
            best = int(np.argmax(cell) if op == "max_pool" else np.argmin(cell))
        np.testing.assert_equal(value[(0, 0, *o)], cell[best])
        assert index[(0, 0, *o)] == np.ravel_multi_index(inside[best], sizes)


@pytest.mark.parametrize("op", ["max", "min"])
def test_a_whole_channel_ties_and_nan_too(op: str) -> None:
    x = np.array([[[[1.0, 5, 0], [5, 0, 0]], [[np.nan, 7, np.nan], [1, 2, 7]]]])
    pool = getattr(mg, f"global_{op}_pool")
    t = mg.tensor(x, requires_grad=True)
    pool(t).sum().backward()
    expected = {"max": [1, 0], "min": [2, 0]}[op]
    assert [int(np.flatnonzero(g)[0]) for g in t.grad.numpy()[0].reshape(2, 6)] == expected
    assert (t.grad.numpy() != 0).sum() == 2
    assert np.isnan(pool(t).detach().numpy()[0, 1, 0, 0])


@given(data=st.data())
def test_gather_and_scatter_are_adjoint(data: st.DataObject) -> None:
    sizes, kernel, options = data.draw(windows(2))
    seen = looked_at(sizes, kernel, options)
    assume(all(any(p is not None for p in places) for places in seen.values()))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2, *sizes))
    geometry = mg.window.pooling_geometry(
        sizes, kernel, Geometry(options["stride"], options["padding"], options["dilation"]), options["ceil_mode"]
    )
    value, tap = cpu.max_pool(x, kernel, geometry, True)
    np.testing.assert_array_equal(mg.pool_gather(x, tap, kernel, geometry), value)
    g = rng.standard_normal(value.shape)
    back = mg.pool_scatter(g, tap, kernel, geometry, x.shape)
    np.testing.assert_allclose((back * x).sum(), (g * value).sum(), atol=1e-10)
    np.testing.assert_allclose(back, plain.pool_scatter(g, tap, kernel, geometry, x.shape), atol=ATOL)


@pytest.mark.parametrize("dims", [1, 2, 3])
@given(data=st.data())
def test_unpooling_undoes_what_it_can(dims: int, data: st.DataObject) -> None:
    """Pooling what was unpooled gives it back, where the windows lie side by side."""
    outs = [data.draw(st.integers(1, 3)) for _ in range(dims)]
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(dims))
    more = tuple(data.draw(st.integers(0, k - 1)) for k in kernel)
    sizes = tuple(o * k + m for o, k, m in zip(outs, kernel, more, strict=True))
    x = optable.distinct(np.random.default_rng(0), 2, 2, *sizes, low=0.5)
    value, index = mg.max_pool(x, kernel, return_indices=True)
    wide = mg.max_unpool(value, index, kernel, output_size=sizes)
    np.testing.assert_array_equal(mg.max_pool(wide, kernel), value)
    assert (wide != 0).sum() == value.size
    np.testing.assert_array_equal(wide[wide != 0], x[wide != 0])
    mg.check_gradients(lambda v: mg.max_unpool(v, index, kernel, output_size=sizes), value)


@given(size=st.integers(1, 12), out=st.integers(1, 12))
def test_adaptive_windows(size: int, out: int) -> None:
    """Every window is where it should be, and together they see everything."""
    x = np.arange(float(size)).reshape(1, 1, size)
    low, high = math.floor, math.ceil
    windows = [range(low(o * size / out), high((o + 1) * size / out)) for o in range(out)]
    values, index = mg.adaptive_max_pool(x, out, return_indices=True)
    assert values[0, 0].tolist() == [w[-1] for w in windows] == index[0, 0].tolist()
    np.testing.assert_allclose(mg.adaptive_avg_pool(x, out)[0, 0], [np.mean(w) for w in windows])
    _, first = mg.adaptive_max_pool(x * 0, out, return_indices=True)
    assert first[0, 0].tolist() == [w[0] for w in windows]  # a tie goes to the first
    assert {i for w in windows for i in w} == set(range(size))


def test_adaptive_windows_of_the_papers() -> None:
    """GoogLeNet's auxiliary head pools 14 to 4: [0,4) [3,7) [7,11) [10,14)."""
    x = np.eye(14)[None]
    np.testing.assert_array_equal(
        mg.adaptive_avg_pool(x, 4)[0].T != 0,
        [[i in w for i in range(14)] for w in (range(4), range(3, 7), range(7, 11), range(10, 14))],
    )
    assert mg.adaptive_avg_pool(np.ones((1, 1, 5, 6)), (None, 2)).shape == (1, 1, 5, 2)


def test_average_pooling_is_a_convolution() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6))
    kernel = np.full((3, 1, 3, 2), 1 / 6)
    np.testing.assert_allclose(
        mg.avg_pool(x, (3, 2), stride=(2, 1), padding=(1, 0)),
        mg.conv(x, kernel, stride=(2, 1), padding=(1, 0), groups=3),
        atol=ATOL,
    )


def test_max_pooling_by_relu_alone() -> None:
    """max(a, b) = a + relu(b - a): pooling needs no op of its own, only a fast one."""
    x = np.random.default_rng(0).standard_normal((1, 1, 8))
    a, b = x[..., ::2], x[..., 1::2]
    np.testing.assert_allclose(mg.max_pool(x, 2), a + mg.relu(b - a), atol=ATOL)


def test_pooling_hardly_notices_a_small_move() -> None:
    """The lecture's point: a bump that moves by one stays in its window, and the pooled image does not change."""
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, 2, 4] = 1
    for pool in (mg.max_pool, mg.avg_pool):
        still, moved = pool(image, 2), pool(np.roll(image, 1, -1), 2)
        np.testing.assert_array_equal(moved, still)
        np.testing.assert_array_equal(pool(np.roll(image, 2, -1), 2), np.roll(still, 1, -1))  # by a stride: moves along


def test_integers_and_booleans() -> None:
    x = np.array([[[3, -5, 2, 2]]])
    assert mg.max_pool(x, 2).tolist() == [[[3, 2]]]
    assert mg.min_pool(x, 3, stride=2, padding=1).tolist() == [[[-5, -5]]]
    assert mg.max_pool(x == 2, 3, stride=1, padding=1).tolist() == [[[False, True, True, True]]]
    assert mg.min_pool(x == 2, 2).tolist() == [[[False, True]]]
    assert mg.avg_pool(x, 2).dtype == np.float64


def test_lp_pooling() -> None:
    x = np.array([[[-3.0, 4, 0, 0]]])
    assert mg.lp_pool(x, np.inf, 2).tolist() == [[[4, 0]]]
    assert mg.lp_pool(x, 1, 2).tolist() == [[[7, 0]]]
    t = mg.tensor(x, requires_grad=True)
    mg.lp_pool(t, 2, 2).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), [[[-0.6, 0.8, 0, 0]]])
    half = mg.lp_pool(np.full((1, 1, 4), 300.0, "float16"), 2, 4)  # 300**2 overflows float16
    assert half.dtype == np.float16
    assert half.item() == 600


def test_lp_pooling_neither_overflows_nor_vanishes() -> None:
    x = np.array([[[3, 4, 1e-3, 2e-3, 0, 0]]], "float32")
    np.testing.assert_allclose(mg.lp_pool(x, 100, 2), [[[4, 2e-3, 0]]], rtol=1e-6)
    mg.check_gradients(lambda t: mg.lp_pool(t, 20, 2), x[..., :4].astype("float64"))


@pytest.mark.parametrize(
    "options", [{"padding": "same"}, {"dilation": 2}, {"padding": 1, "dilation": 2}, {"ceil_mode": True}], ids=str
)
def test_unpooling_every_kind_of_pooling(options: dict) -> None:
    x = optable.distinct(np.random.default_rng(0), 1, 2, 7, 8, low=0.5)
    value, index = mg.max_pool(x, 3, stride=2, **options, return_indices=True)
    options = {k: v for k, v in options.items() if k != "ceil_mode"}
    wide = mg.max_unpool(value, index, 3, stride=2, output_size=(7, 8), **options)
    expected = np.zeros_like(x).reshape(1, 2, -1)
    for c in range(2):
        expected[0, c, index[0, c]] = x[0, c].ravel()[index[0, c]]
    np.testing.assert_array_equal(wide, expected.reshape(x.shape))


def test_lp_pooling_has_curvature_at_zero() -> None:
    """For p = 2 the norm of (0, 2) bends: the second derivative in the zero is 1/2."""
    x = mg.tensor(np.array([[[0.0, 2.0]]]), requires_grad=True)
    (g,) = mg.grad(mg.lp_pool(x, 2, 2).sum(), [x], create_graph=True)
    (second,) = mg.grad(g[0, 0, 0], [x])
    np.testing.assert_allclose(second.numpy(), [[[0.5, 0]]])
    mg.check_gradients(lambda t: mg.lp_pool(t, 4, 3), np.array([[[1.0, -2, 3, 0.5, 1, 2]]]), order=2)
    assert mg.lp_pool(np.ones((1, 1, 2), "float32"), np.float64(2), 2).dtype == np.float32


def test_unpooling_keeps_the_indices_it_was_given() -> None:
    x = mg.tensor([[[1.0, 3, 2, 0]]], requires_grad=True)
    values, places = mg.max_pool(x, 2, return_indices=True)
    y = mg.max_unpool(values, places, 2)
    places[...] = 0
    (y * mg.tensor([[[1.0, 10, 100, 1000]]])).sum().backward()
    assert x.grad.tolist() == [[[0, 10, 100, 0]]]


def test_the_mean_of_many_ones_is_one() -> None:
    """One by one, a sum in float32 stops at 2**24."""
    assert mg.global_avg_pool(np.ones((1, 1, 2**24 + 2**23), "float32")).item() == 1


def test_long_axes_are_counted_at_once() -> None:
    assert mg.max_pool(np.zeros((1, 1, 10**6), "float32"), 100, stride=50, padding=1).shape == (1, 1, 19999)


def test_results_lie_pixels_first() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 4))
    t = mg.tensor(x, requires_grad=True)
    for y in (mg.max_pool(t, 2), mg.min_pool(t, 3, stride=1), mg.avg_pool(t, 2), mg.global_avg_pool(t)):
        (g,) = mg.grad(y.sum(), [t])
        assert g.numpy().transpose(2, 3, 0, 1).flags.c_contiguous
        assert y.detach().numpy().transpose(2, 3, 0, 1).flags.c_contiguous


def test_a_tap_takes_one_byte() -> None:
    """What a max pooling keeps for the way back: an eighth of an index, for windows of up to 256 elements."""
    x = np.zeros((1, 1, 300))
    for kernel, dtype in ((2, np.uint8), (256, np.uint8), (257, np.uint16)):
        _, tap = cpu.max_pool(x, (kernel,), Geometry((1,), ((0, 0),), (1,)), True)
        assert tap is not None
        assert tap.dtype == dtype


def test_a_norm_with_an_infinite_element_is_infinite() -> None:
    for p in (1, 2, 3, math.inf):
        assert mg.lp_pool(np.array([[[-math.inf, 1.0, 3.0, 4.0]]]), p, 2)[0, 0, 0] == math.inf
        assert np.isnan(mg.lp_pool(np.array([[[math.nan, math.inf]]]), p, 2)).all()


def test_taps_are_looked_for_only_where_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a gradient, or for the indices: the values of a prediction come without them, and are the same."""
    asked = []
    plainly = cpu.max_pool
    monkeypatch.setattr(cpu, "max_pool", lambda *args: (asked.append(args[-1]), plainly(*args))[1])
    values = np.random.default_rng(0).integers(1, 4, (2, 3, 7, 6)).astype(float)
    x, leaf = mg.tensor(values), mg.tensor(values, requires_grad=True)
    pools = [
        lambda v: mg.max_pool(v, 3, stride=2, padding=1),
        lambda v: mg.global_max_pool(v),
        lambda v: mg.adaptive_max_pool(v, 2),
        lambda v: mg.lp_pool(v, math.inf, 2),
    ]
    for pool in pools:
        plain_value, value = pool(x), pool(leaf)
        with mg.no_grad():
            predicted = pool(leaf)
        np.testing.assert_array_equal(plain_value, value.detach())
        np.testing.assert_array_equal(predicted, value.detach())
        (g,) = mg.grad(value.sum(), [leaf])
        assert float(g.sum()) == value.size
    assert asked == [False, True, False] * len(pools)
    mg.max_pool(x, 2, return_indices=True)
    assert asked[-1]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mg.max_pool2d(mg.ones((2, 3)), 2), r"max_pool2d expects x \(N, C, H, W\), got shape \(2, 3\)"),
        (lambda: mg.max_pool(mg.ones((2, 3)), 2), r"max_pool expects x \(N, C, \*spatial\), got shape \(2, 3\)"),
        (lambda: mg.max_pool2d(IMAGE, 5), "does not fit on spatial axis 0: input 4 .* smaller than the window"),
        (lambda: mg.max_pool2d(IMAGE, 0), "kernel_size must be an integer of at least 1, or 2 of them, got 0"),
        (lambda: mg.max_pool2d(IMAGE, (2, 2, 2)), r"kernel_size must be .* or 2 of them, got \(2, 2, 2\)"),
        (lambda: mg.max_pool2d(IMAGE, 2, stride=-1), "stride must be an integer of at least 1, .* got -1"),
        (lambda: mg.max_pool2d(IMAGE, 2, dilation=0), "dilation must be an integer of at least 1, .* got 0"),
        (
            lambda: mg.avg_pool2d(IMAGE, 2, padding=2),
            r"a window sees only padding on spatial axis 0: window 0 reads the elements -2 to -1, 1 apart, of an input "
            r"of 4 with padding 2 \+ 2",
        ),
        (
            lambda: mg.max_pool1d(mg.ones((1, 1, 1)), 2, padding=1, dilation=2),
            "window 0 reads the elements -1 to 1, 2 apart, of an input of 1",
        ),
        (lambda: mg.avg_pool2d(IMAGE, 2, divisor_override=0), "divisor_override must be a number other than 0, got 0"),
        (lambda: mg.lp_pool2d(IMAGE, 0, 2), "norm_type must be a number of at least 1, got 0"),
        (
            lambda: mg.max_unpool1d(mg.ones((1, 1, 2)), mg.tensor([[[0]]]), 2),
            r"indices of the same shape, got \(1, 1, 2\) and \(1, 1, 1\)",
        ),
        (
            lambda: mg.max_unpool1d(mg.ones((1, 1, 2)), mg.tensor([[[0, 4]]]), 2),
            "indices must be from 0 to 3, got 0 to 4",
        ),
        (
            lambda: mg.max_unpool1d(mg.ones((1, 1, 2)), mg.tensor([[[0, 2]]]), 2, output_size=7),
            r"output_size \(7,\) is pooled to \(3,\) like this, or to \(4,\) in ceil mode, not to \(2,\)",
        ),
        (
            lambda: mg.max_unpool1d(mg.ones((1, 1, 2)), mg.tensor([[[0, 2]]]), 3, stride=2, padding="same"),
            "padding='same' depends on the size that was pooled: pass output_size",
        ),
        (
            lambda: mg.max_unpool1d(mg.ones((1, 1, 2)), mg.tensor([[[0, 2]]]), 2, padding=6),
            r"nothing of a size above 0 is pooled to \(2,\) like this: output_size would be \(-8,\)",
        ),
        (
            lambda: mg.avg_pool2d(IMAGE, 2, divisor_override=(3, 5)),
            r"divisor_override must be a number other than 0, got \(3, 5\)",
        ),
        (lambda: mg.adaptive_avg_pool(IMAGE, 0), "output_size must be an integer of at least 1, or 2 of them, got"),
        (lambda: mg.adaptive_avg_pool(IMAGE, (1, 2, 3)), r"output_size must be .* or 2 of them, got \(1, 2, 3\)"),
        (lambda: mg.global_avg_pool(mg.ones((1, 1, 0))), "at least one element in space, got shape"),
    ],
)
def test_message(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()
