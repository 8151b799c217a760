"""CUDA kernels on the CPU: the surface of `cupy.RawModule`, with g++ behind it instead of NVRTC and a GPU.

    module = RawModule(code=source, options=("-std=c++17",), name_expressions=("row_sum<float>",))
    module.get_function("row_sum<float>")((rows,), (256,), (x, y, np.int64(columns)))

`emulator.h` says how a kernel runs. This file compiles, checks the arguments of a launch more strictly than the driver
does, and lets tests ask for more:

- `settings(order=...)` runs threads and blocks forward, in reverse or shuffled by a seed: no result may depend on it;
- `watch(array)` counts the writes that kernels report by `cudaemu::wrote`: each element must get exactly one;
- `run_sanitized("thread", "module:function")` runs a function of Python in a process where its kernels are compiled
  with AddressSanitizer or ThreadSanitizer;
- `launches` is a log.

What it cannot show: blocks run one after another, so what they do to each other at the same time is seen only in
results that change with the order; memory is as orderly as that of the CPU; registers, `__launch_bounds__` and speed
mean nothing; g++ takes some code that NVRTC refuses; of a struct only the size is compared, not where its members lie.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from operator import index
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

HEADER = Path(__file__).with_name("emulator.h")
ROOT = Path(__file__).parents[2]

# The limits of sm_80 and newer.
MAX_THREADS = 1024
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_SHARED = 227 * 1024  # of which a kernel gets this much only when it has asked for it
DEFAULT_SHARED = 48 * 1024


class CompileException(Exception):  # noqa: N818, CuPy's name
    """The kernels do not compile. Has the attributes of CuPy's."""

    def __init__(self, msg: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc"):
        super().__init__(msg)
        self.source, self.name, self.options, self.backend = source, name, options, backend


class CUDADriverError(RuntimeError):
    """A launch that the driver would refuse."""


class EmulatorError(RuntimeError):
    """A kernel did what it must not do, such as a __syncthreads that not all of its threads reach."""


# ---- what a test asks for --------------------------------------------------------------------------------------------


class Launched(NamedTuple):
    """One launch in the log."""

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_mem: int


class _Settings(NamedTuple):
    order: str | int = "forward"
    sanitize: str | None = None


launches: deque[Launched] = deque(maxlen=10_000)
_settings = _Settings()
_watches: list[_Span] = []
_one_at_a_time = threading.Lock()  # a compiled kernel has one machine


@contextmanager
def settings(order: str | int | None = None, sanitize: str | None = None) -> Iterator[None]:
    """Until the block ends, for all threads: the order of threads and blocks ("forward", "reverse" or a seed that
    shuffles), and the sanitizer ("address" or "thread", only inside `run_sanitized`); None leaves it as it is."""
    global _settings
    before = _settings
    if not (order in (None, "forward", "reverse") or (isinstance(order, int) and 0 <= order < 2**32)):
        raise ValueError(f"order must be 'forward', 'reverse' or a seed, got {order!r}")
    if sanitize is not None and not _is_loaded(sanitize):
        raise RuntimeError(f"sanitize={sanitize!r} works only in a process that run_sanitized has started")
    _settings = _Settings(
        before.order if order is None else order,
        before.sanitize if sanitize is None else sanitize,
    )
    try:
        yield
    finally:
        _settings = before


class _Span:
    """The memory of a watched array, from its first byte to its last, with a counter for each."""

    def __init__(self, array: Any):
        interface = array.__cuda_array_interface__
        address, _ = interface["data"]
        self.dtype, self.shape, strides = array.dtype, interface["shape"], interface["strides"]
        reach = [(n - 1) * s for n, s in zip(self.shape, strides, strict=True)]
        before = -sum(r for r in reach if r < 0)
        after = sum(r for r in reach if r > 0) + self.dtype.itemsize
        self.begin = address - before
        self.counts = np.zeros(before + after if array.size else 0, np.uint8)
        self.elements = np.lib.stride_tricks.as_strided(
            self.counts[before:], (*self.shape, self.dtype.itemsize), (*strides, 1), writeable=False
        )

    def complaint(self) -> str | None:
        """What is wrong with the first element, in row-major order, that was not written exactly once."""
        most, least = self.elements.max(-1, initial=0), self.elements.min(-1, initial=255)
        wrong = np.argwhere((most != 1) | (least != 1))
        if not len(wrong):
            return None
        first = tuple(wrong[0].tolist())
        times = int(most[first])
        if times == 0:
            what = "was never written"
        elif times > 1:
            what = f"was written {times} times"
        else:
            what = "was written only in part"
        return f"element {first} of {self.dtype}{list(self.shape)} {what} ({len(wrong)} such of {most.size})"


class Report:
    """How often kernels wrote each element of the watched arrays."""

    def __init__(self, arrays: Sequence[Any]):
        self.spans = [_Span(array) for array in arrays]

    def counts(self, which: int = 0) -> np.ndarray:
        """For each element of a watched array, how often it was written (255 or more count as 255)."""
        return self.spans[which].elements.max(-1, initial=0)

    def check(self) -> None:
        """Raises an AssertionError unless every element was written exactly once."""
        for number, span in enumerate(self.spans):
            if complaint := span.complaint():
                raise AssertionError(f"watched array {number}: {complaint}")


@contextmanager
def watch(*arrays: Any) -> Iterator[Report]:
    """Count what kernels write into device arrays in this block; at its end each element must have been written once.

    Kernels must report their writes by `cudaemu::wrote(pointer, bytes)`; others, by array functions, do not count.
    """
    report = Report(arrays)
    _watches.extend(report.spans)
    try:
        yield report
    finally:
        for span in report.spans:
            _watches.remove(span)
    report.check()


# ---- compiling -------------------------------------------------------------------------------------------------------

_FLAGS = ("-std=c++17", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-gnu-unique", "-ffp-contract=off")
_WARNINGS = ("-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-sign-compare")  # `#pragma unroll`, `i < blockDim.x`
_BY_SANITIZER = {
    None: ("-O2", "-Werror"),
    "address": ("-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
    "thread": ("-O1", "-fsanitize=thread"),
}
_PASSED_ON = ("-std=", "-DCUDAEMU_")
_WITHOUT_MEANING = re.compile(
    r"--?(arch|gpu-architecture|lineinfo|generate-line-info|ftz|fmad|prec-div|prec-sqrt|maxrregcount|ptxas-options"
    r"|default-device|device-as-default-execution-space|restrict|extra-device-vectorization|w)(=.*)?"
)
_EXTERN_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?"
    r"(?P<type>[\w:<>, ]*\S)\s+(?P<name>\w+)\s*\[\s*\]\s*;"
)
_LAUNCHER = """
extern "C" __attribute__((visibility("default")))
int cudaemu_launch_{number}(const cudaemu::Launch* cudaemu_launch, void** cudaemu_arguments) {{
  return cudaemu::run({name}, *cudaemu_launch, cudaemu_arguments);
}}
extern "C" __attribute__((visibility("default")))
int cudaemu_describe_{number}(cudaemu::Parameter* cudaemu_out, int cudaemu_capacity, void** cudaemu_address) {{
  *cudaemu_address = reinterpret_cast<void*>(+{name});
  return cudaemu::describe({name}, cudaemu_out, cudaemu_capacity);
}}
"""


@cache
def compiler() -> str | None:
    """The version of g++, or None where it is missing."""
    if not (shutil.which("g++") and shutil.which("nm")):
        return None
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def cache_folder() -> Path:
    """Where compiled kernels are kept; made if it is not there. What lies in it is run, so it must be one's own."""
    given = os.environ.get("MINIGRAD_EMULATOR_CACHE")
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"minigrad-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to someone else: set MINIGRAD_EMULATOR_CACHE to another folder")
    return folder


def _own_environment() -> dict[str, str]:
    """The environment for other programs, which must not run under the sanitizer that this process may run under."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def _flags(code: str, options: tuple[str, ...]) -> list[str]:
    """NVRTC's options as those of g++."""
    flags = []
    for option in options:
        if option.startswith("-I"):
            message = f"{option}: put headers into the source. Caches, CuPy's too, do not notice a change in them"
            raise CompileException(message, code, "kernels.cu", options)
        if option.startswith(_PASSED_ON):
            flags.append(option)
        elif not option.startswith("-D") and not _WITHOUT_MEANING.fullmatch(option):
            raise CompileException(f"unrecognized option {option} found", code, "kernels.cu", options)
    return flags


def _wrapper(options: tuple[str, ...], names: tuple[str, ...]) -> str:
    """What is compiled. Macros that options define come after the headers, which they must not change."""
    macros = [option.removeprefix("-D").partition("=") for option in options if option.startswith("-D")]
    lines = [f"#define {name} {value or 1}" for name, _, value in macros if not name.startswith("CUDAEMU_")]
    lines = ['#include "emulator.h"', *lines, '#include "kernels.cu"']
    lines += [_LAUNCHER.format(number=number, name=name) for number, name in enumerate(names)]
    return "\n".join(lines)


def _build(code: str, options: tuple[str, ...], names: tuple[str, ...], sanitize: str | None) -> Path:
    """The shared library with these kernels, from the cache if nothing that goes into it has changed."""
    version = compiler()
    if version is None:  # a newcomer's machine may have no compiler; `make kernels` insists on one
        pytest.skip("NOT CHECKED: the CUDA kernels; the emulator needs g++ and nm (binutils)")
    files = {
        "emulator.h": HEADER.read_text(),
        "kernels.cu": _EXTERN_SHARED.sub(r"\g<type>* \g<name> = cudaemu::dynamic_shared<\g<type>>();", code),
        "wrapper.cpp": _wrapper(options, names),
    }
    command = ["g++", *_FLAGS, *_WARNINGS, *_BY_SANITIZER[sanitize], *_flags(code, options), "wrapper.cpp"]
    ingredients = repr((version, command, files)).encode()
    library = cache_folder() / f"{hashlib.sha256(ingredients).hexdigest()}.so"
    if not library.exists():
        errors = _compile(command, files, library)
        if errors:
            raise CompileException(errors, code, "kernels.cu", options)
    return library


def _compile(command: list[str], files: dict[str, str], library: Path) -> str:
    """Make the library, all at once for whoever else looks for it; what g++ has against it."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text)
        done = subprocess.run(
            [*command, "-o", "kernels.so"], cwd=folder, env=_own_environment(), capture_output=True, text=True
        )
        if done.returncode == 0:
            Path(folder, "kernels.so").rename(library)
            return ""
        return done.stderr or f"g++ ended with {done.returncode}"


# ---- compiled kernels ------------------------------------------------------------------------------------------------


class _Memory(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Watch(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_size_t), ("size", ctypes.c_size_t), ("counts", ctypes.c_void_p)]


class _Launch(ctypes.Structure):
    """`cudaemu::Launch`."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_shared_bytes", ctypes.c_size_t),
        ("static_shared", ctypes.POINTER(_Memory)),
        ("static_shared_count", ctypes.c_size_t),
        ("watches", ctypes.POINTER(_Watch)),
        ("watch_count", ctypes.c_size_t),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("message", ctypes.c_char_p),
        ("message_size", ctypes.c_size_t),
    ]


