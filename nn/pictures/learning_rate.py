"""The learning rate that a run went by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.nn.pictures.rows import by_number, numbers
from minigrad.nn.pictures.style import BLUE, drawing, log_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_rate(rows: Iterable[Mapping[str, Any]]) -> Figure:
    """The learning rate over the steps; logarithmic where it spans more than a power of ten.

    Args:
        rows: what `nn.train.read_log` gives: the "lr" of the step rows is drawn, with that of the epoch rows, the one
            of each epoch's last step: where an epoch has few steps, the log holds hardly any others. A rate of 0 lies
            on the lower edge of a logarithmic axis.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        ValueError: there is no learning rate in the rows.

    >>> axes, = learning_rate([{"kind": "step", "step": n, "lr": 0.1 ** n} for n in range(1, 5)]).axes
    >>> axes.get_ylabel(), axes.get_yscale()
    ('learning rate (log scale)', 'log')
    """
    rows = list(rows)
    steps, epochs = ([r for r in by_number(rows, kind) if r.get("lr") is not None] for kind in ("step", "epoch"))
    ends = [row for row in epochs if row.get("step") is not None]
    with_rate = list({row["step"]: row for row in sorted(ends + steps, key=lambda row: row["step"])}.values())
    key = "step" if steps or len(ends) == len(epochs) else "epoch"
    if key == "epoch":
        with_rate = epochs
    if not with_rate:
        raise ValueError("rows hold no learning rate (a key 'lr'), so there is nothing to draw")
    x, y = numbers(with_rate, key), numbers(with_rate, "lr")
    finite = y[np.isfinite(y)]
    above = finite[finite > 0]
    with drawing("learning_rate", 7, 4) as figure:
        axes = figure.subplots()
        axes.plot(x, y, "-" if len(x) > 40 else "o-", ms=3.5, color=BLUE)
        axes.set(xlabel=key, ylabel="learning rate")
        axes.set_title(_story(x, y, key))
        axes.grid()
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(above) and above.max() > 10 * above.min():
            axes.set_ylim(above.min() / 1.5, above.max() * 1.5)
            log_axis(axes, "y")
            axes.set_ylabel("learning rate (log scale)")
    return figure


def _story(x: np.ndarray, y: np.ndarray, key: str) -> str:
    """From where to where, in words."""
    if len(y) == 1 or (y == y[0]).all():
        return f"Learning rate: {y[0]:g}" + (" throughout" if len(y) > 1 else "")
    top = int(np.nanargmax(y))
    peak = f", {y[top]:.3g} at its peak in {key} {x[top]:g}" if 0 < top < len(y) - 1 and y[top] > y[0] else ""
    return f"Learning rate: from {y[0]:.3g} to {y[-1]:.3g}{peak}"
