"""What all transforms share: forms of a batch, draws, errors; and those that only move or count pixels."""

from __future__ import annotations

import math
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn.data import transforms as tr
from tests.cudaemu import fake_cupy

PHOTOS = [(3, 9, 12), (3, 12, 9), (3, 10, 10)]
MEAN = np.zeros((3, 1, 1))

# name -> the transform, and the dtypes it takes
ALL: dict[str, tuple[Any, str]] = {
    "CenterCrop": (tr.CenterCrop(7), "uf"),
    "ColorJitter": (tr.ColorJitter(0.4, 0.4, 0.4, 0.2), "uf"),
    "Compose": (tr.Compose([tr.RandomCrop(6, 2), tr.RandomHorizontalFlip(), lambda x: x, tr.ToFloat()]), "uf"),
    "FiveCrop": (tr.FiveCrop(4), "uf"),
    "GoogLeNetCrops": (tr.GoogLeNetCrops(4, scales=(5, 6)), "uf"),
    "Grayscale": (tr.Grayscale(3), "uf"),
    "LeNetDistortion": (tr.LeNetDistortion(), "uf"),
    "LeNetScale": (tr.LeNetScale(), "uf"),
    "Normalize": (tr.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]), "f"),
    "PCALighting": (tr.PCALighting(), "f"),
    "Pad": (tr.Pad((1, 2, 3, 4), fill=(1, 2, 3)), "uf"),
    "RandomAffine": (tr.RandomAffine(20, (0.2, 0.1), (0.8, 1.2), (-5, 5, -3, 3), "bilinear", fill=3), "uf"),
    "RandomApply": (tr.RandomApply([tr.RandomVerticalFlip(1), tr.RandomErasing()], p=0.4), "uf"),
    "RandomChoice": (
        tr.RandomChoice([tr.RandomVerticalFlip(1), tr.RandomCrop(9, 1)]),
        "uf",
    ),
    "RandomCrop": (tr.RandomCrop(8, 2, padding_mode="reflect"), "uf"),
    "RandomErasing": (tr.RandomErasing(0.7, value="random"), "uf"),
    "RandomGrayscale": (tr.RandomGrayscale(0.5), "uf"),
    "RandomHorizontalFlip": (tr.RandomHorizontalFlip(), "uf"),
    "RandomResize": (tr.RandomResize(6, 12), "uf"),
    "RandomResizedCrop": (tr.RandomResizedCrop(6), "uf"),
    "RandomRotation": (tr.RandomRotation(40, "bilinear"), "uf"),
    "RandomVerticalFlip": (tr.RandomVerticalFlip(), "uf"),
    "Resize": (tr.Resize(6), "uf"),
    "SubtractMean": (tr.SubtractMean(MEAN), "f"),
    "TenCrop": (tr.TenCrop(4), "uf"),
    "ToFloat": (tr.ToFloat(), "uf"),
}
CASES = [(name, kind) for name, (_, kinds) in ALL.items() for kind in kinds]
RANDOM = [name for name in ALL if name.startswith("Random")] + [
    "ColorJitter",
    "Compose",
    "LeNetDistortion",
    "PCALighting",
]


