"""Softmax cross entropy for classes given by number."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.cpu.memory import Array, accumulator, as_images, as_rows


def _column(v: Array) -> Array:
    """(N, *spatial) as (pixels, 1), in the order of `as_rows`."""
    return v.transpose(*range(1, v.ndim), 0).reshape(-1, 1)


def _at(target: Array) -> tuple[Array, Array]:
    """Where the targets are in rows of classes. NumPy's functions for this take ten times as long for a small batch."""
    return np.arange(target.size), _column(target)[:, 0]


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array, Array]:
    """log(sum(exp(x))) - x[target] over the channels of x (N, C, *spatial), and the logarithm in two parts.

    These are the largest x and log(sum(exp(x - largest))): together they would be rounded to the digits of the first.
    """
    rows = as_rows(x).astype(accumulator(x), copy=False)
    top = rows.max(1, keepdims=True)
    top[np.isinf(top)] = 0  # inf - inf would be nan
    e = rows - top
    np.exp(e, out=e)
    rest = np.log(e.sum(1, keepdims=True))
    loss = top - rows[_at(target)][:, None]
    loss += rest
    sizes = (*x.shape[2:], x.shape[0])
    back = (len(sizes) - 1, *range(len(sizes) - 1))
    loss, top, rest = (v.reshape(sizes).transpose(back) for v in (loss, top, rest))
    return loss.astype(x.dtype, copy=False), top, rest


def cross_entropy_input(g: Array, x: Array, target: Array, top: Array, rest: Array) -> Array:
    """The gradient of `cross_entropy` in x: g * (exp(x - top - rest) - one_hot(target))."""
    rows = as_rows(x).astype(accumulator(x), copy=False)
    d = rows - _column(top)
    d -= _column(rest)
    np.exp(d, out=d)
    d[_at(target)] -= 1
    d *= _column(g)
    return as_images(d.astype(x.dtype, copy=False), x.shape)
