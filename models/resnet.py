"""ResNet: blocks that learn what to add to their input, so that a hundred layers and more can be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from minigrad import Tensor, nn, pad
from minigrad.checks import one_of
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Identity, Linear, MaxPool2d, Module, Sequential

Norm = Callable[[int], Module]
Shortcut = Literal["A", "B", "C", "none"]
Stem = Literal["imagenet", "cifar"]
Version = Literal["v1", "v1.5"]


class NoNorm(Module):
    """In the place of a batch norm, nothing; but the residual and the activation that come with it."""

    def __init__(self, num_features: int):
        self.num_features = num_features

    def forward(self, x: Tensor, residual: Tensor | None = None, activation: str | None = None) -> Tensor:
        """The same shape."""
        x = x if residual is None else x + residual
        return x if activation is None else x.relu()


class PadShortcut(Module):
    """Option A: every stride-th pixel, and maps of zeros for the channels that are missing; nothing to learn.

    Half of the new channels come before the old ones and half after them. The paper does not say where; the weights
    that people share for CIFAR-10 expect it so.
    """

    def __init__(self, stride: int, more: int):
        self.stride = stride
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + more, H/stride, W/stride)."""
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.more // 2
        return pad(x, ((0, 0), (before, self.more - before), (0, 0), (0, 0)))

    def extra_repr(self) -> str:
        """The stride and the channels."""
        return f"stride={self.stride}, more={self.more}"


def shortcut_for(kind: Shortcut, inputs: int, outputs: int, stride: int, norm: Norm) -> Module | None:
    """How a block's input gets to its output (section 3.3, and options A, B and C of section 4.1); None: as it is.

    A pads with zeros where the shape changes, B projects there by a 1x1 convolution, C projects everywhere.
    """
    changes = stride != 1 or inputs != outputs
    if kind == "C" or (kind == "B" and changes):
        return Sequential(Conv2d(inputs, outputs, 1, stride=stride, bias=norm is NoNorm), norm(outputs))
    return PadShortcut(stride, outputs - inputs) if kind == "A" and changes else None


class Block(Module):
    """What both kinds of blocks share: the shortcut, and its absence in a plain network. Abstract."""

    expansion = 1
    downsample: Module | None
    residual: bool

    def around(self, x: Tensor) -> Tensor | None:
        """What is added to the output of the block."""
        if not self.residual:
            return None
        return x if self.downsample is None else self.downsample(x)


