"""A border around images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Transform, is_int, per_channel

MODES = ("constant", "edge", "reflect", "symmetric")
Fill = float | Sequence[float]


def sides(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Widths as torchvision takes them, as (left, top, right, bottom).

    >>> sides(1), sides((1, 2)), sides((1, 2, 3, 4))
    ((1, 1, 1, 1), (1, 2, 1, 2), (1, 2, 3, 4))
    """
    widths = tuple(padding) if isinstance(padding, list | tuple) else (padding,)
    if len(widths) not in (1, 2, 4) or not all(is_int(n) and n >= 0 for n in widths):
        raise ValueError(
            f"padding must be an integer of at least 0, (left and right, top and bottom) or (left, top, right, "
            f"bottom), got {padding!r}"
        )
    return widths * (4 // len(widths))


def padded(images: np.ndarray, border: Sequence[int], fill: Fill, mode: str) -> np.ndarray:
    """Images (N, C, H, W) with a border (left, top, right, bottom)."""
    left, top, right, bottom = border
    n, c, h, w = images.shape
    if mode != "constant":
        return images.take(repeated(h, top, bottom, mode), axis=2).take(repeated(w, left, right, mode), axis=3)
    out = np.empty((n, c, top + h + bottom, left + w + right), images.dtype)
    out[:] = per_channel("fill", fill, images)
    out[:, :, top : top + h, left : left + w] = images
    return out


def repeated(size: int, low: int, high: int, mode: str) -> np.ndarray:
    """Which pixel of an axis each pixel of it with a border is.

    >>> repeated(4, 2, 1, "reflect")
    array([2, 1, 0, 1, 2, 3, 2])
    """
    return np.pad(np.arange(size), (low, high), mode)  # type: ignore[call-overload]


class Pad(Transform):
    """A border around each image.

    Args:
        padding: the width of all sides; or (left and right, top and bottom); or (left, top, right, bottom).
        fill: the value of a constant border, or one for each channel.
        padding_mode: "constant"; "edge" repeats the outermost pixels; "reflect" mirrors the image without its outermost
            pixels, "symmetric" with them.

    Raises:
        ValueError: widths below 0 or not as many as that, an unknown mode, or a fill that does not fit the channels.

    >>> Pad((1, 0), padding_mode="reflect")(np.array([[[1, 2, 3]]], "uint8"))
    array([[[2, 1, 2, 3, 2]]], dtype=uint8)
    """

    def __init__(self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant"):
        self._border = sides(padding)
        self.padding = padding if isinstance(padding, int) else list(padding)
        self.fill = fill
        self.padding_mode = one_of("padding_mode", padding_mode, MODES)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, top + H + bottom, left + W + right)."""
        return padded(images, self._border, self.fill, self.padding_mode)
