"""Windows as an array of their own: `unfold` copies them out, `fold` adds them back, and each is the other's gradient.

On them stands the locally connected layer, a convolution whose kernel differs from place to place.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.autocast import under_autocast
from minigrad.backend import all_half, given, kernels, shape_of
from minigrad.engine import op
from minigrad.ops.conv import check_bias, convolution_geometry
from minigrad.ops.linalg import matmul
from minigrad.ops.shape import astype, permute, reshape, swapaxes
from minigrad.window import output_sizes, per_axis


@op
def _unfold(x, kernel, geometry):
    return kernels(x).unfold(x, kernel, geometry)  # (N, C, *kernel, *out)


@op
def _fold(columns, kernel, geometry, shape):
    return kernels(columns).fold(columns, kernel, geometry, shape)


_unfold.vjp(x=lambda g, kernel, geometry, x_shape: _fold(g, kernel, geometry, x_shape))
_fold.vjp(columns=lambda u, kernel, geometry: _unfold(u, kernel, geometry))


def unfold(x, kernel_size, *, stride=1, padding=0, dilation=1):
    """Every window of x as a column: im2col.

    Args:
        x: (N, C, *spatial), of any dtype and any number of spatial axes.
        kernel_size, stride, dilation: an int, or one for each axis.
        padding: with zeros, in every form that `conv` takes.

    Returns:
        (N, C * prod(kernel_size), L) with L windows in row-major order.

    Raises:
        ValueError: an x without spatial axes, or a window larger than the padded input.

    >>> import minigrad as mg
    >>> mg.unfold(mg.arange(4.0).reshape(1, 1, 4), 2)
    tensor([[[0., 1., 2.],
             [1., 2., 3.]]])
    """
    x = given(x)
    xs = shape_of(x)
    if len(xs) < 3:
        raise ValueError(f"unfold expects x (N, C, *spatial), got shape {xs}")
    kernel = per_axis("kernel_size", kernel_size, len(xs) - 2, 1)
    geometry = convolution_geometry(xs[2:], kernel, stride, padding, dilation, 1)
    out = output_sizes(xs[2:], kernel, geometry)
    return reshape(_unfold(x, kernel, geometry), (xs[0], xs[1] * prod(kernel), prod(out)))


def fold(columns, output_size, kernel_size, *, stride=1, padding=0, dilation=1):
    """The sum of windows laid back where `unfold` took them from: its adjoint, col2im.

    Args:
        columns: (N, C * prod(kernel_size), L), as `unfold` of an array with the spatial sizes `output_size` gives them.
        output_size: those sizes, one for each axis.
        kernel_size, stride, padding, dilation: those of that `unfold`.

    Returns:
        (N, C, *output_size).

    Raises:
        ValueError: columns that do not have these sizes.

    >>> import minigrad as mg
    >>> mg.fold(mg.unfold(mg.ones((1, 1, 4)), 2), (4,), 2)
    tensor([[[1., 2., 2., 1.]]])
    """
    if not isinstance(output_size, (tuple, list)):
        raise ValueError(f"output_size must have one size for each spatial axis, got {output_size!r}")
    n = len(output_size)
    sizes, kernel = per_axis("output_size", output_size, n, 1), per_axis("kernel_size", kernel_size, n, 1)
    geometry = convolution_geometry(sizes, kernel, stride, padding, dilation, 1)
    out = output_sizes(sizes, kernel, geometry)
    cs, taps = shape_of(columns), prod(kernel)
    if len(cs) != 3 or cs[1] % taps or cs[2] != prod(out):
        raise ValueError(
            f"fold to {sizes} with a kernel {kernel} expects columns (N, C*{taps}, {prod(out)}), got shape {cs}"
        )
    apart = reshape(columns, (cs[0], cs[1] // taps, *kernel, *out))
    return _fold(apart, kernel, geometry, (cs[0], cs[1] // taps, *sizes))


@under_autocast("low")
def conv_local(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """A locally connected layer: `conv` with a kernel of its own at every position, nothing shared.

    `out[n, k, o] = bias[k, o] + sum_{c, t} weight[o, k, c, t] * x[n, c, o*stride + t*dilation - low]`

    Args:
        x: the input, (N, C, *spatial), floating.
        weight: (*out, K, C/groups, *kernel): for each position the weight of a `conv`.
        bias: (K,), or (K, *out) with one number for each position.
        stride, padding, dilation, groups: as for `conv`; padding is with zeros.

    Returns:
        (N, K, *out).

    Raises:
        ValueError: shapes that do not fit.

    Source: Y. LeCun, "Generalization and network design strategies", 1989, network 3.

    >>> import minigrad as mg
    >>> weight = mg.tensor([[1.0, 0], [0, 1], [1, 1]]).reshape(3, 1, 1, 2)
    >>> mg.conv_local(mg.tensor([[[1.0, 2, 3, 4]]]), weight)
    tensor([[[1., 3., 7.]]])
    """
    x, weight, bias = given(x), given(weight), given(bias)
    if bias is not None and all_half(x, weight, bias):  # the bias is added before anything is rounded
        wide = (astype(a, np.float32) for a in (x, weight, bias))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return astype(conv_local(*wide, **options), np.float16)
    xs, ws = shape_of(x), shape_of(weight)
    n = len(xs) - 2
    if n < 1 or len(ws) != 2 * n + 2:
        raise ValueError(
            f"conv_local expects x (N, C, *spatial) and weight (*out, K, C/groups, *kernel), got {xs} and {ws}"
        )
    (k, c), kernel = ws[n : n + 2], ws[n + 2 :]
    geometry = convolution_geometry(xs[2:], kernel, stride, padding, dilation, groups)
    groups = geometry.groups
    out = output_sizes(xs[2:], kernel, geometry)
    if ws[:n] != out or k % groups or xs[1] != c * groups:
        raise ValueError(
            f"for x {xs}, windows of {kernel} and groups={groups}, weight must be ({', '.join(map(str, out))}, K, "
            f"{xs[1]}/{groups}, {', '.join(map(str, kernel))}) with K a multiple of groups, got {ws}"
        )
    if bias is not None and shape_of(bias) != (k, *out):
        check_bias(bias, k)
        bias = reshape(bias, (k, *(1,) * n))
    columns = _unfold(x, kernel, geometry._replace(groups=1))
    first = permute(columns, (*range(n + 2, 2 * n + 2), *range(n + 2)))  # (*out, N, C, *kernel), as it lies in memory
    positions, seen = prod(out), c * prod(kernel)
    rows = swapaxes(reshape(first, (positions, xs[0], groups, seen)), 1, 2)
    matrices = swapaxes(reshape(weight, (positions, groups, k // groups, seen)), 2, 3)
    y = swapaxes(matmul(rows, matrices), 1, 2)  # (positions, N, groups, K/groups)
    y = permute(reshape(y, (*out, xs[0], k)), (n, n + 1, *range(n)))
    return y if bias is None else y + bias
