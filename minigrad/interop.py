"""NumPy functions called on Tensors: the minigrad op of the same name runs and records, or a TypeError says what to do.

Without this, `np.concatenate`, `np.mean` and the like would convert their arguments and silently cut the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import ops

_RENAMED = {"absolute": "abs", "amax": "max", "amin": "min", "transpose": "permute"}


def _find(name: str) -> Callable | None:
    return getattr(ops, _RENAMED.get(name, name), None) if not name.startswith("_") else None


def _refuse(name: str, why: str) -> TypeError:
    return TypeError(
        f"{name} on a minigrad Tensor {why}: use minigrad's own functions, or .detach().numpy() where no gradient "
        f"is needed"
    )


def ufunc(function: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """`np.exp(t)`, `array * t`: what `Tensor.__array_ufunc__` does."""
    name = f"np.{function.__name__}"
    if method != "__call__":
        raise _refuse(f"{name}.{method}", "is not differentiable")
    if kwargs:
        raise _refuse(name, f"does not take {', '.join(kwargs)}")
    op = _find(function.__name__)
    if op is None:
        raise _refuse(name, "has no minigrad op")
    return op(*inputs)


def function(function: Callable, args: tuple, kwargs: dict) -> Any:
    """`np.mean(t, axis=0)`, `np.concatenate([t, u])`: what `Tensor.__array_function__` does."""
    name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
    op = _find(function.__name__) if function.__module__ == "numpy" else None
    if op is None:
        raise _refuse(name, "has no minigrad op")
    return op(*args, **kwargs)
