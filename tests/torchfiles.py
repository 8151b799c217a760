"""A writer of both formats of torch.save, without PyTorch, that can also write what PyTorch never would."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Name(NamedTuple):
    """Something that the pickle imports."""

    module: str
    name: str


class Call(NamedTuple):
    """A function that the pickle calls, and the state that it then sets."""

    function: Any
    arguments: tuple
    items: dict | None = None
    state: Any = None


class Stored(NamedTuple):
    """An object that is not in the pickle: only its identifier is."""

    identifier: Any


class Opcodes(NamedTuple):
    """Bytes as they are."""

    code: bytes


def encode(value: Any) -> bytes:
    """The instructions that put a value on the stack, in protocol 2."""
    match value:
        case Opcodes(code):
            return code
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments, items, state):
            code = encode(function) + encode(tuple(arguments)) + b"R"
            code += b"" if items is None else b"(" + b"".join(encode(x) for pair in items.items() for x in pair) + b"u"
            return code + (b"" if state is None else encode(state) + b"b")
        case Stored(identifier):
            return encode(identifier) + b"Q"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            n = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
            return b"\x8a" + bytes([len(n)]) + n
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(encode, value)) + b"t"
        case list():
            return b"](" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"}(" + b"".join(encode(x) for pair in value.items() for x in pair) + b"u"
    raise TypeError(value)


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + encode(value) + b"."


ORDERED = Name("collections", "OrderedDict")


def storage(key: str, kind: str, size: Any, legacy: bool = False) -> Stored:
    return Stored(("storage", Name("torch", kind), key, "cpu", size, *([None] if legacy else [])))


def view(memory: Any, offset: Any, shape: Any, strides: Any) -> Call:
    """A tensor that looks into a storage."""
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, (memory, offset, shape, strides, False, Call(ORDERED, ())))


def state_dict(arrays: dict[str, np.ndarray], legacy: bool = False) -> tuple[Call, dict[str, bytes]]:
    """What torch.save makes of the state dict of a module: its description, and the storages."""
    items, storages = {}, {}
    for i, (name, x) in enumerate(arrays.items()):
        strides = tuple(s // x.itemsize for s in x.strides)
        items[name] = view(storage(str(i), STORAGES[x.dtype.name], x.size, legacy), 0, x.shape, strides)
        storages[str(i)] = x.ravel(order="K").tobytes()  # as it lies in memory
    return Call(ORDERED, (), items, {"_metadata": Call(ORDERED, (), {"": {"version": 1}})}), storages


def zip_file(pickle_: bytes, storages: dict[str, bytes], byteorder: str | None = "little", **more: bytes) -> bytes:
    """The format since PyTorch 1.6."""
    entries = {"data.pkl": pickle_, "version": b"3\n"} | (
        {} if byteorder is None else {"byteorder": byteorder.encode()}
    )
    entries |= {f"data/{key}": data for key, data in storages.items()} | more
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
    return file.getvalue()


def legacy_file(pickle_: bytes, storages: dict[str, tuple[int, bytes]]) -> bytes:
    """The format before PyTorch 1.6; a storage is its number of elements and its bytes."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(x, 2) for x in (MAGIC, 1001, facts)) + pickle_ + pickle.dumps(sorted(storages), 2)
    return head + b"".join(struct.pack("<q", storages[key][0]) + storages[key][1] for key in sorted(storages))


def saved(arrays: dict[str, np.ndarray], legacy: bool = False) -> bytes:
    """A state dict as a file."""
    described, storages = state_dict(arrays, legacy)
    if not legacy:
        return zip_file(pickled(described), storages)
    sizes = [x.size for x in arrays.values()]
    return legacy_file(pickled(described), {k: (n, d) for n, (k, d) in zip(sizes, storages.items(), strict=True)})
