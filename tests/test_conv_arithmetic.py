"""The arithmetic of convolution over all small sizes, against windows that are counted one by one.

Every relationship and every figure of Dumoulin and Visin, A guide to convolution arithmetic for deep learning
(arXiv:1603.07285), with its letters: input i, kernel k, stride s, padding p on both sides, dilation d, output o, and
i', p', o' for the transposed convolution. The relationships that the guide says of p and k hold of all i <= 20, k <= 7,
s <= 4, p < k, d <= 3 here. Nothing in this file computes a size by a formula of minigrad's: a window is put at every
multiple of the stride, and counts if all its taps lie inside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import minigrad as mg

CASES = [
    (i, k, s, p, d)
    for i in range(1, 21)
    for k in range(1, 8)
    for s in range(1, 5)
    for p in range(k)
    for d in range(1, 4)
]


@cache
def count(length: int, k: int, s: int = 1, d: int = 1) -> int:
    """The windows of k taps, d apart, that start at multiples of s and lie inside `length` entries."""
    inside = range(length)
    return sum(all(at + d * tap in inside for tap in range(k)) for at in range(0, length, s))


FITS = [(i, k, s, p, d) for i, k, s, p, d in CASES if count(i + 2 * p, k, s, d)]


def numbers(*shape: int) -> np.ndarray:
    """Small whole numbers, none of them 0: sums of their products are exact, and no tap goes unseen."""
    rng = np.random.default_rng(shape)
    return (rng.integers(1, 5, shape) * rng.choice([-1, 1], shape)).astype("float64")


def stretch(x: np.ndarray, s: int, axes: tuple[int, ...] = (-1,)) -> np.ndarray:
    """s - 1 zeros between the neighbours along each axis."""
    for axis in axes:
        x = np.moveaxis(x, axis, 0)
        rows = [x[0]] if len(x) else []
        for row in x[1:]:
            rows += [np.zeros_like(row)] * (s - 1) + [row]
        x = np.moveaxis(np.array(rows), 0, axis)
    return x


def correlate(x: np.ndarray, w: np.ndarray, low: int = 0, high: int = 0, d: int = 1) -> np.ndarray:
    """NumPy's own correlation of two vectors at unit stride, with zeros around x and between the taps of w."""
    return np.correlate(np.pad(x, (low, high)), stretch(w, d), "valid")


def correlate2d(x: np.ndarray, w: np.ndarray, pads: list, s: tuple, d: tuple, groups: int) -> np.ndarray:
    """x (N, C, H, W) with w (K, C/groups, kH, kW): the window at each place, times the kernel, group by group."""
    x, w = np.pad(x, [(0, 0), (0, 0), *pads]), stretch(stretch(w, d[0], (2,)), d[1], (3,))
    windows = sliding_window_view(x, w.shape[2:], (2, 3))[:, :, :: s[0], :: s[1]]
    parts = zip(np.split(windows, groups, 1), np.split(w, groups), strict=True)
    return np.concatenate([np.einsum("nchwuv,kcuv->nkhw", a, b) for a, b in parts], 1)


def close(got: np.ndarray, expected: np.ndarray, case: object = "") -> None:
    assert got.shape == expected.shape, case
    assert got.size, case
    assert np.abs(got - expected).max() < 1e-10, case


def conv(x: np.ndarray, w: np.ndarray, **options: object) -> np.ndarray:
    return mg.conv1d(x[None, None], w[None, None], **options)[0, 0]


def conv_transpose(y: np.ndarray, w: np.ndarray, **options: object) -> np.ndarray:
    return mg.conv_transpose1d(y[None, None], w[None, None], **options)[0, 0]


# ---- sizes ----------------------------------------------------------------------------------------------------------


def test_the_cases_are_all_there() -> None:
    assert len(CASES) == 20 * (1 + 2 + 3 + 4 + 5 + 6 + 7) * 4 * 3 == 6720
    assert len(FITS) == 4 * sum(i + 2 * p > d * (k - 1) for i, k, s, p, d in CASES if s == 1) == 5240


