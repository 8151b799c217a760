"""Resizing against loops over pixels: in float64 by the definition, in integers for uint8."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad.nn.data import transforms as tr
from minigrad.nn.data.transforms.random_resized_crop import rectangles
from minigrad.nn.data.transforms.resample import resample, weights

SIZES = [(7, 4), (4, 7), (5, 5), (6, 1), (1, 6), (12, 5), (33, 17), (5, 40)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cubic(x: float, a: float) -> float:
    """Keys' kernel, as piecewise polynomials in powers."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def brute_weights(size: int, out: int, interpolation: str, antialias: bool) -> np.ndarray:
    """The kernel at the distance of every input pixel from every output pixel."""
    matrix = np.zeros((out, size))
    stretch = max(size / out, 1.0) if antialias else 1.0
    a = -0.5 if antialias else -0.75
    for i in range(out):
        center = (i + 0.5) * size / out
        margin = 0 if antialias else 4  # without antialias the outermost pixels stand for those beyond them
        for j in range(-margin, size + margin):
            x = (j + 0.5 - center) / stretch
            matrix[i, min(max(j, 0), size - 1)] += max(1 - abs(x), 0) if interpolation == "bilinear" else cubic(x, a)
        if antialias:
            matrix[i] /= matrix[i].sum()
    return matrix


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("size", "out"), SIZES)
def test_weights_are_the_kernel_at_the_distances_of_the_pixels(size, out, interpolation, antialias):
    expected = brute_weights(size, out, interpolation, antialias)
    matrix = weights(size, out, interpolation, antialias)
    np.testing.assert_allclose(matrix, expected, atol=1e-14)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_images_are_resampled_along_both_axes(interpolation, antialias):
    x = rng().random((2, 3, 33, 12))
    for size in ((17, 20), (33, 5), (40, 12), (1, 1)):
        down, across = (brute_weights(n, m, interpolation, antialias) for n, m in zip((33, 12), size, strict=True))
        expected = np.einsum("yh,xw,nchw->ncyx", down, across, x)
        np.testing.assert_allclose(resample(x, size, interpolation, antialias), expected, atol=1e-14)
        single = resample(x.astype(np.float32), size, interpolation, antialias)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, expected, atol=2e-6)
    assert resample(x, (33, 12), interpolation) is x


