"""A training run that is killed again and again, and goes on; test_train_resume_killed.py runs it in its own process.

Prints, as JSON, how often it was killed, how often in the middle of writing a checkpoint, and whether the run that was
killed and one that was not ended in the same state, bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.nn.train import Checkpoints, RunLog, Trainer

warnings.simplefilter("error")  # a checkpoint that is passed over is a failure


def trainer_for(folder: Path) -> tuple[Trainer, nn.data.DataLoader]:
    """A run with everything that has a state."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    data = nn.data.ArrayDataset(rng.normal(size=(48, 1, 8, 8)).astype("float32"), rng.integers(0, 3, 48))
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 3)
    )
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    schedule = nn.schedule.CosineAnnealingLR(optimizer, T_max=50)
    trainer = Trainer(
        model,
        optimizer,
        schedule=schedule,
        average=nn.averaging.EMA(model, 0.9),
        callbacks=[RunLog(folder)],
        checkpoints=Checkpoints(folder / "checkpoints", keep_last=2),
    )
    return trainer, nn.data.DataLoader(data, 16, shuffle=True)


def train(folder: Path, epochs: int) -> Trainer:
    """Go on to the end."""
    trainer, loader = trainer_for(folder)
    trainer.resume()
    trainer.fit(loader, epochs=epochs)
    return trainer


def in_a_child(folder: Path, epochs: int) -> int:
    """The process number of a child that trains."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(folder, epochs)
            code = 0
        finally:
            os._exit(code)
    return child


def plain(state: object) -> object:
    """The state as numbers that can be compared, without the times."""
    if isinstance(state, dict):
        return {k: plain(v) for k, v in state.items() if k not in ("seconds", "images_per_second")}
    if isinstance(state, (list, tuple)):
        return [plain(v) for v in state]
    if isinstance(state, mg.Tensor):
        return (str(state.dtype), state.shape, state.detach().numpy().tobytes())
    return (str(state.dtype), state.shape, state.tobytes()) if isinstance(state, np.ndarray) else repr(state)


def main(kills: int, folder: Path) -> None:
    """Kill, and compare."""
    draw = random.Random(0)
    checkpoints = folder / "killed" / "checkpoints"
    killed = while_writing = last = 0
    while killed < kills:
        child = in_a_child(folder / "killed", epochs=10**6)
        time.sleep(draw.uniform(0.05, 0.4))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            sys.exit("a child ended by itself: it could not go on")
        killed += 1
        while_writing += bool(list(checkpoints.glob(".*.tmp")))
        found = Checkpoints(checkpoints).latest()
        step = 0 if found is None else found[1]["step"]
        if step < last:
            sys.exit(f"after {killed} kills the newest checkpoint fell back from step {last} to {step}")
        last = step
    epochs = last // 3 + 2
    resumed, whole = train(folder / "killed", epochs), train(folder / "whole", epochs)
    same = plain(resumed.state_dict()) == plain(whole.state_dict())
    logs = [plain(nn.train.read_log(folder / name / "log.jsonl")) for name in ("killed", "whole")]
    print(
        json.dumps(
            {
                "kills": killed,
                "while_writing": while_writing,
                "epochs": epochs,
                "same": same,
                "logs": logs[0] == logs[1],
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
