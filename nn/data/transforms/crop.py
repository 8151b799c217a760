"""Parts of images, of one size: from the middle, or from anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Size, Transform, pair, per_channel
from minigrad.nn.data.transforms.pad import MODES, Fill, padded, repeated, sides


def center(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of images (N, C, H, W); an odd pixel goes as torchvision has it, to the even offset."""
    (h, w), (height, width) = size, images.shape[2:]
    top, left = round((height - h) / 2), round((width - w) / 2)
    return images[:, :, top : top + h, left : left + w]


class CenterCrop(Transform):
    """The middle of each image; an image that is too small gets a border of zeros first.

    Args:
        size: of the crop, an int for a square, or (height, width).

    Raises:
        ValueError: a size that is not positive.

    >>> CenterCrop((1, 2))(np.array([[[1, 2, 3, 4]]], "uint8"))
    array([[[2, 3]]], dtype=uint8)
    """

    def __init__(self, size: Size):
        self.size = pair("size", size)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, *size)."""
        down, across = (max(n - have, 0) for n, have in zip(self.size, images.shape[2:], strict=True))
        if down or across:
            border = (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2)
            images = padded(images, border, 0, "constant")
        return center(images, self.size)


class RandomCrop(Transform):
    """A part of each image, of one size, from a place that is drawn evenly.

    Args:
        size: of the crop, an int for a square, or (height, width).
        padding: a border before the crop, as for `Pad`; ResNets on CIFAR have 4 pixels.
        pad_if_needed: give images that are too small a border on both sides, as wide as what they lack.
        fill, padding_mode: the border's, as for `Pad`.

    Raises:
        ValueError: a size that is not positive or larger than an image with its border; options as for `Pad`.

    Source: K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2
    (padding=4); A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural
    Networks, NIPS 2012, section 4.1 (224 of 256).

    >>> RandomCrop(32, padding=4)(np.zeros((8, 3, 32, 32), "uint8")).shape
    (8, 3, 32, 32)
    """

    def __init__(
        self,
        size: Size,
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
    ):
        self.size = pair("size", size)
        self._border = sides(padding or 0)
        self.padding = list(self._border) if padding else None
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = one_of("padding_mode", padding_mode, MODES)

    def _border_of(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the border of an image."""
        left, top, right, bottom = self._border
        down = max(self.size[0] - (top + height + bottom), 0) if self.pad_if_needed else 0
        across = max(self.size[1] - (left + width + right), 0) if self.pad_if_needed else 0
        return left + across, top + down, right + across, bottom + down

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The top and the left edge of each crop, in the image with its border."""
        rooms = []
        for _, height, width in shapes.tolist():
            left, top, right, bottom = self._border_of(height, width)
            room = top + height + bottom - self.size[0], left + width + right - self.size[1]
            if min(room) < 0:
                raise ValueError(
                    f"size {self.size} must not be larger than the image with its border, got an image of "
                    f"{height}x{width} and padding {self.padding}: pad_if_needed=True widens it"
                )
            rooms.append(room)
        return tuple(rng.integers(0, np.array(rooms, int).reshape(-1, 2), endpoint=True).T)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, *size)."""
        (h, w), (height, width) = self.size, images.shape[2:]
        left, top, right, bottom = border = self._border_of(height, width)
        out = np.empty((*images.shape[:2], h, w), images.dtype)
        places = list(zip(*(part.tolist() for part in drawn), strict=True))
        if self.padding_mode != "constant":
            rows = repeated(height, top, bottom, self.padding_mode)
            columns = repeated(width, left, right, self.padding_mode)
            for i, (y, x) in enumerate(places):
                lines = images[i].take(rows[y : y + h], axis=1)
                lines.take(columns[x : x + w], axis=2, out=out[i], mode="clip")  # "raise" would take a buffer for out
            return out
        if any(border):
            out[:] = per_channel("fill", self.fill, images)
        for i, (y, x) in enumerate(places):
            to_rows, rows_of = _overlap(y - top, h, height)
            to_columns, columns_of = _overlap(x - left, w, width)
            out[i, :, to_rows, to_columns] = images[i, :, rows_of, columns_of]
        return out


def _overlap(start: int, size: int, length: int) -> tuple[slice, slice]:
    """Where a crop of an axis, from `start`, lies on the image: which of its own pixels, and which of the image's."""
    low, high = (min(max(end, 0), length) for end in (start, start + size))
    return slice(low - start, high - start), slice(low, high)
