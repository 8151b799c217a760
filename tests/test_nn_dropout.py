"""Dropout: what is dropped and how often, what training and evaluation give, generators, checkpoints, memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy

KINDS = [(nn.Dropout, 2), (nn.Dropout1d, 3), (nn.Dropout2d, 4), (nn.Dropout3d, 5), (nn.DropPath, 3)]
KINDS += [(nn.UnscaledDropout, 4)]
kinds = pytest.mark.parametrize(("kind", "ndim"), KINDS)


def data(ndim: int, *, first: int = 40) -> np.ndarray:
    shape = (first, 25, 3, 4, 2)[:ndim]
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32) + 5


@kinds
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_as_many_are_dropped_as_asked_for(kind: type, ndim: int, p: float) -> None:
    y = kind(p)(np.ones((400, 60, 1, 1, 1)[:ndim], np.float32)).numpy()
    drawn = 400 if kind is nn.DropPath else y.size
    assert abs((y == 0).mean() - p) < 5 * math.sqrt(p * (1 - p) / drawn)
    kept = 1.0 if kind is nn.UnscaledDropout else 1 / (1 - p)
    np.testing.assert_allclose(y[y != 0], kept, rtol=1e-6)


@kinds
def test_parts_stay_or_go_as_a_whole(kind: type, ndim: int) -> None:
    x = data(ndim)
    y = kind(0.5)(x).numpy()
    gone = y == 0
    parts = 1 if kind is nn.DropPath else ndim if kind in (nn.Dropout, nn.UnscaledDropout) else 2
    assert (gone == gone[(..., *(slice(0, 1),) * (ndim - parts))]).all()
    assert 0 < gone.mean() < 1
    scale = 1 if kind is nn.UnscaledDropout else 2
    np.testing.assert_array_equal(y, np.where(gone, 0, scale * x))


@kinds
def test_nothing_and_everything(kind: type, ndim: int) -> None:
    x = mg.tensor(data(ndim))
    assert kind(0)(x) is x
    state = mg.get_rng_state()
    assert (kind(1)(x).numpy() == 0).all()
    assert mg.get_rng_state() != state
    assert kind(1)(mg.full(x.shape, np.inf)).numpy().max() == 0  # exact, not 0 * inf


@kinds
def test_evaluation(kind: type, ndim: int) -> None:
    x = mg.tensor(data(ndim))
    layer, state = kind(0.25).eval(), mg.get_rng_state()
    if kind is nn.UnscaledDropout:
        np.testing.assert_array_equal(layer(x).numpy(), x.numpy() * np.float32(0.75))
    else:
        assert layer(x) is x
    assert mg.get_rng_state() == state


@kinds
def test_the_expectation_is_the_same_in_training_and_evaluation(kind: type, ndim: int) -> None:
    layer = kind(0.3)
    x = np.ones((20000, 1, 1, 1, 1)[:ndim], np.float32)
    assert abs(layer(x).numpy().mean() - layer.eval()(x).numpy().mean()) < 5 * math.sqrt(0.3 / 0.7 / len(x))


@kinds
def test_the_gradient_goes_where_the_value_went(kind: type, ndim: int) -> None:
    x = mg.tensor(data(ndim), requires_grad=True)
    y = kind(0.4)(x)
    y.sum().backward()
    scale = 1 if kind is nn.UnscaledDropout else 1 / 0.6
    np.testing.assert_allclose(x.grad.numpy(), np.where(y.detach().numpy() == 0, 0, scale), rtol=1e-6)


@kinds
def test_generators(kind: type, ndim: int) -> None:
    x = data(ndim)
    mine = [kind(0.5, generator=np.random.default_rng(7)) for _ in range(2)]
    state = mg.get_rng_state()
    first, second = mine[0](x), mine[1](x)
    assert mg.get_rng_state() == state
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert (mine[0](x).numpy() != first.numpy()).any()
    mg.manual_seed(3)
    a = kind(0.5)(x)
    mg.manual_seed(3)
    np.testing.assert_array_equal(a.numpy(), kind(0.5)(x).numpy())


@kinds
@pytest.mark.parametrize("own", [False, True])
def test_a_checkpoint_drops_the_same_again(kind: type, ndim: int, own: bool) -> None:
    layer = kind(0.5, generator=np.random.default_rng(7) if own else None)
    x = mg.tensor(data(ndim), requires_grad=True)
    y = mg.checkpoint(lambda t: layer(mg.exp(t / 10)), x)
    y.sum().backward()
    scale = 1 if kind is nn.UnscaledDropout else 2
    expected = np.where(y.detach().numpy() == 0, 0, scale * np.exp(x.detach().numpy() / 10) / 10)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_what_is_dropped_depends_neither_on_the_memory_order_nor_on_the_dtype() -> None:
    x = data(4)
    lying = np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    found = []
    for array in (x, lying, x.astype(np.float64), x.astype(np.float16)):
        mg.manual_seed(1)
        y = nn.Dropout(0.5)(array)
        assert y.dtype == array.dtype
        assert [s // y._array.itemsize for s in y._array.strides] == [s // array.itemsize for s in array.strides]
        found.append(y.numpy() == 0)
    assert all((f == found[0]).all() for f in found)


def test_only_a_boolean_for_each_element_is_kept() -> None:
    x = mg.ones((64, 64), requires_grad=True)
    report = str(mg.graph(nn.Dropout(0.5)(x)))
    assert report.count("keeps") == 1
    assert "keeps keep (4,096 B)" in report


def test_the_mask_lies_as_the_input_does() -> None:
    """Else every product with it, on the way back too, would meet two memory orders: right, but many times slower."""
    x = data(4).transpose(2, 3, 0, 1)
    y = nn.UnscaledDropout()(mg.tensor(np.ascontiguousarray(x).transpose(2, 3, 0, 1), requires_grad=True))
    (keep,) = y.node.saved
    assert keep.dtype == bool
    assert keep.strides == tuple(s // 4 for s in y._array.strides)


def test_the_device_has_its_own_generator() -> None:
    with fake_cupy.install():
        x = mg.ones((50, 50), device="cuda")
        state = mg.get_rng_state()
        y = nn.Dropout(0.5)(x)
        assert y.device == "cuda"
        assert mg.get_rng_state()["cpu"] == state["cpu"]
        assert mg.get_rng_state()["cuda"] != state["cuda"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Dropout(1.5), "p must be a probability, between 0 and 1, got 1.5"),
        (lambda: nn.DropPath(-0.1), "p must be a probability, between 0 and 1, got -0.1"),
        (lambda: nn.UnscaledDropout(math.nan), "p must be a probability, between 0 and 1, got nan"),
        (
            lambda: nn.Dropout2d()(mg.zeros((3, 4, 5))),
            r"Dropout2d expects \(N, C, H, W\), got an input of shape \(3, 4, 5\); for a single sample put x\[None\]",
        ),
        (lambda: nn.Dropout1d()(mg.zeros(3)), r"Dropout1d expects \(N, C, L\), got an input of shape \(3,\); "),
        (lambda: nn.DropPath(0.5)(mg.zeros(())), "DropPath expects a batch, .*, got a single number"),
    ],
)
def test_errors(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_repr_of_what_pytorch_does_not_have() -> None:
    assert repr(nn.DropPath(0.2)) == "DropPath(p=0.2)"
    assert repr(nn.UnscaledDropout()) == "UnscaledDropout(p=0.5)"
