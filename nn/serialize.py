"""Saved weights: files of named arrays, which hold nothing that could run.

safetensors (https://github.com/huggingface/safetensors, which PyTorch and others read too) and NumPy's npz are written
and read, what `torch.save` writes is read. Nested states are safetensors files with a text that says how they are
nested: see nested.py.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigrad import Tensor, asarray
from minigrad.backend import device_of, raw, transfer_array
from minigrad.nn import nested
from minigrad.nn.archive import Archive, BoundedReader, UnreadableError, fill
from minigrad.nn.atomic import replacing
from minigrad.nn.module import Module
from minigrad.nn.optional import need
from minigrad.nn.torch_file import MAGIC, checked, load_archive, load_sequence, widened

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # its bits
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}  # of safetensors


def save(obj: Module | Mapping[Any, Any], path: str | os.PathLike[str]) -> None:
    """Write the state of a module, a dict of named Tensors or arrays, or a nested state to a file.

    The file appears under its name when it is complete: a failure, or a power cut, leaves an old file as it was.
    PyTorch's own pickles are not written; it reads safetensors by `safetensors.torch.load_file`.

    A nested state is a dict (with keys of str or int) of dicts, lists, tuples, int of any size, float, str, bool, None,
    Tensors, arrays and NumPy scalars, such as a checkpoint. `load` gives the same back, to the bit: a Tensor for each
    array, in row-major order, a dict for any mapping, the built-in type for a subclass. It has checksums, and `load`
    refuses a file with a damaged bit. Other programs see its arrays under dotted names, such as "model.0.weight".

    Args:
        obj: the Module, whose `state_dict()` is written; a flat dict; or, as safetensors only, a nested one.
        path: the file; *.npz is written in NumPy's format, any other name, usually *.safetensors, as safetensors. Its
            folder must exist.

    Raises:
        ImportError: safetensors is not installed; says what to install.
        TypeError: something else than a Module or a dict; something in it that is none of the above; or, as npz, that
            is no array of numbers. Says where.
        ValueError: the name ends in .pth or .pt; a name of an array, or a text, that the format cannot hold; or a state
            nested deeper than 64, or of more than four million parts.
        OSError: the file cannot be written; names it.

    >>> import pathlib, tempfile
    >>> from minigrad import nn
    >>> layer = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(layer, pathlib.Path(folder, "layer.npz"))
    ...     _ = layer.load_state_dict(nn.load(pathlib.Path(folder, "layer.npz")))
    ...     nn.save({"epoch": 3, "model": layer.state_dict()}, pathlib.Path(folder, "checkpoint.safetensors"))
    ...     nn.load(pathlib.Path(folder, "checkpoint.safetensors"))["epoch"]
    3
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".pth", ".pt"):
        raise ValueError(
            f"nn.save does not write PyTorch's pickles, got {path}: name it *.safetensors, which PyTorch reads by "
            f"safetensors.torch.load_file, or *.npz"
        )
    npz = suffix == ".npz"
    if not npz:
        need("safetensors.numpy", "nn.save")
    if not isinstance(obj, (Module, Mapping)):
        raise TypeError(f"nn.save takes a Module or a dict of named arrays, got {type(obj).__name__}")
    state = obj.state_dict() if isinstance(obj, Module) else obj
    text = None
    if npz or all(isinstance(name, str) and device_of(value) is not None for name, value in state.items()):
        arrays = {name: plain_array(name, value, npz) for name, value in state.items()}
    else:
        text, arrays = nested.pack(state, plain_array)
    with replacing(path) as file:
        if npz:
            _write_npz(file, arrays)
        else:
            write_safetensors(file, arrays, text)


