"""Softmax and cross entropy, stable at any finite logits."""

from __future__ import annotations

import math

import numpy as np

from minigrad.autocast import under_autocast
from minigrad.backend import device_of, floating, in_single, kernels, raw, shape_of, xp
from minigrad.engine import op
from minigrad.ops.axes import one_axis
from minigrad.ops.elementwise import mask
from minigrad.ops.index import take_along_axis
from minigrad.ops.reduce import sum
from minigrad.ops.shape import broadcast_to, expand_dims, reshape, squeeze
from minigrad.ops.transcendental import exp


@op(prepare={"axis": one_axis})
@in_single
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
@in_single
def log_softmax(x, axis=-1):
    """x - log(sum(exp(x))) along `axis`, computed from x - max(x)."""
    shifted = x - xp(x).max(x, axis=axis, keepdims=True)
    return shifted - xp(x).log(xp(x).sum(xp(x).exp(shifted), axis=axis, keepdims=True))


log_softmax.vjp(x=lambda g, out, axis: g - exp(out) * sum(g, axis, True))


@op(aux=("top", "rest"))
def _log_loss(x, target):
    return kernels(x).cross_entropy(x, target)


@op
def _log_loss_input(g, x, target, top, rest):
    return kernels(x).cross_entropy_input(g, x, target, top, rest)


# `top` and `rest` depend on x, and are not differentiated: the rules of `_log_loss_input` know that.
_log_loss.vjp(x=lambda g, x, target, top, rest: _log_loss_input(g, x, target, top, rest))


def _log_loss_input_x(u, g, x):
    p = softmax(x, 1)
    v = u * expand_dims(g, 1)
    return p * (v - sum(v * p, 1, True))


_log_loss_input.vjp(
    g=lambda u, x, target: sum(u * softmax(x, 1), 1) - _picked(u, expand_dims(target, 1), 1),
    x=_log_loss_input_x,
)


@under_autocast("high")
def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """The loss of a classifier: -log(softmax(x)[target]), or -sum(target * log_softmax(x)) for a distribution.

    `loss_n = -sum_c w_c * q_nc * log_softmax(x)_nc`, with `q = (1 - e) * one_hot(target) + e / C` for smoothing e.
    The mean divides by the sum of the weights of the targets (of a distribution: by their number), as in PyTorch.

    Args:
        x: logits, (N, C), (N, C, *spatial) or (C,), floating.
        target: the right class of each, integers from 0 to C - 1, of the shape of x without C; or probabilities,
            floating, of the shape of x.
        weight: one number for each class, (C,).
        ignore_index: targets of this value count for nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: between 0 and 1 (Szegedy et al. 2016, section 7).

    Raises:
        ValueError: shapes that do not fit, a class outside 0 ... C - 1, or an unknown reduction.
        TypeError: targets that are neither integers nor floating.

    >>> import minigrad as mg
    >>> mg.cross_entropy(mg.zeros((2, 10)), mg.tensor([3, 7]))
    tensor(2.3025851)
    """
    x, shape = floating("cross_entropy", x), shape_of(x)
    if raw(x).dtype == np.float16:  # whose sum over a batch could be beyond it
        options = {"weight": weight, "ignore_index": ignore_index}
        options |= {"reduction": reduction, "label_smoothing": label_smoothing}
        return cross_entropy(x.astype(np.float32), target, **options).astype(np.float16)
    axis = 1 if len(shape) > 1 else 0
    library = xp(raw(x))
    if not hasattr(raw(target), "dtype"):
        target = library.asarray(target)
    if device_of(target) != device_of(x):
        raise ValueError(
            f"cross_entropy needs all its arrays on one device, got x on {device_of(x)}, target on "
            f"{device_of(target)}: move one with .to(device)"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
    if not shape:
        raise ValueError("cross_entropy expects x (N, C, ...) or (C,), got a single number")
    classes = shape[axis]
    if weight is not None and shape_of(weight) != (classes,):
        raise ValueError(f"weight must have shape ({classes},), one number for each class, got {shape_of(weight)}")
    along = tuple(classes if a == axis else 1 for a in range(len(shape)))
    weights = None if weight is None else reshape(weight, along)

    if target.dtype.kind == "f":
        if target.shape != shape:
            raise ValueError(f"a floating target is a distribution and has the shape of x {shape}, got {target.shape}")
        logs = log_softmax(x, axis)
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / classes
        each = -sum(target * logs if weights is None else target * logs * weights, axis)
        return _reduced(each, reduction, math.prod(each.shape))

    target = raw(target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must hold integer classes or floating probabilities, got {target.dtype}")
    if target.shape != shape[:axis] + shape[axis + 1 :]:
        raise ValueError(
            f"cross_entropy expects x (N, C, ...) and target (N, ...), got x {shape} and target {target.shape}"
        )
    kept = target != ignore_index
    wrong = ((target < 0) | (target >= classes)) & kept
    if bool(wrong.any()):
        raise ValueError(
            f"target must lie in 0 ... {classes - 1}, the classes of x {shape}; got {int(target[wrong][0])}"
        )
    everything = bool(kept.all())  # the usual case, which needs no mask
    index = target if everything else library.where(kept, target, 0)
    single = len(shape) == 1
    each = _log_loss(expand_dims(x, 0), index.reshape(1))[0].reshape(()) if single else _log_loss(x, index)[0]
    scale = library.asarray(kept)
    if weights is not None:
        scale = scale * _picked(broadcast_to(weights, shape), library.expand_dims(index, axis), axis)
        each = mask(each, kept) * scale
    elif not everything:
        each = mask(each, scale)
    if label_smoothing:
        logs = log_softmax(x, axis)
        spread = -sum(logs if weights is None else logs * weights, axis) / classes
        each = (1 - label_smoothing) * each + label_smoothing * (spread if everything else mask(spread, kept))
    return _reduced(each, reduction, int(scale.sum()) if weights is None else sum(scale))


def _picked(x, index, axis):
    return squeeze(take_along_axis(x, index, axis), axis)


def _reduced(each, reduction, total):
    if reduction == "none":
        return each
    return sum(each) if reduction == "sum" else sum(each) / total
