"""Lion."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, positive_lr, remembered, two_betas
from minigrad.nn.optim.update import update


@update
def lion(p, g, m, *, lr, beta1, beta2, weight_decay, maximize):
    """Program 1 of Chen and others."""
    if maximize:
        g = -g
    if weight_decay:
        p *= 1 - lr * weight_decay
    p -= lr * np.sign(beta1 * m + (1 - beta1) * g)
    m *= beta2
    m += (1 - beta2) * g


class Lion(Optimizer):
    """Lion: every number moves by lr, in the direction of a mean of its gradients.

    With the gradient g of a parameter p::

        p = p - lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)
        m = beta2 * m + (1 - beta2) * g

    It remembers half as much as Adam. Its steps are larger, so lr should be 3 to 10 times smaller and weight_decay as
    much larger than for `AdamW`. PyTorch has no Lion.

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: how far a number moves in a step, positive.
        betas: how much of the mean goes into the direction, and how slowly the mean forgets, each in [0, 1).
        weight_decay: how much of itself a number loses in a step, times lr.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: X. Chen, C. Liang, D. Huang and others: Symbolic Discovery of Optimization Algorithms, NeurIPS 2023,
    algorithm 2.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import Lion
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = Lion([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "weight_decay")
        two_betas(group)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        beta1, beta2 = group["betas"]
        m = remembered(state, "exp_avg", p)
        options = {name: group[name] for name in ("lr", "weight_decay", "maximize")}
        lion(p, g, m, beta1=beta1, beta2=beta2, **options)
