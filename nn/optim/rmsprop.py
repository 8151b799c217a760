"""RMSprop."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, count_step, positive_lr, remembered
from minigrad.nn.optim.update import update


@update
def rmsprop(p, g, v, mean=None, buffer=None, *, lr, alpha, eps, weight_decay, momentum, maximize):
    """Hinton's step; with `mean` v becomes a variance, with `buffer` steps gather momentum."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    v *= alpha
    v += (1 - alpha) * (g * g)
    if mean is not None:
        mean *= alpha
        mean += (1 - alpha) * g
        v = np.maximum(v - mean * mean, 0)  # of a constant gradient, rounding makes it less than 0 and its root nan
    step = g / (np.sqrt(v) + eps)
    if buffer is not None:
        buffer *= momentum
        buffer += step
        step = buffer
    p -= lr * step


class RMSprop(Optimizer):
    """RMSprop: the gradient divided, for each number, by the root of a running mean of its square.

    With the gradient g of a parameter p::

        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g^2
        m = alpha * m + (1 - alpha) * g               (centered: below, v - m^2 for v)
        b = momentum * b + g / (sqrt(v) + eps)
        p = p - lr * b

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: about how far a number moves in a step, positive.
        alpha: how slowly the means forget, at least 0.
        eps: keeps the division finite.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2, scaled like the rest of the gradient.
        momentum: how much of the last step is added to the next.
        centered: divide by the standard deviation instead. A variance that rounding makes negative counts as 0 (in
            PyTorch its root is nan).
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: G. Hinton: Neural Networks for Machine Learning, Coursera 2012, lecture 6e; centered: A. Graves: Generating
    Sequences With Recurrent Neural Networks, arXiv 1308.0850, 2013, equations 38 to 45, with eps outside of the root,
    as in PyTorch.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import RMSprop
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = RMSprop([p], lr=0.1, alpha=0.75)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.8], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "alpha", "eps", "weight_decay", "momentum")

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        count_step(state)
        rmsprop(
            p,
            g,
            remembered(state, "square_avg", p),
            remembered(state, "grad_avg", p) if group["centered"] else None,
            remembered(state, "momentum_buffer", p) if group["momentum"] else None,
            **{name: group[name] for name in ("lr", "alpha", "eps", "weight_decay", "momentum", "maximize")},
        )
