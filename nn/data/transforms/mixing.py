"""Mixed images with mixed labels: a regulariser for a whole batch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from minigrad.checks import positive_int
from minigrad.nn.data.transforms.base import as_batch
from minigrad.random import default_generator


class Mix(ABC):
    """A mix of each image of a batch with the one before it, called as `mix(images, labels, generator=None)`.

    The labels are mixed in the same proportion, lam of the image's own and 1 - lam of its neighbour's, into float32
    (N, classes) that cross entropy takes as targets; lam is drawn from Beta(alpha, alpha), once for the batch. As the
    partner is the image before, batches must be shuffled.

    Args:
        alpha: near 0 most mixes are nearly pure; 1 draws all proportions equally often.
        num_classes: of integer labels; not needed where labels are (N, classes) already.

    Raises:
        TypeError, ValueError: an alpha that is not positive, or num_classes that is no positive integer.

    Abstract: a subclass defines `mixed`.

    >>> class SwapTop(Mix):
    ...     def mixed(self, images, lam, rng):
    ...         out = images.copy()
    ...         out[:, :, 0] = np.roll(images, 1, axis=0)[:, :, 0]
    ...         return out, 1 - 1 / images.shape[2]
    >>> images, labels = SwapTop(num_classes=2)(np.ones((2, 1, 4, 4), "float32"), [0, 1])
    >>> labels
    array([[0.75, 0.25],
           [0.25, 0.75]], dtype=float32)
    """

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None):
        if not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be positive, got {alpha}")
        self.alpha = float(alpha)
        self.num_classes = None if num_classes is None else positive_int("num_classes", num_classes)

    def __call__(
        self, images: Any, labels: Any, generator: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mixed images and labels.

        Args:
            images: (N, C, H, W), or a list of images of one size.
            labels: (N,) integers from 0, or floating (N, classes).
            generator: draws; minigrad's default generator if None.

        Raises:
            TypeError: labels or images of another dtype.
            ValueError: images of different sizes, labels that do not fit, or integer labels without num_classes.
        """
        batch = as_batch(images)
        if isinstance(batch, list):
            raise ValueError(f"images must be of one size for {type(self).__name__}: crop or resize them before")
        shares = self._shares(labels, len(batch))
        rng = default_generator() if generator is None else generator
        mixed, lam = self.mixed(batch, rng.beta(self.alpha, self.alpha), rng)
        return mixed, blend(shares, lam)

    @abstractmethod
    def mixed(self, images: np.ndarray, lam: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """The mixed images, and the share that is the image's own."""

    def _shares(self, labels: Any, n: int) -> np.ndarray:
        """The labels as float32 (N, classes)."""
        labels = np.asarray(labels)
        if labels.ndim not in (1, 2) or len(labels) != n:
            raise ValueError(f"labels must be (N,) or (N, classes) for N={n} images, got shape {labels.shape}")
        if labels.ndim == 2:
            if self.num_classes not in (None, labels.shape[1]):
                raise ValueError(f"labels must have {self.num_classes} classes, num_classes, got {labels.shape[1]}")
            return labels.astype(np.float32)
        if labels.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, or shares (N, classes), got (N,) {labels.dtype}")
        if self.num_classes is None:
            raise ValueError(f"num_classes must be given to {type(self).__name__} for labels that are integers")
        wrong = labels[(labels < 0) | (labels >= self.num_classes)]
        if len(wrong):
            raise ValueError(f"labels must be from 0 to {self.num_classes - 1}, got {wrong[0]}")
        return np.eye(self.num_classes, dtype=np.float32)[labels]

    def __repr__(self) -> str:
        classes = "" if self.num_classes is None else f", num_classes={self.num_classes}"
        return f"{type(self).__name__}(alpha={self.alpha}{classes})"


def blend(x: np.ndarray, lam: float) -> np.ndarray:
    """lam * x[i] + (1 - lam) * x[i - 1], in the dtype of x.

    >>> blend(np.array([0.0, 1.0]), 0.75)
    array([0.25, 0.75])
    """
    out = x * x.dtype.type(lam)
    rest = x.dtype.type(1 - lam)
    out[1:] += rest * x[:-1]
    out[:1] += rest * x[-1:]
    return out


class MixUp(Mix):
    """lam * x[i] + (1 - lam) * x[i - 1], of floating images and of their labels: see `Mix`.

    Raises:
        TypeError, ValueError: as `Mix`; uint8 images.

    Source: H. Zhang, M. Cisse, Y. Dauphin, D. Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018,
    section 2.

    >>> images = np.arange(2, dtype="float32").reshape(2, 1, 1, 1)
    >>> mixed, labels = MixUp(num_classes=2)(images, [0, 1], np.random.default_rng(0))
    >>> bool((mixed.ravel() == labels[:, 1]).all())
    True
    """

    def mixed(self, images: np.ndarray, lam: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """The mixed images, and lam."""
        if images.dtype == np.uint8:
            raise TypeError("images must be floating for MixUp, got uint8: put ToFloat() before it")
        return blend(images, lam), lam


class CutMix(Mix):
    """A box of the image before is pasted into each image; the labels are mixed by area: see `Mix`.

    The box has (1 - lam) of the image's area and its aspect, and a centre drawn evenly; what sticks out is cut off, and
    lam set to the share that is left.

    Source: S. Yun, D. Han, S. J. Oh, S. Chun, J. Choe, Y. Yoo: CutMix: Regularization Strategy to Train Strong
    Classifiers with Localizable Features, ICCV 2019, section 3.1.

    >>> images = np.arange(2, dtype="uint8").reshape(2, 1, 1, 1) * np.ones((4, 4), "uint8")
    >>> mixed, labels = CutMix(num_classes=2)(images, [0, 1], np.random.default_rng(0))
    >>> bool((mixed.mean(axis=(1, 2, 3)) == labels[:, 1]).all())
    True
    """

    def mixed(self, images: np.ndarray, lam: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """The mixed images, and the share of the area that was not pasted over."""
        height, width = images.shape[2:]
        x, y = int(rng.integers(width)), int(rng.integers(height))
        half = 0.5 * math.sqrt(1 - lam)
        across, down = int(half * width), int(half * height)
        rows = slice(max(y - down, 0), min(y + down, height))
        columns = slice(max(x - across, 0), min(x + across, width))
        out = images.copy()
        out[1:, :, rows, columns] = images[:-1, :, rows, columns]
        out[:1, :, rows, columns] = images[-1:, :, rows, columns]
        return out, 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
