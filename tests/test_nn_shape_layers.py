"""Layers that only move elements: padding, flattening, pixel shuffling, upsampling."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy

MODES = {"Zero": "constant", "Constant": "constant", "Reflection": "reflect", "Replication": "edge", "Circular": "wrap"}


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# ---- padding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(MODES))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_padding_is_that_of_numpy_with_the_last_axis_first(kind: str, n: int) -> None:
    make = getattr(nn, f"{kind}Pad{n}d")
    value = (2.5,) if kind == "Constant" else ()
    more = {"constant_values": value[0] if value else 0} if MODES[kind] == "constant" else {}
    x = image(2, 3, 4, 5, 6)[(slice(None),) * 2 + (slice(None),) * n + (0,) * (3 - n)]
    for widths in (2, 0, (1, 2, 3, 0, 2, 1)[: 2 * n]):
        each = (widths,) * 2 * n if isinstance(widths, int) else widths
        pairs = [(0, 0), (0, 0), *reversed([each[2 * i : 2 * i + 2] for i in range(n)])]
        expected = np.pad(x, pairs, MODES[kind], **more)
        np.testing.assert_array_equal(make(widths, *value)(x).numpy(), expected)
        np.testing.assert_array_equal(make(widths, *value)(x[0]).numpy(), expected[0])


def test_a_wide_border_goes_round_several_times() -> None:
    x = np.arange(3.0).reshape(1, 1, 3)
    assert nn.ReflectionPad1d((0, 5))(x).tolist() == [[[0, 1, 2, 1, 0, 1, 2, 1]]]
    assert nn.CircularPad1d((0, 5))(x).tolist() == [[[0, 1, 2, 0, 1, 2, 0, 1]]]


def test_the_gradient_of_a_repeated_element_adds_up() -> None:
    x = mg.ones((1, 1, 3), requires_grad=True)
    nn.ReplicationPad1d((2, 1))(x).sum().backward()
    assert x.grad.tolist() == [[[3, 1, 2]]]


# ---- shapes ---------------------------------------------------------------------------------------------------------


def test_unflatten_undoes_flatten() -> None:
    x = image(2, 3, 4, 5)
    for sizes in ((3, 4, 5), (3, -1, 5), [-1, 4, 5]):
        np.testing.assert_array_equal(nn.Unflatten(1, sizes)(nn.Flatten()(x)).numpy(), x)
    np.testing.assert_array_equal(nn.Unflatten(-1, (5, 1))(x).numpy(), x[..., None])
    assert nn.Unflatten(1, (-1, 2))(mg.zeros((0, 6))).shape == (0, 3, 2)
    assert nn.Unflatten(1, (0, 4))(mg.zeros((3, 0))).shape == (3, 0, 4)


def test_identity_hands_on_whatever_it_is_given() -> None:
    x = mg.tensor([1, 2])
    assert nn.Identity()(x) is x
    assert nn.Identity()("text") == "text"


@pytest.mark.parametrize("r", [1, 2, 3])
def test_pixel_shuffle_is_its_formula_and_unshuffle_its_inverse(r: int) -> None:
    x = image(2, 2 * r * r, 3, 4)
    y = nn.PixelShuffle(r)(x).numpy()
    assert y.shape == (2, 2, 3 * r, 4 * r)
    for c, h, w, i, j in np.ndindex(2, 3, 4, r, r):
        np.testing.assert_array_equal(y[:, c, h * r + i, w * r + j], x[:, c * r * r + i * r + j, h, w])
    np.testing.assert_array_equal(nn.PixelUnshuffle(r)(y).numpy(), x)
    np.testing.assert_array_equal(nn.PixelShuffle(r)(x[0]).numpy(), y[0])


def test_upsample_calls_interpolate() -> None:
    x = image(2, 3, 4, 5)
    np.testing.assert_array_equal(nn.Upsample(scale_factor=2)(x).numpy(), x.repeat(2, 2).repeat(2, 3))
    for options in (
        {"size": (3, 7), "mode": "bilinear", "align_corners": True},
        {"scale_factor": 1.5, "mode": "bicubic"},
    ):
        np.testing.assert_array_equal(nn.Upsample(**options)(x).numpy(), mg.interpolate(x, **options))
    assert repr(nn.Upsample(scale_factor=[2, 3])) == "Upsample(scale_factor=(2.0, 3.0), mode='nearest')"


def test_pixels_lie_in_the_order_of_the_device() -> None:
    """On a GPU channels come last in memory, through layers that move elements as well."""
    with fake_cupy.install():
        channels_last = np.ascontiguousarray(image(2, 8, 4, 6).transpose(0, 2, 3, 1))
        x = mg.tensor(channels_last, device="cuda").transpose((0, 3, 1, 2))
        layers = [nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.Upsample(scale_factor=2), nn.ZeroPad2d(1)]
        for layer in (*layers, nn.Maxout(2), nn.ReflectionPad2d(1), nn.Upsample(size=5, mode="bilinear")):
            strides = layer(x)._array.strides
            assert sorted(range(4), key=lambda a: -strides[a]) == [0, 2, 3, 1], layer


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.ZeroPad2d(-1), "padding must be an integer of at least 0, or 4 of them, got -1"),
        (lambda: nn.ReflectionPad1d((1, 2, 3)), "padding must be .*, or 2 of them, got (1, 2, 3)"),
        (lambda: nn.ZeroPad2d(1)(mg.zeros((3, 4))), "ZeroPad2d expects (N, C, H, W) or (C, H, W), got .* (3, 4)"),
        (
            lambda: nn.ReplicationPad1d(1)(mg.zeros((1, 1, 0))),
            "axis 2 of shape (1, 1, 0) is empty: mode 'replicate' has",
        ),
        (lambda: nn.Unflatten(1, (-1, -1)), "unflattened_size must hold sizes of at least 0, one .*, got (-1, -1)"),
        (lambda: nn.Unflatten(1, ()), "unflattened_size must hold sizes of at least 0, one .*, got ()"),
        (
            lambda: nn.Unflatten(2, (1, 1))(mg.zeros((2, 3))),
            "expects an input with the axis dim=2, got one of shape (2, 3)",
        ),
        (
            lambda: nn.Unflatten(1, (2, -1))(mg.zeros((2, 3))),
            "Unflatten(1, (2, -1)) does not fit axis 1 of an input of shape (2, 3): 3 is not the product of the sizes",
        ),
        (lambda: nn.PixelShuffle(0), "upscale_factor must be at least 1, got 0"),
        (lambda: nn.PixelUnshuffle(0), "downscale_factor must be at least 1, got 0"),
        (
            lambda: nn.PixelShuffle(2)(mg.zeros((1, 6, 2, 2))),
            "C a multiple of upscale_factor**2 = 4, got .* (1, 6, 2, 2)",
        ),
        (lambda: nn.PixelShuffle(2)(mg.zeros((2, 2))), "PixelShuffle expects (..., C, H, W) with .* shape (2, 2)"),
        (
            lambda: nn.PixelUnshuffle(2)(mg.zeros((1, 2, 3))),
            "H and W multiples of downscale_factor=2, got .* (1, 2, 3)",
        ),
        (lambda: nn.Upsample()(mg.zeros((1, 1, 2))), "give one of size and scale_factor, got size=None"),
    ],
)
def test_errors(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text).replace(r"\.\*", ".*")):
        make()
