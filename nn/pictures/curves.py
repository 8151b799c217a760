"""The course of a training run: loss and accuracy over the epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.nn.pictures.rows import by_number, numbers
from minigrad.nn.pictures.style import TRAINING, VALIDATION, WRONG, drawing, log_axis, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEN = {"train": ("training", TRAINING), "val": ("validation", VALIDATION)}  # by the keys in the rows


def curves(rows: Iterable[Mapping[str, Any]]) -> Figure:
    """Loss and accuracy over the epochs, of training and of validation, from the rows of a log.jsonl.

    The losses of single steps, where the log has them, are a thin line behind. A loss that spans two powers of ten has
    a logarithmic axis. From where a loss is nan or inf the picture says that the run has diverged.

    Args:
        rows: what `nn.train.read_log` gives: dicts with "kind": "epoch" and the keys "epoch", "step", "train_loss",
            "val_loss", "train_top1", "val_top1", "train_top5", "val_top5" as far as there are any, accuracies as
            fractions; or "kind": "step" with "epoch", "step" and "loss". Of a run that went on from an earlier epoch,
            what it wrote later counts.

    Raises:
        ImportError: matplotlib is not installed; says what to install.
        ValueError: there is no loss in the rows.

    >>> rows = [{"kind": "epoch", "epoch": n, "train_loss": 1 / n, "val_loss": 1.1 / n} for n in range(1, 6)]
    >>> axes, = curves(rows).axes
    >>> axes.get_xlabel(), axes.get_title()
    ('epoch', 'Loss: best validation 0.22 in epoch 5')
    """
    rows = list(rows)
    epochs, steps = by_number(rows, "epoch"), by_number(rows, "step")
    if not any(row.get(key) is not None for row in (*epochs, *steps) for key in ("train_loss", "val_loss", "loss")):
        raise ValueError("rows hold no losses of epochs or steps, so there is nothing to draw")
    scored = [row for row in epochs if any(row.get(f"{part}_top1") is not None for part in SEEN)]
    with drawing("curves", 11 if scored else 7, 4.4) as figure:
        axes = figure.subplots(1, 2 if scored else 1, squeeze=False)[0]
        _draw_losses(axes[0], epochs, steps)
        if scored:
            _draw_accuracies(axes[1], epochs)
    return figure


def _draw_losses(axes: Any, epochs: list[Mapping[str, Any]], steps: list[Mapping[str, Any]]) -> None:
    x = numbers(epochs, "epoch")
    losses = {part: numbers(epochs, f"{part}_loss") for part in SEEN}
    single, at = numbers(steps, "loss"), _in_epochs(epochs, numbers(steps, "step"))
    if steps:
        thin = {"lw": 0.6, "alpha": 0.45} if epochs else {"lw": 1.2}
        axes.plot(at, _finite(single), color=TRAINING, label="training, single steps", **thin)
    _draw(axes, epochs, "loss", "-", 1.8, {"train": ", mean of the epoch", "val": ", after the epoch"})
    _decorate(axes, x if epochs else None, "loss")
    shown = np.concatenate([*losses.values()] if epochs else [single])
    shown = shown[np.isfinite(shown)]
    if len(shown) and shown.min() > 0 and shown.max() > 100 * shown.min():
        log_axis(axes, "y")
        axes.set_ylabel("loss (log scale)")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], shown.min() / 3))  # not down to the luckiest step
    best, epoch = _best(x, -losses["val"])
    title = f"Loss: best validation {-best:.3g} in epoch {epoch:g}" if np.isfinite(best) else "Loss"
    if first := _divergence(x, losses, at, single, steps, epochs):
        place, what = first
        axes.axvline(place, color=WRONG, ls=":", lw=1.5)
        right = max(axes.get_xlim()[1], place, *x)
        axes.axvspan(place, right, color=WRONG, alpha=0.1, lw=0)
        axes.set_xlim(right=right)
        if not len(shown):
            axes.set_yticks([])
        title = f"Loss: the run diverged, {what}"
    axes.set_title(title, color=WRONG if first else "black")
    _legend(axes)


def _draw_accuracies(axes: Any, epochs: list[Mapping[str, Any]]) -> None:
    x = numbers(epochs, "epoch")
    _draw(axes, epochs, "top1", "-", 1.8, {"train": ", top 1", "val": ", top 1"})
    _draw(axes, epochs, "top5", "--", 1.2, {"train": ", top 5", "val": ", top 5"})
    _decorate(axes, x, "accuracy")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    part = "val" if np.isfinite(numbers(epochs, "val_top1")).any() else "train"
    best, epoch = _best(x, numbers(epochs, f"{part}_top1"))
    if np.isfinite(best):
        axes.plot(epoch, best, "o", ms=9, mfc="none", color=SEEN[part][1], mew=1.5)
        axes.set_title(f"Accuracy: best {SEEN[part][0]} {percent(best)} in epoch {epoch:g}")
    else:
        axes.set_title("Accuracy: none is a number")
    _legend(axes)


def _draw(
    axes: Any, epochs: list[Mapping[str, Any]], what: str, dashes: str, width: float, more: dict[str, str]
) -> None:
    """A line for training and one for validation, through the epochs that have the value."""
    for part, (label, color) in SEEN.items():
        y = numbers(epochs, f"{part}_{what}")
        given = np.array([row.get(f"{part}_{what}") is not None for row in epochs], bool)
        if not given.any():
            continue
        marker = ("o" if part == "train" else "s") if given.sum() <= 40 else ""
        x = numbers(epochs, "epoch")[given]
        axes.plot(x, _finite(y[given]), dashes + marker, ms=3.5, lw=width, color=color, label=label + more[part])


def _decorate(axes: Any, x: np.ndarray | None, what: str) -> None:
    axes.set(xlabel="step" if x is None else "epoch", ylabel=what)
    axes.grid()
    if x is None:
        return
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(x) == 1 and axes.get_xlim()[1] - axes.get_xlim()[0] < 1:
        axes.set_xlim(x[0] - 1, x[0] + 1)


def _legend(axes: Any) -> None:
    """Below the axes, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)


