"""Data sets."""

from minigrad.nn.data import transforms
from minigrad.nn.data.cifar import CIFAR10, CIFAR100
from minigrad.nn.data.dataset import ArrayDataset, Dataset, Subset, random_split
from minigrad.nn.data.digits import Digits, digits
from minigrad.nn.data.files import data_root
from minigrad.nn.data.folder import ImageFolder, read_image
from minigrad.nn.data.idx import parse_idx, read_idx
from minigrad.nn.data.images import ImageArrays
from minigrad.nn.data.loader import DataLoader
from minigrad.nn.data.mnist import KMNIST, MNIST, FashionMNIST
from minigrad.nn.data.npz import load_npz
from minigrad.nn.data.registry import Info, get, info, names
from minigrad.nn.data.sampler import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "ArrayDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "ImageArrays",
    "ImageFolder",
    "Info",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "WeightedRandomSampler",
    "data_root",
    "digits",
    "get",
    "info",
    "load_npz",
    "names",
    "parse_idx",
    "random_split",
    "read_idx",
    "read_image",
    "transforms",
]
