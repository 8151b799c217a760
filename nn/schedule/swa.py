"""The learning rate of stochastic weight averaging."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.checks import one_of
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.anneal import ANNEALING
from minigrad.nn.schedule.scheduler import LRScheduler, per_group


class SWALR(LRScheduler):
    """From the learning rate found at the first `step()` to swa_lr, in anneal_epochs steps; from then on swa_lr.

    With the fraction f = min(t / anneal_epochs, 1)::

        lr(t) = swa_lr + (lr(0) - swa_lr) * (1 + cos(pi * f)) / 2       ("cos")
        lr(t) = lr(0) + (swa_lr - lr(0)) * f                            ("linear")

    So it can be made beside another schedule and take over from it: step one of the two at a time. With
    anneal_epochs = 0 the first `step()` sets swa_lr, where PyTorch's constructor does.

    Args:
        optimizer: whose learning rates are set.
        swa_lr: the learning rate while weights are averaged, or one for each group; at least 0.
        anneal_epochs: how many steps the change takes.
        anneal_strategy: "cos" or "linear".
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: an argument outside its range.

    Source: P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. Wilson: Averaging Weights Leads to Wider Optima and
    Better Generalization, UAI 2018, section 3.2.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = SWALR(SGD([mg.zeros(2, requires_grad=True)], lr=1.0), 0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> for _ in range(3):
    ...     schedule.step()
    ...     print(schedule.get_last_lr())
    [0.75]
    [0.5]
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        one_of("anneal_strategy", anneal_strategy, list(ANNEALING))
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be an integer of at least 0, got {anneal_epochs!r}")
        self.swa_lrs = per_group("swa_lr", swa_lr, optimizer)
        if any(not lr >= 0 for lr in self.swa_lrs):
            raise ValueError(f"swa_lr must be at least 0, got {swa_lr}")
        self.anneal_epochs = anneal_epochs
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]

    def step(self) -> None:
        """Set the learning rate of every group for the next step of the optimizer."""
        self._check_groups()
        if self.last_epoch == 0:
            self.base_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.last_epoch += 1
        self._write()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that was set last; before the first step the one that was found."""
        if self.last_epoch == 0:
            return list(self.base_lrs)
        fraction = min(self.last_epoch / self.anneal_epochs, 1) if self.anneal_epochs else 1.0
        anneal = ANNEALING[self.anneal_strategy]
        return [anneal(base, swa, fraction) for base, swa in zip(self.base_lrs, self.swa_lrs, strict=True)]

    def _write(self) -> None:
        if self.last_epoch > 0:
            for group, lr in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
                group["lr"] = lr
