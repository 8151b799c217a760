"""LAMB."""

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


def direction(p, m, v, correction1, correction2, eps, weight_decay):
    """Where Adam would go, with the weight decay added."""
    root = correction2**0.5  # taken out of the root of v / correction2, as in Adam
    r = root / correction1 * m / (np.sqrt(v) + eps * root)
    return r + weight_decay * p if weight_decay else r


@update(norms=2)
def lamb_norms(p, g, m, v, *, beta1, beta2, correction1, correction2, eps, weight_decay, maximize):
    """Bring the means up to date; the norms of p and of the direction."""
    if maximize:
        g = -g
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    return p, direction(p, m, v, correction1, correction2, eps, weight_decay)


@update
def lamb(p, m, v, *, norms, lr, correction1, correction2, eps, weight_decay):
    """The step; `norms` are those of p and of the direction, or None for steps that are not scaled.

    The direction is computed a second time: to keep it would take as much memory as the parameter.
    """
    trust = norms[0] / norms[1] if norms and all(norms) else 1.0
    p -= lr * trust * direction(p, m, v, correction1, correction2, eps, weight_decay)


class LAMB(Optimizer):
    """LAMB: Adam in which each tensor moves in proportion to its own length, for large batches.

    With the gradient g of a parameter p, at its step t = 1, 2, ...::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p
        p = p - lr * |p| / |r| * r                    (lr * r if |p| or |r| is 0)

    PyTorch has no LAMB.

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own. Biases and the parameters of
            norm layers are usually given as a group with "adapt": False and "weight_decay": 0, see `decay_groups`.
        lr: by what part of its length a tensor moves in a step, positive.
        betas: how slowly the two means forget, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: how much of p is added to the direction.
        adapt: False leaves out the scale |p| / |r|: `AdamW`.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: Y. You, J. Li, S. Reddi and others: Large Batch Optimization for Deep Learning: Training BERT in 76 minutes,
    ICLR 2020, algorithm 2, with the identity for phi.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import LAMB
    >>> p = mg.tensor([1.0, 7.0], requires_grad=True)
    >>> optimizer = LAMB([p], lr=0.1)
    >>> (mg.tensor([2.0, -2.0]) * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.5, 7.5], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        adapt: bool = True,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "adapt": adapt,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "eps", "weight_decay")
        two_betas(group)

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = count_step(state)
        m, v = remembered(state, "exp_avg", p), remembered(state, "exp_avg_sq", p)
        options = {
            "correction1": 1 - beta1**t,
            "correction2": 1 - beta2**t,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
        }
        norms = lamb_norms(p, g, m, v, beta1=beta1, beta2=beta2, maximize=group["maximize"], **options)
        lamb(p, m, v, norms=norms if group["adapt"] else None, lr=group["lr"], **options)
