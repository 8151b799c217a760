"""Images of another size, fixed or random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Images, Transform, is_int, pair
from minigrad.nn.data.transforms.resample import INTERPOLATIONS, resample


def scaled_size(shape: tuple[int, ...], shorter: int | None, longest: int | None = None) -> tuple[int, int]:
    """(height, width) of the same aspect as `shape`: the shorter side as asked, the longer one `longest` at most.

    >>> scaled_size((300, 400), 150), scaled_size((300, 400), 150, 160), scaled_size((300, 400), None, 100)
    ((150, 200), (120, 160), (75, 100))
    """
    height, width = shape
    short, long = sorted(shape)
    if shorter is None:
        new_short, new_long = int((longest or 0) * short / long), longest or 0
    else:
        new_short, new_long = shorter, int(shorter * long / short)
        if longest is not None and new_long > longest:
            new_short, new_long = int(longest * new_short / new_long), longest
    new_short = max(new_short, 1)
    return (new_short, new_long) if height <= width else (new_long, new_short)


class Resize(Transform):
    """Images of another size: see `minigrad.nn.data.transforms.resample.resample` for the formula.

    Args:
        size: the new length of the shorter side, as an int or (length,), the aspect stays; or (height, width); or None,
            with max_size.
        interpolation: "bilinear", "bicubic", "nearest" or "nearest-exact".
        max_size: the most that the longer side may become, where size is one length; its new length, where it is None.
        antialias: whether bilinear and bicubic take the mean of all pixels when they shrink an image.

    Raises:
        ValueError: sizes that are not positive, do not fit together, or an unknown interpolation.

    >>> Resize(4)(np.zeros((2, 3, 8, 16), "uint8")).shape
    (2, 3, 4, 8)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None,
        interpolation: str = "bilinear",
        max_size: int | None = None,
        antialias: bool = True,
    ):
        self.size = _lengths(size)
        needed, allowed = self.size is None, self.size is None or len(self.size) == 1
        least = 0 if self.size is None else self.size[0]
        if (needed or max_size is not None) and not (allowed and is_int(max_size) and (max_size or 0) > least):
            raise ValueError(
                f"max_size must be a positive integer where size is None, larger than size where size is one length, "
                f"and None for (height, width), got {max_size!r} and size {size!r}"
            )
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.max_size = max_size
        self.antialias = antialias

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, *size)."""
        if self.size is not None and len(self.size) == 2:
            size = self.size[0], self.size[1]
        else:
            size = scaled_size(images.shape[2:], self.size[0] if self.size else None, self.max_size)
        return resample(images, size, self.interpolation, self.antialias)


def _lengths(size: int | Sequence[int] | None) -> list[int] | None:
    """A checked size as torchvision keeps it: one length or two, in a list."""
    if size is None:
        return None
    height, width = pair("size", size)
    return [height, width] if isinstance(size, list | tuple) and len(size) == 2 else [height]


class RandomResize(Transform):
    """Images whose shorter side gets a length drawn evenly from min_size, ..., max_size - 1; the aspect stays.

    The scale jitter of VGG is RandomResize(256, 513) and RandomCrop(224); that of ResNets ends at 480.

    Args:
        min_size, max_size: the range of lengths; max_size itself is never drawn, as in torchvision.
        interpolation, antialias: as for `Resize`.

    Raises:
        ValueError: sizes that are not positive integers, or no length between them; an unknown interpolation.

    Source: K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015,
    section 3.1; K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 3.4.

    >>> RandomResize(5, 6)(np.zeros((2, 3, 8, 16), "uint8")).shape
    (2, 3, 5, 10)
    """

    def __init__(self, min_size: int, max_size: int, interpolation: str = "bilinear", antialias: bool = True):
        if not is_int(min_size) or not is_int(max_size) or not 0 < min_size < max_size:
            raise ValueError(
                f"min_size and max_size must be integers, 0 < min_size < max_size, got {min_size!r} and {max_size!r}"
            )
        self.min_size, self.max_size = min_size, max_size
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.antialias = antialias

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The shorter side of each image."""
        return (rng.integers(self.min_size, self.max_size, len(shapes)),)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> Images:
        """A list of (C, h, w)."""
        sizes = [scaled_size(images.shape[2:], shorter) for shorter in drawn[0].tolist()]
        return [
            resample(image[None], size, self.interpolation, self.antialias)[0]
            for image, size in zip(images, sizes, strict=True)
        ]
