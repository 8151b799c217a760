"""Kernels reuse their workspaces from call to call; what a user holds of an earlier step must not change by it."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn

NETS = {
    "lenet5": (lambda: models.lenet5(), (4, 1, 28, 28)),
    "resnet18": (lambda: models.resnet18(num_classes=10, stem="cifar", width=0.25), (4, 3, 32, 32)),
    "vgg11": (lambda: models.vgg11(num_classes=10, width=0.25), (2, 3, 32, 32)),
    "googlenet": (lambda: models.googlenet(num_classes=10, width=0.25, aux_logits=False), (2, 3, 64, 64)),
}


@pytest.mark.parametrize("name", NETS)
def test_what_is_held_of_a_step_stays_as_it_was(name: str) -> None:
    make, shape = NETS[name]
    net, rng = make(), np.random.default_rng(0)
    optimizer = nn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    held: list[tuple[np.ndarray, np.ndarray]] = []
    outputs: list[mg.Tensor] = []
    for module in net.modules():
        module.register_forward_hook(lambda module, args, output: outputs.append(output))

    for _ in range(3):
        x = mg.tensor(rng.standard_normal(shape, dtype=np.float32), requires_grad=True)
        loss = mg.cross_entropy(net(x), rng.integers(0, 10, shape[0]))
        optimizer.zero_grad()
        loss.backward()
        tensors = [*outputs, x.grad, *(p.grad for p in net.parameters())]
        held += [(t.numpy(), t.numpy().copy()) for t in tensors if isinstance(t, mg.Tensor) and t.size]
        outputs.clear()
        optimizer.step()
    assert len(held) > 50
    for array, copy in held:
        np.testing.assert_array_equal(array, copy)
