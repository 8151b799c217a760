"""LeNet-5, the convolutional network that read cheques."""

from __future__ import annotations

from minigrad import Tensor
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.nn import AvgPool2d, Conv2d, Flatten, Linear, Module, Sequential, Tanh


class LeNet5(Module):
    """LeNet-5 as it is built today, for images of one channel and 28x28 pixels: (N, 1, 28, 28) -> logits (N, classes).

    From Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 86(11), 1998, section II.B. The sizes of the layers are the paper's; what differs from it
    (`LeNet5_1998` is the paper to the letter):

    - the input is 28x28 and C1 pads it by 2, where the paper draws the digit in the middle of 32x32;
    - pooling is the plain mean; the paper's subsampling multiplies it by a learned number, adds another, and squashes;
    - C3 sees all 6 maps; each of its 16 maps sees 3, 4 or 6 of them in the paper (its table I);
    - the activation is tanh(x), not 1.7159 tanh(2x/3);
    - the output is linear and trained with cross entropy; the paper measures the distance to drawn bitmaps.

    Args:
        num_classes: how many logits; with 10 the network has 61,706 parameters.

    Raises:
        ValueError: an image of another size or with more channels.

    >>> import minigrad as mg
    >>> net = LeNet5()
    >>> net(mg.zeros((2, 1, 28, 28))).shape, sum(p.size for p in net.parameters())
    ((2, 10), 61706)
    """

    def __init__(self, num_classes: int = 10):
        self.features = Sequential(
            # layer                          | output      | parameters
            Conv2d(1, 6, 5, padding=2),  # C1|  6 x 28 x 28|        156
            Tanh(),
            AvgPool2d(2),  #               S2|  6 x 14 x 14|
            Conv2d(6, 16, 5),  #           C3| 16 x 10 x 10|      2,416
            Tanh(),
            AvgPool2d(2),  #               S4| 16 x  5 x  5|
        )
        self.classifier = Sequential(
            Flatten(),  #                    |          400|
            Linear(400, 120),  #           C5|          120|     48,120
            Tanh(),
            Linear(120, 84),  #            F6|           84|     10,164
            Tanh(),
            Linear(84, num_classes),  #      |  num_classes|        850
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) -> logits (N, num_classes)."""
        return self.classifier(self.features(x))


@register
def lenet5(num_classes: int = 10, weights: Path | None = None) -> LeNet5:
    """LeNet-5 for 28x28 images; see `LeNet5`.

    Args:
        num_classes: how many logits.
        weights: a file to load, as the demo writes one; None draws fresh weights from minigrad's default generator.

    >>> lenet5(num_classes=3).classifier[-1]
    Linear(in_features=84, out_features=3, bias=True)
    """
    return load_weights(LeNet5(num_classes), weights)
