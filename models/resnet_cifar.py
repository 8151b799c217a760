"""The ResNets of the paper's section 4.2, for images of 32x32 pixels: 20 to 1202 layers, thin ones."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, nn
from minigrad.models.registry import register
from minigrad.models.resnet import BasicBlock, Shortcut
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import BatchNorm2d, Conv2d, GlobalAvgPool, Linear, Module, Sequential


class ResNetCifar(Module):
    """A ResNet of 6n + 2 layers for CIFAR-10, (N, 3, 32, 32) -> logits (N, num_classes).

    From K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2. The keys
    of the state dict are those of the weights that people share for it: `linear`, and shortcuts of option A.

    Args:
        depth: the number of layers with weights, 6n + 2: 20, 32, 44, 56, 110 and 1202 in the paper.
        num_classes: how many logits.
        shortcut: "A" as in the paper, "B", "C" or "none"; see `minigrad.models.resnet.shortcut_for`.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.

    Raises:
        ValueError: a depth that is not 6n + 2.
    """

    def __init__(
        self, depth: int, num_classes: int = 10, shortcut: Shortcut = "A", in_channels: int = 3, width: float = 1.0
    ):
        base = scaled(width)(16)
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 with n of at least 1, as 20, 32 or 110; got {depth}")
        self.conv1 = Conv2d(in_channels, base, 3, padding=1, bias=False)  # 16 x 32 x 32
        self.bn1 = BatchNorm2d(base)
        inputs, stages = base, []
        for stage, planes in enumerate((base, 2 * base, 4 * base)):  # 16 x 32², 32 x 16², 64 x 8²
            blocks: list[Module] = []
            for i in range((depth - 2) // 6):
                blocks.append(BasicBlock(inputs, planes, 2 if stage and i == 0 else 1, shortcut))
                inputs = planes
            stages.append(Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.avgpool = GlobalAvgPool()  # 64 x 1 x 1
        self.linear = Linear(4 * base, num_classes)
        for module in self.modules():
            if isinstance(module, (Conv2d, Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, 32, 32) -> logits (N, num_classes)."""
        x = self.bn1(self.conv1(x), activation="relu")
        return self.linear(self.avgpool(self.layer3(self.layer2(self.layer1(x)))).flatten(1))


def _resnet_cifar(depth: int, weights: Path | None, options: dict) -> ResNetCifar:
    return load_weights(ResNetCifar(depth, **options), weights)


@register
def resnet20_cifar(weights: Path | None = None, **options: Any) -> ResNetCifar:
    """ResNet-20 for CIFAR-10; `options` are those of `ResNetCifar`.

    >>> from minigrad import models
    >>> sum(p.size for p in models.resnet20_cifar().parameters())
    269722
    """
    return _resnet_cifar(20, weights, options)


@register
def resnet32_cifar(weights: Path | None = None, **options: Any) -> ResNetCifar:
    """ResNet-32 for CIFAR-10; `options` are those of `ResNetCifar`."""
    return _resnet_cifar(32, weights, options)


@register
def resnet44_cifar(weights: Path | None = None, **options: Any) -> ResNetCifar:
    """ResNet-44 for CIFAR-10; `options` are those of `ResNetCifar`."""
    return _resnet_cifar(44, weights, options)


@register
def resnet56_cifar(weights: Path | None = None, **options: Any) -> ResNetCifar:
    """ResNet-56 for CIFAR-10; `options` are those of `ResNetCifar`."""
    return _resnet_cifar(56, weights, options)


@register
def resnet110_cifar(weights: Path | None = None, **options: Any) -> ResNetCifar:
    """ResNet-110 for CIFAR-10, which the paper warms up at a learning rate of 0.01; `options`: `ResNetCifar`."""
    return _resnet_cifar(110, weights, options)


@register
def resnet1202_cifar(weights: Path | None = None, **options: Any) -> ResNetCifar:
    """ResNet-1202 for CIFAR-10, which overfits; `options` are those of `ResNetCifar`."""
    return _resnet_cifar(1202, weights, options)
