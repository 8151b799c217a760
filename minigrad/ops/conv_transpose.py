"""Transposed convolution: the gradient of a convolution in its input, used as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.autocast import under_autocast
from minigrad.backend import all_half, given, shape_of
from minigrad.ops.conv import _conv_input, check_bias, check_shapes, convolution_geometry
from minigrad.ops.padding import pad
from minigrad.ops.shape import astype, reshape
from minigrad.window import Geometry, Sizes, input_sizes, of_rank, per_axis


@under_autocast("low")
def conv_transpose(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, output_size=None, dilation=1, groups=1
):
    """Transposed convolution over any number of spatial axes: `conv_input`, which spreads instead of gathering.

    It has the shapes of a convolution run backwards: each element of x adds the kernel, scaled, to the window of the
    output that a `conv` with the same options would read for it:
    `out[n, k, i] = bias[k] + sum_{c, o, t : o*stride + t*dilation - low = i} weight[c, k, t] * x[n, c, o]`.

    Args:
        x: the input, (N, C, *spatial), floating.
        weight: the kernels, (C, K/groups, *kernel): the weight of the convolution that goes the other way.
        bias: one number for each output channel, (K,).
        stride, padding, dilation, groups: those of the convolution that goes the other way, in every form that `conv`
            takes; padding takes away from the output. With "same" and no output_size, it has size*stride elements.
        output_padding: several sizes are mapped to one by a strided convolution; this many elements more at the end of
            each axis, less than the stride or the dilation.
        output_size: the spatial sizes wanted, instead of output_padding.

    Returns:
        (N, K, *out), with out = (size - 1)*stride - low - high + dilation*(kernel - 1) + output_padding + 1.

    Raises:
        ValueError: channels that do not fit, or an output size that these options cannot give; the message names those
            they can.

    Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    >>> import minigrad as mg
    >>> x = mg.tensor([[[1.0, 2]]])
    >>> mg.conv_transpose(x, mg.tensor([[[1.0, 1, 1]]]), stride=2)
    tensor([[[1., 1., 3., 2., 2.]]])
    >>> mg.conv_transpose(x, mg.tensor([[[1.0, 1, 1]]]), stride=2, output_size=7)
    Traceback (most recent call last):
        ...
    ValueError: output_size on spatial axis 0 must be 5 or 6, got 7: (2 - 1)*2 - 0 - 0 + 1*(3 - 1) + 1 = 5, and less than max(stride, dilation) more
    """  # noqa: E501
    x, weight, bias = given(x), given(weight), given(bias)
    if bias is not None and all_half(x, weight, bias):  # the bias is added before anything is rounded
        wide = (astype(a, np.float32) for a in (x, weight, bias))
        options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "output_size": output_size,
            "dilation": dilation,
            "groups": groups,
        }
        return astype(conv_transpose(*wide, **options), np.float16)
    xs, ws = shape_of(x), shape_of(weight)
    check_shapes("conv_transpose", xs, ws, "(C, K/groups, *kernel)")
    n = len(xs) - 2
    steps = per_axis("stride", stride, n, 1)
    wanted = None if output_size is None else per_axis("output_size", output_size, n, 1)
    # A named padding is that of the convolution that goes the other way, from the size wanted or from size*stride.
    back = wanted or tuple(i * s for i, s in zip(xs[2:], steps, strict=True))
    geometry = convolution_geometry(back, ws[2:], stride, padding, dilation, groups)
    if xs[1] != ws[0] or ws[0] % geometry.groups:
        raise ValueError(
            f"x has {xs[1]} channels and groups={geometry.groups}, but the weight of a transposed convolution is "
            f"(C, K/groups, *kernel) with C a multiple of groups, got {ws}"
        )
    check_bias(bias, ws[1] * geometry.groups)
    least = input_sizes(xs[2:], ws[2:], geometry)
    if wanted is None:
        more = _extra(least, geometry, output_padding)
        if padding in ("same", "same_lower") and not any(more):
            # A kernel shorter than its stride leaves elements behind the last one unread.
            more = tuple(max(0, size - low) for size, low in zip(back, least, strict=True))
    elif any(per_axis("output_padding", output_padding, n, 0)):
        raise ValueError(f"output_size says it all: output_padding must stay 0, got {output_padding!r}")
    else:
        more = _missing(wanted, least, xs[2:], ws[2:], geometry)
    for axis, (low, extra) in enumerate(zip(least, more, strict=True)):
        if low + extra < 1:
            raise ValueError(
                f"the output is empty on spatial axis {axis}: {_arithmetic(axis, xs[2:], ws[2:], geometry)} = {low}, "
                f"and output_padding {extra}"
            )
    out = _with_more_at_the_end(x, weight, least, more, geometry)
    return out if bias is None else out + reshape(bias, (1, -1, *(1,) * n))


def _arithmetic(axis: int, sizes: Sizes, kernel: Sizes, geometry: Geometry) -> str:
    i, k, s, (lo, hi), d = list(geometry.along(sizes, kernel))[axis]
    return f"({i} - 1)*{s} - {lo} - {hi} + {d}*({k} - 1) + 1"


def _extra(least: Sizes, geometry: Geometry, output_padding: Any) -> Sizes:
    """How many elements each axis has beyond the least, as the caller asked."""
    more = per_axis("output_padding", output_padding, len(least), 0)
    for axis, (value, s, _, d) in enumerate(geometry.along(more)):
        if value >= max(s, d):
            raise ValueError(
                f"output_padding on spatial axis {axis} must be less than max(stride {s}, dilation {d}) = {max(s, d)}, "
                f"got {value}"
            )
    return more


def _missing(wanted: Sizes, least: Sizes, sizes: Sizes, kernel: Sizes, geometry: Geometry) -> Sizes:
    """How many elements each axis has beyond the least, for the sizes wanted."""
    for axis, (value, low, s, _, d) in enumerate(geometry.along(wanted, least)):
        most = low + max(s, d) - 1
        if not low <= value <= most:
            possible = str(low) if low == most else f"{low} or {most}" if most == low + 1 else f"from {low} to {most}"
            raise ValueError(
                f"output_size on spatial axis {axis} must be {possible}, got {value}: "
                f"{_arithmetic(axis, sizes, kernel, geometry)} = {low}, and less than max(stride, dilation) more"
            )
    return tuple(value - low for value, low in zip(wanted, least, strict=True))


def _with_more_at_the_end(x: Any, weight: Any, least: Sizes, more: Sizes, geometry: Geometry) -> Any:
    """`conv_input` for an output with more elements at the end of each axis than the least.

    They come out of the padding at the end first: those hold real values. What is left lies behind the last window and
    is zero; where it reaches a whole stride, the convolution back would have another position there, so that it is
    laid on as a border.
    """
    shown = [min(hi, m) for (_, hi), m in zip(geometry.padding, more, strict=True)]
    padding = tuple((lo, hi - m) for (lo, hi), m in zip(geometry.padding, shown, strict=True))
    behind = [m - seen for m, seen in zip(more, shown, strict=True)]
    border = [m if m >= s else 0 for m, s in zip(behind, geometry.stride, strict=True)]
    sizes = tuple(low + m - edge for low, m, edge in zip(least, more, border, strict=True))
    if min(sizes) < 1:  # the padding takes away all that any window spreads to: lay out all of it, and cut
        whole = geometry._replace(padding=((0, 0),) * len(sizes))
        sizes = input_sizes(shape_of(x)[2:], shape_of(weight)[2:], whole)
        all_of_it = _with_more_at_the_end(x, weight, sizes, more, whole)
        kept = (slice(lo, lo + low + m) for (lo, _), low, m in zip(geometry.padding, least, more, strict=True))
        return all_of_it[(slice(None), slice(None), *kept)]
    shape = (shape_of(x)[0], shape_of(weight)[1] * geometry.groups, *sizes)
    out = _conv_input(weight, x, geometry._replace(padding=padding), shape)
    return pad(out, ((0, 0), (0, 0), *((0, m) for m in border))) if any(border) else out


conv_transpose1d = of_rank(
    conv_transpose,
    1,
    """1-D `conv_transpose`: x (N, C, L), weight (C, K/groups, kL) -> (N, K, OL).

    >>> import minigrad as mg
    >>> mg.conv_transpose1d(mg.ones((1, 1, 3)), mg.ones((1, 1, 2)))
    tensor([[[1., 2., 2., 1.]]])
    """,
)
conv_transpose2d = of_rank(
    conv_transpose,
    2,
    """2-D `conv_transpose`: x (N, C, H, W), weight (C, K/groups, kH, kW) -> (N, K, OH, OW).

    >>> import minigrad as mg
    >>> mg.conv_transpose2d(mg.ones((1, 1, 1, 2)), mg.ones((1, 1, 1, 2)), stride=(1, 2), output_padding=(0, 1))
    tensor([[[[1., 1., 1., 1., 0.]]]])
    """,
)
conv_transpose3d = of_rank(
    conv_transpose,
    3,
    """3-D `conv_transpose`: x (N, C, D, H, W), weight (C, K/groups, kD, kH, kW) -> (N, K, OD, OH, OW).

    >>> import minigrad as mg
    >>> mg.conv_transpose3d(mg.ones((1, 2, 2, 2, 2)), mg.ones((2, 3, 2, 2, 2)), stride=2).shape
    (1, 3, 4, 4, 4)
    """,
)
