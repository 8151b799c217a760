"""The trainer on the stand-in for CuPy: the data move, the steps are those of the CPU, and the state goes on there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.nn.data import DataLoader
from minigrad.nn.train import Checkpoints, Trainer
from tests.cudaemu import fake_cupy
from tests.test_train_trainer import blobs


def run(device: str, folder: Path, epochs: int, **options) -> Trainer:
    """Train, or go on, without random numbers that would differ between the devices."""
    mg.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    model = nn.Sequential(*layers).to(device)
    trainer = Trainer(
        model,
        nn.optim.Adam(model.parameters(), lr=0.01),
        average=nn.averaging.EMA(model, 0.9),
        clip_norm=1.0,
        checkpoints=Checkpoints(folder),
        **options,
    )
    trainer.resume()
    trainer.fit(DataLoader(blobs(), 16, shuffle=True, seed=1), DataLoader(blobs(30, seed=1), 15), epochs=epochs)
    return trainer


def test_the_steps_are_those_of_the_cpu(tmp_path: Path):
    on_cpu = run("cpu", tmp_path / "cpu", 2)
    with fake_cupy.install():
        on_cuda = run("cuda", tmp_path / "cuda", 1)
        on_cuda = run("cuda", tmp_path / "cuda", 2)  # from the checkpoint
        assert {p.device for p in on_cuda.model.parameters()} == {"cuda"}
        assert on_cuda.predict(blobs(4).arrays[0]).shape == (4, 3)
        for ours, theirs in zip(on_cuda.history, on_cpu.history, strict=True):
            assert abs(ours["train_loss"] - theirs["train_loss"]) < 1e-4
            assert abs(ours["val_loss"] - theirs["val_loss"]) < 1e-4
        for ours, theirs in zip(on_cuda.model.parameters(), on_cpu.model.parameters(), strict=True):
            np.testing.assert_allclose(ours.to("cpu").detach().numpy(), theirs.detach().numpy(), atol=1e-3)


def test_a_checkpoint_of_the_gpu_goes_on_on_the_cpu(tmp_path: Path):
    with fake_cupy.install():
        run("cuda", tmp_path, 1)
    assert run("cpu", tmp_path, 2).epoch == 2


def test_in_float16_the_loss_is_scaled(tmp_path: Path):
    with fake_cupy.install():
        trainer = run("cuda", tmp_path, 2, autocast="float16")
        assert trainer.scaler.get_scale() == 65536
        assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]