class _Parameter(ctypes.Structure):
    """`cudaemu::Parameter`."""

    _fields_ = [("is_pointer", ctypes.c_int), ("kind", ctypes.c_char), ("size", ctypes.c_uint)]

    def __str__(self) -> str:
        kind = self.kind.decode()
        if kind == "V":
            value = f"a struct of {self.size} bytes" if self.size else "void"
        else:
            value = f"{np.dtype(f'{kind}{self.size}')}"
        return f"a pointer to {value}" if self.is_pointer else value

    def fits(self, dtype: np.dtype) -> bool:
        """Whether a value of this type can be passed, or an array of it where the parameter is a pointer.

        Signed or unsigned is not told apart, a struct may be anything of its size, and 16 bits without a sign are also
        how kernels keep halves.
        """
        kind = self.kind.decode()
        if kind == "V":
            return self.is_pointer or dtype.itemsize == self.size
        if dtype.itemsize != self.size or dtype.fields:
            return False
        if kind in "iu" and dtype.kind in "iu":
            return True
        if kind == "u" and self.is_pointer and self.size <= 2:
            return True
        return dtype.kind == kind


class _Symbol(NamedTuple):
    """A function or a variable in a library, by the name that the compiler gives it."""

    name: str
    kind: str
    address: int
    size: int

    @property
    def is_shared_variable(self) -> bool:
        """Declared as `__shared__`: only those are variables inside functions without an initial value."""
        return self.kind in "bB" and self.name.startswith("_ZZ")

    def declares(self, variable: _Symbol) -> bool:
        """Whether a variable is inside this function: its name then contains the function's."""
        own = self.name.removeprefix("_Z") if self.name.startswith("_Z") else f"{len(self.name)}{self.name}"
        return variable.name.lstrip("_Z").startswith(f"{own}E")


