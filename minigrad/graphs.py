"""The recorded graph as data: which ops, which shapes, and what it keeps in memory and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minigrad.backend import raw
from minigrad.engine import Node
from minigrad.tensor import Tensor


@dataclass(frozen=True)
class Kept:
    """A value that a node keeps for its gradient rules."""

    name: str  # the argument of the op, or "out"
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    wanted_by: tuple[str, ...]  # the arguments whose gradient rules name it
    buffer: int  # the same number for values that share memory


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


class Graph:
    """What `graph` returns: `nodes` in the order of their creation, and sums over them. `print` shows it as a table."""

    def __init__(self, nodes: Sequence[GraphNode], leaves: dict[int, int]):
        self.nodes = tuple(nodes)
        self._leaves = leaves  # buffer -> bytes of the tensors that the user holds anyway

    @property
    def bytes(self) -> int:
        """All that the graph keeps, each piece of memory counted once."""
        return sum(self._buffers().values())

    @property
    def leaf_bytes(self) -> int:
        """The part of `bytes` that lies in leaves: parameters, which are there without the graph, too."""
        return sum(n for buffer, n in self._buffers().items() if buffer in self._leaves)

    @property
    def activation_bytes(self) -> int:
        """The part of `bytes` that only the graph and its intermediate results need."""
        return self.bytes - self.leaf_bytes

    def _buffers(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for node in self.nodes:
            for kept in node.kept:
                found[kept.buffer] = max(kept.bytes, found.get(kept.buffer, 0))
        return found

    def memory(self) -> str:
        """What keeps memory and why, the largest first; of values that share memory only the first is listed."""
        rows: dict[int, tuple[int, str]] = {}
        for node in self.nodes:
            for kept in node.kept:
                why = ", ".join(kept.wanted_by)
                leaf = " (a leaf)" if kept.buffer in self._leaves else ""
                text = (
                    f"{kept.bytes:>12,}  {kept.name} of {node.op} #{node.index}, {kept.dtype}{list(kept.shape)}{leaf}: "
                    f"for the gradient of {why}"
                )
                if kept.buffer not in rows:
                    rows[kept.buffer] = kept.bytes, text
        lines = [text for _, text in sorted(rows.values(), key=lambda row: -row[0])]
        total = f"{self.bytes:,} bytes: {self.activation_bytes:,} activations and {self.leaf_bytes:,} in leaves"
        return "\n".join([total, *lines])

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        lines = []
        for node in self.nodes:
            came = " <- " + ", ".join(f"#{i}" for i in node.inputs) if node.inputs else ""
            keeps = "; keeps " + ", ".join(f"{k.name} ({k.bytes:,} B)" for k in node.kept) if node.kept else ""
            note = f"; {node.state}" if node.state in ("freed", "checkpointed") else ""
            lines.append(f"#{node.index} {node.op} {node.dtype}{list(node.shape)}{came}{keeps}{note}")
        return "\n".join(lines)


def graph(*outputs: Tensor) -> Graph:
    """The graph that the outputs were computed by, as data.

    Args:
        outputs: one tensor or more, each of which requires a gradient.

    Raises:
        RuntimeError: a tensor without a graph.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> found = graph((mg.exp(x) * 2).sum())
    >>> print(found)
    #0 leaf float32[2]
    #1 exp float32[2] <- #0; keeps out (8 B)
    #2 multiply float32[2] <- #1
    #3 sum float32[] <- #2
    >>> found.bytes, [node.op for node in found.nodes]
    (8, ['leaf', 'exp', 'multiply', 'sum'])
    """
    for i, y in enumerate(outputs):
        if y.node is None:
            raise RuntimeError(f"outputs[{i}], of shape {y.shape}, has no graph: it does not require a gradient")
    seen = {y.node for y in outputs if y.node is not None}
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if edge not in seen:
                seen.add(edge)
                stack.append(edge)
    order = sorted(seen, key=lambda node: node.sequence)
    index = {node: i for i, node in enumerate(order)}
    leaves: dict[int, int] = {}
    for node in order:
        tensor = node.target() if node.plan is None and node.target is not None else None
        if tensor is not None:
            leaves[_buffer(tensor._array)] = tensor._array.nbytes
    return Graph([_described(node, index) for node in order], leaves)


def _described(node: Node, index: dict[Node, int]) -> GraphNode:
    inputs = tuple(index[edge] for edge in node.edges)
    if node.plan is None:
        return GraphNode(index[node], "leaf", node.shape, str(node.dtype), inputs, (), "leaf")
    op = node.plan.op
    state = "recorded" if type(node.saved) is list else "freed" if node.saved is None else "checkpointed"
    kept = []
    for name, value in zip(node.plan.names, node.saved if state == "recorded" else (), strict=False):
        wanted = tuple(a for a, (_, needs) in op.rules.items() if name in needs)
        for item in value if isinstance(value, list) else [value]:
            array = raw(item)
            if hasattr(array, "nbytes") and hasattr(array, "strides"):
                kept.append(Kept(name, array.shape, str(array.dtype), array.nbytes, wanted, _buffer(array)))
    return GraphNode(index[node], op.name, node.shape, str(node.dtype), inputs, tuple(kept), state)


def _buffer(array: Any) -> int:
    """A number for the memory of an array: views of one array share it."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "strides"):
        array = array.base
    return id(array)
