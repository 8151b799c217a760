"""Pooling layers, for one, two and three spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad
from minigrad import Tensor
from minigrad.nn.layers.images import expect_images
from minigrad.nn.module import Module
from minigrad.window import Geometry, explain, paddings, per_axis

Size = int | tuple[int, ...]


class Pool(Module):
    """What the pooling layers with a window share. Abstract: a subclass sets `dims`."""

    dims: int
    kernel_size: Size
    stride: Size
    padding: Any
    dilation: Size = 1

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The formula of the output size with its numbers."""
        kernel = per_axis("kernel_size", self.kernel_size, self.dims, 1)
        stride = per_axis("stride", self.stride, self.dims, 1)
        apart = per_axis("dilation", self.dilation, self.dims, 1)
        pairs = paddings(self.padding, shape[2:], kernel, stride, apart)
        return explain(shape[2:], kernel, Geometry(stride, pairs, apart))


class ExtremePool(Pool):
    """The largest or the smallest value of each window: what max and min pooling share. Abstract: it lacks `pool`.

    Args:
        kernel_size, dilation: an int, or one for each axis.
        stride: the same; default: the kernel size.
        padding: as for `minigrad.max_pool`; it never wins.
        return_indices: whether to return also where the winners are, for `MaxUnpool`.
        ceil_mode: whether a last window that sticks out counts.

    Raises:
        ValueError: an input of another rank, a window larger than the padded input, or one that sees only padding.
    """

    pool: Callable[..., Any]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Any = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Any:
        """(N, C, *spatial) -> (N, C, *out), and the indices if they were asked for."""
        expect_images(self, x, self.dims)
        return self.pool(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(ExtremePool):
    """The largest value of each window, (N, C, L) -> (N, C, OL): `minigrad.max_pool1d`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.MaxPool1d(2)(mg.tensor([[[1.0, 3, 2, 0]]]))
    tensor([[[3., 2.]]])
    """

    dims, pool = 1, staticmethod(minigrad.max_pool)


class MaxPool2d(ExtremePool):
    """The largest value of each window, (N, C, H, W) -> (N, C, OH, OW): `minigrad.max_pool2d`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.MaxPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """

    dims, pool = 2, staticmethod(minigrad.max_pool)


class MaxPool3d(ExtremePool):
    """The largest value of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW): `minigrad.max_pool3d`."""

    dims, pool = 3, staticmethod(minigrad.max_pool)


class MinPool1d(ExtremePool):
    """The smallest value of each window, (N, C, L) -> (N, C, OL): `minigrad.min_pool1d`."""

    dims, pool = 1, staticmethod(minigrad.min_pool)


class MinPool2d(ExtremePool):
    """The smallest value of each window, (N, C, H, W) -> (N, C, OH, OW): `minigrad.min_pool2d`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.MinPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 0.,  2.],
              [ 8., 10.]]]])
    """

    dims, pool = 2, staticmethod(minigrad.min_pool)


class MinPool3d(ExtremePool):
    """The smallest value of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW): `minigrad.min_pool3d`."""

    dims, pool = 3, staticmethod(minigrad.min_pool)


class AvgPool(Pool):
    """The mean of each window: what AvgPool1d to AvgPool3d share. Abstract.

    Args:
        kernel_size: an int, or one for each axis.
        stride: the same; default: the kernel size.
        padding, ceil_mode, count_include_pad, divisor_override: as for `minigrad.avg_pool`.

    Raises:
        ValueError: an input of another rank, a window larger than the padded input, or one that sees only padding.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: float | None = None,
    ):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, *out)."""
        expect_images(self, x, self.dims)
        return minigrad.avg_pool(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(AvgPool):
    """The mean of each window, (N, C, L) -> (N, C, OL): `minigrad.avg_pool1d`."""

    dims = 1


class AvgPool2d(AvgPool):
    """The mean of each window, (N, C, H, W) -> (N, C, OH, OW): `minigrad.avg_pool2d`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.AvgPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]])
    """

    dims = 2


class AvgPool3d(AvgPool):
    """The mean of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW): `minigrad.avg_pool3d`."""

    dims = 3


class LPPool(Pool):
    """The p-norm of each window: what LPPool1d to LPPool3d share. Abstract.

    Args:
        norm_type: p, at least 1.
        kernel_size, stride, ceil_mode: as for the other pools; there is no padding.

    Raises:
        ValueError: an input of another rank, a p below 1, or a window larger than the input.
    """

    padding = 0

    def __init__(self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False):
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, *out)."""
        expect_images(self, x, self.dims)
        return minigrad.lp_pool(x, self.norm_type, self.kernel_size, stride=self.stride, ceil_mode=self.ceil_mode)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(LPPool):
    """The p-norm of each window, (N, C, L) -> (N, C, OL): `minigrad.lp_pool1d`."""

    dims = 1


class LPPool2d(LPPool):
    """The p-norm of each window, (N, C, H, W) -> (N, C, OH, OW): `minigrad.lp_pool2d`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LPPool2d(2, 2)(mg.tensor([[[[3.0, 0], [0, 4]]]]))
    tensor([[[[5.]]]])
    """

    dims = 2


class LPPool3d(LPPool):
    """The p-norm of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW): `minigrad.lp_pool3d`."""

    dims = 3


class MaxUnpool(Module):
    """Values laid back where a max pooling took them from: what MaxUnpool1d to MaxUnpool3d share. Abstract.

    Args:
        kernel_size, stride, padding: those of that pooling, which must return its indices.

    Raises:
        ValueError: shapes, indices or a size that do not fit.
    """

    dims: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        self.kernel_size = per_axis("kernel_size", kernel_size, self.dims, 1)
        self.stride = self.kernel_size if stride is None else per_axis("stride", stride, self.dims, 1)
        self.padding = per_axis("padding", padding, self.dims, 0)

    def forward(self, x: Tensor, indices: Tensor, output_size: Size | None = None) -> Tensor:
        """(N, C, *out) and its indices -> (N, C, *spatial); PyTorch's output_size may have N and C in front."""
        if isinstance(output_size, (tuple, list)) and len(output_size) == self.dims + 2:
            output_size = tuple(output_size[2:])
        options = {"stride": self.stride, "padding": self.padding, "output_size": output_size}
        return minigrad.max_unpool(x, indices, self.kernel_size, **options)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(MaxUnpool):
    """(N, C, OL) -> (N, C, L): `minigrad.max_unpool1d`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> values, places = nn.MaxPool1d(2, return_indices=True)(mg.tensor([[[1.0, 3, 2, 0]]]))
    >>> nn.MaxUnpool1d(2)(values, places)
    tensor([[[0., 3., 2., 0.]]])
    """

    dims = 1


class MaxUnpool2d(MaxUnpool):
    """(N, C, OH, OW) -> (N, C, H, W): `minigrad.max_unpool2d`."""

    dims = 2


class MaxUnpool3d(MaxUnpool):
    """(N, C, OD, OH, OW) -> (N, C, D, H, W): `minigrad.max_unpool3d`."""

    dims = 3
