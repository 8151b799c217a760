"""Linear: every output sees every input."""

from __future__ import annotations

import math

from minigrad import Tensor, linear, zeros
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter, Uninitialized, UninitializedParameter


class Linear(Module):
    """`y = x @ weight.T + bias` on the last axis, (..., in_features) -> (..., out_features).

    Args:
        in_features: the size of the last axis of the input; None takes it from the first batch (PyTorch: LazyLinear).
        out_features: the size of the last axis of the output.
        bias: whether to add one learned number to each output.

    Attributes:
        weight: (out_features, in_features), drawn from U(-1/sqrt(in_features), 1/sqrt(in_features)).
        bias: (out_features,), drawn from the same interval; None without a bias.

    Raises:
        ValueError: an input whose last axis is not in_features.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Linear(400, 120)(mg.zeros((8, 400))).shape
    (8, 120)
    """

    def __init__(self, in_features: int | None, out_features: int, bias: bool = True):
        self.in_features = in_features
        self.out_features = out_features
        self.weight = UninitializedParameter() if in_features is None else Parameter(zeros((out_features, in_features)))
        self.bias = Parameter(zeros(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, as PyTorch does; a layer without inputs has nothing to draw and a bias of 0."""
        if isinstance(self.weight, Uninitialized):
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.in_features:
            init.uniform_(self.bias, -1 / math.sqrt(self.in_features), 1 / math.sqrt(self.in_features))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if isinstance(self.weight, Uninitialized) and x.ndim:
            self.in_features = x.shape[-1]
            self.weight.materialize(zeros((self.out_features, self.in_features)))
            self.reset_parameters()
        if not x.ndim or x.shape[-1] != self.in_features:
            got = x.shape[-1] if x.ndim else "a single number"
            flat = math.prod(x.shape[1:]) == self.in_features and x.ndim > 2
            raise ValueError(
                f"Linear expects {self.in_features} features, got {got}: the last axis of its input, of shape "
                f"{x.shape}, must be in_features = {self.in_features}"
                + ("; the axes after the first make that many together: put a Flatten before it" if flat else "")
            )
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, as PyTorch shows them."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
