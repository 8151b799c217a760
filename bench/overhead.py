"""What does the engine itself cost? Time per op, forward and backward, on 8x8 arrays, against PyTorch.

At this size the arithmetic takes half a microsecond, so the time is the engine's: binding, recording, going back. A
chain of 100 equal ops is built and differentiated; the time is divided by 100. Each framework runs in a process of its
own, on one thread, and the processes take turns (A B A B ...); the table has medians over the rounds, their spread, and
the ratio.

    python bench/overhead.py            # both, a table, bench/results/overhead.json and .svg
    python bench/overhead.py minigrad   # one framework, its times as JSON
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness import Figures, compare, environment, load, save, versions

OPS = ["add", "multiply", "multiply by a number", "exp", "tanh", "relu", "matmul", "transpose", "sum and add"]
CHAIN, REPEATS, ROUNDS = 100, 15, 7


def steps(framework: str, device: str = "cpu") -> tuple[Callable, dict[str, Callable]]:
    """The leaf to start a chain from, and for each op the step that lengthens it."""
    import numpy as np

    rng = np.random.default_rng(0)
    leaf, constant = (rng.random((8, 8), dtype=np.float32) * 0.2 for _ in range(2))
    if framework == "minigrad":
        import minigrad as lib

        np.seterr(all="ignore")
        transpose: Callable = lambda h: h.swapaxes(0, 1)  # noqa: E731
    else:
        import torch as lib

        lib.set_num_threads(1)
        transpose = lambda h: h.transpose(0, 1)  # noqa: E731
    x, c = lib.tensor(leaf, device=device, requires_grad=True), lib.tensor(constant, device=device)
    table = {
        "add": lambda h: h + x,
        "multiply": lambda h: h * x,
        "multiply by a number": lambda h: h * 1.01,
        "exp": lib.exp,
        "tanh": lib.tanh,
        "relu": lib.relu,
        "matmul": lambda h: h @ c,
        "transpose": transpose,
        "sum and add": lambda h: h + h.sum(),
    }
    return lambda: x, table


def measure(framework: str) -> dict[str, list[float]]:
    """Microseconds per op: [forward, forward and backward], the fastest of several repeats."""
    start, table = steps(framework)
    found = {}
    for name in OPS:
        step = table[name]

        def chain(step: Callable = step) -> object:
            h = start()
            for _ in range(CHAIN):
                h = step(h)
            return h

        def both(chain: Callable = chain) -> None:
            chain().sum().backward()

        found[name] = [fastest(chain), fastest(both)]
    return found


def fastest(run: Callable) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best / CHAIN * 1e6


def one(framework: str) -> dict[str, list[float]]:
    """`measure` in a fresh process."""
    run = subprocess.run(
        [sys.executable, __file__, framework], capture_output=True, text=True, check=True, env=environment(1)
    )
    return json.loads(run.stdout)


def figures(results: dict) -> Figures:
    """The ratio of each op, and their median."""
    return {**{row["op"]: row["ratio"] for row in results["rows"]}, "median": results["median ratio"]}


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "minigrad"  # the same picture gives the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    names = [row["op"] for row in rows]
    ratios = [row["ratio"] for row in rows]
    bars = axes.barh(names[::-1], ratios[::-1], color=["#4c78a8" if r <= 1.5 else "#9ecae9" for r in ratios[::-1]])
    axes.bar_label(bars, fmt="%.2f", padding=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.axvline(1, color="black", linewidth=1)
    axes.text(1.02, len(rows) - 0.42, "PyTorch", va="bottom", fontsize=9)
    axes.set_xlim(0, max(3.0, *ratios) * 1.08)
    axes.set_xlabel("minigrad / PyTorch, time per op, forward and backward\n8x8 float32, lower is better")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None}, format="svg")


def main() -> None:
    rounds: dict[str, list[dict]] = {"minigrad": [], "torch": []}
    for _ in range(ROUNDS):
        for framework, found in rounds.items():
            found.append(one(framework))
    rows = []
    for name in OPS:
        row: dict = {"op": name}
        for framework, found in rounds.items():
            row[framework] = [statistics.median(r[name][k] for r in found) for k in (0, 1)]
            row[f"{framework} spread"] = [f(r[name][1] for r in found) for f in (min, max)]
        row["ratio"] = row["minigrad"][1] / row["torch"][1]
        rows.append(row)
    median = statistics.median(row["ratio"] for row in rows)
    print(f"{'us per op, 8x8 float32':24}{'minigrad':>22}{'PyTorch':>22}{'ratio':>8}")
    print(f"{'':24}{'forward':>9}{'both (spread)':>13}{'forward':>9}{'both (spread)':>13}{'both':>8}")
    for row in rows:
        cells = ""
        for framework in rounds:
            low, high = row[f"{framework} spread"]
            cells += f"{row[framework][0]:7.2f}{row[framework][1]:7.2f} ({low:.1f}-{high:.1f})".rjust(22)
        print(f"{row['op']:24}{cells}{row['ratio']:8.2f}")
    print(f"{'median of the ratios':24}{'':44}{median:8.2f}")
    results = {"versions": versions("torch"), "load": load(), "median ratio": median, "rows": rows}
    compare("overhead", figures, results)
    save("overhead", results, lambda path: plot(rows, path))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
