"""Convolution: one trilinear form and its three partial derivatives.

Let `T(x, w, g) = <g, conv(x, w)>`. It is linear in each of its three arguments, and the three ops below are its
derivatives:

    conv(x, w)         = dT/dg    the forward pass
    conv_input(w, g)   = dT/dx    the gradient in x, also called transposed convolution
    conv_weight(x, g)  = dT/dw    the gradient in w

Each takes two of the three, and its own gradients are the other two. So three kernels and six one-line rules give every
derivative of every order: convolution has no backward pass, it has two siblings.

A filter for vertical lines, on the image of a digit with dark as -1 and light as 1; it answers where dark turns to
light from left to right:

>>> import minigrad as mg
>>> nine = mg.tensor([[1.0,  1,  1,  1,  1,  1],
...                   [1.0, -1, -1, -1,  1,  1],
...                   [1.0, -1,  1, -1,  1,  1],
...                   [1.0, -1, -1, -1,  1,  1],
...                   [1.0,  1,  1, -1,  1,  1],
...                   [1.0,  1,  1,  1,  1,  1]]).reshape(1, 1, 6, 6)
>>> mg.conv2d(nine, mg.tensor([[[[-1.0, 0, 1]] * 3]])).reshape(4, 4)
tensor([[-2.,  0.,  2.,  4.],
        [-4.,  0.,  4.,  6.],
        [-2., -2.,  2.,  6.],
        [-2., -2.,  2.,  4.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import device_of, given, kernels, raw, shape_of
from minigrad.engine import op
from minigrad.kernels.cpu.conv import ALGORITHMS as CPU
from minigrad.ops.index import index_set
from minigrad.ops.padding import pad
from minigrad.ops.shape import broadcast_to
from minigrad.ops.shape import flip as flip_axes
from minigrad.window import Geometry, Sizes, of_rank, output_sizes, paddings, per_axis, shape_argument

ALGORITHMS = ("auto", *CPU)
ON_CUDA = ("auto", "im2col", "direct")
MODES = ("zeros", "constant", "reflect", "replicate", "circular", "symmetric")


@op
def _conv(x, w, b, geometry):
    return kernels(x).conv(x, w, b, geometry)


@op
def _conv_input(w, g, geometry, shape):
    return kernels(w).conv_input(w, g, geometry, shape)


@op
def _conv_weight(x, g, geometry, shape):
    return kernels(x).conv_weight(x, g, geometry, shape)


_conv.vjp(
    x=lambda g, w, geometry, x_shape: _conv_input(w, g, geometry, x_shape),
    w=lambda g, x, geometry, w_shape: _conv_weight(x, g, geometry, w_shape),
    b=lambda g: channel_sum(g),
)


def _both(g: Any, x: Any, w: Any, geometry: Geometry) -> tuple:
    return kernels(g).conv_backward(x, w, g, geometry)


_conv.vjp_joint("x", "w", rule=_both)
_conv.vjp_joint("x", "w", "b", rule=lambda g, x, w, geometry: (*_both(g, x, w, geometry), channel_sum(g)))
_conv_input.vjp(
    w=lambda u, g, geometry, w_shape: _conv_weight(u, g, geometry, w_shape),
    g=lambda u, w, geometry: _conv(u, w, None, geometry),
)
_conv_weight.vjp(
    x=lambda v, g, geometry, x_shape: _conv_input(v, g, geometry, x_shape),
    g=lambda v, x, geometry: _conv(x, v, None, geometry),
)


@op
def channel_sum(g):
    """The sum over all axes but the second: (N, C, *spatial) -> (C,). What the bias of a convolution gets back.

    >>> import minigrad as mg
    >>> mg.channel_sum(mg.ones((2, 3, 4, 4)))
    tensor([32., 32., 32.])
    """
    if g.ndim < 2:
        raise ValueError(f"channel_sum expects g (N, C, *spatial), got shape {g.shape}")
    return kernels(g).channel_sum(g)


channel_sum.vjp(g=lambda u, g_shape: broadcast_to(u.reshape(1, -1, *(1,) * (len(g_shape) - 2)), g_shape))


def convolution_geometry(
    sizes: Sizes, kernel: Sizes, stride: Any, padding: Any, dilation: Any, groups: Any, algorithm: str = "auto"
) -> Geometry:
    """The options of a convolution over these spatial sizes, checked and with one entry for each axis."""
    n = len(sizes)
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm must be one of {ALGORITHMS}, got {algorithm!r}")
    (count,) = per_axis("groups", groups, 1, 1)
    steps, apart = per_axis("stride", stride, n, 1), per_axis("dilation", dilation, n, 1)
    return Geometry(steps, paddings(padding, sizes, kernel, steps, apart), apart, count, algorithm)


def check_algorithm(x: Any, w: Any, w_shape: Sizes, geometry: Geometry) -> None:
    """The algorithm asked for must exist where the arrays are, and be able to compute a convolution of such shapes."""
    name = geometry.algorithm
    if name != "auto" and device_of(x) == "cuda":
        if name not in ON_CUDA:
            raise ValueError(f"algorithm={name!r} is one of the CPU's; on CUDA there are {ON_CUDA}")
    elif name != "auto":
        dtype = np.result_type(*(array.dtype for array in map(raw, (x, w)) if hasattr(array, "dtype")))
        if why := CPU[name].refusal(w_shape, geometry, dtype):
            raise ValueError(f"algorithm={name!r} cannot compute this convolution: {why}")


def check_shapes(name: str, xs: tuple, ws: tuple, weight: str = "(K, C/groups, *kernel)") -> None:
    """x (N, C, *spatial) and a weight with as many spatial axes and a kernel that is not empty."""
    if len(xs) < 3 or len(xs) != len(ws):
        hint = "; for a single sample put x[None]" if len(xs) + 1 == len(ws) else ""
        raise ValueError(
            f"{name} expects x (N, C, *spatial) and weight {weight} with as many axes, got x {xs} and weight {ws}{hint}"
        )
    if 0 in ws[2:]:
        raise ValueError(f"the kernel must have at least one element along each axis, got a weight of shape {ws}")


def check_channels(channels: int, ws: tuple, groups: int) -> None:
    """As many channels as the kernels see, and kernels that the groups divide."""
    if ws[0] % groups or channels != ws[1] * groups:
        raise ValueError(
            f"x has {channels} channels, but a weight of shape {ws} with groups={groups} expects {ws[1]} * {groups} = "
            f"{ws[1] * groups}" + (f", and {ws[0]} kernels divided into {groups} groups" if ws[0] % groups else "")
        )


def check_bias(bias: Any, count: int) -> None:
    """One number for each output channel."""
    if bias is not None and shape_of(bias) != (count,):
        raise ValueError(f"bias must have shape {(count,)}, one number for each kernel, got {shape_of(bias)}")


def dense_weight(weight: Any, connections: Any, channels: int) -> Any:
    """The weights (links, *kernel) of a table of connections as a dense weight (K, channels, *kernel), else zeros."""
    table = list(connections) if isinstance(connections, (list, tuple)) else [connections]
    for k, row in enumerate(table):
        listed = isinstance(row, (list, tuple)) and all(
            isinstance(c, (int, np.integer)) and not isinstance(c, bool) for c in row
        )
        if not listed or len(set(row)) != len(row) or any(c not in range(channels) for c in row):
            raise ValueError(
                f"connections[{k}] must list the channels that kernel {k} sees, each once, from 0 to {channels - 1}, "
                f"got {row}"
            )
    rows, columns = [k for k, row in enumerate(table) for _ in row], [c for row in table for c in row]
    shape = shape_of(weight)
    if not shape or shape[0] != len(columns):
        raise ValueError(
            f"connections has {len(columns)} links, so weight must be ({len(columns)}, *kernel), one kernel a link, "
            f"got {shape}"
        )
    dense = backend.zeros((len(table), channels, *shape[1:]), weight)
    return index_set(dense, weight, (rows, columns))[0]


def _check_mode(mode: Any, value: Any, x: Any) -> None:
    if mode not in MODES:
        raise ValueError(f"padding_mode must be one of {MODES}, got {mode!r}")
    dtype = getattr(x, "dtype", np.dtype(float))
    if not isinstance(value, (int, float, np.number)) or (dtype.kind in "iub" and value != int(value)):
        raise ValueError(f"padding_value must be a number that {dtype} can hold, got {value!r}")
    if value != 0 and mode != "constant":
        raise ValueError(f"padding_value={value!r} goes with padding_mode='constant', got padding_mode={mode!r}")


def _bordered(x: Any, pairs: tuple, mode: str, value: float) -> tuple[Any, tuple]:
    """x and the zero padding it still needs: every other kind of border is laid around it here."""
    if mode == "zeros" or (mode == "constant" and value == 0) or not any(map(any, pairs)):
        return x, pairs
    for axis, (n, pair) in enumerate(zip(shape_of(x)[2:], pairs, strict=True)):
        most = {"reflect": n - 1, "circular": n, "symmetric": n}.get(mode, max(pair))
        if max(pair) > most:
            raise ValueError(
                f"padding {pair} on spatial axis {axis} is wider than an input of {n} can fill: padding_mode={mode!r} "
                f"reaches at most {most}"
            )
    return pad(x, ((0, 0), (0, 0), *pairs), mode, value), ((0, 0),) * len(pairs)


def conv(
    x,
    weight,
    bias=None,
    *,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode="zeros",
    padding_value=0,
    flip=False,
    connections=None,
    algorithm="auto",
):
    """Convolution over any number of spatial axes, as deep learning uses the word: cross-correlation.

    `out[n, k, o] = bias[k] + sum_{c, t} weight[k, c, t] * x[n, c, o*stride + t*dilation - low]`, where o and t run over
    the positions and the taps of the kernel, one number for each axis, and c over the channels that kernel k sees.

    Args:
        x: the input, (N, C, *spatial), float16 (computed in float32), float32 or float64; integers work, slowly.
        weight: the kernels, (K, C/groups, *kernel). With `connections`, (links, *kernel).
        bias: one number for each output channel, (K,).
        stride, dilation: how far the window moves, and how far its taps are apart: an int, or one for each axis.
        padding: an int, one for each axis, a (low, high) pair for each axis, "valid" (none), "same" (at any stride: the
            output has ceil(size/stride) elements, the odd one goes to the end), "same_lower" (to the start), "full".
        groups: the channels are split into this many groups that do not see each other; groups=C is a depthwise
            convolution, with K/C kernels for each channel.
        padding_mode: "zeros", "constant" (with `padding_value`), "reflect", "replicate", "circular" or "symmetric".
        flip: whether to mirror the kernel along every spatial axis first: the convolution of mathematics.
        connections: a table instead of groups: for each of the K kernels the input channels it sees. There is one
            kernel of weights for each link, in the order of the table, and none for links that are absent.
        algorithm: who computes it and its gradients. "auto" chooses from shapes and dtype what is predicted to take the
            least time; `explain_conv` says what, why, and how exact it is. One of these is taken as it is, or an error:
            "im2col" (windows unrolled to rows, one matrix product a block), "direct" (tap by tap), "depthwise" (tap by
            tap without sums over channels), and in floating point Winograd's for two spatial axes: "winograd4" and
            "winograd2" (3x3, tiles of 4x4 and 2x2 outputs), "winograd5" (5x5), "winograd_s2" (3x3, stride 2),
            "space_to_depth" (what has three taps for each stride: 11x11 with stride 4), and "fft" (very large kernels).
            "auto" takes these in float32 only; they spread an inf or nan over some more outputs than the formula does.
            On CUDA there are "auto", "im2col" and "direct".

    Returns:
        (N, K, *out), where out is `output_size(spatial, kernel, ...)`.

    Raises:
        ValueError: channels that do not fit, a window larger than the padded input, options that make no sense; the
            message has the arithmetic.

    Convolution has no backward pass, it has two siblings: of the trilinear form `T(x, w, g) = <g, conv(x, w)>` this is
    dT/dg, and `conv_input` and `conv_weight` are dT/dx and dT/dw. The gradients of any one of the three are the other
    two, so every derivative, of any order, is again one of three fast kernels.

    Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016. The table of
    connections: Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.B.

    >>> import minigrad as mg
    >>> step = mg.tensor([[[0.0, 0, 0, 0, 1, 2, 3, 3]]])
    >>> mg.conv(step, mg.tensor([[[-1.0, 1]]]))  # where it rises
    tensor([[[0., 0., 0., 1., 1., 1., 0.]]])
    >>> mg.conv(step, mg.tensor([[[-1.0, 1]]]), flip=True)
    tensor([[[ 0.,  0.,  0., -1., -1., -1.,  0.]]])
    >>> mg.conv(step, mg.tensor([[[-1.0, 1]]]), stride=3, padding="same", padding_mode="replicate").shape
    (1, 1, 3)
    """
    x, weight, bias = given(x), given(weight), given(bias)
    xs = shape_of(x)
    _check_mode(padding_mode, padding_value, x)
    if connections is not None:
        if groups != 1:
            raise ValueError(f"connections say which channels a kernel sees, so groups must stay 1, got {groups!r}")
        weight = dense_weight(weight, connections, xs[1] if len(xs) > 1 else 0)
    ws = shape_of(weight)
    check_shapes("conv", xs, ws)
    geometry = convolution_geometry(xs[2:], ws[2:], stride, padding, dilation, groups, algorithm)
    check_channels(xs[1], ws, geometry.groups)
    check_algorithm(x, weight, ws, geometry)
    check_bias(bias, ws[0])
    output_sizes(xs[2:], ws[2:], geometry)
    x, pairs = _bordered(x, geometry.padding, padding_mode, padding_value)
    if flip:
        weight = flip_axes(weight, tuple(range(2, len(ws))))
    return _conv(x, weight, bias, geometry._replace(padding=pairs))


conv1d = of_rank(
    conv,
    1,
    """1-D `conv`, with all its options: x (N, C, L), weight (K, C/groups, kL) -> (N, K, OL).

    >>> import minigrad as mg
    >>> mg.conv1d(mg.tensor([[[1.0, 2, 3, 4]]]), mg.tensor([[[1.0, 0, -1]]]), padding="same")
    tensor([[[-2., -2., -2.,  3.]]])
    """,
)
conv2d = of_rank(
    conv,
    2,
    """2-D `conv`, with all its options: x (N, C, H, W), weight (K, C/groups, kH, kW) -> (N, K, OH, OW).

    >>> import minigrad as mg
    >>> mg.conv2d(mg.arange(9.0).reshape(1, 1, 3, 3), mg.arange(4.0).reshape(1, 1, 2, 2))
    tensor([[[[19., 25.],
              [37., 43.]]]])
    """,
)
conv3d = of_rank(
    conv,
    3,
    """3-D `conv`, with all its options: x (N, C, D, H, W), weight (K, C/groups, kD, kH, kW) -> (N, K, OD, OH, OW).

    >>> import minigrad as mg
    >>> mg.conv3d(mg.ones((1, 1, 2, 2, 2)), mg.ones((1, 1, 2, 2, 2)))
    tensor([[[[[8.]]]]])
    """,
)


def conv_input(weight, g, input_shape, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
    """The derivative of <g, conv(x, weight)> in x: every element of g spreads the kernel over the window it came from.

    `dx[n, c, i] = sum_{k, o, t : o*stride + t*dilation - low = i} weight[k, c, t] * g[n, k, o]`

    Args:
        weight: the kernels, (K, C/groups, *kernel), of the dtypes that `conv` takes.
        g: (N, K, *out), as `conv` of an input of shape `input_shape` gives it.
        input_shape: (N, C, *spatial).
        stride, padding, dilation, groups, algorithm: those of that `conv`.

    Returns:
        dx, of shape `input_shape`.

    Raises:
        ValueError: shapes that do not belong together.

    >>> import minigrad as mg
    >>> mg.conv_input(mg.tensor([[[1.0, 2]]]), mg.tensor([[[1.0, 1, 1]]]), (1, 1, 4))
    tensor([[[1., 3., 3., 2.]]])
    """
    weight, g, xs = given(weight), given(g), shape_argument("input_shape", input_shape)
    options = (stride, padding, dilation, groups, algorithm)
    return _conv_input(weight, g, _checked_geometry("conv_input", xs, shape_of(weight), g, weight, *options), xs)


def conv_weight(x, g, weight_shape, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
    """The derivative of <g, conv(x, weight)> in weight: x and g correlated over all positions.

    `dw[k, c, t] = sum_{n, o} x[n, c, o*stride + t*dilation - low] * g[n, k, o]`

    Args:
        x: the input, (N, C, *spatial), of the dtypes that `conv` takes.
        g: (N, K, *out), as `conv` of a weight of shape `weight_shape` gives it.
        weight_shape: (K, C/groups, *kernel).
        stride, padding, dilation, groups, algorithm: those of that `conv`.

    Returns:
        dw, of shape `weight_shape`.

    Raises:
        ValueError: shapes that do not belong together.

    >>> import minigrad as mg
    >>> mg.conv_weight(mg.tensor([[[1.0, 2, 3]]]), mg.tensor([[[1.0, 10]]]), (1, 1, 2))
    tensor([[[21., 32.]]])
    """
    x, g, ws = given(x), given(g), shape_argument("weight_shape", weight_shape)
    options = (stride, padding, dilation, groups, algorithm)
    return _conv_weight(x, g, _checked_geometry("conv_weight", shape_of(x), ws, g, x, *options), ws)


def _checked_geometry(name, xs, ws, g, other, stride, padding, dilation, groups, algorithm):
    check_shapes(name, xs, ws)
    geometry = convolution_geometry(xs[2:], ws[2:], stride, padding, dilation, groups, algorithm)
    check_channels(xs[1], ws, geometry.groups)
    expected = (xs[0], ws[0], *output_sizes(xs[2:], ws[2:], geometry))
    if shape_of(g) != expected:
        raise ValueError(
            f"g must have the shape that conv gives for x {xs} and weight {ws}, {expected}, got {shape_of(g)}"
        )
    check_algorithm(g, other, ws, geometry)
    return geometry
