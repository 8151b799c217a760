"""Pooling to a given size: to one element for a whole channel, or to windows that adapt to the input."""

from __future__ import annotations

from math import prod
from typing import Any

from minigrad.backend import shape_of
from minigrad.ops.index import take
from minigrad.ops.padding import pad
from minigrad.ops.pool import _avg_pool, _max_pool, _min_pool, extreme, pool_index
from minigrad.window import Geometry, Sizes, per_axis


def _spatial(name: str, x: Any) -> Sizes:
    shape = shape_of(x)
    if len(shape) < 3 or 0 in shape[2:]:
        raise ValueError(f"{name} expects x (N, C, *spatial) with at least one element in space, got shape {shape}")
    return shape[2:]


def _side_by_side(kernel: Sizes) -> Geometry:
    return Geometry(kernel, ((0, 0),) * len(kernel), (1,) * len(kernel))


def global_max_pool(x):
    """The largest value of each channel, (N, C, *spatial) -> (N, C, 1, ..., 1); ties and nan as in `max_pool`.

    >>> import minigrad as mg
    >>> mg.global_max_pool(mg.arange(8.0).reshape(1, 2, 2, 2)).reshape(-1)
    tensor([3., 7.])
    """
    sizes = _spatial("global_max_pool", x)
    return extreme(_max_pool, x, sizes, _side_by_side(sizes))[0]


def global_min_pool(x):
    """The smallest value of each channel, (N, C, *spatial) -> (N, C, 1, ..., 1); ties and nan as in `min_pool`.

    >>> import minigrad as mg
    >>> mg.global_min_pool(mg.arange(8.0).reshape(1, 2, 2, 2)).reshape(-1)
    tensor([0., 4.])
    """
    sizes = _spatial("global_min_pool", x)
    return extreme(_min_pool, x, sizes, _side_by_side(sizes))[0]


def global_avg_pool(x):
    """The mean of each channel, (N, C, *spatial) -> (N, C, 1, ..., 1).

    Source: M. Lin, Q. Chen and S. Yan, "Network in network", 2014, section 3.2.

    >>> import minigrad as mg
    >>> mg.global_avg_pool(mg.arange(8.0).reshape(1, 2, 2, 2)).reshape(-1)
    tensor([1.5, 5.5])
    """
    sizes = _spatial("global_avg_pool", x)
    return _avg_pool(x, sizes, _side_by_side(sizes), prod(sizes))


def _adapted(size: int, out: int) -> list[range]:
    """PyTorch's windows: from floor(o*size/out) up to ceil((o + 1)*size/out)."""
    return [range(o * size // out, -(-(o + 1) * size // out)) for o in range(out)]


def _wanted(name: str, x: Any, output_size: Any) -> tuple[Sizes, Sizes]:
    sizes = _spatial(name, x)
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * len(sizes)
    if len(given) == len(sizes):
        given = [size if out is None else out for out, size in zip(given, sizes, strict=True)]
    return sizes, per_axis("output_size", tuple(given), len(sizes), 1)


def _laid_out(x: Any, sizes: Sizes, outs: Sizes, *, repeat: bool) -> tuple[Any, Sizes, list[list[int]]]:
    """x with its adaptive windows side by side, all of one length: the windows' length and where each element is from.

    Shorter windows are filled up with their last element (`repeat`), or with zeros. Where the windows lie side by side
    already, nothing is copied.
    """
    kernel, sources = [], []
    for axis, (size, out) in enumerate(zip(sizes, outs, strict=True), start=2):
        windows = _adapted(size, out)
        longest = max(map(len, windows))
        from_ = [w[t] if t < len(w) else w[-1] if repeat else size for w in windows for t in range(longest)]
        if size % out:
            if size in from_:
                x = pad(x, tuple((0, int(a == axis)) for a in range(len(sizes) + 2)))
            x = take(x, from_, axis)
        kernel.append(longest)
        sources.append(from_)
    return x, tuple(kernel), sources


def adaptive_avg_pool(x, output_size):
    """The mean of each of as many windows as asked for, spread over the input as evenly as can be.

    Window o of `out` covers the elements from floor(o*size/out) up to ceil((o + 1)*size/out) of its axis.

    Args:
        x: the input, (N, C, *spatial), floating.
        output_size: an int, or one for each axis; None keeps an axis as it is.

    Returns:
        (N, C, *output_size).

    Raises:
        ValueError: an x without elements in space, or a size below 1.

    >>> import minigrad as mg
    >>> mg.adaptive_avg_pool(mg.arange(7.0).reshape(1, 1, 7), 3)
    tensor([[[1., 3., 5.]]])
    """
    sizes, outs = _wanted("adaptive_avg_pool", x, output_size)
    x, kernel, _ = _laid_out(x, sizes, outs, repeat=False)
    counts = tuple(tuple(map(len, _adapted(size, out))) for size, out in zip(sizes, outs, strict=True))
    alike = all(set(count) == {k} for count, k in zip(counts, kernel, strict=True))
    return _avg_pool(x, kernel, _side_by_side(kernel), prod(kernel) if alike else counts)


def adaptive_max_pool(x, output_size, *, return_indices=False):
    """The largest value of each of as many windows as asked for, cut as in `adaptive_avg_pool`; rules as in `max_pool`.

    Args:
        x: the input, (N, C, *spatial).
        output_size: an int, or one for each axis; None keeps an axis as it is.
        return_indices: whether to return also where the winners are, as flat indices into the spatial axes.

    Returns:
        (N, C, *output_size); with `return_indices` a pair with int64 indices of the same shape.

    Raises:
        ValueError: an x without elements in space, or a size below 1.

    >>> import minigrad as mg
    >>> mg.adaptive_max_pool(mg.arange(7.0).reshape(1, 1, 7), 3, return_indices=True)
    (tensor([[[2., 4., 6.]]]), tensor([[[2, 4, 6]]]))
    """
    sizes, outs = _wanted("adaptive_max_pool", x, output_size)
    x, kernel, sources = _laid_out(x, sizes, outs, repeat=True)
    geometry = _side_by_side(kernel)
    value, tap = extreme(_max_pool, x, kernel, geometry, return_indices)
    return (value, pool_index(tap, kernel, geometry, sizes, sources)) if return_indices else value
