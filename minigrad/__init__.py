"""minigrad: an autograd engine from scratch, on NumPy and CuPy.

`minigrad` holds tensors, the engine and the ops; `minigrad.nn` layers, losses and optimizers; `minigrad.models` the
historical convolutional networks.
"""

from minigrad import interop  # noqa: F401 (NumPy calls it through Tensor)
from minigrad.backend import cuda_is_available, why_no_gpu, xp
from minigrad.creation import arange, full, ones, tensor, zeros
from minigrad.engine import grad, op
from minigrad.gradmode import enable_grad, is_grad_enabled, no_grad
from minigrad.ops import *  # noqa: F403
from minigrad.ops import __all__ as _ops
from minigrad.random import manual_seed, rand, randn
from minigrad.tensor import Tensor, asarray
from minigrad.testing import check_gradients

__all__ = [
    "Tensor",
    "arange",
    "asarray",
    "check_gradients",
    "cuda_is_available",
    "enable_grad",
    "full",
    "grad",
    "is_grad_enabled",
    "manual_seed",
    "no_grad",
    "ones",
    "op",
    "rand",
    "randn",
    "tensor",
    "why_no_gpu",
    "xp",
    "zeros",
    *_ops,
]
