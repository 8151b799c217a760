"""How fast is training? Whole steps of six networks, and predictions with them, against PyTorch.

A step is forward, loss, backward and SGD with momentum: LeNet-5 on 64 images of 28x28, ResNet-18 with the stem for
CIFAR on 32 of 32x32, and AlexNet, VGG-16, GoogLeNet (with its two heads) and ResNet-50 on 8 of 224x224. "Predict" is
the forward pass in evaluation mode, without recording. PyTorch runs torchvision's models in each of its memory formats,
and the faster one counts, for each number by itself. It comes fresh: no `torch.compile`, float32 throughout. JAX,
tinygrad and MyGrad are measured beside them where they are installed (`pip install jax tinygrad mygrad`; tinygrad wants
clang, too), on the networks that bench/peers.py has for them.

All begin with the same weights and the same batch. Before anything is timed, each takes three steps without dropout,
and the losses must agree: the first checks the forward pass, the others the gradients and the optimizer. The steps that
are timed have dropout.

Each framework and format runs in a process of its own; they take turns (A B C A B C ...). The table has medians over
the turns and their spread, (largest - smallest) / median. There are two views: one thread by CPU time, which the other
programs of the machine hardly change, and all cores by wall time, which wants an idle machine. Memory is the most that
a process had at once during training, less what it had after its imports.

    python bench/train.py                       # both views: tables, bench/results/train.json and .svg
    python bench/train.py --threads 1           # one view of it; nothing is written
    python bench/train.py --only lenet5 vgg16   # some networks; nothing is written
    python bench/train.py --quick               # two turns, two small images, to see that it runs; nothing is written
    python bench/train.py --profile             # where the time of a step goes, one thread; nothing is written
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import json
import pstats
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import peers
from harness import CORES, Figures, Process, compare, load, peak_memory, save, spread, versions

FRAMEWORKS = ("minigrad", "torch", "torch channels last")
VIEWS = {1: "", CORES: f"all {CORES} cores, wall time"} | {1: "one thread, CPU time"}  # which is what one core has
TARGETS = {  # ratio of a training step, and of its memory: what must be, what is aimed at
    "lenet5": (1.3, 0.9),
    "resnet18": (0.85, 0.6),
    "alexnet": (1.0, 0.75),
    "vgg16": (0.6, 0.4),
    "googlenet": (1.25, 0.9),
    "resnet50": (1.25, 0.9),
    "predict": (1.0, 0.7),
    "memory": (1.3, 1.0),
}
PHASES = ("forward", "backward", "update")
STEPS = 3  # that are compared
TOLERANCE = 1e-4  # of a loss, relative to PyTorch's
PAUSE = 0.03  # seconds before a turn by wall time: the threads of the other processes stop spinning

# ---- networks -------------------------------------------------------------------------------------------------------


class Net(NamedTuple):
    """A network of this name in `minigrad.models` and in torchvision, and what it is trained on."""

    name: str
    batch: int
    size: int
    small: int  # the size of a quick run
    channels: int = 3
    classes: int = 1000
    lr: float = 1e-3
    options: dict[str, Any] = {}  # of minigrad's model; of PyTorch's only stem="cifar"  # noqa: RUF012

    @property
    def quick(self) -> Net:
        return self._replace(batch=2, size=self.small)


# The losses after a step are compared, too, so that a step must not be a leap. At 1e-3 AlexNet's loss goes from 26 to
# 7 and back to 19, and what Winograd's rounding does to a few ReLUs shows in the fourth digit (im2col agrees to six);
# that of VGG-16 goes from 22 to 5 to 13, and even im2col differs in the third. At these steps the losses still move
# by 7e-4 to 0.3 of themselves, and agree to 5e-5.
NETS = {
    net.name: net
    for net in (
        Net("lenet5", 64, 28, 28, channels=1, classes=10, lr=0.01),
        Net("resnet18", 32, 32, 16, classes=10, lr=1e-5, options={"stem": "cifar"}),
        Net("alexnet", 8, 224, 64, lr=1e-5),
        Net("vgg16", 8, 224, 32, lr=1e-5),
        Net("googlenet", 8, 224, 128, lr=1e-4),
        Net("resnet50", 8, 224, 128, lr=3e-6),
    )
}


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The first value of an entry of a state dict: drawn from its name alone, the same numbers in every process."""
    if len(shape) > 1:  # of a convolution or a linear layer: K. He et al., 2015
        draws = np.random.default_rng(list(key.encode())).standard_normal(shape, dtype=np.float32)
        draws *= (2 / np.prod(shape[1:])) ** 0.5
        return draws
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    ones = key.endswith(("weight", "running_var"))
    return np.ones(shape, np.float32) if ones else np.zeros(shape, np.float32)


