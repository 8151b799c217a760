"""Pooling, written like convolution: pairs of ops that are each other's gradient.

Max pooling finds the index of the winner in each window. `pool_gather(x, index)` picks the values and
`pool_scatter(g, index)` puts them back: each is the other's gradient. Average pooling and its adjoint likewise.
"""

from __future__ import annotations

from minigrad.backend import in_single, kernels, shape_of
from minigrad.engine import op
from minigrad.ops.conv import Geometry, output_sizes, per_axis


@op
def pool_gather(x, index):
    """x (N, C, *spatial) at flat spatial indices (N, C, *out) -> (N, C, *out)."""
    return kernels(x).pool_gather(x, index)


@op
def pool_scatter(g, index, shape):
    """Zeros of shape (N, C, *spatial) with g (N, C, *out) added at flat spatial indices."""
    return kernels(g).pool_scatter(g, index, shape)


pool_gather.vjp(x=lambda g, index, x_shape: pool_scatter(g, index, x_shape))
pool_scatter.vjp(g=lambda u, index: pool_gather(u, index))


@op(aux=("index",))
def max_pool(x, kernel, geometry):
    """The largest value of each window of x (N, C, *spatial), and its flat spatial index."""
    return kernels(x).max_pool(x, kernel, geometry)


max_pool.vjp(x=lambda g, index, x_shape: pool_scatter(g, index, x_shape))


@op
@in_single
def avg_pool(x, kernel, geometry):
    """The mean of each window of x (N, C, *spatial), padding counted as zeros."""
    return kernels(x).avg_pool(x, kernel, geometry)


@op
@in_single
def avg_pool_input(g, kernel, geometry, shape):
    """The adjoint of avg_pool: each g (N, C, *out) spread evenly over its window."""
    return kernels(g).avg_pool_input(g, kernel, geometry, shape)


avg_pool.vjp(x=lambda g, kernel, geometry, x_shape: avg_pool_input(g, kernel, geometry, x_shape))
avg_pool_input.vjp(g=lambda u, kernel, geometry: avg_pool(u, kernel, geometry))


def _window(name, x, kernel_size, stride, padding):
    shape = shape_of(x)
    if len(shape) != 4:
        raise ValueError(f"{name} expects x (N, C, H, W), got shape {shape}")
    kernel = per_axis("kernel_size", kernel_size, 2, 1)
    pads = per_axis("padding", padding, 2, 0)
    for p, k in zip(pads, kernel, strict=True):
        if 2 * p > k:
            raise ValueError(
                f"padding must be at most half the kernel_size, got padding {pads} and kernel_size {kernel}"
            )
    steps = kernel if stride is None else per_axis("stride", stride, 2, 1)
    geometry = Geometry(steps, tuple((p, p) for p in pads), (1, 1))
    output_sizes(shape[2:], kernel, geometry)
    return kernel, geometry


def max_pool2d(x, kernel_size, *, stride=None, padding=0):
    """The largest value of each window.

    A tie goes to the first in row-major order, nan wins over everything, and padding never wins (it is -inf).

    Args:
        x: the input, (N, C, H, W).
        kernel_size, stride, padding: one int for both axes, or a pair; the stride defaults to the kernel size.

    Returns:
        (N, C, OH, OW), with OH = floor((H + 2*padding - kH) / stride) + 1.

    >>> import minigrad as mg
    >>> mg.max_pool2d(mg.arange(9.0).reshape(1, 1, 3, 3), 2, stride=1)
    tensor([[[[4., 5.],
              [7., 8.]]]])
    """
    return max_pool(x, *_window("max_pool2d", x, kernel_size, stride, padding))[0]


def avg_pool2d(x, kernel_size, *, stride=None, padding=0):
    """The mean of each window; padding counts as zeros.

    Args:
        x: the input, (N, C, H, W), floating.
        kernel_size, stride, padding: one int for both axes, or a pair; the stride defaults to the kernel size.

    Returns:
        (N, C, OH, OW), with OH = floor((H + 2*padding - kH) / stride) + 1.

    >>> import minigrad as mg
    >>> mg.avg_pool2d(mg.arange(9.0).reshape(1, 1, 3, 3), 2, stride=1)
    tensor([[[[2., 3.],
              [5., 6.]]]])
    """
    return avg_pool(x, *_window("avg_pool2d", x, kernel_size, stride, padding))
