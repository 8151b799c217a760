"""The feature maps of an image at each stage of a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad import Tensor, asarray
from minigrad.checks import positive_int
from minigrad.nn.module import Module
from minigrad.nn.optional import need
from minigrad.nn.parameter import Uninitialized
from minigrad.nn.pictures.style import DIVERGING, FAINT, SEQUENTIAL, drawing, host, short
from minigrad.nn.pictures.tiles import tiles
from minigrad.nn.undisturbed import undisturbed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL_LAYERS = 14  # a network with more of them is shown stage by stage


class Maps(NamedTuple):
    """The output of one call of a module."""

    path: str  # its dotted name, with the number of the call where there are several
    module: Module
    values: np.ndarray  # (C, H, W)


def feature_maps(model: Module, image: Any, layers: Iterable[str] | None = None, count: int = 8) -> Figure:
    """The first maps that an image becomes at every stage of a network.

    A row is a layer, with its name and the shape of its output. All maps of a row share one scale, so that one that
    stays empty looks empty: from 0 up where nothing is negative, as after a ReLU, else blue below 0 and red above. The
    image goes through the model once, in eval mode; the model stays as it was, after an error too.

    Args:
        model: any module that takes one image.
        image: (C, H, W) or (1, C, H, W), floating, as the model takes it: after the transforms.
        layers: dotted names of the modules to show. None shows the outputs of all layers that hold no other (but those
            that pass on what they get, as dropout does); of a network with more than 14, those of its stages: the last
            output, of the outermost module, before the size of the maps changes.
        count: how many maps of each layer, its first ones.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        TypeError: a model that is no Module, or an image of integers.
        AttributeError: there is no layer of a name.
        ValueError: an image of another shape, a layer that makes no maps of this image, or one without a size yet.

    Source: M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    >>> [axes.get_title(loc="left") for axes in feature_maps(net, mg.randn(1, 8, 8)).axes[2::2]]
    ['0: Conv2d, 4 x 6 x 6', '1: ReLU, 4 x 6 x 6', '2: MaxPool2d, 4 x 3 x 3']
    """
    x = _image(model, image)
    positive_int("count", count)
    wanted = None if layers is None else [layers] if isinstance(layers, str) else list(layers)
    for name in wanted or []:
        model.get_submodule(name)
    calls = _run(model, x)
    stages = _stages(calls) if wanted is None else _named(calls, wanted)
    if not stages:
        raise ValueError(f"no layer of {type(model).__name__} makes maps (C, H, W) of this image")
    x0 = host(x)[0]
    ratio = float(np.clip(x0.shape[1] / x0.shape[2], 0.3, 3))
    row = 1.1 * ratio
    ticker = need("matplotlib.ticker", "nn.pictures.feature_maps")
    with drawing("feature_maps", max(count + 1.6, 6), (row + 0.5) * (len(stages) + 1) + 0.3) as figure:
        (top, corner), *grid = figure.subplots(len(stages) + 1, 2, width_ratios=(6 * count, 1))
        corner.set_axis_off()
        _draw_image(top, x0, count)
        for (axes, side), stage in zip(grid, stages, strict=True):
            _draw_maps(axes, stage, count)
            bar = figure.colorbar(axes.images[0], cax=side, ticks=ticker.MaxNLocator(2))
            bar.ax.tick_params(labelsize=8)
        figure.suptitle(f"{type(model).__name__}: an image on its way, the first {count} maps of each layer")
    return figure


def _image(model: Any, image: Any) -> Tensor:
    """The image as a batch of one, in the dtype of the model and on its device."""
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    if any(isinstance(p, Uninitialized) for p in (*model.parameters(), *model.buffers())):
        raise ValueError(
            f"{type(model).__name__} has layers without a size, which an image would decide: run a batch through the "
            f"model first"
        )
    x = asarray(image).detach()
    if x.dtype.kind != "f":
        raise TypeError(f"image must be floating, as the model takes it after the transforms, got {x.dtype}")
    x = x.reshape((1, *x.shape)) if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[0] != 1 or 0 in x.shape:
        raise ValueError(f"image must have the shape (C, H, W) or (1, C, H, W), got {asarray(image).shape}")
    like = next((p for p in model.parameters() if p.dtype.kind == "f"), x)
    return x.to(like.dtype).to(like.device)


def _run(model: Module, x: Tensor) -> list[Maps]:
    """The maps that modules make, in the order in which they are ready."""
    calls: list[Maps] = []
    paths = {id(module): path for path, module in model.named_modules()}
    times: dict[int, int] = {}

    def keep(module: Module, args: tuple, out: Any) -> None:
        if not isinstance(out, Tensor) or out.ndim != 4 or 0 in out.shape or any(out is a for a in args):
            return
        times[id(module)] = times.get(id(module), 0) + 1
        again = f" (call {times[id(module)]})" if times[id(module)] > 1 else ""
        calls.append(Maps(paths[id(module)] + again, module, host(out)[0]))

    with undisturbed(model) as stack:
        for module in model.modules():
            stack.enter_context(module.register_forward_hook(keep))
        model(x)
    return calls


def _stages(calls: list[Maps]) -> list[Maps]:
    """All layers of a small network; of a large one the last output of each size of the maps, the outermost first."""
    leaves = [call for call in calls if next(call.module.children(), None) is None]
    if len(leaves) <= ALL_LAYERS:
        return leaves
    stages: list[Maps] = []
    for call in calls:
        if not stages or stages[-1].values.shape[1:] != call.values.shape[1:]:
            stages.append(call)
        elif call.path.count(".") <= stages[-1].path.count("."):
            stages[-1] = call
    return stages


def _named(calls: list[Maps], names: list[str]) -> list[Maps]:
    known: dict[str, list[Maps]] = {}
    for call in calls:
        known.setdefault(call.path.partition(" (call ")[0], []).append(call)
    if silent := [name for name in names if name not in known]:
        raise ValueError(f"layers must name modules that make maps (C, H, W) of the image, {silent} do not")
    return [call for name in names for call in known[name]]


def _draw_image(axes: Any, image: np.ndarray, count: int) -> None:
    """The image as it came in, stretched to all of black to white."""
    finite = image[np.isfinite(image)]
    low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
    stretched = np.nan_to_num((image - low) / (high - low if high > low else 1))
    shown = stretched.transpose(1, 2, 0) if len(image) == 3 else stretched[0]
    tiles(axes, [shown], count, **({} if len(image) == 3 else {"cmap": "gray", "vmin": 0, "vmax": 1}))
    axes.set_title(f"the image, {_by(image.shape)}, {low:.3g} (black) to {high:.3g} (white)", loc="left", fontsize=10)


def _draw_maps(axes: Any, stage: Maps, count: int) -> None:
    maps = stage.values[:count].astype(np.float64)
    finite = maps[np.isfinite(maps)]
    limit = float(abs(finite).max()) if finite.size else 0.0
    limit = limit if limit > 0 else 1.0
    signed = finite.size and finite.min() < 0
    colormaps = need("matplotlib", "nn.pictures.feature_maps").colormaps
    colors = colormaps[DIVERGING if signed else SEQUENTIAL].with_extremes(bad=FAINT)
    tiles(axes, list(maps), count, cmap=colors, vmin=-limit if signed else 0, vmax=limit)
    name = f"{short(stage.path, 40)}: " if stage.path else ""
    axes.set_title(f"{name}{type(stage.module).__name__}, {_by(stage.values.shape)}", loc="left", fontsize=10)


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
