"""Every CUDA kernel compiles for the GPUs of three generations, and none spills registers (`make kernels`)."""

from __future__ import annotations

import doctest

import pytest

from minigrad.kernels.cuda import loader
from tests import nvrtc

REASON = nvrtc.why_not()
pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(
        REASON is not None,
        reason=f"NOT CHECKED: whether the CUDA kernels compile. {REASON}; `make kernels` installs it, without a GPU",
    ),
]
on_every_architecture = pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)

PLAIN = """template <class T> __global__ void twice(T* x) {
    __shared__ T block[64];
    block[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = 2 * block[63 - threadIdx.x];
}
"""
# 96 numbers that all live at once, where 1,024 threads leave 64 registers to each.
SPILLS = """__global__ void __launch_bounds__(1024) spills(float* x) {
    float a[96];
#pragma unroll
    for (int i = 0; i < 96; i++) a[i] = x[i * 1024 + threadIdx.x];
#pragma unroll 1
    for (int round = 0; round < 8; round++) {
#pragma unroll
        for (int i = 0; i < 96; i++) a[i] = a[i] * a[(i * 7 + 3) % 96] + a[(i + 11) % 96];
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = a[i];
}
"""
# Registers have no address: what is indexed by a number that only the data know lies in memory.
INDEXES = """__global__ void indexes(float* x, const int* where) {
    float a[16] = {};
    for (int i = 0; i < 64; i++) a[where[i] & 15] += x[i];
    for (int i = 0; i < 16; i++) x[i] = a[i];
}
"""
# The same in a function that is called and not inlined.
CALLS = """__device__ __noinline__ float chosen(const float* x, const int* where) {
    float a[16] = {};
    for (int i = 0; i < 64; i++) a[where[i] & 15] += x[i];
    return a[where[64] & 15];
}
__global__ void calls(float* x, const int* where) { x[threadIdx.x] = chosen(x, where); }
"""


@pytest.fixture(scope="module")
def kernels() -> list[nvrtc.Kernel]:
    return nvrtc.everything()


def test_every_instantiation_compiles(kernels: list[nvrtc.Kernel], capsys: pytest.CaptureFixture) -> None:
    names = [name for file in loader.FILES for ctype in loader.DTYPES for name in loader.expressions(file, ctype)]
    assert len(names) == len(set(names)) > 0
    assert {(k.name, k.arch) for k in kernels} == {(name, arch) for name in names for arch in nvrtc.ARCHITECTURES}
    with capsys.disabled():
        print(f"\n{nvrtc.table(kernels)}")


def test_nothing_spills(kernels: list[nvrtc.Kernel]) -> None:
    assert [f"{k.name} for {k.arch}: {k.spilled} bytes" for k in kernels if k.spilled] == []


def test_no_array_lies_in_memory(kernels: list[nvrtc.Kernel]) -> None:
    assert [f"{k.name} for {k.arch}: {k.stack} bytes" for k in kernels if k.stack] == []


def test_the_source_that_is_compiled_is_whole() -> None:
    """CuPy's cache knows a kernel by its text: what is included could change unnoticed."""
    for file in loader.FILES:
        assert "#include" not in loader.source(file)


@on_every_architecture
def test_what_a_kernel_costs_is_read(arch: str) -> None:
    single, double = nvrtc.compiled(PLAIN, ["twice<float>", "twice<double>"], arch)
    assert (single.name, single.arch, double.name) == ("twice<float>", arch, "twice<double>")
    assert (single.shared, double.shared) == (64 * 4, 64 * 8)
    assert 0 < single.registers < 64
    assert (single.spilled, single.stack) == (0, 0)


@on_every_architecture
def test_a_kernel_that_spills_is_noticed(arch: str) -> None:
    (kernel,) = nvrtc.compiled(SPILLS, ["spills"], arch)
    assert kernel.registers == 64
    assert kernel.spilled > 96
    assert kernel.stack > 0


@pytest.mark.parametrize(("source", "name"), [(INDEXES, "indexes"), (CALLS, "calls")], ids=["indexes", "calls"])
@on_every_architecture
def test_an_array_in_memory_is_noticed(source: str, name: str, arch: str) -> None:
    (kernel,) = nvrtc.compiled(source, [name], arch)
    assert kernel.spilled == 0
    assert kernel.stack >= 16 * 4


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("__syncthreads()", "__syncthreads();", r'twice\.cu\(5\): error: expected a ";"'),
        ("= INFINITY;", "= x[threadIdx.x];", r'twice\.cu\(3\): error: identifier "INFINITY" is undefined'),
    ],
    ids=["a missing semicolon", "a name that nvcc knows"],
)
def test_an_error_names_the_line(wrong: str, right: str, message: str) -> None:
    with pytest.raises(nvrtc.CompileError, match=message):
        nvrtc.compiled(PLAIN.replace(right, wrong), ["twice<float>"], "sm_90", name="twice.cu")


def test_an_instantiation_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(nvrtc.CompileError, match=r'identifier "thrice" is undefined'):
        nvrtc.compiled(PLAIN, ["thrice<float>"], "sm_90")


def test_an_unknown_architecture_is_an_error() -> None:
    with pytest.raises(nvrtc.CompileError, match="invalid value for --gpu-architecture"):
        nvrtc.compiled(PLAIN, ["twice<float>"], "sm_1")


def test_the_table() -> None:
    assert doctest.testmod(nvrtc) == (0, 1)


def test_a_log_that_is_not_understood_is_no_success() -> None:
    log = "Compiling entry function '_Z1fv' for 'sm_90'\nptxas info: all is well\n"
    with pytest.raises(ValueError, match="says nothing of _Z1fv that is understood"):
        list(nvrtc.parsed(log, {"_Z1fv": "f"}))
