"""ReLU on CuPy arrays."""

from __future__ import annotations

from typing import Any

from minigrad.backend import xp

Array = Any


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return xp(x).maximum(x, 0)
