"""Products of matrices: cuBLAS's, by way of CuPy."""

from __future__ import annotations

from typing import Any

from minigrad.backend import xp

Array = Any


def matmul(x: Array, y: Array) -> Array:
    """The matrix product x @ y, with NumPy's rules."""
    return xp(x, y).matmul(x, y)
