"""What `torch.save` writes, read without PyTorch: a pickle that describes tensors, and their memory beside it.

Two containers exist. Since PyTorch 1.6 it is a zip archive: `data.pkl`, and an entry `data/0`, `data/1`, ... for each
storage, the memory that one or several tensors look into. Before, it was a sequence: three pickles (a magic number, a
version, facts about the machine), the pickle of the object, that of the list of storages, and their memory.

A tensor is described by a storage, an offset, a shape and strides, counted in elements. All of it is checked before
memory is taken, and the pickle is read by `read_pickle`, which runs nothing.

Source: the functions _save and _legacy_save in PyTorch's torch/serialization.py.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any, BinaryIO

import numpy as np

from minigrad import Tensor, asarray
from minigrad.nn.archive import Archive, BoundedReader, UnreadableError, fill, unpacked_limit
from minigrad.nn.plain_pickle import Global, plain, read_pickle, set_items

MAGIC = 0x1950A86A20F9469CFC6C  # of the old container: the first pickle
VERSION = 1001  # the second
MAX_AXES = 32


class Kind:
    """A dtype of PyTorch's: its name, and the NumPy dtype that its elements are stored as."""

    __slots__ = ("name", "stored")

    def __init__(self, name: str):
        self.name = name
        self.stored = np.dtype(np.uint16 if name == "bfloat16" else name)


KINDS = {
    "FloatStorage": Kind("float32"),
    "DoubleStorage": Kind("float64"),
    "HalfStorage": Kind("float16"),
    "BFloat16Storage": Kind("bfloat16"),
    "LongStorage": Kind("int64"),
    "IntStorage": Kind("int32"),
    "ShortStorage": Kind("int16"),
    "CharStorage": Kind("int8"),
    "ByteStorage": Kind("uint8"),
    "BoolStorage": Kind("bool"),
}


class Storage:
    """Memory that tensors look into.

    Args:
        kind: of its elements.
        size: how many.
    """

    __slots__ = ("data", "kind", "size", "views")

    def __init__(self, kind: Kind, size: int):
        self.kind = kind
        self.size = size
        self.data = np.empty(0, kind.stored)  # until the memory is read
        self.views: dict[tuple, View] = {}


class View:
    """A tensor: elements of a storage. All numbers have been checked: each element lies inside of the storage."""

    __slots__ = ("kind", "offset", "shape", "storage", "strides")

    def __init__(self, storage: Storage, kind: Kind, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.storage = storage
        self.kind = kind
        self.offset = offset
        self.shape = shape
        self.strides = strides

    @property
    def nbytes(self) -> int:
        """How much memory its elements take, each written once."""
        return math.prod(self.shape) * self.kind.stored.itemsize * (2 if self.kind.name == "bfloat16" else 1)

    def fills_storage(self) -> bool:
        """Whether each element of the storage is in it once."""
        dense = 1
        for stride, n in sorted((s, n) for n, s in zip(self.shape, self.strides, strict=True) if n > 1):
            if stride != dense:
                return False
            dense *= n
        return self.offset == 0 and self.storage.data.nbytes == dense * self.kind.stored.itemsize


# ---- what the names in the pickle stand for -------------------------------------------------------------------------


def _view(storage: Any, offset: Any, shape: Any, strides: Any, kind: Kind | None = None) -> View:
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise UnreadableError("a tensor is not described by a storage, a shape and strides")
    if len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise UnreadableError(
            f"a tensor has {len(shape)} axes and {len(strides)} strides; at most {MAX_AXES} can be read"
        )
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in (offset, *shape, *strides)):
        raise UnreadableError("a tensor has an offset, a size or a stride that is no 64-bit integer of at least 0")
    kind = kind or storage.kind
    size = storage.size * storage.kind.stored.itemsize // kind.stored.itemsize
    strides = tuple(s if n > 1 else 0 for n, s in zip(shape, strides, strict=True))  # of no other use, but any number
    if 0 in shape:
        offset, strides = 0, (0,) * len(shape)
    elif offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) >= size:
        raise UnreadableError(
            f"a tensor of shape {shape} with strides {strides} at offset {offset} reaches outside of its storage of "
            f"{size} elements"
        )
    return storage.views.setdefault((kind.name, offset, shape, strides), View(storage, kind, offset, shape, strides))


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> View:
    return _view(storage, offset, shape, strides)


