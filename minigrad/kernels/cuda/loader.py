"""Compiles the kernels of the .cu files, each when it is first needed, through CuPy.

A kernel is a template of C++; an *expression* such as `product<float, 0, 2, int>` names one instance of it. What can be
asked for is listed here, so that the tests can compile every instance without a GPU.
"""

from __future__ import annotations

import sys
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import xp

Array = Any

FOLDER = Path(__file__).parent
FILES = ("conv", "pool", "norm", "softmax", "update")
OPTIONS = ("-std=c++17",)
# The type of C++ for each dtype of an array, and the dtype in which it is summed.
TYPES = {"float16": "half", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}
DTYPES = tuple(TYPES.values())
RANKS = (1, 2, 3, 6)  # spatial axes that there are instances for; an array gets axes of length 1 up to the next
UPDATES = (  # the formulas of minigrad.nn.optim
    "adadelta",
    "adagrad",
    "adam",
    "caffe_sgd",
    "lamb",
    "lamb_norms",
    "lars",
    "lars_norms",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
)
WITHOUT_RANK = {  # on rows of pixels or on plain numbers, whatever the axes
    "norm": ("moments", "merge_moments", "affine", "norm_sums", "norm_input", "lrn", "lrn_terms", "lrn_input"),
    "softmax": ("cross_entropy", "cross_entropy_input"),
    "update": (*UPDATES, "roots"),
}
THREADS = 256  # of a block, in all kernels
BLOCKS = 1 << 16  # of kernels that loop over their elements: more would only wait


def expressions(file: str, ctype: str) -> tuple[str, ...]:
    """Every instance of a file's kernels for one type."""
    if file in WITHOUT_RANK:
        return tuple(f"{name}<{ctype}>" for name in WITHOUT_RANK[file])
    found: list[str] = []
    for rank in RANKS:
        if file == "conv":
            indexed = [f"{rank}, {index}" for index in ("int", "int64")]
            found += [f"product<{ctype}, {mode}, {rest}>" for mode, rest in product((0, 1), indexed)]
            found += [f"{name}<{ctype}, {rest}>" for name, rest in product(("direct", "direct_weight"), indexed)]
            found += [f"add_shares<{ctype}, {rank}>"]
            continue
        for tap in ("unsigned char", "int"):
            found += [f"extreme<{ctype}, {largest}, {tap}, {rank}>" for largest in ("true", "false")]
            found += [f"{name}<{ctype}, {tap}, {rank}>" for name in ("gather", "scatter")]
        found += [f"{name}<{ctype}, {rank}>" for name in ("window_sum", "window_spread", "unfold", "fold")]
    return tuple(found)


@cache
def source(file: str) -> str:
    """The text of a .cu file with the header in front of it."""
    header = (FOLDER / "common.cuh").read_text().replace("#pragma once\n", "")
    return header + f'#line 1 "{file}.cu"\n' + (FOLDER / f"{file}.cu").read_text()


@cache
def _compiled(cupy: Any, file: str, expression: str) -> Any:
    module = cupy.RawModule(code=source(file), options=OPTIONS, name_expressions=(expression,))
    try:
        return module.get_function(expression)
    except Exception as error:
        error.add_note(
            f"compiling {expression} of {file}.cu failed: minigrad's kernels are tried with NVRTC 13.0 for sm_80, "
            f"sm_90 and sm_120 (`make kernels`); cupy.show_config() says what is here"
        )
        raise


def launch(file: str, expression: str, blocks: tuple[int, ...], *arguments: Any) -> None:
    """Run one instance on the current stream; numbers must come as NumPy scalars of the width that the kernel takes."""
    _compiled(sys.modules["cupy"], file, expression)(blocks, (THREADS,), arguments)


def blocks_for(elements: int) -> tuple[int]:
    """How many blocks serve a kernel with a thread for each element."""
    return (max(1, min(BLOCKS, -(-elements // THREADS))),)


def ctype(name: str, *arrays: Array) -> str:
    """The type of the kernels for arrays of one dtype; an error says what there is."""
    dtypes = {str(a.dtype) for a in arrays}
    if len(dtypes) > 1 or not dtypes <= set(TYPES):
        raise TypeError(
            f"{name} on CUDA takes arrays of one dtype, one of {', '.join(TYPES)}; got {', '.join(sorted(dtypes))}: "
            f"convert them, for example with .to('float32')"
        )
    return TYPES[dtypes.pop()]


def sum_dtype(ctype: str) -> type:
    """The dtype that a type of the kernels is summed in."""
    return np.float64 if ctype == "double" else np.float32


def rows_of(x: Array) -> Array:
    """x (N, C, *spatial) as (pixels, C); a copy unless it lies in memory as (N, *spatial, C), or nearly so."""
    last = x.transpose(0, *range(2, x.ndim), 1)
    return last.reshape(prod(last.shape[:-1]), x.shape[1])


def as_rows(x: Array) -> Array:
    """The same, contiguous."""
    return xp(x).ascontiguousarray(rows_of(x))


def rank_for(name: str, n: int) -> int:
    """The number of axes of the instance that serves n spatial axes."""
    for rank in RANKS:
        if n <= rank:
            return rank
    raise ValueError(f"{name} on CUDA takes up to {RANKS[-1]} spatial axes, got {n}: move the array with .to('cpu')")


def widened(values: tuple, rank: int, fill: int) -> tuple:
    """One number for each axis, with as many more in front as the instance has axes."""
    return (fill,) * (rank - len(values)) + tuple(values)


def strides(x: Array, rank: int) -> tuple:
    """The strides of x (N, C, *spatial) in elements, as the `Strides` of common.cuh: (n, c, one for each axis)."""
    n, c, *spatial = (s // x.itemsize for s in x.strides)
    return n, c, widened(tuple(spatial), rank, 0)


def window_fields(rank: int) -> list:
    """The fields of `Window` in common.cuh, all int64."""
    return [(name, np.int64, (rank,)) for name in ("size", "out", "kernel", "stride", "low", "dilation")]


def stride_fields(rank: int) -> np.dtype:
    """`Strides` in common.cuh."""
    return np.dtype([("n", np.int64), ("c", np.int64), ("at", np.int64, (rank,))])


def window(sizes: tuple, out: tuple, kernel: tuple, geometry: Any, rank: int) -> tuple:
    """The values of a `Window`."""
    low = tuple(lo for lo, _ in geometry.padding)
    ones = (out, kernel, geometry.stride)
    return (
        widened(sizes, rank, 1),
        *(widened(v, rank, 1) for v in ones),
        widened(low, rank, 0),
        widened(geometry.dilation, rank, 1),
    )


def pixels_last(shape: tuple, dtype: Any, make: Any) -> Array:
    """`make(shape, dtype)` for a shape (N, C, *spatial), in memory (N, *spatial, C): the channels side by side."""
    n, c, *spatial = shape
    return make((n, *spatial, c), dtype).transpose(0, len(spatial) + 1, *range(1, len(spatial) + 1))
