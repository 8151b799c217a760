"""Data sets by name and by path, and the digits as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigrad import nn
from tests.datafiles import PARTS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data sets."""
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


NAMES = ["cifar10", "cifar100", "digits", "fashion-mnist", "kmnist", "mnist"]


def test_names():
    assert nn.data.names() == NAMES


@pytest.mark.parametrize("name", ["digits", "Digits"])
def test_by_name(name):
    assert len(nn.data.get(name)) == 1437
    assert len(nn.data.get(name, train=False, download=True, seed=3)) == 360


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("mnist", "MNIST"),
        ("FashionMNIST", "Fashion-MNIST"),
        ("fashion_mnist", "Fashion-MNIST"),
        ("CIFAR-10", "CIFAR-10"),
        ("kmnist", "Kuzushiji-MNIST"),
        ("cifar100", "CIFAR-100"),
    ],
)
def test_other_ways_to_write_it(name, title, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"^{title} needs"):
        nn.data.get(name)
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "here")):
        nn.data.get(name, root=tmp_path / "here")


@pytest.mark.parametrize("ask", [nn.data.get, nn.data.info])
def test_a_slip_of_the_pen(ask):
    with pytest.raises(ValueError, match="there is no data set 'minst': did you mean mnist"):
        ask("minst")
    with pytest.raises(ValueError, match=r"no data set 'imagenet': nn.data.names\(\) gives cifar10, cifar100, digits"):
        ask("imagenet")


def test_by_path(tmp_path):
    (tmp_path / "mnist" / "a").mkdir(parents=True)
    Image.new("L", (3, 2)).save(tmp_path / "mnist" / "a" / "1.png")
    for path in ("./mnist", Path("mnist"), tmp_path / "mnist", str(tmp_path / "mnist")):
        assert nn.data.get(path).classes == ("a",)
    with pytest.raises(FileNotFoundError, match="MNIST needs"):  # a name goes before a folder
        nn.data.get("mnist")
    (tmp_path / "mnist").rename(tmp_path / "photos")
    assert isinstance(nn.data.get("photos"), nn.data.ImageFolder)
    np.savez(tmp_path / "my.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1])
    assert len(nn.data.get("my.npz")) == 2
    with pytest.raises(FileNotFoundError, match=r"my.npz has no held-out part"):
        nn.data.get("my.npz", train=False)


def test_paths_that_lead_nowhere(tmp_path):
    for path in (tmp_path / "none", "./none", "none.npz", Path("digits")):
        with pytest.raises(FileNotFoundError, match=f"no folder of images and no .npz file at {Path(path)}"):
            nn.data.get(path)
    (tmp_path / "x.csv").touch()
    with pytest.raises(ValueError, match=r"data must be a folder of images or an .npz file, got the file x.csv"):
        nn.data.get("x.csv")


@pytest.mark.parametrize("name", NAMES)
def test_info(name):
    info = nn.data.info(name)
    assert info.name == name
    assert (info.where is None) == (name != "digits")
    assert all([info.title, info.licence, info.source])
    expected = {"digits": (10, (1, 8, 8), 1437, 360), "cifar10": (10, (3, 32, 32), 50_000, 10_000)}
    expected["cifar100"] = (100, (3, 32, 32), 50_000, 10_000)
    facts = (info.classes, info.shape, info.train, info.test)
    assert facts == expected.get(name, (10, (1, 28, 28), 60_000, 10_000))


def test_info_says_where(tmp_path):
    assert nn.data.info("digits").where.name == "digits.npz"
    folder = tmp_path / "data" / "kmnist"
    folder.mkdir(parents=True)
    for name in PARTS[:3]:
        (folder / name).touch()
    assert nn.data.info("kmnist").where is None  # one is missing
    (folder / f"{PARTS[3]}.gz").touch()
    assert nn.data.info("KMNIST").where == folder
    assert nn.data.info("kmnist", root=tmp_path / "other").where is None
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin").touch()
    assert nn.data.info("cifar10", root=tmp_path).where == tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin"


# ---- digits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_split_of_the_digits(seed):
    train, test = nn.data.Digits(seed=seed), nn.data.Digits(train=False, seed=seed)
    assert (train.images.shape, train.images.dtype) == ((1437, 1, 8, 8), np.uint8)
    assert test.images.shape == (360, 1, 8, 8)
    raw, labels = nn.data.digits()
    share = np.bincount(labels) * 360 / 1797
    assert (np.abs(np.bincount(test.labels) - share) < 1).all()
    # together they are all digits, each once
    both = np.concatenate([train.images, test.images]).reshape(1797, 64)
    scaled = np.floor(raw.reshape(1797, 64) * (255 / 16) + 0.5)
    order = [np.lexsort(x.T[::-1]) for x in (both, scaled)]
    assert np.array_equal(both[order[0]], scaled[order[1]])
    assert np.array_equal(np.concatenate([train.labels, test.labels])[order[0]], labels[order[1]])
    assert train.classes == tuple("0123456789")


def test_a_seed_gives_one_split_and_another_gives_another():
    np.random.seed(3)  # noqa: NPY002 (no global state is used)
    a, b, c = (nn.data.Digits(train=False, seed=seed).images for seed in (5, 5, 6))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
