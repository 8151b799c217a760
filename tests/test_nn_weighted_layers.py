"""Embedding, Bilinear, LocallyConnected2d and the two layers of LeNet-5: formulas, counts, initial values, errors."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def rand(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# ---- Embedding ------------------------------------------------------------------------------------------------------


def test_embedding_is_a_linear_layer_on_one_hot_vectors() -> None:
    layer, x = nn.Embedding(7, 4), np.array([[6, 0, 3], [3, 3, 1]])
    weight = layer.weight.detach().numpy()
    np.testing.assert_array_equal(layer(x).detach().numpy(), np.eye(7, dtype=np.float32)[x] @ weight)
    layer(x).sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [1, 1, 0, 3, 0, 0, 1]
    assert layer(np.uint8(5)[None]).shape == (1, 4)
    assert layer(np.zeros((0, 2), int)).shape == (0, 2, 4)


def test_the_row_of_padding_starts_at_zero_and_is_not_learned() -> None:
    for index in (2, -5):
        layer = nn.Embedding(7, 4, padding_idx=index)
        assert repr(layer) == "Embedding(7, 4, padding_idx=2)"
        assert (layer.weight.detach().numpy() == 0).all(axis=1).tolist() == [i == 2 for i in range(7)]
    layer.load_state_dict({"weight": np.arange(28).reshape(7, 4)})
    y = layer(np.array([2, 1, 2]))
    assert y.detach().numpy()[:, 0].tolist() == [8, 4, 8]
    y.sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [0, 1, 0, 0, 0, 0, 0]

    def two_words(weight: mg.Tensor) -> mg.Tensor:
        vars(layer)["weight"] = weight
        return layer(np.array([1, 3, 3])) ** 2

    mg.check_gradients(two_words, rand(7, 4))


def test_embedding_from_a_table() -> None:
    table = rand(5, 3).astype(np.float64)
    frozen, learned = nn.Embedding.from_pretrained(table), nn.Embedding.from_pretrained(table, False, padding_idx=-1)
    assert (frozen.weight.requires_grad, learned.weight.requires_grad) == (False, True)
    assert (frozen.num_embeddings, frozen.embedding_dim, learned.padding_idx) == (5, 3, 4)
    np.testing.assert_array_equal(frozen(np.arange(5)).numpy(), table)
    assert frozen.weight.dtype == np.float64
    table[0] = 0
    assert frozen(np.array([0])).numpy().all()


# ---- Bilinear -------------------------------------------------------------------------------------------------------


def test_bilinear_is_the_formula() -> None:
    layer, x1, x2 = nn.Bilinear(3, 4, 5), rand(2, 6, 3), rand(2, 6, 4)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.einsum("nti,oij,ntj->nto", x1, w, x2) + b
    np.testing.assert_allclose(layer(x1, x2).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert layer(x1[0, 0], x2[0, 0]).shape == (5,)
    assert nn.Bilinear(3, 4, 5, bias=False).bias is None


# ---- LocallyConnected2d ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((5, 6), (3, 2), 1, 0), ((6, 6), 3, 2, 1), ((4, 5), 2, (1, 2), ((1, 0), (0, 2)))],
)
def test_locally_connected_has_a_kernel_for_each_place(size: Any, kernel: Any, stride: Any, padding: Any) -> None:
    layer, x = nn.LocallyConnected2d(2, 3, size, kernel, stride, padding), rand(2, 2, *size)
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    out = layer(x).detach().numpy()
    (kh, kw), (sh, sw) = np.broadcast_to(kernel, 2), np.broadcast_to(stride, 2)
    pairs = padding if isinstance(padding, tuple) else ((padding, padding),) * 2
    padded = np.pad(x, ((0, 0), (0, 0), *pairs))
    assert weight.shape == (*out.shape[2:], 3, 2, kh, kw)
    assert bias.shape == out.shape[1:]
    for i, j in np.ndindex(out.shape[2:]):
        window = padded[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
        expected = np.einsum("nchw,kchw->nk", window, weight[i, j]) + bias[:, i, j]
        np.testing.assert_allclose(out[:, :, i, j], expected, rtol=1e-5, atol=1e-6)


def test_with_one_kernel_everywhere_it_is_a_convolution() -> None:
    conv, layer = nn.Conv2d(2, 3, 3, 2, 1), nn.LocallyConnected2d(2, 3, (7, 8), 3, 2, 1)
    with mg.no_grad():
        layer.weight[...] = conv.weight
        layer.bias[...] = conv.bias.reshape(3, 1, 1)
    x = rand(2, 2, 7, 8)
    np.testing.assert_allclose(layer(x).detach().numpy(), conv(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_sharing_is_what_makes_alexnets_first_layer_small() -> None:
    """55*55*96 = 290,400 units with 11*11*3 + 1 = 364 numbers each; here one of the 96 feature maps."""
    layer = nn.LocallyConnected2d(3, 1, 227, 11, stride=4)
    numbers = sum(p.size for p in layer.parameters())
    assert numbers == 55 * 55 * 364
    assert 96 * numbers == 290_400 * 364 == 105_705_600
    assert sum(p.size for p in nn.Conv2d(3, 96, 11, stride=4).parameters()) == 34_944


def test_locally_connected_layers_of_1989() -> None:
    """LeCun's network 3: 8x8 units with 3x3 inputs each from 16x16, then 4x4 with 5x5: every unit has its own bias."""
    net = nn.Sequential(
        nn.LocallyConnected2d(1, 2, 16, 3, 2, ((1, 0), (1, 0))), nn.Tanh(), nn.LocallyConnected2d(2, 1, 8, 5)
    )
    assert net(rand(3, 1, 16, 16)).shape == (3, 1, 4, 4)
    assert [p.size for p in net.parameters()] == [64 * 2 * 9, 64 * 2, 16 * 2 * 25, 16]


