"""An optimizer's formula over one parameter, block by block."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from minigrad.backend import order_of
from minigrad.kernels.cpu.memory import Array, Block, accumulator, blocks
from minigrad.threads import run, serial_blas

# Elements: several sweeps over the blocks of four or five arrays stay in the cache, and a call for each costs little.
BLOCK = 1 << 17

# The C library gives freed memory back to the system and gets it page by page again, which takes up to four times as
# long as the formula, unless the process has freed something larger before; glibc then keeps up to twice that size.
np.empty(1 << 24, np.uint8)


@serial_blas
def update(formula: Callable, arrays: dict[str, Array], numbers: dict[str, Any], norms: int = 0) -> Any:
    """Call a formula for blocks of the arrays, which it changes in place.

    All arrays have the shape of "p", the parameter, and any strides. Float16 is widened to float32, a block at a time;
    "g", the gradient, is brought into the dtype and the memory order of the others. So the temporaries of a formula
    are as large as a block, whatever the size of the parameter.

    Returns:
        None; if `norms` is not 0, the Euclidean norms of that many arrays, each of p's size, of which the formula
        returns the blocks.
    """
    p = arrays["p"]
    dtype = accumulator(p)
    if not p.flags.c_contiguous:
        order = order_of(p.strides)
        arrays = {name: a.transpose(order) for name, a in arrays.items()}
    if all(a.flags.c_contiguous for a in arrays.values()):
        arrays = {name: a.reshape(-1) for name, a in arrays.items()}
    squares: dict[int, list[float]] = {}

    def step(numbered: tuple[int, Block]) -> None:
        number, block = numbered
        parts = {name: a[block] for name, a in arrays.items()}
        target = parts["p"]
        parts["p"] = target.astype(dtype, copy=False)
        if "g" in parts:
            parts["g"] = np.ascontiguousarray(parts["g"], dtype)
        found = formula(**parts, **numbers)
        if parts["p"] is not target:
            target[...] = parts["p"]
        if norms:
            squares[number] = [float(np.dot(values.ravel(), values.ravel())) for values in found]

    run(step, enumerate(blocks(arrays["p"].shape, BLOCK)))
    return tuple(sqrt(sum(squares[i][k] for i in range(len(squares)))) for k in range(norms)) if norms else None
