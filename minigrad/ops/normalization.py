"""Normalisation: numbers brought to mean 0 and variance 1.

Batch norm has kernels of its own, and a way back that is an op with rules of its own. A gradient written with the saved
mean and deviation would be right, and its own gradient silently wrong: they depend on x, and what is saved does not say
so. So `_batch_norm_input` takes them as what they are, functions of its x, and its rules know that.
"""

from __future__ import annotations

from functools import wraps
from math import prod

import numpy as np

from minigrad.autocast import is_autocast_enabled, under_autocast
from minigrad.backend import floating, kernels, raw, shape_of, xp
from minigrad.checks import one_of
from minigrad.engine import op
from minigrad.ops.activation import relu_input
from minigrad.ops.conv import channel_sum
from minigrad.ops.pool import avg_pool
from minigrad.ops.reduce import mean as mean_of
from minigrad.ops.transcendental import rsqrt


def _in_single(function):
    """A function or rule of Tensors or arrays that computes float16 in float32: the square of 300 is beyond float16."""

    @wraps(function)
    def wide(*args, **options):
        found = [a for a in args if hasattr(a, "dtype") and a.dtype.kind == "f"]
        if not any(a.dtype == np.float16 for a in found):
            return function(*args, **options)
        single = [a.astype(np.float32) if getattr(a, "dtype", None) == np.float16 else a for a in args]
        return function(*single, **options).astype(found[0].dtype)

    return wide


@under_autocast("high")
@_in_single
def standardize(x, axis=None, eps=1e-5, centre=True):
    """(x - mean) / sqrt(variance + eps), mean and variance (divided by n) being those along `axis`.

    Args:
        x: floating, any shape; float16 is computed in float32.
        axis: an axis, or a tuple of them; None means all.
        eps: keeps the division finite.
        centre: without, x / sqrt(mean(x^2) + eps).

    >>> import minigrad as mg
    >>> mg.standardize(mg.tensor([1.0, 2.0, 3.0]), eps=0.0)
    tensor([-1.2247448,  0.       ,  1.2247448])
    """
    apart = x - mean_of(x, axis, keepdims=True) if centre else x
    return apart * rsqrt(mean_of(apart * apart, axis, keepdims=True) + eps)


# ---- batch norm -----------------------------------------------------------------------------------------------------


def _across(v, x):
    """(C,) in the shape that broadcasts with x (N, C, *spatial)."""
    return v.reshape(1, -1, *(1,) * (len(shape_of(x)) - 2))


def _others(x):
    """The axes that batch norm sums over."""
    return (0, *range(2, len(shape_of(x))))


def _scales(w, var, eps):
    """1/sqrt(var + eps), and that times w."""
    rstd = 1 / xp(var).sqrt(var + eps)
    return rstd, rstd if w is None else rstd * w


def _passed(g, out, relu):
    return relu_input(g, raw(out)) if relu else g


@op(aux=("mean", "var"))
def _batch_norm(x, w, b, residual, eps, relu):
    mean, var = kernels(x).moments(x)
    _, scale = _scales(w, var, eps)
    shift = -mean * scale if b is None else b - mean * scale
    return kernels(x).affine(x, scale, shift, residual, relu), mean, var


@op
def _batch_norm_input(g, x, w, mean, var, eps):
    rstd, scale = _scales(w, var, eps)
    return kernels(x).norm_backward(g, x, mean, rstd, scale, None)[0]


@op
def _batch_norm_weight(g, x, mean, var, eps):
    rstd, scale = _scales(None, var, eps)
    return kernels(x).norm_backward(g, x, mean, rstd, scale, None)[2].astype(g.dtype, copy=False)


_batch_norm.vjp(
    x=lambda g, x, w, out, mean, var, eps, relu: _batch_norm_input(_passed(g, out, relu), x, w, mean, var, eps),
    w=lambda g, x, out, mean, var, eps, relu: _batch_norm_weight(_passed(g, out, relu), x, mean, var, eps),
    b=lambda g, out, relu: channel_sum(_passed(g, out, relu)),
    residual=lambda g, out, relu: _passed(g, out, relu),
)


