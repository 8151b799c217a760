"""Cosine annealing, once or with restarts."""

from __future__ import annotations

from minigrad.checks import at_least_zero, positive_int
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.anneal import half_wave
from minigrad.nn.schedule.scheduler import ClosedForm


class CosineAnnealingLR(ClosedForm):
    """lr(t) = eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2; it rises again after T_max steps.

    Args:
        optimizer: whose learning rates are set.
        T_max: after how many steps the learning rate is eta_min, a positive integer.
        eta_min: the least learning rate.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: T_max that is not a positive integer, or eta_min below 0.

    Source: I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, equation 5,
    without the restarts.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = CosineAnnealingLR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), T_max=2)
    >>> [round(schedule.lr(t, 0), 15) for t in range(5)]
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):  # noqa: N803
        positive_int("T_max", T_max)
        at_least_zero("eta_min", eta_min)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        return half_wave(self.base_lrs[i], self.eta_min, t / self.T_max)


class CosineAnnealingWarmRestarts(ClosedForm):
    """Half a cosine down to eta_min, again and again, each T_mult times as long as the one before.

    In cycle number n, which lasts T_i = T_0 * T_mult^n steps, after T_cur of them::

        lr(t) = eta_min + (base_lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2

    Args:
        optimizer: whose learning rates are set.
        T_0: the length of the first cycle, a positive integer.
        T_mult: a positive integer.
        eta_min: the least learning rate.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: T_0 or T_mult that is not a positive integer, or eta_min below 0.

    Source: I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, equation 5.
    PyTorch's `step(epoch)` with fractions is not offered.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = CosineAnnealingWarmRestarts(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), T_0=1, T_mult=2)
    >>> [round(schedule.lr(t, 0), 3) for t in range(7)]
    [1.0, 1.0, 0.5, 1.0, 0.854, 0.5, 0.146]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        positive_int("T_0", T_0)
        positive_int("T_mult", T_mult)
        at_least_zero("eta_min", eta_min)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        done, length = t, self.T_0
        if self.T_mult == 1:
            done %= length  # at once, where the loop would take ever longer
        while done >= length:  # in integers: a logarithm would be off by one cycle where it is rounded
            done, length = done - length, length * self.T_mult
        return half_wave(self.base_lrs[i], self.eta_min, done / length)
