"""Checkpoints: states of a training run in a folder, the last few and the best, which outlive what kills the run.

    runs/lenet/checkpoints/step-00000938.safetensors
                           step-00001876.safetensors

A file appears under its name when it is complete and on the disk, and has checksums; older files go after that. So
there is a good one at every moment, after the first. The metrics stand in the file they belong to, in its header, and
nothing else in the folder can disagree with them.

One run, one folder. Two processes that write into one folder by mistake damage nothing, since each file is written
under a name of its own and renamed, but each counts the other's files among the last and the best.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Tensor, checks
from minigrad.nn import nested
from minigrad.nn.atomic import naming, replacing, sync_folder
from minigrad.nn.module import Module
from minigrad.nn.optional import need
from minigrad.nn.serialize import load, load_outline, plain_array, write_safetensors

try:
    import fcntl
except ImportError:  # Windows, where a file that another process has open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

VERSION = 1  # of what a checkpoint has beside the state
NAME = re.compile(r"step-(\d{8,})\.safetensors")
TEMPORARY = "checkpoint-"
LEFT_OVER = re.compile(rf"\.{TEMPORARY}[0-9a-f]{{16}}\.tmp")


class Checkpoints:
    """The states of a training run, in files of a folder that the first `save` makes.

    Making one removes what killed runs left behind of files that they had not finished.

    Args:
        folder: of the checkpoints, and of nothing else.
        keep_last: how many of the newest are kept, 1 or more.
        keep_best: how many of the best are kept beside them.
        monitor: the name of the metric that tells which are best.
        mode: "min" or "max", whichever is best.

    Raises:
        ValueError: an option out of its range.
        NotADirectoryError: the folder is a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(folder, keep_last=1)
    ...     for step, loss in enumerate([0.5, 0.25, 0.75]):
    ...         path = checkpoints.save({"step": step}, step, {"val_loss": loss})
    ...     path.name, checkpoints.latest()[1], checkpoints.best()[1], checkpoints.metrics()
    ('step-00000002.safetensors', {'step': 2}, {'step': 1}, {1: {'val_loss': 0.25}, 2: {'val_loss': 0.75}})
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        keep_last: int = 3,
        keep_best: int = 1,
        monitor: str = "val_loss",
        mode: str = "min",
    ):
        self.folder = Path(folder)
        self.keep_last = checks.positive_int("keep_last", keep_last)
        if not isinstance(keep_best, int):
            raise ValueError(f"keep_best must be an integer of 0 or more, got {keep_best!r}")
        self.keep_best = checks.at_least_zero("keep_best", keep_best)
        if not isinstance(monitor, str):
            raise ValueError(f"monitor must be the name of a metric, got {monitor!r}")
        self.monitor = monitor
        self.mode = checks.one_of("mode", mode, ("min", "max"))
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"cannot keep checkpoints in {self.folder}: it is a file")
        if self.folder.is_dir():
            self._clean()

    def __repr__(self) -> str:
        return (
            f"Checkpoints({str(self.folder)!r}, keep_last={self.keep_last}, keep_best={self.keep_best}, "
            f"monitor={self.monitor!r}, mode={self.mode!r})"
        )

    def path(self, step: int) -> Path:
        """The file of a step.

        >>> Checkpoints("run").path(1234).name
        'step-00001234.safetensors'
        """
        return self.folder / _name(int(step))

    def save(self, state: Any, step: int, metrics: Mapping[str, Any] | None = None) -> Path:
        """Write a state; then remove the checkpoints that are neither among the last nor among the best.

        A file of the same step is replaced; one that cannot be read is renamed to `….damaged` instead, and a warning
        says so. Nothing but whole checkpoints is removed or replaced, whatever else is in the folder: each is read
        once more before, and its checksums compared. The disk needs room for one file more than is kept.

        Args:
            state: dicts (with keys of str or int), lists, tuples, numbers, str, bool, None, Tensors, arrays, nested.
            step: how many steps of the optimizer have been made, 0 or more.
            metrics: numbers by name, such as {"val_loss": 0.3}. One without the monitored metric counts only among
                the last; nan is worse than every number, and of equal ones the earlier is the better.

        Returns:
            the file.

        Raises:
            TypeError, ValueError: a step, metric or state that cannot be saved; nothing has been changed then.
            OSError: the file cannot be written, the disk is full, say; names it. All checkpoints are as they were.
        """
        if not isinstance(step, (int, np.integer)) or isinstance(step, bool) or step < 0:
            raise ValueError(f"step must be an integer of 0 or more, got {step!r}")
        if isinstance(state, Module):
            raise TypeError(
                f"state must be made of dicts and arrays, got {type(state).__name__}: pass its state_dict()"
            )
        content = {"checkpoint": VERSION, "step": int(step), "metrics": _numbers(metrics or {}), "state": state}
        text, arrays = nested.pack(content, plain_array)
        need("safetensors.numpy", "nn.train.Checkpoints")
        path = self.path(step)
        self._make_folder(path)
        notes: list[str] = []
        with _lock(self.folder, shared=True):
            with replacing(path, TEMPORARY) as file:
                write_safetensors(file, arrays, text)
                notes += _put_aside(path)
            notes += self._prune(int(step))
        for note in notes:
            warnings.warn(note, UserWarning, stacklevel=2)
        return path

    def latest(self) -> tuple[Path, Any] | None:
        """The file of the highest step, and the state in it; None if there is no checkpoint.

        If it is damaged, the one before, and so on: a warning names each file that was passed over and its fault, and
        it stays where it is.

        Raises:
            ValueError: there are checkpoints, and none can be read; says why of each.
        """
        return self._first_readable([self.path(step) for step in reversed(self._steps())], [], "")

    def best(self) -> tuple[Path, Any] | None:
        """The file with the best value of the monitored metric, and the state in it; None if none has the metric.

        Damaged ones are passed over as in `latest`.

        Raises:
            ValueError: there are checkpoints that cannot be read, and none with the metric that can.
        """
        metrics, faults = self._read_metrics()
        return self._first_readable(
            [self.path(step) for step in self._ranked(metrics)], faults, f" with {self.monitor!r}"
        )

    def metrics(self) -> dict[int, dict[str, float]]:
        """The metrics of all checkpoints by step, in this order; reads only headers, and passes damaged ones over."""
        return self._read_metrics()[0]

    def _steps(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        found = [(path, NAME.fullmatch(path.name)) for path in self.folder.iterdir()]
        steps = [(path, int(match[1])) for path, match in found if match]
        return sorted(step for path, step in steps if path == self.path(step))  # not 000000001, with one 0 too many

    def _read_metrics(self) -> tuple[dict[int, dict[str, float]], list[str]]:
        """What `metrics` gives, and the faults of the others."""
        read, faults = {}, []
        for step in self._steps():
            try:
                read[step] = _checked(self.path(step), load_outline(self.path(step)))["metrics"]
            except (OSError, ValueError) as error:
                faults.append(str(error))
        return read, faults

    def _ranked(self, metrics: dict[int, dict[str, float]]) -> list[int]:
        """The steps that have the monitored metric, the best first."""
        sign = 1 if self.mode == "min" else -1
        values = {step: sign * values[self.monitor] for step, values in metrics.items() if self.monitor in values}
        return sorted(values, key=lambda s: (True, 0, s) if math.isnan(values[s]) else (False, values[s], s))

    def _first_readable(self, paths: list[Path], faults: list[str], which: str) -> tuple[Path, Any] | None:
        found = None
        for path in paths:
            try:
                found = path, _checked(path, load(path))["state"]
                break
            except (OSError, ValueError) as error:
                faults.append(str(error))
        if found is None and faults:
            raise ValueError(f"no checkpoint{which} in {self.folder} can be read:\n" + "\n".join(faults))
        for fault in faults:
            warnings.warn(f"passed over a checkpoint: {fault}", UserWarning, stacklevel=3)
        return found

    def _prune(self, written: int) -> list[str]:
        """Remove what is not kept; returns warnings."""
        metrics, _ = self._read_metrics()
        newest = sorted(metrics)[-self.keep_last :]
        notes = []
        if written not in newest:
            notes.append(
                f"step {written} is older than the last {self.keep_last} checkpoints in {self.folder}: latest() gives "
                f"step {newest[-1]}, and the next save may remove it; give every run a folder of its own"
            )
        for step in metrics.keys() - {*newest, *self._ranked(metrics)[: self.keep_best], written}:
            path = self.path(step)
            try:
                load_outline(path, check=True)
                path.unlink()
            except (FileNotFoundError, ValueError):  # another process was first; or its numbers are damaged
                pass
            except OSError as error:
                notes.append(f"cannot remove the old checkpoint {path}: {error.strerror or error}")
        return notes

    def _make_folder(self, path: Path) -> None:
        with naming(path):
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder.parent)

    def _clean(self) -> None:
        """Remove the unfinished files of killed processes: no other process is writing while the lock is held."""
        with contextlib.suppress(OSError), _lock(self.folder, shared=False) as held:
            for path in list(self.folder.iterdir()) if held else []:
                if LEFT_OVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be numbers by name, got {type(metrics).__name__}")
    numbers = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or not isinstance(value, (int, float, np.number, np.bool_, Tensor)):
            raise TypeError(f"metrics must be numbers by name, got {name!r}: {type(value).__name__}")
        numbers[name] = float(value)
    return numbers


