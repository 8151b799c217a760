"""What do skip connections do for the gradient? Its norm in each layer of ResNet-34, with them and without.

Four networks of 34 layers at their first weights: with shortcuts and plain, each with batch norm and without. Without
batch norm every layer begins as PyTorch's Conv2d does. One batch goes forward and back, and the gradient of each
convolution's weight is divided by the weight's own norm, so that layers of all sizes compare. The median of several
seeds is plotted.

    python bench/skip_connections.py    # a table, bench/results/skip_connections.json and .svg
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import models, nn

RESULTS = Path(__file__).parent / "results"
SEEDS = 5
NETWORKS = {
    "shortcuts, batch norm": {"shortcut": "B", "batch_norm": True},
    "plain, batch norm": {"shortcut": "none", "batch_norm": True},
    "shortcuts, no batch norm": {"shortcut": "B", "batch_norm": False},
    "plain, no batch norm": {"shortcut": "none", "batch_norm": False},
}


def gradients(seed: int, **options: object) -> list[float]:
    """For each 3x3 (and the first 7x7) convolution, in order: |gradient| / |weight|."""
    mg.manual_seed(seed)
    net = models.resnet34(num_classes=10, **options)
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((8, 3, 64, 64)).astype(np.float32)
    mg.cross_entropy(net(images), rng.integers(0, 10, 8)).backward()
    found = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            gradient, weight = (v.numpy().astype(np.float64) for v in (module.weight.grad, module.weight.detach()))
            found.append(float(np.linalg.norm(gradient) / np.linalg.norm(weight)))
    return found


def plot(rows: dict[str, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "minigrad"  # the same picture gives the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
    for (name, values), color in zip(rows.items(), ("#4c78a8", "#9ecae9", "#e45756", "#ff9d98"), strict=True):
        axes.semilogy(range(1, len(values) + 1), values, label=name, color=color, linewidth=2)
    axes.set_xlabel("convolution, counted from the image")
    axes.set_ylabel("|gradient| / |weight|")
    axes.set_title("The gradient in each layer of a network of 34 layers, at its first weights", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    rows = {}
    for name, options in NETWORKS.items():
        each = [gradients(seed, **options) for seed in range(SEEDS)]
        rows[name] = [statistics.median(layer) for layer in zip(*each, strict=True)]
        print(f"{name:26} first layer {rows[name][0]:9.2e}   last layer {rows[name][-1]:9.2e}")
    ratio = {
        kind: rows[f"shortcuts, {kind}"][0] / rows[f"plain, {kind}"][0] for kind in ("batch norm", "no batch norm")
    }
    for kind, value in ratio.items():
        print(f"{kind}: the first layer's gradient is {value:.3g} times as large with shortcuts")
    RESULTS.mkdir(exist_ok=True)
    data = {"seeds": SEEDS, "first layer, with shortcuts to plain": ratio, "gradient to weight": rows}
    (RESULTS / "skip_connections.json").write_text(json.dumps(data, indent=1) + "\n")
    plot(rows, RESULTS / "skip_connections.svg")


if __name__ == "__main__":
    main()
