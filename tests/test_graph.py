"""The graph as data: nodes, edges, and the bytes that each value keeps and why."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import models


def test_nodes_edges_and_what_is_kept() -> None:
    x, w = mg.tensor(np.ones((2, 3)), requires_grad=True), mg.tensor(np.ones((3, 4)), requires_grad=True)
    found = mg.graph(mg.tanh(x @ w).sum())
    assert [(n.op, n.shape, n.inputs) for n in found.nodes] == [
        ("leaf", (2, 3), ()),
        ("leaf", (3, 4), ()),
        ("matmul", (2, 4), (0, 1)),
        ("tanh", (2, 4), (2,)),
        ("sum", (), (3,)),
    ]
    kept = {(n.op, k.name): (k.bytes, k.why) for n in found.nodes for k in n.kept}
    assert kept == {
        ("matmul", "x"): (48, "for the gradient of y"),
        ("matmul", "y"): (96, "for the gradient of x"),
        ("tanh", "out"): (64, "for the gradient of x"),
    }
    assert found.edges == [(0, 2), (1, 2), (2, 3), (3, 4)]
    assert [leaf.index for leaf in found.leaves] == [0, 1]
    assert (found.bytes, found.leaf_bytes, found.activation_bytes) == (208, 144, 64)
    assert len(found) == 5
    assert "#3 tanh float64[2, 4] <- #2; keeps out (64 B)" in str(found)
    lines = found.memory().splitlines()
    assert lines[0] == "208 bytes: 64 activations and 144 in leaves"
    assert lines[1].endswith("y of matmul #2, float64[3, 4] (a leaf): for the gradient of x")


def test_memory_that_is_shared_counts_once() -> None:
    x = mg.tensor(np.ones(8), requires_grad=True)
    y = mg.exp(x)
    found = mg.graph((y * y.reshape(2, 4).reshape(8)).sum())
    assert found.bytes == 64
    lines = found.memory().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("          64  out of exp #1, float64[8]: for the gradient of x; y of multiply #4: for")


def test_a_view_keeps_all_of_its_memory() -> None:
    x = mg.tensor(np.ones(2), requires_grad=True)
    rows = mg.tensor(np.ones((1000, 2)))
    found = mg.graph(x * rows[0] + x * mg.asarray(np.lib.stride_tricks.sliding_window_view(np.ones(9), 2)[1]))
    assert found.bytes == found.activation_bytes == 16_000 + 72


def test_only_rules_that_this_call_needs_are_named() -> None:
    x, c = mg.tensor(np.ones(2), requires_grad=True), np.ones(2)
    found = mg.graph(x * c)
    assert [(k.name, k.why, k.is_leaf) for k in found.nodes[-1].kept] == [("y", "for the gradient of x", False)]


def test_freed_and_checkpointed_graphs() -> None:
    x = mg.tensor(np.ones(3), requires_grad=True)
    y = mg.checkpoint(mg.exp, x)
    z = y.sum()
    assert str(mg.graph(z)).splitlines()[1] == ("#1 exp float64[3] <- #0; checkpointed; keeps argument 0 (24 B)")
    assert mg.graph(z).memory().splitlines()[1] == (
        "          24  argument 0 of exp #1, float64[3] (a leaf): to run the checkpointed exp again"
    )
    z.backward()
    assert mg.graph(z).nodes[-1].state == "freed"
    assert mg.graph(z).bytes == 0


def test_a_chain_of_100_000_nodes() -> None:
    y = mg.tensor(np.ones(1), requires_grad=True)
    for _ in range(100_000):
        y = y + 1.0
    found = mg.graph(y)
    assert len(found) == 100_001
    lines = str(found).splitlines()
    assert len(lines) == 101
    assert lines[50] == "... 99,901 more ..."
    assert lines[-1].startswith("#100000 add")


def test_lenet_keeps_its_activations() -> None:
    net = models.lenet5()
    loss = mg.cross_entropy(net(mg.zeros((2, 1, 28, 28))), [1, 2])
    found = mg.graph(loss)
    # A bias is added, and its rule needs nothing; the first weight is for the gradient of the images, which need none.
    parameters = sum(p.size * 4 for p in list(net.parameters())[1:] if p.ndim > 1)
    assert found.leaf_bytes == parameters
    tanhs = 2 * (6 * 28 * 28 + 16 * 10 * 10 + 120 + 84) * 4
    assert found.activation_bytes > tanhs


def test_a_tensor_without_a_graph() -> None:
    with pytest.raises(
        RuntimeError, match=r"outputs\[1\], of shape \(2,\), has no graph: .* requires_grad=True before"
    ):
        mg.graph(mg.ones((), requires_grad=True) * 2, mg.ones(2))
    with pytest.raises(TypeError, match=r"graph needs a tensor, as in graph\(loss\), got none"):
        mg.graph()
    with pytest.raises(TypeError, match=r"outputs\[0\] must be a Tensor, got list; pass several as graph\(y, z\)"):
        mg.graph([mg.ones(2)])


def test_it_keeps_nothing_alive() -> None:
    x = mg.tensor(np.ones(3), requires_grad=True)
    y = mg.exp(x)
    node = weakref.ref(y.node)
    found = mg.graph(y)
    del y
    assert node() is None
    assert found.bytes == 24
