"""The two losses of LeNet-5, on the penalties that its output units give to each class."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, concatenate, cross_entropy, full
from minigrad.checks import positive
from minigrad.nn.losses.common import class_axis, class_targets, floating, in_single, picked, reduced, reduction_of
from minigrad.nn.module import Module


class LeNetMSELoss(Module):
    """The penalty of the right class, `l_n = x[n, target_n]`.

    The output units of LeNet-5 are radial basis functions: each gives the squared distance of the 84 activations before
    it to the drawn code of its class, so this is a squared error, and is called MSE in the paper. It looks at the right
    class only: with codes that are learned, all classes could agree on one code and pay nothing; `LeNetMAPLoss`
    prevents that.

    Its arguments: x (N, C) or (N, C, ...) or (C,), penalties, and target (N,), (N, ...) or one number, integers from 0
    to C - 1.

    Args:
        reduction: "mean" over the patterns, "sum" or "none".

    Raises:
        ValueError: shapes that do not fit, a class outside 0 ... C - 1, or an unknown reduction.
        TypeError: x is not floating, or target does not hold integers.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section II.C, equation 8.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LeNetMSELoss()(mg.tensor([[3.0, 80.0], [90.0, 5.0]]), mg.tensor([0, 1]))
    tensor(4.)
    """

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each pattern."""
        x = floating(self, "x", x)
        return reduced(picked(x, class_targets(self, x, target)), self.reduction)


class LeNetMAPLoss(Module):
    """The penalty of the right class, and a competition that pushes the penalties of the others up::

        l_n = x[n, target_n] + log(exp(-j) + sum_i exp(-x[n, i]))

    This is the negative logarithm of the posterior probability of the right class, beside one more, rubbish class whose
    penalty is always j: the cross entropy of the logits -x_1, ..., -x_C, -j, and it is computed as that. It is never
    negative.

    Its arguments: x (N, C) or (N, C, ...) or (C,), penalties, and target (N,), (N, ...) or one number, integers from 0
    to C - 1.

    Args:
        j: the penalty of the rubbish class, positive: those of wrong classes that are well above it are left alone;
            `math.inf` leaves the rubbish class out. The paper gives no value. The default, 84, is what every class of
            LeNet-5 gives to 84 activations of 0, which lie at distance 84 from all codes of -1 and 1: a pattern that
            says nothing.
        reduction: "mean" over the patterns, "sum" or "none".

    Raises:
        ValueError: shapes that do not fit, a class outside 0 ... C - 1, j that is not positive, or an unknown
            reduction.
        TypeError: x is not floating, or target does not hold integers.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section II.C, equation 9.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LeNetMAPLoss()(mg.full((1, 10), 84.0), mg.tensor([3]))  # 10 classes and rubbish are all the same: log(11)
    tensor(2.3978953)
    """

    def __init__(self, j: float = 84.0, reduction: str = "mean"):
        self.j = positive("j", j)
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each pattern."""
        x = floating(self, "x", x)
        target = class_targets(self, x, target)
        axis = class_axis(x)
        rubbish = full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), -self.j, x.dtype, x.device)
        return cross_entropy(concatenate([-x, rubbish], axis), target, reduction=self.reduction)

    def extra_repr(self) -> str:
        """The penalty of rubbish."""
        return f"j={self.j}"