def _symbols(library: Path) -> list[_Symbol]:
    command = ["nm", "-S", str(library)]
    done = subprocess.run(command, env=_own_environment(), capture_output=True, text=True, check=True)
    fields = [line.split() for line in done.stdout.splitlines()]
    return [_Symbol(f[3], f[2], int(f[0], 16), int(f[1], 16)) for f in fields if len(f) == 4]


class _Entry:
    """A kernel in a loaded library."""

    def __init__(self, library: ctypes.CDLL, number: int):
        describe = getattr(library, f"cudaemu_describe_{number}")
        parameters, address = (_Parameter * 256)(), ctypes.c_void_p()
        count = describe(parameters, len(parameters), ctypes.byref(address))
        self.launch = getattr(library, f"cudaemu_launch_{number}")
        self.parameters = list(parameters[:count])
        self.address = address.value or 0
        self.shared_bytes = 0  # of the variables declared in the kernel itself
        self.shared: list[_Memory] = []  # those, and what the functions that it calls may have


class _Library:
    """A loaded library with its kernels by name."""

    def __init__(self, code: str, options: tuple[str, ...], names: tuple[str, ...], sanitize: str | None):
        path = _build(code, options, names, sanitize)
        library = ctypes.CDLL(str(path))
        self.entries = {name: _Entry(library, number) for number, name in enumerate(names)}
        self._assign_shared_variables(library, _symbols(path))
        for name, entry in self.entries.items():
            if entry.shared_bytes > DEFAULT_SHARED:
                message = f"{name} uses too much shared data ({entry.shared_bytes:#x} bytes, {DEFAULT_SHARED:#x} max)"
                raise CompileException(message, code, "kernels.cu", options)

    def _assign_shared_variables(self, library: ctypes.CDLL, symbols: list[_Symbol]) -> None:
        """Tell each kernel its shared variables; those of functions are told to all."""
        known = next(s for s in symbols if s.name == "cudaemu_describe_0") if self.entries else None
        if known is None:
            return
        base = (ctypes.cast(library.cudaemu_describe_0, ctypes.c_void_p).value or 0) - known.address
        by_address = {base + s.address: s for s in symbols if s.kind in "tTwW"}
        entries = [(by_address[entry.address], entry) for entry in self.entries.values()]
        for variable in filter(lambda s: s.is_shared_variable, symbols):
            memory = _Memory(base + variable.address, variable.size)
            owners = [entry for function, entry in entries if function.declares(variable)]
            for entry in owners:
                entry.shared_bytes += variable.size
            for entry in owners or self.entries.values():
                entry.shared.append(memory)


