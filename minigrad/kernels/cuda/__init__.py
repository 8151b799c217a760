"""The kernels that serve CuPy arrays."""

from minigrad.kernels.cuda.plain import (
    avg_pool,
    avg_pool_input,
    channel_sum,
    conv,
    conv_input,
    conv_weight,
    fold,
    max_pool,
    min_pool,
    pool_gather,
    pool_scatter,
    unfold,
)

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
]
