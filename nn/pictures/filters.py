"""The kernels of a convolution as small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minigrad.nn.layers.conv import ConvNd
from minigrad.nn.module import Module
from minigrad.nn.optional import need
from minigrad.nn.parameter import Uninitialized
from minigrad.nn.pictures.style import DIVERGING, color_bar, drawing, host
from minigrad.nn.pictures.tiles import tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KERNELS = 256  # of one or three inputs at most
OUTPUTS, INPUTS = 16, 16  # of layers that see many maps
POINTS = 128  # outputs and inputs of a layer whose kernels are single points


def filters(model: Module, layer: str | None = None) -> Figure:
    """The kernels of the first convolution, or of a named one.

    Kernels that see three channels at the first convolution are colour images, where 0 is grey; those that see one are
    blue below 0 and red above. Deeper ones see many maps, and no image is the whole of such a kernel: shown are its
    slices, one row for each output and one column for each input, of the first of both; where each slice is one point
    (1x1), as one matrix. All kernels of a picture share one scale, which the bar shows, so that weak ones look weak.

    Args:
        model: any module; nothing about it changes.
        layer: the dotted name of a convolution of one or two axes, as `named_modules` gives it.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        TypeError: a model that is no Module.
        AttributeError: there is no layer of that name.
        ValueError: there is no convolution, or the layer is another kind, or has no size yet.

    Source of the colour images: A. Krizhevsky, I. Sutskever, G. E. Hinton: ImageNet Classification with Deep
    Convolutional Neural Networks, NIPS 2012, figure 3.

    >>> from minigrad import nn
    >>> filters(nn.Sequential(nn.Conv2d(1, 6, 5))).axes[0].get_title()
    '0: 6 kernels of 5 x 5'
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    path, found, first = _find(model, layer)
    w = host(found.weight).astype(np.float64)
    w = w[..., None, :] if len(found.kernel_size) == 1 else w
    size = " x ".join(map(str, found.kernel_size))
    if found.connections is not None:
        return _sheet(w, path, f"of {size}, one for each link of its table", "link")
    if w.shape[1] == 1:
        return _sheet(w[:, 0], path, f"of {size}", "output")
    if w.shape[1] == 3 and first:
        return _sheet(w.transpose(0, 2, 3, 1), path, f"of {size} in colour", "output")
    if w.shape[2:] == (1, 1):
        return _matrix(w[:, :, 0, 0], path, size)
    return _slices(w, path, size)


def _find(model: Module, layer: str | None) -> tuple[str, ConvNd, bool]:
    """The name, the layer, and whether it is the first convolution."""
    convolutions = {path: m for path, m in model.named_modules() if isinstance(m, ConvNd) and len(m.kernel_size) <= 2}
    if layer is None:
        if not convolutions:
            raise ValueError(f"{type(model).__name__} has no convolution of one or two axes, so no kernels to show")
        layer = next(iter(convolutions))
    found = model.get_submodule(layer)
    if not isinstance(found, ConvNd) or len(found.kernel_size) > 2:
        raise ValueError(
            f"layer must name a convolution of one or two axes, which are {list(convolutions)}; got {layer!r}, a "
            f"{type(found).__name__}"
        )
    if isinstance(found.weight, Uninitialized):
        raise ValueError(f"the layer {layer!r} has no size yet: run a batch through the model first")
    return layer, found, found is next(iter(convolutions.values()))


