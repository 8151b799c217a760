"""Adam with Nesterov's momentum."""

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
def nadam(p, g, m, v, *, lr, mu, next_mu, product, beta1, beta2, correction2, eps, weight_decay, decoupled, maximize):
    """The step of Dozat; `product` is mu_1 * ... * mu_t, `correction2` is 1 - beta2^t."""
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
    root = correction2**0.5  # taken out of the root of v / correction2, as in Adam
    rate = lr * root
    p -= (rate * (1 - mu) / (1 - product) * g + rate * next_mu / (1 - product * next_mu) * m) / (
        np.sqrt(v) + eps * root
    )


class NAdam(Optimizer):
    """Adam that looks ahead along its momentum, as Nesterov's descent does.

    With the gradient g of a parameter p, at its step t = 1, 2, ...::

        g    = g + weight_decay * p
        mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2)
        m    = beta1 * m + (1 - beta1) * g
        v    = beta2 * v + (1 - beta2) * g^2
        m'   = mu_(t+1) * m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) * g / (1 - mu_1 ... mu_t)
        p    = p - lr * m' / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: about how far a number moves in a step, positive.
        betas: how slowly the two means forget, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2, scaled like the rest of the gradient.
        momentum_decay: how fast the momentum mu grows from beta1/2 to beta1.
        decoupled_weight_decay: shrink p by lr * weight_decay instead, as `AdamW` does.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: T. Dozat: Incorporating Nesterov Momentum into Adam, ICLR 2016 workshop, algorithm 2, with its schedule of
    mu for the experiments, as in PyTorch.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import NAdam
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = NAdam([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.8943548], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "eps", "weight_decay", "momentum_decay")
        two_betas(group)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = count_step(state)
        mu, next_mu = (beta1 * (1 - 0.96 ** (i * group["momentum_decay"]) / 2) for i in (t, t + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        nadam(
            p,
            g,
            remembered(state, "exp_avg", p),
            remembered(state, "exp_avg_sq", p),
            lr=group["lr"],
            mu=mu,
            next_mu=next_mu,
            product=product,
            beta1=beta1,
            beta2=beta2,
            correction2=1 - beta2**t,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
