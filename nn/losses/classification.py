"""Losses of classifiers: minus the logarithm of the probability that the right class was given."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from minigrad import Tensor, cross_entropy, exp, log, log1p, logsigmoid, logsumexp, mask, maximum, sigmoid, where, xp
from minigrad.autocast import is_autocast_enabled
from minigrad.checks import at_least_zero, one_of
from minigrad.engine import elementwise
from minigrad.nn.losses.common import (
    alike,
    beside,
    class_axis,
    class_targets,
    class_weights,
    constant,
    element_weights,
    floating,
    in_single,
    is_target,
    picked,
    reduced,
    reduction_of,
    require,
)
from minigrad.nn.module import Module

# ---- one of C classes ------------------------------------------------------------------------------------------------


class CrossEntropyLoss(Module):
    """The loss of a classifier, from logits: `minigrad.cross_entropy` as a module::

        l_n = -sum_c weight_c * q_nc * log_softmax(x)_nc,    q = (1 - label_smoothing) * one_hot(target)
                                                                 + label_smoothing / C

    Its arguments: x (N, C), (N, C, ...) or (C,), logits, and target: integers from 0 to C - 1 of the shape of x without
    C, or probabilities, floating, of the shape of x.

    Args:
        weight: one number for each class, (C,).
        ignore_index: targets of this value count for nothing; if all do, the mean is nan, as in PyTorch.
        reduction: "mean", "sum" or "none". The mean divides by the sum of the weights of the targets; of
            probabilities, by their number.
        label_smoothing: between 0 and 1. All but `weight` by keyword.

    Attributes:
        weight: a buffer, or None.

    Raises:
        ValueError: shapes that do not fit, a class outside 0 ... C - 1, an unknown reduction, or label_smoothing out of
            its range.
        TypeError: x is not floating, or targets that are neither integers nor floating.

    Source: J. Bridle: Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990;
    label smoothing: C. Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, CVPR 2016, section 7.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.CrossEntropyLoss()(mg.zeros((2, 10)), mg.tensor([3, 7]))
    tensor(2.3025851)
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
        self.weight = constant("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction_of(reduction)
        self.label_smoothing = label_smoothing

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each target."""
        x = floating(self, "x", x)
        target = beside(self, x, "target", target)
        if target.dtype.kind == "f":
            target = target.to(x.dtype)
        weight = None if self.weight is None else beside(self, x, "weight", self.weight).to(x.dtype)
        return cross_entropy(x, target, weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(Module):
    """The negative log likelihood, from log-probabilities: `l_n = -weight[target_n] * x[n, target_n]`.

    After a `log_softmax` this is `CrossEntropyLoss`.

    Its arguments: x (N, C), (N, C, ...) or (C,), logarithms of probabilities, and target, integers from 0 to C - 1 of
    the shape of x without C.

    Args:
        weight: one number for each class, (C,).
        ignore_index: targets of this value count for nothing; if all do, the mean is nan, as in PyTorch.
        reduction: "mean", which divides by the sum of the weights of the targets, "sum" or "none". All but `weight` by
            keyword.

    Attributes:
        weight: a buffer, or None.

    Raises:
        ValueError: shapes that do not fit, a class outside 0 ... C - 1, or an unknown reduction.
        TypeError: x is not floating, or target does not hold integers.

    Source: R. Fisher: On the Mathematical Foundations of Theoretical Statistics, 1922, section 6: maximum likelihood.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.NLLLoss()(mg.tensor([[-0.5, -1.0], [-3.0, -0.1]]), mg.tensor([0, 0]))
    tensor(1.75)
    """

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"):
        self.weight = constant("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each target."""
        x = floating(self, "x", x)
        target = class_targets(self, x, target, self.ignore_index)
        counts = target != self.ignore_index
        target = xp(target).where(counts, target, 0)
        each = mask(-picked(x, target), counts)
        if self.weight is None:
            return reduced(each, self.reduction, int(counts.sum()))
        weight = mask(class_weights(self, x, "weight", self.weight)[target], counts)
        return reduced(weight * each, self.reduction, weight.sum())


# ---- yes or no, for each element -------------------------------------------------------------------------------------


@elementwise
def _binary_cross_entropy(x, target):
    """-(target * log(x) + (1 - target) * log(1 - x)), the logarithms kept at -100 or more."""
    of_no = xp(x, target).maximum(xp(x).log1p(-x), -100)
    return (target - 1) * of_no - target * xp(x, target).maximum(xp(x).log(x), -100)


# Of x, the derivative of the unclamped formula with its denominator kept above 0, as in PyTorch: that of the clamped
# one is 0 where the answer is wrong with certainty, and nothing would be learned there.
_binary_cross_entropy.vjp(
    x=lambda g, x, target: g * ((x - target) / maximum(x * (1 - x), 1e-12)),
    target=lambda g, x: g * (maximum(log1p(-x), -100) - maximum(log(x), -100)),
)


class BCELoss(Module):
    """The binary cross entropy, from probabilities::

        l_n = -weight_n * (target_n * log(x_n) + (1 - target_n) * log(1 - x_n))

    The logarithms are kept at -100 or more, as in PyTorch, so that a wrong answer given with certainty costs 100 and
    not infinity. From logits, `BCEWithLogitsLoss` needs no such thing and is more precise.

    Its arguments: x, probabilities, and target, from 0 to 1, both of one shape.

    Args:
        weight: broadcasts to the shape of x.
        reduction: "mean" over all elements, "sum" or "none", by keyword.

    Attributes:
        weight: a buffer, or None.

    Raises:
        ValueError: two shapes, an x outside 0 ... 1, a weight that does not broadcast, or an unknown reduction.
        TypeError: x is not floating.
        RuntimeError: under autocast, as in PyTorch.

    Source: D. Cox: The Regression Analysis of Binary Sequences, Journal of the Royal Statistical Society B 1958.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.BCELoss(reduction="none")(mg.tensor([0.5, 0.0]), mg.tensor([1.0, 1.0]))
    tensor([  0.6931472, 100.       ])
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean"):
        self.weight = constant("weight", weight)
        self.reduction = reduction_of(reduction)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        if is_autocast_enabled():
            raise RuntimeError(
                "BCELoss is not safe under autocast: the gradient of a probability near 0 or 1 does not fit into "
                "float16. Use BCEWithLogitsLoss on the logits, or call it under mg.autocast(enabled=False)"
            )
        return self._loss(x, target)

    @in_single
    def _loss(self, x: Tensor, target: Any) -> Tensor:
        x, target = alike(self, x=x, target=target)
        require((x >= 0) & (x <= 1), x, "BCELoss expects probabilities from 0 to 1; for logits use BCEWithLogitsLoss")
        each = _binary_cross_entropy(x, target)
        if self.weight is not None:
            each = each * element_weights(self, x, "weight", self.weight)
        return reduced(each, self.reduction)


# One op, because two calls of logsigmoid would take two logarithms, and NumPy's log1p is what takes the time.
@elementwise
def _logistic_loss(x, yes, no):
    """-(yes * log(sigmoid(x)) + no * log(1 - sigmoid(x)))."""
    tail = xp(x).log1p(xp(x).exp(-xp(x).abs(x)))
    return yes * (xp(x).maximum(-x, 0) + tail) + no * (xp(x).maximum(x, 0) + tail)


_logistic_loss.vjp(
    x=lambda g, x, yes, no: g * (no * sigmoid(x) - yes * sigmoid(-x)),
    yes=lambda g, x: -g * logsigmoid(x),
    no=lambda g, x: -g * logsigmoid(-x),
)


class BCEWithLogitsLoss(Module):
    """The binary cross entropy, from logits, at any of them finite::

        l_n = -weight_n * (pos_weight_n * target_n * log(sigmoid(x_n)) + (1 - target_n) * log(1 - sigmoid(x_n)))

    Its arguments: x, logits, and target, from 0 to 1, both of one shape.

    Args:
        weight: broadcasts to the shape of x.
        reduction: "mean" over all elements, "sum" or "none".
        pos_weight: the weight of positive examples, usually one number for each class, on the last axis: above 1 it
            raises recall, below 1 precision. It broadcasts to the shape of x. All but `weight` by keyword.

    Attributes:
        weight, pos_weight: buffers, or None.

    Raises:
        ValueError: two shapes, weights that do not broadcast, or an unknown reduction.
        TypeError: x is not floating.

    Source: D. Cox: The Regression Analysis of Binary Sequences, Journal of the Royal Statistical Society B 1958.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.BCEWithLogitsLoss(reduction="none")(mg.tensor([0.0, 1000.0, -1000.0]), mg.tensor([1.0, 1.0, 1.0]))
    tensor([6.931472e-01, 0.000000e+00, 1.000000e+03])
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None):
        self.weight = constant("weight", weight)
        self.pos_weight = constant("pos_weight", pos_weight)
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        yes = target
        if self.pos_weight is not None:
            yes = target * element_weights(self, x, "pos_weight", self.pos_weight)
        each = _logistic_loss(x, yes, 1 - target)
        if self.weight is not None:
            each = each * element_weights(self, x, "weight", self.weight)
        return reduced(each, self.reduction)


