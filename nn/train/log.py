"""The log of a training run: a file of JSON lines, a row for each epoch and for some of the steps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # of one epoch or step


def read_log(path: str | os.PathLike[str]) -> list[Row]:
    """The rows of a log.jsonl, in the order in which they were written.

    A run that is killed while it writes leaves a last line without its end: that one is passed over, for what it was
    to say is lost. Any other line that is no row is an error, since then the file is not what it is taken for.

    Args:
        path: the file: a JSON object with a "kind" on each line. NaN and Infinity are numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: a damaged line; names the file, the line's number and the fault.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.jsonl")
    ...     _ = path.write_text('{"kind": "epoch", "epoch": 1, "train_loss": NaN}\\n{"kind": "epo')
    ...     read_log(path)
    [{'kind': 'epoch', 'epoch': 1, 'train_loss': nan}]
    """
    path = Path(path)
    *lines, rest = path.read_bytes().split(b"\n")  # the rest after the last end of a line: nothing, or a torn line
    rows = [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    return [*rows, _row(rest, f"{path}, the last line")] if _is_whole(rest) else rows


def _is_whole(rest: bytes) -> bool:
    """Whether a line without its end has lost no more than that; a beginning of an object is no JSON."""
    try:
        json.loads(rest.decode())
    except ValueError:
        return False
    return True


def _row(line: bytes, where: str) -> Row:
    """What a line says."""
    try:
        row = json.loads(line.decode())
    except ValueError as error:
        raise ValueError(f"{where} is damaged, it is not JSON ({error}): {_shown(line)}") from error
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str):
        raise ValueError(f'{where} is no row of a log, an object with a "kind": {_shown(line)}')
    return row


def _shown(line: bytes) -> str:
    text = repr(line.decode(errors="backslashreplace"))
    return text if len(text) <= 80 else f"{text[:60]}... ({len(line)} bytes)"
