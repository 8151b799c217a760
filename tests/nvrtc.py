"""Compiles CUDA for a GPU that is not there, and reads what the compiler says each kernel costs.

    python -m tests.nvrtc  # the table: every kernel for every architecture, with registers, spills and shared memory

The compiler is NVRTC, which compiles the kernels on a user's machine too: it is stricter than nvcc (no `INFINITY`, no
headers), so only it shows that the kernels will compile there. It comes in wheels (the extra `kernels`) and needs
neither a GPU nor a driver. To machine code it gives a report of ptxas, the assembler: how many registers a thread
takes, which of them it must spill to memory, and how large its stack is. A stack without spills is an array that is
indexed by something the compiler does not know, and so lies in memory, hundreds of times as far as a register.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from minigrad.kernels.cuda import loader

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
# What CuPy adds to the options of a RawModule.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")


class CompileError(Exception):
    """The compiler refused; the text is its log, which names file and line."""


@dataclass(frozen=True)
class Kernel:
    """What the assembler says of one kernel; sizes in bytes, of a thread but for `shared`, of a block."""

    name: str  # the name expression: conv<float, 2>
    arch: str
    registers: int
    spilled: int  # stored to memory and loaded from it for want of registers
    stack: int  # memory for what has no register: spills, and arrays indexed by unknown numbers
    shared: int  # known at compile time; what a launch asks for comes on top


def why_not() -> str | None:
    """Why nothing can be compiled here; None when it can."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()  # loads the library, which comes in a wheel of its own
    except (ImportError, RuntimeError) as error:
        return f"NVRTC is not installed here: {str(error).partition(chr(10))[0]}"
    return None


def compiled(
    source: str, expressions: Sequence[str], arch: str, options: Sequence[str] = (), name: str = "kernel.cu"
) -> list[Kernel]:
    """Compile a module as CuPy would; what its kernels cost, in the order of the name expressions.

    Raises:
        CompileError: with the compiler's log.
    """
    from cuda.bindings import nvrtc

    def ask(function, *arguments):
        status, *found = function(*arguments)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise CompileError(f"{function.__name__}: {status.name}")
        return found[0] if found else None

    program = ask(nvrtc.nvrtcCreateProgram, source.encode(), name.encode(), 0, [], [])
    try:
        for expression in expressions:
            ask(nvrtc.nvrtcAddNameExpression, program, expression.encode())
        given = [*options, *CUPY_OPTIONS, f"-arch={arch}", "--ptxas-options=-v"]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(given), [option.encode() for option in given])
        log = bytearray(ask(nvrtc.nvrtcGetProgramLogSize, program))
        ask(nvrtc.nvrtcGetProgramLog, program, log)
        text = log.rstrip(b"\0").decode()
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise CompileError(text)
        lowered = {ask(nvrtc.nvrtcGetLoweredName, program, e.encode()).decode(): e for e in expressions}
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    kernels = {kernel.name: kernel for kernel in parsed(text, lowered)}
    return [kernels[expression] for expression in expressions]


def parsed(log: str, names: dict[str, str]) -> Iterator[Kernel]:
    """The kernels in a log of `ptxas -v`, under their name expressions; functions that one calls count as its own."""
    # The first piece is what comes before the first kernel; then a mangled name and what is said of it take turns.
    _, *pieces = re.split(r"Compiling entry function '(\w+)' for '(\w+)'", log)
    for mangled, arch, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
        used = re.search(r"Used (\d+) registers", text)
        if not frames or used is None:
            raise ValueError(f"ptxas says nothing of {mangled} that is understood:\n{text}")
        shared, stack = re.search(r"(\d+) bytes smem", text), re.search(r"(\d+) bytes cumulative stack size", text)
        yield Kernel(
            names[mangled],
            arch,
            int(used[1]),
            sum(int(stores) + int(loads) for _, stores, loads in frames),
            int(stack[1]) if stack else sum(int(frame) for frame, _, _ in frames),
            int(shared[1]) if shared else 0,
        )


def module(file: str, ctype: str, arch: str) -> list[Kernel]:
    """One module of the loader's, compiled."""
    return compiled(
        loader.source(file), loader.expressions(file, ctype), arch, loader.OPTIONS, f"{file}.cu for {ctype}"
    )


def everything() -> list[Kernel]:
    """Every kernel that minigrad can launch, for every architecture."""
    work = [(file, ctype, arch) for file in loader.FILES for ctype in loader.DTYPES for arch in ARCHITECTURES]
    # NVRTC lets one thread of a process compile at a time, so it takes processes to use two cores.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return [kernel for kernels in pool.map(module, *zip(*work, strict=True)) for kernel in kernels]


def table(kernels: list[Kernel]) -> str:
    """A line for each kernel and architecture: how many instantiations there are, and the most that one of them takes.

    >>> print(table([Kernel("fold<float, 1>", "sm_80", 48, 0, 0, 0), Kernel("fold<float, 2>", "sm_80", 55, 0, 0, 0)]))
    kernel  compiled for  instantiations  registers  spilled  stack  shared
    fold    sm_80                      2      48-55        0      0       0
    """
    rows: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in kernels:
        rows.setdefault((kernel.name.partition("<")[0], kernel.arch), []).append(kernel)
    width = max(6, *(len(name) for name, _ in rows))
    lines = [f"{'kernel':{width}}  compiled for  instantiations  registers  spilled  stack  shared"]
    for (name, arch), found in sorted(rows.items(), key=lambda row: (row[0][0], ARCHITECTURES.index(row[0][1]))):
        registers = f"{min(k.registers for k in found)}-{max(k.registers for k in found)}"
        spilled, stack, shared = (max(getattr(k, what) for k in found) for what in ("spilled", "stack", "shared"))
        lines.append(f"{name:{width}}  {arch:12}{len(found):>16}{registers:>11}{spilled:>9}{stack:>7}{shared:>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    if reason := why_not():
        raise SystemExit(reason)
    print(table(everything()))
