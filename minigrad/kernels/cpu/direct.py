"""Convolution tap by tap, as its formula reads: the shifted input times one tap of the kernel, summed.

No windows are copied. It is the one to compare with, and to read first.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.kernels.cpu.cost import MULTIPLY_ADD, Case, Cost
from minigrad.kernels.cpu.memory import SWEEP, Array, Sizes, accumulator, meetings, sweeps
from minigrad.window import Geometry

ERROR = 2  # of its own, see kernels/cpu/cost.py
ADD = 0.7  # nanoseconds to add a product to a number of the result, see kernels/cpu/cost.py


def refusal(w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
    """Why it cannot compute a convolution: it always can."""
    return ""


def cost(case: Case) -> Cost:
    """Products, and a sum over the result for every tap."""
    sums = case.n * case.geometry.groups * case.k * prod(case.out) * prod(case.taps)
    return Cost(case.multiply_adds * MULTIPLY_ADD + sums * ADD, case.multiply_adds, 2 * SWEEP)


def _taps(w: Array, groups: int, dtype: np.dtype) -> Array:
    """w (K, C/groups, *kernel) as (taps, groups, C/groups, K/groups)."""
    k, c, taps = w.shape[0], w.shape[1], prod(w.shape[2:])
    grouped = w.reshape(groups, k // groups, c, taps)
    return np.ascontiguousarray(grouped.transpose(3, 0, 2, 1), dtype)


def _grouped(x: Array, groups: int) -> Array:
    """(*spatial, N, C) as (*spatial, groups, N, C/groups)."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups).swapaxes(-3, -2)


def _rows(x: Array, dtype: np.dtype) -> Array:
    """(*positions, groups, N, c) as (groups, positions * N, c)."""
    *positions, groups, n, c = x.shape
    return np.moveaxis(x, -3, 0).astype(dtype, copy=False).reshape(groups, prod(positions) * n, c)


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
    """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C/groups, *kernel)."""
    groups, dtype = geometry.groups, accumulator(y)
    xs, taps = _grouped(np.ascontiguousarray(x), groups), _taps(w, groups, dtype)
    for block in sweeps(y.shape[:-2], y.shape[-2] * y.shape[-1]):
        total = np.zeros(y[block].shape, dtype)
        out = _grouped(total, groups)
        for tap, inside, source in meetings(w.shape[2:], x.shape[:-2], block, geometry):
            out[inside] += np.matmul(xs[source], taps[tap])
        y[block] = total if b is None else total + b


def conv_input(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The gradient in x added up in dx (*spatial, N, C), of a dtype to sum in; g is (*out, N, K)."""
    groups = geometry.groups
    gs, taps = _grouped(np.ascontiguousarray(g), groups), _taps(w, groups, dx.dtype).swapaxes(2, 3)
    dx[...] = 0
    out = _grouped(dx, groups)
    for block in sweeps(g.shape[:-2], g.shape[-2] * g.shape[-1]):
        for tap, inside, source in meetings(w.shape[2:], dx.shape[:-2], block, geometry):
            out[source] += np.matmul(gs[block][inside], taps[tap])


def conv_weight(x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
    """The gradient in w added up in dw (*kernel, C/groups, K), of a dtype to sum in."""
    groups, (c, k) = geometry.groups, dw.shape[-2:]
    xs, gs = _grouped(np.ascontiguousarray(x), groups), _grouped(g, groups)
    dw[...] = 0
    taps = dw.reshape(prod(dw.shape[:-2]), c, groups, k // groups).swapaxes(1, 2)
    for block in sweeps(g.shape[:-2], g.shape[-2] * max(k, x.shape[-1])):
        for tap, inside, source in meetings(dw.shape[:-2], x.shape[:-2], block, geometry):
            taps[tap] += _rows(xs[source], dw.dtype).swapaxes(1, 2) @ _rows(gs[block][inside], dw.dtype)