def _sheet(kernels: np.ndarray, path: str, what: str, number: str) -> Figure:
    """Kernels (n, h, w), or (n, h, w, 3) in colour, in as many columns as look well."""
    shown, limit = kernels[:KERNELS], _limit(kernels)
    columns = min(len(shown), max(8, round(len(shown) ** 0.5)))
    rows = -(-len(shown) // columns)
    cell = np.interp(columns, [1, 6, 16], [1.8, 1.3, 0.65])  # inches
    colored = shown.ndim == 4
    options = {} if colored else {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    high = max(rows * cell * shown.shape[1] / shown.shape[2], 0.5)
    with drawing("filters", max(columns * cell + 1.8, 6), high + 1.4) as figure:
        axes = figure.subplots()
        step = tiles(axes, _colors(shown, limit) if colored else shown, columns, **options)
        axes.set_xticks(np.arange(columns) + 0.46, [f"+{c}" if rows > 1 else f"{c}" for c in range(columns)])
        if rows > 1:
            axes.set_yticks((np.arange(rows) + 0.46) * step, [f"{row * columns}" for row in range(rows)])
        axes.set_xlabel(f"{number} (the row's number and the column's added)" if rows > 1 else number)
        count = f"{len(shown)} of {len(kernels)}" if len(shown) < len(kernels) else f"{len(kernels)}"
        axes.set_title(f"{_title(path)}{count} kernels {what}")
        shades = need("matplotlib.cm", "nn.pictures.filters").ScalarMappable(
            need("matplotlib.colors", "nn.pictures.filters").Normalize(-limit, limit), "gray" if colored else DIVERGING
        )
        color_bar(figure, shades, axes, high, "weight of each colour" if colored else "weight")
    return figure


def _colors(kernels: np.ndarray, limit: float) -> np.ndarray:
    """Weights as colours: -limit is 0, 0 is 1/2, limit is 1; what is no number is black."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.clip(0.5 + kernels / (2 * limit), 0, 1), nan=0.0)


def _slices(w: np.ndarray, path: str, size: str) -> Figure:
    """Kernels (out, in, h, w): a row for each of the first outputs, a column for each of the first inputs."""
    shown, limit = w[:OUTPUTS, :INPUTS], _limit(w)
    rows, columns = shown.shape[:2]
    high = max(rows * 0.6 * w.shape[2] / w.shape[3], 0.5)
    with drawing("filters", max(columns * 0.6 + 2, 5), high + 1.4) as figure:
        axes = figure.subplots()
        pieces = shown.reshape(-1, *shown.shape[2:])
        step = tiles(axes, pieces, columns, cmap=DIVERGING, vmin=-limit, vmax=limit)
        axes.set_xticks(np.arange(columns) + 0.46, range(columns))
        axes.set_yticks((np.arange(rows) + 0.46) * step, range(rows))
        axes.set(xlabel="input channel", ylabel="output channel")
        axes.set_title(f"{_title(path)}kernels of {size}, {_part(shown, w)}")
        color_bar(figure, axes.images[0], axes, high, "weight")
    return figure


def _matrix(w: np.ndarray, path: str, size: str) -> Figure:
    """Kernels of one point (out, in)."""
    shown, limit = w[:POINTS, :POINTS], _limit(w)
    rows, columns = shown.shape
    high = float(np.clip(rows * 0.08, 2, 9))
    with drawing("filters", float(np.clip(columns * 0.08, 3, 9)) + 2, high + 1.2) as figure:
        axes = figure.subplots()
        image = axes.imshow(shown, cmap=DIVERGING, vmin=-limit, vmax=limit)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="input channel", ylabel="output channel")
        axes.set_title(f"{_title(path)}kernels of {size}, {_part(shown, w)}")
        color_bar(figure, image, axes, high, "weight")
    return figure


def _title(path: str) -> str:
    return f"{path}: " if path else ""


def _part(shown: np.ndarray, w: np.ndarray) -> str:
    """What is shown of how many outputs and inputs."""
    counts = [(shown.shape[i], w.shape[i], name) for i, name in enumerate(("outputs", "inputs"))]
    return ", ".join(f"{part} of {whole} {name}" if part < whole else f"{whole} {name}" for part, whole, name in counts)


def _limit(w: np.ndarray) -> float:
    """The largest magnitude of a finite weight."""
    finite = abs(w[np.isfinite(w)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0
