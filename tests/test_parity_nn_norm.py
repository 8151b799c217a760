"""Norm layers against PyTorch: values, gradients, running statistics, keys and texts."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

LAYERS = [
    ("BatchNorm1d", (3,), {}, (7, 3)),
    ("BatchNorm1d", (3,), {"momentum": None}, (4, 3, 5)),
    ("BatchNorm2d", (3,), {"eps": 0.1, "momentum": 0.3}, (4, 3, 5, 6)),
    ("BatchNorm2d", (3,), {"affine": False}, (4, 3, 5, 6)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (4, 3, 5, 6)),
    ("BatchNorm2d", (3,), {"bias": False}, (4, 3, 5, 6)),
    ("BatchNorm3d", (3,), {}, (2, 3, 4, 3, 2)),
    ("InstanceNorm1d", (3,), {}, (4, 3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (4, 3, 5, 6)),
    ("InstanceNorm3d", (3,), {"affine": True}, (2, 3, 4, 3, 2)),
    ("LayerNorm", (6,), {}, (4, 3, 6)),
    ("LayerNorm", ((5, 6),), {"eps": 0.1, "bias": False}, (4, 3, 5, 6)),
    ("LayerNorm", ((5, 6),), {"elementwise_affine": False}, (4, 3, 5, 6)),
    ("RMSNorm", (6,), {}, (4, 6)),
    ("RMSNorm", ((5, 6),), {"eps": 0.1, "elementwise_affine": False}, (4, 5, 6)),
    ("GroupNorm", (2, 6), {}, (4, 6)),
    ("GroupNorm", (2, 6), {"bias": False}, (4, 6, 2)),
    ("GroupNorm", (3, 6), {"eps": 0.1}, (4, 6, 5, 2)),
    ("GroupNorm", (6, 6), {"affine": False}, (4, 6, 5)),
    ("LocalResponseNorm", (5,), {}, (4, 9, 5, 2)),
    ("LocalResponseNorm", (2,), {"alpha": 0.3, "beta": 0.6, "k": 2.0}, (4, 9, 5)),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-11)])
@pytest.mark.parametrize(("name", "arguments", "options", "shape"), LAYERS)
def test_several_steps_and_then_eval(name, arguments, options, shape, dtype, tolerance):
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert repr(ours) == repr(theirs)
    ours.to(dtype)
    theirs.to(getattr(torch, dtype))
    rng = np.random.default_rng(0)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        values = rng.standard_normal(p.shape).astype(dtype)
        with mg.no_grad(), torch.no_grad():
            p.copy_(values)
            q.copy_(torch.tensor(values))

    def close(a, b):
        a, b = a.detach().numpy(), b.detach().numpy()
        assert a.shape == b.shape
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)

    for step in range(5):
        if step == 3:
            ours.eval()
            theirs.eval()
        x, g = (rng.standard_normal(shape).astype(dtype) * 2 + 1 for _ in range(2))
        a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        close(y, z)
        y.backward(g)
        z.backward(torch.tensor(g))
        close(a.grad, b.grad)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad)
    state, other = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(other)
    for key, value in state.items():
        assert str(value.dtype) == str(other[key].dtype).removeprefix("torch.")
        close(value.to("float64"), other[key].to(torch.float64))


def test_second_derivatives_of_a_network_with_batch_norm():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3, 4, 4))
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).to("float64")
    n = torch.nn
    theirs = n.Sequential(n.Conv2d(3, 4, 3), n.BatchNorm2d(4), n.ReLU(), n.Flatten(), n.Linear(16, 2)).double()
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    target = np.array([0, 1, 1, 0, 1])
    ps, qs = list(ours.parameters()), list(theirs.parameters())
    grads = mg.grad(nn.CrossEntropyLoss()(ours(x), target), ps, create_graph=True)
    their_loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target))
    their_grads = torch.autograd.grad(their_loss, qs, create_graph=True)
    penalty = sum((g * g).sum() for g in grads)
    their_penalty = sum((g * g).sum() for g in their_grads)
    pairs = zip(
        mg.grad(penalty, ps, allow_unused=True), torch.autograd.grad(their_penalty, qs, allow_unused=True), strict=True
    )
    for g, h in pairs:
        if h is not None:
            np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-8, atol=1e-12)


def test_update_bn_gives_the_statistics_of_all_batches():
    """After averaging weights, the statistics of the averaged model are those of all the data, each batch alike."""
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((6, 3, 4, 4)).astype(np.float32) * (1 + i) for i in range(3)]
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    n = torch.nn
    theirs = n.Sequential(n.Conv2d(3, 4, 3), n.BatchNorm2d(4), n.ReLU(), n.BatchNorm2d(4))
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    ours.eval()
    theirs.eval()
    nn.averaging.update_bn(batches, ours)
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in batches], theirs)
    assert not ours.training
    assert ours[1].momentum == 0.1
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-4, atol=1e-6)
