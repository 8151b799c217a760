"""CIFAR in its binary form, on small files: archives and unpacked folders, good and damaged."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minigrad import nn
from minigrad.nn.data.cifar import CIFAR10_LAYOUT, CIFAR100_LAYOUT, Layout, load_cifar
from tests.datafiles import CIFAR10, CIFAR100, cifar_source, flipped, outcome, replace, small_cifar, tar_gz

LAYOUTS = {"CIFAR-10": CIFAR10, "CIFAR-100": CIFAR100}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data sets."""
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "data"))


def packed(layout: Layout, files: dict[str, bytes]) -> bytes:
    return tar_gz({f"{layout.folder}/readme.html": b"<html>" * 99} | {f"{layout.folder}/{n}": files[n] for n in files})


def check(loaded: tuple, layout: Layout, records: dict[str, np.ndarray], train: bool) -> None:
    """Record by record, as the format is described: label bytes, then planes of red, green and blue rows."""
    images, labels, classes = loaded
    rows = np.concatenate([records[name] for name in (layout.train if train else layout.test)])
    kinds = len(layout.labels)
    assert images.shape == (len(rows), 3, 32, 32)
    for n, row in enumerate(rows):
        assert labels[:, n].tolist() == row[:kinds].tolist()
        for channel, y, x in ((0, 0, 0), (1, 2, 3), (2, 31, 30)):
            assert images[n, channel, y, x] == row[kinds + 1024 * channel + 32 * y + x]
    assert np.array_equal(images.reshape(len(rows), -1), rows[:, kinds:])
    assert classes == [[f"{name[0]}{i}" for i in range(most)] for name, most in layout.labels]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("place", ["archive", "small/archive", "folder", "small/folder", "the folder itself"])
def test_each_place_is_read(name, train, place, tmp_path):
    layout = LAYOUTS[name]
    files, records = small_cifar(layout)
    archive = packed(layout, files)
    folder = tmp_path / "small" if place.startswith("small") else tmp_path
    folder = folder / layout.folder if place.endswith("/folder") or place == "folder" else folder
    folder.mkdir(parents=True, exist_ok=True)
    if place.endswith("archive"):
        (folder / "small-binary.tar.gz").write_bytes(archive)
    else:
        for part, data in files.items():
            (folder / part).write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    loaded = load_cifar(cifar_source(layout, archive), layout, train, tmp_path)
    check(loaded, layout, records, train)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked to the disk


def test_another_archive(tmp_path):
    files, _ = small_cifar(CIFAR10)
    archive = packed(CIFAR10, files)
    other = packed(CIFAR10, files | {"test_batch.bin": bytes(len(files["test_batch.bin"]))})
    path = tmp_path / "small-binary.tar.gz"
    path.write_bytes(other)
    found, expected = (hashlib.sha256(data).hexdigest() for data in (other, archive))
    with pytest.raises(ValueError, match=f"SHA256 of the file is {found}, {expected} is expected") as raised:
        load_cifar(cifar_source(CIFAR10, archive), CIFAR10, root=tmp_path)
    assert str(path) in str(raised.value)
    assert f"put it, as it is or unpacked, into {tmp_path / 'small'}" in str(raised.value)


def test_a_folder_in_place_of_the_archive(tmp_path):
    (tmp_path / "small-binary.tar.gz").mkdir()
    with pytest.raises(ValueError, match=r"small-binary.tar.gz: it is a folder\n"):
        load_cifar(cifar_source(CIFAR10, b""), CIFAR10, root=tmp_path)


