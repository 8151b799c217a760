"""What does the graph of a LeNet-5 keep until backward? minigrad's `graph` against PyTorch's saved tensors.

One forward pass of `models.lenet5()` and the cross entropy on 64 images of 28x28, in float32; the same network in
PyTorch, whose `saved_tensors_hooks` are shown each tensor that a rule saves. Of both, every piece of memory is counted
once and as a whole, with the parameters and without.

    python bench/graph_memory.py  # a table, and bench/results/graph_memory.json
"""

from __future__ import annotations

import numpy as np
import torch
from harness import compare, save, versions

import minigrad as mg
from minigrad import models

BATCH = 64


def ours(x: np.ndarray, target: np.ndarray) -> tuple[dict[str, int], str]:
    """Bytes kept by minigrad, and what they are."""
    net = models.lenet5()
    found = mg.graph(mg.cross_entropy(net(x), target))
    return {"activations": found.activation_bytes, "parameters": found.leaf_bytes}, found.memory()


def theirs(x: np.ndarray, target: np.ndarray) -> dict[str, int]:
    """Bytes kept by PyTorch."""
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}  # holding the storages keeps their addresses apart

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(net(torch.tensor(x)), torch.tensor(target))
    sizes = {pointer: storage.nbytes() for pointer, storage in saved.items()}
    del loss
    parameters = sum(n for pointer, n in sizes.items() if pointer in own)
    return {"activations": sum(sizes.values()) - parameters, "parameters": parameters}


def main() -> None:
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((BATCH, 1, 28, 28), "float32"), rng.integers(0, 10, BATCH)
    found, report = ours(x, target)
    rows = {"minigrad": found, "PyTorch": theirs(x, target)}
    print(f"{'bytes kept':12}{'activations':>14}{'with parameters':>18}")
    for name, row in rows.items():
        print(f"{name:12}{row['activations']:>14,}{sum(row.values()):>18,}")
    ratio = rows["minigrad"]["activations"] / rows["PyTorch"]["activations"]
    print(f"{'ratio':12}{ratio:>14.3f}\n\nwhat minigrad keeps: {report}")
    results = {"versions": versions("torch"), "batch": BATCH, "rows": rows, "ratio of activations": ratio}
    compare("graph_memory", lambda found: {"activations, ratio to PyTorch": found["ratio of activations"]}, results)
    save("graph_memory", results)


if __name__ == "__main__":
    main()
