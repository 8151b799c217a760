"""Convolution: against a loop over single numbers, its adjoints, its limits, and what it says of bad input."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backend import raw
from minigrad.kernels import cpu
from minigrad.kernels.cpu import im2col, memory
from minigrad.kernels.cpu.planes import Planes
from minigrad.window import Geometry
from tests import optable
from tests import plain_kernels as plain
from tests.cudaemu import fake_cupy

ATOL = 1e-11
MODES = ("zeros", "constant", "reflect", "replicate", "circular", "symmetric")
IMAGE = mg.ones((1, 2, 4, 4))


def numbers(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@st.composite
def geometries(draw: st.DrawFn, dims: int) -> tuple[tuple, tuple, Geometry]:
    """(spatial sizes, kernel, geometry) of windows that fit."""
    most = 3 if dims < 3 else 2
    kernel, stride, padding, dilation, sizes = [], [], [], [], []
    for _ in range(dims):
        k, s, d = draw(st.integers(1, most)), draw(st.integers(1, 3)), draw(st.integers(1, most))
        p = draw(st.integers(0, most)), draw(st.integers(0, most))
        reach = max(1, d * (k - 1) + 1 - sum(p))
        sizes.append(draw(st.integers(reach, reach + most)))
        kernel.append(k), stride.append(s), padding.append(p), dilation.append(d)
    algorithm = draw(st.sampled_from(["auto", "im2col", "direct"]))
    geometry = Geometry(tuple(stride), tuple(padding), tuple(dilation), draw(st.integers(1, 3)), algorithm)
    return tuple(sizes), tuple(kernel), geometry


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@given(data=st.data())
def test_the_three_siblings(dims: int, data: st.DataObject) -> None:
    """Each against brute force; <g, conv(x, w)> is the same number by all three; both devices' kernels agree."""
    sizes, kernel, geometry = data.draw(geometries(dims))
    n, c, k = data.draw(st.integers(0, 2)), data.draw(st.sampled_from([1, 2, 16])), data.draw(st.integers(1, 2))
    if dims > 2:
        c = min(c, 2)
    x, w = numbers(n, c * geometry.groups, *sizes), numbers(k * geometry.groups, c, *kernel, seed=1)
    options = geometry._asdict()
    y = mg.conv(x, w, **options)
    assert y.shape == (n, len(w), *optable.out_sizes(x.shape, kernel, geometry))
    np.testing.assert_allclose(y, optable.brute_conv(x, w, geometry), atol=ATOL)
    g = numbers(*y.shape, seed=2)
    dx, dw = mg.conv_input(w, g, x.shape, **options), mg.conv_weight(x, g, w.shape, **options)
    np.testing.assert_allclose(dx, optable.brute_conv_input(w, g, geometry, x.shape), atol=ATOL)
    np.testing.assert_allclose(dw, optable.brute_conv_weight(x, g, geometry, w.shape), atol=ATOL)
    np.testing.assert_allclose([(dx * x).sum(), (dw * w).sum()], (g * y).sum(), atol=1e-9)
    np.testing.assert_allclose(plain.conv(x, w, None, geometry), y, atol=ATOL)
    np.testing.assert_allclose(plain.conv_input(w, g, geometry, x.shape), dx, atol=ATOL)
    np.testing.assert_allclose(plain.conv_weight(x, g, geometry, w.shape), dw, atol=ATOL)


@pytest.mark.parametrize("dims", [1, 2, 3])
@given(data=st.data())
def test_gradients_of_every_option(dims: int, data: st.DataObject) -> None:
    """Order 1 and 2 in x, weight and bias, with every padding mode, flipped or not."""
    sizes, kernel, geometry = data.draw(geometries(dims))
    mode, flip = data.draw(st.sampled_from(MODES)), data.draw(st.booleans())
    limit = {"reflect": -1, "circular": 0, "symmetric": 0}.get(mode, 9)
    widths = tuple(tuple(min(p, n + limit) for p in pair) for pair, n in zip(geometry.padding, sizes, strict=True))
    sizes = tuple(  # grown so that the window still fits the narrower border
        max(n, d * (k - 1) + 1) for n, k, d in zip(sizes, kernel, geometry.dilation, strict=True)
    )
    groups = geometry.groups
    x, w, b = numbers(1, groups, *sizes), numbers(groups, 1, *kernel, seed=1), numbers(groups, seed=2)
    options = {**geometry._asdict(), "padding": widths, "padding_mode": mode, "flip": flip}
    options["padding_value"] = 1.5 * (mode == "constant")
    call = lambda x, w, b: mg.conv(x, w, b, **options)  # noqa: E731
    numpy_mode = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}.get(mode, mode)
    fill = {"constant_values": options["padding_value"]} if numpy_mode == "constant" else {}
    bordered = np.pad(x, ((0, 0), (0, 0), *widths), numpy_mode, **fill)
    mirrored = np.flip(w, tuple(range(2, w.ndim))) if flip else w
    plain_geometry = geometry._replace(padding=((0, 0),) * dims)
    expected = optable.brute_conv(bordered, mirrored, plain_geometry) + b.reshape(-1, *(1,) * dims)
    np.testing.assert_allclose(call(x, w, b), expected, atol=ATOL)
    mg.check_gradients(call, x, w, b)


