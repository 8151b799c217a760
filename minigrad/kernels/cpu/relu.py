"""ReLU, over long rows, and its gradient."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.cpu.memory import SWEEP, Array, above_zero, bits, chosen, cuts, workspace
from minigrad.threads import run

ROW = 1 << 13  # numbers that meet a row of zeros at once: it stays in the nearest cache
PIECE = 1 << 19  # numbers of a gradient that a thread takes at once; with 2^16 it takes a quarter longer


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


def relu_input(g: Array, out: Array) -> Array:
    """g where not out <= 0, else 0."""
    if g.dtype.kind != "f":
        return np.where(out <= 0, 0, g)
    if g.size < PIECE:
        return chosen(g, above_zero(out, np.empty_like(out, bool))).view(g.dtype)
    dx: Array = np.empty_like(g)
    if not g.strides == out.strides == dx.strides:  # gaps in memory
        return np.where(out <= 0, 0, g)
    gradients, outputs, target = g.ravel("K"), out.ravel("K"), bits(dx.ravel("K"))

    def work(part: slice) -> None:
        with workspace() as memory:
            values = outputs[part]
            keep = above_zero(values, memory(values.shape, np.dtype(bool)))
            chosen(gradients[part], keep, out=target[part])

    run(work, cuts(g.size, PIECE))
    return dx
