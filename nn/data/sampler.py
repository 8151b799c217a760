"""In which order the samples of a data set are gone through."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np

from minigrad.random import default_generator


class Sampler(ABC):
    """The numbers of an epoch's samples, drawn from a generator that the loader makes of its seed and the epoch alone.

    Unlike PyTorch's, which holds a generator: the order of an epoch can then be told without those before it. A sampler
    can be iterated over, too, and then draws from minigrad's default generator.

    >>> class Backwards(Sampler):
    ...     def __len__(self):
    ...         return 4
    ...     def order(self, generator):
    ...         return np.arange(4)[::-1]
    >>> list(Backwards())
    [3, 2, 1, 0]
    """

    @abstractmethod
    def __len__(self) -> int:
        """How many numbers an epoch has."""

    @abstractmethod
    def order(self, generator: np.random.Generator) -> np.ndarray:
        """The numbers of one epoch: integers (len,)."""

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(default_generator()).tolist())


class SequentialSampler(Sampler):
    """0, 1, 2, ...: every sample once, as they lie.

    Args:
        data_source: the data set, or anything else with its length.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self, generator: np.random.Generator) -> np.ndarray:
        """The numbers in turn; nothing is drawn."""
        return np.arange(len(self))


class RandomSampler(Sampler):
    """Samples in random order: every one once, in an order drawn evenly from all; or drawn with replacement.

    Args:
        data_source: the data set, or anything else with its length.
        replacement: draw each number from all samples, so that one can come twice.
        num_samples: how many an epoch has; default: as many as there are samples. More than that without replacement
            are several orders, one after the other, the last one cut off.

    Raises:
        ValueError: num_samples below 1, or no samples to draw from.

    >>> sampler = RandomSampler(range(5))
    >>> sorted(sampler.order(np.random.default_rng(0)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None):
        if len(data_source) == 0:
            raise ValueError("data_source must have at least one sample to draw, got none")
        if num_samples is not None and operator.index(num_samples) < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = num_samples

    def __len__(self) -> int:
        return len(self.data_source) if self.num_samples is None else self.num_samples

    def order(self, generator: np.random.Generator) -> np.ndarray:
        """One drawn order, or as many independent draws."""
        n = len(self.data_source)
        if self.replacement:
            return generator.integers(n, size=len(self))
        orders = [generator.permutation(n) for _ in range(-(-len(self) // n))]
        return np.concatenate(orders)[: len(self)]


class WeightedRandomSampler(Sampler):
    """Samples drawn with given chances, so that rare classes can come as often as common ones.

    Args:
        weights: one number for each sample, not negative; its chance is its share of their sum.
        num_samples: how many an epoch has.
        replacement: whether a sample can come twice; if not, its chance is its share of what is left.

    Raises:
        ValueError: weights that are not one row of finite numbers of at least 0, not all of them 0; num_samples below
            1, or, without replacement, more than the weights above 0.

    >>> labels = np.array([0, 0, 0, 1])
    >>> sampler = WeightedRandomSampler(1 / np.bincount(labels)[labels], num_samples=1000)
    >>> bool(abs(labels[sampler.order(np.random.default_rng(0))].mean() - 0.5) < 0.05)
    True
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True):
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise ValueError(
                f"weights must be one row of finite numbers of at least 0, not all of them 0, got {weights.tolist()}"
            )
        possible = int(np.count_nonzero(weights))
        if operator.index(num_samples) < 1 or not (replacement or num_samples <= possible):
            most = "" if replacement else f" and at most the {possible} samples of weights above 0"
            raise ValueError(f"num_samples must be at least 1{most}, got {num_samples}")
        self.weights = weights
        self.num_samples = num_samples
        self.replacement = replacement

    def __len__(self) -> int:
        return self.num_samples

    def order(self, generator: np.random.Generator) -> np.ndarray:
        """Draws of which each is a number with its chance."""
        chances = self.weights / self.weights.sum()
        return generator.choice(len(chances), self.num_samples, self.replacement, chances)
