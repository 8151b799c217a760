"""Convolution as the matrix that it is."""

from __future__ import annotations

import math

from minigrad.backend import given, raw, shape_of, xp
from minigrad.ops.conv import conv
from minigrad.ops.shape import permute, reshape
from minigrad.window import shape_argument


def conv_matrix(
    weight,
    input_shape,
    *,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode="zeros",
    flip=False,
    connections=None,
):
    """The matrix M of a convolution: `M @ x.reshape(-1)` is `conv(x[None], weight, ...).reshape(-1)`.

    Its transpose is the matrix of `conv_transpose`. Most of it is zeros, and what is not repeats: this is what sharing
    weights means. For reading and testing; it has prod(input_shape) columns, and nothing here computes with it.

    Args:
        weight: (K, C/groups, *kernel), floating; the matrix is differentiable in it.
        input_shape: of one sample, (C, *spatial).
        stride, padding, dilation, groups, padding_mode, flip, connections: as for `conv`, without a constant border,
            which is no linear map.

    Returns:
        (K * prod(out), C * prod(spatial)).

    Raises:
        ValueError: as `conv` does.

    Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.1.

    >>> import minigrad as mg
    >>> mg.conv_matrix(mg.tensor([[[-1.0, 1]]]), (1, 4))
    tensor([[-1.,  1.,  0.,  0.],
            [ 0., -1.,  1.,  0.],
            [ 0.,  0., -1.,  1.]])
    """
    if padding_mode == "constant":
        raise ValueError("padding_mode='constant' adds a number that no matrix can: take one of the other modes")
    input_shape = shape_argument("input_shape", input_shape)
    if len(input_shape) < 2:
        raise ValueError(f"input_shape must be (C, *spatial), got {input_shape}")
    weight, columns = given(weight), math.prod(input_shape)
    # The matrix of a linear map has the images of the unit vectors as columns: here they are the batch.
    units = reshape(xp(raw(weight)).eye(columns, dtype=raw(weight).dtype), (columns, *input_shape))
    images = conv(
        units,
        weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        flip=flip,
        connections=connections,
    )
    return permute(reshape(images, (columns, math.prod(shape_of(images)[1:]))), (1, 0))