# ---- launching -------------------------------------------------------------------------------------------------------


def _address(array: Any) -> int | None:
    """Where a device array begins; None for anything else."""
    interface = getattr(array, "__cuda_array_interface__", None)
    return None if interface is None else interface["data"][0]


def _value_bytes(value: Any) -> np.ndarray:
    """What is passed by value, as CuPy converts it: Python numbers have 64 bits, a struct is an array of one."""
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(f"a numpy.ndarray of shape {value.shape}, where only one of size 1 is passed by value")
        return np.ascontiguousarray(value).reshape(1)
    if isinstance(value, (bool, np.generic)):
        return np.array([value])
    if isinstance(value, int):
        return np.array([value], np.int64)
    if isinstance(value, float):
        return np.array([value], np.float64)
    raise TypeError(f"{type(value).__name__}, which cannot be passed to a kernel")


def _argument(value: Any, parameter: _Parameter) -> np.ndarray:
    """The bytes that the kernel gets for an argument, which must fit the parameter."""
    address = _address(value)
    if address is not None:
        if not parameter.is_pointer or not parameter.fits(value.dtype):
            raise TypeError(f"a device array of {value.dtype}")
        return np.array([address], np.uintp)
    if parameter.is_pointer and isinstance(value, np.ndarray):
        raise TypeError("a numpy.ndarray where a device array belongs")
    made = _value_bytes(value)
    if parameter.is_pointer:
        if made.dtype.kind not in "iu" or made.dtype.itemsize != 8 or made[0] != 0:
            raise TypeError(f"{made.dtype} (of integers only 0 with 64 bits, a null pointer, is taken)")
    elif not parameter.fits(made.dtype):
        raise TypeError(f"{made.dtype} of {made.nbytes} bytes")
    return made


