"""The two layers that only the LeNet-5 of 1998 has: learned subsampling, and the distances of its output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, avg_pool, zeros
from minigrad.nn import init
from minigrad.nn.layers.images import expect_images
from minigrad.nn.module import Module
from minigrad.nn.parameter import Buffer, Parameter
from minigrad.window import Geometry, explain, paddings, per_axis

Size = int | tuple[int, ...]


class Subsampling(Module):
    """`weight_c * (sum of the window) + bias_c` for each channel, (N, C, H, W) -> (N, C, OH, OW).

    The source squashes the result: put a `ScaledTanh` after it.

    Args:
        channels: how many channels come in; each has two learned numbers.
        kernel_size: an int, or one for each axis.
        stride: the same; default: the kernel size.

    Attributes:
        weight: (channels,), drawn from U(-2.4/n, 2.4/n), where n is the number of elements in a window.
        bias: (channels,), drawn from the same interval.

    Raises:
        ValueError: an input of another rank or with other channels, or a window larger than the input.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section II.B; the initial values, appendix A.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.Subsampling(6)
    >>> layer(mg.zeros((8, 6, 28, 28))).shape, sum(p.size for p in layer.parameters())
    ((8, 6, 14, 14), 12)
    """

    def __init__(self, channels: int, kernel_size: Size = 2, stride: Size | None = None):
        self.channels = channels
        self.kernel_size = per_axis("kernel_size", kernel_size, 2, 1)
        self.stride = self.kernel_size if stride is None else per_axis("stride", stride, 2, 1)
        self.weight = Parameter(zeros(channels))
        self.bias = Parameter(zeros(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, as LeNet-5 did."""
        bound = 2.4 / math.prod(self.kernel_size)
        init.uniform_(self.weight, -bound, bound)
        init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, OH, OW)."""
        expect_images(self, x, 2, self.channels)
        total = avg_pool(x, self.kernel_size, stride=self.stride, divisor_override=1)
        return total * self.weight.reshape(-1, 1, 1) + self.bias.reshape(-1, 1, 1)

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of the output size with its numbers."""
        pairs = paddings(0, shape[2:], self.kernel_size, self.stride, (1, 1))
        return explain(shape[2:], self.kernel_size, Geometry(self.stride, pairs, (1, 1)))

    def extra_repr(self) -> str:
        """The arguments, in the manner of a pooling."""
        return f"{self.channels}, kernel_size={self.kernel_size}, stride={self.stride}"


class RBFOutput(Module):
    """The squared distance of the input to the centre of each class, (N, features) -> (N, classes).

    `y_i = sum_j (x_j - weight_ij)**2`: the smallest wins, and a Gaussian of it is a radial basis function.

    Args:
        centres: one for each class, (classes, features): numbers, converted to float32. LeNet-5 has 7x12 bitmaps of
            the characters, of -1 and +1.
        trainable: whether the centres are learned; LeNet-5 keeps them fixed.

    Attributes:
        weight: the centres, (classes, features): a buffer, or a parameter if they are learned.

    Raises:
        ValueError: centres that are not a matrix, or an input with another number of features.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section II.B, equation 7.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.RBFOutput([[1, 1, -1], [-1, 1, 1]])(mg.tensor([[1.0, 1.0, 0.0]]))
    tensor([[1., 5.]])
    """

    def __init__(self, centres: Any, trainable: bool = False):
        table = asarray(centres, np.float32)
        if table.ndim != 2:
            raise ValueError(f"centres must have the shape (classes, features), got {table.shape}")
        self.weight: Tensor = Parameter(table) if trainable else Buffer(table)

    def forward(self, x: Tensor) -> Tensor:
        """(..., features) -> (..., classes)."""
        classes, features = self.weight.shape
        if not x.ndim or x.shape[-1] != features:
            raise ValueError(
                f"RBFOutput expects (..., {features}), as many features as its {classes} centres have, got an input of "
                f"shape {x.shape}"
            )
        # Not |x|^2 - 2xw + |w|^2, a product of matrices: near a centre its terms cancel, even to a negative distance.
        apart = x[..., None, :] - self.weight
        return (apart * apart).sum(-1)

    def extra_repr(self) -> str:
        """The sizes."""
        classes, features = self.weight.shape
        return f"classes={classes}, features={features}, trainable={self.weight.requires_grad}"
