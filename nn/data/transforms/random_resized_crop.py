"""A part of each image, of random area and aspect, brought to one size."""

from __future__ import annotations

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Size, Transform, increasing, pair, positive_range, uniform
from minigrad.nn.data.transforms.resample import INTERPOLATIONS, resample

TRIES = 10  # as many as torchvision makes


def rectangles(
    shapes: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths, (N, TRIES) each, of rectangles of random area and aspect in images of these shapes (N, 3).

    The area is a share of the image's, drawn evenly from `scale`; width / height is drawn evenly on the logarithmic
    scale from `ratio`.
    """
    _, heights, widths = shapes.T
    tries = len(shapes), TRIES
    area = uniform(rng, scale, tries) * (heights * widths)[:, None]
    aspect = np.exp(uniform(rng, np.log(ratio).tolist(), tries))
    return np.rint(np.sqrt(area / aspect)).astype(int), np.rint(np.sqrt(area * aspect)).astype(int)


class RandomResizedCrop(Transform):
    """A part of each image, of random area and aspect, resized: the augmentation of GoogLeNet.

    The part has between scale[0] and scale[1] of the image's area, evenly, and an aspect (width / height) between
    ratio[0] and ratio[1], evenly on the logarithmic scale; its place is drawn evenly. If ten draws give no part that
    lies in the image, it is the largest one in the middle whose aspect is allowed.

    Args:
        size: of the result, an int for a square, or (height, width).
        scale, ratio: the two ranges.
        interpolation, antialias: as for `Resize`.

    Raises:
        ValueError: ranges or sizes that are not positive, or an unknown interpolation.

    Source: C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6.

    >>> RandomResizedCrop(4)(np.zeros((2, 3, 8, 16), "uint8")).shape
    (2, 3, 4, 4)
    """

    def __init__(
        self,
        size: Size,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ):
        self.size = pair("size", size)
        self.scale = increasing("scale", scale, 0)
        self.ratio = positive_range("ratio", ratio)
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.antialias = antialias

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Top, left, height and width of each part."""
        _, heights, widths = shapes.T
        h, w = rectangles(shapes, self.scale, self.ratio, rng)
        fits = (h > 0) & (w > 0) & (h <= heights[:, None]) & (w <= widths[:, None])
        first, rows = fits.argmax(axis=1), np.arange(len(shapes))
        h, w, found = h[rows, first], w[rows, first], fits.any(axis=1)
        top = rng.integers(0, np.where(found, heights - h, 0), endpoint=True)
        left = rng.integers(0, np.where(found, widths - w, 0), endpoint=True)
        low, high = self.ratio
        full_h = np.where(widths / heights < low, np.rint(widths / low), heights).astype(int)
        full_w = np.where(widths / heights > high, np.rint(heights * high), widths).astype(int)
        return (
            np.where(found, top, (heights - full_h) // 2),
            np.where(found, left, (widths - full_w) // 2),
            np.where(found, h, full_h),
            np.where(found, w, full_w),
        )

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, *size)."""
        out = np.empty((*images.shape[:2], *self.size), images.dtype)
        for i, (top, left, h, w) in enumerate(zip(*(part.tolist() for part in drawn), strict=True)):
            part = images[i : i + 1, :, top : top + h, left : left + w]
            out[i] = resample(part, self.size, self.interpolation, self.antialias)[0]
        return out
