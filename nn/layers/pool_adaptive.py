"""Pooling to a given size: adaptive and global pooling layers."""

from __future__ import annotations

from typing import Any

import minigrad
from minigrad import Tensor
from minigrad.nn.layers.images import expect_images
from minigrad.nn.module import Module

OutputSize = int | None | tuple[int | None, ...]


class AdaptivePool(Module):
    """What adaptive pooling layers share. Abstract: a subclass sets `dims`.

    Args:
        output_size: an int, or one for each axis; None keeps an axis as it is.

    Raises:
        ValueError: an input of another rank, or a size below 1.
    """

    dims: int

    def __init__(self, output_size: OutputSize):
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size, as PyTorch shows it."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool(AdaptivePool):
    """The mean of each of as many windows as asked for: `minigrad.adaptive_avg_pool`. Abstract."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, *output_size)."""
        expect_images(self, x, self.dims)
        return minigrad.adaptive_avg_pool(x, self.output_size)


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """(N, C, L) -> (N, C, output_size).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.AdaptiveAvgPool1d(3)(mg.arange(7.0).reshape(1, 1, 7))
    tensor([[[1., 3., 5.]]])
    """

    dims = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """(N, C, H, W) -> (N, C, *output_size).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.AdaptiveAvgPool2d((1, None))(mg.ones((2, 3, 5, 6))).shape
    (2, 3, 1, 6)
    """

    dims = 2


class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """(N, C, D, H, W) -> (N, C, *output_size)."""

    dims = 3


class AdaptiveMaxPool(AdaptivePool):
    """The largest value of each of as many windows as asked for: `minigrad.adaptive_max_pool`. Abstract.

    Args:
        output_size: an int, or one for each axis; None keeps an axis as it is.
        return_indices: whether to return also where the winners are.
    """

    def __init__(self, output_size: OutputSize, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        """(N, C, *spatial) -> (N, C, *output_size), and the indices if they were asked for."""
        expect_images(self, x, self.dims)
        return minigrad.adaptive_max_pool(x, self.output_size, return_indices=self.return_indices)


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """(N, C, L) -> (N, C, output_size)."""

    dims = 1


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """(N, C, H, W) -> (N, C, *output_size).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.AdaptiveMaxPool2d(1)(mg.arange(6.0).reshape(1, 1, 2, 3))
    tensor([[[[5.]]]])
    """

    dims = 2


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """(N, C, D, H, W) -> (N, C, *output_size)."""

    dims = 3


class GlobalAvgPool(Module):
    """The mean of each channel, (N, C, *spatial) -> (N, C, 1, ..., 1): `minigrad.global_avg_pool`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.GlobalAvgPool()(mg.arange(8.0).reshape(1, 2, 4))
    tensor([[[1.5],
             [5.5]]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, 1, ..., 1)."""
        return minigrad.global_avg_pool(x)


class GlobalMaxPool(Module):
    """The largest value of each channel, (N, C, *spatial) -> (N, C, 1, ..., 1): `minigrad.global_max_pool`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, 1, ..., 1)."""
        return minigrad.global_max_pool(x)


class GlobalMinPool(Module):
    """The smallest value of each channel, (N, C, *spatial) -> (N, C, 1, ..., 1): `minigrad.global_min_pool`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, 1, ..., 1)."""
        return minigrad.global_min_pool(x)