@pytest.mark.parametrize("budget", [1, 30, 500])
@given(data=st.data())
def test_any_cutting_into_blocks_gives_the_same(budget: int, data: st.DataObject) -> None:
    sizes, kernel, geometry = data.draw(geometries(2))
    x, w = numbers(3, 2 * geometry.groups, *sizes), numbers(2 * geometry.groups, 2, *kernel, seed=1)
    y = cpu.conv(x, w, None, geometry)
    g = numbers(*y.shape, seed=2)
    whole = y, cpu.conv_input(w, g, geometry, x.shape), cpu.conv_weight(x, g, geometry, w.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(im2col, "WORKSPACE", budget)
        patch.setattr(im2col, "BOX", budget)
        patch.setattr(memory, "SWEEP", budget)
        cut = (
            cpu.conv(x, w, None, geometry),
            cpu.conv_input(w, g, geometry, x.shape),
            cpu.conv_weight(x, g, geometry, w.shape),
        )
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one, other, atol=ATOL)


@given(sizes=st.lists(st.integers(0, 7), min_size=1, max_size=4), budget=st.integers(1, 60))
def test_blocks_cover_each_element_once_and_keep_to_the_budget(sizes: list[int], budget: int) -> None:
    seen = np.zeros(sizes, int)
    flat = np.arange(seen.size).reshape(sizes)
    for block in memory.blocks(tuple(sizes), budget):
        seen[block] += 1
        part = flat[block].ravel()
        assert 1 <= part.size <= budget
        assert (np.diff(part) == 1).all()  # contiguous in row-major order
    assert (seen == 1).all()


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("sibling", ["conv", "conv_input", "conv_weight"])
@pytest.mark.usefixtures("one_thread")
def test_memory_does_not_grow_with_the_columns(sibling: str, algorithm: str) -> None:
    """Unrolled windows would take N*C*kh*kw*OH*OW numbers at once; the workspace is bounded."""
    x, w = numbers(2, 32, 64, 64, dtype="float32"), numbers(32, 32, 5, 5, dtype="float32")
    geometry = Geometry((1, 1), ((2, 2), (2, 2)), (1, 1), algorithm=algorithm)
    call = {
        "conv": lambda: cpu.conv(x, w, None, geometry),
        "conv_input": lambda: cpu.conv_input(w, x, geometry, x.shape),
        "conv_weight": lambda: cpu.conv_weight(x, x, geometry, w.shape),
    }[sibling]
    memory._threads.kept.clear()
    tracemalloc.start()
    try:
        result = call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    columns = x.nbytes * 25
    # the result, both arrays in the other order, one block of columns and what is made of it, small things
    bound = result.nbytes + 2 * x.nbytes + 2 * w.nbytes + 8 * memory.WORKSPACE + (1 << 20)
    assert peak < bound < columns / 2


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_algorithms_agree_in_every_dtype(algorithm: str, groups: int) -> None:
    for dtype, eps in (("float64", 1e-13), ("float32", 1e-5), ("float16", 4e-3)):
        x, w, b = numbers(2, 4, 6, 5, dtype=dtype), numbers(8, 4 // groups, 3, 2, dtype=dtype), numbers(8, dtype=dtype)
        y = mg.conv2d(x, w, b, stride=(2, 1), padding=1, groups=groups, algorithm=algorithm)
        exact = mg.conv2d(*(a.astype("float64") for a in (x, w, b)), stride=(2, 1), padding=1, groups=groups)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, exact, rtol=0, atol=eps * abs(exact).max())


def test_float16_is_summed_in_float32() -> None:
    x, w = np.full((1, 4096, 1, 1), 1.0, "float16"), np.ones((1, 4096, 1, 1), "float16")
    assert mg.conv2d(x, w).item() == 4096  # a sum in float16 stops at 2048
    assert mg.channel_sum(np.ones((4096, 1, 1, 1), "float16")).item() == 4096


def test_integers_are_exact() -> None:
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 5, 5))
    w = np.random.default_rng(1).integers(-9, 9, (4, 3, 3, 3))
    y = mg.conv(x, w, padding=1)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, optable.brute_conv(x, w, Geometry((1, 1), ((1, 1), (1, 1)), (1, 1))))


