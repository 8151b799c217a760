"""Adadelta."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import (
    Group,
    Optimizer,
    Params,
    at_least_zero,
    below_one,
    count_step,
    positive_lr,
    remembered,
)
from minigrad.nn.optim.update import update


@update
def adadelta(p, g, v, u, *, lr, rho, eps, weight_decay, maximize):
    """Algorithm 1 of Zeiler."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    v *= rho
    v += (1 - rho) * (g * g)
    step = np.sqrt((u + eps) / (v + eps)) * g
    u *= rho
    u += (1 - rho) * (step * step)
    p -= lr * step


class Adadelta(Optimizer):
    """Adadelta: steps as large as the last ones were, whatever the unit of the gradient.

    With the gradient g of a parameter p::

        g = g + weight_decay * p
        v = rho * v + (1 - rho) * g^2
        d = sqrt(u + eps) / sqrt(v + eps) * g
        u = rho * u + (1 - rho) * d^2
        p = p - lr * d

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: by what the steps are multiplied, positive; 1 in the paper.
        rho: how slowly the two means forget, in [0, 1).
        eps: where the steps begin, and keeps the division finite.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2, scaled like the rest of the gradient.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: M. Zeiler: ADADELTA: An Adaptive Learning Rate Method, arXiv 1212.5701, 2012, algorithm 1.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import Adadelta
    >>> p = mg.tensor([2.0], requires_grad=True)
    >>> optimizer = Adadelta([p], lr=0.5, rho=0.75, eps=0.5625)
    >>> (2 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([1.4], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "eps", "weight_decay")
        below_one(group, "rho")

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        count_step(state)
        adadelta(
            p,
            g,
            remembered(state, "square_avg", p),
            remembered(state, "acc_delta", p),
            **{name: group[name] for name in ("lr", "rho", "eps", "weight_decay", "maximize")},
        )
