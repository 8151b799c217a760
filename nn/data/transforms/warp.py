"""Images seen through an affine map: each output pixel looks up where it comes from."""

from __future__ import annotations

import numpy as np

from minigrad.nn.data.transforms.base import blocks, per_channel
from minigrad.nn.data.transforms.pad import Fill, padded

INTERPOLATIONS = ("nearest", "bilinear")


def inverse_affine(
    angle: np.ndarray, translate: np.ndarray, scale: np.ndarray, shear: np.ndarray, center: tuple[float, float]
) -> np.ndarray:
    """The maps (N, 2, 3) from output to input pixels of rotations, scalings, shears and translations.

    The image is sheared along x, then along y, scaled, rotated clockwise, all about `center`, and moved: with radians
    a, s_x and s_y::

        A = scale * R(a) * [[1, 0], [-tan(s_y), 1]] * [[1, -tan(s_x)], [0, 1]]
        output = A (input - center) + center + translate

    Args:
        angle: (N,) in degrees.
        translate: (N, 2), x and y, in pixels.
        scale: (N,).
        shear: (N, 2), x and y, in degrees.
        center: (x, y), from the middle of the image.
    """
    a, (s_x, s_y) = np.radians(angle), np.radians(shear).T
    c, d = np.sin(a - s_y) / np.cos(s_y), np.cos(a - s_y) / np.cos(s_y)
    forward = np.stack([d, -(d * np.tan(s_x) + np.sin(a)), c, np.cos(a) - c * np.tan(s_x)], axis=1).reshape(-1, 2, 2)
    return inverse(forward * scale[:, None, None], translate, center)


def inverse(forward: np.ndarray, translate: np.ndarray, center: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The maps (N, 2, 3) that undo output = forward (input - center) + center + translate."""
    (a, b), (c, d) = forward.transpose(1, 2, 0)
    linear = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2) / (a * d - b * c)[:, None, None]
    middle = np.asarray(center, float)
    shift = middle - (linear @ (translate + middle)[:, :, None])[:, :, 0]
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def warp(
    images: np.ndarray, maps: np.ndarray, interpolation: str, fill: Fill = 0, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Images (N, C, H, W) of which each output pixel (x, y) is the input at maps @ (x, y, 1).

    Coordinates are pixels from the middle of the image. What lies outside is `fill`: bilinear interpolation goes over
    to it smoothly. (torchvision multiplies twice by the share that lies inside, and makes a dark rim.)

    Args:
        images: (N, C, H, W).
        maps: (N, 2, 3).
        interpolation: "nearest" or "bilinear".
        fill: a number, or one for each channel.
        size: (height, width) of the output; default: the input's.

    >>> shift = np.array([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])
    >>> warp(np.array([[[[1.0, 2.0, 3.0]]]]), shift, "bilinear", fill=9)
    array([[[[1.5, 2.5, 6. ]]]])
    """
    height, width = images.shape[2:]
    size = size or (height, width)
    out = np.empty((*images.shape[:2], *size), images.dtype)
    look_up = _nearest if interpolation == "nearest" else _bilinear
    per_channel("fill", fill, images)
    for part in blocks(out, 2**17):
        # A frame of one pixel, and one more behind for the neighbours: every coordinate, cut to it, has its four.
        source = padded(images[part], (1, 1, 2, 2), fill, "constant")
        x, y = _coordinates(maps[part], size, (height, width), images.dtype)
        out[part] = look_up(source, x, y)
    return out


def _coordinates(
    maps: np.ndarray, size: tuple[int, int], of: tuple[int, int], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Where each output pixel comes from: x and y, (N, 1, *size) each, in the image with its frame."""
    kind = np.float64 if dtype == np.float64 else np.float32
    (h, w), (height, width) = size, of
    grid_y, grid_x = np.arange(h)[:, None] - (h - 1) / 2, np.arange(w) - (w - 1) / 2
    found = []
    for row, length in zip(maps.transpose(1, 2, 0)[..., None, None, None], (width, height), strict=True):
        along, across, shift = row
        at = (along * grid_x).astype(kind) + (across * grid_y + shift + (length + 1) / 2).astype(kind)
        found.append(np.clip(at, 0, length + 1, out=at))
    return found[0], found[1]


def _flat(source: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The places of the pixels (x, y), (N, 1, h, w), of all channels in source.ravel(): (N, C, h, w)."""
    n, c, height, width = source.shape
    planes = np.arange(n * c).reshape(n, c, 1, 1) * (height * width)
    return (y * width + x) + planes


def _nearest(source: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # The frame has moved everything by 1, and halves are rounded to even: they must be rounded where they were.
    at = _flat(source, np.rint(x - 1).astype(np.intp) + 1, np.rint(y - 1).astype(np.intp) + 1)
    return source.ravel().take(at)


def _bilinear(source: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    whole_x, whole_y = x.astype(np.intp), y.astype(np.intp)
    x -= whole_x
    y -= whole_y
    at, line = _flat(source, whole_x, whole_y), source.shape[3]
    values = source.astype(x.dtype, copy=False).ravel()
    upper, lower = (_between(values[start:].take(at), values[start + 1 :].take(at), x) for start in (0, line))
    out = _between(upper, lower, y)
    return np.rint(out, out=out) if source.dtype == np.uint8 else out


def _between(low: np.ndarray, high: np.ndarray, t: np.ndarray) -> np.ndarray:
    """low + t * (high - low), in place of `high`."""
    high -= low
    high *= t
    high += low
    return high
