"""Normalisation on CuPy arrays: the launches of norm.cu. Results lie in memory as (N, *spatial, C)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import xp
from minigrad.kernels.cuda.loader import as_rows, blocks_for, ctype, launch, pixels_last, sum_dtype

Array = Any

LANES = 32  # of norm.cu
BLOCKS = 1024  # that a sum over the pixels is cut into at most: enough to fill a large GPU
PIXELS = 64  # a share has at least this many


def _prepared(name: str, *arrays: Array | None) -> tuple[str, list]:
    """The type of the kernels, and the arrays as rows of pixels; a null pointer for one that is not there."""
    there = [a for a in arrays if a is not None]
    return ctype(name, *there), [np.uintp(0) if a is None else as_rows(a) for a in arrays]


def _shares(pixels: int, channels: int) -> tuple[tuple[int, int], np.int32]:
    """The blocks of a sum over the pixels, and how many shares it is cut into."""
    columns = -(-channels // LANES)
    shares = max(1, min(BLOCKS // columns, pixels // PIXELS))
    return (columns, shares), np.int32(shares)


def moments(x: Array) -> tuple[Array, Array]:
    """The mean and the variance (divided by n) of each channel of x (N, C, *spatial)."""
    c, (rows,) = _prepared("batch norm", x)
    pixels, channels = rows.shape
    blocks, shares = _shares(pixels, channels)
    means, spreads = (xp(x).empty((int(shares), channels), sum_dtype(c)) for _ in range(2))
    mean, var = (xp(x).empty(channels, sum_dtype(c)) for _ in range(2))
    sizes = np.int64(pixels), np.int64(channels), shares
    launch("norm", f"moments<{c}>", blocks, rows, means, spreads, *sizes)
    launch("norm", f"merge_moments<{c}>", blocks_for(channels), means, spreads, mean, var, *sizes)
    return mean, var


def affine(x: Array, scale: Array, shift: Array, residual: Array | None, relu: bool) -> Array:
    """x * scale + shift (+ residual), scale and shift (C,), then max(0, .) if asked for."""
    c, (rows, more) = _prepared("batch norm", x, residual)
    y = pixels_last(x.shape, x.dtype, xp(x).empty)
    if y.size:
        each = [xp(x).ascontiguousarray(v, dtype=sum_dtype(c)) for v in (scale, shift)]
        sizes = np.int64(rows.size), np.int64(rows.shape[1]), np.int32(relu)
        launch("norm", f"affine<{c}>", blocks_for(rows.size), rows, *each, more, y, *sizes)
    return y


def norm_backward(
    g: Array, x: Array, mean: Array, rstd: Array, scale: Array, out: Array | None
) -> tuple[Array, Array, Array]:
    """For y = (x - mean)*scale + shift with x's own mean and rstd: the gradient in x, sum(g), and sum(g * x^).

    x^ = (x - mean)*rstd. With `out`, g counts only where not out <= 0: y went through a relu.
    dx = scale * (g - sum(g)/n - x^ * sum(g*x^)/n).
    """
    c, (gs, rows, outs) = _prepared("batch norm", g, x, out)
    (pixels, channels), dtype, library = rows.shape, sum_dtype(c), xp(x)
    mean, rstd, scale = (library.ascontiguousarray(v, dtype=dtype) for v in (mean, rstd, scale))
    blocks, shares = _shares(pixels, channels)
    partial = [library.empty((int(shares), channels), dtype) for _ in range(2)]
    sizes = np.int64(pixels), np.int64(channels)
    launch("norm", f"norm_sums<{c}>", blocks, gs, rows, outs, mean, *partial, *sizes, shares)
    sums, products = (p.sum(axis=0) for p in partial)
    products *= rstd
    count = max(pixels, 1)
    slope, level = scale * rstd * products / -count, scale * sums / -count
    dx = pixels_last(x.shape, x.dtype, library.empty)
    if dx.size:
        arguments = (gs, rows, outs, mean, slope, level, scale, dx, np.int64(rows.size), np.int64(channels))
        launch("norm", f"norm_input<{c}>", blocks_for(rows.size), *arguments)
    return dx, sums, products


def _response(rows: Array, size: int, alpha: float, beta: float, k: float, c: str) -> np.ndarray:
    """The `Response` of norm.cu."""
    numbers = [(name, np.int64) for name in ("size", "channels", "low", "high")]
    dtype = np.dtype([*numbers, *((name, sum_dtype(c)) for name in ("alpha", "beta", "k"))], align=True)
    low = size // 2
    return np.array([(rows.size, rows.shape[1], low, size - 1 - low, alpha, beta, k)], dtype)


def lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """x * (k + alpha * sum of x^2 over `size` neighbouring channels)**-beta, the window from c - size//2."""
    c, (rows,) = _prepared("local response norm", x)
    y = pixels_last(x.shape, x.dtype, xp(x).empty)
    if y.size:
        launch("norm", f"lrn<{c}>", blocks_for(rows.size), rows, y, _response(rows, size, alpha, beta, k, c))
    return y


def lrn_input(g: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """The gradient of `lrn` in x: with s = k + alpha*W(x^2), g * s**-beta - 2*alpha*beta * x * W'(g*x*s**(-beta-1)).

    W sums over the window of a channel, its adjoint W' over the channels whose windows it is in.
    """
    c, (gs, rows) = _prepared("local response norm", g, x)
    dx = pixels_last(x.shape, x.dtype, xp(x).empty)
    if dx.size:
        powers, terms = (xp(x).empty(rows.shape, sum_dtype(c)) for _ in range(2))
        form, blocks = _response(rows, size, alpha, beta, k, c), blocks_for(rows.size)
        launch("norm", f"lrn_terms<{c}>", blocks, gs, rows, powers, terms, form)
        launch("norm", f"lrn_input<{c}>", blocks, gs, rows, powers, terms, dx, form)
    return dx
