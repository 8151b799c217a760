"""Functional derivatives against PyTorch's, and memory shared with PyTorch by DLPack."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigrad as mg

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", reason="PyTorch is the oracle here: `make parity` installs it")

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((2, 3)), RNG.standard_normal(3)
IMAGE, KERNEL = RNG.standard_normal((1, 2, 5, 5)), RNG.standard_normal((3, 2, 3, 3))


def to_torch(value: Any) -> Any:
    return tuple(map(to_torch, value)) if isinstance(value, tuple) else torch.tensor(value)


def same(ours: Any, theirs: Any) -> None:
    """The same structure, shapes, dtypes and values."""
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
        return
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-9, atol=1e-11)


# name: (ours, PyTorch's, inputs); of one element where the name ends in "sum"
FUNCTIONS: dict[str, tuple] = {
    "one": (lambda x: mg.exp(x) * x, lambda x: torch.exp(x) * x, X),
    "tuple of one": (mg.tanh, torch.tanh, (X,)),
    "two": (lambda x, w: mg.sin(x * w), lambda x, w: torch.sin(x * w), (X, W)),
    "outputs": (lambda x: (x * x, x[0].sum()), lambda x: (x * x, x[0].sum()), X),
    "output of one": (lambda x, w: (x @ w,), lambda x, w: (x @ w,), (X, W)),
    "unused": (lambda x, w: x * 2, lambda x, w: x * 2, (X, W)),
    "two sum": (lambda x, w: mg.tanh(x * w).sum(), lambda x, w: torch.tanh(x * w).sum(), (X, W)),
    "linear sum": (lambda x: x.sum(), lambda x: x.sum(), X),
    "partly sum": (lambda x, w: (x**3).sum(), lambda x, w: (x**3).sum(), (X, W)),
    "softmax sum": (
        lambda x: (mg.softmax(x, 1) ** 2).sum(),
        lambda x: (torch.softmax(x, 1) ** 2).sum(),
        X,
    ),
    "loss sum": (
        lambda x: mg.cross_entropy(x, np.array([2, 0])),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor([2, 0])),
        X,
    ),
    "conv sum": (
        lambda x, k: mg.tanh(mg.max_pool2d(mg.conv2d(x, k), 2, stride=1)).sum(),
        lambda x, k: torch.tanh(torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(x, k), 2, 1)).sum(),
        (IMAGE, KERNEL),
    ),
}
functions = pytest.mark.parametrize("name", FUNCTIONS)
scalars = pytest.mark.parametrize("name", [name for name in FUNCTIONS if name.endswith("sum")])


def like(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(like, value))
    return RNG.standard_normal(tuple(value.shape))


@functions
def test_jacobian(name: str) -> None:
    ours, theirs, inputs = FUNCTIONS[name]
    same(mg.jacobian(ours, inputs), torch.autograd.functional.jacobian(theirs, to_torch(inputs)))


@functions
def test_vjp_and_jvp(name: str) -> None:
    ours, theirs, inputs = FUNCTIONS[name]
    given = to_torch(inputs)
    u, v = like(theirs(*given) if isinstance(given, tuple) else theirs(given)), like(inputs)
    same(mg.vjp(ours, inputs, u), torch.autograd.functional.vjp(theirs, given, to_torch(u)))
    same(mg.jvp(ours, inputs, v), torch.autograd.functional.jvp(theirs, given, to_torch(v)))


@scalars
def test_hessian_hvp_and_no_vector(name: str) -> None:
    ours, theirs, inputs = FUNCTIONS[name]
    given, v = to_torch(inputs), like(inputs)
    same(mg.hessian(ours, inputs), torch.autograd.functional.hessian(theirs, given))
    same(mg.hvp(ours, inputs, v), torch.autograd.functional.hvp(theirs, given, to_torch(v)))
    same(mg.vjp(ours, inputs), torch.autograd.functional.vjp(theirs, given))


def test_nested() -> None:
    ours = mg.jacobian(lambda x: mg.hessian(lambda y: (x[0] * y**3).sum() * x.sum(), x), X[0])
    functional = torch.autograd.functional
    theirs = functional.jacobian(
        lambda x: functional.hessian(lambda y: (x[0] * y**3).sum() * x.sum(), x, create_graph=True),
        torch.tensor(X[0]),
    )
    same(ours, theirs)


def test_create_graph_reaches_the_inputs() -> None:
    x, t = mg.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (mg.jacobian(lambda a: a**3, x) ** 2).sum().backward()
    (torch.autograd.functional.jacobian(lambda a: a**3, t, create_graph=True) ** 2).sum().backward()
    same(x.grad, t.grad)


# ---- DLPack ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"])
def test_memory_is_shared_both_ways(dtype: str) -> None:
    theirs = torch.zeros((3, 2), dtype=getattr(torch, dtype)).T
    ours = mg.from_dlpack(theirs)
    theirs[0, 1] = 1
    assert ours.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert ours.dtype == dtype
    assert ours.numpy().strides == tuple(s * ours.dtype.itemsize for s in theirs.stride())
    back = torch.from_dlpack(ours)
    assert back.data_ptr() == theirs.data_ptr()
    assert back.stride() == theirs.stride()
    ours[0, 0] = 1
    assert back[0, 0] == 1


def test_pytorch_ignores_that_an_export_is_read_only() -> None:
    """The hole that `Tensor.__dlpack__` documents: when PyTorch closes it, this fails and the text can change."""
    ours = mg.zeros(2)
    torch.from_dlpack(ours)[0] = 5
    assert ours.tolist() == [5, 0]


def test_neither_side_loses_a_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"would lose the gradient silently: use .detach\(\) first"):
        torch.from_dlpack(mg.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="require gradient"):
        mg.from_dlpack(torch.ones(2, requires_grad=True))


def test_exports_that_would_end_the_process_of_pytorch_are_refused() -> None:
    with pytest.raises(BufferError, match=r"negative strides .*: export a .copy\(\)"):
        torch.from_dlpack(mg.flip(mg.arange(3)))
    assert torch.from_dlpack(mg.flip(mg.arange(3)).copy()).tolist() == [2, 1, 0]
    assert torch.from_dlpack(mg.zeros((0, 2))).shape == (0, 2)
    assert torch.from_dlpack(mg.broadcast_to(mg.ones(1), (2000,))).stride() == (0,)


def test_bfloat16_has_no_dtype_here() -> None:
    with pytest.raises((BufferError, TypeError, RuntimeError)):
        mg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))


def test_deepcopy_refuses_the_same_tensors() -> None:
    for leaf in (mg.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)):
        assert copy.deepcopy(leaf).requires_grad
        with pytest.raises(RuntimeError):
            copy.deepcopy(leaf * 2)
