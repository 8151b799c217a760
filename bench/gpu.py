"""Everything that wants a GPU, for the day there is one: is it right, how fast is it? 20 minutes, the best part first.

    make gpu OUT=folder                             # all parts with python3: tables, folder/gpu.json and the logs
    python3 bench/gpu.py --parts conv --minutes 9   # some parts, in less time; what was measured before is kept
    python3 bench/gpu.py --dry-run                  # every step on a pretended GPU, tiny: shows that the script runs

Needed are CuPy and NumPy; PyTorch, pytest and compute-sanitizer are used where they are. Nothing is installed: minigrad
is copied to a temporary folder in the shape in which it installs.

| part      | minutes | what |
|-----------|---------|------|
| ceilings  | 1       | what the GPU can do: bytes copied a second, operations of a large matrix product |
| tests     | 4       | the tests marked `gpu`: every op and kernel against the CPU, training, streams, memory |
| sanitizer | 3       | one small call of each kernel under compute-sanitizer: accesses out of bounds, races |
| conv      | 6       | the layers of ResNet-50, VGG-16, AlexNet and LeNet-5, and their gradients, in float32 |
| pool      | 2       | pooling and its gradients |
| training  | 3       | images a second: LeNet-5, and a residual network of 20 layers |
| engine    | 1       | memory at its peak, kernels launched, microseconds of Python an op |

Convolution is compared with PyTorch, that is with cuDNN: in both memory formats, of which the faster counts, with its
search for the fastest algorithm (Winograd's included) and without TF32. It is also compared with the floor, the larger
of two times: the operations at the rate of a matrix product, and each array read or written once at the rate of a copy.
Times are medians, between CUDA events, of calls that take turns with sets of random data larger than the cache, while
the GPU is kept busy long enough for Python to run ahead.

Each step is written to gpu.json before the next begins, so a run that is cut off leaves what it has. A step that breaks
the process (after an illegal access a GPU answers no more) is written down, and the rest goes on in a new one.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
MINUTES = {"ceilings": 1, "tests": 4, "sanitizer": 3, "conv": 6, "pool": 2, "training": 3, "engine": 1}
NETS = {"resnet50": 256, "vgg16": 64, "alexnet": 512, "lenet5": 4096}  # images in a batch
TOLERANCE = 1e-4  # of the norm: float32 added up in another order, a million terms in a weight gradient
SETS = 128 * 2**20  # bytes that the sets of data have together; the cache of an H100 has 50 MiB
FORMATS = ("channels_last", "contiguous_format")
BROKEN = 3  # the exit status of a worker whose GPU answers no more
GRACE = 10  # seconds that a worker gets beyond its time, to finish a step
ENDED = "the process ended here"  # the result of a step until it has another

Step = tuple[str, Callable[[], dict]]

# ---- results --------------------------------------------------------------------------------------------------------


class Results:
    """What has been measured: `gpu.json` in a folder, whole at any moment."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gpu.json"
        self.data: dict = {"parts": {}, "notes": {}}
        if self.path.exists():
            self.data = json.loads(self.path.read_text())

    def save(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=1) + "\n")
        new.replace(self.path)

    def begin(self, about: dict, parts: list[str]) -> None:
        """Forget what is about to be measured again, and everything if it comes from elsewhere."""
        if self.data.get("about") != about:
            self.data = {"about": about, "parts": {}, "notes": {}}
        for part in parts:
            self.data["parts"].pop(part, None)
            self.data["notes"].pop(part, None)
        self.save()

    def part(self, name: str) -> dict[str, dict]:
        return self.data["parts"].setdefault(name, {})

    def note(self, part: str, text: str) -> None:
        self.data["notes"].setdefault(part, []).append(text)
        self.save()
        print(f"{part}: {text}", flush=True)


# ---- the driver: never asks for the GPU itself, so nothing that happens there can stop it ---------------------------


