"""The kernels that serve CuPy arrays: the same names and signatures as those of the CPU."""

from minigrad.kernels.cuda.conv import channel_sum, conv, conv_input, conv_weight
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
from minigrad.kernels.cuda.update import update

__all__ = [
    "avg_pool",
    "avg_pool_input",
    "channel_sum",
    "conv",
    "conv_input",
    "conv_weight",
    "fold",
    "max_pool",
    "min_pool",
    "pool_gather",
    "pool_scatter",
    "unfold",
    "update",
]
