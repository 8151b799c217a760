"""The scale of the values: uint8 to float, and the same mean and spread for all channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.nn.data.transforms.base import Transform, as_batch, need_float, per_channel


class ToFloat(Transform):
    """uint8 from 0 to 255 as float32 from 0 to 1; floating images as float32, their values unchanged.

    torchvision's ToDtype(torch.float32, scale=True), which multiplies by 1/255 just so.

    >>> ToFloat()(np.array([[[0, 255]]], "uint8"))
    array([[[0., 1.]]], dtype=float32)
    """

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32."""
        out = images.astype(np.float32, copy=False)
        if images.dtype == np.uint8:
            out *= np.float32(1 / 255)
        return out


class Normalize(Transform):
    """(x - mean) / std for each channel of floating images.

    Args:
        mean, std: a number for each channel, or one for all.

    Raises:
        TypeError: uint8 images.
        ValueError: a std that is not positive, or numbers that are not as many as the channels.

    >>> Normalize([0.5], [0.25])(np.array([[[0.0, 0.5, 1.0]]], "float32"))
    array([[[-2.,  0.,  2.]]], dtype=float32)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.mean, self.std = list(np.atleast_1d(mean).tolist()), list(np.atleast_1d(std).tolist())
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be positive, got {self.std}")

    @classmethod
    def fit(cls, images: Any) -> Normalize:
        """With the mean and standard deviation of each channel of these images; uint8 values are divided by 255.

        Raises:
            ValueError: a channel that is the same everywhere.

        >>> Normalize.fit(np.array([[[[0, 255]]]], "uint8"))
        Normalize(mean=[0.5], std=[0.5])
        """
        batch = as_batch(images)
        pixels = [image.reshape(len(image), -1) for image in batch]
        n = sum(p.shape[1] for p in pixels)
        mean = sum(p.sum(axis=1, dtype=np.float64) for p in pixels) / n
        squares = [((p - mean[:, None]) ** 2).sum(axis=1) for p in pixels]
        scale = 255 if pixels[0].dtype == np.uint8 else 1
        return cls((mean / scale).tolist(), (np.sqrt(sum(squares) / n) / scale).tolist())

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W), of the same dtype."""
        need_float(self, images)
        out = images - per_channel("mean", self.mean, images)
        out /= per_channel("std", self.std, images)
        return out
