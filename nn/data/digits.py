"""Handwritten digits that come with minigrad; digits.txt beside this file has the source and the licence."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from minigrad.nn.data.images import ImageArrays

TEST = 360


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


class Digits(ImageArrays):
    """The digits of `digits()` as a data set, split at random into 1,437 to train and 360 to test.

    Each digit has its share of the test set, to within one image. The pixels 0 ... 16 become 0 ... 255, the range of
    other data sets: p becomes 255 p / 16, rounded, halves up. Writers are on both sides of the split.

    Args:
        train: the training set, or the test set.
        seed: of the split; the two parts of one seed are without overlap.

    Attributes:
        images: uint8 (N, 1, 8, 8).
        labels: int64 (N,).
        classes: "0" ... "9".

    Source: that of `digits`.

    >>> len(Digits()), len(Digits(train=False)), Digits().images.max()
    (1437, 360, np.uint8(255))
    """

    classes = tuple("0123456789")

    def __init__(self, train: bool = True, seed: int = 0):
        images, labels = digits()
        order = np.random.default_rng(seed).permutation(len(labels))
        order = order[np.argsort(labels[order], kind="stable")]  # digit by digit, each at random
        test = np.sort(order[np.arange(TEST) * len(labels) // TEST])  # at equal steps: as many as its share of each
        chosen = np.delete(np.arange(len(labels)), test) if train else test
        scaled = (images[chosen].astype(np.uint16) * 255 + 8) // 16
        super().__init__(scaled.astype(np.uint8)[:, None], labels[chosen], classes=self.classes)
