"""How fast is convolution? Forward, input gradient and weight gradient of real layers, against PyTorch.

The layers are those of LeNet-5 (64 images of 28x28), AlexNet, VGG-16, GoogLeNet and ResNet-50 (8 images of 224x224;
all four as in torchvision), and the table of layers that the kernels were designed on. Each geometry is measured once,
and recorded with the number of times it occurs. PyTorch is measured in both of its memory formats and the faster one
counts, for each kernel by itself. minigrad's arrays lie as its networks hold them: activations as (H, W, N, C) behind
the shape (N, C, H, W), weights as (kh, kw, C, K). The input of a first layer is an image in the order of its shape, and
has no gradient.

Each framework runs in a process of its own and the two take turns (A B A B ...); a turn gives the fastest of a few
calls, the table the medians over the turns and their spread, (largest - smallest) / median. There are two views: one
thread by CPU time, two threads by wall time. Before a layer is timed the results of both are compared. At the end comes
the memory that minigrad takes beyond arguments and result, for a layer of VGG-16.

    python bench/conv.py                     # both views: tables, bench/results/conv.json and .svg
    python bench/conv.py --threads 1         # one view of it; nothing is written
    python bench/conv.py --nets lenet5 vgg16 # some networks; nothing is written
    python bench/conv.py --quick             # two turns, three small layers of each network; nothing is written
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from harness import Figures, Process, compare, environment, load, save, spread, versions

KERNELS = ("forward", "input gradient", "weight gradient")
TARGETS = {"forward": 1.3, "input gradient": 1.4, "weight gradient": 1.4}  # of VGG-16 and ResNet-50, on one thread
VIEWS = {1: "one thread, CPU time", 2: "two threads, wall time"}
TOLERANCE = 1e-4  # max|difference| / max|value|
PAUSE = 0.03  # seconds before a turn by wall time: the threads of the other process stop spinning

# For each kernel, the variants of it that a framework has: PyTorch's are its memory formats.
Table = dict[str, dict[str, Callable]]

# ---- layers ---------------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """A convolution of n square images: c channels of size x size to k channels, with a square kernel, without bias."""

    n: int
    c: int
    size: int
    k: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def name(self) -> str:
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return f"{self.c}->{self.k} {self.kernel}x{self.kernel}{stride} @{self.size} N{self.n}"

    @property
    def out(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def image(self) -> bool:
        return self.c <= 3

    @property
    def columns(self) -> int:
        """Elements of the matrix that one matrix product would need."""
        return self.n * self.c * self.kernel**2 * self.out**2

    @property
    def operations(self) -> int:
        return 2 * self.columns * self.k

    @property
    def calls(self) -> int:
        """In a turn: 20 where a call takes little time, 1 where it takes much; the same for both frameworks."""
        return 1 + min(19, int(5e9 / self.operations))

    @property
    def kernels(self) -> tuple[str, ...]:
        return tuple(k for k in KERNELS if not (self.image and k == "input gradient"))


def design() -> list[Layer]:
    """Residual layers of small images; the 3x3 layers of VGG-16 and 1x1 layers of ResNet-50 recur in these networks."""
    pairs = [(64, 32), (128, 16), (256, 8), (512, 4)]
    plain = [Layer(32, c, size, c, 3, 1, 1) for c, size in pairs]
    strided = [Layer(32, c, size, 2 * c, kernel, 2, kernel // 2) for kernel in (3, 1) for c, size in pairs[:3]]
    large = [Layer(8, c, size, c, 3, 1, 1) for c, size in [(64, 224), (128, 112), (256, 56), (512, 28)]]
    return [*plain, *strided, *large, Layer(8, 64, 56, 256, 1), Layer(8, 256, 56, 64, 1)]


def lenet5() -> list[Layer]:
    return [Layer(64, 1, 28, 6, 5, 1, 2), Layer(64, 6, 14, 16, 5)]


def alexnet() -> list[Layer]:
    small = [Layer(8, c, 13, k, 3, 1, 1) for c, k in [(192, 384), (384, 256), (256, 256)]]
    return [Layer(8, 3, 224, 64, 11, 4, 2), Layer(8, 64, 27, 192, 5, 1, 2), *small]


def vgg16() -> list[Layer]:
    layers, c, size = [], 3, 224
    for k, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(count):
            layers.append(Layer(8, c, size, k, 3, 1, 1))
            c = k
        size //= 2
    return layers


def googlenet() -> list[Layer]:
    """With the two auxiliary classifiers; torchvision's branch of 5x5 kernels has 3x3 kernels."""
    layers = [Layer(8, 3, 224, 64, 7, 2, 3), Layer(8, 64, 56, 64, 1), Layer(8, 64, 56, 192, 3, 1, 1)]
    inceptions = [  # size, input, 1x1, 3x3 reduced, 3x3, "5x5" reduced, "5x5", after pooling
        (28, 192, 64, 96, 128, 16, 32, 32), (28, 256, 128, 128, 192, 32, 96, 64),
        (14, 480, 192, 96, 208, 16, 48, 64), (14, 512, 160, 112, 224, 24, 64, 64), (14, 512, 128, 128, 256, 24, 64, 64),
        (14, 512, 112, 144, 288, 32, 64, 64), (14, 528, 256, 160, 320, 32, 128, 128),
        (7, 832, 256, 160, 320, 32, 128, 128), (7, 832, 384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    for size, c, one, reduced3, three, reduced5, five, pooled in inceptions:
        layers += [Layer(8, c, size, k, 1) for k in (one, reduced3, reduced5, pooled)]
        layers += [Layer(8, reduced3, size, three, 3, 1, 1), Layer(8, reduced5, size, five, 3, 1, 1)]
    return [*layers, Layer(8, 512, 4, 128, 1), Layer(8, 528, 4, 128, 1)]


def resnet50() -> list[Layer]:
    layers, c, size = [Layer(8, 3, 224, 64, 7, 2, 3)], 64, 56
    for width, count in [(64, 3), (128, 4), (256, 6), (512, 3)]:
        for block in range(count):
            stride = 2 if block == 0 and width > 64 else 1
            if block == 0:
                layers.append(Layer(8, c, size, 4 * width, 1, stride))
            layers += [Layer(8, c, size, width, 1), Layer(8, width, size, width, 3, stride, 1)]
            c, size = 4 * width, size // stride
            layers.append(Layer(8, width, size, c, 1))
    return layers


NETS = {f.__name__: f for f in (lenet5, alexnet, vgg16, googlenet, resnet50, design)}

# ---- in a framework's own process -----------------------------------------------------------------------------------


def inputs(layer: Layer) -> list[np.ndarray]:
    """x, w and g, the same numbers in every process; all results are of order 1, but for the weight gradient."""
    rng = np.random.default_rng(0)
    shapes = (
        (layer.n, layer.c, layer.size, layer.size),
        (layer.k, layer.c, layer.kernel, layer.kernel),
        (layer.n, layer.k, layer.out, layer.out),
    )
    x, w, g = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    w /= math.sqrt(layer.c * layer.kernel**2)
    return [x, w, g]


def ordered(x: np.ndarray, *order: int) -> np.ndarray:
    """The same array, with its axes in memory in this order, slowest first."""
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def ours(layer: Layer) -> Table:
    import minigrad as mg

    x, w, g = inputs(layer)
    if not layer.image:
        x = ordered(x, 2, 3, 0, 1)
    w, g = ordered(w, 2, 3, 1, 0), ordered(g, 2, 3, 0, 1)
    options = {"stride": layer.stride, "padding": layer.padding}
    calls: dict[str, Callable] = {
        "forward": lambda: mg.conv(x, w, **options),
        "input gradient": lambda: mg.conv_input(w, g, x.shape, **options),
        "weight gradient": lambda: mg.conv_weight(x, g, w.shape, **options),
    }
    return {kernel: {"pixels first": calls[kernel]} for kernel in layer.kernels}


def theirs(layer: Layer) -> Table:
    import torch

    arrays = [torch.from_numpy(array) for array in inputs(layer)]
    pairs = [[layer.stride] * 2, [layer.padding] * 2, [1, 1]]
    table: Table = {kernel: {} for kernel in layer.kernels}
    for form in ("contiguous_format", "channels_last"):
        x, w, g = (array.contiguous(memory_format=getattr(torch, form)) for array in arrays)

        def gradient(which: int, x=x, w=w, g=g) -> torch.Tensor:
            mask = [which == i for i in range(3)]
            return torch.ops.aten.convolution_backward(g, x, w, None, *pairs, False, [0, 0], 1, mask)[which]

        calls: dict[str, Callable] = {
            "forward": lambda x=x, w=w: torch.nn.functional.conv2d(x, w, None, *pairs),
            "input gradient": lambda gradient=gradient: gradient(0),
            "weight gradient": lambda gradient=gradient: gradient(1),
        }
        for kernel in layer.kernels:
            table[kernel][form] = calls[kernel]
    return table


def fastest(run: Callable, calls: int, clock: Callable[[], float]) -> float:
    """Milliseconds of the fastest of several calls."""
    best = math.inf
    for _ in range(calls):
        began = clock()
        run()
        best = min(best, clock() - began)
    return best * 1e3


def check(table: Table, folder: Path) -> dict[str, float]:
    """How far the results are from those that the first process to come here left in the folder, for each kernel."""
    errors = {}
    for kernel, variants in table.items():
        file = folder / f"{kernel}.npy"
        found = []
        for run in variants.values():
            result = np.ascontiguousarray(run())
            if not file.exists():
                np.save(file, result)
            expected = np.load(file)
            if result.shape != expected.shape:
                raise SystemExit(f"{kernel}: shapes {result.shape} and {expected.shape}")
            found.append(np.abs(result - expected).max() / np.abs(expected).max())
        errors[kernel] = float(np.max(found))  # nan, if one is
    return errors


def work(framework: str, threads: int) -> None:
    """Answer requests, one a line: a layer to prepare and check, or a number of calls of each kernel to time."""
    clock = time.process_time if threads == 1 else time.perf_counter
    if framework == "torch":
        import torch

        torch.set_num_threads(threads)
    table: Table = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "layer" in request:
            table.clear()  # the arrays of the layer before
            table = (ours if framework == "minigrad" else theirs)(Layer(*request["layer"]))
            answer: dict = check(table, Path(request["folder"]))
        else:
            time.sleep(PAUSE if threads > 1 else 0)
            answer = {
                kernel: {order: fastest(run, request["calls"], clock) for order, run in variants.items()}
                for kernel, variants in table.items()
            }
        print(json.dumps(answer), flush=True)


# ---- workspace ------------------------------------------------------------------------------------------------------


def peak(kernel: str) -> None:
    """Print the most bytes in use at once during the first call in this process, beyond arguments and result."""
    run = ours(vgg16()[1])[kernel]["pixels first"]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    result = run()
    print(tracemalloc.get_traced_memory()[1] - before - result.nbytes)


def workspace() -> dict:
    """`peak` of each kernel, in a process of its own."""
    layer = vgg16()[1]
    found = {}
    for kernel in KERNELS:
        command = [sys.executable, __file__, "--peak", kernel]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment(1))
        found[kernel] = int(run.stdout)
    print(f"\nworkspace of {layer.name}, beyond arguments and result:")
    for kernel, size in found.items():
        print(f"  {kernel:18}{size / 2**20:8.1f} MiB, {size / (4 * layer.columns):.1%} of the full columns")
    print(f"  {'full columns':18}{4 * layer.columns / 2**20:8.1f} MiB")
    return {"layer": layer.name, "peak bytes": found, "full columns": 4 * layer.columns}


# ---- both together --------------------------------------------------------------------------------------------------


def start(framework: str, threads: int) -> Process:
    return Process(framework, threads, __file__, "--work", framework, "--threads", str(threads))


def measure(layer: Layer, processes: list[Process], rounds: int) -> dict:
    """The row of a layer: for each kernel the times of both, and the ratio to PyTorch's faster format."""
    with tempfile.TemporaryDirectory() as folder:
        differences = [p.ask(layer=layer, folder=folder) for p in processes]
    errors = {kernel: float(np.max([found[kernel] for found in differences])) for kernel in layer.kernels}
    for kernel, error in errors.items():
        if not error <= TOLERANCE:  # or nan
            raise SystemExit(f"{layer.name}, {kernel}: the results differ by {error:.1e} of the largest value")
    turns = [{p.name: p.ask(calls=layer.calls) for p in processes} for _ in range(rounds)]
    found = {}
    for kernel in layer.kernels:
        cell: dict = {"error": errors[kernel]}
        for framework, first in turns[0].items():
            series = {order: [turn[framework][kernel][order] for turn in turns] for order in first[kernel]}
            order, values = min(series.items(), key=lambda item: statistics.median(item[1]))
            cell[framework] = {"order": order, "ms": statistics.median(values), "spread": spread(values)}
        cell["ratio"] = cell["minigrad"]["ms"] / cell["torch"]["ms"]
        found[kernel] = cell
    return {"layer": layer.name, "geometry": layer._asdict(), "kernels": found}


def view(threads: int, nets: list[str], rounds: int, quick: bool) -> dict:
    """Measure and print all layers of these networks."""
    print(f"\n{VIEWS[threads]}; ms and spread, ratio to PyTorch's faster memory format, lower is better")
    print(f"{'':28}" + "".join(f"{kernel:^32}" for kernel in KERNELS))
    print(f"{'':28}" + f"{'minigrad':>10}{'PyTorch':>12}{'ratio':>10}" * 3)
    rows: dict[Layer, dict] = {}
    processes = [start(framework, threads) for framework in ("minigrad", "torch")]
    for net in nets:
        print(net)
        counts = Counter(NETS[net]())
        layers = sorted(counts, key=lambda layer: layer.operations)[:3] if quick else list(counts)
        for layer in layers:
            if layer not in rows:
                rows[layer] = {"networks": {}, **measure(layer, processes, rounds)}
            rows[layer]["networks"][net] = counts[layer]
            cells = ""
            for kernel in KERNELS:
                cell = rows[layer]["kernels"].get(kernel)
                for framework in ("minigrad", "torch") if cell else ():
                    cells += f"{cell[framework]['ms']:8.2f}{cell[framework]['spread']:5.0%}"
                cells += f"{cell['ratio']:6.2f}" if cell else " " * 32
            print(f"{counts[layer]:2}x {layer.name:24}{cells}", flush=True)
    for process in processes:
        process.close()
    cells = [cell for row in rows.values() for cell in row["kernels"].values()]
    print(f"the results of both differ by at most {max(cell['error'] for cell in cells):.1e} of the largest value")
    for framework in ("minigrad", "torch"):
        spreads = [cell[framework]["spread"] for cell in cells]
        print(
            f"spread of the times of {framework}: median {statistics.median(spreads):.0%}, largest {max(spreads):.0%}"
        )
    means = summary(list(rows.values()), nets)
    if threads == 1:
        print("targets for vgg16 and resnet50: " + ", ".join(f"{k} {target}" for k, target in TARGETS.items()))
    return {"means": means, "rows": list(rows.values())}


def summary(rows: list[dict], nets: list[str]) -> dict[str, dict]:
    """For each network and kernel: means over its geometries and over its layers, and the ratio of the summed times."""
    groups = {net: [net] for net in nets}
    if {"vgg16", "resnet50"} <= set(nets):
        groups["vgg16 and resnet50"] = ["vgg16", "resnet50"]
    means: dict[str, dict] = {}
    print(f"\n{'ratios':20}" + "".join(f"{kernel:^27}" for kernel in KERNELS))
    print(f"{'geometric mean over':20}" + f"{'geometries':>12}{'layers':>8}{'sum':>6} " * 3)
    for group, members in groups.items():
        means[group] = {}
        line = f"{group:20}"
        for kernel in KERNELS:
            counted = [
                (sum(row["networks"].get(net, 0) for net in members), row["kernels"].get(kernel)) for row in rows
            ]
            cells = [cell for count, cell in counted if count and cell]
            layers = [cell for count, cell in counted if cell for _ in range(count)]
            found = {
                "geometries": statistics.geometric_mean(cell["ratio"] for cell in cells),
                "layers": statistics.geometric_mean(cell["ratio"] for cell in layers),
                "sum": sum(cell["minigrad"]["ms"] for cell in layers) / sum(cell["torch"]["ms"] for cell in layers),
            }
            means[group][kernel] = found
            line += f"{found['geometries']:12.2f}{found['layers']:8.2f}{found['sum']:6.2f} "
        print(line)
    return means


# ---- report ---------------------------------------------------------------------------------------------------------


def about() -> dict[str, str]:
    import torch

    return {**versions("torch"), "simd": torch.backends.cpu.get_cpu_capability()}


def figures(results: dict) -> Figures:
    """The means over the geometries of each network."""
    return {
        f"{net}, {kernel}, {VIEWS[int(threads)].partition(',')[0]}": mean["geometries"]
        for threads, found in results["threads"].items()
        for net, kernels in found["means"].items()
        for kernel, mean in kernels.items()
    }


def plot(views: dict[int, dict], path: Path) -> None:
    """For each network and kernel, a dot for every geometry and a bar at their geometric mean."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "minigrad"  # the same picture gives the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(views), 1, figsize=(7.5, 3.4 * len(views)), layout="constrained", squeeze=False)
    styles = dict(zip(KERNELS, [("#4c78a8", "o"), ("#f58518", "s"), ("#54a24b", "^")], strict=True))
    for ax, (threads, found) in zip(axes[:, 0], views.items(), strict=True):
        nets = [net for net in found["means"] if net in NETS]
        for kernel, (color, marker) in styles.items():
            shift = (KERNELS.index(kernel) - 1) * 0.26
            for i, net in enumerate(nets):
                cells = [row["kernels"].get(kernel) for row in found["rows"] if net in row["networks"]]
                ratios = [cell["ratio"] for cell in cells if cell]
                label = kernel if i == 0 else None
                style = {"color": color, "alpha": 0.5, "markersize": 4, "zorder": 4}
                ax.plot([i + shift] * len(ratios), ratios, marker, label=label, **style)
                mean = found["means"][net][kernel]["geometries"]
                ax.plot([i + shift - 0.11, i + shift + 0.11], [mean] * 2, color=color, linewidth=2.5)
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
                place = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center"}
                ax.annotate(f"{mean:.2f}", (i + shift, mean), fontsize=7, bbox=box, **place)
        ax.axhline(1, color="black", linewidth=1)
        ax.set_yscale("log")
        ticks = [t for t in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16) if ax.get_ylim()[0] <= t <= ax.get_ylim()[1]]
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.yaxis.minorticks_off()
        ax.set_xticks(range(len(nets)), nets)
        ax.set_ylabel("minigrad / PyTorch, time")
        ax.set_title(f"Convolution layers, {VIEWS[threads]}, lower is better", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=8, ncols=3
    )
    figure.savefig(path, metadata={"Date": None}, format="svg")


def report(args: argparse.Namespace) -> None:
    found = about()
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    before = load()  # of the other programs: two threads want an idle machine
    print(f"load of the machine before the start: {before}")
    threads = [1, 2] if args.threads == "both" else [int(args.threads)]
    views = {t: view(t, args.nets, 2 if args.quick else args.rounds, args.quick) for t in threads}
    memory = workspace()
    results = {
        "versions": found,
        "rounds": args.rounds,
        "load before": before,
        "targets": TARGETS,
        "threads": {str(t): found for t, found in views.items()},
        "workspace": memory,
    }
    if args.quick:
        return
    compare("conv", figures, results)
    if len(set(args.nets)) == len(NETS) and len(threads) == len(VIEWS):
        save("conv", results, lambda path: plot(views, path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each framework (5)")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS), help="networks (all)")
    parser.add_argument("--threads", choices=["1", "2", "both"], default="both", help="views (both)")
    parser.add_argument("--quick", action="store_true", help="two turns, the three smallest layers of each network")
    parser.add_argument("--work", choices=["minigrad", "torch"], help=argparse.SUPPRESS)
    parser.add_argument("--peak", choices=KERNELS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, int(args.threads))
    elif args.peak:
        peak(args.peak)
    else:
        report(args)


if __name__ == "__main__":
    main()
