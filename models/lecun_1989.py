"""The convolutional network of 1989 that read zip codes."""

from __future__ import annotations

from minigrad import Tensor, conv2d, zeros
from minigrad.models.registry import register
from minigrad.models.weights import Path, load_weights
from minigrad.nn import Conv2d, Flatten, Linear, Module, Parameter, ScaledTanh, Sequential
from minigrad.nn.init import lenet_uniform_
from minigrad.nn.layers.conv import ConvNd

H2 = [[(k + i) % 12 for i in range(8)] for k in range(12)]  # the 8 maps of H1 that each of the 12 maps of H2 sees


class FeatureMaps(Conv2d):
    """Maps whose units share their 5x5 kernel but not their bias: (N, C, 2s, 2s) -> (N, K, s, s).

    Neighbouring units look at windows 2 pixels apart. A window reaches over the border, where every pixel is -1, the
    background.

    Args:
        in_channels, out_channels: C and K, how many maps come in and go out.
        size: s, the units along each side of a map.
        connections: for each of the K maps the incoming maps it sees; default: all.

    Attributes:
        weight: (K, C, 5, 5), or with `connections` (links, 5, 5).
        bias: (K, s, s), one number for each unit.

    Raises:
        ValueError: images of another size or number of maps, or a bad table.

    Source: Y. LeCun et al.: Backpropagation Applied to Handwritten Zip Code Recognition, Neural Computation 1, 1989,
    section 3.

    >>> import minigrad as mg
    >>> maps = FeatureMaps(1, 12, 8)
    >>> maps(mg.zeros((4, 1, 16, 16))).shape, sum(p.size for p in maps.parameters())
    ((4, 12, 8, 8), 1068)
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, connections: list[list[int]] | None = None):
        # Of the 2 pixels of border at the end of an axis no window reads the last.
        super().__init__(
            in_channels, out_channels, 5, 2, 2, bias=False, padding_mode="constant", connections=connections
        )
        self.size = size
        self.bias = Parameter(zeros((out_channels, size, size)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 2s, 2s) -> (N, K, s, s)."""
        self.accept(x)
        size = 2 * self.size
        if x.shape[2:] != (size, size):
            raise ValueError(f"FeatureMaps expects images of {size}x{size}, got an input of shape {x.shape}")
        sums = conv2d(
            x,
            self.weight,
            stride=self.stride,
            padding=self.padding,
            padding_mode=self.padding_mode,
            padding_value=-1,
            connections=self.connections,
        )
        return sums + self.bias


class LeCun1989(Module):
    """The zip code network for 16x16 images, (N, 1, 16, 16) -> (N, 10): 1,256 units, 9,760 parameters.

    From Y. LeCun, B. Boser, J. Denker, D. Henderson, R. Howard, W. Hubbard, L. Jackel: Backpropagation Applied to
    Handwritten Zip Code Recognition, Neural Computation 1(4), 1989: the layers are in section 3, the rest in section 4.
    The units are the 256 pixels and those of the table; a connection is an input of a unit, its bias being one.

    The image goes from -1, the background, to 1. The output is one number for each digit, and the largest wins; the
    network learns by the mean squared error (`nn.MSELoss`) towards 1 for the right digit and -1 for the others.
    Weights and biases are drawn from U(-2.4/F, 2.4/F), where F is the number of inputs of the unit.

    What the paper does not tell, and is chosen here:

    - which 8 maps of H1 each map of H2 sees: it calls the scheme one "that will not be described here". Here map k
      sees the maps k to k + 7, counted around the corner: no two see the same, and each map of H1 is seen by 8;
    - how the border of 3 pixels that the windows need is divided: 2 at the start and 1 at the end;
    - the numbers in the squashing function, for which those of 1998 are taken: 1.7159 tanh(2x/3);
    - the targets: only that they lie where the squashing function is almost linear. It maps 1 to 1 and -1 to -1;
    - whether F counts the bias: it does not here.

    The paper learned by a Newton method with a diagonal Hessian, one image at a time, in 23 passes over 7,291 digits.

    Raises:
        ValueError: an image of another size or with more channels.

    >>> import minigrad as mg
    >>> net = LeCun1989()
    >>> net(mg.zeros((2, 1, 16, 16))).shape, sum(p.size for p in net.parameters())
    ((2, 10), 9760)
    """

    def __init__(self):
        self.features = Sequential(
            # layer                                       | output     | parameters | connections
            FeatureMaps(1, 12, 8),  #                   H1| 12 x 8 x 8 |      1,068 |      19,968
            ScaledTanh(),
            FeatureMaps(12, 12, 4, connections=H2),  #  H2| 12 x 4 x 4 |      2,592 |      38,592
            ScaledTanh(),
        )
        self.classifier = Sequential(
            Flatten(),  #                                 |        192 |
            Linear(192, 30),  #                         H3|         30 |      5,790 |       5,790
            ScaledTanh(),
            Linear(30, 10),  #                      output|         10 |        310 |         310
            ScaledTanh(),  #                              |            |      9,760 |      64,660
        )
        draw_by_fan_in_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 16, 16) -> (N, 10), close to 1 for the digit that is seen and to -1 for the others."""
        return self.classifier(self.features(x))


def draw_by_fan_in_(net: Module) -> None:
    """Draw the weights and biases of convolutions and linear layers from U(-2.4/F, 2.4/F).

    F is the number of inputs of the unit that a weight belongs to. (`Subsampling` draws its numbers so by itself.)

    Source: Y. LeCun et al., 1989, section 4: the sums then lie where the squashing function is not flat.

    >>> layer = Linear(24, 100)
    >>> draw_by_fan_in_(layer)
    >>> 0.09 < layer.weight.abs().max().item() <= 0.1
    True
    """
    for layer in net.modules():
        if isinstance(layer, ConvNd):
            parts = list(layer.by_fan_in())
        elif isinstance(layer, Linear):
            parts = [(list(layer.parameters()), layer.weight.shape[1])]
        else:
            continue
        for part, fan_in in parts:
            for parameter in part:
                lenet_uniform_(parameter, fan_in)


@register
def lecun1989(weights: Path | None = None) -> LeCun1989:
    """The zip code network of 1989, with the weights of a file or fresh ones; see `LeCun1989`.

    >>> lecun1989().features[2]
    FeatureMaps(12, 12, kernel_size=(5, 5), stride=(2, 2), padding=(2, 2), padding_mode=constant, connections=96 links)
    """
    return load_weights(LeCun1989(), weights)
