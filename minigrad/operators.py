"""What can be written on a Tensor: operators and methods, each of which is the op of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad  # its ops are looked up when they are called: they need the class Tensor, which inherits from this one
from minigrad.backend import shape_of

if TYPE_CHECKING:
    from minigrad.tensor import Tensor


class Operators:
    """The operators and methods of `Tensor`."""

    __slots__ = ()

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reverse order."""
        return minigrad.ops.permute(self, None)

    def __add__(self, other: Any) -> Tensor:
        return minigrad.ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return minigrad.ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return minigrad.ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return minigrad.ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return minigrad.ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return minigrad.ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return minigrad.ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return minigrad.ops.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return minigrad.ops.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return minigrad.ops.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return minigrad.ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return minigrad.ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return minigrad.ops.negative(self)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value] # the only class that inherits from this one is Tensor

    def __abs__(self) -> Tensor:
        return minigrad.ops.abs(self)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return minigrad.ops.equal(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return minigrad.ops.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return minigrad.ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return minigrad.ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return minigrad.ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return minigrad.ops.greater_equal(self, other)

    def __and__(self, other: Any) -> Tensor:
        return minigrad.ops.logical_and(*_booleans("&", self, other))

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return minigrad.ops.logical_or(*_booleans("|", self, other))

    __ror__ = __or__

    def __xor__(self, other: Any) -> Tensor:
        return minigrad.ops.logical_xor(*_booleans("^", self, other))

    __rxor__ = __xor__

    def __invert__(self) -> Tensor:
        return minigrad.ops.logical_not(*_booleans("~", self))

    def __getitem__(self, index: Any) -> Tensor:
        return minigrad.ops.getitem(self, index)

    def exp(self) -> Tensor:
        """`minigrad.exp`."""
        return minigrad.ops.exp(self)

    def log(self) -> Tensor:
        """`minigrad.log`."""
        return minigrad.ops.log(self)

    def sqrt(self) -> Tensor:
        """`minigrad.sqrt`."""
        return minigrad.ops.sqrt(self)

    def tanh(self) -> Tensor:
        """`minigrad.tanh`."""
        return minigrad.ops.tanh(self)

    def sigmoid(self) -> Tensor:
        """`minigrad.sigmoid`."""
        return minigrad.ops.sigmoid(self)

    def relu(self) -> Tensor:
        """`minigrad.relu`."""
        return minigrad.ops.relu(self)

    def abs(self) -> Tensor:
        """`minigrad.abs`."""
        return minigrad.ops.abs(self)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """`minigrad.clip`."""
        return minigrad.ops.clip(self, min, max)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.sum`."""
        return minigrad.ops.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.mean`."""
        return minigrad.ops.mean(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.max`."""
        return minigrad.ops.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.min`."""
        return minigrad.ops.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """`minigrad.argmax`."""
        return minigrad.ops.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """`minigrad.argmin`."""
        return minigrad.ops.argmin(self, axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.prod`."""
        return minigrad.ops.prod(self, axis, keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.any`."""
        return minigrad.ops.any(self, axis, keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.all`."""
        return minigrad.ops.all(self, axis, keepdims)

    def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.logsumexp`."""
        return minigrad.ops.logsumexp(self, axis, keepdims)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """`minigrad.var`."""
        return minigrad.ops.var(self, axis, ddof, keepdims)

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """`minigrad.std`."""
        return minigrad.ops.std(self, axis, ddof, keepdims)

    def norm(self, ord: float = 2, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`minigrad.norm`."""
        return minigrad.ops.norm(self, ord, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """`minigrad.cumsum`."""
        return minigrad.ops.cumsum(self, axis)

    def cumprod(self, axis: int | None = None) -> Tensor:
        """`minigrad.cumprod`."""
        return minigrad.ops.cumprod(self, axis)

    def sort(self, axis: int = -1, descending: bool = False) -> Tensor:
        """`minigrad.sort`."""
        return minigrad.ops.sort(self, axis, descending)

    def argsort(self, axis: int = -1, descending: bool = False) -> Tensor:
        """`minigrad.argsort`."""
        return minigrad.ops.argsort(self, axis, descending)

    def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor:
        """`minigrad.flatten`."""
        return minigrad.ops.flatten(self, start_axis, end_axis)

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        """`minigrad.take`."""
        return minigrad.ops.take(self, indices, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """`minigrad.repeat`."""
        return minigrad.ops.repeat(self, repeats, axis)

    def sin(self) -> Tensor:
        """`minigrad.sin`."""
        return minigrad.ops.sin(self)

    def cos(self) -> Tensor:
        """`minigrad.cos`."""
        return minigrad.ops.cos(self)

    def floor(self) -> Tensor:
        """`minigrad.floor`."""
        return minigrad.ops.floor(self)

    def ceil(self) -> Tensor:
        """`minigrad.ceil`."""
        return minigrad.ops.ceil(self)

    def sign(self) -> Tensor:
        """`minigrad.sign`."""
        return minigrad.ops.sign(self)

    def round(self, decimals: int = 0) -> Tensor:
        """`minigrad.round`."""
        return minigrad.ops.round(self, decimals)

    def softmax(self, axis: int = -1) -> Tensor:
        """`minigrad.softmax`."""
        return minigrad.ops.softmax(self, axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """`minigrad.log_softmax`."""
        return minigrad.ops.log_softmax(self, axis)

    def reshape(self, *shape: Any) -> Tensor:
        """`minigrad.reshape`; the sizes may be given one by one."""
        return minigrad.ops.reshape(self, _spread(shape))

    def permute(self, *axes: Any) -> Tensor:
        """`minigrad.permute`; the axes may be given one by one."""
        return minigrad.ops.permute(self, _spread(axes))

    def transpose(self, *axes: Any) -> Tensor:
        """NumPy's transpose: without axes, in reverse order; else the axes in a new order.

        Raises:
            TypeError: two integers that NumPy reads as a new order and PyTorch as two axes to swap, as in
                transpose(0, 1); `swapaxes` says which is meant.
        """
        if (
            len(axes) == 2
            and not isinstance(axes[0], (tuple, list))
            and (len(shape_of(self)) != 2 or axes in ((0, 1), (-2, -1)))
        ):
            raise TypeError(
                f"transpose{axes} means one thing in NumPy and another in PyTorch: use swapaxes{axes} to exchange two "
                f"axes, or permute with all of them in their new order"
            )
        return minigrad.ops.permute(self, _spread(axes) if axes else None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """`minigrad.swapaxes`."""
        return minigrad.ops.swapaxes(self, axis1, axis2)

    def expand_dims(self, axis: Any) -> Tensor:
        """`minigrad.expand_dims`."""
        return minigrad.ops.expand_dims(self, axis)

    def squeeze(self, axis: Any = None) -> Tensor:
        """`minigrad.squeeze`."""
        return minigrad.ops.squeeze(self, axis)

    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        """`minigrad.broadcast_to`."""
        return minigrad.ops.broadcast_to(self, shape)

    def copy(self) -> Tensor:
        """A tensor of the same values in memory of its own; gradients flow through."""
        return minigrad.ops.copy(self)


def _booleans(operator: str, *values: Any) -> tuple:
    for value in values:
        if np.dtype(getattr(value, "dtype", type(value))) != np.bool_:
            kind = getattr(value, "dtype", type(value).__name__)
            raise TypeError(f"{operator} combines boolean tensors, as comparisons give them; got {kind}")
    return values


def _spread(sizes: tuple) -> Any:
    """f(2, 3) and f((2, 3)) mean the same."""
    return sizes[0] if len(sizes) == 1 else sizes
