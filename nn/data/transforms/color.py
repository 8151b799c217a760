"""Brightness, contrast, saturation and hue of images, and images without colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.transforms.base import Transform, blocks, increasing, probability

LUMA = (0.2989, 0.587, 0.114)  # Rec. 601, rounded as in torchvision: they add up to 0.9999, and white uint8 becomes 254


def need_color(user: Transform, shapes: np.ndarray) -> None:
    """Refuse images that are neither grey nor RGB."""
    wrong = [c for c in shapes[:, 0].tolist() if c not in (1, 3)]
    if wrong:
        raise ValueError(f"images must have 1 or 3 channels for {type(user).__name__}, got {wrong[0]}")


def luma(images: np.ndarray) -> np.ndarray:
    """0.2989 R + 0.587 G + 0.114 B of images (N, 3, H, W), floating (N, 1, H, W); images (N, 1, H, W) as they are.

    >>> luma(np.array([[[[1.0]], [[0.0]], [[0.0]]]]))
    array([[[[0.2989]]]])
    """
    kind = np.float64 if images.dtype == np.float64 else np.float32
    if images.shape[1] == 1:
        return images.astype(kind, copy=False)
    red, green, blue = (images[:, c : c + 1] for c in range(3))
    out: np.ndarray = red * kind(LUMA[0])
    out += green * kind(LUMA[1])
    out += blue * kind(LUMA[2])
    return out


class Grayscale(Transform):
    """Grey images from RGB ones: 0.2989 R + 0.587 G + 0.114 B, rounded down for uint8.

    Args:
        num_output_channels: 1, or 3 equal ones.

    Raises:
        ValueError: another number, or images whose channels are not 1 or 3.

    >>> Grayscale()(np.array([[[100]], [[100]], [[200]]], "uint8"))
    array([[[111]]], dtype=uint8)
    """

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = one_of("num_output_channels", num_output_channels, (1, 3))

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Nothing: only the channels are looked at."""
        need_color(self, shapes)
        return ()

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, num_output_channels, H, W)."""
        out = np.empty((len(images), self.num_output_channels, *images.shape[2:]), images.dtype)
        for part in blocks(images):
            out[part] = luma(images[part])
        return out


class RandomGrayscale(Transform):
    """Images without their colour, with probability p; the number of channels stays.

    Args:
        p: the probability.

    Raises:
        ValueError: a p that is no probability, or images whose channels are not 1 or 3.

    >>> RandomGrayscale(p=1)(np.array([[[100]], [[100]], [[200]]], "uint8")).ravel()
    array([111, 111, 111], dtype=uint8)
    """

    def __init__(self, p: float = 0.1):
        self.p = probability("p", p)

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Whether each image loses its colour."""
        need_color(self, shapes)
        return (rng.random(len(shapes)) < self.p,)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W)."""
        out = images.copy()
        for i in np.flatnonzero(drawn[0]).tolist():
            out[i] = luma(images[i : i + 1])[0]
        return out


# ---- jitter ---------------------------------------------------------------------------------------------------------


def _blend(images: np.ndarray, others: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """factor * images + (1 - factor) * others, cut to what the dtype holds: [0, 1], or 0 to 255 and rounded down."""
    out = images * factor
    out += (1 - factor) * others
    return _cut(out, images.dtype)


def _cut(out: np.ndarray, dtype: np.dtype) -> np.ndarray:
    np.clip(out, 0, 255 if dtype == np.uint8 else 1, out=out)
    return out.astype(dtype, copy=False)


def _gray(images: np.ndarray) -> np.ndarray:
    gray = luma(images)
    return np.floor(gray, out=gray) if images.dtype == np.uint8 and images.shape[1] == 3 else gray


def brightness(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """factor * x for images (N, C, H, W): 0 is black, 1 changes nothing."""
    return _cut(images * factor, images.dtype)


def contrast(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """factor * x + (1 - factor) * m, with the mean m of the grey image: 0 is plain grey, 1 changes nothing."""
    return _blend(images, _gray(images).mean(axis=(1, 2, 3), keepdims=True), factor)


def saturation(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """factor * x + (1 - factor) * g, with the grey image g: 0 is without colour, 1 changes nothing."""
    return images if images.shape[1] == 1 else _blend(images, _gray(images), factor)


def hue(images: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The hue of each pixel turned by `shift`, a share of the circle, in HSV: 0 changes nothing, +-1/2 is opposite.

    With the largest channel v and the range d of the three, the hue runs through the six sextants red, yellow, green,
    cyan, blue, magenta; a channel is v where its own colour is near, v - d where it is far, and linear between.

    Source: A. R. Smith: Color Gamut Transform Pairs, SIGGRAPH 1978, the hexcone model.
    """
    if images.shape[1] == 1:
        return images
    x = images * np.float32(1 / 255) if images.dtype == np.uint8 else images
    red, green, blue = (x[:, c : c + 1] for c in range(3))
    high = x.max(axis=1, keepdims=True)
    spread = high - x.min(axis=1, keepdims=True)
    divisor = np.where(spread == 0, 1, spread)
    sextant = np.where(
        high == red,
        (green - blue) / divisor,
        np.where(high == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sextant += 6 * shift
    sextant -= 6 * np.floor(sextant / 6)
    out = np.empty_like(x, order="C")
    for c, (center, sign) in enumerate(((3, 1), (2, -1), (4, -1))):
        distance = np.abs(sextant - center)
        near = np.clip(distance - 1 if sign > 0 else 2 - distance, 0, 1)
        out[:, c : c + 1] = high - spread * (1 - near)
    return (out * np.float32(255.999)).astype(np.uint8) if images.dtype == np.uint8 else out


ADJUST: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (brightness, contrast, saturation, hue)


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue of each image changed by random factors, in random order.

    Args:
        brightness, contrast, saturation: a for factors drawn evenly from [max(0, 1 - a), 1 + a], or the range itself;
            default: unchanged. See `brightness`, `contrast` and `saturation` of this module for the formulas.
        hue: a for shifts drawn evenly from [-a, a], in turns, a <= 1/2; or the range itself; default: unchanged.

    Floating images must lie in [0, 1], and are cut to it; uint8 is rounded down after each step, as in torchvision.

    Raises:
        ValueError: ranges out of bounds, or images whose channels are not 1 or 3.

    Source: A. G. Howard: Some Improvements on Deep Convolutional Neural Network Based Image Classification, 2013,
    section 2.2.

    >>> ColorJitter(brightness=(0.5, 0.5))(np.array([[[100]], [[50]], [[0]]], "uint8")).ravel()
    array([50, 25,  0], dtype=uint8)
    """

    def __init__(
        self,
        brightness: float | Sequence[float] | None = None,
        contrast: float | Sequence[float] | None = None,
        saturation: float | Sequence[float] | None = None,
        hue: float | Sequence[float] | None = None,
    ):
        self.brightness = _range("brightness", brightness)
        self.contrast = _range("contrast", contrast)
        self.saturation = _range("saturation", saturation)
        self.hue = _range("hue", hue, 0, -0.5, 0.5)

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The order of the four adjustments and their amounts, (N, 4) each."""
        need_color(self, shapes)
        ranges = [self.brightness or (1, 1), self.contrast or (1, 1), self.saturation or (1, 1), self.hue or (0, 0)]
        low, high = np.array(ranges).T
        order = rng.permuted(np.tile(np.arange(4), (len(shapes), 1)), axis=1)
        return order, rng.uniform(low, high, (len(shapes), 4))

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        """(N, C, H, W)."""
        order, amount = drawn
        kind = np.float64 if images.dtype == np.float64 else np.float32
        amount = amount.astype(kind)[:, :, None, None, None]
        active = [k for k, span in enumerate((self.brightness, self.contrast, self.saturation, self.hue)) if span]
        out = images.copy()
        for part in blocks(images):
            for step in order[part].T:
                for k in active:
                    chosen = np.flatnonzero(step == k)
                    if len(chosen):
                        out[part][chosen] = ADJUST[k](out[part][chosen], amount[part][chosen, k])
        return out


def _range(
    name: str, value: float | Sequence[float] | None, neutral: float = 1.0, low: float = 0.0, high: float = np.inf
) -> tuple[float, float] | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"{name} must be at least 0, or (smallest, largest), got {value}")
        value = (max(neutral - value, low) if neutral else -value, neutral + value)
    smallest, largest = increasing(name, value, low, high)
    return None if smallest == largest == neutral else (float(smallest), float(largest))
