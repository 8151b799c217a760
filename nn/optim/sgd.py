"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, positive_lr, remembered
from minigrad.nn.optim.update import update

FORMS = ("pytorch", "caffe")


@update
def sgd(p, g, v=None, *, lr, momentum, dampening, weight_decay, nesterov, maximize):
    """Descent, with lr outside of the velocity v."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    if v is not None:
        v *= momentum
        v += (1 - dampening) * g if dampening else g
        g = g + momentum * v if nesterov else v
    p -= lr * g


@update
def caffe_sgd(p, g, v, *, lr, momentum, weight_decay, maximize):
    """Descent, with lr inside of the velocity v."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    v *= momentum
    v -= lr * g
    p += v


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    With the gradient g of a parameter p::

        g = g + weight_decay * p
        v = momentum * v + (1 - dampening) * g        (v = g at the first step)
        p = p - lr * v                                (nesterov: p - lr * (g + momentum * v))

    This is PyTorch's form. AlexNet was trained in another one, which is Caffe's too; `form="caffe"` chooses it::

        v = momentum * v - lr * (g + weight_decay * p)
        p = p + v

    Both give the same steps as long as lr stays the same, and different ones for a while after lr has changed: in the
    first form a smaller lr holds for the velocity gathered so far as well, in the second it does not. Recipes that were
    published for one form may need a warm-up, or a correction of the velocity, in the other.

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: the size of a step, positive.
        momentum: how much of the last direction is kept, usually 0.9; 0 is plain descent.
        dampening: how much of the gradient is left out of the momentum.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2.
        nesterov: look ahead along the momentum; needs momentum > 0 and dampening = 0.
        maximize: go up instead of down.
        form: "pytorch", or "caffe", which has neither dampening nor nesterov (PyTorch has no such option).

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep
    learning, ICML 2013; the form of Caffe: A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep
    Convolutional Neural Networks, NIPS 2012, section 5.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.7], requires_grad=True)
    """

    not_in_pytorch = ("form",)

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
        form: str = "pytorch",
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "form": form,
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
        if group["form"] not in FORMS:
            raise ValueError(f"form must be one of {FORMS}, got {group['form']!r}")
        if group["form"] == "caffe" and (group["dampening"] != 0 or group["nesterov"]):
            raise ValueError(
                f"form='caffe' has no dampening and no nesterov, got dampening={group['dampening']} and "
                f"nesterov={group['nesterov']}"
            )

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        options = {name: group[name] for name in ("lr", "momentum", "weight_decay", "maximize")}
        first = "momentum_buffer" not in state
        v = remembered(state, "momentum_buffer", p) if group["momentum"] else None
        if v is not None and group["form"] == "caffe":
            caffe_sgd(p, g, v, **options)
        else:
            sgd(p, g, v, dampening=0 if first else group["dampening"], nesterov=group["nesterov"], **options)
