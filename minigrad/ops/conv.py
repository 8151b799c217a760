"""Convolution: one trilinear form and its three partial derivatives.

Let `T(x, w, g) = <g, conv(x, w)>`. It is linear in each of its three arguments, and the three ops below are its
derivatives:

    conv(x, w)         = dT/dg    the forward pass
    conv_input(w, g)   = dT/dx    the gradient in x, also called transposed convolution
    conv_weight(x, g)  = dT/dw    the gradient in w

Each takes two of the three, and its own gradients are the other two. So three kernels and six one-line rules give every
derivative of every order: convolution has no backward pass, it has two siblings.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.backend import kernels, shape_of
from minigrad.engine import op
from minigrad.ops.shape import reshape


class Geometry(NamedTuple):
    """How a window moves over the spatial axes: one number for each axis, and for padding a pair."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1


def output_size(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """How many positions a window has along an axis: `floor((i + p_lo + p_hi - d*(k - 1) - 1) / s) + 1`.

    >>> output_size(6, kernel=3, stride=2, padding=(1, 1), dilation=1)
    3
    """
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def output_sizes(sizes: tuple[int, ...], kernel: tuple[int, ...], geometry: Geometry) -> tuple[int, ...]:
    """`output_size` of each axis; a window larger than its axis raises, with the arithmetic."""
    out = []
    for axis, (i, k, s, p, d) in enumerate(zip(sizes, kernel, *geometry[:3], strict=True)):
        out.append(output_size(i, k, s, p, d))
        if out[-1] < 1:
            raise ValueError(
                f"the window does not fit on spatial axis {axis}: input {i} + padding {p[0]} + {p[1]} is smaller than "
                f"the window, {d}*({k} - 1) + 1 = {d * (k - 1) + 1}"
            )
    return tuple(out)


@op
def conv(x, w, geometry):
    """Cross-correlation of x (N, C, *spatial) with w (K, C/groups, *kernel) -> (N, K, *out)."""
    return kernels(x).conv(x, w, geometry)


@op
def conv_input(w, g, geometry, shape):
    """The x-derivative of <g, conv(x, w)>, for an x of this shape: every g spreads w over the window it came from."""
    return kernels(w).conv_input(w, g, geometry, shape)


@op
def conv_weight(x, g, geometry, shape):
    """The w-derivative of <g, conv(x, w)>, for a w of this shape: x and g correlated over all positions."""
    return kernels(x).conv_weight(x, g, geometry, shape)


conv.vjp(
    x=lambda g, w, geometry, x_shape: conv_input(w, g, geometry, x_shape),
    w=lambda g, x, geometry, w_shape: conv_weight(x, g, geometry, w_shape),
)
conv_input.vjp(
    w=lambda u, g, geometry, w_shape: conv_weight(u, g, geometry, w_shape),
    g=lambda u, w, geometry: conv(u, w, geometry),
)
conv_weight.vjp(
    x=lambda v, g, geometry, x_shape: conv_input(v, g, geometry, x_shape),
    g=lambda v, x, geometry: conv(x, v, geometry),
)


def per_axis(name: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """An int for every axis, or one int for each of n axes."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(values) != n or not all(isinstance(v, int) and v >= least for v in values):
        raise ValueError(f"{name} must be an integer of at least {least}, or {n} of them, got {value!r}")
    return values


def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution, as deep learning uses the word: cross-correlation, without flipping the kernel.

    `out[n, k, i, j] = bias[k] + sum_{c,u,v} weight[k, c, u, v] * x[n, c, i*stride + u*dilation - padding, ...]`

    Args:
        x: the input, (N, C, H, W), floating.
        weight: the kernels, (K, C/groups, kH, kW).
        bias: one number for each output channel, (K,).
        stride, padding, dilation: one int for both axes, or a pair; padding is with zeros, the same on both sides.
        groups: the channels are split into this many groups that do not see each other.

    Returns:
        (N, K, OH, OW), with OH = floor((H + 2*padding - dilation*(kH - 1) - 1) / stride) + 1.

    Raises:
        ValueError: channels that do not fit, or a window larger than the padded input.

    >>> import minigrad as mg
    >>> x = mg.arange(9.0).reshape(1, 1, 3, 3)
    >>> w = mg.arange(4.0).reshape(1, 1, 2, 2)
    >>> mg.conv2d(x, w)
    tensor([[[[19., 25.],
              [37., 43.]]]])
    """
    xs, ws = shape_of(x), shape_of(weight)
    if len(xs) != 4 or len(ws) != 4:
        raise ValueError(f"conv2d expects x (N, C, H, W) and weight (K, C/groups, kH, kW), got x {xs} and weight {ws}")
    pads = per_axis("padding", padding, 2, 0)
    geometry = Geometry(
        per_axis("stride", stride, 2, 1), tuple((p, p) for p in pads), per_axis("dilation", dilation, 2, 1), groups
    )
    if not isinstance(groups, int) or groups < 1 or ws[0] % groups or xs[1] != ws[1] * groups:
        raise ValueError(
            f"x has {xs[1]} channels, but a weight of shape {ws} with groups={groups} expects {ws[1]} * {groups} = "
            f"{ws[1] * groups}" + (f", and {ws[0]} kernels divided into {groups} groups" if ws[0] % groups else "")
        )
    if bias is not None and shape_of(bias) != ws[:1]:
        raise ValueError(f"bias must have shape {ws[:1]}, one number for each kernel, got {shape_of(bias)}")
    output_sizes(xs[2:], ws[2:], geometry)
    out = conv(x, weight, geometry)
    return out if bias is None else out + reshape(bias, (1, -1, 1, 1))
