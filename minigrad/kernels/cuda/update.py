"""An optimizer's formula over one parameter: the launch of its kernel in update.cu."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from minigrad.backend import order_of, xp
from minigrad.kernels.cuda.loader import UPDATES, blocks_for, ctype, launch

Array = Any
PARTS = 1024  # blocks of a sum at most: enough to fill a large GPU


def update(formula: Callable, arrays: dict[str, Array], numbers: dict[str, Any], norms: int = 0) -> Any:
    """Launch the kernel that has the name of a formula; it changes the arrays in place.

    All arrays have the shape of "p", the parameter, and any strides. The kernel takes the formula's parameters in their
    order: an array as a pointer, null if it is not given; a number or a bool as a double; norms as a pointer, for they
    are on the device. After these comes the number of elements.

    Returns:
        None; if `norms` is not 0, that many Euclidean norms, an array of float64 on the device.

    Raises:
        NotImplementedError: a formula without a kernel.
    """
    if formula.__name__ not in UPDATES:
        raise NotImplementedError(
            f"update.cu has no kernel {formula.__name__}: write one and name it in loader.py, or let the optimizer "
            f"compute with arrays, without @update, by the functions of minigrad.xp(p)"
        )
    p, library = arrays["p"], xp(arrays["p"])
    c, order = ctype("an optimizer", p), order_of(p.strides)
    if not p.size:
        return library.zeros(norms) if norms else None
    turned = {name: a.transpose(order) for name, a in arrays.items()}
    if "g" in turned:
        turned["g"] = turned["g"].astype(p.dtype, copy=False)
    dense = {name: a if a.flags.c_contiguous else library.ascontiguousarray(a) for name, a in turned.items()}
    given = [dense[name] if name in dense else _number(numbers.get(name)) for name in _parameters(formula)]
    expression = f"{formula.__name__}<{c}>"
    if norms:
        count = min(PARTS, *blocks_for(p.size))
        partial = library.empty((norms, count), np.float64 if c == "double" else np.float32)
        found = library.empty(norms, np.float64)
        launch("update", expression, (count,), *given, np.int64(p.size), partial)
        launch("update", f"roots<{c}>", (norms,), partial, found, np.int32(count))
    else:
        found = None
        launch("update", expression, blocks_for(p.size), *given, np.int64(p.size))
    for name, a in turned.items():
        if a is not dense[name] and name != "g":
            a[...] = dense[name]
    return found


@cache
def _parameters(formula: Callable) -> tuple[str, ...]:
    return tuple(signature(formula).parameters)


def _number(value: Any) -> Any:
    """An argument that is not one of the arrays, as the kernel takes it."""
    if value is None:
        return np.uintp(0)
    return np.float64(value) if isinstance(value, (int, float)) else value
