"""The log of a training for TensorBoard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from minigrad.nn.optional import need
from minigrad.nn.train.callbacks import Callback
from minigrad.nn.train.log import Row

if TYPE_CHECKING:
    from minigrad.nn.train.trainer import Trainer


class TensorBoard(Callback):
    """Write the numbers of every epoch, and of every `log_every`-th step, where TensorBoard reads them.

    Args:
        folder: a folder of its own for each run; made if it is not there.

    Raises:
        ImportError: the package tensorboard is not installed.

    The folder `runs/lenet5/tensorboard` is shown by `tensorboard --logdir runs`::

        trainer = nn.train.Trainer(model, optimizer, callbacks=[nn.train.TensorBoard("runs/lenet5/tensorboard")])
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = os.fspath(folder)
        self._writer: Any = None
        need("tensorboard", "nn.train.TensorBoard")  # now, not after an epoch

    def on_fit_start(self, trainer: Trainer) -> None:
        """Open a new file in the folder; what an earlier one has beyond this step is hidden by TensorBoard."""
        module = need("tensorboard.summary.writer.event_file_writer", "nn.train.TensorBoard")
        events = need("tensorboard.compat.proto.event_pb2", "nn.train.TensorBoard")
        self._writer = module.EventFileWriter(self.folder)
        if trainer.step:
            restart = events.SessionLog(status=events.SessionLog.START)
            self._writer.add_event(events.Event(step=trainer.step + 1, session_log=restart))

    def on_step_end(self, trainer: Trainer, row: Row) -> None:
        """Write the loss, the learning rate and the norm of the gradients."""
        if row["step"] % trainer.log_every == 0:
            self._write(row, "step")

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write all numbers of the epoch."""
        self._write(row, "epoch")
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the file."""
        self._writer.close()
        self._writer = None

    def _write(self, row: Row, kind: str) -> None:
        events = need("tensorboard.compat.proto.event_pb2", "nn.train.TensorBoard")
        summaries = need("tensorboard.compat.proto.summary_pb2", "nn.train.TensorBoard")
        values = [
            summaries.Summary.Value(tag=f"{kind}/{name}", simple_value=value)
            for name, value in row.items()
            if isinstance(value, float)
        ]
        self._writer.add_event(events.Event(step=row["step"], summary=summaries.Summary(value=values)))
