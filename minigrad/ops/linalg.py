"""Products of matrices, inverses, determinants. Matrices are the last two axes; leading axes are a stack of them."""

from __future__ import annotations

import math

import numpy as np

from minigrad.autocast import under_autocast
from minigrad.backend import as_array, kernels, raw, shape_of, xp
from minigrad.engine import op
from minigrad.ops.axes import axes_of
from minigrad.ops.elementwise import mask
from minigrad.ops.shape import expand_dims, permute, reshape

HALF = np.dtype(np.float16)
SMALL = 1 << 18  # multiply-adds: with fewer, BLAS takes one thread anyway


@op
def matmul(x, y):
    """The matrix product x @ y, with NumPy's rules: stacks of matrices broadcast, a vector is a row or a column.

    Shapes (..., n, k) @ (..., k, m) -> (..., n, m); (k,) @ (..., k, m) -> (..., m); (..., n, k) @ (k,) -> (..., n);
    (k,) @ (k,) -> (). Float16 is multiplied in float32 on the CPU, where half-precision products are slow.

    Raises:
        ValueError: an operand without axes, or sizes k that differ.
    """
    if getattr(x, "dtype", None) is HALF and getattr(y, "dtype", None) is HALF and type(x) is np.ndarray:
        return (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16)
    a, b = shape_of(x), shape_of(y)
    if not a or not b:
        raise ValueError(
            f"matmul needs at least one axis in each operand, got {a} and {b}: multiply by a number with *"
        )
    if a[-1] != b[-2 if len(b) > 1 else 0]:
        which = "second-to-last" if len(b) > 1 else "only"
        raise ValueError(
            f"matmul: the last axis of x {a} and the {which} axis of y {b} must have one size, got {a[-1]} and "
            f"{b[-2 if len(b) > 1 else 0]}"
        )
    library = xp(x, y)
    if math.prod(a) * b[-1] < SMALL:
        return library.matmul(x, y)
    return kernels(x if hasattr(x, "dtype") else y).matmul(x, y)


def _matmul_x(g, y, x_shape):
    if y.ndim == 1:
        return expand_dims(g, -1) * y
    if len(x_shape) == 1:
        return matmul(y, expand_dims(g, -1))[..., 0]
    return matmul(g, y.swapaxes(-1, -2))


def _matmul_y(g, x, y_shape):
    if x.ndim == 1:
        return expand_dims(x, -1) * expand_dims(g, -2) if len(y_shape) > 1 else g * x
    if len(y_shape) == 1:
        return expand_dims(g, -1) * x
    return matmul(x.swapaxes(-1, -2), g)


matmul.vjp(x=_matmul_x, y=_matmul_y)


@op
def linear(x, weight, bias=None):
    """x @ weight.T + bias: what a fully connected layer computes, (..., in), (out, in), (out,) -> (..., out).

    The gradient of the weight is made as the weight lies in memory; that of `x @ weight.T` comes transposed, and every
    step of an optimizer would have to turn it.

    Raises:
        ValueError: a weight that is no matrix, or sizes that do not fit.

    >>> import minigrad as mg
    >>> weight, bias = mg.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), mg.tensor([0.0, 0.0, 10.0])
    >>> mg.linear(mg.tensor([[1.0, 2.0]]), weight, bias)
    tensor([[ 1.,  2., 13.]])
    """
    a, w, b = shape_of(x), shape_of(weight), None if bias is None else shape_of(bias)
    if len(w) != 2 or not a or a[-1] != w[1] or b not in (None, (w[0],)):
        raise ValueError(
            f"linear expects x (..., in), weight (out, in) and bias (out,), got x {a}, weight {w} and bias {b}"
        )
    out = matmul(x, weight.T)
    if bias is None:
        return out
    if out.dtype != xp(out).result_type(out, bias):
        return out + bias
    out += bias
    return out


def _rows(x):
    return reshape(x, (-1, x.shape[-1]))


linear.vjp(
    x=lambda g, weight: matmul(g, weight),
    weight=lambda g, x: matmul(_rows(g).swapaxes(0, 1), _rows(x)),
    bias=lambda g: g,
)


def outer(x, y):
    """All products of an element of x with one of y: (n,) and (m,) -> (n, m); other shapes are flattened."""
    return reshape(x, (-1, 1)) * reshape(y, (1, -1))