def _rebuild_tensor_v2(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any, metadata: Any = None
) -> View:
    if metadata:
        raise UnreadableError("a tensor has its conj or neg bit set: call .resolve_conj().resolve_neg() before saving")
    return _view(storage, offset, shape, strides)


def _rebuild_tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> View:
    if metadata or type(dtype) is not Global or type(dtype.meaning) is not Kind:
        raise UnreadableError("a tensor has metadata, or a dtype that is none")
    return _view(storage, offset, shape, strides, dtype.meaning)


def _parameter(data: Any, *options: Any) -> View:
    if type(data) is not View:
        raise UnreadableError("a Parameter is made of something else than a tensor")
    return data


def _ordered_dict(pairs: Any = None) -> dict:
    made: dict = {}
    if pairs is not None:  # written by Python 2
        if type(pairs) is not list:
            raise UnreadableError("an OrderedDict is made of something else than a list")
        for pair in pairs:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise UnreadableError("an OrderedDict has an item that is no pair")
            set_items(made, list(pair))
        pairs.clear()  # moved: a list that is made a dict of many times would take many times its memory
    return made


def _same(kind: type) -> Any:
    def same(value: Any = None) -> Any:
        if value is None:
            return kind()
        if type(value) is not kind:
            raise UnreadableError(f"something that is no {kind.__name__} is made one")
        return value

    return same


KNOWN: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _same(dict),
    "torch.Size": _same(tuple),
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.storage.UntypedStorage": KINDS["ByteStorage"],
    **{f"torch.{name}": kind for name, kind in KINDS.items()},
    **{f"torch.{kind.name}": kind for kind in KINDS.values()},
    **{f"torch.{name}": Kind(name) for name in ("uint16", "uint32", "uint64")},
}


# ---- the two containers ---------------------------------------------------------------------------------------------


class _Storages(dict[str, Storage]):
    """The storages that a pickle names, by their keys; they claim no more memory than the file has."""

    def __init__(self, limit: int):
        super().__init__()
        self.left = self.limit = limit

    def persistent_load(self, identifier: Any) -> Storage:
        if type(identifier) is not tuple or len(identifier) not in (5, 6):
            raise UnreadableError("a storage is not described as torch.save does it")
        word, type_, key, _, size, *view = identifier
        if not (
            type(word) is str
            and word == "storage"
            and type(type_) is Global
            and type(type_.meaning) is Kind
            and type(key) is str
            and len(key) < 100
            and type(size) is int
            and 0 <= size < 1 << 63
            and (not view or view[0] is None)
        ):
            raise UnreadableError("a storage is not described as torch.save does it")
        if key in self:
            if (self[key].kind, self[key].size) != (type_.meaning, size):
                raise UnreadableError(f"storage {key!r} is described in two ways")
            return self[key]
        self.left -= size * type_.meaning.stored.itemsize
        if self.left < 0:
            raise UnreadableError(f"its storages claim more than the {self.limit} bytes of the file")
        self[key] = Storage(type_.meaning, size)
        return self[key]


