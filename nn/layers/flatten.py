"""Flatten: from feature maps to vectors."""

from __future__ import annotations

from minigrad import Tensor
from minigrad.nn.module import Module


class Flatten(Module):
    """Make one axis of the axes from `start_dim` to `end_dim`: (N, C, H, W) -> (N, C*H*W) by default.

    Args:
        start_dim: the first axis that goes; 1 keeps the batch.
        end_dim: the last one; negative axes count from the end.

    Raises:
        ValueError: axes that the input does not have, or in the wrong order.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Flatten()(mg.zeros((8, 16, 5, 5))).shape
    (8, 400)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        """The same elements, in row-major order."""
        first, last = (dim + x.ndim if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < x.ndim:
            raise ValueError(
                f"Flatten expects an input with the axes start_dim={self.start_dim} to end_dim={self.end_dim}, in this "
                f"order, got one of shape {x.shape}"
            )
        size = 1
        for n in x.shape[first : last + 1]:
            size *= n  # spelled out, since -1 cannot be worked out in an empty batch
        return x.reshape(*x.shape[:first], size, *x.shape[last + 1 :])

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
