"""Losses of classifiers."""

from __future__ import annotations

from minigrad import Tensor, cross_entropy
from minigrad.nn.module import Module


class CrossEntropyLoss(Module):
    """The mean of -log(softmax(x)[target]): `minigrad.cross_entropy`, from logits.

    Its arguments: x (N, C) or (N, C, *spatial), floating, and target (N,) or (N, *spatial), integers from 0 to C - 1.

    Raises:
        ValueError: shapes that do not fit, or a class outside 0 ... C - 1.
        TypeError: targets that are not integers.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.CrossEntropyLoss()(mg.zeros((2, 10)), mg.tensor([3, 7]))
    tensor(2.3025851)
    """

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """One number, the mean over the batch."""
        return cross_entropy(x, target)
