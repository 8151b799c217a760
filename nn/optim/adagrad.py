"""Adagrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, count_step, positive_lr, remembered
from minigrad.nn.optim.update import update


@update
def adagrad(p, g, total, *, lr, eps, weight_decay, maximize):
    """The diagonal form of Duchi, Hazan and Singer."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    total += g * g
    p -= lr * g / (np.sqrt(total) + eps)


class Adagrad(Optimizer):
    """Adagrad: the gradient divided, for each number, by the root of the sum of all its squares so far.

    With the gradient g of a parameter p, at its step t = 1, 2, ...::

        g = g + weight_decay * p
        s = s + g^2                                   (s = initial_accumulator_value before the first step)
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: how far a number moves in its first step, positive.
        lr_decay: how fast lr falls with the number of steps.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2, scaled like the rest of the gradient.
        initial_accumulator_value: where the sums of squares begin.
        eps: keeps the division finite.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: J. Duchi, E. Hazan, Y. Singer: Adaptive Subgradient Methods for Online Learning and Stochastic Optimization,
    JMLR 12, 2011, figure 1 (diagonal matrices), with lr_decay and weight_decay as in PyTorch.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import Adagrad
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = Adagrad([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        t = count_step(state)
        adagrad(
            p,
            g,
            remembered(state, "sum", p, group["initial_accumulator_value"]),
            lr=group["lr"] / (1 + (t - 1) * group["lr_decay"]),
            **{name: group[name] for name in ("eps", "weight_decay", "maximize")},
        )
