"""Nested states as a table of named arrays and a text that says how they are nested, with checksums.

The text stands in the metadata of a safetensors file, under the key "minigrad":

    minigrad-nested 1 5ec04c0b {"dict":[["epoch",3],["model",{"dict":[["weight",{"tensor":["model.weight",403...]}]]}]]}

These are: a mark, the version of the format, the CRC-32 of what follows, in hexadecimal digits, and JSON. In it

    null, true, false, 3, 0.5, "text"   stand for themselves: None, bool, int of 64 bits, finite float, str
    [...]                               is a list
    {"tuple": [...]}                    a tuple
    {"dict": [[key, value], ...]}       a dict, in its order; a key is a str or an int of less than 60 bits
    {"int": "0x10000000000000000"}      a larger int, in hexadecimal digits
    {"float": "7ff8000000000000"}       a float that JSON does not have, nan or infinite: its 64 bits
    {"tensor": [name, checksum]}        the array of that name in the file
    {"scalar": [name, checksum]}        the same for a NumPy scalar

A name is the keys on the way to the array, joined by dots, so that other programs find the arrays; where two would be
equal, the second ends in ~2. A checksum is the CRC-32 of "name dtype shape", such as "model.weight <f4 (3, 2)", and the
bytes of the array after it. CRC-32 finds any damage within 32 bits in a row, and misses one in four billion of all
others. It is against accidents, not forgers: what a file says is data, whoever wrote it, and nothing in it is run.

Source of the checksum: W. W. Peterson, D. T. Brown, Cyclic Codes for Error Detection, Proceedings of the IRE 1961.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from minigrad.backend import device_of
from minigrad.nn.archive import UnreadableError
from minigrad.nn.plain_pickle import MAX_DEPTH, MAX_STEPS

KEY = "minigrad"
MARK = "minigrad-nested"
VERSION = 1
MAX_TEXT = 32 << 20  # characters: safetensors holds 100 MB, in which some of these take two bytes, and all the names
MAX_KEY = 1 << 60  # the hashes of larger ints can be made to collide
HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # two characters, of which JSON would make one


def checksum(name: str, array: np.ndarray) -> int:
    """The CRC-32 of a named array: of its name, dtype, shape and bytes.

    >>> import zlib
    >>> checksum("a", np.array([1, 2], np.uint8)) == zlib.crc32(b"a |u1 (2,)" + bytes([1, 2]))
    True
    """
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    return zlib.crc32(array, zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode()))  # type: ignore[arg-type]


def pack(state: Mapping[Any, Any], plain: Callable[[str, Any], np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """The text for a nested state, and the arrays in it under their names.

    Args:
        state: nested dicts, lists and tuples.
        plain: gives the array to be written, for its name and an array, Tensor or NumPy scalar.

    Raises:
        TypeError: there is something else in it; says what and where.
        ValueError: it is nested deeper than 64, or contains itself; or has more than four million parts, or
            very long texts.

    >>> text, arrays = pack({"epoch": 3, "model": {"weight": np.ones(2)}}, lambda name, array: array)
    >>> text[27:72], list(arrays)
    ('{"dict":[["epoch",3],["model",{"dict":[["weig', ['model.weight'])
    """
    arrays: dict[str, np.ndarray] = {}
    parts = 0

    def describe(value: Any, path: str, depth: int) -> Any:
        nonlocal parts
        parts += 1
        if parts > MAX_STEPS:
            _refuse_size()
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(value, path)
        if device_of(value) is not None:
            return {"tensor": put(value, path)}
        if isinstance(value, np.generic):
            return {"scalar": put(value, path)}
        if isinstance(value, int):
            return int(value) if -(1 << 63) <= value < 1 << 63 else {"int": hex(value)}
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        if not isinstance(value, (Mapping, list, tuple)):
            raise TypeError(
                f"nn.save takes names with Tensors or arrays of numbers, and nested dicts, lists, tuples, numbers, "
                f"str, bool and None, got {path!r}: {type(value).__name__}"
            )
        if depth == MAX_DEPTH:
            raise ValueError(f"the state is nested deeper than {MAX_DEPTH}, or contains itself, at {path[:100]!r}")

        def inside(key: Any) -> str:
            return f"{path}.{key}" if depth else str(key)

        if isinstance(value, Mapping):
            return {"dict": [[_key(k, path), describe(v, inside(k), depth + 1)] for k, v in value.items()]}
        items = [describe(v, inside(i), depth + 1) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}

    def put(value: Any, path: str) -> list:
        stem = name = path.encode(errors="backslashreplace").decode()
        number = 1
        while name in arrays or name == "__metadata__":  # {"a.b": x, "a": {"b": y}}; and what safetensors has taken
            number += 1
            name = f"{stem}~{number}"
        arrays[name] = plain(path, value)
        return [name, checksum(name, arrays[name])]

    text = json.dumps(describe(state, "", 0), allow_nan=False, separators=(",", ":"))
    if _count(text) > MAX_STEPS or len(text) > MAX_TEXT:
        _refuse_size()
    return f"{MARK} {VERSION} {zlib.crc32(text.encode()):08x} {text}", arrays


def find(metadata: Mapping[str, str]) -> str | None:
    """The text in the metadata of a safetensors file; None in a file of other programs, or of a flat state.

    The mark counts as much as the key: one damaged bit cannot make a nested state pass for a flat one.

    >>> find({"format": "pt"}), find({"minigrad": "x"}), find({"minigqad": "minigrad-nested 1"})
    (None, 'x', 'minigrad-nested 1')
    """
    return next((text for key, text in metadata.items() if key == KEY or text.startswith(MARK)), None)


def unpack(text: str, names: Iterable[str], read: Callable[[str, int, bool], Any]) -> Any:
    """The nested state that a text describes.

    Args:
        text: from `pack`, or from anywhere.
        names: of the arrays that there are; each must occur in the text once.
        read: gives an array, for its name, its checksum and whether it is a scalar.

    Raises:
        UnreadableError and other exceptions: the text is damaged.

    >>> text, arrays = pack({"a": [1, (2.5, None)], 3: np.ones(2)}, lambda name, array: array)
    >>> unpack(text, arrays, lambda name, *_: arrays[name])
    {'a': [1, (2.5, None)], 3: array([1., 1.])}
    """
    left = set(names)

    def take(content: Any, scalar: bool) -> Any:
        name, expected = content
        if type(name) is not str or name not in left:
            raise UnreadableError(f"its description names the array {str(name)[:100]!r}, which it has not, or twice")
        left.remove(name)
        return read(name, expected, scalar)

    def build(node: Any, depth: int) -> Any:
        if type(node) not in (list, dict):
            return node
        if depth > MAX_DEPTH:
            raise UnreadableError(f"its data is nested deeper than {MAX_DEPTH}")
        if type(node) is list:
            return [build(item, depth + 1) for item in node]
        ((kind, content),) = node.items()
        match kind:
            case "tuple":
                return tuple([build(item, depth + 1) for item in content])
            case "dict":
                made = {_read_key(key): build(item, depth + 1) for key, item in content}
                if len(made) < len(content):
                    raise UnreadableError("its description has a key twice")
                return made
            case "int":
                return int(content, 16)
            case "float":
                return struct.unpack(">d", bytes.fromhex(content))[0]
            case "tensor" | "scalar":
                return take(content, kind == "scalar")
        raise UnreadableError(f"its description has a {str(kind)[:100]!r}, which this version does not know")

    head = re.match(rf"{MARK} (\d{{1,9}}) ([0-9a-f]{{8}}) ", text)
    if head is None:
        raise UnreadableError("its description of the nested state is damaged")
    if int(head[1]) != VERSION:
        raise UnreadableError(f"its nested state has version {head[1]} of the format, this minigrad reads {VERSION}")
    text = text[head.end() :]
    if zlib.crc32(text.encode()) != int(head[2], 16):
        raise UnreadableError("its description of the nested state is damaged: the checksum is another")
    if _count(text) > MAX_STEPS:
        raise UnreadableError(f"its description has more than {MAX_STEPS} parts")
    state = build(json.loads(text, parse_constant=_no_constant), 0)
    if type(state) is not dict:
        raise UnreadableError(f"it holds no dict of names but a {type(state).__name__}")
    if left:
        raise UnreadableError(f"its description does not have the array {min(left)!r}")
    return state


def _text(value: str, path: str) -> str:
    if HALVES.search(value):
        raise ValueError(f"nn.save cannot hold the text {value!r}, at {path!r}: two halves of a character in a row")
    return str.__str__(value)


def _key(key: Any, path: str) -> str | int:
    if isinstance(key, str):
        return _text(key, path)
    if isinstance(key, int) and not isinstance(key, bool) and abs(key) < MAX_KEY:
        return int(key)
    raise TypeError(f"nn.save takes dicts with keys of str or int (of less than 60 bits), got {key!r} in {path!r}")


def _read_key(key: Any) -> str | int:
    if type(key) is not str and not (type(key) is int and abs(key) < MAX_KEY):
        raise UnreadableError(f"its description has a dict with a key of another type: {type(key).__name__}")
    return key


def _count(text: str) -> int:
    """At least how many values a JSON text has; before it is parsed, for each takes up to 64 bytes."""
    return sum(map(text.count, ",[{"))


def _refuse_size() -> NoReturn:
    raise ValueError(
        f"nn.save takes nested states of up to {MAX_STEPS} parts and {MAX_TEXT} characters, beside the arrays: make "
        f"arrays of long lists of numbers"
    )


def _no_constant(name: str) -> NoReturn:
    raise UnreadableError(f"its description has the number {name}, which is not JSON")
