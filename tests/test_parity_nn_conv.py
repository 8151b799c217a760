"""Convolution and pooling layers against PyTorch's: arguments, weights, keys, repr, values and gradients."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", reason="PyTorch is the oracle here: `make parity` installs it")

SIZES = {1: (11,), 2: (9, 8), 3: (5, 6, 7)}
LAYERS = [
    *((f"Conv{n}d", (4, 6, 3), {}) for n in (1, 2, 3)),
    *((f"Conv{n}d", (4, 8, 2), {"stride": 2, "padding": 1, "groups": 2, "bias": False}) for n in (1, 2, 3)),
    ("Conv1d", (4, 4, 3), {"padding": "same", "dilation": 2}),
    ("Conv2d", (4, 4, (3, 2)), {"padding": (1, 0), "padding_mode": "reflect"}),
    ("Conv2d", (4, 4, 3), {"padding": 2, "padding_mode": "circular", "stride": (2, 1)}),
    ("Conv3d", (4, 4, 2), {"padding": 1, "padding_mode": "replicate"}),
    ("Conv2d", (4, 8, 3), {"groups": 4}),
    *((f"ConvTranspose{n}d", (4, 6, 3), {}) for n in (1, 2, 3)),
    *(
        (f"ConvTranspose{n}d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "bias": False})
        for n in (1, 2, 3)
    ),
    ("ConvTranspose2d", (4, 2, (2, 3)), {"dilation": (2, 1), "stride": (1, 3)}),
    *((f"MaxPool{n}d", (2,), {}) for n in (1, 2, 3)),
    *((f"MaxPool{n}d", (3, 2, 1), {"dilation": 2, "ceil_mode": True}) for n in (1, 2, 3)),
    *((f"AvgPool{n}d", (2,), {}) for n in (1, 2, 3)),
    *((f"AvgPool{n}d", (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}) for n in (1, 2, 3)),
    ("AvgPool2d", ((3, 2),), {"divisor_override": 5}),
    *((f"LPPool{n}d", (2, 3), {"stride": 2}) for n in (1, 2)),  # three axes are newer than some PyTorch
    *((f"AdaptiveAvgPool{n}d", (3,), {}) for n in (1, 2, 3)),
    *((f"AdaptiveMaxPool{n}d", (2,), {}) for n in (1, 2, 3)),
    ("AdaptiveAvgPool2d", ((None, 3),), {}),
]
layers = pytest.mark.parametrize(("name", "args", "options"), LAYERS, ids=lambda v: str(v))


def pair(name: str, args: tuple, options: dict) -> tuple:
    """Both layers with the same weights, and an input for them."""
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options).double()
    ours.to("float64")
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((2, 4, *SIZES[int(name[-2])]))
    return ours, theirs, x


@layers
def test_values_and_gradients(name: str, args: tuple, options: dict) -> None:
    ours, theirs, x = pair(name, args, options)
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, t = ours(a), theirs(b)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-10, atol=1e-12)
    seed = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(seed), t.backward(torch.tensor(seed))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-11)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-10, err_msg=key)


@layers
def test_repr_and_initial_weights(name: str, args: tuple, options: dict) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    if name != "AvgPool1d":  # PyTorch shows tuples there, and in no other pool
        assert repr(ours) == repr(theirs)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.shape == tuple(q.shape)
        fan_in = torch.nn.init._calculate_fan_in_and_fan_out(theirs.weight)[0]
        for values in (p.detach().numpy(), q.detach().numpy()):
            assert abs(values).max() <= fan_in**-0.5  # both are drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in))
    if name.startswith("Conv"):
        weight = ours.weight.detach().numpy()
        assert weight.std() == pytest.approx(fan_in**-0.5 / 3**0.5, rel=0.25)
        assert weight.transpose((*range(2, weight.ndim), 1, 0)).flags.c_contiguous


@pytest.mark.parametrize("name", sorted({name for name, _, _ in LAYERS}))
def test_arguments_come_in_pytorchs_order(name: str) -> None:
    ours = list(inspect.signature(getattr(nn, name)).parameters.values())
    theirs = list(inspect.signature(getattr(torch.nn, name)).parameters.values())
    missing = {"device", "dtype"} | ({"padding_mode"} if name.startswith("ConvTranspose") else set())
    expected = [(p.name, p.default) for p in theirs if p.name not in missing]
    ours_only = {"AvgPool1d": [("divisor_override", None)]}
    ours_only |= {f"Conv{n}d": [("connections", None), ("algorithm", "auto")] for n in (1, 2, 3)}
    more = ours_only.get(name, [])
    assert [(p.name, p.default) for p in ours] == expected + more


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_unpooling(dims: int) -> None:
    x = np.random.default_rng(0).permutation(4 * 6**dims).reshape(2, 2, *(6,) * dims).astype(float)
    pool, unpool = (getattr(nn, f"{k}{dims}d") for k in ("MaxPool", "MaxUnpool"))
    values, places = pool(2, return_indices=True)(mg.tensor(x))
    theirs = getattr(torch.nn, f"MaxPool{dims}d")(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(places.numpy(), theirs[1].numpy())
    back = getattr(torch.nn, f"MaxUnpool{dims}d")(2)
    np.testing.assert_array_equal(unpool(2)(values, places).numpy(), back(*theirs).numpy())
    assert repr(unpool(2)) == repr(back)
    assert unpool(2)(values, places, output_size=x.shape).shape == x.shape


def test_transposed_convolution_to_a_size() -> None:
    ours, theirs, x = pair("ConvTranspose2d", (4, 3, 3), {"stride": 2, "padding": 1})
    for size in ((17, 15), (18, 16)):
        y = ours(mg.tensor(x), output_size=size)
        t = theirs(torch.tensor(x), output_size=size)
        np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-10, atol=1e-12)