@pytest.mark.parametrize("where", ["batch", "channels in", "channels out"])
def test_nothing_of_something(where: str) -> None:
    """A batch of no samples, no channels coming in (sums of nothing are 0) or going out."""
    n, c, k = (0 if name == where else 2 for name in ("batch", "channels in", "channels out"))
    x, w = mg.asarray(numbers(n, c, 4, 4)), mg.asarray(numbers(k, c, 3, 3))
    b = mg.zeros(k, dtype="float64")
    for leaf in (x, w, b):
        leaf.requires_grad_(True)
    y = mg.conv2d(x, w, b)
    assert y.shape == (n, k, 2, 2)
    assert not y.detach().numpy().any()
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert w.grad.shape == w.shape
    assert not w.grad.numpy().any()
    assert b.grad.shape == (k,)


def test_the_bias_decides_the_dtype_too() -> None:
    ones = np.ones((1, 1, 1), "float32")
    assert mg.conv(ones, ones, np.array([1e-10])).item() - 1 == pytest.approx(1e-10, rel=1e-6)
    assert mg.conv(np.array([[[1, 2]]]), np.array([[[1]]]), np.array([0.5])).tolist() == [[[1.5, 2.5]]]


@pytest.mark.parametrize("depthwise", [False, True])
def test_the_gradient_of_half_weights_is_summed_in_single(depthwise: bool) -> None:
    groups = 2 if depthwise else 1
    small = np.full((1, 2, 4096), 1e-4, "float16")  # their products are below what float16 can hold
    dw = mg.conv_weight(small, small, (2, 2 // groups, 1), groups=groups)
    np.testing.assert_allclose(dw, 4096e-8, rtol=2e-2)


def test_a_half_bias_is_added_before_rounding() -> None:
    big, ones, bias = np.full((1, 2, 1), 36000, "float16"), np.ones((2, 1, 1), "float16"), np.array([-16000], "float16")
    assert mg.conv_transpose(big, ones, bias).item() == 56000
    assert mg.conv_local(big, ones.reshape(1, 1, 2, 1), bias).item() == 56000
    assert mg.conv(big, ones.reshape(1, 2, 1), bias).item() == 56000


def test_a_call_within_a_call_has_memory_of_its_own() -> None:
    """A signal handler or a finalizer may convolve while this thread is in the middle of it."""
    with memory.workspace() as outer, memory.workspace() as inner:
        assert not np.shares_memory(outer((4,), np.dtype(float)), inner((4,), np.dtype(float)))
    with memory.workspace() as one:
        first = one((4,), np.dtype(float))
    with memory.workspace() as other:
        assert np.shares_memory(first, other((4,), np.dtype(float)))  # and otherwise it is reused


def test_strides_beyond_the_input() -> None:
    x, w = np.ones((1, 1, 10)), np.ones((1, 1, 3))
    assert mg.conv(x, w, stride=10**10).tolist() == [[[3]]]
    assert mg.conv_weight(x, np.ones((1, 1, 1)), w.shape, stride=10**10).tolist() == [[[1, 1, 1]]]
    assert mg.conv_input(w, np.ones((1, 1, 1)), x.shape, stride=10**10).sum() == 3


def test_a_border_far_beyond_the_image_takes_no_memory() -> None:
    """Few channels are laid out with their border, but not with one of 4 * 10^10 elements: only the middle tap sees."""
    x, w, apart = numbers(2, 3, 4, 4), numbers(5, 3, 3, 3, seed=1), 10**5
    options = {"padding": apart, "dilation": apart, "algorithm": "im2col"}
    y = mg.conv(x, w, **options)
    np.testing.assert_allclose(y, np.einsum("nchw,kc->nkhw", x, w[:, :, 1, 1]), atol=ATOL)
    dx = mg.conv_input(w, y, x.shape, **options)
    np.testing.assert_allclose(dx, np.einsum("nkhw,kc->nchw", y, w[:, :, 1, 1]), atol=ATOL)
    dw = mg.conv_weight(x, y, w.shape, **options)
    np.testing.assert_allclose(dw[:, :, 1, 1], np.einsum("nchw,nkhw->kc", x, y), atol=ATOL)
    assert np.count_nonzero(dw) == 15


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_planes_show_the_windows_of_the_padded_image(stride: int) -> None:
    """Against NumPy's own windows; what no window sees is left out, and comes back as 0."""
    x = numbers(6, 8, 2, 3)  # (H, W, N, C)
    geometry = Geometry((stride, stride), ((2, 0), (-1, 2)), (1, 2))
    planes = Planes(x.shape, (2, 3), geometry, x.dtype)
    planes.fill(x)
    padded = np.pad(x, ((2, 0), (0, 2), (0, 0), (0, 0)))[:, 1:]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 5), (0, 1))[::stride, ::stride, ..., ::2]
    rows, columns = windows.shape[:2]
    for block in itertools.product(
        (slice(0, 1), slice(1, rows)), (slice(0, columns), slice(1, columns)), (slice(0, 2),)
    ):
        for tap in range(3):
            seen = planes.columns(block, (slice(None),), tap)[0]  # (taps, C, *block)
            np.testing.assert_array_equal(seen, windows[block][..., tap].transpose(4, 3, 0, 1, 2))
    back = np.full(x.shape, np.nan)
    planes.read(back)
    met = np.zeros(x.shape[:2], bool)
    for i, j in itertools.product(range(rows), range(columns)):
        for r, t in itertools.product(range(2), range(3)):
            at = i * stride + r - 2, j * stride + 2 * t + 1
            if 0 <= at[0] < 6 and at[1] < 8:
                met[at] = True
    np.testing.assert_array_equal(back[met], x[met])
    np.testing.assert_array_equal(back[:, 0], 0)


