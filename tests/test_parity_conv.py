"""Convolution and pooling against PyTorch: every option it has, in 1, 2 and 3 dimensions; values, indices, gradients.

Two results agree if they differ by a few units of the dtype's rounding, relative to the largest number among them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigrad as mg
from tests.optable import distinct

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", reason="PyTorch is the oracle here: `make parity` installs it")
F = torch.nn.functional

dims = pytest.mark.parametrize("n", [1, 2, 3])
SIZES, KERNEL = {1: (11,), 2: (9, 8), 3: (6, 7, 5)}, {1: (3,), 2: (3, 2), 3: (2, 3, 2)}


def rand(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def close(ours: mg.Tensor, theirs: Any, units: float = 32.0) -> None:
    got, expected = ours.detach().numpy(), theirs.detach().numpy()
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=units * np.finfo(got.dtype).eps * largest)


def agree(ours: Callable, theirs: Callable, *arrays: np.ndarray, order: int = 2, dtypes: tuple = (8, 4)) -> None:
    """Values, the indices of a pair exactly, and gradients; of order 2 also of the gradients, by inputs and seed.

    None, for an input that the result does not depend on, is 0.
    """
    for dtype in (f"f{size}" for size in dtypes):
        inputs = [mg.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        others = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        outputs, expected = ours(*inputs), theirs(*others)
        if isinstance(expected, tuple):
            indices, their_indices = outputs[1], expected[1]
            np.testing.assert_array_equal(indices.numpy(), their_indices.numpy())
            outputs, expected = outputs[0], expected[0]
        close(outputs, expected)
        outputs, expected = [outputs], [expected]
        for step in range(order):
            seeds = [rand(*y.shape, seed=step + 1).astype(dtype) for y in expected]
            ours_in = [mg.tensor(a, requires_grad=True) for a in seeds]
            theirs_in = [torch.tensor(a, requires_grad=True) for a in seeds]
            outputs = mg.grad(outputs, inputs, ours_in, create_graph=True, allow_unused=True)
            expected = torch.autograd.grad(expected, others, theirs_in, create_graph=True, allow_unused=True)
            for x, g, h in zip(others, outputs, expected, strict=True):
                zero = torch.zeros_like(x)
                close(mg.tensor(zero.numpy()) if g is None else g, zero if h is None else h)
            inputs, others = inputs + ours_in, others + theirs_in


def named(name: str, n: int) -> tuple[Callable, Callable]:
    """Ours and theirs: `conv_transpose2d` and `F.conv_transpose2d`."""
    return getattr(mg, f"{name}{n}d"), getattr(F, f"{name}{n}d")


# ---- convolution ----------------------------------------------------------------------------------------------------

CONV = {
    "plain": {},
    "stride": {"stride": 2},
    "strides": {"stride": (2, 1, 3)},
    "padding": {"padding": 1},
    "paddings": {"padding": (2, 0, 1)},
    "wider padding than kernel": {"padding": 4},
    "valid": {"padding": "valid", "stride": 2},
    "same": {"padding": "same"},
    "same, dilated": {"padding": "same", "dilation": (1, 2, 3)},
    "dilation": {"dilation": 2},
    "dilations": {"dilation": (2, 1, 3), "padding": 1},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4},
    "all": {"stride": (1, 2, 2), "padding": (1, 2, 0), "dilation": (2, 1, 2), "groups": 2},
}


def cut(options: dict, n: int) -> dict:
    """The same options for n axes."""
    return {key: value[:n] if isinstance(value, tuple) else value for key, value in options.items()}


def conv_inputs(n: int, groups: int, channels: int = 4, kernels: int = 8) -> tuple[np.ndarray, ...]:
    """With groups=4 this is depthwise convolution with a multiplier of 2."""
    return rand(2, channels, *SIZES[n]), rand(kernels, channels // groups, *KERNEL[n]), rand(kernels)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # PyTorch copies the input
@dims
@pytest.mark.parametrize("case", CONV)
def test_conv(case: str, n: int) -> None:
    options, (ours, theirs) = cut(CONV[case], n), named("conv", n)
    x, w, b = conv_inputs(n, options.get("groups", 1))
    agree(lambda x, w, b: ours(x, w, b, **options), lambda x, w, b: theirs(x, w, b, **options), x, w, b)
    agree(lambda x, w: mg.conv(x, w, **options), lambda x, w: theirs(x, w, **options), x, w, order=1)


@st.composite
def convolutions(draw: st.DrawFn, n: int) -> tuple[tuple, tuple, dict, int]:
    """Spatial sizes, kernel, options and kernels per group of a convolution whose window fits."""
    each = lambda least, most: tuple(draw(st.integers(least, most)) for _ in range(n))  # noqa: E731
    kernel, stride, padding, dilation, more = each(1, 3), each(1, 3), each(0, 3), each(1, 3), each(0, 4)
    least = (max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True))
    sizes = tuple(low + extra for low, extra in zip(least, more, strict=True))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": draw(st.integers(1, 3))}
    return sizes, kernel, options, draw(st.integers(1, 3))


@dims
@settings(max_examples=50)
@given(data=st.data())
def test_drawn_conv(n: int, data: st.DataObject) -> None:
    sizes, kernel, options, multiplier = data.draw(convolutions(n))
    groups, channels = options["groups"], data.draw(st.integers(1, 2))
    ours, theirs = named("conv", n)
    x, w = rand(data.draw(st.integers(1, 3)), groups * channels, *sizes), rand(groups * multiplier, channels, *kernel)
    agree(lambda x, w: ours(x, w, **options), lambda x, w: theirs(x, w, **options), x, w, dtypes=(8,))


MODES = ["zeros", "reflect", "replicate", "circular"]


@pytest.mark.parametrize("options", [{"padding": 2}, {"padding": (1, 2, 1), "stride": 2}, {"padding": "same"}], ids=str)
@pytest.mark.parametrize("mode", MODES)
@dims
def test_padding_modes_of_the_layers(n: int, mode: str, options: dict) -> None:
    options = cut(options, n) | {"dilation": 2, "groups": 2, "padding_mode": mode}
    x, w, b = conv_inputs(n, 2)
    layer = getattr(torch.nn, f"Conv{n}d")(4, 8, KERNEL[n], **options)
    theirs = lambda x, w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, x)  # noqa: E731
    ours, _ = named("conv", n)
    agree(lambda x, w, b: ours(x, w, b, **options), theirs, x, w, b)


@pytest.mark.parametrize("mode", [*MODES, "constant"])
@dims
def test_padding_modes_with_a_pair_for_each_axis(n: int, mode: str) -> None:
    """Padding that differs from side to side, which PyTorch has in `torch.nn.functional.pad` alone."""
    pairs = ((0, 3), (2, 1), (1, 0))[:n]
    flat = [p for pair in pairs[::-1] for p in pair]  # PyTorch's order: the last axis first
    value = 1.5 if mode == "constant" else 0.0
    more = {"value": value} if mode == "constant" else {}
    x, w, b = conv_inputs(n, 1)
    ours, conv = named("conv", n)
    agree(
        lambda x, w, b: ours(x, w, b, stride=2, padding=pairs, padding_mode=mode, padding_value=value),
        lambda x, w, b: conv(F.pad(x, flat, mode=mode.replace("zeros", "constant"), **more), w, b, stride=2),
        *(x, w, b),
    )


@pytest.mark.parametrize(("mode", "widest"), [("reflect", 4), ("circular", 5), ("replicate", 12)])
@dims
def test_the_widest_padding_of_each_mode(n: int, mode: str, widest: int) -> None:
    """An input of 5 has 4 elements to mirror at either end, and 5 to go round; replicate has no limit."""
    x, w = rand(1, 1, 5, *(6, 7)[: n - 1]), rand(2, 1, *(3,) * n)
    ours, conv = named("conv", n)
    pad = lambda x, p: F.pad(x, [0, 0] * (n - 1) + [p, p], mode=mode)  # noqa: E731
    only = lambda p: {"padding": (p, *(0,) * (n - 1)), "padding_mode": mode}  # noqa: E731
    agree(lambda x, w: ours(x, w, **only(widest)), lambda x, w: conv(pad(x, widest), w), x, w)
    if mode != "replicate":
        with pytest.raises(RuntimeError, match=r"[Pp]adding"):
            pad(torch.tensor(x), widest + 1)
        with pytest.raises(ValueError, match="padding"):
            ours(x, w, **only(widest + 1))


@dims
def test_an_empty_batch(n: int) -> None:
    """Of no samples: results with no elements, and a gradient of 0 for the weights."""
    x, w, v = rand(0, 4, *SIZES[n]), rand(6, 4, *KERNEL[n]), rand(4, 6, *KERNEL[n])
    options = {"stride": 2, "padding": 1}
    for name, weight in (("conv", w), ("conv_transpose", v)):
        ours, theirs = named(name, n)
        agree(lambda x, w: ours(x, w, **options), lambda x, w: theirs(x, w, **options), x, weight, order=1)  # noqa: B023
    for name in ("max_pool", "avg_pool"):
        ours, theirs = named(name, n)
        agree(lambda x: ours(x, 3, **options), lambda x: theirs(x, 3, **options), x, order=1)  # noqa: B023


# ---- transposed convolution -----------------------------------------------------------------------------------------

TRANSPOSED = {
    "plain": {},
    "stride": {"stride": 3},
    "strides, padding": {"stride": (2, 1, 3), "padding": 1},
    "paddings": {"stride": 2, "padding": (2, 0, 1)},
    "output_padding": {"stride": 3, "output_padding": 2, "padding": 1},
    "output_paddings": {"stride": (3, 1, 2), "output_padding": (2, 0, 1)},
    "dilation": {"dilation": 2, "padding": (2, 1, 0)},
    "dilations, strides": {"dilation": (2, 1, 3), "stride": (2, 2, 1)},
    "more output_padding than stride": {"stride": (1, 2, 1), "dilation": (3, 4, 2), "output_padding": (2, 3, 1)},
    "groups": {"groups": 2, "stride": 2},
    "depthwise": {"groups": 4, "padding": 1},
    "all": {"stride": 2, "padding": 1, "output_padding": (1, 0, 1), "dilation": (1, 3, 2), "groups": 2},
}


def transposed_inputs(n: int, groups: int) -> tuple[np.ndarray, ...]:
    return rand(2, 4, *SIZES[n]), rand(4, 8 // groups, *KERNEL[n]), rand(8)


@dims
@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose(case: str, n: int) -> None:
    options, (ours, theirs) = cut(TRANSPOSED[case], n), named("conv_transpose", n)
    x, w, b = transposed_inputs(n, options.get("groups", 1))
    agree(lambda x, w, b: ours(x, w, b, **options), lambda x, w, b: theirs(x, w, b, **options), x, w, b)
    agree(lambda x, w: mg.conv_transpose(x, w, **options), lambda x, w: theirs(x, w, **options), x, w, order=1)


@dims
@settings(max_examples=50)
@given(data=st.data())
def test_drawn_conv_transpose(n: int, data: st.DataObject) -> None:
    _, kernel, options, multiplier = data.draw(convolutions(n))
    stride, padding, dilation, groups = (options[key] for key in ("stride", "padding", "dilation", "groups"))
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    sizes = tuple(data.draw(st.integers(1, 4)) for _ in range(n))
    geometry = zip(sizes, kernel, stride, padding, dilation, extra, strict=True)
    assume(all((i - 1) * s + d * (k - 1) + 1 - 2 * p + a > 0 for i, k, s, p, d, a in geometry))
    options["output_padding"] = extra
    channels = data.draw(st.integers(1, 2))
    ours, theirs = named("conv_transpose", n)
    x, w = rand(2, groups * channels, *sizes), rand(groups * channels, multiplier, *kernel)
    agree(lambda x, w: ours(x, w, **options), lambda x, w: theirs(x, w, **options), x, w, dtypes=(8,))


@dims
def test_output_size_of_conv_transpose(n: int) -> None:
    """Every size that PyTorch's layer can reach, and the two next to them, which neither takes."""
    options = {"stride": 3, "padding": 1, "dilation": 2, "groups": 2}
    x, w, b = transposed_inputs(n, 2)
    x = x[(slice(1), slice(None), *[slice(3)] * n)]
    layer = getattr(torch.nn, f"ConvTranspose{n}d")(4, 8, KERNEL[n], **options)
    ours, _ = named("conv_transpose", n)
    least = [(i - 1) * 3 - 2 + 2 * (k - 1) + 1 for i, k in zip(x.shape[2:], KERNEL[n], strict=True)]
    for extra in itertools.product((0, 1, 2), repeat=n):
        size = tuple(low + a for low, a in zip(least, extra, strict=True))
        agree(
            lambda x, w, b, size=size: ours(x, w, b, output_size=size, **options),
            lambda x, w, b, size=size: torch.func.functional_call(layer, {"weight": w, "bias": b}, (x, list(size))),
            *(x, w, b),
            order=1 if sum(extra) == 2 else 0,
        )
    for off in (-1, 3):
        size = [low + off for low in least]
        with pytest.raises(ValueError, match="output size"):
            layer(torch.zeros(x.shape), size)
        with pytest.raises(ValueError, match="output_size"):
            ours(x, w, b, output_size=tuple(size), **options)


