"""minigrad: an autograd engine from scratch, on NumPy and CuPy."""

from minigrad.backend import cuda_is_available, why_no_gpu, xp
from minigrad.tensor import Tensor, asarray  # before engine and ops, which need the class
from minigrad.creation import arange, full, ones, tensor, zeros
from minigrad.engine import enable_grad, grad, is_grad_enabled, no_grad, op
from minigrad.ops import *  # noqa: F403
from minigrad.random import manual_seed, rand, randn
