"""Softmax and cross entropy, stable at any finite logits."""

from __future__ import annotations

from minigrad.backend import raw, xp
from minigrad.engine import op
from minigrad.ops.axes import one_axis
from minigrad.ops.elementwise import exp
from minigrad.ops.index import getitem
from minigrad.ops.reduce import mean, sum


@op(prepare={"axis": one_axis})
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`, computed from x - max(x).

    >>> import minigrad as mg
    >>> mg.softmax(mg.tensor([0.0, 0.0, 1000.0]))
    tensor([0., 0., 1.])
    """
    e = xp(x).exp(x - xp(x).max(x, axis=axis, keepdims=True))
    return e / xp(x).sum(e, axis=axis, keepdims=True)


softmax.vjp(x=lambda g, out, axis: (g - sum(g * out, axis, True)) * out)


@op(prepare={"axis": one_axis})
def log_softmax(x, axis=-1):
    """x - log(sum(exp(x))) along `axis`, computed from x - max(x)."""
    shifted = x - xp(x).max(x, axis=axis, keepdims=True)
    return shifted - xp(x).log(xp(x).sum(xp(x).exp(shifted), axis=axis, keepdims=True))


log_softmax.vjp(x=lambda g, out, axis: g - exp(out) * sum(g, axis, True))


def cross_entropy(x, target):
    """The mean of -log(softmax(x)[target]): the loss of a classifier.

    Args:
        x: logits, (N, C) or (N, C, *spatial), floating.
        target: the right class of each, integers from 0 to C - 1, shape (N,) or (N, *spatial).

    Raises:
        ValueError: shapes that do not fit, or a class outside 0 ... C - 1.
        TypeError: targets that are not integers.

    >>> import minigrad as mg
    >>> mg.cross_entropy(mg.zeros((2, 10)), mg.tensor([3, 7]))
    tensor(2.3025851)
    """
    classes, target = x.shape[1:2], raw(target)
    target = target if hasattr(target, "dtype") else xp(raw(x)).asarray(target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must hold integer classes, got {target.dtype}")
    if not classes or target.shape != x.shape[:1] + x.shape[2:]:
        raise ValueError(
            f"cross_entropy expects x (N, C, ...) and target (N, ...), got x {x.shape} and target {target.shape}"
        )
    if target.size and not (int(target.min()) >= 0 and int(target.max()) < classes[0]):
        raise ValueError(
            f"target must lie in 0 ... {classes[0] - 1}, the classes of x {x.shape}; got values from "
            f"{int(target.min())} to {int(target.max())}"
        )
    n = target.ndim
    grid = [xp(target).arange(size).reshape(-1, *(1,) * (n - 1 - i)) for i, size in enumerate(target.shape)]
    index = (grid[0], target, *grid[1:])
    return -mean(getitem(log_softmax(x, 1), index))
