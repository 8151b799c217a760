"""How good a classifier is: accuracy within the first k, confusion, precision and recall of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor


def _on_cpu(x: Any) -> np.ndarray:
    return x.detach().to("cpu").numpy() if isinstance(x, Tensor) else np.asarray(x)


def rank_of_label(scores: Any, labels: Any) -> np.ndarray:
    """Where the right class stands among the scores, int64 (N,): 0 if it is the highest.

    Among equal scores the lower class comes first, as argmax has it; where a score is nan the label is last.

    Args:
        scores: (N, C), the higher the likelier: logits or probabilities.
        labels: integers (N,), or probabilities (N, C), of which the most probable class counts.

    Raises:
        ValueError: other shapes, fewer than 2 classes, or a label outside 0 ... C - 1.

    >>> rank_of_label([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]], [1, 0]).tolist()
    [0, 2]
    """
    scores, labels = _on_cpu(scores), _on_cpu(labels)
    if scores.ndim != 2 or labels.shape not in (scores.shape[:1], scores.shape):
        raise ValueError(f"scores must be (N, C) and labels (N,) or (N, C), got {scores.shape} and {labels.shape}")
    labels = hard(labels)
    n, classes = scores.shape
    if classes < 2:
        raise ValueError(f"scores must be of 2 classes at least, (N, C), got {scores.shape}: one is always the highest")
    if n and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    own = scores[np.arange(n), labels][:, None]
    ahead = (scores > own) | ((scores == own) & (np.arange(classes) < labels[:, None]))
    return np.where(np.isnan(scores).any(axis=1), classes - 1, ahead.sum(axis=1))


def hard(labels: np.ndarray) -> np.ndarray:
    """Labels (N,); of probabilities (N, C) the most probable class."""
    return labels if labels.ndim == 1 else labels.argmax(axis=1)


def top_k_accuracy(scores: Any, labels: Any, k: int = 1) -> float:
    """The fraction of samples whose label is among the k highest scores; see `rank_of_label`.

    >>> top_k_accuracy([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]], [1, 2], k=2)
    1.0
    """
    return float((rank_of_label(scores, labels) < k).mean())


class ClassReport(NamedTuple):
    """Precision, recall and F1 of each class, (C,) each, nan where nothing is to be divided by; and how many there are.

    precision = right / predicted as this class, recall = right / of this class, f1 = their harmonic mean. See
    `per_class`, which makes it.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def per_class(confusion: np.ndarray) -> ClassReport:
    """The report of a confusion matrix (C, C) with a row for each true class.

    >>> report = per_class(np.array([[8, 2], [1, 9]]))
    >>> report.recall.tolist(), report.support.tolist()
    ([0.8, 0.9], [10, 10])
    """
    right, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0: a class that never comes has no recall
        return ClassReport(right / predicted, right / support, 2 * right / (support + predicted), support)


class Metrics:
    """Loss and accuracies of many batches together.

    Attributes:
        count: the number of samples so far.
        loss: the mean loss over them.
        top1, top5: the fractions of samples whose label is the highest score, or among the five highest.
        confusion: int64 (C, C): how often class `row` was taken for class `column`; None before the first batch.

    >>> metrics = Metrics()
    >>> metrics.update([[2.0, 1.0], [0.5, 3.0]], [0, 0], loss=1.5)
    >>> metrics.top1, metrics.loss, metrics.confusion.tolist()
    (0.5, 1.5, [[1, 1], [0, 0]])
    """

    def __init__(self) -> None:
        self.count = 0
        self.confusion: np.ndarray | None = None
        self._loss = 0.0
        self._top1 = self._top5 = 0

    def update(self, scores: Any, labels: Any, loss: float) -> None:
        """Add a batch: scores (N, C), labels (N,) or (N, C), and the mean loss over it."""
        scores, labels = _on_cpu(scores), _on_cpu(labels)
        rank = rank_of_label(scores, labels)
        classes = scores.shape[1]
        if self.confusion is None:
            self.confusion = np.zeros((classes, classes), np.int64)
        np.add.at(self.confusion, (hard(labels), scores.argmax(axis=1)), 1)
        self.count += len(scores)
        self._loss += loss * len(scores)
        self._top1 += int((rank < 1).sum())
        self._top5 += int((rank < 5).sum())

    @property
    def loss(self) -> float:
        return self._loss / self.count if self.count else float("nan")

    @property
    def top1(self) -> float:
        return self._top1 / self.count if self.count else float("nan")

    @property
    def top5(self) -> float:
        return self._top5 / self.count if self.count else float("nan")

    def per_class(self) -> ClassReport:
        """Precision, recall and F1 of each class.

        Raises:
            ValueError: there was no batch yet.
        """
        if self.confusion is None:
            raise ValueError("there is nothing to report: no batch was added")
        return per_class(self.confusion)

    def state_dict(self) -> dict[str, Any]:
        """All of it, to go on in the middle of an epoch."""
        return {**vars(self), "confusion": None if self.confusion is None else self.confusion.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the metrics of `state_dict()` were."""
        confusion = state["confusion"]
        vars(self).update(state, confusion=None if confusion is None else _on_cpu(confusion).copy())

    def __repr__(self) -> str:
        return f"Metrics(count={self.count}, loss={self.loss:.4f}, top1={self.top1:.4f}, top5={self.top5:.4f})"
