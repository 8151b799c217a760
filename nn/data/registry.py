"""Data sets by name or by path."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from minigrad.nn.data.cifar import CIFAR10, CIFAR10_LAYOUT, CIFAR100, CIFAR100_LAYOUT
from minigrad.nn.data.dataset import Dataset
from minigrad.nn.data.digits import Digits
from minigrad.nn.data.files import Source, candidates
from minigrad.nn.data.folder import ImageFolder
from minigrad.nn.data.mnist import KMNIST, MNIST, FashionMNIST, names_of
from minigrad.nn.data.npz import load_npz


@dataclass(frozen=True)
class Info:
    """What is to be known of a data set before it is loaded.

    Attributes:
        name: for `get`.
        title: as its authors write it.
        classes: how many.
        shape: (C, H, W) of an image.
        train, test: how many images.
        licence: its terms, in a few words.
        source: whom to cite.
        where: the folder or file it would be read from, not yet verified; None if it is not on this machine.

    >>> digits = info("digits")
    >>> digits.title, digits.classes, digits.shape, digits.where.name
    ('Optical Recognition of Handwritten Digits', 10, (1, 8, 8), 'digits.npz')
    """

    name: str
    title: str
    classes: int
    shape: tuple[int, int, int]
    train: int
    test: int
    licence: str
    source: str
    where: Path | None


_BY_NAME: dict[str, Callable[..., Dataset]] = {
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "digits": Digits,
    "fashion-mnist": FashionMNIST,
    "kmnist": KMNIST,
    "mnist": MNIST,
}


def names() -> list[str]:
    """The names of all data sets that `get` knows without a path.

    >>> names()
    ['cifar10', 'cifar100', 'digits', 'fashion-mnist', 'kmnist', 'mnist']
    """
    return sorted(_BY_NAME)


def get(
    name: str | os.PathLike[str],
    train: bool = True,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    **options: Any,
) -> Dataset:
    """A data set by its name, or from a folder of images (`ImageFolder`) or an .npz file (`load_npz`) by its path.

    Capitals, hyphens and underscores in a name do not matter. A name goes before a folder of that name; "./mnist" is
    the folder.

    Args:
        name: one of `names()`, or the path.
        train: the training part, or the test part.
        root, download: as for MNIST, where the data set has files to find.
        options: others of the data set, such as `coarse=True` of CIFAR100 or `mode="L"` of ImageFolder.

    Raises:
        ValueError: there is none of that name; suggests the nearest.
        FileNotFoundError: there is nothing at that path.
        and what the data set raises.

    >>> from minigrad import nn
    >>> len(nn.data.get("digits", train=False))
    360
    """
    known = _known(name) if isinstance(name, str) else None
    if known == "digits":
        return Digits(train, **options)
    if known is not None:
        return _BY_NAME[known](train, root, download, **options)
    path = Path(name).expanduser()
    if path.is_dir():
        return ImageFolder(path, train, **options)
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise ValueError(f"data must be a folder of images or an .npz file, got the file {path}")
        return load_npz(path, train, **options)
    if not isinstance(name, str) or path.name != name or path.suffix:
        raise FileNotFoundError(f"there is no folder of images and no .npz file at {path}")
    raise ValueError(f"there is no data set {name!r}: {_hint(name)}, and no folder of that name")


def info(name: str, root: str | os.PathLike[str] | None = None) -> Info:
    """What is to be known of a data set, by its name.

    Args:
        name: one of `names()`.
        root: the folder of data sets, see `MNIST`.

    Raises:
        ValueError: there is none of that name; suggests the nearest.

    >>> info("digits").train, info("cifar100").shape
    (1437, (3, 32, 32))
    """
    known = _known(name)
    if known is None:
        raise ValueError(f"there is no data set {name!r}: {_hint(name)}")
    if known == "digits":
        return Info(
            "digits",
            "Optical Recognition of Handwritten Digits",
            10,
            (1, 8, 8),
            1437,
            360,
            "CC BY 4.0",
            "E. Alpaydin, C. Kaynak: Cascading Classifiers. Kybernetika 34(4), 1998",
            Path(str(files("minigrad.nn.data").joinpath("digits.npz"))),
        )
    if known in ("cifar10", "cifar100"):
        source, layout = (CIFAR10.source, CIFAR10_LAYOUT) if known == "cifar10" else (CIFAR100.source, CIFAR100_LAYOUT)
        where = _first(source, (source.files[0].name, f"{layout.folder}/{layout.train[0]}", layout.train[0]), root)
        classes, shape, train = layout.labels[-1][1], (3, 32, 32), 50_000
    else:
        source = {"fashion-mnist": FashionMNIST, "kmnist": KMNIST, "mnist": MNIST}[known].source
        found = [_first(source, names_of(file), root) for file in source.files]
        where = found[0].parent if found[0] is not None and None not in found else None
        classes, shape, train = 10, (1, 28, 28), 60_000
    return Info(known, source.title, classes, shape, train, 10_000, source.licence, source.citation, where)


def _known(name: str) -> str | None:
    """The name as it is registered."""
    plain = {known.replace("-", ""): known for known in _BY_NAME}
    return plain.get(name.lower().replace("-", "").replace("_", ""))


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), _BY_NAME, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"nn.data.names() gives {', '.join(names())}"


def _first(source: Source, file_names: tuple[str, ...], root: str | os.PathLike[str] | None) -> Path | None:
    return next((path for path in candidates(source, file_names, root) if os.path.exists(path)), None)  # noqa: PTH110
