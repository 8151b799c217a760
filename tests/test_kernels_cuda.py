"""The CUDA kernels, run on the CPU by the emulator through the same Python that launches them on a GPU."""

from __future__ import annotations

import doctest
import importlib
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels import cpu, cuda
from minigrad.kernels.cuda import loader
from minigrad.window import Geometry, pooling_geometry
from tests import kerneltable
from tests.cudaemu import emulator, fake_cupy
from tests.kerneltable import CASES, LAYOUTS, UPDATES, Case, Update
from tests.test_conv import geometries
from tests.test_pool import windows

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(emulator.compiler() is None, reason="NOT CHECKED: the CUDA kernels; g++ runs them here"),
]

ORDERS = ["forward", "reverse", 5]
EPS = {"float64": 1e-14, "float32": 2e-6, "float16": 1e-3}


@pytest.fixture
def cupy() -> Iterator[Any]:
    with fake_cupy.install() as found:
        yield found


def results(value: Any) -> list[np.ndarray]:
    """What a kernel returned, on the host, in row-major order."""
    several = value if isinstance(value, tuple) else (value,)
    return [np.ascontiguousarray(v.get()) for v in several if v is not None]


def reference(case: Case, arguments: tuple) -> list[np.ndarray]:
    value = getattr(cpu, case.kernel)(*arguments)
    return [v for v in (value if isinstance(value, tuple) else (value,)) if v is not None]


# ---- every case of the table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_against_the_kernels_of_the_cpu(case: Case, dtype: str, cupy: Any) -> None:
    """In every layout, and in each order of threads and blocks to the same bit."""
    for layout, order in zip(LAYOUTS, (*ORDERS, "forward"), strict=True):
        exact, there = kerneltable.arguments(case, dtype, layout, cupy.asarray)
        with emulator.settings(order=order):
            got = results(getattr(cuda, case.kernel)(*there))
        with emulator.settings(order="reverse" if order == "forward" else "forward"):
            again = results(getattr(cuda, case.kernel)(*there))
        for value, other, expected in zip(got, again, reference(case, exact), strict=True):
            np.testing.assert_array_equal(value, other)
            if case.exact:
                np.testing.assert_array_equal(value, expected.astype(value.dtype))
            elif expected.size:
                assert kerneltable.difference(value, expected) < EPS[dtype]


POISON = 0xFF  # in every byte: nan in a float, 255 in a tap


def poisoned(stack: ExitStack, reports: list) -> Callable:
    """A `cupy.empty` whose memory is full of nan, and watched: each element must be written once."""
    plain = fake_cupy.OWN.get("cupy.empty", fake_cupy.cupy.empty)

    def empty(shape: Any, dtype: Any = float, *args: Any, **options: Any) -> Any:
        made = plain(shape, dtype, *args, **options)
        made._host.view(np.uint8)[...] = POISON
        if made.size:
            reports.append(stack.enter_context(emulator.watch(made)))
        return made

    return empty


# Where no tap reaches an element of x, it is filled with zeros by CuPy; products of matrices are CuPy's own.
NOT_BY_KERNELS = ("stride longer than the kernel", "one by one", "no images")


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in CASES
        if c.kernel not in ("channel_sum", "relu", "relu_input") and not c.name.startswith(NOT_BY_KERNELS)
    ],
    ids=lambda case: case.id,
)
def test_each_element_is_written_once(case: Case, cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is read from a result before it is written: it starts as nan."""
    exact, there = kerneltable.arguments(case, "float64", "channels last", cupy.asarray)
    reports: list = []
    with ExitStack() as stack:  # checks the counts when it is left
        monkeypatch.setitem(fake_cupy.OWN, "cupy.empty", poisoned(stack, reports))
        got = results(getattr(cuda, case.kernel)(*there))
    assert reports
    for value, expected in zip(got, reference(case, exact), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", [c for c in CASES if c.kernel.startswith("conv")][::4], ids=lambda case: case.id)
def test_large_arrays_have_offsets_of_64_bits(case: Case, cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instances for arrays of more than 2^31 elements, on small ones."""
    monkeypatch.setattr(importlib.import_module("minigrad.kernels.cuda.conv"), "_index", lambda *arrays: "int64")
    exact, there = kerneltable.arguments(case, "float32", "channels last", cupy.asarray)
    got = results(getattr(cuda, case.kernel)(*there))[0]
    expected = reference(case, exact)[0]
    assert not expected.size or kerneltable.difference(got, expected) < EPS["float32"]


# ---- optimizers -----------------------------------------------------------------------------------------------------


def stepped(row: Update, values: list) -> list[np.ndarray]:
    """The formula in float64 on all elements at once, without what brings it to a device: arrays and norms."""
    exact = [None if v is None else v.astype(np.float64) for v in values]
    found = row.formula.__wrapped__(*exact, **row.numbers)  # type: ignore[attr-defined]
    norms = [] if found is None else [np.array([np.linalg.norm(v) for v in found])]
    return [v for v in exact if v is not None] + norms


def test_every_formula_has_a_kernel_and_a_row() -> None:
    assert {row.formula.__name__ for row in UPDATES} == set(loader.UPDATES)
    kernels = re.findall(r"__global__ void (\w+)\(", (loader.FOLDER / "update.cu").read_text())
    assert sorted(kernels) == sorted((*loader.UPDATES, "roots"))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.id)
