"""Losses of regression: how far numbers are from their targets."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor
from minigrad.checks import at_least_zero, positive
from minigrad.nn.losses.common import alike, in_single, reduced, reduction_of
from minigrad.nn.module import Module


class MSELoss(Module):
    """The squared error, `l_n = (x_n - target_n)^2`; its mean is least squares.

    Its arguments: x, floating, and target, both of one shape (PyTorch broadcasts them and warns).

    Args:
        reduction: "mean" over all elements, "sum" or "none", by keyword.

    Raises:
        ValueError: two shapes, or an unknown reduction.
        TypeError: x is not floating.

    Source: A.-M. Legendre: Nouvelles méthodes pour la détermination des orbites des comètes, 1805, appendix.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.MSELoss()(mg.tensor([1.0, 4.0]), mg.tensor([0.0, 0.0]))
    tensor(8.5)
    """

    def __init__(self, *, reduction: str = "mean"):
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        d = x - target
        return reduced(d * d, self.reduction)


class L1Loss(Module):
    """The absolute error, `l_n = |x_n - target_n|`; its derivative at 0 is 0.

    Its arguments: x, floating, and target, both of one shape (PyTorch broadcasts them and warns).

    Args:
        reduction: "mean" over all elements, "sum" or "none", by keyword.

    Raises:
        ValueError: two shapes, or an unknown reduction.
        TypeError: x is not floating.

    Source: P.-S. Laplace: Sur quelques points du système du monde, 1789.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.L1Loss(reduction="sum")(mg.tensor([1.0, -4.0]), mg.tensor([0.0, 0.0]))
    tensor(5.)
    """

    def __init__(self, *, reduction: str = "mean"):
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        return reduced((x - target).abs(), self.reduction)


def _huber(d: Tensor, delta: float) -> Tensor:
    """The difference limited to +-delta, times the rest: one formula for both pieces, and finite where d*d is not."""
    c = d.clip(-delta, delta)
    return c * (d - 0.5 * c)


class HuberLoss(Module):
    """A squared error near 0 and an absolute error far away, so that a few wild values do not rule::

        d = x_n - target_n
        l_n = d^2 / 2                       where |d| <= delta
        l_n = delta * (|d| - delta/2)       elsewhere

    Its arguments: x, floating, and target, both of one shape (PyTorch broadcasts them and warns).

    Args:
        reduction: "mean" over all elements, "sum" or "none".
        delta: where the parabola becomes a line, positive.

    Raises:
        ValueError: two shapes, an unknown reduction, or a delta that is not positive.
        TypeError: x is not floating.

    Source: P. Huber: Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 1964.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.HuberLoss(reduction="none")(mg.tensor([0.5, 10.0]), mg.tensor([0.0, 0.0]))
    tensor([0.125, 9.5  ])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        self.reduction = reduction_of(reduction)
        self.delta = positive("delta", delta)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        return reduced(_huber(x - target, self.delta), self.reduction)


class SmoothL1Loss(Module):
    """The absolute error with its kink at 0 rounded off: the Huber loss with delta = beta, divided by beta::

        d = x_n - target_n
        l_n = d^2 / (2*beta)                where |d| < beta
        l_n = |d| - beta/2                  elsewhere

    Its arguments: x, floating, and target, both of one shape (PyTorch broadcasts them and warns).

    Args:
        reduction: "mean" over all elements, "sum" or "none", by keyword.
        beta: how far the rounding reaches, at least 0; 0 gives the absolute error itself.

    Raises:
        ValueError: two shapes, an unknown reduction, or a negative beta.
        TypeError: x is not floating.

    Source: R. Girshick: Fast R-CNN, ICCV 2015, equation 3, where beta is 1.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.SmoothL1Loss(reduction="none", beta=0.5)(mg.tensor([0.25, 10.0]), mg.tensor([0.0, 0.0]))
    tensor([0.0625, 9.75  ])
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0):
        self.reduction = reduction_of(reduction)
        self.beta = at_least_zero("beta", beta)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        d = x - target
        return reduced(_huber(d, self.beta) / self.beta if self.beta else d.abs(), self.reduction)
