"""The table of calls that the kernels of every device are tried with: small, and ragged on purpose.

`CASES` has at least one call of each function that `minigrad.kernels.cpu` and `minigrad.kernels.cuda` export, with the
options that change a kernel's path: one to three axes, every kind of padding and stride, groups, one channel a group,
kernels of one element, more channels than a tile has, long sums, no images at all. `LAYOUTS` has the ways an array can
lie in memory. `UPDATES` has the formulas of optimizers, which change their arrays in place, with every option.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minigrad.kernels import cpu
from minigrad.nn.optim.adadelta import adadelta
from minigrad.nn.optim.adagrad import adagrad
from minigrad.nn.optim.adam import adam
from minigrad.nn.optim.lamb import lamb, lamb_norms
from minigrad.nn.optim.lars import lars, lars_norms
from minigrad.nn.optim.lion import lion
from minigrad.nn.optim.nadam import nadam
from minigrad.nn.optim.rmsprop import rmsprop
from minigrad.nn.optim.sgd import caffe_sgd, sgd
from minigrad.window import Geometry, out_sizes, pooling_geometry

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    kernel: str  # the name of the function
    name: str
    arguments: Callable[[np.random.Generator], tuple]  # arrays, of float64 unless they count something, and the rest
    exact: bool = False  # nothing is computed, only chosen: the result must be the same to the bit

    @property
    def id(self) -> str:
        return f"{self.kernel}-{self.name}"


CASES: list[Case] = []

# ---- convolution ----------------------------------------------------------------------------------------------------


def window(kernel: Sizes, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Geometry:
    """A geometry, of a number for all axes or of one for each; padding also of pairs."""
    n = len(kernel)
    each = [v if isinstance(v, tuple) else (v,) * n for v in (stride, padding, dilation)]
    pairs = tuple(p if isinstance(p, tuple) else (p, p) for p in each[1])
    return Geometry(each[0], pairs, each[2], groups)


def convolution(name: str, x: Sizes, count: int, kernel: Sizes, only: str = "", **options: Any) -> None:
    """The three kernels for an x of this shape and a number of output channels, or one of them."""
    g = window(kernel, **options)
    w, y = (count, x[1] // g.groups, *kernel), (x[0], count, *out_sizes(x[2:], kernel, g))
    calls: dict[str, Callable] = {
        "conv": lambda rng: (rng.standard_normal(x), rng.standard_normal(w), rng.standard_normal(count), g),
        "conv_input": lambda rng: (rng.standard_normal(w), rng.standard_normal(y), g, x),
        "conv_weight": lambda rng: (rng.standard_normal(x), rng.standard_normal(y), g, w),
    }
    CASES.extend(Case(kernel, name, arguments) for kernel, arguments in calls.items() if only in ("", kernel))


convolution("plain", (2, 3, 7, 6), 4, (3, 3))
convolution("ragged", (3, 5, 13, 11), 7, (3, 2), padding=((1, 0), (0, 2)))
convolution("strided", (2, 3, 12, 9), 5, (3, 3), stride=(2, 3), padding=1)
convolution("stride longer than the kernel", (2, 3, 11, 10), 4, (2, 1), stride=(3, 2))
convolution("dilated", (2, 4, 11, 13), 3, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 3))
convolution("more padding than kernel", (1, 2, 3, 4), 3, (2, 2), padding=3)
convolution("wider than a tile", (2, 67, 5, 6), 131, (3, 3), padding=1)
convolution("image", (2, 3, 33, 35), 64, (11, 11), stride=4, padding=2)
convolution("one by one", (3, 70, 5, 7), 37, (1, 1))
convolution("one by one, strided", (3, 10, 8, 7), 6, (1, 1), stride=2)
convolution("one by one, padded", (2, 5, 4, 3), 6, (1, 1), padding=1)
convolution("grouped", (2, 6, 7, 5), 9, (3, 3), padding=1, groups=3)
convolution("depthwise", (2, 33, 9, 8), 33, (3, 3), stride=2, padding=1, groups=33)
convolution("depthwise, two kernels a channel", (2, 5, 7, 6), 10, (3, 2), padding=1, groups=5)
convolution("one axis", (2, 3, 21), 5, (4,), stride=3, padding=((1, 2),), dilation=2)
convolution("three axes", (2, 3, 5, 4, 6), 4, (2, 3, 2), stride=(1, 2, 1), padding=((1, 0), (0, 1), (1, 1)))
convolution("three axes, grouped", (1, 4, 4, 3, 5), 4, (2, 2, 3), padding=1, groups=2)
convolution("no images", (0, 3, 7, 6), 4, (3, 3))
convolution("a long sum", (4, 2, 48, 50), 3, (3, 3), "conv_weight", padding=1)
convolution("without bias", (2, 3, 7, 6), 4, (3, 3), "conv")
_with = CASES.pop().arguments
CASES.append(Case("conv", "without bias", lambda rng: (*_with(rng)[:2], None, _with(rng)[3])))

for _name, _shape in {"images": (3, 5, 6, 7), "lines": (2, 130, 9), "no images": (0, 3, 2, 2)}.items():
    CASES.append(Case("channel_sum", _name, lambda rng, shape=_shape: (rng.standard_normal(shape),)))
CASES.append(Case("channel_sum", "a long sum", lambda rng: (rng.standard_normal((8, 2, 40, 50)),)))

# ---- pooling and windows --------------------------------------------------------------------------------------------


def distinct(rng: np.random.Generator, shape: Sizes) -> np.ndarray:
    """Numbers of which no two are equal, in float16 either, as long as there are less than 2,000."""
    n = prod(shape)
    return (rng.permutation(n) - n // 2).astype(float).reshape(shape)


def tied(rng: np.random.Generator, shape: Sizes) -> np.ndarray:
    """Few different numbers, so that windows have ties, and some nan and infinite ones."""
    return rng.choice([-np.inf, -1.0, 0.0, 1.0, 2.0, np.inf, np.nan], shape, p=[0.05, 0.2, 0.3, 0.2, 0.15, 0.05, 0.05])


def pooling(name: str, x: Sizes, kernel: Sizes, fill: Callable = distinct, ceil: bool = False, **options: Any) -> None:
    """All kernels of pooling and of windows, for an x of this shape."""
    g = pooling_geometry(x[2:], kernel, window(kernel, **options), ceil)
    y, taps = (*x[:2], *out_sizes(x[2:], kernel, g)), prod(kernel)
    plain = window(kernel, **options)
    axes = enumerate(zip(y[2:], kernel, strict=True))
    counts = tuple(tuple(1 + (o + axis) % k for o in range(n)) for axis, (n, k) in axes)
    winners = lambda values: cpu.max_pool(values, kernel, g, True)[1]  # noqa: E731
    calls: dict[str, Callable] = {
        "max_pool": lambda rng: (fill(rng, x), kernel, g, True),
        "min_pool": lambda rng: (fill(rng, x), kernel, g, True),
        "pool_gather": lambda rng: (rng.standard_normal(x), winners(fill(rng, x)), kernel, g),
        "pool_scatter": lambda rng: (rng.standard_normal(y), winners(fill(rng, x)), kernel, g, x),
        "avg_pool": lambda rng: (rng.standard_normal(x), kernel, g, float(taps)),
        "avg_pool_input": lambda rng: (rng.standard_normal(y), kernel, g, float(taps), x),
    }
    exact = {"max_pool", "min_pool", "pool_gather"}
    CASES.extend(Case(kernel, name, arguments, kernel in exact) for kernel, arguments in calls.items())
    for kernel_name in ("max_pool", "min_pool"):
        CASES.append(Case(kernel_name, f"{name}, no taps", lambda rng: (fill(rng, x), kernel, g, False), True))
    if fill is tied:
        return
    name += ", counted"
    CASES.append(Case("avg_pool", name, lambda rng: (rng.standard_normal(x), kernel, g, counts)))
    CASES.append(Case("avg_pool_input", name, lambda rng: (rng.standard_normal(y), kernel, g, counts, x)))
    if not ceil:
        columns = (*x[:2], *kernel, *y[2:])
        CASES.append(Case("unfold", name, lambda rng: (rng.standard_normal(x), kernel, plain), True))
        CASES.append(Case("fold", name, lambda rng: (rng.standard_normal(columns), kernel, plain, x)))


pooling("two by two", (2, 3, 8, 6), (2, 2), stride=2)
pooling("overlapping", (2, 5, 9, 7), (3, 3), stride=2, padding=1)
pooling("ragged", (3, 7, 7, 10), (3, 2), stride=(2, 3), padding=((1, 0), (0, 1)))
pooling("dilated", (2, 3, 9, 8), (2, 3), stride=1, dilation=(3, 2), padding=1)
pooling("rounded up", (2, 3, 8, 7), (3, 2), stride=(2, 3), ceil=True)
pooling("ties and nan", (3, 5, 9, 8), (3, 3), tied, stride=2, padding=1)
pooling("everything", (2, 35, 5, 6), (5, 6))
pooling("more taps than a byte counts", (1, 2, 20, 19), (17, 16))
pooling("one axis", (2, 3, 17), (4,), stride=3, padding=((2, 1),))
pooling("three axes", (2, 3, 5, 4, 6), (2, 2, 3), stride=(1, 2, 2), padding=(1, 0, 1))
pooling("no images", (0, 3, 4, 6), (2, 2), stride=2)

# ---- normalisation and softmax ---------------------------------------------------------------------------------------


def normalising(name: str, x: Sizes) -> None:
    """The kernels of batch norm and of local response norm, for an x of this shape."""
    channels = x[1]

    def back(rng: np.random.Generator, out: bool) -> tuple:
        a = rng.standard_normal(x) + 3
        mean, var = cpu.moments(a)
        rstd = 1 / np.sqrt(var + 0.1)
        return rng.standard_normal(x), a, mean, rstd, rng.standard_normal(channels), a - 3 if out else None

    def forward(rng: np.random.Generator, residual: bool, relu: bool) -> tuple:
        scale, shift = rng.standard_normal((2, channels))
        return rng.standard_normal(x), scale, shift, rng.standard_normal(x) if residual else None, relu

    for residual, relu in ((False, False), (True, False), (False, True), (True, True)):
        options = ", added" * residual + ", relu" * relu
        CASES.append(Case("affine", name + options, lambda rng, r=residual, a=relu: forward(rng, r, a)))
    if prod(x):
        CASES.append(Case("moments", name, lambda rng: (rng.standard_normal(x) + 3,)))
        for out in (False, True):
            CASES.append(Case("norm_backward", name + ", relu" * out, lambda rng, o=out: back(rng, o)))
    for size, beta in ((1, 0.5), (4, 0.75), (5, 1.5)):
        constants = (size, 0.3, beta, 2.0)
        CASES.append(Case("lrn", f"{name}, over {size}", lambda rng, c=constants: (rng.standard_normal(x), *c)))
        both = lambda rng, c=constants: (rng.standard_normal(x), rng.standard_normal(x), *c)  # noqa: E731
        CASES.append(Case("lrn_input", f"{name}, over {size}", both))


for _name, _shape in {"images": (3, 5, 6, 7), "more than a row": (2, 40, 15, 17), "no images": (0, 3, 2, 2)}.items():
    CASES.append(Case("relu", _name, lambda rng, shape=_shape: (rng.standard_normal(shape),), True))
    _pair = lambda rng, shape=_shape: (rng.standard_normal(shape), np.maximum(rng.standard_normal(shape), 0))  # noqa: E731
    CASES.append(Case("relu_input", _name, _pair, True))

normalising("images", (3, 5, 6, 7))
normalising("vectors", (9, 37))
normalising("lines of few channels", (2, 2, 301))
normalising("volumes", (2, 33, 3, 2, 4))
normalising("no images", (0, 3, 2, 2))


def classifying(name: str, x: Sizes) -> None:
    """The kernels of cross entropy, for logits of this shape."""

    def back(rng: np.random.Generator) -> tuple:
        logits, target = 3 * rng.standard_normal(x), rng.integers(0, x[1], (x[0], *x[2:]))
        top = logits.max(1, initial=-1)
        return rng.standard_normal(target.shape), logits, target, top, np.log(np.exp(logits).sum(1)) - top

    CASES.append(Case("cross_entropy", name, lambda rng: back(rng)[1:3]))
    CASES.append(Case("cross_entropy_input", name, back))


classifying("vectors", (9, 10))
classifying("many classes", (2, 101))
classifying("pixels", (2, 3, 5, 4))
classifying("no images", (0, 3))


# ---- optimizers -----------------------------------------------------------------------------------------------------

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Update:
    """A formula of nn.optim with its numbers, in the order that it names them.

    `arrays` has a letter for each array: p and g of the dtype that is tried, m and v in float32 if that has 16 bits, v
    with no negative numbers, - for None.
    """

    formula: Callable
    name: str
    arrays: str
    numbers: Numbers

    @property
    def id(self) -> str:
        return f"update-{self.formula.__name__}-{self.name}"

    def values(self, dtype: Any, seed: int = 0, shape: Sizes = (5, 7, 4, 3)) -> list[np.ndarray | None]:
        """The arrays on the host, rounded to what they are on the device."""
        rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
        wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
        found: list[np.ndarray | None] = []
        for letter in self.arrays:
            values = rng.standard_normal(shape)
            values = np.asarray(values**2 if letter == "v" else values)
            found.append(None if letter == "-" else values.astype(dtype if letter in "pg" else wide))
        return found


UPDATES: list[Update] = []


def updates(formula: Callable, arrays: str, numbers: Numbers, **variants: tuple[str, Numbers]) -> None:
    """A formula with these numbers, and with some of them or some arrays changed."""
    for name, (other, changed) in {"plain": (arrays, {}), **variants}.items():
        assert changed.keys() <= numbers.keys()
        UPDATES.append(Update(formula, name.replace("_", " "), other or arrays, {**numbers, **changed}))


_ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "correction1": 0.4, "correction2": 0.1, "eps": 1e-3}
_DECAYED = {"weight_decay": 0.3, "maximize": True}
_NONE = {"weight_decay": 0, "maximize": False}
_SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False}
_NADAM = {"lr": 0.1, "mu": 0.8, "next_mu": 0.7, "product": 0.6, **{k: _ADAM[k] for k in ("beta1", "beta2")}}
_NADAM = {**_NADAM, "correction2": 0.1, "eps": 1e-3, "weight_decay": 0, "decoupled": False, "maximize": False}
updates(
    sgd,
    "pg-",
    _SGD,
    decayed=("", _DECAYED),
    momentum=("pgm", {}),
    nesterov=("pgm", {"nesterov": True}),
    dampened=("pgm", {"dampening": 0.3}),
)
updates(caffe_sgd, "pgm", {"lr": 0.1, "momentum": 0.9, **_NONE}, decayed=("", _DECAYED))
updates(
    adam,
    "pgmv-",
    {**_ADAM, "weight_decay": 0, "decoupled": False, "maximize": False},
    decayed=("", _DECAYED),
    decoupled=("", {**_DECAYED, "decoupled": True}),
    amsgrad=("pgmvv", {}),
)
updates(nadam, "pgmv", _NADAM, decayed=("", _DECAYED), decoupled=("", {**_DECAYED, "decoupled": True}))
updates(
    rmsprop,
    "pgv--",
    {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0, "momentum": 0.8, "maximize": False},
    decayed=("", _DECAYED),
    centered=("pgvm-", {"eps": 0.5}),
    momentum=("pgv-m", {}),
)
updates(adagrad, "pgv", {"lr": 0.1, "eps": 1e-3, **_NONE}, decayed=("", _DECAYED))
updates(adadelta, "pgvv", {"lr": 0.1, "rho": 0.9, "eps": 1e-3, **_NONE}, decayed=("", _DECAYED))
updates(lion, "pgm", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, **_NONE}, decayed=("", _DECAYED))
_LARS = {"norms": None, "lr": 0.1, "momentum": 0.9, "weight_decay": 0, "trust_coefficient": 0.2, "maximize": False}
updates(lars_norms, "pg", {})
updates(lars, "pgm", _LARS, scaled=("", {"norms": (3.0, 7.0), **_DECAYED}), of_zeros=("", {"norms": (3.0, 0.0)}))
_LAMB = {k: _ADAM[k] for k in ("correction1", "correction2", "eps")}
updates(
    lamb_norms,
    "pgmv",
    {"beta1": 0.9, "beta2": 0.99, **_LAMB, **_NONE},
    decayed=("", _DECAYED),
)
updates(lamb, "pmv", {"norms": None, "lr": 0.1, **_LAMB, "weight_decay": 0.3}, scaled=("", {"norms": (3.0, 7.0)}))


def updated(row: Update, values: list, layout: str, asarray: Callable) -> tuple[list, Any]:
    """Run a formula on a device: its arrays, changed, and what it returned."""
    there = [None if v is None else laid_out(v, layout, asarray) for v in values]
    norms = row.numbers.get("norms")
    numbers = {**row.numbers, "norms": asarray(np.array(norms))} if norms else row.numbers
    return there, row.formula(*there, **numbers)


# ---- how an array lies in memory ------------------------------------------------------------------------------------


def _rows(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    return np.empty_like(x, order="C"), lambda base: base


def _channels_last(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    if x.ndim < 3:
        return _rows(x)
    base = np.empty((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype)
    return base, lambda base: base.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def _pixels_first(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    if x.ndim < 3:
        return _rows(x)
    base = np.empty((*x.shape[2:], *x.shape[:2]), x.dtype)
    return base, lambda base: base.transpose(x.ndim - 2, x.ndim - 1, *range(x.ndim - 2))


def _scattered(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    base = np.full([2 * n for n in x.shape[::-1]], np.nan if x.dtype.kind == "f" else 1, x.dtype)
    odd, back = (slice(1, None, 2),) * x.ndim, (slice(None, None, -1),) * x.ndim
    return base, lambda base: base[odd].transpose()[back]


LAYOUTS: dict[str, Callable] = {
    "row-major": _rows,
    "channels last": _channels_last,
    "pixels first": _pixels_first,
    "backwards with gaps": _scattered,
}


def laid_out(x: np.ndarray, layout: str, asarray: Callable) -> Any:
    """x on a device, whose `asarray` this is, in a layout: made there with a view, for copies need not keep strides."""
    base, view = LAYOUTS[layout](x)
    view(base)[...] = x
    return view(asarray(base))


def arguments(case: Case, dtype: Any, layout: str, asarray: Callable, seed: int = 0) -> tuple[tuple, tuple]:
    """The arguments of a case for the reference, in float64, and for a device, rounded to a dtype first."""
    exact, there = [], []
    for a in case.arguments(np.random.default_rng(seed)):
        if isinstance(a, np.ndarray) and a.dtype.kind == "f":
            a = a.astype(dtype)
            exact.append(a.astype(np.float64))
        else:
            exact.append(a)
        there.append(laid_out(a, layout, asarray) if isinstance(a, np.ndarray) else a)
    return tuple(exact), tuple(there)


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """How far two arrays are apart: the norm of the difference, relative to that of what is expected."""
    assert got.shape == expected.shape, f"shape {got.shape} where {expected.shape} is expected"
    error = np.linalg.norm((got.astype(np.float64) - expected).ravel())
    return float(error / max(np.linalg.norm(expected.astype(np.float64).ravel()), 1e-30))