def test_updates_against_their_formulas(row: Update, dtype: Any, cupy: Any) -> None:
    """In every layout, one of them not dense, and in each order of threads and blocks to the same bit."""
    error = EPS.get(dtype, 2**-8)
    if dtype == "bfloat16":
        dtype = pytest.importorskip(
            "ml_dtypes", reason="NOT CHECKED: bfloat16; `make kernels` installs ml_dtypes"
        ).bfloat16
    values = row.values(dtype)
    expected = stepped(row, values)
    for layout, order in zip(LAYOUTS, (*ORDERS, "forward"), strict=True):
        runs = []
        for turn in (order, "reverse" if order == "forward" else "forward"):
            with emulator.settings(order=turn):
                arrays, found = kerneltable.updated(row, values, layout, cupy.asarray)
            runs.append([a.get() for a in arrays if a is not None] + ([] if found is None else [found.get()]))
        for value, other, exact in zip(*runs, expected, strict=True):
            np.testing.assert_array_equal(value, other)
            assert kerneltable.difference(value, exact) < (error if value.dtype == dtype else EPS["float32"])


@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.id)
def test_updates_write_each_element_once(row: Update, cupy: Any) -> None:
    """Of the arrays that the formula changes; the others stay as they are."""
    values = row.values("float64", shape=(3, 700))
    there = [None if v is None else cupy.asarray(v) for v in values]
    norms = row.numbers.get("norms")
    numbers = {**row.numbers, "norms": cupy.asarray(np.array(norms))} if norms else row.numbers
    given = [(a, v) for a, v in zip(there, values, strict=True) if a is not None]
    same = [np.array_equal(v, e) for (_, v), e in zip(given, stepped(row, values), strict=False)]
    with emulator.watch(*(a for (a, _), kept in zip(given, same, strict=True) if not kept)):
        row.formula(*there, **numbers)
    for (a, v), kept in zip(given, same, strict=True):
        if kept:
            np.testing.assert_array_equal(a.get(), v)


def test_norms_of_more_elements_than_threads(cupy: Any) -> None:
    """So that a thread adds up several, and a block several sums of blocks."""
    lars_norms = next(row.formula for row in UPDATES if row.id == "update-lars_norms-plain")
    p, g = np.random.default_rng(0).standard_normal((2, 1024 * 256 * 2 + 300)).astype(np.float32)
    got = lars_norms(cupy.asarray(p), cupy.asarray(g)).get()
    np.testing.assert_allclose(got, [np.linalg.norm(v.astype(np.float64)) for v in (p, g)], rtol=1e-6)


def test_updates_of_nothing_and_of_a_number(cupy: Any) -> None:
    for row in UPDATES:
        for shape in ((0, 3), ()):
            values = row.values("float32", shape=shape)
            arrays, found = kerneltable.updated(row, values, "row-major", cupy.asarray)
            expected = stepped(row, values)
            got = [a.get() for a in arrays if a is not None] + ([] if found is None else [found.get()])
            for value, exact in zip(got, expected, strict=True):
                np.testing.assert_allclose(value, exact, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.id)
