"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, as_array
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, positive_lr


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    With the gradient g of a parameter p::

        g = g + weight_decay * p
        v = momentum * v + (1 - dampening) * g        (v = g at the first step)
        p = p - lr * v                                (nesterov: p - lr * (g + momentum * v))

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: the size of a step, positive.
        momentum: how much of the last direction is kept, usually 0.9; 0 is plain descent.
        dampening: how much of the gradient is left out of the momentum.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2.
        nesterov: look ahead along the momentum; needs momentum > 0 and dampening = 0.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep
    learning, ICML 2013; in PyTorch's form, where lr multiplies v and not g.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.7], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"nesterov needs momentum > 0 and dampening = 0, got momentum={group['momentum']} and "
                f"dampening={group['dampening']}"
            )

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        momentum = group["momentum"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if momentum:
            v = state.get("momentum_buffer")
            if v is None:
                v = state["momentum_buffer"] = as_array(g).copy("K")  # of no axes, g is a NumPy scalar
            else:
                v *= momentum
                v += (1 - group["dampening"]) * g
            g = g + momentum * v if group["nesterov"] else v
        p -= group["lr"] * g