FILES = small_cifar(CIFAR10)[0]
BATCH = FILES["data_batch_2.bin"]
DAMAGED = {
    "a byte too few": (BATCH[:-1], "data_batch_2.bin must have 9219 bytes, 3 records, and has 9218"),
    "a byte too many": (BATCH + b"\0", "data_batch_2.bin must have 9219 bytes, 3 records, and has more than 9219"),
    "nothing": (b"", "and has 0"),
    "a label out of range": (b"\x0a" + BATCH[1:], "labels of batches.meta.txt must be from 0 to 9, one is 10"),
    "missing": (None, ""),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_in_a_folder_and_in_an_archive(name, tmp_path):
    data, message = DAMAGED[name]
    files = {part: FILES[part] for part in FILES if part != "data_batch_2.bin"}
    files |= {} if data is None else {"data_batch_2.bin": data}
    folder = tmp_path / "1" / CIFAR10.folder
    folder.mkdir(parents=True)
    for part, content in files.items():
        (folder / part).write_bytes(content)
    archive = packed(CIFAR10, files)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "small-binary.tar.gz").write_bytes(archive)
    for root, lacking in (("1", "data_batch_2.bin is not beside it"), ("2", "it lacks data_batch_2.bin in its folder")):
        with pytest.raises(ValueError, match="Small needs") as raised:
            load_cifar(cifar_source(CIFAR10, archive), CIFAR10, root=tmp_path / root)
        assert (message or lacking) in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"one\ntwo\n", b"n\n" * 11, b"\xff\n" * 10, b"n\n" * (1 << 16)])
def test_names(text, tmp_path):
    archive = packed(CIFAR10, FILES | {"batches.meta.txt": text})
    (tmp_path / "small-binary.tar.gz").write_bytes(archive)
    with pytest.raises(ValueError, match=r"batches\.meta\.txt must hold 10 names, it holds"):
        load_cifar(cifar_source(CIFAR10, archive), CIFAR10, root=tmp_path)


# ---- archives made to harm; they are compared with a checksum before, which is left out here -------------------------


def archive_of(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), 1)


