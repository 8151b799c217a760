"""Rectangles of images erased."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.nn.data.transforms.base import Transform, increasing, per_channel, positive_range, probability
from minigrad.nn.data.transforms.random_resized_crop import rectangles


class RandomErasing(Transform):
    """A rectangle of each image erased, with probability p.

    Its area is a share of the image's, drawn evenly from `scale`, its height / width drawn evenly on the logarithmic
    scale from `ratio`, its place evenly. If none of ten draws is smaller than the image, nothing is erased.

    Args:
        p: the probability.
        scale, ratio: the two ranges.
        value: what is put there: a number, one for each channel, or "random", a number for each pixel: from N(0, 1) for
            floating images, evenly from 0 to 255 for uint8 ones, as in the paper. (torchvision draws from N(0, 1) there
            too, and wraps.)

    Raises:
        ValueError: options out of their range, or a value that does not fit the channels.

    Source: Z. Zhong, L. Zheng, G. Kang, S. Li, Y. Yang: Random Erasing Data Augmentation, AAAI 2020, algorithm 1.

    >>> images = RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1))(np.ones((2, 1, 4, 4), "float32"))
    >>> images.sum(axis=(1, 2, 3))
    array([12., 12.], dtype=float32)
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0.0,
    ):
        self.p = probability("p", p)
        self.scale = increasing("scale", scale, 0, 1)
        self.ratio = positive_range("ratio", ratio)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"value must be a number, one for each channel, or 'random', got {value!r}")
        self.value = value

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Top, left, height and width of each rectangle, 0 for none, and a seed for its pixels."""
        _, heights, widths = shapes.T
        w, h = rectangles(shapes, self.scale, self.ratio, rng)  # the ratio is the other way round here
        fits = (h < heights[:, None]) & (w < widths[:, None])
        first, rows = fits.argmax(axis=1), np.arange(len(shapes))
        erased = fits.any(axis=1) & (rng.random(len(shapes)) < self.p)
        h, w = np.where(erased, h[rows, first], 0), np.where(erased, w[rows, first], 0)
        top, left = rng.integers(0, heights - h, endpoint=True), rng.integers(0, widths - w, endpoint=True)
        return top, left, h, w, rng.integers(2**63, size=len(shapes))

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W)."""
        out = images.copy()
        value = None if isinstance(self.value, str) else per_channel("value", self.value, images)
        for i, (top, left, h, w, seed) in enumerate(zip(*(part.tolist() for part in drawn), strict=True)):
            if h and w:
                box = out[i, :, top : top + h, left : left + w]
                box[:] = _noise(box, seed) if value is None else value
        return out


def _noise(like: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=like.shape) if like.dtype == np.uint8 else rng.standard_normal(like.shape)
