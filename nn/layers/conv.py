"""Convolution layers, for one, two, three and any number of spatial axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from minigrad import Tensor, conv, conv_transpose, zeros
from minigrad.nn import init
from minigrad.nn.layers.images import expect_images
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter, Uninitialized, UninitializedParameter
from minigrad.ops.conv import ALGORITHMS
from minigrad.window import Geometry, explain, paddings, per_axis

Size = int | tuple[int, ...]


class Convolution(Module):
    """What all convolution layers share: their options, their weights and what they say of a bad input. Abstract.

    A subclass sets `dims`, the number of spatial axes; None leaves it to `kernel_size`.
    """

    dims: int | None = None
    transposed = False

    output_padding: tuple[int, ...] = ()

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ):
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels is not None:
                self.check_groups(name, channels, groups)
        n = self.dims or (len(kernel_size) if isinstance(kernel_size, (tuple, list)) else 0)
        if not n:
            raise ValueError(f"kernel_size must have one size for each spatial axis, got {kernel_size!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = per_axis("kernel_size", kernel_size, n, 1)
        self.stride = per_axis("stride", stride, n, 1)
        self.dilation = per_axis("dilation", dilation, n, 1)
        pairs = paddings(padding, (1,) * n, self.kernel_size, self.stride, self.dilation)
        alike = all(low == high for low, high in pairs)
        self.padding = padding if isinstance(padding, str) else tuple(low for low, _ in pairs) if alike else pairs
        self.groups = groups
        self.padding_mode = padding_mode
        self.weight = UninitializedParameter() if in_channels is None else Parameter(self.zero_weight(in_channels))
        self.bias = Parameter(zeros(out_channels)) if bias else None
        self.reset_parameters()

    @staticmethod
    def check_groups(name: str, channels: int, groups: int) -> None:
        """Raise for channels that the groups do not divide."""
        if groups < 1 or channels % groups:
            raise ValueError(f"groups must divide {name}, got groups={groups} and {name}={channels}")

    def zero_weight(self, in_channels: int) -> Tensor:
        """Zeros of the weight's shape; in memory (*kernel, in, out), as the kernels multiply it."""
        first, second = (in_channels, self.out_channels) if self.transposed else (self.out_channels, in_channels)
        n = len(self.kernel_size)
        return zeros((*self.kernel_size, second // self.groups, first)).transpose((n + 1, n, *range(n)))

    def accept(self, x: Tensor) -> None:
        """Raise for an input that does not fit; the first batch decides about channels that were left open."""
        expect_images(self, x, len(self.kernel_size), self.in_channels)
        if isinstance(self.weight, Uninitialized):
            self.check_groups("in_channels", x.shape[1], self.groups)
            self.in_channels = x.shape[1]
            self.weight.materialize(self.zero_weight(self.in_channels))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, as PyTorch does."""
        if isinstance(self.weight, Uninitialized):
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in, _ = init.fans(self.weight.shape)
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them: those that differ from their defaults, and the stride."""
        n = len(self.kernel_size)
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != (0,) * n else ""
        text += f", dilation={self.dilation}" if self.dilation != (1,) * n else ""
        text += f", output_padding={self.output_padding}" if any(self.output_padding) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class ConvNd(Convolution):
    """Convolution over as many spatial axes as `kernel_size` has sizes: `minigrad.conv` with learned kernels.

    (N, in_channels, *spatial) -> (N, out_channels, *out), with out = floor((size + low + high -
    dilation*(kernel_size - 1) - 1) / stride) + 1 along each axis.

    Args:
        in_channels, out_channels: how many channels come in and go out; groups must divide both. in_channels=None takes
            it from the first batch (PyTorch: LazyConv2d).
        kernel_size: one int for each axis (for Conv1d, Conv2d and Conv3d one int will do for all).
        stride, dilation: an int, or one for each axis.
        padding: an int, one for each axis, a (low, high) pair for each axis, "valid", "same" (at any stride, which
            PyTorch refuses), "same_lower" or "full".
        groups: the channels are split into this many groups that do not see each other.
        bias: whether to add one learned number to each output channel.
        padding_mode: "zeros", "reflect", "replicate", "circular" or "symmetric".
        connections: a table in place of groups, which PyTorch does not have: for each output channel the input channels
            it sees. Links that are absent have no weights.
        algorithm: who computes it, as for `minigrad.conv`; PyTorch does not have it.

    Attributes:
        weight: (out_channels, in_channels/groups, *kernel_size), drawn from U(-1/sqrt(n), 1/sqrt(n)), where n is the
            number of inputs that one output sees. With `connections`, (links, *kernel_size) in the order of the table,
            and n is that of each output channel.
        bias: (out_channels,), drawn from the same interval; None without a bias.

    The input has a batch axis always (PyTorch also takes a single sample without one).

    Raises:
        ValueError: channels that do not fit, a bad table, or a window larger than the padded input.

    Source of the table: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document
    Recognition, Proceedings of the IEEE 1998, section II.B, table I.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ConvNd(2, 3, (2, 1, 2, 1))(mg.zeros((1, 2, 3, 3, 3, 3))).shape
    (1, 3, 2, 3, 2, 3)
    >>> nn.Conv2d(3, 2, 5, connections=[[0, 1], [1, 2]]).weight.shape
    (4, 5, 5)
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        connections: Sequence[Sequence[int]] | None = None,
        algorithm: str = "auto",
    ):
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {ALGORITHMS}, got {algorithm!r}")
        if connections is not None:
            self.check_connections(connections, in_channels, out_channels, groups)
        self.connections = None if connections is None else tuple(map(tuple, connections))
        self.algorithm = algorithm
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)

    @staticmethod
    def check_connections(connections: Any, in_channels: int | None, out_channels: int, groups: int) -> None:
        """Raise for a table that does not tell, for each output channel, which input channels it sees."""
        if groups != 1:
            raise ValueError(f"connections say which channels a kernel sees, so groups must stay 1, got {groups!r}")
        if in_channels is None:
            raise ValueError("connections name the input channels, so in_channels must be given, got None")
        if not isinstance(connections, (list, tuple)) or len(connections) != out_channels:
            raise ValueError(
                f"connections must be a list of {out_channels} rows, one for each output channel, got {connections!r}"
            )
        for k, row in enumerate(connections):
            known = isinstance(row, (list, tuple)) and all(type(c) is int and 0 <= c < in_channels for c in row)
            if not known or not row or len(set(row)) < len(row):
                raise ValueError(
                    f"connections[{k}] must list the input channels that output channel {k} sees, at least one and "
                    f"each once, from 0 to {in_channels - 1}, got {row!r}"
                )

    def zero_weight(self, in_channels: int) -> Tensor:
        """Zeros of the weight's shape."""
        if self.connections is None:
            return super().zero_weight(in_channels)
        return zeros((sum(map(len, self.connections)), *self.kernel_size))

    def by_fan_in(self) -> Iterator[tuple[list[Tensor], int]]:
        """The parameters in parts whose outputs see equally many inputs, with that number: for initialisers.

        All of them at once, or with `connections` output channel by output channel. The parts are views: what fills
        them fills the parameters.
        """
        taps = math.prod(self.kernel_size)
        if self.connections is None:
            yield list(self.parameters()), self.weight.shape[1] * taps
            return
        stops = accumulate(map(len, self.connections))
        for k, (row, stop) in enumerate(zip(self.connections, stops, strict=True)):
            bias = [] if self.bias is None else [self.bias[k : k + 1]]
            yield [self.weight[stop - len(row) : stop], *bias], len(row) * taps

    def reset_parameters(self) -> None:
        """Draw new initial values, as PyTorch does."""
        if self.connections is None:
            super().reset_parameters()
            return
        for part, fan_in in self.by_fan_in():
            for parameter in part:
                init.uniform_(parameter, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *spatial) -> (N, out_channels, *out)."""
        self.accept(x)
        return conv(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            padding_mode=self.padding_mode,
            connections=self.connections,
            algorithm=self.algorithm,
        )

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them; of a table of connections, how many links it has."""
        text = super().extra_repr()
        text += "" if self.connections is None else f", connections={len(self.weight)} links"
        return text + (f", algorithm={self.algorithm}" if self.algorithm != "auto" else "")

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of the output size with its numbers."""
        pairs = paddings(self.padding, shape[2:], self.kernel_size, self.stride, self.dilation)
        return explain(shape[2:], self.kernel_size, Geometry(self.stride, pairs, self.dilation))


class Conv1d(ConvNd):
    """1-D convolution, (N, in_channels, L) -> (N, out_channels, OL): see `ConvNd`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Conv1d(4, 8, 3, stride=2, padding="same")(mg.zeros((2, 4, 9))).shape
    (2, 8, 5)
    """

    dims = 1


class Conv2d(ConvNd):
    """2-D convolution, (N, in_channels, H, W) -> (N, out_channels, OH, OW): see `ConvNd`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Conv2d(3, 64, 7, stride=2, padding=3)(mg.zeros((1, 3, 32, 32))).shape
    (1, 64, 16, 16)
    """

    dims = 2


class Conv3d(ConvNd):
    """3-D convolution, (N, in_channels, D, H, W) -> (N, out_channels, OD, OH, OW): see `ConvNd`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1))(mg.zeros((1, 1, 4, 5, 6))).shape
    (1, 2, 4, 5, 6)
    """

    dims = 3


class ConvTransposeNd(Convolution):
    """Transposed convolution over as many axes as `kernel_size` has sizes: `minigrad.conv_transpose`, learned.

    (N, in_channels, *spatial) -> (N, out_channels, *out), with out = (size - 1)*stride - low - high +
    dilation*(kernel_size - 1) + output_padding + 1 along each axis.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation: as for `ConvNd`, of the
            convolution that goes the other way; in PyTorch's order, groups and bias before dilation.
        output_padding: elements more at the end of each axis, less than the stride or the dilation.

    Attributes:
        weight: (in_channels, out_channels/groups, *kernel_size).
        bias: (out_channels,); None without a bias.

    Raises:
        ValueError: channels that do not fit, or sizes that these options cannot give.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> up = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
    >>> up(mg.zeros((1, 4, 5, 5))).shape, up(mg.zeros((1, 4, 5, 5)), output_size=(10, 10)).shape
    ((1, 2, 9, 9), (1, 2, 10, 10))
    """

    transposed = True

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.output_padding = per_axis("output_padding", output_padding, len(self.kernel_size), 0)

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """(N, in_channels, *spatial) -> (N, out_channels, *out); the spatial sizes wanted stand for output_padding."""
        self.accept(x)
        return conv_transpose(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding if output_size is None else 0,
            output_size=output_size,
            dilation=self.dilation,
            groups=self.groups,
        )


class ConvTranspose1d(ConvTransposeNd):
    """1-D transposed convolution, (N, in_channels, L) -> (N, out_channels, OL): see `ConvTransposeNd`."""

    dims = 1


class ConvTranspose2d(ConvTransposeNd):
    """2-D transposed convolution, (N, in_channels, H, W) -> (N, out_channels, OH, OW): see `ConvTransposeNd`."""

    dims = 2


class ConvTranspose3d(ConvTransposeNd):
    """3-D transposed convolution, (N, in_channels, D, H, W) -> (N, out_channels, OD, OH, OW): see `ConvTransposeNd`."""

    dims = 3
