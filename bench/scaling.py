"""Does training stay linear? Time and memory of a step as the batch, the images, the channels and the depth grow.

ResNets with the stem for CIFAR: ResNet-18 on growing batches of 32x32, on 8 growing images, and with growing channels,
and ResNet-18 to 152 on 8 images of 32x32. A step does work in proportion to the multiply-adds of its forward pass
(`models.summary`), so the time for a thousand million of them should stay what it is, or fall where products get
larger; memory should grow no faster than the batch or the pixels. A step to the next row that takes more than 1.25
times as long for each multiply-add is marked: a cliff. (From ResNet-34 to 50 the blocks change: half of the
multiply-adds is in 1x1 layers then, of which Winograd saves none.) One thread, CPU time;
PyTorch beside, in the faster of its formats, where torchvision has the network: its ResNets have one width.

    python bench/scaling.py               # tables, bench/results/scaling.json and .svg
    python bench/scaling.py --only depth  # one series; nothing is written
    python bench/scaling.py --quick       # the first two rows of each, one turn; nothing is written
"""

from __future__ import annotations

import argparse
import statistics
from itertools import pairwise
from pathlib import Path

from harness import Figures, compare, load, save, spread, versions
from train import NETS, Net, agree, start

CLIFF = 1.25
TOLERANCE = 5e-4  # of a loss: through ResNet-152, PyTorch's two formats differ by 8.5e-5
BASE = NETS["resnet18"]._replace(batch=8)
STEM = BASE.options
SERIES: dict[str, dict[str, Net]] = {
    "batch": {str(n): BASE._replace(batch=n) for n in (4, 8, 16, 32, 64, 128)},
    "image size": {str(n): BASE._replace(size=n) for n in (16, 24, 32, 48, 64, 96)},
    "channels": {str(int(64 * w)): BASE._replace(options={**STEM, "width": w}) for w in (0.25, 0.5, 1, 1.5, 2, 3)},
    "depth": {str(n): BASE._replace(name=f"resnet{n}") for n in (18, 34, 50, 101, 152)},
}


def multiply_adds(net: Net) -> int:
    """Of the forward pass of the batch."""
    from minigrad import models

    model = models.get(net.name, num_classes=net.classes, **net.options)
    return net.batch * models.summary(model, (net.channels, net.size, net.size)).totals.multiply_adds


def measure(net: Net, rounds: int) -> dict:
    """Time and memory of a step, of both frameworks; their losses are compared first."""
    names = ["minigrad"] if net.options.get("width", 1) != 1 else ["minigrad", "torch", "torch channels last"]
    processes = [start(name, net, 1) for name in names]
    losses = {p.name: p.ask(what="losses") for p in processes}
    if len(names) > 1:
        agree({name: found[:1] for name, found in losses.items()}, TOLERANCE)  # bench/train.py compares steps, too
    memory = {p.name: p.ask(what="memory") for p in processes}
    turns = [{p.name: p.ask(what="step", calls=2)[0] for p in processes} for _ in range(rounds)]
    for p in processes:
        p.close()
    work = multiply_adds(net)
    row: dict = {"net": net._asdict(), "multiply-adds": work}
    for name in names:
        times = [turn[name] for turn in turns]
        ms = statistics.median(times)
        row[name] = {"ms": ms, "spread": spread(times), "memory": memory[name], "ms for 10^9": ms / work * 1e9}
    return row


def run(series: str, rounds: int, rows: int | None) -> dict[str, dict]:
    """Measure and print one series."""
    print(f"\n{series:12}{'10^9 multiply-adds':>20}{'ms':>9}{'':6}{'ms for 10^9':>12}{'MiB':>7}", end="")
    print(f"{'PyTorch: ms for 10^9':>24}{'MiB':>7}")
    found: dict[str, dict] = {}
    before = 0.0
    for label, net in list(SERIES[series].items())[:rows]:
        row = found[label] = measure(net, rounds)
        own = row["minigrad"]
        line = f"{label:12}{row['multiply-adds'] / 1e9:20.2f}{own['ms']:9.0f}{own['spread']:5.0%} "
        line += f"{own['ms for 10^9']:12.1f}{own['memory'] / 2**20:7.0f}"
        others = [row[name] for name in row if name.startswith("torch")]
        if others:
            other = min(others, key=lambda cell: cell["ms"])
            line += f"{other['ms for 10^9']:24.1f}{other['memory'] / 2**20:7.0f}"
        print(line + ("  CLIFF" if before and own["ms for 10^9"] > CLIFF * before else ""), flush=True)
        before = own["ms for 10^9"]
    return found


def figures(results: dict) -> Figures:
    """For each series: the largest step up of the time for a multiply-add, and of memory from first to last row."""
    found = {}
    for series, rows in results["series"].items():
        rates = [row["minigrad"]["ms for 10^9"] for row in rows.values()]
        found[f"{series}: largest step up of the time"] = max(after / before for before, after in pairwise(rates))
        first, *_, last = rows.values()
        found[f"{series}: last memory / first"] = last["minigrad"]["memory"] / first["minigrad"]["memory"]
    return found


def plot(results: dict, path: Path) -> None:
    """Time for a multiply-add, and memory, along each series."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "minigrad"  # the same picture gives the same file
    from matplotlib import pyplot as plt

    series = results["series"]
    figure, axes = plt.subplots(2, len(series), figsize=(2.6 * len(series), 4.6), layout="constrained", squeeze=False)
    colors = {"minigrad": "#4c78a8", "torch": "#f58518", "torch channels last": "#54a24b"}
    for (name, rows), (above, below) in zip(series.items(), axes.T, strict=True):
        for framework, color in colors.items():
            cells = {int(label): row[framework] for label, row in rows.items() if framework in row}
            style = {"color": color, "markersize": 4, "label": framework.replace("torch", "PyTorch")}
            above.plot(list(cells), [cell["ms for 10^9"] for cell in cells.values()], "o-", **style)
            below.plot(list(cells), [cell["memory"] / 2**20 for cell in cells.values()], "o-", **style)
        above.set_ylim(0)
        above.set_title(name, fontsize=10)
        for ax in (above, below):
            ax.set_xscale("log")
            ax.set_xticks([int(label) for label in rows], list(rows), fontsize=7)
            ax.minorticks_off()
            ax.spines[["top", "right"]].set_visible(False)
        below.set_yscale("log", base=2)
        below.yaxis.set_major_formatter("{x:.0f}")
    axes[0, 0].set_ylabel("ms of a step for\n10^9 multiply-adds")
    axes[1, 0].set_ylabel("memory, MiB")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", frameon=False, fontsize=8, ncols=3)
    figure.savefig(path, metadata={"Date": None}, format="svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES), help="series (all)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each framework (3)")
    parser.add_argument("--quick", action="store_true", help="two rows of each series, one turn; nothing is written")
    args = parser.parse_args()
    about, before = versions("torch", "torchvision"), load()
    rounds = 1 if args.quick else args.rounds
    series = {name: run(name, rounds, 2 if args.quick else None) for name in args.only}
    results = {"versions": about, "rounds": rounds, "load": [before, load()], "series": series}
    if args.quick:
        return
    compare("scaling", figures, results)
    if len(series) == len(SERIES):
        save("scaling", results, lambda path: plot(results, path))


if __name__ == "__main__":
    main()
