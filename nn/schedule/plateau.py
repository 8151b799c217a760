"""A schedule that waits for a plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.checks import one_of
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.scheduler import LRScheduler, per_group


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by `factor` when a metric has not improved for more than `patience` steps.

    "Improved" means, for the best value so far: metric < best * (1 - threshold) ("min", "rel"), < best - threshold
    ("min", "abs"), > best * (1 + threshold) ("max", "rel"), > best + threshold ("max", "abs"); nan never is.

    Args:
        optimizer: whose learning rates are multiplied.
        mode: "min" or "max": whether the metric is to fall, as a loss, or to rise, as an accuracy.
        factor: below 1.
        patience: how many steps without improvement are borne.
        threshold, threshold_mode: see above.
        cooldown: for how many steps after a reduction none is counted.
        min_lr: the least learning rate, or one for each group.
        eps: a reduction by no more than this is not made.

    Raises:
        ValueError: a factor outside [0, 1), or another argument outside its range.

    Unlike the other schedules it multiplies the learning rate that it finds, for there is no formula in the number of
    steps; its state holds the learning rates too.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = ReduceLROnPlateau(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        one_of("mode", mode, ["min", "max"])
        one_of("threshold_mode", threshold_mode, ["rel", "abs"])
        if not 0 <= factor < 1:
            raise ValueError(f"factor must be at least 0 and below 1, got {factor}")
        for name, value in (("patience", patience), ("threshold", threshold), ("cooldown", cooldown), ("eps", eps)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = per_group("min_lr", min_lr, optimizer)
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        super().__init__(optimizer)
        self.last_lrs = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any) -> None:
        """Look at a new value of the metric, a number or a Tensor of one element, and reduce if it is time."""
        self._check_groups()
        value = float(metrics)
        self.last_epoch += 1
        if self.is_better(value, self.best):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self.last_lrs = [group["lr"] for group in self.optimizer.param_groups]

    def is_better(self, value: float, best: float) -> bool:
        """Whether a value improves on the best one."""
        sign = 1 if self.mode == "max" else -1
        bar = best * (1 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return sign * value > sign * bar

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that was set last."""
        return list(self.last_lrs)

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, least)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    def _write(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.last_lrs, strict=True):
            group["lr"] = lr
