"""The tensors that belong to a module: those it learns, those it only keeps, and those whose size is not known yet."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, asarray


class Owned(Tensor):
    """A tensor that is found among the attributes of a module, and stays the same object for ever. Abstract."""

    __slots__ = ()

    def move(self, target: Any) -> None:
        """Change the device or the dtype and stay the same object, since an optimizer may hold it."""
        moved = self.detach().to(target)._array
        if moved is self._array:
            return
        self._replace(moved)
        if self.grad is not None:
            self.grad = self.grad.detach().to(target)

    def _replace(self, array: Any) -> None:
        wanted = self.requires_grad
        if self.node is not None:
            self.node.target = None  # a graph from before has a gradient of the old dtype or device: not for this one
        self._array = array
        self.version.bump()  # a graph that saved the old array says so, instead of computing from the new one
        self.requires_grad_(False).requires_grad_(wanted)  # a new leaf: the node knows the dtype of its gradient

    def __repr__(self) -> str:
        return f"{type(self).__name__} containing:\n{super().__repr__()}"


class Parameter(Owned):
    """A tensor that a module learns: found by `Module.parameters()`, and requiring a gradient unless told otherwise.

    Args:
        data: the initial values, **copied** (PyTorch shares them): an array, a Tensor, or a nested list of numbers.
        requires_grad: False freezes it; it stays in the state dict.

    What is computed from a Parameter is a plain Tensor.

    >>> from minigrad import nn
    >>> w = nn.Parameter([1.0, 2.0])
    >>> w, w * 2
    (Parameter containing:
    tensor([1., 2.], requires_grad=True), tensor([2., 4.], op=multiply))
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data, requires_grad=requires_grad)


class Buffer(Owned):
    """A tensor that a module keeps but does not learn, as the mean of a batch norm: found by `Module.buffers()`.

    Args:
        data: the initial values, **copied**: an array, a Tensor, a nested list of numbers or one number.
        persistent: whether it belongs to the state dict.

    It moves with its module, and changes only by writing: `buffer.copy_(value)`, `buffer += 1`.

    >>> from minigrad import nn
    >>> nn.Buffer([1.0, 2.0])
    Buffer containing:
    tensor([1., 2.])
    """

    def __init__(self, data: Any, persistent: bool = True):
        super().__init__(data)
        self.persistent = persistent


class Uninitialized(Owned):
    """A tensor of a layer that learns the size of its input from the first batch. Abstract.

    It has a device and a dtype, but no values; `materialize` makes an ordinary tensor of it, and the same object:
    an optimizer that was given it before goes on with it.
    """

    __slots__ = ()
    becomes: type[Owned]

    def materialize(self, array: Any) -> None:
        """Become a Parameter or Buffer with these values, in this tensor's dtype and on its device."""
        self._replace(asarray(array, self.dtype, self.device)._array)
        self.__class__ = self.becomes  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class UninitializedParameter(Parameter, Uninitialized):
    """A Parameter without a size.

    >>> from minigrad import nn
    >>> layer = nn.Linear(None, 2)
    >>> layer.weight
    UninitializedParameter()
    """

    __slots__ = ()
    becomes: type[Owned] = Parameter

    def __init__(self, requires_grad: bool = True):
        super().__init__([], requires_grad)


class UninitializedBuffer(Buffer, Uninitialized):
    """A Buffer without a size."""

    __slots__ = ()
    becomes: type[Owned] = Buffer

    def __init__(self, persistent: bool = True):
        super().__init__([], persistent)