def _arguments(name: str, values: Sequence[Any], parameters: list[_Parameter]) -> list[np.ndarray]:
    if len(values) != len(parameters):
        raise TypeError(f"{name}: got {len(values)} arguments, takes {len(parameters)}")
    made = []
    for number, (value, parameter) in enumerate(zip(values, parameters, strict=True)):
        try:
            made.append(_argument(value, parameter))
        except TypeError as error:
            raise TypeError(f"{name}: argument {number} is {error}; the parameter is {parameter}") from None
    return made


def _sizes(what: str, given: Any) -> tuple[int, int, int]:
    """A grid or a block with all three axes."""
    if not isinstance(given, tuple):
        raise TypeError(f"{what} must be a tuple, got {type(given).__name__}")
    x, y, z = (*map(index, given), 1, 1, 1)[:3]
    return x, y, z


def _check_sizes(name: str, grid: tuple[int, int, int], block: tuple[int, int, int]) -> None:
    """CuPy makes 1 of a 0 before the driver can refuse it; here it is an error, because it is never meant."""
    for what, sizes, limits in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
        if not all(0 < size <= limit for size, limit in zip(sizes, limits, strict=True)):
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: invalid argument ({name}: {what} {sizes} must be from 1 to {limits})"
            )
    if prod(block) > MAX_THREADS:
        raise CUDADriverError(
            f"CUDA_ERROR_INVALID_VALUE: invalid argument ({name}: block {block} has more than {MAX_THREADS} threads)"
        )


def _order_and_seed() -> tuple[int, int]:
    """The setting as `cudaemu::Order` and the seed of what is shuffled."""
    order = _settings.order
    if isinstance(order, int):
        return 2, order
    return ("forward", "reverse").index(order), 0


class RawKernel:
    """A kernel to launch, with the surface of `cupy.RawKernel`."""

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        *,
        _module: RawModule | None = None,
    ):
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self._module = _module or RawModule(code=code, options=options, backend=backend)
        self._max_dynamic_shared: int | None = None

    def __call__(self, grid: tuple, block: tuple, args: Sequence, *, shared_mem: int = 0, stream: Any = None) -> None:
        """Run the kernel, to its end, whatever the stream."""
        entry = self._entry()
        sizes = _sizes("grid", grid), _sizes("block", block)
        _check_sizes(self.name, *sizes)
        most = self.max_dynamic_shared_size_bytes
        if not 0 <= shared_mem <= most:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: invalid argument ({self.name}: {shared_mem} bytes of dynamic shared "
                f"memory, max_dynamic_shared_size_bytes is {most})"
            )
        made = _arguments(self.name, args, entry.parameters)
        launches.append(Launched(self.name, *sizes, shared_mem))
        with _one_at_a_time:
            self._run(entry, _Launch(*sizes, shared_mem), made)

    def _run(self, entry: _Entry, launch: _Launch, arguments: list[np.ndarray]) -> None:
        watches = [_Watch(span.begin, span.counts.size, span.counts.ctypes.data) for span in _watches]
        message = ctypes.create_string_buffer(1000)
        launch.static_shared = (_Memory * len(entry.shared))(*entry.shared)
        launch.static_shared_count = len(entry.shared)
        launch.watches = (_Watch * len(watches))(*watches)
        launch.watch_count = len(watches)
        launch.order, launch.seed = _order_and_seed()
        launch.message = ctypes.cast(message, ctypes.c_char_p)
        launch.message_size = len(message)
        pointers = (ctypes.c_void_p * len(arguments))(*(a.ctypes.data for a in arguments))
        if not entry.launch(ctypes.byref(launch), pointers):
            raise EmulatorError(f"{self.name}: {message.value.decode()}")

    def _entry(self) -> _Entry:
        return self._module._entry(self.name)

    def compile(self, log_stream: Any = None) -> None:
        self._entry()

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        if self._max_dynamic_shared is None:
            return DEFAULT_SHARED - self.shared_size_bytes
        return self._max_dynamic_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if not 0 <= size <= MAX_SHARED - self.shared_size_bytes:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: invalid argument ({self.name}: {size} bytes of dynamic and "
                f"{self.shared_size_bytes} of static shared memory, together at most {MAX_SHARED})"
            )
        self._max_dynamic_shared = size

    @property
    def shared_size_bytes(self) -> int:
        return self._entry().shared_bytes

    @property
    def max_threads_per_block(self) -> int:
        self._entry()
        return MAX_THREADS

    @property
    def num_regs(self) -> int:
        """A GPU's registers mean nothing here."""
        self._entry()
        return 0

    @property
    def local_size_bytes(self) -> int:
        """What does not fit into registers: see `num_regs`."""
        self._entry()
        return 0


