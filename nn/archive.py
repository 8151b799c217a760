"""Reading files that may lie about their sizes: what they claim is checked before memory is taken for it."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

CHUNK = 1 << 20


class UnreadableError(ValueError):
    """What is wrong with a file, in words for those who load it; other errors that reading raises are for experts."""


def unpacked_limit(size: int) -> int:
    """How many bytes of arrays a file of `size` bytes may become.

    Compressed weights become little larger, bfloat16 twice as large in float32; 32 MiB more for small files of zeros.
    """
    return 4 * size + (32 << 20)


class BoundedReader(io.BufferedReader):
    """A file opened for reading that refuses to read more bytes at once than it has.

    `BufferedReader.read(n)` first allocates n bytes, and n often comes out of the file.
    """

    def __init__(self, raw: io.FileIO):
        super().__init__(raw)
        self.size = os.fstat(raw.fileno()).st_size

    def read(self, n: int | None = -1, /) -> bytes:
        """Up to n bytes.

        Raises:
            UnreadableError: n is larger than the file.
        """
        if n is not None and n > self.size:
            raise UnreadableError(f"it claims to have a part of {n} bytes, the file has {self.size}")
        return super().read(n)


def fill(read: Callable[[int], bytes], array: np.ndarray) -> None:
    """Read the bytes of a one-dimensional array, a piece at a time: one copy, whatever the reader does.

    Raises:
        UnreadableError: there are too few.
    """
    target = array.view(np.uint8)
    done = 0
    while done < target.size:
        piece = read(min(CHUNK, target.size - done))
        if not piece:
            raise UnreadableError(f"it ends {target.size - done} bytes too early")
        target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)


class Archive:
    """The entries of a zip file, whose declared sizes have been compared with the size of the file.

    Args:
        file: the zip file.

    Raises:
        UnreadableError: two entries of one name; or they would unpack to more than `unpacked_limit` allows.
        zipfile.BadZipFile and others: it is damaged.
    """

    def __init__(self, file: BoundedReader):
        self._zip = zipfile.ZipFile(file)
        entries = self._zip.infolist()
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) < len(entries):
            raise UnreadableError("two entries of the zip archive have the same name")
        for entry in entries:
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA takes gigabytes if told to
                raise UnreadableError(f"the entry {entry.filename!r} is compressed by a method that NumPy does not use")
        total, limit = sum(entry.file_size for entry in entries), unpacked_limit(file.size)
        if total > limit:
            raise UnreadableError(
                f"it has {file.size} bytes and would unpack to {total}, more than the {limit} that are allowed"
            )

    def open(self, name: str) -> BinaryIO:
        """One entry, opened for reading; its checksum is compared when the last byte is read."""
        if name not in self.entries:
            raise UnreadableError(f"the zip archive has no entry {name!r}")
        return self._zip.open(self.entries[name])  # type: ignore[return-value]

    def read(self, name: str) -> bytes:
        """All bytes of one entry."""
        with self.open(name) as entry:
            return entry.read()