def batch(net: Net) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((net.batch, net.channels, net.size, net.size), dtype=np.float32)
    return images, rng.integers(0, net.classes, net.batch)


def torchvision() -> ModuleType:
    """Its models, without registrations for a compiled library, which the wheel beside this PyTorch lacks."""
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
    return importlib.import_module("torchvision.models")


def torch_lenet5() -> Any:
    """`models.lenet5()` in PyTorch, with the keys of its state dict; torchvision has none."""
    from torch import nn

    net = nn.Module()
    net.features = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)
    )
    net.classifier = nn.Sequential(
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)
    )
    net.forward = lambda x: net.classifier(net.features(x))
    return net


def torch_model(net: Net) -> Any:
    """torchvision's model; the stem for CIFAR is put in its place."""
    from torch import nn

    if net.name == "lenet5":
        return torch_lenet5()
    options = {"init_weights": False} if net.name in ("vgg16", "googlenet") else {}
    model = getattr(torchvision(), net.name)(num_classes=net.classes, **options)
    if net.options.get("stem") == "cifar":
        model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return model


# ---- a framework ----------------------------------------------------------------------------------------------------


class Training:
    """A model, its batch and its optimizer. minigrad has the names of PyTorch, so that one class serves both."""

    def __init__(self, net: Net, lib: ModuleType, optim: ModuleType, model: Any, images: Callable, labels: Callable):
        self.lib = lib
        self.model = model
        self.optimizer = optim.SGD(list(model.parameters()), lr=net.lr, momentum=peers.MOMENTUM)
        x, target = batch(net)
        self.images, self.labels = images(x), labels(target)
        self.cross_entropy = getattr(lib, "cross_entropy", None) or lib.nn.functional.cross_entropy

    def loss(self) -> Any:
        """With heads in the middle of the network, theirs count 0.3 each."""
        outputs = self.model(self.images)
        if not isinstance(outputs, tuple):
            return self.cross_entropy(outputs, self.labels)
        logits, *heads = (self.cross_entropy(output, self.labels) for output in outputs)
        return logits + 0.3 * sum(heads)

    def step(self, clock: Callable[[], float] = time.perf_counter) -> tuple[float, list[float]]:
        """One step of training: its loss, and the seconds of each phase."""
        times = [clock()]
        loss = self.loss()
        times.append(clock())
        self.optimizer.zero_grad()
        loss.backward()
        times.append(clock())
        self.optimizer.step()
        times.append(clock())
        return float(loss.detach()), [after - before for before, after in pairwise(times)]

    def predict(self, clock: Callable[[], float] = time.perf_counter) -> float:
        """One forward pass as users predict; its seconds."""
        self.model.eval()
        began = clock()
        with self.lib.no_grad():
            self.model(self.images)
        took = clock() - began
        self.model.train()
        return took

    def losses(self, steps: int) -> list[float]:
        """Of some steps without dropout."""
        drops = [m for m in self.model.modules() if "Dropout" in type(m).__name__]
        before = [drop.p for drop in drops]
        for drop in drops:
            drop.p = 0.0
        found = [self.step()[0] for _ in range(steps)]
        for drop, p in zip(drops, before, strict=True):
            drop.p = p
        return found


