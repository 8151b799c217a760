"""A stand-in for CuPy on machines without a GPU: NumPy underneath, CuPy's strictness on top.

    with fake_cupy.install() as cupy:  # sys.modules["cupy"] is the fake until the block ends
        minigrad.tensor([1.0], device="cuda")

What it imitates is what goes wrong on a GPU and not in NumPy:

- Arrays on the device do not mix with NumPy arrays and do not turn into them by themselves: both raise TypeError. Real
  CuPy copies silently in some places (an index, a list, an assignment); here every copy must be asked for, by `asarray`
  or `get`, so none can hide.
- Results of ufuncs and of most functions lie in C order whatever the order of the operands, and a result without axes
  is an array, not a NumPy scalar.
- A name that CuPy does not have raises AttributeError, an argument that its function does not take raises TypeError.
  `api.txt` holds the names and signatures of the real wheel; `api.py` wrote it and `make parity` compares.

`ndarray` is a wrapper around a NumPy array, not a subclass of it: `np.asarray` of an instance of a subclass succeeds
without a word, and so does every mixture. `used` holds each dotted name that was handed out.

`RawModule` compiles CUDA for the emulator (`emulator.py`). Streams, events and the device do nothing, because
everything is done when a call returns; the memory pool counts the arrays that are alive and keeps to a limit.

It does not show: out-of-range integer indices (here IndexError; CuPy wraps around), which value wins where an index
repeats in an assignment, the order in which sums are added up, and what CuPy would compile for a dtype.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tests.cudaemu import emulator
from tests.cudaemu.api import MODULES

used: set[str] = set()


def _read_api() -> dict[str, Callable | None]:
    """Each public name of the real CuPy, with an empty function of its signature where that is known."""
    found: dict[str, Callable | None] = {}
    for line in Path(__file__).with_name("api.txt").read_text().splitlines():
        name, bracket, parameters = line.partition("(")
        if not bracket:
            found[name.removesuffix(" ufunc")] = None
            continue
        short = name.rpartition(".")[2]
        made: dict[str, Any] = {}
        exec(f"def {short}({parameters}: pass", made)
        found[name] = made[short]
    return found


API = _read_api()

# Functions whose first argument need not be an array on the device; all others get one or raise, as `a.sum` would on a
# list.
_TAKE_ANYTHING = {"array", "asarray", "asnumpy", "can_cast", "get_array_module", "isscalar", "ndim", "shape", "size"}
_FIRST_IS_ARRAY = {"a", "arr", "array", "ary", "condition", "m", "v", "x"}
# Functions whose result keeps the memory order of the argument, or has the one that is asked for.
_KEEP_ORDER = {"array", "asarray", "asfortranarray", "astype", "copy", "empty", "empty_like", "full", "full_like"}
_KEEP_ORDER |= {"ones", "ones_like", "pad", "zeros", "zeros_like", "reshape", "ravel", "einsum", "tensordot"}
_ARRAYS_OF_ONE = {"allclose", "array_equal", "array_equiv", "count_nonzero"}  # Python scalars in NumPy, arrays in CuPy
_ATOMIC = ("i4", "i8", "u4", "u8", "f2", "f4", "f8")  # the dtypes of `add.at`, which adds by atomic operations


class ndarray(NDArrayOperatorsMixin):
    """An array on the pretended device. Its methods are added below, from the list of the real ones."""

    __slots__ = ("_host",)
    _host: np.ndarray
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple = (), **kwargs: Any) -> Any:
        if any(not isinstance(x, (ndarray, np.ndarray, np.generic, int, float, complex)) for x in (*inputs, *out)):
            return NotImplemented  # the other operand's class may know what to do
        if f"cupy.{ufunc.__name__}" not in API:
            return NotImplemented
        function = getattr(cupy, ufunc.__name__)
        function = function if method == "__call__" else getattr(function, method)
        return function(*inputs, **kwargs, **({"out": out[0]} if out else {}))

    def __array_function__(self, function: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        name = f"cupy{function.__module__.removeprefix('numpy')}.{function.__name__}"
        if name not in API or not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return hand_out(name)(*args, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getitem__(self, index: Any) -> Any:
        index = index if isinstance(index, tuple) else (index,)
        if not any(i is Ellipsis for i in index):
            index = (*index, ...)  # NumPy then gives a view without axes where it would give a scalar
        return _wrap(self._host[_unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        value = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
        if isinstance(value, (list, tuple)):
            raise TypeError(f"cannot assign a {type(value).__name__}: only arrays of the device and scalars")
        self._host[_unwrap(index)] = _unwrap(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __repr__(self) -> str:
        return repr(self._host)

    @property
    def base(self) -> ndarray | None:
        return _wrap(self._host.base) if isinstance(self._host.base, np.ndarray) else None

    @property
    def flags(self) -> SimpleNamespace:
        flags = self._host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata)

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        host = self._host
        data = (host.ctypes.data, False)
        return {"shape": host.shape, "strides": host.strides, "typestr": host.dtype.str, "data": data, "version": 3}

    def get(self, stream: Any = None, order: Any = "C") -> np.ndarray:
        return np.array(self._host, order=order)


def _wrap(result: Any, given: tuple = ()) -> Any:
    """What NumPy returned as CuPy would return it; an array that was given comes back as the same object."""
    if isinstance(result, (np.ndarray, np.generic)):
        for array in given:
            if array._host is result:
                return array
        wrapped = object.__new__(ndarray)
        wrapped._host = np.asarray(result)
        _pool._check_limit(wrapped)
        return wrapped
    if isinstance(result, (tuple, list)):  # slogdet and others return named tuples
        wrapped = [_wrap(r, given) for r in result]
        return wrapped if isinstance(result, list) else tuple(wrapped)
    return result


def _unwrap(value: Any) -> Any:
    """The NumPy arrays inside; an array that is not on the device raises, however deep it lies."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: an array of the host among those of the device")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrap, value))
    return {k: _unwrap(v) for k, v in value.items()} if isinstance(value, dict) else value


