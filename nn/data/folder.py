"""Folders of images, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.dataset import Dataset
from minigrad.nn.optional import need

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
TRAINING = ("train", "training")
HELD_OUT = ("val", "valid", "validation", "test", "testing")


class ImageFolder(Dataset):
    """Images in folders: `<root>/<class>/.../<image>`; sample `i` is (uint8 (C, H, W), label).

    Classes are the folders' names, sorted, and images are sorted by folder and name, as in torchvision. Each image is
    read when it is asked for, turned upright as its EXIF says. Names that begin with a dot are ignored. `batch` gives
    an array if the images have one size, else a list.

    A root that is already split has `<root>/train/<class>` and `<root>/val/<class>`; "training" and "valid",
    "validation", "test", "testing" are names for the same, in capitals or not. Then `train` chooses: the held-out part
    is the first of those names that is there, so that `test` is left alone where there is a `val`. Labels are numbers
    of the classes in train also for the held-out part. A root without these is not split: all of it is for training.

    Unlike torchvision's, it has no transform, and knows split roots.

    Args:
        root: the folder.
        train: the training part, or the held-out part.
        mode: "RGB" for 3 channels, "L" for 1, grey; images of another kind are converted. Of 16-bit images the upper 8
            bits are used. Transparency is dropped.
        extensions: how the names of images end, in small letters.

    Attributes:
        root: the folder of the class folders, which in a split root is below the one that was given.
        samples: for each image its path and its label.
        labels: int64 (N,).
        classes: the names of the labels.

    Raises:
        ImportError: Pillow is not installed.
        FileNotFoundError: there is no such folder; `train=False` where there is no held-out part.
        ValueError: no classes, or one without images, or one of the held-out part that is not in train.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         Path(folder, name).mkdir()
    ...         Image.new("RGB", (6, 4)).save(Path(folder, name, "1.png"))
    ...     data = ImageFolder(folder)
    ...     image, label = data[1]
    >>> image.shape, data.classes[label]
    ((3, 4, 6), 'dog')
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        *,
        mode: str = "RGB",
        extensions: Sequence[str] = EXTENSIONS,
    ):
        need("PIL.Image", "ImageFolder")
        one_of("mode", mode, ("RGB", "L"))
        given = Path(root).expanduser()
        if not given.is_dir():
            raise FileNotFoundError(f"no folder of images at {given}" + (": it is a file" if given.exists() else ""))
        training, held_out = _split(given)
        if not train and held_out is None:
            raise FileNotFoundError(
                f"{given} has no held-out part: put it into {given / 'val'} and the training images into "
                f"{given / 'train'}, one folder a class in each, or split the images by nn.data.random_split"
            )
        training = training or given
        self.root = training if train or held_out is None else held_out
        self.mode = mode
        self.extensions = tuple(extensions)
        self.classes = tuple(folder.name for folder in _folders(training))
        self.samples = self._samples()
        self.labels = np.array([label for _, label in self.samples], np.int64)

    def _samples(self) -> list[tuple[Path, int]]:
        folders = _folders(self.root)
        accepted = ", ".join(self.extensions)
        if not folders:
            images = [path for path in _files(self.root) if path.suffix.lower() in self.extensions]
            state = f"only {len(images)} images" if images else "no folders"
            raise ValueError(f"{self.root} must have a folder of images for each class, it has {state}")
        samples = []
        for folder in folders:
            if folder.name not in self.classes:
                raise ValueError(f"{folder} is a class that the training part lacks; it has {', '.join(self.classes)}")
            paths = list(_files(folder))
            images = [path for path in paths if path.suffix.lower() in self.extensions]
            if not images:
                others = ", ".join(sorted({path.suffix.lower() or path.name for path in paths})[:8])
                state = f"only files of the kinds {others}" if others else "no files"
                raise ValueError(f"{folder} must have images ({accepted}), it has {state}")
            label = self.classes.index(folder.name)
            samples += [(path, label) for path in sorted(images, key=lambda path: (str(path.parent), path.name))]
        return samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        path, label = self.samples[i]
        return read_image(path, self.mode), label


def read_image(path: str | os.PathLike[str], mode: str = "RGB") -> np.ndarray:
    """The image in a file, turned upright as its EXIF says; the first of several.

    Args:
        path: a file in any format that Pillow reads.
        mode: "RGB" for 3 channels, "L" for 1, grey. Of 16-bit images the upper 8 bits are used.

    Returns:
        uint8 (C, H, W).

    Raises:
        ImportError: Pillow is not installed.
        OSError: the file cannot be read.
        ValueError: it is no image, is cut off or damaged, has more pixels than Pillow allows, or holds numbers that are
            not 8 or 16 bits; names the file and the fault.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (3, 2), 7).save(Path(folder, "grey.png"))
    ...     read_image(Path(folder, "grey.png"), mode="L").tolist()
    [[[7, 7, 7], [7, 7, 7]]]
    """
    image_module, ops = need("PIL.Image", "read_image"), need("PIL.ImageOps", "read_image")
    too_large = (image_module.DecompressionBombError, image_module.DecompressionBombWarning)
    path = Path(path)
    with path.open("rb") as file:
        try:
            with image_module.open(file) as image:
                width, height = image.size  # known before the pixels take memory
                limit = image_module.MAX_IMAGE_PIXELS
                if limit is not None and width * height > limit:
                    raise image_module.DecompressionBombError(f"{width} x {height} pixels exceed the limit of {limit}")
                pixels = np.asarray(_eight_bits(ops.exif_transpose(image), image_module).convert(mode))
        except too_large as error:
            raise ValueError(
                f"cannot read the image {path}: {error}; if it is wanted, make it smaller, or raise "
                f"PIL.Image.MAX_IMAGE_PIXELS"
            ) from error
        except image_module.UnidentifiedImageError as error:
            raise ValueError(f"cannot read the image {path}: it is in no format that Pillow knows") from error
        except Exception as error:  # each format of Pillow's has its own kinds
            raise ValueError(f"cannot read the image {path}: {error or type(error).__name__}") from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])


def _eight_bits(image, image_module):
    """An image of 16 bits by its upper 8, which Pillow's conversion would cut off at 255 instead."""
    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers, of an unknown range")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
        raise ValueError(f"its pixels go from {values.min()} to {values.max()}; 8 and 16 bits can be read")
    return image_module.fromarray((values >> 8).astype(np.uint8))


def _split(root: Path) -> tuple[Path | None, Path | None]:
    """The folders of a split root, or None. Beside a class that is called "train" there are others, not "val"."""
    by_name = {folder.name.lower(): folder for folder in _folders(root)}
    training = next((by_name[name] for name in TRAINING if name in by_name), None)
    held_out = next((by_name[name] for name in HELD_OUT if name in by_name), None)
    if training is None or (held_out is None and len(by_name) > 1):
        return None, None
    return training, held_out


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _ignored(path.name))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links too, but none twice on the way round a loop of links."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in sorted(folders)
            if not _ignored(name) and os.path.realpath(os.path.join(parent, name)) not in seen  # noqa: PTH118
        ]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
