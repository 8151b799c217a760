"""From the formula of a step to a function that takes it, on the arrays of either device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any

import numpy as np

from minigrad.backend import Array, kernels


def update(formula: Callable | None = None, *, norms: int = 0) -> Callable:
    """Make of a formula on NumPy arrays a function that changes a parameter in place, on either device.

    The formula's positional parameters are arrays of one shape: the parameter `p`, its gradient `g`, which must not be
    changed, and what is remembered between steps, None where the options ask for none. The keyword parameters are
    numbers. On the CPU the formula is called block by block, see `minigrad.kernels.cpu.update`; on a GPU the kernel of
    its name in update.cu runs instead, which a test holds against the formula.

    A formula may return arrays instead of a step: their Euclidean norms come back, `norms` says how many. On a GPU they
    stay there, for the keyword parameter `norms` of another formula, so that nobody waits for them.

    >>> @update
    ... def descend(p, g, *, lr):
    ...     p -= lr * g
    >>> weights = np.array([1.0, 2.0])
    >>> descend(weights, np.array([3.0, 3.0]), lr=0.5)
    >>> weights
    array([-0.5,  0.5])
    """
    if formula is None:
        return lambda formula: update(formula, norms=norms)
    kinds = signature(formula).parameters
    names = [name for name, kind in kinds.items() if kind.kind is Parameter.POSITIONAL_OR_KEYWORD]

    @wraps(formula)
    def step(*arrays: Array | None, **numbers: Any) -> Any:
        given = {name: a for name, a in zip(names, arrays, strict=False) if a is not None}
        # A NumPy number would make float64 of a float32 array; one of Python takes the dtype of the array.
        plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in numbers.items()}
        return kernels(given["p"]).update(formula, given, plain, norms)

    return step