def _arrays(values: Any) -> tuple[ndarray, ...]:
    """The device's arrays among arguments, those in lists included."""
    if isinstance(values, ndarray):
        return (values,)
    return sum(map(_arrays, values), ()) if isinstance(values, (tuple, list)) else ()


def _in_order(result: Any, given: tuple[ndarray, ...]) -> Any:
    """A new array in C order; a view of an argument stays as it is."""
    if type(result) in (tuple, list):
        return type(result)(_in_order(r, given) for r in result)
    if not isinstance(result, np.ndarray) or any(np.may_share_memory(result, x._host) for x in given):
        return result
    return np.asarray(result, order="C")


def _call(name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    """A NumPy function on the arrays inside the arguments, once they are ones that CuPy's function takes."""
    short, signature = name.rpartition(".")[2], API[name]
    if signature is not None:
        signature(*args, **kwargs)  # raises a TypeError for arguments that the real function does not take
        first = signature.__code__.co_varnames[:1]
        if first == ("tup",) and not all(isinstance(x, ndarray) for x in args[0]):
            raise TypeError(f"{name} needs arrays of the device, got {[type(x) for x in args[0]]}")
        wants_array = short not in _TAKE_ANYTHING and _FIRST_IS_ARRAY.issuperset(first)
        if wants_array and args and not isinstance(args[0], ndarray):
            raise TypeError(f"{name} needs an array of the device first, got {type(args[0])}")
    given = _arrays((*args, *kwargs.values()))
    result = function(*_unwrap(args), **_unwrap(kwargs))
    result = np.asarray(result) if short in _ARRAYS_OF_ONE else result
    return _wrap(result if short in _KEEP_ORDER else _in_order(result, given), given)


class ufunc:
    """A universal function: arrays of the device and scalars only, C-ordered results."""

    def __init__(self, name: str, function: np.ufunc):
        self.__name__ = name
        self._function = function

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if unknown := set(kwargs) - {"casting", "dtype"}:
            raise TypeError(f"Wrong arguments {unknown}")
        if wrong := [type(x) for x in args if isinstance(x, (list, tuple, str))]:
            raise TypeError(f"Unsupported type {wrong[0]}")
        if out is None:
            return _wrap(self._function(*_unwrap(args), order="C", **kwargs))
        self._function(*_unwrap(args), out=_unwrap(out), **kwargs)
        return out

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if self.__name__ != "add" or a.dtype.str[1:] not in _ATOMIC:
            raise TypeError(f"cupy.{self.__name__}.at does not support {a.dtype}")
        self._function.at(_unwrap(a), _unwrap(indices), _unwrap(b))

    def reduce(self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        method = {"add": "sum", "multiply": "prod"}.get(self.__name__)
        if method is None:
            raise NotImplementedError(f"`cupy_{self.__name__}.reduce` is not supported yet")
        return getattr(array, method)(axis, dtype, out, keepdims)


def _asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None, blocking: bool = False) -> Any:
    """The one door from the host to the device: a NumPy array is always copied."""
    if isinstance(a, np.ndarray):
        return _wrap(np.array(a, dtype, order=order or "K"))
    return _wrap(np.array(_unwrap(a), dtype, copy=copy, order=order or "K"), _arrays(a))


def _array(obj: Any, dtype: Any = None, copy: Any = True, order: Any = "K", subok: bool = False, ndmin: int = 0) -> Any:
    made = _asarray(obj, dtype, order, copy=copy or None)
    return made if made.ndim >= ndmin else made.reshape((1,) * (ndmin - made.ndim) + made.shape)


class Stream:
    """A stream on which everything is done at once."""

    null: ClassVar[Stream]
    _in_use: ClassVar[list[Stream]]  # the last one is the current stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None):
        self.ptr = 0 if null else id(self)

    def __enter__(self) -> Stream:
        self._in_use.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        self._in_use.pop()

    def use(self) -> Stream:
        self._in_use[-1] = self
        return self

    def synchronize(self) -> None:
        pass

    def wait_event(self, event: Event) -> None:
        pass

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    @property
    def done(self) -> bool:
        return True


Stream.null = Stream(null=True)
Stream._in_use = [Stream.null]


class Event:
    """A moment."""

    def __init__(self, block: bool = True, disable_timing: bool = False, interprocess: bool = False):
        self._seconds = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self._seconds = time.perf_counter()

    def synchronize(self) -> None:
        pass

    @property
    def done(self) -> bool:
        return True


class Device:
    """The only device, with some figures of an H100."""

    compute_capability = "90"
    mem_info = (79 * 2**30, 80 * 2**30)
    attributes: ClassVar[dict[str, int]] = {"MultiProcessorCount": 132}

    def __init__(self, device: int | None = None):
        if device not in (None, 0):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def use(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    def __init__(self, size: int, total: int, limit: int = 0):
        limited = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limited}).")


