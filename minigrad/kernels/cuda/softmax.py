"""Softmax cross entropy on CuPy arrays: the launches of softmax.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import xp
from minigrad.kernels.cuda.loader import BLOCKS, THREADS, as_rows, blocks_for, ctype, launch, pixels_last, sum_dtype

Array = Any

LANES = 32  # of softmax.cu


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array, Array]:
    """log(sum(exp(x))) - x[target] over the channels of x (N, C, *spatial), and the logarithm in two parts."""
    c, rows, library = ctype("cross_entropy", x), as_rows(x), xp(x)
    loss = library.empty(target.shape, x.dtype)
    top, rest = (library.empty(target.shape, sum_dtype(c)) for _ in range(2))
    if loss.size:
        classes = library.ascontiguousarray(target, dtype=np.int64)
        blocks = (min(BLOCKS, -(-len(rows) // (THREADS // LANES))),)
        sizes = np.int64(len(rows)), np.int64(rows.shape[1])
        launch("softmax", f"cross_entropy<{c}>", blocks, rows, classes, loss, top, rest, *sizes)
    return loss, top, rest


def cross_entropy_input(g: Array, x: Array, target: Array, top: Array, rest: Array) -> Array:
    """The gradient of `cross_entropy` in x: g * (exp(x - top - rest) - one_hot(target))."""
    c, rows, library = ctype("cross_entropy", x, g), as_rows(x), xp(x)
    dx = pixels_last(x.shape, x.dtype, library.empty)
    if dx.size:
        g = library.ascontiguousarray(g)
        top, rest = (library.ascontiguousarray(v, dtype=sum_dtype(c)) for v in (top, rest))
        classes = library.ascontiguousarray(target, dtype=np.int64)
        arguments = (g, rows, classes, top, rest, dx, np.int64(rows.size), np.int64(rows.shape[1]))
        launch("softmax", f"cross_entropy_input<{c}>", blocks_for(rows.size), *arguments)
    return dx