def load(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """Read a file of weights: a dict with a Tensor on the CPU for each name, ready for `module.load_state_dict`.

    Of a nested state that `save` wrote, the same nested dicts, lists, tuples, numbers, str, bool and None, in their
    order, with Tensors for the arrays, after their checksums have been compared.

    What it is, its first bytes tell: safetensors, NumPy's npz, or what `torch.save` writes, in both of its formats.
    Nothing in the file is run, and no more memory is taken than its size justifies. PyTorch is not needed.

    Of `torch.save`, a state dict gives a dict of Tensors, and a checkpoint such as {"epoch": 3, "model": state_dict}
    the same nesting (with keys of str or int) with Tensors in it. Parameters become plain Tensors. bfloat16, which
    NumPy does not have, becomes float32, exactly. Tensors that looked into the same memory get memory of their own; the
    same tensor under two names stays one.

    Raises:
        ImportError: safetensors, which only files of its format need, is not installed; says what to install.
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is none of these, is damaged, or holds something else, such as a pickled Module or complex
            numbers; names the file and the fault.

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from minigrad import nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(pathlib.Path(folder, "weights"), bias=np.zeros(2))
    ...     nn.load(pathlib.Path(folder, "weights.npz"))
    {'bias': tensor([0., 0.], dtype=float64)}
    """
    path = Path(path)
    with _opened(path) as file:
        state = _read(file, path)
        if type(state) is not dict:
            raise UnreadableError(f"it holds no dict of names but a {type(state).__name__}")
    return state


def load_outline(path: str | os.PathLike[str], check: bool = False) -> dict[Any, Any]:
    """A nested state that `save` wrote, with None for each array: reads only the header, however large the file is.

    The checksum of the description is compared, and the size of the file; the checksums of the arrays only if `check`,
    which reads all, one array at a time.

    Raises:
        As `load`, and ValueError for a file that holds no nested state.

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"epoch": 3, "x": np.ones(3)}, pathlib.Path(folder, "x.safetensors"))
    ...     load_outline(pathlib.Path(folder, "x.safetensors"))
    {'epoch': 3, 'x': None}
    """
    path = Path(path)
    with _opened(path) as file:
        if not _is_safetensors(file.peek(16)):
            raise UnreadableError("it is not a safetensors file; or its first bytes are damaged")
        with need("safetensors", "nn.load").safe_open(path, framework="np") as reader:
            text = nested.find(reader.metadata() or {})
            if text is None:
                raise UnreadableError("it holds no nested state")

            def read(name: str, checksum: int, _: bool) -> None:
                if check:
                    _verified(reader, name, checksum)

            return nested.unpack(text, _kinds(reader), read)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BoundedReader]:
    """The file, for reading in a block whose errors will name it and the fault."""
    if not path.is_file():
        raise FileNotFoundError(f"no saved weights at {path}" + (": it is a folder" if path.is_dir() else ""))
    with BoundedReader(path.open("rb", buffering=0)) as file:
        try:
            yield file
        except ImportError:
            raise
        except Exception as error:  # each reader has its own kinds, up to MemoryError for sizes that are not so
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a seek to where no file can be
                raise
            fault = str(error) if type(error) is UnreadableError else f"it is damaged ({type(error).__name__}: {error})"
            raise ValueError(f"cannot load {path}: {fault}") from error


def _read(file: BoundedReader, path: Path) -> Any:
    """The contents of a file of any known format."""
    head = file.peek(512)[:512]
    if _is_safetensors(head):
        return _read_safetensors(path)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        archive = Archive(file)
        if any(name == "data.pkl" or name.endswith("/data.pkl") for name in archive.entries):
            return load_archive(archive, file.size)
        return {name.removesuffix(".npy"): _read_npy(archive, name) for name in archive.entries}
    if head.startswith(b"\x80") and MAGIC.to_bytes(10, "little") in head[:32]:
        return load_sequence(file)
    if head[257:262] == b"ustar":
        raise UnreadableError(
            "it is a tar archive, as the first versions of torch.save wrote: load it in PyTorch and save it again"
        )
    raise UnreadableError(
        "it is not a safetensors or npz file, nor written by torch.save; or its first bytes are damaged"
    )


