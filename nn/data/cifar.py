"""CIFAR-10 and CIFAR-100: 50,000 and 10,000 photographs of 32x32 pixels, read from their binary form."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minigrad.nn.archive import CHUNK, UnreadableError
from minigrad.nn.data.files import File, Source, compare, obtain, open_file
from minigrad.nn.data.images import ImageArrays

PIXELS = 3 * 32 * 32
TEXT_LIMIT = 1 << 16  # bytes of a file of names


@dataclass(frozen=True)
class Layout:
    """Which files an archive of CIFAR holds, and how.

    A record is the label bytes, then the red, the green and the blue pixels, 32 rows of each.

    Attributes:
        folder: in which the files are.
        train, test: the files of records.
        count: records in each file of `train`, and in each of `test`.
        labels: what each label byte is a number of: for each a file of names and how many it has.
    """

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    count: tuple[int, int]
    labels: tuple[tuple[str, int], ...]


CIFAR10_LAYOUT = Layout(
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test=("test_batch.bin",),
    count=(10_000, 10_000),
    labels=(("batches.meta.txt", 10),),
)
CIFAR100_LAYOUT = Layout(
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    count=(50_000, 10_000),
    labels=(("coarse_label_names.txt", 20), ("fine_label_names.txt", 100)),
)

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
CITATION = "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, Toronto, 2009"
LICENCE = "none stated; its author asks to cite the report"

CIFAR10_SOURCE = Source(
    name="cifar10",
    title="CIFAR-10",
    files=(
        File(
            "cifar-10-binary.tar.gz",
            6 * 30_730_000 + (1 << 20),
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
    mirrors=MIRRORS,
    licence=LICENCE,
    citation=CITATION,
)
CIFAR100_SOURCE = Source(
    name="cifar100",
    title="CIFAR-100",
    files=(
        File(
            "cifar-100-binary.tar.gz",
            60_000 * (PIXELS + 2) + (1 << 20),
            sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
    mirrors=MIRRORS,
    licence=LICENCE,
    citation=CITATION,
)


class CIFAR10(ImageArrays):
    """Photographs of ten kinds of things: images uint8 (N, 3, 32, 32), N = 50,000 to train, 10,000 to test.

    `cifar-10-binary.tar.gz` is looked for in `<root>/cifar10`, `<root>` and the system's `share/datasets/cifar10`, and
    compared with its SHA256; nothing is unpacked to the disk. Where it is unpacked already, as the folder
    `cifar-10-batches-bin`, that is read; of its files no checksums are published: their lengths and labels are checked.

    Unlike torchvision's, it reads the binary form: the form for Python consists of pickles, which can run programs.

    Args:
        train: the training set, or the test set.
        root: the folder of data sets; if None the environment variable MINIGRAD_DATA, else ~/.cache/minigrad.
        download: whether to download the archive (170 MB) if it is in none of the folders.

    Attributes:
        images: uint8 (N, 3, 32, 32), red, green and blue.
        labels: int64 (N,).
        classes: the names of the labels, as batches.meta.txt has them.

    Raises:
        FileNotFoundError: the archive is not there; says where to get it and where to put it.
        ValueError: it is damaged, or is another; gives both checksums.
        OSError: it cannot be read or downloaded.

    Licence: none is stated; its author asks to cite the report.

    Source: A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, University of
    Toronto, 2009, chapter 3; the form of the files is at https://www.cs.toronto.edu/~kriz/cifar.html.

    >>> try:
    ...     CIFAR10(root="/nowhere")
    ... except FileNotFoundError as error:
    ...     print(str(error).splitlines()[0])
    CIFAR-10 needs cifar-10-binary.tar.gz, which is in none of the folders
    """

    source = CIFAR10_SOURCE

    def __init__(self, train: bool = True, root: str | os.PathLike[str] | None = None, download: bool = False):
        images, (labels,), (classes,) = load_cifar(CIFAR10_SOURCE, CIFAR10_LAYOUT, train, root, download)
        super().__init__(images, labels, classes=classes)


class CIFAR100(ImageArrays):
    """Photographs of a hundred kinds of things: images uint8 (N, 3, 32, 32), N = 50,000 to train, 10,000 to test.

    Files, checks, attributes and errors are those of CIFAR10, for `cifar-100-binary.tar.gz` and `cifar-100-binary`.

    Args:
        train: the training set, or the test set.
        root: the folder of data sets; if None the environment variable MINIGRAD_DATA, else ~/.cache/minigrad.
        download: whether to download the archive (169 MB) if it is in none of the folders.
        coarse: labels from 0 to 19, of the kinds' superclasses, instead of 0 to 99.

    Licence: none is stated; its author asks to cite the report.

    Source: A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, University of
    Toronto, 2009, chapter 3.

    >>> CIFAR100.source.files[0].name
    'cifar-100-binary.tar.gz'
    """

    source = CIFAR100_SOURCE

    def __init__(
        self,
        train: bool = True,
        root: str | os.PathLike[str] | None = None,
        download: bool = False,
        coarse: bool = False,
    ):
        images, labels, classes = load_cifar(CIFAR100_SOURCE, CIFAR100_LAYOUT, train, root, download)
        kind = 0 if coarse else 1
        super().__init__(images, labels[kind], classes=classes[kind])


def load_cifar(
    source: Source,
    layout: Layout,
    train: bool = True,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """The images (N, 3, 32, 32), the labels (kinds, N) and, for each kind of label, the names.

    Args:
        source: its only file is the archive; without a checksum there, the archive is not compared.
        layout: what the archive holds.
        train, root, download: as for CIFAR10.
    """
    (archive,) = source.files
    first = layout.train[0]
    names = (archive.name, f"{layout.folder}/{first}", first)
    return obtain(source, archive, names, partial(_read, archive, layout, train), root, download)


def _read(archive: File, layout: Layout, train: bool, path: Path) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """The data in an archive, or beside a file of the unpacked folder."""
    files = layout.train if train else layout.test
    count = layout.count[0 if train else 1]
    size = count * (len(layout.labels) + PIXELS)
    limits = dict.fromkeys(files, size) | {name: TEXT_LIMIT for name, _ in layout.labels}
    if path.name == archive.name:
        members = _from_archive(path, archive, layout.folder, limits)
    else:
        members = {name: _from_folder(path.with_name(name), limit) for name, limit in limits.items()}
    images, labels = [], []
    for name in files:
        data = members[name]
        if len(data) != size:
            more = "more than " if len(data) > size else ""
            raise UnreadableError(
                f"{name} must have {size} bytes, {count} records, and has {more}{min(len(data), size)}"
            )
        records = np.frombuffer(data, np.uint8).reshape(count, -1)
        images.append(records[:, len(layout.labels) :])
        labels.append(records[:, : len(layout.labels)].T)
    for (kind, most), numbers in zip(layout.labels, np.concatenate(labels, axis=1), strict=True):
        if numbers.max(initial=0) >= most:
            raise UnreadableError(f"labels of {kind} must be from 0 to {most - 1}, one is {numbers.max()}")
    classes = [_names(kind, members[kind], most) for kind, most in layout.labels]
    return np.concatenate(images).reshape(-1, 3, 32, 32), np.concatenate(labels, axis=1), classes


def _names(name: str, data: bytes, count: int) -> list[str]:
    names = [line for line in data.decode("ascii", "replace").split() if line.isascii() and line.isprintable()]
    if len(data) > TEXT_LIMIT or len(names) != count:
        raise UnreadableError(f"{name} must hold {count} names, it holds {len(names)}")
    return names


def _from_folder(path: Path, limit: int) -> bytes:
    """The bytes of a file, at most one more than it may have."""
    if not path.is_file():
        raise UnreadableError(f"{path.name} is not beside it")
    with path.open("rb") as file:
        return file.read(limit + 1)


def _from_archive(path: Path, archive: File, folder: str, limits: dict[str, int]) -> dict[str, bytes]:
    """The files of these names in a tar.gz, by what they hold: no name in the archive becomes a path."""
    with open_file(path) as file:
        if archive.sha256:
            compare(file, archive)
        try:
            unpacked = io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=file), archive.size), CHUNK)
            with tarfile.open(fileobj=unpacked, mode="r|") as tar:
                return _members(tar, folder, limits)
        except UnreadableError:
            raise
        except Exception as error:  # tarfile and zlib have many kinds
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise UnreadableError(f"it is a damaged archive ({type(error).__name__}: {error})") from error


def _members(tar: tarfile.TarFile, folder: str, limits: dict[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for member in tar:
        name = member.name.removeprefix(f"{folder}/")
        if member.name == f"{folder}/{name}" and name in limits and name not in found and member.isreg():
            content = tar.extractfile(member)
            assert content is not None  # a regular file has contents
            found[name] = content.read(limits[name] + 1)
            if len(found) == len(limits):
                return found
    missing = ", ".join(name for name in limits if name not in found)
    raise UnreadableError(f"it lacks {missing} in its folder {folder}")


class _Bounded(io.RawIOBase):
    """The bytes of a stream, of which there may be no more than a limit."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, limit: int):
        self.stream = stream
        self.left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.stream.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise UnreadableError("it unpacks to more bytes than the published archive")
        buffer[: len(data)] = data
        return len(data)