def test_gradients_of_leaves_do_not_share_memory() -> None:
    """Two leaves that lie pixels first with gaps: what is added to one gradient must not reach the other."""
    leaves = [mg.zeros((2, 8, 8, 4)).permute((0, 3, 1, 2))[:, :, ::2].detach() for _ in range(2)]
    for leaf in leaves:
        leaf.requires_grad_(True)
    for create_graph in (False, True):
        ((leaves[0] + leaves[1]) * 2.0 * 3.0).sum().backward(create_graph=create_graph)
        with mg.no_grad():
            leaves[0].grad[...] = 7.0
        assert (leaves[1].grad.detach().numpy() == 6).all()
        for leaf in leaves:
            leaf.grad = None


# ---- memory order ---------------------------------------------------------------------------------------------------


def test_results_lie_pixels_first_and_weights_taps_first() -> None:
    x, w = numbers(2, 3, 6, 5), numbers(4, 3, 3, 2)
    for algorithm in ("im2col", "direct"):
        y = mg.conv2d(x, w, algorithm=algorithm)
        dx = mg.conv_input(w, y, x.shape, algorithm=algorithm)
        dw = mg.conv_weight(x, y, w.shape, algorithm=algorithm)
        assert y.transpose(2, 3, 0, 1).flags.c_contiguous
        assert dx.transpose(2, 3, 0, 1).flags.c_contiguous
        assert dw.transpose(2, 3, 1, 0).flags.c_contiguous


# ---- padding --------------------------------------------------------------------------------------------------------


def test_named_padding() -> None:
    x, w = numbers(1, 1, 7), numbers(1, 1, 4)
    for name, pair in {"valid": (0, 0), "same": (1, 2), "same_lower": (2, 1), "full": (3, 3)}.items():
        np.testing.assert_array_equal(mg.conv1d(x, w, padding=name), mg.conv1d(x, w, padding=(pair,)))
    np.testing.assert_allclose(mg.conv1d(x, w, padding="full", flip=True)[0, 0], np.convolve(x[0, 0], w[0, 0]))


def test_flip_is_the_convolution_of_mathematics() -> None:
    x, w = numbers(1, 1, 5, 6), numbers(1, 1, 3, 2)
    full = mg.conv2d(x, w, padding="full", flip=True)[0, 0]
    expected = np.zeros((7, 7))
    for i, j in itertools.product(range(3), range(2)):
        expected[i : i + 5, j : j + 6] += w[0, 0, i, j] * x[0, 0]
    np.testing.assert_allclose(full, expected, atol=ATOL)
    other = mg.conv2d(w, x, padding="full", flip=True)[0, 0]  # it commutes; cross-correlation does not
    np.testing.assert_allclose(full, other, atol=ATOL)


# ---- the lecture's invariances --------------------------------------------------------------------------------------


def moved(x: np.ndarray, by: int) -> np.ndarray:
    return np.roll(x, by, axis=-1)


def test_convolution_moves_with_its_input() -> None:
    x, w = numbers(1, 2, 12, 12), numbers(3, 2, 3, 3)
    circular = lambda x: mg.conv2d(x, w, padding=1, padding_mode="circular")  # noqa: E731
    np.testing.assert_allclose(circular(moved(x, 2)), moved(circular(x), 2), atol=ATOL)  # without a border: exactly
    valid = lambda x: mg.conv2d(x, w)  # noqa: E731
    np.testing.assert_allclose(valid(moved(x, 2))[..., 2:], valid(x)[..., :-2], atol=ATOL)  # away from the edge


