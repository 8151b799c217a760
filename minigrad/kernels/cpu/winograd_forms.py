"""The matrices of Winograd's algorithms: F(m, r) for one axis, and the forms that serve convolutions of images."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from minigrad.kernels.cpu.memory import Array


def toom_cook(m: int, r: int, points: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Bt, G and At of F(m, r): m + r - 2 points, all different, and infinity.

    A product of polynomials a(x) b(x) of degrees m-1 and r-1 is known from its values at m + r - 1 points: evaluate,
    multiply, interpolate (A. Toom 1963, S. Cook 1966). Filtering is the transpose of that: where evaluation multiplied
    from the left, it does so from the right. With M(x) the product of all (x - p):

        At[o, i] = p_i^o     G[i, t] = p_i^t / prod_{j != i} (p_i - p_j)     Bt[i] = coefficients of M(x)/(x - p_i)

    and for infinity the highest coefficients alone: At's last column and G's last row are unit vectors, and Bt's last
    row is M itself. With points whose products are short binary fractions, At and Bt are exact.
    """
    n = m + r - 1
    at, g, bt = np.zeros((m, n)), np.zeros((n, r)), np.zeros((n, n))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        at[:, i] = p ** np.arange(m)
        g[i] = p ** np.arange(r) / prod(p - q for q in others)
        bt[i, : n - 1] = np.poly1d(others, r=True).coeffs[::-1]
    at[-1, -1] = g[-1, -1] = 1
    bt[-1] = np.poly1d(points, r=True).coeffs[::-1]
    return bt, g, at


class Form(NamedTuple):
    """An algorithm for kernels of one size and stride; the same matrices serve both axes."""

    name: str
    bt: Array  # (points, inputs of a tile)
    g: Array  # (points, taps)
    at: Array  # (outputs of a tile, points)
    error: float  # of its own, and by what the input gradient multiplies errors: see kernels/cpu/cost.py
    gain: float = 1
    stride: int = 1

    @property
    def points(self) -> int:
        return self.bt.shape[0]

    @property
    def inputs(self) -> int:
        return self.bt.shape[1]

    @property
    def taps(self) -> int:
        return self.g.shape[1]

    @property
    def outputs(self) -> int:
        return self.at.shape[0]

    @property
    def step(self) -> int:
        """How far apart tiles are in the input."""
        return self.outputs * self.stride


def stride_two(m: int, points: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Bt, G and At of m outputs of 3 taps, 2 apart: the even inputs meet taps 0 and 2 in F(m, 2), the odd ones tap 1.

    That is 2m + 1 products for 3m: 25 for 4 outputs of an image instead of 36, with m = 2.
    """
    bt, g, at = toom_cook(m, 2, points)
    n = m + 1
    both = np.zeros((n + m, 2 * m + 1)), np.zeros((n + m, 3)), np.zeros((m, n + m))
    both[0][:n, 0::2], both[0][n:, 1::2] = bt, np.eye(m)
    both[1][:n, 0::2], both[1][n:, 1] = g, 1
    both[2][:, :n], both[2][:, n:] = at, np.eye(m)
    return both


# Points that lie apart and have small powers lose few digits: 1/2 and -2 halve the error of 2 and -2, for nothing.
F4 = Form("winograd4", *toom_cook(4, 3, (0, 1, -1, 0.5, -2)), 15, 4)
F2 = Form("winograd2", *toom_cook(2, 3, (0, 1, -1)), 3)
S2 = Form("winograd_s2", *stride_two(2, (0, 1)), 4, 2, 2)
F25 = Form("winograd5", *toom_cook(2, 5, (0, 1, -1, 0.5, -2)), 26, 2)
