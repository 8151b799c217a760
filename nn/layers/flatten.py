"""Flatten and Unflatten: from feature maps to vectors, and back."""

from __future__ import annotations

import math

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
        size = math.prod(x.shape[first : last + 1])  # spelled out, since -1 cannot be worked out in an empty batch
        return x.reshape(*x.shape[:first], size, *x.shape[last + 1 :])

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Make several axes of one: the inverse of `Flatten`.

    Args:
        dim: the axis that goes; a negative one counts from the end.
        unflattened_size: the sizes of the axes in its place; one of them may be -1 and is worked out.

    Raises:
        ValueError: sizes that are not a shape, an axis that the input does not have, or one of another size.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Unflatten(1, (16, -1, 5))(mg.zeros((8, 400))).shape
    (8, 16, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        sizes = tuple(unflattened_size)
        if not sizes or sizes.count(-1) > 1 or any(n < 0 for n in sizes if n != -1):
            raise ValueError(f"unflattened_size must hold sizes of at least 0, one of them may be -1, got {sizes}")
        self.dim = dim
        self.unflattened_size = sizes

    def forward(self, x: Tensor) -> Tensor:
        """The same elements, in row-major order."""
        axis = self.dim + x.ndim if self.dim < 0 else self.dim
        if not 0 <= axis < x.ndim:
            raise ValueError(f"Unflatten expects an input with the axis dim={self.dim}, got one of shape {x.shape}")
        size, known = x.shape[axis], math.prod(n for n in self.unflattened_size if n != -1)
        # Worked out here, for the axis alone: of an empty batch as a whole it could not be.
        free = size // known if known and -1 in self.unflattened_size else 0
        sizes = tuple(free if n == -1 else n for n in self.unflattened_size)
        if math.prod(sizes) != size:
            raise ValueError(
                f"Unflatten({self.dim}, {self.unflattened_size}) does not fit axis {axis} of an input of shape "
                f"{x.shape}: {size} is not the product of the sizes"
            )
        return x.reshape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