def test_locally_connected_explains_itself() -> None:
    layer = nn.LocallyConnected2d(2, 3, 9, 4, 2, 1, bias=False)
    assert repr(layer) == (
        "LocallyConnected2d(2, 3, input_size=(9, 9), kernel_size=(4, 4), stride=(2, 2), padding=1, bias=False)"
    )
    assert list(layer.state_dict()) == ["weight"]
    assert layer.explain_size((1, 2, 9, 9)) == "floor((9 + 2*1 - 4)/2) + 1 = 4"


# ---- LeNet-5 --------------------------------------------------------------------------------------------------------


def test_subsampling_is_the_formula() -> None:
    layer, x = nn.Subsampling(3), rand(2, 3, 6, 8)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    total = x.reshape(2, 3, 3, 2, 4, 2).sum((3, 5))
    expected = total * w[:, None, None] + b[:, None, None]
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert layer.explain_size((1, 3, 28, 28)) == "(28 - 2)/2 + 1 = 14"
    assert repr(layer) == "Subsampling(3, kernel_size=(2, 2), stride=(2, 2))"


def test_lenet5_of_1998_counts_its_parameters() -> None:
    """S2 12, S4 32, F6 10,164; the centres are no trainable parameters: LeNet-5 has 60,000, and 60,840 with them."""

    def trainable(layer: nn.Module) -> int:
        return sum(p.size for p in layer.parameters())

    assert trainable(nn.Subsampling(6)) == 12
    assert trainable(nn.Subsampling(16)) == 32
    assert trainable(nn.Linear(120, 84)) == 10_164
    assert trainable(nn.RBFOutput(np.ones((10, 84)))) == 0
    assert trainable(nn.RBFOutput(np.ones((10, 84)), trainable=True)) == 840


def test_rbf_output_is_the_squared_distance() -> None:
    centres = np.sign(rand(10, 84))
    layer, x = nn.RBFOutput(centres), rand(5, 84)
    expected = ((x[:, None] - centres) ** 2).sum(-1)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-5)
    assert (layer(centres).numpy().diagonal() == 0).all()  # exactly
    near = centres + np.float32(1e-4)
    np.testing.assert_allclose(layer(near).numpy().diagonal(), ((near - centres) ** 2).sum(-1), rtol=1e-6)
    assert layer.weight.dtype == np.float32
    assert nn.RBFOutput(centres.astype(int).tolist()).weight.dtype == np.float32
    assert list(layer.state_dict()) == ["weight"]
    assert repr(layer) == "RBFOutput(classes=10, features=84, trainable=False)"
    centres[:] = 7  # the layer has a copy
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-5)


