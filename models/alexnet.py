"""AlexNet, which won ImageNet in 2012 and began the age of deep networks: as one knows it today, and as published."""

from __future__ import annotations

from minigrad import Tensor, concatenate, nn
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import AdaptiveAvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, Module, ReLU, Sequential


class AlexNet(Module):
    """AlexNet as PyTorch's users know it, (N, 3, H, W) -> logits (N, num_classes); 63x63 pixels are the least.

    From A. Krizhevsky: One weird trick for parallelizing convolutional neural networks, 2014, in the form that
    torchvision gave it (61,100,840 parameters). What differs from the paper of 2012, see `AlexNet2012`: fewer kernels,
    all of them on one GPU, no local response norm, dropout scaled while training.

    Args:
        num_classes: how many logits.
        dropout: how much is dropped before the first two fully connected layers.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.

    >>> import minigrad as mg
    >>> from minigrad import models
    >>> sum(p.size for p in models.alexnet(num_classes=10, in_channels=1).parameters())
    57029322
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3, width: float = 1.0):
        w = scaled(width)
        self.features = Sequential(
            #                                                         output at 224 | parameters
            Conv2d(in_channels, w(64), 11, stride=4, padding=2),  #  64 x 55 x 55 |     23,296
            ReLU(),
            MaxPool2d(3, 2),  #                                      64 x 27 x 27
            Conv2d(w(64), w(192), 5, padding=2),  #                 192 x 27 x 27 |    307,392
            ReLU(),
            MaxPool2d(3, 2),  #                                     192 x 13 x 13
            Conv2d(w(192), w(384), 3, padding=1),  #                384 x 13 x 13 |    663,936
            ReLU(),
            Conv2d(w(384), w(256), 3, padding=1),  #                256 x 13 x 13 |    884,992
            ReLU(),
            Conv2d(w(256), w(256), 3, padding=1),  #                256 x 13 x 13 |    590,080
            ReLU(),
            MaxPool2d(3, 2),  #                                     256 x  6 x  6
        )
        self.avgpool = AdaptiveAvgPool2d((6, 6))  #                 256 x  6 x  6
        self.classifier = Sequential(
            Dropout(dropout),
            Linear(w(256) * 6 * 6, w(4096)),  #                              4096 | 37,752,832
            ReLU(),
            Dropout(dropout),
            Linear(w(4096), w(4096)),  #                                     4096 | 16,781,312
            ReLU(),
            Linear(w(4096), num_classes),  #                          num_classes |  4,097,000
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@register
def alexnet(
    num_classes: int = 1000,
    dropout: float = 0.5,
    in_channels: int = 3,
    width: float = 1.0,
    weights: Path | None = None,
) -> AlexNet:
    """AlexNet as in torchvision, whose weights fit; see `AlexNet`.

    Args:
        num_classes, dropout, in_channels, width: see `AlexNet`.
        weights: a file to load, .pth or .safetensors; None draws fresh ones.
    """
    return load_weights(AlexNet(num_classes, dropout, in_channels, width), weights)


class GroupedResponseNorm(Module):
    """The paper's local response norm, for the channels of each GPU by themselves: the GPUs do not talk here."""

    def __init__(self, groups: int):
        self.groups = groups
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, form="paper")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), the same shape."""
        n, c, *sizes = x.shape
        return self.norm(x.reshape(n * self.groups, c // self.groups, *sizes)).reshape(x.shape)


ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")  # layers whose biases begin at 1, so that their ReLUs let something by


class AlexNet2012(Module):
    """AlexNet exactly as published, (N, 3, 224, 224) -> logits (N, num_classes); 60,965,224 parameters.

    From A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks, NIPS
    2012, section 3. The network was split over two GPUs: conv2, conv4 and conv5 see only the maps of their own one,
    which is what `groups=2` says. ReLU, then local response norm (k = 2, n = 5, alpha = 1e-4, beta = 0.75; section
    3.3), then overlapping pooling (3x3 at stride 2; section 3.4). Dropout does not scale while training, and halves the
    outputs at test time (section 4.2). Weights begin as N(0, 0.01^2), the biases of conv2, conv4, conv5, fc6 and fc7 as
    1, the others as 0 (section 5).

    What the paper leaves open or has otherwise: its 224x224 input gives 55x55 maps only with a border of 2 pixels; its
    local response norm sees the maps of its own GPU alone, as the two do not communicate there (`AlexNetTowers` would
    be another network otherwise).

    Args:
        num_classes: how many logits.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0):
        w = scaled(width)
        #                                                                            output | parameters
        self.conv1 = Conv2d(in_channels, w(96), 11, stride=4, padding=2)  #  96 x 55 x 55 |     34,944
        self.norm1 = GroupedResponseNorm(2)
        self.pool1 = MaxPool2d(3, 2)  #                                      96 x 27 x 27
        self.conv2 = Conv2d(w(96), w(256), 5, padding=2, groups=2)  #       256 x 27 x 27 |    307,456
        self.norm2 = GroupedResponseNorm(2)
        self.pool2 = MaxPool2d(3, 2)  #                                     256 x 13 x 13
        self.conv3 = Conv2d(w(256), w(384), 3, padding=1)  #                384 x 13 x 13 |    885,120
        self.conv4 = Conv2d(w(384), w(384), 3, padding=1, groups=2)  #      384 x 13 x 13 |    663,936
        self.conv5 = Conv2d(w(384), w(256), 3, padding=1, groups=2)  #      256 x 13 x 13 |    442,624
        self.pool5 = MaxPool2d(3, 2)  #                                     256 x  6 x  6
        self.fc6 = Linear(w(256) * 6 * 6, w(4096))  #                                4096 | 37,752,832
        self.drop6 = nn.UnscaledDropout(0.5)
        self.fc7 = Linear(w(4096), w(4096))  #                                       4096 | 16,781,312
        self.drop7 = nn.UnscaledDropout(0.5)
        self.fc8 = Linear(w(4096), num_classes)  #                            num_classes |  4,097,000
        nn.init.alexnet_(self, ones=ONES)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, 224, 224) -> logits (N, num_classes)."""
        x = self.pool1(self.norm1(self.conv1(x).relu()))
        x = self.pool2(self.norm2(self.conv2(x).relu()))
        x = self.conv4(self.conv3(x).relu()).relu()
        x = self.pool5(self.conv5(x).relu()).flatten(1)
        x = self.drop6(self.fc6(x).relu())
        x = self.drop7(self.fc7(x).relu())
        return self.fc8(x)


class Tower(Module):
    """What one of the two GPUs holds: half of the kernels of each layer. Its parts run between the transfers."""

    def __init__(self, num_classes: int, in_channels: int, width: float):
        w = scaled(width)
        #                                                                               output | input from
        self.conv1 = Conv2d(in_channels, w(48), 11, stride=4, padding=2)  #     48 x 55 x 55 |  the image
        self.conv2 = Conv2d(w(48), w(128), 5, padding=2)  #                    128 x 27 x 27 | this tower
        self.conv3 = Conv2d(w(256), w(192), 3, padding=1)  #                   192 x 13 x 13 |       both
        self.conv4 = Conv2d(w(192), w(192), 3, padding=1)  #                   192 x 13 x 13 | this tower
        self.conv5 = Conv2d(w(192), w(128), 3, padding=1)  #                   128 x 13 x 13 | this tower
        self.fc6 = Linear(w(256) * 6 * 6, w(2048))  #                                   2048 |       both
        self.fc7 = Linear(w(4096), w(2048))  #                                          2048 |       both
        self.fc8 = Linear(w(4096), num_classes)  #                          its half of them |       both
        self.norm = GroupedResponseNorm(1)
        self.pool = MaxPool2d(3, 2)
        self.drop = nn.UnscaledDropout(0.5)
        nn.init.alexnet_(self, ones=ONES)

    def first(self, x: Tensor) -> Tensor:
        """The image, up to where conv3 needs both towers: (N, 128, 13, 13)."""
        x = self.pool(self.norm(self.conv1(x).relu()))
        return self.pool(self.norm(self.conv2(x).relu()))

    def second(self, both: Tensor) -> Tensor:
        """(N, 256, 13, 13) of both towers, up to the first fully connected layer: (N, 128, 6, 6)."""
        return self.pool(self.conv5(self.conv4(self.conv3(both).relu()).relu()).relu())

    def dense(self, layer: Linear, both: Tensor) -> Tensor:
        """A hidden fully connected layer: (N, features of both) -> (N, 2048)."""
        return self.drop(layer(both).relu())


class AlexNetTowers(Module):
    """AlexNet as it ran on two GPUs: two towers with half of the kernels each, equal to `AlexNet2012` and its groups.

    The towers exchange what they have computed at conv3 and at the three fully connected layers, through `transfer` and
    nowhere else (section 3.5 and figure 2 of the paper). Here both live on one device, so that a transfer only joins
    the two halves.

    Args:
        num_classes: how many logits, an even number: each tower gives half of them.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0):
        if num_classes % 2:
            raise ValueError(f"num_classes must be even, each tower gives half of them; got {num_classes}")
        self.towers = nn.ModuleList([Tower(num_classes // 2, in_channels, width) for _ in range(2)])

    def transfer(self, halves: list[Tensor]) -> Tensor:
        """What both towers get to see: the channels, or features, of the one after those of the other."""
        return concatenate(halves, axis=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, 224, 224) -> logits (N, num_classes)."""
        towers: list[Tower] = list(self.towers)  # type: ignore[arg-type]
        both = self.transfer([tower.first(x) for tower in towers])
        both = self.transfer([tower.second(both) for tower in towers]).flatten(1)
        both = self.transfer([tower.dense(tower.fc6, both) for tower in towers])
        both = self.transfer([tower.dense(tower.fc7, both) for tower in towers])
        return concatenate([tower.fc8(both) for tower in towers], axis=1)

    def load_single(self, net: AlexNet2012) -> AlexNetTowers:
        """Take the weights of the network in one piece: each tower gets its half of the kernels of every layer."""
        state = {}
        for name, value in net.state_dict().items():
            half = value.shape[0] // 2
            for i in range(2):
                state[f"towers.{i}.{name}"] = value[i * half : (i + 1) * half]
        self.load_state_dict(state)
        return self


@register
def alexnet_2012(
    num_classes: int = 1000,
    in_channels: int = 3,
    width: float = 1.0,
    towers: bool = False,
    weights: Path | None = None,
) -> AlexNet2012 | AlexNetTowers:
    """AlexNet as published, in one piece with grouped convolutions, or as two towers; see `AlexNet2012`.

    Args:
        num_classes, in_channels, width: see `AlexNet2012`.
        towers: build the two halves that ran on two GPUs, `AlexNetTowers`.
        weights: a file to load; None draws fresh ones.
    """
    return load_weights((AlexNetTowers if towers else AlexNet2012)(num_classes, in_channels, width), weights)
