"""Gradients: clipping, with PyTorch's names, formulas and defaults (`foreach` is not offered), and their sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minigrad import Tensor, asarray, no_grad, xp, zeros
from minigrad.backend import Array, as_array
from minigrad.nn.module import Module
from minigrad.tensor import wrap


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor, in place, so that their norm as one long vector is at most max_norm.

    The factor is min(1, max_norm / (norm + 1e-6)), norm = (sum of |g|^p)^(1/p), the largest |g| for p = inf; float16 is
    summed in float32. Nothing is read back from a GPU, unless an error is asked for.

    Args:
        parameters: a tensor or any iterable of them, such as `model.parameters()`; those without a gradient are passed
            over.
        max_norm: at least 0.
        norm_type: p, above 0; math.inf is allowed.
        error_if_nonfinite: raise where the norm is nan or inf, which otherwise spreads to all gradients.

    Returns:
        The norm before clipping, a tensor with no axes; 0 without gradients.

    Raises:
        TypeError: something else than tensors.
        ValueError: max_norm or norm_type outside its range.
        RuntimeError: error_if_nonfinite, and the norm is not finite; nothing has been changed then.

    Source: R. Pascanu, T. Mikolov, Y. Bengio: On the difficulty of training recurrent neural networks, ICML 2013,
    algorithm 1.

    >>> import minigrad as mg
    >>> p = mg.tensor([3.0, 4.0], requires_grad=True)
    >>> (p * p / 2).sum().backward()
    >>> clip_grad_norm_([p], 2.5)
    tensor(5.)
    >>> [round(x, 5) for x in p.grad.tolist()]
    [1.5, 2.0]
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"norm_type must be above 0, got {norm_type}")
    gradients = [g for g in _gradients(parameters) if g.size]
    if not gradients:
        return zeros(())
    if len(devices := {g.device for g in gradients}) > 1:
        raise ValueError(f"the gradients must be on one device, they are on {sorted(devices)}: clip them separately")
    library = gradients[0].xp
    with no_grad(), np.errstate(all="ignore"):  # an overflow shows as a norm of inf
        total = _norm(library.stack([as_array(_norm(g._array, norm_type)) for g in gradients]), norm_type)
        if error_if_nonfinite and not math.isfinite(total):
            raise RuntimeError(
                f"the norm of order {norm_type} of the gradients is {total}, so they cannot be clipped: look for the "
                f"step that made it so, or pass error_if_nonfinite=False to scale them all the same"
            )
        factor = library.minimum(max_norm / (total + 1e-6), 1)
        for g in gradients:
            g *= factor.astype(g.dtype)
    return wrap(as_array(total))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Bring every element of the gradients into [-clip_value, clip_value], in place; nan stays.

    Args:
        parameters: a tensor or any iterable of them, such as `model.parameters()`; those without a gradient are passed
            over.
        clip_value: at least 0.

    Raises:
        TypeError: something else than tensors.
        ValueError: a negative clip_value.

    >>> import minigrad as mg
    >>> p = mg.tensor([3.0, 0.1], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([1. , 0.2])
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be at least 0, got {clip_value}")
    for g in _gradients(parameters):
        g.xp.clip(g._array, -clip_value, clip_value, out=g._array)
        g.version.bump()


def grad_norms(model: Module) -> dict[str, float]:
    """How large the gradient of each parameter is: sqrt(sum of g²), by the parameter's name.

    Squares are taken and summed in float64, so that gradients that vanish (1e-30) or explode (1e30) are told from 0
    and inf. Of gradients on a GPU one array of numbers is read back, for all of them.

    Args:
        model: after `backward`; parameters without a gradient, as frozen ones, are left out. Nothing changes.

    Raises:
        TypeError: something else than a Module.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.Linear(2, 1)
    >>> layer(mg.tensor([[3.0, 4.0]])).sum().backward()
    >>> grad_norms(layer)
    {'weight': 5.0, 'bias': 1.0}
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms: dict[str, float] = {}
    for device in {g.device for g in gradients.values()}:
        names = [name for name, g in gradients.items() if g.device == device]
        squares = [_square(gradients[name]._array) for name in names]
        total = asarray(xp(squares[0]).stack(squares)).to("cpu").numpy()
        norms |= zip(names, np.sqrt(total).tolist(), strict=True)
    return {name: norms[name] for name in gradients}


def _square(g: Array) -> Array:
    """The sum of the squares, in float64."""
    with np.errstate(all="ignore"):  # an overflow shows as inf
        return as_array(xp(g).square(g, dtype=np.float64).sum())


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The gradients there are; a shared parameter's, or a shared gradient, once."""
    if isinstance(parameters, Module):
        raise TypeError(f"parameters must be tensors, got one {type(parameters).__name__}: pass model.parameters()")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for i, p in enumerate(given):
        if not isinstance(p, Tensor):
            raise TypeError(f"parameters[{i}] must be a Tensor, got {type(p).__name__}")
    return list({id(p.grad): p.grad for p in given if p.grad is not None}.values())


def _norm(x: Array, order: float) -> Array:
    """The norm of all elements."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)  # squares above 65504 are inf in float16
    if order == math.inf:
        return xp(x).maximum(x.max(), -x.min())
    if order == 2:
        return xp(x).sqrt((x * x).sum())
    return (xp(x).abs(x) ** order).sum() ** (1 / order)