def copy_tree(folder: Path) -> None:
    """The packages as they install, with the tests and this script, in a folder to put on PYTHONPATH."""
    ignore = shutil.ignore_patterns("__pycache__", "results", ".*")
    for name in ("minigrad", "tests", "bench", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("nn", "models"):
        shutil.copytree(ROOT / name, folder / "minigrad" / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)


class Driver:
    """Runs the parts one after another, each in processes of its own, within its time."""

    def __init__(self, args: argparse.Namespace, tree: Path) -> None:
        self.args, self.tree, self.results = args, tree, Results(args.out)
        self.end = time.monotonic() + 60 * args.minutes
        old = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(tree), *([old] if old else [])])
        self.env = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}

    def command(self, work: str, seconds: float = 0) -> list[str]:
        options = ["--out", str(self.args.out.absolute()), "--work", work, "--seconds", str(seconds)]
        dry = ["--dry-run"] if self.args.dry_run else []
        return [sys.executable, str(self.tree / "bench" / "gpu.py"), *options, *dry]

    def call(self, command: list[str], seconds: float, log: str | None = None) -> int | None:
        """The exit status, or None where the time ran out; the output goes to a file in the folder, if one is named."""
        with (self.args.out / log if log else Path(os.devnull)).open("w") as file:
            streams: dict = {"stdout": file, "stderr": subprocess.STDOUT} if log else {}
            # A group of its own: what it starts ends with it.
            process = subprocess.Popen(command, cwd=self.tree, env=self.env, process_group=0, **streams)
            try:
                return process.wait(max(seconds, 1))
            except subprocess.TimeoutExpired:
                return None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def about(self) -> dict:
        """Versions and the device, or under "reason" why there is none."""
        run = subprocess.run(self.command("about"), cwd=self.tree, env=self.env, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            raise SystemExit("minigrad cannot be imported here; the error is above")
        return json.loads(run.stdout.splitlines()[-1])

    def run(self) -> int:
        about = self.about()
        if about["reason"] is not None:
            print(f"no GPU here: {about['reason']}\n`--dry-run` walks through every step on a pretended one")
            return 1
        parts = [part for part in MINUTES if part in ("ceilings", *self.args.parts)]
        self.results.begin(about, parts)
        print(", ".join(f"{name} {value}" for name, value in about.items() if value is not None), flush=True)
        other = {"tests": self.tests, "sanitizer": self.sanitizer}
        for part in parts:
            began = time.monotonic()
            seconds = min(60 * MINUTES[part], self.end - began)
            if seconds < 5:
                self.results.note(part, "not begun: no time was left")
                continue
            print(f"\n---- {part}: at most {seconds / 60:.1f} minutes", flush=True)
            if part in other:
                other[part](seconds)
            else:
                self.steps(part, seconds)
            print(f"---- {part}: {time.monotonic() - began:.0f} s", flush=True)
        return 1 if failures(self.results.data) else 0

    def steps(self, part: str, seconds: float) -> None:
        """Workers until the steps of a part are done: where one breaks, the next begins with the step after."""
        end, known = time.monotonic() + seconds, -1
        while time.monotonic() < end:
            left = end - time.monotonic()
            status = self.call(self.command(part, left), left + GRACE)
            self.results = Results(self.args.out)
            found = len(self.results.data["parts"].get(part, {}))
            if status == 0:
                return
            if status is None:
                for step in self.results.part(part).values():
                    if step.get("error") == ENDED:
                        step.clear()
                        step["skipped"] = "cut off"
                self.results.note(part, f"cut off after {seconds:.0f} s")
            elif found == known:
                self.results.note(part, f"given up: the process ended with status {status} before its first step")
                return
            known = found

    def tests(self, seconds: float) -> None:
        """Those marked `gpu`, in several processes where pytest can: most of the time goes into compiling for CuPy."""
        files = [p for p in sorted((self.tree / "tests").glob("test_*.py")) if "mark.gpu" in p.read_text()]
        files.sort(key=lambda path: path.name != "test_gpu.py")
        command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "--tb=short", "-rfE", "-p", "no:cacheprovider"]
        command += ["-W", "default"]  # the ini file makes warnings errors, but those of CuPy are not ours
        if self.args.dry_run:
            command += ["-p", "tests.pretended", "-k", "plain or relu-float32 or conv2d_one or training or memory"]
        elif importlib.util.find_spec("xdist"):
            command += ["-n", str(max(1, min(8, (os.cpu_count() or 2) // 2)))]
        status = self.call([*command, *(str(path.relative_to(self.tree)) for path in files)], seconds, "tests.txt")
        found = outcomes((self.args.out / "tests.txt").read_text(errors="replace"))
        found["status"] = "cut off" if status is None else status
        self.results.part("tests")["pytest"] = found
        self.results.save()
        print(f"{found['counts']}, status {found['status']}", flush=True)
        for line in found["failed"][:20]:
            print(f"  {line}", flush=True)

    def sanitizer(self, seconds: float) -> None:
        """memcheck and racecheck; where the tool is missing or refuses the device, that is the result."""
        tool = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
        found = self.results.part("sanitizer")
        checks: dict[str, list[str]] = {}
        if tool:
            checks = {check: [tool, "--tool", check, "--error-exitcode", "86"] for check in ("memcheck", "racecheck")}
        else:
            self.results.note("sanitizer", "compute-sanitizer is neither on the PATH nor in /usr/local/cuda/bin")
        if self.args.dry_run and not tool:
            checks["without it"] = []
        for check, prefix in checks.items():
            status = self.call([*prefix, *self.command("small")], seconds / len(checks), f"{check}.txt")
            text = (self.args.out / f"{check}.txt").read_text(errors="replace")
            found[check] = {"status": "cut off" if status is None else status, **verdict(text)}
            if not prefix:
                found[check]["errors"] = int(status != 0)
            self.results.save()
            print(f"{check}: {told(found[check])}", flush=True)


def outcomes(log: str) -> dict:
    """How many tests passed, failed and so on, from the lines that pytest prints as it goes; and what failed."""
    word = "(PASSED|FAILED|ERROR|SKIPPED)"
    lines = re.findall(rf"^(tests/\S+::.*) {word}\b|^\[gw\d+\] +\[ *\d+%\] {word} (tests/.*)", log, flags=re.M)
    counts = Counter((first or second).lower() for _, first, second, _ in lines)
    failed = re.findall(r"^((?:FAILED|ERROR) tests/.*)", log, flags=re.M)
    if not failed:  # cut off before its summary
        bad = ("FAILED", "ERROR")
        failed = [f"{first or second} {a or b}" for a, first, second, b in lines if (first or second) in bad]
    return {"counts": dict(counts), "failed": failed}


def verdict(log: str) -> dict:
    """What compute-sanitizer found: the number of its errors, None where it did not get so far."""
    done = re.findall(r"^small: (.*)", log, flags=re.M)
    errors = re.findall(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)", log)
    said = [line.strip() for line in log.splitlines() if line.startswith("=========")]
    total = sum(int(a or b) for a, b in errors) if errors else None
    return {"errors": total, "calls": len(done), "last": done[-1] if done else None, "said": said[:12]}


def told(found: dict) -> str:
    """A verdict as one line."""
    if found["errors"] is not None:
        return f"{found['errors']} errors in {found['calls']} calls"
    return f"no verdict, status {found['status']}, after {found['calls']} calls: {' '.join(found['said'][:3])}"[:200]


# ---- a worker: the only one that touches the GPU --------------------------------------------------------------------


def about(dry: bool) -> dict:
    """Where this runs, or why it cannot."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import minigrad as mg

    reason = mg.why_no_gpu()
    found: dict[str, Any] = {"reason": reason, "dry run": dry, "python": platform.python_version()}
    for package in ("numpy", "cupy-cuda13x", "cupy-cuda12x", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    if reason is None:
        runtime = sys.modules["cupy"].cuda.runtime
        found["device"] = runtime.getDeviceProperties(0)["name"].decode()
        found["CUDA"], found["driver"] = runtime.runtimeGetVersion(), runtime.driverGetVersion()
    return found


class Device:
    """The GPU, through CuPy and PyTorch; in a dry run the pretended one, and PyTorch on the CPU."""

    def __init__(self, dry: bool) -> None:
        import minigrad as mg

        self.dry, self.cupy = dry, importlib.import_module("cupy")
        self.torch = prepared_torch(dry) if importlib.util.find_spec("torch") else None
        self.place = "cpu" if dry else "cuda"  # of PyTorch
        noise = np.random.default_rng(0).standard_normal(2**12 if dry else 2**24, dtype=np.float32)
        self.noise = self.cupy.asarray(noise)
        n = 2**10 if dry else min(2**29, mg.cuda.memory().free // 8)
        self.ahead = [self.cupy.zeros(n // 4, np.float32) for _ in range(2)]

    @cached_property
    def image_order(self) -> list[int]:
        """The axes of images from the slowest to the fastest in memory, as convolution leaves them."""
        import minigrad as mg
        from minigrad.backend import order_of

        like = mg.conv(self.cupy.zeros((2, 3, 6, 5), np.float32), self.cupy.ones((4, 3, 2, 2), np.float32))
        return order_of(like.strides)

    def random(self, shape: tuple[int, ...], order: list[int] | None = None, start: int = 0) -> Any:
        """Normal numbers with the axes in this order in memory; another start gives others. They repeat after 2**24."""
        order = order or list(range(len(shape)))
        n, size = math.prod(shape), self.noise.size
        flat, at, begin = self.cupy.empty(n, np.float32), 0, 7919 * start % size
        while at < n:
            take = min(size - begin, n - at)
            flat[at : at + take] = self.noise[begin : begin + take]
            at, begin = at + take, 0
        return flat.reshape([shape[axis] for axis in order]).transpose(np.argsort(order).tolist())

    def to_torch(self, x: Any) -> Any:
        """The same memory as a tensor of PyTorch (in a dry run a copy)."""
        return self.torch.from_numpy(x.get()) if self.dry else self.torch.from_dlpack(x)

    def poison(self, shape: tuple[int, ...]) -> None:
        """Let the next array of this shape hold nan where nothing is written: it gets this memory."""
        self.cupy.full(shape, np.nan, np.float32)

    def free(self) -> None:
        """Give the memory that no array holds back to the device, for the other library."""
        self.cupy.get_default_memory_pool().free_all_blocks()
        if self.torch is not None and not self.dry:
            self.torch.cuda.empty_cache()

    def synchronize(self) -> None:
        self.cupy.cuda.runtime.deviceSynchronize()

    def timed(self, calls: list[Callable], count: int | None = None, warm: int = 1) -> dict:
        """Milliseconds of a call: the median, and (largest - smallest) / median. The calls take turns."""
        for i in range(max(1 if self.dry else warm, len(calls))):
            calls[i % len(calls)]()
        self.synchronize()
        began = time.perf_counter()
        calls[0]()
        self.synchronize()
        each = time.perf_counter() - began
        count = 2 if self.dry else count or max(5, min(30, int(0.2 / each)))
        for _ in range(12):  # some 4 ms
            self.cupy.copyto(*self.ahead)
        event = self.cupy.cuda.Event
        events = [event() for _ in range(count + 1)]
        events[0].record()
        for i in range(count):
            calls[i % len(calls)]()
            events[i + 1].record()
        events[-1].synchronize()
        times = [self.cupy.cuda.get_elapsed_time(a, b) for a, b in pairwise(events)]
        median = statistics.median(times)
        return {"ms": median, "spread": (max(times) - min(times)) / median if median else 0.0, "calls": count}


def prepared_torch(dry: bool) -> Any:
    import torch

    if dry:
        torch.set_num_threads(1)  # on a busy machine two wait for each other
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch


def out_of_memory(error: Exception) -> bool:
    """CuPy's is a MemoryError, PyTorch's is not."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def work(part: str, folder: Path, seconds: float, dry: bool) -> int:
    """Do the steps of a part that have not been begun yet, as long as there is time."""
    end = time.monotonic() + seconds
    results, device = Results(folder), Device(dry)
    left = []
    for name, step in STEPS[part](device, results):
        if name in results.part(part):
            continue
        if time.monotonic() > end:
            left.append(name)
            continue
        results.part(part)[name] = {"error": ENDED}
        results.save()
        began = time.monotonic()
        try:
            found = step()
        except Exception as error:  # whatever it is, the next step may work
            found = {"error": f"{type(error).__name__}: {error}"}
        found["seconds"] = round(time.monotonic() - began, 2)
        results.part(part)[name] = found
        results.save()
        print(f"{name}: {line(found)}", flush=True)
        try:
            device.free()
            device.synchronize()
        except Exception as error:
            print(f"the GPU answers no more: {error}", flush=True)
            return BROKEN
    if left:
        results.note(part, f"no time was left for {len(left)} steps, from {left[0]!r} on")
    return 0


def line(found: dict) -> str:
    """A result as one line: times and other numbers."""
    texts = []
    for name, value in found.items():
        if isinstance(value, dict) and "spread" in value:
            texts.append(f"{name} {value['ms']:.3f} ms")
        elif isinstance(value, dict):
            texts.append(f"{name} ({line(value)})")
        elif isinstance(value, float) and name != "seconds":
            texts.append(f"{name} {value:.3g}")
        elif isinstance(value, str) and name in ("error", "skipped"):
            texts.append(f"{name}: {value}")
    return ", ".join(texts)


# ---- ceilings -------------------------------------------------------------------------------------------------------


def ceilings(device: Device, results: Results) -> Iterator[Step]:
    n = 64 if device.dry else 8192

    def copy() -> dict:
        import minigrad as mg

        size = 2**12 if device.dry else min(2**32, mg.cuda.memory().free // 4)
        target, source = device.cupy.empty(size // 4, np.float32), device.random((size // 4,))
        found = device.timed([lambda: device.cupy.copyto(target, source)], 10)
        return {**found, "GB/s": 2 * size / found["ms"] / 1e6, "bytes": size}

    def rate(found: dict) -> dict:
        return {**found, "TFLOP/s": 2 * n**3 / found["ms"] / 1e9}

    def product() -> dict:
        x = device.random((n, n))
        return rate(device.timed([lambda: x @ x], 10))

    def torch_product(dtype: str, tf32: bool) -> dict:
        if device.torch is None:
            return {"skipped": "PyTorch is not installed"}
        x = device.to_torch(device.random((n, n))).to(getattr(device.torch, dtype))
        device.torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            return rate(device.timed([lambda: x @ x], 10))
        finally:
            device.torch.backends.cuda.matmul.allow_tf32 = False

    yield "copy", copy
    yield "matmul float32, CuPy", product
    yield "matmul float32, PyTorch", lambda: torch_product("float32", False)
    yield "matmul TF32, PyTorch", lambda: torch_product("float32", True)
    yield "matmul bfloat16, PyTorch", lambda: torch_product("bfloat16", False)


def bandwidth(results: Results) -> float:
    """Bytes a millisecond, nan if unknown."""
    return results.part("ceilings").get("copy", {}).get("GB/s", math.nan) * 1e6


def operations(results: Results) -> float:
    """Operations in float32 a millisecond, nan if unknown."""
    found = [results.part("ceilings").get(f"matmul float32, {library}", {}) for library in ("CuPy", "PyTorch")]
    return max((each["TFLOP/s"] for each in found if "TFLOP/s" in each), default=math.nan) * 1e9


# ---- convolution ----------------------------------------------------------------------------------------------------


def tiny(layer: Any) -> Any:
    """The same kind of layer, for a dry run."""
    c, k = min(layer.c, 8), min(layer.k, 8)  # not fewer: PyTorch 2.13 on a CPU crashed with 4 and 6, channels last
    return layer._replace(n=2, c=c, size=min(layer.size, layer.kernel + 2 * layer.stride), k=k)


def conv(device: Device, results: Results) -> Iterator[Step]:
    import conv as layers  # bench/conv.py

    for net, n in NETS.items():
        counts: Counter = Counter()
        for layer in layers.NETS[net]():
            counts[tiny(layer) if device.dry else layer._replace(n=n)] += 1
        for layer, count in counts.items():
            for kernel in layer.kernels:
                step = lambda layer=layer, kernel=kernel: fitting(device, results, layer, kernel)  # noqa: E731
                about = {"net": net, "kernel": kernel, "count": count}
                yield f"{net} {layer.name} {kernel}", lambda step=step, about=about: {**about, **step()}


def fitting(device: Device, results: Results, layer: Any, kernel: str) -> dict:
    """A layer with as many images as the memory holds."""
    import minigrad as mg

    while True:
        n = layer.n
        elements = n * layer.c * layer.size**2 + n * layer.k * layer.out**2
        try:
            if layer.n > 1 and 4 * 4 * elements + 3 * SETS > mg.cuda.memory().free:
                raise MemoryError
            return measured_layer(device, results, layer, kernel)
        except Exception as error:
            if not out_of_memory(error) or layer.n == 1:
                raise
            layer = layer._replace(n=layer.n // 2)
        device.free()  # here, where the error holds no frame, and so no array, any more


def measured_layer(device: Device, results: Results, layer: Any, kernel: str) -> dict:
    import minigrad as mg

    xs, ws = (layer.n, layer.c, layer.size, layer.size), (layer.k, layer.c, layer.kernel, layer.kernel)
    gs = (layer.n, layer.k, layer.out, layer.out)
    options = {"stride": layer.stride, "padding": layer.padding}
    used = {"forward": (xs, ws), "input gradient": (ws, gs), "weight gradient": (xs, gs)}[kernel]
    result = {"forward": gs, "input gradient": xs, "weight gradient": ws}[kernel]
    size = 4 * sum(map(math.prod, used))
    sets = []
    for i in range(max(1, min(8, -(-SETS // size)))):
        x = device.random(xs, None if layer.image else device.image_order, 3 * i)
        w = device.random(ws, [2, 3, 1, 0], 3 * i + 1) / math.sqrt(layer.c * layer.kernel**2)
        sets.append((x, in_order(w, [2, 3, 1, 0]), device.random(gs, device.image_order, 3 * i + 2)))
    call = {
        "forward": lambda x, w, g: mg.conv(x, w, **options),
        "input gradient": lambda x, w, g: mg.conv_input(w, g, xs, **options),
        "weight gradient": lambda x, w, g: mg.conv_weight(x, g, ws, **options),
    }[kernel]
    call(*sets[0])
    device.poison(result)
    first = call(*sets[0])
    found: dict = {"layer": layer.name, "minigrad": device.timed([lambda s=s: call(*s) for s in sets])}
    if device.torch is not None:
        found["torch"], found["error"] = torch_layer(device, layer, kernel, sets, first)
        found["of cuDNN"] = min(t["ms"] for t in found["torch"].values()) / found["minigrad"]["ms"]
    found["TFLOP/s"] = layer.operations / found["minigrad"]["ms"] / 1e9
    bytes_ = size + 4 * math.prod(result)
    found["floor"] = max(layer.operations / operations(results), bytes_ / bandwidth(results))
    found["of the floor"] = found["floor"] / found["minigrad"]["ms"]
    return found


def in_order(x: Any, order: list[int]) -> Any:
    """x with its axes in this order in memory, which arithmetic does not keep."""
    from minigrad.backend import make_in_order, xp

    out = make_in_order(xp(x).empty, x.shape, order, x.dtype)
    out[...] = x
    return out


def torch_layer(device: Device, layer: Any, kernel: str, sets: list, ours: Any) -> tuple[dict, float]:
    """The times of PyTorch in both memory formats, and how far our result is from its."""
    torch, error = device.torch, math.nan
    stride, padding = [layer.stride] * 2, [layer.padding] * 2

    def call(x: Any, w: Any, g: Any) -> Any:
        if kernel == "forward":
            return torch.nn.functional.conv2d(x, w, None, stride, padding)
        which = ["input gradient", "weight gradient"].index(kernel)
        mask = [which == 0, which == 1, False]
        back = torch.ops.aten.convolution_backward
        return back(g, x, w, None, stride, padding, [1, 1], False, [0, 0], 1, mask)[which]

    times = {}
    for form in FORMATS:
        form_ = getattr(torch, form)
        theirs = [[device.to_torch(a).contiguous(memory_format=form_) for a in each] for each in sets]
        if form == FORMATS[-1]:
            error = distance(device, ours, call(*theirs[0]))
        times[form] = device.timed([lambda s=s: call(*s) for s in theirs], warm=2)
        theirs.clear()
        device.free()
    return times, error


def distance(device: Device, ours: Any, theirs: Any) -> float:
    """The norm of the difference, relative to the norm; nan if anything is."""
    norm = lambda t: device.torch.linalg.vector_norm(t, dtype=device.torch.float64).item()  # noqa: E731
    return norm(device.to_torch(ours) - theirs) / norm(theirs)


# ---- pooling --------------------------------------------------------------------------------------------------------

POOLS = {  # kind, shape, kernel, stride, padding
    "max 3x3/2, ResNet": ("max", (256, 64, 112, 112), 3, 2, 1),
    "max 2x2/2, VGG": ("max", (64, 64, 224, 224), 2, 2, 0),
    "max 3x3/2, AlexNet": ("max", (512, 64, 55, 55), 3, 2, 0),
    "max 3x3/1, GoogLeNet": ("max", (256, 192, 28, 28), 3, 1, 1),
    "avg 2x2/2, LeNet": ("avg", (4096, 6, 28, 28), 2, 2, 0),
    "avg 7x7, ResNet": ("avg", (256, 2048, 7, 7), 7, 7, 0),
    "min 3x3/2, ResNet": ("min", (256, 64, 112, 112), 3, 2, 1),
}


def pool(device: Device, results: Results) -> Iterator[Step]:
    for name, (kind, shape, *window) in POOLS.items():
        if device.dry:
            shape = (2, 3, *(max(s // 16, window[0]) for s in shape[2:]))
        for way in ("forward", "backward"):
            args = device, results, kind, shape, *window, way
            yield f"{name} {way}", lambda args=args: measured_pool(*args)


def measured_pool(device, results, kind, shape, k, stride, padding, way) -> dict:
    from minigrad.backend import kernels
    from minigrad.window import Geometry, out_sizes

    geometry = Geometry((stride,) * 2, ((padding,) * 2,) * 2, (1, 1))
    ys = (*shape[:2], *out_sizes(shape[2:], (k, k), geometry))
    sets = []
    for i in range(max(1, min(8, -(-SETS // (4 * math.prod(shape)))))):
        x, g = device.random(shape, device.image_order, 2 * i), device.random(ys, device.image_order, 2 * i + 1)
        ours = kernels(x)
        tap = None if kind == "avg" else getattr(ours, f"{kind}_pool")(x, (k, k), geometry, True)[1]
        sets.append((x, g, tap))
    if kind == "avg":
        forward = lambda x, g, tap: ours.avg_pool(x, (k, k), geometry, float(k * k))  # noqa: E731
        backward = lambda x, g, tap: ours.avg_pool_input(g, (k, k), geometry, float(k * k), shape)  # noqa: E731
    else:
        forward = lambda x, g, tap: getattr(ours, f"{kind}_pool")(x, (k, k), geometry, True)[0]  # noqa: E731
        backward = lambda x, g, tap: ours.pool_scatter(g, tap, (k, k), geometry, shape)  # noqa: E731
    call = forward if way == "forward" else backward
    call(*sets[0])
    device.poison(ys if way == "forward" else shape)
    first = call(*sets[0])
    found: dict = {"kind": kind, "way": way, "minigrad": device.timed([lambda s=s: call(*s) for s in sets])}
    taps = 0 if kind == "avg" else math.prod(ys) * sets[0][2].dtype.itemsize
    found["floor"] = (4 * (math.prod(shape) + math.prod(ys)) + taps) / bandwidth(results)
    found["of the floor"] = found["floor"] / found["minigrad"]["ms"]
    if device.torch is not None and kind != "min":
        found["torch"], found["error"] = torch_pool(device, kind, way, (k, stride, padding), sets, first)
        found["of torch"] = min(t["ms"] for t in found["torch"].values()) / found["minigrad"]["ms"]
    return found


def torch_pool(device: Device, kind: str, way: str, window: tuple, sets: list, ours: Any) -> tuple[dict, float]:
    aten, error, times = device.torch.ops.aten, math.nan, {}
    k, stride, padding = ([v] * 2 for v in window)

    def call(x: Any, g: Any, index: Any) -> Any:
        if kind == "avg" and way == "forward":
            return aten.avg_pool2d(x, k, stride, padding, False, True, None)
        if kind == "avg":
            return aten.avg_pool2d_backward(g, x, k, stride, padding, False, True, None)
        if way == "forward":
            return aten.max_pool2d_with_indices(x, k, stride, padding)[0]
        return aten.max_pool2d_with_indices_backward(g, x, k, stride, padding, [1, 1], False, index)

    for form in FORMATS:
        form_, theirs = getattr(device.torch, form), []
        for x, g, _ in sets:
            x, g = (device.to_torch(a).contiguous(memory_format=form_) for a in (x, g))
            theirs.append((x, g, None if kind == "avg" else aten.max_pool2d_with_indices(x, k, stride, padding)[1]))
        if form == FORMATS[-1]:
            error = distance(device, ours, call(*theirs[0]))
        times[form] = device.timed([lambda s=s: call(*s) for s in theirs], warm=2)
        theirs.clear()
        device.free()
    return times, error


# ---- training -------------------------------------------------------------------------------------------------------

BATCHES = {"LeNet-5": (256, 4096), "residual": (128, 512)}


class Trained:
    """A network with its data, in minigrad and in PyTorch: the same numbers at the start."""

    def __init__(self, device: Device, kind: str, n: int) -> None:
        import minigrad as mg
        from minigrad import models
        from tests import networks

        self.device, self.kind, self.n = device, kind, n
        rng = np.random.default_rng(0)
        self.sizes = {"widths": (8, 16), "blocks": 1} if device.dry else {}
        if kind == "LeNet-5":
            mg.manual_seed(0)
            self.weights = [p.detach().numpy().copy() for p in models.lenet5().parameters()]
        else:
            self.weights = networks.weights(rng, **self.sizes)
        self.images = rng.standard_normal((n, 1, 28, 28) if kind == "LeNet-5" else (n, 3, 32, 32), dtype=np.float32)
        self.labels = rng.integers(0, 10, n)

    def ours(self) -> Callable:
        """A function that does one step and returns the loss."""
        import minigrad as mg
        from minigrad import models, nn
        from tests import networks

        if self.kind == "LeNet-5":
            net: Any = models.lenet5()
            net.load_state_dict(dict(zip(net.state_dict(), self.weights, strict=True)))
            parameters = list(net.to("cuda").parameters())
        else:
            parameters = [mg.tensor(w, device="cuda", requires_grad=True) for w in self.weights]
            net = lambda x: networks.residual(x, parameters, mg, **self.sizes)  # noqa: E731
        optimizer = nn.optim.SGD(parameters, lr=0.01, momentum=0.9)
        x, target = mg.tensor(self.images, device="cuda"), mg.tensor(self.labels, device="cuda")

        def step() -> Any:
            loss = mg.cross_entropy(net(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    def theirs(self, form: str) -> Callable:
        """The same in PyTorch, with images and weights in a memory format."""
        from tests import networks

        torch, place = self.device.torch, self.device.place
        form_ = getattr(torch, form)
        placed = [torch.from_numpy(w.copy()).to(place) for w in self.weights]
        placed = [w.contiguous(memory_format=form_) if w.ndim == 4 else w for w in placed]
        if self.kind == "LeNet-5":
            net: Any = torch_lenet5(torch).to(place)
            for p, w in zip(net.parameters(), placed, strict=True):
                p.data = w
            parameters = list(net.parameters())
        else:
            parameters = [w.requires_grad_(True) for w in placed]
            lib = argparse.Namespace(conv2d=torch.nn.functional.conv2d, relu=torch.relu)
            net = lambda x: networks.residual(x, parameters, lib, **self.sizes)  # noqa: E731
        optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
        x = torch.from_numpy(self.images).to(place).contiguous(memory_format=form_)
        target = torch.from_numpy(self.labels).to(place)

        def step() -> Any:
            loss = torch.nn.functional.cross_entropy(net(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step


def torch_lenet5(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def training(device: Device, results: Results) -> Iterator[Step]:
    for kind, batches in BATCHES.items():
        for n in (4,) if device.dry else batches:
            yield f"{kind} N{n}", lambda kind=kind, n=n: measured_training(device, kind, n)


def measured_training(device: Device, kind: str, n: int) -> dict:
    trained = Trained(device, kind, n)
    found: dict = {}
    step = trained.ours()
    losses = [step().item() for _ in range(3)]
    found["minigrad"] = device.timed([step], 30, warm=10)
    found["images/s"] = 1e3 * n / found["minigrad"]["ms"]
    del step
    device.free()
    if device.torch is not None:
        found["torch"] = {}
        for form in FORMATS:
            step = trained.theirs(form)
            theirs = [step().item() for _ in range(3)]
            found["torch"][form] = device.timed([step], 30, warm=10)
            found["error"] = max(abs(a - b) / abs(b) for a, b in zip(losses, theirs, strict=True))
            del step
            device.free()
        fastest = min(t["ms"] for t in found["torch"].values())
        found["torch images/s"], found["of torch"] = 1e3 * n / fastest, fastest / found["minigrad"]["ms"]
    return found


# ---- engine ---------------------------------------------------------------------------------------------------------


def engine(device: Device, results: Results) -> Iterator[Step]:
    from overhead import OPS  # bench/overhead.py

    for name in (*OPS, "conv2d", "max_pool2d"):
        yield f"us of Python, {name}", lambda name=name: overhead(device, name)
    for kind, batches in BATCHES.items():
        n = 4 if device.dry else batches[0]
        yield f"memory {kind} N{n}", lambda kind=kind, n=n: peak(device, kind, n)
        yield f"launches {kind} N{n}", lambda kind=kind, n=n: launches(device, kind, n)


def overhead(device: Device, name: str) -> dict:
    """Microseconds of Python an op, forward and with the way back, on 8x8 arrays: while the GPU is not waited for."""
    found = {"minigrad": handed_over(device, name, "minigrad", "cuda")}
    if device.torch is not None:
        found["torch"] = handed_over(device, name, "torch", device.place)
        found["ratio"] = found["minigrad"]["both"] / found["torch"]["both"]
    return found


def handed_over(device: Device, name: str, framework: str, place: str) -> dict:
    from overhead import steps

    start, table = steps(framework, place)
    lib = importlib.import_module(framework)
    image = lib.ones((1, 4, 8, 8), device=place, requires_grad=True)
    weight = lib.ones((4, 4, 3, 3), device=place)
    functions = lib if framework == "minigrad" else device.torch.nn.functional
    table["conv2d"] = lambda h: functions.conv2d(h, weight, stride=1, padding=1)
    table["max_pool2d"] = lambda h: functions.max_pool2d(h, 3, stride=1, padding=1)
    count = 3 if device.dry else 50
    first = image if name in ("conv2d", "max_pool2d") else start()

    def chain() -> Any:
        h = first
        for _ in range(count):
            h = table[name](h)
        return h

    best = {"forward": math.inf, "both": math.inf}
    for _ in range(2 if device.dry else 10):
        for key, run in {"forward": chain, "both": lambda: chain().sum().backward()}.items():
            began = time.perf_counter()
            run()
            best[key] = min(best[key], (time.perf_counter() - began) / count * 1e6)
            device.synchronize()
    return best


def peak(device: Device, kind: str, n: int) -> dict:
    """The most memory of arrays in a training step, beyond what is there before it: activations and gradients."""
    if device.dry:
        return {"skipped": "the pretended pool has no hooks"}
    step = Trained(device, kind, n).ours()
    step()
    device.free()
    pool = device.cupy.get_default_memory_pool()
    before = now = most = pool.used_bytes()

    class Hook(device.cupy.cuda.MemoryHook):
        name = "peak"

        def malloc_postprocess(self, **about: int) -> None:
            nonlocal now, most
            now += about["mem_size"]
            most = max(most, now)

        def free_postprocess(self, **about: int) -> None:
            nonlocal now
            now -= about["mem_size"]

    with Hook():
        step()
    found: dict = {"minigrad": {"MiB": (most - before) / 2**20}}
    del step
    device.free()
    if device.torch is not None:
        cuda, step = device.torch.cuda, Trained(device, kind, n).theirs("contiguous_format")
        step()
        cuda.synchronize()
        cuda.reset_peak_memory_stats()
        before = cuda.memory_allocated()
        step()
        found["torch"] = {"MiB": (cuda.max_memory_allocated() - before) / 2**20}
        found["ratio"] = found["minigrad"]["MiB"] / found["torch"]["MiB"]
    return found


def launches(device: Device, kind: str, n: int) -> dict:
    """Kernels in a training step, and what they take together. PyTorch's profiler sees those of the whole process."""
    if device.dry or device.torch is None:
        return {"skipped": "takes PyTorch's profiler, on a GPU"}
    trained, found = Trained(device, kind, n), {}
    for name, step in {"minigrad": trained.ours(), "torch": trained.theirs("contiguous_format")}.items():
        for _ in range(3):
            step()
        device.synchronize()
        profiler = device.torch.profiler
        with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as profile:
            step()
            device.synchronize()
        on_device = [e for e in profile.events() if e.device_type == device.torch.autograd.DeviceType.CUDA]
        if not on_device:
            raise RuntimeError("the profiler saw no kernel")
        found[name] = {"kernels": len(on_device), "busy ms": sum(e.time_range.elapsed_us() for e in on_device) / 1e3}
    return found


# ---- small calls for compute-sanitizer ------------------------------------------------------------------------------

SMALL = {"plain", "ragged", "grouped", "depthwise", "one by one", "a long sum", "images", "pixels", "overlapping"}


def small(dry: bool) -> int:
    """Call each kernel a few times, each array in memory of its own: a pool would hide what is read beyond its end."""
    from tests.kerneltable import CASES, UPDATES, arguments, updated

    cupy = importlib.import_module("cupy")
    if not dry:
        cupy.cuda.set_allocator(None)
    kernels = importlib.import_module("minigrad.kernels.cuda")
    for case in CASES:
        if case.name.split(",")[0] in SMALL:
            _, given = arguments(case, "float32", "row-major", cupy.asarray)
            getattr(kernels, case.kernel)(*given)
            cupy.cuda.runtime.deviceSynchronize()
            print(f"small: {case.id}", flush=True)
    for row in UPDATES:
        updated(row, row.values("float32"), "row-major", cupy.asarray)
        cupy.cuda.runtime.deviceSynchronize()
        print(f"small: {row.id}", flush=True)
    return 0


STEPS: dict[str, Callable[[Device, Results], Iterator[Step]]] = {
    "ceilings": ceilings,
    "conv": conv,
    "pool": pool,
    "training": training,
    "engine": engine,
}

# ---- the report -----------------------------------------------------------------------------------------------------


def failures(data: dict) -> list[str]:
    """What is wrong rather than slow: failed tests, errors of steps, results that differ, findings of the sanitizer."""
    found = []
    for part, steps in data["parts"].items():
        for name, step in steps.items():
            if "error" in step and not (isinstance(step["error"], float) and step["error"] <= TOLERANCE):
                found.append(f"{part}, {name}: {step['error']}")
    run = data["parts"].get("tests", {}).get("pytest")
    if run and run["status"] != 0:
        found.append(f"tests: {run['counts']}, status {run['status']}, {len(run['failed'])} failed")
    for check, result in data["parts"].get("sanitizer", {}).items():
        if result["errors"]:
            found.append(f"sanitizer, {check}: {result['errors']} errors, see {check}.txt")
    return found


def summed(rows: list[dict]) -> str:
    """Rows of convolution as one: all layers of a network one after another, as often as they occur."""
    ours = sum(row["count"] * row["minigrad"]["ms"] for row in rows)
    floor = sum(row["count"] * row["floor"] for row in rows)
    cells = f"{sum(row['count'] for row in rows):10}{ours:10.2f}{floor:10.2f}{floor / ours:10.0%}"
    if all("torch" in row for row in rows):
        theirs = sum(row["count"] * min(t["ms"] for t in row["torch"].values()) for row in rows)
        cells += f"{theirs:10.2f}{theirs / ours:10.0%}{max(row['error'] for row in rows):10.1e}"
    return cells


def report(data: dict) -> str:
    """The tables: short, for the log of a run may be cut to its end."""
    parts, lines = data["parts"], ["", "==== " + data.get("about", {}).get("device", "no device")]
    for name, found in parts.get("ceilings", {}).items():
        if rates := [f"{found[unit]:.1f} {unit}" for unit in ("GB/s", "TFLOP/s") if unit in found]:
            lines.append(f"{name:34}{rates[0]:>12}")
    if run := parts.get("tests", {}).get("pytest"):
        lines.append(f"tests: {', '.join(f'{n} {what}' for what, n in run['counts'].items())}, status {run['status']}")
    lines += [f"{check}: {told(found)}" for check, found in parts.get("sanitizer", {}).items()]
    if rows := [row for row in parts.get("conv", {}).values() if "minigrad" in row]:
        columns = ("layers", "ms", "floor ms", "of floor", "cuDNN ms", "of cuDNN", "error")
        lines += ["", f"{'convolution, all layers':34}" + "".join(f"{c:>10}" for c in columns)]
        for net in dict.fromkeys(row["net"] for row in rows):
            for kernel in dict.fromkeys(row["kernel"] for row in rows):
                some = [row for row in rows if (row["net"], row["kernel"]) == (net, kernel)]
                if some:
                    lines.append(f"{net + ' ' + kernel:34}{summed(some)}")
    for part, title in {"pool": "pooling", "training": "training"}.items():
        measured = {name: row for name, row in parts.get(part, {}).items() if "minigrad" in row}
        if measured:
            lines += ["", f"{title:34}{'ms':>10}{'of floor':>10}{'of torch':>10}{'images/s':>12}"]
        for name, row in measured.items():
            shares = "".join(f"{row[k]:10.0%}" if k in row else " " * 10 for k in ("of the floor", "of torch"))
            images = f"{row['images/s']:12,.0f}" if "images/s" in row else ""
            lines.append(f"{name:34}{row['minigrad']['ms']:10.3f}{shares}{images}".rstrip())
    if found := parts.get("engine", {}):
        lines.append("")
        for name, row in found.items():
            lines.append(f"{name:34}{line(row)}"[:120])
    lines += ["", *(f"{part}: {note}" for part, notes in data["notes"].items() for note in notes)]
    wrong = failures(data)
    lines += [f"WRONG {text}"[:200] for text in wrong[:25]] or ["nothing is wrong"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for gpu.json and the logs (bench/results)")
    parser.add_argument("--parts", nargs="+", choices=MINUTES, default=list(MINUTES), help="all; ceilings always")
    parser.add_argument("--minutes", type=float, default=sum(MINUTES.values()), help="for everything together (20)")
    parser.add_argument("--dry-run", action="store_true", help="tiny, on a pretended GPU; writes only where --out says")
    parser.add_argument("--work", choices=["about", "small", *STEPS], help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        if args.dry_run:
            from tests import pretended  # noqa: F401 (puts the fake in CuPy's place)
        if args.work == "about":
            print(json.dumps(about(args.dry_run)))
            return 0
        return small(args.dry_run) if args.work == "small" else work(args.work, args.out, args.seconds, args.dry_run)

    def stop(*_: object) -> None:
        raise SystemExit(143)  # an exception: what was started is ended, and the report printed

    signal.signal(signal.SIGTERM, stop)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        args.out = args.out or (Path(folder) / "out" if args.dry_run else RESULTS)
        args.out.mkdir(parents=True, exist_ok=True)
        copy_tree(tree)
        driver = Driver(args, tree)
        try:
            return driver.run()
        finally:
            if "about" in driver.results.data:
                print(report(Results(args.out).data), flush=True)


if __name__ == "__main__":
    sys.exit(main())
