"""How fast are the optimizers? Steps per second on the parameters of ResNet-18, against PyTorch.

The parameters are 11,689,512 numbers in 62 tensors: 21 weights that hold nearly all of them, and 41 small tensors that
show what a call costs. Each framework runs in a process of its own, on one thread, and the processes take turns (A B A
B ...). A turn gives the fastest of a few steps by CPU time, the table the fastest of the turns: what comes on top is
the work of others on the machine. PyTorch is measured as a loop over the tensors (foreach=False) and as
operations on the list of them (foreach=True), and the faster of the two counts; its fused kernels, which it has for
some optimizers and must be asked for, are shown beside.

    python bench/optim.py            # both, a table, bench/results/optim.json
    python bench/optim.py minigrad   # one framework, its times as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from harness import Figures, compare, environment, load, save, versions

STEPS, ROUNDS = 7, 7
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},
    "Adam": {},
    "AdamW": {},
    "NAdam": {},
    "RMSprop": {},
    "Adagrad": {},
    "Adadelta": {},
    "LARS": {},
    "LAMB": {},
    "Lion": {},
}
VARIANTS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def resnet18() -> list[tuple[int, ...]]:
    """The shapes of its parameters, in the order of the network: each convolution is followed by a batch norm."""

    def conv(c: int, k: int, size: int) -> list[tuple[int, ...]]:
        return [(k, c, size, size), (k,), (k,)]

    shapes = conv(3, 64, 7)
    c = 64
    for k in (64, 128, 256, 512):
        shapes += conv(c, k, 3) + conv(k, k, 3) + (conv(c, k, 1) if c != k else [])
        shapes += conv(k, k, 3) + conv(k, k, 3)
        c = k
    return [*shapes, (1000, 512), (1000,)]


def fastest(step: Callable) -> float:
    """Milliseconds of CPU time; the first step, which makes what is remembered, does not count."""
    step()
    best = float("inf")
    for _ in range(STEPS):
        began = time.process_time()
        step()
        best = min(best, time.process_time() - began)
    return best * 1e3


def measure(framework: str) -> dict[str, dict[str, float]]:
    """Milliseconds per step, for each optimizer and each variant of it that there is."""
    rng = np.random.default_rng(0)
    start = [rng.standard_normal((2, *shape), dtype=np.float32) * 0.01 for shape in resnet18()]
    if framework == "minigrad":
        import minigrad as lib
        from minigrad.nn import optim

        variants: dict[str, dict] = {"minigrad": {}}
    else:
        import torch as lib
        from torch import optim

        lib.set_num_threads(1)
        variants = VARIANTS
    found: dict[str, dict[str, float]] = {}
    for name, options in OPTIMIZERS.items():
        if not hasattr(optim, name):
            continue
        for variant, extra in variants.items():
            parameters = [lib.tensor(w, requires_grad=True) for w, _ in start]
            for p, (_, g) in zip(parameters, start, strict=True):
                p.grad = lib.tensor(g)
            try:
                optimizer = getattr(optim, name)(parameters, **options, **extra)
            except TypeError:  # it has no such variant
                continue
            found.setdefault(name, {})[variant] = fastest(optimizer.step)
    return found


def one(framework: str) -> dict[str, dict[str, float]]:
    """`measure` in a fresh process."""
    run = subprocess.run(
        [sys.executable, __file__, framework], capture_output=True, text=True, check=True, env=environment(1)
    )
    return json.loads(run.stdout)


def figures(results: dict) -> Figures:
    """The ratio of each optimizer that PyTorch has too."""
    return {row["optimizer"]: row["ratio"] for row in results["rows"] if "ratio" in row}


def main() -> None:
    rounds = [_merged(one("minigrad"), one("torch")) for _ in range(ROUNDS)]
    rows = []
    print(f"{'steps per second':18}{'minigrad':>10}{'loop':>10}{'foreach':>10}{'fused':>10}{'time / PyTorch':>16}")
    for name in OPTIMIZERS:
        best = {variant: min(r[name][variant] for r in rounds) for variant in rounds[0][name]}
        row: dict[str, Any] = {"optimizer": name, "options": OPTIMIZERS[name], "ms": best}
        cells = "".join(f"{1e3 / best[v]:10.1f}" if v in best else f"{'-':>10}" for v in ("minigrad", *VARIANTS))
        if "loop" in best:
            row["ratio"] = best["minigrad"] / min(best["loop"], best["foreach"])
            cells += f"{row['ratio']:16.2f}"
        print(f"{name:18}{cells}")
        rows.append(row)
    shapes = resnet18()
    about = {"numbers": sum(map(prod, shapes)), "tensors": len(shapes), "versions": versions("torch"), "load": load()}
    compare("optim", figures, {**about, "rows": rows})
    save("optim", {**about, "rows": rows})


def _merged(ours: dict, theirs: dict) -> dict[str, dict[str, float]]:
    return {name: {**ours[name], **theirs.get(name, {})} for name in ours}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