# ---- safetensors ----------------------------------------------------------------------------------------------------


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{"


def write_safetensors(file: BinaryIO, arrays: dict[str, np.ndarray], text: str | None) -> None:
    """Write what `nested.pack` gave, or a flat state, which has no text."""
    if "__metadata__" in arrays:
        raise UnreadableError("safetensors keeps the name '__metadata__' for itself: rename that array")
    metadata = None if text is None else {nested.KEY: text}
    file.write(need("safetensors.numpy", "nn.save").save(arrays, metadata))


def _read_safetensors(path: Path) -> Any:
    safetensors = need("safetensors", "nn.load")
    with safetensors.safe_open(path, framework="np") as reader:
        kinds = _kinds(reader)
        text = nested.find(reader.metadata() or {})
        if text is not None:

            def read(name: str, checksum: int, scalar: bool) -> Any:
                array = _verified(reader, name, checksum)
                return array.reshape(())[()] if scalar else asarray(array)

            return nested.unpack(text, kinds, read)
        if "BF16" not in kinds.values():
            return {name: asarray(checked(reader.get_tensor(name))) for name in kinds}
    state = {}  # with bfloat16, which NumPy does not have: safetensors gives the bytes only of all tensors together
    for name, tensor in safetensors.deserialize(path.read_bytes()):
        x = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
        x = widened(x) if tensor["dtype"] == "BF16" else x
        state[name] = asarray(checked(x.astype(x.dtype.newbyteorder("="), copy=False)))
    return state


def _kinds(reader: Any) -> dict[str, str]:
    """The dtypes of all tensors, by name."""
    kinds = {name: reader.get_slice(name).get_dtype() for name in reader.keys()}  # noqa: SIM118 (it is no dict)
    for name, kind in kinds.items():
        if kind not in DTYPES:
            raise UnreadableError(f"{name!r} has the dtype {kind}; {', '.join(DTYPES)} can be read")
    return kinds


def _verified(reader: Any, name: str, checksum: int) -> np.ndarray:
    """One array of a nested state."""
    array = checked(reader.get_tensor(name))
    if nested.checksum(name, array) != checksum:
        raise UnreadableError(f"the array {name!r} is damaged: its checksum is another")
    return array


# ---- npz ------------------------------------------------------------------------------------------------------------


def _write_npz(file: BinaryIO, arrays: dict[str, np.ndarray]) -> None:
    """As np.savez, which cannot hold an array named "file", and notes the time: equal weights give equal files here."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            if "\0" in name:
                raise UnreadableError(f"npz cannot hold the name {name!r}: it ends at the character of code 0")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _read_npy(archive: Archive, name: str) -> Tensor:
    if not name.endswith(".npy"):
        raise UnreadableError(
            f"it is a zip archive but neither of np.savez nor of torch.save: it has an entry {name!r}"
        )
    with archive.open(name) as entry:
        version = np.lib.format.read_magic(entry)
        if version not in ((1, 0), (2, 0)):
            raise UnreadableError(f"the entry {name!r} has version {version} of NumPy's format; 1.0 and 2.0 are known")
        read_header = (np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0)[version[0] - 1]
        shape, fortran, dtype = read_header(entry)
        if dtype.kind not in "fiub" or dtype.itemsize > 8:
            raise UnreadableError(
                f"the entry {name!r} has the dtype {dtype}; tensors hold real numbers of up to 64 bits"
            )
        expected = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or expected != archive.entries[name].file_size - entry.tell():
            raise UnreadableError(
                f"the entry {name!r} has another size than an array of shape {shape} and dtype {dtype}"
            )
        x = np.empty(expected // dtype.itemsize, dtype)
        fill(entry.read, x)
        entry.read(1)  # compares the checksum, also of an empty array
    x = x.astype(dtype.newbyteorder("="), copy=False).reshape(shape, order="F" if fortran else "C")
    return asarray(checked(x))


# ---- what both writers need -----------------------------------------------------------------------------------------


def plain_array(name: Any, value: Any, npz: bool = False) -> np.ndarray:
    """A NumPy array in row-major order: safetensors (0.8) writes the memory of any other order as if it were this."""
    array = raw(np.asarray(value) if isinstance(value, np.generic) else value)
    known = device_of(array) is not None and array.dtype.kind in "fiub" and array.dtype.itemsize <= 8
    if not known or not isinstance(name, str):
        raise TypeError(
            f"nn.save takes names with Tensors or arrays of numbers, got {name!r}: {type(value).__name__}"
            + ("; nested states and single numbers are written as *.safetensors only" if npz else "")
        )
    array = transfer_array(array, "cpu")
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
