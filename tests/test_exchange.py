"""Tensors travel: DLPack without a copy, pickles, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg


def test_dlpack_shares_memory_both_ways() -> None:
    a = np.arange(3, dtype="float32")
    t = mg.from_dlpack(a)
    a[0] = 7
    assert t.tolist() == [7, 1, 2]
    back = np.from_dlpack(t)
    assert np.shares_memory(back, t.numpy())
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1
    assert t.__dlpack_device__() == (1, 0)
    with pytest.raises(RuntimeError, match=r"would lose the gradient silently: use .detach\(\) first"):
        np.from_dlpack(mg.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="from_dlpack takes an array that speaks DLPack, got list"):
        mg.from_dlpack([1.0])


def test_dlpack_of_an_unknown_device() -> None:
    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 10, 0

    with pytest.raises(TypeError, match="memory of the CPU or of CUDA, got DLPack device type 10"):
        mg.from_dlpack(Elsewhere())


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_are_leaves_of_their_own(duplicate: object) -> None:
    x = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = duplicate(x)
    assert y.tolist() == x.tolist()
    assert y.dtype == x.dtype
    assert y.requires_grad
    assert y.is_leaf
    assert not np.shares_memory(y.numpy(), x.numpy())
    with pytest.raises(RuntimeError, match=r"cannot (pickle|copy) a tensor that was computed by multiply"):
        duplicate(x * 2)


def test_every_method_is_the_function_of_its_name() -> None:
    x = mg.tensor(np.random.default_rng(0).random((2, 3)) + 0.1)
    plain = (
        "exp log sqrt tanh sigmoid relu abs sum mean max min prod any all logsumexp var std norm argmax argmin cumsum"
    )
    plain += " cumprod softmax log_softmax sort argsort flatten sin cos floor ceil sign round squeeze copy"
    for name in plain.split():
        np.testing.assert_array_equal(getattr(x, name)(), getattr(mg, name)(x), err_msg=name)
    np.testing.assert_array_equal(x.clip(0.2, 0.5), mg.clip(x, 0.2, 0.5))
    np.testing.assert_array_equal(x.take([1], 1), mg.take(x, [1], 1))
    np.testing.assert_array_equal(x.repeat(2, 0), mg.repeat(x, 2, 0))
    np.testing.assert_array_equal(x.swapaxes(0, 1), x.T)
    np.testing.assert_array_equal(x.transpose(), x.T)
    np.testing.assert_array_equal(x.expand_dims(0), x[None])
    np.testing.assert_array_equal(x.broadcast_to((2, 2, 3)), mg.stack([x, x]))
    np.testing.assert_array_equal(2.0**x, mg.power(2.0, x))
    np.testing.assert_array_equal(np.ones((1, 2)) @ x, x.sum(0, keepdims=True))
    np.testing.assert_array_equal(abs(-x), +x)