def integer_pass(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Along the last axis, in integers of Python, as Pillow and PyTorch do it: products in fixed point, shifted."""
    bits = 0
    while bits < 22 and int(0.5 + matrix.max() * 2 ** (bits + 1)) < 2**15:
        bits += 1
    fixed = [[int(w * 2**bits + (0.5 if w >= 0 else -0.5)) for w in row] for row in matrix]
    out = np.empty((*x.shape[:-1], len(fixed)), np.uint8)
    for at in np.ndindex(x.shape[:-1]):
        line = [int(value) for value in x[at]]
        for i, row in enumerate(fixed):
            total = sum(w * value for w, value in zip(row, line, strict=True)) + (1 << (bits - 1))
            out[(*at, i)] = min(max(total >> bits, 0), 255)
    return out


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(9, 12, (5, 7)), (4, 5, (9, 11)), (40, 70, (2, 3)), (6, 6, (6, 4))]
)
def test_uint8_is_rounded_as_in_integers(interpolation, height, width, size):
    x = rng().integers(0, 256, (1, 2, height, width)).astype(np.uint8)
    x[0, 0] = np.where(x[0, 0] > 127, 255, 0)  # where a cubic overshoots
    expected = x
    if size[1] != width:
        expected = integer_pass(expected, weights(width, size[1], interpolation))
    if size[0] != height:
        expected = integer_pass(expected.swapaxes(2, 3), weights(height, size[0], interpolation)).swapaxes(2, 3)
    np.testing.assert_array_equal(resample(x, size, interpolation), expected)


@pytest.mark.parametrize(("name", "offset"), [("nearest", 0.0), ("nearest-exact", 0.5)])
def test_nearest(name, offset):
    x = np.arange(35.0).reshape(1, 1, 5, 7)
    for size in ((3, 4), (11, 13), (5, 3)):
        rows, columns = (
            [min(math.floor((i + offset) * n / m), n - 1) for i in range(m)] for n, m in zip((5, 7), size, strict=True)
        )
        np.testing.assert_array_equal(resample(x, size, name)[0, 0], x[0, 0][np.ix_(rows, columns)])


def test_what_resampling_leaves_alone():
    """A constant image, a ramp away from its ends, and, when the size doubles and halves, the whole picture."""
    for kind in ("bilinear", "bicubic"):
        flat = np.full((1, 1, 9, 9), 77, np.uint8)
        assert (resample(flat, (5, 13), kind) == 77).all()
        ramp = np.tile(np.arange(40.0), (4, 1))[None, None]
        small = resample(ramp, (4, 20), kind)[0, 0, 0]
        np.testing.assert_allclose(small[3:-3], 2 * np.arange(20)[3:-3] + 0.5, atol=1e-12)
    x = rng().random((1, 1, 4, 4))
    np.testing.assert_array_equal(resample(resample(x, (8, 8), "nearest"), (4, 4), "nearest"), x)


@pytest.mark.parametrize(
    ("options", "shape", "expected"),
    [
        ({"size": 5}, (10, 20), (5, 10)),
        ({"size": (5,)}, (21, 10), (10, 5)),
        ({"size": 5}, (7, 9), (5, 6)),
        ({"size": [4, 9]}, (7, 9), (4, 9)),
        ({"size": 5, "max_size": 8}, (10, 20), (4, 8)),
        ({"size": 5, "max_size": 20}, (20, 10), (10, 5)),
        ({"size": None, "max_size": 8}, (10, 20), (4, 8)),
        ({"size": 1}, (3, 3), (1, 1)),
    ],
)
def test_the_size_of_the_result(options, shape, expected):
    assert tr.Resize(**options)(np.zeros((2, 3, *shape), np.uint8)).shape == (2, 3, *expected)


def test_random_resize_draws_every_length_equally_often():
    n = 2000
    out = tr.RandomResize(5, 9, "nearest")(np.zeros((n, 1, 6, 12), np.uint8), rng())
    heights = np.array([image.shape[1] for image in out])
    assert all(image.shape == (1, image.shape[1], 2 * image.shape[1]) for image in out)
    counts = np.bincount(heights)[5:]
    assert len(counts) == 4
    assert np.abs(counts - n / 4).max() < 5.5 * math.sqrt(n * 3 / 16)  # one in 10^7


def test_rectangles_have_the_area_and_the_aspect_asked_for():
    shapes = np.tile([3, 1000, 2000], (3000, 1))
    h, w = rectangles(shapes, (0.08, 1.0), (0.75, 4 / 3), rng())
    area, aspect = (h * w / 2e6).ravel(), np.log(w / h).ravel()
    for values, low, high in ((area, 0.08, 1.0), (aspect, math.log(0.75), math.log(4 / 3))):
        share = np.sort((values - low) / (high - low))
        even = (np.arange(len(share)) + 0.5) / len(share)
        assert np.abs(share - even).max() < 2.7 / math.sqrt(len(share))  # Kolmogorov's distance, one in 10^6
    assert abs(np.corrcoef(area, aspect)[0, 1]) < 5 / math.sqrt(len(area))


def test_random_resized_crop_is_a_crop_resized():
    x = rng(1).integers(0, 256, (40, 3, 14, 19)).astype(np.uint8)
    transform = tr.RandomResizedCrop((6, 8), interpolation="bicubic")
    drawn = transform.draw(np.tile([3, 14, 19], (40, 1)), rng())
    out = transform(x, rng())
    for i, (top, left, h, w) in enumerate(zip(*drawn, strict=True)):
        assert 0 <= top <= top + h <= 14
        assert 0 <= left <= left + w <= 19
        np.testing.assert_array_equal(out[i], tr.Resize((6, 8), "bicubic")(x[i, :, top : top + h, left : left + w]))


def test_a_crop_that_never_fits_is_the_largest_in_the_middle():
    narrow, wide = np.array([[3, 40, 4]]), np.array([[3, 4, 40]])
    transform = tr.RandomResizedCrop(4, scale=(1, 1))
    assert [part[0] for part in transform.draw(narrow, rng())] == [17, 0, 5, 4]  # 4 / (3/4) = 5.33 rows
    assert [part[0] for part in transform.draw(wide, rng())] == [0, 17, 4, 5]
    whole = tr.RandomResizedCrop(4, scale=(2, 2)).draw(np.array([[3, 10, 10]]), rng())
    assert [part[0] for part in whole] == [0, 0, 10, 10]
