"""The kernels that serve CuPy arrays: the same names and signatures as those of the CPU."""

from minigrad.kernels.cuda.conv import channel_sum, conv, conv_backward, conv_input, conv_weight
from minigrad.kernels.cuda.elementwise import in_pieces
from minigrad.kernels.cuda.matmul import matmul
from minigrad.kernels.cuda.norm import affine, lrn, lrn_input, moments, norm_backward
from minigrad.kernels.cuda.pool import (
    avg_pool,
    avg_pool_input,
    fold,
    max_pool,
    min_pool,
    pool_gather,
    pool_scatter,
    unfold,
)
from minigrad.kernels.cuda.relu import relu, relu_input
from minigrad.kernels.cuda.softmax import cross_entropy, cross_entropy_input
from minigrad.kernels.cuda.update import update

__all__ = [
    "affine",
    "avg_pool",
    "avg_pool_input",
    "channel_sum",
    "conv",
    "conv_backward",
    "conv_input",
    "conv_weight",
    "cross_entropy",
    "cross_entropy_input",
    "fold",
    "in_pieces",
    "lrn",
    "lrn_input",
    "matmul",
    "max_pool",
    "min_pool",
    "moments",
    "norm_backward",
    "pool_gather",
    "pool_scatter",
    "relu",
    "relu_input",
    "unfold",
    "update",
]
