"""Axis arguments: checked, counted from 0, and told apart by how many an op takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from minigrad.backend import shape_of


def axis_of(axis: Any, shape: tuple[int, ...]) -> int:
    """An axis of a shape, counted from 0; negative ones count from the end."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    if not -len(shape) <= axis < len(shape):
        valid = f"valid axes are {-len(shape)} to {len(shape) - 1}" if shape else "it has no axes"
        raise AxisError(f"axis {axis} is out of range for shape {shape}: {valid}")
    return int(axis) % len(shape)


def axes_of(axis: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of a shape, each named once."""
    if not isinstance(axis, (tuple, list)):
        return (axis_of(axis, shape),)
    axes = tuple(axis_of(a, shape) for a in axis)
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis {tuple(axis)} names an axis twice for shape {shape}")
    return axes


def one_axis(axis: Any, x: Any) -> int:
    """One axis of x."""
    return axis_of(axis, shape_of(x))


def many_axes(axis: Any, x: Any) -> tuple[int, ...]:
    """A tuple of axes of x; None means all of them."""
    shape = shape_of(x)
    return tuple(range(len(shape))) if axis is None else axes_of(axis, shape)


def optional_axis(axis: Any, x: Any) -> int | None:
    """One axis of x, or None for the flattened array."""
    return None if axis is None else one_axis(axis, x)


def with_axes(axis: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with new axes of size 1, `axis` being their places in the result."""
    sizes = iter(shape)
    return tuple(1 if a in axis else next(sizes) for a in range(len(shape) + len(axis)))
