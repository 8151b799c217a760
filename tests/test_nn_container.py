"""Containers: changing them as lists and dicts, blocks of residual networks and Inception, texts of errors."""

from __future__ import annotations

import operator
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def names(box: nn.Module) -> list[str]:
    return [name for name, _ in box.named_children()]


@pytest.mark.parametrize("kind", [lambda *layers: nn.Sequential(*layers), lambda *layers: nn.ModuleList(layers)])
def test_they_change_as_lists_do(kind: Any) -> None:
    rng = np.random.default_rng(0)
    box, mirror = kind(), []
    for _ in range(200):
        layer, n = nn.PReLU(), len(mirror)
        i = int(rng.integers(-n, n + 1))
        match rng.integers(6):
            case 0:
                assert box.insert(i, layer) is box
                mirror.insert(i, layer)
            case 1:
                assert box.append(layer) is box
                mirror.append(layer)
            case 2:
                more = [layer, nn.ReLU()]
                assert box.extend(more) is box
                mirror.extend(more)
            case 3 if -n <= i < n:
                assert box.pop(i) is mirror.pop(i)
            case 4 if -n <= i < n:
                box[i] = layer
                mirror[i] = layer
            case 5:
                del box[i : i + 2]
                del mirror[i : i + 2]
        assert list(box) == mirror
        assert names(box) == [str(i) for i in range(len(mirror))]
        assert layer not in box or layer in mirror
    taken = box.pop(slice(0, 2))
    assert list(taken) == mirror[:2]
    assert list(box) == mirror[2:]


def test_names_that_are_no_numbers_stay() -> None:
    box = nn.Sequential({"a": nn.ReLU(), "b": nn.Tanh(), "c": nn.Sigmoid()})
    del box[1]
    assert names(box) == ["a", "c"]
    box.insert(1, nn.PReLU())
    assert names(box) == ["a", "2", "c"]
    assert [type(layer) for layer in box] == [nn.ReLU, nn.PReLU, nn.Sigmoid]


def test_sums() -> None:
    a, b = nn.Sequential({"x": nn.ReLU()}), nn.Sequential(nn.Tanh())
    both = a + b
    assert list(both) == [a[0], b[0]]
    assert names(both) == ["0", "1"]
    assert len(a) == len(b) == 1
    a += b
    assert list(a) == list(both)
    with pytest.raises(TypeError, match="unsupported operand"):
        operator.add(a, [nn.ReLU()])
    with pytest.raises(TypeError, match="unsupported operand"):
        operator.iadd(a, [nn.ReLU()])
    blocks = nn.ModuleList([b[0]]) + (layer for layer in (a[0],))
    assert list(blocks) == [b[0], a[0]]
    blocks += [nn.ReLU()]
    assert len(blocks) == 3


def test_the_modes_and_parameters_of_what_was_taken_away_are_no_longer_reached() -> None:
    box = nn.Sequential(nn.PReLU(), nn.Dropout(), nn.PReLU())
    taken = box.pop(0)
    box.eval()
    assert taken.training
    assert not box[0].training
    assert list(box.state_dict()) == ["1.weight"]


def test_nothing_changes_when_one_of_several_is_no_module() -> None:
    box = nn.ModuleList([nn.ReLU()])
    for change in (lambda: box.extend([nn.Tanh(), nn.Tanh]), lambda: box.insert(0, 3), lambda: box.append(None)):
        with pytest.raises(TypeError, match="ModuleList holds modules"):
            change()
        assert len(box) == 1


# ---- ModuleDict -----------------------------------------------------------------------------------------------------


def test_module_dict_is_a_dict() -> None:
    relu, tanh = nn.ReLU(), nn.Tanh()
    box = nn.ModuleDict({"first": relu, "second": nn.Linear(2, 1)})
    assert dict(box) == {"first": relu, "second": box["second"]}
    assert (list(box.keys()), list(box.values())) == (["first", "second"], [relu, box["second"]])
    box["first"] = tanh  # keeps its place
    box.update([("third", relu)])
    assert list(box.items()) == [("first", tanh), ("second", box["second"]), ("third", relu)]
    assert box.pop("third") is relu
    del box["first"]
    assert list(box.state_dict()) == ["second.weight", "second.bias"]
    assert ("second" in box, "first" in box, len(box)) == (True, False, 1)
    box.clear()
    assert list(box) == []
    assert nn.ModuleDict().items() == {}.items()


# ---- blocks ---------------------------------------------------------------------------------------------------------


