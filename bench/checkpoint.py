"""What does checkpointing save, and what does it cost? Peak memory and time of one training step, with and without.

32 layers `tanh(x @ w)` of width 256 on a batch of 1,024, in float32: every layer's result is 1 MiB. Once all of it is
kept; once the chain is cut into regions of 1, 2, 4, 8 and 16 layers. NumPy reports its memory to tracemalloc, so the
peak is that of the arrays, beyond the parameters and the batch that were there before. The times are measured apart,
on one thread, in turns; the fastest counts.

    python bench/checkpoint.py  # a table, and bench/results/checkpoint.json
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minigrad as mg

RESULTS = Path(__file__).parent / "results"
LAYERS, WIDTH, BATCH, ROUNDS = 32, 256, 1024, 5
REGIONS = [0, 1, 2, 4, 8, 16]  # layers in each; 0: no checkpointing


def chain(weights: list[mg.Tensor], x: mg.Tensor, region: int) -> mg.Tensor:
    """The layers, `region` of them in each checkpointed region."""

    def several(x: mg.Tensor, some: list[mg.Tensor]) -> mg.Tensor:
        for w in some:
            x = mg.tanh(x @ w)
        return x

    if not region:
        return several(x, weights)
    for i in range(0, len(weights), region):
        x = mg.checkpoint(several, x, weights[i : i + region])
    return x


def peak_of(step: Callable) -> int:
    """The most bytes that were in use at once during a step, beyond those in use before it."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    step()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


def main() -> None:
    rng = np.random.default_rng(0)
    bound = (6 / (2 * WIDTH)) ** 0.5
    weights = [
        mg.tensor(rng.uniform(-bound, bound, (WIDTH, WIDTH)).astype("f"), requires_grad=True) for _ in range(LAYERS)
    ]
    x = mg.asarray(rng.standard_normal((BATCH, WIDTH), "float32"))
    steps = {r: lambda r=r: mg.grad(chain(weights, x, r).sum(), weights) for r in REGIONS}
    expected = steps[0]()
    rows = []
    for region, step in steps.items():
        same = all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(expected, step(), strict=True))
        kept = mg.graph(chain(weights, x, region)).activation_bytes
        row = {"region": region, "kept": kept, "peak": peak_of(step), "seconds": float("inf"), "same bits": same}
        rows.append(row)
    for _ in range(ROUNDS):
        for row in rows:
            began = time.perf_counter()
            steps[row["region"]]()
            row["seconds"] = min(row["seconds"], time.perf_counter() - began)
    print(f"{'layers in a region':20}{'kept by the graph':>20}{'peak of a step':>18}{'time':>10}{'gradients':>12}")
    for row in rows:
        print(
            f"{row['region'] or 'no checkpointing':<20}{row['kept'] / 2**20:>16.1f} MiB{row['peak'] / 2**20:>14.1f} MiB"
            f"{row['seconds'] * 1000:>7.0f} ms{'same bits' if row['same bits'] else 'DIFFERENT':>12}"
        )
    RESULTS.mkdir(exist_ok=True)
    versions = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    sizes = {"layers": LAYERS, "width": WIDTH, "batch": BATCH}
    text = json.dumps({"versions": versions, **sizes, "rows": rows}, indent=1)
    (RESULTS / "checkpoint.json").write_text(text + "\n")


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:  # it is read when NumPy is imported: start again
        os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    main()