def test_updates_of_nan_and_infinity(row: Update, cupy: Any) -> None:
    """What diverges shows the same on both devices."""
    values = row.values("float64", shape=(3, 8))
    for i, (letter, v) in enumerate(zip(row.arrays, values, strict=True)):
        if v is not None:
            v[i % 3, :4] = [np.nan, np.inf, 0.0, -0.0 if letter == "v" else -np.inf]
    with np.errstate(all="ignore"):
        arrays, found = kerneltable.updated(row, values, "row-major", cupy.asarray)
        expected = stepped(row, values)
    got = [a.get() for a in arrays if a is not None] + ([] if found is None else [found.get()])
    for value, exact in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, exact, rtol=1e-12)


@pytest.mark.parametrize("row", [r for r in UPDATES if r.numbers.get("norms")], ids=lambda row: row.id)
def test_a_norm_that_is_nan_shows(row: Update, cupy: Any) -> None:
    """On both devices: a step that went on unscaled would look healthy."""
    row = replace(row, numbers={**row.numbers, "norms": (math.nan, 7.0)})
    values = row.values("float64", shape=(3, 8))
    arrays, _ = kerneltable.updated(row, values, "row-major", cupy.asarray)
    assert np.isnan(arrays[0].get()).all()
    assert np.isnan(stepped(row, values)[0]).all()


def test_updates_of_what_there_is_no_kernel_for(cupy: Any) -> None:
    row = UPDATES[0]
    with pytest.raises(
        TypeError, match=r"an optimizer on CUDA takes arrays of one dtype, one of float16, .* got int64"
    ):
        row.formula(*(cupy.asarray(np.ones(3, np.int64)) for _ in "pg"), **row.numbers)

    def invented(p, g):
        p -= g

    with pytest.raises(
        NotImplementedError, match=r"update\.cu has no kernel invented: write one and name it in loader\.py"
    ):
        cuda.update(invented, dict.fromkeys("pg", cupy.asarray(np.ones(3))), {})


# ---- drawn shapes ---------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(data=st.data())
def test_convolution_of_drawn_shapes(data: st.DataObject) -> None:
    dims = data.draw(st.integers(1, 4))
    sizes, kernel, geometry = data.draw(geometries(dims))
    n, c, k = data.draw(st.integers(1, 2)), data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 2, 5]))
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((n, c * geometry.groups, *sizes)), rng.standard_normal((k * geometry.groups, c, *kernel))
    y = cpu.conv(x, w, None, geometry)
    g = rng.standard_normal(y.shape)
    with fake_cupy.install() as cupy, emulator.settings(order=data.draw(st.sampled_from(ORDERS))):
        there = [cupy.asarray(a) for a in (x, w, g)]
        np.testing.assert_allclose(cuda.conv(there[0], there[1], None, geometry).get(), y, atol=1e-11)
        dx, dw = cpu.conv_input(w, g, geometry, x.shape), cpu.conv_weight(x, g, geometry, w.shape)
        np.testing.assert_allclose(cuda.conv_input(there[1], there[2], geometry, x.shape).get(), dx, atol=1e-11)
        np.testing.assert_allclose(cuda.conv_weight(there[0], there[2], geometry, w.shape).get(), dw, atol=1e-11)


@settings(max_examples=25)
@given(data=st.data())
def test_pooling_of_drawn_shapes(data: st.DataObject) -> None:
    sizes, kernel, options = data.draw(windows(data.draw(st.integers(1, 3))))
    asked = Geometry(options["stride"], options["padding"], options["dilation"])
    try:
        geometry = pooling_geometry(sizes, kernel, asked, options["ceil_mode"])
    except ValueError:
        assume(False)  # a window sees only padding
    x = np.random.default_rng(0).integers(-2, 3, (2, 3, *sizes)).astype("float64")
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    with fake_cupy.install() as cupy, emulator.settings(order=data.draw(st.sampled_from(ORDERS))):
        for name in ("max_pool", "min_pool"):
            (value, tap), (got, at) = (
                getattr(cpu, name)(x, kernel, geometry, True),
                getattr(cuda, name)(cupy.asarray(x), kernel, geometry, True),
            )
            np.testing.assert_array_equal(got.get(), value)
            np.testing.assert_array_equal(at.get(), tap)
            g = np.random.default_rng(2).standard_normal(value.shape)
            back = cuda.pool_scatter(cupy.asarray(g), at, kernel, geometry, x.shape).get()
            np.testing.assert_allclose(back, cpu.pool_scatter(g, tap, kernel, geometry, x.shape), atol=1e-13)


