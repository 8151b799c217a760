"""The graph as data: nodes, edges, and the bytes that each value keeps and why."""

from __future__ import annotations

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
    kept = {(n.op, k.name): (k.bytes, k.wanted_by) for n in found.nodes for k in n.kept}
    assert kept == {("matmul", "x"): (48, ("y",)), ("matmul", "y"): (96, ("x",)), ("tanh", "out"): (64, ("x",))}
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


def test_freed_and_checkpointed_graphs() -> None:
    x = mg.tensor(np.ones(3), requires_grad=True)
    y = mg.checkpoint(mg.exp, x)
    z = y.sum()
    assert "checkpointed" in str(mg.graph(z))
    z.backward()
    assert mg.graph(z).nodes[-1].state == "freed"
    assert mg.graph(z).bytes == 0


def test_a_chain_of_100_000_nodes() -> None:
    y = mg.tensor(np.ones(1), requires_grad=True)
    for _ in range(100_000):
        y = y + 1.0
    assert len(mg.graph(y)) == 100_001


def test_lenet_keeps_its_activations() -> None:
    net = models.lenet5()
    loss = mg.cross_entropy(net(mg.zeros((2, 1, 28, 28))), [1, 2])
    found = mg.graph(loss)
    # No rule wants a bias, nor the first kernels: nobody asks for the gradient of the images.
    parameters = sum(p.size * 4 for p in list(net.parameters())[2:] if p.ndim > 1)
    assert found.leaf_bytes == parameters
    tanhs = 2 * (6 * 28 * 28 + 16 * 10 * 10 + 120 + 84) * 4
    assert found.activation_bytes > tanhs


def test_a_tensor_without_a_graph() -> None:
    with pytest.raises(RuntimeError, match=r"outputs\[1\], of shape \(2,\), has no graph"):
        mg.graph(mg.ones((), requires_grad=True) * 2, mg.ones(2))
