"""Several crops of each image, whose predictions are averaged in a test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Size, Transform, is_int, pair
from minigrad.nn.data.transforms.crop import center
from minigrad.nn.data.transforms.resample import INTERPOLATIONS, resample
from minigrad.nn.data.transforms.resize import scaled_size


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

    AlexNet's test averages the softmax over them. torchvision returns a tuple of ten. It comes last: other transforms
    do not take its five axes.

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


class GoogLeNetCrops(Transform):
    """GoogLeNet's test: of each of 4 scales 3 squares, of each square 6 views and their mirrors: (N, 144, C, h, w).

    The shorter side is brought to each scale; the squares lie at the left, in the middle and at the right (of upright
    images: top, middle, bottom); the views are the four corners and the middle, and the whole square, resized. Mirror
    images follow each view. It comes last: other transforms do not take its five axes.

    Args:
        size: of the views, an int for squares, or (height, width).
        scales: of the shorter side, none smaller than the views.
        interpolation, antialias: as for `Resize`.

    Raises:
        ValueError: sizes that are not positive or do not fit, or an unknown interpolation.

    Source: C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 7.

    >>> GoogLeNetCrops(7, scales=(8, 9, 10, 11))(np.zeros((2, 3, 16, 24), "uint8")).shape
    (2, 144, 3, 7, 7)
    """

    def __init__(
        self,
        size: Size = 224,
        scales: Sequence[int] = (256, 288, 320, 352),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ):
        self.size = pair("size", size)
        if not scales or not all(is_int(scale) and scale >= max(self.size) for scale in scales):
            raise ValueError(f"scales must be integers of at least {max(self.size)}, the size, got {scales!r}")
        self.scales = tuple(scales)
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.antialias = antialias

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, 36 for each scale, C, *size)."""
        views = []
        for scale in self.scales:
            height, width = scaled_size(images.shape[2:], scale)
            resized = resample(images, (height, width), self.interpolation, self.antialias)
            for share in (0, 1, 2):
                top, left = (height - scale) * share // 2, (width - scale) * share // 2
                square = resized[:, :, top : top + scale, left : left + scale]
                whole = resample(square, self.size, self.interpolation, self.antialias)
                for view in [*five(square, self.size), whole]:
                    views += [view, np.flip(view, 3)]
        return np.stack(views, axis=1)
