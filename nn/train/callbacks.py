"""What happens beside training, at the end of each step and epoch: the interface, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minigrad.checks import at_least_zero, one_of, positive_int
from minigrad.nn.train.log import Row

if TYPE_CHECKING:
    from minigrad.nn.train.trainer import Trainer


class Callback:
    """Is told what the trainer does; subclass it and define what you need. Setting `trainer.stop` ends the training.

    A `row` is what goes into the log: see `Trainer`. A callback may add entries to the row of an epoch, numbers that
    the callbacks after it, the log and the checkpoints then have too.

    >>> from minigrad import nn
    >>> class Patient(nn.train.Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         trainer.stop = row["train_top1"] > 0.99
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch of a call of `fit`, which may be one in the middle of the training."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before an epoch; not before the rest of one that was interrupted."""

    def on_step_end(self, trainer: Trainer, row: Row) -> None:
        """After each step of the optimizer."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """After an epoch and its validation, before the checkpoint is written."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch of a call of `fit`, also when it ends with an error."""

    def state_dict(self) -> dict[str, Any]:
        """What is to be known to go on after a restart."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the callback of `state_dict()` was."""


class EarlyStopping(Callback):
    """Stop when a metric has not improved for `patience` epochs.

    Args:
        monitor: its name in the row of an epoch, such as "val_loss" or "val_top1".
        patience: how many epochs without improvement in a row end the training, at least 1.
        mode: "min" or "max": whether it is to fall or to rise; "auto" lets losses fall and the rest rise.
        min_delta: by how much it has to be better, at least 0.

    Attributes:
        best: the best value so far.
        best_epoch: the number of its epoch.

    Raises:
        ValueError: an argument out of its range; while training: a row without the metric.

    >>> import numpy as np
    >>> from minigrad import nn
    >>> data = nn.data.ArrayDataset(np.zeros((4, 2), "float32"), [0, 1, 0, 1])  # there is nothing to learn in it
    >>> model = nn.Linear(2, 2, bias=False)
    >>> early = EarlyStopping("train_loss", patience=3)
    >>> trainer = nn.train.Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[early])
    >>> len(trainer.fit(nn.data.DataLoader(data, batch_size=2), epochs=100)), early.best_epoch
    (4, 1)
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 5, mode: str = "auto", min_delta: float = 0.0):
        one_of("mode", mode, ["auto", "min", "max"])
        self.monitor = monitor
        self.patience = positive_int("patience", patience)
        self.sign = -1 if mode == "min" or (mode == "auto" and monitor.endswith("loss")) else 1
        self.min_delta = at_least_zero("min_delta", min_delta)
        self.best = -self.sign * math.inf
        self.best_epoch = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Stop at once where the training had come to its end before: a larger patience goes on."""
        trainer.stop = trainer.epoch - self.best_epoch >= self.patience

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Compare with the best epoch so far."""
        value = metric(row, self.monitor)
        if self.sign * (value - self.best) > self.min_delta:
            self.best, self.best_epoch = value, row["epoch"]
        elif row["epoch"] - self.best_epoch >= self.patience:
            trainer.stop = True

    def state_dict(self) -> dict[str, Any]:
        """The best value and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember the best value and its epoch."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]


def metric(row: Row, name: str) -> float:
    """An entry of the row of an epoch.

    Raises:
        ValueError: there is none of that name; says which there are.
    """
    if name not in row:
        numbers = [key for key, value in row.items() if isinstance(value, float)]
        hint = " (a validation set gives val_loss, val_top1 and val_top5)" if name.startswith("val_") else ""
        raise ValueError(f"monitor must be one of {', '.join(numbers)}, got {name!r}{hint}")
    return float(row[name])