def test_padding_breaks_it_within_its_reach_of_the_edge() -> None:
    x, w = numbers(1, 2, 12, 12), numbers(3, 2, 3, 3)
    same = lambda x: mg.conv2d(x, w, padding="same")  # noqa: E731
    wrong = abs(same(moved(x, 1)) - moved(same(x), 1)).max((0, 1, 2)) > 1e-6
    # the roll carries the last column to the front, where zeros stand beside it instead of its neighbours
    np.testing.assert_array_equal(np.flatnonzero(wrong), [0, 1, 11])


def test_stride_breaks_it_unless_the_input_moves_by_whole_strides() -> None:
    x, w = numbers(1, 2, 12, 12), numbers(3, 2, 3, 3)
    strided = lambda x: mg.conv2d(x, w, stride=2)  # noqa: E731
    np.testing.assert_allclose(strided(moved(x, 2))[..., 1:], strided(x)[..., :-1], atol=ATOL)
    assert abs(strided(moved(x, 1))[..., 1:] - strided(x)[..., :-1]).max() > 0.1
    full = mg.conv2d(moved(x, 1), w)
    np.testing.assert_allclose(strided(moved(x, 1)), full[..., ::2, ::2], atol=ATOL)  # what it gives: other samples


# ---- tables of connections ------------------------------------------------------------------------------------------

C3 = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 1], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
C3 += [[3, 4, 5, 0], [4, 5, 0, 1], [5, 0, 1, 2], [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]


def test_lenets_c3_has_sixty_kernels_and_sees_what_the_table_says() -> None:
    weight = mg.tensor(numbers(60, 5, 5), requires_grad=True)
    assert weight.size + len(C3) == 1516  # parameters of C3 in the paper, with its biases
    x = mg.tensor(numbers(1, 6, 14, 14), requires_grad=True)
    y = mg.conv2d(x, weight, connections=C3)
    assert y.shape == (1, 16, 10, 10)
    for k, seen in enumerate(C3):
        (dx,) = mg.grad(y[:, k].sum(), [x], retain_graph=True)
        assert np.flatnonzero(abs(dx.numpy()).sum((0, 2, 3))).tolist() == sorted(seen)
    (dw,) = mg.grad(y.sum(), [weight])
    assert dw.shape == (60, 5, 5)  # no gradient for links that are absent: there is nowhere to put one


# ---- transposed, local, as a matrix ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 2, 3])
@given(data=st.data())
def test_transposed_convolution(dims: int, data: st.DataObject) -> None:
    """It is the gradient of the convolution that goes the other way, for every size that one maps to its input's."""
    sizes, kernel, geometry = data.draw(geometries(dims))
    groups = geometry.groups
    w = numbers(2 * groups, 1, *kernel)
    out = optable.out_sizes((1, groups, *sizes), kernel, geometry)
    g = numbers(1, 2 * groups, *out, seed=1)
    b = numbers(groups, seed=2)
    options = {k: v for k, v in geometry._asdict().items() if k != "algorithm"}
    call = lambda g, w, b: mg.conv_transpose(g, w, b, output_size=sizes, **options)  # noqa: E731
    expected = optable.brute_conv_input(w, g, geometry, (1, groups, *sizes)) + b.reshape(-1, *(1,) * dims)
    np.testing.assert_allclose(call(g, w, b), expected, atol=ATOL)
    mg.check_gradients(call, g, w, b)


@pytest.mark.parametrize("name", ["valid", "same", "same_lower", "full"])
def test_transposed_convolution_undoes_the_shape_of_a_named_padding(name: str) -> None:
    for size, k, s, d in itertools.product(range(1, 9), range(1, 5), range(1, 4), range(1, 3)):
        x, w = numbers(1, 2, size), numbers(3, 2, k)
        if name == "valid" and size < d * (k - 1) + 1:
            continue
        y = mg.conv1d(x, w, stride=s, dilation=d, padding=name)
        back = mg.conv_transpose1d(y, w, stride=s, dilation=d, padding=name, output_size=size)
        np.testing.assert_allclose(back, mg.conv_input(w, y, x.shape, stride=s, dilation=d, padding=name), atol=ATOL)


def test_lists_are_arrays() -> None:
    assert mg.conv([[[1, 2, 3]]], [[[1, 1]]]).tolist() == [[[3, 5]]]
    assert mg.conv_transpose([[[1, 2]]], [[[1, 1]]], stride=2).tolist() == [[[1, 1, 2, 2]]]
    assert mg.unfold([[[1, 2, 3]]], 2).tolist() == [[[1, 2], [2, 3]]]


def test_a_transposed_convolution_whose_padding_takes_all_that_was_spread() -> None:
    one = np.ones((1, 1, 1))
    assert mg.conv_transpose(one, one, padding=2, output_padding=4, dilation=5).tolist() == [[[0]]]
    y = mg.conv_transpose(np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), padding=3, output_padding=5, dilation=6)
    assert y.shape == (1, 1, 1, 1)
    assert mg.conv_transpose(one, one, output_size=(1,), output_padding=(0,)).tolist() == [[[1]]]