class BasicBlock(Block):
    """Two 3x3 convolutions (figure 5, left): (N, inputs, H, W) -> (N, planes, H/stride, W/stride)."""

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        norm: Norm = BatchNorm2d,
        version: Version = "v1.5",
        groups: int = 1,
        width_per_group: int = 64,
    ):
        if groups != 1 or width_per_group != 64:
            raise ValueError(
                f"a block of two 3x3 convolutions has groups=1 and width_per_group=64, got {groups} and "
                f"{width_per_group}: depths from 50 on have bottlenecks, which take others"
            )
        bias = norm is NoNorm
        self.conv1 = Conv2d(inputs, planes, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = norm(planes)
        self.conv2 = Conv2d(planes, planes, 3, padding=1, bias=bias)
        self.bn2 = norm(planes)
        self.residual = shortcut != "none"
        self.downsample = shortcut_for(shortcut, inputs, planes, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of the output of the shortcut."""
        out = self.bn1(self.conv1(x), activation="relu")
        return self.bn2(self.conv2(out), residual=self.around(x), activation="relu")

    def last_norm(self) -> Module:
        """The batch norm before the addition: where its weights are 0, the block is the identity for x >= 0."""
        return self.bn2


class Bottleneck(Block):
    """1x1 to fewer channels, 3x3, 1x1 to four times as many (figure 5, right).

    (N, inputs, H, W) -> (N, 4 * planes, H/stride, W/stride). The paper (v1) has the stride in the first convolution,
    torchvision (v1.5) in the 3x3 one, which sees all pixels then. `groups` and `width_per_group` make it a block of
    ResNeXt (S. Xie et al., 2017) or of a wide ResNet (S. Zagoruyko, N. Komodakis, 2016).
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        norm: Norm = BatchNorm2d,
        version: Version = "v1.5",
        groups: int = 1,
        width_per_group: int = 64,
    ):
        bias, width, outputs = norm is NoNorm, max(1, planes * width_per_group // 64) * groups, planes * self.expansion
        first, second = (stride, 1) if version == "v1" else (1, stride)
        self.conv1 = Conv2d(inputs, width, 1, stride=first, bias=bias)
        self.bn1 = norm(width)
        self.conv2 = Conv2d(width, width, 3, stride=second, padding=1, groups=groups, bias=bias)
        self.bn2 = norm(width)
        self.conv3 = Conv2d(width, outputs, 1, bias=bias)
        self.bn3 = norm(outputs)
        self.residual = shortcut != "none"
        self.downsample = shortcut_for(shortcut, inputs, outputs, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of the output of the shortcut."""
        out = self.bn1(self.conv1(x), activation="relu")
        out = self.bn2(self.conv2(out), activation="relu")
        return self.bn3(self.conv3(out), residual=self.around(x), activation="relu")

    def last_norm(self) -> Module:
        """The batch norm before the addition: where its weights are 0, the block is the identity for x >= 0."""
        return self.bn3


# Table 1 of the paper: the kind of block, and how many there are in each of the four stages.
#   output at 224:  stem 64 x 112², pool 56², stages 64 x 56², 128 x 28², 256 x 14², 512 x 7² (times the expansion)
DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(Module):
    """A ResNet for images as in ImageNet, (N, 3, H, W) -> logits (N, num_classes).

    From K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016, table 1. Without
    further options it is torchvision's; `version="v1"` has the stride where the paper has it.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: how many logits.
        version: "v1.5" or "v1", see `Bottleneck`.
        shortcut: "A", "B" or "C", see `shortcut_for`; "none" leaves them out: the plain networks of section 4.1.
        batch_norm: without, convolutions have biases instead; then only the shortcuts keep the gradient from vanishing.
        groups, width_per_group: of the 3x3 convolutions of bottlenecks.
        zero_init_residual: whether the last batch norm of each block begins with weights of 0, so that the block begins
            as the identity.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
        stem: "imagenet" makes the images four times as small before the first block; "cifar", for images of about 32x32
            pixels, is a 3x3 convolution that keeps their size. Many people train it on CIFAR-10, the paper does not.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        *,
        version: Version = "v1.5",
        shortcut: Shortcut = "B",
        batch_norm: bool = True,
        groups: int = 1,
        width_per_group: int = 64,
        zero_init_residual: bool = False,
        in_channels: int = 3,
        width: float = 1.0,
        stem: Stem = "imagenet",
    ):
        one_of("depth", depth, DEPTHS)
        one_of("version", version, ("v1", "v1.5"))
        one_of("shortcut", shortcut, ("A", "B", "C", "none"))
        one_of("stem", stem, ("imagenet", "cifar"))
        if zero_init_residual and not batch_norm:
            raise ValueError("zero_init_residual sets weights of batch norms, but batch_norm is False")
        block, units = DEPTHS[depth]
        base = scaled(width)(64)
        norm: Norm = BatchNorm2d if batch_norm else NoNorm
        options: dict[str, Any] = {"shortcut": shortcut, "norm": norm, "version": version}
        options |= {"groups": groups, "width_per_group": width_per_group}
        small = stem == "cifar"
        size, stride = (3, 1) if small else (7, 2)
        self.conv1 = Conv2d(in_channels, base, size, stride, size // 2, bias=not batch_norm)  # 64 x 112 x 112
        self.bn1 = norm(base)
        self.maxpool = Identity() if small else MaxPool2d(3, 2, padding=1)  #                   64 x  56 x  56
        inputs = base
        stages = []
        for stage, count in enumerate(units):
            planes = base * 2**stage
            blocks: list[Module] = []
            for i in range(count):
                blocks.append(block(inputs, planes, 2 if stage and i == 0 else 1, **options))
                inputs = planes * block.expansion
            stages.append(Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(inputs, num_classes)
        if batch_norm:
            self.reset_parameters(zero_init_residual)

    def reset_parameters(self, zero_init_residual: bool = False) -> None:
        """Draw new weights for the convolutions: N(0, 2/fan_out), after the paper's [13] as torchvision reads it."""
        for module in self.modules():
            if isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                nn.init.zeros_(module.last_norm().weight)  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes)."""
        x = self.maxpool(self.bn1(self.conv1(x), activation="relu"))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _resnet(depth: int, weights: Path | None, options: dict[str, Any]) -> ResNet:
    return load_weights(ResNet(depth, **options), weights)


@register
def resnet18(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-18, as in torchvision; `options` are those of `ResNet`.

    >>> from minigrad import models
    >>> sum(p.size for p in models.resnet18().parameters())
    11689512
    """
    return _resnet(18, weights, options)


@register
def resnet34(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-34, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(34, weights, options)


@register
def resnet50(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-50, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(50, weights, options)


@register
def resnet101(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-101, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(101, weights, options)


@register
def resnet152(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-152, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(152, weights, options)


@register
def resnet50_v1(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-50 with the stride where the paper has it; `options` are those of `ResNet`."""
    return _resnet(50, weights, {**options, "version": "v1"})


@register
def plain18(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-18 without its shortcuts (section 4.1); `options` are those of `ResNet`."""
    return _resnet(18, weights, {**options, "shortcut": "none"})


@register
def plain34(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-34 without its shortcuts, which is worse than plain18 (section 4.1); `options` are those of `ResNet`."""
    return _resnet(34, weights, {**options, "shortcut": "none"})


@register
def resnext50_32x4d(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNeXt-50 of 32 groups of 4 channels, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(50, weights, {**options, "groups": 32, "width_per_group": 4})


@register
def resnext101_32x8d(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNeXt-101 of 32 groups of 8 channels, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(101, weights, {**options, "groups": 32, "width_per_group": 8})


@register
def wide_resnet50_2(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-50 with twice the channels inside of its blocks, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(50, weights, {**options, "width_per_group": 128})


@register
def wide_resnet101_2(weights: Path | None = None, **options: Any) -> ResNet:
    """ResNet-101 with twice the channels inside of its blocks, as in torchvision; `options` are those of `ResNet`."""
    return _resnet(101, weights, {**options, "width_per_group": 128})
