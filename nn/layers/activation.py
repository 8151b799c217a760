"""Activations as layers: the ops of the same names, for use in a Sequential."""

from __future__ import annotations

from minigrad import Tensor, relu, sigmoid, softmax, tanh
from minigrad.nn.module import Module


class Tanh(Module):
    """The hyperbolic tangent of each element, of any shape.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Tanh()(mg.tensor([0.0, 100.0]))
    tensor([0., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x)."""
        return tanh(x)


class ReLU(Module):
    """max(x, 0) of each element, of any shape; its derivative at 0 is 0.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ReLU()(mg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return relu(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)) of each element, of any shape.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Sigmoid()(mg.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        """1 / (1 + exp(-x))."""
        return sigmoid(x)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along the axis `dim` (PyTorch's name; it may not be left out here).

    `CrossEntropyLoss` takes logits: put no Softmax before it.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Softmax(dim=1)(mg.zeros((1, 4)))
    tensor([[0.25, 0.25, 0.25, 0.25]])
    """

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; each slice along `dim` is positive and sums to 1."""
        return softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
