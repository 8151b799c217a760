"""Activation functions. Where they have a kink, the derivative there is the one PyTorch has."""

from __future__ import annotations

from math import pi, sqrt

from minigrad.backend import as_array, in_pieces, kernels, raw, shape_of, xp
from minigrad.engine import elementwise
from minigrad.ops.elementwise import mask, minimum, where
from minigrad.ops.shape import reshape
from minigrad.ops.transcendental import erf, exp, tanh


@elementwise
def relu(x):
    """max(x, 0); its derivative at 0 is 0, and nan stays nan.

    >>> import minigrad as mg
    >>> mg.relu(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    x = as_array(x)
    return kernels(x).relu(x)


@elementwise
def relu_input(g, y):
    """g where not y <= 0, else 0: the gradient of `y = relu(x)` in x. Where y is nan, g passes, as the value does.

    >>> import minigrad as mg
    >>> mg.relu_input(mg.tensor([5.0, 6.0, 7.0]), mg.tensor([0.0, 0.5, 2.0]))
    tensor([0., 6., 7.])
    """
    g, y = as_array(g), as_array(y)
    return kernels(g).relu_input(g, y)


relu.vjp(x=lambda g, out: relu_input(g, raw(out)))  # a constant: nearly everywhere it decides alike
relu_input.vjp(g=lambda u, y: relu_input(u, raw(y)))


@elementwise
def hardtanh(x, min_val=-1.0, max_val=1.0):
    """x limited to [min_val, max_val]; the derivative is 0 at the bounds and beyond (that of `clip` is 1 at them)."""
    return xp(x).clip(x, min_val, max_val)


hardtanh.vjp(x=lambda g, x, min_val, max_val: mask(g, ~((x <= min_val) | (x >= max_val))))


def relu6(x):
    """min(max(x, 0), 6); its derivative at 0 and at 6 is 0."""
    return hardtanh(x, 0.0, 6.0)


@elementwise
def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope * x; the derivative at 0 is negative_slope (Maas et al. 2013)."""
    return xp(x).where(x > 0, x, negative_slope * x)


leaky_relu.vjp(x=lambda g, x, negative_slope: where(x > 0, g, negative_slope * g))


@elementwise
def _prelu(x, weight):
    return xp(x, weight).where(x > 0, x, weight * x)


_prelu.vjp(x=lambda g, x, weight: where(x > 0, g, weight * g), weight=lambda g, x: mask(g * x, x <= 0))


def prelu(x, weight):
    """x where x > 0, else weight * x, with a learned weight for all or for each channel (He et al. 2015, section 2.1).

    Args:
        x: (N, C, ...), or of any shape when there is one weight.
        weight: (1,) or (C,).

    Raises:
        ValueError: a weight of another shape.
    """
    shape, n = shape_of(x), shape_of(weight)
    channels = shape[1] if len(shape) > 1 else 1
    if n not in ((1,), (channels,)):
        raise ValueError(f"weight must have shape (1,) or ({channels},), one number for each channel, got {n}")
    return _prelu(x, reshape(weight, (-1, *(1,) * (len(shape) - 2))) if n != (1,) else weight)


@elementwise
@in_pieces
def elu(x, alpha=1.0):
    """x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2016)."""
    return xp(x).where(x > 0, x, alpha * xp(x).expm1(xp(x).minimum(x, 0)))


# The minimum keeps exp finite on the side that is not taken: 0 * inf would be nan in the second derivative.
elu.vjp(x=lambda g, x, alpha: where(x <= 0, g * (alpha * exp(minimum(x, 0))), g))


def selu(x):
    """1.0507 * elu(x, 1.6733): keeps mean 0 and variance 1 from layer to layer (Klambauer et al. 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@elementwise
@in_pieces
def sigmoid(x):
    """1 / (1 + exp(-x)), to full precision on both sides of 0."""
    e = xp(x).exp(-xp(x).abs(x))
    return xp(x).where(xp(x).greater_equal(x, 0), 1, e) / (1 + e)


sigmoid.vjp(x=lambda g, out: g * (out * (1 - out)))


def _softplus(x):
    return xp(x).maximum(x, 0) + xp(x).log1p(xp(x).exp(-xp(x).abs(x)))


@elementwise
@in_pieces
def logsigmoid(x):
    """log(sigmoid(x)), without overflow."""
    return -_softplus(-as_array(x))


logsigmoid.vjp(x=lambda g, x: g * sigmoid(-x))


@elementwise
@in_pieces
def softplus(x, beta=1.0):
    """log(1 + exp(beta*x)) / beta, without overflow."""
    return _softplus(beta * as_array(x)) / beta


softplus.vjp(x=lambda g, x, beta: g * sigmoid(beta * x))


@elementwise
@in_pieces
def silu(x):
    """x * sigmoid(x), also called swish."""
    e = xp(x).exp(-xp(x).abs(x))
    return x * (xp(x).where(xp(x).greater_equal(x, 0), 1, e) / (1 + e))


def _silu_x(g, x):
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


silu.vjp(x=_silu_x)

_C = sqrt(2 / pi)


def gelu(x, approximate="none"):
    """x times the normal distribution function: x * (1 + erf(x/sqrt(2))) / 2 (Hendrycks & Gimpel 2016).

    Args:
        x: floating, any shape.
        approximate: "none", or "tanh" for x * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x**3))) / 2.

    Raises:
        ValueError: another `approximate`.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return _gelu_tanh(x) if approximate == "tanh" else _gelu(x)


@elementwise
@in_pieces
def _gelu(x):
    return 0.5 * x * (1 + erf(x * sqrt(0.5)))


_gelu.vjp(x=lambda g, x: g * (0.5 * (1 + erf(x * sqrt(0.5))) + x * exp(-0.5 * x * x) / sqrt(2 * pi)))


@elementwise
@in_pieces
def _gelu_tanh(x):
    return 0.5 * x * (1 + xp(x).tanh(_C * (x + 0.044715 * x * x * x)))


def _gelu_tanh_x(g, x):
    t = tanh(_C * (x + 0.044715 * x * x * x))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (_C * (1 + 3 * 0.044715 * x * x)))


_gelu_tanh.vjp(x=_gelu_tanh_x)