def photo(shape: tuple[int, ...], kind: str, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return x if kind == "u" else (x / 255).astype({"f": np.float32, "d": np.float64}[kind])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def same(a: Any, b: Any) -> None:
    """Equal, to the bit, in values, dtypes and shapes."""
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def central(n: int, p: float, outside: float) -> tuple[int, int]:
    """The counts that a binomial(n, p) leaves on either side with a probability of at most `outside`, exactly."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(n + 1)
    ]
    cumulated = np.cumsum(np.exp(logs))
    low = int(np.searchsorted(cumulated, outside))
    return low, int(np.searchsorted(cumulated, 1 - outside))


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_transform_is_in_the_table():
    mixes = {"Mix", "MixUp", "CutMix", "Transform"}
    assert set(ALL) == set(tr.__all__) - mixes
    assert all(isinstance(transform, tr.Transform) for transform, _ in ALL.values())
    assert list(tr.__all__) == sorted(tr.__all__, key=lambda name: (name != name.upper(), name))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_batch_a_list_and_single_images_agree(name, kind):
    transform = ALL[name][0]
    images = photo((4, 3, 10, 10), kind)
    before = images.copy()
    batch = transform(images, rng())
    same(batch, transform(list(images), rng()))
    same(batch, transform(tuple(images), rng()))
    same(batch, transform(np.asfortranarray(images), rng()))
    np.testing.assert_array_equal(images, before)
    one = transform(images[0], rng(1))
    same([one], transform(images[:1], rng(1)))
    assert transform(images[:0], rng()) is not None


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_photographs_of_different_sizes(name, kind):
    """Each comes out as it does in a batch of its own kind, with the same draws."""
    transform = ALL[name][0]
    photos = [photo(shape, kind, i) for i, shape in enumerate(PHOTOS)]
    before = [image.copy() for image in photos]
    out = transform(photos, rng())
    same(photos, before)
    assert len(out) == 3
    same(out, transform(photos, rng()))
    if name not in RANDOM:
        same(out, [transform(image) for image in photos])
    one_size = len({image.shape for image in out}) == 1
    assert isinstance(out, np.ndarray if one_size else list)


@pytest.mark.parametrize("name", RANDOM)
def test_draws(name):
    """A generator decides everything; without one the default does; every image of a batch has a draw of its own."""
    transform = ALL[name][0]
    images = np.repeat(photo((1, 3, 10, 10), "f"), 12, axis=0)
    first = transform(images, rng(3))
    same(first, transform(images, rng(3)))
    assert len({image.tobytes() for image in first}) > 1
    mg.manual_seed(5)
    drawn = transform(images)
    same(drawn, transform(images, rng(5)))
    other = transform(images, rng(4))
    assert [image.tobytes() for image in first] != [image.tobytes() for image in other]


@pytest.mark.parametrize("name", sorted(set(ALL) - set(RANDOM)))
def test_what_is_not_random_draws_nothing(name):
    generator = rng()
    ALL[name][0](photo((2, 3, 10, 10), "f"), generator)
    assert generator.random() == rng().random()


@pytest.mark.parametrize("name", sorted(set(ALL) - {"Compose"}))
def test_a_loader_can_send_transforms_to_processes_and_share_them_among_threads(name):
    transform = ALL[name][0]
    batches = [photo((3, 3, 10, 10), "f", i) for i in range(8)]
    expected = [transform(images, rng(i)) for i, images in enumerate(batches)]
    again = pickle.loads(pickle.dumps(transform))
    assert repr(again) == repr(transform)
    same(again(batches[0], rng(0)), expected[0])
    with ThreadPoolExecutor(4) as pool:
        for out, wanted in zip(pool.map(transform, batches, map(rng, range(8))), expected, strict=True):
            same(out, wanted)


# ---- errors ---------------------------------------------------------------------------------------------------------

IMAGES = np.zeros((2, 3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "images must hold at least one image, got an empty list"),
        (np.zeros((8, 8), "u1"), ValueError, "images must be (N, C, H, W) or (C, H, W), got shape (8, 8)"),
        ([np.zeros((8, 8), "u1")], ValueError, "images[0] must be (C, H, W), got shape (8, 8)"),
        (np.zeros((1, 8, 8), "i8"), TypeError, "images must be of dtype uint8, float32 or float64, got int64"),
        ([[1, 2]], TypeError, "images[0] must be a NumPy array, got list"),
        (
            mg.zeros((1, 8, 8)),
            TypeError,
            "images must be a NumPy array, got minigrad.Tensor: transform images",
        ),
    ],
)
def test_images_that_are_none(images, error, message):
    with pytest.raises(error, match=re.escape(message)):
        tr.ToFloat()(images)


def test_images_on_a_device_are_refused():
    with fake_cupy.install():
        there = mg.zeros((1, 8, 8), device="cuda")
        with pytest.raises(TypeError, match=r"images must be a NumPy array, got \w+\.ndarray: transform"):
            tr.ToFloat()(mg.backend.raw(there))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tr.CenterCrop(0), "size must be a positive integer or (height, width), got 0"),
        (lambda: tr.RandomCrop((1, 2, 3)), "size must be a positive integer or (height, width), got (1, 2, 3)"),
        (lambda: tr.Resize("big"), "size must be a positive integer or (height, width), got 'big'"),
        (lambda: tr.RandomCrop(2.0), "size must be a positive integer or (height, width), got 2.0"),
        (lambda: tr.RandomHorizontalFlip(1.5), "p must be a probability, from 0 to 1, got 1.5"),
        (lambda: tr.RandomApply([len], "x"), "p must be a probability, from 0 to 1, got 'x'"),
        (lambda: tr.RandomErasing(p=True), "p must be a probability, from 0 to 1, got True"),
        (lambda: tr.Pad(-1), "padding must be an integer of at least 0, (left and right, top and bottom) or (left,"),
        (lambda: tr.Pad((1, 2, 3)), "or (left, top, right, bottom), got (1, 2, 3)"),
        (lambda: tr.Pad(1, padding_mode="wrap"), "padding_mode must be 'constant', 'edge', 'reflect' or 'symm"),
        (
            lambda: tr.Resize(8, "cubic"),
            "interpolation must be 'bilinear', 'bicubic', 'nearest' or 'nearest-exact', got 'cubic'",
        ),
        (lambda: tr.Resize(None), "max_size must be a positive integer where size is None, larger than size where"),
        (lambda: tr.Resize(8, max_size=8), "None for (height, width), got 8 and size 8"),
        (lambda: tr.Resize((8, 8), max_size=9), "None for (height, width), got 9 and size (8, 8)"),
        (lambda: tr.RandomResize(8, 8), "min_size and max_size must be integers, 0 < min_size < max_size, got 8 and 8"),
        (lambda: tr.RandomResizedCrop(8, scale=(1, 0.5)), "scale must be (smallest, largest), from 0, got (1, 0.5)"),
        (lambda: tr.RandomResizedCrop(8, ratio=3), "ratio must be (smallest, largest), both positive, got 3"),
        (lambda: tr.RandomErasing(scale=(0.5, 2)), "scale must be (smallest, largest), from 0 to 1, got (0.5, 2)"),
        (lambda: tr.RandomErasing(value="noise"), "value must be a number, one for each channel, or 'random', got '"),
        (lambda: tr.RandomRotation(-1), "degrees must be at least 0, or (smallest, largest), got -1"),
        (lambda: tr.RandomRotation((1, 2, 3)), "degrees must be a number or 2 numbers, got (1, 2, 3)"),
        (lambda: tr.RandomRotation((2, 1)), "degrees must be (smallest, largest), got (2, 1)"),
        (lambda: tr.RandomRotation(1, center=3), "center must be (x, y) in pixels, got 3"),
        (lambda: tr.RandomAffine(0, (2, 0)), "translate must be two shares, from 0 to 1, got (2, 0)"),
        (lambda: tr.RandomAffine(0, scale=(0, 1)), "scale must be (smallest, largest), both positive, got (0, 1)"),
        (lambda: tr.RandomAffine(0, shear=(1, 2, 3)), "shear must be a number or 2 or 4 numbers, got (1, 2, 3)"),
        (lambda: tr.ColorJitter(-1), "brightness must be at least 0, or (smallest, largest), got -1"),
        (lambda: tr.ColorJitter(contrast=(-1, 1)), "contrast must be (smallest, largest), from 0, got (-1, 1)"),
        (lambda: tr.ColorJitter(hue=0.6), "hue must be (smallest, largest), from -0.5 to 0.5, got (-0.6, 0.6)"),
        (lambda: tr.Grayscale(2), "num_output_channels must be 1 or 3, got 2"),
        (lambda: tr.Normalize([0.5], [0.0]), "std must be positive, got [0.0]"),
        (lambda: tr.PCALighting(-1), "std must be at least 0, got -1"),
        (lambda: tr.PCALighting(eigenvalues=[1, 2, 3]), "eigenvalues and eigenvectors must be given both or neither"),
        (lambda: tr.PCALighting(0.1, [1, 2], np.eye(2)), "must have shapes (3,) and (3, 3), got (2,) and (2, 2)"),
        (lambda: tr.PCALighting.fit(np.zeros((1, 8, 8))), "images must have 3 channels, RGB, got shape (1, 8, 8)"),
        (lambda: tr.SubtractMean([0.5]), "mean must be (C, H, W) or (C, 1, 1), got shape (1,)"),
        (lambda: tr.SubtractMean.fit([np.zeros((1, 2, 2)), np.zeros((1, 3, 3))]), "images must be of one size for"),
        (lambda: tr.LeNetDistortion(translate=-1), "translate must be at least 0, got -1"),
        (
            lambda: tr.LeNetDistortion(squeeze=(0, 1)),
            "squeeze must be (smallest, largest), both positive, got",
        ),
        (lambda: tr.GoogLeNetCrops(224, scales=(200,)), "scales must be integers of at least 224, the size, got"),
        (lambda: tr.Compose([]), "transforms must hold at least one transform, got none"),
        (lambda: tr.RandomChoice([len], p=[1, 2]), "p must hold a number of at least 0 for each of 1 transforms"),
        (lambda: tr.RandomChoice([len, len], p=[0, 0]), "p must hold a number of at least 0 for each of 2 transforms"),
        (lambda: tr.MixUp(alpha=0), "alpha must be positive, got 0"),
        (lambda: tr.CutMix(num_classes=0), "num_classes must be a positive integer, got 0"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tr.Compose(tr.ToFloat()), "transforms must be a list of transforms or functions, got ToFloat"),
        (lambda: tr.Compose([tr.ToFloat(), 3]), "transforms[1] must be a transform or a function, got int"),
        (
            lambda: tr.RandomChoice([tr.MixUp(), tr.ToFloat()]),
            "transforms must all be mixes, of images and labels, or",
        ),
        (
            lambda: tr.Normalize([0.5], [0.5])(IMAGES),
            "images must be floating for Normalize, got uint8: put To",
        ),
        (
            lambda: tr.PCALighting()(IMAGES),
            "images must be floating for PCALighting, got uint8: put ToFloat",
        ),
        (lambda: tr.SubtractMean(MEAN)(IMAGES), "images must be floating for SubtractMean, got uint8"),
        (lambda: tr.MixUp(num_classes=2)(IMAGES, [0, 1]), "images must be floating for MixUp, got uint8"),
        (
            lambda: tr.MixUp(num_classes=2)(IMAGES, [0.0, 1]),
            "labels must be integers, or shares (N, classes), got",
        ),
    ],
)
def test_wrong_types(make, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            tr.RandomCrop(9),
            "size (9, 9) must not be larger than the image with its border, got an image of 8x8 and",
        ),
        (tr.FiveCrop((8, 9)), "size (8, 9) must not be larger than the image, got an image of 8x8"),
        (tr.TenCrop(9), "size (9, 9) must not be larger than the image, got an image of 8x8"),
        (tr.Pad(1, fill=(1, 2)), "fill must be a number or one for each of 3 channels, got (1, 2)"),
        (tr.RandomRotation(9, fill=(1, 2)), "fill must be a number or one for each of 3 channels, got (1, 2)"),
        (tr.RandomErasing(value=(1, 2)), "value must be a number or one for each of 3 channels, got (1, 2)"),
        (tr.Compose([tr.ToFloat(), tr.Normalize([1, 2], [1])]), "mean must be a number or one for each of 3 channels"),
        (
            tr.Compose([tr.ToFloat(), tr.SubtractMean(np.zeros((3, 4, 4)))]),
            "images must have the shape of the mean, (3",
        ),
        (lambda x: tr.Grayscale()(x[:, :2]), "images must have 1 or 3 channels for Grayscale, got 2"),
        (lambda x: tr.ColorJitter()(x[:, :2]), "images must have 1 or 3 channels for ColorJitter, got 2"),
        (lambda x: tr.PCALighting()(x[:, :2] / 255), "images must have 3 channels for PCALighting, RGB, got 2"),
        (lambda x: tr.CutMix()(x, [0, 1]), "num_classes must be given to CutMix for labels that are integers"),
        (lambda x: tr.CutMix(num_classes=1)(x, [0, 1]), "labels must be from 0 to 0, got 1"),
        (lambda x: tr.CutMix(num_classes=3)(x, np.eye(2)), "labels must have 3 classes, num_classes, got 2"),
        (
            lambda x: tr.CutMix(num_classes=3)(x, [0]),
            "labels must be (N,) or (N, classes) for N=2 images, got shape",
        ),
        (
            lambda x: tr.CutMix()([x[0], x[1, :, 1:]], np.eye(2)),
            "images must be of one size for CutMix: crop",
        ),
    ],
)
def test_images_that_do_not_fit(transform, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        transform(IMAGES)


def test_repr():
    recipe = tr.Compose([tr.RandomCrop(32, 4), tr.RandomApply([tr.Grayscale(3)], 0.2), tr.ToFloat()])
    assert repr(recipe) == (
        "Compose(\n"
        "    RandomCrop(size=(32, 32), padding=[4, 4, 4, 4], pad_if_needed=False, fill=0, padding_mode=constant)\n"
        "    RandomApply(\n"
        "        p=0.2\n"
        "        Grayscale(num_output_channels=3)\n"
        "    )\n"
        "    ToFloat()\n"
        ")"
    )
    assert repr(tr.MixUp(alpha=0.2, num_classes=10)) == "MixUp(alpha=0.2, num_classes=10)"
    assert repr(tr.SubtractMean(MEAN)) == "SubtractMean(shape=(3, 1, 1))"


# ---- values ---------------------------------------------------------------------------------------------------------


def test_to_float_and_normalize():
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    floats = tr.ToFloat()(x)
    np.testing.assert_allclose(floats, x / 255, rtol=1.2e-7)
    assert (floats.dtype, floats.min(), floats.max()) == (np.float32, 0, 1)
    assert tr.ToFloat()(x.astype(np.float64)).dtype == np.float32
    x = photo((2, 3, 4, 5), "d")
    out = tr.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])(x)
    for c in range(3):
        np.testing.assert_allclose(out[:, c], (x[:, c] - (c + 1) / 10) / (0.5 + c / 10), rtol=1e-15)
    np.testing.assert_array_equal(tr.Normalize(0.5, 2.0)(x), (x - 0.5) / 2)


def test_subtract_mean():
    images = photo((5, 3, 4, 4), "u")
    centered = tr.Compose([tr.ToFloat(), tr.SubtractMean.fit(images)])(images)
    np.testing.assert_allclose(centered.mean(axis=0), 0, atol=1e-7)
    np.testing.assert_array_equal(tr.SubtractMean(np.ones((3, 1, 1)))(images / 255), images / 255 - 1)


def test_lenet_scale():
    x = np.array([[[0, 51, 255]]], np.uint8)
    np.testing.assert_allclose(tr.LeNetScale()(x), [[[-0.1, 0.155, 1.175]]], rtol=1e-6)
    np.testing.assert_allclose(tr.LeNetScale()(x / 255), [[[-0.1, 0.155, 1.175]]], rtol=1e-6)
    digit = tr.Compose([tr.Pad(2), tr.LeNetScale()])(np.full((7, 1, 28, 28), 255, np.uint8))
    assert digit.shape == (7, 1, 32, 32)
    np.testing.assert_allclose(digit[:, :, 0], -0.1)


def test_pca_lighting_follows_the_formula():
    x = photo((50_000, 3, 1, 1), "d")
    moved = tr.PCALighting()(x, rng()) - x
    values, vectors = np.array(tr.PCALighting().eigenvalues), np.array(tr.PCALighting().eigenvectors)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-4)  # published with four digits
    a = np.linalg.solve(vectors * values, moved[:, :, 0, 0].T)  # the draws, from what they did
    np.testing.assert_allclose(a.mean(axis=1), 0, atol=5 * 0.1 / math.sqrt(50_000))
    np.testing.assert_allclose(a.std(axis=1), 0.1, rtol=5 / math.sqrt(2 * 50_000))
    assert np.abs(np.corrcoef(a) - np.eye(3)).max() < 5 / math.sqrt(50_000)
    np.testing.assert_array_equal(tr.PCALighting(std=0)(x), x)


def test_pca_lighting_fit():
    basis = np.linalg.qr(rng().standard_normal((3, 3)))[0]
    x = (rng(1).standard_normal((4, 900, 3)) * [0.3, 0.1, 0.02]) @ basis.T
    images = list(np.moveaxis(x + 0.4, 2, 1).reshape(4, 3, 30, 30))
    images[0] = images[0].reshape(3, 20, 45)
    fitted = tr.PCALighting.fit(images, std=0.5)
    pixels = np.concatenate([image.reshape(3, -1) for image in images], axis=1)
    covariance = np.cov(pixels, ddof=0)
    vectors = np.array(fitted.eigenvectors)
    np.testing.assert_allclose(covariance @ vectors, vectors * fitted.eigenvalues, atol=1e-14)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-14)
    assert fitted.eigenvalues == sorted(fitted.eigenvalues, reverse=True)
    assert fitted.std == 0.5


# ---- places ---------------------------------------------------------------------------------------------------------


def numbered(n: int, height: int, width: int) -> np.ndarray:
    """Images whose pixels tell where they are: y * width + x, from 1."""
    return np.broadcast_to(np.arange(1.0, height * width + 1).reshape(1, height, width), (n, 1, height, width))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(mode):
    x = photo((2, 3, 4, 5), "u")
    out = tr.Pad((1, 2, 3, 0), padding_mode=mode)(x)
    np.testing.assert_array_equal(out, np.pad(x, ((0, 0), (0, 0), (2, 0), (1, 3)), mode))
    np.testing.assert_array_equal(tr.Pad((3, 1))(x), np.pad(x, ((0, 0), (0, 0), (1, 1), (3, 3))))
    filled = tr.Pad(1, fill=(7, 8, 9))(x)
    assert filled[0, :, 0, 0].tolist() == filled[0, :, -1, -1].tolist() == [7, 8, 9]


def test_center_crop():
    x = numbered(1, 5, 8)[0]
    np.testing.assert_array_equal(tr.CenterCrop((3, 4))(x), x[:, 1:4, 2:6])
    np.testing.assert_array_equal(tr.CenterCrop((2, 8))(x), x[:, 2:4])  # 1.5 goes to 2, the even number
    small = tr.CenterCrop(8)(x)
    assert small.shape == (1, 8, 8)
    np.testing.assert_array_equal(small[:, 1:6], x)
    assert small.sum() == x.sum()


def test_random_crop_draws_every_place_equally_often():
    n = 81 * 120
    crops = tr.RandomCrop(6, padding=4)(numbered(n, 6, 6), rng())[:, 0]
    padded = np.pad(numbered(1, 6, 6)[0, 0], 4)
    places = {padded[y : y + 6, x : x + 6].tobytes(): (y, x) for y in range(9) for x in range(9)}
    assert len(places) == 81
    counts = dict.fromkeys(places, 0)
    for crop in crops:
        counts[crop.tobytes()] += 1
    low, high = central(n, 1 / 81, 1e-6 / 81)
    assert low <= min(counts.values()) <= max(counts.values()) <= high


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize(("size", "padding"), [((4, 5), (3, 1, 0, 2)), ((2, 1), 6), ((5, 7), 0), ((9, 3), (1, 4))])
def test_random_crop_is_a_part_of_the_padded_image(mode, size, padding):
    x = photo((60, 3, 5, 7), "u")
    transform = tr.RandomCrop(size, padding, fill=(9, 8, 7) if mode == "constant" else 0, padding_mode=mode)
    padded = tr.Pad(padding, transform.fill, mode)(x)
    places = transform.draw(np.tile([3, 5, 7], (60, 1)), rng())
    for out, image, top, left in zip(transform(x, rng()), padded, *places, strict=True):
        np.testing.assert_array_equal(out, image[:, top : top + size[0], left : left + size[1]])


def test_random_crop_pads_if_needed():
    x = numbered(40, 3, 9)
    out = tr.RandomCrop((5, 4), pad_if_needed=True)(x, rng())
    assert out.shape == (40, 1, 5, 4)
    padded = np.pad(x[0, 0], ((2, 2), (0, 0)))  # two rows are lacking: two above, two below
    windows = {padded[i : i + 5, j : j + 4].tobytes() for i in range(3) for j in range(6)}
    assert {crop[0].tobytes() for crop in out} <= windows
    with pytest.raises(ValueError, match="padding None: pad_if_needed=True widens it"):
        tr.RandomCrop(5)(x)


@pytest.mark.parametrize(("kind", "axis"), [(tr.RandomHorizontalFlip, -1), (tr.RandomVerticalFlip, -2)])
@pytest.mark.parametrize("p", [0.5, 0.2])
def test_flips(kind, axis, p):
    n = 3000
    x = numbered(n, 2, 3)
    out = kind(p)(x, rng())
    flipped = np.array([not np.array_equal(a, b) for a, b in zip(out, x, strict=True)])
    np.testing.assert_array_equal(out[flipped], np.flip(x, axis)[flipped])
    low, high = central(n, p, 1e-6)
    assert low <= flipped.sum() <= high
    np.testing.assert_array_equal(kind(0)(x), x)
    np.testing.assert_array_equal(kind(1)(x), np.flip(x, axis))


def test_five_and_ten_crops():
    x = numbered(2, 5, 7)
    expected = [x[..., :3, :3], x[..., :3, -3:], x[..., -3:, :3], x[..., -3:, -3:], x[..., 1:4, 2:5]]
    np.testing.assert_array_equal(tr.FiveCrop(3)(x), np.stack(expected, axis=1))
    for vertical, axis in ((False, -1), (True, -2)):
        ten = tr.TenCrop(3, vertical_flip=vertical)(x)
        assert ten.shape == (2, 10, 1, 3, 3)
        np.testing.assert_array_equal(ten[:, :5], tr.FiveCrop(3)(x))
        np.testing.assert_array_equal(ten[:, 5:], tr.FiveCrop(3)(np.flip(x, axis)))


@pytest.mark.parametrize("upright", [False, True])
def test_googlenet_crops(upright):
    x = photo((1, 3, 40, 60), "u")
    x = x.swapaxes(2, 3) if upright else x
    crops = tr.GoogLeNetCrops(28, scales=(32, 36, 40, 44))(x)
    assert crops.shape == (1, 144, 3, 28, 28)
    np.testing.assert_array_equal(crops[:, 1::2], crops[:, ::2, :, :, ::-1])
    scale, views = 36, crops[0].reshape(4, 3, 6, 2, 3, 28, 28)[1, :, :, 0]
    resized = tr.Resize(scale)(x[0])
    assert sorted(resized.shape[1:]) == [36, 54]
    for square, start in zip(views, (0, 9, 18), strict=True):
        part = resized[:, start : start + 36] if upright else resized[:, :, start : start + 36]
        np.testing.assert_array_equal(square[:5], tr.FiveCrop(28)(part))
        np.testing.assert_array_equal(square[5], tr.Resize(28)(part))


def test_random_erasing():
    n = 4000
    x = np.ones((n, 2, 20, 10), np.float32)
    out = tr.RandomErasing(0.3, value=(5, 7))(x, rng())
    erased = 0
    for image in out:
        ys, xs = np.nonzero(image[0] == 5)
        if not len(ys):
            assert (image == 1).all()
            continue
        erased += 1
        h, w = np.ptp(ys) + 1, np.ptp(xs) + 1
        assert len(ys) == h * w  # a full rectangle
        assert (image[1] == np.where(image[0] == 5, 7, 1)).all()
        assert 0.02 * 200 - h - w <= h * w <= 0.33 * 200 + h + w  # sides are rounded: at most half a pixel each
        assert 0.3 * (w - 0.5) - 0.5 <= h <= 3.3 * (w + 0.5) + 0.5
    low, high = central(n, 0.3, 1e-6)
    assert low <= erased <= high
    noise = tr.RandomErasing(1, (0.25, 0.25), (1, 1), "random")
    values = noise(np.full((200, 1, 40, 40), 300, np.float32), rng())
    values = values[values != 300]
    assert len(values) == 200 * 400
    assert abs(values.mean()) < 5 / math.sqrt(80_000)
    assert abs(values.std() - 1) < 5 / math.sqrt(160_000)
    bytes_ = noise(np.zeros((200, 1, 40, 40), np.uint8), rng())
    counts = np.bincount(bytes_.ravel(), minlength=256)[1:]
    low, high = central(200 * 400, 1 / 256, 1e-6 / 256)
    assert low <= counts.min() <= counts.max() <= high
    never = tr.RandomErasing(1, (1, 1), (1, 1))  # a rectangle as large as the image is not smaller than it
    np.testing.assert_array_equal(never(x[:3]), x[:3])


# ---- transforms of transforms ---------------------------------------------------------------------------------------


def test_compose_applies_one_after_another_and_functions_get_batches():
    seen = []

    def look(images):
        seen.append(images.shape)
        return images

    x = photo((2, 3, 6, 6), "u")
    recipe = tr.Compose([look, tr.CenterCrop(4), look])
    np.testing.assert_array_equal(recipe(x), tr.CenterCrop(4)(x))
    assert recipe(x[0]).shape == (3, 4, 4)
    assert seen == [(2, 3, 6, 6), (2, 3, 4, 4), (1, 3, 6, 6), (1, 3, 4, 4)]


def test_random_apply_and_random_choice():
    n = 3000
    x = numbered(n, 2, 3)
    flips = [tr.RandomHorizontalFlip(1), tr.RandomVerticalFlip(1)]
    both = tr.RandomApply(flips, 0.3)(x, rng())
    turned = np.array([image[0, 0, 0] == 6 for image in both])
    np.testing.assert_array_equal(both, np.where(turned[:, None, None, None], x[..., ::-1, ::-1], x))
    low, high = central(n, 0.3, 1e-6)
    assert low <= turned.sum() <= high
    one = tr.RandomChoice(flips, p=[1, 3])(x, rng())
    across = np.array([image[0, 0, 0] == 3 for image in one])
    np.testing.assert_array_equal(one, np.where(across[:, None, None, None], x[..., ::-1], x[..., ::-1, :]))
    low, high = central(n, 0.25, 1e-6)
    assert low <= across.sum() <= high
    np.testing.assert_array_equal(tr.RandomApply(flips, 0)(x), x)


# ---- mixes ----------------------------------------------------------------------------------------------------------


def test_mixup_mixes_images_and_labels_alike():
    x, labels = photo((5, 3, 4, 4), "d"), np.array([0, 1, 2, 0, 1])
    before = x.copy()
    mixed, soft = tr.MixUp(alpha=1.0, num_classes=3)(x, labels, rng(2))
    np.testing.assert_array_equal(x, before)
    assert (soft.dtype, soft.shape, mixed.dtype) == (np.float32, (5, 3), np.float64)
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)
    lam = rng(2).beta(1, 1)
    for i in range(5):
        np.testing.assert_allclose(mixed[i], lam * x[i] + (1 - lam) * x[i - 1], rtol=1e-14)
        expected = lam * np.eye(3)[labels[i]] + (1 - lam) * np.eye(3)[labels[i - 1]]
        np.testing.assert_allclose(soft[i], expected, rtol=1e-6)
    same(tr.MixUp()(x, np.eye(3)[labels], rng(2)), (mixed, soft))
    lams = np.array([tr.MixUp(alpha=0.2)(x[:2, :, :1, :1], np.eye(2), rng(i))[1][0, 0] for i in range(2000)])
    variance = 0.25 / (2 * 0.2 + 1)  # of Beta(alpha, alpha), whose values lie in [0, 1]
    assert abs(lams.mean() - 0.5) < 5 * math.sqrt(variance / 2000)
    assert abs(lams.var() - variance) < 5 * 0.25 / math.sqrt(2000)


def test_cutmix_pastes_a_box_and_counts_its_area():
    x = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1) * np.ones((3, 9, 14), np.uint8)
    kept = []
    for seed in range(100):
        mixed, soft = tr.CutMix(num_classes=4)(x, np.arange(4), rng(seed))
        for i in range(4):
            own = (mixed[i] == i).mean()
            np.testing.assert_allclose(soft[i, i], own, rtol=1e-6)
            np.testing.assert_allclose(soft[i, i - 1], 1 - own, atol=1e-6)
            ys, xs = np.nonzero(mixed[i, 0] != i)
            assert len(ys) == (np.ptp(ys) + 1) * (np.ptp(xs) + 1) if len(ys) else True
            assert set(np.unique(mixed[i])) <= {i, (i - 1) % 4}
        kept.append(soft[0, 0])
    assert min(kept) < 0.5
    assert max(kept) == 1


def test_a_choice_of_mixes_is_a_mix():
    x, labels = photo((4, 3, 8, 8), "f"), [0, 1, 2, 3]
    mixes = [tr.MixUp(num_classes=4), tr.CutMix(num_classes=4)]
    choice = tr.RandomChoice(mixes, p=[1, 2])
    picked = []
    for seed in range(200):
        generator = rng(seed)
        mixed, soft = choice(x, labels, generator)
        again = rng(seed)
        k = again.choice(2, p=[1 / 3, 2 / 3])
        same(mixes[k](x, labels, again), (mixed, soft))
        picked.append(k)
    low, high = central(200, 2 / 3, 1e-6)
    assert low <= sum(picked) <= high
    mg.manual_seed(0)
    first = choice(x, labels=labels)
    same(first, choice(x, labels, generator=rng(0)))


# ---- the papers' own ------------------------------------------------------------------------------------------------

PIXELS, CHANNELS = np.full((3, 256, 256), 0.5), np.full((3, 1, 1), 0.5)
PAPERS = {
    "LeNet-5 1998": ([tr.Pad(2), tr.LeNetDistortion(), tr.LeNetScale()], (1, 28, 28), (1, 32, 32)),
    "AlexNet 2012": (
        [
            *(tr.Resize(256), tr.CenterCrop(256), tr.ToFloat(), tr.SubtractMean(PIXELS), tr.RandomCrop(224)),
            *(tr.RandomHorizontalFlip(), tr.PCALighting()),
        ],
        (3, 300, 270),
        (3, 224, 224),
    ),
    "AlexNet 2012, test": (
        [tr.Resize(256), tr.CenterCrop(256), tr.ToFloat(), tr.SubtractMean(PIXELS), tr.TenCrop(224)],
        (3, 300, 270),
        (10, 3, 224, 224),
    ),
    "VGG 2014": (
        [
            tr.RandomResize(256, 513),
            tr.RandomCrop(224),
            tr.RandomHorizontalFlip(),
            tr.ToFloat(),
            tr.SubtractMean(CHANNELS),
        ],
        (3, 300, 270),
        (3, 224, 224),
    ),
    "GoogLeNet 2014": (
        [tr.RandomResizedCrop(224), tr.RandomHorizontalFlip(), tr.ColorJitter(0.5, 0.5, 0.5), tr.ToFloat()],
        (3, 300, 270),
        (3, 224, 224),
    ),
    "ResNet 2015 on CIFAR": (
        [tr.RandomCrop(32, padding=4), tr.RandomHorizontalFlip(), tr.ToFloat(), tr.SubtractMean(CHANNELS)],
        (3, 32, 32),
        (3, 32, 32),
    ),
}


@pytest.mark.parametrize("name", list(PAPERS))
def test_the_papers_own(name):
    """Photographs of several sizes come out as one float32 batch of the network's size, seen differently each time."""
    steps, shape, expected = PAPERS[name]
    recipe = tr.Compose(steps)
    photos = [photo(shape, "u"), photo((shape[0], shape[1] + 3 * (shape[1] > 32), shape[2]), "u", 1)]
    out = recipe(photos, rng())
    assert out.shape == (2, *expected)
    assert out.dtype == np.float32
    same(out, recipe(photos, rng()))
    assert ("test" in name) == np.array_equal(out, recipe(photos, rng(1)))