def _together(names):
    """A rule for several arguments at once: the kernel gives most of them in the same two sweeps."""

    def rule(g, x, w, out, mean, var, eps, relu):
        rstd, scale = _scales(w, var, eps)
        passed = _passed(g, out, relu) if "residual" in names else g  # else the kernel holds it back itself
        held = out if relu and "residual" not in names else None
        dx, sums, products = kernels(x).norm_backward(passed, x, mean, rstd, scale, held)
        found = {"x": dx, "w": products, "b": sums, "residual": passed}
        return tuple(found[name] for name in names)

    return rule


for _names in (("x", "w"), ("x", "b"), ("w", "b"), ("x", "w", "b")):
    _batch_norm.vjp_joint(*_names, rule=_together(_names))
    _batch_norm.vjp_joint(*_names, "residual", rule=_together((*_names, "residual")))


@_in_single
def _batch_norm_input_x(u, g, x, w, eps):
    """The derivative of <u, J g> in x, with the symmetric J v = r*(v - mean(v) - x^*mean(v*x^)) and r = 1/sqrt(var)."""
    axes = _others(x)
    apart = x - mean_of(x, axes, keepdims=True)
    r = rsqrt(mean_of(apart * apart, axes, keepdims=True) + eps)
    x_hat = apart * r

    def average(v):
        return mean_of(v, axes, keepdims=True)

    def j(v):
        return r * (v - average(v) - x_hat * average(v * x_hat))

    a, b = average(u * x_hat), average(g * x_hat)
    e = average(u * g) - average(u) * average(g) - a * b
    d = -r * (r * x_hat * e + b * j(u) + a * j(g))
    return d if w is None else d * _across(w, x)


_batch_norm_weight.vjp(
    g=lambda u, x, eps: _across(u, x) * _batch_norm(x, None, None, None, eps, False)[0],
    x=lambda u, g, x, mean, var, eps: _batch_norm_input(g * _across(u, x), x, None, mean, var, eps),
)
_batch_norm_input.vjp(
    g=lambda u, x, w, mean, var, eps: _batch_norm_input(u, x, w, mean, var, eps),
    x=_batch_norm_input_x,
    w=lambda u, g, x, mean, var, eps: channel_sum(u * _batch_norm_input(g, x, None, mean, var, eps)),
)


@op
def _normalized(x, mean, var, w, b, residual, eps, relu):
    """The same with given statistics, of which x is no longer a part."""
    _, scale = _scales(None if w is None else w.astype(var.dtype), var.astype(np.float64), eps)
    shift = -mean * scale if b is None else b - mean * scale
    return kernels(x).affine(x, scale, shift, residual, relu)


def _scale_of(w, var, eps, x):
    rstd = rsqrt(var + eps)
    return _across(rstd if w is None else rstd * w, x)


@_in_single
def _normalized_w(g, x, mean, var, out, eps, relu):
    return channel_sum(_passed(g, out, relu) * (x - _across(mean, x))) * rsqrt(var + eps)


@_in_single
def _normalized_var(g, x, mean, var, w, out, eps, relu):
    sums = channel_sum(_passed(g, out, relu) * (x - _across(mean, x)))
    return -0.5 * (sums if w is None else sums * w) * rsqrt(var + eps) ** 3


@_in_single
def _normalized_mean(g, var, w, out, eps, relu):
    sums = -channel_sum(_passed(g, out, relu)) * rsqrt(var + eps)
    return sums if w is None else sums * w


_normalized.vjp(
    x=_in_single(lambda g, var, w, out, eps, relu: _passed(g, out, relu) * _scale_of(w, var, eps, out)),
    mean=_normalized_mean,
    var=_normalized_var,
    w=_normalized_w,
    b=lambda g, out, relu: channel_sum(_passed(g, out, relu)),
    residual=lambda g, out, relu: _passed(g, out, relu),
)


