"""Handwritten digits that come with minigrad; digits.txt beside this file has the source and the licence."""

from __future__ import annotations

from importlib.resources import files

import numpy as np


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 images of handwritten digits, 8x8 pixels, and their labels: no download, about 0.1 MB in memory.

    Returns:
        images: uint8 (1797, 8, 8), from 0 (paper) to 16 (ink).
        labels: int64 (1797,), from 0 to 9, about 180 of each.

    They were written by 13 people and lie in the order of the original file, in which the same people's digits follow
    each other: a model that is tested on the last ones meets other hands than in training, and does worse.

    Source: E. Alpaydin, C. Kaynak (1998): Optical Recognition of Handwritten Digits, test set; UCI Machine Learning
    Repository, DOI 10.24432/C50P49, licence CC BY 4.0.

    >>> images, labels = digits()
    >>> images.shape, labels[:10].tolist()
    ((1797, 8, 8), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    with files("minigrad.nn.data").joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)
