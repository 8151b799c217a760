"""Reductions: many elements to one, along some axes or all.

`axis` is an int, a tuple of ints, or None for all axes; with `keepdims` the reduced axes stay with size 1.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad.backend import as_array, in_single, raw, xp
from minigrad.engine import op
from minigrad.ops.axes import many_axes, optional_axis, with_axes
from minigrad.ops.elementwise import abs, mask, sign, where
from minigrad.ops.shape import astype, broadcast_to, permute, reshape
from minigrad.ops.transcendental import exp, power

HALF = np.dtype(np.float16)


def _kept(g, axis, keepdims):
    """A reduced array with its axes back, of size 1."""
    return g if keepdims else g.reshape(with_axes(axis, g.shape))


@op(prepare={"axis": many_axes})
def sum(x, axis=None, keepdims=False):
    """The sum over `axis`.

    Float16 is summed in float32; integers and booleans are summed in int64, as NumPy does.

    >>> import minigrad as mg
    >>> mg.sum(mg.ones((2, 3)), axis=0)
    tensor([2., 2., 2.])
    """
    x = as_array(x)
    if x.dtype is HALF:
        return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(HALF)
    return x.sum(axis=axis, keepdims=keepdims)


sum.vjp(x=lambda g, axis, keepdims, x_shape: broadcast_to(_kept(g, axis, keepdims), x_shape))


@op(prepare={"axis": many_axes})
def mean(x, axis=None, keepdims=False):
    """The arithmetic mean over `axis`. Float16 is summed in float32; integers and booleans give float64."""
    return as_array(x).mean(axis=axis, keepdims=keepdims)


def _mean_x(g, axis, keepdims, x_shape):
    n = math.prod(x_shape[a] for a in axis)
    return broadcast_to(_kept(g / n if n else g, axis, keepdims), x_shape)


mean.vjp(x=_mean_x)


def _to_the_extremes(g, x, out, axis, keepdims):
    """The gradient in equal parts to every element that is the extreme one."""
    hit = astype(x == _kept(out, axis, keepdims), g.dtype)
    return _kept(g, axis, keepdims) * (hit / sum(hit, axis, True))


@op(prepare={"axis": many_axes})
def max(x, axis=None, keepdims=False):
    """The largest value over `axis`; nan if there is one. Elements that tie for it share the gradient in equal parts.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 5.0, 5.0], requires_grad=True)
    >>> mg.max(x).backward()
    >>> x.grad
    tensor([0. , 0.5, 0.5])
    """
    return as_array(x).max(axis=axis, keepdims=keepdims)


max.vjp(x=_to_the_extremes)


@op(prepare={"axis": many_axes})
def min(x, axis=None, keepdims=False):
    """The smallest value over `axis`; nan if there is one. Elements that tie for it share the gradient equally."""
    return as_array(x).min(axis=axis, keepdims=keepdims)


min.vjp(x=_to_the_extremes)


def _count(axis, shape):
    return math.prod(shape[a] for a in axis)


@op(prepare={"axis": many_axes})
@in_single
def var(x, axis=None, ddof=0, keepdims=False):
    """The mean of (x - mean(x))**2 over `axis`, computed in two passes; the sum is divided by n - ddof.

    NumPy's default, ddof=0; PyTorch's `var` has 1.
    """
    return xp(x).var(x, axis=axis, ddof=ddof, keepdims=keepdims)


var.vjp(
    x=lambda g, x, axis, ddof, keepdims, x_shape: (
        _kept(g, axis, keepdims) * (x - mean(x, axis, True)) * (2 / (_count(axis, x_shape) - ddof))
    )
)


@op(prepare={"axis": many_axes})
@in_single
def std(x, axis=None, ddof=0, keepdims=False):
    """The square root of `var`; its gradient is 0 where it is 0."""
    return xp(x).std(x, axis=axis, ddof=ddof, keepdims=keepdims)


def _std_x(g, x, out, axis, ddof, keepdims, x_shape):
    share = mask(g / where(out == 0, 1, out), out != 0) / (_count(axis, x_shape) - ddof)
    return _kept(share, axis, keepdims) * (x - mean(x, axis, True))


std.vjp(x=_std_x)


@op(prepare={"axis": many_axes})
@in_single
def prod(x, axis=None, keepdims=False):
    """The product over `axis`. The gradient is exact where factors are 0, too."""
    return xp(x).prod(x, axis=axis, keepdims=keepdims)


def _prod_x(g, x, out, axis, keepdims):
    g, out = _kept(g, axis, keepdims), _kept(out, axis, keepdims)
    if not bool(any(x == 0)):
        return g * (out / x)
    # With a factor of 0, out / x is 0 / 0: multiply the other factors instead, each element's own replaced by 1.
    order = (*(a for a in range(x.ndim) if a not in axis), *axis)
    rest = [x.shape[a] for a in order[: x.ndim - len(axis)]]
    n = _count(axis, x.shape)
    factors = reshape(permute(x, order), (*rest, 1, n))
    others = prod(where(xp(raw(x)).eye(n, dtype=bool), 1, factors), -1)
    back = [order.index(a) for a in range(x.ndim)]
    return g * permute(reshape(others, tuple(x.shape[a] for a in order)), back)


prod.vjp(x=_prod_x)


@op(prepare={"axis": many_axes})
@in_single
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) over `axis`, computed from x - max(x)."""
    x = as_array(x)
    top = x.max(axis=axis, keepdims=True)
    top = xp(x).where(xp(x).isfinite(top), top, 0)
    out = xp(x).log(xp(x).exp(x - top).sum(axis=axis, keepdims=True)) + top
    return out if keepdims else xp(x).squeeze(out, axis)