def load_archive(archive: Archive, size: int) -> Any:
    """The object in a zip archive of `torch.save`, with a Tensor on the CPU for each tensor.

    Args:
        archive: it has an entry data.pkl.
        size: of the file in bytes.

    Raises:
        UnreadableError and others: see `minigrad.nn.load`.
    """
    names = [name for name in archive.entries if name == "data.pkl" or name.endswith("/data.pkl")]
    prefix = min(names, key=len).removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in archive.entries:
        raise UnreadableError(
            "it is a TorchScript archive, which holds a program: load it in PyTorch and save its state_dict()"
        )
    for name, entry in archive.entries.items():
        if entry.compress_type != zipfile.ZIP_STORED:
            raise UnreadableError(f"the entry {name!r} is compressed, torch.save stores as it is")
    byteorder = archive.read(f"{prefix}byteorder") if f"{prefix}byteorder" in archive.entries else b"little"
    if byteorder not in (b"little", b"big"):
        raise UnreadableError(f"the byte order must be little or big, got {byteorder[:20]!r}")
    storages = _Storages(size)
    value = read_pickle(io.BytesIO(archive.read(f"{prefix}data.pkl")), KNOWN, storages.persistent_load)
    for key, storage in storages.items():
        name = f"{prefix}data/{key}"
        expected = storage.size * storage.kind.stored.itemsize
        with archive.open(name) as file:
            if archive.entries[name].file_size != expected:
                raise UnreadableError(
                    f"storage {key!r} has {archive.entries[name].file_size} bytes instead of {expected}"
                )
            storage.data = np.empty(storage.size, storage.kind.stored)
            fill(file.read, storage.data)
            file.read(1)  # compares the checksum, also of an empty entry
    return _with_tensors(value, ">" if byteorder == b"big" else "<", size)


def load_sequence(file: BoundedReader) -> Any:
    """The object in a file of `torch.save` before PyTorch 1.6; see `load_archive`."""
    storages = _Storages(file.size)
    if _literal(file) != MAGIC:
        raise UnreadableError("its magic number is wrong")
    if _literal(file) != VERSION:
        raise UnreadableError(f"it is not of version {VERSION} of the format, the only one that is known")
    _literal(file)
    value = read_pickle(file, KNOWN, storages.persistent_load)
    keys = _literal(file)
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise UnreadableError("its list of storages does not name those that its tensors need")
    for key in keys:
        storage = storages[key]
        count = np.empty(1, "<i8")
        fill(file.read, count)
        if count[0] != storage.size:
            raise UnreadableError(f"storage {key!r} has {count[0]} elements instead of {storage.size}")
        storage.data = np.empty(storage.size, storage.kind.stored)
        fill(file.read, storage.data)
    if file.read(1):
        raise UnreadableError("bytes follow after its end")
    return _with_tensors(value, "<", file.size)  # little-endian always, whatever the machine


def _literal(file: BinaryIO) -> Any:
    """A pickle of plain data alone."""

    def refuse(value: Any) -> Any:
        raise UnreadableError("its head holds something else than plain data")

    return plain(read_pickle(file, {}, refuse), refuse)


def _with_tensors(value: Any, byteorder: str, size: int) -> Any:
    """Plain data and Tensors in the place of views."""
    left = limit = unpacked_limit(size)

    def tensor(view: Any) -> Tensor:
        nonlocal left
        if type(view) is not View:
            raise UnreadableError("it holds a storage, a dtype or a function that belongs to no tensor")
        left -= view.nbytes
        if left < 0:
            raise UnreadableError(f"its tensors repeat elements until they take more than the {limit} bytes allowed")
        return asarray(_array(view, byteorder))

    return plain(value, tensor)


def _array(view: View, byteorder: str) -> np.ndarray:
    """The elements of a view in memory of their own, in the machine's byte order, bfloat16 as float32."""
    stored = view.kind.stored.newbyteorder(byteorder)  # type: ignore[arg-type]
    if 0 in view.shape:
        x = np.empty(view.shape, stored)
    else:
        strides = tuple(s * stored.itemsize for s in view.strides)
        x = np.ndarray(view.shape, stored, view.storage.data, view.offset * stored.itemsize, strides)
    if view.kind.name == "bfloat16":
        return widened(x)
    if len(view.storage.views) > 1 or not view.fills_storage():
        x = x.copy()
    x = x.astype(x.dtype.newbyteorder("="), copy=False)
    return checked(x)


def widened(x: np.ndarray) -> np.ndarray:
    """float32 from the bits of bfloat16, which are the upper half of those of a float32: exactly."""
    wide = x.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def checked(x: np.ndarray) -> np.ndarray:
    """An array as it is.

    Raises:
        UnreadableError: it has booleans of other bytes than 0 and 1, for which NumPy's results are undefined.
    """
    if x.dtype == bool and x.size and x.view(np.uint8).max() > 1:
        raise UnreadableError("it has booleans that are neither 0 nor 1")
    return x
