"""Transposed convolution: the gradient of a convolution in its input, used as a layer."""

from __future__ import annotations

from typing import Any

from minigrad.backend import shape_of
from minigrad.ops.conv import _conv_input, check_bias, check_shapes, convolution_geometry
from minigrad.ops.padding import pad
from minigrad.ops.shape import reshape
from minigrad.window import Geometry, Sizes, of_rank, per_axis


def conv_transpose(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, output_size=None, dilation=1, groups=1
):
    """Transposed convolution over any number of spatial axes: `conv_input`, which spreads instead of gathering.

    It has the shapes of a convolution run backwards: each element of x adds the kernel, scaled, to the window of the
    output that a `conv` with the same options would read for it.

    Args:
        x: the input, (N, C, *spatial), floating.
        weight: the kernels, (C, K/groups, *kernel): the weight of the convolution that goes the other way.
        bias: one number for each output channel, (K,).
        stride, padding, dilation, groups: those of the convolution that goes the other way, in every form that `conv`
            takes; padding takes away from the output. With "same", an output has size*stride elements.
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
    ValueError: output_size on spatial axis 0 must be 5 or 6, got 7: (2 - 1)*2 - 0 - 0 + 1*(3 - 1) + 1 = 5, and less than the stride or dilation more
    """  # noqa: E501
    xs, ws = shape_of(x), shape_of(weight)
    check_shapes("conv_transpose", xs, ws)
    n = len(xs) - 2
    # "same" asks for the padding of the convolution that makes `size` of `size*stride`
    steps = per_axis("stride", stride, n, 1)
    geometry = convolution_geometry(
        tuple(i * s for i, s in zip(xs[2:], steps, strict=True)), ws[2:], stride, padding, dilation, groups
    )
    if xs[1] != ws[0] or ws[0] % geometry.groups:
        raise ValueError(
            f"x has {xs[1]} channels and groups={geometry.groups}, but the weight of a transposed convolution is "
            f"(C, K/groups, *kernel) with C a multiple of groups, got {ws}"
        )
    check_bias(bias, ws[1] * geometry.groups)
    least = tuple(
        (i - 1) * s - sum(p) + d * (k - 1) + 1 for i, k, s, p, d in zip(xs[2:], ws[2:], *geometry[:3], strict=True)
    )
    more = _more(least, xs[2:], ws[2:], geometry, padding, output_padding, output_size)
    for axis, (low, extra) in enumerate(zip(least, more, strict=True)):
        if low + extra < 1:
            raise ValueError(
                f"the output is empty on spatial axis {axis}: {_arithmetic(axis, xs[2:], ws[2:], geometry)} = {low}, "
                f"and output_padding {extra}"
            )
    out = _spread(x, weight, least, more, geometry)
    return out if bias is None else out + reshape(bias, (1, -1, *(1,) * n))


def _arithmetic(axis: int, sizes: Sizes, kernel: Sizes, geometry: Geometry) -> str:
    i, k = sizes[axis], kernel[axis]
    s, (lo, hi), d = (values[axis] for values in geometry[:3])
    return f"({i} - 1)*{s} - {lo} - {hi} + {d}*({k} - 1) + 1"


def _more(
    least: Sizes, sizes: Sizes, kernel: Sizes, geometry: Geometry, padding: Any, extra: Any, wanted: Any
) -> Sizes:
    """How many elements each axis has beyond the least: what the caller asked for, or what "same" needs."""
    n = len(least)
    limits = [max(s, d) for s, d in zip(geometry.stride, geometry.dilation, strict=True)]
    if wanted is None:
        more = per_axis("output_padding", extra, n, 0)
        if padding in ("same", "same_lower") and not any(more):
            # a window shorter than its stride leaves room behind the last one
            more = tuple(max(0, i * s - low) for i, s, low in zip(sizes, geometry.stride, least, strict=True))
        for axis, (value, limit) in enumerate(zip(more, limits, strict=True)):
            if value >= limit:
                raise ValueError(
                    f"output_padding on spatial axis {axis} must be less than the stride {geometry.stride[axis]} or "
                    f"the dilation {geometry.dilation[axis]}, got {value}"
                )
        return more
    if extra != 0:
        raise ValueError(f"output_size says it all: output_padding must stay 0, got {extra!r}")
    sizes_wanted = per_axis("output_size", wanted, n, 0)
    for axis, (value, low, limit) in enumerate(zip(sizes_wanted, least, limits, strict=True)):
        if not low <= value < low + limit:
            possible = " or ".join(map(str, range(low, low + limit)))
            raise ValueError(
                f"output_size on spatial axis {axis} must be {possible}, got {value}: "
                f"{_arithmetic(axis, sizes, kernel, geometry)} = {low}, and less than the stride or dilation more"
            )
    return tuple(value - low for value, low in zip(sizes_wanted, least, strict=True))


def _spread(x: Any, weight: Any, least: Sizes, more: Sizes, geometry: Geometry) -> Any:
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
    xs, ws = shape_of(x), shape_of(weight)
    shape = (xs[0], ws[1] * geometry.groups, *sizes)
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
