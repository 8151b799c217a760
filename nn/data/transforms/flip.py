"""Mirrored images."""

from __future__ import annotations

import numpy as np

from minigrad.nn.data.transforms.base import Transform, probability


class Flip(Transform):
    """What the flips share. Abstract: a subclass says which axis.

    Args:
        p: the probability that an image is flipped.

    Raises:
        ValueError: a p that is no probability.
    """

    axis: int

    def __init__(self, p: float = 0.5):
        self.p = probability("p", p)

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Whether each image is flipped."""
        return (rng.random(len(shapes)) < self.p,)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W), those that were drawn flipped."""
        (flipped,) = drawn
        mirrored = np.flip(images, self.axis)
        out = np.empty_like(images, order="C")
        for i, flip in enumerate(flipped):
            out[i] = mirrored[i] if flip else images[i]
        return out


class RandomHorizontalFlip(Flip):
    """Left and right exchanged, with probability p: see `Flip`.

    >>> RandomHorizontalFlip(p=1)(np.array([[[1, 2, 3]]], "uint8"))
    array([[[3, 2, 1]]], dtype=uint8)
    """

    axis = -1


class RandomVerticalFlip(Flip):
    """Top and bottom exchanged, with probability p: see `Flip`.

    >>> RandomVerticalFlip(p=1)(np.array([[[1], [2]]], "uint8"))
    array([[[2],
            [1]]], dtype=uint8)
    """

    axis = -2
