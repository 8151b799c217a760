"""What LeNet-5 did to its digits: a scale of its own, and distortions."""

from __future__ import annotations

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Transform, positive_range, uniform
from minigrad.nn.data.transforms.pad import Fill
from minigrad.nn.data.transforms.warp import INTERPOLATIONS, inverse, warp

PAPER, INK = -0.1, 1.175


class LeNetScale(Transform):
    """Values from 0 (paper) to 1 (ink), or 0 to 255 in uint8, as float32 from -0.1 to 1.175: -0.1 + 1.275 x.

    It makes the mean of the inputs about 0 and their variance about 1, which speeds up learning. LeNet-5 sees 28x28
    digits in the middle of 32x32 pixels: `Compose([Pad(2), LeNetScale()])`.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section II.B.

    >>> LeNetScale()(np.array([[[0, 255]]], "uint8"))
    array([[[-0.1  ,  1.175]]], dtype=float32)
    """

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32."""
        out = images.astype(np.float32)
        out *= np.float32((INK - PAPER) / (255 if images.dtype == np.uint8 else 1))
        out += np.float32(PAPER)
        return out


class LeNetDistortion(Transform):
    """Each digit moved, scaled, squeezed and sheared by amounts drawn evenly, about its middle.

    With a scale s, a squeeze q, a shear k and a translation t::

        output = [[s * q, k], [0, s / q]] input + t

    Args:
        translate: t is drawn from [-translate, translate] pixels, across and down.
        scale: the range of s.
        squeeze: the range of q: above 1 wider and flatter, below 1 narrower and higher; drawn on the logarithmic scale.
        shear: k is drawn from [-shear, shear].
        interpolation: "nearest" or "bilinear".
        fill: the value of what was outside, or one for each channel: paper.

    The paper names the distortions without their amounts; the defaults here are ours.

    Raises:
        ValueError: amounts out of their range.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section III.B.

    >>> LeNetDistortion()(np.zeros((2, 1, 32, 32), "uint8")).shape
    (2, 1, 32, 32)
    """

    def __init__(
        self,
        translate: float = 2.0,
        scale: tuple[float, float] = (0.85, 1.15),
        squeeze: tuple[float, float] = (0.85, 1.15),
        shear: float = 0.2,
        interpolation: str = "bilinear",
        fill: Fill = 0,
    ):
        for name, value in (("translate", translate), ("shear", shear)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be at least 0, got {value}")
        self.translate, self.shear = translate, shear
        self.scale = positive_range("scale", scale)
        self.squeeze = positive_range("squeeze", squeeze)
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.fill = fill

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The matrix and the translation of each image."""
        n = len(shapes)
        scale, squeeze = uniform(rng, self.scale, n), np.exp(uniform(rng, np.log(self.squeeze).tolist(), n))
        forward = np.zeros((n, 2, 2))
        forward[:, 0, 0], forward[:, 1, 1] = scale * squeeze, scale / squeeze
        forward[:, 0, 1] = rng.uniform(-self.shear, self.shear, n)
        return forward, rng.uniform(-self.translate, self.translate, (n, 2))

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W)."""
        return warp(images, inverse(drawn[0], drawn[1]), self.interpolation, self.fill)
