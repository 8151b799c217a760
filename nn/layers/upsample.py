"""Upsample: images, sequences and volumes at another size."""

from __future__ import annotations

from minigrad import Tensor, interpolate
from minigrad.nn.module import Module


class Upsample(Module):
    """The input at another size, (N, C, *spatial) -> (N, C, *out): `minigrad.interpolate`.

    Args:
        size: the output size, an int or one for each spatial axis.
        scale_factor: instead of it, a number or one for each axis.
        mode: "nearest", "nearest-exact", "linear", "bilinear", "bicubic" or "trilinear".
        align_corners: whether the centres of the outermost elements coincide; not for the nearest modes.
        recompute_scale_factor: whether the places come from the sizes also where a scale_factor was given.

    Raises:
        ValueError: what does not fit, when the layer is called: see `minigrad.interpolate`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Upsample(scale_factor=2)(mg.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        self.size = size
        self.scale_factor: float | tuple[float, ...] | None = None
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor = tuple(map(float, scale_factor))
        elif scale_factor is not None:
            self.scale_factor = float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, *out)."""
        options = (self.mode, self.align_corners, self.recompute_scale_factor)
        return interpolate(x, self.size, self.scale_factor, *options)

    def extra_repr(self) -> str:
        """The size or the factor, and the mode, as PyTorch shows them."""
        to = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{to}, mode={self.mode!r}"
