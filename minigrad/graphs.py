"""The recorded graph as data: which ops, which shapes, and what it keeps in memory and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minigrad.backend import raw
from minigrad.checkpointing import Dropped
from minigrad.engine import Node
from minigrad.tensor import Tensor

_ROWS = 100  # of a table: of a longer one the first and the last half are shown


@dataclass(frozen=True)
class Kept:
    """A value that a node keeps alive."""

    name: str  # the argument of the op, an auxiliary output, or "out"
    shape: tuple[int, ...]
    dtype: str
    bytes: int  # of the piece of memory it lies in: a view keeps all of it
    why: str  # "for the gradient of x", "to run the checkpointed f again"
    buffer: int  # the same number for values in one piece of memory
    is_leaf: bool  # whether that memory is a leaf's own, and there without the graph, too


@dataclass(frozen=True)
class GraphNode:
    """One recorded call, or a leaf (op "leaf")."""

    index: int
    op: str
    shape: tuple[int, ...]
    dtype: str
    inputs: tuple[int, ...]  # indices of the nodes its differentiated inputs came from
    kept: tuple[Kept, ...]
    state: str  # "recorded", "freed", "checkpointed" or "leaf"

    def __str__(self) -> str:
        return f"{self.op} #{self.index}"


class Graph:
    """What `graph` returns: `nodes` in the order of their creation, and sums over them. `print` shows it as a table.

    It is a picture of the moment, and keeps nothing of the graph alive.
    """

    def __init__(self, nodes: list[GraphNode]):
        self.nodes = tuple(nodes)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Pairs of indices, (input, node)."""
        return [(i, node.index) for node in self.nodes for i in node.inputs]

    @property
    def leaves(self) -> list[GraphNode]:
        """The leaves that the outputs were computed from."""
        return [node for node in self.nodes if node.state == "leaf"]

    @property
    def bytes(self) -> int:
        """All that the graph keeps, each piece of memory counted once."""
        return self.leaf_bytes + self.activation_bytes

    @property
    def leaf_bytes(self) -> int:
        """The part of `bytes` that is the memory of leaves: parameters, which are there without the graph, too."""
        return sum(uses[0][1].bytes for uses in self._buffers.values() if uses[0][1].is_leaf)

    @property
    def activation_bytes(self) -> int:
        """The part of `bytes` that is not: results of ops, and data."""
        return sum(uses[0][1].bytes for uses in self._buffers.values() if not uses[0][1].is_leaf)

    @cached_property
    def _buffers(self) -> dict[int, list[tuple[GraphNode, Kept]]]:
        """The uses of each piece of memory."""
        found: dict[int, list[tuple[GraphNode, Kept]]] = {}
        for node in self.nodes:
            for kept in node.kept:
                found.setdefault(kept.buffer, []).append((node, kept))
        return found

    def memory(self) -> str:
        """What keeps memory and why, the largest piece first.

        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> print(graph(mg.exp(x) * x).memory())
        16 bytes: 8 activations and 8 in leaves
                   8  out of exp #1, float32[2]: for the gradient of x; x of multiply #2: for the gradient of y
                   8  y of multiply #2, float32[2] (a leaf): for the gradient of x
        """
        lines = [f"{self.bytes:,} bytes: {self.activation_bytes:,} activations and {self.leaf_bytes:,} in leaves"]
        for uses in sorted(self._buffers.values(), key=lambda uses: -uses[0][1].bytes):
            _, first = uses[0]
            texts = [f"{kept.name} of {node}: {kept.why}" for node, kept in uses]
            what = f", {first.dtype}{list(first.shape)}{' (a leaf)' if first.is_leaf else ''}"
            head, colon, tail = texts[0].partition(":")
            lines.append(f"{first.bytes:>12,}  {'; '.join([head + what + colon + tail, *texts[1:]])}")
        return "\n".join(_shortened(lines))

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        lines = []
        for node in self.nodes:
            came = " <- " + ", ".join(f"#{i}" for i in node.inputs) if node.inputs else ""
            keeps = "; keeps " + ", ".join(f"{k.name} ({k.bytes:,} B)" for k in node.kept) if node.kept else ""
            note = f"; {node.state}" if node.state in ("freed", "checkpointed") else ""
            lines.append(f"#{node.index} {node.op} {node.dtype}{list(node.shape)}{came}{note}{keeps}")
        return "\n".join(_shortened(lines))


