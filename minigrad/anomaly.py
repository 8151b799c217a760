"""Anomaly mode: which op was the first to produce a value that is not finite, and where it was called."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import raw, transfer_array
from minigrad.callsite import callers_line
from minigrad.contract import Op
from minigrad.engine import Node
from minigrad.gradmode import Scope, Watcher, mode
from minigrad.tensor import Tensor


class AnomalyError(FloatingPointError):
    """A value that is not finite, with the op that produced it."""


class detect_anomaly(Scope):
    """Raise at the first op that produces inf or nan, forward or on the way back: `with detect_anomaly():`.

    The message names the op, the line of your code that called it, and statistics of its operands; for a gradient, the
    rule that produced it and the line of the forward call, if that ran under `detect_anomaly`, too. A value that was
    not finite when it came in is said to be so, with its origin; comparisons and choices that turn such values into
    finite ones pass. Watched are the ops that this thread calls with Tensors. It costs a look at every value: use it
    to find a mistake, not to train. As a decorator it watches each call of the function.

    Args:
        allow_inf: look for nan only; for programs that mask with -inf, for example.

    Raises:
        AnomalyError: a `FloatingPointError`; see above.

    >>> import minigrad as mg
    >>> with detect_anomaly(), np.errstate(all="ignore"):
    ...     mg.log(mg.tensor([1.0, 0.0]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    minigrad.anomaly.AnomalyError: log produced 1 inf (float32[2]) at ...: its operands were
      x: float32[2], from 0 to 1, mean 0.5
    """

    attribute = "watchers"

    def __init__(self, *, allow_inf: bool = False):
        self.allow_inf = allow_inf

    def value(self) -> tuple[Watcher, ...]:
        """The watchers so far, and a detector."""
        return (*mode.watchers, _Detector(self.allow_inf))


class _Detector(Watcher):
    """The watcher that looks at every value."""

    def __init__(self, allow_inf: bool):
        self.allow_inf = allow_inf
        self.inside: Node | None = None  # the node whose rules are running

    # ---- forward ----------------------------------------------------------------------------------------------------

    def called(self, op: Op, values: tuple, raw: list, result: Tensor) -> None:
        if self.inside is not None:
            # A rule under create_graph=True calls ops: its result is judged as a whole, as it is on raw arrays, and
            # what it records belongs to the line of the forward call.
            if result.node is not None:
                result.node.where = _where(self.inside)
            return
        if result.node is not None:
            result.node.where = callers_line()
        if not self._bad(result._array):
            return
        named: list[tuple[str, Any]] = []
        for position, (name, value) in enumerate(zip(op.parameters, values, strict=True)):
            many = position == op.sequence
            named += [(f"{name}[{i}]" if many else name, v) for i, v in enumerate(value if many else [value])]
        operands = "\n".join(f"  {name}: {_statistics(v)}" for name, v in named if _is_floating(v))
        came = [(name, v) for name, v in named if self._bad(v)]
        if came:
            name, value = came[0]
            raise AnomalyError(
                f"{name} of {op.name} at {callers_line()} was not finite when it came in: {_origin(value)}. The "
                f"operands were\n{operands}"
            )
        raise AnomalyError(
            f"{op.name} produced {self._bad(result._array)} at {callers_line()}: its operands were\n{operands}"
        )

    # ---- backward ---------------------------------------------------------------------------------------------------

    def arrived(self, node: Node, g: Any) -> None:
        if self._bad(g):  # no rule returned this, or we would not be here
            raise AnomalyError(
                f"the gradient that arrived at {_named(node)} holds {self._bad(g)}, although no rule returned such a "
                f"value: it is in the seed, or a sum of finite gradients overflowed"
            )

    def entered(self, node: Node, g: Any) -> None:
        if self._bad(g):
            raise AnomalyError(
                f"a hook on {_named(node)} returned a gradient that holds {self._bad(g)}; the one it was given was "
                f"finite"
            )
        self.inside = node

    def returned(self, node: Node, position: int, given: list, gx: Any) -> None:
        if not self._bad(gx):
            return
        self.inside = None
        plan = node.plan
        assert plan is not None  # a leaf has no rules
        names = ("g", *plan.names)
        operands = "\n".join(
            f"  {name}: {_statistics(v)}" for name, v in zip(names, given, strict=False) if _is_floating(v)
        )
        raise AnomalyError(
            f"the gradient rule of {plan.op.name} for {plan.op.parameters[position]!r} produced {self._bad(gx)}; "
            f"{plan.op.name} was called at {_where(node)}. The gradient that came in and the saved values were\n"
            f"{operands}"
        )

    def left(self) -> None:
        self.inside = None

    def _bad(self, value: Any) -> str:
        """How many elements are nan and infinite, as text; empty if none are, or they are allowed."""
        if not _is_floating(value):
            return ""
        array = np.asarray(value) if isinstance(value, float) else raw(value)
        counts = {"nan": int((array != array).sum())}
        if not self.allow_inf:
            counts["inf"] = int((abs(array) == np.inf).sum())
        text = " and ".join(f"{n} {kind}" for kind, n in counts.items() if n)
        return f"{text} ({array.dtype}{list(array.shape)})" if text else ""


def _where(node: Node) -> str:
    return getattr(node, "where", "a line that did not run under detect_anomaly")


def _named(node: Node) -> str:
    if node.plan is None:
        return f"a leaf of shape {node.shape}"
    return f"the output of {node.plan.op.name}, called at {_where(node)}"


def _origin(value: Any) -> str:
    """Where a value came from that no op produced under our eyes."""
    if not isinstance(value, Tensor):
        return "it is a constant"
    if value.node is None:
        return "it is data, or was computed before detect_anomaly or by something other than an op"
    if value.node.plan is None:
        return "it is a leaf, and held these values from the start or was changed in place"
    return f"it was computed by {value.node.plan.op.name} before detect_anomaly, or was changed in place"


def _is_floating(value: Any) -> bool:
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _statistics(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    array = transfer_array(raw(value), "cpu")
    text = f"{array.dtype}{list(array.shape)}"
    finite = array[np.isfinite(array)].astype(np.float64)
    if finite.size:
        text += f", from {finite.min():.6g} to {finite.max():.6g}, mean {finite.mean():.6g}"
    counts = {"nan": int(np.isnan(array).sum()), "inf": int(np.isinf(array).sum())}
    bad = " and ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    return f"{text}, with {bad}" if bad else text
