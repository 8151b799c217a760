"""Pictures as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigrad.nn.atomic import replacing
from minigrad.nn.optional import need
from minigrad.nn.pictures.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},  # no version of matplotlib
    ".svg": {"Date": None},
}


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a picture as PNG or SVG; the same picture gives the same bytes.

    The file appears under its name when it is complete: a failure leaves an old one as it was.

    Args:
        figure: a matplotlib Figure, as the functions of `nn.pictures` make them.
        path: its suffix, .png or .svg, says the format. The folder must exist.

    Returns:
        The path.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        TypeError: something else than a Figure.
        ValueError: another suffix.
        OSError: the file cannot be written; names it.

    >>> import pathlib, tempfile
    >>> from minigrad.nn import pictures
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = [{"kind": "epoch", "epoch": 1, "train_loss": 0.5}]
    ...     pictures.save(pictures.curves(rows), pathlib.Path(folder, "curves.png")).name
    'curves.png'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in METADATA:
        raise ValueError(f"a picture is saved as *.png or *.svg, got {path}")
    kind = need("matplotlib.figure", "nn.pictures.save").Figure
    if not isinstance(figure, kind):
        raise TypeError(f"figure must be a matplotlib Figure, got {type(figure).__name__}")
    with replacing(path) as file, styled("nn.pictures.save"):
        figure.savefig(file, format=suffix[1:], metadata=METADATA[suffix])
    return path
