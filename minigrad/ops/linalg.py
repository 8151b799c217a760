"""Linear algebra."""

from __future__ import annotations

import numpy as np

from minigrad.backend import xp
from minigrad.engine import op
from minigrad.ops.shape import expand_dims

HALF = np.dtype(np.float16)


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
    return xp(x, y).matmul(x, y)


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
