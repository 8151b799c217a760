"""Large products of two matrices, in pieces that threads share."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.cpu.memory import Array, cuts
from minigrad.threads import run, serial_blas

FEW, COLUMNS = 128, 64  # rows of a small batch; columns of a product with it that BLAS does not copy first
LARGE = 1 << 20  # numbers, more than the caches hold
PIECES, SIDE, WORTH = 4, 256, 1 << 23  # of a product: at most; the least rows or columns, and multiply-adds, of a piece


@serial_blas
def matmul(x: Array, y: Array) -> Array:
    """The matrix product x @ y, with NumPy's rules."""
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype != y.dtype or x.dtype.kind != "f" or min(x.ndim, y.ndim) < 2:
        return np.matmul(x, y)
    if x.ndim > 2 and (y.ndim == 2 or x.shape[:-2] == y.shape[:-2]):
        return _stack(x, y)
    if x.ndim > 2 or y.ndim > 2:
        return np.matmul(x, y)
    if y.size >= LARGE and 1 < len(x) <= FEW and y.T.flags.c_contiguous:
        return _few_rows(x, y.T)
    n, m = len(x), y.shape[1]
    out = np.empty((n, m), x.dtype)
    count = min(PIECES, x.size * m // WORTH)
    if n // SIDE >= min(count, m // SIDE):  # rows, whose part of the result lies in one piece
        step = max(SIDE, -(-n // max(1, count)))
        run(lambda some: np.matmul(x[some], y, out=out[some]), cuts(n, step))
    else:
        step = max(SIDE, -(-m // max(1, count)))
        run(lambda some: np.matmul(x, y[:, some], out=out[:, some]), cuts(m, step))
    return out


def _stack(x: Array, y: Array) -> Array:
    """A stack of matrices times another, or times one matrix: some along the first axis at a time."""
    out = np.empty((*x.shape[:-1], y.shape[-1]), x.dtype)
    step = -(-len(x) // max(1, min(len(x), out.size * x.shape[-1] // WORTH)))
    run(lambda some: np.matmul(x[some], y[some] if y.ndim > 2 else y, out=out[some]), cuts(len(x), max(1, step)))
    return out


def _few_rows(x: Array, w: Array) -> Array:
    """x @ w.T for a small batch in a large fully connected layer.

    BLAS first copies a matrix to where it multiplies it, which pays off if many rows meet it. It leaves that out for
    small products, so the weight goes by blocks of its rows.
    """
    rows, whole = len(x), len(w) - len(w) % COLUMNS
    out = np.empty((rows, len(w)), w.dtype)
    blocks = w[:whole].reshape(-1, COLUMNS, w.shape[1]).swapaxes(1, 2)
    results = out[:, :whole].reshape(rows, -1, COLUMNS).swapaxes(0, 1)
    several = max(1, LARGE // (COLUMNS * w.shape[1]))
    run(lambda some: np.matmul(x, blocks[some], out=results[some]), cuts(len(blocks), several))
    np.matmul(x, w[whole:].T, out=out[:, whole:])
    return out
