"""What is done to images between the data set and the network."""

from minigrad.nn.data.transforms.affine import RandomAffine, RandomRotation
from minigrad.nn.data.transforms.base import Transform
from minigrad.nn.data.transforms.color import ColorJitter, Grayscale, RandomGrayscale
from minigrad.nn.data.transforms.compose import Compose, RandomApply, RandomChoice
from minigrad.nn.data.transforms.crop import CenterCrop, RandomCrop
from minigrad.nn.data.transforms.erasing import RandomErasing
from minigrad.nn.data.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from minigrad.nn.data.transforms.lenet import LeNetDistortion, LeNetScale
from minigrad.nn.data.transforms.many_crops import FiveCrop, GoogLeNetCrops, TenCrop
from minigrad.nn.data.transforms.mixing import CutMix, Mix, MixUp
from minigrad.nn.data.transforms.normalize import Normalize, ToFloat
from minigrad.nn.data.transforms.pad import Pad
from minigrad.nn.data.transforms.pca_lighting import PCALighting
from minigrad.nn.data.transforms.random_resized_crop import RandomResizedCrop
from minigrad.nn.data.transforms.resize import RandomResize, Resize
from minigrad.nn.data.transforms.subtract_mean import SubtractMean

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "FiveCrop",
    "GoogLeNetCrops",
    "Grayscale",
    "LeNetDistortion",
    "LeNetScale",
    "Mix",
    "MixUp",
    "Normalize",
    "PCALighting",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "SubtractMean",
    "TenCrop",
    "ToFloat",
    "Transform",
]
