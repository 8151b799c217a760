"""The simple layers against PyTorch, row by row of their table: text, keys, values, gradients; initial values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.layertable import LAYERS, Layer
from tests.test_parity_nn import same_bound, same_distribution

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

rows = pytest.mark.parametrize("row", [row for row in LAYERS if row.torch], ids=lambda row: row.id)


def both(row: Layer, dtype: str) -> tuple[Any, Any]:
    """The layer and PyTorch's, with the same parameters."""
    ours, theirs = row.make(nn).to(dtype), row.make(torch.nn).to(getattr(torch, dtype))
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})
    return ours, theirs


@rows
def test_text_keys_and_shapes(row: Layer) -> None:
    ours, theirs = row.make(nn), row.make(torch.nn)
    assert repr(ours) == repr(theirs)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 4e-6), ("float64", 1e-13)])
@rows
def test_values_and_gradients(row: Layer, dtype: str, tolerance: float) -> None:
    ours, theirs = both(row, dtype)
    random = "Dropout" in row.name and 0 < ours.p < 1
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in row.inputs(np.random.default_rng(3))]
    xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    ts = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    y, t = (net.eval()(*v) if random else net(*v) for net, v in ((ours, xs), (theirs, list(map(torch.clone, ts)))))
    close(y, t, tolerance)
    leaves = [x for x in (*xs, *ours.parameters()) if x.requires_grad]
    their_leaves = [x for x in (*ts, *theirs.parameters()) if x.requires_grad]
    seed = np.random.default_rng(0).standard_normal(y.shape).astype(dtype)
    for g, h in zip(mg.grad(y, leaves, seed), torch.autograd.grad(t, their_leaves, torch.tensor(seed)), strict=True):
        close(g, h, max(tolerance, 1e-7) if row.name in IN_SINGLE else tolerance)


def close(ours: Any, theirs: Any, tolerance: float) -> None:
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert abs(ours - theirs).max(initial=0) <= tolerance * abs(theirs).max(initial=0)


EDGES = np.array([-np.inf, -1e30, -6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 1e30, np.inf, np.nan])
ELEMENTWISE = ["CELU", "ELU", "Hardsigmoid", "Hardtanh", "LeakyReLU", "LogSigmoid", "PReLU", "ReLU", "ReLU6", "SELU"]
ELEMENTWISE += ["Sigmoid", "Softplus", "Softsign", "Tanh"]
IN_SINGLE = {"Hardsigmoid", "CELU"}  # whose gradients PyTorch scales by a float32 number, also in float64


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_at_their_kinks_and_far_out(name: str) -> None:
    """Values everywhere; derivatives where they are numbers in PyTorch."""
    x, t = mg.tensor(EDGES, requires_grad=True), torch.tensor(EDGES, requires_grad=True)
    y, u = getattr(nn, name)()(x), getattr(torch.nn, name)().double()(t)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-14)
    (g,), (h,) = mg.grad(y, [x], np.ones(15)), torch.autograd.grad(u, [t], torch.ones(15, dtype=torch.float64))
    finite = np.isfinite(h.numpy()) & np.isfinite(EDGES)
    rtol = 1e-7 if name in IN_SINGLE else 1e-14
    np.testing.assert_allclose(g.numpy()[finite], h.numpy()[finite], rtol=rtol, atol=1e-16)


@pytest.mark.parametrize("name", ["Hardswish", "Mish", "SiLU", "GELU"])
def test_activations_that_multiply_by_x(name: str) -> None:
    xs = EDGES[np.isfinite(EDGES)]
    x, t = mg.tensor(xs, requires_grad=True), torch.tensor(xs, requires_grad=True)
    y, u = getattr(nn, name)()(x), getattr(torch.nn, name)()(t)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-14, atol=1e-300)
    (g,), (h,) = (
        mg.grad(y, [x], np.ones(xs.size)),
        torch.autograd.grad(u, [t], torch.ones(xs.size, dtype=torch.float64)),
    )
    np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_keeps_as_many(p: float) -> None:
    x = np.ones((400, 50), np.float32)
    torch.manual_seed(0)
    ours, theirs = nn.Dropout(p)(x).numpy(), torch.nn.Dropout(p)(torch.tensor(x)).numpy()
    assert np.unique(ours).tolist() == np.unique(theirs).tolist()
    limit = 5 * math.sqrt(2 * p * (1 - p) / x.size)
    assert abs((ours == 0).mean() - (theirs == 0).mean()) < limit


# ---- interpolation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_the_nearest_element_of_every_size_and_factor(mode: str) -> None:
    """In float64: in float32 PyTorch rounds some places to the next element."""
    for size in range(1, 25):
        x = np.arange(float(size)).reshape(1, 1, size)
        ways: list[dict] = [{"size": out} for out in range(1, 50)]
        ways += [{"scale_factor": f} for f in (0.1, 1 / 3, 0.7, 1.1, 1.5, 2, 2.5, 3, 3.7, 7, 49) if int(size * f)]
        for way in ways:
            theirs = torch.nn.functional.interpolate(torch.tensor(x), mode=mode, **way)
            np.testing.assert_array_equal(mg.interpolate(x, mode=mode, **way), theirs.numpy(), err_msg=f"{size} {way}")


