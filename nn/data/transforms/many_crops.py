"""Several crops of each image, whose predictions are averaged in a test."""

from __future__ import annotations

import numpy as np

from minigrad.nn.data.transforms.base import Size, Transform, pair
from minigrad.nn.data.transforms.crop import center


def five(images: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """The corners, left before right and top before bottom, and the middle of images (N, C, H, W)."""
    (h, w), (height, width) = size, images.shape[2:]
    if h > height or w > width:
        raise ValueError(f"size {size} must not be larger than the image, got an image of {height}x{width}")
    corners = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
    return [*(images[:, :, y : y + h, x : x + w] for y, x in corners), center(images, size)]


class FiveCrop(Transform):
    """The four corners and the middle of each image: (N, 5, C, h, w), where torchvision returns a tuple.

    It comes last: other transforms do not take its five axes.

    Args:
        size: of the crops, an int for squares, or (height, width).

    Raises:
        ValueError: a size that is not positive or larger than an image.

    >>> FiveCrop(1)(np.arange(9, dtype="uint8").reshape(1, 3, 3)).ravel()
    array([0, 2, 6, 8, 4], dtype=uint8)
    """

    def __init__(self, size: Size):
        self.size = pair("size", size)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, 5, C, *size): top left, top right, bottom left, bottom right, middle."""
        return np.stack(five(images, self.size), axis=1)


class TenCrop(Transform):
    """The four corners and the middle of each image, and the same of its mirror image: (N, 10, C, h, w).

    AlexNet's test averages the softmax over them. torchvision returns a tuple of ten. It comes last: other transforms do
    not take its five axes.

    Args:
        size: of the crops, an int for squares, or (height, width).
        vertical_flip: exchange top and bottom, instead of left and right.

    Raises:
        ValueError: a size that is not positive or larger than an image.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
    NIPS 2012, section 4.1.

    >>> TenCrop(1)(np.arange(9, dtype="uint8").reshape(1, 3, 3)).ravel()
    array([0, 2, 6, 8, 4, 2, 0, 8, 6, 4], dtype=uint8)
    """

    def __init__(self, size: Size, vertical_flip: bool = False):
        self.size = pair("size", size)
        self.vertical_flip = vertical_flip

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, 10, C, *size)."""
        mirrored = np.flip(images, 2 if self.vertical_flip else 3)
        return np.stack(five(images, self.size) + five(mirrored, self.size), axis=1)
