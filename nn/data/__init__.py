"""Data sets."""

from minigrad.nn.data import transforms
from minigrad.nn.data.dataset import ArrayDataset, Dataset, Subset, random_split
from minigrad.nn.data.digits import digits

__all__ = [
    "ArrayDataset",
    "Dataset",
    "Subset",
    "digits",
    "random_split",
    "transforms",
]
