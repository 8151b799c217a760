"""Published files of data sets: found on this machine or downloaded, and compared with their checksums."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import os
import sys
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from minigrad.nn.archive import CHUNK, UnreadableError
from minigrad.nn.atomic import naming, replacing

T = TypeVar("T")
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class File:
    """A file as it is published.

    Attributes:
        name: its name, such as "train-labels-idx1-ubyte.gz".
        size: bytes of what it holds, unpacked; of an archive at most so many.
        sha256, md5: hexadecimal digests of the file itself, packed; "" where not known.
        contents_sha256: of what it holds, unpacked; "" where not known.
    """

    name: str
    size: int
    sha256: str = ""
    md5: str = ""
    contents_sha256: str = ""

    @property
    def checksum(self) -> tuple[str, str]:
        """The kind and the digest of the best checksum that is known of the file itself."""
        return ("SHA256", self.sha256) if self.sha256 else ("MD5", self.md5)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        name: as users write it; also the folder of its files.
        title: as its authors write it.
        files: as they are published.
        mirrors: addresses of the folders to download them from, tried in this order.
        licence, citation: what its users should know.
        folders: others than `name` that it may be in, such as that of torchvision.
        package: the Debian package that has it, or "".
    """

    name: str
    title: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    licence: str
    citation: str
    folders: tuple[str, ...] = ()
    package: str = ""


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The user's folder of data sets.

    That is `root`; if None, what the environment variable MINIGRAD_DATA says; if it is not set, `minigrad` in the
    folder for caches, which is XDG_CACHE_HOME or ~/.cache.

    >>> data_root("/data")
    PosixPath('/data')
    """
    if root is None:
        root = os.environ.get("MINIGRAD_DATA") or None
    if root is not None:
        return Path(root).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "minigrad"


def search_path(source: Source, root: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders in which the files of a data set are looked for, in this order.

    `<root>/<name>`, `<root>`, those below root that other tools make, and `datasets/<name>` in the system's folders for
    data: /usr/local/share and /usr/share, unless XDG_DATA_DIRS names others.
    """
    own = data_root(root)
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    system = [Path(folder, "datasets", source.name) for folder in shared if folder]
    return list(dict.fromkeys([own / source.name, own, *(own / name for name in source.folders), *system]))


