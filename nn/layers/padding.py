"""Padding layers: a border around the spatial axes, `minigrad.pad` with PyTorch's order of the widths."""

from __future__ import annotations

from minigrad import Tensor, pad
from minigrad.nn.module import Module
from minigrad.window import AXES, per_axis


class Padding(Module):
    """What the padding layers share: a border around the last axes, (N, C, *spatial) or (C, *spatial). Abstract.

    Args:
        padding: an int for all sides, or the widths of the two sides of each axis, the **last axis first**: (left,
            right) of L, then for images (left, right, top, bottom), then (left, right, top, bottom, front, back).

    Widths are 0 or more (PyTorch's negative ones, which crop, are a slice here: `x[..., 1:]`).

    Raises:
        ValueError: widths that are negative or not as many as that, an input of another rank, or an empty axis that has
            nothing to repeat.
    """

    dims: int
    mode = "constant"
    value: float = 0.0

    def __init__(self, padding: int | tuple[int, ...]):
        self.padding = per_axis("padding", padding, 2 * self.dims, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C, *out), with out = size + low + high along each axis."""
        if x.ndim not in (self.dims + 1, self.dims + 2):
            axes = AXES[self.dims]
            raise ValueError(
                f"{type(self).__name__} expects (N, C, {axes}) or (C, {axes}), got an input of shape {x.shape}"
            )
        pairs = [self.padding[i : i + 2] for i in range(0, 2 * self.dims, 2)]
        widths = ((0, 0),) * (x.ndim - self.dims) + tuple(reversed(pairs))
        return pad(x, widths, self.mode, self.value)

    def extra_repr(self) -> str:
        """The widths, as PyTorch shows them."""
        return f"{self.padding}"


# ---- a constant -----------------------------------------------------------------------------------------------------


class ZeroPad1d(Padding):
    """A border of zeros around L: see `Padding`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ZeroPad1d((1, 2))(mg.ones((1, 1, 2)))
    tensor([[[0., 1., 1., 0., 0.]]])
    """

    dims = 1


class ZeroPad2d(Padding):
    """A border of zeros around H and W: see `Padding`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ZeroPad2d((1, 0, 1, 0))(mg.ones((1, 1, 1, 2)))
    tensor([[[[0., 0., 0.],
              [0., 1., 1.]]]])
    """

    dims = 2


class ZeroPad3d(Padding):
    """A border of zeros around D, H and W: see `Padding`."""

    dims = 3


class ConstantPad(Padding):
    """A border of one value. Abstract.

    Args:
        padding: see `Padding`.
        value: the value of the border.
    """

    def __init__(self, padding: int | tuple[int, ...], value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPad):
    """A border of one value around L: see `Padding`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ConstantPad1d((1, 2), 7.0)(mg.ones((1, 1, 2)))
    tensor([[[7., 1., 1., 7., 7.]]])
    """

    dims = 1


class ConstantPad2d(ConstantPad):
    """A border of one value around H and W: see `Padding`."""

    dims = 2


class ConstantPad3d(ConstantPad):
    """A border of one value around D, H and W: see `Padding`."""

    dims = 3


# ---- the input itself -----------------------------------------------------------------------------------------------


class ReflectionPad1d(Padding):
    """The input mirrored at its outermost elements along L, at any width (PyTorch: less than the size): see `Padding`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ReflectionPad1d(2)(mg.tensor([[[0.0, 1.0, 2.0]]]))
    tensor([[[2., 1., 0., 1., 2., 1., 0.]]])
    """

    dims, mode = 1, "reflect"


class ReflectionPad2d(Padding):
    """The input mirrored at its outermost elements along H and W, at any width: see `Padding`."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(Padding):
    """The input mirrored at its outermost elements along D, H and W, at any width: see `Padding`."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(Padding):
    """The outermost elements of the input repeated along L: see `Padding`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ReplicationPad1d(2)(mg.tensor([[[0.0, 1.0, 2.0]]]))
    tensor([[[0., 0., 0., 1., 2., 2., 2.]]])
    """

    dims, mode = 1, "replicate"


class ReplicationPad2d(Padding):
    """The outermost elements of the input repeated along H and W: see `Padding`."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(Padding):
    """The outermost elements of the input repeated along D, H and W: see `Padding`."""

    dims, mode = 3, "replicate"


class CircularPad1d(Padding):
    """The input continued from its other end along L, at any width (PyTorch: up to the size): see `Padding`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.CircularPad1d(2)(mg.tensor([[[0.0, 1.0, 2.0]]]))
    tensor([[[1., 2., 0., 1., 2., 0., 1.]]])
    """

    dims, mode = 1, "circular"


class CircularPad2d(Padding):
    """The input continued from its other end along H and W, at any width: see `Padding`."""

    dims, mode = 2, "circular"


class CircularPad3d(Padding):
    """The input continued from its other end along D, H and W, at any width: see `Padding`."""

    dims, mode = 3, "circular"