@under_autocast("widest")
def tensordot(x, y, axes=2):
    """The sum of products over pairs of axes, the rest of x first in the result.

    Args:
        x, y: arrays.
        axes: how many of the last axes of x go with the first of y, or a pair of lists: axes of x, axes of y.

    Raises:
        ValueError: axes that do not pair up in number or size.
    """
    xs, ys = shape_of(x), shape_of(y)
    if isinstance(axes, int):
        axes = (range(len(xs) - axes, len(xs)), range(axes))
    ax, ay = (axes_of(list(a) if isinstance(a, range) else a, s) for a, s in zip(axes, (xs, ys), strict=True))
    if len(ax) != len(ay) or [xs[a] for a in ax] != [ys[a] for a in ay]:
        raise ValueError(f"axes {ax} of x {xs} do not pair up with axes {ay} of y {ys}: the sizes must be equal")
    rest_x, rest_y = [a for a in range(len(xs)) if a not in ax], [a for a in range(len(ys)) if a not in ay]
    n = math.prod(xs[a] for a in ax)
    rows = reshape(permute(x, (*rest_x, *ax)), (math.prod(xs[a] for a in rest_x), n))
    columns = reshape(permute(y, (*ay, *rest_y)), (n, math.prod(ys[a] for a in rest_y)))
    return reshape(matmul(rows, columns), (*(xs[a] for a in rest_x), *(ys[a] for a in rest_y)))


# ---- square matrices ------------------------------------------------------------------------------------------------


def _square(name, x):
    """x as square matrices of a dtype that LAPACK has: float16 becomes float32, and `_like` turns back."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{name} needs square matrices (..., n, n), got shape {x.shape}")
    return x.astype(np.float32) if x.dtype is HALF else x


def _like(out, x):
    return out.astype(HALF) if x.dtype is HALF else out


@op
def inv(x):
    """The inverse of each matrix (..., n, n).

    Raises:
        numpy.linalg.LinAlgError: a singular matrix (on the CPU; CuPy gives inf).
    """
    return _like(xp(x).linalg.inv(_square("inv", x)), x)


def _inv_x(g, out):
    t = out.swapaxes(-1, -2)
    return -matmul(matmul(t, g), t)


inv.vjp(x=_inv_x)


@op
def solve(a, b):
    """x with a @ x = b, for matrices a (..., n, n) and b (n,) or (..., n, k).

    Raises:
        numpy.linalg.LinAlgError: a singular matrix.
    """
    return _like(xp(a).linalg.solve(_square("solve", a), b.astype(np.float32) if b.dtype is HALF else b), b)


def _solve_b(g, a, b_shape):
    t = a.swapaxes(-1, -2)
    return solve(t, expand_dims(g, -1))[..., 0] if len(b_shape) == 1 else solve(t, g)


def _solve_a(g, a, out, b_shape):
    gb = _solve_b(g, a, b_shape)
    if len(b_shape) == 1:
        gb, out = expand_dims(gb, -1), expand_dims(out, -1)
    return -matmul(gb, out.swapaxes(-1, -2))


solve.vjp(a=_solve_a, b=_solve_b)


@op
def det(x):
    """The determinant of each matrix (..., n, n) -> (...). Its gradient needs the inverse, so a regular matrix."""
    return _like(as_array(xp(x).linalg.det(_square("det", x))), x)


det.vjp(x=lambda g, x, out: expand_dims(g * out, (-1, -2)) * inv(x).swapaxes(-1, -2))


@op(aux=("sign",))
def _slogdet(x):
    sign, logarithm = xp(x).linalg.slogdet(_square("slogdet", x))
    return _like(as_array(logarithm), x), sign


_slogdet.vjp(x=lambda g, x: expand_dims(g, (-1, -2)) * inv(x).swapaxes(-1, -2))


def slogdet(x):
    """(sign, log|det|) of each matrix (..., n, n), for determinants that would overflow. The sign has no gradient."""
    logarithm, sign = _slogdet(x)
    return sign, logarithm


@op
def cholesky(x):
    """The lower triangular L with L @ L.T = x, for symmetric positive definite matrices (..., n, n).

    Only the lower triangle of x is read. The gradient is that of a symmetric x, symmetric itself (Murray 2016).

    Raises:
        numpy.linalg.LinAlgError: a matrix that is not positive definite.
    """
    return _like(xp(x).linalg.cholesky(_square("cholesky", x)), x)


def _cholesky_x(g, out):
    n = out.shape[-1]
    lower = xp(raw(out)).tril(xp(raw(out)).ones((n, n), out.dtype))
    half = lower - 0.5 * xp(raw(out)).eye(n, dtype=out.dtype)
    t = out.swapaxes(-1, -2)
    inner = half * matmul(t, mask(g, lower != 0))  # the lower triangle, its diagonal halved
    s = solve(t, solve(t, inner.swapaxes(-1, -2)).swapaxes(-1, -2))
    return 0.5 * (s + s.swapaxes(-1, -2))


cholesky.vjp(x=_cholesky_x)
