"""What is done to images between the data set and the network."""

from minigrad.nn.data.transforms.base import Transform
from minigrad.nn.data.transforms.compose import Compose, RandomApply, RandomChoice
from minigrad.nn.data.transforms.crop import CenterCrop, RandomCrop
from minigrad.nn.data.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from minigrad.nn.data.transforms.many_crops import FiveCrop, TenCrop
from minigrad.nn.data.transforms.mixing import CutMix, Mix, MixUp
from minigrad.nn.data.transforms.normalize import Normalize, ToFloat
from minigrad.nn.data.transforms.pad import Pad

__all__ = [
    "CenterCrop",
    "Compose",
    "CutMix",
    "FiveCrop",
    "Mix",
    "MixUp",
    "Normalize",
    "Pad",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "TenCrop",
    "ToFloat",
    "Transform",
]
