"""Channels to pixels and back, without computing anything."""

from __future__ import annotations

from math import prod

from minigrad import Tensor
from minigrad.backend import order_of
from minigrad.nn.module import Module


def _joined(x: Tensor, groups: list[tuple[int, ...]], order: list[int]) -> Tensor:
    """x with each group of its axes as one axis; in memory the new axes lie in this order, the slowest first."""
    lying = x.transpose([axis for new in order for axis in groups[new]])
    sizes = [prod(x.shape[axis] for axis in groups[new]) for new in order]
    return lying.reshape(*sizes).transpose([order.index(new) for new in range(len(groups))])


class PixelShuffle(Module):
    """(..., C*r*r, H, W) -> (..., C, H*r, W*r): each r*r channels become a square of pixels.

    `out[..., c, h*r + i, w*r + j] = x[..., c*r*r + i*r + j, h, w]`. After a convolution it is a learned upsampling.

    Args:
        upscale_factor: r, at least 1.

    Raises:
        ValueError: a factor below 1, or an input whose channels are not a multiple of its square.

    Source: W. Shi, J. Caballero, F. Huszar, J. Totz, A. Aitken, R. Bishop, D. Rueckert, Z. Wang: Real-Time Single Image
    and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, CVPR 2016, section 3.2,
    equation 4.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.PixelShuffle(2)(mg.arange(4.0).reshape(1, 4, 1, 1))
    tensor([[[[0., 1.],
              [2., 3.]]]])
    """

    def __init__(self, upscale_factor: int):
        if upscale_factor < 1:
            raise ValueError(f"upscale_factor must be at least 1, got {upscale_factor}")
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """(..., C*r*r, H, W) -> (..., C, H*r, W*r)."""
        r, n = self.upscale_factor, x.ndim - 3
        if n < 0 or x.shape[n] % (r * r):
            raise ValueError(
                f"PixelShuffle expects (..., C, H, W) with C a multiple of upscale_factor**2 = {r * r}, got an input "
                f"of shape {x.shape}"
            )
        apart = x.reshape(*x.shape[:n], x.shape[n] // (r * r), r, r, *x.shape[n + 1 :])
        groups = [*((axis,) for axis in range(n + 1)), (n + 3, n + 1), (n + 4, n + 2)]
        return _joined(apart, groups, order_of(x._array.strides))

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H*r, W*r) -> (..., C*r*r, H, W): each square of pixels becomes r*r channels.

    The reverse of `PixelShuffle`.

    Args:
        downscale_factor: r, at least 1; it must divide H and W.

    Raises:
        ValueError: a factor below 1, or an input whose sizes are not multiples of it.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.PixelUnshuffle(2)(mg.arange(4.0).reshape(1, 1, 2, 2)).shape
    (1, 4, 1, 1)
    """

    def __init__(self, downscale_factor: int):
        if downscale_factor < 1:
            raise ValueError(f"downscale_factor must be at least 1, got {downscale_factor}")
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """(..., C, H*r, W*r) -> (..., C*r*r, H, W)."""
        r, n = self.downscale_factor, x.ndim - 3
        if n < 0 or x.shape[n + 1] % r or x.shape[n + 2] % r:
            raise ValueError(
                f"PixelUnshuffle expects (..., C, H, W) with H and W multiples of downscale_factor={r}, got an input "
                f"of shape {x.shape}"
            )
        apart = x.reshape(*x.shape[: n + 1], x.shape[n + 1] // r, r, x.shape[n + 2] // r, r)
        groups = [*((axis,) for axis in range(n)), (n, n + 2, n + 4), (n + 1,), (n + 3,)]
        return _joined(apart, groups, order_of(x._array.strides))

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"