def candidates(source: Source, names: Sequence[str], root: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Where a file of any of these names may be."""
    return (folder / name for folder in search_path(source, root) for name in names)


def obtain(
    source: Source,
    file: File,
    names: Sequence[str],
    read: Callable[[Path], T],
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> T:
    """What `read` makes of the first file that it accepts.

    Files that are there are never changed: one that is damaged is passed over, and where none is whole the error tells
    of each. A download is compared with the checksum before it gets its name.

    Args:
        source, file: the data set, and the one of its files.
        names: those that the file may have on this machine, as it is published, unpacked, and so on.
        read: takes a path, compares checksums and gives the contents; raises UnreadableError with the fault.
        root: the user's folder, see `data_root`.
        download: whether to download the file if there is none on this machine.

    Raises:
        FileNotFoundError: there is none; says what to do.
        ValueError: there are only damaged ones; says what is wrong with each.
        OSError: those that are there cannot be read, or none can be downloaded.
    """
    faults: list[str] = []
    damaged = False
    for path in candidates(source, names, root):
        try:
            path.stat()
            return read(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UnreadableError as error:
            damaged = True
            faults.append(f"{path}: {error}")
        except OSError as error:
            faults.append(f"{path} cannot be read: {error.strerror or error}")
    target = data_root(root) / source.name / file.name
    free = not os.path.lexists(target)
    if download and free:
        fetch(source, file, target)
        return read(target)
    advice = _advice(source, file, target, free)
    if not faults:
        where = "".join(f"\n    {folder}" for folder in search_path(source, root))
        raise FileNotFoundError(f"{source.title} needs {file.name}, which is in none of the folders{where}\n{advice}")
    found = "".join(f"\n    {fault}" for fault in faults)
    kind = ValueError if damaged else OSError
    raise kind(f"{source.title} needs {file.name}, and found it only so:{found}\n{advice}")


def _advice(source: Source, file: File, target: Path, free: bool) -> str:
    """What to do; what has the name of a download, such as a damaged file, is the user's to move."""
    kind, digest = file.checksum
    urls = " or ".join(mirror + file.name for mirror in source.mirrors)
    package = f"install the Debian package {source.package}, or " if source.package else ""
    first = "Pass" if free else f"Nothing was changed. Move {target} away and pass"
    return (
        f"{first} download=True, or {package}get it by hand from {urls} ({kind} {digest}) and put it, as it is or "
        f"unpacked, into {target.parent}. root= or the environment variable MINIGRAD_DATA names another folder than "
        f"{target.parent.parent}."
    )


# ---- verifying ------------------------------------------------------------------------------------------------------


def contents(path: Path, file: File) -> bytes:
    """What a file holds, unpacked if it is a gzip file, which its first bytes tell and not its name.

    Compared are the length and the SHA256 of the contents. Where that is not known, a gzip file is compared with the
    checksum of the published one, and of an unpacked file only the length is. No more is unpacked than the length
    allows.

    Raises:
        UnreadableError: it is not the published file; says what differs, with both checksums.
        OSError: it cannot be read.
    """
    with open_file(path) as stream:
        packed = stream.read(2) == GZIP
        stream.seek(0)
        if packed and not file.contents_sha256:
            compare(stream, file)
        try:
            data = (gzip.GzipFile(fileobj=stream) if packed else stream).read(file.size + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableError(f"it is a damaged gzip file ({error}); {_digests(stream, file, packed)}") from error
        if len(data) != file.size:
            size = f"more than {file.size}" if len(data) > file.size else len(data)
            where = "unpacks to" if packed else "has"
            raise UnreadableError(
                f"it {where} {size} bytes, {file.size} are expected; {_digests(stream, file, packed)}"
            )
    found = hashlib.sha256(data).hexdigest()
    if file.contents_sha256 and found != file.contents_sha256:
        raise UnreadableError(
            f"it is not the published file: SHA256 of its contents is {found}, {file.contents_sha256} is expected"
        )
    return data


def compare(stream: io.BufferedReader, file: File) -> None:
    """Compare an open file with the checksum of the published one, and go back to its start.

    Raises:
        UnreadableError: they differ; gives both.
    """
    kind, expected = file.checksum
    found = _digest(stream, kind)
    if found != expected:
        raise UnreadableError(f"it is not the published file: {kind} of the file is {found}, {expected} is expected")


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading.

    Raises:
        UnreadableError: it is something else than a file.
        OSError: it cannot be read.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise UnreadableError("it is a folder" if path.is_dir() else "it is not a file")
    return path.open("rb")


def _digest(stream: io.BufferedReader, kind: str) -> str:
    stream.seek(0)
    digest = hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    stream.seek(0)
    return digest


def _digests(stream: io.BufferedReader, file: File, packed: bool) -> str:
    """Both checksums of a file that is already known to be another than the published one."""
    kind, expected = file.checksum if packed or not file.contents_sha256 else ("SHA256", file.contents_sha256)
    whole = "file" if packed or file.contents_sha256 else "packed file"
    return f"{kind} of the file is {_digest(stream, kind)}, of the published {whole} {expected}"


# ---- downloading ----------------------------------------------------------------------------------------------------


def fetch(source: Source, file: File, target: Path, timeout: float = 30.0) -> None:
    """Download a file from the first mirror that gives it whole; a progress bar is shown on a terminal that has tqdm.

    The file appears under its name when it is complete and its checksum, of the file as it is published, is right.

    Args:
        source, file: the data set, and the one of its files.
        target: where to put it; its folder is made.
        timeout: seconds to wait for a mirror that sends nothing.

    Raises:
        OSError: no mirror gave it, with the reason of each; or it cannot be written.
    """
    failures = []
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    for url in (mirror + file.name for mirror in source.mirrors):
        try:
            with replacing(target) as out:
                _copy(url, file, out, timeout)
            return
        except UnreadableError as error:
            failures.append(f"\n    {url}: {error}")
    raise OSError(
        f"{source.title}: {file.name} cannot be downloaded:{''.join(failures)}\n"
        f"Get it by hand and put it, as it is or unpacked, into {target.parent}."
    )


def _copy(url: str, file: File, out: BinaryIO, timeout: float) -> None:
    kind, expected = file.checksum
    digest = hashlib.new(kind, usedforsecurity=False)
    done, limit = 0, file.size + file.size // 100 + 1024  # what does not become smaller by gzip becomes little larger
    for chunk in _chunks(url, file.name, timeout):
        done += len(chunk)
        if done > limit:
            raise UnreadableError(f"it sends more than {limit} bytes")
        digest.update(chunk)
        out.write(chunk)
    if digest.hexdigest() != expected:
        raise UnreadableError(f"{kind} of its {done} bytes is {digest.hexdigest()}, {expected} is expected")


def _chunks(url: str, name: str, timeout: float) -> Iterator[bytes]:
    """The bytes at an address; what goes wrong is an UnreadableError, unlike what goes wrong in writing them."""
    request = urllib.request.Request(url, headers={"User-Agent": "minigrad"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            done = 0
            with _progress(name, total) as advance:
                while chunk := response.read(CHUNK):
                    done += len(chunk)
                    advance(len(chunk))
                    yield chunk
            if total is not None and done != total:
                raise UnreadableError(f"the connection ended after {done} of {total} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator[Callable[[int], Any]]:
    """What to call with the number of bytes that have come."""
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            with tqdm(desc=name, total=total, unit="B", unit_scale=True, unit_divisor=1024) as bar:
                yield bar.update
            return
    yield lambda n: None
