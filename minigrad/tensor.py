"""Tensor: an array, its place in the recorded graph, and the one door through which it can be changed.

The operators and methods forward to the ops in `minigrad.ops`; nothing here knows a gradient rule.
"""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad  # engine and ops are looked up when they are needed: both need the class Tensor
from minigrad.backend import device_of, library, raw, shares_memory, transfer_array, xp
from minigrad.callsite import callers_line
from minigrad.gradmode import mode
from minigrad.operators import Operators

Array = Any  # numpy.ndarray or cupy.ndarray


class Version:
    """Counts the changes of a piece of memory; a tensor and its views share one.

    The engine compares the count when it goes back with the count when a value was saved, so a gradient is never
    computed from a value that has changed in between.
    """

    __slots__ = ("count", "guarded", "where")

    def __init__(self) -> None:
        self.count = 0
        self.guarded = False  # memory of a tensor that requires a gradient, seen through one that does not
        self.where = ""  # file and line of the last change

    def bump(self) -> None:
        """Note a change, with the line of the caller's code that made it."""
        self.count += 1
        self.where = callers_line()


class RemovableHandle:
    """What a registration returns: `.remove()` undoes it, and so does leaving a `with` block over it."""

    _keys = itertools.count()

    def __init__(self, hooks: dict[int, Callable], hook: Callable):
        self._hooks = hooks
        self._key = next(self._keys)  # never used again: removing twice must not remove another
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away; doing it twice is harmless."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Tensor(Operators):
    """An n-dimensional array that can remember how it was computed.

    Args:
        data: a number, a nested list of numbers, an array or a Tensor. It is **copied**; `asarray` shares it instead.
        dtype: of the result; default: arrays keep theirs, Python floats give float32, integers int64, booleans bool.
        device: "cpu" or "cuda"; default: where `data` is.
        requires_grad: whether gradients with respect to this tensor are wanted; floating dtypes only.

    Raises:
        TypeError: complex or non-numeric data, or an integer tensor that is asked to require a gradient.
        ValueError: nested lists of uneven lengths, or an unknown device.
        RuntimeError: a device that is not there.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([[2., 4.],
            [6., 8.]])
    """

    __slots__ = ("__weakref__", "_array", "grad", "node", "version")

    _array: Array
    grad: Tensor | None
    node: minigrad.engine.Node | None
    version: Version

    def __init__(self, data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False):
        self._array = _to_array(data, dtype, device, copy=True)
        self.grad = self.node = None
        self.version = Version()
        if requires_grad:
            self.requires_grad_()

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of the elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    @property
    def device(self) -> str:
        """Where the array lives: "cpu" or "cuda"."""
        return "cpu" if type(self._array) is np.ndarray else device_of(self._array) or "cpu"

    @property
    def xp(self) -> Any:
        """The library of the array: numpy or cupy."""
        return xp(self._array)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor with no axes; it holds one number: use .item()")
        return self.shape[0]

    def __repr__(self) -> str:
        values = np.array2string(transfer_array(self._array, "cpu"), separator=", ", prefix="tensor(")
        notes = [values]
        if self.dtype not in (np.float32, np.int64, np.bool_):
            notes.append(f"dtype={self.dtype}")
        if self.device != "cpu":
            notes.append(f"device={self.device!r}")
        if self.node is not None:
            notes.append("requires_grad=True" if self.is_leaf else f"op={self.node.plan.op.name}")  # type: ignore[union-attr]
        return f"tensor({', '.join(notes)})"

    # ---- gradients --------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor. Set it on leaves only, as `requires_grad_` does."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user, not by a recorded op."""
        return self.node is None or self.node.plan is None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients with respect to this leaf, or no longer; returns the tensor itself."""
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can be changed on leaves only; this tensor is the output of "
                f"{self.node.plan.op.name}: use .detach() for a tensor without the graph"  # type: ignore[union-attr]
            )
        if requires_grad and self.dtype.kind != "f":
            raise TypeError(
                f"only floating tensors can require a gradient, got dtype {self.dtype}: convert it with .to('float32')"
            )
        if requires_grad and self.node is None:
            self.version.guarded = True  # views made earlier must not be written to either
            self.node = minigrad.engine.leaf(self)
        elif not requires_grad:
            self.node = None
        return self

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf it was computed from.

        Args:
            gradient: the seed, of this tensor's shape; may be left out for a tensor of one element.
            retain_graph: keep the graph for another pass; default: the value of `create_graph`.
            create_graph: record the computation of the gradients, so that they can be differentiated again. The
                gradients then hold the graph and the graph the leaves: `minigrad.grad` avoids that cycle.

        Raises:
            RuntimeError: several elements and no seed, no graph or a freed one, or a saved value changed in place.
                No `.grad` has been touched then.

        >>> x = Tensor(2.0, requires_grad=True)
        >>> (x**3).backward()
        >>> x.grad
        tensor(12.)
        """
        minigrad.engine.backward(self, gradient, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same memory outside the graph: no gradient flows through it."""
        out = wrap(self._array)
        out.share_version(self)
        return out

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate tensor in `.grad`; leaves always do."""
        if self.node is None:
            raise RuntimeError("retain_grad() on a tensor that does not require a gradient: nothing would arrive")
        self.node.target = weakref.ref(self)

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call `hook(gradient)` when the gradient of this tensor is complete; what it returns replaces the gradient.

        The hook must not write to the gradient it is given. Returning None leaves the gradient as it is.

        >>> x = Tensor(3.0, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (x * x).backward()
        >>> handle.remove()
        >>> x.grad
        tensor(60.)
        """
        if self.node is None:
            raise RuntimeError("register_hook() on a tensor that does not require a gradient: it would never be called")
        if self.node.hooks is None:
            self.node.hooks = {}
        return RemovableHandle(self.node.hooks, hook)

    def astype(self, dtype: Any) -> Tensor:
        """The tensor in another dtype; the gradient comes back in this one."""
        return self if self.dtype == _dtype(dtype) else minigrad.ops.astype(self, _dtype(dtype))

    def to(self, target: Any) -> Tensor:
        """The tensor on another device ("cpu", "cuda") or in another dtype; itself when nothing changes.

        The gradient comes back on this device, in this dtype.
        """
        if isinstance(target, str) and (target == "cpu" or target.startswith("cuda")):
            library(target)
            return self if target == self.device else minigrad.ops.transfer(self, self.device, target)
        return self.astype(target)

    # ---- out of minigrad --------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array: a **read-only view** of the same memory. CPU only; `.to("cpu")` comes first."""
        if self.device != "cpu":
            raise TypeError(f"numpy() of a tensor on {self.device}: copy it with .to('cpu') first")
        view: np.ndarray = self._array.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.node is not None:
            raise RuntimeError(
                "converting a tensor that requires a gradient to a NumPy array would lose the gradient silently: use "
                ".detach() first, or the minigrad function of the same name"
            )
        view = self.numpy()
        if copy or (dtype is not None and view.dtype != dtype):
            if copy is False:
                raise ValueError(f"a {dtype} array of a {view.dtype} tensor needs a copy, which copy=False forbids")
            return np.array(view, dtype)
        return view

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The memory for another library, by the DLPack protocol (the arguments are those of the array API standard).

        Writing to the export changes this tensor behind the engine's back: no version check notices it. Exports from
        the CPU to a library that asks for DLPack 1.0 or newer are therefore marked read-only. NumPy honours the mark,
        PyTorch 2.13 does not, and neither older protocols nor CuPy have one: do not write there, or ask for a copy.

        Raises:
            RuntimeError: the tensor requires a gradient, which the other library would lose.
            BufferError: strides below 0, on which PyTorch ends the process, or what NumPy or CuPy refuse to export.
        """
        if self.node is not None:
            raise RuntimeError(
                "exporting a tensor that requires a gradient would lose the gradient silently: use .detach() first"
            )
        array = self._array
        if min(array.strides, default=0) < 0 and not copy:
            raise BufferError(
                f"cannot export a tensor with negative strides {array.strides}, as reversing an axis makes them: "
                f"export a .copy()"
            )
        if self.device == "cpu":
            if copy:
                array, copy = array.copy("K"), None  # the consumer's own, to write to
            elif max_version is not None and max_version >= (1, 0):
                array = self.numpy()
            elif not array.flags.writeable:
                raise BufferError(
                    "this tensor is read-only, as broadcast_to makes it, and DLPack before version 1.0 cannot say so: "
                    "export a .copy()"
                )
        options = {"max_version": max_version, "dl_device": dl_device, "copy": copy}
        return array.__dlpack__(stream=stream, **{key: value for key, value in options.items() if value is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    # ---- copies and pickles -----------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple:
        """A pickle holds values, dtype, device, memory order and `requires_grad`; the gradient and hooks stay behind.

        A tensor on "cuda" is pickled from the CPU and moved back when it is loaded, which raises on a machine without a
        GPU, as in PyTorch: a tensor elsewhere than the code expects would only fail later. Pickle `.to("cpu")` instead.
        """
        self._only_leaves("pickle")
        order = sorted(range(self.ndim), key=lambda axis: -abs(self._array.strides[axis]))
        dense = np.asarray(transfer_array(self._array.transpose(order), "cpu"), order="C")
        return _rebuild, (type(self), dense, order, self.device, self.requires_grad), getattr(self, "__dict__", None)

    def __copy__(self) -> Tensor:
        """An independent tensor, as `copy.copy` makes of a NumPy array; a leaf without a gradient."""
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict) -> Tensor:
        """An independent tensor of the same class, memory order and `requires_grad`; a leaf without a gradient."""
        self._only_leaves("copy")
        out = _new(type(self))
        memo[id(self)] = out
        out._become(self._array.copy("K"), self.requires_grad)
        if hasattr(self, "__dict__"):
            vars(out).update(copy.deepcopy(vars(self), memo))
        return out

    def _only_leaves(self, what: str) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                f"cannot {what} a tensor that was computed by {self.node.plan.op.name}: its graph would stay "  # type: ignore[union-attr]
                f"behind. Use .detach(), or .copy() for a copy inside the graph"
            )

    def _become(self, array: Array, requires_grad: bool) -> None:
        """Fill a tensor that was made without `__init__`, whose arguments a subclass may have changed."""
        self._array = array
        self.grad = self.node = None
        self.version = Version()
        self.requires_grad_(requires_grad)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return minigrad.interop.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        return minigrad.interop.function(function, args, kwargs)

    def item(self) -> float | int | bool:
        """The one element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor of one element, this one has shape {self.shape}: use .tolist()")
        return self._array.item()

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self._array.tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth value of a tensor of shape {self.shape} is ambiguous: use .any() or .all(), or "
                f"compare with `is None`"
            )
        return bool(self._array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only an integer tensor can be an index, this one is {self.dtype}")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(repr(self), spec)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self._array == raw(value)).any())

    # ---- the one mutation door --------------------------------------------------------------------------------------

    def _open(self, *values: Any) -> None:
        """Allow a change of the memory, or say what to do instead."""
        if mode.recording:
            if self.node is not None or self.version.guarded:
                whose = (
                    "requires a gradient"
                    if self.node is not None
                    else ("shares its memory with one that requires a gradient")
                )
                raise RuntimeError(
                    f"cannot write to a tensor of shape {self.shape} that {whose}: its graph would compute from the "
                    f"old values. Use t = t.at(index).set(value) or t = t + v, write to a .copy(), or write under "
                    f"minigrad.no_grad()"
                )
            if any(isinstance(v, Tensor) and v.node is not None for v in values):
                raise RuntimeError(
                    "cannot write a value that requires a gradient into a tensor that does not: the gradient would be "
                    "lost. Use t = t.at(index).set(value), or value.detach()"
                )
        for value in values:
            if (place := device_of(value)) and place != self.device:
                raise ValueError(f"cannot write a value on {place} into a tensor on {self.device}: use .to(device)")

    def _plain(self, value: Any) -> Any:
        """A value as the array library takes it: CuPy wants no lists."""
        return self.xp.asarray(value) if isinstance(value, (list, tuple)) else raw(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._open(value)
        self._array[minigrad.ops.index.plain_index(index, self)] = self._plain(value)
        self.version.bump()

    def copy_(self, value: Any) -> Tensor:
        """Replace the values by those of `value`, which broadcasts to this shape; returns the tensor itself."""
        self._open(value)
        self._array[...] = self._plain(value)
        self.version.bump()
        return self

    def _update(self, ufunc: str, value: Any) -> Tensor:
        self._open(value)
        getattr(self.xp, ufunc)(self._array, self._plain(value), out=self._array)
        self.version.bump()
        return self

    def __iadd__(self, value: Any) -> Tensor:
        return self._update("add", value)

    def __isub__(self, value: Any) -> Tensor:
        return self._update("subtract", value)

    def __imul__(self, value: Any) -> Tensor:
        return self._update("multiply", value)

    def __itruediv__(self, value: Any) -> Tensor:
        return self._update("divide", value)

    def share_version(self, source: Tensor) -> None:
        """Become a view of `source`, if the memory is the same: a change of one is a change of both."""
        if shares_memory(self._array, source._array):
            self.version = source.version
            if source.node is not None:
                self.version.guarded = True

    def at(self, index: Any) -> At:
        """Differentiable assignment: `x.at(i).set(v)` and `x.at(i).add(v)` return a changed copy of x.

        >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> y = x.at(1).set(10.0)
        >>> y
        tensor([ 1., 10.,  3.], op=index_set)
        >>> y.sum().backward()
        >>> x.grad
        tensor([1., 0., 1.])
        """
        return At(self, index)

    __hash__ = object.__hash__


class At:
    """An index into a tensor, waiting for `set` or `add`: what `Tensor.at` returns."""

    def __init__(self, x: Tensor, index: Any):
        self._x = x
        self._index = index

    def set(self, value: Any) -> Tensor:
        """A copy of the tensor with `value` at the index; where an index repeats, one of its values wins."""
        return minigrad.ops.index_set(self._x, value, self._index)[0]

    def add(self, value: Any) -> Tensor:
        """A copy of the tensor with `value` added at the index; where an index repeats, all of its values add up."""
        return minigrad.ops.index_add(self._x, value, self._index)


_new = object.__new__


def _rebuild(kind: type, dense: np.ndarray, order: list[int], device: str, requires_grad: bool) -> Tensor:
    """A pickled tensor of the class `kind`, whose axes were stored in the order they have in memory."""
    try:
        array = transfer_array(dense, device)
    except RuntimeError as error:
        raise RuntimeError(
            f"a pickled tensor of shape {tuple(dense.shape)} was on {device!r}: {error}. Move it with .to('cpu') "
            f"before pickling it, or save a state dict with nn.save"
        ) from None
    out: Any = _new(kind)
    out._become(array.transpose([order.index(axis) for axis in range(len(order))]), requires_grad)
    return out


def wrap(data: Array, node: minigrad.engine.Node | None = None, version: Version | None = None) -> Tensor:
    """A Tensor around an array, without a copy or a check: for minigrad's own use."""
    out = _new(Tensor)
    out._array = data
    out.node = node
    out.grad = None
    out.version = version or Version()
    return out


def asarray(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """A Tensor that shares the memory of `data` where it can: an array of the same dtype and device.

    Changing the array later changes the tensor, behind the back of the engine's checks; `tensor` copies. A Tensor is
    returned itself, or converted by an op that gradients flow through.

    >>> import numpy as np
    >>> a = np.zeros(2, "float32")
    >>> t = asarray(a)
    >>> a[0] = 5
    >>> t
    tensor([5., 0.])
    """
    if isinstance(data, Tensor):  # never its memory without its version
        data = data if device is None else data.to(device)
        return data if dtype is None else data.astype(dtype)
    return wrap(_to_array(data, dtype, device, copy=False))


def _dtype(dtype: Any) -> np.dtype:
    """A dtype that tensors can have, or a TypeError that says which those are."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{dtype!r} is neither a dtype nor a device ('cpu', 'cuda')") from None
    if found.kind not in "fiub" or found.itemsize > 8:
        raise TypeError(f"tensors hold float16, float32, float64, integers or bool; got {found}")
    return found


def _to_array(data: Any, dtype: Any, device: str | None, copy: bool) -> Array:
    """The array of any data a Tensor can be made of."""
    if dtype is not None:
        dtype = _dtype(dtype)
    if isinstance(data, Tensor):
        data = data._array
    if device_of(data) is None:
        first = data
        while isinstance(first, (list, tuple)) and first:
            first = first[0]
        try:
            data = np.array(data)
        except ValueError as error:
            if "inhomogeneous" not in str(error):
                raise
            raise ValueError("nested lists must have even lengths, like a box of numbers; these differ") from None
        if data.dtype == np.float64 and not hasattr(first, "dtype") and dtype is None:
            dtype = np.float32  # Python floats say nothing about precision
        copy = False
    _dtype(data.dtype)
    if device is not None and device != device_of(data):
        data, copy = transfer_array(data, device), False
    if dtype is not None and data.dtype != dtype:
        return data.astype(dtype)
    return data.copy("K") if copy else data  # in its memory order, which kernels choose with care
