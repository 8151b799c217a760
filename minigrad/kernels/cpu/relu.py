"""ReLU, over long rows."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.cpu.memory import SWEEP, Array, cuts
from minigrad.threads import run

ROW = 1 << 13  # numbers that meet a row of zeros at once: it stays in the nearest cache


def relu(x: Array) -> Array:
    """max(x, 0). NumPy takes 2.5 times as long for the number 0 as for a row of zeros."""
    if x.size < ROW or x.dtype.kind != "f":
        return np.maximum(x, 0)
    out = np.empty_like(x)
    if x.strides != out.strides:  # x has gaps in memory
        return np.maximum(x, 0, out=out)
    values, results, whole = x.ravel("K"), out.ravel("K"), x.size - x.size % ROW
    zeros = np.zeros(ROW, x.dtype)
    rows, parts = values[:whole].reshape(-1, ROW), results[:whole].reshape(-1, ROW)
    run(lambda some: np.maximum(rows[some], zeros, out=parts[some]), cuts(len(rows), SWEEP // ROW))
    np.maximum(values[whole:], zeros[: x.size - whole], out=results[whole:])
    return out
