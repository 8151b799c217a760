"""Images of another size: along each axis, every output pixel is a weighted mean of a few input pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minigrad.nn.data.transforms.base import blocks

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "nearest-exact")
BAND = 16  # output pixels that are computed together, from the few input pixels that they all need
SMALL = 2**18  # multiplications up to which OpenBLAS stays on the calling thread: a loader's threads share the cores


def resample(images: np.ndarray, size: tuple[int, int], interpolation: str, antialias: bool = True) -> np.ndarray:
    """Images (N, C, H, W) as (N, C, *size): torch.nn.functional.interpolate, align_corners=False.

    Pixel centres lie at 0.5, 1.5, ...; output pixel i has its centre at (i + 0.5) * scale of the input, with scale =
    in / out. It is the mean of the input pixels, with weights k((centre of input - centre of output) / max(scale, 1)):
    k is a triangle of radius 1, or Keys' cubic of radius 2. Without `antialias` the kernel is not stretched where the
    image shrinks, and input pixels between the outputs are skipped.

    uint8 goes through weights in fixed point, and is rounded after each axis, the width first: to the bit as in PyTorch
    on a CPU with AVX2.

    Source: R. Keys: Cubic Convolution Interpolation for Digital Image Processing, IEEE Transactions on Acoustics,
    Speech, and Signal Processing 1981, section II (his a is -1/2 with antialias; -3/4, as elsewhere, without).

    >>> resample(np.array([[[[0.0, 1.0, 2.0, 3.0]]]]), (1, 2), "bilinear").round(3)
    array([[[[0.714, 2.286]]]])
    """
    height, width = images.shape[2:]
    if (height, width) == size:
        return images
    if interpolation.startswith("nearest"):
        middle = 0.5 * (interpolation == "nearest-exact")
        rows, columns = (_nearest(have, want, middle) for have, want in zip((height, width), size, strict=True))
        return images.take(rows, axis=2).take(columns, axis=3)
    across = _axis(width, size[1], interpolation, antialias, images.dtype.char) if width != size[1] else None
    down = _axis(height, size[0], interpolation, antialias, images.dtype.char) if height != size[0] else None
    out = np.empty((*images.shape[:2], *size), images.dtype)
    for part in blocks(images):
        x = images[part].transpose(2, 0, 1, 3)  # (H, N, C, W): along both axes a product of large matrices
        if across:
            x = _along_width(x, across)
        if down:
            x = _along_height(x, down)
        out[part] = x.transpose(1, 2, 0, 3)
    return out


def _nearest(size: int, out: int, middle: float) -> np.ndarray:
    """Which pixel each output pixel is, in float32, which decides ties as in PyTorch."""
    at = (np.arange(out, dtype=np.float32) + np.float32(middle)) * (np.float32(size) / np.float32(out))
    return np.minimum(at.astype(np.intp), size - 1)


# ---- weights --------------------------------------------------------------------------------------------------------


def _triangle(x: np.ndarray, a: float) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_KERNELS: dict[str, tuple[int, Callable[[np.ndarray, float], np.ndarray]]] = {
    "bilinear": (1, _triangle),
    "bicubic": (2, _cubic),
}


def weights(size: int, out: int, interpolation: str, antialias: bool = True) -> np.ndarray:
    """The matrix (out, size), float64, that resamples an axis; its rows sum to 1.

    >>> weights(4, 2, "bilinear", antialias=False)
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    """
    radius, kernel = _KERNELS[interpolation]
    scale = size / out
    center = (np.arange(out)[:, None] + 0.5) * scale
    if antialias:
        stretch = max(scale, 1.0)
        low = np.maximum((center - radius * stretch + 0.5).astype(int), 0)
        high = np.minimum((center + radius * stretch + 0.5).astype(int), size)
        taps = low + np.arange((high - low).max())
        w = np.where(taps < high, kernel((taps + 0.5 - center) / stretch, -0.5), 0)
        w /= w.sum(axis=1, keepdims=True)
    else:
        at = center - 0.5 if radius > 1 else np.maximum(center - 0.5, 0)
        taps = np.minimum(np.floor(at).astype(int), size - 1) + np.arange(1 - radius, radius + 1)
        w = kernel(taps - at, -0.75)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out)[:, None], np.clip(taps, 0, size - 1)), w)
    return matrix


def _integers(matrix: np.ndarray) -> tuple[np.ndarray, type]:
    """Weights rounded to multiples of 2^-p, the largest p that keeps them in 16 bits, and a dtype that sums exactly.

    A sum of 255 times weights is a multiple of 2^-p too, and float32 holds it where it has no more than 24 bits.
    """
    p = next((p for p in range(22) if int(0.5 + matrix.max() * 2 ** (p + 1)) >= 2**15), 22)
    whole = np.trunc(matrix * 2**p + np.copysign(0.5, matrix))
    bits = 255 * np.abs(whole).sum(axis=1).max() + 2 ** (p - 1)
    return whole / 2**p, np.float32 if bits < 2**24 else np.float64


@dataclass(frozen=True)
class _Axis:
    """The matrix of an axis, transposed, in bands without the zeros beside them.

    Attributes:
        size: how many outputs.
        bands: (inputs, outputs, weights).
        kind: the dtype to compute in.
        whole: whether the result is rounded.
        negative: whether there are weights below 0, so that values may leave the range of their inputs.
        step: how many lines to compute at once.
    """

    size: int
    bands: list[tuple[slice, slice, np.ndarray]]
    kind: np.dtype
    whole: bool
    negative: bool
    step: int


@lru_cache(maxsize=512)
def _axis(size: int, out: int, interpolation: str, antialias: bool, dtype: str) -> _Axis:
    matrix, kind = weights(size, out, interpolation, antialias), np.dtype(dtype)
    whole, negative = kind == np.uint8, bool(matrix.min() < 0)
    if whole:
        matrix, exact = _integers(matrix)
        kind = np.dtype(exact)
    bands = []
    for start in range(0, out, BAND):
        rows = matrix[start : start + BAND]
        used = np.flatnonzero(rows.any(axis=0))
        inputs = slice(used[0], used[-1] + 1)
        bands.append((inputs, slice(start, start + len(rows)), np.ascontiguousarray(rows[:, inputs].T, kind)))
    widest = max(len(w) for _, _, w in bands)
    return _Axis(out, bands, kind, whole, negative, max(1, SMALL // (BAND * widest)))


def _along_width(x: np.ndarray, axis: _Axis) -> np.ndarray:
    source = np.ascontiguousarray(x, axis.kind).reshape(-1, x.shape[3])
    out = np.empty((len(source), axis.size), axis.kind)
    for start in range(0, len(source), axis.step):
        lines = slice(start, start + axis.step)
        for inputs, outputs, w in axis.bands:
            np.matmul(source[lines, inputs], w, out=out[lines, outputs])
    return _rounded(out, axis).reshape(*x.shape[:3], axis.size)


def _along_height(x: np.ndarray, axis: _Axis) -> np.ndarray:
    source = np.ascontiguousarray(x, axis.kind).reshape(len(x), -1)
    out = np.empty((axis.size, source.shape[1]), axis.kind)
    for start in range(0, source.shape[1], axis.step):
        lines = slice(start, start + axis.step)
        for inputs, outputs, w in axis.bands:
            np.matmul(w.T, source[inputs, lines], out=out[outputs, lines])
    return _rounded(out, axis).reshape(axis.size, *x.shape[1:])


def _rounded(x: np.ndarray, axis: _Axis) -> np.ndarray:
    """x, which is changed, rounded half up and cut to what uint8 holds, though still floating, if it is to be."""
    if axis.whole:
        x += 0.5
        np.floor(x, out=x)
    if axis.whole and axis.negative:
        np.clip(x, 0, 255, out=x)
    return x