def ours(net: Net) -> Training:
    import minigrad as mg
    from minigrad import models
    from minigrad.nn import optim

    model = models.get(net.name, num_classes=net.classes, **net.options)
    model.load_state_dict({key: weight(key, value.shape) for key, value in model.state_dict().items()})
    return Training(net, mg, optim, model, mg.tensor, mg.tensor)


def theirs(net: Net, form: str = "contiguous_format") -> Training:
    import torch

    memory_format = getattr(torch, form)
    model = torch_model(net)
    model.load_state_dict({k: torch.from_numpy(weight(k, tuple(v.shape))) for k, v in model.state_dict().items()})
    model = model.to(memory_format=memory_format)

    def as_input(images: np.ndarray) -> Any:
        return torch.from_numpy(images).contiguous(memory_format=memory_format)

    return Training(net, torch, torch.optim, model, as_input, torch.from_numpy)


def build(framework: str, net: Net) -> Training | peers.Peer:
    if framework == "minigrad":
        return ours(net)
    if framework in peers.KINDS:
        return peers.build(framework, net, weight, *batch(net))
    return theirs(net, "channels_last" if framework.endswith("channels last") else "contiguous_format")


def agree(losses: dict[str, list[float]], tolerance: float = TOLERANCE) -> float:
    """The largest difference of a loss from PyTorch's, relative to it; an error where it is more than rounding."""
    expected = np.array(losses["torch"])
    errors = {name: np.abs(found - expected) / expected for name, found in losses.items()}
    if not all((error <= tolerance).all() for error in errors.values()):  # or nan
        raise SystemExit("the losses differ: " + "; ".join(f"{name} {found}" for name, found in losses.items()))
    return float(max(error.max() for error in errors.values()))


def work(framework: str, net: Net, threads: int) -> None:
    """Answer requests, one a line."""
    clock = time.process_time if threads == 1 else time.perf_counter
    if framework in peers.KINDS:
        peers.KINDS[framework].prepare(threads)
    elif framework == "minigrad":
        import minigrad as lib
        from minigrad import models, nn  # noqa: F401
    else:
        import torch as lib

        lib.set_num_threads(threads)
        torchvision()
    imported = peak_memory()
    training = build(framework, net)
    for line in sys.stdin:
        request = json.loads(line)
        what, calls = request["what"], request.get("calls", 1)
        answer: Any
        if what == "losses":
            answer = training.losses(STEPS)
            training.step(clock)  # one with dropout, before the memory is read
        elif what == "memory":
            answer = peak_memory() - imported
        elif what == "profile":
            answer = (profile if framework == "minigrad" else torch_profile)(training)
        else:
            time.sleep(PAUSE if threads > 1 else 0)
            if what == "step":
                turns = np.array([training.step(clock)[1] for _ in range(calls)]) * 1e3
                answer = [float(np.median(turns.sum(1))), *np.median(turns, axis=0).tolist()]  # the whole, and phases
            else:
                answer = float(np.median([training.predict(clock) for _ in range(calls)])) * 1e3
        print(json.dumps(answer), flush=True)


# ---- where the time goes --------------------------------------------------------------------------------------------


class Stopwatch:
    """Adds up the CPU time of nested pieces of work, each without the pieces inside of it."""

    def __init__(self) -> None:
        self.seconds: Counter[tuple[str, ...]] = Counter()
        self.calls: Counter[tuple[str, ...]] = Counter()
        self.stack: list[tuple[str, ...]] = []
        self.since = 0.0

    def lap(self) -> None:
        now = time.process_time()
        if self.stack:
            self.seconds[self.stack[-1]] += now - self.since
        self.since = now

    @contextmanager
    def piece(self, *name: str) -> Iterator[None]:
        self.lap()
        self.stack.append(name)
        self.calls[name] += 1
        try:
            yield
        finally:
            self.lap()
            self.stack.pop()