# ---- max and min pooling --------------------------------------------------------------------------------------------

MAX = {
    "plain": {},
    "stride": {"stride": 1},
    "strides, padding": {"stride": (2, 1, 3), "padding": 1},
    "paddings": {"padding": (1, 0, 1)},
    "dilation": {"dilation": 2, "stride": 1},
    "dilations, padding": {"dilation": (1, 2, 2), "stride": 2, "padding": 1},
    "ceil": {"stride": 3, "ceil_mode": True},
    "ceil, padding": {"stride": 2, "padding": 1, "ceil_mode": True},
    "ceil, all": {"stride": (3, 2, 2), "padding": (1, 1, 0), "dilation": (2, 1, 2), "ceil_mode": True},
}


def pool_kernel(n: int) -> tuple[int, ...]:
    return (3, 2, 2)[:n]


@dims
@pytest.mark.parametrize("case", MAX)
def test_max_pool(case: str, n: int) -> None:
    options, (ours, theirs), k = cut(MAX[case], n), named("max_pool", n), pool_kernel(n)
    ties = np.random.default_rng(n).integers(0, 3, (2, 3, *SIZES[n])) - 1.0
    for x in (rand(2, 3, *SIZES[n]), ties):
        agree(lambda x: ours(x, k, **options), lambda x: theirs(x, k, **options), x)
        indexed = options | {"return_indices": True}
        agree(lambda x: mg.max_pool(x, k, **indexed), lambda x: theirs(x, k, **indexed), x)  # noqa: B023


