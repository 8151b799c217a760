"""MNIST, and the data sets that come in its format: 60,000 and 10,000 images of 28x28 grey pixels, ten classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from minigrad.nn.archive import UnreadableError
from minigrad.nn.data.files import File, Source, contents, obtain
from minigrad.nn.data.idx import parse_idx
from minigrad.nn.data.images import ImageArrays

MNIST_SOURCE = Source(
    name="mnist",
    title="MNIST",
    files=(
        File(
            "train-images-idx3-ubyte.gz",
            16 + 60_000 * 28 * 28,
            sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            md5="f68b3c2dcbeaaa9fbdd348bbdeb94873",
            contents_sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        File(
            "train-labels-idx1-ubyte.gz",
            8 + 60_000,
            sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            md5="d53e105ee54ea40749a09fcbcd1e9432",
            contents_sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        File(
            "t10k-images-idx3-ubyte.gz",
            16 + 10_000 * 28 * 28,
            sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            md5="9fb629c4189551a2d022fa330f9573f3",
            contents_sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        File(
            "t10k-labels-idx1-ubyte.gz",
            8 + 10_000,
            sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            md5="ec29112dd5afa0611ce80d1b7f02629c",
            contents_sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    licence="CC BY-SA 3.0",
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition. "
    "Proceedings of the IEEE 86(11), 1998",
    folders=("MNIST/raw",),
)

FASHION_SOURCE = Source(
    name="fashion-mnist",
    title="Fashion-MNIST",
    files=(
        File(
            "train-images-idx3-ubyte.gz",
            16 + 60_000 * 28 * 28,
            sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            contents_sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        File(
            "train-labels-idx1-ubyte.gz",
            8 + 60_000,
            sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            md5="25c81989df183df01b3e8a0aad5dffbe",
            contents_sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        File(
            "t10k-images-idx3-ubyte.gz",
            16 + 10_000 * 28 * 28,
            sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            md5="bef4ecab320f06d8554ea6380940ec79",
            contents_sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        File(
            "t10k-labels-idx1-ubyte.gz",
            8 + 10_000,
            sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            md5="bb300cfdad3c16e7a12a480ee83cd310",
            contents_sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    licence="MIT",
    citation="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
    "Algorithms. arXiv:1708.07747, 2017",
    folders=("FashionMNIST/raw",),
    package="dataset-fashion-mnist",
)

KMNIST_SOURCE = Source(
    name="kmnist",
    title="Kuzushiji-MNIST",
    files=(
        File("train-images-idx3-ubyte.gz", 16 + 60_000 * 28 * 28, md5="bdb82020997e1d708af4cf47b453dcf7"),
        File("train-labels-idx1-ubyte.gz", 8 + 60_000, md5="e144d726b3acfaa3e44228e80efcd344"),
        File("t10k-images-idx3-ubyte.gz", 16 + 10_000 * 28 * 28, md5="5c965bf0a639b31b8f53240b1b52f4d7"),
        File("t10k-labels-idx1-ubyte.gz", 8 + 10_000, md5="7320c461ea6c1c855c0b718fb2a4b134"),
    ),
    mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    licence="CC BY-SA 4.0",
    citation="T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha: Deep Learning for Classical "
    "Japanese Literature. arXiv:1812.01718, 2018",
    folders=("KMNIST/raw",),
)


class MNIST(ImageArrays):
    """Handwritten digits: images uint8 (N, 1, 28, 28) from 0 (paper) to 255 (ink), N = 60,000 to train, 10,000 to test.

    The four files are looked for in `<root>/mnist`, `<root>`, `<root>/MNIST/raw` (torchvision's) and the system's
    `share/datasets/mnist`, packed by gzip or not, and compared with the SHA256 of their contents.

    Unlike torchvision's, it gives arrays instead of PIL images, its classes are "0" ... "9", and `root` is optional.

    Args:
        train: the training set, or the test set.
        root: the folder of data sets; if None the environment variable MINIGRAD_DATA, else ~/.cache/minigrad.
        download: whether to download what is in none of the folders.

    Attributes:
        images: uint8 (N, 1, 28, 28).
        labels: int64 (N,).
        classes: the names of the labels.

    Raises:
        FileNotFoundError: a file is not there; says where to get it and where to put it.
        ValueError: a file is damaged, or is another; gives both checksums.
        OSError: a file cannot be read or downloaded.

    Licence: Creative Commons Attribution-ShareAlike 3.0.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition.
    Proceedings of the IEEE 86(11), 1998, section III.A; made from NIST's Special Databases 1 and 3.

    >>> try:
    ...     MNIST(root="/nowhere")
    ... except FileNotFoundError as error:
    ...     print(str(error).splitlines()[0])
    MNIST needs train-images-idx3-ubyte.gz, which is in none of the folders
    """

    source = MNIST_SOURCE
    classes: Sequence[str] = tuple("0123456789")

    def __init__(self, train: bool = True, root: str | os.PathLike[str] | None = None, download: bool = False):
        images, labels = load_mnist(self.source, len(self.classes), train, root, download)
        super().__init__(images, labels, classes=self.classes)


class FashionMNIST(MNIST):
    """Photographs of clothes: images uint8 (N, 1, 28, 28) from 0 (background) to 255, N = 60,000 and 10,000.

    The four files are looked for in `<root>/fashion-mnist`, `<root>`, `<root>/FashionMNIST/raw` (torchvision's) and the
    system's `share/datasets/fashion-mnist`, where the Debian package `dataset-fashion-mnist` puts them. The only mirror
    is without https: it is the SHA256 that protects.

    Args, attributes and errors are those of MNIST.

    Licence: MIT, copyright 2017 Zalando SE.

    Source: H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms. arXiv:1708.07747, 2017; the classes are those of table 2.

    >>> FashionMNIST.classes[9]
    'Ankle boot'
    """

    source = FASHION_SOURCE
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


class KMNIST(MNIST):
    """Cursive Japanese characters: images uint8 (N, 1, 28, 28) from 0 (paper) to 255 (ink), N = 60,000 and 10,000.

    The four files are looked for in `<root>/kmnist`, `<root>`, `<root>/KMNIST/raw` (torchvision's) and the system's
    `share/datasets/kmnist`. Only MD5s of the packed files are published: an unpacked file is only checked for its
    length, its header and the range of its labels, so that other images of the same size would not be noticed.

    Args, attributes and errors are those of MNIST.

    Licence: Creative Commons Attribution-ShareAlike 4.0.

    Source: T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha: Deep Learning for Classical Japanese
    Literature. arXiv:1812.01718, 2018; the classes are the characters' readings in Latin letters.

    >>> KMNIST.classes
    ('o', 'ki', 'su', 'tsu', 'na', 'ha', 'ma', 'ya', 're', 'wo')
    """

    source = KMNIST_SOURCE
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def load_mnist(
    source: Source,
    classes: int,
    train: bool = True,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of a data set in the format of MNIST.

    Args:
        source: its `files` are training images and labels, test images and labels.
        classes: how many; the labels are smaller.
        train, root, download: as for MNIST.
    """
    images, labels = source.files[:2] if train else source.files[2:]
    x = obtain(source, images, names_of(images), partial(_images, images), root, download)
    y = obtain(source, labels, names_of(labels), partial(_labels, labels, classes), root, download)
    return x, y


def names_of(file: File) -> tuple[str, ...]:
    """The names a file of MNIST has in the wild: packed, unpacked, and as some programs unpack it.

    >>> names_of(MNIST_SOURCE.files[3])
    ('t10k-labels-idx1-ubyte.gz', 't10k-labels-idx1-ubyte', 't10k-labels.idx1-ubyte')
    """
    unpacked = file.name.removesuffix(".gz")
    return file.name, unpacked, unpacked.replace("-idx", ".idx")


def _images(file: File, path: Path) -> np.ndarray:
    images = parse_idx(contents(path, file))
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise UnreadableError(f"images must be uint8 (N, 28, 28), these are {images.dtype} {images.shape}")
    return images[:, None]


def _labels(file: File, classes: int, path: Path) -> np.ndarray:
    labels = parse_idx(contents(path, file))
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise UnreadableError(f"labels must be uint8 (N,), these are {labels.dtype} {labels.shape}")
    if labels.max(initial=0) >= classes:
        raise UnreadableError(f"labels must be from 0 to {classes - 1}, number {labels.argmax()} is {labels.max()}")
    return labels
