"""minigrad: an autograd engine from scratch, on NumPy and CuPy.

`minigrad` holds tensors, the engine and the ops; `minigrad.nn` layers, losses and optimizers; `minigrad.models` the
historical convolutional networks.
"""

from minigrad import cuda, interop  # noqa: F401 (NumPy calls interop through Tensor)
from minigrad.anomaly import detect_anomaly
from minigrad.autocast import autocast, is_autocast_enabled
from minigrad.backend import cuda_is_available, why_no_gpu, xp
from minigrad.checkpointing import checkpoint
from minigrad.creation import arange, from_dlpack, full, ones, tensor, zeros
from minigrad.engine import grad, op
from minigrad.explain import explain_conv
from minigrad.functional import hessian, hvp, jacobian, jvp, vjp
from minigrad.gradmode import enable_grad, is_grad_enabled, no_grad
from minigrad.graphs import graph
from minigrad.ops import *  # noqa: F403
from minigrad.ops import __all__ as _ops
from minigrad.random import get_rng_state, manual_seed, permutation, rand, randint, randn, set_rng_state
from minigrad.tensor import Tensor, asarray
from minigrad.testing import check_gradients
from minigrad.threads import get_num_threads, set_num_threads
from minigrad.window import output_size, unread

__all__ = [
    "Tensor",
    "arange",
    "asarray",
    "autocast",
    "check_gradients",
    "checkpoint",
    "cuda",
    "cuda_is_available",
    "detect_anomaly",
    "enable_grad",
    "explain_conv",
    "from_dlpack",
    "full",
    "get_num_threads",
    "get_rng_state",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "is_autocast_enabled",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "manual_seed",
    "no_grad",
    "ones",
    "op",
    "output_size",
    "permutation",
    "rand",
    "randint",
    "randn",
    "set_num_threads",
    "set_rng_state",
    "tensor",
    "unread",
    "vjp",
    "why_no_gpu",
    "xp",
    "zeros",
    *_ops,
]
