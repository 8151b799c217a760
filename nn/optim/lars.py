"""LARS."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, positive_lr, remembered
from minigrad.nn.optim.update import update


@update(norms=2)
def lars_norms(p, g):
    """|p| and |g|."""
    return p, g


@update
def lars(p, g, v, *, norms, lr, momentum, weight_decay, trust_coefficient, maximize):
    """Algorithm 1 of You, Gitman and Ginsburg; `norms` are |p| and |g|, or None for steps that are not scaled."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    trust = 1.0
    if norms and all(norms):
        trust = trust_coefficient * norms[0] / (norms[1] + weight_decay * norms[0])
    v *= momentum
    v += lr * trust * g
    p -= v


class LARS(Optimizer):
    """LARS: descent with momentum in which each tensor moves in proportion to its own length, for large batches.

    With the gradient g of a parameter p::

        trust = trust_coefficient * |p| / (|g| + weight_decay * |p|)          (1 if |p| or |g| is 0)
        v = momentum * v + lr * trust * (g + weight_decay * p)
        p = p - v

    The learning rate is inside of the velocity, as in SGD's form "caffe". PyTorch has no LARS.

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own. Biases and the parameters of
            norm layers are usually given as a group with "adapt": False and "weight_decay": 0, see `decay_groups`.
        lr: the size of a step, positive.
        momentum: how much of the last step is kept.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2.
        trust_coefficient: by what part of its length a tensor moves in a step, times lr; positive.
        adapt: False leaves trust = 1: plain descent.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: Y. You, I. Gitman, B. Ginsburg: Large Batch Training of Convolutional Networks, arXiv 1708.03888, 2017,
    algorithm 1.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import LARS
    >>> p = mg.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = LARS([p], lr=1.0, trust_coefficient=0.5)
    >>> (mg.tensor([4.0, 3.0]) * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([1. , 2.5], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0,
        trust_coefficient: float = 1e-3,
        *,
        adapt: bool = True,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "adapt": adapt,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "momentum", "weight_decay")
        if not group["trust_coefficient"] > 0:
            raise ValueError(
                f"trust_coefficient must be positive, got {group['trust_coefficient']}; adapt=False leaves steps "
                f"unscaled"
            )

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        norms = lars_norms(p, g) if group["adapt"] else None
        v = remembered(state, "momentum_buffer", p)
        options = {name: group[name] for name in ("lr", "momentum", "weight_decay", "trust_coefficient", "maximize")}
        lars(p, g, v, norms=norms, **options)
