"""Data sets from npz archives and from arrays."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from minigrad.nn.data import ImageArrays, load_npz
from tests.datafiles import flipped, outcome, replace

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 4, 6), np.uint8)
COLOUR = RNG.integers(0, 256, (5, 4, 6, 3), np.uint8)
LABELS = np.array([0, 2, 1, 2, 0])


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("train_images", "train_labels")]
)
def test_names(names, tmp_path):
    data = load_npz(write(tmp_path / "my.npz", **dict(zip(names, (GREY, LABELS), strict=True))))
    assert np.array_equal(data.images, GREY[:, None])
    assert (data.labels.dtype, data.labels.tolist()) == (np.int64, LABELS.tolist())
    assert data.classes == ("0", "1", "2")


def test_parts(tmp_path):
    """As Keras' mnist.npz: names, dtypes and shapes; the parts have the classes of both together."""
    path = write(
        tmp_path / "k.npz",
        x_train=GREY,
        y_train=LABELS.astype(np.uint8),
        x_test=GREY[:2] // 2,
        y_test=LABELS[:1].repeat(2),
    )
    assert np.array_equal(load_npz(path, train=False).images[:, 0], GREY[:2] // 2)
    assert load_npz(path, train=False).classes == ("0", "1", "2")
    write(path, x_train=COLOUR, y_train=LABELS[:, None], x_test=COLOUR, y_test=LABELS[:, None])  # as Keras' CIFAR
    assert load_npz(path, train=False).labels.tolist() == LABELS.tolist()
    parts = {f"{part}_images": GREY[i : i + 1] for i, part in enumerate(("train", "val", "test"))}  # as MedMNIST
    write(
        path,
        **parts,
        **{f"{part}_labels": np.array([[i]], np.uint8) for i, part in enumerate(("train", "val", "test"))},
    )
    assert np.array_equal(load_npz(path).images[0, 0], GREY[0])
    assert np.array_equal(load_npz(path, train=False).images[0, 0], GREY[1])


def test_names_of_classes(tmp_path):
    path = write(tmp_path / "c.npz", images=GREY, labels=LABELS, classes=["ant", "bee", "cow", "dog"])
    assert load_npz(path).classes == ("ant", "bee", "cow", "dog")
    write(path, images=GREY, labels=LABELS, classes=["ant", "bee"])
    with pytest.raises(ValueError, match=r"cannot load .*c.npz: labels must be from 0 to 1, got 2"):
        load_npz(path)


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((2, 5, 6), None, (2, 1, 5, 6)),
        ((2, 1, 5, 6), None, (2, 1, 5, 6)),
        ((2, 3, 5, 6), None, (2, 3, 5, 6)),
        ((2, 5, 6, 3), None, (2, 3, 5, 6)),
        ((2, 5, 6, 1), None, (2, 1, 5, 6)),
        ((2, 3, 5, 3), "NHWC", (2, 3, 3, 5)),
        ((2, 3, 5, 3), "NCHW", (2, 3, 5, 3)),
        ((2, 4, 5, 6), "NCHW", (2, 4, 5, 6)),
        ((2, 5, 6, 4), "NHWC", (2, 4, 5, 6)),
    ],
)
def test_layouts(shape, layout, expected, tmp_path):
    images = RNG.integers(0, 256, shape, np.uint8)
    data = load_npz(write(tmp_path / "x.npz", images=images, labels=np.zeros(2, int)), layout=layout)
    assert data.images.shape == expected
    last = layout == "NHWC" or (layout is None and len(shape) == 4 and shape[3] in (1, 3))
    assert data.images[1, -1, 2, 1] == (images[1, 2, 1, -1] if last else images.reshape(expected)[1, -1, 2, 1])


