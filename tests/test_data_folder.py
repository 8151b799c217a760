"""Folders of images: which are found, how they are read, and what is said of those that cannot be."""

from __future__ import annotations

import io
import pickle
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigrad import nn
from minigrad.nn.data import ImageFolder, read_image
from tests.datafiles import flipped, outcome, replace

RNG = np.random.default_rng(0)


def picture(h: int = 4, w: int = 6, channels: int | None = 3) -> np.ndarray:
    return RNG.integers(0, 256, (h, w) if channels is None else (h, w, channels), np.uint8)


def write(path: Path, pixels: np.ndarray | None = None) -> np.ndarray:
    """A picture in a file; gives it as the data set should, (C, H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture() if pixels is None else pixels
    Image.fromarray(pixels).save(path)
    return pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]


# ---- which ----------------------------------------------------------------------------------------------------------


def test_a_folder_per_class(tmp_path):
    names = ("dog/b.png", "dog/a.PNG", "cat/x/1.png", "cat/2.bmp", "Zebra/1.ppm")
    expected = {tmp_path / name: write(tmp_path / name) for name in names}
    for ignored in (".hidden/1.png", "cat/.1.png", "cat/.git/1.png", "__MACOSX/cat/1.png"):
        write(tmp_path / ignored)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    write(tmp_path / "loose.png")
    data = ImageFolder(tmp_path)
    assert data.classes == ("Zebra", "cat", "dog")
    order = ["Zebra/1.ppm", "cat/2.bmp", "cat/x/1.png", "dog/a.PNG", "dog/b.png"]
    assert [str(path.relative_to(tmp_path)) for path, _ in data.samples] == order
    assert (data.labels.dtype, data.labels.tolist()) == (np.int64, [0, 1, 1, 2, 2])
    assert len(data) == 5
    for i, (path, label) in enumerate(data.samples):
        image, number = data[i]
        assert (image.dtype, image.shape, number) == (np.uint8, (3, 4, 6), label)
        assert np.array_equal(image, expected[path])
    assert np.array_equal(data[-1][0], expected[tmp_path / "dog/b.png"])
    with pytest.raises(IndexError):
        data[5]


def test_batches_are_arrays_or_lists(tmp_path):
    a, b, c = (write(tmp_path / "x" / f"{i}.png", picture(4, w)) for i, w in enumerate((6, 6, 7)))
    data = ImageFolder(tmp_path)
    images, labels = data.batch([1, 0])
    assert np.array_equal(images, np.stack([b, a]))
    assert labels.tolist() == [0, 0]
    images, labels = data.batch([0, 2])
    assert isinstance(images, list)
    assert np.array_equal(images[0], a)
    assert np.array_equal(images[1], c)
    copy = pickle.loads(pickle.dumps(data))  # as worker processes get it
    assert np.array_equal(copy[2][0], c)


def test_images_are_read_when_they_are_asked_for(tmp_path):
    write(tmp_path / "x" / "1.png")
    data = ImageFolder(tmp_path)
    later = picture(2, 2)
    write(tmp_path / "x" / "1.png", later)
    assert np.array_equal(data[0][0], later.transpose(2, 0, 1))


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "store" / "1.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "round").symlink_to(root)
    (tmp_path / "store" / "again").symlink_to(tmp_path / "store")
    assert [label for _, label in ImageFolder(root).samples] == [0]


@pytest.mark.parametrize("training", ["train", "Training"])
@pytest.mark.parametrize(("held_out", "chosen"), [(["val", "test"], "val"), (["test"], "test"), (["VALID"], "VALID")])
def test_a_split_root(training, held_out, chosen, tmp_path):
    for name in ("ant", "bee", "cow"):
        write(tmp_path / training / name / "1.png")
    for part in held_out:
        write(tmp_path / part / "cow" / "1.png")
    write(tmp_path / "notes" / "1.png")
    train, test = ImageFolder(tmp_path), ImageFolder(tmp_path, train=False)
    assert train.root == tmp_path / training
    assert train.labels.tolist() == [0, 1, 2]
    assert test.root == tmp_path / chosen
    assert test.classes == ("ant", "bee", "cow")
    assert test.labels.tolist() == [2]  # not 0: the number it has in training


def test_train_alone_and_a_class_called_train(tmp_path):
    write(tmp_path / "1" / "train" / "ant" / "1.png")
    assert ImageFolder(tmp_path / "1").classes == ("ant",)
    for name in ("car", "plane", "train"):
        write(tmp_path / "2" / name / "1.png")
    assert ImageFolder(tmp_path / "2").classes == ("car", "plane", "train")
    for root in ("1", "2"):
        with pytest.raises(FileNotFoundError, match=f"{tmp_path / root} has no held-out part: put it into .*/val and"):
            ImageFolder(tmp_path / root, train=False)


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no folder of images at {tmp_path / 'none'}$"):
        ImageFolder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=r"file: it is a file$"):
        ImageFolder(tmp_path / "file")
    with pytest.raises(ValueError, match="mode must be 'RGB' or 'L', got 'rgb'"):
        ImageFolder(tmp_path, mode="rgb")


def test_empty_roots_and_classes(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(ValueError, match=f"{root} must have a folder of images for each class, it has no folders"):
        ImageFolder(root)
    write(root / "1.png")
    with pytest.raises(ValueError, match="for each class, it has only 1 images"):
        ImageFolder(root)
    write(root / "ant" / "1.png")
    (root / "bee").mkdir()
    with pytest.raises(ValueError, match=rf"{root / 'bee'} must have images \(.jpg, .*, .gif\), it has no files"):
        ImageFolder(root)
    for name in ("1.heic", "2.HEIC", "README"):
        (root / "bee" / name).touch()
    with pytest.raises(ValueError, match=r"it has only files of the kinds \.heic, README"):
        ImageFolder(root)
    assert len(ImageFolder(root, extensions=(".png", ".heic"))) == 3


def test_a_class_that_training_lacks(tmp_path):
    write(tmp_path / "train" / "ant" / "1.png")
    write(tmp_path / "val" / "bee" / "1.png")
    with pytest.raises(ValueError, match=r"val/bee is a class that the training part lacks; it has ant"):
        ImageFolder(tmp_path, train=False)


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"ImageFolder needs the package pillow, .*pip install"):
        ImageFolder(tmp_path)


# ---- how ------------------------------------------------------------------------------------------------------------

GREY = picture(4, 6, None)
COLOUR = picture()


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.ppm", "x.tif", "x.webp"])
def test_formats_without_loss(name, tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / name, lossless=True)
    assert np.array_equal(read_image(tmp_path / name), COLOUR.transpose(2, 0, 1))


def test_jpeg_and_gif_nearly(tmp_path):
    smooth = np.add.outer(np.arange(0, 80, 5), np.arange(0, 160, 10)).astype(np.uint8)
    for name in ("x.jpg", "x.gif"):
        Image.fromarray(smooth).save(tmp_path / name)
        image = read_image(tmp_path / name, "L")
        assert image.shape == (1, 16, 16)
        assert np.abs(image[0].astype(int) - smooth).max() <= 8


def test_conversions(tmp_path):
    """Grey to colour repeats, colour to grey weighs as ITU-R 601-2 says, transparency is dropped."""
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.stack([GREY] * 3))
    assert np.array_equal(read_image(tmp_path / "grey.png", "L"), GREY[None])
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    weighed = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(tmp_path / "colour.png", "L")[0] - weighed).max() < 1
    Image.fromarray(np.dstack([COLOUR, GREY])).save(tmp_path / "alpha.png")
    assert np.array_equal(read_image(tmp_path / "alpha.png"), COLOUR.transpose(2, 0, 1))
    Image.fromarray(GREY > 99).save(tmp_path / "bits.png")
    assert np.array_equal(read_image(tmp_path / "bits.png", "L")[0], np.where(GREY > 99, 255, 0))
    Image.fromarray(COLOUR).quantize(256).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (3, 4, 6)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_keep_the_upper_eight(name, tmp_path):
    """Pillow's own conversion would make 255 of whatever is above."""
    deep = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]], np.uint16)
    Image.fromarray(deep).save(tmp_path / name)
    assert read_image(tmp_path / name, "L").tolist() == [[[0, 0, 1], [0x12, 0x80, 255]]]
    assert read_image(tmp_path / name).shape == (3, 2, 3)


