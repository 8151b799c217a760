"""Metrics, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn.train import Metrics, per_class, rank_of_label, top_k_accuracy


def test_ranks_are_those_of_a_stable_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (200, 7)).astype(np.float32)  # many ties
    labels = rng.integers(0, 7, 200)
    expected = [
        sorted(range(7), key=lambda c: (-row[c], c)).index(label) for row, label in zip(scores, labels, strict=True)
    ]
    assert rank_of_label(scores, labels).tolist() == expected
    assert rank_of_label(mg.tensor(scores), mg.tensor(labels)).tolist() == expected
    for k in (1, 2, 5, 7):
        assert top_k_accuracy(scores, labels, k) == np.mean([rank < k for rank in expected])
    assert ((rank_of_label(scores, labels) == 0) == (scores.argmax(axis=1) == labels)).all()


def test_nan_is_no_hit_and_infinity_is_a_score():
    assert rank_of_label([[np.nan, 1.0, 0.0]], [1]).tolist() == [2]
    assert rank_of_label([[np.inf, 1.0, -np.inf]], [0]).tolist() == [0]
    assert rank_of_label([[-np.inf, -np.inf]], [1]).tolist() == [1]


def test_probabilities_as_labels_count_by_the_largest():
    assert rank_of_label([[1.0, 2.0, 3.0]], [[0.2, 0.3, 0.5]]).tolist() == [0]


def test_many_batches_are_one():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    parts, whole = Metrics(), Metrics()
    whole.update(scores, labels, 2.0)
    for cut, loss in ((slice(0, 20), 1.0), (slice(20, 50), 8 / 3)):
        parts.update(scores[cut], labels[cut], loss)
        state = parts.state_dict()
        parts = Metrics()
        parts.load_state_dict(state)  # as in a resumed epoch
    assert (parts.count, parts.top1, parts.top5) == (whole.count, whole.top1, whole.top5)
    assert parts.loss == pytest.approx(whole.loss)
    assert (parts.confusion == whole.confusion).all()
    expected = np.zeros((6, 6), int)
    for label, predicted in zip(labels, scores.argmax(axis=1), strict=True):
        expected[label, predicted] += 1
    assert (parts.confusion == expected).all()
    assert repr(parts).startswith("Metrics(count=50, loss=2.0000, top1=")


def test_the_state_is_a_snapshot():
    metrics = Metrics()
    metrics.update([[1.0, 0.0]], [0], 0.5)
    state = metrics.state_dict()
    metrics.update([[1.0, 0.0]], [0], 0.5)
    assert state["count"] == state["confusion"].sum() == 1


def test_the_report_of_the_classes():
    report = per_class(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))
    assert report.precision[:2].tolist() == [3 / 5, 4 / 5]
    assert report.recall[:2].tolist() == [3 / 4, 4 / 6]
    assert report.f1[0] == pytest.approx(2 / (5 / 3 + 4 / 3))
    assert report.support.tolist() == [4, 6, 0]
    assert np.isnan([report.precision[2], report.recall[2], report.f1[2]]).all()


def test_without_batches():
    metrics = Metrics()
    assert np.isnan([metrics.loss, metrics.top1, metrics.top5]).all()
    with pytest.raises(ValueError, match="there is nothing to report: no batch was added"):
        metrics.per_class()


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros(3), [0], r"scores must be \(N, C\) and labels \(N,\) or \(N, C\), got \(3,\) and \(1,\)"),
        (np.zeros((2, 3)), [0], r"got \(2, 3\) and \(1,\)"),
        (np.zeros((2, 3)), [0, 3], "labels must be from 0 to 2, got 0 to 3"),
        (np.zeros((2, 3)), [-1, 1], "labels must be from 0 to 2, got -1 to 1"),
    ],
)
def test_bad_input(scores: np.ndarray, labels: list, message: str):
    metrics = Metrics()
    with pytest.raises(ValueError, match=message):
        metrics.update(scores, labels, 1.0)
    assert (metrics.count, metrics.confusion) == (0, None)


def test_one_class_is_refused():
    """Of one score the highest is always right: an accuracy of 1 whatever the network does."""
    with pytest.raises(ValueError, match=r"scores must be of 2 classes at least, \(N, C\), got \(4, 1\)"):
        Metrics().update(np.zeros((4, 1)), np.zeros((4, 1)), 0.5)
