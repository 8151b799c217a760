"""What a network is worth on a data set: the numbers, and the probabilities behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.models.cli.output import loss_text, percent, table
from minigrad.nn.train import Metrics, Trainer


class Judgement(NamedTuple):
    """What `judge` found.

    Attributes:
        metrics: loss, accuracies, and the confusion matrix.
        probabilities: float32 (N, classes).
        labels: int64 (N,).
    """

    metrics: Metrics
    probabilities: np.ndarray
    labels: np.ndarray


def judge(trainer: Trainer, batches: Iterable[Any]) -> Judgement:
    """`trainer.evaluate` on the batches, which also keeps the probabilities: one pass gives both."""
    labels: list[np.ndarray] = []
    probabilities: list[np.ndarray] = []

    def noted() -> Iterator[Any]:
        for images, targets in batches:
            labels.append(np.asarray(targets))
            yield images, targets

    def keep(module: Any, args: Any, out: Tensor) -> None:
        p = mg.softmax(trainer.to_scores(out).to("float32"), axis=1).to("cpu").numpy()
        probabilities.append(p.reshape(len(labels[-1]), -1, p.shape[1]).mean(axis=1))  # over the views of an image

    with trainer.model.register_forward_hook(keep):
        metrics = trainer.evaluate(noted())
    return Judgement(metrics, np.concatenate(probabilities), np.concatenate(labels))


def as_dict(metrics: Metrics, classes: Sequence[str]) -> dict[str, Any]:
    """The numbers, for JSON."""
    report = metrics.per_class()
    return {
        "count": metrics.count,
        "loss": metrics.loss,
        "top1": metrics.top1,
        "top5": metrics.top5,
        "classes": [
            {"name": name, "precision": float(p), "recall": float(r), "f1": float(f), "count": int(n)}
            for name, p, r, f, n in zip(classes, *report, strict=True)
        ],
        "confusion": np.asarray(metrics.confusion).tolist(),
    }


def show(results: dict[str, Any], title: str) -> None:
    """Write the table of the main numbers of `as_dict`."""
    wrong = results["count"] - sum(row[i] for i, row in enumerate(results["confusion"]))
    cells = (results["count"], wrong, loss_text(results["loss"]), percent(results["top1"]), percent(results["top5"]))
    table(("set", ">images", ">wrong", ">loss", ">top-1", ">top-5"), [(title, *cells)])


def show_classes(results: dict[str, Any]) -> None:
    """Write the table of the classes of `as_dict`."""
    rows = [
        (row["name"], percent(row["precision"]), percent(row["recall"]), percent(row["f1"]), row["count"])
        for row in results["classes"]
    ]
    table(("class", ">precision", ">recall", ">f1", ">images"), rows)
