"""Images turned, moved, scaled and sheared at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Images, Transform, increasing, positive_range, uniform
from minigrad.nn.data.transforms.pad import Fill
from minigrad.nn.data.transforms.warp import INTERPOLATIONS, inverse_affine, warp


def angles(name: str, degrees: float | Sequence[float], sizes: tuple[int, ...] = (2,)) -> list[float]:
    """A range of angles: (-degrees, degrees) from a number, else as given, checked."""
    if isinstance(degrees, int | float):
        if degrees < 0:
            raise ValueError(f"{name} must be at least 0, or (smallest, largest), got {degrees}")
        return [-float(degrees), float(degrees)]
    if not isinstance(degrees, list | tuple) or len(degrees) not in sizes:
        raise ValueError(f"{name} must be a number or {' or '.join(map(str, sizes))} numbers, got {degrees!r}")
    for i in range(0, len(degrees), 2):
        increasing(name, tuple(degrees[i : i + 2]))
    return [float(value) for value in degrees]


def _point(center: Sequence[float] | None) -> list[float] | None:
    if center is not None and (not isinstance(center, list | tuple) or len(center) != 2):
        raise ValueError(f"center must be (x, y) in pixels, got {center!r}")
    return None if center is None else list(center)


def _from_middle(center: Sequence[float] | None, shape: tuple[int, ...]) -> tuple[float, float]:
    height, width = shape
    return (0.0, 0.0) if center is None else (center[0] - width / 2, center[1] - height / 2)


class RandomRotation(Transform):
    """Each image turned counterclockwise by an angle drawn evenly.

    Args:
        degrees: the range of angles: (-degrees, degrees), or (smallest, largest).
        interpolation: "nearest" or "bilinear".
        expand: whether the image grows to hold the whole of the turned one; sizes then differ, and a list comes back.
        center: (x, y), the point that stays, in pixels from the upper left corner; default: the middle.
        fill: the value of what was outside, or one for each channel. torchvision's bilinear rim is darker: see `warp`.

    Raises:
        ValueError: options out of their range, or a fill that does not fit the channels.

    >>> RandomRotation((90, 90))(np.array([[[1, 2], [3, 4]]], "uint8"))
    array([[[2, 4],
            [1, 3]]], dtype=uint8)
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: str = "nearest",
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ):
        self.degrees = angles("degrees", degrees)
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.expand = expand
        self.fill = fill
        self.center = _point(center)

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The angle of each image, in degrees."""
        return (uniform(rng, self.degrees, len(shapes)),)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> Images:
        """(N, C, H, W), or a list of (C, h, w) with `expand`."""
        (angle,), n = drawn, len(images)
        center = _from_middle(self.center, images.shape[2:])
        maps = inverse_affine(-angle, np.zeros((n, 2)), np.ones(n), np.zeros((n, 2)), center)
        if not self.expand:
            return warp(images, maps, self.interpolation, self.fill)
        sizes = [_extent(degrees, m, images.shape[2:]) for degrees, m in zip(angle.tolist(), maps, strict=True)]
        return [
            warp(images[i : i + 1], maps[i : i + 1], self.interpolation, self.fill, size)[0]
            for i, size in enumerate(sizes)
        ]


def _extent(degrees: float, matrix: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) of the turned image: of the pixels that its corners lie in."""
    height, width = shape
    if degrees % 180 == 90:  # exactly, where the general rule adds a pixel if the sides differ by an odd number
        return width, height
    half = np.array([width / 2, height / 2])
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * half @ matrix[:, :2].T + matrix[:, 2] + half
    corners = np.trunc(corners * 1e4) / 1e4  # an error of rounding is not a pixel
    across, down = (np.ceil(corners.max(axis=0)) - np.floor(corners.min(axis=0))).astype(int).tolist()
    return down, across


class RandomAffine(Transform):
    """Each image turned clockwise, moved, scaled and sheared by amounts drawn evenly: see `inverse_affine`.

    Args:
        degrees: the range of angles, (-degrees, degrees) or (smallest, largest); 0 for none.
        translate: (a, b): moved by -a * W to a * W pixels across and -b * H to b * H down, rounded; default: not.
        scale: the range of factors; default: 1.
        shear: the range of angles along x, (-shear, shear) or (smallest, largest), or of both axes, four numbers.
        interpolation: "nearest" or "bilinear".
        fill: the value of what was outside, or one for each channel. torchvision's bilinear rim is darker: see `warp`.
        center: (x, y), the point that stays, in pixels from the upper left corner; default: the middle.

    Raises:
        ValueError: options out of their range, or a fill that does not fit the channels.

    >>> RandomAffine((180, 180))(np.array([[[1, 2, 3]]], "uint8"))
    array([[[3, 2, 1]]], dtype=uint8)
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: str = "nearest",
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ):
        self.degrees = angles("degrees", degrees)
        if translate is not None and (len(translate) != 2 or not all(0 <= part <= 1 for part in translate)):
            raise ValueError(f"translate must be two shares, from 0 to 1, got {translate!r}")
        self.translate = translate
        self.scale = None if scale is None else positive_range("scale", scale)
        self.shear = None if shear is None else angles("shear", shear, (2, 4))
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.fill = fill
        self.center = _point(center)

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The angle, translation (x, y), scale and shear (x, y) of each image."""
        n = len(shapes)
        angle = uniform(rng, self.degrees, n)
        most = np.array(self.translate or (0, 0)) * shapes[:, :0:-1]
        translate = np.rint(rng.uniform(-most, most))
        scale = uniform(rng, self.scale or (1, 1), n)
        shear = np.array([*(self.shear or ()), 0, 0, 0, 0][:4], float).reshape(2, 2)
        return angle, translate, scale, rng.uniform(shear[:, 0], shear[:, 1], (n, 2))

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W)."""
        angle, translate, scale, shear = drawn
        maps = inverse_affine(angle, translate, scale, shear, _from_middle(self.center, images.shape[2:]))
        return warp(images, maps, self.interpolation, self.fill)
