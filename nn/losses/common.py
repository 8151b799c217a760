"""What the losses share: which arguments they accept, the constants they keep, and how many numbers become one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, expand_dims, squeeze, take_along_axis, xp
from minigrad.autocast import under_autocast
from minigrad.backend import Array, device_of, raw
from minigrad.checks import one_of
from minigrad.nn.module import Module
from minigrad.nn.parameter import Buffer

# ---- options, checked when the loss is made --------------------------------------------------------------------------


def reduction_of(reduction: str, *more: str) -> str:
    """A reduction, if it is one that the loss has."""
    return one_of("reduction", reduction, ("mean", "sum", "none", *more))


def constant(name: str, value: Any) -> Buffer | None:
    """Numbers that a loss keeps and does not learn, floating; None stays None."""
    if value is None:
        return None
    value = asarray(value)
    if value.requires_grad:
        raise ValueError(
            f"{name} is a constant of the loss and may not require a gradient, got a tensor of shape {value.shape} "
            f"that does: pass its .detach()"
        )
    return Buffer(value if value.dtype.kind == "f" else value.to("float32"))


# ---- arguments, checked at every call --------------------------------------------------------------------------------


def in_single(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A `forward` that computes in float32 and converts its result where its first argument is float16.

    Sums of halves overflow at 65504, and the mean of a loss is a sum first. Under autocast the result stays float32.
    """
    _, first, *_ = inspect.signature(forward).parameters

    @under_autocast("high")
    @wraps(forward)
    def body(self: Module, *args: Any, **kwargs: Any) -> Tensor:
        x = args[0] if args else kwargs.get(first)
        if getattr(x, "dtype", None) != np.float16:
            return forward(self, *args, **kwargs)
        wide = x.astype(np.float32)  # type: ignore[union-attr]
        out = forward(self, wide, *args[1:], **kwargs) if args else forward(self, **{**kwargs, first: wide})
        return out.astype(np.float16)

    return body


def floating(loss: Module, name: str, value: Any) -> Tensor:
    """An argument as a Tensor, if it is floating."""
    value = asarray(value)
    if value.dtype.kind != "f":
        raise TypeError(
            f"{_name(loss)} expects {name} to be floating, got {value.dtype}: convert it with .to('float32')"
        )
    return value


def beside(loss: Module, x: Tensor, name: str, value: Any, first: str = "x") -> Tensor:
    """An argument, or a constant, as a Tensor; it has to be where x is."""
    value = asarray(value, device=None if device_of(value) else x.device)
    if value.device != x.device:
        raise ValueError(
            f"{_name(loss)} needs all its arrays on one device, got {first} on {x.device}, {name} on {value.device}: "
            f"move one with .to(device)"
        )
    return value


def alike(loss: Module, **tensors: Any) -> list[Tensor]:
    """Arguments of one shape, in the dtype of the first.

    They are not broadcast: (n,) against (n, 1) would be (n, n), and its mean would look like a loss.
    """
    (first, x), *others = tensors.items()
    found = [floating(loss, first, x)]
    for name, value in others:
        value = beside(loss, found[0], name, value, first)
        if value.shape != found[0].shape:
            raise ValueError(
                f"{_name(loss)} expects {first} and {name} of one shape, since it does not broadcast; got "
                f"{first} {found[0].shape} and {name} {value.shape}: reshape one of them"
            )
        found.append(value.to(found[0].dtype))
    return found


def class_axis(x: Tensor) -> int:
    """Where the classes are: the second axis of (N, C, ...), the only one of (C,)."""
    return 1 if x.ndim > 1 else 0


def class_targets(loss: Module, x: Tensor, target: Any, ignore_index: int | None = None) -> Array:
    """The targets as raw integers of the shape of x without C, once each is sure to be a class or `ignore_index`."""
    target = raw(beside(loss, x, "target", target))
    if target.dtype.kind not in "iu":
        raise TypeError(f"{_name(loss)} expects integer targets, got {target.dtype}: convert them with .to('int64')")
    axis = class_axis(x)
    if not x.ndim or target.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ValueError(
            f"{_name(loss)} expects x (N, C, ...) and target (N, ...), or (C,) and one number; got x {x.shape} and "
            f"target {target.shape}"
        )
    wrong = (target < 0) | (target >= x.shape[axis])
    if ignore_index is not None:
        wrong &= target != ignore_index
    if bool(wrong.any()):
        raise ValueError(
            f"target must lie in 0 ... {x.shape[axis] - 1}, the classes of x {x.shape}; got {int(target[wrong][0])}"
        )
    return target


def picked(x: Tensor, target: Array) -> Tensor:
    """The number that x has for the target class: (N, C, ...) and (N, ...) -> (N, ...)."""
    axis = class_axis(x)
    return squeeze(take_along_axis(x, expand_dims(target, axis), axis), axis)


def is_target(x: Tensor, target: Array) -> Array:
    """Where x has the number of its target class: booleans of the shape of x."""
    axis = class_axis(x)
    classes = xp(target).arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    return xp(target).expand_dims(target, axis) == classes


def class_weights(loss: Module, x: Tensor, name: str, weight: Tensor) -> Tensor:
    """A constant with one number for each class of x, in the dtype of x."""
    classes = x.shape[class_axis(x)]
    if weight.shape != (classes,):
        raise ValueError(f"{name} must have shape ({classes},), one number for each class, got {weight.shape}")
    return beside(loss, x, name, weight).to(x.dtype)


def element_weights(loss: Module, x: Tensor, name: str, weight: Tensor) -> Tensor:
    """A constant that broadcasts to the shape of x and does not enlarge it, in the dtype of x."""
    try:
        fits = np.broadcast_shapes(weight.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must broadcast to the shape of x, {x.shape}, got {weight.shape}")
    return beside(loss, x, name, weight).to(x.dtype)


def require(holds: Tensor, values: Tensor, text: str) -> None:
    """Raise `text` with the first of the values for which the condition does not hold."""
    holds, values = raw(holds), raw(values)
    if not bool(holds.all()):
        raise ValueError(f"{text}, got {float(values[~holds][0])}")


def _name(loss: Module) -> str:
    return type(loss).__name__


# ---- results ---------------------------------------------------------------------------------------------------------


def reduced(each: Tensor, reduction: str, total: Any = None) -> Tensor:
    """The loss of each as it is, their sum, or their mean: the sum over `total`, which is their number by default.

    The mean of nothing is nan, as in PyTorch.
    """
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.sum() / (each.size if total is None else total)
