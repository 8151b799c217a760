"""Pooling, written like convolution: pairs of ops that are each other's gradient.

Max and min pooling remember for each window which tap of it won. `pool_gather` picks those elements and `pool_scatter`
puts them back: each is the other's gradient. Average pooling and its adjoint likewise.

Decided once, for both devices: a tie goes to the first in row-major order, nan wins over everything, and padding never
wins (it stands for -inf in max pooling, +inf in min pooling).

A digit of six by six pixels, pooled in windows of two by two. Where the strokes are dark, min pooling keeps them and
max pooling loses them; on light strokes it is the other way round:

>>> import minigrad as mg
>>> nine = mg.tensor([[255, 255, 255, 255, 255, 255],
...                   [255,   0,   0,   0, 255, 255],
...                   [255,   0, 255,   0, 255, 255],
...                   [255,   0,   0,   0, 255, 255],
...                   [255, 255, 255,   0, 255, 255],
...                   [255, 255, 255, 255, 255, 255]]).reshape(1, 1, 6, 6)
>>> mg.max_pool2d(nine, 2).reshape(3, 3)
tensor([[255, 255, 255],
        [255, 255, 255],
        [255, 255, 255]])
>>> mg.avg_pool2d(nine, 2).reshape(3, 3)
tensor([[191.25, 127.5 , 255.  ],
        [127.5 ,  63.75, 255.  ],
        [255.  , 191.25, 255.  ]], dtype=float64)
>>> mg.min_pool2d(nine, 2).reshape(3, 3)
tensor([[  0,   0, 255],
        [  0,   0, 255],
        [255,   0, 255]])
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import given, in_single, kernels, raw, shape_of, xp
from minigrad.engine import op
from minigrad.gradmode import is_grad_enabled
from minigrad.ops.elementwise import abs
from minigrad.ops.elementwise import where as where_
from minigrad.ops.index import index_set
from minigrad.ops.shape import reshape
from minigrad.ops.transcendental import power
from minigrad.ops.unfold import _unfold
from minigrad.window import (
    Geometry,
    Sizes,
    input_sizes,
    of_rank,
    out_sizes,
    output_sizes,
    paddings,
    per_axis,
    pooling_geometry,
    taps_inside,
)

# ---- the ops --------------------------------------------------------------------------------------------------------


@op
def pool_gather(x, tap, kernel, geometry):
    """From each window of x (N, C, *spatial), the element at tap (N, C, *out), its place in the flattened window."""
    return kernels(x).pool_gather(x, tap, kernel, geometry)


@op
def pool_scatter(g, tap, kernel, geometry, shape):
    """Zeros of a shape (N, C, *spatial), with g (N, C, *out) added to each window at its tap."""
    return kernels(g).pool_scatter(g, tap, kernel, geometry, shape)


pool_gather.vjp(x=lambda g, tap, kernel, geometry, x_shape: pool_scatter(g, tap, kernel, geometry, x_shape))
pool_scatter.vjp(g=lambda u, tap, kernel, geometry: pool_gather(u, tap, kernel, geometry))


@op(aux=("tap",))
def _max_pool(x, kernel, geometry, with_tap):
    return kernels(x).max_pool(x, kernel, geometry, with_tap)


@op(aux=("tap",))
def _min_pool(x, kernel, geometry, with_tap):
    return kernels(x).min_pool(x, kernel, geometry, with_tap)


_max_pool.vjp(x=lambda g, tap, kernel, geometry, x_shape: pool_scatter(g, tap, kernel, geometry, x_shape))
_min_pool.vjp(x=lambda g, tap, kernel, geometry, x_shape: pool_scatter(g, tap, kernel, geometry, x_shape))


def extreme(pool, x, kernel, geometry, with_tap=False):
    """`_max_pool` or `_min_pool`, and the taps only if they are wanted here or by a gradient."""
    recorded = is_grad_enabled() and getattr(x, "requires_grad", False)
    return pool(x, kernel, geometry, with_tap or recorded)


@op
def pool_index(tap, kernel, geometry, sizes, sources=None):
    """The flat index into the spatial axes (of these sizes) that each tap (N, C, *out) of its window stands for.

    `sources` says for each axis where its elements came from, if the windows went over rearranged ones.
    """
    library, n = xp(tap), len(kernel)
    rest, flat = tap.astype(np.int64), library.zeros(tap.shape, np.int64)
    scale = 1
    for axis, (k, s, (lo, _), d) in reversed(list(enumerate(geometry.along(kernel)))):
        start = library.arange(tap.shape[axis + 2]).reshape(-1, *(1,) * (n - 1 - axis)) * s - lo
        at = start + rest % k * d
        flat += (at if sources is None else library.asarray(sources[axis])[at]) * scale
        rest //= k
        scale *= sizes[axis]
    return flat


@op
@in_single
def _avg_pool(x, kernel, geometry, divisor):
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    return kernels(x).avg_pool(x, kernel, geometry, divisor)


@op
@in_single
def _avg_pool_input(g, kernel, geometry, divisor, shape):
    return kernels(g).avg_pool_input(g, kernel, geometry, divisor, shape)


_avg_pool.vjp(
    x=lambda g, kernel, geometry, divisor, x_shape: _avg_pool_input(g, kernel, geometry, divisor, x_shape),
)
_avg_pool_input.vjp(g=lambda u, kernel, geometry, divisor: _avg_pool(u, kernel, geometry, divisor))


# ---- arguments ------------------------------------------------------------------------------------------------------


def _windows(
    name: str, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Sizes, Geometry, Geometry]:
    """The kernel, and two geometries: as it was asked for, and with the padding up to the last window of ceil mode.

    A mean may count the padding that was asked for, but not what ceil mode makes a window see beyond.
    """
    sizes = shape_of(x)[2:]
    if not sizes:
        raise ValueError(f"{name} expects x (N, C, *spatial), got shape {shape_of(x)}")
    n = len(sizes)
    kernel = per_axis("kernel_size", kernel_size, n, 1)
    steps = kernel if stride is None else per_axis("stride", stride, n, 1)
    apart = per_axis("dilation", dilation, n, 1)
    asked = Geometry(steps, paddings(padding, sizes, kernel, steps, apart), apart)
    return kernel, asked, pooling_geometry(sizes, kernel, asked, ceil_mode)


def _counts(sizes: Sizes, kernel: Sizes, asked: Geometry, geometry: Geometry, with_padding: bool) -> Any:
    """By what each window's sum is divided: one number, or for each axis the taps that count at each position."""
    if geometry == asked and not any(map(any, asked.padding)):
        return prod(kernel)
    counts = []
    for i, k, out, s, (lo, hi), d in asked.along(sizes, kernel, out_sizes(sizes, kernel, geometry)):
        first, stop = (-lo, i + hi) if with_padding else (0, i)
        counts.append(taps_inside(first, stop, k, s, lo, d, out))
    if all(set(count) == {k} for count, k in zip(counts, kernel, strict=True)):
        return prod(kernel)
    return tuple(counts)


