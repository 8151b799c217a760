"""Initial values of parameters, with PyTorch's names, formulas and defaults.

Each function fills a tensor in place, without recording it, and returns it. The random ones draw from `generator`, by
default the generator that `minigrad.manual_seed` restarts, always in row-major order on the CPU: the values depend
neither on the memory order of the tensor nor on its device.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from minigrad import Tensor, asarray, no_grad
from minigrad.random import default_generator

Mode = Literal["fan_in", "fan_out"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs one output of a weight sees, and how many outputs one input reaches: (fan_in, fan_out).

    For the shape (out, in, *kernel) these are in * prod(kernel) and out * prod(kernel).

    Raises:
        ValueError: a shape of fewer than two axes.

    >>> fans((16, 6, 5, 5))
    (150, 400)
    """
    if len(shape) < 2:
        raise ValueError(
            f"fan_in and fan_out need a weight of at least two axes, (out, in, *kernel), got shape {shape}"
        )
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights are scaled so that a signal keeps its size through a nonlinearity.

    1 for linear layers and sigmoid, 5/3 for tanh, sqrt(2) for relu, sqrt(2 / (1 + a^2)) for leaky_relu of slope `param`
    (0.01 by default), 3/4 for selu.

    Raises:
        ValueError: another name.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"nonlinearity must be one of {sorted([*gains, 'leaky_relu'])}, got {nonlinearity!r}")
    return gains[nonlinearity]


def _fill(tensor: Tensor, values: np.ndarray | float) -> Tensor:
    with no_grad():
        return tensor.copy_(values if isinstance(values, float) else asarray(values, device=tensor.device))


def _dtype(tensor: Tensor) -> type:
    return np.float64 if tensor.dtype == np.float64 else np.float32  # what a generator can draw; float16 is rounded


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from the uniform distribution U(a, b).

    >>> import minigrad as mg
    >>> x = uniform_(mg.zeros(1000), -2.0, 3.0)
    >>> -2 <= x.min().item() < x.max().item() <= 3
    True
    """
    values = (generator or default_generator()).random(tensor.shape, _dtype(tensor))
    return _fill(tensor, values * (b - a) + a)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> Tensor:
    """Draw from the normal distribution N(mean, std^2).

    >>> import minigrad as mg
    >>> normal_(mg.zeros(3), mean=2.0, std=0.0)
    tensor([2., 2., 2.])
    """
    values = (generator or default_generator()).standard_normal(tensor.shape, _dtype(tensor))
    return _fill(tensor, values * std + mean)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    >>> import minigrad as mg
    >>> constant_(mg.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _fill(tensor, float(val))


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return _fill(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return _fill(tensor, 1.0)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor.shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0  # nothing is drawn without inputs


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from U(-bound, bound) with bound = gain * sqrt(3 / fan): the signal keeps its variance through ReLUs.

    Args:
        tensor: a weight, (out, in, *kernel).
        a: the slope of leaky_relu below 0; 0 is relu, sqrt(5) makes the bound 1 / sqrt(fan).
        mode: "fan_in" keeps the variance going forward, "fan_out" going backward.
        nonlinearity: see `calculate_gain`.
        generator: where the numbers come from.

    Raises:
        ValueError: fewer than two axes, or an unknown mode or nonlinearity.

    Source: K. He, X. Zhang, S. Ren, J. Sun: Delving Deep into Rectifiers, ICCV 2015, section 2.2, equations 10 and 14.

    >>> import minigrad as mg
    >>> kaiming_uniform_(mg.zeros((8, 6)), nonlinearity="relu").abs().max().item() <= 1
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from N(0, std^2) with std = gain / sqrt(fan); the arguments, errors and source of `kaiming_uniform_`.

    >>> import minigrad as mg
    >>> kaiming_normal_(mg.zeros((2, 3))).shape
    (2, 3)
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    total = sum(fans(tensor.shape))
    return gain * math.sqrt(2 / total) if total else 0.0


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from U(-bound, bound) with bound = gain * sqrt(6 / (fan_in + fan_out)).

    A compromise between keeping the variance of the signal going forward and of the gradient going backward.

    Raises:
        ValueError: a tensor of fewer than two axes.

    Source: X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS
    2010, section 4.2.1, equation 16.

    >>> import minigrad as mg
    >>> xavier_uniform_(mg.zeros((3, 3))).abs().max().item() <= 1
    True
    """
    bound = math.sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from N(0, std^2) with std = gain * sqrt(2 / (fan_in + fan_out)); errors and source of `xavier_uniform_`.

    >>> import minigrad as mg
    >>> xavier_normal_(mg.zeros((2, 3))).shape
    (2, 3)
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)