def test_numbers_of_other_ranges(tmp_path):
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "int.tif")
    with pytest.raises(ValueError, match=r"int.tif: its pixels go from 0 to 70000; 8 and 16 bits can be read"):
        read_image(tmp_path / "int.tif")
    Image.fromarray(np.array([[0.5]], np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"float.tif: its pixels are floating point numbers, of an unknown range"):
        read_image(tmp_path / "float.tif")


UPRIGHT = {  # what the camera stored, made upright: the definition of each value of the EXIF tag Orientation
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: x[::-1].transpose(1, 0, 2),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: x.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(tmp_path / "x.png", exif=exif)
    image = read_image(tmp_path / "x.png")
    assert np.array_equal(image, UPRIGHT[orientation](COLOUR).transpose(2, 0, 1))
    assert image.flags.c_contiguous


# ---- damage ---------------------------------------------------------------------------------------------------------


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(9, 7)).save(buffer, kind, **({"exif": exif} if kind != "GIF" else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
def test_cut_off_anywhere(kind, tmp_path):
    """Refused with the file's name, or, where only what follows the pixels is lost, whole."""
    data = encoded(kind)
    path = tmp_path / "x.img"
    path.write_bytes(data)
    whole = read_image(path)
    refused = 0
    lengths = range(0, len(data), max(1, len(data) // 97))
    with warnings.catch_warnings(action="ignore"):  # Pillow's of EXIF, which become errors here
        for length in lengths:
            replace(path, data[:length])
            image, message = outcome(lambda: read_image(path))
            if message:
                refused += 1
                assert message.startswith(f"cannot read the image {path}: ")
            else:
                assert image.shape in (whole.shape, whole.transpose(0, 2, 1).shape)
    assert refused > 0.85 * len(lengths)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
def test_damaged_anywhere(kind, tmp_path):
    data, rng, refused = encoded(kind), np.random.default_rng(0), 0
    path = tmp_path / "x.img"
    with warnings.catch_warnings(action="ignore"):
        for _ in range(100):
            replace(path, flipped(data, rng))
            image, message = outcome(lambda: read_image(path))
            if message:
                refused += 1
                assert message.startswith(f"cannot read the image {path}: ")
            else:
                assert (image.dtype, image.shape[0]) == (np.uint8, 3)
    assert refused > 30


def test_what_is_no_image(tmp_path):
    for content in (b"", b"GIF", b"<html>"):
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read the image .*x.png: it is in no format that Pillow knows"):
            read_image(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_image(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """A PNG of a few bytes that claims to have 10^9 pixels; and one between Pillow's warning and its error."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    for side, action in ((32_000, "error"), (11_000, "error"), (11_000, "ignore")):
        head = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
        png = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
        )
        (tmp_path / "bomb.png").write_bytes(png)
        with warnings.catch_warnings(action=action), pytest.raises(ValueError, match=r"bomb.png: .*pixels") as raised:
            read_image(tmp_path / "bomb.png")
        assert "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS" in str(raised.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    write(tmp_path / "x.png", COLOUR)
    assert read_image(tmp_path / "x.png").shape == (3, 4, 6)


def test_by_the_names_of_the_package(tmp_path):
    write(tmp_path / "a" / "1.png", GREY)
    data = nn.data.get(tmp_path, mode="L")
    assert isinstance(data, nn.data.ImageFolder)
    assert np.array_equal(data[0][0], GREY[None])
