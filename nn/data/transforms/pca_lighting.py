"""AlexNet's random change of colour and brightness."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.nn.data.transforms.base import Transform, as_batch, need_float

IMAGENET_VALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class PCALighting(Transform):
    """A random colour added to all pixels of an image, along the principal components of the training images' colours.

    With the eigenvectors p and eigenvalues l of the 3x3 covariance matrix of the RGB values of all pixels, and numbers
    a drawn from N(0, std^2) once for each image, every pixel gets::

        a_1 l_1 p_1 + a_2 l_2 p_2 + a_3 l_3 p_3

    Args:
        std: the standard deviation of a.
        eigenvalues: (3,), of images with values from 0 to 1; default: ImageNet's.
        eigenvectors: (3, 3): column i is p_i, rows are R, G, B; default: ImageNet's. `PCALighting.fit` computes both.

    Raises:
        TypeError: uint8 images.
        ValueError: a std below 0, numbers of another shape, one without the other, or images that are not RGB.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
    NIPS 2012, section 4.1; the numbers for ImageNet are those published with fb.resnet.torch.

    >>> images = np.zeros((2, 3, 4, 4), "float32")
    >>> moved = PCALighting()(images)
    >>> bool((moved == moved[:, :, :1, :1]).all()), bool((moved[0] == moved[1]).all())
    (True, False)
    """

    def __init__(self, std: float = 0.1, eigenvalues: Any = None, eigenvectors: Any = None):
        if not 0 <= std < np.inf:
            raise ValueError(f"std must be at least 0, got {std}")
        if (eigenvalues is None) != (eigenvectors is None):
            raise ValueError("eigenvalues and eigenvectors must be given both or neither, got one")
        self.std = std
        values = np.array(IMAGENET_VALUES if eigenvalues is None else eigenvalues, np.float64)
        vectors = np.array(IMAGENET_VECTORS if eigenvectors is None else eigenvectors, np.float64)
        if values.shape != (3,) or vectors.shape != (3, 3):
            raise ValueError(
                f"eigenvalues and eigenvectors must have shapes (3,) and (3, 3), got {values.shape} and {vectors.shape}"
            )
        self.eigenvalues: list[float] = values.tolist()
        self.eigenvectors: list[list[float]] = vectors.tolist()

    @classmethod
    def fit(cls, images: Any, std: float = 0.1) -> PCALighting:
        """With the eigenvalues and eigenvectors of these images: RGB, uint8, or floating from 0 to 1.

        >>> grays = np.array([0, 255], "uint8").reshape(2, 1, 1, 1) * np.ones((3, 1, 1), "uint8")
        >>> np.round(PCALighting.fit(grays).eigenvalues, 6)
        array([0.75, 0.  , 0.  ])
        """
        batch = as_batch(images)
        wrong = [image.shape for image in batch if image.shape[0] != 3]
        if wrong:
            raise ValueError(f"images must have 3 channels, RGB, got shape {wrong[0]}")
        n, total, products = 0, np.zeros(3), np.zeros((3, 3))
        for image in batch:
            x = image.reshape(3, -1) / (255 if image.dtype == np.uint8 else 1) - 0.5  # about 0, so that little cancels
            n, total, products = n + x.shape[1], total + x.sum(axis=1), products + x @ x.T
        mean = total / n
        values, vectors = np.linalg.eigh(products / n - np.outer(mean, mean))
        return cls(std, np.maximum(values[::-1], 0), vectors[:, ::-1])

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The numbers a, (N, 3)."""
        wrong = [c for c in shapes[:, 0].tolist() if c != 3]
        if wrong:
            raise ValueError(f"images must have 3 channels for PCALighting, RGB, got {wrong[0]}")
        return (rng.normal(0, self.std, (len(shapes), 3)),)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, 3, H, W)."""
        need_float(self, images)
        moves = (drawn[0] * self.eigenvalues) @ np.transpose(self.eigenvectors)
        return images + moves.astype(images.dtype)[:, :, None, None]