def batch_norm_act(
    x,
    weight=None,
    bias=None,
    *,
    mean=None,
    var=None,
    eps=1e-5,
    residual=None,
    activation=None,
    return_statistics=False,
):
    """Batch norm, and what usually follows it: `act((x - mean)/sqrt(var + eps) * weight + bias + residual)`.

    Mean and variance are those of each channel over the batch and the spatial axes, unless they are given. The three
    steps are one op, which goes over the memory once after the statistics are known, and keeps x and its own output for
    the way back, not what lies between.

    Args:
        x: the input, (N, C, *spatial) or (N, C), floating; float16 is computed in float32.
        weight, bias: (C,); None means 1 and 0.
        mean, var: the statistics to use instead of the batch's, (C,), both or neither.
        eps: keeps the division finite.
        residual: added before the activation, of the shape and the dtype of x; autocast sees to the dtype.
        activation: None or "relu".
        return_statistics: whether to return also the mean and the variance (divided by n) of the batch, which are not
            differentiated.

    Returns:
        The result, in the shape of x; with `return_statistics` a tuple (result, mean, var).

    Raises:
        ValueError: shapes that do not fit, one statistic without the other, or a single value for each channel, whose
            deviation is 0.

    Source: S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", 2015, algorithm 1.

    >>> import minigrad as mg
    >>> x = mg.tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> mg.batch_norm_act(x, eps=0.0)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    >>> mg.batch_norm_act(x, eps=0.0, residual=mg.ones((2, 2)), activation="relu")
    tensor([[0., 0.],
            [2., 2.]])
    """
    x, shape = floating("batch_norm_act", x), shape_of(x)
    if len(shape) < 2:
        raise ValueError(f"batch_norm_act expects x (N, C, *spatial), got shape {shape}")
    given = {"weight": weight, "bias": bias, "mean": mean, "var": var}
    for name, value in given.items():
        if value is not None and shape_of(value) != shape[1:2]:
            raise ValueError(
                f"{name} must have shape ({shape[1]},), one number for each channel, got {shape_of(value)}"
            )
    if residual is not None and shape_of(residual) != shape:
        raise ValueError(f"residual must have the shape of x {shape}, got {shape_of(residual)}")
    if residual is not None and is_autocast_enabled():
        residual = residual.astype(raw(x).dtype)
    if residual is not None and raw(residual).dtype != raw(x).dtype:
        raise TypeError(f"residual must have the dtype of x, {raw(x).dtype}, got {raw(residual).dtype}")
    one_of("activation", activation, (None, "relu"))
    if (mean is None) != (var is None):
        raise ValueError("mean and var must be given both, or neither")
    relu = activation == "relu"
    if mean is not None:
        if return_statistics:
            raise ValueError("return_statistics asks for the statistics of the batch, but mean and var are given")
        return _normalized(x, mean, var, weight, bias, residual, eps, relu)
    if prod(shape) <= shape[1]:
        raise ValueError(
            f"batch norm needs more than one value for each channel to have a deviation, got x of shape {shape}: use a "
            f"larger batch, or statistics of other batches (eval mode)"
        )
    results = _batch_norm(x, weight, bias, residual, eps, relu)
    return results if return_statistics else results[0]


# ---- local response norm --------------------------------------------------------------------------------------------


@op
def _lrn(x, size, alpha, beta, k):
    return kernels(x).lrn(x, size, alpha, beta, k)


@op
def _lrn_input(g, x, size, alpha, beta, k):
    return kernels(x).lrn_input(g, x, size, alpha, beta, k)


_lrn.vjp(x=lambda g, x, size, alpha, beta, k: _lrn_input(g, x, size, alpha, beta, k))


