"""The fake CuPy bites where the real one does: otherwise the tests on it would prove nothing."""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.cudaemu import emulator, fake_cupy


@pytest.fixture
def cupy() -> Iterator[Any]:
    with fake_cupy.install() as module:
        yield module


HOST = np.arange(6.0, dtype="float32").reshape(2, 3)
MIXTURES: dict[str, Callable] = {
    "device + host": lambda cupy, x: x + HOST,
    "host + device": lambda cupy, x: HOST + x,
    "host @ device": lambda cupy, x: HOST.T @ x,
    "device == host": lambda cupy, x: x == HOST,
    "device + host without axes": lambda cupy, x: x + np.array(1.0),
    "device += host": lambda cupy, x: operator.iadd(x, HOST),
    "host += device": lambda cupy, x: operator.iadd(HOST.copy(), x),
    "ufunc of cupy": lambda cupy, x: cupy.add(x, HOST),
    "ufunc of numpy": lambda cupy, x: np.add(HOST, x),
    "out=host": lambda cupy, x: cupy.add(x, x, out=HOST.copy()),
    "ufunc.at": lambda cupy, x: cupy.add.at(x, 0, HOST[0]),
    "first argument": lambda cupy, x: cupy.where(HOST > 0, x, x),
    "last argument": lambda cupy, x: cupy.where(x > 0, x, HOST),
    "keyword argument": lambda cupy, x: cupy.full_like(x, fill_value=HOST),
    "function of one host array": lambda cupy, x: cupy.sum(HOST),
    "ufunc of one host array": lambda cupy, x: cupy.exp(HOST),
    "list of arrays": lambda cupy, x: cupy.concatenate([x, HOST]),
    "numpy's function": lambda cupy, x: np.concatenate([HOST, x]),
    "list of host arrays": lambda cupy, x: cupy.asarray([HOST, HOST]),
    "method": lambda cupy, x: x.dot(HOST.T),
    "setitem": lambda cupy, x: x.__setitem__(0, HOST[0]),
    "index": lambda cupy, x: x[np.array([0, 1])],
    "boolean index": lambda cupy, x: x[HOST > 0],
    "index in a tuple": lambda cupy, x: x[:, np.array([0])],
    "index of an assignment": lambda cupy, x: x.__setitem__(np.array([0]), 0),
    "host indexed by device": lambda cupy, x: HOST[x > 0],
    "host assigned from device": lambda cupy, x: HOST.copy().__setitem__(0, x[0]),
}


@pytest.mark.parametrize("mix", MIXTURES.values(), ids=MIXTURES)
def test_mixing_raises(cupy: Any, mix: Callable) -> None:
    x = cupy.asarray(HOST)
    with pytest.raises(
        TypeError, match=r"Unsupported type|needs (an array|arrays) of the device|Implicit conversion|return arrays"
    ):
        mix(cupy, x)
    np.testing.assert_array_equal(x.get(), HOST)


@pytest.mark.parametrize("convert", [np.asarray, np.array, np.float64, memoryview, lambda x: np.array([x, x])])
def test_implicit_conversion_raises(cupy: Any, convert: Callable) -> None:
    with pytest.raises(TypeError):
        convert(cupy.asarray(HOST))


def test_no_index_protocol(cupy: Any) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        range(cupy.asarray(3))


@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float32(2)])
def test_scalars_mix_and_do_not_promote(cupy: Any, scalar: Any) -> None:
    x = cupy.asarray(HOST)
    for y in (x * scalar, scalar * x, cupy.multiply(x, scalar), cupy.where(x > 0, scalar, x)):
        assert isinstance(y, cupy.ndarray)
        assert y.dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64  # NEP 50: a NumPy scalar counts as what it is


def test_explicit_copies(cupy: Any) -> None:
    x = cupy.asarray(HOST)
    x += 1
    assert HOST[0, 0] == 0
    for back in (x.get(), cupy.asnumpy(x)):
        assert type(back) is np.ndarray
        back += 1
        np.testing.assert_array_equal(x.get(), HOST + 1)
    assert cupy.asarray(x) is x
    assert x.tolist() == (HOST + 1).tolist()
    assert (x.sum().item(), float(x[0, 1]), int(x[0, 1]), bool(x[0, 0])) == (21.0, 2.0, 2, True)


