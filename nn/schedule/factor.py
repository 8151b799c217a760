"""Schedules that multiply the initial learning rate by a factor: lr(t) = lr(0) * factor(t)."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from minigrad.checks import at_least_zero, from_zero_to_one, positive_int
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.anneal import straight
from minigrad.nn.schedule.scheduler import ClosedForm, increasing, per_group


class Factor(ClosedForm):
    """lr(t) = base_lr * factor(t), for each group. Abstract: a subclass defines `factor`."""

    @abstractmethod
    def factor(self, t: int) -> float:
        """By what the initial learning rate is multiplied after `t` steps."""

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        return self.base_lrs[i] * self.factor(t)


class LambdaLR(ClosedForm):
    """lr(t) = base_lr * lr_lambda(t): any function of the number of steps.

    Args:
        optimizer: whose learning rates are set.
        lr_lambda: a function of t, or a list of one for each group. It is not part of `state_dict()`.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        TypeError: something that cannot be called.
        ValueError: a list of another length than there are groups.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> optimizer = SGD([mg.zeros(2, requires_grad=True)], lr=8.0)
    >>> schedule = LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [4.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        self.lr_lambdas = per_group("lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda must be a function of the number of steps, got {function!r}")
        super().__init__(optimizer, last_epoch)

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        return self.base_lrs[i] * self.lr_lambdas[i](t)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on, but for the functions."""
        return {"base_lrs": list(self.base_lrs), "last_epoch": self.last_epoch}


class ConstantLR(Factor):
    """A constant factor for the first steps: factor(t) = factor if t < total_iters else 1.

    Args:
        optimizer: whose learning rates are set.
        factor: from 0 to 1.
        total_iters: after how many steps the learning rate is the initial one.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: a factor outside [0, 1], or total_iters that is not a positive integer.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = ConstantLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), factor=0.5, total_iters=2)
    >>> [schedule.lr(t, 0) for t in range(4)]
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        from_zero_to_one("factor", factor)
        positive_int("total_iters", total_iters)
        self.start_factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """The factor after `t` steps."""
        return self.start_factor if t < self.total_iters else 1.0


class LinearLR(Factor):
    """A factor that changes linearly, usually to warm up: start + (end - start) * min(t / total_iters, 1).

    Args:
        optimizer: whose learning rates are set.
        start_factor: the factor at t = 0, above 0 and at most 1.
        end_factor: the factor from t = total_iters on, from 0 to 1.
        total_iters: how many steps that takes.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: a factor outside its range, or total_iters that is not a positive integer.

    Source: warm-up: P. Goyal et al.: Accurate, Large Minibatch SGD, arXiv:1706.02677 (2017), section 2.2.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = LinearLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), start_factor=0.5, total_iters=2)
    >>> [schedule.lr(t, 0) for t in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(f"start_factor must be above 0 and at most 1, got {start_factor}")
        from_zero_to_one("end_factor", end_factor)
        positive_int("total_iters", total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """The factor after `t` steps."""
        return straight(self.start_factor, self.end_factor, min(t / self.total_iters, 1))


class StepLR(Factor):
    """Times gamma every step_size steps: factor(t) = gamma ^ floor(t / step_size).

    Args:
        optimizer: whose learning rates are set.
        step_size: a positive integer.
        gamma: usually 0.1.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: a step_size that is not a positive integer, or gamma below 0.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = StepLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.lr(t, 0) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        positive_int("step_size", step_size)
        at_least_zero("gamma", gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """The factor after `t` steps."""
        return self.gamma ** (t // self.step_size)


class MultiStepLR(Factor):
    """Times gamma at each milestone: factor(t) = gamma ^ (number of milestones <= t).

    Args:
        optimizer: whose learning rates are set.
        milestones: positive integers, each larger than the one before (PyTorch sorts them).
        gamma: usually 0.1.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: milestones that do not increase, or gamma below 0.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = MultiStepLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), milestones=[1, 3], gamma=0.5)
    >>> [schedule.lr(t, 0) for t in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1):
        at_least_zero("gamma", gamma)
        self.milestones = increasing("milestones", milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """The factor after `t` steps."""
        return self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(Factor):
    """Times gamma at every step: factor(t) = gamma ^ t.

    Args:
        optimizer: whose learning rates are set.
        gamma: a little below 1.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: gamma below 0.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = ExponentialLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), gamma=0.5)
    >>> [schedule.lr(t, 0) for t in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        at_least_zero("gamma", gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """The factor after `t` steps."""
        return self.gamma**t


class PolynomialLR(Factor):
    """Down to 0 along a power: factor(t) = (1 - min(t / total_iters, 1)) ^ power.

    Args:
        optimizer: whose learning rates are set.
        total_iters: after how many steps the learning rate is 0.
        power: 1 is a straight line.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: total_iters that is not a positive integer, or a power that is not positive.

    Source: W. Liu, A. Rabinovich, A. Berg: ParseNet, arXiv:1506.04579 (2015), the policy "poly".

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = PolynomialLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), total_iters=4, power=2.0)
    >>> [schedule.lr(t, 0) for t in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        positive_int("total_iters", total_iters)
        if not power > 0:
            raise ValueError(f"power must be positive, got {power}")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """The factor after `t` steps."""
        return (1 - min(t / self.total_iters, 1)) ** self.power