# ---- types ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ctype", ["half", "bfloat16"])
def test_sixteen_bits_are_rounded_to_the_nearest(ctype: str, cupy: Any) -> None:
    """All 65,536 numbers are read right, and what lies between two is rounded to the nearest, a tie to even."""
    code = loader.source("pool") + (
        "template <class T> __global__ void both(const unsigned short* bits, float* wide, const float* values, "
        "unsigned short* narrowed, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return; "
        "wide[i] = widen(T{bits[i]}); narrowed[i] = narrow<T>(values[i]).bits; }"
    )
    name = f"both<{ctype}>"
    kernel = cupy.RawModule(code=code, options=loader.OPTIONS, name_expressions=(name,)).get_function(name)
    bits = np.arange(65536, dtype=np.uint16)
    if ctype == "half":
        exact = bits.view(np.float16).astype(np.float32)
    else:
        exact = (bits.astype(np.uint32) << 16).view(np.float32)
    finite = np.sort(exact[np.isfinite(exact)])
    values = np.resize(np.concatenate([finite[:-1] / 2 + finite[1:] / 2, finite, [np.inf, -np.inf, np.nan]]), 65536)
    values = values.astype(np.float32)
    wide, narrowed = cupy.empty(65536, np.float32), cupy.empty(65536, np.uint16)
    kernel((256,), (256,), (cupy.asarray(bits), wide, cupy.asarray(values), narrowed, np.int32(65536)))
    np.testing.assert_array_equal(wide.get(), exact)
    got = narrowed.get()
    if ctype == "half":
        with np.errstate(over="ignore"):
            expected = values.astype(np.float16).view(np.uint16)
    else:  # by hand: the two neighbours, the nearer one, the even one at a tie
        low = values.view(np.uint32) >> 16
        rest = values.view(np.uint32) & 0xFFFF
        expected = (low + ((rest > 0x8000) | ((rest == 0x8000) & (low & 1 == 1)))).astype(np.uint16)
    real = ~np.isnan(values)
    np.testing.assert_array_equal(got[real], expected[real])
    read = got.view(np.float16) if ctype == "half" else (got.astype(np.uint32) << 16).view(np.float32)
    assert np.isnan(read[~real]).all()


def test_bfloat16_is_summed_in_single(cupy: Any) -> None:
    """Convolution and pooling of bfloat16, against the same numbers in float64: one rounding at the end."""
    bfloat16 = pytest.importorskip(
        "ml_dtypes", reason="NOT CHECKED: bfloat16; `make kernels` installs ml_dtypes"
    ).bfloat16
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(bfloat16) for s in ((2, 5, 9, 8), (7, 5, 3, 3), (7,)))
    geometry = Geometry((2, 1), ((1, 1), (0, 1)), (1, 1))
    there, exact = [cupy.asarray(a) for a in (x, w, b)], [a.astype(np.float64) for a in (x, w, b)]
    y = cpu.conv(*exact, geometry)
    g = rng.standard_normal(y.shape).astype(bfloat16)
    calls = {
        "conv": (cuda.conv(*there, geometry), y),
        "input": (
            cuda.conv_input(there[1], cupy.asarray(g), geometry, x.shape),
            cpu.conv_input(exact[1], g.astype(float), geometry, x.shape),
        ),
        "weight": (
            cuda.conv_weight(there[0], cupy.asarray(g), geometry, w.shape),
            cpu.conv_weight(exact[0], g.astype(float), geometry, w.shape),
        ),
        "pool": (cuda.avg_pool(there[0], (3, 3), geometry, 9), cpu.avg_pool(exact[0], (3, 3), geometry, 9)),
        "max": (
            cuda.max_pool(there[0], (3, 3), geometry, False)[0],
            cpu.max_pool(exact[0], (3, 3), geometry, False)[0],
        ),
        "sum": (cuda.channel_sum(there[0]), cpu.channel_sum(exact[0])),
    }
    for name, (got, expected) in calls.items():
        assert got.dtype == bfloat16, name
        assert kerneltable.difference(got.get(), expected) < 2**-8, name


