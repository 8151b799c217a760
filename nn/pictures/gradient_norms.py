"""The norm of the gradient in each layer of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.nn.optional import need
from minigrad.nn.pictures.rows import by_number
from minigrad.nn.pictures.style import BLUE, FAINT, VERMILION, color_bar, drawing, log_axis, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 1e-4  # of the largest norm: a gradient below that has all but vanished


def gradient_norms(norms: Mapping[str, float] | Iterable[Mapping[str, Any]]) -> Figure:
    """The norm of the gradient of each layer, on a logarithmic scale, from the input (above) to the output (below).

    A layer's norm is that of its parameters' gradients as one vector, the order that of the model's parameters. Of one
    moment it is a bar for each layer, with those below 1/10,000 of the largest in another colour; of the epochs of a
    log an image, a column for each epoch. What no logarithmic scale can show, a gradient of 0, nan or inf, is marked.

    Args:
        norms: {parameter name: norm} as `nn.utils.grad_norms` gives it after `backward`; or the rows of a log.jsonl,
            with such a dict under "grad_norms" in those of epochs.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        ValueError: there are no norms, or one that is negative.

    Source: X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS
    2010, section 4.2.

    >>> figure = gradient_norms({"0.weight": 3e-6, "0.bias": 4e-6, "2.weight": 1.0})
    >>> figure.axes[0].get_title()
    "Gradient norms: the first layer has 5e-06 times the last's"
    """
    if isinstance(norms, Mapping):
        return _bars(_by_layer(norms))
    epochs = [row for row in by_number(norms, "epoch") if row.get("grad_norms")]
    if not epochs:
        raise ValueError("rows hold no norms of gradients (a key 'grad_norms' in the rows of epochs)")
    if len(epochs) == 1:
        return _bars(_by_layer(epochs[0]["grad_norms"]), f" in epoch {epochs[0]['epoch']}")
    return _image([row["epoch"] for row in epochs], [_by_layer(row["grad_norms"]) for row in epochs])


def _by_layer(norms: Mapping[str, float]) -> dict[str, float]:
    """The norms of the parameters of each layer together."""
    squares: dict[str, list[float]] = {}
    for name, value in norms.items():
        norm = np.nan if value is None else float(value)
        if norm < 0:
            raise ValueError(f"norms must not be negative, got {norm} for {name!r}")
        squares.setdefault(name.rpartition(".")[0] or name, []).append(norm)
    if not squares:
        raise ValueError("norms hold no norms of gradients: call backward first")
    return {name: float(np.linalg.norm(values)) if len(values) > 1 else values[0] for name, values in squares.items()}


def _bars(norms: dict[str, float], when: str = "") -> Figure:
    names, values = list(norms), np.array(list(norms.values()))
    usable = np.isfinite(values) & (values > 0)
    low, high = (values[usable].min(), values[usable].max()) if usable.any() else (0.1, 1.0)
    floor = low / (3 if (values > 0).all() else 10)  # with room for the marks
    roof = high * (1.5 if np.isfinite(values).all() else 10)
    small = usable & (values < SMALL * high)
    with drawing("gradient_norms", 8, _height(len(names))) as figure:
        axes = figure.subplots()
        y = np.arange(len(names))
        for chosen, color, label in (
            (usable & ~small, BLUE, "gradient"),
            (small, VERMILION, f"below {SMALL:g} of the largest"),
        ):
            if chosen.any():
                axes.barh(y[chosen], values[chosen] - floor, left=floor, height=0.7, color=color, label=label)
        for chosen, x, marker, label in (
            (values == 0, floor * 1.3, "x", "0: no gradient arrives"),
            (~np.isfinite(values), roof / 1.3, "*", "nan or inf"),
        ):
            if chosen.any():
                axes.plot(np.full(chosen.sum(), x), y[chosen], marker, color=VERMILION, ms=7, ls="none", label=label)
        axes.set_xlim(floor, roof)
        log_axis(axes, "x")
        _layers(axes, names)
        axes.set(xlabel="norm of the gradient (log scale)", ylim=(len(names) - 0.5, -0.5))
        axes.grid(axis="x")
        if not usable.all() or small.any():
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)
        axes.set_title(f"Gradient norms{when}: {_reach(values)}")
    return figure


def _image(epochs: list[float], rows: list[dict[str, float]]) -> Figure:
    names = list({name: None for row in rows for name in row})
    values = np.array([[row.get(name, np.nan) for row in rows] for name in names])
    there = np.array([[name in row for row in rows] for name in names])
    usable = np.isfinite(values) & (values > 0)
    low, high = (values[usable].min(), values[usable].max()) if usable.any() else (0.1, 1.0)
    user = "nn.pictures.gradient_norms"
    colors = need("matplotlib", user).colormaps["viridis"].with_extremes(bad=(0, 0, 0, 0))
    norm = need("matplotlib.colors", user).LogNorm(min(low, high / 10), high)
    edges = _edges(np.array(epochs, np.float64))
    with drawing("gradient_norms", 9, _height(len(names))) as figure:
        axes = figure.subplots()
        shown = np.ma.array(values, mask=~usable)
        image = axes.pcolormesh(edges, np.arange(len(names) + 1) - 0.5, shown, cmap=colors, norm=norm)
        handles = []
        patch = need("matplotlib.patches", user).Patch
        for chosen, color, label in (
            (there & (values == 0), "black", "0: no gradient arrives"),
            (there & ~np.isfinite(values), VERMILION, "nan or inf"),
            (~there, FAINT, "none in the log"),
        ):
            if chosen.any():
                only = need("matplotlib.colors", user).ListedColormap([color])
                mask = np.ma.array(np.ones(values.shape), mask=~chosen)
                axes.pcolormesh(edges, np.arange(len(names) + 1) - 0.5, mask, cmap=only)
                handles.append(patch(color=color, label=label))
        _layers(axes, names)
        axes.set(xlabel="epoch", ylim=(len(names) - 0.5, -0.5))
        axes.xaxis.get_major_locator().set_params(integer=True)
        bar = color_bar(figure, image, axes, _height(len(names)) - 1.4, "norm of the gradient (log scale)")
        log_axis(bar.ax, "y")
        if handles:
            axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
        axes.set_title(f"Gradient norms, in epoch {epochs[-1]}: {_reach(values[:, -1])}")
    return figure


def _reach(values: np.ndarray) -> str:
    """The first layer against the last, in words."""
    first, last = values[0], values[-1]
    if not np.isfinite(values).all():
        return f"{(~np.isfinite(values)).sum()} of {len(values)} layers have nan or inf"
    if first == 0 or last == 0:
        return f"no gradient arrives at {(values == 0).sum()} of {len(values)} layers"
    return f"the first layer has {first / last:.2g} times the last's"


def _edges(x: np.ndarray) -> np.ndarray:
    """The borders of columns around these places."""
    middle = (x[1:] + x[:-1]) / 2
    return np.array([2 * x[0] - middle[0], *middle, 2 * x[-1] - middle[-1]])


def _layers(axes: Any, names: list[str]) -> None:
    """The names of the layers along the y axis; of very many, some."""
    every = -(-len(names) // 70)
    size = 9 if len(names) <= 45 else 7.5
    axes.set_yticks(range(0, len(names), every), [short(name, 32) for name in names[::every]], fontsize=size)
    axes.set_ylabel("layer, from input to output")


def _height(layers: int) -> float:
    """Of a figure with this many layers, in inches."""
    return float(np.clip(0.19 * layers + 1.6, 3.2, 12))
