"""Normalisation of each sample by itself: layer, group, instance and root-mean-square norm."""

from __future__ import annotations

import math

import numpy as np

from minigrad import Tensor, batch_norm_act, ones, standardize, zeros
from minigrad.autocast import under_autocast
from minigrad.nn.layers.batch_norm import RunningNorm
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


def _last_axes(layer: Module, x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that a normalized_shape names, or an error."""
    if x.shape[x.ndim - len(shape) :] != shape or x.ndim < len(shape):
        raise ValueError(
            f"{type(layer).__name__} expects an input whose last axes are normalized_shape = {shape}, got {x.shape}"
        )
    return tuple(range(x.ndim - len(shape), x.ndim))


def _shape(normalized_shape: int | tuple[int, ...] | list[int]) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"normalized_shape must be an int or a tuple of sizes of at least 1, got {normalized_shape!r}")
    return shape


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x (N, C, *spatial) times a weight and plus a bias for each channel, where there are any, in the dtype of x."""
    each = (-1, *(1,) * (x.ndim - 2))
    x = x if weight is None else x * weight.reshape(each).astype(x.dtype)
    return x if bias is None else x + bias.reshape(each).astype(x.dtype)


class LayerNorm(Module):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, mean and var over the last axes of each sample by itself.

    Args:
        normalized_shape: the sizes of the last axes; an int means one axis.
        eps: keeps the division finite.
        elementwise_affine: whether there is a weight.
        bias: whether there is a bias too.

    Attributes:
        weight, bias: of `normalized_shape`, at first 1 and 0; None where there is none.

    Raises:
        ValueError: an input whose last axes have other sizes.

    Source: J. Ba, J. Kiros and G. Hinton, "Layer normalization", 2016, equation 4.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LayerNorm(2)(mg.tensor([[1.0, 3.0], [10.0, 30.0]])).detach().numpy().round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...] | list[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape), the same shape."""
        out = standardize(x, _last_axes(self, x, self.normalized_shape), self.eps)
        out = out if self.weight is None else out * self.weight
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        bias = f", bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}{bias}"


class RMSNorm(Module):
    """`x / sqrt(mean(x^2) + eps) * weight`, the mean over the last axes of each sample by itself.

    Args:
        normalized_shape: the sizes of the last axes; an int means one axis.
        eps: keeps the division finite; None means the distance from 1 to the next number of the dtype that is
            computed in, x's, or float32 for float16.
        elementwise_affine: whether there is a weight.

    Attributes:
        weight: of `normalized_shape`, at first 1; None where there is none.

    Raises:
        ValueError: an input whose last axes have other sizes.

    Source: B. Zhang and R. Sennrich, "Root mean square layer normalization", 2019, equation 4.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.RMSNorm(2, eps=0.0)(mg.tensor([[1.0, 7.0]])).detach().numpy().round(4)
    array([[0.2, 1.4]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...] | list[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ):
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape), the same shape."""
        axes = _last_axes(self, x, self.normalized_shape)
        computed = x.dtype if x.dtype.itemsize > 2 else np.float32
        eps = float(np.finfo(computed).eps) if self.eps is None else self.eps
        out = standardize(x, axes, eps, centre=False)
        return out if self.weight is None else out * self.weight

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, over the spatial axes and the channels of each group.

    Args:
        num_groups: into how many groups the channels are split; it must divide them.
        num_channels: how many channels there are.
        eps: keeps the division finite.
        affine: whether there is a weight for each channel.
        bias: whether there is a bias too.

    Attributes:
        weight, bias: (num_channels,), at first 1 and 0; None where there is none.

    Raises:
        ValueError: groups that do not divide the channels, or an input with other channels.

    Source: Y. Wu and K. He, "Group normalization", 2018, equations 1 to 5.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.GroupNorm(3, 6)(mg.randn(2, 6, 4, 4)).shape
    (2, 6, 4, 4)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"num_groups must divide num_channels, got num_groups={num_groups} and num_channels={num_channels}"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.weight = Parameter(ones(num_channels)) if affine else None
        self.bias = Parameter(zeros(num_channels)) if affine and bias else None

    @under_autocast("high")
    def forward(self, x: Tensor) -> Tensor:
        """(N, num_channels, *spatial), the same shape."""
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"GroupNorm expects (N, {self.num_channels}, *spatial), got an input of shape {x.shape}")
        # Each group of each sample as a channel of batch norm, which has a kernel for it.
        grouped = (1, x.shape[0] * self.num_groups, self.num_channels // self.num_groups, *x.shape[2:])
        out = batch_norm_act(x.reshape(grouped), eps=self.eps).reshape(x.shape)
        return _scaled(out.reshape(x.shape), self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        bias = f", bias={self.bias is not None}"
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}{bias}"


class InstanceNorm(RunningNorm):
    """Each channel of each sample by itself: `(x - mean) / sqrt(var + eps) * weight + bias` over the spatial axes.

    Abstract: a subclass sets `ranks`. Arguments and attributes are those of `BatchNorm`, but by default nothing is
    learned or tracked, and `num_batches_tracked` stays 0, as in PyTorch.

    Source: D. Ulyanov, A. Vedaldi and V. Lempitsky, "Instance normalization: the missing ingredient for fast
    stylization", 2016, equation 7.
    """

    def __init__(
        self,
        num_features: int | None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
    ):
        if track_running_stats and momentum is None:
            raise ValueError(f"{type(self).__name__} needs a momentum to track running statistics, got None")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_features, *spatial), the same shape."""
        self._accept(x)
        if not self.training and self.running_mean is not None:
            return self._by_running(x, eps=self.eps)
        n = math.prod(x.shape[2:])
        if n < 2 and self.training:
            raise ValueError(
                f"{type(self).__name__} needs more than one value for each channel of a sample to have a deviation, "
                f"got an input of shape {x.shape}"
            )
        # Each channel of each sample as one of batch norm's.
        apart = x.reshape(1, x.shape[0] * x.shape[1], *x.shape[2:])
        out, mean, var = batch_norm_act(apart, eps=self.eps, return_statistics=True)
        if self.running_mean is not None:
            self._follow(mean.reshape(x.shape[:2]).mean(0), var.reshape(x.shape[:2]).mean(0), n)
        return _scaled(out.reshape(x.shape), self.weight, self.bias)


class InstanceNorm1d(InstanceNorm):
    """Instance norm of (N, C, L)."""

    ranks = (1,)


class InstanceNorm2d(InstanceNorm):
    """Instance norm of (N, C, H, W).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> y = nn.InstanceNorm2d(3)(mg.randn(2, 3, 8, 8))
    >>> bool((abs(y.mean((2, 3))) < 1e-6).all())
    True
    """

    ranks = (2,)


class InstanceNorm3d(InstanceNorm):
    """Instance norm of (N, C, D, H, W)."""

    ranks = (3,)
