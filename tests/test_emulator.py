"""The CUDA emulator gives healthy kernels their right results in every order, and catches each deliberate bug."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cudaemu import emulator, fake_cupy
from tests.cudaemu.fake_cupy import cupy

pytestmark = pytest.mark.skipif(emulator.compiler() is None, reason="NOT CHECKED: the CUDA emulator needs g++ and nm")

SOURCE = Path(emulator.__file__).with_name("bugs.cu").read_text()
ORDERS = ("forward", "reverse", 1, 2)
MIXED = np.dtype({"names": ["d", "i", "f"], "formats": ["f8", "i4", "4f4"], "offsets": [0, 8, 16]})
TEMPLATES = (
    *("row_sum<float>", "row_sum<double>", "transpose<double>", "transpose<unsigned char>"),
    *("matmul<float, true, true>", "matmul<float, false, true>", "matmul<float, true, false>"),
)


@cache
def compiled(*options: str) -> emulator.RawModule:
    """All kernels of bugs.cu: the templates, and those that are `extern "C"`."""
    plain = emulator.RawModule(code=SOURCE)._names()
    return emulator.RawModule(code=SOURCE, options=options, name_expressions=(*TEMPLATES, *plain))


def launch(name: str, grid: Any, block: Any, *args: Any, **kwargs: Any) -> None:
    compiled().get_function(name)(grid, block, args, **kwargs)


def line_of(text: str, which: int = 0) -> int:
    """The number of the line of bugs.cu that contains a text."""
    return [number for number, line in enumerate(SOURCE.splitlines(), 1) if text in line][which]


def on_device(*shape: int, dtype: str = "float32") -> Any:
    return cupy.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))


def nan(*shape: int, dtype: str = "float32") -> Any:
    return cupy.full(shape, np.nan, dtype)


# ---- healthy kernels -------------------------------------------------------------------------------------------------


def check_row_sum(dtype: str = "float32", threads: int = 256) -> None:
    x, y = on_device(7, 1000, dtype=dtype), nan(7, dtype=dtype)
    with emulator.watch(y):
        launch(f"row_sum<{'float' if dtype == 'float32' else 'double'}>", (7,), (threads,), x, y, 1000)
    np.testing.assert_allclose(y.get(), x.get().sum(1), rtol=1e-4 if dtype == "float32" else 1e-12)


def check_transpose(shape: tuple[int, int] = (50, 35)) -> None:
    rows, columns = shape
    x, y = on_device(*shape, dtype="float64"), nan(columns, rows, dtype="float64")
    grid = (-(-columns // 16), -(-rows // 16))
    with emulator.watch(y):
        launch("transpose<double>", grid, (16, 16), x, y, np.int32(rows), np.int32(columns))
    np.testing.assert_array_equal(y.get(), x.get().T)


def matmul(variant: str, m: int = 19, n: int = 13, k: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel gives, and what it should."""
    a, b, c = on_device(m, k), on_device(k, n), nan(m, n)
    sizes = np.array([(m, n, k)], [("m", "i4"), ("n", "i4"), ("k", "i4")])
    with emulator.watch(c):
        launch(f"matmul<float, {variant}>", (-(-n // 8), -(-m // 8)), (8, 8), a, b, c, sizes)
    return c.get(), a.get() @ b.get()


def is_right(results: tuple[np.ndarray, np.ndarray]) -> bool:
    return np.allclose(*results, rtol=1e-5, atol=1e-5)


def check_matmul() -> None:
    assert is_right(matmul("true, true"))


def check_reverse() -> None:
    x, y = on_device(96), nan(96)
    with emulator.watch(y):
        launch("reverse", (1,), (96,), x, y, shared_mem=96 * 4)
    np.testing.assert_array_equal(y.get(), x.get()[::-1])


def check_histogram() -> None:
    values = np.random.default_rng(0).integers(0, 5, 192).astype("int32")
    counts, sums, weights = cupy.zeros(5, "int32"), cupy.zeros(5, "float32"), on_device(192)
    launch("histogram", (3,), (64,), cupy.asarray(values), counts, sums, weights)
    np.testing.assert_array_equal(counts.get(), np.bincount(values))
    np.testing.assert_allclose(sums.get(), np.bincount(values, weights.get()), rtol=1e-4)


def check_warp_operations() -> None:
    y, lane = cupy.zeros((8, 32), "int32"), np.arange(32)
    with emulator.watch(y):
        launch("warp_operations", (1,), (32,), y)
    shuffled, up, down, xor, ballot, votes, bits, larger = y.get()
    np.testing.assert_array_equal(shuffled, (lane + 5) % 32)
    np.testing.assert_array_equal(up, np.where(lane < 3, lane, lane - 3))
    np.testing.assert_array_equal(down, np.where(lane % 8 < 5, lane + 3, lane))
    np.testing.assert_array_equal(xor, lane ^ 1)
    np.testing.assert_array_equal(ballot, sum(1 << i for i in range(0, 32, 3)))
    np.testing.assert_array_equal(votes, np.where(lane < 16, 3, 0))
    np.testing.assert_array_equal(bits, 16 + 4 + 31)
    np.testing.assert_array_equal(larger.view("float32"), 1)


def check_pass_on() -> None:
    y = cupy.zeros(32, "int32")
    with emulator.watch(y):
        launch("pass_on", (1,), (32,), y)
    np.testing.assert_array_equal(y.get(), np.arange(32) ^ 16 ^ 1)


def check_all() -> None:
    """Everything healthy, in three orders: what must pass under the sanitizers."""
    for order in ORDERS[:3]:
        with emulator.settings(order=order):
            check_row_sum()
            check_row_sum(threads=32)
            check_transpose((20, 18))
            check_matmul()
            check_reverse()
            check_histogram()
            check_warp_operations()
            check_pass_on()


@pytest.mark.parametrize("order", ORDERS)
class TestHealthy:
    @pytest.fixture(autouse=True)
    def _in_order(self, order: str | int) -> Iterator[None]:
        with emulator.settings(order=order):
            yield

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("threads", [32, 256, 1024])
    def test_row_sum(self, dtype: str, threads: int) -> None:
        check_row_sum(dtype, threads)

    @pytest.mark.parametrize("shape", [(1, 1), (16, 16), (50, 35)])
    def test_transpose(self, shape: tuple[int, int]) -> None:
        check_transpose(shape)

    def test_matmul(self) -> None:
        check_matmul()

    def test_dynamic_shared_memory(self) -> None:
        check_reverse()

    def test_atomic_add(self) -> None:
        check_histogram()

    def test_warp_operations(self) -> None:
        check_warp_operations()
        check_pass_on()

    def test_three_axes(self) -> None:
        y = cupy.zeros((2, 3, 4, 3, 2, 5), "int32")
        with emulator.watch(y):
            launch("places", (4, 3, 2), (5, 2, 3), y)
        z_block, y_block, x_block, z, y_thread, x = np.indices(y.shape)
        expected = 1000 * (x_block + 10 * y_block + 100 * z_block) + x + 10 * y_thread + 100 * z
        np.testing.assert_array_equal(y.get(), expected)

    def test_exited_lanes_are_not_waited_for(self) -> None:
        y = nan(24)
        launch("exited_lanes", (1,), (32,), y)
        np.testing.assert_array_equal(y.get()[8:], np.arange(23, 7, -1))
        assert np.isnan(y.get()[:8]).all()


def test_the_portable_context_switch() -> None:
    x, y = on_device(7, 1000), nan(7)
    module = emulator.RawModule(code=SOURCE, options=("-DCUDAEMU_UCONTEXT",), name_expressions=("row_sum<float>",))
    module.get_function("row_sum<float>")((7,), (128,), (x, y, 1000))
    np.testing.assert_allclose(y.get(), x.get().sum(1), rtol=1e-4)


# ---- arguments -------------------------------------------------------------------------------------------------------


def mixed_arguments() -> list[Any]:
    mixed = np.array([(4.5, 6, (7, 0, 0, 8))], MIXED)
    return [nan(11), np.True_, np.int8(-3), np.uint16(65535), np.int32(-7), 2**40, np.float32(1.5), 2.5, mixed]


def test_arguments_arrive() -> None:
    args = mixed_arguments()
    launch("arguments", (1,), (1,), *args)
    assert args[0].get().tolist() == [1, -3, 65535, -7, 2**40, 1.5, 2.5, 4.5, 6, 7, 8]
    launch("arguments", (1,), (1,), 0, *args[1:])  # a null pointer


HOST = np.zeros(11, "float32")
WRONG_ARGUMENTS = {
    "int for a pointer": (
        0,
        5,
        r"argument 0 is int64 \(of integers only 0 .*\); the parameter is a pointer to float32",
    ),
    "float for a pointer": (0, 0.0, "argument 0 is float64"),
    "host array": (0, HOST, "argument 0 is a numpy.ndarray where a device array belongs; .* a pointer to float32"),
    "host array of one": (0, HOST[:1], "argument 0 is a numpy.ndarray where a device array belongs"),
    "None": (0, None, "argument 0 is NoneType, which cannot be passed to a kernel"),
    "wrong array": (0, cupy.zeros(11, "float64"), "argument 0 is a device array of float64; .* a pointer to float32"),
    "array of integers": (0, cupy.zeros(11, "int32"), "argument 0 is a device array of int32"),
    "array for a scalar": (4, cupy.zeros(1, "int32"), "argument 4 is a device array of int32; the parameter is int32"),
    "Python int for int": (4, 5, "arguments: argument 4 is int64 of 8 bytes; the parameter is int32"),
    "Python float for float": (6, 5.0, "argument 6 is float64 of 8 bytes; the parameter is float32"),
    "int32 for long long": (5, np.int32(1), "argument 5 is int32 of 4 bytes; the parameter is int64"),
    "float for int": (4, np.float32(1), "argument 4 is float32 of 4 bytes; the parameter is int32"),
    "int for float": (6, np.int32(1), "argument 6 is int32 of 4 bytes; the parameter is float32"),
    "struct of another size": (8, np.zeros(1, "f4,f4"), "argument 8 is .* of 8 bytes; .* a struct of 32 bytes"),
    "two structs": (8, np.zeros(2, MIXED), r"argument 8 is a numpy.ndarray of shape \(2,\), .* size 1"),
    "string": (4, "5", "argument 4 is str, which cannot be passed to a kernel"),
}


@pytest.mark.parametrize(("position", "value", "message"), WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
def test_wrong_arguments(position: int, value: Any, message: str) -> None:
    args = mixed_arguments()
    args[position] = value
    with pytest.raises(TypeError, match=message):
        launch("arguments", (1,), (1,), *args)


def test_wrong_number_of_arguments() -> None:
    with pytest.raises(TypeError, match="places: got 2 arguments, takes 1"):
        launch("places", (1,), (1,), 0, 0)


def test_halves_are_16_bits_without_a_sign_and_bools_are_bytes() -> None:
    code = 'extern "C" __global__ void k(unsigned short* h, unsigned char* b, float4* v) { v->x = *h + *b; }'
    kernel = emulator.RawKernel(code, "k")
    kernel((1,), (1,), (cupy.zeros(1, "float16"), cupy.zeros(1, "bool"), cupy.zeros(4, "float32")))
    with pytest.raises(TypeError, match="argument 1 is a device array of int16"):
        kernel((1,), (1,), (cupy.zeros(1, "float16"), cupy.zeros(1, "int16"), 0))


@pytest.mark.parametrize(
    ("grid", "block", "shared_mem", "message"),
    [
        ((0,), (32,), 0, r"grid \(0, 1, 1\) must be from 1 to \(2147483647, 65535, 65535\)"),
        ((2**31,), (32,), 0, r"grid \(2147483648, 1, 1\)"),
        ((1, 65536), (32,), 0, r"grid \(1, 65536, 1\)"),
        ((1, 1, 65536), (32,), 0, r"grid \(1, 1, 65536\)"),
        ((1,), (1025,), 0, r"block \(1025, 1, 1\) must be from 1 to \(1024, 1024, 64\)"),
        ((1,), (0,), 0, r"block \(0, 1, 1\)"),
        ((1,), (1, 1, 65), 0, r"block \(1, 1, 65\)"),
        ((1,), (32, 33), 0, r"block \(32, 33, 1\) has more than 1024 threads"),
        ((1,), (32,), 49153, "49153 bytes of dynamic shared memory, max_dynamic_shared_size_bytes is 49152"),
    ],
)
def test_what_the_driver_refuses(grid: tuple, block: tuple, shared_mem: int, message: str) -> None:
    with pytest.raises(emulator.CUDADriverError, match=f"CUDA_ERROR_INVALID_VALUE: invalid argument .*{message}"):
        launch("reverse", grid, block, nan(1), nan(1), shared_mem=shared_mem)


def test_sizes_are_tuples() -> None:
    with pytest.raises(TypeError, match="grid must be a tuple, got int"):
        launch("reverse", 1, (1,), nan(1), nan(1))
    with pytest.raises(TypeError, match="block must be a tuple, got list"):
        launch("reverse", (1,), [1], nan(1), nan(1))


def test_more_shared_memory_must_be_asked_for() -> None:
    x, y, kernel = on_device(32), nan(32), compiled().get_function("reverse")
    kernel.max_dynamic_shared_size_bytes = 227 * 1024
    kernel((1,), (32,), (x, y), shared_mem=227 * 1024)
    np.testing.assert_array_equal(y.get(), x.get()[::-1])
    with pytest.raises(emulator.CUDADriverError, match=r"232449 bytes of dynamic and 0 of static .* at most"):
        kernel.max_dynamic_shared_size_bytes = 227 * 1024 + 1


def test_attributes() -> None:
    kernel = compiled().get_function("transpose<double>")
    assert kernel.shared_size_bytes == 16 * 17 * 8
    assert kernel.max_dynamic_shared_size_bytes == 48 * 1024 - 16 * 17 * 8
    assert (kernel.max_threads_per_block, kernel.num_regs, kernel.local_size_bytes) == (1024, 0, 0)
    assert compiled().get_function("transpose<unsigned char>").shared_size_bytes == 16 * 17


# ---- compiling -------------------------------------------------------------------------------------------------------


def test_compile_errors_have_the_line() -> None:
    code = 'extern "C" __global__ void k(float* y) {\n  y[0] = unknown;\n}\n'
    with fake_cupy.install() as installed:
        module = installed.RawModule(code=code, options=("-DA=1",), name_expressions=("k",))
        with pytest.raises(installed.cuda.compiler.CompileException) as caught:
            module.get_function("k")
    assert "kernels.cu:2:10: error: " in str(caught.value)
    assert "  y[0] = unknown;" in str(caught.value)
    assert (caught.value.source, caught.value.options, caught.value.backend) == (code, ("-DA=1",), "nvrtc")


BIG = """extern "C" __global__ void big(float* y) {
  __shared__ float a[13000];
  a[threadIdx.x] = y[0];
  y[1] = a[3];
}"""


@pytest.mark.parametrize(
    ("code", "options", "message"),
    [
        ("float k2() { return INFINITY; }", (), "INFINITY"),
        ("__device__ int f() { int unused; return 1; }", (), "unused variable"),
        ("", ("--no-such-option",), "unrecognized option --no-such-option found"),
        ("", ("-Ikernels",), "-Ikernels: put headers into the source"),
        ("#error given\n", ("-DA=1",), "given"),
        (BIG, (), r"big uses too much shared data \(0xcb20 bytes, 0xc000 max\)"),
    ],
)
def test_what_does_not_compile(code: str, options: tuple[str, ...], message: str) -> None:
    names = ("k", "big") if "big" in code else ("k",)
    code = 'extern "C" __global__ void k(float* y) { y[0] = 1; }\n' + code
    with pytest.raises(emulator.CompileException, match=message):
        emulator.RawModule(code=code, options=options, name_expressions=names).get_function("k")


def test_options() -> None:
    code = 'extern "C" __global__ void k(int* y) { y[0] = A; }'
    y = cupy.zeros(1, "int32")
    options = ("-std=c++17", "-DA=42", "--ptxas-options=-v", "-lineinfo", "-arch=sm_90")
    emulator.RawKernel(code, "k", options)((1,), (1,), (y,), stream=None)
    assert y.item() == 42


def test_arguments_of_the_module() -> None:
    with pytest.raises(TypeError, match="Exactly one of `code` and `path`"):
        emulator.RawModule()
    with pytest.raises(TypeError, match=r"'options' has incorrect type \(expected tuple, got list\)"):
        emulator.RawModule(code="", options=["-DA"])  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="cannot load compiled kernels"):
        emulator.RawModule(path="kernels.cubin")
    with pytest.raises(emulator.CUDADriverError, match="CUDA_ERROR_NOT_FOUND: named symbol not found"):
        compiled().get_function("matmul<float>")


def test_compiled_kernels_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_EMULATOR_CACHE", str(tmp_path / "new"))
    code = 'extern "C" __global__ void k(int* y) { y[0] = A; }'

    def build(value: int) -> None:
        emulator.RawModule(code=code, options=(f"-DA={value}",)).compile()

    build(1)
    (first,) = (tmp_path / "new").iterdir()
    made = first.stat().st_mtime_ns
    build(1)
    assert first.stat().st_mtime_ns == made
    build(2)
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_the_cache_of_someone_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.os, "getuid", lambda: -1)
    monkeypatch.setenv("MINIGRAD_EMULATOR_CACHE", str(Path(__file__).parent))
    with pytest.raises(RuntimeError, match="belongs to someone else: set MINIGRAD_EMULATOR_CACHE"):
        emulator.RawModule(code="").compile()


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs the emulator is skipped, and says what was not checked."""
    monkeypatch.setattr(emulator, "compiler", lambda: None)
    with pytest.raises(pytest.skip.Exception, match=r"NOT CHECKED: the CUDA kernels; the emulator needs g\+\+ and nm"):
        emulator.RawModule(code="// something new").compile()


# ---- what tests ask for ----------------------------------------------------------------------------------------------


def test_launches_are_logged() -> None:
    emulator.launches.clear()
    launch("places", (2, 3), (4,), cupy.zeros(24, "int32"))
    assert list(emulator.launches) == [("places", (2, 3, 1), (4, 1, 1), 0)]


def test_settings() -> None:
    wrong: list[Any] = ["backwards", -1, 1.0]
    for order in wrong:
        with pytest.raises(ValueError, match="order must be 'forward', 'reverse' or a seed, got"):
            emulator.settings(order=order).__enter__()
    with pytest.raises(RuntimeError, match="sanitize='thread' works only in a process that run_sanitized has started"):
        emulator.settings(sanitize="thread").__enter__()
    before = emulator._settings
    with pytest.raises(KeyError), emulator.settings(order=3), emulator.settings(order="reverse"):
        raise KeyError
    assert emulator._settings == before


def test_the_order_of_blocks_shows_in_a_kernel_that_depends_on_it() -> None:
    def result(order: str | int) -> list[float]:
        y = cupy.zeros(5, "float32")
        with emulator.settings(order=order):
            launch("depends_on_blocks", (5,), (1,), y)
        return y.tolist()

    assert result("forward") == [1, 2, 3, 4, 5]
    assert result("reverse") == [1, 1, 1, 1, 1]
    assert result("forward") != result(1) == result(1) != result(2)


def test_launches_from_several_threads() -> None:
    x, expected = on_device(7, 1000), on_device(7, 1000).get().sum(1)

    def work(results: Any) -> None:
        for y in results:
            launch("row_sum<float>", (7,), (256,), x, y, 1000)

    results = nan(4, 10, 7)
    threads = [threading.Thread(target=work, args=(part,)) for part in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(results.get(), np.broadcast_to(expected, (4, 10, 7)), rtol=1e-4)


# ---- bugs ------------------------------------------------------------------------------------------------------------

WRITE_BUGS = {
    "double write": ("writes_twice", 10, r"element \(3,\) of float32\[10\] was written 2 times \(2 such of 10\)"),
    "unwritten element": ("leaves_out", 12, r"element \(3,\) of float32\[12\] was never written \(3 such of 12\)"),
    "store not reported": ("unreported", 4, r"element \(0,\) of float32\[4\] was never written \(4 such of 4\)"),
}


@pytest.mark.parametrize(("name", "size", "message"), WRITE_BUGS.values(), ids=WRITE_BUGS)
def test_bug_in_writing(name: str, size: int, message: str) -> None:
    y = nan(size)
    with pytest.raises(AssertionError, match=f"watched array 0: {message}"), emulator.watch(y):
        launch(name, (1,) if name == "unreported" else (3,), (4,), y)
    assert not emulator._watches


def test_watch_counts_elements_of_views() -> None:
    whole = cupy.zeros((2, 6), "float32")
    view = whole[::-1, 1:4:2]  # of the memory: 7, 9 and 1, 3
    message = r"watched array 1: element \(0, 0\) of float32\[2, 2\] was never written"
    with pytest.raises(AssertionError, match=message), emulator.watch(cupy.zeros(0), view) as report:
        launch("leaves_out", (2,), (4,), whole)  # all but 3 and 7 of the first 8
    assert report.counts(1).tolist() == [[0, 0], [1, 0]]


def test_watch_notices_what_is_written_in_part() -> None:
    y = nan(2, dtype="float64")
    message = r"element \(1,\) of float64\[2\] was written only in part"
    with pytest.raises(AssertionError, match=message), emulator.watch(y):
        launch("leaves_out", (1,), (4,), y.view("float32"))


def test_watch_lets_other_errors_through() -> None:
    with pytest.raises(KeyError), emulator.watch(nan(3)):
        raise KeyError
    assert not emulator._watches


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("name", "threads", "message"),
    [
        ("divergent_barrier", 64,
         "divergent __syncthreads in block (0, 0, 0): thread (0, 0, 0) waits at kernels.cu:{0}, thread (32, 0, 0) at "
         "kernels.cu:{1}"),
        ("early_exit", 64,
         "__syncthreads at kernels.cu:{0} in block (0, 0, 0): 16 of 64 threads have exited and never come, the first "
         "is (48, 0, 0)"),
        ("partial_shuffle", 32,
         "deadlock in block (0, 0, 0): thread (0, 0, 0) waits at kernels.cu:{0} in a warp operation with mask "
         "0xffffffff for thread (16, 0, 0), which waits at kernels.cu:{1} in __syncthreads"),
        ("outside_its_mask", 17,
         "warp operation at kernels.cu:{0} in block (0, 0, 0): thread (16, 0, 0) is lane 16, which its mask 0xffff "
         "leaves out"),
        ("traps", 32, "__trap at kernels.cu:{0}"),
        ("large_locals", 1, "the local variables of thread (0, 0, 0) do not fit the 65536 bytes of its stack"),
    ],
)  # fmt: skip
def test_bug_in_meeting(name: str, threads: int, message: str, order: str | int) -> None:
    start = line_of(f"void {name}(") - 1
    marks = ("__syncthreads", "_sync(", "__trap()")
    lines = [start + i for i, text in enumerate(SOURCE.splitlines()[start:], 1) if any(m in text for m in marks)]
    y = cupy.zeros(64, "int32" if name in ("outside_its_mask", "traps") else "float32")
    with emulator.settings(order=order), pytest.raises(emulator.EmulatorError) as caught:
        launch(name, (1,), (threads,), y)
    assert str(caught.value) == f"{name}: {message.format(*lines)}"
    check_row_sum()  # the emulator is none the worse for it


@pytest.mark.parametrize("order", ORDERS)
def test_shared_memory_that_nobody_has_written_is_nan(order: str | int) -> None:
    y = cupy.zeros((2, 32), "float32")
    with emulator.settings(order=order):
        launch("never_initialized", (1,), (32,), y[0])
        launch("never_initialized_dynamic", (1,), (32,), y[1], shared_mem=128)
    assert np.isnan(y.get()).sum(1).tolist() == [16, 32]


@pytest.mark.parametrize("variant", ["false, true", "true, false"], ids=["missing barrier", "write after read"])
def test_bug_of_barriers_gives_wrong_results(variant: str) -> None:
    wrong = []
    for order in ORDERS:
        with emulator.settings(order=order):
            wrong.append(not is_right(matmul(variant)))
    assert any(wrong)


def test_bug_of_a_missing_syncwarp_gives_wrong_results() -> None:
    y = nan(32)
    launch("without_syncwarp", (1,), (32,), y)
    assert not np.array_equal(y.get(), np.arange(31, -1, -1))


# ---- sanitizers ------------------------------------------------------------------------------------------------------


def sanitized(kind: str, function: str) -> subprocess.CompletedProcess[str]:
    return emulator.run_sanitized(kind, f"tests.test_emulator:{function}")


def run_missing_barrier() -> None:
    matmul("false, true")


def run_write_after_read() -> None:
    matmul("true, false")


def run_without_syncwarp() -> None:
    launch("without_syncwarp", (1,), (32,), nan(32))


def run_writes_beyond() -> None:
    launch("writes_beyond", (2,), (32,), nan(63))


def run_reads_beyond() -> None:
    launch("reads_beyond", (1,), (32,), nan(32), nan(32))


def run_beyond_shared() -> None:
    launch("beyond_shared", (1,), (32,), nan(32))


def run_beyond_shared_by_pointer() -> None:
    launch("beyond_shared_by_pointer", (1,), (32,), nan(32))


def run_beyond_dynamic_shared() -> None:
    launch("beyond_dynamic_shared", (1,), (32,), nan(32), shared_mem=128)


def run_misaligned() -> None:
    launch("misaligned", (1,), (1,), nan(64), nan(64))


def run_overflows() -> None:
    launch("overflows", (1,), (1,), np.int32(2**16), np.int32(2**16), cupy.zeros(1, "int64"))


@pytest.mark.parametrize("kind", ["address", "thread"])
def test_sanitizers_find_nothing_in_healthy_kernels(kind: str) -> None:
    done = sanitized(kind, "check_all")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("function", "text", "which"),
    [
        ("run_missing_barrier", "sum += tile_a", 0),
        ("run_write_after_read", "sum += tile_a", 0),
        ("run_without_syncwarp", "values[31 - threadIdx.x]", 0),
    ],
)
def test_thread_sanitizer_finds_races(function: str, text: str, which: int) -> None:
    done = sanitized("thread", function)
    assert done.returncode != 0
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
    assert f"kernels.cu:{line_of(text, which)}" in done.stderr


@pytest.mark.parametrize(
    ("function", "message", "text"),
    [
        ("run_writes_beyond", "heap-buffer-overflow", "void writes_beyond"),
        ("run_reads_beyond", "heap-buffer-overflow", "void reads_beyond"),
        ("run_beyond_shared", "index 32 out of bounds for type 'float [32]'", "values[threadIdx.x + 1]"),
        ("run_beyond_shared_by_pointer", "global-buffer-overflow", "pointer[threadIdx.x + 1]"),
        ("run_beyond_dynamic_shared", "use-after-poison", "values[threadIdx.x + 1]"),
        ("run_misaligned", "misaligned address", "reinterpret_cast<const float4*>"),
        ("run_overflows", "signed integer overflow: 65536 * 65536", "*y = rows * columns"),
    ],
)
def test_address_sanitizer_finds_what_lies_beyond(function: str, message: str, text: str) -> None:
    done = sanitized("address", function)
    assert done.returncode != 0
    assert message in done.stderr
    assert f"kernels.cu:{line_of(text, 1 if 'dynamic' in function else 0)}" in done.stderr


def test_command_line() -> None:
    command = [sys.executable, "-m", "tests.cudaemu.emulator", "--sanitize", "address"]
    done = subprocess.run([*command, "tests.test_emulator:run_reads_beyond"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--sanitize address|thread MODULE:FUNCTION" in done.stderr
