"""The one-cycle policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.checks import one_of, positive_int
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.anneal import ANNEALING
from minigrad.nn.schedule.scheduler import ClosedForm, per_group

Numbers = float | Sequence[float]


class OneCycleLR(ClosedForm):
    """Up to max_lr and down to almost nothing, once, in total_steps steps; the momentum goes the other way.

    With initial = max_lr / div_factor and least = initial / final_div_factor, up to the steps::

        pct_start * total_steps - 1      lr from initial to max_lr, momentum from max_momentum to base_momentum
        total_steps - 1                  lr from max_lr to least, momentum from base_momentum to max_momentum

    or, with three_phase, back to initial at 2 * pct_start * total_steps - 2, and on to least while the momentum stays.
    The momentum is "momentum", or the first of "betas", whichever the optimizer has. After the last step all stays
    as it is; PyTorch goes on along the curve for one step and then raises.

    Args:
        optimizer: whose learning rates and momenta are set; its own "lr" plays no part.
        max_lr: the highest learning rate, or one for each group.
        total_steps: how many steps the cycle has; or else
        epochs, steps_per_epoch: two numbers whose product that is.
        pct_start: the fraction of the steps that goes up, at most 1/2 with three_phase.
        anneal_strategy: "cos", along half a wave, or "linear".
        cycle_momentum: whether the momentum is set at all.
        base_momentum, max_momentum: its least and its highest value, or one for each group.
        div_factor, final_div_factor: see above; positive.
        three_phase: see above.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: neither total_steps nor epochs and steps_per_epoch, an argument outside its range, an optimizer
            without momentum; from `step()`, more than total_steps steps.

    Source: L. Smith, N. Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates,
    arXiv:1708.07120 (2017); in the two phases of fastai, PyTorch's default.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> optimizer = SGD([mg.zeros(2, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=9, pct_start=5 / 9, div_factor=4, final_div_factor=1)
    >>> [round(schedule.lr(t, 0), 3) for t in range(9)]
    [0.25, 0.36, 0.625, 0.89, 1.0, 0.89, 0.625, 0.36, 0.25]
    >>> round(optimizer.param_groups[0]["momentum"], 3)
    0.95
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Numbers,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Numbers = 0.85,
        max_momentum: Numbers = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or both epochs and steps_per_epoch")
            positive_int("epochs", epochs)
            positive_int("steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        positive_int("total_steps", total_steps)
        highest = 0.5 if three_phase else 1.0
        if not 0 <= pct_start <= highest:
            raise ValueError(f"pct_start must be from 0 to {highest:g}, got {pct_start}")
        one_of("anneal_strategy", anneal_strategy, list(ANNEALING))
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.max_lrs = per_group("max_lr", max_lr, optimizer)
        self.base_momenta = per_group("base_momentum", base_momentum, optimizer)
        self.max_momenta = per_group("max_momentum", max_momentum, optimizer)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum and isinstance(optimizer, Optimizer) and not {"momentum", "betas"} & {*optimizer.defaults}:
            raise ValueError(
                f"{type(optimizer).__name__} has neither momentum nor betas to cycle: pass cycle_momentum=False"
            )
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        super().__init__(optimizer, last_epoch)
        self.base_lrs = [high / div_factor for high in self.max_lrs]

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        high = self.max_lrs[i]
        initial = high / self.div_factor
        least = initial / self.final_div_factor
        return self._along([initial, high, initial, least] if self.three_phase else [initial, high, least], t)

    def momentum(self, t: int, i: int) -> float:
        """The momentum of group number `i` after `t` steps."""
        low, high = self.base_momenta[i], self.max_momenta[i]
        return self._along([high, low, high, high] if self.three_phase else [high, low, high], t)

    def options(self, t: int, i: int) -> dict[str, Any]:
        """The learning rate, and the momentum or betas if they are cycled."""
        if t > self.total_steps:
            raise ValueError(f"the cycle has {self.total_steps} steps, this would be step {t}: make total_steps larger")
        values: dict[str, Any] = {"lr": self.lr(t, i)}
        if self.cycle_momentum:
            group = self.optimizer.param_groups[i]
            if "betas" in group:
                values["betas"] = (self.momentum(t, i), *group["betas"][1:])
            else:
                values["momentum"] = self.momentum(t, i)
        return values

    def _along(self, values: list[float], t: int) -> float:
        """The curve through `values`, which it reaches at the ends of the phases."""
        rise = self.pct_start * self.total_steps - 1
        ends = [0, rise, 2 * rise, self.total_steps - 1] if self.three_phase else [0, rise, self.total_steps - 1]
        for phase in range(len(ends) - 1):
            begin, end = ends[phase], ends[phase + 1]
            if t <= end:
                fraction = (t - begin) / (end - begin) if end > begin else 1.0
                return ANNEALING[self.anneal_strategy](values[phase], values[phase + 1], fraction)
        return values[-1]
