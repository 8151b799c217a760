"""Losses with a margin: nothing to pay once the right answer is ahead by enough."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, clip, mask, minimum, norm, relu
from minigrad.checks import one_of, positive
from minigrad.nn.losses.common import (
    alike,
    class_axis,
    class_targets,
    class_weights,
    constant,
    floating,
    in_single,
    is_target,
    picked,
    reduced,
    reduction_of,
    require,
)
from minigrad.nn.module import Module


class HingeLoss(Module):
    """The loss of a support vector machine with two classes, `l_n = max(0, margin - target_n * x_n)`.

    Its arguments: x, scores, and target, -1 or 1, both of one shape. PyTorch has no such loss. The derivative at the
    kink is 0.

    Args:
        margin: how far beyond 0 a score of the right sign has to be.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: two shapes, a target that is neither -1 nor 1, or an unknown reduction.
        TypeError: x is not floating.

    Source: C. Cortes, V. Vapnik: Support-Vector Networks, Machine Learning 1995, section 3: the slack of the soft
    margin.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.HingeLoss(reduction="none")(mg.tensor([2.0, 0.5, 0.5]), mg.tensor([1, 1, -1]))
    tensor([0. , 0.5, 1.5])
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        self.margin = margin
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        _signs(self, target)
        return reduced(relu(self.margin - target * x), self.reduction)

    def extra_repr(self) -> str:
        """The margin."""
        return f"margin={self.margin}"


class HingeEmbeddingLoss(Module):
    """Distances that should be small for similar pairs, and at least the margin for others::

        l_n = x_n                       where target_n = 1
        l_n = max(0, margin - x_n)      where target_n = -1

    Its arguments: x, distances, and target, -1 or 1, both of one shape (PyTorch takes any target and broadcasts).

    Args:
        margin: how far apart a dissimilar pair has to be.
        reduction: "mean" over all elements, "sum" or "none", by keyword.

    Raises:
        ValueError: two shapes, a target that is neither -1 nor 1, or an unknown reduction.
        TypeError: x is not floating.

    Source: R. Hadsell, S. Chopra, Y. LeCun: Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006,
    section 2.1, whose equation 4 squares both parts.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.HingeEmbeddingLoss(reduction="none")(mg.tensor([0.25, 0.25, 2.0]), mg.tensor([1, -1, -1]))
    tensor([0.25, 0.75, 0.  ])
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean"):
        self.margin = margin
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        _signs(self, target)
        return reduced(mask(x, target == 1) + mask(clip(self.margin - x, 0), target == -1), self.reduction)


def _signs(loss: Module, target: Tensor) -> None:
    require((target == 1) | (target == -1), target, f"{type(loss).__name__} expects targets of -1 and 1")


class MultiMarginLoss(Module):
    """The score of the right class has to be ahead of every other one by the margin::

        l_n = sum over c != target_n of  weight[target_n] * max(0, margin - x[n, target_n] + x[n, c])^p / C

    Its arguments: x (N, C), scores, and target (N,), integers from 0 to C - 1; or (C,) and one integer.

    Args:
        p: 1 or 2.
        margin: how far ahead.
        weight: one number for each class, (C,).
        reduction: "mean" over the batch, "sum" or "none", by keyword.

    Attributes:
        weight: a buffer, or None.

    Raises:
        ValueError: shapes that do not fit, a class outside 0 ... C - 1, another p, or an unknown reduction.
        TypeError: x is not floating, or target does not hold integers.

    Source: K. Crammer, Y. Singer: On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, JMLR
    2001; with a sum over all wrong classes instead of the worst, J. Weston, C. Watkins: Support Vector Machines for
    Multi-Class Pattern Recognition, ESANN 1999.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.MultiMarginLoss()(mg.tensor([[0.0, 0.5, 3.0, 0.0]]), mg.tensor([1]))
    tensor(1.125)
    """

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"):
        self.p = one_of("p", p, (1, 2))
        self.margin = margin
        self.weight = constant("weight", weight)
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element of the batch."""
        x = floating(self, "x", x)
        if x.ndim not in (1, 2):
            raise ValueError(f"MultiMarginLoss expects x (N, C) or (C,), got {x.shape}")
        target = class_targets(self, x, target)
        axis = class_axis(x)
        behind = relu(self.margin - picked(x, target).reshape(*target.shape, 1) + x)
        others = mask(behind, ~is_target(x, target))
        each = (others if self.p == 1 else others * others).sum(axis) / x.shape[axis]
        if self.weight is not None:
            each = each * class_weights(self, x, "weight", self.weight)[target]
        return reduced(each, self.reduction)


class TripletMarginLoss(Module):
    """An anchor has to be nearer to a positive example than to a negative one, by the margin::

        d(a, b) = |a - b + eps|_p                              the p-norm over the last axis
        l_n = max(0, margin + d(anchor_n, positive_n) - d(anchor_n, negative_n))

    Its arguments: anchor, positive and negative, floating, (N, D) or (D,) or with more axes before D, all of one shape
    (PyTorch broadcasts them).

    Args:
        margin: how much nearer, positive.
        p: of the norm.
        eps: keeps the gradient finite where two examples are equal.
        swap: count the distance of positive and negative where it is smaller than that of anchor and negative.
        reduction: "mean" over the triplets, "sum" or "none", by keyword.

    Raises:
        ValueError: shapes that differ, numbers without an axis, a margin or p that is not positive, or an unknown
            reduction.
        TypeError: an anchor that is not floating.

    Source: F. Schroff, D. Kalenichenko, J. Philbin: FaceNet, CVPR 2015, equation 3, whose distances are squared;
    swap: V. Balntas, E. Riba, D. Ponsa, K. Mikolajczyk: Learning Local Feature Descriptors with Triplets and Shallow
    Convolutional Neural Networks, BMVC 2016, the anchor swap.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> anchor, positive, negative = mg.tensor([[0.0, 0.0]]), mg.tensor([[3.0, 4.0]]), mg.tensor([[0.0, 5.5]])
    >>> nn.TripletMarginLoss(eps=0)(anchor, positive, negative)
    tensor(0.5)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ):
        self.margin = positive("margin", margin)
        self.p = positive("p", p)
        self.eps = eps
        self.swap = swap
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, anchor: Tensor, positive: Any, negative: Any) -> Tensor:
        """One number, or with reduction="none" one for each triplet."""
        anchor, positive, negative = alike(self, anchor=anchor, positive=positive, negative=negative)
        if not anchor.ndim:
            raise ValueError("TripletMarginLoss expects vectors, (N, D) or (D,), got single numbers")
        near, far = self._distance(anchor, positive), self._distance(anchor, negative)
        if self.swap:
            far = minimum(far, self._distance(positive, negative))
        return reduced(clip(self.margin + near - far, 0), self.reduction)

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        return norm(a - b + self.eps, self.p, -1)
