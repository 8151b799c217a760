"""A schedule that is a table, as papers print them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.scheduler import ClosedForm

LENET_1998 = ((5e-4, 2), (2e-4, 3), (1e-4, 3), (5e-5, 4), (1e-5, None))
"""LeNet-5's learning rates and for how many passes each: LeCun et al. 1998, section III.B."""


class TableLR(ClosedForm):
    """The learning rates of a table, one after another, the same for every group; not in PyTorch.

    Args:
        optimizer: whose learning rates are set; its own "lr" plays no part.
        table: pairs of a learning rate and for how many steps it holds; of the last one None, or inf: from then on.
        last_epoch: -1 to begin, or the number of the last step.

    Raises:
        ValueError: an empty table, a learning rate below 0, or lengths that are not positive integers and, in the last
            row, None.

    Source: `LENET_1998` is Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document
    Recognition, Proceedings of the IEEE 1998, section III.B, where one step is one pass over the data.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import SGD
    >>> schedule = TableLR(SGD([mg.zeros(2, requires_grad=True)]), LENET_1998)
    >>> [schedule.lr(t, 0) for t in (0, 1, 2, 4, 5, 7, 8, 11, 12, 19)]
    [0.0005, 0.0005, 0.0002, 0.0002, 0.0001, 0.0001, 5e-05, 5e-05, 1e-05, 1e-05]
    """

    def __init__(self, optimizer: Optimizer, table: Sequence[tuple[float, int | None]], last_epoch: int = -1):
        rows = [tuple(row) for row in table]
        if not rows or any(len(row) != 2 for row in rows):
            raise ValueError(f"table must be pairs of a learning rate and a number of steps, got {table!r}")
        rates, lengths = (list(column) for column in zip(*rows, strict=True))
        if any(not rate >= 0 for rate in rates):
            raise ValueError(f"the learning rates of a table must be at least 0, got {rates}")
        if lengths[-1] not in (None, math.inf) or any(
            not isinstance(length, int) or length < 1 for length in lengths[:-1]
        ):
            raise ValueError(f"the lengths of a table must be positive integers and, at last, None, got {lengths}")
        self.rates = rates
        self.ends = list(accumulate(lengths[:-1]))
        super().__init__(optimizer, last_epoch)

    def lr(self, t: int, i: int) -> float:
        """The learning rate of group number `i` after `t` steps."""
        return self.rates[bisect_right(self.ends, t)]
