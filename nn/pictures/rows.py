"""The rows of a log as curves: what counts of them after a run was stopped and went on, and numbers out of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def by_number(rows: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The rows of one kind, "epoch" or "step", in the order of their number, which the key of that name holds.

    A run that went on from epoch 3 writes epoch 4 again: that row then counts, and those of an earlier time which lie
    at or behind it do not, for the network that wrote them was given up.

    Raises:
        ValueError: a row without its number.

    >>> rows = [{"kind": "epoch", "epoch": n, "seconds": s} for n, s in [(1, 10), (2, 11), (3, 12), (2, 20)]]
    >>> [(row["epoch"], row["seconds"]) for row in by_number(rows, "epoch")]
    [(1, 10), (2, 20)]
    """
    kept: list[Mapping[str, Any]] = []
    for row in rows:
        if row.get("kind") != kind:
            continue
        if not isinstance(row.get(kind), (int, float)) or not math.isfinite(row[kind]):
            raise ValueError(f"a row of the kind {kind!r} must have a number {kind!r}, got {dict(row)}")
        while kept and kept[-1][kind] >= row[kind]:
            kept.pop()
        kept.append(row)
    return kept


def numbers(rows: Iterable[Mapping[str, Any]], key: str) -> np.ndarray:
    """The values under a key, float64; nan where a row has none."""
    return np.array([_number(row.get(key), key) for row in rows], np.float64)


def _number(value: Any, key: str) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, (int, float)):
        raise ValueError(f"{key!r} must be a number in every row that has it, got {value!r}")
    return float(value)
