"""Images of one size and their labels, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.nn.data.dataset import ArrayDataset

MOST_CLASSES = 1 << 20  # by numbers alone: labels above are a mistake, and their names would fill the memory


class ImageArrays(ArrayDataset):
    """Images and labels from two arrays: sample `i` is (images[i], labels[i]).

    Args:
        images: uint8 (N, C, H, W), from 0 to 255.
        labels: integers (N,) from 0; become int64.
        classes: the names of the labels; "0", "1", ... up to the largest if None.

    Raises:
        TypeError: images that are not uint8, labels that are not integers.
        ValueError: other shapes, different lengths, or a label that has no name.

    >>> data = ImageArrays(np.zeros((2, 1, 8, 8), np.uint8), [1, 0], classes=["cat", "dog"])
    >>> data.images.shape, data.labels, data.classes
    ((2, 1, 8, 8), array([1, 0]), ('cat', 'dog'))
    """

    def __init__(self, images: Any, labels: Any, classes: Sequence[str] | None = None):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8 from 0 to 255, got {images.dtype}{_conversion(images)}")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, got {labels.dtype}")
        if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"images must have the shape (N, C, H, W) and labels (N,), got {images.shape} and {labels.shape}"
            )
        classes = class_numbers([labels]) if classes is None else classes
        low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, -1)
        if low < 0 or high >= len(classes):
            wrong = low if low < 0 else high
            raise ValueError(f"labels must be from 0 to {len(classes) - 1}, got {wrong}")
        super().__init__(images, labels.astype(np.int64), classes=classes)

    @property
    def images(self) -> np.ndarray:
        """uint8 (N, C, H, W)."""
        return self.arrays[0]

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""
        return self.arrays[1]


def class_numbers(labels: Iterable[np.ndarray]) -> list[str]:
    """Names for labels that have none: "0", "1", ... up to the largest.

    Raises:
        ValueError: a label so large that it does not number a class.

    >>> class_numbers([np.array([1, 0]), np.array([2])])
    ['0', '1', '2']
    """
    high = max((int(part.max()) for part in labels if part.size), default=-1)
    if high >= MOST_CLASSES:
        raise ValueError(f"labels must number the classes from 0, got {high}")
    return [str(i) for i in range(high + 1)]


def _conversion(images: np.ndarray) -> str:
    """How to make bytes of images in floating point."""
    if images.dtype.kind != "f":
        return ""
    return ': images from 0 to 1 become bytes by (images * 255).round().astype("uint8")'
