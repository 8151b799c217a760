"""What a run leaves behind while it goes: the log, the table, and TensorBoard's file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.data import ArrayDataset, DataLoader
from minigrad.nn.train import RunLog, TensorBoard, Trainer, read_log


def run(callbacks: list, epochs: int = 2, **options) -> Trainer:
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    data = ArrayDataset(rng.normal(size=(40, 3)).astype("float32"), rng.integers(0, 2, 40))
    model = nn.Linear(3, 2)
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks, log_every=2, **options)
    trainer.fit(DataLoader(data, 10, shuffle=True), DataLoader(data, 40), epochs=epochs)
    return trainer


def test_the_log_and_the_table_say_what_the_history_says(tmp_path: Path):
    trainer = run([RunLog(tmp_path / "new" / "folder")])
    folder = tmp_path / "new" / "folder"
    rows = read_log(folder / "log.jsonl")
    assert [(row["kind"], row["step"]) for row in rows] == [
        ("step", 2), ("step", 4), ("epoch", 4), ("step", 6), ("step", 8), ("epoch", 8),
    ]  # fmt: skip
    assert [row for row in rows if row["kind"] == "epoch"] == [{"kind": "epoch", **row} for row in trainer.history]
    assert all(
        set(row) == {"kind", "epoch", "step", "lr", "loss", "grad_norm"} for row in rows if row["kind"] == "step"
    )
    with (folder / "log.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in table] == [row["val_loss"] for row in trainer.history]
    assert "grad_norms" not in table[0]
    assert sorted(p.name for p in folder.iterdir()) == ["log.csv", "log.jsonl"]


def test_lines_beyond_the_checkpoint_are_taken_out(tmp_path: Path):
    log = RunLog(tmp_path)
    run([log])
    before = read_log(tmp_path / "log.jsonl")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "step", "step": 9, "epoch": 3, "loss": NaN}\n{"kind": "step", "st')  # and killed
    trainer = run([], epochs=2)
    log.on_fit_start(trainer)  # goes on after step 8
    assert read_log(tmp_path / "log.jsonl") == before


def test_a_row_of_a_callback_is_in_the_log(tmp_path: Path):
    class Extra(nn.train.Callback):
        def on_epoch_end(self, trainer: Trainer, row: dict) -> None:
            row["answer"] = 42.0

    run([Extra(), RunLog(tmp_path)])
    assert read_log(tmp_path / "log.jsonl")[-1]["answer"] == 42
    assert (tmp_path / "log.csv").read_text().splitlines()[0].endswith(",answer")


def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text("my notes\nmore\n")
    with pytest.raises(ValueError, match=r"log\.jsonl, line 1 is damaged"):
        run([RunLog(tmp_path)])
    assert (tmp_path / "log.jsonl").read_text() == "my notes\nmore\n"


def test_lines_of_other_kinds_stay(tmp_path: Path):
    note = '{"kind": "note", "text": "a new disk"}'
    (tmp_path / "log.jsonl").write_text(f"{note}\n")
    run([RunLog(tmp_path)])
    assert (tmp_path / "log.jsonl").read_text().splitlines()[0] == note


def test_every_line_is_json_even_of_a_diverging_run(tmp_path: Path):
    log = RunLog(tmp_path)
    trainer = run([log], epochs=1)
    log.on_step_end(trainer, {"step": 6, "epoch": 2, "loss": float("inf"), "lr": 0.1})
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["loss"] == float("inf")


def test_tensorboard_reads_what_was_written(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = run([TensorBoard(tmp_path / "events")])
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"epoch/train_loss", "epoch/val_top1", "epoch/lr", "step/loss", "step/grad_norm"} <= set(tags)
    seen = [(e.step, e.value) for e in events.Scalars("epoch/val_loss")]
    assert seen == [(row["step"], pytest.approx(row["val_loss"], rel=1e-6)) for row in trainer.history]
