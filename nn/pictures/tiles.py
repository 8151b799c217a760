"""Many small images on one pair of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

GAP = 0.08  # between images, in widths of one


def tiles(axes: Any, images: Sequence[np.ndarray] | np.ndarray, columns: int, **options: Any) -> float:
    """Draw images of one shape, (h, w) or (h, w, 3), row by row in cells of one width.

    Image i lies at column i % columns, from x = column to column + 1 - GAP, and its row starts at y = row * step.

    Args:
        axes: of matplotlib; its frame and ticks are taken away.
        images: the images.
        columns: how many lie side by side.
        options: of `imshow`, as a map and limits for images of numbers.

    Returns:
        The step: how high a row is, with the gap below it.
    """
    ratio = images[0].shape[0] / images[0].shape[1]
    step = ratio * (1 - GAP) + GAP
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        left, top = column, row * step
        right, bottom = left + 1 - GAP, top + ratio * (1 - GAP)
        axes.imshow(image, extent=(left, right, bottom, top), **options)
        edge = [left, right, right, left, left], [top, top, bottom, bottom, top]
        axes.plot(*edge, color="0.6", lw=0.5)
    axes.set(xlim=(-GAP, columns), ylim=(-(-len(images) // columns) * step, -GAP), aspect="equal", anchor="W")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xticks=[], yticks=[])
    return step
