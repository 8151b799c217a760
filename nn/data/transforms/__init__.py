"""What is done to images between the data set and the network.

The papers' own, as they are composed here; `mean` is a mean image, and photographs come as a list::

    LeNet-5 1998           Pad(2), LeNetDistortion(), LeNetScale()
    AlexNet 2012           Resize(256), CenterCrop(256), ToFloat(), SubtractMean(mean), RandomCrop(224),
                           RandomHorizontalFlip(), PCALighting()
      its test             Resize(256), CenterCrop(256), ToFloat(), SubtractMean(mean), TenCrop(224)
    VGG 2014               RandomResize(256, 513), RandomCrop(224), RandomHorizontalFlip(), ToFloat(),
                           SubtractMean(mean)
    GoogLeNet 2014         RandomResizedCrop(224), RandomHorizontalFlip(), ColorJitter(0.5, 0.5, 0.5), ToFloat(),
                           SubtractMean(mean)
      its test             ToFloat(), SubtractMean(mean), GoogLeNetCrops(224)
    ResNet 2015            RandomResize(256, 481), RandomCrop(224), RandomHorizontalFlip(), ToFloat(),
                           SubtractMean(mean)
    ResNet 2015 on CIFAR   RandomCrop(32, padding=4), RandomHorizontalFlip(), ToFloat(), SubtractMean(mean)

>>> import numpy as np
>>> photos = [np.zeros((3, 300, 400), "uint8"), np.zeros((3, 500, 333), "uint8")]
>>> vgg = Compose([RandomResize(256, 513), RandomCrop(224), RandomHorizontalFlip(), ToFloat()])
>>> batch = vgg(photos)
>>> batch.shape, batch.dtype
((2, 3, 224, 224), dtype('float32'))
"""

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
