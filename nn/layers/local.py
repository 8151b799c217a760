"""Locally connected layers: a convolution whose kernel differs from place to place."""

from __future__ import annotations

import math
from typing import Any

from minigrad import Tensor, conv_local, output_size, zeros
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.window import Geometry, explain, paddings, per_axis

Size = int | tuple[int, ...]


class LocallyConnected2d(Module):
    """A Conv2d that shares nothing: every output unit has its own weights and its own bias, `minigrad.conv_local`.

    (N, in_channels, *input_size) -> (N, out_channels, *out), with the sizes of a `Conv2d`.

    Args:
        in_channels, out_channels: how many channels come in and go out.
        input_size: H and W of the input, or one int for both: they decide how many weights there are.
        kernel_size, stride, padding: as for `Conv2d`; padding is with zeros.
        bias: whether to add one learned number to each output unit.

    Attributes:
        weight: (*out, out_channels, in_channels, *kernel_size), drawn from U(-1/sqrt(n), 1/sqrt(n)), where n is the
            number of inputs that one unit sees.
        bias: (out_channels, *out), drawn from the same interval; None without a bias.

    Raises:
        ValueError: an input of another shape, or a window larger than the padded input.

    Source: Y. LeCun: Generalization and Network Design Strategies, University of Toronto CRG-TR-89-4, 1989, section
    4, network 3.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.LocallyConnected2d(1, 2, 16, 3, stride=2, padding=1)
    >>> layer(mg.zeros((4, 1, 16, 16))).shape, sum(p.size for p in layer.parameters())
    ((4, 2, 8, 8), 1280)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Size,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        bias: bool = True,
    ):
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.input_size = per_axis("input_size", input_size, 2, 1)
        self.kernel_size = per_axis("kernel_size", kernel_size, 2, 1)
        self.stride = per_axis("stride", stride, 2, 1)
        self.padding = padding
        self.output_size = output_size(self.input_size, self.kernel_size, stride=self.stride, padding=padding)
        self.weight = Parameter(zeros((*self.output_size, out_channels, in_channels, *self.kernel_size)))
        # In memory (*out, out_channels), as the sums lie to which it is added.
        self.bias = Parameter(zeros((*self.output_size, out_channels)).transpose((2, 0, 1))) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, from the distribution of a convolution's."""
        fan_in = self.in_channels * math.prod(self.kernel_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *input_size) -> (N, out_channels, *out)."""
        if x.ndim != 4 or x.shape[1:] != (self.in_channels, *self.input_size):
            h, w = self.input_size
            raise ValueError(
                f"LocallyConnected2d expects (N, {self.in_channels}, {h}, {w}), got an input of shape {x.shape}: its "
                f"weights belong to places, so that another size needs another layer"
            )
        return conv_local(x, self.weight, self.bias, stride=self.stride, padding=self.padding)

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of the output size with its numbers."""
        pairs = paddings(self.padding, shape[2:], self.kernel_size, self.stride, (1, 1))
        return explain(shape[2:], self.kernel_size, Geometry(self.stride, pairs, (1, 1)))

    def extra_repr(self) -> str:
        """The arguments, in the manner of Conv2d."""
        text = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != 0 else ""
        return text + (", bias=False" if self.bias is None else "")
