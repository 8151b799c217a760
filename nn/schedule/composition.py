"""Schedules made of schedules: one after another, and all at once."""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.scheduler import ClosedForm, increasing


class Composition(ClosedForm):
    """A schedule made of others for the same optimizer, whose formulas it uses; they must not be stepped themselves.

    Abstract: a subclass defines `lr`.
    """

    def __init__(self, optimizer: Optimizer | None, schedulers: Sequence[ClosedForm], last_epoch: int = -1):
        for n, schedule in enumerate(schedulers):
            if not isinstance(schedule, ClosedForm):
                raise TypeError(
                    f"schedulers[{n}] must be a formula in the number of steps, which {type(schedule).__name__} is not"
                )
        owner = schedulers[0].optimizer if optimizer is None else optimizer
        for n, schedule in enumerate(schedulers):
            if schedule.optimizer is not owner:
                raise ValueError(f"schedulers[{n}], a {type(schedule).__name__}, is for another optimizer")
        self.schedulers = list(schedulers)
        super().__init__(owner, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on: the states of the parts are a list in it."""
        own = {name: value for name, value in vars(self).items() if name not in ("optimizer", "schedulers")}
        return {**copy.deepcopy(own), "schedulers": [part.state_dict() for part in self.schedulers]}

    def _restore(self, state: Mapping[str, Any]) -> None:
        for part, saved in zip(self.schedulers, state["schedulers"], strict=True):
            part._restore(saved)
        super()._restore({name: value for name, value in state.items() if name != "schedulers"})

    def _check_state(self, state: Mapping[str, Any]) -> None:
        super()._check_state(state)
        if len(state["schedulers"]) != len(self.schedulers):
            raise ValueError(
                f"the state is that of {len(state['schedulers'])} schedules, {type(self).__name__} has "
                f"{len(self.schedulers)}"
            )
        for part, saved in zip(self.schedulers, state["schedulers"], strict=True):
            part._check_state(saved)


class SequentialLR(Composition):
    """One schedule after another: lr(t) = schedulers[n].lr(t - start), where n milestones are <= t, the last is start.

    Each schedule begins anew at its milestone, at its own t = 0.

    Args:
        optimizer: whose learning rates are set.
        schedulers: the schedules, made for the same optimizer.
        milestones: at which steps the second and the following ones begin; positive, increasing.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        TypeError: a schedule that is not a formula in t: ReduceLROnPlateau or SWALR.
        ValueError: no schedules, one for another optimizer, or milestones that do not fit.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> from minigrad.nn.schedule import ExponentialLR, LinearLR
    >>> optimizer = SGD([mg.zeros(2, requires_grad=True)], lr=1.0)
    >>> warmup, decay = LinearLR(optimizer, 0.25, total_iters=3), ExponentialLR(optimizer, 0.5)
    >>> schedule = SequentialLR(optimizer, [warmup, decay], milestones=[3])
    >>> [schedule.lr(t, 0) for t in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[ClosedForm],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        self.milestones = increasing("milestones", milestones)
        if not schedulers or len(self.milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR needs at least one schedule, and a milestone between every two, got {len(schedulers)} "
                f"schedules and {len(self.milestones)} milestones"
            )
        super().__init__(optimizer, schedulers, last_epoch)

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        return self.options(t, i)["lr"]

    def options(self, t: int, i: int) -> dict[str, Any]:
        """The options that the schedule whose turn it is gives group number `i`."""
        n = bisect_right(self.milestones, t)
        return self.schedulers[n].options(t - self.milestones[n - 1] if n else t, i)


class ChainedScheduler(Composition):
    """Several schedules at once: lr(t) = base_lr * (the product of schedulers[n].lr(t) / its base_lr over all n).

    For schedules that are a factor times the initial learning rate this is what PyTorch computes. For others, such as a
    cosine with eta_min > 0 or LambdaLR, PyTorch's result depends on their order, and this one does not.

    Args:
        schedulers: the schedules, made for one optimizer, with an initial learning rate above 0.
        optimizer: that optimizer; may be left out.

    Raises:
        TypeError: a schedule that is not a formula in t: ReduceLROnPlateau or SWALR.
        ValueError: no schedules, or one for another optimizer.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> from minigrad.nn.schedule import ExponentialLR, LinearLR
    >>> optimizer = SGD([mg.zeros(2, requires_grad=True)], lr=1.0)
    >>> schedule = ChainedScheduler([LinearLR(optimizer, 0.25, total_iters=3), ExponentialLR(optimizer, 0.5)])
    >>> [schedule.lr(t, 0) for t in range(5)]
    [0.25, 0.25, 0.1875, 0.125, 0.0625]
    """

    def __init__(self, schedulers: Sequence[ClosedForm], optimizer: Optimizer | None = None):
        if not schedulers:
            raise ValueError("ChainedScheduler needs at least one schedule, got none")
        super().__init__(optimizer, schedulers)

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        return self.base_lrs[i] * math.prod(part.lr(t, i) / part.base_lrs[i] for part in self.schedulers)

    def options(self, t: int, i: int) -> dict[str, Any]:
        """The learning rate, and what else the schedules set; of two that set the same, the last one counts."""
        values: dict[str, Any] = {}
        for part in self.schedulers:
            values |= part.options(t, i)
        return {**values, "lr": self.lr(t, i)}
