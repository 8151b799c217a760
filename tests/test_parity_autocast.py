"""autocast and GradScaler against PyTorch: classes of ops, dtypes, values, gradients, and the way of the scale."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autocast import CLASS_OF

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

# PyTorch's name for an op of ours, where it is another; `pow` and a few others appear there with an overload.
NAMES = {
    "arccos": "acos",
    "arcsin": "asin",
    "arctan2": "atan2",
    "conv": "convolution",
    "index_add": "scatter_add",
    "index_set": "index_put",
    "log_loss": "nll_loss",
    "norm": "linalg_vector_norm",
    "power": "pow",
}
# In no list of PyTorch's: parts of an op that is, and what its autocast for CPUs lists or cannot compute in half.
BEYOND = {
    "high": {"cholesky", "det", "inv", "slogdet", "solve", "log_loss_input", "lrn", "lrn_input"},
    "low": {"conv_input", "conv_weight"},
    "reciprocal": {"divide"},
}


def lists_for_cuda() -> dict[str, set[str]]:
    """The names in the lists of the header that is installed with PyTorch."""
    header = Path(torch.__file__).parent / "include/ATen/autocast_mode.h"
    if not header.exists():
        pytest.skip("NOT CHECKED: this PyTorch was installed without its headers")
    found: dict[str, set[str]] = {}
    for macro, body in re.findall(r"#define AT_FORALL_(\w+)\(_\)((?:.*\\\n)+.*)", header.read_text()):
        found[macro] = set(re.findall(r"_\((\w+)", body))
    return {
        "low": found["LOWER_PRECISION_FP"],
        "high": found["FP32"] | found["FP32_SET_OPT_DTYPE"],
        "widest": found["PROMOTE"],
    }


def test_the_classes_are_those_of_the_lists_for_cuda() -> None:
    lists = lists_for_cuda()
    for name, kind in CLASS_OF.items():
        theirs = {k for k, names in lists.items() if NAMES.get(name, name) in names}
        if name not in BEYOND.get(kind, ()):
            assert theirs == ({kind} if kind != "same" else set()), name
        else:
            assert not theirs, name
    assert "reciprocal" in lists["high"]


def pair(*shape: int, dtype: str = "float32", seed: int = 0) -> tuple[mg.Tensor, Any]:
    x = np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(dtype)
    return mg.tensor(x), torch.from_numpy(x)


# Where the lists for the CPU and for CUDA agree: what ours gives, and what PyTorch gives, of the same arguments.
SAME_ON_BOTH = {
    "matmul": (lambda lib, x, y: x @ y.T, 2, (3, 4)),
    "einsum": (lambda lib, x, y: lib.einsum("ij,kj->ik", x, y), 2, (3, 4)),
    "conv1d": (lambda lib, x, y: (lib.conv1d if lib is mg else torch.conv1d)(x, y), 2, (3, 3, 2)),
    "conv_transpose2d": (lambda lib, x, y: lib.conv_transpose2d(x, y), 2, (2, 2, 3, 3)),
    "prelu": (lambda lib, x, y: lib.prelu(x, y[0, :1]), 2, (3, 4)),
    "relu": (lambda lib, x: lib.relu(x), 1, (3, 4)),
    "tanh": (lambda lib, x: lib.tanh(x), 1, (3, 4)),
    "sigmoid": (lambda lib, x: lib.sigmoid(x), 1, (3, 4)),
    "add": (lambda lib, x, y: x + y, 2, (3, 4)),
    "multiply": (lambda lib, x, y: x * y, 2, (3, 4)),
    "x / y": (lambda lib, x, y: x / y, 2, (3, 4)),
    "mean": (lambda lib, x: x.mean(), 1, (3, 4)),
    "prod": (lambda lib, x: x.prod(), 1, (3, 4)),
    "stack": (lambda lib, x, y: lib.stack([x, y]), 2, (3, 4)),
    "reshape": (lambda lib, x: x.reshape(-1), 1, (3, 4)),
}


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float16", "float32"), ("float16", "float16")])
@pytest.mark.parametrize("name", SAME_ON_BOTH)
def test_dtypes_and_values_where_the_lists_agree(name: str, dtypes: tuple[str, str]) -> None:
    call, count, shape = SAME_ON_BOTH[name]
    ours, theirs = zip(*(pair(*shape, dtype=d, seed=i) for i, d in enumerate(dtypes[:count])), strict=True)
    with mg.autocast():
        found = call(mg, *ours)
    with torch.autocast("cpu", torch.float16):
        expected = call(torch, *theirs)
    assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=2e-3 if found.dtype == np.float16 else 1e-5)


LOSSES = ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss"]


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    (x, tx), (y, ty) = pair(3, 4, dtype="float16"), pair(3, 4, seed=1)
    with mg.autocast():
        found = getattr(nn, name)()(x, y)
    with torch.autocast("cpu", torch.float16):
        expected = getattr(torch.nn, name)()(tx, ty)
    assert (found.dtype, expected.dtype) == (np.float32, torch.float32)
    np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-6)


def test_gradients_of_a_network() -> None:
    """Convolution, ReLU, a linear layer and cross entropy: the gradients agree to a few roundings of float16."""
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 6 * 6, 5)
    )
    ours = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))
    ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.state_dict().items()})
    x, tx = pair(8, 2, 8, 8)
    labels = np.arange(8) % 5
    with mg.autocast():
        loss = nn.CrossEntropyLoss()(ours(x), labels)
    with torch.autocast("cpu", torch.float16):
        expected = torch.nn.CrossEntropyLoss()(theirs(tx), torch.from_numpy(labels))
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-3)
    (loss * 1024).backward()
    (expected * 1024).backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (p.grad.dtype, q.grad.dtype) == (np.float32, torch.float32)
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=5e-3 * abs(q.grad.numpy()).max())


@pytest.mark.parametrize(
    "options",
    [
        {"init_scale": 65536.0, "growth_interval": 5},
        {"init_scale": 1000.0, "growth_factor": 1.7, "backoff_factor": 0.3, "growth_interval": 3},
        {"init_scale": 2.0**125, "growth_interval": 1},
    ],
)
def test_the_way_of_the_scale_over_200_steps(options: dict[str, Any]) -> None:
    """inf and nan in a tenth of the gradients of either of two optimizers: scales, states and parameters are equal."""
    ours, theirs = nn.train.GradScaler(**options), torch.amp.GradScaler("cpu", **options)
    ps = [mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
    qs = [torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
    our_steps = [nn.optim.SGD([p], lr=0.01) for p in ps]
    their_steps = [torch.optim.SGD([q], lr=0.01) for q in qs]
    rng, skipped = np.random.default_rng(0), 0
    for step in range(200):
        bad = [rng.choice([np.inf, -np.inf, np.nan]) if rng.random() < 0.1 else None for _ in ps]
        skipped += any(b is not None for b in bad)
        for scaler, tensors, optimizers in ((ours, ps, our_steps), (theirs, qs, their_steps)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            scaler.scale((tensors[0] * 1e-6).sum() + (tensors[1] * tensors[1] * 1e-6).sum()).backward()
            for t, b in zip(tensors, bad, strict=True):
                if b is not None:
                    t.grad[step % 2] = float(b)
            if step % 3 == 0:
                scaler.unscale_(optimizers[0])
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
        assert ours.get_scale() == theirs.get_scale(), step
        assert ours.state_dict() == pytest.approx(theirs.state_dict(), rel=0)
        for p, q in zip(ps, qs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)
    assert 20 < skipped < 60


def test_states_go_from_one_to_the_other() -> None:
    theirs = torch.amp.GradScaler("cpu", init_scale=128.0)
    ours = nn.train.GradScaler()
    ours.load_state_dict(theirs.state_dict())
    assert ours.get_scale() == 128
    theirs.load_state_dict(nn.train.GradScaler(init_scale=64.0).state_dict())
    assert theirs.get_scale() == 64
