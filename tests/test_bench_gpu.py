"""`bench/gpu.py` runs: all of it on a pretended GPU, and what it does when things go wrong there."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
from tests.cudaemu import emulator

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "bench" / "gpu.py"
TORCH = importlib.util.find_spec("torch") is not None


def load() -> Any:
    spec = importlib.util.spec_from_file_location("bench_gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu = load()


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, env={**os.environ, **env}
    )


# ---- the whole path -------------------------------------------------------------------------------------------------


needs_the_emulator = pytest.mark.skipif(
    emulator.compiler() is None, reason="NOT CHECKED: whether bench/gpu.py runs; the CUDA emulator needs g++"
)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict, Path]:
    """The output of a dry run, its results, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("out")
    done = run("--dry-run", "--out", str(out))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout, json.loads((out / "gpu.json").read_text()), out


@needs_the_emulator
def test_every_part_and_every_step_is_walked_through(dry: tuple) -> None:
    text, data, out = dry
    parts = data["parts"]
    assert list(parts) == list(gpu.MINUTES)
    assert sorted(p.name for p in out.iterdir() if p.suffix != ".txt") == ["gpu.json"]
    skipped = {name for steps in parts.values() for name, step in steps.items() if "skipped" in step}
    only_on_a_gpu = {f"{what} {kind} N4" for what in ("memory", "launches") for kind in ("LeNet-5", "residual")}
    no_torch = {name for name in parts["ceilings"] if "PyTorch" in name}
    assert skipped == (only_on_a_gpu if TORCH else only_on_a_gpu | no_torch)
    assert gpu.failures(data) == []
    assert text.rstrip().endswith("nothing is wrong")


@needs_the_emulator
def test_the_tests_ran_on_the_pretended_gpu(dry: tuple) -> None:
    found = dry[1]["parts"]["tests"]["pytest"]
    assert found["status"] == 0
    assert found["counts"]["passed"] > 20
    assert found["failed"] == []
    log = (dry[2] / "tests.txt").read_text()
    for name in ("test_kernel[conv-plain-float32]", "test_op[relu-float32]", "test_training_follows_the_cpu[residual]"):
        assert f"tests/test_gpu.py::{name} PASSED" in log


@needs_the_emulator
def test_one_call_of_each_kernel_is_ready_for_the_sanitizer(dry: tuple) -> None:
    from minigrad.kernels import cuda

    (found,) = dry[1]["parts"]["sanitizer"].values()
    assert found["errors"] == 0
    log = (dry[2] / "without it.txt").read_text()
    others = {"conv_backward", "matmul", "in_pieces"}  # which call two of these, cuBLAS, and what they are given
    kernels = set(cuda.__all__) - others
    assert [name for name in kernels if f"small: {name}-" not in log] == []


@needs_the_emulator
def test_every_network_and_kernel_of_convolution_is_compared(dry: tuple) -> None:
    rows = dry[1]["parts"]["conv"].values()
    layers = {"resnet50": 53, "vgg16": 13, "alexnet": 5, "lenet5": 2}
    for net, count in layers.items():
        for kernel in ("forward", "input gradient", "weight gradient"):
            some = [row for row in rows if (row["net"], row["kernel"]) == (net, kernel)]
            assert sum(row["count"] for row in some) == count - (kernel == "input gradient")  # the image has none
            assert all(row["minigrad"]["ms"] > 0 and row["floor"] > 0 for row in some)
            assert not TORCH or all(row["error"] < 1e-6 and set(row["torch"]) == set(gpu.FORMATS) for row in some)


@needs_the_emulator
def test_pooling_training_and_the_engine_are_measured(dry: tuple) -> None:
    parts = dry[1]["parts"]
    assert len(parts["pool"]) == 2 * len(gpu.POOLS)
    assert set(parts["training"]) == {"LeNet-5 N4", "residual N4"}
    assert len([name for name in parts["engine"] if name.startswith("us of Python")]) == 11
    for row in (*parts["pool"].values(), *parts["training"].values()):
        assert row["minigrad"]["ms"] > 0
        assert not TORCH or "torch" in row or "min" in row.get("kind", "")
        assert row.get("error", 0) < 1e-5


@needs_the_emulator
def test_the_report_is_short(dry: tuple) -> None:
    report = gpu.report(dry[1])
    assert report.strip() in dry[0]
    assert len(report) < 10_000
    assert max(map(len, report.splitlines())) <= 120


