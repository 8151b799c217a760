"""The kernels that serve NumPy arrays."""

from minigrad.kernels.cpu.conv import channel_sum, conv, conv_backward, conv_input, conv_weight, fold, unfold
from minigrad.kernels.cpu.elementwise import in_pieces
from minigrad.kernels.cpu.matmul import matmul
from minigrad.kernels.cpu.norm import affine, lrn, lrn_input, moments, norm_backward
from minigrad.kernels.cpu.pool import avg_pool, avg_pool_input, max_pool, min_pool, pool_gather, pool_scatter
from minigrad.kernels.cpu.relu import relu, relu_input
from minigrad.kernels.cpu.softmax import cross_entropy, cross_entropy_input
from minigrad.kernels.cpu.update import update

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