def test_new_arrays_are_in_c_order(cupy: Any) -> None:
    x = cupy.asarray(HOST).T
    assert not x.flags.c_contiguous
    new = [
        *(x + 1, x * x, cupy.exp(x), cupy.where(x > 0, x, 0), cupy.concatenate([x, x]), cupy.clip(x, 0, 1), x.copy())
    ]
    new += (cupy.add(x, 1, dtype="float64"), cupy.sum(cupy.asarray(np.ones((2, 3, 4)).T), axis=0), cupy.repeat(x, 2))
    for y in new:
        assert y.flags.c_contiguous
    for y in (x.copy("K"), cupy.array(x, copy=True, order="K"), cupy.zeros_like(x), x.astype("float64")):
        assert y.strides[0] < y.strides[1]
    for view in (cupy.transpose(x[None]), x.reshape(3, 2), x[1:], cupy.broadcast_to(x, (2, 3, 2))):
        assert cupy.may_share_memory(x, view)
        assert view.base is not None


def test_no_numpy_scalars(cupy: Any) -> None:
    x = cupy.asarray(HOST)
    for y in (
        x.sum(),
        cupy.max(x),
        x[0, 0],
        x[0, 0] + 1,
        np.float32(1) * x[0, 0],
        cupy.dot(x[0], x[0]),
        x.mean(axis=(0, 1)),
    ):
        assert type(y) is cupy.ndarray
        assert y.shape == ()
    element = x[1, 2]
    element += 10  # a view, as in CuPy; NumPy gives a copy
    assert x[1, 2].item() == 15


def test_in_place(cupy: Any) -> None:
    x = y = cupy.zeros((3, 2), "float32")
    x += 1
    x[1:] *= 3
    assert x is y
    assert cupy.add(x, 1, out=x) is x
    cupy.add.at(x, cupy.asarray([0, 0]), 1)
    assert y.tolist() == [[4, 4], [4, 4], [4, 4]]


