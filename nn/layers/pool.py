"""Pooling layers."""

from __future__ import annotations

from minigrad import Tensor, avg_pool2d, max_pool2d
from minigrad.nn.module import Module
from minigrad.window import Geometry, explain, per_axis

Size = int | tuple[int, int]


class MaxPool2d(Module):
    """The largest value of each window, (N, C, H, W) -> (N, C, OH, OW): `minigrad.max_pool2d`.

    OH = floor((H + 2*padding - kernel_size) / stride) + 1, and OW likewise.

    Args:
        kernel_size, padding: one int for both axes, or a pair; padding never wins.
        stride: the same; default: the kernel size.

    Raises:
        ValueError: an input without the four axes, or a window larger than the padded input.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.MaxPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return max_pool2d(x, self.kernel_size, stride=self.stride, padding=self.padding)

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of OH and OW with its numbers."""
        return _explain(self, shape)

    def extra_repr(self) -> str:
        """The arguments, with the two that PyTorch also shows and that are fixed here."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation=1, ceil_mode=False"
        )


class AvgPool2d(Module):
    """The mean of each window, (N, C, H, W) -> (N, C, OH, OW): `minigrad.avg_pool2d`.

    OH = floor((H + 2*padding - kernel_size) / stride) + 1, and OW likewise.

    Args:
        kernel_size, padding: one int for both axes, or a pair; padding counts as zeros.
        stride: the same; default: the kernel size.

    Raises:
        ValueError: an input without the four axes, or a window larger than the padded input.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.AvgPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]])
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return avg_pool2d(x, self.kernel_size, stride=self.stride, padding=self.padding)

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of OH and OW with its numbers."""
        return _explain(self, shape)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _explain(pool: MaxPool2d | AvgPool2d, shape: tuple[int, ...]) -> str:
    kernel, stride, padding = (per_axis("", value, 2, 0) for value in (pool.kernel_size, pool.stride, pool.padding))
    return explain(shape[2:], kernel, Geometry(stride, tuple((p, p) for p in padding), (1, 1)))
