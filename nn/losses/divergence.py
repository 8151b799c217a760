"""Losses between distributions."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, exp, log, where
from minigrad.nn.losses.common import alike, in_single, reduced, reduction_of
from minigrad.nn.module import Module


class KLDivLoss(Module):
    """The Kullback-Leibler divergence of the target distribution from the model's, given by its **logarithm** x::

        l_n = target_n * (log(target_n) - x_n)

    An element where the target is 0 gives 0, whatever x is (PyTorch gives nan where x is -inf there).

    Its arguments: x, logarithms of probabilities, as `log_softmax` gives them, and target, both of one shape
    (PyTorch broadcasts them and warns).

    Args:
        reduction: "batchmean" is the divergence: the sum over the first axis' length; "mean", the default as in
            PyTorch, divides by the number of all elements, so it is smaller by the number of classes; "sum"; "none".
        log_target: whether the targets, too, are given by their logarithms.

    Raises:
        ValueError: two shapes, or an unknown reduction.
        TypeError: x is not floating.

    Source: S. Kullback, R. Leibler: On Information and Sufficiency, Annals of Mathematical Statistics 1951, section
    2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> x = mg.log_softmax(mg.zeros((1, 2)))
    >>> nn.KLDivLoss(reduction="batchmean")(x, mg.tensor([[1.0, 0.0]]))
    tensor(0.6931472)
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False):
        self.reduction = reduction_of(reduction, "batchmean")
        self.log_target = log_target

    @in_single
    def forward(self, x: Tensor, target: Any) -> Tensor:
        """One number, or with reduction="none" one for each element."""
        x, target = alike(self, x=x, target=target)
        p = exp(target) if self.log_target else target
        counts = p != 0  # 0 * log(0) is 0 here, and so are its gradients
        logs = where(counts, target, 0) if self.log_target else log(where(counts, target, 1))
        each = p * (logs - where(counts, x, 0))
        if self.reduction == "batchmean":
            return each.sum() / (x.shape[0] if x.ndim else 1)
        return reduced(each, self.reduction)
