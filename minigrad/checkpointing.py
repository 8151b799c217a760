"""Activation checkpointing: computing a region of the graph twice instead of keeping its values."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minigrad.contract import Op
from minigrad.engine import Node
from minigrad.gradmode import enable_grad, mode
from minigrad.random import get_rng_state, set_rng_state
from minigrad.tensor import Tensor, Version


def checkpoint(f: Callable, *args: Any, **kwargs: Any) -> Any:
    """`f(*args, **kwargs)`, keeping nothing for the gradient but the arguments; on the way back f runs once more.

    Saves the memory of all that f computes inside, at the price of a second forward pass (Chen et al. 2016, "Training
    Deep Nets with Sublinear Memory Cost"). Derivatives of every order are those without checkpointing. The second run
    sees the default generators as the first did, so a mask drawn with `minigrad.rand` is the same one; a generator of
    your own is not rewound. f must do the same on both runs, and may be called inside another checkpointed region.

    Args:
        f: any function of Tensors; it may use parameters from its closure.
        args, kwargs: what f is called with.

    Raises:
        RuntimeError: on the way back, when the second run does not record the same ops, or when a tensor that f used
            was changed in place since.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = checkpoint(lambda t: (t * t) * (t * t), x)
    >>> y.sum().backward()
    >>> x.grad
    tensor([ 4., 32.])
    """
    if not mode.recording:
        return f(*args, **kwargs)
    region = _Region(f, args, kwargs)
    out, nodes = region.run()
    region.drop(nodes)
    return out


class _Trace:
    """A watcher that collects the nodes of the calls it sees."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def called(self, op: Op, raw: list, result: Tensor) -> None:
        if result.node is not None:
            self.nodes.append(result.node)

    def went_back(self, node: Node, position: int, g: Any, gx: Any) -> None:
        pass


class _Region:
    """A checkpointed call: how to run it again, and the nodes whose values it then restores.

    The nodes hold the region in the place of their saved values, so the region holds them by weak references only.
    """

    def __init__(self, f: Callable, args: tuple, kwargs: dict):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.random = get_rng_state()
        self.nodes: list[list[weakref.ref[Node]]] = []  # for each call, the nodes whose values it restores
        self.kinds: list[tuple] = []
        self.versions: list[tuple[Version, int, str]] = []  # of everything that was saved: a later change must not pass

    def run(self) -> tuple[Any, list[Node]]:
        """Call f and return what it gives, and the nodes it records."""
        trace, before = _Trace(), mode.watchers
        mode.watchers = (*before, trace)
        try:
            return self.f(*self.args, **self.kwargs), trace.nodes
        finally:
            mode.watchers = before

    def drop(self, nodes: list[Node]) -> None:
        """Take the saved values away from the nodes and stand in their place."""
        for node in nodes:
            if isinstance(node.saved, _Region):
                self.versions += node.saved.versions
            else:
                for value, count in zip(node.saved, node.counts, strict=True):
                    self._note(value, count, node.plan.op.name)  # type: ignore[union-attr]
            node.saved = self
            self.nodes.append([weakref.ref(node)])
            self.kinds.append(_kind(node))

    def _note(self, value: Any, count: Any, name: str) -> None:
        if isinstance(count, list):
            for v, c in zip(value, count, strict=True):
                self._note(v, c, name)
        elif count is not None:
            self.versions.append((value.version, count, name))

    def refill(self) -> None:
        """Run f again as it ran before, and give its nodes the values that the new ones saved."""
        for version, count, name in self.versions:
            if version.count != count:
                raise RuntimeError(
                    f"a tensor that {name} used in a checkpointed region was changed in place at {version.where}, "
                    f"before the region could run again: go backward before the change, or change a copy of it"
                )
        now = get_rng_state()
        set_rng_state(self.random)
        try:
            with enable_grad():
                _, fresh = self.run()
        finally:
            set_rng_state(now)
        kinds = [_kind(node) for node in fresh]
        if kinds != self.kinds:
            i = next((i for i, (a, b) in enumerate(zip(self.kinds, kinds, strict=False)) if a != b), len(kinds))
            first, second = ([*found, None][i] if i <= len(found) else None for found in (self.kinds, kinds))
            raise RuntimeError(
                f"a checkpointed function did not do the same when it ran again: its call number {i + 1} was "
                f"{_named(first)}, then {_named(second)}; it must not depend on what changes between the runs"
            )
        for references, new in zip(self.nodes, fresh, strict=True):
            for reference in references:
                old = reference()
                if old is not None and old.saved is self:
                    old.saved, old.counts = new.saved, new.counts
                    if isinstance(new.saved, _Region):  # a region inside: from now on it restores the old node, too
                        next(call for call in new.saved.nodes if call[0]() is new).append(reference)


def _kind(node: Node) -> tuple:
    return node.plan.op.name, node.shape, node.dtype  # type: ignore[union-attr]


def _named(kind: tuple | None) -> str:
    return "nothing" if kind is None else f"{kind[0]} of shape {kind[1]}"