@dims
@pytest.mark.parametrize("case", MAX)
def test_min_pool_is_max_pool_of_the_negative(case: str, n: int) -> None:
    """PyTorch has no min pooling; its ties and indices are those of max pooling."""
    options, (_, theirs), k = cut(MAX[case], n) | {"return_indices": True}, named("max_pool", n), pool_kernel(n)
    ours = getattr(mg, f"min_pool{n}d")

    def negative(x: Any) -> tuple:
        y, indices = theirs(-x, k, **options)
        return -y, indices

    ties = np.random.default_rng(n).integers(0, 3, (2, 3, *SIZES[n])) - 1.0
    for x in (rand(2, 3, *SIZES[n]), ties):
        agree(lambda x: ours(x, k, **options), negative, x)


@st.composite
def pools(draw: st.DrawFn, n: int, *, dilated: bool) -> tuple[tuple, tuple, dict]:
    """Spatial sizes, kernel and options, within what PyTorch takes."""
    each = lambda least, most: tuple(draw(st.integers(least, most)) for _ in range(n))  # noqa: E731
    kernel, stride, more = each(1, 4), each(1, 5), each(0, 5)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = each(1, 3 if dilated else 1)
    least = (max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True))
    if n == 3 and not dilated:
        least = kernel  # PyTorch's avg_pool3d, alone of the six, wants this much input without the padding
    sizes = tuple(low + extra for low, extra in zip(least, more, strict=True))
    options = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return sizes, kernel, options | ({"dilation": dilation} if dilated else {})