# ---- both ------------------------------------------------------------------------------------------------------------


class FocalLoss(Module):
    """A cross entropy that lets examples fade once they are easy, so that the many do not drown the few hard ones::

        l_n = -alpha_n * (1 - p_n)^gamma * log(p_n),    p_n the probability that the right answer was given

    From logits, and stable at any of them finite. PyTorch has no such loss; in torchvision it is the function
    `sigmoid_focal_loss`.

    Its arguments, with form="sigmoid", for questions of yes or no: x, logits, and target, 0 or 1, both of one shape;
    p = sigmoid(x) where the target is 1, else 1 - sigmoid(x). With form="softmax", for one of C classes: x (N, C),
    (N, C, ...) or (C,), and target, integers from 0 to C - 1 of the shape of x without C; p = softmax(x)[target].

    Args:
        gamma: how fast easy examples fade, at least 0; with 0 it is the cross entropy.
        alpha: of form="sigmoid", a number from 0 to 1: the weight of the answer 1, that of 0 is 1 - alpha (the paper's
            detector has 0.25). Of form="softmax", one number for each class, (C,). None: all weights are 1.
        reduction: "mean" over all that count in l_n, "sum" or "none". The paper takes the sum over all anchors and
            divides by the number of those that hold an object.
        form: "sigmoid" or "softmax".

    Attributes:
        alpha: a number or None; of form="softmax" a buffer or None.

    Raises:
        ValueError: shapes that do not fit, a target that is neither 0 nor 1, a class outside 0 ... C - 1, fewer than
            two classes, or an option out of its range.
        TypeError: x is not floating, target does not hold integers (form="softmax"), or an alpha that is not one number
            (form="sigmoid").

    Source: T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: Focal Loss for Dense Object Detection, ICCV 2017,
    equations 4 and 5.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.FocalLoss()(mg.tensor([0.0, 1000.0]), mg.tensor([1, 1]))  # (1/2)^2 * log(2) and 0
    tensor(0.0866434)
    """

    def __init__(self, gamma: float = 2.0, alpha: Any = None, reduction: str = "mean", form: str = "sigmoid"):
        self.gamma = at_least_zero("gamma", gamma)
        self.form = one_of("form", form, ("sigmoid", "softmax"))
        if form == "sigmoid" and alpha is not None:
            if not isinstance(alpha, Real):
                raise TypeError(f"alpha of form='sigmoid' must be one number from 0 to 1, got {type(alpha).__name__}")
            if not 0 <= float(alpha) <= 1:
                raise ValueError(f"alpha of form='sigmoid' must be a number from 0 to 1, got {alpha}")
        self.alpha: Any = alpha if form == "sigmoid" else constant("alpha", alpha)
        self.reduction = reduction_of(reduction)

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element (sigmoid) or each target (softmax)."""
        x = floating(self, "x", x)
        ahead, weight = self._binary(x, target) if self.form == "sigmoid" else self._classes(x, target)
        # p = sigmoid(ahead), so log(1 - p) = logsigmoid(-ahead): the power is exact where p rounds to 1, and its
        # derivative is finite there for gamma < 1.
        each = -exp(self.gamma * logsigmoid(-ahead)) * logsigmoid(ahead)
        return reduced(each if weight is None else weight * each, self.reduction)

    def _binary(self, x: Tensor, target: Any) -> tuple[Tensor, Any]:
        x, target = alike(self, x=x, target=target)
        require((target == 0) | (target == 1), target, "FocalLoss expects targets of 0 and 1")
        weight = None if self.alpha is None else self.alpha * target + (1 - self.alpha) * (1 - target)
        return (2 * target - 1) * x, weight

    def _classes(self, x: Tensor, target: Any) -> tuple[Tensor, Any]:
        """How far the right logit is ahead of the others: softmax(x)[target] = sigmoid(x[target] - log(sum(exp)))."""
        axis = class_axis(x)
        target = class_targets(self, x, target)
        if x.shape[axis] < 2:
            raise ValueError(f"FocalLoss with form='softmax' expects at least two classes, got x {x.shape}")
        weight = None if self.alpha is None else class_weights(self, x, "alpha", self.alpha)[target]
        return picked(x, target) - logsumexp(where(is_target(x, target), -math.inf, x), axis), weight

    def extra_repr(self) -> str:
        """The options that make the formula."""
        return f"gamma={self.gamma}, form={self.form!r}"
