"""The learning-rate test: the loss while the learning rate grows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.nn.pictures.style import BLUE, FAINT, VERMILION, drawing, host, log_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lr_finder(lrs: Any, losses: Any, suggestion: float | None = None) -> Figure:
    """The loss against the learning rate, which grew from step to step, with the suggested one marked.

    Args:
        lrs: the learning rates, above 0.
        losses: the loss at each, as many; nan or inf from where it diverged. An explosion is cut off above, so that the
            part in which the network learned stays visible.
        suggestion: the rate to mark; None marks none.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        ValueError: no or other numbers of rates and losses, or a rate that is not above 0.

    Source: L. N. Smith: Cyclical Learning Rates for Training Neural Networks, WACV 2017, section 3.3.

    >>> lr_finder([1e-4, 1e-3, 1e-2], [2.3, 2.0, 9.9], suggestion=1e-3).axes[0].get_title()
    'Learning-rate test: 0.001 is suggested'
    """
    x, y = host(lrs).astype(np.float64), host(losses).astype(np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(f"lrs and losses must be two lists of one length, got the shapes {x.shape} and {y.shape}")
    for name, values in (("lrs", x), ("suggestion", np.array([] if suggestion is None else [suggestion]))):
        if len(wrong := values[~((values > 0) & (values < math.inf))]):
            raise ValueError(f"{name} must be above 0 and finite, got {wrong[0]:g}")
    finite = abs(y) < 1e100
    with drawing("lr_finder", 7, 4.4) as figure:
        axes = figure.subplots()
        axes.plot(x[finite], y[finite], "-" if finite.sum() > 40 else "o-", ms=3.5, color=BLUE)
        axes.set_xlim(x.min() / 1.2, x.max() * 1.2)
        log_axis(axes, "x")
        axes.set(xlabel="learning rate (log scale)", ylabel="loss")
        axes.grid()
        if finite.any():
            low, start = y[finite].min(), y[finite][0]
            roof = start + max(start - low, 0.1 * abs(start))
            if y[finite].max() > roof > low:
                axes.set_ylim(low - 0.05 * (roof - low), roof)
        if not finite.all():
            where = x[~finite].min()
            axes.axvspan(where, axes.get_xlim()[1], color=FAINT, lw=0)
            axes.annotate(
                "diverged",
                (where, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -4),
                textcoords="offset points",
                va="top",
                rotation=90,
            )
        if suggestion is not None:
            axes.axvline(suggestion, color=VERMILION, ls="--", lw=1.5)
            if finite.any():
                order = np.argsort(x[finite])
                height = np.interp(math.log(suggestion), np.log(x[finite][order]), y[finite][order])
                axes.plot(suggestion, height, "o", ms=8, color=VERMILION)
        what = "no rate is suggested" if suggestion is None else f"{suggestion:.3g} is suggested"
        axes.set_title(f"Learning-rate test: {what}")
    return figure
