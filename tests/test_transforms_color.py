"""Colours against loops over pixels; the hue against colorsys of the standard library."""

from __future__ import annotations

import colorsys
import itertools
import math

import numpy as np
import pytest

from minigrad.nn.data import transforms as tr
from minigrad.nn.data.transforms import color

RED, GREEN, BLUE = 0.2989, 0.587, 0.114


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(seed: int = 0) -> np.ndarray:
    """Random colours, all corners of the cube and the greys: (1, 3, 8, 9) float64."""
    x = rng(seed).random((3, 72))
    x[:, :8] = np.array(list(itertools.product((0, 1), repeat=3))).T
    x[:, 8:16] = np.linspace(0, 1, 8)
    return x.reshape(1, 3, 8, 9)


def brightness(image, f):
    return np.minimum(f * image, 1)


def contrast(image, f):
    mean = np.mean([RED * r + GREEN * g + BLUE * b for r, g, b in image.reshape(3, -1).T])
    return np.clip(f * image + (1 - f) * mean, 0, 1)


def saturation(image, f):
    gray = [RED * r + GREEN * g + BLUE * b for r, g, b in image.reshape(3, -1).T]
    return np.clip(f * image + (1 - f) * np.reshape(gray, (1, *image.shape[1:])), 0, 1)


def hue(image, shift):
    out = []
    for r, g, b in image.reshape(3, -1).T:
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        out.append(colorsys.hsv_to_rgb((h + shift) % 1, s, v))
    return np.array(out).T.reshape(image.shape)


ADJUSTMENTS = [(brightness, (0, 0.6, 1, 1.83)), (contrast, (0, 0.6, 1, 1.83)), (saturation, (0, 0.6, 1, 1.83))]
ADJUSTMENTS += [(hue, (-0.5, -0.17, 0, 0.05, 0.31, 0.5))]
CASES = [(expected, factor) for expected, factors in ADJUSTMENTS for factor in factors]


@pytest.mark.parametrize(("expected", "factor"), CASES)
def test_adjustments(expected, factor):
    x = np.concatenate([pixels(0), pixels(1)])
    adjust = getattr(color, expected.__name__)
    wanted = np.stack([expected(image, factor) for image in x])
    amount = np.full((2, 1, 1, 1), factor)
    np.testing.assert_allclose(adjust(x, amount), wanted, atol=1e-14)
    single = adjust(x.astype(np.float32), amount.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, wanted, atol=3e-6)
    neutral = 0 if expected is hue else 1
    if factor == neutral:
        np.testing.assert_allclose(adjust(x, amount), x, atol=1e-15)


@pytest.mark.parametrize("factor", [0.37, 1.41])
def test_uint8_is_rounded_down(factor):
    x = np.rint(pixels() * 255).astype(np.uint8)
    wide = x.astype(float)
    gray = np.floor(RED * wide[:, :1] + GREEN * wide[:, 1:2] + BLUE * wide[:, 2:])
    amount = np.full((1, 1, 1, 1), factor, np.float32)
    f = float(amount.item())
    for adjust, exact in (
        (color.brightness, f * wide),
        (color.contrast, f * wide + (1 - f) * gray.mean()),
        (color.saturation, f * wide + (1 - f) * gray),
        (color.luma, RED * wide[:, :1] + GREEN * wide[:, 1:2] + BLUE * wide[:, 2:]),
    ):
        exact = np.clip(exact, 0, 255)
        out = adjust(x) if adjust is color.luma else adjust(x, amount)
        out = out.astype(np.uint8)
        sure = np.abs(exact - np.rint(exact)) > 1e-4  # where rounding errors cannot decide
        assert sure.sum() > 30
        np.testing.assert_array_equal(out[sure], np.floor(exact)[sure])
    turned = color.hue(x, np.full((1, 1, 1, 1), 0.3, np.float32))
    exact = hue(x[0] / 255, 0.3) * 255.999
    sure = np.abs(exact - np.rint(exact)) > 2e-3
    np.testing.assert_array_equal(turned[0][sure], np.floor(exact)[sure])
    np.testing.assert_array_equal(color.hue(x, np.zeros((1, 1, 1, 1), np.float32)), x)


def test_grey_images_have_no_colour_to_change():
    x = rng().random((2, 1, 4, 4))
    half = np.full((2, 1, 1, 1), 0.5)
    assert color.saturation(x, half) is x
    assert color.hue(x, half) is x
    means = x.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(color.contrast(x, half), 0.5 * x + 0.5 * means, atol=1e-15)
    np.testing.assert_array_equal(tr.Grayscale(3)(x), np.repeat(x, 3, axis=1))
    assert tr.ColorJitter(0.4, 0.4, 0.4, 0.1)(x).shape == x.shape


def test_grayscale():
    x = pixels()
    gray = RED * x[:, :1] + GREEN * x[:, 1:2] + BLUE * x[:, 2:]
    np.testing.assert_allclose(tr.Grayscale()(x), gray, rtol=1e-15)
    np.testing.assert_allclose(tr.Grayscale(3)(x), np.repeat(gray, 3, axis=1), rtol=1e-15)
    white = np.full((1, 3, 1, 1), 255, np.uint8)
    assert tr.Grayscale()(white).item() == 254  # 255 * 0.9999, rounded down, as in torchvision
    many = np.repeat(x, 2000, axis=0)
    out = tr.RandomGrayscale(0.2)(many, rng())
    changed = np.array([not np.array_equal(image, x[0]) for image in out])
    np.testing.assert_allclose(out[changed][0], np.repeat(gray[0], 3, axis=0), rtol=1e-15)
    assert abs(changed.mean() - 0.2) < 5.5 * math.sqrt(0.2 * 0.8 / 2000)


def test_jitter_applies_the_adjustments_in_the_order_drawn():
    x = np.concatenate([pixels(seed) for seed in range(60)])
    transform = tr.ColorJitter(0.4, 0.5, 0.6, 0.3)
    order, amount = transform.draw(np.tile([3, 8, 9], (60, 1)), rng())
    out = transform(x, rng())
    for i in range(60):
        image = x[i]
        for k in order[i]:
            image = (brightness, contrast, saturation, hue)[k](image, amount[i, k])
        np.testing.assert_allclose(out[i], image, atol=1e-12)


def test_draws_of_jitter():
    n = 24 * 400
    order, amount = tr.ColorJitter(0.4, 1.5, (0.5, 3), 0.1).draw(np.tile([3, 1, 1], (n, 1)), rng())
    counts = [(order == p).all(axis=1).sum() for p in itertools.permutations(range(4))]
    assert sum(counts) == n
    assert np.abs(np.array(counts) - 400).max() < 5.5 * math.sqrt(400)
    for values, low, high in zip(amount.T, (0.6, 0, 0.5, -0.1), (1.4, 2.5, 3, 0.1), strict=True):
        share = np.sort((values - low) / (high - low))
        assert np.abs(share - (np.arange(n) + 0.5) / n).max() < 2.7 / math.sqrt(n)  # Kolmogorov's distance


def test_what_is_not_jittered_stays():
    x = np.rint(pixels() * 255).astype(np.uint8)
    np.testing.assert_array_equal(tr.ColorJitter()(x), x)
    np.testing.assert_array_equal(tr.ColorJitter(brightness=0, hue=(0, 0))(x), x)
    assert repr(tr.ColorJitter(brightness=0, contrast=0.5)) == "ColorJitter(contrast=(0.5, 1.5))"