def graph(*outputs: Tensor) -> Graph:
    """The graph that the outputs were computed by, as data.

    Of a graph that a backward has freed only the outputs are left, in the state "freed".

    Args:
        outputs: one tensor or more, each of which requires a gradient.

    Raises:
        TypeError: no output, or one that is not a Tensor.
        RuntimeError: a tensor without a graph.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> found = graph((mg.exp(x) * 2).sum())
    >>> print(found)
    #0 leaf float32[2]
    #1 exp float32[2] <- #0; keeps out (8 B)
    #2 multiply float32[2] <- #1
    #3 sum float32[] <- #2
    >>> found.bytes, found.edges
    (8, [(0, 1), (1, 2), (2, 3)])
    """
    if not outputs:
        raise TypeError("graph needs a tensor, as in graph(loss), got none")
    for i, y in enumerate(outputs):
        if not isinstance(y, Tensor):
            raise TypeError(f"outputs[{i}] must be a Tensor, got {type(y).__name__}; pass several as graph(y, z)")
        if y.node is None:
            raise RuntimeError(
                f"outputs[{i}], of shape {y.shape}, has no graph: none of its inputs requires a gradient, or it was "
                f"computed under no_grad(); make an input with requires_grad=True before computing it"
            )
    seen = {y.node for y in outputs if y.node is not None}
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if edge not in seen:
                seen.add(edge)
                stack.append(edge)
    order = sorted(seen, key=lambda node: node.sequence)
    index = {node: i for i, node in enumerate(order)}
    leaves = set()
    for node in order:
        tensor = node.target() if node.plan is None and node.target is not None else None
        if tensor is not None:
            leaves.add(_buffer(tensor._array)[0])
    regions: set[int] = set()
    nodes = []
    for node in order:
        kept = tuple(_kept(name, array, why, leaves) for name, array, why in _values(node, regions))
        op = "leaf" if node.plan is None else node.plan.op.name
        inputs = tuple(index[edge] for edge in node.edges)
        nodes.append(GraphNode(index[node], op, node.shape, str(node.dtype), inputs, kept, _state(node)))
    return Graph(nodes)


def _state(node: Node) -> str:
    if node.plan is None:
        return "leaf"
    if isinstance(node.saved, Dropped):
        return "checkpointed"
    return "freed" if node.saved is None else "recorded"


def _values(node: Node, regions: set[int]) -> Iterator[tuple[str, Any, str]]:
    """The arrays that a node keeps, with their names and the reasons; those of a region at the first of its nodes."""
    if isinstance(node.saved, Dropped):
        region = node.saved.region
        if id(region) not in regions:
            regions.add(id(region))
            for name, tensor in region.held():
                yield f"argument {name}", tensor._array, f"to run the checkpointed {region.name} again"
    elif node.plan is not None and node.saved is not None:
        plan = node.plan
        joint = plan.joint[1] if plan.joint else ()
        rules = [(plan.op.parameters[i], needs) for (i, _), (_, needs) in zip(plan.inputs, plan.rules, strict=True)]
        for k, (name, value) in enumerate(zip(plan.names, node.saved, strict=True)):
            wanted = dict.fromkeys(argument for argument, needs in rules if k in needs or k in joint)
            for item in value if type(value) is list else [value]:
                array = raw(item)
                if hasattr(array, "nbytes") and hasattr(array, "strides"):
                    yield name, array, f"for the gradient of {' and '.join(wanted)}"


def _kept(name: str, array: Any, why: str, leaves: set[int]) -> Kept:
    buffer, size = _buffer(array)
    return Kept(name, tuple(array.shape), str(array.dtype), size, why, buffer, buffer in leaves)


def _buffer(array: Any) -> tuple[int, int]:
    """A number for the piece of memory that an array lies in, and its bytes: views of one array share it."""
    owner, base = array, getattr(array, "base", None)
    while base is not None:
        if hasattr(base, "strides"):  # not the helper in between that as_strided makes
            owner = base
        base = getattr(base, "base", None)
    return id(owner), owner.nbytes


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _ROWS:
        return lines
    half = _ROWS // 2
    return [*lines[:half], f"... {len(lines) - 2 * half:,} more ...", *lines[-half:]]
