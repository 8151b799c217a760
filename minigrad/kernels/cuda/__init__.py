"""The kernels that serve CuPy arrays: for now the plain forms, on CuPy."""

from minigrad.kernels.plain import (
    avg_pool,
    avg_pool_input,
    conv,
    conv_input,
    conv_weight,
    max_pool,
    pool_gather,
    pool_scatter,
)

__all__ = [
    "avg_pool",
    "avg_pool_input",
    "conv",
    "conv_input",
    "conv_weight",
    "max_pool",
    "pool_gather",
    "pool_scatter",
]
