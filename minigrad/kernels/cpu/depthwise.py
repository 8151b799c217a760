"""Depthwise convolution with one kernel for each channel: a product of matrices would have one column, so that elements
are multiplied instead, tap by tap, in runs of N*C numbers.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.kernels.cpu.cost import Case, Cost
from minigrad.kernels.cpu.memory import SWEEP, Array, Sizes, accumulator, as_runs, meetings, sweeps
from minigrad.window import Geometry

ERROR = 2  # of its own, see kernels/cpu/cost.py
ADD = 0.5  # nanoseconds to add a product to a number of the result, see kernels/cpu/cost.py


def refusal(w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
    """Why it cannot compute a convolution."""
    if w_shape[1] == 1 and w_shape[0] == geometry.groups > 1:
        return ""
    return f"every group must have one channel in and one out, got groups={geometry.groups} and a weight {w_shape}"


def cost(case: Case) -> Cost:
    """A product and a sum for every tap."""
    return Cost(case.multiply_adds * ADD, case.multiply_adds, 2 * SWEEP)


def _factors(w: Array, n: int, dtype: np.dtype) -> Array:
    """w (C, 1, *kernel) as (taps, N*C): what a run of the batch is multiplied with at each tap."""
    by_tap = w.reshape(w.shape[0], prod(w.shape[2:])).T
    return np.tile(by_tap.astype(dtype, copy=False), n)


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
    """The forward pass into y (*out, N, C); x is (*spatial, N, C)."""
    n, dtype = y.shape[-2], accumulator(y)
    runs, factors, out = as_runs(np.ascontiguousarray(x)), _factors(w, n, dtype), as_runs(y)
    for block in sweeps(out.shape[:-1], out.shape[-1]):
        total = np.zeros(out[block].shape, dtype)
        for tap, inside, source in meetings(w.shape[2:], x.shape[:-2], block, geometry):
            total[inside] += runs[source] * factors[tap]
        out[block] = total if b is None else total + np.tile(b, n)


def conv_input(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The gradient in x added up in dx (*spatial, N, C), of a dtype to sum in; g is (*out, N, C)."""
    runs, factors, out = as_runs(np.ascontiguousarray(g)), _factors(w, g.shape[-2], dx.dtype), as_runs(dx)
    out[...] = 0
    for block in sweeps(runs.shape[:-1], runs.shape[-1]):
        for tap, inside, source in meetings(w.shape[2:], dx.shape[:-2], block, geometry):
            out[source] += runs[block][inside] * factors[tap]


def conv_weight(x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
    """The gradient in w added up in dw (*kernel, 1, C), of a dtype to sum in."""
    kernel, c = dw.shape[:-2], dw.shape[-1]
    xs, gs = as_runs(np.ascontiguousarray(x)), as_runs(g)
    dw[...] = 0
    taps = dw.reshape(prod(kernel), c)
    for block in sweeps(gs.shape[:-1], gs.shape[-1]):
        for tap, inside, source in meetings(kernel, x.shape[:-2], block, geometry):
            pairs = np.multiply(xs[source], gs[block][inside], dtype=dw.dtype)
            rows = pairs.reshape(prod(pairs.shape[:-1]) * x.shape[-2], c)
            taps[tap] += np.ones(len(rows), dw.dtype) @ rows  # a sum, twice as fast as NumPy's reduction
