"""Every op, one concept a file; each with its gradient rule beside it."""

from minigrad.ops.conv import conv, conv2d, conv_input, conv_weight
from minigrad.ops.elementwise import (
    abs,
    add,
    clip,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    relu,
    sigmoid,
    sign,
    sqrt,
    subtract,
    tanh,
    where,
)
from minigrad.ops.linalg import matmul
from minigrad.ops.loss import cross_entropy, log_softmax, softmax
from minigrad.ops.pool import avg_pool, avg_pool2d, avg_pool_input, max_pool, max_pool2d, pool_gather, pool_scatter
from minigrad.ops.reduce import argmax, max, mean, min, sum
from minigrad.ops.shape import (
    astype,
    broadcast_to,
    concatenate,
    copy,
    expand_dims,
    getitem,
    index_add,
    index_set,
    pad,
    permute,
    plain_index,
    reshape,
    squeeze,
    transfer,
)
