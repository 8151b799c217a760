"""Data sets."""

from minigrad.nn.data import transforms
from minigrad.nn.data.dataset import ArrayDataset, Dataset, Subset, random_split
from minigrad.nn.data.digits import digits
from minigrad.nn.data.loader import DataLoader
from minigrad.nn.data.sampler import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "WeightedRandomSampler",
    "digits",
    "random_split",
    "transforms",
]
