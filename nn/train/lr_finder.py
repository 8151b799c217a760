"""The learning-rate finder: one short run in which the learning rate grows."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.checks import positive, positive_int
from minigrad.nn.data.loader import DataLoader
from minigrad.nn.train.metrics import Metrics

if TYPE_CHECKING:
    from minigrad.nn.train.trainer import Trainer


class LRCurve(NamedTuple):
    """What `find_lr` found: the learning rate and the smoothed loss of each step, and the rate it suggests.

    >>> LRCurve(lrs=[0.1, 1.0, 10.0], losses=[2.0, 1.0, 3.0], suggestion=0.1).suggestion
    0.1
    """

    lrs: list[float]
    losses: list[float]
    suggestion: float


def find_lr(
    trainer: Trainer,
    batches: Iterable[Any],
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
) -> LRCurve:
    """Train for some steps while the learning rate grows from `start` to `end`, and look where the loss falls fastest.

    The rate of step t is `start * (end / start) ** (t / (steps - 1))`. The loss is smoothed, m = smoothing * m +
    (1 - smoothing) * loss, divided by 1 - smoothing ** (t + 1); the run ends early where it is nan or above four times
    its least value. The suggestion is the rate at which it falls most steeply over log(lr). Afterwards the model, the
    optimizer, the random numbers and the place of a loader are as before.

    Args:
        trainer: whose model, optimizer, loss and clipping are used; not its schedule, average or callbacks.
        batches: of (images, labels), from the start again when they are used up.
        start, end: the first and the last learning rate, positive.
        steps: how many steps, at least 3.
        smoothing: from 0 (none) to below 1.

    Raises:
        ValueError: an argument out of its range, no batches, or a loss that is not finite from the start.

    Source: L. N. Smith: Cyclical Learning Rates for Training Neural Networks, WACV 2017, section 3.3.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> _ = mg.manual_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> data = nn.data.ArrayDataset(x, (x[:, 0] > x[:, 1]).astype(int))
    >>> model = nn.Linear(2, 2)
    >>> trainer = nn.train.Trainer(model, nn.optim.SGD(model.parameters(), lr=1.0))
    >>> curve = find_lr(trainer, nn.data.DataLoader(data, batch_size=16), start=1e-4, end=100.0)
    >>> 1e-3 < curve.suggestion < 100, trainer.step
    (True, 0)
    """
    positive("start", start)
    if not end > start:
        raise ValueError(f"end must be above start, {start:g}, got {end:g}")
    if positive_int("steps", steps) < 3:
        raise ValueError(f"steps must be at least 3, got {steps}")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be at least 0 and below 1, got {smoothing}")
    before = copy.deepcopy(trainer.state_dict())
    place = batches.state_dict() if isinstance(batches, DataLoader) else None
    probe = copy.copy(trainer)
    probe.schedule = probe.average = probe.checkpoints = None
    probe.callbacks = []
    lrs: list[float] = []
    losses: list[float] = []
    mean = 0.0
    source: Iterator[Any] = iter(())
    try:
        trainer.model.train()
        for t in range(steps):
            if (batch := next(source, None)) is None:
                source = iter(batches)
                if (batch := next(source, None)) is None:
                    raise ValueError("batches must give batches from the start again: pass a loader or a list of some")
            lr = start * (end / start) ** (t / (steps - 1))
            for group in trainer.optimizer.param_groups:
                group["lr"] = lr
            probe._metrics = Metrics()
            probe._zero_grad()
            try:
                loss, n = probe._backward(*batch)
                probe._step([(loss, n)])
            except ArithmeticError:
                break
            mean = smoothing * mean + (1 - smoothing) * loss
            lrs.append(lr)
            losses.append(mean / (1 - smoothing ** (t + 1)))
            if losses[-1] > 4 * min(losses):
                break
    finally:
        probe._zero_grad()
        trainer.load_state_dict(before)
        if place is not None:
            batches.load_state_dict(place)  # type: ignore[attr-defined]
    if len(lrs) < 3:
        raise ValueError(
            f"the loss diverges at once, at a learning rate of {start:g}: begin lower, or look at the data"
        )
    slopes = np.gradient(losses, [math.log(lr) for lr in lrs])
    return LRCurve(lrs, losses, lrs[int(slopes.argmin())])