# ---- initial values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        (nn.Bilinear(16, 20, 30), 1 / 4),
        (nn.LocallyConnected2d(4, 5, 10, 3), 1 / 6),
        (nn.Subsampling(3000), 2.4 / 4),
        (nn.Subsampling(3000, (3, 1)), 2.4 / 3),
    ],
    ids=lambda v: repr(v),
)
def test_uniform_initial_values(layer: nn.Module, bound: float) -> None:
    for p in layer.parameters():
        values = p.detach().numpy()
        assert abs(values).max() <= bound * (1 + 1e-6)
        assert abs(values).max() > 0.9 * bound
        assert abs(values.std() * math.sqrt(3) / bound - 1) < 5 * math.sqrt(0.2 / values.size)
        assert abs(values.mean()) < 5 * bound / math.sqrt(3 * values.size)


def test_embedding_draws_from_the_normal_distribution() -> None:
    values = nn.Embedding(300, 50).weight.detach().numpy()
    assert abs(values.mean()) < 5 / math.sqrt(values.size)
    assert abs(values.std() - 1) < 5 / math.sqrt(2 * values.size)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.Embedding(3, 2, 3), ValueError, "padding_idx must name one of the 3 rows, got 3"),
        (lambda: nn.Embedding(3, 2)(mg.tensor([1.0])), TypeError, "Embedding expects integer indices, got float32"),
        (
            lambda: nn.Embedding(3, 2)(mg.tensor([[0, 3]])),
            IndexError,
            "Embedding expects indices in 0 ... 2, got 3 in an input of shape (1, 2)",
        ),
        (lambda: nn.Embedding(3, 2)(mg.tensor([5, -1])), IndexError, "in 0 ... 2, got -1 in an input of shape (2,)"),
        (
            lambda: nn.Embedding.from_pretrained([1.0, 2.0]),
            ValueError,
            "embeddings must be a table, (num_embeddings, embedding_dim), got shape (2,)",
        ),
        (lambda: nn.Bilinear(0, 2, 3), ValueError, "in1_features must be at least 1, got 0"),
        (
            lambda: nn.Bilinear(2, 3, 4)(mg.zeros((5, 2)), mg.zeros((5, 4))),
            ValueError,
            "Bilinear expects inputs (..., 2) and (..., 3) that agree in the other axes, got (5, 2) and (5, 4)",
        ),
        (lambda: nn.Bilinear(2, 3, 4)(mg.zeros((5, 2)), mg.zeros((1, 3))), ValueError, "got (5, 2) and (1, 3)"),
        (
            lambda: nn.LocallyConnected2d(1, 1, 5, 3)(mg.zeros((1, 1, 5, 6))),
            ValueError,
            "LocallyConnected2d expects (N, 1, 5, 5), got an input of shape (1, 1, 5, 6): its weights belong to places",
        ),
        (lambda: nn.LocallyConnected2d(1, 1, 2, 3), ValueError, "is smaller than the window"),
        (
            lambda: nn.Subsampling(6)(mg.zeros((1, 3, 4, 4))),
            ValueError,
            "Subsampling expects 6 channels, got 3: its input of shape (1, 3, 4, 4) is (N, C, H, W)",
        ),
        (
            lambda: nn.Subsampling(6)(mg.zeros((6, 4, 4))),
            ValueError,
            "Subsampling expects (N, 6, H, W), got an input of shape (6, 4, 4); for a single sample put x[None]",
        ),
        (lambda: nn.RBFOutput([1.0]), ValueError, "centres must have the shape (classes, features), got (1,)"),
        (
            lambda: nn.RBFOutput([[1.0, 2.0]])(mg.zeros((4, 3))),
            ValueError,
            "RBFOutput expects (..., 2), as many features as its 1 centres have, got an input of shape (4, 3)",
        ),
    ],
)
def test_errors(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