class RawModule:
    """Kernels in one source, with the surface of `cupy.RawModule`; compiled when the first one is asked for."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        name_expressions: Sequence[str] | None = None,
    ):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if code is None:
            raise NotImplementedError("the CUDA emulator cannot load compiled kernels: give the source")
        if not isinstance(options, tuple):
            raise TypeError(f"Argument 'options' has incorrect type (expected tuple, got {type(options).__name__})")
        self.code, self.options, self.backend = code, options, backend
        self.name_expressions = None if name_expressions is None else tuple(name_expressions)
        self._libraries: dict[str | None, _Library] = {}

    def get_function(self, name: str) -> RawKernel:
        """The kernel of this name: one of the name expressions or, where there are none, one that is `extern "C"`."""
        self._entry(name)
        return RawKernel(self.code, name, self.options, self.backend, _module=self)

    def compile(self, log_stream: Any = None) -> None:
        self._library()

    def _names(self) -> tuple[str, ...]:
        if self.name_expressions is not None:
            return self.name_expressions
        return tuple(
            re.findall(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)', self.code)
        )

    def _library(self) -> _Library:
        sanitize = _settings.sanitize
        if sanitize not in self._libraries:
            self._libraries[sanitize] = _Library(self.code, self.options, self._names(), sanitize)
        return self._libraries[sanitize]

    def _entry(self, name: str) -> _Entry:
        entries = self._library().entries
        if name not in entries:
            raise CUDADriverError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name}; there are {list(entries)})")
        return entries[name]


# ---- sanitizers ------------------------------------------------------------------------------------------------------

_RUNTIMES = {"address": "libasan.so", "thread": "libtsan.so"}


@cache
def _runtime(kind: str) -> str:
    """The sanitizer's library, which must be loaded before all others."""
    name = _RUNTIMES[kind]
    found = subprocess.run(
        ["g++", f"-print-file-name={name}"], env=_own_environment(), capture_output=True, text=True, check=True
    ).stdout.strip()
    if found == name:
        raise RuntimeError(f"g++ has no {name} here")
    return found


def _is_loaded(kind: str) -> bool:
    return os.environ.get("LD_PRELOAD") == _runtime(kind)


@cache
def _with_fixed_addresses() -> list[str]:
    """A prefix to a command: ThreadSanitizer fails where the kernel scatters memory too widely."""
    command = ["setarch", "-R"]
    works = shutil.which("setarch") and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else []


def run_sanitized(kind: str, target: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a function without arguments, named as "module:function", in a process whose kernels are compiled with a
    sanitizer: "address" (memory out of bounds, undefined arithmetic) or "thread" (data races). The return code is not
    0 if it found something, or if the function raised."""
    environment = os.environ | {
        "LD_PRELOAD": _runtime(kind),
        "ASAN_OPTIONS": "detect_leaks=0",
        "OPENBLAS_NUM_THREADS": "1",  # its threads' own races are none of ours
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [*_with_fixed_addresses(), sys.executable, "-m", "tests.cudaemu.emulator", "--sanitize", kind, target]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def main(arguments: list[str]) -> int:
    """`python -m tests.cudaemu.emulator --sanitize address|thread MODULE:FUNCTION`"""
    match arguments:
        case ["--sanitize", ("address" | "thread") as kind, target] if ":" in target:
            pass
        case _:
            print(main.__doc__, file=sys.stderr)
            return 2
    if not _is_loaded(kind):
        done = run_sanitized(kind, target)
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode
    # The running file is `__main__`; the kernels go through the module that everyone else imports.
    emulator = importlib.import_module("tests.cudaemu.emulator")
    module, _, function = target.partition(":")
    with emulator.settings(sanitize=kind):
        getattr(importlib.import_module(module), function)()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