def test_a_mean_of_counted_elements_is_rounded_once(cupy: Any) -> None:
    """The sum of three times 40000 is more than float16 holds; their mean is not."""
    x = cupy.asarray(np.full((1, 1, 3), 40000, np.float16))
    geometry = Geometry((1,), ((0, 0),), (1,))
    assert cuda.avg_pool(x, (3,), geometry, ((3,),)).get().item() == 40000


def test_more_groups_than_a_grid_has_blocks(cupy: Any) -> None:
    n = 65537
    x, w = np.arange(n, dtype=np.float32).reshape(1, n, 1), np.full((n, 1, 1), 2, np.float32)
    geometry = Geometry((1,), ((0, 0),), (1,), n, "im2col")
    y = cuda.conv(cupy.asarray(x), cupy.asarray(w), None, geometry)
    np.testing.assert_array_equal(y.get(), 2 * x)


def test_numbers_below_the_normal_ones_do_not_tie(cupy: Any) -> None:
    """In the emulator; that a GPU compares them too is in the source: `below`, where CuPy's options flush them."""
    x = cupy.asarray(np.array([[[0, 1e-40, -1e-40]]], np.float32))
    geometry = Geometry((1,), ((0, 0),), (1,))
    assert cuda.max_pool(x, (3,), geometry, True)[1].get().item() == 1
    assert cuda.min_pool(x, (3,), geometry, True)[1].get().item() == 2
    assert re.search(r"LARGEST \? below\(b, v\) : below\(v, b\)", loader.source("pool"))


def test_axes_beyond_32_bits_are_refused(cupy: Any) -> None:
    long = importlib.import_module("minigrad.kernels.cuda.conv")
    image = np.broadcast_to(np.float32(0), (1, 1, 2**31))
    with pytest.raises(ValueError, match=r"takes axes of up to 2\^31 .* got 2147483648 \+ 0 \+ 0 on spatial axis 0"):
        long._check_axes(image, Geometry((1,), ((0, 0),), (1,)))
    assert long._index(np.broadcast_to(np.float32(0), (70000, 64, 200, 200))) == "int64"


def test_out_of_memory_says_what_was_asked_for(cupy: Any) -> None:
    x = mg.tensor(np.ones((4, 8, 32, 32), np.float32), device="cuda")
    w = mg.tensor(np.ones((8, 8, 3, 3), np.float32), device="cuda")
    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=x.size * 4 + 1000)
    try:
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating") as caught:
            mg.conv2d(x, w, padding=1)
    finally:
        pool.set_limit(size=0)
    shapes, hint = caught.value.__notes__
    assert "in conv(x=float32[4, 8, 32, 32], w=float32[8, 8, 3, 3]" in shapes
    assert "a smaller batch needs less" in hint


def test_what_there_is_no_kernel_for(cupy: Any) -> None:
    x, w = cupy.asarray(np.ones((1, 1, 4), np.int64)), cupy.asarray(np.ones((1, 1, 2), np.int64))
    with pytest.raises(TypeError, match=r"convolution on CUDA takes arrays of one dtype, one of float16, .* got int64"):
        cuda.conv(x, w, None, Geometry((1,), ((0, 0),), (1,)))
    with pytest.raises(TypeError, match=r"pooling on CUDA takes .* got bool: convert them, for example with .to"):
        cuda.max_pool(x.astype(bool), (2,), Geometry((1,), ((0, 0),), (1,)), False)
    many = cupy.asarray(np.ones((1,) * 9))
    with pytest.raises(ValueError, match=r"pooling on CUDA takes up to 6 spatial axes, got 7: move the array with"):
        cuda.max_pool(many, (1,) * 7, Geometry((1,) * 7, ((0, 0),) * 7, (1,) * 7), False)