def test_transposed_convolution_by_names() -> None:
    x, w = numbers(1, 1, 5), numbers(1, 1, 3)
    assert mg.conv_transpose1d(x, w, stride=2, padding="same").shape[2] == 10
    assert mg.conv_transpose1d(x, w, stride=4, padding="same").shape[2] == 20  # a kernel shorter than the stride
    assert mg.conv_transpose1d(x, w, padding="full").shape[2] == 3
    assert mg.conv_transpose1d(x, w, padding=((1, 0),)).shape[2] == 6


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2)},
        {"padding": "same", "padding_mode": "reflect"},
        {"padding": 1, "padding_mode": "circular", "flip": True},
    ],
    ids=str,
)
def test_the_matrix_of_a_convolution(options: dict) -> None:
    w, x = numbers(2, 3, 2, 3), numbers(1, 3, 4, 5)
    matrix = mg.conv_matrix(w, (3, 4, 5), **options)
    y = mg.conv(x, w, **options)
    np.testing.assert_allclose(matrix @ x.ravel(), y.ravel(), atol=ATOL)
    if "padding_mode" not in options:
        back = mg.conv_input(w, y, x.shape, **options)
        np.testing.assert_allclose(matrix.T @ y.ravel(), back.ravel(), atol=ATOL)
    table = [[0, 2], [1]]
    links = numbers(3, 2, 3)
    sparse = mg.conv_matrix(links, (3, 4, 5), connections=table, **options)
    np.testing.assert_allclose(sparse @ x.ravel(), mg.conv(x, links, connections=table, **options).ravel(), atol=ATOL)


def test_a_local_convolution_with_one_kernel_everywhere_is_a_convolution() -> None:
    x, w, b = numbers(2, 4, 6, 5), numbers(6, 2, 3, 2), numbers(6)
    options: dict = {"stride": (2, 1), "padding": ((1, 0), (0, 1)), "groups": 2}
    y = mg.conv(x, w, b, **options)
    everywhere = np.broadcast_to(w, (*y.shape[2:], *w.shape))
    np.testing.assert_allclose(mg.conv_local(x, everywhere, b, **options), y, atol=ATOL)


def test_two_convolutions_in_a_row_are_one_of_the_sum_of_their_reaches() -> None:
    x, v, w = numbers(1, 2, 9, 9), numbers(3, 2, 3, 3), numbers(4, 3, 2, 2)
    composed = mg.conv(v.transpose(1, 0, 2, 3), w, padding="full", flip=True).transpose(1, 0, 2, 3)
    assert composed.shape == (4, 2, 4, 4)  # k1 + k2 - 1
    np.testing.assert_allclose(mg.conv(mg.conv(x, v), w), mg.conv(x, composed), atol=1e-9)


# ---- other devices and threads --------------------------------------------------------------------------------------


def test_both_devices_export_the_same_kernels() -> None:
    import inspect

    from minigrad.kernels import cuda

    assert cpu.__all__ == cuda.__all__
    for name in cpu.__all__:
        assert inspect.signature(getattr(cpu, name)) == inspect.signature(getattr(cuda, name)), name


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes_on_the_other_device(mode: str) -> None:
    x, w = numbers(1, 2, 5, 4), numbers(3, 2, 3, 3)
    with fake_cupy.install():
        there = mg.conv2d(mg.tensor(x, device="cuda"), mg.tensor(w, device="cuda"), padding=2, padding_mode=mode)
        assert there.device == "cuda"
        np.testing.assert_allclose(there.to("cpu").numpy(), mg.conv2d(x, w, padding=2, padding_mode=mode), atol=ATOL)


