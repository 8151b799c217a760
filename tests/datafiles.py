"""Small files in the formats of the published data sets, and sources that expect them, for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.nn.data.cifar import Layout
from minigrad.nn.data.files import File, Source

TRAIN, TEST = 6, 4
PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file, written from the format's description."""
    kinds = {"uint8": 8, "int8": 9, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
    head = struct.pack(f">HBB{array.ndim}I", 0, kinds[array.dtype.name], array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small_mnist(mirrors: tuple[str, ...] = ("http://127.0.0.1:9/",), checksums: str = "all", package: str = ""):
    """A source of four small files, their contents by name, and the arrays in them.

    `checksums` is "all", or "md5" for those of KMNIST.
    """
    rng = np.random.default_rng(0)
    arrays = []
    for n in (TRAIN, TEST):
        arrays += [rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)]
    contents = {name: idx(array) for name, array in zip(PARTS, arrays, strict=True)}
    files = []
    for name, data in contents.items():
        packed = gzip.compress(data, mtime=0)
        sha, raw = hashlib.sha256(packed).hexdigest(), hashlib.sha256(data).hexdigest()
        md5 = hashlib.md5(packed).hexdigest()
        known = {"sha256": sha, "contents_sha256": raw} if checksums == "all" else {}
        files.append(File(f"{name}.gz", len(data), md5=md5, **known))
    source = Source("small", "Small", tuple(files), mirrors, "none", "nobody", ("Other/raw",), package)
    return source, contents, arrays


def put(folder: Path, contents: dict[str, bytes], packed: bool = True, level: int = 9) -> None:
    """Write the files of `small_mnist`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, level, mtime=0))
        else:
            (folder / name).write_bytes(data)


CIFAR10 = Layout("cifar-10-batches-bin", ("data_batch_1.bin", "data_batch_2.bin"), ("test_batch.bin",), (3, 2),
                 (("batches.meta.txt", 10),))  # fmt: skip
CIFAR100 = Layout("cifar-100-binary", ("train.bin",), ("test.bin",), (4, 2),
                  (("coarse_label_names.txt", 3), ("fine_label_names.txt", 5)))  # fmt: skip


def small_cifar(layout: Layout) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """The files of an unpacked archive by name, and their records (count, labels + 3072)."""
    rng = np.random.default_rng(1)
    records = {}
    for names, count in zip((layout.train, layout.test), layout.count, strict=True):
        for name in names:
            labels = [rng.integers(0, most, count, np.uint8) for _, most in layout.labels]
            records[name] = np.column_stack([*labels, rng.integers(0, 256, (count, 3072), np.uint8)])
    files = {name: array.tobytes() for name, array in records.items()}
    for name, most in layout.labels:
        files[name] = "".join(f"{name[0]}{i}\n" for i in range(most)).encode() + b"\n"
    return files, records


def tar_gz(files: dict[str, bytes]) -> bytes:
    """An archive of files by their whole names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def cifar_source(layout: Layout, archive: bytes, checksum: bool = True) -> Source:
    """A source that expects this archive, or any if it has no checksum."""
    sha = hashlib.sha256(archive).hexdigest() if checksum else ""
    file = File("small-binary.tar.gz", 200_000, sha256=sha)
    return Source("small", "Small", (file,), ("http://127.0.0.1:9/",), "none", "nobody")


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Damaged in one of the ways that files are: bits, bytes, pieces lost, doubled or added."""
    damaged = bytearray(data)
    at = int(rng.integers(len(data)))
    size = int(rng.integers(1, 40))
    kind = rng.integers(6)
    if kind == 0:
        damaged[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del damaged[at:]
    elif kind == 2:
        del damaged[at : at + size]
    elif kind == 3:
        damaged[at : at + size] = rng.bytes(size)
    elif kind == 4:
        damaged += rng.bytes(size)
    else:
        head = int(rng.integers(min(16, len(data))))
        damaged[head] = int(rng.integers(256))
    return bytes(damaged)


def outcome(read: Callable[[], Any]) -> tuple[Any, str]:
    """What it gives, or the message of the ValueError with which it refuses; any other error is a fault."""
    try:
        return read(), ""
    except ValueError as error:
        return None, str(error)


def replace(path: Path, data: bytes) -> None:
    """Write a file anew: file systems wait for the disk when an old one is cut to nothing and written again."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