def test_residual_is_the_sum() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    body, shortcut = nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(4, 8, 1, 2)
    plain = body(x).detach().numpy() + shortcut(x).detach().numpy()
    np.testing.assert_array_equal(nn.Residual(body, shortcut)(x).detach().numpy(), plain)
    block = nn.Residual(body, shortcut, nn.ReLU())
    np.testing.assert_array_equal(block(x).detach().numpy(), np.maximum(plain, 0))
    assert list(block.state_dict()) == ["body.weight", "body.bias", "shortcut.weight", "shortcut.bias"]
    np.testing.assert_allclose(nn.Residual(nn.ReLU())(x).numpy(), x + np.maximum(x, 0))
    assert (
        repr(nn.Residual(nn.ReLU(), activation=nn.Tanh())) == "Residual(\n  (body): ReLU()\n  (activation): Tanh()\n)"
    )


def test_a_body_of_zeros_makes_a_residual_block_the_identity_with_a_gradient_of_one() -> None:
    body = nn.Conv2d(3, 3, 3, padding=1)
    for p in body.parameters():
        nn.init.zeros_(p)
    x = mg.randn(2, 3, 4, 4, requires_grad=True)
    y = nn.Residual(body)(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
    assert (x.grad.numpy() == 1).all()


def test_concat_joins_the_branches() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    one, pool = nn.Conv2d(3, 2, 1), nn.MaxPool2d(3, 1, 1)
    block = nn.Concat({"one": one, "pool": pool})
    expected = np.concatenate([one(x).detach().numpy(), pool(x).numpy()], 1)
    np.testing.assert_array_equal(block(x).detach().numpy(), expected)
    assert list(block.state_dict()) == ["one.weight", "one.bias"]
    last = nn.Concat(nn.Identity(), nn.ReLU(), dim=-1)
    assert last(x).shape == (2, 3, 4, 10)
    assert last[1:](x).shape == (2, 3, 4, 5)
    assert last[:1].append(nn.Tanh()).dim == -1
    assert repr(last) == "Concat(\n  dim=-1\n  (0): Identity()\n  (1): ReLU()\n)"
    assert repr(nn.Concat(nn.ReLU())) == "Concat(\n  (0): ReLU()\n)"


X = mg.zeros((1, 4, 6, 6))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: nn.Residual(nn.Conv2d(4, 8, 3, 2, 1))(X),
            ValueError,
            "Residual adds two terms of one shape, got (1, 8, 3, 3) from the body and (1, 4, 6, 6), the input itself, "
            "without a shortcut: give it a shortcut that changes the shape likewise, a 1x1 convolution with the body's "
            "channels and stride (option B of He et al. 2016), or a strided slice with channels of zeros (option A)",
        ),
        (
            lambda: nn.Residual(nn.Identity(), nn.Conv2d(4, 1, 1))(X),
            ValueError,
            "got (1, 4, 6, 6) from the body and (1, 1, 6, 6), the shortcut's output",
        ),
        (
            lambda: nn.Concat(nn.Conv2d(4, 2, 1), {"pool": nn.MaxPool2d(2)}["pool"])(X),
            ValueError,
            "joins outputs that differ in the axis dim=1 only, got (1, 2, 6, 6) from '0', (1, 4, 3, 3) from '1'",
        ),
        (lambda: nn.Concat(nn.ReLU(), dim=4)(X), ValueError, "in the axis dim=4 only, got (1, 4, 6, 6) from '0'"),
        (lambda: nn.Concat()(X), ValueError, "Concat has no branches: give it one or more"),
        (lambda: nn.Sequential().pop(0), IndexError, "Sequential has 0 modules, there is none at index 0"),
        (
            lambda: nn.ModuleList().insert(1, nn.ReLU()),
            IndexError,
            "ModuleList has 0 modules, there is no place at index 1",
        ),
        (lambda: nn.ModuleDict({"a": nn.ReLU()})["b"], KeyError, "ModuleDict has no module 'b'; it has 'a'"),
        (lambda: nn.ModuleDict().pop("b"), KeyError, "ModuleDict has no module 'b'; it has none"),
        (lambda: nn.ModuleDict({"a": nn.ReLU}), TypeError, "ModuleDict holds modules, an instance: write the brackets"),
        (lambda: nn.ModuleDict({"keys": nn.ReLU()}), ValueError, "'keys' cannot name a module: it has a dot, or is"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), ValueError, "'a.b' cannot name a module"),
    ],
)
def test_errors(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
