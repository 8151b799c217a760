"""IDX, the format of MNIST's files: a header of sizes, then the numbers."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from minigrad.nn.archive import UnreadableError
from minigrad.nn.data.files import GZIP

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(data: bytes) -> np.ndarray:
    """The array in the bytes of an IDX file.

    Two zero bytes, one for the dtype and one for the number n of dimensions; n sizes as big-endian 32-bit integers; the
    numbers, big-endian, the last index fastest. Images of MNIST begin with 0x00000803, its labels with 0x00000801.

    Returns:
        an array of its own memory, in the byte order of this machine.

    Raises:
        ValueError: the bytes are something else, or are too few or too many; gives the numbers.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST Database of Handwritten Digits, "File formats".

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    array([7, 2, 1], dtype=uint8)
    """
    shape, dtype = _header(data)
    start = 4 + 4 * len(shape)
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise UnreadableError(
            f"an IDX file of shape {shape} and dtype {dtype.name} has {expected} bytes, this has {len(data)}"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_idx(path: str | os.PathLike[str], limit: int = 1 << 31) -> np.ndarray:
    """The array in an IDX file, which may be packed by gzip.

    Args:
        path: the file.
        limit: how many bytes it may have unpacked. No more than its header says is unpacked, and one byte.

    Raises:
        ValueError: it is damaged, or is larger; names it and the fault.
        OSError: it cannot be read.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 0]))
    ...     read_idx(path)
    array([5, 0], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        try:
            head = stream.read(4)
            head += stream.read(4 * head[3] if len(head) == 4 else 0)
            shape, dtype = _header(head)
            size = math.prod(shape) * dtype.itemsize
            if size > limit:
                raise UnreadableError(f"it claims the shape {shape} of {dtype.name}: {size} bytes, {limit} are allowed")
            return parse_idx(head + stream.read(size + 1))
        except ValueError as error:
            raise ValueError(f"cannot read {path}: {error}") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"cannot read {path}: it is a damaged gzip file ({error})") from error


def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the dtype."""
    if len(data) < 4:
        raise UnreadableError(f"an IDX file begins with 4 bytes that say what it is, this has {len(data)}")
    if data[:2] != b"\0\0" or data[2] not in DTYPES or not 1 <= data[3] <= 32:
        raise UnreadableError(
            f"it begins with 0x{data[:4].hex()}, an IDX file with 0x0000, the kind of its numbers and how many "
            f"dimensions it has: 0x00000803 for images in bytes, 0x00000801 for labels"
        )
    if len(data) < 4 + 4 * data[3]:
        raise UnreadableError(f"it ends inside the header of an IDX file with {data[3]} dimensions")
    return struct.unpack_from(f">{data[3]}I", data, 4), np.dtype(DTYPES[data[2]])
