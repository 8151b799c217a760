"""The pictures of a run, as far as what is there allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.models.cli.command import described
from minigrad.models.cli.judge import Judgement
from minigrad.nn.data import Dataset

MOST_IMAGES = 2000  # of a data set that is not in memory, among which the worst mistakes are looked for


class Drawer:
    """Draws pictures into a folder, and remembers which it could not draw.

    Args:
        folder: made if it is not there.
        format: "png" or "svg".

    Attributes:
        paths: of the pictures.
        missing: why others are not there.
    """

    def __init__(self, folder: Path, format: str = "png"):  # noqa: A002 (matplotlib's name)
        self.folder = folder
        self.format = format
        self.paths: list[Path] = []
        self.missing: list[str] = []

    def draw(self, name: str, make: Callable[[], Any]) -> None:
        """One picture; a ValueError says why there is none of this run."""
        try:
            figure = make()
        except ValueError as error:
            self.missing.append(f"{name}: {described(error)}")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.paths.append(nn.pictures.save(figure, self.folder / f"{name}.{self.format}"))

    def course(self, run: Path) -> None:
        """Curves, learning rate and norms of gradients, from the log."""
        self.paths += nn.pictures.overview(run, self.format)

    def filters(self, model: nn.Module) -> None:
        """The first convolution's kernels."""
        self.draw("filters", lambda: nn.pictures.filters(model))

    def confusion(self, matrix: Any, classes: Sequence[str], name: str = "confusion_matrix") -> None:
        """Which class is taken for which."""
        self.draw(name, lambda: nn.pictures.confusion_matrix(np.asarray(matrix), classes))

    def mistakes(self, data: Dataset, judged: Judgement, classes: Sequence[str]) -> None:
        """The worst mistakes."""
        in_memory = getattr(data, "images", None)
        count = len(judged.labels) if in_memory is not None else min(len(judged.labels), MOST_IMAGES)
        images = list(data.batch(range(count))[0]) if in_memory is None else in_memory
        labels, probabilities = judged.labels[:count], judged.probabilities[:count]
        self.draw("mistakes", lambda: nn.pictures.mistakes(images, labels, probabilities, classes))

    def feature_maps(self, model: nn.Module, image: np.ndarray) -> None:
        """What becomes of an image at every stage; of several views, the first."""
        view = image[0] if image.ndim == 4 else image
        self.draw("feature_maps", lambda: nn.pictures.feature_maps(model, view))
