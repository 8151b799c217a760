"""What is to be known of the models before they are built: their papers, their sizes, the images they take."""

from __future__ import annotations

from typing import NamedTuple

from minigrad import models


class Entry(NamedTuple):
    """What is to be known of a model.

    Attributes:
        parameters: how many, with its own defaults.
        size: the side in pixels of the images it was made for.
        channels: of the images; a model with the option `in_channels` takes others too.
        paper: where it was published.
    """

    parameters: int
    size: int
    channels: int
    paper: str


LECUN_1989 = "LeCun et al.: Backpropagation Applied to Handwritten Zip Code Recognition, Neural Computation 1989"
LECUN_1998 = "LeCun et al.: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998"
KRIZHEVSKY_2012 = "Krizhevsky et al.: ImageNet Classification with Deep CNNs, NIPS 2012"
KRIZHEVSKY_2014 = "Krizhevsky: One Weird Trick for Parallelizing CNNs, arXiv 2014"
LIN = "Lin et al.: Network in Network, ICLR 2014"
SIMONYAN = "Simonyan, Zisserman: Very Deep Convolutional Networks, ICLR 2015"
SZEGEDY = "Szegedy et al.: Going Deeper with Convolutions, CVPR 2015"
HE_RESNET = "He et al.: Deep Residual Learning, CVPR 2016"
HE_V2 = "He et al.: Identity Mappings in Deep Residual Networks, ECCV 2016"
HUANG = "Huang et al.: Densely Connected Convolutional Networks, CVPR 2017"
ZAGORUYKO = "Zagoruyko, Komodakis: Wide Residual Networks, BMVC 2016"
XIE = "Xie et al.: Aggregated Residual Transformations, CVPR 2017"

ENTRIES = {
    "lecun1989": Entry(9_760, 16, 1, LECUN_1989),
    "lenet5": Entry(61_706, 28, 1, LECUN_1998),
    "lenet5_1998": Entry(60_000, 32, 1, LECUN_1998),
    "alexnet": Entry(61_100_840, 224, 3, KRIZHEVSKY_2014),
    "alexnet_2012": Entry(60_965_224, 224, 3, KRIZHEVSKY_2012),
    "nin": Entry(7_439_608, 224, 3, LIN),
    "vgg11": Entry(132_863_336, 224, 3, SIMONYAN),
    "vgg11_bn": Entry(132_868_840, 224, 3, SIMONYAN),
    "vgg11_lrn": Entry(132_863_336, 224, 3, SIMONYAN),
    "vgg13": Entry(133_047_848, 224, 3, SIMONYAN),
    "vgg13_bn": Entry(133_053_736, 224, 3, SIMONYAN),
    "vgg16": Entry(138_357_544, 224, 3, SIMONYAN),
    "vgg16_bn": Entry(138_365_992, 224, 3, SIMONYAN),
    "vgg16_c": Entry(133_638_952, 224, 3, SIMONYAN),
    "vgg16_c_bn": Entry(133_647_400, 224, 3, SIMONYAN),
    "vgg19": Entry(143_667_240, 224, 3, SIMONYAN),
    "vgg19_bn": Entry(143_678_248, 224, 3, SIMONYAN),
    "googlenet": Entry(13_004_888, 224, 3, SZEGEDY),
    "googlenet_2014": Entry(13_378_280, 224, 3, SZEGEDY),
    "plain18": Entry(11_515_688, 224, 3, HE_RESNET),
    "plain34": Entry(21_623_848, 224, 3, HE_RESNET),
    "resnet18": Entry(11_689_512, 224, 3, HE_RESNET),
    "resnet34": Entry(21_797_672, 224, 3, HE_RESNET),
    "resnet50": Entry(25_557_032, 224, 3, HE_RESNET),
    "resnet50_v1": Entry(25_557_032, 224, 3, HE_RESNET),
    "resnet101": Entry(44_549_160, 224, 3, HE_RESNET),
    "resnet152": Entry(60_192_808, 224, 3, HE_RESNET),
    "resnet20_cifar": Entry(269_722, 32, 3, HE_RESNET),
    "resnet32_cifar": Entry(464_154, 32, 3, HE_RESNET),
    "resnet44_cifar": Entry(658_586, 32, 3, HE_RESNET),
    "resnet56_cifar": Entry(853_018, 32, 3, HE_RESNET),
    "resnet110_cifar": Entry(1_727_962, 32, 3, HE_RESNET),
    "resnet1202_cifar": Entry(19_421_274, 32, 3, HE_RESNET),
    "resnet18_v2": Entry(11_687_848, 224, 3, HE_V2),
    "resnet34_v2": Entry(21_796_008, 224, 3, HE_V2),
    "resnet50_v2": Entry(25_549_480, 224, 3, HE_V2),
    "resnet101_v2": Entry(44_541_608, 224, 3, HE_V2),
    "resnet152_v2": Entry(60_185_256, 224, 3, HE_V2),
    "wide_resnet50_2": Entry(68_883_240, 224, 3, ZAGORUYKO),
    "wide_resnet101_2": Entry(126_886_696, 224, 3, ZAGORUYKO),
    "resnext50_32x4d": Entry(25_028_904, 224, 3, XIE),
    "resnext101_32x8d": Entry(88_791_336, 224, 3, XIE),
    "densenet121": Entry(7_978_856, 224, 3, HUANG),
    "densenet161": Entry(28_681_000, 224, 3, HUANG),
    "densenet169": Entry(14_149_480, 224, 3, HUANG),
    "densenet201": Entry(20_013_928, 224, 3, HUANG),
}


def entry(name: str) -> Entry:
    """What is to be known of a model.

    Raises:
        ValueError: there is none of that name; suggests the nearest.

    >>> entry("resnet20_cifar").size
    32
    """
    models.registry.options(name)
    return ENTRIES[name]
