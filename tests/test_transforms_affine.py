"""Rotations and affine maps against loops over pixels, and against NumPy where the turn is a right angle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad.nn.data import transforms as tr
from minigrad.nn.data.transforms.warp import inverse, inverse_affine, warp


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def matrix(angle: float, translate: tuple, scale: float, shear: tuple, center: tuple) -> np.ndarray:
    """The 3x3 matrix from input to output, as the product of its parts."""
    a, s_x, s_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    to_center = np.array([[1, 0, center[0]], [0, 1, center[1]], [0, 0, 1]])
    move = np.array([[1, 0, translate[0]], [0, 1, translate[1]], [0, 0, 1]])
    turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    shear_x, shear_y = np.eye(3), np.eye(3)
    shear_x[0, 1], shear_y[1, 0] = -math.tan(s_x), -math.tan(s_y)
    grow = np.diag([scale, scale, 1.0])
    return move @ to_center @ turn @ grow @ shear_y @ shear_x @ np.linalg.inv(to_center)


def brute(image: np.ndarray, forward: np.ndarray, interpolation: str, fill: np.ndarray) -> np.ndarray:
    """Each output pixel from where it comes: solve for it, and look at its neighbours; outside is `fill`."""
    h, w = image.shape[1:]
    out = np.empty(image.shape)

    def pixel(y: int, x: int) -> np.ndarray:
        return image[:, y, x] if 0 <= y < h and 0 <= x < w else fill

    for i in range(h):
        for j in range(w):
            x, y, _ = np.linalg.solve(forward, [j - (w - 1) / 2, i - (h - 1) / 2, 1.0])
            x, y = x + (w - 1) / 2, y + (h - 1) / 2
            if interpolation == "nearest":
                out[:, i, j] = pixel(round(y), round(x))
                continue
            top, left = math.floor(y), math.floor(x)
            b, r = y - top, x - left
            out[:, i, j] = (1 - b) * ((1 - r) * pixel(top, left) + r * pixel(top, left + 1)) + b * (
                (1 - r) * pixel(top + 1, left) + r * pixel(top + 1, left + 1)
            )
    return out


MAPS = [
    (33.0, (2, -3), 1.2, (10.0, -7.0), (0.0, 0.0)),
    (-71.0, (0, 0), 0.7, (0.0, 25.0), (2.5, -1.0)),
    (0.0, (40, 0), 1.0, (0.0, 0.0), (0.0, 0.0)),  # nothing of the image is left
    (180.5, (1, 1), 3.3, (-30.0, 0.0), (-3.0, 3.0)),
]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(("angle", "translate", "scale", "shear", "center"), MAPS)
def test_warp_looks_up_where_each_pixel_comes_from(interpolation, angle, translate, scale, shear, center):
    x = rng().random((2, 3, 9, 12))
    fill = np.array([0.2, 0.5, 0.9])
    forward = matrix(angle, translate, scale, shear, center)
    maps = inverse_affine(
        np.full(2, angle), np.tile(translate, (2, 1)), np.full(2, scale), np.tile(shear, (2, 1)), center
    )
    np.testing.assert_allclose(maps[0], np.linalg.inv(forward)[:2], atol=1e-12)
    expected = np.stack([brute(image, forward, interpolation, fill) for image in x])
    np.testing.assert_allclose(warp(x, maps, interpolation, tuple(fill)), expected, atol=1e-12)
    single = warp(x.astype(np.float32), maps, interpolation, tuple(fill))
    np.testing.assert_allclose(single, expected, atol=1e-5)
    images = (x * 255).astype(np.uint8)
    exact = np.stack([brute(image, forward, interpolation, np.full(3, 7.0)) for image in images])
    rounded = warp(images, maps, interpolation, 7)
    sure = np.abs(exact % 1 - 0.5) > 1e-3
    assert sure.mean() > 0.98
    np.testing.assert_array_equal(rounded[sure], np.rint(exact[sure]))


def test_each_image_has_its_own_map():
    x = rng().random((200, 2, 6, 6))
    drawn = tr.RandomAffine(180, (0.3, 0.3), (0.5, 2), (-20, 20, -20, 20)).draw(np.tile([2, 6, 6], (200, 1)), rng())
    maps = inverse_affine(*drawn, (0.0, 0.0))
    together = warp(x, maps, "bilinear")
    np.testing.assert_array_equal(
        together, np.concatenate([warp(x[i : i + 1], maps[i : i + 1], "bilinear") for i in range(200)])
    )
    large = np.repeat(x[:3].repeat(60, axis=2), 60, axis=3)  # more than a block each
    np.testing.assert_array_equal(
        warp(large, maps[:3], "bilinear"),
        np.concatenate([warp(large[i : i + 1], maps[i : i + 1], "bilinear") for i in range(3)]),
    )


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_right_angles_are_exact(interpolation, kind):
    square = (rng().random((2, 3, 8, 8)) * 255).astype(kind)
    wide = (rng().random((2, 3, 5, 8)) * 255).astype(kind)
    tolerance = 0 if kind == np.uint8 else 255 * 8 * np.finfo(kind).eps
    for turns in (-1, 0, 1, 2, 3):
        degrees = (90.0 * turns, 90.0 * turns)
        rotate = tr.RandomRotation(degrees, interpolation)
        np.testing.assert_allclose(rotate(square), np.rot90(square, turns, (2, 3)), atol=tolerance)
        rotate = tr.RandomRotation(degrees, interpolation, expand=True)
        np.testing.assert_allclose(np.stack(rotate(wide)), np.rot90(wide, turns, (2, 3)), atol=tolerance)
    np.testing.assert_array_equal(tr.RandomRotation(0, interpolation)(wide), wide)
    np.testing.assert_array_equal(tr.RandomAffine(0, interpolation=interpolation)(wide), wide)
    np.testing.assert_array_equal(tr.LeNetDistortion(0, (1, 1), (1, 1), 0, interpolation)(wide), wide)


def test_expand_holds_the_whole_image():
    x = np.ones((1, 1, 20, 31))
    for angle in (10.0, 45.0, 130.0, 200.0):
        (out,) = tr.RandomRotation((angle, angle), "bilinear", expand=True)(x)
        a = math.radians(angle)
        for have, exact in zip(
            out.shape[1:],
            (
                20 * abs(math.cos(a)) + 31 * abs(math.sin(a)),
                31 * abs(math.cos(a)) + 20 * abs(math.sin(a)),
            ),
            strict=True,
        ):
            assert exact <= have < exact + 2
        np.testing.assert_allclose(out.sum(), x.sum(), rtol=1e-2)  # the area stays
        assert tr.RandomRotation((angle, angle), "bilinear")(x).sum() < 0.99 * x.sum()


def test_a_turn_about_another_point_leaves_it():
    x = rng().random((1, 1, 9, 9))
    for angle in (30.0, 77.0):
        out = tr.RandomRotation((angle, angle), "bilinear", center=[2.5, 6.5])(x)  # the middle of pixel (6, 2)
        np.testing.assert_allclose(out[0, 0, 6, 2], x[0, 0, 6, 2], atol=1e-12)


def test_draws_of_random_affine():
    n = 20_000
    shapes = np.tile([3, 100, 50], (n, 1))
    angle, translate, scale, shear = tr.RandomAffine((-10, 30), (0.2, 0.1), (0.5, 2), (1, 2, 3, 5)).draw(shapes, rng())
    for values, low, high in ((angle, -10, 30), (scale, 0.5, 2), (shear[:, 0], 1, 2), (shear[:, 1], 3, 5)):
        share = np.sort((values - low) / (high - low))
        assert np.abs(share - (np.arange(n) + 0.5) / n).max() < 2.7 / math.sqrt(n)  # Kolmogorov's distance
    assert set(np.unique(translate[:, 0])) == set(range(-10, 11))  # a fifth of 50 across
    assert set(np.unique(translate[:, 1])) == set(range(-10, 11))  # a tenth of 100 down
    nothing = tr.RandomAffine(0).draw(shapes[:2], rng())
    assert [part.tolist() for part in nothing] == [[0, 0], [[0, 0], [0, 0]], [1, 1], [[0, 0], [0, 0]]]
    assert tr.RandomAffine(0, shear=5).draw(shapes, rng())[3][:, 1].tolist() == [0] * n


def test_lenet_distortion_is_the_map_it_says():
    x = rng().random((6, 1, 9, 9))
    transform = tr.LeNetDistortion(1.5, (0.8, 1.2), (0.7, 1.4), 0.3)
    forward, translate = transform.draw(np.tile([1, 9, 9], (6, 1)), rng())
    out = transform(x, rng())
    for i in range(6):
        whole = np.eye(3)
        whole[:2, :2], whole[:2, 2] = forward[i], translate[i]
        np.testing.assert_allclose(out[i], brute(x[i], whole, "bilinear", np.zeros(1)), atol=1e-12)
        np.testing.assert_allclose(inverse(forward, translate)[i], np.linalg.inv(whole)[:2], atol=1e-14)
        (s_q, k), (zero, s_over_q) = forward[i]
        assert zero == 0
        assert abs(k) <= 0.3
        assert 0.8 <= math.sqrt(s_q * s_over_q) <= 1.2  # s
        assert 0.7 <= math.sqrt(s_q / s_over_q) <= 1.4  # q
        assert np.abs(translate[i]).max() <= 1.5
