"""What does it cost to start, and what does recording cost? Import times, and an op with and without recording.

Imports: fresh processes import a package and stop; from their time that of a process that imports NumPy alone is taken
off. Processes take turns; the table has medians of CPU time and of wall time, and the spread of the CPU time. Compiled
files (.pyc) are written first, as an installed package has them.

Recording: an op on 8x8 float32 that computes alone (raw arrays), on a Tensor that needs no gradient, on one that does
under `no_grad()`, and on one that does, recorded. The bytes of a node are those that Python allocates for a chain of
tanh beside the arrays, divided by its length. PyTorch's times are shown beside where it is installed; what a node of
its takes is not known to Python.

    python bench/startup.py           # a table, and bench/results/startup.json
    python bench/startup.py --quick   # two turns; nothing is written
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Figures, Process, compare, environment, load, save, spread, versions

IMPORTS = ("numpy", "minigrad", "minigrad.nn", "minigrad.models", "torch")
FRAMEWORKS = ("minigrad", "torch")
CHAIN, REPEATS = 200, 25


def installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None


# ---- imports --------------------------------------------------------------------------------------------------------


def import_once(name: str) -> tuple[float, float]:
    """Milliseconds of CPU time and of wall time of a process that imports a package."""

    def used() -> float:
        of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return of_children.ru_utime + of_children.ru_stime

    # Where files may not be written, every start would compile the sources anew, which takes three times as long.
    options = {**environment(1), "PYTHONDONTWRITEBYTECODE": ""}
    cpu, wall = used(), time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {name}"], check=True, env=options)
    return (used() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


def imports(rounds: int) -> dict[str, dict]:
    """Of each package, net of NumPy; of NumPy, with the start of Python."""
    names = [name for name in IMPORTS if installed(name)]
    for name in names:
        import_once(name)  # writes the .pyc files, and brings the files into memory
    turns = [{name: import_once(name) for name in names} for _ in range(rounds)]
    found = {}
    for name in names:
        base = (0.0, 0.0) if name == "numpy" else (found["numpy"]["cpu ms"], found["numpy"]["wall ms"])
        cpu, wall = ([turn[name][i] for turn in turns] for i in (0, 1))
        found[name] = {
            "cpu ms": statistics.median(cpu) - base[0],
            "wall ms": statistics.median(wall) - base[1],
            "spread": spread(cpu),
        }
    return found


# ---- recording ------------------------------------------------------------------------------------------------------


def recording(framework: str) -> dict[str, float]:
    """Microseconds of `multiply` in each mode."""
    lib: Any = importlib.import_module(framework)
    values = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    plain, leaf = lib.tensor(values), lib.tensor(values, requires_grad=True)

    def chain(x: Any, y: Any) -> None:
        for _ in range(CHAIN):
            lib.multiply(x, y)

    def unrecorded() -> None:
        with lib.no_grad():
            chain(leaf, plain)

    modes: dict[str, Callable] = {
        "tensors without gradients": lambda: chain(plain, plain),
        "no_grad": unrecorded,
        "recorded": lambda: chain(leaf, plain),
    }
    if framework == "minigrad":
        modes = {"raw arrays": lambda: chain(values, values), **modes}
    return {mode: fastest(run) for mode, run in modes.items()}


def fastest(run: Callable) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best / CHAIN * 1e6


def node_bytes() -> float:
    """Bytes for each node of a chain, its arrays not counted: each `tanh` saves its result, which is an array."""
    import minigrad as mg

    x = mg.tensor(np.zeros((8, 8), np.float32), requires_grad=True)
    mg.tanh(mg.tanh(x))  # what is made once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(CHAIN):
        x = mg.tanh(x)
    found = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return found / CHAIN - x.numpy().nbytes


def work(framework: str) -> None:
    for line in sys.stdin:
        answer = recording(framework) if json.loads(line)["what"] == "recording" else {"bytes": node_bytes()}
        print(json.dumps(answer), flush=True)


# ---- report ---------------------------------------------------------------------------------------------------------


def figures(results: dict) -> Figures:
    """CPU time of imports; times of a call; bytes of a node."""
    found = {f"import {name}, ms": row["cpu ms"] for name, row in results["imports"].items() if name != "torch"}
    found |= {f"multiply, {mode}, us": us["minigrad"] for mode, us in results["recording"].items()}
    return found | {"a node, bytes": results["bytes of a node"]}


def report(rounds: int, write: bool) -> None:
    about, before = versions("torch"), load()
    rows = imports(rounds)
    print(f"{'import, net of numpy':26}{'CPU ms':>9}{'spread':>8}{'wall ms':>9}")
    for name, row in rows.items():
        print(f"{name:26}{row['cpu ms']:9.1f}{row['spread']:8.0%}{row['wall ms']:9.1f}")
    processes = [Process(name, 1, __file__, "--work", name) for name in FRAMEWORKS if installed(name)]
    turns = [{p.name: p.ask(what="recording") for p in processes} for _ in range(rounds)]
    size = processes[0].ask(what="bytes")["bytes"]
    for p in processes:
        p.close()
    calls: dict[str, dict[str, float]] = {}
    for framework in turns[0]:
        for mode in turns[0][framework]:
            calls.setdefault(mode, {})[framework] = statistics.median(turn[framework][mode] for turn in turns)
    print(f"\n{'multiply, 8x8, us':26}" + "".join(f"{name:>10}" for name in turns[0]))
    for mode, us in calls.items():
        print(f"{mode:26}" + "".join(f"{us[name]:10.2f}" if name in us else f"{'-':>10}" for name in turns[0]))
    print(f"a node of the graph takes {size:.0f} bytes beside its array")
    results = {
        "versions": about,
        "rounds": rounds,
        "load": [before, load()],
        "imports": rows,
        "recording": calls,
        "bytes of a node": size,
    }
    compare("startup", figures, results)
    if write:
        save("startup", results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two turns; nothing is written")
    parser.add_argument("--work", choices=FRAMEWORKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work)
    else:
        report(2 if args.quick else 9, not args.quick)


if __name__ == "__main__":
    main()
