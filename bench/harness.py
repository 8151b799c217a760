"""What the benchmarks share: processes that take turns, files of results, and the figures committed last."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
CORES = os.cpu_count() or 1
WORSE = 1.1  # a figure this many times the committed one is marked


# ---- processes ------------------------------------------------------------------------------------------------------


def environment(threads: int) -> dict[str, str]:
    """That of a process whose libraries use so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


class Process:
    """A program that answers requests, one a line, both as JSON; the benchmarks run one for each framework."""

    def __init__(self, name: str, threads: int, script: str, *arguments: str) -> None:
        command = [sys.executable, script, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment(threads), **pipes)
        self.name = name

    def ask(self, **request: object) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} stopped at {request}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def spread(values: list[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


# ---- the machine ----------------------------------------------------------------------------------------------------


def versions(*packages: str) -> dict[str, str]:
    """Of Python, the machine, NumPy, its BLAS, and those of these packages that are installed."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cpus": str(CORES),
        "numpy": version("numpy"),
        "blas": f"{blas['name']} {blas['version']}",
    }
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load() -> float:
    """How many programs ran in the last minute, on average: wall time means something only where nothing else runs."""
    return round(os.getloadavg()[0], 2)


def peak_memory() -> int:
    """The most bytes of memory that this process has had at once."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; its ru_maxrss would count what the parent had when it forked
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# ---- results --------------------------------------------------------------------------------------------------------

Figures = dict[str, float]  # what is measured -> a number, the lower the better


def committed(name: str) -> dict | None:
    """The results of a benchmark as they were committed last; None before the first time, and outside of git."""
    command = ["git", "show", f"HEAD:./results/{name}.json"]
    run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return json.loads(run.stdout) if run.returncode == 0 else None


def compare(name: str, figures: Callable[[dict], Figures], results: dict) -> None:
    """Print the figures of these results beside those of the results that were committed last."""
    last = committed(name)
    if last is None:
        print(f"\nno results of {name} have been committed to compare with")
        return
    old, new = figures(last), figures(results)
    print(f"\n{'lower is better':44}{'committed':>11}{'now':>9}{'':3}of the committed")
    for what in new:
        if what not in old:
            print(f"{what:44}{'-':>11}{new[what]:9.2f}")
            continue
        times = new[what] / old[what]
        print(f"{what:44}{old[what]:11.2f}{new[what]:9.2f}{times:9.0%}{'  WORSE' if times > WORSE else ''}")


def save(name: str, results: dict, plot: Callable[[Path], None] | None = None) -> None:
    """Write the results, and their picture; a file is never half of one."""
    RESULTS.mkdir(exist_ok=True)
    new = RESULTS / f"{name}.new"
    new.write_text(json.dumps(results, indent=1) + "\n")
    new.replace(RESULTS / f"{name}.json")
    if plot is not None:
        plot(new)
        new.replace(RESULTS / f"{name}.svg")
