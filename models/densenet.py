"""DenseNet: every layer sees the maps of all layers before it."""

from __future__ import annotations

import re
from typing import Any

from minigrad import Tensor, concatenate, nn
from minigrad.checks import one_of
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import AvgPool2d, BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d, Module, ReLU, Sequential

# Table 1 of the paper: growth rate, layers of the four blocks, channels of the stem.
#   output at 224: stem 112², pool 56², blocks 56², 28², 14² and 7²
DEPTHS: dict[int, tuple[int, tuple[int, int, int, int], int]] = {
    121: (32, (6, 12, 24, 16), 64),
    161: (48, (6, 12, 36, 24), 96),
    169: (32, (6, 12, 32, 32), 64),
    201: (32, (6, 12, 48, 32), 64),
}


class DenseLayer(Module):
    """Batch norm, ReLU and a 1x1 convolution to 4 growth rates; again and a 3x3 convolution to one (section 3)."""

    def __init__(self, inputs: int, growth: int, dropout: float):
        self.norm1 = BatchNorm2d(inputs)
        self.conv1 = Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = BatchNorm2d(4 * growth)
        self.conv2 = Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.drop = Dropout(dropout) if dropout else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, growth, H, W)."""
        x = self.conv1(self.norm1(x, activation="relu"))
        x = self.conv2(self.norm2(x, activation="relu"))
        return x if self.drop is None else self.drop(x)


class DenseBlock(Module):
    """Layers each of which sees the input and all that those before it made."""

    def __init__(self, layers: int, inputs: int, growth: int, dropout: float):
        for i in range(layers):
            setattr(self, f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth, dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, inputs + layers * growth, H, W)."""
        for layer in self.children():
            x = concatenate([x, layer(x)], axis=1)
        return x


def transition(inputs: int) -> Sequential:
    """Half of the channels and half of the pixels along each axis: compression of 0.5 (section 3)."""
    halved = Conv2d(inputs, inputs // 2, 1, bias=False)
    return Sequential({"norm": BatchNorm2d(inputs), "relu": ReLU(), "conv": halved, "pool": AvgPool2d(2, 2)})


class DenseNet(Module):
    """A DenseNet-BC, (N, 3, H, W) -> logits (N, num_classes), as in torchvision.

    From G. Huang, Z. Liu, L. van der Maaten, K. Weinberger: Densely Connected Convolutional Networks, CVPR 2017,
    section 3 and table 1.

    Args:
        depth: 121, 161, 169 or 201.
        num_classes: how many logits.
        dropout: how much each layer drops of its output; 0 on ImageNet.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
    """

    def __init__(
        self, depth: int, num_classes: int = 1000, dropout: float = 0.0, in_channels: int = 3, width: float = 1.0
    ):
        one_of("depth", depth, DEPTHS)
        growth, blocks, channels = DEPTHS[depth]
        growth, channels = scaled(width)(growth), scaled(width)(channels)
        layers: dict[str, Module] = {
            "conv0": Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False),
            "norm0": BatchNorm2d(channels),
            "relu0": ReLU(),
            "pool0": MaxPool2d(3, 2, padding=1),
        }
        for i, n in enumerate(blocks, start=1):
            layers[f"denseblock{i}"] = DenseBlock(n, channels, growth, dropout)
            channels += n * growth
            if i < len(blocks):
                layers[f"transition{i}"] = transition(channels)
                channels //= 2
        layers["norm5"] = BatchNorm2d(channels)
        self.features = Sequential(layers)
        self.classifier = Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight)
        if self.classifier.bias is not None:
            nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes)."""
        x = self.features(x).relu()
        return self.classifier(x.mean(axis=tuple(range(2, x.ndim))))


def _densenet(depth: int, weights: Path | None, options: dict) -> DenseNet:
    # Files from before 2018 name the layers of a dense layer "norm.1" and "conv.2".
    renamed = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
    return load_weights(DenseNet(depth, **options), weights, lambda key: renamed.sub(r"\1\2.", key))


@register
def densenet121(weights: Path | None = None, **options: Any) -> DenseNet:
    """DenseNet-121, as in torchvision; `options` are those of `DenseNet`.

    >>> from minigrad import models
    >>> sum(p.size for p in models.densenet121().parameters())
    7978856
    """
    return _densenet(121, weights, options)


@register
def densenet161(weights: Path | None = None, **options: Any) -> DenseNet:
    """DenseNet-161, as in torchvision; `options` are those of `DenseNet`."""
    return _densenet(161, weights, options)


@register
def densenet169(weights: Path | None = None, **options: Any) -> DenseNet:
    """DenseNet-169, as in torchvision; `options` are those of `DenseNet`."""
    return _densenet(169, weights, options)


@register
def densenet201(weights: Path | None = None, **options: Any) -> DenseNet:
    """DenseNet-201, as in torchvision; `options` are those of `DenseNet`."""
    return _densenet(201, weights, options)