def test_threads_have_a_workspace_each() -> None:
    from concurrent.futures import ThreadPoolExecutor

    x, w = numbers(2, 8, 20, 20), numbers(8, 8, 3, 3)
    inputs = [x * k for k in range(1, 9)]
    expected = [mg.conv(a, w, padding=1) for a in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, exact in zip(pool.map(lambda a: mg.conv(a, w, padding=1), inputs), expected, strict=True):
                np.testing.assert_array_equal(got, exact)


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mg.conv2d(mg.ones((2, 3)), IMAGE), r"conv2d expects x \(N, C, H, W\), got shape \(2, 3\)"),
        (lambda: mg.conv2d(mg.ones((2, 4, 4)), IMAGE), r"got shape \(2, 4, 4\); for a single sample put x\[None\]"),
        (
            lambda: mg.conv(mg.ones((2, 4, 4)), IMAGE),
            r"with as many axes, got x \(2, 4, 4\) and weight \(1, 2, 4",
        ),
        (lambda: mg.conv(IMAGE, mg.ones((1, 2, 0, 3))), "kernel must have at least one element along each axis"),
        (
            lambda: mg.conv2d(IMAGE, mg.ones((4, 3, 3, 3))),
            r"x has 2 channels, but a weight of shape \(4, 3, 3, 3\) with groups=1 expects 3 \* 1 = 3",
        ),
        (
            lambda: mg.conv2d(IMAGE, mg.ones((3, 1, 3, 3)), groups=2),
            "expects 1 .* 2 = 2, and 3 kernels divided into 2 groups",
        ),
        (lambda: mg.conv2d(IMAGE, mg.ones((4, 2, 3, 3)), groups=0), "groups must be an integer of at least 1"),
        (
            lambda: mg.conv2d(IMAGE, mg.ones((4, 2, 3, 3)), mg.ones(3)),
            r"bias must have shape \(4,\), one number for each kernel, got \(3,\)",
        ),
        (
            lambda: mg.conv2d(IMAGE, mg.ones((4, 2, 7, 3)), padding=1),
            r"does not fit on spatial axis 0: input 4 \+ padding 1 \+ 1 is smaller than the window, dilation 1\*",
        ),
        (lambda: mg.conv2d(IMAGE, IMAGE, stride=0), "stride must be an integer of at least 1, or 2 of them, got 0"),
        (lambda: mg.conv2d(IMAGE, IMAGE, stride=-1), "stride must be an integer of at least 1, or 2 of them, got -1"),
        (lambda: mg.conv2d(IMAGE, IMAGE, stride=1.5), "stride must be an integer of at least 1, or 2 of them, got 1.5"),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, dilation=(1, 0)),
            r"dilation must be an integer .* 2 of them, got \(1, 0\)",
        ),
        (lambda: mg.conv2d(IMAGE, IMAGE, padding=(1, 2, 3)), r"one for each of 2 axes, .* got \(1, 2, 3\)"),
        (lambda: mg.conv2d(IMAGE, IMAGE, padding=-1), "padding must be an integer of at least 0, .* got -1"),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, padding=((1, 2), 1)),
            r"pair for each of 2 axes, none .* got \(\(1, 2\), 1\)",
        ),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, padding="some"),
            "must be numbers or one of .*'same_lower'.*, got 'some'",
        ),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, padding_mode="mirror"),
            "_mode must be one of .*'reflect'.* got 'mirror'",
        ),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, padding=((1, 1), (1, -1))),
            r"none of them negative, got \(\(1, 1\), \(1, -1\)\)",
        ),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, padding_mode="constant", padding_value=None),
            "padding_value must be a number that float32 can hold, got None",
        ),
        (
            lambda: mg.conv2d([[[[1, 2]]]], [[[[1]]]], padding_mode="constant", padding_value=1.5),
            "padding_value must be a number that int64 can hold, got 1.5",
        ),
        (lambda: mg.conv2d(IMAGE, IMAGE, connections=[0, 1]), r"connections\[0\] must list the channels .* got 0"),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, connections=[[0.0]]),
            r"connections\[0\] must list the channels .* got \[0.0\]",
        ),
        (lambda: mg.conv_input(IMAGE, IMAGE, 5), "input_shape must be a tuple of integers, got 5"),
        (
            lambda: mg.conv_weight(IMAGE, IMAGE, IMAGE),
            r"weight_shape must be a shape, got an array: pass its .shape, \(1, 2, 4, 4\)",
        ),
        (lambda: mg.conv_weight(IMAGE, IMAGE, (1, 2, -3, 3)), "weight_shape must be an integer of at least 0, or 4 of"),
        (lambda: mg.conv_matrix(IMAGE, (5,)), r"input_shape must be \(C, \*spatial\), got \(5,\)"),
        (lambda: mg.conv2d(IMAGE, IMAGE, connections=[[True, False]]), r"connections\[0\] must list the channels"),
        (lambda: mg.conv_transpose(IMAGE, mg.ones((2, 3))), r"weight \(C, K/groups, \*kernel\) with as many axes"),
        (lambda: mg.channel_sum(mg.ones(3)), r"channel_sum expects g \(N, C, \*spatial\), got shape \(3,\)"),
        (lambda: mg.conv2d(IMAGE, IMAGE, padding_value=3), "padding_value=3 goes with padding_mode='constant'"),
        (
            lambda: mg.conv2d(IMAGE, IMAGE, padding=4, padding_mode="reflect"),
            r"padding \(4, 4\) on spatial axis 0 is wider than an input of 4 can fill: .*'reflect' reaches at most 3",
        ),
        (lambda: mg.conv2d(IMAGE, IMAGE, padding=5, padding_mode="circular"), "'circular' reaches at most 4"),
        (lambda: mg.conv2d(IMAGE, IMAGE, algorithm="fast"), "algorithm must be one of .*'im2col'.* got 'fast'"),
        (
            lambda: mg.conv2d(IMAGE, mg.ones((3, 2, 2)), connections=[[0], [0, 2]]),
            r"connections\[1\] must list the channels that kernel 1 sees, each once, from 0 to 1, got \[0, 2\]",
        ),
        (lambda: mg.conv2d(IMAGE, mg.ones((3, 2, 2)), connections=[[0, 0], [1]]), r"each once, .* got \[0, 0\]"),
        (
            lambda: mg.conv2d(IMAGE, mg.ones((2, 2, 2)), connections=[[0], [0, 1]]),
            r"connections has 3 links, so weight must be \(3, \*kernel\), one kernel a link, got \(2, 2, 2\)",
        ),
        (lambda: mg.conv2d(IMAGE, IMAGE, connections=[[0]], groups=2), "groups must stay 1, got 2"),
        (
            lambda: mg.conv_input(IMAGE, mg.ones((1, 1, 3, 3)), (1, 2, 5, 5)),
            r"for x \(1, 2, 5, 5\) and weight \(1, 2, 4, 4\), \(1, 1, 2, 2\), got \(1, 1, 3, 3\)",
        ),
        (
            lambda: mg.conv_weight(IMAGE, mg.ones((1, 1, 3, 3)), (1, 2, 3, 3)),
            r"g must have the shape that conv gives for x \(1, 2, 4, 4\) .*, \(1, 1, 2, 2\), got \(1, 1, 3, 3\)",
        ),
        (
            lambda: mg.conv_transpose2d(IMAGE, mg.ones((3, 2, 2, 2))),
            r"x has 2 channels and groups=1, but the weight .* is \(C, K/groups, \*kernel\) .* got \(3, 2, 2, 2\)",
        ),
        (
            lambda: mg.conv_transpose2d(IMAGE, IMAGE.reshape(2, 1, 4, 4), stride=2, output_padding=2),
            r"output_padding on spatial axis 0 must be less than max\(stride 2, dilation 1\) = 2, got 2",
        ),
        (
            lambda: mg.conv_transpose2d(IMAGE, mg.ones((2, 1, 3, 3)), stride=2, output_size=(9, 11)),
            r"output_size on spatial axis 1 must be 9 or 10, got 11: \(4 - 1\)\*2 - 0 - 0 \+ 1\*\(3 - 1\) \+ 1 = 9",
        ),
        (
            lambda: mg.conv_transpose2d(IMAGE, mg.ones((2, 1, 3, 3)), output_padding=1, output_size=6),
            "output_padding must stay 0, got 1",
        ),
        (
            lambda: mg.conv_transpose2d(IMAGE, mg.ones((2, 1, 1, 1)), padding=2),
            r"the output is empty on spatial axis 0: \(4 - 1\)\*1 - 2 - 2 \+ 1\*\(1 - 1\) \+ 1 = 0",
        ),
        (
            lambda: mg.conv_local(IMAGE, IMAGE),
            r"weight \(\*out, K, C/groups, \*kernel\), got \(1, 2, 4, 4\) and \(1, 2",
        ),
        (
            lambda: mg.conv_local(IMAGE, mg.ones((2, 3, 1, 2, 3, 3))),
            r"weight must be \(2, 2, K, 2/1, 3, 3\) with K a multiple of groups, got \(2, 3, 1, 2, 3, 3\)",
        ),
        (lambda: mg.conv_matrix(IMAGE, (2, 5, 5), padding_mode="constant"), "adds a number that no matrix can"),
        (lambda: mg.unfold(mg.ones((2, 3)), 2), r"unfold expects x \(N, C, \*spatial\), got shape \(2, 3\)"),
        (
            lambda: mg.fold(mg.ones((1, 4, 5)), (3, 3), 2),
            r"fold to \(3, 3\) with a kernel \(2, 2\) expects columns \(N, C\*4, 4\), got shape \(1, 4, 5\)",
        ),
        (lambda: mg.fold(mg.ones((1, 4, 5)), 3, 2), "output_size must have one size for each spatial axis, got 3"),
    ],
)
def test_message(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_nothing_changes_when_it_fails() -> None:
    x, w = mg.tensor(numbers(1, 2, 4, 4), requires_grad=True), mg.tensor(numbers(1, 3, 3, 3), requires_grad=True)
    before = raw(x).copy(), raw(w).copy()
    with pytest.raises(ValueError, match="channels"):
        mg.conv2d(x, w)
    np.testing.assert_array_equal(raw(x), before[0])
    np.testing.assert_array_equal(raw(w), before[1])
    assert math.prod(x.shape) == before[0].size
