"""Dropout: parts of the signal set to zero at random while training.

The random numbers come from the default generator of the device of the input, or from `generator`; in a region under
`minigrad.checkpoint` the second run draws the same ones. They belong to the elements in row-major order, so what is
dropped does not depend on the memory order of the input. Only a boolean for each number drawn is kept for the way back.
"""

from __future__ import annotations

import numpy as np

import minigrad
from minigrad import Tensor
from minigrad.backend import in_order
from minigrad.nn.layers.images import expect_images
from minigrad.nn.module import Module


class _Dropping(Module):
    """What the layers of this file share: the probability, the generator, and how the mask is drawn. Abstract."""

    def __init__(self, p: float, generator: np.random.Generator | None):
        if not 0 <= p <= 1:
            raise ValueError(f"p must be a probability, between 0 and 1, got {p}")
        self.p = p
        self.generator = generator

    def drop(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """x with each part set to zero with the probability p, one random number for each element of `shape`."""
        if self.p == 0:
            return x
        drawn = minigrad.rand(shape, device=x.device, generator=self.generator)
        keep = drawn._array >= self.p  # drawn from [0, 1): p = 1 drops everything
        # A mask in another memory order would make every product with it slow, on the way back as well.
        return minigrad.mask(x, in_order(keep, x._array.strides) if shape == x.shape else keep)

    def scaled(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same, divided by the share that is kept: the expectation stays that of x."""
        kept = self.drop(x, shape)
        return kept if self.p in (0, 1) else kept * (1 / (1 - self.p))


class Dropout(_Dropping):
    """In training each element is zero with the probability p and x / (1 - p) otherwise; in evaluation, x itself.

    Args:
        p: the probability of zero.
        inplace: accepted for PyTorch's sake: it shows in the repr, and the input is never overwritten.
        generator: where the random numbers come from; default: the generator that `minigrad.manual_seed` restarts.

    The input has any shape and a floating dtype.

    Raises:
        ValueError: a p outside [0, 1].

    Source: N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov: Dropout: A Simple Way to Prevent
    Neural Networks from Overfitting, JMLR 15, 2014, sections 4 and 10.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> sorted(set(nn.Dropout(0.5)(mg.ones(100)).tolist())), nn.Dropout(0.5).eval()(mg.ones(3))
    ([0.0, 2.0], tensor([1., 1., 1.]))
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, generator: np.random.Generator | None = None):
        super().__init__(p, generator)
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.scaled(x, x.shape) if self.training else x

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"p={self.p}, inplace={self.inplace}"


class ChannelDropout(Dropout):
    """`Dropout` of whole channels: all elements of a channel of one sample stay or go together. Abstract.

    Args:
        p, inplace, generator: those of `Dropout`.

    The input has a batch axis always (PyTorch also takes some without one).

    Raises:
        ValueError: a p outside [0, 1], or an input of another rank.

    Source: J. Tompson, R. Goroshin, A. Jain, Y. LeCun, C. Bregler: Efficient Object Localization Using Convolutional
    Networks, CVPR 2015, section 3.2.
    """

    dims: int

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> the same shape."""
        expect_images(self, x, self.dims)
        return self.scaled(x, (*x.shape[:2], *(1,) * self.dims)) if self.training else x


class Dropout1d(ChannelDropout):
    """In training each channel, (L,) of (N, C, L), is zero with the probability p: see `ChannelDropout`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> y = nn.Dropout1d(0.5)(mg.ones((8, 5, 3)))
    >>> bool((y == y[..., :1]).all())
    True
    """

    dims = 1


class Dropout2d(ChannelDropout):
    """In training each channel, (H, W) of (N, C, H, W), is zero with the probability p: see `ChannelDropout`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> y = nn.Dropout2d(0.5)(mg.ones((8, 5, 3, 2)))
    >>> bool((y == y[..., :1, :1]).all())
    True
    """

    dims = 2


class Dropout3d(ChannelDropout):
    """In training each channel, (D, H, W) of (N, C, D, H, W), is zero with the probability p: see `ChannelDropout`."""

    dims = 3


class DropPath(_Dropping):
    """Stochastic depth: in training each sample is zero with the probability p and x / (1 - p) otherwise.

    It goes at the end of the branch of a residual block, which it switches off for a sample as a whole:
    `y = x + drop_path(branch(x))`. torchvision's `StochasticDepth(p, mode="row")`.

    Args:
        p: the probability that the branch of a sample is switched off; the default drops nothing.
        generator: where the random numbers come from; default: the generator that `minigrad.manual_seed` restarts.

    Raises:
        ValueError: a p outside [0, 1], or an input without a batch axis.

    Source: G. Huang, Y. Sun, Z. Liu, D. Sedra, K. Weinberger: Deep Networks with Stochastic Depth, ECCV 2016, section
    3; there evaluation multiplies by 1 - p, and here training divides by it.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> y = nn.DropPath(0.5)(mg.ones((8, 3, 2)))
    >>> bool((y == y[:, :1, :1]).all())
    True
    """

    def __init__(self, p: float = 0.0, generator: np.random.Generator | None = None):
        super().__init__(p, generator)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> the same shape."""
        if x.ndim < 1:
            raise ValueError("DropPath expects a batch, (N, ...), got a single number")
        return self.scaled(x, (x.shape[0], *(1,) * (x.ndim - 1))) if self.training else x

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class UnscaledDropout(_Dropping):
    """Dropout as AlexNet had it: in training zero or x itself, in evaluation all of x, multiplied by 1 - p.

    In both modes the expectation is 1 - p times that of `Dropout`, so weights trained with one do not fit the other.

    Args:
        p: the probability of zero.
        generator: where the random numbers come from; default: the generator that `minigrad.manual_seed` restarts.

    Raises:
        ValueError: a p outside [0, 1].

    Source: A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
    NIPS 2012, section 4.2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> sorted(set(nn.UnscaledDropout(0.5)(mg.ones(100)).tolist())), nn.UnscaledDropout(0.25).eval()(mg.ones(2))
    ([0.0, 1.0], tensor([0.75, 0.75]))
    """

    def __init__(self, p: float = 0.5, generator: np.random.Generator | None = None):
        super().__init__(p, generator)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.drop(x, x.shape) if self.training else x * (1 - self.p)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
