"""Writing a file so that its name always stands for something whole: the old contents or the new."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path, mark: str = "") -> Iterator[BinaryIO]:
    """Open a new file for writing, which gets its name, in the place of an old file, when the block ends without error.

    Until then it has a temporary name in the same folder, where a rename is one step. An error, or a Ctrl-C, removes
    it; a killed process or a power cut leaves it behind, and the old file as it was.

    Args:
        path: the file; its folder must exist.
        mark: what the temporary name, `.{mark}{16 digits}.tmp`, begins with.

    Raises:
        OSError: the file cannot be written; of the kind that the system reports, and names the path.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(pathlib.Path(folder, "a.txt")) as file:
    ...         _ = file.write(b"whole")
    ...     pathlib.Path(folder, "a.txt").read_bytes()
    b'whole'
    """
    temporary = path.with_name(f".{mark}{secrets.token_hex(8)}.tmp")
    try:
        with naming(path):
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())  # or the rename could reach the disk before the contents
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # a folder that has become read-only: the first error is the one to report
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError in the block say which file cannot be saved.

    >>> with naming(Path("a.txt")):
    ...     raise PermissionError(13, "Permission denied")
    Traceback (most recent call last):
        ...
    PermissionError: [Errno 13] cannot save to a.txt: Permission denied
    """
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, f"cannot save to {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Have the new names of files written to the disk, where the system can open a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
