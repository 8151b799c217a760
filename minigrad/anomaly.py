"""Anomaly mode: which op was the first to produce a value that is not finite, and where it was called."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minigrad.backend import raw, transfer_array
from minigrad.callsite import callers_line
from minigrad.contract import Op
from minigrad.engine import Node
from minigrad.gradmode import mode
from minigrad.tensor import Tensor


class AnomalyError(FloatingPointError):
    """A value that is not finite, with the op that produced it."""


class detect_anomaly:
    """Raise at the first op that produces inf or nan, forward or on the way back: `with detect_anomaly():`.

    The message names the op, the line of your code that called it, and statistics of its operands; for a gradient, the
    rule that produced it and the line of the forward call. Only this thread is watched. It costs a look at every value,
    so use it to find a mistake, not to train. It can also be used as a decorator.

    Raises:
        AnomalyError: see above. A value that was not finite when it came in is said to be so; comparisons and choices
            that turn such values into finite ones pass.

    >>> import minigrad as mg
    >>> with detect_anomaly(), np.errstate(all="ignore"):
    ...     mg.log(mg.tensor([1.0, 0.0]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    minigrad.anomaly.AnomalyError: log produced 1 inf (float32[2]) at ...: its operands were
      x: float32[2], from 0 to 1, mean 0.5
    """

    def __enter__(self) -> detect_anomaly:
        self._before = [*getattr(self, "_before", ()), mode.watchers]
        mode.watchers = (*mode.watchers, _Detector())
        return self

    def __exit__(self, *_: object) -> None:
        mode.watchers = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with detect_anomaly():
                return function(*args, **kwargs)

        return inside


class _Detector:
    """The watcher that looks at every value."""

    def __init__(self) -> None:
        self._lines: weakref.WeakKeyDictionary[Node, str] = weakref.WeakKeyDictionary()

    def called(self, op: Op, operands: list, result: Tensor) -> None:
        if result.node is not None:
            self._lines[result.node] = callers_line()
        if not _bad(result._array):
            return
        named: list[tuple[str, Any]] = []
        for name, value in zip(op.parameters, operands, strict=True):
            items = value if isinstance(value, list) else [value]
            named += [(f"{name}[{i}]" if isinstance(value, list) else name, item) for i, item in enumerate(items)]
        lines = "\n".join(f"  {name}: {_statistics(v)}" for name, v in named if _is_floating(v))
        came = [name for name, v in named if _bad(v)]
        if came:
            raise AnomalyError(
                f"{came[0]} of {op.name} at {callers_line()} was not finite when it came in, so an earlier "
                f"computation or the data is at fault; the operands were\n{lines}"
            )
        raise AnomalyError(f"{op.name} produced {_bad(result._array)} at {callers_line()}: its operands were\n{lines}")

    def went_back(self, node: Node, position: int, g: Any, gx: Any) -> None:
        if not _bad(gx):
            return
        op = node.plan.op  # type: ignore[union-attr]
        where = self._lines.get(node, "a line outside detect_anomaly")
        rule = f"the gradient rule of {op.name} for {op.parameters[position]!r}"
        if _bad(g):
            raise AnomalyError(
                f"the gradient that came to {rule} was not finite already: the seed, or a hook, is at fault"
            )
        kept = "\n".join(
            f"  {name}: {_statistics(v)}"
            for name, v in zip(node.plan.names, node.saved, strict=True)  # type: ignore[union-attr]
            if _is_floating(v)
        )
        raise AnomalyError(
            f"{rule} produced {_bad(gx)}; {op.name} was called at {where}. The gradient that came in and the saved "
            f"values were\n  g: {_statistics(g)}\n{kept}".rstrip()
        )


def _is_floating(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _bad(value: Any) -> str:
    """How many elements are nan and infinite, as text; empty if none are."""
    if not _is_floating(value):
        return ""
    array = transfer_array(raw(value), "cpu")
    counts = {"nan": int(np.isnan(array).sum()), "inf": int(np.isinf(array).sum())}
    text = " and ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    return f"{text} ({array.dtype}{list(array.shape)})" if text else ""


def _statistics(value: Any) -> str:
    array = transfer_array(raw(value), "cpu")
    text = f"{array.dtype}{list(array.shape)}"
    finite = array[np.isfinite(array)].astype(np.float64)
    if finite.size:
        text += f", from {finite.min():.6g} to {finite.max():.6g}, mean {finite.mean():.6g}"
    bad = _bad(array)
    return f"{text}, with {bad.partition(' (')[0]}" if bad else text
