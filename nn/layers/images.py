"""What layers on images say of an input that does not fit."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor
from minigrad.window import AXES


def expect_images(layer: Any, x: Tensor, dims: int, channels: int | None = None) -> None:
    """Raise ValueError unless x is (N, C, *spatial) with this many spatial axes, and channels if they are given."""
    name = type(layer).__name__
    axes = AXES.get(dims, ", ".join(f"D{i + 1}" for i in range(dims)))
    if x.ndim != dims + 2:
        wanted = f"(N, {'C' if channels is None else channels}, {axes})"
        hints = {1: "; for a single sample put x[None]", 2: "; for a single sample of one channel put x[None, None]"}
        hint = hints.get(dims + 2 - x.ndim, "")
        raise ValueError(f"{name} expects {wanted}, got an input of shape {x.shape}{hint}")
    if channels is not None and x.shape[1] != channels:
        hint = f"; the last axis has that many: inputs are (N, C, {axes}) here" if x.shape[-1] == channels else ""
        raise ValueError(
            f"{name} expects {channels} channels, got {x.shape[1]}: its input of shape {x.shape} is "
            f"(N, C, {axes}){hint}"
        )