ZEROS = np.zeros((2, 4, 4), np.uint8)
REFUSED = {
    "no images": ({"a": GREY, "b": LABELS}, "must have arrays called images and labels, .*; it has a, b"),
    "no arrays": ({}, "it has none"),
    "floats": (
        {"images": GREY / 255, "labels": LABELS},
        r'images must be uint8 from 0 to 255, got float64: images .* \(images \* 255\)\.round\(\)\.astype\("uint8"\)',
    ),
    "wide integers": ({"images": GREY.astype(int), "labels": LABELS}, "images must be uint8 from 0 to 255, got int64$"),
    "float labels": ({"images": GREY, "labels": LABELS / 1}, "labels must be integers, got float64"),
    "one-hot": ({"images": GREY, "labels": np.eye(5, dtype=int)}, r"must have the shape \(N,\), got \(5, 5\); one-hot"),
    "negative": ({"images": GREY, "labels": LABELS - 1}, "labels must be from 0 to 1, got -1"),
    "enormous": (
        {"images": GREY, "labels": LABELS + 2**40},
        "labels must number the classes from 0, got 1099511627778",
    ),
    "lengths": ({"images": GREY, "labels": LABELS[:3]}, r"got \(5, 1, 4, 6\) and \(3,\)"),
    "flat": ({"images": GREY.reshape(5, -1), "labels": LABELS}, r"images must have the shape .*, got \(5, 24\)"),
    "no channels": ({"images": np.zeros((2, 4, 5, 6), np.uint8), "labels": [0, 0]}, "does not tell where the channels"),
    "two axes of 3": ({"images": np.zeros((2, 3, 5, 3), np.uint8), "labels": [0, 0]}, 'layout="NCHW"'),
    "objects": ({"images": np.array([{}, {}]), "labels": [0, 0]}, "Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit(name, tmp_path):
    arrays, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as raised:
        load_npz(write(tmp_path / "x.npz", **arrays))
    assert str(raised.value).startswith(f"cannot load {tmp_path / 'x.npz'}: ")


def test_what_is_no_archive(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"images": GREY}))
    (tmp_path / "empty").touch()
    for name in ("x.npy", "x.pkl", "empty"):
        with pytest.raises(ValueError, match=f"{name}: it is not an npz archive, or is damaged"):
            load_npz(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"no file of arrays at .*none\.npz$"):
        load_npz(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        load_npz(tmp_path)
    with pytest.raises(ValueError, match="layout must be 'NCHW', 'NHWC' or None, got 'HWC'"):
        load_npz(tmp_path / "x.npz", layout="HWC")
    with pytest.raises(FileNotFoundError, match=r"x.npz has no held-out part: add x_test and y_test, or split it"):
        load_npz(write(tmp_path / "x.npz", images=GREY, labels=LABELS), train=False)


def test_a_false_size(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50, 8, 8)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue() + bytes(64))
        buffer = io.BytesIO()
        np.save(buffer, LABELS)
        archive.writestr("labels.npy", buffer.getvalue())
    with pytest.raises(ValueError, match=r"cannot load .*x.npz: "):
        load_npz(tmp_path / "x.npz")


def test_five_hundred_damaged_archives(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=GREY, labels=LABELS)
    rng, path, refused = np.random.default_rng(0), tmp_path / "x.npz", 0
    for _ in range(500):
        replace(path, flipped(buffer.getvalue(), rng))
        data, message = outcome(lambda: load_npz(path))
        if message:
            refused += 1
            assert str(path) in message
        else:
            assert np.array_equal(data.images[:, 0], GREY)
            assert data.labels.tolist() == LABELS.tolist()
    assert 250 < refused < 500


def test_arrays():
    data = ImageArrays(GREY[:, None], LABELS.astype(np.uint16))
    assert data.images.base is GREY  # not copied
    assert (data.labels.dtype, data.classes) == (np.int64, ("0", "1", "2"))
    image, label = data[1]
    assert (image.shape, label) == ((1, 4, 6), 2)
    assert len(ImageArrays(GREY[:0, None], LABELS[:0])) == 0
    with pytest.raises(
        ValueError, match=r"images must have the shape \(N, C, H, W\) and labels \(N,\), got \(5, 4, 6\)"
    ):
        ImageArrays(GREY, LABELS)
