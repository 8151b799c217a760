"""What a transform is: a function of a batch of images whose randomness is drawn first, a draw for each image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.random import default_generator

Images = np.ndarray | list[np.ndarray]
Size = int | Sequence[int]


class Transform(ABC):
    """A function of images, called as `transform(images, generator=None)`; every image of a batch has its own draw.

    Images are NumPy arrays, uint8 from 0 to 255, or float32 or float64, usually from 0 to 1:

    - an array (N, C, H, W): a batch, which is transformed all at once;
    - a list of arrays (C, H, W) of different sizes, such as photographs;
    - an array (C, H, W): one image, which comes back as one.

    A batch comes back as an array where its images are of one size, as a list where they are not. The input is never
    changed; where there is nothing to do, the output may be the input itself, or a view of it.

    Abstract: a subclass defines `apply`, and `draw` if it is random. All random numbers are drawn before any image is
    changed, from the generator and the sizes alone: a list and an array of the same images give the same result.

    Raises:
        TypeError: images that are not NumPy arrays of these dtypes.
        ValueError: images of another rank, or none.

    >>> class Invert(Transform):
    ...     def apply(self, images):
    ...         return 255 - images
    >>> Invert()(np.zeros((1, 2, 2), "uint8"))
    array([[[255, 255],
            [255, 255]]], dtype=uint8)
    """

    def __call__(self, images: Any, generator: np.random.Generator | None = None) -> Any:
        """The images, transformed; the randomness comes from `generator`, or minigrad's default generator."""
        batch = as_batch(images)
        done = self.transform(batch, default_generator() if generator is None else generator)
        return done[0] if is_single(images) else together(done)

    def transform(self, images: Images, rng: np.random.Generator) -> Images:
        """A batch, as an array or as a list of images of different sizes: what `__call__` does after its checks."""
        drawn = self.draw(shapes_of(images), rng)
        if isinstance(images, np.ndarray):
            return self.apply(images, *drawn)
        return [self.apply(image[None], *(part[i : i + 1] for part in drawn))[0] for i, image in enumerate(images)]

    def draw(self, shapes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The random part: arrays with an entry for each image, which `apply` then gets.

        Args:
            shapes: (N, 3) integers, the (C, H, W) of each image.
            rng: draws.
        """
        return ()

    @abstractmethod
    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> Images:
        """The images (N, C, H, W), transformed with what was drawn for each; a list where their sizes then differ."""

    def __repr__(self) -> str:
        """The options, as torchvision shows them: those that are numbers, strings, tuples or lists."""
        options = [
            f"{name}={value}"
            for name, value in vars(self).items()
            if not name.startswith("_") and isinstance(value, bool | int | float | str | tuple | list)
        ]
        return f"{type(self).__name__}({', '.join(options)})"


# ---- forms of a batch -----------------------------------------------------------------------------------------------


def is_single(images: Any) -> bool:
    """Whether this is one image, (C, H, W)."""
    return isinstance(images, np.ndarray) and images.ndim == 3


def as_batch(images: Any) -> Images:
    """Images in one of the forms that `Transform` takes, as an array (N, C, H, W) if they are of one size, or a list.

    >>> as_batch(np.zeros((3, 8, 8), "uint8")).shape
    (1, 3, 8, 8)
    """
    if isinstance(images, list | tuple):
        if not images:
            raise ValueError("images must hold at least one image, got an empty list")
        for i, image in enumerate(images):
            _check(f"images[{i}]", image, (3,), "(C, H, W)")
        return together(list(images))
    _check("images", images, (3, 4), "(N, C, H, W) or (C, H, W)")
    return images[None] if images.ndim == 3 else images


def _check(name: str, image: Any, ranks: tuple[int, ...], axes: str) -> None:
    if not isinstance(image, np.ndarray):
        kind = type(image)
        owner = "" if kind.__module__ == "builtins" else kind.__module__.partition(".")[0] + "."
        raise TypeError(
            f"{name} must be a NumPy array, got {owner}{kind.__name__}: transform images before they become tensors"
        )
    if image.dtype not in (np.uint8, np.float32, np.float64):
        raise TypeError(f"{name} must be of dtype uint8, float32 or float64, got {image.dtype}")
    if image.ndim not in ranks:
        raise ValueError(f"{name} must be {axes}, got shape {image.shape}")


def together(images: Images) -> Images:
    """A list of arrays of one shape and dtype as one array; anything else as it is."""
    if isinstance(images, list) and len({(image.shape, image.dtype) for image in images}) == 1:
        return np.stack(images)
    return images


def shapes_of(images: Images) -> np.ndarray:
    """(N, 3) integers: the (C, H, W) of each image."""
    if isinstance(images, np.ndarray):
        return np.broadcast_to(images.shape[1:], (len(images), 3))
    return np.array([image.shape for image in images])


def blocks(images: np.ndarray, values: int = 2**18) -> Iterator[slice]:
    """Slices of a batch of about so many values each, which the cache holds; at least one image.

    >>> list(blocks(np.zeros((3, 1, 8, 8)), values=128))
    [slice(0, 2, None), slice(2, 4, None)]
    """
    step = max(1, values // max(1, images[:1].size))
    return (slice(start, start + step) for start in range(0, len(images), step))


def need_float(user: Transform, images: np.ndarray) -> None:
    """Refuse images that are not floating.

    Raises:
        TypeError: uint8 images.
    """
    if images.dtype == np.uint8:
        raise TypeError(f"images must be floating for {type(user).__name__}, got uint8: put ToFloat() before it")


# ---- options --------------------------------------------------------------------------------------------------------


def pair(name: str, size: Any) -> tuple[int, int]:
    """A size as (height, width), from an int, (size,) or (height, width).

    >>> pair("size", 8), pair("size", (8,)), pair("size", [6, 8])
    ((8, 8), (8, 8), (6, 8))
    """
    values = tuple(size) if isinstance(size, list | tuple) else (size,)
    if len(values) not in (1, 2) or not all(is_int(n) and n > 0 for n in values):
        raise ValueError(f"{name} must be a positive integer or (height, width), got {size!r}")
    return int(values[0]), int(values[-1])


def is_int(value: Any) -> bool:
    """Whether this is an integer, of Python or NumPy, and not a bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def probability(name: str, p: Any) -> float:
    """A probability, checked."""
    if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
        raise ValueError(f"{name} must be a probability, from 0 to 1, got {p!r}")
    return p  # type: ignore[return-value]


def increasing(name: str, values: Any, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
    """A range (smallest, largest), checked to lie from `low` to `high`."""
    bounds = f", from {low:g} to {high:g}" if high < np.inf else f", from {low:g}" if low > -np.inf else ""
    if not isinstance(values, list | tuple) or len(values) != 2 or not low <= values[0] <= values[1] <= high:
        raise ValueError(f"{name} must be (smallest, largest){bounds}, got {values!r}")
    return values[0], values[1]


def positive_range(name: str, values: Any) -> tuple[float, float]:
    """A range (smallest, largest), checked to be positive."""
    if not isinstance(values, list | tuple) or len(values) != 2 or not 0 < values[0] <= values[1]:
        raise ValueError(f"{name} must be (smallest, largest), both positive, got {values!r}")
    return values[0], values[1]


def uniform(rng: np.random.Generator, span: Sequence[float], shape: int | tuple[int, ...]) -> np.ndarray:
    """Numbers drawn evenly from a range (smallest, largest)."""
    low, high = span
    return rng.uniform(low, high, shape)


def per_channel(name: str, value: float | Sequence[float], images: np.ndarray) -> np.ndarray:
    """A number, or one for each channel, as an array (1 or C, 1, 1) of the images' dtype.

    Raises:
        ValueError: neither one nor as many as the images have channels.

    >>> per_channel("fill", (1, 2, 3), np.zeros((1, 3, 2, 2), "uint8")).shape
    (3, 1, 1)
    """
    values = np.atleast_1d(np.asarray(value))
    if values.ndim != 1 or len(values) not in (1, images.shape[1]):
        raise ValueError(f"{name} must be a number or one for each of {images.shape[1]} channels, got {value!r}")
    return values.astype(images.dtype).reshape(-1, 1, 1)
