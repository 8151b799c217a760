"""ResNet v2: batch norm and ReLU come before the convolutions, and nothing stands in the way of the identity."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, nn
from minigrad.checks import one_of
from minigrad.models.registry import register
from minigrad.models.resnet import DEPTHS, BasicBlock
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, Sequential


class PreActivationBlock(Module):
    """BN, ReLU and a convolution, twice or three times, and the input added (figure 1b and section 4.1).

    (N, inputs, H, W) -> (N, outputs, H/stride, W/stride). Where the shape changes, and in the first block of the
    network, the first BN and ReLU come before both ways, and a 1x1 convolution is the shortcut (appendix).

    Args:
        inputs, planes: channels that come in, and of the 3x3 convolution.
        stride: of the (first) 3x3 convolution.
        bottleneck: three convolutions, the last with four times as many channels, or two of 3x3.
        first: whether this is the first block of the network.
    """

    def __init__(self, inputs: int, planes: int, stride: int, bottleneck: bool, first: bool = False):
        outputs = 4 * planes if bottleneck else planes
        # kernel, stride and channels of each convolution
        if bottleneck:
            layers = [(1, 1, planes), (3, stride, planes), (1, 1, outputs)]
        else:
            layers = [(3, stride, planes), (3, 1, outputs)]
        self.shared = first or stride != 1 or inputs != outputs
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        for kernel, step, channels in layers:
            self.norms.append(BatchNorm2d(inputs))
            self.convs.append(Conv2d(inputs, channels, kernel, stride=step, padding=kernel // 2, bias=False))
            inputs = channels

    def forward(self, x: Tensor) -> Tensor:
        """The shape of the output of the shortcut."""
        out = self.norms[0](x, activation="relu")
        around = out if self.shared else x
        around = around if self.downsample is None else self.downsample(around)
        for i, conv in enumerate(self.convs):
            out = conv(out if i == 0 else self.norms[i](out, activation="relu"))
        return out + around


class ResNetV2(Module):
    """A pre-activation ResNet for images as in ImageNet, (N, 3, H, W) -> logits (N, num_classes).

    From K. He, X. Zhang, S. Ren, J. Sun: Identity Mappings in Deep Residual Networks, ECCV 2016, section 4.1 and the
    appendix. Depths, stages and stem are those of `ResNet`; the paper itself gives results on ImageNet for 152 layers
    and more.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: how many logits.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
    """

    def __init__(self, depth: int, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0):
        one_of("depth", depth, DEPTHS)
        block, units = DEPTHS[depth]
        base = scaled(width)(64)
        bottleneck = block is not BasicBlock
        self.conv1 = Conv2d(in_channels, base, 7, stride=2, padding=3, bias=False)  # 64 x 112 x 112 at 224
        self.bn1 = BatchNorm2d(base)
        self.maxpool = MaxPool2d(3, 2, padding=1)  #                                         64 x  56 x  56
        inputs, stages = base, []
        for stage, count in enumerate(units):
            blocks: list[Module] = []
            for i in range(count):
                stride, first = (2 if stage and i == 0 else 1), stage == i == 0
                blocks.append(PreActivationBlock(inputs, base * 2**stage, stride, bottleneck, first))
                inputs = base * 2**stage * block.expansion
            stages.append(Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.bn2 = BatchNorm2d(inputs)  # the last activation, after the last addition
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes)."""
        x = self.maxpool(self.bn1(self.conv1(x), activation="relu"))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(self.bn2(x, activation="relu")).flatten(1))


def _resnet_v2(depth: int, weights: Path | None, options: dict) -> ResNetV2:
    return load_weights(ResNetV2(depth, **options), weights)


@register
def resnet18_v2(weights: Path | None = None, **options: Any) -> ResNetV2:
    """Pre-activation ResNet-18; `options` are those of `ResNetV2`."""
    return _resnet_v2(18, weights, options)


@register
def resnet34_v2(weights: Path | None = None, **options: Any) -> ResNetV2:
    """Pre-activation ResNet-34; `options` are those of `ResNetV2`."""
    return _resnet_v2(34, weights, options)


@register
def resnet50_v2(weights: Path | None = None, **options: Any) -> ResNetV2:
    """Pre-activation ResNet-50; `options` are those of `ResNetV2`."""
    return _resnet_v2(50, weights, options)


@register
def resnet101_v2(weights: Path | None = None, **options: Any) -> ResNetV2:
    """Pre-activation ResNet-101; `options` are those of `ResNetV2`."""
    return _resnet_v2(101, weights, options)


@register
def resnet152_v2(weights: Path | None = None, **options: Any) -> ResNetV2:
    """Pre-activation ResNet-152; `options` are those of `ResNetV2`."""
    return _resnet_v2(152, weights, options)