logsumexp.vjp(x=lambda g, x, out, axis, keepdims: _kept(g, axis, keepdims) * exp(x - _kept(out, axis, keepdims)))


@op(prepare={"axis": many_axes})
@in_single
def norm(x, ord=2, axis=None, keepdims=False):
    """The vector norm `sum(|x|**ord) ** (1/ord)` over `axis`; for ord inf the largest |x|, for -inf the smallest.

    The gradient at 0 is 0, where the norm has a kink, instead of nan.
    """
    size = xp(x).abs(as_array(x))
    if ord == math.inf:
        return size.max(axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return size.min(axis=axis, keepdims=keepdims)
    if ord == 1:
        return size.sum(axis=axis, keepdims=keepdims)
    return (size**ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def _norm_x(g, x, out, ord, axis, keepdims):
    g, out = _kept(g, axis, keepdims), _kept(out, axis, keepdims)
    if ord in (math.inf, -math.inf):
        hit = astype(abs(x) == out, g.dtype)
        return g * sign(x) * (hit / sum(hit, axis, True))
    if ord == 1:
        return g * sign(x)
    safe = where(out == 0, 1, out)
    if ord == 2:
        return mask(g / safe, out != 0) * x
    slope = power(where(x == 0, 1, abs(x)) / safe, ord - 1)
    return mask(g * sign(x) * slope, (x != 0) & (out != 0))


norm.vjp(x=_norm_x)


@op(prepare={"axis": optional_axis})
def argmax(x, axis=None, keepdims=False):
    """The index of the largest value along `axis` (of the flattened array for None): the first where several tie."""
    return as_array(x).argmax(axis=axis, keepdims=keepdims)


@op(prepare={"axis": optional_axis})
def argmin(x, axis=None, keepdims=False):
    """The index of the smallest value along `axis` (of the flattened array for None): the first where several tie."""
    return as_array(x).argmin(axis=axis, keepdims=keepdims)


@op(prepare={"axis": many_axes})
def any(x, axis=None, keepdims=False):
    """Whether an element over `axis` is nonzero."""
    return xp(x).any(x, axis=axis, keepdims=keepdims)


@op(prepare={"axis": many_axes})
def all(x, axis=None, keepdims=False):
    """Whether all elements over `axis` are nonzero."""
    return xp(x).all(x, axis=axis, keepdims=keepdims)


# ---- running totals -------------------------------------------------------------------------------------------------


@op(prepare={"axis": optional_axis})
@in_single
def cumsum(x, axis=None):
    """Running sums along `axis`, or over the flattened array.

    >>> import minigrad as mg
    >>> mg.cumsum(mg.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    return xp(x).cumsum(x, axis=axis)


def _backwards(x, axis):
    """Reversed along an axis."""
    return x[(*(slice(None),) * axis, slice(None, None, -1))]


def _sums_from_here(g, axis):
    return _backwards(cumsum(_backwards(g, axis), axis), axis)


cumsum.vjp(x=lambda g, axis, x_shape: reshape(_sums_from_here(g, axis or 0), x_shape))


@op(prepare={"axis": optional_axis})
@in_single
def cumprod(x, axis=None):
    """Running products along `axis`, or over the flattened array. The gradient is exact where factors are 0, too."""
    return xp(x).cumprod(x, axis=axis)


def _cumprod_x(g, x, out, axis, x_shape):
    if axis is None:
        return reshape(_cumprod_x(g, reshape(x, (-1,)), out, 0, g.shape), x_shape)
    if not bool(any(x == 0)):
        return _sums_from_here(g * out, axis) / x
    # As for prod: row i has 1 in place of factor i, and counts from place i on.
    n, last = x_shape[axis], len(x_shape) - 1
    rows = x.swapaxes(axis, last)
    diagonal = xp(raw(x)).eye(n, dtype=bool)
    others = cumprod(where(diagonal, 1, reshape(rows, (*rows.shape[:-1], 1, n))), last + 1)
    seen = reshape(g.swapaxes(axis, last), (*rows.shape[:-1], 1, n))
    return sum(mask(others * seen, diagonal.cumsum(axis=1) > 0), last + 1).swapaxes(axis, last)


cumprod.vjp(x=_cumprod_x)