@dims
@settings(max_examples=60)
@given(data=st.data())
def test_drawn_max_pool(n: int, data: st.DataObject) -> None:
    """Many ties; a window that sees only padding, which PyTorch gives -inf, is an error here."""
    sizes, kernel, options = data.draw(pools(n, dilated=True))
    options["return_indices"] = True
    ours, theirs = named("max_pool", n)
    x = np.random.default_rng(data.draw(st.integers(0, 9))).integers(-3, 3, (2, 2, *sizes)).astype("f8")
    if theirs(torch.tensor(x), kernel, **options)[0].isinf().any():
        with pytest.raises(ValueError, match="padding"):
            ours(x, kernel, **options)
    else:
        agree(lambda x: ours(x, kernel, **options), lambda x: theirs(x, kernel, **options), x)


@dims
def test_max_pool_of_nan_and_infinity(n: int) -> None:
    """At most one nan in a window: of several, PyTorch takes the last, and we the first, as of every tie."""
    ours, theirs = named("max_pool", n)
    k, options = (2,) * n, {"padding": 1, "stride": 2, "return_indices": True}
    x = rand(2, 2, *SIZES[n])
    x[(0, 0) + (slice(None, None, 4),) * n] = np.nan
    x[(0, 1) + (slice(1, None, 2),) * n] = np.inf
    x[1, 0] = -np.inf
    assert np.isnan(x).sum() > 1
    agree(lambda x: ours(x, k, **options), lambda x: theirs(x, k, **options), x)
    x[1, 1] = np.nan
    values = lambda pool, x: pool(x, k, padding=1, stride=2)  # noqa: E731
    close(values(ours, mg.tensor(x)), values(theirs, torch.tensor(x)))


