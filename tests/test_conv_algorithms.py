"""The algorithms of convolution on the CPU: each against a loop over single numbers, its errors, and the choice."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.backend import raw
from minigrad.kernels import cpu
from minigrad.kernels.cpu import fft, memory, winograd, winograd_filters, winograd_tiles
from minigrad.kernels.cpu import winograd_forms as forms
from minigrad.kernels.cpu.conv import ALGORITHMS, choice
from minigrad.kernels.cpu.cost import KERNELS, case, error
from minigrad.ops.conv import ON_CUDA
from minigrad.window import Geometry, out_sizes
from tests import optable
from tests.cudaemu import fake_cupy

FORMS = {form.name: form for form in (forms.F4, forms.F2, forms.F25, forms.S2)}
# For what is not "im2col" or "direct": a kernel and a stride that it serves.
SERVED: dict[str, tuple[tuple, tuple]] = {name: ((f.taps,) * 2, (f.stride,) * 2) for name, f in FORMS.items()}
SERVED |= {"space_to_depth": ((9, 8), (4, 3)), "fft": ((5, 2), (1, 1))}
ONE_GROUP = ("space_to_depth", "fft")
ATOL = 1e-11


def numbers(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def pair(one: int) -> tuple[int, int]:
    return one, one


def options_for(name: str, **more: Any) -> dict:
    """A geometry that the algorithm serves."""
    return {"stride": SERVED[name][1], "algorithm": name, **more}


def siblings(x: np.ndarray, w: np.ndarray, g: np.ndarray, geometry: Geometry) -> tuple:
    return (
        cpu.conv(x, w, None, geometry),
        cpu.conv_input(w, g, geometry, x.shape),
        cpu.conv_weight(x, g, geometry, w.shape),
    )


@st.composite
def layers(draw: st.DrawFn, name: str) -> tuple[tuple, tuple, Geometry]:
    """Shapes of x and w, and a geometry."""
    kernel, stride = SERVED[name]
    padding = tuple((draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(2))
    sizes = tuple(draw(st.integers(max(1, k - sum(p)), 13)) for k, p in zip(kernel, padding, strict=True))
    groups, c, k = draw(st.integers(1, 1 if name in ONE_GROUP else 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    geometry = Geometry(stride, padding, (1, 1), groups, name)
    return (draw(st.integers(1, 3)), c * groups, *sizes), (k * groups, c, *kernel), geometry


# ---- the matrices ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "r", "points"), [(2, 3, (0, 1, -1)), (4, 3, (0, 1, -1, 0.5, -2)), (2, 5, (0, 1, -1, 2, -2)), (2, 1, (0,))]
)
def test_toom_cook_filters(m: int, r: int, points: tuple) -> None:
    bt, g, at = forms.toom_cook(m, r, points)
    x, w = numbers(m + r - 1), numbers(r, seed=1)
    np.testing.assert_allclose(at @ ((g @ w) * (bt @ x)), np.correlate(x, w), atol=1e-13)


def test_f23_has_the_numbers_of_the_paper() -> None:
    """Lavin and Gray, equation 7: there the rows of Bt and of G have other signs, and the last column of At is -1."""
    bt, g, at = forms.toom_cook(2, 3, (0, 1, -1))
    np.testing.assert_array_equal(abs(bt), [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]])
    np.testing.assert_array_equal(abs(g), [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]])
    np.testing.assert_array_equal(abs(at), [[1, 1, 1, 0], [0, 1, 1, 1]])


@pytest.mark.parametrize("name", FORMS)
def test_each_form_filters_an_axis(name: str) -> None:
    form = FORMS[name]
    x, w = numbers(form.inputs), numbers(form.taps, seed=1)
    y = form.at @ ((form.g @ w) * (form.bt @ x))
    np.testing.assert_allclose(y, np.correlate(x, w)[:: form.stride], atol=1e-13)
    assert form.points < form.outputs * form.taps


# ---- exactness ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVED)
@settings(max_examples=20)
@given(data=st.data())
def test_the_three_siblings(name: str, data: st.DataObject) -> None:
    """Each against brute force, and <g, conv(x, w)> is the same number by all three."""
    xs, ws, geometry = data.draw(layers(name))
    x, w, options = numbers(*xs), numbers(*ws, seed=1), geometry._asdict()
    y = mg.conv(x, w, **options)
    np.testing.assert_allclose(y, optable.brute_conv(x, w, geometry), atol=ATOL)
    g = numbers(*y.shape, seed=2)
    dx, dw = mg.conv_input(w, g, xs, **options), mg.conv_weight(x, g, ws, **options)
    np.testing.assert_allclose(dx, optable.brute_conv_input(w, g, geometry, xs), atol=ATOL)
    np.testing.assert_allclose(dw, optable.brute_conv_weight(x, g, geometry, ws), atol=ATOL)
    np.testing.assert_allclose([(dx * x).sum(), (dw * w).sum()], (g * y).sum(), atol=1e-10)


@pytest.mark.parametrize("name", SERVED)
@settings(max_examples=5)
@given(data=st.data())
def test_gradients_to_the_second_order(name: str, data: st.DataObject) -> None:
    xs, ws, geometry = data.draw(layers(name))
    xs = (1, *xs[1:])
    x, w, b = numbers(*xs), numbers(*ws, seed=1), numbers(ws[0], seed=2)
    mg.check_gradients(lambda x, w, b: mg.conv(x, w, b, **geometry._asdict()), x, w, b)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("run", [4, 1 << 10])
@pytest.mark.parametrize(
    ("block", "rows", "cut"), [(1, 1, 1), (1, 8, 64), (1, 12, 7), (5000, 1, 64), (1 << 20, 128, 1)]
)
def test_any_cutting_into_blocks_and_strips_gives_the_same(
    name: str, block: int, rows: int, cut: int, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMS[name]
    geometry = Geometry(pair(form.stride), ((2, 1), (0, 3)), (1, 1), 2, name)
    x, w, b = numbers(2, 6, 21, 41), numbers(4, 3, form.taps, form.taps, seed=1), numbers(4)
    g = numbers(2, 4, *out_sizes(x.shape[2:], w.shape[2:], geometry), seed=2)
    call = lambda: (cpu.conv(x, w, b, geometry), *cpu.conv_backward(x, w, g, geometry))  # noqa: E731
    whole = call()
    for number, value in {"BLOCK": block, "ROWS": rows, "SLICE": cut, "LEAST": 1, "RUN": run}.items():
        monkeypatch.setattr(winograd_tiles, number, value)
    for number, value in {"SLICE": cut, "AT_ONCE": cut, "CHANNELS": cut, "PRODUCTS": cut, "MULTIPLE": 1}.items():
        monkeypatch.setattr(winograd_filters, number, value)
    for part in (winograd, winograd_tiles, winograd_filters):  # the order in which work is done must not matter
        monkeypatch.setattr(part, "run", lambda work, items: [work(item) for item in reversed(list(items))])
    for one, other in zip(whole, call(), strict=True):
        np.testing.assert_allclose(one, other, atol=ATOL)


@pytest.mark.parametrize("name", ["im2col", "auto"])
@pytest.mark.parametrize(("channels", "options"), [(300, {}), (800, {}), (520, {"dilation": (1, 2), "groups": 2})])
def test_weights_of_many_channels_without_a_border(name: str, channels: int, options: dict) -> None:
    """The gradient goes tap by tap there, and windows are read where they lie."""
    x, w = numbers(1, channels, 6, 7), numbers(4, channels // options.get("groups", 1), 3, 3, seed=1)
    y = mg.conv(x, w, algorithm="direct", **options)
    g = numbers(*y.shape, seed=2)
    expected = mg.conv_weight(x, g, w.shape, algorithm="direct", **options)
    np.testing.assert_allclose(mg.conv_weight(x, g, w.shape, algorithm=name, **options), expected, atol=1e-11)
    np.testing.assert_allclose(mg.conv(x, w, algorithm=name, **options), y, atol=1e-11)


@pytest.mark.parametrize("name", FORMS)
def test_parts_that_lie_in_the_border_alone(name: str) -> None:
    """Threads share the rows of tiles, and the first of these may see nothing of the image."""
    form = FORMS[name]
    x, w = numbers(16, 64, 6, 40), numbers(64, 64, form.taps, form.taps, seed=1)
    for padding in (5, 7, 9, 13):
        options = {"stride": form.stride, "padding": padding}
        g = numbers(*mg.conv2d(x, w, algorithm="im2col", **options).shape, seed=2)
        expected = mg.conv_input(w, g, x.shape, algorithm="im2col", **options)
        np.testing.assert_allclose(mg.conv_input(w, g, x.shape, algorithm=name, **options), expected, atol=1e-9)


@pytest.mark.parametrize("name", [*ALGORITHMS, "auto"])
@pytest.mark.parametrize(("n", "c", "k"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)])
def test_no_images_and_no_channels(name: str, n: int, c: int, k: int) -> None:
    kernel, stride = SERVED.get(name, ((3, 3), (1, 1)))
    options = {"stride": stride, "padding": 1, "algorithm": name}
    if name == "depthwise":
        options["groups"] = c = k = 3
    x = mg.tensor(np.ones((n, c, 40, 40), np.float32), requires_grad=True)
    w = mg.tensor(np.ones((k, c // options.get("groups", 1), *kernel), np.float32), requires_grad=True)
    b = mg.tensor(np.ones(k, np.float32), requires_grad=True)
    y = mg.conv2d(x, w, b, **options)
    gradients = mg.grad(y.sum(), [x, w, b])
    assert [g.shape for g in gradients] == [x.shape, w.shape, b.shape]
    assert not gradients[0].numpy().any() or k
    np.testing.assert_array_equal(gradients[2], y.size // max(1, k))
    plan = mg.explain_conv(x.shape, w.shape, **options)
    assert plan.output_shape == y.shape


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("many", [False, True])
def test_errors_stay_below_the_bound(name: str, many: bool) -> None:
    """As kernels/cpu/cost.py says, for numbers that are normal, positive, or often 0; and not far below it."""
    eps, worst = np.finfo("float32").eps, 0.0
    kernel, stride = SERVED.get(name, ((3, 3), (1, 1)))
    for seed, (size, pad, n) in enumerate(itertools.product((9, 12, 21), (0, 1), (1, 4))):
        c, k = (96, 32) if many else (3, 5)
        c, groups = (k, k) if name == "depthwise" else (c, 1)
        x, w = numbers(n, c, size, size, seed=seed), numbers(k, c // groups, *kernel, seed=seed + 1)
        geometry = Geometry(stride, (pair(pad),) * 2, (1, 1), groups, name)
        g = numbers(n, k, *out_sizes(x.shape[2:], w.shape[2:], geometry), seed=seed + 2)
        x, g = ((x, g), (abs(x), abs(g)), (np.maximum(x, 0), np.maximum(g, 0)))[seed % 3]
        w = abs(w) if seed % 2 else w
        x, w, g = (a.astype("float32") for a in (x, w, g))
        got = siblings(x, w, g, geometry)
        wide = [a.astype("float64") for a in (x, w, g)]
        plain = geometry._replace(algorithm="direct")
        exact, largest = siblings(*wide, plain), siblings(*map(abs, wide), plain)
        for which, one, right, most in zip(KERNELS, got, exact, largest, strict=True):
            assert one.dtype == np.float32
            bound = error(ALGORITHMS[name], which, case(which, x.shape, w.shape, geometry).terms)
            worst = max(worst, abs(one - right).max() / most.max() / eps / bound)
    assert 0.1 < worst <= 1


@pytest.mark.parametrize("name", SERVED)
def test_half_numbers_are_computed_in_single(name: str) -> None:
    groups = 1 if name in ONE_GROUP else 2
    x, w, b = numbers(2, 4, 9, 7), numbers(6, 4 // groups, *SERVED[name][0], seed=1), numbers(6)
    x, w, b = (a.astype("float16") for a in (x, w, b))
    y = mg.conv(x, w, b, padding=1, groups=groups, **options_for(name))
    exact = mg.conv(*(a.astype("float64") for a in (x, w, b)), padding=1, groups=groups, **options_for(name))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, exact, rtol=0, atol=6e-4 * abs(exact).max())  # eps of float16 is 9.8e-4: half of it


@pytest.mark.parametrize("name", SERVED)
def test_memory_orders(name: str) -> None:
    """Results lie pixels first, weights taps first; inputs in any order, with gaps or backwards, give the same."""
    x, w = numbers(2, 4, 9, 7), numbers(6, 4, *SERVED[name][0], seed=1)
    options = options_for(name, padding=1)
    y = mg.conv(x, w, **options)
    g = np.ascontiguousarray(y)
    dx, dw = mg.conv_input(w, g, x.shape, **options), mg.conv_weight(x, g, w.shape, **options)
    for result, order in ((y, (2, 3, 0, 1)), (dx, (2, 3, 0, 1)), (dw, (2, 3, 1, 0))):
        assert result.transpose(order).flags.c_contiguous
    gaps = np.repeat(x, 2, axis=1)[:, ::2]
    backwards = np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1]
    first = np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    for same in (gaps, backwards, first, np.asfortranarray(x)):
        np.testing.assert_allclose(mg.conv(same, w, **options), y, atol=ATOL)
        np.testing.assert_allclose(mg.conv_weight(same, g, w.shape, **options), dw, atol=ATOL)
    np.testing.assert_allclose(mg.conv_input(np.asfortranarray(w), g, x.shape, **options), dx, atol=ATOL)


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("where", ["batch", "channels in", "channels out"])
def test_nothing_of_something(name: str, where: str) -> None:
    n, c, k = (0 if axis == where else 2 for axis in ("batch", "channels in", "channels out"))
    x, w = mg.zeros((n, c, 9, 9), requires_grad=True), mg.ones((k, c, *SERVED[name][0]), requires_grad=True)
    b = mg.ones(k, requires_grad=True)
    y = mg.conv(x, w, b, **options_for(name))
    assert y.shape[:2] == (n, k)
    assert (y.detach().numpy() == 1).all()
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert w.grad.shape == w.shape
    assert not w.grad.numpy().any()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_fft_serves_any_number_of_axes(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry((1,) * dims, ((2, 0), (0, 3), (1, 1))[:dims], (1,) * dims, 1, "fft")
    x, w = numbers(3, 2, *(8, 7, 4)[:dims]), numbers(2, 2, *(5, 6, 3)[:dims], seed=1)
    y = mg.conv(x, w, **geometry._asdict())
    np.testing.assert_allclose(y, optable.brute_conv(x, w, geometry), atol=ATOL)
    monkeypatch.setattr(fft, "WORKSPACE", 1)  # image by image
    for one, right in zip(
        siblings(x, w, y, geometry), siblings(x, w, y, geometry._replace(algorithm="direct")), strict=True
    ):
        np.testing.assert_allclose(one, right, atol=1e-10)


@given(least=st.integers(1, 3000))
def test_lengths_of_a_transform(least: int) -> None:
    found = fft._smooth(least)
    smooth = {2**i * 3**j * 5**k for i in range(13) for j in range(9) for k in range(7)}
    assert found == min(number for number in smooth if number >= least)


# ---- gradients together ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auto", *ALGORITHMS])
@pytest.mark.parametrize("bias", [False, True])
def test_both_gradients_together_are_those_of_each(name: str, bias: bool) -> None:
    kernel, stride = SERVED.get(name, ((3, 3), (1, 1)))
    groups = 2 if name == "depthwise" else 1
    x, w, b = numbers(2, 2, 9, 7), numbers(2, 2 // groups, *kernel, seed=1), numbers(2)
    leaves = [mg.tensor(a, requires_grad=True) for a in ((x, w, b) if bias else (x, w))]
    y = mg.conv(*leaves, padding=1, stride=stride, groups=groups, algorithm=name)
    g = mg.tensor(numbers(*y.shape, seed=3))
    together = mg.grad(y, leaves, g, retain_graph=True)
    for leaf, both in zip(leaves, together, strict=True):
        (alone,) = mg.grad(y, [leaf], g, retain_graph=True)
        np.testing.assert_allclose(both.numpy(), alone.numpy(), atol=ATOL)
    for leaf, both in zip(mg.grad(y, leaves, g, create_graph=True), together, strict=True):
        np.testing.assert_allclose(leaf.detach().numpy(), both.numpy(), atol=ATOL)


def test_both_gradients_share_the_transform_of_g(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    transform = winograd_tiles.Tiles.g_to_m
    monkeypatch.setattr(winograd_tiles.Tiles, "g_to_m", lambda *args: (calls.append(1), transform(*args)))
    x = mg.tensor(numbers(1, 8, 4, 4, dtype="float32"), requires_grad=True)
    w = mg.tensor(numbers(8, 8, 3, 3, dtype="float32"), requires_grad=True)
    mg.conv2d(x, w, padding=1, algorithm="winograd4").sum().backward()
    assert len(calls) == 1


# ---- the choice -----------------------------------------------------------------------------------------------------


def test_the_choice_is_made_of_shapes_and_dtype() -> None:
    same = {"padding": 1}
    large = (8, 64, 56, 56), (64, 64, 3, 3)
    for plan in mg.explain_conv(*large, **same)[4:]:
        assert plan.algorithm == "winograd4"
        assert plan.formula == 4 * plan.multiply_adds == 8 * 64 * 64 * 9 * 56 * 56
    for dtype in ("float64", "float16", "int64"):
        assert {plan.algorithm for plan in mg.explain_conv(*large, **same, dtype=dtype)[4:]} == {"im2col"}
    assert mg.explain_conv((8, 64, 27, 27), (192, 64, 5, 5), padding=2).forward.algorithm == "winograd5"
    assert mg.explain_conv((8, 64, 56, 56), (64, 64, 3, 3), dilation=2).forward.algorithm == "im2col"
    assert mg.explain_conv((8, 64, 56, 56), (64, 1, 3, 3), groups=64).forward.algorithm == "depthwise"
    assert mg.explain_conv((64, 1, 28, 28), (6, 1, 5, 5)).forward.algorithm == "im2col"
    assert mg.explain_conv((8, 3, 224, 224), (64, 3, 11, 11), stride=4, padding=2).forward.algorithm == "space_to_depth"
    assert mg.explain_conv((8, 8, 64, 64), (8, 8, 31, 31), padding=15).forward.algorithm == "fft"
    assert mg.explain_conv((8, 4, 30), (4, 4, 3)).forward.algorithm == "im2col"


def test_what_is_explained_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    for name, algorithm in ALGORITHMS.items():
        for kernel, function in zip(KERNELS, ("conv", "conv_input", "conv_weight"), strict=True):
            body = getattr(algorithm, function)
            spy = lambda *args, n=name, k=kernel, body=body: (ran.append((k, n)), body(*args))  # noqa: E731
            monkeypatch.setattr(algorithm, function, spy)
    for xs, ws, stride in [
        ((4, 32, 20, 20), (32, 32, 3, 3), 1),
        ((1, 3, 9, 9), (4, 3, 3, 3), 1),
        ((1, 2, 8), (2, 2, 3), 2),
    ]:
        x, w = numbers(*xs, dtype="float32"), numbers(*ws, dtype="float32")
        plan = mg.explain_conv(x, w, stride=stride)
        y = mg.conv(x, w, stride=stride)
        mg.conv_input(w, y, xs, stride=stride)
        mg.conv_weight(x, y, ws, stride=stride)
        assert ran == [(kernel, part.algorithm) for kernel, part in zip(KERNELS, plan[4:], strict=True)]
        assert plan.output_shape == y.shape
        ran.clear()


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.usefixtures("one_thread")
def test_the_workspace_is_what_is_explained(name: str) -> None:
    form = FORMS[name]
    x = memory.channels_second(numbers(40, 40, 2, 32, dtype="float32"))
    w = numbers(form.taps, form.taps, 32, 32, dtype="float32").transpose(3, 2, 0, 1)
    options = options_for(name, padding=1)
    plan = mg.explain_conv(x, w, **options).forward
    memory._threads.kept.clear()
    tracemalloc.start()
    try:
        y = raw(mg.conv(x, w, **options))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.9 * plan.workspace < peak - y.nbytes < 1.1 * plan.workspace


def test_an_explanation_can_be_read() -> None:
    text = repr(mg.explain_conv((8, 64, 56, 56), (64, 64, 3, 3), padding=1))
    assert "conv of (8, 64, 56, 56) with (64, 64, 3, 3) -> (8, 64, 56, 56), float32" in text
    assert "forward:         winograd4, 231 M of 925 M multiply-adds" in text
    assert "error below 3.2e-06" in text
    assert "least predicted time; predicted, in units of its time: winograd2" in text
    nearly = mg.explain_conv((8, 160, 7, 7), (320, 160, 3, 3), padding=1).forward
    assert nearly.algorithm == "im2col"
    assert (
        "rounds less than winograd4, which is hardly faster; predicted, in units of its time: winograd4 0.9"
        in nearly.why
    )
    assert "asked for" in repr(mg.explain_conv((1, 1, 9), (1, 1, 3), algorithm="direct"))
    assert "in float64 no algorithm is chosen that" in repr(mg.explain_conv(numbers(1, 2, 9, 9), numbers(2, 2, 3, 3)))
    assert "none of the others serves this one" in repr(mg.explain_conv((1, 2, 9), (2, 2, 3), stride=2))
    assert "in each group" in repr(mg.explain_conv((1, 2, 9), (2, 1, 3), groups=2))


def test_layers_pass_it_on() -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1, algorithm="winograd2")
    x = mg.tensor(numbers(1, 2, 8, 8, dtype="float32"))
    expected = mg.conv2d(x, layer.weight, layer.bias, padding=1, algorithm="winograd2")
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected.detach().numpy())
    assert repr(layer) == "Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), algorithm=winograd2)"
    with pytest.raises(ValueError, match=r"algorithm must be one of .*'winograd4'.* got 'fast'"):
        nn.Conv2d(2, 3, 3, algorithm="fast")


# ---- bad input ------------------------------------------------------------------------------------------------------

X, W = numbers(1, 2, 8, 8), numbers(2, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: mg.conv2d(X, W, stride=2, algorithm="winograd4"),
            r"algorithm='winograd4' cannot compute this convolution: it is for two spatial axes, a kernel of 3x3 and a "
            r"stride of 1, got kernel \(3, 3\) and stride \(2, 2\)",
        ),
        (lambda: mg.conv2d(X, W, dilation=2, algorithm="winograd2"), r"it is for a dilation of 1, got \(2, 2\)"),
        (lambda: mg.conv1d(X[:, :, 0], W[:, :, 0], algorithm="winograd2"), r"got kernel \(3,\) and stride \(1,\)"),
        (
            lambda: mg.conv2d(X.astype(int), W.astype(int), algorithm="winograd2"),
            "it has fractions, so that it is for floating numbers, got int64",
        ),
        (
            lambda: mg.conv2d(X, W, algorithm="depthwise"),
            r"every group must have one channel in and one out, got groups=1 and a weight \(2, 2, 3, 3\)",
        ),
        (lambda: mg.conv_input(W, X[:, :, 2:, 2:], X.shape, algorithm="winograd_s2"), "a stride of 2, got kernel"),
        (lambda: mg.conv_weight(X, X[:, :, 2:, 2:], W.shape, algorithm="winograd5"), "a kernel of 5x5"),
        (
            lambda: mg.conv2d(X, W, stride=2, algorithm="fft"),
            r"it is for a stride and a dilation of 1 and one group, got stride \(2, 2\), dilation \(1, 1\), groups=1",
        ),
        (lambda: mg.conv2d(X.astype(int), W.astype(int), algorithm="fft"), "floating numbers, got int64"),
        (
            lambda: mg.conv2d(X, W, algorithm="space_to_depth"),
            r"strides without dilation, got stride \(1, 1\)",
        ),
        (
            lambda: mg.conv2d(X, W, stride=2, algorithm="space_to_depth"),
            r"folded, the kernel has \(2, 2\) taps, and it is for two spatial axes, a kernel of 3x3",
        ),
        (
            lambda: mg.conv2d(X, W[:, :1], stride=2, groups=2, algorithm="space_to_depth"),
            "it is for one group, got groups=2",
        ),
        (lambda: mg.conv2d(X, W, algorithm="fast"), r"algorithm must be one of \('auto', 'im2col', .* got 'fast'"),
        (lambda: mg.explain_conv((1, 3, 8, 8), W), "x has 3 channels, but a weight of shape"),
        (lambda: mg.explain_conv((1, 2, 2, 2), W), "the window does not fit on spatial axis 0"),
        (lambda: mg.explain_conv((1, -2, 2, 2), W), "x must be an integer of at least 0, or 4 of them"),
    ],
)
def test_message(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_on_the_other_device() -> None:
    with fake_cupy.install():
        x, w = mg.tensor(X, device="cuda"), mg.tensor(W, device="cuda")
        for name in ON_CUDA:
            there = mg.conv2d(x, w, algorithm=name)
            np.testing.assert_allclose(there.to("cpu").numpy(), mg.conv2d(X, W), atol=ATOL)
        with pytest.raises(ValueError, match="algorithm='winograd4' is one of the CPU's; on CUDA there are"):
            mg.conv2d(x, w, algorithm="winograd4")
        with pytest.raises(ValueError, match="explains the algorithms of the CPU, got x on cuda"):
            mg.explain_conv(x, w)


def test_the_choice_is_remembered() -> None:
    """It is made anew for each call otherwise, and costs as much as a small convolution."""
    geometry = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1))
    for _ in range(2):
        choice(KERNELS[0], (3, 5, 17, 19), (7, 5, 3, 3), geometry, np.dtype("float32"))
    assert choice.cache_info().hits > 0
