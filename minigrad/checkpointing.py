"""Activation checkpointing: computing a region of the graph twice instead of keeping its values."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from minigrad.autocast import autocast
from minigrad.contract import Op, Plan
from minigrad.engine import Node
from minigrad.gradmode import Watcher, enable_grad, mode
from minigrad.random import Draws
from minigrad.tensor import Tensor, Version, wrap


def checkpoint(f: Callable, *args: Any, **kwargs: Any) -> Any:
    """`f(*args, **kwargs)`, keeping nothing of f's inside for the gradient: on the way back f runs once more.

    Saves the memory of all that f computes on the way to its result, at the price of a second forward pass. What is
    kept are f and its arguments. The derivatives of every order are those without checkpointing, `create_graph`,
    `retain_graph` (the first pass restores the values, and they stay), `grad` through a part of the region, and regions
    inside regions included; f runs again under `autocast` if it did the first time. Under `no_grad` this is just the
    call.

    Random numbers are drawn again as they were, and no generator is touched by that, as long as they come from the
    functions of minigrad: from the default generators or, by `generator=`, from one of yours. Numbers that f takes
    from the methods of a generator that was there before (`mine.random()`) are others in the second run, unnoticed.

    f must compute the same both times. What else it does, it does twice: a running mean moves two steps. Unlike
    PyTorch's `torch.utils.checkpoint.checkpoint` there is one implementation, the one it calls `use_reentrant=False`.

    Args:
        f: a function or module; may use parameters and other tensors from its closure.
        args, kwargs: what it is called with, Tensors or anything else.

    Returns:
        What f returns: a Tensor, a tuple of them, or anything else.

    Raises:
        RuntimeError: on the way back, if a tensor that f reads has been changed in place in the meantime, or if the
            second run records other ops or shapes than the first, or draws other random numbers (a generator made
            without a seed, or one that other threads draw from, too).

    Source: T. Chen, B. Xu, C. Zhang, C. Guestrin: Training Deep Nets with Sublinear Memory Cost, 2016, section 4.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = checkpoint(lambda t: (t * t) * (t * t), x)
    >>> print(mg.graph(y))
    #0 leaf float32[2]
    #1 multiply float32[2] <- #0, #0; checkpointed; keeps argument 0 (8 B)
    #2 multiply float32[2] <- #0, #0; checkpointed
    #3 multiply float32[2] <- #1, #2; checkpointed
    >>> y.sum().backward()
    >>> x.grad
    tensor([ 4., 32.])
    """
    if not mode.recording:
        return f(*args, **kwargs)
    region, trace = _Region(f, args, kwargs), _Trace()
    with region.draws.noting():
        out = _traced(trace, (*mode.watchers, trace), f, args, kwargs)
    region.drop(trace)
    return out


@dataclass(frozen=True)
class _Read:
    """A tensor from outside that f read: its values must still be the same when f runs again."""

    version: Version
    count: int
    shape: tuple[int, ...]
    op: str
    argument: str


class _Trace(Watcher):
    """Collects the nodes that are recorded, and what the calls read from outside."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.read: dict[Version, tuple[tuple[int, ...], str, str]] = {}
        self._made: set[Version] = set()

    def called(self, op: Op, values: tuple, raw: list, result: Tensor) -> None:
        for name, value in zip(op.parameters, values, strict=True):
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(item, Tensor) and item.version not in self._made:
                    self.read.setdefault(item.version, (item.shape, op.name, name))
        if result.version not in self.read:  # a view of something from outside is not made inside
            self._made.add(result.version)
        if result.node is not None:
            self.nodes.append(result.node)


def _traced(trace: _Trace, watchers: tuple[Watcher, ...], f: Callable, args: tuple, kwargs: dict) -> Any:
    before, mode.watchers = mode.watchers, watchers
    try:
        return f(*args, **kwargs)
    finally:
        mode.watchers = before


@dataclass(frozen=True)
class Dropped:
    """What a node has in the place of its saved values: the region that can restore them, and its number there."""

    region: _Region
    index: int


@dataclass(frozen=True)
class _Kind:
    """What must be the same in the second run."""

    op: str
    inputs: tuple
    shape: tuple[int, ...]
    dtype: Any
    freed: bool  # by a backward inside the region

    def __str__(self) -> str:
        return f"{self.op} of shape {self.shape} and dtype {self.dtype}{', freed' * self.freed}"


