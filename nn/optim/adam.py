"""Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import (
    Group,
    Optimizer,
    Params,
    at_least_zero,
    count_step,
    positive_lr,
    remembered,
    two_betas,
)
from minigrad.nn.optim.update import update


@update
def adam(
    p, g, m, v, largest=None, *, lr, beta1, beta2, correction1, correction2, eps, weight_decay, decoupled, maximize
):
    """Algorithm 1 of Kingma and Ba; `correction1` and `correction2` are 1 - beta^t."""
    if maximize:
        g = -g
    if decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    if largest is not None:
        v = np.maximum(largest, v, out=largest)
    root = correction2**0.5  # taken out of the root of v / correction2: a sweep less, as the paper says in section 2
    p -= lr * root / correction1 * m / (np.sqrt(v) + eps * root)


class Adam(Optimizer):
    """Adam: steps that are scaled, for each number, by running means of its gradient and of the gradient squared.

    With the gradient g of a parameter p, at its step t = 1, 2, ...::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2             (amsgrad: below, the largest v so far)
        p = p - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: about how far a number moves in a step, positive.
        betas: how slowly the two means forget, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2, scaled like the rest of the gradient.
        amsgrad: never let the scale shrink.
        maximize: go up instead of down.
        decoupled_weight_decay: shrink p by lr * weight_decay instead, as `AdamW` does.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: D. Kingma, J. Ba: Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1; amsgrad: S. Reddi,
    S. Kale, S. Kumar: On the Convergence of Adam and Beyond, ICLR 2018, algorithm 2, with the bias corrected as PyTorch
    does.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import Adam
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "eps", "weight_decay")
        two_betas(group)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = count_step(state)
        adam(
            p,
            g,
            remembered(state, "exp_avg", p),
            remembered(state, "exp_avg_sq", p),
            remembered(state, "max_exp_avg_sq", p) if group["amsgrad"] else None,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            correction1=1 - beta1**t,
            correction2=1 - beta2**t,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