@op
def _channel_window(x, low, high):
    """The sum over the channels from c - low to c + high of x (N, C, *spatial), as far as they are there."""
    out, channels = x.copy("K"), x.shape[1]
    for shift in range(1, low + 1):
        out[:, shift:] += x[:, : max(channels - shift, 0)]
    for shift in range(1, high + 1):
        out[:, : max(channels - shift, 0)] += x[:, shift:]
    return out


_channel_window.vjp(x=lambda g, low, high: _channel_window(g, high, low))


def _lrn_parts(x, size, alpha, k):
    low = size // 2
    high = size - 1 - low
    return k + alpha * _channel_window(x * x, low, high), low, high


@_in_single
def _lrn_input_g(u, x, size, alpha, beta, k):
    s, low, high = _lrn_parts(x, size, alpha, k)
    return u * s**-beta - 2 * alpha * beta * x * s ** (-beta - 1) * _channel_window(x * u, low, high)


@_in_single
def _lrn_input_x(u, g, x, size, alpha, beta, k):
    """The derivative in x of sum(g*u*s^-beta - 2*alpha*beta * g*x*s^(-beta-1) * W(x*u)), where s = k + alpha*W(x^2)."""
    s, low, high = _lrn_parts(x, size, alpha, k)
    q, w = s ** (-beta - 1), _channel_window(x * u, low, high)
    by_s = _channel_window(2 * alpha * beta * (beta + 1) * (g * x * q / s * w) - beta * (g * u * q), high, low)
    return 2 * alpha * (x * by_s - beta * (g * q * w + u * _channel_window(g * x * q, high, low)))


_lrn_input.vjp(g=_lrn_input_g, x=_lrn_input_x)


@_in_single
def _lrn_within(x, size, alpha, beta, k):
    window = (size,) * (len(shape_of(x)) - 2)
    return x * (k + alpha * avg_pool(x * x, window, stride=1, padding=size // 2, divisor_override=1)) ** -beta


@under_autocast("high")
def local_response_norm(x, size, *, alpha=1e-4, beta=0.75, k=1.0, form="pytorch", region="across"):
    """Local response normalisation: `x / (k + alpha/n * sum of x^2 over a window of n)**beta`.

    Across channels, the window of channel c reaches from c - size//2 to c + (size - 1)//2, as far as there are
    channels, and n is `size`. Within a channel it has `size` elements along every spatial axis, borders counting as 0,
    and n is their product.

    Args:
        x: the input, (N, C, *spatial), floating; float16 is computed in float32.
        size: the width of the window.
        alpha, beta, k: the constants of the formula; AlexNet has size 5, alpha 1e-4, beta 0.75, k 2, as in the paper.
        form: what alpha means: "pytorch" (and Caffe) divides it by n, "paper" does not.
        region: "across" the channels, or "within" each (WITHIN_CHANNEL in Caffe).

    Raises:
        ValueError: x with fewer than two axes, a size below 1, an even one within channels, an unknown form or region.

    Source: A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012, section 3.3.

    >>> import minigrad as mg
    >>> x = mg.ones((1, 3))
    >>> mg.local_response_norm(x, 3, alpha=3.0, beta=1.0)
    tensor([[0.33333334, 0.25      , 0.33333334]])
    >>> mg.local_response_norm(x, 3, alpha=3.0, beta=1.0, form="paper")
    tensor([[0.14285715, 0.1       , 0.14285715]])
    """
    x = floating("local_response_norm", x)
    if len(shape_of(x)) < 2:
        raise ValueError(f"local_response_norm expects x (N, C, *spatial), got shape {shape_of(x)}")
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be an integer of at least 1, got {size!r}")
    one_of("form", form, ("pytorch", "paper"))
    one_of("region", region, ("across", "within"))
    if region == "within":
        if size % 2 == 0:
            raise ValueError(f"size must be odd within channels, so that the window has a middle, got {size}")
        n = size ** (len(shape_of(x)) - 2)
        return _lrn_within(x, size, alpha / n if form == "pytorch" else alpha, beta, k)
    return _lrn(x, size, alpha / size if form == "pytorch" else alpha, beta, k)
