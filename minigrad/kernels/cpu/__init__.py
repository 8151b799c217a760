"""The kernels that serve NumPy arrays."""

from minigrad.kernels.cpu.conv import channel_sum, conv, conv_input, conv_weight, fold, unfold
from minigrad.kernels.cpu.pool import avg_pool, avg_pool_input, max_pool, min_pool, pool_gather, pool_scatter
from minigrad.kernels.cpu.update import update

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