@needs_the_emulator
def test_parts_that_are_measured_again_replace_the_old_ones(dry: tuple, tmp_path: Path) -> None:
    old = dry[1]
    old["parts"]["pool"]["of another day"] = {}
    (tmp_path / "gpu.json").write_text(json.dumps(old))
    done = run("--dry-run", "--out", str(tmp_path), "--parts", "pool")
    assert done.returncode == 0
    new = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert "of another day" not in new["pool"]
    assert new["conv"] == old["parts"]["conv"]
    assert new["ceilings"] != old["parts"]["ceilings"]


# ---- when things go wrong -------------------------------------------------------------------------------------------


def test_without_a_gpu_it_says_why(tmp_path: Path) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: cannot open')")
    done = run("--out", str(tmp_path), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "no GPU here: CuPy is installed but cannot be imported: libcuda.so.1: cannot open" in done.stdout
    assert not (tmp_path / "gpu.json").exists()


@needs_the_emulator
def test_what_was_measured_before_a_cut_is_kept(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--dry-run", "--out", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not ((tmp_path / "tests.txt").exists() or time.monotonic() > end):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "copy" in json.loads((tmp_path / "gpu.json").read_text())["parts"]["ceilings"]
    assert "==== CUDA emulator" in text


@pytest.fixture
def driver(tmp_path: Path) -> Any:
    args = argparse.Namespace(out=tmp_path, minutes=1, dry_run=True, parts=[])
    made = gpu.Driver(args, ROOT)
    made.results.begin({"device": "none"}, [])
    return made


WORKER = """
import importlib.util, os, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("gpu", {script!r})
gpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu)

class Device:
    cupy = None
    def __init__(self, dry): pass
    def free(self): pass
    def synchronize(self):
        if Path("broken").exists():
            Path("broken").unlink()
            raise RuntimeError("an illegal memory access was encountered")

def breaks():
    Path("broken").touch()
    raise ValueError("first sign")

def steps(device, results):
    yield "one", lambda: {{"ms": 1.0}}
    yield "raises", lambda: {{"ms": 1 / 0}}
    yield "breaks", breaks
    yield "dies", lambda: os._exit(9)
    yield "two", lambda: {{"ms": 2.0}}
    if {slow}:
        yield "slow", lambda: time.sleep(60)

os.chdir({folder!r})
gpu.Device, gpu.STEPS = Device, {{"pool": steps}}
sys.exit(gpu.work("pool", Path({folder!r}), {seconds}, True))
"""


def in_place_of_the_worker(driver: Any, seconds: float, slow: bool = False) -> None:
    code = WORKER.format(script=str(SCRIPT), folder=str(driver.args.out), seconds=seconds, slow=slow)
    driver.command = lambda work, left=0: [sys.executable, "-c", code]


def test_a_step_that_breaks_the_process_is_noted_and_the_rest_goes_on(driver: Any) -> None:
    in_place_of_the_worker(driver, 60)
    driver.steps("pool", 60)
    found = gpu.Results(driver.args.out).data["parts"]["pool"]
    results = {name: step.get("ms", step.get("error")) for name, step in found.items()}
    assert results == {
        "one": 1.0,
        "raises": "ZeroDivisionError: division by zero",
        "breaks": "ValueError: first sign",
        "dies": gpu.ENDED,
        "two": 2.0,
    }
    assert len(gpu.failures(driver.results.data)) == 3


def test_steps_that_have_no_time_left_are_noted(driver: Any) -> None:
    in_place_of_the_worker(driver, -1)
    driver.steps("pool", 60)
    assert driver.results.data["notes"] == {"pool": ["no time was left for 5 steps, from 'one' on"]}


def test_a_step_that_hangs_is_cut_off(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_the_worker(driver, 60, slow=True)
    monkeypatch.setattr(gpu, "GRACE", 0)
    driver.steps("pool", 6)
    assert driver.results.data["parts"]["pool"]["slow"] == {"skipped": "cut off"}
    assert driver.results.data["notes"] == {"pool": ["cut off after 6 s"]}


def test_a_worker_that_cannot_begin_is_given_up(driver: Any) -> None:
    driver.command = lambda work, left=0: [sys.executable, "-c", "raise SystemExit(7)"]
    driver.steps("conv", 60)
    assert driver.results.data["notes"] == {"conv": ["given up: the process ended with status 7 before its first step"]}


SANITIZERS = {
    "finds": ('"${@:5}"; echo "========= ERROR SUMMARY: 2 errors"; exit 86', 2, "memcheck: 2 errors in 1 calls"),
    "finds nothing": ('"${@:5}"; echo "========= ERROR SUMMARY: 0 errors"', 0, "memcheck: 0 errors in 1 calls"),
    "refuses": (
        'echo "========= Error: Device not supported"; exit 1',
        None,
        "memcheck: no verdict, status 1, after 0 calls: ========= Error: Device not supported",
    ),
}


@pytest.mark.parametrize("name", SANITIZERS)
def test_compute_sanitizer(driver: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, errors, line = SANITIZERS[name]
    tool = driver.args.out / "compute-sanitizer"
    tool.write_text(f"#!/bin/bash\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(driver.args.out), prepend=os.pathsep)
    driver.command = lambda work: [sys.executable, "-c", "print('small: conv-plain')"]
    driver.sanitizer(60)
    found = driver.results.data["parts"]["sanitizer"]
    assert set(found) == {"memcheck", "racecheck"}
    assert found["memcheck"]["errors"] == errors
    assert line in gpu.report(driver.results.data)
    assert bool(gpu.failures(driver.results.data)) == bool(errors)


def test_what_racecheck_says_is_understood() -> None:
    said = "small: conv-plain\n========= RACECHECK SUMMARY: 3 hazards displayed (2 errors, 1 warning)\n"
    assert gpu.verdict(said)["errors"] == 3
    assert gpu.verdict("small: conv-plain\nsmall: fold-ragged\n") == {
        "errors": None, "calls": 2, "last": "fold-ragged", "said": []
    }  # fmt: skip


def test_what_pytest_says_is_understood() -> None:
    alone = (
        "tests/test_gpu.py::test_kernel[conv-one by one-float32] PASSED [  3%]\n"
        "tests/test_gpu.py::test_kernel[conv-plain-float32] FAILED      [  6%]\n"
        "tests/test_gpu.py::test_memory SKIPPED (only a real device)    [ 10%]\n"
    )
    assert gpu.outcomes(alone) == {
        "counts": {"passed": 1, "failed": 1, "skipped": 1},
        "failed": ["FAILED tests/test_gpu.py::test_kernel[conv-plain-float32]"],
    }
    summary = "FAILED tests/test_gpu.py::test_kernel[conv-plain-float32] - AssertionError: row-major\n"
    assert gpu.outcomes(alone + summary)["failed"] == [summary.strip()]
    spread = (
        "[gw1] [  3%] PASSED tests/test_gpu.py::test_kernel[conv-one by one-float32] \n"
        "[gw0] [  6%] ERROR tests/test_gpu.py::test_memory \n"
    )
    assert gpu.outcomes(spread) == {
        "counts": {"passed": 1, "error": 1},
        "failed": ["ERROR tests/test_gpu.py::test_memory "],
    }


def test_a_layer_that_is_too_large_gets_fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def measured(device: Any, results: Any, layer: Any, kernel: str) -> dict:
        tried.append(layer.n)
        if layer.n > 4:
            raise type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")
        if kernel == "weight gradient":
            raise ValueError("something else")
        return {"n": layer.n}

    monkeypatch.setattr(gpu, "measured_layer", measured)
    monkeypatch.setattr(mg.cuda, "memory", lambda: mg.cuda.Memory(0, 0, 80 * 2**30, 80 * 2**30))
    monkeypatch.syspath_prepend(ROOT / "bench")
    from conv import Layer

    freed = argparse.Namespace(free=lambda: None)
    assert gpu.fitting(freed, None, Layer(16, 3, 224, 64, 3), "forward") == {"n": 4}
    assert tried == [16, 8, 4]
    with pytest.raises(ValueError, match="something else"):
        gpu.fitting(freed, None, Layer(16, 3, 224, 64, 3), "weight gradient")
    tried.clear()
    assert gpu.fitting(freed, None, Layer(2**20, 64, 224, 64, 3), "forward")["n"] <= 4
    assert tried[0] < 2**10  # it is known beforehand that more do not fit


def test_results_that_differ_are_wrong() -> None:
    data = {"parts": {"conv": {"a": {"error": 2e-4}, "b": {"error": 1e-6}, "c": {"error": float("nan")}}}, "notes": {}}
    assert gpu.failures(data) == ["conv, a: 0.0002", "conv, c: nan"]
