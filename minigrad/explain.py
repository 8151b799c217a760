"""Which algorithm computes a convolution and its gradients, and why: `explain_conv`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import device_of, given, raw
from minigrad.kernels.cpu.conv import ALGORITHMS, candidates, choice
from minigrad.kernels.cpu.cost import KERNELS, case, error
from minigrad.ops.conv import check_algorithm, check_channels, check_shapes, convolution_geometry
from minigrad.window import Sizes, output_sizes, shape_argument


class KernelPlan(NamedTuple):
    """How one of the three kernels of a convolution is computed."""

    algorithm: str
    why: str
    multiply_adds: int  # in its products
    formula: int  # multiply-adds of the formula, which "im2col" and "direct" have
    workspace: int  # bytes in memory that one thread needs, beyond arguments and result
    error: float  # bound of max|error|, as a part of the largest sum of |products| that makes an element


class ConvExplanation(NamedTuple):
    """How a convolution and its gradients are computed; `print` it to read it."""

    x_shape: Sizes
    weight_shape: Sizes
    output_shape: Sizes
    dtype: np.dtype
    forward: KernelPlan
    input_gradient: KernelPlan
    weight_gradient: KernelPlan

    def __repr__(self) -> str:
        lines = [f"conv of {self.x_shape} with {self.weight_shape} -> {self.output_shape}, {self.dtype}"]
        for name, plan in zip(KERNELS, (self.forward, self.input_gradient, self.weight_gradient), strict=True):
            less = f" of {_short(plan.formula)}" if plan.multiply_adds != plan.formula else ""
            lines.append(
                f"  {name + ':':17}{plan.algorithm}, {_short(plan.multiply_adds)}{less} multiply-adds, "
                f"{plan.workspace / 2**20:.1f} MiB of workspace, error below {plan.error:.1e}"
            )
            lines.append(f"{'':19}{plan.why}")
        return "\n".join(lines)


def _short(count: int) -> str:
    """A count with three digits: 1.85 G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def explain_conv(
    x: Any,
    weight: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    algorithm: str = "auto",
    dtype: Any = None,
) -> ConvExplanation:
    """Which algorithm `conv` and its two gradients use on the CPU, why, what it costs, and how exact it is.

    Args:
        x, weight: as for `conv`, or their shapes alone, (N, C, *spatial) and (K, C/groups, *kernel).
        stride, padding, dilation, groups, algorithm: as for `conv`.
        dtype: of the computation; that of x and weight, or float32 where shapes are given.

    Returns:
        An object that prints as a table, with `forward`, `input_gradient` and `weight_gradient`; each of them has
        `algorithm`, `why`, `multiply_adds`, `formula` (the multiply-adds of the formula), `workspace` (bytes, of
        one thread) and
        `error`. The error of a result is at most that part of the largest sum of |products| that makes one of its
        elements, which is `conv(abs(x), abs(weight)).max()` for the forward pass: measured over random layers, no law.

    Raises:
        ValueError: what `conv` raises for the same arguments, or arrays that are not on the CPU.

    >>> import minigrad as mg
    >>> plan = mg.explain_conv((8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    >>> plan.forward.algorithm, plan.forward.formula / plan.forward.multiply_adds
    ('winograd4', 4.0)
    >>> mg.explain_conv((8, 64, 56, 56), (64, 64, 3, 3), padding=1, dtype="float64").forward.algorithm
    'im2col'
    >>> mg.explain_conv((1, 3, 8, 8), (4, 3, 3, 3), stride=3, algorithm="winograd2")
    Traceback (most recent call last):
        ...
    ValueError: algorithm='winograd2' cannot compute this convolution: it is for two spatial axes, a kernel of 3x3 and a stride of 1, got kernel (3, 3) and stride (3, 3)
    """  # noqa: E501
    arrays = [_array(name, value, dtype) for name, value in (("x", x), ("weight", weight))]
    xs, ws = (array.shape for array in arrays)
    found = np.dtype(dtype) if dtype is not None else np.result_type(*(array.dtype for array in arrays))
    check_shapes("explain_conv", xs, ws)
    geometry = convolution_geometry(xs[2:], ws[2:], stride, padding, dilation, groups, algorithm)
    check_channels(xs[1], ws, geometry.groups)
    out = output_sizes(xs[2:], ws[2:], geometry)
    check_algorithm(arrays[0], arrays[1], ws, geometry)
    plans = []
    for kernel in KERNELS:
        name = choice(kernel, xs, ws, geometry, found)
        here = case(kernel, xs, ws, geometry)
        cost = ALGORITHMS[name].cost(here)
        size = 4 if found == np.float16 else found.itemsize
        bound = error(ALGORITHMS[name], kernel, here.terms) * _epsilon(found)
        why = "asked for" if algorithm != "auto" else _reason(name, candidates(kernel, xs, ws, geometry, found), found)
        plans.append(KernelPlan(name, why, cost.multiply_adds, here.multiply_adds, size * cost.workspace, bound))
    return ConvExplanation(xs, ws, (xs[0], ws[0], *out), found, *plans)


def _array(name: str, value: Any, dtype: Any) -> Any:
    """An array, or one without memory of its own where a shape is given."""
    if isinstance(value, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in value):
        return np.broadcast_to(np.zeros((), dtype or np.float32), shape_argument(name, value))
    array = raw(given(value))
    if device_of(array) == "cuda":
        raise ValueError(f"explain_conv explains the algorithms of the CPU, got {name} on cuda")
    return array if dtype is None else np.broadcast_to(np.zeros((), dtype), array.shape)


def _epsilon(dtype: np.dtype) -> float:
    """The distance from 1 to the next number; integers are exact."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0


def _reason(name: str, costs: dict, dtype: np.dtype) -> str:
    """Why this one of the candidates was chosen."""
    if list(costs) == ["depthwise"]:
        return "a product of matrices would have one column in each group"
    if len(costs) == 1:
        only = "it serves every shape, and none of the others serves this one"
        return only if dtype == np.float32 else f"in {dtype} no algorithm is chosen that rounds more than a sum does"
    order = sorted(costs, key=lambda other: costs[other].time)
    rest = ", ".join(f"{other} {costs[other].time / costs[name].time:.2f}" for other in order if other != name)
    why = "least predicted time" if name == order[0] else f"rounds less than {order[0]}, which is hardly faster"
    return f"{why}; predicted, in units of its time: {rest}"