@pytest.mark.parametrize(
    ("size", "k", "options"), [(2, 3, {"stride": 2}), (1, 2, {}), (1, 5, {"stride": 4, "padding": 1})], ids=str
)
@pytest.mark.parametrize(
    ("op", "n"),  # PyTorch's avg_pool3d, alone of the six, wants as much input as the kernel
    [("max_pool", 1), ("max_pool", 2), ("max_pool", 3), ("avg_pool", 1), ("avg_pool", 2)],
)
def test_ceil_mode_with_a_window_larger_than_the_input(op: str, n: int, size: int, k: int, options: dict) -> None:
    """The first window starts inside. torchvision's GoogLeNet takes 15 x 15 pixels by it, down to 2 -> 1 and 1 -> 1."""
    options, (ours, theirs) = options | {"ceil_mode": True}, named(op, n)
    x = rand(1, 2, *(size,) * n)
    agree(lambda x: ours(x, k, **options), lambda x: theirs(x, k, **options), x)


# ---- average and Lp pooling -----------------------------------------------------------------------------------------

AVERAGE = {
    "plain": {},
    "stride": {"stride": 1},
    "strides, padding": {"stride": (2, 1, 3), "padding": (1, 1, 0)},
    "padding not counted": {"padding": 1, "stride": 2, "count_include_pad": False},
    "ceil": {"stride": 3, "ceil_mode": True},
    "ceil, padding": {"stride": 2, "padding": 1, "ceil_mode": True},
    "ceil, padding not counted": {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    "ceil, strides": {"stride": (4, 3, 2), "padding": (1, 0, 1), "ceil_mode": True},
}


@dims
@pytest.mark.parametrize("case", AVERAGE)
def test_avg_pool(case: str, n: int) -> None:
    options, (ours, theirs), k = cut(AVERAGE[case], n), named("avg_pool", n), pool_kernel(n)
    x = rand(2, 3, *SIZES[n])
    agree(lambda x: ours(x, k, **options), lambda x: theirs(x, k, **options), x)
    agree(lambda x: mg.avg_pool(x, k, **options), lambda x: theirs(x, k, **options), x, order=0)


@pytest.mark.parametrize("case", ["plain", "ceil, padding", "ceil, padding not counted"])
@pytest.mark.parametrize("divisor", [1, 5, -2])
@dims
def test_divisor_override(n: int, divisor: int, case: str) -> None:
    """PyTorch has it in 2 and 3 dimensions; a vector is a picture of height 1."""
    options, k = cut(AVERAGE[case], n) | {"divisor_override": divisor}, pool_kernel(n)
    ours, theirs = named("avg_pool", n)
    if n == 1:
        flat = {key: (1, value) if key == "stride" else value for key, value in options.items()}
        flat |= {"padding": (0, options["padding"])} if "padding" in options else {}
        theirs = lambda x, k, **_: F.avg_pool2d(x[:, :, None], (1, *k), **flat)[:, :, 0]  # noqa: E731
    agree(lambda x: ours(x, k, **options), lambda x: theirs(x, k, **options), rand(2, 3, *SIZES[n]))


@dims
@settings(max_examples=60)
@given(data=st.data())
def test_drawn_avg_pool(n: int, data: st.DataObject) -> None:
    sizes, kernel, options = data.draw(pools(n, dilated=False))
    options["count_include_pad"] = data.draw(st.booleans())
    if n > 1:
        options["divisor_override"] = data.draw(st.none() | st.integers(1, 9))
    ours, theirs = named("avg_pool", n)
    agree(lambda x: ours(x, kernel, **options), lambda x: theirs(x, kernel, **options), rand(2, 2, *sizes))


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 4])
@pytest.mark.parametrize("stride", [None, 1, (3, 2, 1)])
@dims
def test_lp_pool(n: int, stride: object, p: float) -> None:
    """PyTorch takes x**p, not |x|**p, and so agrees for an even p or positive x."""
    k, stride = pool_kernel(n), stride[:n] if isinstance(stride, tuple) else stride
    k, stride = (
        (k, stride) if n > 1 else (k[0], stride[0] if isinstance(stride, tuple) else stride)
    )  # PyTorch: a number
    ours, theirs = named("lp_pool", n)
    x = rand(2, 3, *SIZES[n])
    x = x if p % 2 == 0 else np.abs(x) + 0.1
    agree(lambda x: ours(x, p, k, stride=stride), lambda x: theirs(x, p, k, stride), x)
    agree(lambda x: mg.lp_pool(x, p, k, stride=stride), lambda x: theirs(x, p, k, stride), x, order=0)


