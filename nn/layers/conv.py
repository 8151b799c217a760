"""Convolution layers."""

from __future__ import annotations

import math

from minigrad import Tensor, conv2d, zeros
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.window import Geometry, explain, per_axis

Size = int | tuple[int, int]


class Conv2d(Module):
    """2-D convolution, (N, in_channels, H, W) -> (N, out_channels, OH, OW): `minigrad.conv2d` with learned kernels.

    OH = floor((H + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1, and OW likewise.

    Args:
        in_channels, out_channels: how many channels come in and go out; groups must divide both.
        kernel_size, stride, padding, dilation: one int for both axes, or a pair. Padding is with zeros.
        groups: the channels are split into this many groups that do not see each other.
        bias: whether to add one learned number to each output channel.

    Attributes:
        weight: (out_channels, in_channels/groups, kH, kW), drawn from U(-1/sqrt(n), 1/sqrt(n)), where
            n = in_channels/groups * kH * kW is what one output sees.
        bias: (out_channels,), drawn from the same interval; None without a bias.

    The input has a batch axis always (PyTorch also takes (C, H, W)).

    Raises:
        ValueError: channels that do not fit, or a window larger than the padded input.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Conv2d(3, 64, 7, stride=2, padding=3)(mg.zeros((1, 3, 32, 32))).shape
    (1, 64, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups must divide in_channels and out_channels, got groups={groups}, in_channels={in_channels}, "
                f"out_channels={out_channels}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = per_axis("kernel_size", kernel_size, 2, 1)
        self.stride = per_axis("stride", stride, 2, 1)
        self.padding = per_axis("padding", padding, 2, 0)
        self.dilation = per_axis("dilation", dilation, 2, 1)
        self.groups = groups
        # In memory (kH, kW, in, out), as the kernels multiply it; its gradient and an optimizer's state follow.
        self.weight = Parameter(zeros((*self.kernel_size, in_channels // groups, out_channels)).transpose((3, 2, 0, 1)))
        self.bias = Parameter(zeros(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, as PyTorch does."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in, _ = init.fans(self.weight.shape)
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, OH, OW)."""
        if x.ndim != 4:
            hint = "; for a single image put x[None]" if x.ndim == 3 else ""
            raise ValueError(f"Conv2d expects (N, {self.in_channels}, H, W), got an input of shape {x.shape}{hint}")
        if x.shape[1] != self.in_channels:
            hint = (
                "; the last axis has that many: images are (N, C, H, W) here" if x.shape[3] == self.in_channels else ""
            )
            raise ValueError(
                f"Conv2d expects {self.in_channels} channels, got {x.shape[1]}: its input of shape {x.shape} is "
                f"(N, C, H, W){hint}"
            )
        return conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of OH and OW with its numbers."""
        geometry = Geometry(self.stride, tuple((p, p) for p in self.padding), self.dilation)
        return explain(shape[2:], self.kernel_size, geometry)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them: those that differ from their defaults, and the stride."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if any(self.padding) else ""
        text += f", dilation={self.dilation}" if self.dilation != (1, 1) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")
