"""Transforms made of transforms: one after another, some of the time, one of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.nn.data.transforms.base import Images, Transform, probability, together
from minigrad.nn.data.transforms.mixing import Mix
from minigrad.random import default_generator

Step = Transform | Callable[[Any], Any]


class Composition(Transform):
    """What transforms made of others share. Abstract: a subclass defines `transform`.

    Args:
        transforms: transforms, or functions of one argument, the batch: an array (N, C, H, W), or a list of images
            (C, H, W) of different sizes.

    Raises:
        TypeError: something that cannot be called, or not a list.
        ValueError: no transforms.
    """

    def __init__(self, transforms: Sequence[Step]):
        if not isinstance(transforms, list | tuple):
            raise TypeError(f"transforms must be a list of transforms or functions, got {type(transforms).__name__}")
        if not transforms:
            raise ValueError("transforms must hold at least one transform, got none")
        for i, step in enumerate(transforms):
            if not callable(step):
                raise TypeError(f"transforms[{i}] must be a transform or a function, got {type(step).__name__}")
        self.transforms = list(transforms)

    def apply(self, images: np.ndarray, *drawn: np.ndarray) -> Images:
        """Never called: the parts are applied one by one, in `transform`."""
        raise NotImplementedError(f"{type(self).__name__} defines transform")

    def __repr__(self) -> str:
        lines = "".join(f"    {line}\n" for line in "\n".join(self._parts()).splitlines())
        return f"{type(self).__name__}(\n{lines})"

    def _parts(self) -> list[str]:
        return [repr(step) for step in self.transforms]


def _through(steps: Sequence[Step], images: Images, rng: np.random.Generator) -> Any:
    """One step after another."""
    for step in steps:
        images = step(images, rng) if isinstance(step, Transform) else step(images)
    return images


def _some(images: Images, numbers: np.ndarray, steps: Sequence[Step], rng: np.random.Generator) -> dict[int, Any]:
    """The steps, applied to the images of these numbers only: number -> image."""
    if not len(numbers):
        return {}
    part = images[numbers] if isinstance(images, np.ndarray) else together([images[i] for i in numbers])
    return dict(zip(numbers.tolist(), _through(steps, part, rng), strict=True))


class Compose(Composition):
    """One transform after another: see `Composition`.

    >>> from minigrad.nn.data.transforms import Normalize, ToFloat
    >>> transform = Compose([lambda images: 255 - images, ToFloat(), Normalize([0.5], [0.5])])
    >>> transform(np.array([[[0, 255]]], "uint8"))
    array([[[ 1., -1.]]], dtype=float32)
    >>> transform.transforms[1:]
    [ToFloat(), Normalize(mean=[0.5], std=[0.5])]
    """

    def transform(self, images: Images, rng: np.random.Generator) -> Images:
        """The batch after the last transform."""
        return _through(self.transforms, images, rng)


class RandomApply(Composition):
    """The transforms, one after another, applied to each image with probability p: see `Composition`.

    Args:
        transforms: as for `Compose`.
        p: the probability.

    Raises:
        TypeError, ValueError: as `Composition`; a p that is no probability.

    >>> from minigrad.nn.data.transforms import Pad
    >>> RandomApply([Pad(2)], p=0.2)
    RandomApply(
        p=0.2
        Pad(padding=2, fill=0, padding_mode=constant)
    )
    """

    def __init__(self, transforms: Sequence[Step], p: float = 0.5):
        super().__init__(transforms)
        self.p = probability("p", p)

    def transform(self, images: Images, rng: np.random.Generator) -> Images:
        """The batch, those drawn transformed."""
        chosen = np.flatnonzero(rng.random(len(images)) < self.p)
        done = _some(images, chosen, self.transforms, rng)
        return together([done.get(i, image) for i, image in enumerate(images)]) if done else images

    def _parts(self) -> list[str]:
        return [f"p={self.p}", *super()._parts()]


class RandomChoice(Composition):
    """One of the transforms for each image, drawn with probabilities p: see `Composition`.

    A choice of mixes, `RandomChoice([MixUp(...), CutMix(...)])`, is a mix itself: it is called as
    `mix(images, labels, generator=None)` and draws one for the batch.

    Args:
        transforms: as for `Compose`, or mixes.
        p: how often each is drawn, in any unit; default: all equally often.

    Raises:
        TypeError, ValueError: as `Composition`; a p that does not fit, or mixes and other transforms together.

    >>> from minigrad.nn.data.transforms import RandomHorizontalFlip, RandomVerticalFlip
    >>> RandomChoice([RandomHorizontalFlip(1), RandomVerticalFlip(1)], p=[1, 3]).p
    [0.25, 0.75]
    """

    def __init__(self, transforms: Sequence[Step | Mix], p: Sequence[float] | None = None):
        super().__init__(transforms)  # type: ignore[arg-type]
        weights = np.ones(len(transforms)) if p is None else np.asarray(p, np.float64)
        if weights.shape != (len(transforms),) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
            raise ValueError(f"p must hold a number of at least 0 for each of {len(transforms)} transforms, got {p!r}")
        self.p = (weights / weights.sum()).tolist()
        self._mixes = isinstance(transforms[0], Mix)
        if any(isinstance(step, Mix) != self._mixes for step in transforms):
            raise TypeError("transforms must all be mixes, of images and labels, or none of them, got both")

    def __call__(self, images: Any, *rest: Any, **named: Any) -> Any:
        """The images, transformed; or images and labels, mixed."""
        return self._mix(images, *rest, **named) if self._mixes else super().__call__(images, *rest, **named)

    def _mix(self, images: Any, labels: Any, generator: np.random.Generator | None = None) -> Any:
        rng = default_generator() if generator is None else generator
        return self.transforms[rng.choice(len(self.p), p=self.p)](images, labels, rng)

    def transform(self, images: Images, rng: np.random.Generator) -> Images:
        """The batch, each image by its transform."""
        chosen = rng.choice(len(self.p), len(images), p=self.p)
        done: dict[int, Any] = {}
        for k, step in enumerate(self.transforms):
            done |= _some(images, np.flatnonzero(chosen == k), [step], rng)
        return together([done[i] for i in range(len(images))]) if done else images
