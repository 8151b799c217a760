"""Which parameters weight decay is for."""

from __future__ import annotations

from minigrad.nn.module import Module
from minigrad.nn.optim.optimizer import Group
from minigrad.nn.parameter import Uninitialized


def decay_groups(model: Module, weight_decay: float) -> list[Group]:
    """The parameters of a model as two groups for an optimizer: weights, which decay, and all else, which does not.

    A weight has two axes or more. Parameters with fewer, the biases and the scales of norm layers, keep their size: a
    penalty on them restrains nothing, and they are few. Frozen parameters are left out, and so is a group without any.

    Args:
        model: the module whose parameters are meant; a shared one comes once.
        weight_decay: the option of that name for the weights; 0 for the others.

    Raises:
        TypeError: something else than a Module.
        ValueError: a parameter whose size is not known yet.

    >>> from minigrad import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Linear(6, 2))
    >>> groups = nn.optim.decay_groups(net, 0.01)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(2, 0.01), (2, 0.0)]
    >>> optimizer = nn.optim.AdamW(groups, lr=0.001)
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    if unknown := [name for name, p in model.named_parameters() if isinstance(p, Uninitialized)]:
        raise ValueError(f"{', '.join(unknown)} has no size yet, which decides: run a batch through the model first")
    learned = [p for p in model.parameters() if p.requires_grad]
    groups: list[Group] = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
