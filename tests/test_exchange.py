"""Tensors travel: DLPack without a copy, pickles, copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy


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


def test_dlpack_exports_are_read_only_where_the_protocol_can_say_so() -> None:
    t = mg.tensor([1.0, 2.0])
    assert not np.from_dlpack(t).flags.writeable
    assert "dltensor_versioned" in repr(t.__dlpack__(max_version=(1, 0)))
    assert '"dltensor"' in repr(t.__dlpack__())  # the old protocol, in which nothing is read-only
    own = np.from_dlpack(t, copy=True)
    own[0] = 9
    assert t.tolist() == [1, 2]
    assert np.shares_memory(np.from_dlpack(t, copy=False), t.numpy())
    assert np.shares_memory(np.from_dlpack(t, device="cpu"), t.numpy())


def test_dlpack_exports_that_are_refused() -> None:
    repeated = mg.broadcast_to(mg.ones(1), (2000,))
    assert np.from_dlpack(repeated).strides == (0,)
    with pytest.raises(
        BufferError, match=r"this tensor is read-only, as broadcast_to makes it, .*: export a .copy\(\)"
    ):
        repeated.__dlpack__()
    backwards = mg.flip(mg.arange(3))
    with pytest.raises(BufferError, match=r"negative strides \(-8,\), .*: export a .copy\(\)"):
        np.from_dlpack(backwards)
    assert np.from_dlpack(backwards.copy()).tolist() == [2, 1, 0]
    assert np.from_dlpack(backwards, copy=True).tolist() == [2, 1, 0]
    with pytest.raises(BufferError):
        mg.ones(1).__dlpack__(dl_device=(2, 0))


@pytest.mark.parametrize(
    "array", [np.array(3.0), np.zeros((0, 2)), np.ones((2, 3)).T, np.array([True]), np.ones(4)[::2]]
)
def test_dlpack_of_many_shapes(array: np.ndarray) -> None:
    t = mg.from_dlpack(array)
    assert (t.shape, t.dtype, t.numpy().strides) == (array.shape, array.dtype, array.strides)
    np.testing.assert_array_equal(np.from_dlpack(t), array)


def test_a_read_only_import_cannot_be_written_to() -> None:
    a = np.ones(2)
    a.flags.writeable = False
    t = mg.from_dlpack(a)
    with pytest.raises(ValueError, match="read-only"):
        t[0] = 2
    with pytest.raises(TypeError, match=r"tensors hold .*; got complex128"):
        mg.from_dlpack(np.ones(2, "complex128"))


@pytest.mark.gpu
def test_dlpack_on_the_gpu() -> None:
    import cupy

    a = cupy.arange(3, dtype="float32")
    t = mg.from_dlpack(a)
    assert t.device == "cuda"
    a[0] = 7
    assert t.tolist() == [7, 1, 2]
    back = cupy.from_dlpack(t)
    assert back.data.ptr == a.data.ptr
    assert t.__dlpack_device__() == (2, 0)
    with pytest.raises(RuntimeError, match="would lose the gradient silently"):
        cupy.from_dlpack(mg.ones(2, device="cuda", requires_grad=True))
    assert pickle.loads(pickle.dumps(t)).device == "cuda"


def test_dlpack_of_pinned_memory_and_of_a_missing_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        def __init__(self, kind: int):
            self.kind = kind

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.kind, 0

        def __dlpack__(self, **options: object) -> object:
            return np.ones(2).__dlpack__()

    assert mg.from_dlpack(Elsewhere(3)).tolist() == [1, 1]
    monkeypatch.setattr("minigrad.backend.why_no_gpu", lambda: "nothing plugged in")
    for kind in (2, 13):
        with pytest.raises(RuntimeError, match="no device 'cuda' here: nothing plugged in"):
            mg.from_dlpack(Elsewhere(kind))


def test_dlpack_of_an_unknown_device() -> None:
    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 10, 0

    with pytest.raises(TypeError, match="memory of the CPU or of CUDA, got DLPack device type 10: copy it there"):
        mg.from_dlpack(Elsewhere())


DUPLICATES = [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]


@pytest.mark.parametrize("duplicate", DUPLICATES)
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


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_copies_keep_dtype_memory_order_and_class(duplicate: Callable) -> None:
    a = np.arange(24, dtype="float16").reshape(2, 3, 4)
    for array in (a, a.T, a.transpose(0, 2, 1), a[:, ::2], a[..., 0], np.float16(3) + a[0, 0, 0], a[:0]):
        x = mg.asarray(array)
        y = duplicate(x)
        assert y.dtype == "float16"
        assert not y.requires_grad
        np.testing.assert_array_equal(y, x)
        assert not y.size or np.argsort(y.numpy().strides).tolist() == np.argsort(array.strides).tolist()
        y[...] = 1  # whatever the original allows, the copy is its own
    p = duplicate(nn.Parameter([1.0, 2.0], requires_grad=False))
    assert type(p) is nn.Parameter
    assert not p.requires_grad


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_the_gradient_hooks_and_versions_stay_behind(duplicate: Callable) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda g: g * 100)
    (x * x).sum().backward()
    y = duplicate(x)
    assert y.grad is None
    (y * y).sum().backward()
    assert y.grad.tolist() == [2, 4]
    z = duplicate(x.detach())  # x forbids writing to its memory, the copy has memory of its own
    z[0] = 5
    assert x.tolist() == [1, 2]


class Named(mg.Tensor):
    """A Tensor with an attribute and another `__init__`."""

    def __init__(self, name: list[str]):
        super().__init__([1.0], requires_grad=True)
        self.name = name


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_subclass_keeps_its_attributes(duplicate: Callable) -> None:
    t = Named(["a"])
    u = duplicate(t)
    assert type(u) is Named
    assert u.name == ["a"]
    assert u.name is not t.name
    assert u.requires_grad


def test_deepcopy_sees_one_tensor_once() -> None:
    x = mg.ones(2)
    a, b, c = copy.deepcopy([x, x, x.copy()])
    assert a is b
    assert a is not c


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(protocol: int) -> None:
    x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    assert pickle.loads(pickle.dumps(x, protocol)).tolist() == [[1, 2]]


def test_a_pickle_from_a_gpu_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cupy.install():
        x = mg.tensor(np.arange(6.0).reshape(2, 3).T, device="cuda", requires_grad=True)
        data = pickle.dumps(x)
        y, z = pickle.loads(data), copy.deepcopy(x)
        for duplicate in (y, z):
            assert duplicate.device == "cuda"
            assert duplicate.tolist() == x.tolist()
            assert duplicate.requires_grad
    monkeypatch.setattr("minigrad.backend.why_no_gpu", lambda: "nothing plugged in")
    text = r"was on 'cuda': no device 'cuda' here: nothing plugged in. Move it with .to\('cpu'\) before pickling it"
    with pytest.raises(RuntimeError, match=r"a pickled tensor of shape \(2, 3\) " + text):
        pickle.loads(data)


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
