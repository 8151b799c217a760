"""The mean image of the training set, taken off."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.nn.data.transforms.base import Transform, as_batch, need_float


class SubtractMean(Transform):
    """x - mean, pixel by pixel: the only preparation of AlexNet's and ResNet's images.

    Args:
        mean: (C, H, W), of images of one size; or (C, 1, 1), a number for each channel, as VGG has it.

    Raises:
        TypeError: uint8 images.
        ValueError: a mean of another rank, or images of another size.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
    NIPS 2012, section 2; K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016,
    section 3.4.

    >>> SubtractMean.fit(np.array([[[[0, 255]]], [[[255, 255]]]], "uint8")).mean
    array([[[0.5, 1. ]]], dtype=float32)
    """

    def __init__(self, mean: Any):
        self.mean = np.array(mean, np.float32)
        if self.mean.ndim != 3:
            raise ValueError(f"mean must be (C, H, W) or (C, 1, 1), got shape {self.mean.shape}")

    @classmethod
    def fit(cls, images: Any, per_channel: bool = False) -> SubtractMean:
        """With the mean of these images of one size; uint8 values are divided by 255, as `ToFloat` does.

        Args:
            images: (N, C, H, W).
            per_channel: one number for each channel, over all pixels.

        Raises:
            ValueError: images of different sizes.
        """
        batch = as_batch(images)
        if isinstance(batch, list):
            raise ValueError("images must be of one size for SubtractMean.fit: crop or resize them before")
        mean = batch.mean(axis=0, dtype=np.float64) / (255 if batch.dtype == np.uint8 else 1)
        return cls(mean.mean(axis=(1, 2), keepdims=True) if per_channel else mean)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W), of the same dtype."""
        need_float(self, images)
        if self.mean.shape not in (images.shape[1:], (images.shape[1], 1, 1)):
            raise ValueError(f"images must have the shape of the mean, {self.mean.shape}, got {images.shape[1:]}")
        return images - self.mean

    def __repr__(self) -> str:
        return f"SubtractMean(shape={self.mean.shape})"
