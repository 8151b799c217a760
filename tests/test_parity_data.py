"""Data sets against torchvision's readers of the same files."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minigrad import nn
from minigrad.nn.data.cifar import load_cifar
from minigrad.nn.data.mnist import load_mnist
from tests.datafiles import CIFAR10, CIFAR100, PARTS, cifar_source, put, small_cifar, small_mnist, tar_gz

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def datasets():
    """torchvision without its registrations for a compiled library, which the wheel beside this PyTorch lacks."""
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
    try:
        return importlib.import_module("torchvision.datasets")
    except ImportError as error:
        pytest.skip(f"NOT CHECKED against torchvision: {error}; `make parity` installs it")


@pytest.mark.parametrize("train", [True, False])
def test_mnist(train, datasets, tmp_path):
    """In the folder that torchvision makes."""
    source, contents, _ = small_mnist()
    source = type(source)(**{**vars(source), "folders": ("MNIST/raw",)})
    put(tmp_path / "MNIST" / "raw", contents, packed=False)
    theirs = datasets.MNIST(tmp_path, train=train)
    images, labels = load_mnist(source, 10, train, tmp_path)
    assert np.array_equal(images[:, 0], theirs.data.numpy())
    assert np.array_equal(labels, theirs.targets.numpy())


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_where_from(name, datasets):
    """torchvision's MD5s, file names, folder and classes; its classes of MNIST have words beside the digits."""
    ours, theirs = getattr(nn.data, name), getattr(datasets, name)
    assert [(file.name, file.md5) for file in ours.source.files] == list(theirs.resources)
    assert ours.source.folders == (f"{theirs.__name__}/raw",)
    assert list(ours.classes) == [text.split(" - ")[0] for text in theirs.classes]
    assert set(theirs.mirrors) & set(ours.source.mirrors)


@pytest.mark.parametrize("train", [True, False])
def test_the_whole_fashion_mnist(train, datasets, tmp_path):
    package = Path("/usr/share/datasets/fashion-mnist")
    if not package.is_dir():
        pytest.skip("NOT CHECKED on the real Fashion-MNIST: apt install dataset-fashion-mnist")
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in PARTS:
        (raw / part).write_bytes(gzip.decompress((package / f"{part}.gz").read_bytes()))
    theirs = datasets.FashionMNIST(tmp_path, train=train)
    ours = nn.data.FashionMNIST(train, root=tmp_path)
    assert np.array_equal(ours.images[:, 0], theirs.data.numpy())
    assert np.array_equal(ours.labels, theirs.targets.numpy())
    assert list(ours.classes) == theirs.classes


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar(name, train, datasets, tmp_path):
    """The same records as torchvision's pickles, and in binary form."""
    layout = {"CIFAR10": CIFAR10, "CIFAR100": CIFAR100}[name]
    files, records = small_cifar(layout)
    kinds = len(layout.labels)
    key = "labels" if kinds == 1 else "fine_labels"
    folder = tmp_path / "pickles"
    folder.mkdir()

    def dump(file: str, content: dict) -> tuple[str, str]:
        data = pickle.dumps(content)
        (folder / file).write_bytes(data)
        return file, hashlib.md5(data).hexdigest()

    lists = [
        [dump(part, {"data": records[part][:, kinds:], key: records[part][:, kinds - 1].tolist()}) for part in parts]
        for parts in (layout.train, layout.test)
    ]
    names = files[layout.labels[-1][0]].decode().split()
    meta = dump("meta", {"names": names})
    members = {
        "base_folder": "pickles",
        "train_list": lists[0],
        "test_list": lists[1],
        "meta": {"filename": "meta", "key": "names", "md5": meta[1]},
    }
    theirs = type("Small", (getattr(datasets, name),), members)(tmp_path, train=train)
    archive = tar_gz({f"{layout.folder}/{part}": data for part, data in files.items()})
    (tmp_path / "small-binary.tar.gz").write_bytes(archive)
    images, labels, classes = load_cifar(cifar_source(layout, archive), layout, train, tmp_path)
    assert np.array_equal(images.transpose(0, 2, 3, 1), theirs.data)
    assert labels[-1].tolist() == theirs.targets
    assert classes[-1] == theirs.classes


def test_image_folder(datasets, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for n, name in enumerate(
        ("b/2.png", "b/10.png", "b/z/1.bmp", "b/a.jpg", "A/x.PPM", "A/grey.png", "c/x.webp", "c/p.gif")
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (5 + n, 7) if name in ("A/grey.png", "c/p.gif") else (5 + n, 7, 3)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(path)
    theirs = datasets.ImageFolder(tmp_path, is_valid_file=lambda path: True)
    ours = nn.data.ImageFolder(tmp_path)
    assert [(str(path), label) for path, label in ours.samples] == theirs.samples
    assert list(ours.classes) == theirs.classes
    assert ours.labels.tolist() == theirs.targets
    for (image, _), (picture, _) in zip(ours, theirs, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), np.asarray(picture))
    extensions = importlib.import_module("torchvision.datasets.folder").IMG_EXTENSIONS
    assert set(extensions) < set(nn.data.folder.EXTENSIONS)
