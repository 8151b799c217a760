"""What a data set is: numbered samples, given out in batches."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.random import default_generator


class Dataset(ABC):
    """Numbered samples, each a tuple of arrays and numbers such as (image, label); a subclass defines the two methods.

    Images are uint8 (C, H, W), labels integers from 0. A subclass that holds its samples in arrays defines `batch` too,
    which is faster than one sample at a time.

    Attributes:
        classes: the names of the labels 0, 1, ...; empty where they have none.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return np.full(2, i), i * i
    >>> x, y = Squares().batch([1, 3])
    >>> x.tolist(), y.tolist()
    ([[1, 1], [3, 3]], [1, 9])
    """

    classes: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitem__(self, i: int) -> tuple[Any, ...]:
        """Sample number `i`."""

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[Any, ...]:
        """The samples of these numbers, each part of them together.

        Returns:
            arrays whose first axis is the batch; a list of arrays for a part whose sizes differ, such as photographs.
        """
        return collate([self[int(i)] for i in indices])

    def __repr__(self) -> str:
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{type(self).__name__}({len(self)} samples{classes})"


class ArrayDataset(Dataset):
    """Samples from arrays of equal length: sample `i` is (arrays[0][i], arrays[1][i], ...). PyTorch's TensorDataset.

    Args:
        arrays: NumPy arrays, or what NumPy makes arrays of, usually images (N, C, H, W) and labels (N,); not copied.
        classes: the names of the labels.

    Raises:
        ValueError: no array, or arrays of different lengths.

    >>> data = ArrayDataset(np.zeros((5, 1, 8, 8), "uint8"), [0, 1, 0, 1, 1], classes=["cat", "dog"])
    >>> len(data), data.batch([0, 4])[0].shape, data.classes[data.arrays[1][4]]
    (5, (2, 1, 8, 8), 'dog')
    """

    def __init__(self, *arrays: Any, classes: Sequence[str] = ()):
        self.arrays = tuple(np.asarray(array) for array in arrays)
        lengths = [len(array) if array.ndim else 0 for array in self.arrays]
        if len(set(lengths)) != 1:
            raise ValueError(f"arrays must be one or more arrays of one length, got lengths {lengths}")
        self.classes = tuple(classes)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        return tuple(array[i] for array in self.arrays)

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[Any, ...]:
        """The samples of these numbers: a copy of each array's rows."""
        return tuple(array[np.asarray(indices, np.intp)] for array in self.arrays)


class Subset(Dataset):
    """Some samples of another data set, under new numbers.

    Args:
        dataset: the data set.
        indices: the numbers there of samples 0, 1, ... here.

    Raises:
        IndexError: a number that the data set does not have.

    >>> data = ArrayDataset([10, 11, 12, 13])
    >>> Subset(data, [3, 0])[0]
    (np.int64(13),)
    """

    def __init__(self, dataset: Dataset, indices: Iterable[int]):
        self.dataset = dataset
        self.indices = np.fromiter((operator.index(i) for i in indices), np.intp)
        wrong = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if len(wrong):
            raise IndexError(f"indices must be from 0 to {len(dataset) - 1}, got {wrong[0]}")
        self.classes = dataset.classes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        return self.dataset[int(self.indices[i])]

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[Any, ...]:
        """The samples of these numbers."""
        return self.dataset.batch(self.indices[np.asarray(indices, np.intp)])


def random_split(
    dataset: Dataset, lengths: Sequence[float], generator: np.random.Generator | None = None
) -> list[Subset]:
    """Parts of a data set, drawn at random and without overlap.

    Args:
        dataset: the data set.
        lengths: how many samples each part has, together as many as the data set; or shares that add up to 1. What
            rounding down leaves goes to the parts in turn, one sample each, as in PyTorch.
        generator: draws; minigrad's default generator if None.

    Raises:
        ValueError: lengths that add up neither to the data set's nor to 1.

    >>> parts = random_split(ArrayDataset(range(10)), [7, 3], np.random.default_rng(0))
    >>> [len(part) for part in parts]
    [7, 3]
    >>> [len(part) for part in random_split(ArrayDataset(range(10)), [0.75, 0.25])]
    [8, 2]
    """
    if all(n >= 0 for n in lengths) and math.isclose(sum(lengths), 1):
        lengths = [math.floor(share * len(dataset)) for share in lengths]
        rest = len(dataset) - sum(lengths)
        lengths = [n + (rest - i + len(lengths) - 1) // len(lengths) for i, n in enumerate(lengths)]
    if any(n < 0 for n in lengths) or sum(lengths) != len(dataset):
        raise ValueError(
            f"lengths must add up to the {len(dataset)} samples of the data set, or to 1 as shares, got {list(lengths)}"
        )
    order = (generator or default_generator()).permutation(len(dataset))
    ends = np.cumsum(lengths)
    return [Subset(dataset, order[end - n : end]) for n, end in zip(lengths, ends, strict=True)]


def collate(samples: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Samples as a batch: for each part an array with a new first axis, or a list if the sizes differ.

    Raises:
        TypeError: a sample that is no tuple.
        ValueError: samples with different numbers of parts.

    >>> x, y = collate([(np.zeros(3), 0), (np.ones(3), 1)])
    >>> x.shape, y.tolist()
    ((2, 3), [0, 1])
    """
    for sample in samples:
        if not isinstance(sample, tuple):
            raise TypeError(
                f"a sample must be a tuple such as (image, label), got {type(sample).__name__}: return (image,) from "
                f"__getitem__ where there is only one part"
            )
    parts = []
    for values in zip(*samples, strict=True):
        arrays = [np.asarray(value) for value in values]
        same = len({array.shape for array in arrays}) == 1
        parts.append(np.stack(arrays) if same else arrays)
    return tuple(parts)