def test_a_compile_error_names_its_line(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was being compiled, with which compilers that is known to work."""
    broken = loader.source("pool") + "\nint broken = ;\n"
    line = (loader.FOLDER / "pool.cu").read_text().count("\n") + 2
    monkeypatch.setattr(loader, "source", lambda file: broken)
    loader._compiled.cache_clear()
    x = cupy.asarray(np.ones((1, 1, 4)))
    with pytest.raises(cupy.cuda.compiler.CompileException, match=rf"pool\.cu:{line}") as caught:
        cuda.avg_pool(x, (2,), Geometry((1,), ((0, 0),), (1,)), 2)
    loader._compiled.cache_clear()
    notes = "".join(caught.value.__notes__)
    assert "compiling window_sum<double, 1> of pool.cu failed: minigrad's kernels are tried with NVRTC 13.0" in notes


# ---- planted bugs and sanitizers ------------------------------------------------------------------------------------


def convolve() -> None:
    """Two fixed small shapes through every kernel of conv.cu; run under the sanitizers."""
    with fake_cupy.install() as cupy:
        for x, w, groups in (
            ((2, 3, 5, 6), (66, 3, 3, 2), 1),  # `product` and `add_shares`, more columns than a tile has
            ((1, 8, 4, 5), (10, 4, 2, 2), 2),
            ((1, 4, 4, 3), (4, 1, 2, 3), 4),  # `direct` and `direct_weight`
            ((2, 3, 3, 4), (6, 1, 3, 1), 3),
        ):
            geometry = Geometry((1, 2), ((1, 0), (1, 1)), (1, 1), groups)
            rng = np.random.default_rng(0)
            a, b = rng.standard_normal(x), rng.standard_normal(w)
            y = cpu.conv(a, b, None, geometry)
            there = [cupy.asarray(v) for v in (a, b, y, np.ones(w[0]))]
            got = cuda.conv(there[0], there[1], there[3], geometry).get()
            np.testing.assert_allclose(got, y + 1, atol=1e-12)
            dx = cuda.conv_input(there[1], there[2], geometry, x).get()
            np.testing.assert_allclose(dx, cpu.conv_input(b, y, geometry, x), atol=1e-10)
            dw = cuda.conv_weight(there[0], there[2], geometry, w).get()
            np.testing.assert_allclose(dw, cpu.conv_weight(a, y, geometry, w), atol=1e-10)


def pool() -> None:
    """Two fixed small shapes through every kernel of pool.cu; run under the sanitizers."""
    with fake_cupy.install() as cupy:
        for x, kernel in (((2, 3, 5, 6), (3, 2)), ((1, 5, 7), (4,))):
            n = len(kernel)
            geometry = Geometry((2,) * n, ((1, 1),) * n, (1,) * n)
            a = np.random.default_rng(0).standard_normal(x)
            there = cupy.asarray(a)
            for name in ("max_pool", "min_pool"):
                value, tap = getattr(cuda, name)(there, kernel, geometry, True)
                np.testing.assert_array_equal(value.get(), getattr(cpu, name)(a, kernel, geometry, True)[0])
                alone, none = getattr(cuda, name)(there, kernel, geometry, False)
                assert none is None
                np.testing.assert_array_equal(alone.get(), value.get())
                np.testing.assert_array_equal(cuda.pool_gather(there, tap, kernel, geometry).get(), value.get())
                cuda.pool_scatter(value, tap, kernel, geometry, x)
            cuda.avg_pool_input(cuda.avg_pool(there, kernel, geometry, 3), kernel, geometry, 3, x)
            cuda.fold(cuda.unfold(there, kernel, geometry), kernel, geometry, x)


def normalise() -> None:
    """Two fixed small shapes through every kernel of norm.cu and softmax.cu; run under the sanitizers."""
    with fake_cupy.install() as cupy:
        for shape in ((3, 5, 9, 8), (70, 37)):
            rng = np.random.default_rng(0)
            x, g, more = (rng.standard_normal(shape) for _ in range(3))
            scale, shift = rng.standard_normal((2, shape[1]))
            there = [cupy.asarray(v) for v in (g, x, scale, shift, more)]
            mean, var = cuda.moments(there[1])
            np.testing.assert_allclose(var.get(), cpu.moments(x)[1], atol=1e-12)
            out = cuda.affine(there[1], *there[2:], True)
            np.testing.assert_allclose(out.get(), cpu.affine(x, scale, shift, more, True), atol=1e-12)
            cuda.norm_backward(*there[:2], mean, var, there[2], out)
            got = cuda.lrn_input(*there[:2], 5, 0.1, 0.75, 2.0)
            np.testing.assert_allclose(got.get(), cpu.lrn_input(g, x, 5, 0.1, 0.75, 2.0), atol=1e-12)
            cuda.lrn(there[1], 4, 0.1, 0.75, 2.0)
            target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
            loss, top, rest = cuda.cross_entropy(there[1], cupy.asarray(target))
            np.testing.assert_allclose(loss.get(), cpu.cross_entropy(x, target)[0], atol=1e-12)
            cuda.cross_entropy_input(loss, there[1], cupy.asarray(target), top, rest)


def update() -> None:
    """A small and ragged shape through every kernel of update.cu; run under the sanitizers."""
    with fake_cupy.install() as cupy:
        for row in UPDATES:
            values = row.values("float64", shape=(3, 101))
            arrays, _ = kerneltable.updated(row, values, "row-major", cupy.asarray)
            for value, exact in zip([a.get() for a in arrays if a is not None], stepped(row, values), strict=False):
                np.testing.assert_allclose(value, exact, rtol=1e-12, atol=1e-12)


def planted(name: str) -> None:
    """`convolve` with a bug in it."""
    loader.OPTIONS = (*loader.OPTIONS, f"-DPLANTED_{name}")
    convolve()


def planted_missing_barrier() -> None:
    """Without the barrier between filling the strips and reading them."""
    planted("MISSING_BARRIER")


def planted_write_after_read() -> None:
    """Without the barrier between reading the strips and filling them again."""
    planted("WRITE_AFTER_READ")


def planted_out_of_bounds() -> None:
    """Without the check that a column exists."""
    planted("OUT_OF_BOUNDS")


def sanitized(kind: str, function: Callable) -> subprocess.CompletedProcess[str]:
    return emulator.run_sanitized(kind, f"{__name__}:{function.__name__}")


@pytest.mark.parametrize("kind", ["address", "thread"])
@pytest.mark.parametrize("function", [convolve, pool, normalise, update])
def test_the_sanitizers_find_nothing(kind: str, function: Callable) -> None:
    run = sanitized(kind, function)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("kind", "function", "text"),
    [
        ("thread", planted_missing_barrier, "data race"),
        ("thread", planted_write_after_read, "data race"),
        ("address", planted_out_of_bounds, "heap-buffer-overflow"),
    ],
)
def test_the_sanitizers_find_what_was_planted(kind: str, function: Callable, text: str) -> None:
    run = sanitized(kind, function)
    assert run.returncode != 0
    assert text in run.stderr
    assert "conv.cu" in run.stderr


@pytest.mark.parametrize("bug", ["MISSING_BARRIER", "WRITE_AFTER_READ"])
def test_planted_races_change_results(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "OPTIONS", (*loader.OPTIONS, f"-DPLANTED_{bug}"))
    loader._compiled.cache_clear()
    try:
        with emulator.settings(order="reverse"), pytest.raises(AssertionError, match="Not equal to tolerance"):
            convolve()
    finally:
        loader._compiled.cache_clear()


def test_the_page_about_cuda() -> None:
    """docs/cuda.md shows what is there: its example runs, and its kernel and its launch are those of the files."""
    root = Path(__file__).parent.parent
    text = (root / "docs" / "cuda.md").read_text()
    test = doctest.DocTestParser().get_doctest(text, {}, "cuda.md", "cuda.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
    (kernel,) = re.findall(r"```cuda\n(.*?)```", text, flags=re.S)
    assert kernel in (root / "minigrad" / "kernels" / "cuda" / "pool.cu").read_text()
    launch = re.findall(r"```python\n(y = .*?)```", text, flags=re.S)[0].splitlines()
    source = (root / "minigrad" / "kernels" / "cuda" / "pool.py").read_text()
    assert all(line.strip() in source for line in launch)
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (root / "docs" / target).exists(), target


def test_a_number_of_the_wrong_size_is_refused(cupy: Any) -> None:
    """A Python int reaches the kernel as 64 bits: where it takes 32, a GPU would read half of it."""
    a = cupy.asarray(np.ones((1, 1, 4)))
    form = np.zeros(1, [("bytes", np.uint8, 160)])
    text = "add_shares<double, 1>: argument 3 is int64 of 8 bytes; the parameter is int32"
    with pytest.raises(TypeError, match=text):
        loader.launch("conv", "add_shares<double, 1>", (1,), a, a, form, 1)


# ---- whole networks -------------------------------------------------------------------------------------------------


def residual(x: mg.Tensor, p: list[mg.Tensor]) -> mg.Tensor:
    """A small residual network without batch norm: a stem, a block, a strided block with a shortcut, a classifier."""
    y = mg.max_pool2d(mg.relu(mg.conv2d(x, p[0], p[1], padding=1)), 3, stride=2, padding=1)
    y = mg.relu(mg.conv2d(mg.relu(mg.conv2d(y, p[2], padding=1)), p[3], padding=1) + y)
    z = mg.conv2d(mg.relu(mg.conv2d(y, p[4], padding=1, stride=2)), p[5], padding=1)
    y = mg.relu(z + mg.conv2d(y, p[6], stride=2))
    return mg.flatten(mg.global_avg_pool(y), 1) @ p[7]


RESIDUAL = [(6, 1, 3, 3), (6,), (6, 6, 3, 3), (6, 6, 3, 3), (8, 6, 3, 3), (8, 8, 3, 3), (8, 6, 1, 1), (8, 10)]


def lenet(x: mg.Tensor, p: list[mg.Tensor]) -> mg.Tensor:
    """LeNet-5 of ops, for images of 28 x 28."""
    y = mg.avg_pool2d(mg.tanh(mg.conv2d(x, p[0], p[1], padding=2)), 2)
    y = mg.avg_pool2d(mg.tanh(mg.conv2d(y, p[2], p[3])), 2)
    y = mg.tanh(mg.flatten(y, 1) @ p[4])
    return mg.tanh(y @ p[5]) @ p[6]


LENET = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (400, 120), (120, 84), (84, 10)]


@pytest.mark.parametrize(("net", "shapes", "size"), [(lenet, LENET, 28), (residual, RESIDUAL, 12)])
def test_training_follows_the_cpu(net: Callable, shapes: list, size: int, cupy: Any) -> None:
    """Five steps of SGD with momentum, in float32, from the same weights on the same batches."""
    losses, weights = {}, {}
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(0)
        start = [rng.standard_normal(s).astype("float32") * (2 / max(1, np.prod(s[1:]))) ** 0.5 for s in shapes]
        parameters = [mg.tensor(a, device=device, requires_grad=True) for a in start]
        momentum = [0.0] * len(parameters)
        losses[device] = []
        for _ in range(5):
            x = mg.tensor(rng.standard_normal((4, 1, size, size)).astype("float32"), device=device)
            labels = mg.tensor(rng.integers(0, 10, 4), device=device)
            loss = mg.cross_entropy(net(x, parameters), labels)
            grads = mg.grad(loss, parameters)
            with mg.no_grad():
                for i, (p, g) in enumerate(zip(parameters, grads, strict=True)):
                    momentum[i] = g + momentum[i] * 0.9
                    p -= momentum[i] * 0.01
            losses[device].append(loss.item())
        weights[device] = [p.detach().to("cpu").numpy() for p in parameters]
    assert losses["cpu"][-1] != losses["cpu"][0]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-5)
    for there, here in zip(weights["cuda"], weights["cpu"], strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_images_lie_pixels_last_on_cuda(cupy: Any) -> None:
    """In memory (N, H, W, C): through convolution, pooling, elementwise ops and back."""
    x = mg.tensor(np.random.default_rng(0).standard_normal((3, 2, 8, 8)), device="cuda")
    w = mg.tensor(np.random.default_rng(1).standard_normal((5, 2, 3, 3)), device="cuda", requires_grad=True)
    y = mg.conv2d(x, w, padding=1)
    z = mg.relu(y + y * 2.0)
    pooled = mg.max_pool2d(z, 2)
    total = (mg.concatenate([pooled, mg.tanh(pooled)], axis=1) ** 2).sum()
    grads = mg.grad(total, [y, z, pooled])
    for t in (y, z, pooled, *grads):
        assert t.detach()._array.transpose(0, 2, 3, 1).flags.c_contiguous
