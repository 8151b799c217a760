"""How the training goes: a bar in a terminal, a line for each epoch everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from minigrad.models.cli.output import console, duration, is_live, loss_text, percent, say
from minigrad.nn.data import DataLoader
from minigrad.nn.train.callbacks import Callback, Row
from minigrad.nn.train.trainer import Trainer

SMOOTHING = 0.9  # of the running loss

# title, width, what it shows of an epoch's row; those of the validation only if there is one
COLUMNS: list[tuple[str, int, Any]] = [
    ("epoch", 7, lambda row, epochs: f"{row['epoch']}/{epochs}"),
    ("train loss", 10, lambda row, epochs: loss_text(row["train_loss"])),
    ("top-1", 8, lambda row, epochs: percent(row["train_top1"])),
    ("val loss", 8, lambda row, epochs: loss_text(row["val_loss"])),
    ("top-1", 8, lambda row, epochs: percent(row["val_top1"])),
    ("lr", 7, lambda row, epochs: f"{row['lr']:.2g}"),
    ("images/s", 8, lambda row, epochs: f"{row['images_per_second']:,.0f}"),
    ("time", 10, lambda row, epochs: duration(row["seconds"])),
]
OF_VALIDATION = (3, 4)


class Progress(Callback):
    """Show each epoch as a line of a table and, in a terminal, the epoch under way as a bar.

    The bar has the batches, the running loss, images per second, and the time that the whole training still takes.

    Args:
        epochs: the number of the last one.
        steps: of the optimizer in an epoch.
        images: in a step.
        quiet: show nothing.
    """

    def __init__(self, epochs: int, steps: int, images: int, quiet: bool = False):
        self.epochs = epochs
        self.steps = steps
        self.images = images
        self.quiet = quiet
        self._begun = False  # the table
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._loss: float | None = None
        self._start = 0.0  # of the first step that was seen
        self._done = 0  # steps since then

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin the bar."""
        self._start, self._done = time.perf_counter(), 0
        if not self.quiet and is_live():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                console=console(),
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task("", total=self.steps, state="")
            self._bar.start()
            self._show(trainer)

    def on_step_end(self, trainer: Trainer, row: Row) -> None:
        """Move the bar on."""
        self._loss = row["loss"] if self._loss is None else SMOOTHING * self._loss + (1 - SMOOTHING) * row["loss"]
        self._done += 1
        self._show(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write the line of the epoch."""
        if self.quiet:
            return
        columns = [c for i, c in enumerate(COLUMNS) if "val_loss" in row or i not in OF_VALIDATION]
        lines = [] if self._begun else ["  ".join(title.rjust(width) for title, width, _ in columns)]
        self._begun = True
        lines.append("  ".join(show(row, self.epochs).rjust(width) for _, width, show in columns))
        for line in lines:
            if self._bar is None:
                say(line)
            else:
                self._bar.console.print(line, soft_wrap=True)
        self._loss = None
        self._show(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def watched(self, batches: DataLoader) -> Iterable[Any]:
        """The batches of the validation, shown by the bar as they are taken."""
        return _Watched(self, batches)

    def _show(self, trainer: Trainer) -> None:
        if self._bar is None:
            return
        in_epoch = trainer.step - trainer.epoch * self.steps
        state = "" if self._loss is None else f"loss {loss_text(self._loss)}"
        if self._done:
            each = (time.perf_counter() - self._start) / self._done
            left = each * (self.epochs * self.steps - trainer.step)
            state += f"  {self.images / each:,.0f} images/s  {duration(left)} left"
        self._bar.update(
            self._task,
            description=f"epoch {min(trainer.epoch + 1, self.epochs)}/{self.epochs}",
            completed=in_epoch,
            total=self.steps,
            state=state,
        )

    def show_validation(self, number: int, count: int) -> None:
        """Show how far the validation is."""
        if self._bar is not None:
            self._bar.update(self._task, description="validation", completed=number, total=count, state="")


class _Watched:
    """Batches that tell the bar when they are taken."""

    def __init__(self, progress: Progress, batches: DataLoader):
        self.progress = progress
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self.batches, 1):
            yield batch
            self.progress.show_validation(number, len(self.batches))
