"""Costly elementwise arithmetic, in pieces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.kernels.cpu.memory import Array, cuts
from minigrad.threads import run

PIECE = 1 << 15  # numbers of a piece: what is in between stays in the cache, and a tanh of them takes 100 microseconds


def in_pieces(function: Callable[..., Array], x: Array, *more: object) -> Array:
    """function(x, *more), which works on each element of x alone, for pieces of x that threads share."""
    out: Array = np.empty_like(x)
    if x.strides != out.strides:  # gaps in memory
        return function(x, *more)
    values, pieces = x.ravel("K"), cuts(x.size, PIECE)
    first = function(values[pieces[0]], *more)
    out = out if first.dtype == x.dtype else np.empty_like(x, first.dtype)
    results = out.ravel("K")
    results[pieces[0]] = first

    def work(piece: slice) -> None:
        if isinstance(function, np.ufunc):
            function(values[piece], out=results[piece])
        else:
            results[piece] = function(values[piece], *more)

    run(work, pieces[1:])
    return out
