"""Images and labels from an npz archive of NumPy."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.images import ImageArrays, class_numbers

# the names of (images, labels): in an archive that is not split, to train, held out
WHOLE = (("images", "labels"), ("x", "y"))
TRAINING = (("x_train", "y_train"), ("train_images", "train_labels"))
HELD_OUT = (("x_test", "y_test"), ("val_images", "val_labels"), ("test_images", "test_labels"))


def load_npz(path: str | os.PathLike[str], train: bool = True, *, layout: str | None = None) -> ImageArrays:
    """A data set from the arrays of an .npz file, such as `np.savez("my.npz", images=images, labels=labels)` writes.

    The arrays are called `images`, `labels` (or `x`, `y`); or, split, `x_train`, `y_train`, `x_test`, `y_test` as in
    Keras' mnist.npz, or `train_images`, `train_labels`, `val_images`, `val_labels`, `test_images`, `test_labels`, where
    `val` is taken for held out before `test`. An array of strings `classes` may name the labels. Nothing in the file is
    run: pickled objects are refused.

    Args:
        path: the file.
        train: the training part, or the held-out part.
        layout: "NCHW" or "NHWC", where the channels of images with four axes are; if None the axis of length 1 or 3
            tells. Images (N, H, W) are grey.

    Raises:
        FileNotFoundError: there is no such file; `train=False` for one that is not split.
        OSError: it cannot be read.
        ValueError: it is damaged, lacks these names, its images are not uint8 or its labels not integers, or the shapes
            do not fit; names the file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "my"), images=np.zeros((2, 8, 8, 3), np.uint8), labels=[0, 1], classes=["cat", "dog"])
    ...     data = load_npz(Path(folder, "my.npz"))
    >>> data.images.shape, data.classes
    ((2, 3, 8, 8), ('cat', 'dog'))
    """
    path = Path(path)
    one_of("layout", layout, ("NCHW", "NHWC", None))
    if not path.is_file():
        raise FileNotFoundError(f"no file of arrays at {path}" + (": it is a folder" if path.is_dir() else ""))
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"cannot load {path}: it is not an npz archive, or is damaged")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                return _data_set(archive, path, train, layout)
        except FileNotFoundError:
            raise
        except Exception as error:  # zipfile, zlib and NumPy have their own kinds, up to MemoryError for false sizes
            raise ValueError(f"cannot load {path}: {error or type(error).__name__}") from error


def _data_set(archive: Mapping[str, np.ndarray], path: Path, train: bool, layout: str | None) -> ImageArrays:
    training, held_out = _present(archive, TRAINING) or _present(archive, WHOLE), _present(archive, HELD_OUT)
    chosen = training if train else held_out
    if training is None:
        raise ValueError(
            f"it must have arrays called images and labels, or x_train, y_train, x_test and y_test; "
            f"it has {', '.join(archive) or 'none'}"
        )
    if chosen is None:
        raise FileNotFoundError(
            f"{path} has no held-out part: add x_test and y_test, or split it by nn.data.random_split"
        )
    labels = {pair: _numbers(archive[pair[1]]) for pair in (training, held_out) if pair is not None}
    named = "classes" in archive  # else as many as both parts have together: one of them may lack the last
    classes = [str(name) for name in archive["classes"]] if named else class_numbers(labels.values())
    return ImageArrays(_nchw(archive[chosen[0]], layout), labels[chosen], classes)


def _present(archive: Mapping[str, np.ndarray], pairs: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    return next((pair for pair in pairs if all(name in archive for name in pair)), None)


def _numbers(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:  # as Keras and MedMNIST have them
        return labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(
            f"labels must have the shape (N,), got {labels.shape}; one-hot labels become numbers by labels.argmax(1)"
        )
    return labels


def _nchw(images: np.ndarray, layout: str | None) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4:
        raise ValueError(f"images must have the shape (N, H, W), (N, H, W, C) or (N, C, H, W), got {images.shape}")
    if layout is None:
        first, last = images.shape[1] in (1, 3), images.shape[3] in (1, 3)
        if first == last:
            raise ValueError(
                f"images have the shape {images.shape}, which does not tell where the channels are: load them by "
                f'load_npz(path, layout="NCHW") or "NHWC"'
            )
        layout = "NCHW" if first else "NHWC"
    return images if layout == "NCHW" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