def _checked(path: Path, content: Any) -> dict[str, Any]:
    """What is in a file, if it is a checkpoint, and the one that its name says."""
    if type(content) is not dict or content.keys() != {"checkpoint", "step", "metrics", "state"}:
        raise ValueError(f"cannot load {path}: it is no checkpoint, but another file of nn.save")
    if content["checkpoint"] != VERSION:
        raise ValueError(
            f"cannot load {path}: it is a checkpoint of version {content['checkpoint']}, this minigrad reads {VERSION}"
        )
    if path.name != _name(content["step"]):
        raise ValueError(f"cannot load {path}: it holds step {content['step']!r}, another than its name says")
    if type(content["metrics"]) is not dict or any(type(value) is not float for value in content["metrics"].values()):
        raise ValueError(f"cannot load {path}: its metrics are no numbers by name")
    return content


def _name(step: Any) -> str:
    """The name of a step's file; none for what is no step, which a file may claim to hold."""
    return f"step-{step:08d}.safetensors" if type(step) is int else ""


def _put_aside(path: Path) -> list[str]:
    """Rename a file that is about to be replaced, if it is no whole checkpoint; returns warnings."""
    try:
        _checked(path, load_outline(path, check=True))
        return []
    except (OSError, ValueError) as error:
        fault = error
    if not os.path.lexists(path):
        return []
    number, aside = 1, path.with_name(f"{path.name}.damaged")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(aside)
    return [f"{path} could not be read, and is now {aside.name}: {fault}"]


@contextlib.contextmanager
def _lock(folder: Path, shared: bool) -> Iterator[bool]:
    """Hold the folder's lock, which ends with the process; whether it is held. Shared, waits; alone, only tries.

    Savers share it; who removes unfinished files holds it alone. Where there are no such locks, on Windows and some
    network disks, savers go on without, and unfinished files stay.
    """
    if fcntl is None:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(descriptor)