def profile(training: Training, steps: int = 3) -> dict[str, Any]:
    """Milliseconds of a step by op, and by op and shapes; and by function of Python, as cProfile has it.

    An op's rules count as it, in the backward phase, but for the ops that they call. What is neither in an op nor in a
    rule is the phase itself: the engine adding gradients, the modules, and what their forward methods do beside ops.
    """
    from minigrad import engine

    watch = Stopwatch()
    compute, run_rules = engine._compute, engine._run_rules

    def shapes(values: Any) -> str:
        found = [value.shape for value in values if getattr(value, "ndim", 0) > 1]
        return " ".join("x".join(map(str, shape)) for shape in found[:2])

    def timed_compute(op: Any, values: tuple, raw: list) -> Any:
        with watch.piece(phase, op.name, shapes(raw)):
            return compute(op, values, raw)

    def timed_rules(node: Any, g: Any, saved: list, *rest: Any) -> list:
        with watch.piece(phase, node.plan.op.name, shapes([g])):
            return run_rules(node, g, saved, *rest)

    engine._compute, engine._run_rules = timed_compute, timed_rules
    try:
        for _ in range(steps):
            phase = "forward"
            with watch.piece(phase, "(engine and modules)", ""):
                loss = training.loss()
            phase = "backward"
            with watch.piece(phase, "(engine and modules)", ""):
                training.optimizer.zero_grad()
                loss.backward()
            phase = "update"
            with watch.piece(phase, "SGD", ""):
                training.optimizer.step()
    finally:
        engine._compute, engine._run_rules = compute, run_rules
    named: Counter[tuple[str, ...]] = Counter()
    for name, seconds in watch.seconds.items():
        named[name[:2]] += seconds
    tracer = cProfile.Profile(time.process_time)
    tracer.runcall(lambda: [training.step() for _ in range(steps)])
    functions: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(tracer).stats.items():  # type: ignore[attr-defined]
        place = "/".join(Path(file).parts[-2:]) if "minigrad" in file or "/nn/" in file else Path(file).name
        functions[f"{place}:{function}"] += own
    in_ms = 1e3 / steps
    return {
        "ops": [[" ".join(name), s * in_ms] for name, s in named.most_common()],
        "calls": [[" ".join(name), s * in_ms, watch.calls[name] // steps] for name, s in watch.seconds.most_common(16)],
        "functions": [[name, s * in_ms] for name, s in functions.most_common(16)],
    }


def torch_profile(training: Training, steps: int = 3) -> dict[str, Any]:
    """Milliseconds of a step by PyTorch's own op, each without those inside of it."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    with record(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            training.step()
    ops = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    return {"ops": [[row.key, row.self_cpu_time_total / 1e3 / steps] for row in ops[:16]]}


def profiles(nets: list[Net]) -> None:
    """Print where the time of a step goes in minigrad, and in PyTorch."""
    for net in nets:
        for framework in FRAMEWORKS:
            process = start(framework, net, 1)
            process.ask(what="losses")
            ms, *phases = process.ask(what="step", calls=3)
            shares = ", ".join(f"{phase} {took:.1f}" for phase, took in zip(PHASES, phases, strict=True))
            print(f"\n== {net.name}, {framework}: {ms:.1f} ms a step ({shares})")
            for title, rows in process.ask(what="profile").items():
                print(f"-- {title}")
                for name, own, *count in rows[:16]:
                    print(f"{own:9.2f} ms {own / ms:5.0%}  {name}" + "".join(f"  ({n} calls)" for n in count))
            process.close()


# ---- all together ---------------------------------------------------------------------------------------------------


def start(framework: str, net: Net, threads: int) -> Process:
    given = ["--work", framework, "--net", json.dumps(net), "--threads", str(threads)]
    return Process(framework, threads, __file__, *given)


def cell(series: dict[str, list[float]]) -> dict:
    """Medians and spreads of all, and the ratio of minigrad to PyTorch's faster memory format."""
    found: dict[str, Any] = {
        name: {"ms": statistics.median(values), "spread": spread(values)} for name, values in series.items()
    }
    return {**found, "ratio": found["minigrad"]["ms"] / min(found[name]["ms"] for name in FRAMEWORKS[1:])}


def measure(net: Net, threads: int, rounds: int, others: list[str]) -> dict:
    """The row of a network in one view."""
    others = [name for name in others if net.name in peers.KINDS[name].networks]
    processes = [start(framework, net, threads) for framework in (*FRAMEWORKS, *others)]
    before = load()
    error = agree({p.name: p.ask(what="losses") for p in processes})
    memory = {p.name: p.ask(what="memory") for p in processes}
    longest = max(p.ask(what="step")[0] for p in processes)
    calls = max(1, min(20, int(300 / longest)))
    steps: dict[str, list] = {p.name: [] for p in processes}
    predictions: dict[str, list] = {p.name: [] for p in processes}
    for _ in range(rounds):
        for p in processes:
            steps[p.name].append(p.ask(what="step", calls=calls))
        for p in processes:
            predictions[p.name].append(p.ask(what="predict", calls=calls))
    for p in processes:
        p.close()
    phases = [{name: [turn[i] for turn in steps[name]] for name in FRAMEWORKS} for i in range(1, 1 + len(PHASES))]
    return {
        "net": net._asdict(),
        "step": cell({name: [turn[0] for turn in turns] for name, turns in steps.items()}),
        "phases": {phase: cell(column) for phase, column in zip(PHASES, phases, strict=True)},
        "predict": cell(predictions),
        "memory": {**memory, "ratio": memory["minigrad"] / min(memory[name] for name in FRAMEWORKS[1:])},
        "error of the losses": error,
        "load": [before, load()],
    }


def view(threads: int, nets: list[Net], rounds: int, others: list[str]) -> dict[str, dict]:
    """Measure and print all networks."""
    print(f"\n{VIEWS[threads]}; ms and spread, ratio to PyTorch's faster memory format, lower is better")
    print(f"{'':11}{'a step of training':^50}{'ratios of its phases':^24}{'predict':^23}{'memory, MiB':^22}")
    titles = f"{'minigrad':>12}{'PyTorch':>15}{'channels last':>15}{'ratio':>8}" + "".join(f"{p:>9}" for p in PHASES)
    print(f"{'':11}{titles}{'minigrad':>10}{'ratio':>9}{'minigrad':>12}{'ratio':>8}{'load':>7}")
    rows = {}
    for net in nets:
        row = rows[net.name] = measure(net, threads, rounds, others)
        line = f"{net.name:11}"
        for framework in FRAMEWORKS:
            line += f"{row['step'][framework]['ms']:9.1f}{row['step'][framework]['spread']:5.0%} "
        line += f"{row['step']['ratio']:8.2f}" + "".join(f"{row['phases'][p]['ratio']:9.2f}" for p in PHASES)
        line += f"{row['predict']['minigrad']['ms']:10.1f}{row['predict']['ratio']:9.2f}"
        line += f"{row['memory']['minigrad'] / 2**20:12.0f}{row['memory']['ratio']:8.2f}{row['load'][1]:7.1f}"
        print(line, flush=True)
    worst = max(row["error of the losses"] for row in rows.values())
    print(f"the losses of the first {STEPS} steps differ by at most {worst:.1e} of PyTorch's")
    if any(name in row["step"] for name in others for row in rows.values()):
        print(f"\n{'a step of training in ms, and the ratio of minigrad to it':^{11 + 24 * len(others)}}")
        print(f"{'':11}" + "".join(f"{name:>18}{'ratio':>6}" for name in others))
        for name, row in rows.items():
            print(f"{name:11}" + "".join(other_cell(row["step"], other) for other in others))
    return rows


def other_cell(step: dict, name: str) -> str:
    """Of the table of the other frameworks; not every one has every network."""
    if name not in step:
        return f"{'-':>24}"
    return f"{step[name]['ms']:18.1f}{step['minigrad']['ms'] / step[name]['ms']:6.2f}"


def figures(results: dict) -> Figures:
    """The ratios, by name, of the two views and of memory."""
    found = {}
    for threads, rows in results["threads"].items():
        for name, row in rows.items():
            for what in ("step", "predict"):
                found[f"{name}, {what}, {'1 thread' if int(threads) == 1 else 'all cores'}"] = row[what]["ratio"]
            if int(threads) == 1:
                found[f"{name}, memory"] = row["memory"]["ratio"]
    return found


def plot(results: dict, path: Path) -> None:
    """For each network the ratio of a step, of a prediction and of memory, with what must be."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "minigrad"  # the same picture gives the same file
    from matplotlib import pyplot as plt

    views = results["threads"]
    figure, axes = plt.subplots(len(views), 1, figsize=(7.5, 3.2 * len(views)), layout="constrained", squeeze=False)
    colors = {"step": "#4c78a8", "predict": "#f58518", "memory": "#54a24b"}
    labels = {"step": "step of training", "predict": "prediction", "memory": "memory of training"}
    for ax, (threads, rows) in zip(axes[:, 0], views.items(), strict=True):
        for i, (what, color) in enumerate(colors.items()):
            places = [x + (i - 1) * 0.27 for x in range(len(rows))]
            ratios = [row[what]["ratio"] for row in rows.values()]
            bars = ax.bar(places, ratios, 0.25, color=color, label=labels[what])
            ax.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
            must = [TARGETS[what if what in TARGETS else name][0] for name in rows]
            label = "what must be" if i == 0 else None
            ax.plot(places, must, "_", color="black", markersize=13, markeredgewidth=1.2, label=label)
        ax.axhline(1, color="black", linewidth=1)
        ax.set_xticks(range(len(rows)), list(rows))
        ax.set_ylabel("minigrad / PyTorch")
        ax.set_title(f"Training, {VIEWS[int(threads)]}, lower is better", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", frameon=False, fontsize=8, ncols=4)
    figure.savefig(path, metadata={"Date": None}, format="svg")


def report(args: argparse.Namespace) -> None:
    about = versions("torch", "torchvision", "jax", "jaxlib", "tinygrad", "mygrad")
    print(", ".join(f"{name} {value}" for name, value in about.items()) + f", load {load()}")
    nets = [NETS[name].quick if args.quick else NETS[name] for name in args.only]
    if args.profile:
        profiles(nets)
        return
    threads = list(VIEWS) if args.threads is None else [args.threads]
    rounds = 2 if args.quick else args.rounds
    left_out = {name: why for name in peers.KINDS if (why := peers.usable(name))}
    if left_out:
        print("left out: " + "; ".join(f"{name} ({why})" for name, why in left_out.items()))
    others = [name for name in peers.KINDS if name not in left_out]
    views = {str(t): view(t, nets, rounds, others) for t in threads}
    results = {"versions": about, "rounds": rounds, "targets": TARGETS, "threads": views}
    if args.quick:
        return
    compare("train", figures, results)
    if len(nets) == len(NETS) and threads == list(VIEWS):
        save("train", results, lambda path: plot(results, path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each framework (5)")
    parser.add_argument("--only", nargs="+", choices=NETS, default=list(NETS), help="networks (all)")
    parser.add_argument("--threads", type=int, choices=VIEWS, help="one view (both)")
    parser.add_argument("--quick", action="store_true", help="two turns, two small images")
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead of how much it is")
    parser.add_argument("--work", choices=(*FRAMEWORKS, *peers.KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--net", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, Net(*json.loads(args.net)), args.threads)
    else:
        report(args)


if __name__ == "__main__":
    main()
