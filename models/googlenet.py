"""GoogLeNet: kernels of several sizes side by side, in a network 22 layers deep with 7 million parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad import Tensor, concatenate, nn, stack
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    Sequential,
)

# Table 1 of the paper: for each inception module the channels of its branches.
#   input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection      output at 224
INCEPTIONS: dict[str, tuple[int, ...]] = {
    "3a": (192, 64, 96, 128, 16, 32, 32),  #                            256 x 28 x 28
    "3b": (256, 128, 128, 192, 32, 96, 64),  #                          480 x 28 x 28
    "4a": (480, 192, 96, 208, 16, 48, 64),  #                           512 x 14 x 14
    "4b": (512, 160, 112, 224, 24, 64, 64),  #                          512 x 14 x 14
    "4c": (512, 128, 128, 256, 24, 64, 64),  #                          512 x 14 x 14
    "4d": (512, 112, 144, 288, 32, 64, 64),  #                          528 x 14 x 14
    "4e": (528, 256, 160, 320, 32, 128, 128),  #                        832 x 14 x 14
    "5a": (832, 256, 160, 320, 32, 128, 128),  #                        832 x  7 x  7
    "5b": (832, 384, 192, 384, 48, 128, 128),  #                       1024 x  7 x  7
}


class Outputs(NamedTuple):
    """What a GoogLeNet with auxiliary heads gives while training; their losses count 0.3 each (section 5)."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class ConvUnit(Module):
    """A convolution and a ReLU: with a batch norm between them, or with a bias as in the paper."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, batch_norm: bool = True):
        self.conv = Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=not batch_norm)
        self.bn = BatchNorm2d(outputs, eps=0.001) if batch_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        x = self.conv(x)
        return x.relu() if self.bn is None else self.bn(x, activation="relu")


class Inception(Module):
    """Kernels of 1x1, 3x3 and 5x5 and a pooling over the same input, their outputs side by side (figure 2b).

    A 1x1 convolution before the large kernels keeps their number of inputs small. With batch norm it is torchvision's
    module, whose "5x5" kernels are 3x3.
    """

    def __init__(self, channels: tuple[int, ...], batch_norm: bool = True):
        inputs, one, reduce3, three, reduce5, five, pooled = channels

        def unit(a: int, b: int, kernel: int) -> ConvUnit:
            return ConvUnit(a, b, kernel, batch_norm=batch_norm)

        self.branch1 = unit(inputs, one, 1)
        self.branch2 = Sequential(unit(inputs, reduce3, 1), unit(reduce3, three, 3))
        self.branch3 = Sequential(unit(inputs, reduce5, 1), unit(reduce5, five, 3 if batch_norm else 5))
        self.branch4 = Sequential(MaxPool2d(3, 1, padding=1, ceil_mode=True), unit(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 1x1 + 3x3 + 5x5 + pooled, H, W)."""
        return concatenate([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=1)


class AuxiliaryHead(Module):
    """A classifier on maps in the middle of the network, which gives the lower layers a gradient (section 5)."""

    def __init__(self, inputs: int, num_classes: int, batch_norm: bool, dropout: float, w: Callable[[int], int]):
        self.pool = AdaptiveAvgPool2d((4, 4)) if batch_norm else AvgPool2d(5, 3)  # the same at 14x14 pixels, nearly
        self.conv = ConvUnit(inputs, w(128), 1, batch_norm=batch_norm)
        self.fc1 = Linear(w(128) * 16, w(1024))
        self.fc2 = Linear(w(1024), num_classes)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, 14, 14) -> logits (N, num_classes)."""
        x = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(self.fc1(x).relu()))


class GoogLeNet(Module):
    """GoogLeNet, (N, 3, H, W) -> logits (N, num_classes).

    From C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, table 1. With batch norm it is torchvision's
    (6,624,904 parameters, 13,004,888 with both heads; 15x15 pixels are the least), which differs from the paper: batch
    norm instead of biases and of local response norm, 3x3 kernels for its 5x5, a last pooling of 2x2, dropout of 0.2
    instead of 0.4, and heads that pool to 4x4 maps of any input. Without, `googlenet_2014`, it is the paper's
    (6,998,552 and 13,378,280), whose constants of the local response norm are not printed: size 5, alpha 1e-4, beta
    0.75, k 1 as in Caffe's model.

    Args:
        num_classes: how many logits.
        aux_logits: whether there are the two auxiliary heads; while training the result is then an `Outputs`.
        batch_norm: torchvision's network, or the paper's.
        transform_input: turn images that were normalised with ImageNet's means and deviations into ones that were
            normalised with 0.5 and 0.5, as torchvision's weights expect.
        dropout, dropout_aux: how much is dropped before the last layer, and in the heads.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        batch_norm: bool = True,
        transform_input: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        in_channels: int = 3,
        width: float = 1.0,
    ):
        w = scaled(width)
        cells, outputs, inputs = {}, {}, w(192)
        for name, (_, *channels) in INCEPTIONS.items():  # rounded for each branch: what comes in is what they make
            one, reduce3, three, reduce5, five, pooled = map(w, channels)
            cells[name] = (inputs, one, reduce3, three, reduce5, five, pooled)
            inputs = outputs[name] = one + three + five + pooled
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        #                                                                                     output at 224
        self.conv1 = ConvUnit(in_channels, w(64), 7, stride=2, batch_norm=batch_norm)  #   64 x 112 x 112
        self.maxpool1 = MaxPool2d(3, 2, ceil_mode=True)  #                                 64 x  56 x  56
        self.norm1 = None if batch_norm else nn.LocalResponseNorm(5)
        self.conv2 = ConvUnit(w(64), w(64), 1, batch_norm=batch_norm)  #                   64 x  56 x  56
        self.conv3 = ConvUnit(w(64), w(192), 3, batch_norm=batch_norm)  #                 192 x  56 x  56
        self.norm2 = None if batch_norm else nn.LocalResponseNorm(5)
        self.maxpool2 = MaxPool2d(3, 2, ceil_mode=True)  #                                192 x  28 x  28
        self.inception3a = Inception(cells["3a"], batch_norm)
        self.inception3b = Inception(cells["3b"], batch_norm)
        self.maxpool3 = MaxPool2d(3, 2, ceil_mode=True)  #                                480 x  14 x  14
        self.inception4a = Inception(cells["4a"], batch_norm)
        self.inception4b = Inception(cells["4b"], batch_norm)
        self.inception4c = Inception(cells["4c"], batch_norm)
        self.inception4d = Inception(cells["4d"], batch_norm)
        self.inception4e = Inception(cells["4e"], batch_norm)
        self.maxpool4 = MaxPool2d(2 if batch_norm else 3, 2, ceil_mode=True)  #           832 x   7 x   7
        self.inception5a = Inception(cells["5a"], batch_norm)
        self.inception5b = Inception(cells["5b"], batch_norm)
        self.aux1 = AuxiliaryHead(outputs["4a"], num_classes, batch_norm, dropout_aux, w) if aux_logits else None
        self.aux2 = AuxiliaryHead(outputs["4d"], num_classes, batch_norm, dropout_aux, w) if aux_logits else None
        self.avgpool = AdaptiveAvgPool2d((1, 1))  #                                      1024 x   1 x   1
        self.dropout = Dropout(dropout)
        self.fc = Linear(outputs["5b"], num_classes)  #                                             num_classes
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights from N(0, 0.01²) within two units, as torchvision does; the biases of convolutions are 0."""
        for module in self.modules():
            if isinstance(module, (Conv2d, Linear)):
                nn.init.trunc_normal_(module.weight, 0.0, 0.01, -2.0, 2.0)
            if isinstance(module, Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor | Outputs:
        """(N, in_channels, H, W) -> logits (N, num_classes), while training with heads an `Outputs`."""
        if self.transform_input:
            constants = zip((0.229, 0.224, 0.225), (0.485, 0.456, 0.406), strict=True)
            x = stack([x[:, c] * (std / 0.5) + (mean - 0.5) / 0.5 for c, (std, mean) in enumerate(constants)], axis=1)
        x = self.maxpool1(self.conv1(x))
        x = x if self.norm1 is None else self.norm1(x)
        x = self.conv3(self.conv2(x))
        x = x if self.norm2 is None else self.norm2(x)
        x = self.maxpool3(self.inception3b(self.inception3a(self.maxpool2(x))))
        first = self.inception4a(x)
        second = self.inception4d(self.inception4c(self.inception4b(first)))
        x = self.maxpool4(self.inception4e(second))
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)
        logits = self.fc(self.dropout(x))
        if not (self.training and self.aux_logits):
            return logits
        return Outputs(logits, self.aux2(second), self.aux1(first))  # type: ignore[misc]


@register
def googlenet(weights: Path | None = None, aux_logits: bool | None = None, **options: Any) -> GoogLeNet:
    """GoogLeNet as in torchvision; `options` are those of `GoogLeNet`.

    Args:
        weights: a file to load, .pth or .safetensors; None draws fresh weights. With a file the input is transformed as
            torchvision does with its weights, unless `transform_input` says otherwise.
        aux_logits: whether there are auxiliary heads; default: only without a file, whose heads are left out then.

    >>> from minigrad import models
    >>> sum(p.size for p in models.googlenet(aux_logits=False).parameters())
    6624904
    """
    heads = weights is None if aux_logits is None else aux_logits
    options.setdefault("transform_input", weights is not None)
    model = GoogLeNet(aux_logits=heads, **options)
    return load_weights(model, weights, lambda key: key if heads or not key.startswith("aux") else None)


@register
def googlenet_2014(weights: Path | None = None, **options: Any) -> GoogLeNet:
    """GoogLeNet as published; `options` are those of `GoogLeNet`.

    >>> from minigrad import models
    >>> sum(p.size for p in models.googlenet_2014(aux_logits=False).parameters())
    6998552
    """
    return load_weights(GoogLeNet(batch_norm=False, **{"dropout": 0.4, **options}), weights)