REFUSED: dict[str, Callable] = {
    "clip keyword": lambda cupy, x: cupy.clip(x, 0, 1, casting="safe"),
    "indices sparse": lambda cupy, x: cupy.indices((2, 3), sparse=True),
    "sum where": lambda cupy, x: cupy.sum(x, where=x > 0),
    "method keyword": lambda cupy, x: x.sum(initial=0),
    "ufunc where": lambda cupy, x: cupy.divide(x, x, where=x > 0),
    "ufunc order": lambda cupy, x: cupy.add(x, x, order="F"),
    "argument's name": lambda cupy, x: cupy.take_along_axis(arr=x, indices=x, axis=0),
    "list for an array": lambda cupy, x: cupy.sum([1.0, 2.0]),
    "list for an operand": lambda cupy, x: cupy.add(x, [1.0, 2.0, 3.0]),
    "scalar condition": lambda cupy, x: cupy.where(True, x, 0),
    "list in a list": lambda cupy, x: cupy.concatenate([x[0], [1.0]]),
    "list assigned": lambda cupy, x: x.__setitem__(0, [1.0, 2.0, 3.0]),
    "atomic int16": lambda cupy, x: cupy.add.at(x.astype("int16"), 0, 1),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_arguments_that_cupy_does_not_take(cupy: Any, call: Callable) -> None:
    with pytest.raises(TypeError):
        call(cupy, cupy.asarray(HOST))


def test_reduce_only_where_cupy_has_it(cupy: Any) -> None:
    x = cupy.asarray(HOST)
    assert cupy.add.reduce(x, axis=1).tolist() == [3, 12]
    with pytest.raises(NotImplementedError, match=r"maximum\.reduce"):
        cupy.maximum.reduce(x)


def test_names(cupy: Any) -> None:
    with pytest.raises(AttributeError, match=r"module 'cupy' has no attribute 'errstate'"):
        cupy.errstate  # noqa: B018
    with pytest.raises(AttributeError, match=r"'cupy\.linalg' has no attribute 'vander'"):
        cupy.linalg.vander  # noqa: B018
    with pytest.raises(AttributeError):
        cupy.asarray(HOST).flags.writeable  # noqa: B018
    with pytest.raises(AttributeError):
        cupy.asarray(HOST).setflags  # noqa: B018
    with pytest.raises(NotImplementedError, match=r"does not imitate cupy\.ElementwiseKernel"):
        cupy.ElementwiseKernel  # noqa: B018
    with pytest.raises(NotImplementedError, match=r"knows nothing of cupy\.random"):
        cupy.random.rand  # noqa: B018


def test_cuda_goes_to_the_emulator(cupy: Any) -> None:
    assert cupy.RawModule is emulator.RawModule
    assert cupy.RawKernel is emulator.RawKernel
    x = cupy.asarray(HOST)[:, 1:]
    assert x.data.ptr == x.__cuda_array_interface__["data"][0] == x.base.data.ptr + 4
    assert x.__cuda_array_interface__["strides"] == (12, 4)


def test_streams_and_events(cupy: Any) -> None:
    cuda, x = cupy.cuda, cupy.asarray(HOST)
    assert cuda.get_current_stream() is cuda.Stream.null
    with cuda.Stream(non_blocking=True) as stream:
        assert cuda.get_current_stream() is stream
        start = stream.record()
        np.testing.assert_array_equal(x.get(stream=stream), HOST)
        cuda.Stream.null.wait_event(start)
        end = cuda.Event()
        end.record()
    end.synchronize()
    stream.synchronize()
    cuda.Device().synchronize()
    cuda.runtime.deviceSynchronize()
    assert stream.done
    assert end.done
    assert cuda.get_elapsed_time(start, end) > 0
    assert cuda.get_current_stream() is cuda.Stream.null


def test_memory_is_counted_and_limited(cupy: Any) -> None:
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = cupy.zeros(1000)
    views = [x[1:], x.reshape(10, 100).T]
    assert pool.used_bytes() == before + 8000
    del x
    assert pool.used_bytes() == before + 8000
    views.clear()
    assert pool.used_bytes() == before
    pool.set_limit(before + 8000)
    try:
        cupy.zeros(1000)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating 8,008 bytes"):
            cupy.zeros(1001)
    finally:
        pool.set_limit(0)


def test_one_device(cupy: Any) -> None:
    assert cupy.cuda.is_available()
    assert cupy.cuda.runtime.getDeviceCount() == 1
    assert cupy.cuda.Device(0).id == 0
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        cupy.cuda.Device(1)
    assert cupy.get_array_module(HOST) is np
    assert cupy.get_array_module(HOST, cupy.asarray(HOST)) is cupy


def test_numpy_functions_dispatch_as_in_cupy(cupy: Any) -> None:
    x = cupy.asarray(HOST)
    for y in (np.mean(x), np.exp(x), np.linalg.norm(x), np.concatenate([x, x])):
        assert isinstance(y, cupy.ndarray)
    with pytest.raises(TypeError):
        np.insert(x, 0, 1)  # CuPy has none, and NumPy must not step in


def test_other_classes_may_answer(cupy: Any) -> None:
    class Loud:
        def __array_ufunc__(self, *args: Any, **kwargs: Any) -> str:
            return "Loud"

    assert cupy.asarray(HOST) + Loud() == "Loud"


def test_every_name_handed_out_is_noted(cupy: Any) -> None:
    fake_cupy.used.clear()
    x = cupy.asarray(HOST)
    x.sum()
    x + x
    cupy.linalg.norm(x)
    assert fake_cupy.used == {"cupy.asarray", "cupy.ndarray.sum", "cupy.add", "cupy.linalg", "cupy.linalg.norm"}


def test_every_name_resolves() -> None:
    """To something, or to the plain statement that the fake does not imitate it."""
    for name in fake_cupy.API:
        with contextlib.suppress(NotImplementedError):
            fake_cupy.hand_out(name)


def test_install_puts_back_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with fake_cupy.install() as cupy:
        assert sys.modules["cupy"] is cupy
    assert sys.modules["cupy"] is None
    monkeypatch.delitem(sys.modules, "cupy")
    with pytest.raises(KeyError), fake_cupy.install():
        raise KeyError
    assert "cupy" not in sys.modules
