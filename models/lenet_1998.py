"""LeNet-5 as it was published in 1998, to the last connection."""

from __future__ import annotations

import numpy as np

from minigrad import Tensor, no_grad
from minigrad.models.lecun_1989 import draw_by_fan_in_
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.nn import Conv2d, Flatten, Linear, Module, RBFOutput, ScaledTanh, Sequential, Subsampling

# Table I: the maps of S2 that each of the 16 maps of C3 sees.
C3 = [[(k + i) % 6 for i in range(3)] for k in range(6)]  #  0 to  5: three neighbours, counted around the corner
C3 += [[(k + i) % 6 for i in range(4)] for k in range(6)]  #  6 to 11: four neighbours
C3 += [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]  #          12 to 14: four, in two pairs
C3 += [[0, 1, 2, 3, 4, 5]]  #                                15      : all

DIGITS = """
..###.. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.#####. ..###.. ####### ####### ...###. ####### .#####. ####### ####### #######
##...## .####.. ##...## ##...## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. .....## ....##. .##.##. ######. ##..... ....##. .#####. ##...##
##...## ...##.. ....##. ..###.. ##..##. ####### ######. ...##.. .#####. #######
##...## ...##.. ...##.. ..####. ##..##. .....## ####### ...##.. ##...## .######
##...## ...##.. ..##... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... ##...## ....##. ##...## ##...## .##.... ##...## .....##
.#####. .###### ####### ####### ....##. ####### ####### .##.... ####### .#####.
..###.. .###### ####### .#####. ....##. .#####. .#####. .##.... .#####. .####..
"""


def digit_bitmaps() -> np.ndarray:
    """The codes of the ten digits, float32 (10, 84): the rows of a 7x12 picture one after the other, ink 1, paper -1.

    The paper gives its own as a picture only (figure 3: stylised characters of the ASCII set on 7x12 pixels). These are
    drawn after that description, and their pixels are not the paper's.

    >>> for row in digit_bitmaps()[7].reshape(12, 7)[:4]:
    ...     print("".join("#" if ink > 0 else "." for ink in row))
    #######
    #######
    .....##
    ....##.
    """
    rows = [line.split() for line in DIGITS.split("\n") if line]
    pictures = ["".join(row[digit] for row in rows) for digit in range(10)]
    return np.array([[1 if pixel == "#" else -1 for pixel in picture] for picture in pictures], np.float32)


class LeNet5_1998(Module):
    """LeNet-5 as published, (N, 1, 32, 32) -> (N, 10): 60,000 parameters that learn, 340,908 connections.

    From Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 86(11), 1998: section II.B; appendix A for the squashing function 1.7159 tanh(2x/3), which
    follows every layer up to F6, and for the initial values, U(-2.4/F, 2.4/F) with F the number of inputs of the unit.
    A connection is an input of a unit, its bias being one.

    The output is not a score but a penalty: the squared distance of the 84 numbers of F6 to the picture of each digit,
    7x12 pixels of -1 and 1 that do not learn. **The smallest wins**: `predict` is argmin. The paper's losses take the
    penalties and the labels as they are: `nn.LeNetMSELoss`, the penalty of the right digit (section II.C, equation 8),
    and `nn.LeNetMAPLoss`, which also pushes those of the others up (equation 9). What expects scores, such as
    `nn.CrossEntropyLoss`, takes `-model(x)`.

    The image is a digit of 28x28 in the middle of 32x32, with -0.1 for paper and 1.175 for ink, so that the mean is
    about 0 and the variance about 1: `1.275 * ink - 0.1` for ink from 0 to 1.

    What the paper does not tell, and is chosen here: the pixels of the pictures (see `digit_bitmaps`), and whether F
    counts the bias: it does not here. Its text gives other sums than its layers in some printings (345,308
    connections); the sum of the connections it gives layer by layer is 340,908.

    Raises:
        ValueError: an image of another size or with more channels.

    >>> import minigrad as mg
    >>> net = LeNet5_1998()
    >>> net(mg.zeros((2, 1, 32, 32))).shape, sum(p.size for p in net.parameters())
    ((2, 10), 60000)
    """

    def __init__(self):
        self.features = Sequential(
            # layer                                  | output      | parameters | connections
            Conv2d(1, 6, 5),  #                    C1|  6 x 28 x 28|        156 |     122,304
            ScaledTanh(),
            Subsampling(6),  #                     S2|  6 x 14 x 14|         12 |       5,880
            ScaledTanh(),
            Conv2d(6, 16, 5, connections=C3),  #   C3| 16 x 10 x 10|      1,516 |     151,600
            ScaledTanh(),
            Subsampling(16),  #                    S4| 16 x  5 x  5|         32 |       2,000
            ScaledTanh(),
            Conv2d(16, 120, 5),  #                 C5|120 x  1 x  1|     48,120 |      48,120
            ScaledTanh(),
        )
        self.classifier = Sequential(
            Flatten(),  #                            |          120|
            Linear(120, 84),  #                    F6|           84|     10,164 |      10,164
            ScaledTanh(),
            RBFOutput(digit_bitmaps()),  #     output|           10|          0 |         840
        )
        draw_by_fan_in_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 32, 32) -> penalties (N, 10), squared distances."""
        return self.classifier(self.features(x))

    def predict(self, x: Tensor) -> Tensor:
        """The digit with the smallest penalty, (N, 1, 32, 32) -> int64 (N,); not recorded."""
        with no_grad():
            return self(x).argmin(axis=1)


@register
def lenet5_1998(weights: Path | None = None) -> LeNet5_1998:
    """LeNet-5 as published, with the weights of a file or fresh ones; see `LeNet5_1998`.

    >>> lenet5_1998().features[4]
    Conv2d(6, 16, kernel_size=(5, 5), stride=(1, 1), connections=60 links)
    """
    return load_weights(LeNet5_1998(), weights)
