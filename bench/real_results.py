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
    "NiN": (["nin", *FASHION, "--epochs", "2", "--width", "0.5", "--size", "96"], [0], 0.790),
}


def run(arguments: list[str], seed: int) -> dict[str, Any]:
    """Train once, and read what the run says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "minigrad.models", "train", *arguments]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        options = ["--seed", str(seed), "--out", folder + "/run"]
        subprocess.run([*command, *options], check=True, env=environment)
        return json.loads(Path(folder, "run", "results.json").read_text())


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
    print("| network | command | test accuracy | seconds | in the book |\n|---|---|---|---|---|")
    for name, row in found.items():
        accuracies = ", ".join(f"{value:.2%}" for value in row["test_top1"])
        seconds = ", ".join(f"{value:.0f}" for value in row["seconds"])
        book = "" if row["published"] is None else f"{row['published']:.1%}"
        print(f"| {name} | `{row['command']}` | {accuracies} | {seconds} | {book} |")


if __name__ == "__main__":
    main()