class MemoryPool:
    """Counts the memory of the arrays that are alive; nothing is kept for later."""

    def __init__(self) -> None:
        self._limit = 0

    def used_bytes(self) -> int:
        buffers = {}
        for array in gc.get_objects():
            if type(array) is ndarray:
                buffer = array._host
                while isinstance(buffer.base, np.ndarray):
                    buffer = buffer.base
                buffers[id(buffer)] = buffer.nbytes
        return sum(buffers.values())

    def total_bytes(self) -> int:
        return self.used_bytes()

    def free_bytes(self) -> int:
        return 0

    def n_free_blocks(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        pass

    def get_limit(self) -> int:
        return self._limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self._limit = int(fraction * Device.mem_info[1]) if fraction is not None else size or 0

    def _check_limit(self, new: ndarray) -> None:
        if self._limit and (used := self.used_bytes()) > self._limit:
            raise OutOfMemoryError(new._host.nbytes, used - new._host.nbytes, self._limit)


_pool = MemoryPool()


class _Namespace(ModuleType):
    """`cupy` or a module inside: hands out names of the real one, and notes them."""

    def __getattr__(self, name: str) -> Any:
        return hand_out(f"{self.__name__}.{name}")


OWN = {
    "cupy.RawKernel": emulator.RawKernel,
    "cupy.RawModule": emulator.RawModule,
    "cupy.array": _array,
    "cupy.asarray": _asarray,
    "cupy.asnumpy": lambda a: a.get() if isinstance(a, ndarray) else np.asarray(a),
    "cupy.get_array_module": lambda *args: cupy if any(isinstance(a, ndarray) for a in args) else np,
    "cupy.get_default_memory_pool": lambda: _pool,
    "cupy.ndarray": ndarray,
    "cupy.cuda.Device": Device,
    "cupy.cuda.Event": Event,
    "cupy.cuda.MemoryPool": MemoryPool,
    "cupy.cuda.Stream": Stream,
    "cupy.cuda.compiler.CompileException": emulator.CompileException,
    "cupy.cuda.get_current_stream": lambda: Stream._in_use[-1],
    "cupy.cuda.get_elapsed_time": lambda start, end: (end._seconds - start._seconds) * 1e3,
    "cupy.cuda.is_available": lambda: True,
    "cupy.cuda.memory.OutOfMemoryError": OutOfMemoryError,
    "cupy.cuda.runtime.CUDARuntimeError": CUDARuntimeError,
    "cupy.cuda.runtime.deviceSynchronize": lambda: None,
    "cupy.cuda.runtime.driverGetVersion": lambda: 13000,
    "cupy.cuda.runtime.getDevice": lambda: 0,
    "cupy.cuda.runtime.getDeviceCount": lambda: 1,
    "cupy.cuda.runtime.getDeviceProperties": lambda device: {"name": b"CUDA emulator", "multiProcessorCount": 132},
    "cupy.cuda.runtime.memGetInfo": lambda: Device.mem_info,
    "cupy.cuda.runtime.runtimeGetVersion": lambda: 13000,
}
OWN |= {module: _Namespace(module) for module in MODULES if module.startswith("cupy.cuda")}
_MISSING = object()


def hand_out(name: str) -> Any:
    """The fake's own version of a name, or NumPy's behind CuPy's rules."""
    module, _, short = name.rpartition(".")
    if module not in MODULES:
        raise NotImplementedError(f"the fake CuPy knows nothing of {module}: add it to MODULES in api.py")
    if name not in API:
        raise AttributeError(f"module {module!r} has no attribute {short!r}: the real CuPy has none either")
    used.add(name)
    if name in OWN:
        return OWN[name]
    value: Any = np
    for part in name.split(".")[1:]:
        value = getattr(value, part, _MISSING)
    if value is _MISSING:
        raise NotImplementedError(f"the fake CuPy does not imitate {name}")
    if isinstance(value, ModuleType):
        return _Namespace(name)
    if isinstance(value, np.ufunc) and value.signature is None:
        return ufunc(short, value)
    if isinstance(value, type) or not callable(value):
        return value
    return lambda *args, **kwargs: _call(name, value, args, kwargs)


def _method(name: str) -> Any:
    """The method or attribute of NumPy's array, noted when it is used."""
    inside, full = getattr(np.ndarray, name), f"cupy.ndarray.{name}"

    def attribute(self: ndarray) -> Any:
        used.add(full)
        return _wrap(getattr(self._host, name))

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        used.add(full)
        API[full](*args, **kwargs)  # type: ignore[misc]
        given = _arrays((self, *args, *kwargs.values()))
        result = inside(self._host, *_unwrap(args), **_unwrap(kwargs))
        return _wrap(result if name in _KEEP_ORDER else _in_order(result, given), given)

    if not callable(inside):
        return property(attribute)
    return (lambda self: inside(self._host)) if name in ("item", "tolist", "tobytes") else method


for _full in API:
    _name = _full.removeprefix("cupy.ndarray.")
    if _name != _full and hasattr(np.ndarray, _name) and _name not in (*vars(ndarray), "data", "device", "flat"):
        setattr(ndarray, _name, _method(_name))

cupy: Any = _Namespace("cupy")


@contextmanager
def install() -> Iterator[ModuleType]:
    """Make `import cupy` give the fake, and put back what was there."""
    before = sys.modules.get("cupy", _MISSING)
    sys.modules["cupy"] = cupy
    try:
        yield cupy
    finally:
        if before is _MISSING:
            sys.modules.pop("cupy", None)
        else:
            sys.modules["cupy"] = before  # type: ignore[assignment]
