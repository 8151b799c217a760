"""The log of a run: a line of JSON for every epoch and some steps, and a table of the epochs."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from minigrad.nn.atomic import replacing
from minigrad.nn.train.callbacks import Callback
from minigrad.nn.train.log import Row, read_log

if TYPE_CHECKING:
    from minigrad.nn.train.trainer import Trainer


class RunLog(Callback):
    """Write `log.jsonl`, a JSON object in each line, and `log.csv`, the epochs as a table, into a folder.

    A line with "kind": "epoch" is a row of `Trainer.history`; one with "kind": "step", for every `log_every`-th step of
    the trainer, has "epoch", "step", "lr", "loss" and "grad_norm". Numbers that are no numbers are NaN and Infinity, as
    Python's json reads them. When a training goes on from a checkpoint, lines of later steps are taken out: the log of
    a run that was interrupted reads as if it had not been.

    Args:
        folder: where the files are; made if it is not there.

    Raises:
        OSError: the files cannot be written; names them.
        ValueError: log.jsonl is there and is not such a log.

    >>> import tempfile
    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> model, batches = nn.Linear(2, 2), [(mg.ones((4, 2)), mg.tensor([0, 1, 0, 1]))]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer = nn.train.Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[RunLog(folder)])
    ...     _ = trainer.fit(batches, epochs=2)
    ...     [(row["kind"], row["epoch"]) for row in nn.train.read_log(Path(folder, "log.jsonl"))]
    [('epoch', 1), ('epoch', 2)]
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.path = Path(folder) / "log.jsonl"
        self.table = Path(folder) / "log.csv"

    def on_fit_start(self, trainer: Trainer) -> None:
        """Keep what leads up to this step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = read_log(self.path) if self.path.exists() else []
        kept = [
            row
            for row in rows
            if row.get("step", 0) <= trainer.step and (row["kind"] != "epoch" or row["epoch"] <= trainer.epoch)
        ]
        with replacing(self.path) as file:
            file.write("".join(json.dumps(row) + "\n" for row in kept).encode())

    def on_step_end(self, trainer: Trainer, row: Row) -> None:
        """Add a line for every `log_every`-th step."""
        if row["step"] % trainer.log_every == 0:
            self._add({"kind": "step", **row})

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Add a line, and write the table anew."""
        self._add({"kind": "epoch", **row})
        text = io.StringIO(newline="")
        rows = trainer.history
        names = dict.fromkeys(name for r in rows for name, value in r.items() if not isinstance(value, dict))
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.table) as file:
            file.write(text.getvalue().encode())

    def _add(self, row: Row) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, default=float) + "\n")  # of numbers of NumPy
