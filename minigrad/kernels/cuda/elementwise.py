"""Elementwise arithmetic on CuPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any


def in_pieces(function: Callable[..., Array], x: Array, *more: object) -> Array:
    """function(x, *more): a GPU cuts it up by itself."""
    return function(x, *more)
