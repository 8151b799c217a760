"""Powers, exponentials, logarithms, trigonometry and the error function."""

from __future__ import annotations

from math import factorial, pi
from math import sqrt as root

import numpy as np

from minigrad.backend import as_array, device_of, in_pieces, mapped, xp, zeros_like
from minigrad.engine import elementwise
from minigrad.ops.elementwise import mask, where

# ---- powers ---------------------------------------------------------------------------------------------------------


@elementwise
def power(x, y):
    """x ** y.

    The gradient in x is `g * y * x**(y - 1)`, and 0 where y = 0; in y it is `g * x**y * log(x)`, and 0 where x = 0 and
    y >= 0, which are the limits that a bare formula would turn into nan.
    """
    return x**y


def _power_x(g, x, y):
    if device_of(y) is None:
        return zeros_like(g) if y == 0 else g * (y * x ** (y - 1))
    return g * (y * x ** where((x == 0) & (y == 0), 1, y - 1))  # 0 * 0**-1 would be nan


def _power_y(g, x, y, out):
    if device_of(x) is None:
        slope = g * (out * float(np.log(x)))
        return mask(slope, y < 0) if x == 0 else slope
    flat = (x == 0) & (y >= 0)
    return g * (out * log(where(flat, 1, x)))


power.vjp(x=_power_x, y=_power_y)


@elementwise
def sqrt(x):
    """The square root."""
    return xp(x).sqrt(x)


sqrt.vjp(x=lambda g, out: g / (2 * out))


@elementwise
def rsqrt(x):
    """1 / sqrt(x)."""
    return 1 / xp(x).sqrt(x)


rsqrt.vjp(x=lambda g, out: -0.5 * g * out * out * out)


# ---- exponentials and logarithms ------------------------------------------------------------------------------------


@elementwise
def exp(x):
    """e**x."""
    return mapped("exp", x)


exp.vjp(x=lambda g, out: g * out)


@elementwise
def expm1(x):
    """e**x - 1, exact near 0."""
    return mapped("expm1", x)


expm1.vjp(x=lambda g, out: g * (out + 1))


@elementwise
def log(x):
    """The natural logarithm."""
    return mapped("log", x)


log.vjp(x=lambda g, x: g / x)


@elementwise
def log1p(x):
    """log(1 + x), exact near 0."""
    return mapped("log1p", x)


log1p.vjp(x=lambda g, x: g / (1 + x))


# ---- trigonometry ---------------------------------------------------------------------------------------------------


@elementwise
def sin(x):
    """The sine of x in radians."""
    return mapped("sin", x)


sin.vjp(x=lambda g, x: g * cos(x))


@elementwise
def cos(x):
    """The cosine of x in radians."""
    return mapped("cos", x)


cos.vjp(x=lambda g, x: -g * sin(x))


@elementwise
def tan(x):
    """The tangent of x in radians."""
    return mapped("tan", x)


tan.vjp(x=lambda g, out: g * (1 + out * out))


@elementwise
def arcsin(x):
    """The angle in [-pi/2, pi/2] whose sine is x."""
    return mapped("arcsin", x)


arcsin.vjp(x=lambda g, x: g / sqrt(1 - x * x))


@elementwise
def arccos(x):
    """The angle in [0, pi] whose cosine is x."""
    return mapped("arccos", x)


arccos.vjp(x=lambda g, x: -g / sqrt(1 - x * x))


@elementwise
def arctan(x):
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    return mapped("arctan", x)


arctan.vjp(x=lambda g, x: g / (1 + x * x))


@elementwise
def arctan2(y, x):
    """The angle in [-pi, pi] of the point (x, y), seen from the origin, where the gradient is 0."""
    return xp(y, x).arctan2(y, x)


def _over_square(g, y, x):
    """g / (x*x + y*y), and 0 where that is 0."""
    r = x * x + y * y
    return mask(g / where(r == 0, 1, r), r != 0)


arctan2.vjp(y=lambda g, y, x: x * _over_square(g, y, x), x=lambda g, y, x: -y * _over_square(g, y, x))


@elementwise
def sinh(x):
    """The hyperbolic sine."""
    return mapped("sinh", x)


sinh.vjp(x=lambda g, x: g * cosh(x))


@elementwise
def cosh(x):
    """The hyperbolic cosine."""
    return mapped("cosh", x)


cosh.vjp(x=lambda g, x: g * sinh(x))


@elementwise
def tanh(x):
    """The hyperbolic tangent."""
    return mapped("tanh", x)


tanh.vjp(x=lambda g, out: g * (1 - out * out))


# ---- the error function ---------------------------------------------------------------------------------------------

# Near 0 the Taylor series; from 1.1 on erf(x) = 1 - exp(-x*x) * q(u), where q is exp(x*x) * erfc(x) interpolated on
# [1.1, 6] at 15 Chebyshev points of u = (x - 3) / (x + 3), its values computed to 60 digits by the continued fraction
# (Abramowitz & Stegun 7.1.14). Beyond 6, erf is 1 in float64.
_NEAR = [2 / root(pi) * (-1) ** k / (factorial(k) * (2 * k + 1)) for k in range(23)]
_FAR = [
    0.2013011826628301,
    -0.14348164338711308,
    0.04392580369390306,
    -0.010736196776846842,
    0.002011418008059687,
    -0.0002607354569528095,
    1.5490353320149782e-05,
    1.629160319663024e-06,
    -3.8749273484344587e-07,
    2.8085568191574305e-10,
    7.138349966401719e-09,
    -2.4403160555979686e-10,
    -1.486980030816014e-10,
    5.7910026325749305e-12,
    3.48705534864727e-12,
]
_FAR_MIDDLE, _FAR_HALF = -0.06504065040650409, 0.3983739837398374  # of the interval of u


def _polynomial(coefficients, x):
    """c[0] + c[1]*x + c[2]*x**2 + ..., by Horner's rule, in place."""
    total = x * 0 + coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total *= x
        total += c
    return total


@elementwise
@in_pieces
def erf(x):
    """2/sqrt(pi) times the integral of exp(-t*t) from 0 to x, to 2 units in the last place; NumPy has none.

    >>> import minigrad as mg
    >>> mg.erf(mg.tensor([0.0, 0.5, 10.0]))
    tensor([0.       , 0.5204999, 1.       ])
    """
    x = as_array(x)
    library = xp(x)
    wide = x.astype(np.float64)
    size = library.abs(wide)
    near = wide * _polynomial(_NEAR, library.minimum(size, 1.1) ** 2)
    far = library.clip(size, 1.1, 6.0)
    u = ((far - 3) / (far + 3) - _FAR_MIDDLE) / _FAR_HALF
    tail = library.copysign(1 - library.exp(-far * far) * _polynomial(_FAR, u), wide)
    out = library.where(size > 1.1, tail, near)  # nan is not larger: it stays nan in the first form
    return out.astype(x.dtype) if x.dtype.kind == "f" else out


erf.vjp(x=lambda g, x: g * (2 / root(pi)) * exp(-x * x))