# ---- the public functions -------------------------------------------------------------------------------------------


def max_pool(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value of each window: `out[n, c, o] = max_t x[n, c, o*stride + t*dilation - low]`.

    A tie goes to the first in row-major order, nan wins over everything, and padding never wins (it is -inf).

    Args:
        x: the input, (N, C, *spatial), with any number of spatial axes.
        kernel_size, dilation: an int, or one for each axis.
        stride: the same; default: the kernel size. Smaller, and the windows overlap.
        padding: an int, one for each axis, a (low, high) pair for each axis, "valid", "same", "same_lower" or "full".
        ceil_mode: whether a last window that sticks out at the end counts, if it starts inside the input or the padding
            before it.
        return_indices: whether to return also where the winners are, as flat indices into the spatial axes.

    Returns:
        (N, C, *out), with out = `output_size(spatial, kernel_size, ...)`; with `return_indices` a pair with int64
        indices of the same shape.

    Raises:
        ValueError: a window larger than the padded input, or one that sees only padding.

    >>> import minigrad as mg
    >>> image = mg.arange(9.0).reshape(1, 1, 3, 3)
    >>> mg.max_pool(image, 2, stride=1)
    tensor([[[[4., 5.],
              [7., 8.]]]])
    >>> mg.max_pool(image, 2, ceil_mode=True, return_indices=True)[1]
    tensor([[[[4, 5],
              [7, 8]]]])
    """
    return _windowed(_max_pool, "max_pool", x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def min_pool(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The smallest value of each window: `max_pool` with the order turned round; padding is +inf and never wins.

    Arguments, result and errors as for `max_pool`.

    >>> import minigrad as mg
    >>> mg.min_pool(mg.arange(9.0).reshape(1, 1, 3, 3), 2, stride=1)
    tensor([[[[0., 1.],
              [3., 4.]]]])
    """
    return _windowed(_min_pool, "min_pool", x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _windowed(pool, name, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    x = given(x)
    kernel, _, geometry = _windows(name, x, kernel_size, stride, padding, dilation, ceil_mode)
    value, tap = extreme(pool, x, kernel, geometry, return_indices)
    return (value, pool_index(tap, kernel, geometry, shape_of(x)[2:])) if return_indices else value


def avg_pool(
    x,
    kernel_size,
    *,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window: `out[n, c, o] = sum_t x[n, c, o*stride + t*dilation - low] / divisor`.

    Args:
        x: the input, (N, C, *spatial), with any number of spatial axes; integers give float64.
        kernel_size, stride, padding, dilation, ceil_mode: as for `max_pool`. What sticks out in ceil mode is no padding
            and never counts.
        count_include_pad: whether padding counts, as zeros; else only the elements of x that a window sees do.
        divisor_override: a number to divide every window's sum by instead.

    Returns:
        (N, C, *out), with out = `output_size(spatial, kernel_size, ...)`.

    Raises:
        ValueError: a window larger than the padded input, or one that sees only padding; a divisor of 0.

    >>> import minigrad as mg
    >>> mg.avg_pool(mg.arange(9.0).reshape(1, 1, 3, 3), 2, stride=1)
    tensor([[[[2., 3.],
              [5., 6.]]]])
    >>> mg.avg_pool(mg.ones((1, 1, 3)), 3, stride=2, padding=1, count_include_pad=False)
    tensor([[[1., 1.]]])
    """
    x = given(x)
    kernel, asked, geometry = _windows("avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if divisor_override is None:
        divisor = _counts(shape_of(x)[2:], kernel, asked, geometry, count_include_pad)
    elif isinstance(divisor_override, (int, float, np.number)) and abs(divisor_override) > 0:
        divisor = divisor_override
    else:
        raise ValueError(f"divisor_override must be a number other than 0, got {divisor_override!r}")
    return _avg_pool(x, kernel, geometry, divisor)


def lp_pool(x, norm_type, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The p-norm of each window, `(sum |x|^p)^(1/p)`: the sum for p = 1, near the maximum for a large p.

    It is worked out relative to the largest |x| of the window, so that no power overflows or vanishes. The gradient of
    a window of zeros is 0. (PyTorch raises x itself to the power, so that for an odd p it differs for negative x, and
    scales up the windows that stick out in ceil mode.)

    Args:
        x: the input, (N, C, *spatial), floating.
        norm_type: p, at least 1; inf is `max_pool` of |x|.
        kernel_size, stride, padding, dilation, ceil_mode: as for `max_pool`; padding is with zeros.

    Returns:
        (N, C, *out).

    Raises:
        ValueError: a p below 1, and as `max_pool`.

    Source: P. Sermanet, S. Chintala and Y. LeCun, "Convolutional neural networks applied to house numbers digit
    classification", 2012.

    >>> import minigrad as mg
    >>> mg.lp_pool(mg.tensor([[[3.0, 4, 0, 0]]]), 2, 2)
    tensor([[[5., 0.]]])
    """
    x = given(x)
    if not isinstance(norm_type, (int, float, np.number)) or not norm_type >= 1:
        raise ValueError(f"norm_type must be a number of at least 1, got {norm_type!r}")
    kernel, _, geometry = _windows("lp_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    p, size = float(norm_type), abs(x)
    largest = extreme(_max_pool, size, kernel, geometry)[0]
    if p == np.inf:
        return largest
    base = x if p % 2 == 0 else size  # the sign of x would take away the curvature at 0
    # The norm is homogeneous, so its gradient is right with the scale taken as a constant.
    most = raw(largest)
    scale = xp(most).where((most == 0) | xp(most).isinf(most), xp(most).ones_like(most), most)
    columns = _unfold(base, kernel, geometry) / scale.reshape(*scale.shape[:2], *(1,) * len(kernel), *scale.shape[2:])
    total = power(columns, p).sum(axis=tuple(range(2, 2 + len(kernel))))
    empty = total == 0
    return where_(empty, 0.0, power(where_(empty, 1.0, total), 1 / p)) * scale


def max_unpool(x, indices, kernel_size, *, stride=None, padding=0, dilation=1, output_size=None):
    """The values of a max pooling laid back where they came from, zeros elsewhere: its partial inverse.

    Args:
        x: (N, C, *out), floating.
        indices: int64 of the same shape: flat indices into the spatial axes of the result, as `max_pool` returns them
            with `return_indices=True`. Where one repeats, one of its values wins and the others get no gradient.
        kernel_size, stride, padding, dilation: those of that pooling.
        output_size: the spatial sizes of the result, which must be those of what was pooled, or the indices point
            elsewhere. Default: (out - 1)*stride - low - high + dilation*(kernel_size - 1) + 1, which is right if the
            windows read all of it.

    Returns:
        (N, C, *output_size).

    Raises:
        ValueError: shapes that differ, an index out of range, or a size that such a pooling does not bring to `out`.

    Source: M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", 2014, section 2.1.

    >>> import minigrad as mg
    >>> values, places = mg.max_pool(mg.tensor([[[1.0, 3, 2, 0]]]), 2, return_indices=True)
    >>> mg.max_unpool(values, places, 2)
    tensor([[[0., 3., 2., 0.]]])
    """
    x, indices = given(x), given(indices)
    xs, n = shape_of(x), len(shape_of(x)) - 2
    if n < 1 or shape_of(indices) != xs:
        raise ValueError(
            f"max_unpool expects x (N, C, *out) and indices of the same shape, got {xs} and {shape_of(indices)}"
        )
    if raw(indices).dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got {raw(indices).dtype}")
    kernel, apart = per_axis("kernel_size", kernel_size, n, 1), per_axis("dilation", dilation, n, 1)
    steps = kernel if stride is None else per_axis("stride", stride, n, 1)
    if output_size is None:
        if isinstance(padding, str) and padding != "valid":
            raise ValueError(f"padding={padding!r} depends on the size that was pooled: pass output_size")
        geometry = Geometry(steps, paddings(padding, xs[2:], kernel, steps, apart), apart)
        sizes = input_sizes(xs[2:], kernel, geometry)
        if min(sizes) < 1:
            raise ValueError(f"nothing of a size above 0 is pooled to {xs[2:]} like this: output_size would be {sizes}")
    else:
        sizes = per_axis("output_size", output_size, n, 1)
        geometry = Geometry(steps, paddings(padding, sizes, kernel, steps, apart), apart)
        fits = [output_sizes(sizes, kernel, geometry, rounding) for rounding in ("floor", "ceil")]
        if xs[2:] not in fits:
            raise ValueError(
                f"output_size {sizes} is pooled to {fits[0]} like this, or to {fits[1]} in ceil mode, not to {xs[2:]}"
            )
    # What was a Tensor is copied: a later change of it must not reach the gradient.
    flat, size = raw(indices).reshape(-1).copy(), prod(sizes)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= size):
        raise ValueError(f"indices must be from 0 to {size - 1}, got {int(flat.min())} to {int(flat.max())}")
    planes = xp(flat).arange(flat.size) // max(1, prod(xs[2:]))
    zeros = backend.zeros((xs[0] * xs[1], size), x)
    return reshape(index_set(zeros, reshape(x, (-1,)), (planes, flat))[0], (*xs[:2], *sizes))


# ---- for one, two and three axes ------------------------------------------------------------------------------------

max_pool1d = of_rank(
    max_pool,
    1,
    """The largest value of each window, (N, C, L) -> (N, C, OL).

    Options and errors: `max_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.max_pool1d(mg.arange(4.0).reshape(1, 1, 4), 2).reshape(-1)
    tensor([1., 3.])
    """,
)
max_pool2d = of_rank(
    max_pool,
    2,
    """The largest value of each window, (N, C, H, W) -> (N, C, OH, OW).

    Options and errors: `max_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.max_pool2d(mg.arange(4.0).reshape(1, 1, 2, 2), 2).reshape(-1)
    tensor([3.])
    """,
)
max_pool3d = of_rank(
    max_pool,
    3,
    """The largest value of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW).

    Options and errors: `max_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.max_pool3d(mg.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2)).reshape(-1)
    tensor([3.])
    """,
)
min_pool1d = of_rank(
    min_pool,
    1,
    """The smallest value of each window, (N, C, L) -> (N, C, OL).

    Options and errors: `min_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.min_pool1d(mg.arange(4.0).reshape(1, 1, 4), 2).reshape(-1)
    tensor([0., 2.])
    """,
)
min_pool2d = of_rank(
    min_pool,
    2,
    """The smallest value of each window, (N, C, H, W) -> (N, C, OH, OW).

    Options and errors: `min_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.min_pool2d(mg.arange(4.0).reshape(1, 1, 2, 2), 2).reshape(-1)
    tensor([0.])
    """,
)
min_pool3d = of_rank(
    min_pool,
    3,
    """The smallest value of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW).

    Options and errors: `min_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.min_pool3d(mg.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2)).reshape(-1)
    tensor([0.])
    """,
)
avg_pool1d = of_rank(
    avg_pool,
    1,
    """The mean of each window, (N, C, L) -> (N, C, OL).

    Options and errors: `avg_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.avg_pool1d(mg.arange(4.0).reshape(1, 1, 4), 2).reshape(-1)
    tensor([0.5, 2.5])
    """,
)
avg_pool2d = of_rank(
    avg_pool,
    2,
    """The mean of each window, (N, C, H, W) -> (N, C, OH, OW).

    Options and errors: `avg_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.avg_pool2d(mg.arange(4.0).reshape(1, 1, 2, 2), 2).reshape(-1)
    tensor([1.5])
    """,
)
avg_pool3d = of_rank(
    avg_pool,
    3,
    """The mean of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW).

    Options and errors: `avg_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.avg_pool3d(mg.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2)).reshape(-1)
    tensor([1.5])
    """,
)
lp_pool1d = of_rank(
    lp_pool,
    1,
    """The p-norm of each window, (N, C, L) -> (N, C, OL).

    Options and errors: `lp_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.lp_pool1d(mg.arange(4.0).reshape(1, 1, 4), 1, 2).reshape(-1)
    tensor([1., 5.])
    """,
)
lp_pool2d = of_rank(
    lp_pool,
    2,
    """The p-norm of each window, (N, C, H, W) -> (N, C, OH, OW).

    Options and errors: `lp_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.lp_pool2d(mg.arange(4.0).reshape(1, 1, 2, 2), 1, 2).reshape(-1)
    tensor([6.])
    """,
)
lp_pool3d = of_rank(
    lp_pool,
    3,
    """The p-norm of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW).

    Options and errors: `lp_pool`; the stride is a keyword.

    >>> import minigrad as mg
    >>> mg.lp_pool3d(mg.arange(4.0).reshape(1, 1, 1, 2, 2), 1, (1, 2, 2)).reshape(-1)
    tensor([6.])
    """,
)
max_unpool1d = of_rank(
    max_unpool,
    1,
    """Values laid back where a pooling took them from, (N, C, OL) -> (N, C, L).

    Options and errors: `max_unpool`.

    >>> import minigrad as mg
    >>> mg.max_unpool1d(mg.tensor([5.0]).reshape(1, 1, 1), mg.tensor([1]).reshape(1, 1, 1), 2).reshape(-1)
    tensor([0., 5.])
    """,
)
max_unpool2d = of_rank(
    max_unpool,
    2,
    """Values laid back where a pooling took them from, (N, C, OH, OW) -> (N, C, H, W).

    Options and errors: `max_unpool`.

    >>> import minigrad as mg
    >>> mg.max_unpool2d(mg.tensor([5.0]).reshape(1, 1, 1, 1), mg.tensor([1]).reshape(1, 1, 1, 1), 2).reshape(-1)[:3]
    tensor([0., 5., 0.])
    """,
)
max_unpool3d = of_rank(
    max_unpool,
    3,
    """Values laid back where a pooling took them from, (N, C, OD, OH, OW) -> (N, C, D, H, W).

    Options and errors: `max_unpool`.

    >>> import minigrad as mg
    >>> one = (1, 1, 1, 1, 1)
    >>> mg.max_unpool3d(mg.tensor([5.0]).reshape(one), mg.tensor([1]).reshape(one), 2).reshape(-1)[:3]
    tensor([0., 5., 0.])
    """,
)
