"""kill -9 in the middle of saving, hundreds of times in one folder: the last good checkpoint is intact, and the next
process goes on from it.

The processes are forked, since starting an interpreter takes longer than they live, from one that has nothing but
minigrad in it: the process of the tests has threads.
"""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigrad import nn

KILLS = 250
SECONDS = 0.12  # at most, from the first sign of life to the kill

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="needs fork and SIGKILL, which this system does not have"
)


def state_of(step: int) -> dict:
    """What the checkpoint of a step must contain: 2 MB of numbers, another for each step."""
    rng = np.random.default_rng(step)
    weights = [rng.integers(0, 256, size, dtype=np.uint8) for size in (1 << 20, 1 << 18, 3 << 18, 7)]
    return {"step": step, "weights": weights, "rng": rng.bit_generator.state, "text": f"step {step}"}


def metrics_of(step: int) -> dict[str, float]:
    return {"val_loss": float(np.random.default_rng([step, 1]).random())}


def check(path: Path, state: dict) -> int:
    """The step of a loaded checkpoint, every bit of which is compared."""
    expected = state_of(state["step"])
    assert path.name == f"step-{state['step']:08d}.safetensors"
    assert state.keys() == expected.keys()
    assert state["rng"] == expected["rng"]
    assert state["text"] == expected["text"]
    for ours, theirs in zip(state["weights"], expected["weights"], strict=True):
        assert ours.numpy().tobytes() == theirs.tobytes()
    return state["step"]


def go_on(folder: Path, report: int) -> None:
    """What a run does: goes on from the latest, and saves until it is killed."""
    checkpoints = nn.train.Checkpoints(folder, keep_last=2)
    found = checkpoints.latest()
    step = 0 if found is None else check(*found)
    os.write(report, b"%d started\n" % step)
    while True:
        step += 1
        state, metrics = state_of(step), metrics_of(step)
        os.write(report, b"%d saving\n" % step)
        checkpoints.save(state, step, metrics)
        os.write(report, b"%d saved\n" % step)


def one_kill(folder: Path, delay: float) -> list[tuple[int, str]]:
    """Start a process, kill it, and return what it reported."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            go_on(folder, writing)
        finally:
            os._exit(1)  # an error: nothing after this may run twice
    os.close(writing)
    with os.fdopen(reading) as reports:
        first = reports.readline()
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        lines = [first, *reports.readlines()]
    assert os.WTERMSIG(status) == signal.SIGKILL, f"the child ended by itself, after {lines}"
    return [(int(line.split()[0]), line.split()[1]) for line in lines if line.endswith("\n")]


def main(folder: Path, kills: int) -> dict[str, int]:
    rng = random.Random(0)
    counts: collections.Counter = collections.Counter()
    saved = 0
    for _ in range(kills):
        reports = one_kill(folder, rng.uniform(0, SECONDS))
        started = reports[0][0]
        assert started >= saved, (started, saved)  # what was reported as saved is never lost
        saved = max([saved, started, *(step for step, what in reports if what == "saved")])
        counts["in the middle of a save"] += reports[-1][1] == "saving"
        left = [path for path in folder.iterdir() if path.name.endswith(".tmp")] if folder.is_dir() else []
        counts["with an unfinished file"] += bool(left)
        assert len(left) <= 1  # each process removes the one before's
        found = nn.train.Checkpoints(folder, keep_last=2).latest()
        assert (found is not None) or saved == 0
        if found is not None:
            step = check(*found)
            assert saved <= step <= max(saved, reports[-1][0]), (step, saved, reports)
            counts["saved, but killed before it could say so"] += step > saved
    checkpoints = nn.train.Checkpoints(folder, keep_last=2)
    assert not list(folder.glob(".*"))
    path, state = checkpoints.latest()  # type: ignore[misc]
    counts["steps"] = check(path, state)
    best_path, best = checkpoints.best()  # type: ignore[misc]
    check(best_path, best)
    losses = {step: metrics_of(step)["val_loss"] for step in range(1, counts["steps"] + 1)}
    assert best["step"] == min(losses, key=losses.__getitem__)  # of all steps, over all lives
    checkpoints.save(state_of(counts["steps"] + 1), counts["steps"] + 1, metrics_of(counts["steps"] + 1))
    assert len(list(folder.iterdir())) <= 3  # two last, one best: a kill between the writing and the removing heals
    return dict(counts)


def test_killed_at_any_moment(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "tests.test_train_kill", str(tmp_path / "run"), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    counts = json.loads(done.stdout)
    assert counts["in the middle of a save"] > KILLS / 4
    assert counts["with an unfinished file"] > KILLS / 25
    assert counts["steps"] > KILLS / 5  # the lives are long enough to get ahead


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