def evil(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_no_name_in_an_archive_becomes_a_path(tmp_path):
    good = [(tarfile.TarInfo(f"{CIFAR10.folder}/{name}"), data) for name, data in FILES.items()]
    names = ("../test_batch.bin", "/test_batch.bin", f"{CIFAR10.folder}/../x", "test_batch.bin", "x/test_batch.bin")
    bad = [(evil(name), b"harm") for name in names]
    bad.append((evil(f"{CIFAR10.folder}/test_batch.bin", tarfile.SYMTYPE, "/etc/passwd"), b""))
    bad.append((evil(f"{CIFAR10.folder}/batches.meta.txt", tarfile.LNKTYPE, "/etc/passwd"), b""))
    bad.append((evil(f"{CIFAR10.folder}/data_batch_1.bin", tarfile.FIFOTYPE), b""))
    archive = archive_of(bad + good)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small-binary.tar.gz").write_bytes(archive)
    source = cifar_source(CIFAR10, archive, checksum=False)
    loaded = load_cifar(source, CIFAR10, False, tmp_path / "data")
    check(loaded, CIFAR10, small_cifar(CIFAR10)[1], False)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["small-binary.tar.gz"]
    (tmp_path / "data" / "small-binary.tar.gz").write_bytes(archive_of(bad))
    with pytest.raises(ValueError, match=r"it lacks test_batch\.bin, batches\.meta\.txt in its folder cifar-10"):
        load_cifar(source, CIFAR10, False, tmp_path / "data")


def test_a_bomb_is_not_unpacked(tmp_path):
    bombs = {
        "in the way": [(evil("zeros"), bytes(64 << 20))],
        "under a wanted name": [(evil(f"{CIFAR10.folder}/test_batch.bin"), bytes(64 << 20))],
        "as a long name": [(evil("x" * (64 << 20)), b"")],
    }
    for members in bombs.values():
        (tmp_path / "small-binary.tar.gz").write_bytes(archive_of(members))
        source = cifar_source(CIFAR10, b"", checksum=False)
        tracemalloc.start()
        with pytest.raises(ValueError, match="it unpacks to more bytes than the published archive"):
            load_cifar(source, CIFAR10, False, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


@pytest.mark.parametrize("name", LAYOUTS)
def test_five_hundred_damaged_archives(name, tmp_path):
    """With the checksum, any change is refused; without it, whatever is not refused has the right form."""
    layout = LAYOUTS[name]
    files, _ = small_cifar(layout)
    good = packed(layout, files)
    rng = np.random.default_rng(0)
    path = tmp_path / "small-binary.tar.gz"
    strict, loose = cifar_source(layout, good), cifar_source(layout, good, checksum=False)
    refused = 0
    for n in range(500):
        damaged = gzip.compress(flipped(gzip.decompress(good), rng), 1) if n % 2 else flipped(good, rng)
        replace(path, damaged)
        if damaged != good:
            with pytest.raises(ValueError, match="it is not the published file"):
                load_cifar(strict, layout, root=tmp_path)
        loaded, message = outcome(lambda: load_cifar(loose, layout, root=tmp_path))
        if message:
            refused += 1
            assert str(path) in message
        else:
            images, labels, classes = loaded
            assert images.shape[1:] == (3, 32, 32)
            assert all(labels[kind].max() < len(classes[kind]) for kind in range(len(layout.labels)))
    assert 50 < refused < 500


@pytest.mark.parametrize("name", LAYOUTS)
def test_damaged_files_in_a_folder(name, tmp_path):
    layout = LAYOUTS[name]
    files, records = small_cifar(layout)
    source = cifar_source(layout, b"")
    rng = np.random.default_rng(2)
    (tmp_path / layout.folder).mkdir()
    for part, data in files.items():
        (tmp_path / layout.folder / part).write_bytes(data)
    path = tmp_path / layout.folder / layout.test[0]
    refused = 0
    for _ in range(250):
        damaged = flipped(files[path.name], rng)
        replace(path, damaged)
        loaded, message = outcome(lambda: load_cifar(source, layout, False, tmp_path))
        if message:
            refused += 1
            assert str(path.parent) in message
        else:
            rows = np.frombuffer(damaged, np.uint8).reshape(records[path.name].shape)
            check(loaded, layout, {path.name: rows}, False)
    assert 100 < refused < 240


# ---- what the published sets are ------------------------------------------------------------------------------------


def test_the_published_sizes():
    for layout, size in ((CIFAR10_LAYOUT, 30_730_000), (CIFAR100_LAYOUT, 153_700_000)):
        assert layout.count[0] * (3072 + len(layout.labels)) == size
        assert layout.count[0] * len(layout.train) == 50_000
        assert layout.count[1] * len(layout.test) == 10_000
    assert [most for _, most in CIFAR100_LAYOUT.labels] == [20, 100]


@pytest.mark.parametrize("kind", [nn.data.CIFAR10, nn.data.CIFAR100])
def test_what_is_missing(kind, tmp_path):
    name = kind.source.files[0].name
    with pytest.raises(FileNotFoundError, match=f"{kind.source.title} needs {name}, which is in none") as raised:
        kind()
    assert f"https://www.cs.toronto.edu/~kriz/{name} (SHA256 {kind.source.files[0].sha256})" in str(raised.value)
    assert f"into {tmp_path / 'data' / kind.source.name}." in str(raised.value)


@pytest.mark.parametrize("coarse", [False, True])
def test_the_whole_of_cifar100_from_a_folder(coarse, tmp_path):
    """At full size, made here."""
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    rows = np.zeros((10_000, 3074), np.uint8)
    rows[:, 0], rows[:, 1] = np.arange(10_000) % 20, np.arange(10_000) % 100
    rows[:, 2:4] = 7
    (folder / "test.bin").write_bytes(rows.tobytes())
    (folder / "train.bin").touch()
    for part, n in (("coarse", 20), ("fine", 100)):
        (folder / f"{part}_label_names.txt").write_text("".join(f"{part}_{i}\n" for i in range(n)))
    data = nn.data.CIFAR100(train=False, root=tmp_path, coarse=coarse)
    n = 20 if coarse else 100
    assert data.images.shape == (10_000, 3, 32, 32)
    assert data.images[9].sum() == 14
    assert (data.labels.dtype, data.labels[:101].tolist()) == (np.int64, [i % n for i in range(101)])
    assert data.classes == tuple(f"{'coarse' if coarse else 'fine'}_{i}" for i in range(n))


def test_the_whole_of_cifar10_from_a_folder(tmp_path):
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i in range(1, 6):
        rows = np.zeros((10_000, 3073), np.uint8)
        rows[:, 0], rows[:, 1] = np.arange(10_000) % 10, i
        (folder / f"data_batch_{i}.bin").write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n")
    data = nn.data.CIFAR10(root=tmp_path)
    assert data.images.shape == (50_000, 3, 32, 32)
    assert data.images[::10_000, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert np.bincount(data.labels).tolist() == [5000] * 10
    assert data.classes[3] == "cat"