def _kind(node: Node) -> _Kind:
    plan: Plan = node.plan  # type: ignore[assignment]
    return _Kind(plan.op.name, plan.inputs, node.shape, node.dtype, node.saved is None)


class _Region:
    """A checkpointed call: how to run it again, and the nodes that it then gives their values.

    The nodes hold the region in the place of their saved values; it knows them by weak references, or they would all
    wait for the garbage collector.
    """

    def __init__(self, f: Callable, args: tuple, kwargs: dict):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.name = getattr(f, "__name__", type(f).__name__)
        self.draws = Draws()
        self.precision = autocast(enabled=mode.autocast is not None)
        self.nodes: list[weakref.ref[Node]] = []
        self.kinds: list[_Kind] = []
        self.read: list[_Read] = []

    def held(self) -> Iterator[tuple[str, Tensor]]:
        """The Tensors among the arguments, which the region keeps alive, with their names."""
        named = [(str(i), value) for i, value in enumerate(self.args)] + list(self.kwargs.items())
        for name, value in named:
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(item, Tensor):
                    yield name, item

    def drop(self, trace: _Trace) -> None:
        """Take their saved values from the nodes."""
        # The count is that of now: what f itself changed after reading it (a running mean) is f's own affair.
        self.read = [_Read(version, version.count, *what) for version, what in trace.read.items()]
        for node in trace.nodes:
            self.nodes.append(weakref.ref(node))
            self.kinds.append(_kind(node))
            if node.saved:  # not if it was freed by a backward inside f
                node.saved, node.counts = Dropped(self, len(self.nodes) - 1), []

    def restore(self) -> None:
        """Run f again, and give every node of the region what its counterpart saved."""
        for read in self.read:
            if read.version.count != read.count:
                raise RuntimeError(
                    f"{self.name} has to run again, since it was checkpointed, but the argument {read.argument!r} of "
                    f"its {read.op}, of shape {read.shape}, was changed in place at {read.version.where}: go backward "
                    f"before the change, or change a copy of it"
                )
        trace = _Trace()
        with self.draws.replaying(), enable_grad(), self.precision:
            _traced(trace, (trace,), self.f, self.args, self.kwargs)
        self._compare([_kind(node) for node in trace.nodes])
        old_of: dict[Node, Node] = {}
        for reference, new in zip(self.nodes, trace.nodes, strict=True):
            old = reference()
            if old is not None:
                old_of[new] = old
        for new, old in old_of.items():
            if not (isinstance(old.saved, Dropped) and old.saved.region is self):
                continue  # freed, or never dropped
            if isinstance(new.saved, Dropped):  # a region inside: it now serves the old node
                old.saved, inner = new.saved, new.saved.region
                inner.nodes[new.saved.index] = weakref.ref(old)
                inner.args, inner.kwargs = _moved(inner.args, old_of), _moved(inner.kwargs, old_of)
            else:
                # The new nodes are about to vanish. A saved Tensor comes from the old ones, so that derivatives of
                # higher order go through them, too: through the tensors that the user knows.
                old.saved = [_moved(value, old_of) for value in new.saved]
                old.counts = new.counts

    def _compare(self, kinds: list[_Kind]) -> None:
        for i, (first, second) in enumerate(zip(self.kinds, kinds, strict=False)):
            if first != second:
                raise RuntimeError(
                    f"{self.name} was checkpointed but did not compute the same when it ran again: recorded call "
                    f"{i + 1} of {len(self.kinds)} was {first}, and is now {second}; it must not depend on anything "
                    f"that changes in between"
                )
        if len(kinds) != len(self.kinds):
            raise RuntimeError(
                f"{self.name} was checkpointed but did not compute the same when it ran again: it recorded "
                f"{len(self.kinds)} calls of ops, and now {len(kinds)}; it must not depend on anything that changes in "
                f"between"
            )


def _moved(value: Any, old_of: dict[Node, Node]) -> Any:
    """A value, with the Tensors in it coming from the old nodes."""
    if isinstance(value, Tensor):
        old = old_of.get(value.node) if value.node is not None else None
        return value if old is None else wrap(value._array, old, value.version)
    if type(value) in (list, tuple):
        return type(value)(_moved(v, old_of) for v in value)
    return {k: _moved(v, old_of) for k, v in value.items()} if type(value) is dict else value