@dims
def test_lp_pool_in_ceil_mode(n: int) -> None:
    """Where nothing remains: PyTorch scales the sum of a window that is cut off, which is not a norm."""
    ours, theirs = named("lp_pool", n)
    x = rand(2, 3, *(9, 7, 5)[:n])
    options = {"stride": 2, "ceil_mode": True}
    agree(lambda x: ours(x, 2, 3, **options), lambda x: theirs(x, 2, 3, **options), x)


# ---- unpooling ------------------------------------------------------------------------------------------------------

UNPOOL = {  # kernel, options, spatial sizes, whether they must be told
    "plain": (2, {}, (8, 6, 4), False),
    "exact, stride": (2, {"stride": 3}, (11, 8, 5), False),
    "padding": (3, {"stride": 3, "padding": 1}, (7, 10, 4), False),
    "sizes": (2, {}, (9, 7, 5), True),
    "sizes, stride": (2, {"stride": 3}, (12, 10, 6), True),
    "sizes, padding": (3, {"stride": 3, "padding": 1}, (8, 11, 9), True),
    "kernels": ((3, 2, 1), {"stride": (3, 2, 1)}, (9, 6, 4), False),
}


@dims
@pytest.mark.parametrize("case", UNPOOL)
def test_max_unpool(case: str, n: int) -> None:
    kernel, options, sizes, told = UNPOOL[case]
    kernel, options = kernel[:n] if isinstance(kernel, tuple) else kernel, cut(options, n)
    x = torch.tensor(rand(2, 3, *sizes[:n]))
    y, indices = getattr(F, f"max_pool{n}d")(x, kernel, **options, return_indices=True)
    ours, theirs = named("max_unpool", n)
    if told:
        options["output_size"] = sizes[:n]
    agree(
        lambda y: ours(y, mg.tensor(indices.numpy()), kernel, **options),
        lambda y: theirs(y, indices, kernel, **options),
        y.numpy(),
    )
    assert ours(y.numpy(), indices.numpy(), kernel, **options).shape == x.shape
    np.testing.assert_array_equal(
        mg.max_unpool(y.numpy(), indices.numpy(), kernel, **options),
        theirs(y, indices, kernel, **options).numpy(),
    )


# ---- adaptive and global pooling ------------------------------------------------------------------------------------

ADAPTIVE = [(7, 3), (10, 7), (14, 4), (5, 8), (6, 6), (9, 1), (1, 3), (13, 5)]


@pytest.mark.parametrize(("i", "o"), ADAPTIVE)
@dims
def test_adaptive_pools(n: int, i: int, o: int) -> None:
    """A hard case on the last axis, and easier ones before it."""
    sizes, out = (*(4, 5)[: n - 1], i), (*(2, 3)[: n - 1], o)
    x = rand(2, 3, *sizes)
    ties = np.random.default_rng(n).integers(0, 3, x.shape) - 1.0
    avg, largest = getattr(F, f"adaptive_avg_pool{n}d"), getattr(F, f"adaptive_max_pool{n}d")
    agree(lambda x: mg.adaptive_avg_pool(x, out), lambda x: avg(x, out), x)
    for values in (x, ties):
        agree(lambda x: mg.adaptive_max_pool(x, out), lambda x: largest(x, out), values)
        agree(
            lambda x: mg.adaptive_max_pool(x, out, return_indices=True),
            lambda x: largest(x, out, return_indices=True),
            values,
        )


