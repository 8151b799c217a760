"""VGG: how deep a network of 3x3 convolutions can be."""

from __future__ import annotations

from typing import Any, Literal

from minigrad import Tensor, nn
from minigrad.checks import one_of
from minigrad.models.registry import register, register_with_bn
from minigrad.models.weights import Path, load_weights
from minigrad.models.width import scaled
from minigrad.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d, Module, ReLU, Sequential

# Table 1 of the paper: for each configuration its five stages, each followed by a 2x2 max pooling. A number is a 3x3
# convolution with that many channels; "1x1" is one of 1x1 kernels that keeps the channels, "LRN" a response norm.
#
#   stage             1            2             3             4             5          classifier
#   output at 224  64 x 112²   128 x 56²     256 x 28²     512 x 14²     512 x 7²   25,088 -> 4096 -> 4096 -> classes
CONFIGURATIONS: dict[str, list[list[int | str]]] = {
    "A": [[64], [128], [256, 256], [512, 512], [512, 512]],
    "A-LRN": [[64, "LRN"], [128], [256, 256], [512, 512], [512, 512]],
    "B": [[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]],
    "C": [[64, 64], [128, 128], [256, 256, "1x1"], [512, 512, "1x1"], [512, 512, "1x1"]],
    "D": [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]],
    "E": [[64, 64], [128, 128], [256] * 4, [512] * 4, [512] * 4],
}
Init = Literal["kaiming", "std 0.01", "std 0.1"]


class VGG(Module):
    """A configuration of VGG, (N, 3, H, W) -> logits (N, num_classes); 32x32 pixels are the least.

    From K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015, table
    1. Two 3x3 convolutions see 5x5 pixels and three see 7x7, with fewer weights and more nonlinearities than one large
    kernel: 27 C² against 49 C² (section 2.3).

    What differs from the paper: images other than 224x224 are pooled to 7x7 maps before the classifier, as in
    torchvision, where the paper makes convolutions of the fully connected layers.

    Args:
        configuration: "A" (11 layers with weights), "A-LRN", "B" (13), "C" (16, three of 1x1), "D" (16) or "E" (19).
        batch_norm: whether each convolution is followed by a batch norm, which the paper did not have.
        num_classes: how many logits.
        dropout: how much is dropped after the first two fully connected layers.
        in_channels: of the images.
        width: all layers are this many times as wide, the images and the logits excepted.
        init: "kaiming" draws convolutions from N(0, 2/fan_out) and linear layers from N(0, 0.01²), as torchvision does.
            The paper samples "with zero mean and 10⁻² variance": taken by the word, "std 0.1", the signal of the deep
            configurations explodes; at "std 0.01", which may be what was meant, it vanishes. The paper went around both
            by first training configuration A.
    """

    def __init__(
        self,
        configuration: str,
        batch_norm: bool = False,
        num_classes: int = 1000,
        dropout: float = 0.5,
        in_channels: int = 3,
        width: float = 1.0,
        init: Init = "kaiming",
    ):
        one_of("configuration", configuration, CONFIGURATIONS)
        w = scaled(width)
        layers: list[Module] = []
        channels = in_channels
        for stage in CONFIGURATIONS[configuration]:
            for entry in stage:
                if entry == "LRN":
                    layers.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, form="paper"))
                    continue
                outputs = channels if entry == "1x1" else w(int(entry))
                size = 1 if entry == "1x1" else 3
                layers.append(Conv2d(channels, outputs, size, padding=size // 2))
                layers += [BatchNorm2d(outputs)] if batch_norm else []
                layers.append(ReLU())
                channels = outputs
            layers.append(MaxPool2d(2, 2))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d((7, 7))
        self.classifier = Sequential(
            Linear(channels * 7 * 7, w(4096)),
            ReLU(),
            Dropout(dropout),
            Linear(w(4096), w(4096)),
            ReLU(),
            Dropout(dropout),
            Linear(w(4096), num_classes),
        )
        self.reset_parameters(init)

    def reset_parameters(self, init: Init = "kaiming") -> None:
        """Draw new weights; biases are 0."""
        one_of("init", init, ("kaiming", "std 0.01", "std 0.1"))
        for module in self.modules():
            if not isinstance(module, (Conv2d, Linear)):
                continue
            if init == "kaiming" and isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, 0.0, 0.1 if init == "std 0.1" else 0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _vgg(configuration: str, batch_norm: bool, weights: Path | None, options: dict) -> VGG:
    return load_weights(VGG(configuration, batch_norm, **options), weights)


@register_with_bn
def vgg11(batch_norm: bool = False, weights: Path | None = None, **options: Any) -> VGG:
    """Configuration A, as in torchvision (with `batch_norm` its vgg11_bn); `options` are those of `VGG`.

    >>> from minigrad import models
    >>> net = models.vgg11(num_classes=10)
    >>> sum(p.size for p in net.features.parameters()), net.classifier[-1].out_features
    (9220480, 10)
    """
    return _vgg("A", batch_norm, weights, options)


@register_with_bn
def vgg13(batch_norm: bool = False, weights: Path | None = None, **options: Any) -> VGG:
    """Configuration B, as in torchvision; `options` are those of `VGG`."""
    return _vgg("B", batch_norm, weights, options)


@register_with_bn
def vgg16(batch_norm: bool = False, weights: Path | None = None, **options: Any) -> VGG:
    """Configuration D, as in torchvision; `options` are those of `VGG`."""
    return _vgg("D", batch_norm, weights, options)


@register_with_bn
def vgg19(batch_norm: bool = False, weights: Path | None = None, **options: Any) -> VGG:
    """Configuration E, as in torchvision; `options` are those of `VGG`."""
    return _vgg("E", batch_norm, weights, options)


@register
def vgg11_lrn(weights: Path | None = None, **options: Any) -> VGG:
    """Configuration A-LRN, with a local response norm after the first convolution: it did not help (section 4.1)."""
    return _vgg("A-LRN", False, weights, options)


@register_with_bn
def vgg16_c(batch_norm: bool = False, weights: Path | None = None, **options: Any) -> VGG:
    """Configuration C: 16 layers, three of them of 1x1 kernels; worse than D, better than B (section 4.1)."""
    return _vgg("C", batch_norm, weights, options)
