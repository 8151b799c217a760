"""What all schedules share, and those that are a formula in the number of steps.

Names, arguments and defaults are PyTorch's. There, most schedules multiply the learning rate they find; here the
learning rate is a function of the number of steps t, the textbook formula: it does not drift by rounding, and resuming
needs no more than t. The numbers differ from PyTorch's by rounding only. A learning rate that is changed by hand lasts
until the next `step()`.

`step()` belongs after the optimizer's step: per epoch or per batch, as the schedule is meant.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from minigrad.nn.optim.optimizer import INITIAL, Optimizer


class LRScheduler(ABC):
    """What all schedules share.

    Attributes:
        optimizer: the optimizer, in whose param_groups the schedule sets "lr".
        base_lrs: the initial learning rate of each group: that before the first schedule of the optimizer.
        last_epoch: the number of steps so far (PyTorch's name).
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, got {type(optimizer).__name__}")
        if not isinstance(last_epoch, int) or last_epoch < -1:
            raise ValueError(f"last_epoch must be -1 or the number of the last step, got {last_epoch!r}")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch != -1 and INITIAL not in group:
                raise ValueError(
                    f"last_epoch={last_epoch} goes on with an earlier schedule, but group {i} of the optimizer has no "
                    f"{INITIAL!r}, which that one left: load the optimizer's state first, or leave last_epoch out and "
                    f"load the schedule's state"
                )
            group.setdefault(INITIAL, group["lr"])
        self.optimizer = optimizer
        self.base_lrs = [group[INITIAL] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1

    @abstractmethod
    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that was set last."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on: numbers, strings and lists, which JSON can hold."""
        return copy.deepcopy({name: value for name, value in vars(self).items() if name != "optimizer"})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the schedule of `state_dict()` was: its arguments are loaded too, and "lr" is set.

        Raises:
            ValueError: another schedule's state, or one for another number of groups; nothing has been changed then.
        """
        self._check_state(state)
        self._restore(state)
        self._write()

    @abstractmethod
    def _write(self) -> None:
        """Set what the schedule says now."""

    def _restore(self, state: Mapping[str, Any]) -> None:
        vars(self).update(copy.deepcopy(dict(state)))

    def _check_state(self, state: Mapping[str, Any]) -> None:
        if (ours := sorted(self.state_dict())) != sorted(state):
            raise ValueError(
                f"the state is that of another schedule: it has {sorted(state)}, {type(self).__name__} has {ours}"
            )
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"the state is for {len(state['base_lrs'])} groups, the optimizer has {len(self.base_lrs)}"
            )

    def _check_groups(self) -> None:
        if len(self.optimizer.param_groups) != len(self.base_lrs):
            raise ValueError(
                f"the optimizer has {len(self.optimizer.param_groups)} groups, the schedule was made for "
                f"{len(self.base_lrs)}: add groups first, then make the schedule"
            )

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in vars(self).items() if name != "optimizer"]
        return f"{type(self).__name__}({', '.join(shown)})"


class ClosedForm(LRScheduler):
    """A schedule that is a formula in the number of steps: a subclass defines `lr`. Write your own like this:

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> from minigrad.nn.schedule import ClosedForm
    >>> class InverseTime(ClosedForm):
    ...     def lr(self, t, i):
    ...         return self.base_lrs[i] / (1 + t)
    >>> optimizer = SGD([mg.zeros(2, requires_grad=True)], lr=1.0)
    >>> schedule = InverseTime(optimizer)
    >>> schedule.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        super().__init__(optimizer, last_epoch)
        self._write()

    @abstractmethod
    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""

    def options(self, t: int, i: int) -> dict[str, Any]:
        """All options that the schedule gives group number `i` after `t` steps."""
        return {"lr": self.lr(t, i)}

    def step(self) -> None:
        """Set the learning rate of every group for the next step of the optimizer."""
        self._set(self.last_epoch + 1)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that was set last."""
        return [self.options(self.last_epoch, i)["lr"] for i in range(len(self.base_lrs))]

    def _write(self) -> None:
        self._set(self.last_epoch)

    def _set(self, t: int) -> None:
        self._check_groups()
        options = [self.options(t, i) for i in range(len(self.base_lrs))]  # first all of them: a formula may raise
        for group, values in zip(self.optimizer.param_groups, options, strict=True):
            group.update(values)
        self.last_epoch = t


def per_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """An argument as a list of one value for each group of the optimizer.

    Raises:
        ValueError: a list of another length.
    """
    count = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1  # the base class refuses others
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value, or one for each of the {count} groups, got {len(value)}")
    return list(value)


def increasing(name: str, values: Sequence[int]) -> list[int]:
    """The values as a list; ValueError where they are not positive integers, each larger than the one before."""
    result = list(values)
    if any(not isinstance(v, int) for v in result) or any(b <= a for a, b in zip([0, *result], result, strict=False)):
        raise ValueError(f"{name} must be positive integers, each larger than the one before, got {result}")
    return result