@dims
@settings(max_examples=30)
@given(data=st.data())
def test_drawn_adaptive_pools(n: int, data: st.DataObject) -> None:
    each = lambda most: tuple(data.draw(st.integers(1, most)) for _ in range(n))  # noqa: E731
    sizes, out = each((20, 9, 6)[n - 1]), each((20, 9, 6)[n - 1])
    x = distinct(np.random.default_rng(n), 2, 2, *sizes)
    avg, largest = getattr(F, f"adaptive_avg_pool{n}d"), getattr(F, f"adaptive_max_pool{n}d")
    agree(lambda x: mg.adaptive_avg_pool(x, out), lambda x: avg(x, out), x, dtypes=(8,))
    agree(
        lambda x: mg.adaptive_max_pool(x, out, return_indices=True),
        lambda x: largest(x, out, return_indices=True),
        x,
        dtypes=(8,),
    )


@pytest.mark.parametrize("out", [3, (None, 3), (4, None), (None, None)], ids=str)
def test_adaptive_output_sizes(out: object) -> None:
    x = rand(2, 3, 5, 7)
    agree(lambda x: mg.adaptive_avg_pool(x, out), lambda x: F.adaptive_avg_pool2d(x, out), x)
    agree(
        lambda x: mg.adaptive_max_pool(x, out, return_indices=True),
        lambda x: F.adaptive_max_pool2d(x, out, return_indices=True),
        x,
    )


@dims
def test_adaptive_pools_of_nan(n: int) -> None:
    x = rand(2, 2, *SIZES[n])
    x[(0, 0) + (4,) * n] = np.nan
    avg, largest = getattr(F, f"adaptive_avg_pool{n}d"), getattr(F, f"adaptive_max_pool{n}d")
    agree(
        lambda x: mg.adaptive_max_pool(x, 3, return_indices=True),
        lambda x: largest(x, (3,) * n, return_indices=True),
        x,
    )
    agree(lambda x: mg.adaptive_avg_pool(x, 3), lambda x: avg(x, (3,) * n), x)


@dims
def test_global_pools(n: int) -> None:
    axes = tuple(range(2, n + 2))
    for x in (rand(2, 3, *SIZES[n]), distinct(np.random.default_rng(0), 2, 3, *SIZES[n])):
        agree(mg.global_avg_pool, lambda x: x.mean(axes, keepdim=True), x)
        agree(mg.global_max_pool, lambda x: x.amax(axes, keepdim=True), x)
        agree(mg.global_min_pool, lambda x: x.amin(axes, keepdim=True), x)


# ---- columns --------------------------------------------------------------------------------------------------------

COLUMNS = {
    "plain": ((3, 2), {}),
    "one number": (2, {"stride": 2, "padding": 1}),
    "stride": ((3, 2), {"stride": (2, 3)}),
    "padding": ((2, 3), {"padding": (1, 2)}),
    "dilation": ((3, 2), {"dilation": (2, 3)}),
    "all": ((2, 3), {"stride": (2, 1), "padding": (2, 1), "dilation": (3, 2)}),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_unfold_and_fold(case: str) -> None:
    kernel, options = COLUMNS[case]
    x = rand(2, 3, 7, 8)
    agree(lambda x: mg.unfold(x, kernel, **options), lambda x: F.unfold(x, kernel, **options), x)
    columns = rand(*F.unfold(torch.tensor(x), kernel, **options).shape)
    agree(
        lambda c: mg.fold(c, (7, 8), kernel, **options),
        lambda c: F.fold(c, (7, 8), kernel, **options),
        columns,
    )


@settings(max_examples=60)
@given(data=st.data())
def test_drawn_unfold_and_fold(data: st.DataObject) -> None:
    sizes, kernel, options, channels = data.draw(convolutions(2))
    options.pop("groups")
    x = rand(2, channels, *sizes)
    agree(lambda x: mg.unfold(x, kernel, **options), lambda x: F.unfold(x, kernel, **options), x, dtypes=(8,))
    columns = rand(*F.unfold(torch.tensor(x), kernel, **options).shape)
    agree(
        lambda c: mg.fold(c, sizes, kernel, **options),
        lambda c: F.fold(c, sizes, kernel, **options),
        columns,
        dtypes=(8,),
    )