@pytest.mark.parametrize(("mode", "n"), [("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)])
@pytest.mark.parametrize("align_corners", [None, False, True])
@pytest.mark.parametrize(
    "way",
    [
        {"size": (3, 4, 6)},
        {"size": 1},
        {"size": 9},
        {"scale_factor": 0.7},
        {"scale_factor": 1.0},
        {"scale_factor": 2},
        {"scale_factor": (1.3, 2.6, 1.9), "recompute_scale_factor": True},
        {"scale_factor": (1.3, 2.6, 1.9)},
    ],
    ids=str,
)
def test_interpolation(mode: str, n: int, align_corners: bool | None, way: dict) -> None:
    way = {key: value[:n] if isinstance(value, tuple) else value for key, value in way.items()}
    options = {"mode": mode, "align_corners": align_corners, **way}
    for sizes in ((4, 5, 3)[:n], (2, 7, 2)[:n]):
        x = np.random.default_rng(0).standard_normal((2, 2, *sizes))
        ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, t = mg.interpolate(ours, **options), torch.nn.functional.interpolate(theirs, **options)
        close(y, t, 1e-13)
        seed = np.random.default_rng(1).standard_normal(y.shape)
        close(mg.grad(y, [ours], seed)[0], torch.autograd.grad(t, [theirs], torch.tensor(seed))[0], 1e-13)


# ---- initial values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"), [("Embedding", (300, 50)), ("Bilinear", (20, 30, 50)), ("Bilinear", (20, 1, 2000))]
)
def test_default_initial_values(name: str, arguments: tuple) -> None:
    torch.manual_seed(0)
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    for (key, p), (their_key, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == their_key
        assert p.shape == tuple(q.shape)
        if p.size > 100:
            same_distribution(p, q)
        if name != "Embedding" and p.size > 1000:
            same_bound(p, q)


INITIALISERS = [
    ("trunc_normal_", {}),
    ("trunc_normal_", {"mean": 0.5, "std": 0.02}),
    ("trunc_normal_", {"mean": 1.0, "std": 2.0, "a": 0.9, "b": 1.5}),
    ("trunc_normal_", {"a": 0.3, "b": 0.4}),
    ("trunc_normal_", {"a": 1.5, "b": 9.0}),
    ("orthogonal_", {"gain": 1.5}),
    ("sparse_", {"sparsity": 0.3, "std": 2.0}),
]


@pytest.mark.parametrize(("name", "options"), INITIALISERS, ids=str)
def test_initialisers(name: str, options: dict) -> None:
    torch.manual_seed(0)
    shape = (100, 120)
    same_distribution(
        getattr(nn.init, name)(mg.zeros(shape), **options), getattr(torch.nn.init, name)(torch.zeros(shape), **options)
    )


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_eye(shape: tuple) -> None:
    assert nn.init.eye_(mg.ones(shape)).tolist() == torch.nn.init.eye_(torch.ones(shape)).tolist()


@pytest.mark.parametrize("shape", [(6, 2, 3), (4, 3, 3, 2), (2, 6, 3, 5), (4, 2, 1, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac(shape: tuple, groups: int) -> None:
    ours, theirs = nn.init.dirac_(mg.ones(shape), groups), torch.nn.init.dirac_(torch.ones(shape), groups)
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("name", [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)])
def test_gains(name: str) -> None:
    assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: n.Linear(3, 7),
        lambda n: n.Conv2d(8, 6, (3, 5)),
        lambda n: n.Conv3d(8, 6, 2),
        lambda n: n.Conv1d(8, 6, 3, groups=2),
        lambda n: n.ConvTranspose2d(8, 6, 3),
        lambda n: n.Bilinear(3, 4, 5),
        lambda n: n.Embedding(3, 4),
    ],
)
def test_the_plain_fans_are_those_of_pytorch(make: Any) -> None:
    shape = make(nn).weight.shape
    assert nn.init.fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(make(torch.nn).weight)


# ---- containers -----------------------------------------------------------------------------------------------------


def changed(n: Any, kind: str) -> Any:
    """The same steps with either library."""
    net = n.Module()
    net.box = getattr(n, kind)(*([n.Tanh(), n.ReLU(), n.PReLU()] if kind == "Sequential" else [[n.Tanh(), n.ReLU()]]))
    net.box.append(n.PReLU(2))
    net.box.extend([n.PReLU(3), n.Sigmoid(), n.PReLU(5)])
    net.box.insert(1, n.PReLU(7))
    net.popped = net.box.pop(0)
    del net.box[1]
    del net.box[-2:-1]
    net.box[0] = n.PReLU(9)
    net.sum = net.box + net.box[1:]
    net.box += getattr(n, kind)(*([n.PReLU(11)] if kind == "Sequential" else [[n.PReLU(11)]]))
    net.part = net.box[1:3]
    return net


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_changing_a_container(kind: str) -> None:
    ours, theirs = changed(nn, kind), changed(torch.nn, kind)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_repr_of_a_list_counts_what_is_alike() -> None:
    def build(n: Any) -> Any:
        block = n.Sequential(n.Linear(2, 2), n.Tanh())
        return n.ModuleList([n.ReLU(), block, block, n.Sequential(n.Linear(2, 2), n.Tanh()), n.ReLU()])

    assert repr(build(nn)) == repr(build(torch.nn))
    assert repr(nn.ModuleList()) == repr(torch.nn.ModuleList())


def test_module_dict() -> None:
    def build(n: Any) -> Any:
        box = n.ModuleDict({"a": n.ReLU(), "b": n.Linear(1, 2)})
        box["c"] = n.PReLU()
        box.update([("a", n.PReLU(4)), ("d", n.Tanh())])
        del box["d"]
        box.pop("b")
        box.update(n.ModuleDict({"e": n.Linear(2, 1, bias=False)}))
        return box

    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours) == list(theirs) == list(ours.keys())
    assert len(ours) == len(theirs)
    assert "a" in ours
    assert "b" not in ours
    assert [type(m).__name__ for m in ours.values()] == [type(m).__name__ for _, m in theirs.items()]
    ours.clear()
    assert not ours.items()
