"""All pictures of a run at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minigrad.checks import one_of
from minigrad.nn.pictures.curves import curves
from minigrad.nn.pictures.gradient_norms import gradient_norms
from minigrad.nn.pictures.learning_rate import learning_rate
from minigrad.nn.pictures.saving import save
from minigrad.nn.train.log import Row, read_log

# The name of each picture, what draws it, and what a row must have for it.
PICTURES: dict[str, tuple[Callable[[list[Row]], Any], Callable[[Row], bool]]] = {
    "curves": (curves, lambda row: any(row.get(key) is not None for key in ("train_loss", "val_loss", "loss"))),
    "learning_rate": (learning_rate, lambda row: row.get("lr") is not None),
    "gradient_norms": (gradient_norms, lambda row: bool(row.get("grad_norms"))),
}


def overview(run: str | os.PathLike[str], format: str = "png") -> list[Path]:  # noqa: A002 (matplotlib's name)
    """Draw all that the log of a run allows, into its folder `pictures`: curves, learning rate, gradient norms.

    Args:
        run: the folder of a run, which holds a log.jsonl.
        format: "png" or "svg".

    Returns:
        The paths of the pictures.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        FileNotFoundError: there is no log.
        OSError: a file cannot be read or written.
        ValueError: the log is damaged or holds nothing to draw; or another format.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     row = '{"kind": "epoch", "epoch": 1, "train_loss": 0.5, "lr": 0.1}'
    ...     _ = pathlib.Path(run, "log.jsonl").write_text(row)
    ...     [path.name for path in overview(run)]
    ['curves.png', 'learning_rate.png']
    """
    one_of("format", format, ("png", "svg"))
    log = Path(run) / "log.jsonl"
    if not log.is_file():
        raise FileNotFoundError(f"no run at {run}: there is no file {log}")
    rows = read_log(log)
    drawn = {name: draw(rows) for name, (draw, has) in PICTURES.items() if any(map(has, rows))}
    if not drawn:
        raise ValueError(f"{log} has no losses, learning rates or norms of gradients yet, so there is nothing to draw")
    folder = Path(run) / "pictures"
    folder.mkdir(exist_ok=True)
    return [save(figure, folder / f"{name}.{format}") for name, figure in drawn.items()]