def _in_epochs(epochs: list[Mapping[str, Any]], steps: np.ndarray) -> np.ndarray:
    """Where steps lie on the axis of the epochs: epoch 2 ends at 2; without epochs, the steps as they are.

    Steps behind the last epoch are taken to be as dense as before.
    """
    known = [(row["step"], row["epoch"]) for row in epochs if row.get("step") is not None]
    if not known:
        return steps
    ends, numbers_ = np.array([(0.0, known[0][1] - 1.0), *known], np.float64).T
    rate = (numbers_[-1] - numbers_[-2]) / max(ends[-1] - ends[-2], 1)
    beyond = numbers_[-1] + (steps - ends[-1]) * rate
    return np.where(steps > ends[-1], beyond, np.interp(steps, ends, numbers_))


def _divergence(
    x: np.ndarray,
    losses: dict[str, np.ndarray],
    at: np.ndarray,
    single: np.ndarray,
    steps: list[Mapping[str, Any]],
    epochs: list[Mapping[str, Any]],
) -> tuple[float, str] | None:
    """Where the first loss that is no finite number lies, and what it is; an absent value is none."""
    found = []
    for part, (name, _) in SEEN.items():
        given = np.array([row.get(f"{part}_loss") is not None for row in epochs], bool)
        for i in np.flatnonzero(given & ~np.isfinite(losses[part]))[:1]:
            found.append((x[i], f"{name} loss is {losses[part][i]:g} in epoch {x[i]:g}"))
    given = np.array([row.get("loss") is not None for row in steps], bool)
    for i in np.flatnonzero(given & ~np.isfinite(single))[:1]:
        found.append((at[i], f"the loss of step {steps[i]['step']} is {single[i]:g}"))
    return min(found, default=None)


def _best(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The largest finite value and its place; nan where there is none."""
    finite = np.flatnonzero(np.isfinite(y))
    if not len(finite):
        return np.nan, np.nan
    i = finite[np.argmax(y[finite])]
    return y[i], x[i]


def _finite(y: np.ndarray) -> np.ndarray:
    """Values that can be drawn; nan, which leaves a gap, for the others and for what overflows an axis."""
    return np.where(abs(y) < 1e100, y, np.nan)
