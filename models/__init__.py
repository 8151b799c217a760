"""The historical convolutional networks."""

if __name__ != "minigrad.models":
    raise ImportError(
        f"this folder is the package minigrad.models; imported as {__name__!r} it would be a second copy: use "
        f"`from minigrad import models`"
    )

from minigrad.models.alexnet import AlexNet, AlexNet2012, AlexNetTowers, alexnet, alexnet_2012
from minigrad.models.densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from minigrad.models.googlenet import GoogLeNet, googlenet, googlenet_2014
from minigrad.models.lecun_1989 import LeCun1989, lecun1989
from minigrad.models.lenet import LeNet5, lenet5
from minigrad.models.lenet_1998 import LeNet5_1998, lenet5_1998
from minigrad.models.nin import NiN, nin
from minigrad.models.pattern import convnet, from_pattern, to_pattern
from minigrad.models.registry import get, names
from minigrad.models.resnet import (
    ResNet,
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from minigrad.models.resnet_cifar import (
    ResNetCifar,
    resnet20_cifar,
    resnet32_cifar,
    resnet44_cifar,
    resnet56_cifar,
    resnet110_cifar,
    resnet1202_cifar,
)
from minigrad.models.resnet_v2 import (
    ResNetV2,
    resnet18_v2,
    resnet34_v2,
    resnet50_v2,
    resnet101_v2,
    resnet152_v2,
)
from minigrad.models.summary import Summary, smallest_input, summary
from minigrad.models.vgg import VGG, vgg11, vgg11_lrn, vgg13, vgg16, vgg16_c, vgg19

__all__ = [
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "AlexNetTowers",
    "DenseNet",
    "GoogLeNet",
    "LeCun1989",
    "LeNet5",
    "LeNet5_1998",
    "NiN",
    "ResNet",
    "ResNetCifar",
    "ResNetV2",
    "Summary",
    "alexnet",
    "alexnet_2012",
    "convnet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "from_pattern",
    "get",
    "googlenet",
    "googlenet_2014",
    "lecun1989",
    "lenet5",
    "lenet5_1998",
    "names",
    "nin",
    "plain18",
    "plain34",
    "resnet18",
    "resnet18_v2",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet34",
    "resnet34_v2",
    "resnet44_cifar",
    "resnet50",
    "resnet50_v1",
    "resnet50_v2",
    "resnet56_cifar",
    "resnet101",
    "resnet101_v2",
    "resnet110_cifar",
    "resnet152",
    "resnet152_v2",
    "resnet1202_cifar",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "smallest_input",
    "summary",
    "to_pattern",
    "vgg11",
    "vgg11_lrn",
    "vgg13",
    "vgg16",
    "vgg16_c",
    "vgg19",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
