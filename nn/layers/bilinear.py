"""Bilinear: every output sees every product of an element of one input with one of the other."""

from __future__ import annotations

import math

from minigrad import Tensor, zeros
from minigrad.autocast import under_autocast
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


@under_autocast("widest")
def _bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out_features, in1_features, in2_features = weight.shape
    matrix = weight.transpose((1, 0, 2)).reshape(in1_features, out_features * in2_features)
    rows = (x1 @ matrix).reshape(*x1.shape[:-1], out_features, in2_features)
    out = (rows @ x2[..., None])[..., 0]
    return out if bias is None else out + bias


class Bilinear(Module):
    """`y_o = x1 @ weight[o] @ x2 + bias_o` on the last axis, (..., in1) and (..., in2) -> (..., out).

    Args:
        in1_features, in2_features: the sizes of the last axes of the inputs, the first at least 1.
        out_features: the size of the last axis of the output.
        bias: whether to add one learned number to each output.

    Attributes:
        weight: (out_features, in1_features, in2_features), drawn from U(-1/sqrt(in1_features), 1/sqrt(in1_features)).
        bias: (out_features,), drawn from the same interval; None without a bias.

    Raises:
        ValueError: no in1_features, or inputs whose axes do not fit.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Bilinear(20, 30, 40)(mg.zeros((8, 20)), mg.zeros((8, 30))).shape
    (8, 40)
    """

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True):
        if in1_features < 1:
            raise ValueError(f"in1_features must be at least 1, got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(zeros((out_features, in1_features, in2_features)))
        self.bias = Parameter(zeros(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, as PyTorch does."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(..., in1_features) and (..., in2_features) -> (..., out_features)."""
        sizes = self.in1_features, self.in2_features
        if not (x1.ndim and x2.ndim) or (x1.shape[-1], x2.shape[-1]) != sizes or x1.shape[:-1] != x2.shape[:-1]:
            raise ValueError(
                f"Bilinear expects inputs (..., {sizes[0]}) and (..., {sizes[1]}) that agree in the other axes, got "
                f"{x1.shape} and {x2.shape}"
            )
        return _bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, as PyTorch shows them."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
