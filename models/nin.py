"""Network in Network: convolutions of 1x1, and a global average instead of fully connected layers."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import Conv2d, Dropout, GlobalAvgPool, MaxPool2d, Module, ReLU, Sequential, init


def nin_block(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, last_relu: bool = True
) -> Sequential:
    """A convolution followed by two of 1x1: at each pixel a small perceptron of its own (section 3.1)."""
    return Sequential(
        Conv2d(inputs, outputs, kernel, stride=stride, padding=padding),
        ReLU(),
        Conv2d(outputs, outputs, 1),
        ReLU(),
        Conv2d(outputs, outputs, 1),
        *([ReLU()] if last_relu else []),
    )


class NiN(Module):
    """Network in Network in the sizes of AlexNet, (N, 3, H, W) -> logits (N, num_classes).

    From M. Lin, Q. Chen, S. Yan: Network in Network, ICLR 2014, sections 3.1 and 3.2; the sizes of the layers are those
    of Dive into Deep Learning, section 8.3 (1,992,166 parameters for 10 classes of images of one channel). The paper's
    own network is for images of 32x32 pixels.

    Args:
        num_classes: how many logits; the hidden layers of the last block have that many units too, which is few for 4.
        dropout: how much is dropped before the last block.
        last_relu: whether a ReLU follows the last convolution too, as published. A class whose map it has set to 0
            everywhere gets no gradient and never comes back: training fails for some seeds, which False prevents.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.5,
        last_relu: bool = True,
        in_channels: int = 3,
        width: float = 1.0,
    ):
        w = scaled(width)
        self.features = Sequential(
            #                                                                  output at 224
            nin_block(in_channels, w(96), 11, stride=4),  #                    96 x 54 x 54
            MaxPool2d(3, 2),  #                                                96 x 26 x 26
            nin_block(w(96), w(256), 5, padding=2),  #                        256 x 26 x 26
            MaxPool2d(3, 2),  #                                               256 x 12 x 12
            nin_block(w(256), w(384), 3, padding=1),  #                       384 x 12 x 12
            MaxPool2d(3, 2),  #                                               384 x  5 x  5
            Dropout(dropout),
            nin_block(w(384), num_classes, 3, padding=1, last_relu=last_relu),  # classes x 5 x 5
        )
        self.avgpool = GlobalAvgPool()  #                                     classes x 1 x 1
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes)."""
        return self.avgpool(self.features(x)).flatten(1)


@register
def nin(weights: Path | None = None, **options: Any) -> NiN:
    """Network in Network; `options` are those of `NiN`.

    >>> from minigrad import models
    >>> sum(p.size for p in models.nin(num_classes=10, in_channels=1).parameters())
    1992166
    """
    return load_weights(NiN(**options), weights)
