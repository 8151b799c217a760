"""MNIST, Fashion-MNIST and KMNIST: small files in their format, and the real ones where this machine has them."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from minigrad import nn
from minigrad.nn.data.files import search_path
from minigrad.nn.data.mnist import load_mnist
from tests.datafiles import PARTS, put, small_mnist

SETS = (nn.data.MNIST, nn.data.FashionMNIST, nn.data.KMNIST)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data sets."""
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "data"))


# ---- structure, which is all there is to check of an unpacked file of KMNIST -----------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_kmnist_has_only_md5(packed, elsewhere, tmp_path):
    source, contents, arrays = small_mnist(checksums="md5")
    put(tmp_path, contents, packed)
    for train, (images, labels) in ((True, arrays[:2]), (False, arrays[2:])):
        x, y = load_mnist(source, 10, train, tmp_path)
        assert np.array_equal(x[:, 0], images)
        assert np.array_equal(y, labels)


def test_packed_again_without_a_checksum_of_the_contents(elsewhere, tmp_path):
    source, contents, _ = small_mnist(checksums="md5")
    put(tmp_path, contents, level=1)
    found = hashlib.md5((tmp_path / f"{PARTS[0]}.gz").read_bytes()).hexdigest()
    message = f"it is not the published file: MD5 of the file is {found}, {source.files[0].md5} is expected"
    with pytest.raises(ValueError, match=message):
        load_mnist(source, 10, root=tmp_path)


IMAGES, LABELS = (small_mnist()[1][name] for name in PARTS[:2])
STRUCTURE = {
    "labels for images": (0, LABELS + bytes(len(IMAGES) - len(LABELS)), "of shape (6,) and dtype uint8 has 14 bytes"),
    "another magic": (0, b"\0\0\x09\x03" + IMAGES[4:], "images must be uint8 (N, 28, 28), these are int8 (6, 28, 28)"),
    "other sizes": (0, IMAGES[:8] + struct.pack(">2I", 14, 56) + IMAGES[16:], "these are uint8 (6, 14, 56)"),
    "not IDX": (0, b"abcd" + IMAGES[4:], "it begins with 0x61626364"),
    "too many": (0, IMAGES[:4] + struct.pack(">I", 7) + IMAGES[8:], f"this has {len(IMAGES)}"),
    "a label out of range": (1, LABELS[:-2] + b"\x0a\0", "labels must be from 0 to 9, number 4 is 10"),
    "labels of another kind": (1, b"\0\0\x09\x01" + LABELS[4:], "labels must be uint8 (N,), these are int8 (6,)"),
    "cut off": (1, LABELS[:-1], "it has 13 bytes, 14 are expected; MD5 of the file is"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(name, elsewhere, tmp_path):
    which, data, message = STRUCTURE[name]
    source, contents, _ = small_mnist(checksums="md5")
    put(tmp_path, contents | {PARTS[which]: data}, packed=False)
    with pytest.raises(ValueError, match="Small needs") as raised:
        load_mnist(source, 10, root=tmp_path)
    assert f"{tmp_path / PARTS[which]}: " in str(raised.value)
    assert message in str(raised.value)


# ---- what the published sets are ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SETS)
def test_what_is_missing(kind, elsewhere, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{kind.source.title} needs {PARTS[0]}.gz") as raised:
        kind()
    for folder in (kind.source.name, f"{kind.__name__}/raw"):
        assert f"{tmp_path / 'data' / folder}\n" in str(raised.value)
    assert ("install the Debian package dataset-fashion-mnist" in str(raised.value)) == (kind is nn.data.FashionMNIST)
    with pytest.raises(FileNotFoundError, match=f"needs {PARTS[2]}.gz"):
        kind(train=False)


@pytest.mark.parametrize("kind", SETS)
def test_the_published_sizes(kind):
    assert [file.name for file in kind.source.files] == [f"{name}.gz" for name in PARTS]
    assert [file.size for file in kind.source.files] == [47040016, 60008, 7840016, 10008]  # as TensorFlow lists them
    assert len(kind.classes) == len(set(kind.classes)) == 10
    assert {len(file.md5) for file in kind.source.files} == {32}


def test_fashion_mnist_is_not_taken_for_mnist(elsewhere, tmp_path):
    """Their files have the same names and sizes."""
    put(tmp_path, {PARTS[0]: bytes(47040016)}, level=1)
    expected = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    with pytest.raises(ValueError, match=f"SHA256 of its contents is [0-9a-f]{{64}}, {expected} is expected"):
        nn.data.MNIST(root=tmp_path)


# ---- the real one ---------------------------------------------------------------------------------------------------

PACKAGE = Path("/usr/share/datasets/fashion-mnist")
SHA256 = {  # of the files unpacked
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
installed = pytest.mark.skipif(
    not PACKAGE.is_dir(), reason="NOT CHECKED on the real Fashion-MNIST: apt install dataset-fashion-mnist"
)


@installed
@pytest.mark.parametrize(("train", "n", "part"), [(True, 60_000, "train"), (False, 10_000, "t10k")])
def test_the_debian_package(train, n, part, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_DATA_DIRS", raising=False)
    data = nn.data.FashionMNIST(train, root=tmp_path)
    assert (data.images.shape, data.images.dtype) == ((n, 1, 28, 28), np.uint8)
    assert (data.labels.shape, data.labels.dtype) == ((n,), np.int64)
    assert np.bincount(data.labels).tolist() == [n // 10] * 10
    assert data.classes[data.labels[0]] == "Ankle boot"  # the first of both parts, as the authors' page shows
    images = struct.pack(">4I", 0x803, n, 28, 28) + data.images.tobytes()
    labels = struct.pack(">2I", 0x801, n) + data.labels.astype(np.uint8).tobytes()
    assert hashlib.sha256(images).hexdigest() == SHA256[f"{part}-images-idx3-ubyte"]
    assert hashlib.sha256(labels).hexdigest() == SHA256[f"{part}-labels-idx1-ubyte"]
    image, label = data[n - 1]
    x, y = data.batch([n - 1, 0])
    assert np.array_equal(x[0], image)
    assert y.tolist() == [label, data.labels[0]]


@installed
def test_the_debian_package_is_packed_again():
    """A comparison of the packed files would refuse it."""
    packed = (PACKAGE / f"{PARTS[0]}.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() != nn.data.FashionMNIST.source.files[0].sha256
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == SHA256[PARTS[0]]


@installed
def test_one_wrong_pixel_of_the_real_one(tmp_path, monkeypatch):
    data = bytearray(gzip.decompress((PACKAGE / f"{PARTS[2]}.gz").read_bytes()))
    data[-1] ^= 1
    (tmp_path / PARTS[2]).write_bytes(data)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    with pytest.raises(ValueError, match=f"is {hashlib.sha256(data).hexdigest()}, {SHA256[PARTS[2]]} is expected"):
        nn.data.FashionMNIST(train=False, root=tmp_path)


def test_where_debian_puts_it(monkeypatch):
    monkeypatch.delenv("XDG_DATA_DIRS", raising=False)
    assert search_path(nn.data.FashionMNIST.source)[-1] == PACKAGE
