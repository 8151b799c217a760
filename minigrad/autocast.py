"""Mixed precision: inside `autocast`, each op is called in the precision that suits it.

Products of matrices and convolutions gain by float16: half the memory, and twice and more the speed on a GPU. What
overflows at 65504 or loses what it adds up, as exponentials, logarithms and sums do, does not. So every op has a class:

    low         float32 is cast to float16 before the call
    high        float16 is cast to float32 before the call
    widest      float16 is cast to float32 if another argument is float32
    reciprocal  as high where a number is divided, as 1/x is; else as it comes
    same        as it comes; where NumPy mixes dtypes, the wider one wins

Arguments of float64, and of integers, are never cast, and with a float64 beside them neither are the others.

An activation is cast by the op `astype`. A parameter is not: its copy in float16 stands for the same leaf of the graph,
and the engine gives every gradient the dtype of the leaf that it arrives at. So the gradients of several uses are added
in float32, the copy can serve every graph of a region without being freed with the first, and a checkpointed function
records the same calls whether it finds a copy or makes one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import device_of
from minigrad.gradmode import Scope, mode
from minigrad.tensor import Tensor, wrap

# The lists are those of PyTorch's autocast for CUDA, where it has the op. A new op must be put into one: the tests ask.
CLASSES = {
    "low": "conv conv_input conv_weight einsum linear matmul prelu",
    "high": """
        arccos arcsin cholesky cosh cumprod cumsum det exp expm1 inv log log1p log_loss log_loss_input log_softmax
        logsumexp lrn lrn_input norm power prod rsqrt sinh slogdet softmax softplus solve sum tan
    """,
    "widest": "arctan2 index_add index_set",
    "reciprocal": "divide",
    "same": """
        abs add all any arctan argmax argmin argsort astype avg_pool avg_pool_input batch_norm batch_norm_input
        batch_norm_weight broadcast_to ceil channel_sum channel_window clip concatenate copy cos elu equal erf
        expand_dims flip floor fold gelu gelu_tanh getitem greater greater_equal hardtanh in_order isfinite isinf
        isnan leaky_relu less less_equal logical_and logical_not logical_or logical_xor logsigmoid mask max max_pool
        maximum mean min min_pool minimum multiply negative normalized not_equal pad permute pool_gather pool_index
        pool_scatter relu relu_input reshape roll round sigmoid sign silu sin sqrt squeeze std subtract swapaxes tanh
        tile transfer unfold var where
    """,
}
CLASS_OF = {name: kind for kind, names in CLASSES.items() for name in names.split()}

HALF, SINGLE, DOUBLE = (np.dtype(name) for name in ("float16", "float32", "float64"))


class autocast(Scope):
    """Run each op in the precision that suits it, in this thread: `with autocast():` or `@autocast()`.

    Products of matrices and convolutions get their float32 arguments in float16; exponentials, logarithms, powers,
    sums, losses and layer norm get float16 in float32; what joins tensors gets the wider of the two; everything else,
    pooling and batch norm included, takes what comes (`minigrad.autocast` has the lists, which are PyTorch's for CUDA).
    Nothing has to be converted by hand: parameters, their gradients, optimizers and running statistics stay float32.
    Only the forward pass belongs inside; `backward()` runs in the dtypes of the forward pass wherever it is called, and
    `checkpoint` runs again in the region that it ran in. Raw arrays beside a Tensor are cast like it; an op of your own
    takes what comes.

    A parameter is cast once in a region, and again after it was changed. Gradients below 6e-8 vanish in float16:
    `nn.train.GradScaler` keeps them.

    On the CPU this saves memory, not time: NumPy has no arithmetic of float16, so that minigrad computes it in float32
    and rounds the result. It is there to try on a CPU what will run on a GPU. Unlike PyTorch's there is no
    `device_type` (arrays know where they are) and no `cache_enabled`.

    Args:
        dtype: "float16". Tensors cannot hold bfloat16, which NumPy does not have.
        enabled: False switches autocast off inside another region.

    Raises:
        TypeError: bfloat16, while enabled.
        ValueError: any other dtype, while enabled.

    Source: P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.

    >>> import minigrad as mg
    >>> w = mg.ones((2, 2), requires_grad=True)
    >>> with mg.autocast():
    ...     y = mg.ones((1, 2)) @ w
    ...     loss = y.sum()
    >>> y.dtype.name, loss.dtype.name
    ('float16', 'float32')
    >>> loss.backward()
    >>> w.grad.dtype.name
    'float32'
    """

    attribute = "autocast"

    def __new__(cls, dtype: Any = "float16", enabled: bool = True) -> Any:
        if callable(dtype) and not isinstance(dtype, type):  # @autocast without parentheses
            return cls()(dtype)
        return object.__new__(cls)

    def __init__(self, dtype: Any = "float16", enabled: bool = True):
        self.enabled = enabled
        if enabled and str(getattr(dtype, "__name__", dtype)) == "bfloat16":
            raise TypeError(
                "autocast to bfloat16 needs tensors that hold it, and NumPy has no such dtype (minigrad's CUDA kernels "
                "take arrays of it, but no Tensor does): use dtype='float16' with nn.train.GradScaler"
            )
        if enabled and not _is_half(dtype):
            raise ValueError(f"dtype must be 'float16', got {dtype!r}: autocast(enabled=False) computes in float32")

    def value(self) -> Casts | None:
        """The region that this one lies in, if it is on there; None where it is off."""
        return (mode.autocast or Casts()) if self.enabled else None


def is_autocast_enabled() -> bool:
    """Whether ops called by this thread choose their precision.

    >>> with autocast():
    ...     is_autocast_enabled()
    True
    """
    return mode.autocast is not None


def under_autocast(kind: str) -> Callable[[Callable], Callable]:
    """A decorator that puts a function of several ops into a class: its arguments are cast, and inside autocast is off.

    Without a region, or without a Tensor among the arguments, the function is called as it is.
    """

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            casts = mode.autocast
            if casts is None:
                return function(*args, **kwargs)
            values: Sequence = (*args, *kwargs.values())
            if not any(isinstance(value, Tensor) for value in values):
                return function(*args, **kwargs)
            values = casts.cast(kind, values)
            mode.autocast = None
            try:
                return function(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))
            finally:
                mode.autocast = casts

        return call

    return decorate


class _Copy(NamedTuple):
    """A parameter in float16."""

    half: Tensor
    version: int  # of the parameter when it was copied
    watch: weakref.ref[Tensor]  # forgets the copy with the parameter


class Casts:
    """A region: it casts the arguments of ops, and keeps the copies of parameters.

    It ends with the outermost `with`, and the copies with it; the copy of a parameter that is gone goes before.
    """

    def __init__(self) -> None:
        self._copies: dict[int, _Copy] = {}

    def cast(self, kind: str, values: Sequence) -> Sequence:
        """The arguments of an op of this class, those of the wrong precision cast."""
        dtypes = set(_dtypes(values))
        if DOUBLE in dtypes:
            return values
        source, cast = (SINGLE, self._low) if kind == "low" else (HALF, _high)
        if kind == "same" or (kind == "widest" and SINGLE not in dtypes):
            return values
        if kind == "reciprocal" and hasattr(values[0], "dtype"):
            return values
        return _changed(values, source, cast) if source in dtypes else values

    def _low(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.node is None or value.node.plan is not None:
            return value.astype(HALF)
        copy = self._copies.get(id(value))
        if copy is None or copy.half.node is not value.node or copy.version != value.version.count:
            half = wrap(value._array.astype(HALF), value.node, value.version)
            watch = weakref.ref(value, partial(_forget, weakref.ref(self), id(value)))
            copy = self._copies[id(value)] = _Copy(half, value.version.count, watch)
        return copy.half


def _forget(region: weakref.ref[Casts], key: int, _: Any) -> None:
    if (casts := region()) is not None:
        casts._copies.pop(key, None)


def _high(value: Any) -> Any:
    return value.astype(SINGLE)


def _is_half(dtype: Any) -> bool:
    try:
        return np.dtype(dtype) == HALF
    except TypeError:
        return False


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) or device_of(value) is not None


def _dtypes(values: Sequence) -> Iterator[np.dtype]:
    """Those of the arrays and Tensors among the values, lists of them included."""
    for value in values:
        if type(value) is list:
            yield from _dtypes(value)
        elif _is_array(value):
            yield value.dtype


def _changed(values: Sequence, source: np.dtype, cast: Callable) -> list:
    """The values, the arrays of one dtype cast."""
    return [
        _changed(v, source, cast) if type(v) is list else cast(v) if _is_array(v) and v.dtype == source else v
        for v in values
    ]
