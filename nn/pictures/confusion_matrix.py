"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.nn.optional import need
from minigrad.nn.pictures.style import FAINT, color_bar, drawing, host, names_for, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WITH_NUMBERS = 24  # classes at most
LISTED = 12  # of the most frequent mistakes


def confusion_matrix(matrix: Any, classes: Sequence[Any] = ()) -> Figure:
    """How often each true class (a row) was taken for each class (a column).

    The colour is the share of the row, so that rare classes show as clearly as frequent ones; its scale grows as a
    square root, for the mistakes of a good network are few. Up to 24 classes the cells hold counts and, where they are
    large enough, shares; empty ones hold none. With more classes the most frequent mistakes are listed at the side.

    Args:
        matrix: (classes, classes) counts, `matrix[true, predicted]`, as `nn.train` makes them.
        classes: their names; numbers if empty. Long ones are shortened in the middle.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        ValueError: something else than a square of counts, or another number of names.

    >>> figure = confusion_matrix([[9, 1], [0, 10]], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    'Confusion matrix: 95.0 % of 20 right'
    """
    counts = host(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"matrix must have the shape (classes, classes), got {counts.shape}")
    if counts.dtype.kind not in "iufb" or not (np.isfinite(counts) & (counts >= 0)).all():
        raise ValueError("matrix must hold counts, numbers from 0")
    n = len(counts)
    names = names_for(classes, n)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.full(counts.shape, np.nan), where=sums > 0)
    cell = np.interp(n, [1, 3, 10, 24, 100], [1.1, 0.9, 0.62, 0.4, 0.125])  # inches
    margin = 0.075 * max(map(len, names)) + 0.9
    side = n * cell if n <= 100 else 12.5
    listed = n > WITH_NUMBERS
    width = side + margin + 1.2  # of the matrix, its names and its bar
    with drawing("confusion_matrix", max(width + 4.8 * listed, 6), max(side + margin + 0.5, 4)) as figure:
        left, *right = figure.subplots(1, 1 + listed, width_ratios=(width, 4.8)[: 1 + listed], squeeze=False)[0]
        _draw(figure, left, shares, names, n, cell)
        if listed:
            _list(right[0], counts, shares, names)
        else:
            _write(left, counts, shares, cell)
        total = counts.sum()
        right_ones = percent(np.trace(counts) / total) if total else "none"
        left.set_title(f"Confusion matrix: {right_ones} of {total:g} right")
    return figure


def _draw(figure: Any, axes: Any, shares: np.ndarray, names: list[str], n: int, cell: float) -> None:
    colors = need("matplotlib", "nn.pictures.confusion_matrix").colormaps["Blues"].with_extremes(bad=FAINT)
    power = need("matplotlib.colors", "nn.pictures.confusion_matrix").PowerNorm(0.5, 0, 1)
    image = axes.imshow(np.ma.masked_invalid(shares), cmap=colors, norm=power)
    bar = color_bar(figure, image, axes, 0.7 * n * cell, "share of the true class", shrink=0.7)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    every = -(-n // 100)
    places = range(0, n, every)
    size = 10 if cell > 0.35 else 6.5 if n > 60 else 8
    long = max(map(len, names)) * 0.085 * size / 10 > cell
    axes.set_xticks(places, names[::every], rotation=90 if long else 0, fontsize=size)
    axes.set_yticks(places, names[::every], fontsize=size)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if n <= 100:
        edges, width = np.arange(n + 1) - 0.5, 1.5 if cell > 0.3 else 0.4
        axes.hlines(edges, -0.5, n - 0.5, color="white", lw=width)
        axes.vlines(edges, -0.5, n - 0.5, color="white", lw=width)
    if np.isnan(shares).any():
        axes.set_ylabel("true class (grey: no samples)")


def _write(axes: Any, counts: np.ndarray, shares: np.ndarray, cell: float) -> None:
    """The numbers in the cells."""
    for i, j in np.argwhere(counts > 0).tolist():
        text = _count(counts[i, j])
        if cell >= 0.55:
            text += f"\n{_share(shares[i, j])}"
        color = "white" if shares[i, j] > 0.4 else "black"
        axes.text(j, i, text, ha="center", va="center", color=color, fontsize=8 if cell >= 0.55 else 7)


def _list(axes: Any, counts: np.ndarray, shares: np.ndarray, names: list[str]) -> None:
    """The most frequent mistakes, as text."""
    axes.set_axis_off()
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j] > 0]
    lines = [f"{names[i]} → {names[j]}:  {_count(counts[i, j])} ({_share(shares[i, j])})" for i, j in pairs]
    head = "most frequent mistakes\ntrue → predicted: count (share)" if lines else "no mistakes"
    axes.text(0, 1, "\n".join([head, "", *lines]), transform=axes.transAxes, va="top", linespacing=1.6)


def _count(n: Any) -> str:
    """At most four letters or so.

    >>> _count(950), _count(12345), _count(2.5)
    ('950', '12k', '2.5')
    """
    return f"{n:g}" if n < 10_000 else f"{n / 1000:.0f}k" if n < 1e6 else f"{n / 1e6:.0f}M"


def _share(fraction: float) -> str:
    return "<1 %" if fraction <= 0.005 else ">99 %" if 0.995 <= fraction < 1 else f"{100 * fraction:.0f} %"