def test_output_size_counts_the_windows() -> None:
    """Relationship 15, and with it all of the others; a window that does not fit raises."""
    for i, k, s, p, d in CASES:
        options = {"stride": s, "padding": p, "dilation": d}
        if expected := count(i + 2 * p, k, s, d):
            assert mg.output_size(i, k, **options) == expected, (i, k, options)
        else:
            with pytest.raises(ValueError, match="window"):
                mg.output_size(i, k, **options)


# Name: (which i, k, s, p, d it is said of, what it says o is, how many of the cases these are)
RELATIONSHIPS: dict[str, tuple[Callable, Callable, int]] = {
    "R1": (lambda i, k, s, p, d: s == d == 1 and p == 0, lambda i, k, s, p, d: i - k + 1, 119),
    "R2": (lambda i, k, s, p, d: s == d == 1, lambda i, k, s, p, d: i - k + 2 * p + 1, 526),
    "R3": (lambda i, k, s, p, d: s == d == 1 and k == 2 * p + 1, lambda i, k, s, p, d: i, 80),
    "R4": (lambda i, k, s, p, d: s == d == 1 and p == k - 1, lambda i, k, s, p, d: i + k - 1, 140),
    "R5": (lambda i, k, s, p, d: d == 1 and p == 0, lambda i, k, s, p, d: (i - k) // s + 1, 476),
    "R6": (lambda i, k, s, p, d: d == 1, lambda i, k, s, p, d: (i + 2 * p - k) // s + 1, 2104),
    "R15": (
        lambda i, k, s, p, d: True,
        lambda i, k, s, p, d: (i + 2 * p - k - (k - 1) * (d - 1)) // s + 1,
        5240,
    ),
}


@pytest.mark.parametrize("name", RELATIONSHIPS)
def test_relationship_of_convolution(name: str) -> None:
    applies, formula, number = RELATIONSHIPS[name]
    cases = [case for case in FITS if applies(*case)]
    assert len(cases) == number
    for i, k, s, p, d in cases:
        expected = formula(i, k, s, p, d)
        assert count(i + 2 * p, k, s, d) == expected, (name, i, k, s, p, d)
        options = {"stride": s, "padding": p, "dilation": d}
        assert mg.output_size(i, k, **options) == expected, (name, i, k, s, p, d)
        assert conv(np.ones(i), np.ones(k), **options).shape == (expected,), (name, i, k, s, p, d)


@pytest.mark.parametrize("name", ["max_pool1d", "min_pool1d", "avg_pool1d", "lp_pool1d"])
def test_relationship_7_of_pooling(name: str) -> None:
    cases = [(i, k, s) for i, k, s, p, d in FITS if p == 0 and d == 1]
    assert len(cases) == 476
    norm = (2,) if name == "lp_pool1d" else ()
    for i, k, s in cases:
        out = getattr(mg, name)(np.ones((1, 1, i)), *norm, k, stride=s)
        assert out.shape == (1, 1, (i - k) // s + 1) == (1, 1, count(i, k, s)), (i, k, s)


# Name: (which i, k, s, p, how many, o' of i', k, s, p, a, and p' of k, p); all with d = 1
TRANSPOSED: dict[str, tuple[Callable, int, Callable, Callable]] = {
    "R8": (
        lambda i, k, s, p: s == 1 and p == 0,
        119,
        lambda i, k, s, p, a: i + (k - 1),
        lambda k, p: k - 1,
    ),
    "R9": (
        lambda i, k, s, p: s == 1,
        526,
        lambda i, k, s, p, a: i + (k - 1) - 2 * p,
        lambda k, p: k - p - 1,
    ),
    "R10": (
        lambda i, k, s, p: s == 1 and k == 2 * p + 1,
        80,
        lambda i, k, s, p, a: i,
        lambda k, p: p,
    ),
    "R11": (
        lambda i, k, s, p: s == 1 and p == k - 1,
        140,
        lambda i, k, s, p, a: i - (k - 1),
        lambda k, p: 0,
    ),
    "R12": (
        lambda i, k, s, p: p == 0 and (i - k) % s == 0,
        254,
        lambda i, k, s, p, a: s * (i - 1) + k,
        lambda k, p: k - 1,
    ),
    "R13": (
        lambda i, k, s, p: (i + 2 * p - k) % s == 0,
        1108,
        lambda i, k, s, p, a: s * (i - 1) + k - 2 * p,
        lambda k, p: k - p - 1,
    ),
    "R14": (
        lambda i, k, s, p: True,
        2104,
        lambda i, k, s, p, a: s * (i - 1) + a + k - 2 * p,
        lambda k, p: k - p - 1,
    ),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_relationship_of_transposed_convolution(name: str) -> None:
    """o' is the size of the associated convolution's input, and of the direct convolution over the stretched i'."""
    applies, number, formula, pad = TRANSPOSED[name]
    cases = [(i, k, s, p) for i, k, s, p, d in FITS if d == 1 and applies(i, k, s, p)]
    assert len(cases) == number
    for i, k, s, p in cases:
        small, a = count(i + 2 * p, k, s), (i + 2 * p - k) % s
        assert name == "R14" or a == 0
        expected = formula(small, k, s, p, a)
        assert expected == i, (name, i, k, s, p)
        stretched = stretch(np.ones(small), s)
        assert stretched.size == small + (small - 1) * (s - 1)
        assert count(stretched.size + 2 * pad(k, p) + a, k) == expected, (name, i, k, s, p)
        out = conv_transpose(np.ones(small), np.ones(k), stride=s, padding=p, output_padding=a)
        assert out.shape == (expected,), (name, i, k, s, p)


def test_several_axes_at_once() -> None:
    sizes, kernel, stride, padding, dilation = (7, 20, 9), (3, 5, 2), (2, 3, 1), (1, 0, 1), (1, 2, 3)
    expected = tuple(
        count(i + 2 * p, k, s, d) for i, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    assert mg.output_size(sizes, kernel, **options) == expected
    assert mg.conv3d(np.ones((1, 1, *sizes)), np.ones((1, 1, *kernel)), **options).shape[2:] == expected
    assert mg.output_size(sizes, 3, stride=2, padding=1) == tuple(count(i + 2, 3, 2) for i in sizes)
    pairs = ((0, 1), (2, 0), (1, 3))
    expected = tuple(count(i + sum(pair), 3, 2) for i, pair in zip(sizes, pairs, strict=True))
    assert mg.output_size(sizes, 3, stride=2, padding=pairs) == expected


# ---- figures --------------------------------------------------------------------------------------------------------

FIGURES = {  # i, k, s, p, d, and what the figure shows: o
    "no_padding_no_strides": (4, 3, 1, 0, 1, 2),
    "arbitrary_padding_no_strides": (5, 4, 1, 2, 1, 6),
    "same_padding_no_strides": (5, 3, 1, 1, 1, 5),
    "full_padding_no_strides": (5, 3, 1, 2, 1, 7),
    "no_padding_strides": (5, 3, 2, 0, 1, 2),
    "padding_strides": (5, 3, 2, 1, 1, 3),
    "padding_strides_odd": (6, 3, 2, 1, 1, 3),
    "dilation": (7, 3, 1, 0, 2, 3),
    "numerical_no_padding_no_strides": (5, 3, 1, 0, 1, 3),
    "numerical_padding_strides": (5, 3, 2, 1, 1, 3),
}
FIGURES_TRANSPOSED = {  # i', k, s, p, a, and what the figure shows: the stretched input, its border p', and o'
    "no_padding_no_strides_transposed": (2, 3, 1, 0, 0, 2, 2, 4),
    "arbitrary_padding_no_strides_transposed": (6, 4, 1, 2, 0, 6, 1, 5),
    "same_padding_no_strides_transposed": (5, 3, 1, 1, 0, 5, 1, 5),
    "full_padding_no_strides_transposed": (7, 3, 1, 2, 0, 7, 0, 5),
    "no_padding_strides_transposed": (2, 3, 2, 0, 0, 3, 2, 5),
    "padding_strides_transposed": (3, 3, 2, 1, 0, 5, 1, 5),
    "padding_strides_odd_transposed": (3, 3, 2, 1, 1, 5, 1, 6),  # its caption says a 2 x 2 input, i' and the figure 3
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure(name: str) -> None:
    i, k, s, p, d, o = FIGURES[name]
    x, w = numbers(1, 1, i, i), numbers(1, 1, k, k)
    out = mg.conv2d(x, w, stride=s, padding=p, dilation=d)
    assert out.shape == (1, 1, o, o)
    close(out, correlate2d(x, w, [(p, p)] * 2, (s, s), (d, d), 1))
    assert mg.output_size(i, k, stride=s, padding=p, dilation=d) == o
    assert mg.unread(i, k, stride=s, padding=p, dilation=d) == (name == "padding_strides_odd")


@pytest.mark.parametrize("name", FIGURES_TRANSPOSED)
def test_figure_of_a_transposed_convolution(name: str) -> None:
    i, k, s, p, a, stretched, border, o = FIGURES_TRANSPOSED[name]
    y, w = numbers(1, 1, i, i), numbers(1, 1, k, k)
    out = mg.conv_transpose2d(y, w, stride=s, padding=p, output_padding=a)
    assert out.shape == (1, 1, o, o)
    z = stretch(y, s, (2, 3))
    assert z.shape == (1, 1, stretched, stretched)
    close(out, correlate2d(z, w[:, :, ::-1, ::-1], [(border, border + a)] * 2, (1, 1), (1, 1), 1))
    np.testing.assert_array_equal(mg.conv_transpose2d(y, w, stride=s, padding=p, output_size=(o, o)), out)


IMAGE = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
KERNEL = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]


def test_figures_with_numbers() -> None:
    """As printed there: the averages to one decimal."""
    x, w = np.array([[IMAGE]], "float64"), np.array([[KERNEL]], "float64")
    close(mg.conv2d(x, w)[0, 0], np.array([[12, 12, 17], [10, 17, 19], [9, 6, 14]]))
    close(mg.conv2d(x, w, stride=2, padding=1)[0, 0], np.array([[6, 17, 3], [8, 17, 13], [6, 4, 4]]))
    averages = [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]]
    np.testing.assert_array_equal(mg.avg_pool2d(x, 3, stride=1)[0, 0].round(1), averages)
    np.testing.assert_array_equal(mg.max_pool2d(x, 3, stride=1)[0, 0], [[3, 3, 3], [3, 3, 3], [3, 2, 3]])


# ---- values ---------------------------------------------------------------------------------------------------------


def test_values_of_every_case_in_one_dimension() -> None:
    """Four properties of each case, with zeros inserted and kernels flipped by NumPy."""
    for i, k, s, p, d in FITS:
        case = i, k, s, p, d
        x, w = numbers(i), numbers(k)
        options = {"stride": s, "padding": p, "dilation": d}
        out = conv(x, w, **options)
        unit = correlate(x, w, p, p, d)
        close(out, unit[::s], case)
        close(conv(x, w, padding=p, dilation=d)[::s], out, case)  # a stride is a unit stride, subsampled
        y, reach = numbers(len(out), 1)[:, 0], d * (k - 1)
        a = i + 2 * p - reach - 1 - s * (len(out) - 1)
        back = conv_transpose(y, w, output_padding=a, **options)
        assert back.shape == x.shape, case
        close(back, correlate(stretch(y, s), w[::-1], reach - p, reach - p + a, d), case)
        assert abs(np.vdot(out, y) - np.vdot(x, back)) < 1e-9, case
        if i > a:  # without output_padding, the part that the convolution reads; it may read nothing but padding
            close(conv_transpose(y, w, **options), back[: i - a], case)


def test_values_in_two_dimensions() -> None:
    """The same of 3000 pairs of cases, one for each axis, with channels, groups and every algorithm."""
    rng = np.random.default_rng(0)
    pairs = rng.choice(len(FITS), (3000, 2))
    assert len({tuple(pair) for pair in pairs}) > 2990
    for number, pair in enumerate(pairs):
        i, k, s, p, d = zip(*(FITS[j] for j in pair), strict=True)
        groups, algorithm = 1 + number % 2, ("auto", "im2col", "direct")[number % 3]
        case = i, k, s, p, d, groups, algorithm
        x, w = numbers(2, 2 * groups, *i), numbers(3 * groups, 2, *k)
        options = {"stride": s, "padding": p, "dilation": d, "groups": groups}
        out = mg.conv2d(x, w, algorithm=algorithm, **options)
        pads = [(q, q) for q in p]
        close(out, correlate2d(x, w, pads, s, d, groups), case)
        unit = mg.conv2d(x, w, algorithm=algorithm, **(options | {"stride": 1}))
        close(unit[:, :, :: s[0], :: s[1]], out, case)
        y, reach = numbers(*out.shape), [b * (c - 1) for b, c in zip(d, k, strict=True)]
        a = [i[j] + 2 * p[j] - reach[j] - 1 - s[j] * (out.shape[2 + j] - 1) for j in (0, 1)]
        back = mg.conv_transpose2d(y, w, output_padding=tuple(a), **options)
        assert back.shape == x.shape, case
        mirrored = np.concatenate([part.swapaxes(0, 1) for part in np.split(w, groups)])[:, :, ::-1, ::-1]
        borders = [(reach[j] - p[j], reach[j] - p[j] + a[j]) for j in (0, 1)]
        stretched = stretch(stretch(y, s[0], (2,)), s[1], (3,))
        close(back, correlate2d(stretched, mirrored, borders, (1, 1), d, groups), case)
        assert abs(np.vdot(out, y) - np.vdot(x, back)) < 1e-8, case


def test_a_stride_in_two_dimensions_is_a_unit_stride_subsampled() -> None:
    """The guide's figure of it: of the 3 x 3 places of a 3 x 3 kernel over 5 x 5, a stride of 2 keeps the corners."""
    x, w = numbers(1, 1, 5, 5), numbers(1, 1, 3, 3)
    np.testing.assert_array_equal(mg.conv2d(x, w, stride=2), mg.conv2d(x, w)[:, :, ::2, ::2])


# ---- rounding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "o"), [((7, 3, 1, 0), 5), ((7, 3, 2, 0), 3), ((5, 3, 1, 1), 5), ((5, 3, 2, 1), 3)])
def test_cs231n_cases_that_fit(case: tuple[int, ...], o: int) -> None:
    """(W, F, S, P) of the notes' formula (W - F + 2P)/S + 1."""
    i, k, s, p = case
    for rounding in ("floor", "ceil", "exact"):
        assert mg.output_size(i, k, stride=s, padding=p, rounding=rounding) == o
    assert mg.unread(i, k, stride=s, padding=p) == 0


@pytest.mark.parametrize(
    ("case", "floor", "ceil", "message"),
    [
        ((10, 3, 2, 0), 4, 5, r"\(10 - 3\)/2 \+ 1 = 4\.5"),
        ((5, 3, 3, 1), 2, 2, r"/3 \+ 1 = 2\.33"),  # a third window would start in the padding on the right
        ((224, 11, 4, 0), 54, 55, r"\(224 - 11\)/4 \+ 1 = 54\.25"),  # AlexNet's first layer as the paper prints it
    ],
)
def test_cs231n_cases_that_do_not_fit(case: tuple[int, ...], floor: int, ceil: int, message: str) -> None:
    i, k, s, p = case
    assert mg.output_size(i, k, stride=s, padding=p) == floor
    assert mg.output_size(i, k, stride=s, padding=p, rounding="ceil") == ceil
    assert mg.unread(i, k, stride=s, padding=p) == 1
    with pytest.raises(ValueError, match=message):
        mg.output_size(i, k, stride=s, padding=p, rounding="exact")


def test_exact_fit() -> None:
    """It is exact when the last window ends where the padded input does, and then every rounding agrees."""
    exact = 0
    for i, k, s, p, d in FITS:
        options = {"stride": s, "padding": p, "dilation": d}
        o = count(i + 2 * p, k, s, d)
        if s * (o - 1) + d * (k - 1) + 1 == i + 2 * p:
            exact += 1
            assert mg.output_size(i, k, rounding="exact", **options) == o, (i, k, options)
            assert mg.output_size(i, k, rounding="ceil", **options) == o, (i, k, options)
        else:
            with pytest.raises(ValueError, match=rf"/{s} \+ 1 = {o}\.\d"):
                mg.output_size(i, k, rounding="exact", **options)
    assert exact == 2782


def unread_entries(i: int, k: int, s: int, p: int, d: int) -> int:
    """The entries of the padded input behind the last one that a window reads."""
    read = [at + d * (k - 1) for at in range(0, i + 2 * p, s) if at + d * (k - 1) < i + 2 * p]
    return i + 2 * p - 1 - max(read)


def test_unread() -> None:
    """What floor leaves out has no gradient, and the entry before it has one."""
    left_out = 0
    for i, k, s, p, d in FITS:
        options = {"stride": s, "padding": p, "dilation": d}
        unread = unread_entries(i, k, s, p, d)
        assert mg.unread(i, k, **options) == unread, (i, k, options)
        of_input = unread - p  # the padding comes last
        if of_input > 0:
            left_out += 1
            g = np.ones((1, 1, count(i + 2 * p, k, s, d)))
            slope = mg.conv_input(np.ones((1, 1, k)), g, (1, 1, i), **options)[0, 0]
            assert not slope[i - of_input :].any(), (i, k, options)
            if of_input < i:
                assert slope[i - of_input - 1] > 0, (i, k, options)
    assert left_out == 813
    assert mg.unread((10, 7), 3, stride=2) == (1, 0)
    with pytest.raises(ValueError, match="window"):
        mg.unread(3, 5)


def count_ceil(i: int, k: int, s: int, p: int, d: int) -> int:
    """The windows placed until one reaches the end, except those that start in the padding on the right."""
    o = 0
    while s * (o - 1) + d * (k - 1) + 1 < i + 2 * p and s * o < i + p:
        o += 1
    return o


def test_ceil_counts_the_windows_that_start_inside() -> None:
    more = dropped = 0
    for i, k, s, p, d in FITS:
        options = {"stride": s, "padding": p, "dilation": d}
        o = count_ceil(i, k, s, p, d)
        assert mg.output_size(i, k, rounding="ceil", **options) == o, (i, k, options)
        more += o > count(i + 2 * p, k, s, d)
        dropped += o < -(-(i + 2 * p - d * (k - 1) - 1) // s) + 1
        if p <= k // 2 and d == 1:
            for name in ("max_pool1d", "min_pool1d", "avg_pool1d"):
                out = getattr(mg, name)(np.ones((1, 1, i)), k, stride=s, padding=p, ceil_mode=True)
                assert out.shape == (1, 1, o), (name, i, k, options)
    assert (more, dropped) == (1957, 501)  # both halves of the rule are at work


@pytest.mark.parity
def test_ceil_is_pytorchs() -> None:
    """Where PyTorch takes the padding, at most half of the kernel; windows larger than the padded input included."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here: `make parity` installs it")
    compared = larger = 0
    for i, k, s, p, d in CASES:
        if p > k // 2:
            continue
        options = {"stride": s, "padding": p, "dilation": d}
        pool = lambda: torch.nn.functional.max_pool1d(torch.zeros(1, 1, i), k, ceil_mode=True, **options)  # noqa: B023, E731
        if count_ceil(i, k, s, p, d) == 0:
            with pytest.raises(RuntimeError, match="output size"):
                pool()
            with pytest.raises(ValueError, match="window"):
                mg.output_size(i, k, rounding="ceil", **options)
            continue
        compared, larger, theirs = compared + 1, larger + (not count(i + 2 * p, k, s, d)), pool()
        assert mg.output_size(i, k, rounding="ceil", **options) == theirs.shape[2], (i, k, options)
        if not theirs.isinf().any():  # no window sees only padding
            out = mg.max_pool1d(np.zeros((1, 1, i)), k, ceil_mode=True, **options)
            assert out.shape == theirs.shape, (i, k, options)
    assert (compared, larger) == (3588, 264)


@pytest.mark.parametrize("rounding", ["up", "", None])
def test_other_roundings_are_refused(rounding: object) -> None:
    with pytest.raises(ValueError, match="rounding"):
        mg.output_size(10, 3, rounding=rounding)


# ---- padding by name ------------------------------------------------------------------------------------------------


def same(i: int, k: int, s: int, d: int) -> tuple[int, int]:
    """The least padding with which ceil(i/s) windows fit, the odd one at the end."""
    total = next(t for t in range(30) if count(i + t, k, s, d) == -(-i // s))
    return total // 2, total - total // 2


BY_NAME: dict[str, Callable] = {
    "same": same,
    "same_lower": lambda i, k, s, d: same(i, k, s, d)[::-1],
    "full": lambda i, k, s, d: (d * (k - 1), d * (k - 1)),
    "valid": lambda i, k, s, d: (0, 0),
}


@pytest.mark.parametrize(("name", "number"), [("same", 1680), ("same_lower", 1680), ("full", 1680), ("valid", 1176)])
def test_padding_by_name(name: str, number: int) -> None:
    cases = [(i, k, s, d) for i, k, s, p, d in CASES if p == 0]
    cases = [(i, k, s, d) for i, k, s, d in cases if count(i + sum(BY_NAME[name](i, k, s, d)), k, s, d)]
    assert len(cases) == number
    for i, k, s, d in cases:
        low, high = BY_NAME[name](i, k, s, d)
        x, w = numbers(i), numbers(k)
        out = conv(x, w, stride=s, dilation=d, padding=name)
        close(out, correlate(x, w, low, high, d)[::s], (i, k, s, d))
        if name.startswith("same"):
            assert out.shape == (-(-i // s),)
        if name == "full" and s == d == 1:
            close(out, np.convolve(x, w[::-1], "full"), (i, k))


@pytest.mark.parametrize(
    ("case", "o", "pair", "fixed"),
    [
        ((224, 7, 2), 112, (2, 3), (3, 3)),
        ((5, 3, 2), 3, (1, 1), (1, 1)),
        ((6, 3, 2), 3, (0, 1), (1, 1)),
        ((7, 2, 2), 4, (0, 1), None),
        ((10, 4, 3), 4, (1, 2), None),
    ],
)
def test_strided_same(case: tuple[int, ...], o: int, pair: tuple[int, int], fixed: tuple[int, int] | None) -> None:
    """The padding depends on the input: the fixed scheme of PyTorch's layers has the size, but sees other pixels."""
    i, k, s = case
    x, w = numbers(i), numbers(k)
    out = conv(x, w, stride=s, padding="same")
    assert out.shape == (o,)
    close(out, correlate(x, w, *pair)[::s])
    close(out, conv(x, w, stride=s, padding=(pair,)))
    close(conv(x, w, stride=s, padding="same_lower"), correlate(x, w, *pair[::-1])[::s])
    assert mg.output_size((i,), k, stride=s, padding=(pair,)) == (o,)
    if fixed is not None:
        other = conv(x, w, stride=s, padding=fixed[:1])
        assert other.shape == (o,)
        assert np.array_equal(other, out) == (fixed == pair)


def test_padding_by_name_in_two_dimensions() -> None:
    """Each axis has its own padding, and the odd pixel is at its end."""
    x, w = numbers(2, 2, 10, 7), numbers(3, 2, 4, 3)
    s, d = (3, 2), (1, 2)
    for name, find in BY_NAME.items():
        pads = [find(10, 4, 3, 1), find(7, 3, 2, 2)]
        close(mg.conv2d(x, w, stride=s, dilation=d, padding=name), correlate2d(x, w, pads, s, d, 1), name)
