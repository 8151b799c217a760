"""What do the networks reach on real images? Trains each by the command line, and tables what it says on the test set.

    python bench/real_results.py [--only NAME] [--out bench/results/real_results.json]

Nothing is tuned on the test set: one recipe, `default`, for all; a tenth of the training set chooses the epoch; the
test set is looked at once, at the end of each run. Networks that would take hours on two cores are scaled: `--width`
thins all layers, `--size` is that of the images. Beside the results stand those that Dive into Deep Learning prints for
its own variants, which differ in optimizer, size and number of epochs: a band, not a target. One BLAS thread, so that a
seed gives the same bits on a busy machine too; the times are wall times, of a machine that had other work as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
FASHION = ["--data", "fashion-mnist"]
# name: the arguments of `minigrad train`, the seeds, and the test accuracy that Dive into Deep Learning prints
RUNS: dict[str, tuple[list[str], list[int], float | None]] = {
    "LeNet-5 on digits": (["lenet5", "--data", "digits", "--epochs", "20", "--batch-size", "32"], [0, 1, 2], None),
    "LeNet-5": (["lenet5", *FASHION, "--epochs", "10"], [0, 1, 2], 0.779),
    "ResNet-18": (["resnet18", *FASHION, "--epochs", "3", "--width", "0.5", "--size", "28"], [0], 0.893),
    "AlexNet": (["alexnet", *FASHION, "--epochs", "3", "--width", "0.25", "--size", "64"], [0], 0.883),
    "GoogLeNet": (["googlenet", *FASHION, "--epochs", "3", "--width", "0.25", "--size", "32"], [0], 0.886),
    "VGG-11": (["vgg11", *FASHION, "--epochs", "2", "--width", "0.25", "--size", "32"], [0], 0.920),
    "NiN": (
        ["nin", *FASHION, "--epochs", "2", "--width", "0.5", "--size", "96", "--option", "last_relu=false"],
        [0],
        0.790,
    ),
}


def run(arguments: list[str], seed: int) -> dict[str, Any]:
    """Train once, and read what the run says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "minigrad.models", "train", *arguments]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        options = ["--seed", str(seed), "--out", folder + "/run"]
        subprocess.run([*command, *options], check=True, env=environment)
        return json.loads(Path(folder, "run", "results.json").read_text())


def plot(found: dict[str, Any], path: Path) -> None:
    """The accuracies of each network, a dot for each seed, and those of the book."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "minigrad"  # the same picture gives the same file
    from matplotlib import pyplot as plt

    rows = [(name, row) for name, row in found.items() if row["published"] is not None]
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    for y, (_, row) in enumerate(rows):
        accuracies = [100 * value for value in row["test_top1"]]
        axes.plot(
            accuracies, [y] * len(accuracies), "o", color="#4c78a8", label="minigrad, each seed" if y == 0 else None
        )
        axes.plot(100 * row["published"], y, "|", color="#e45756", markersize=16, markeredgewidth=2,
                  label="in the book, at its sizes" if y == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("test accuracy on Fashion-MNIST, %")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="center left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Run all, or one, and add the results to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RUNS, help="one of the networks")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "real_results.json")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in [options.only] if options.only else RUNS:
        arguments, seeds, published = RUNS[name]
        results = [run(arguments, seed) for seed in seeds]
        found[name] = {
            "command": "minigrad train " + " ".join(arguments),
            "seeds": seeds,
            "test_top1": [result["test"]["top1"] for result in results],
            "validation_top1": [result["validation"]["top1"] for result in results],
            "epoch_of_weights": [result["epoch_of_weights"] for result in results],
            "seconds": [round(result["seconds_of_training"], 1) for result in results],
            "published": published,
            "machine": {"python": platform.python_version(), "numpy": np.__version__, "cores": os.cpu_count()},
        }
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    plot(found, options.out.with_suffix(".svg"))
    print("| network | `minigrad train` | test accuracy, % | in the book | minutes |\n|---|---|---|---|---|")
    for name, row in found.items():
        accuracies = ", ".join(f"{100 * value:.2f}" for value in row["test_top1"])
        minutes = ", ".join(f"{seconds / 60:.1f}" for seconds in row["seconds"])
        book = "" if row["published"] is None else f"{100 * row['published']:.1f}"
        print(f"| {name} | `{row['command'].removeprefix('minigrad train ')}` | {accuracies} | {book} | {minutes} |")


if __name__ == "__main__":
    main()
