"""ReLU on CuPy arrays."""

from __future__ import annotations

from typing import Any

from minigrad.backend import xp

Array = Any


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return xp(x).maximum(x, 0)


def relu_input(g: Array, out: Array) -> Array:
    """g where not out <= 0, else 0."""
    return xp(g).where(out <= 0, 0, g)
