"""The images that a classifier gets most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.checks import positive_int
from minigrad.nn.pictures.style import WRONG, drawing, host, names_for, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mistakes(images: Any, labels: Any, probabilities: Any, classes: Sequence[Any] = (), count: int = 16) -> Figure:
    """The worst mistakes: of the images that are taken for another class, those with the largest loss -log p(label).

    Each has its number among the images, and the true and the predicted class with their probabilities.

    Args:
        images: (N, C, H, W) or (N, H, W) with one or three channels; or a list of images of different sizes. uint8, or
            floating from 0 to 1; others, as after Normalize, are stretched from their least to their largest value.
        labels: (N,) the true classes, integers.
        probabilities: (N, classes), as softmax makes them of logits.
        classes: their names; numbers if empty.
        count: how many to show at most.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        ValueError: shapes that do not fit together, a label without a class, or numbers that are no probabilities.

    >>> images = np.zeros((2, 1, 8, 8), "uint8")
    >>> figure = mistakes(images, [0, 1], [[0.9, 0.1], [0.8, 0.2]], ["cat", "dog"])
    >>> print(figure.axes[0].get_title())
    true: dog (20.0 %)
    taken for: cat (80.0 %)
    """
    y, p = host(labels), host(probabilities)
    pictures = [host(image) for image in images] if isinstance(images, (list, tuple)) else host(images)
    n = len(pictures)
    if p.ndim != 2 or y.shape != (n,) or len(p) != n or y.dtype.kind not in "iu":
        raise ValueError(
            f"images, labels and probabilities must be (N, ...), (N,) integers and (N, classes), got {n} images, "
            f"{y.dtype} {y.shape} and {p.shape}"
        )
    names = names_for(classes, p.shape[1], 13)
    positive_int("count", count)
    if len(outside := y[(y < 0) | (y >= p.shape[1])]):
        raise ValueError(f"labels must be from 0 to {p.shape[1] - 1}, got {outside[0]}")
    if not (np.isfinite(p).all() and (p >= 0).all() and (abs(p.sum(axis=1) - 1) < 0.01).all()):
        raise ValueError("probabilities must be finite, from 0, and add up to 1 for each image: take softmax of logits")
    own, taken = p[np.arange(n), y], p.argmax(axis=1) if n else y
    wrong = np.flatnonzero(taken != y)
    worst = wrong[np.argsort(own[wrong], kind="stable")][:count]
    if not len(worst):
        with drawing("mistakes", 6, 2) as figure:
            figure.text(
                0.5, 0.5, f"No mistakes: all of the {n} images are right", ha="center", va="center", fontsize=12
            )
        return figure
    columns = min(len(worst), 4 if len(worst) <= 16 else 6)
    rows = -(-len(worst) // columns)
    with drawing("mistakes", max(columns * 2.5, 5), rows * 2.5 + 0.5) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, i in zip(grid, worst, strict=False):
            shown = _visible(pictures[i])
            axes.imshow(shown, **({} if shown.ndim == 3 else {"cmap": "gray", "vmin": 0, "vmax": 1}))
            text = f"true: {names[y[i]]} ({percent(own[i])})\ntaken for: {names[taken[i]]} ({percent(p[i, taken[i]])})"
            axes.set_title(text, fontsize=9)
            axes.set_xlabel(f"image {i}", fontsize=8)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=WRONG, linewidth=1.5)
        for axes in grid[len(worst) :]:
            axes.set_axis_off()
        which = f"The worst {len(worst)} of {len(wrong)} mistakes" if len(worst) < len(wrong) else "All mistakes"
        figure.suptitle(f"{which} among {n} images, the largest loss first")
    return figure


def _visible(image: np.ndarray) -> np.ndarray:
    """An image as (H, W) or (H, W, 3) from 0 to 1."""
    if image.ndim == 2:
        image = image[None]
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(
            f"images must have the shape (H, W) or (C, H, W) with one or three channels, got {image.shape}"
        )
    if image.dtype == np.uint8:
        image = image / 255
    elif image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / (image.max() - image.min())
    return image.transpose(1, 2, 0) if len(image) == 3 else image[0]
