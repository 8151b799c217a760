"""The transforms against torchvision's: equal with no draws or the same ones, and draws distributed alike."""

from __future__ import annotations

import importlib
import math
import sys
from types import ModuleType

import numpy as np
import pytest

from minigrad.nn.data import transforms as tr
from minigrad.nn.data.transforms import color
from minigrad.nn.data.transforms.mixing import blend
from minigrad.nn.data.transforms.resample import resample
from minigrad.nn.data.transforms.warp import inverse_affine, warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

B = "bilinear"
FAST = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")  # where PyTorch resizes uint8 in integers


@pytest.fixture(scope="module")
def v2():
    """torchvision without its registrations for a compiled library, which the wheel beside this PyTorch lacks."""
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except ImportError as error:
        pytest.skip(f"NOT CHECKED against torchvision: {error}; `make parity` installs it")


def photo(shape: tuple[int, ...], kind: str = "u", seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    x[0, :, : shape[2] // 3] = np.where(x[0, :, : shape[2] // 3] > 127, 255, 0)
    return x if kind == "u" else (x / 255).astype({"f": np.float32, "d": np.float64}[kind])


def close(ours: np.ndarray, theirs, single: float = 2e-6, double: float = 1e-13) -> None:
    """uint8 to the bit, floating to the rounding errors of both."""
    theirs = theirs.numpy()
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    tolerance = {"B": 0, "f": single, "d": double}[ours.dtype.char]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest", "nearest-exact"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 37, 53), (20, 31)),
        ((2, 3, 37, 53), (80, 90)),
        ((1, 3, 256, 300), (224, 224)),
        ((1, 3, 64, 64), (7, 9)),
        ((1, 1, 40, 500), (30, 30)),
        ((1, 5, 37, 53), (37, 20)),
        ((2, 3, 30, 8), (9, 200)),
        ((2, 3, 32, 32), (28, 28)),
    ],
)
def test_resize(v2, interpolation, antialias, shape, size):
    for kind in "ufd":
        x = photo(shape, kind)
        if kind == "d" and interpolation == "nearest-exact":
            continue  # theirs computes places in float64 for it, and in float32 for all the others; ties differ
        mode = v2.InterpolationMode(interpolation)
        theirs = v2.functional.resize(torch.from_numpy(x), list(size), mode, antialias=antialias)
        ours = resample(x, size, interpolation, antialias)
        if kind == "u" and not FAST:
            assert np.abs(ours.astype(int) - theirs.numpy()).max() <= 1
        else:  # theirs computes the weights of float32 in float32: they err by 2^-24 of the length
            close(ours, theirs, single=max(shape) * 2e-7)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 20},
        {"size": [20]},
        {"size": (20, 30)},
        {"size": 20, "max_size": 25},
        {"size": 20, "max_size": 60},
        {"size": None, "max_size": 30},
        {"size": 33, "interpolation": "bicubic"},
    ],
)
def test_the_sizes_of_resize(v2, options):
    for shape in ((1, 3, 41, 57), (1, 3, 57, 41), (1, 3, 40, 40)):
        x = photo(shape, "d")
        close(tr.Resize(**options)(x), v2.Resize(**options)(torch.from_numpy(x)))


# ---- places ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CenterCrop", (7,)),
        ("CenterCrop", ((6, 3),)),
        ("CenterCrop", ((20, 6),)),
        ("CenterCrop", ((25, 31),)),
        ("Pad", (3,)),
        ("Pad", ((1, 2), 7)),
        ("Pad", ((1, 2, 3, 4), (7, 8, 9))),
        ("Pad", ((1, 2, 3, 4), 0, "edge")),
        ("Pad", ((1, 2, 3, 4), 0, "reflect")),
        ("Pad", ((1, 2, 3, 4), 0, "symmetric")),
        ("FiveCrop", ((5, 6),)),
        ("TenCrop", (5,)),
        ("TenCrop", ((5, 6), True)),
        ("RandomHorizontalFlip", (1,)),
        ("RandomVerticalFlip", (1,)),
        ("Grayscale", ()),
        ("Grayscale", (3,)),
        ("RandomGrayscale", (1,)),
    ],
)
@pytest.mark.parametrize("kind", "ufd")
def test_what_is_not_random(v2, name, options, kind):
    for shape in ((2, 3, 9, 12), (2, 3, 12, 9), (1, 3, 10, 10)):
        x = photo(shape, kind)
        theirs = getattr(v2, name)(*options)(torch.from_numpy(x))
        theirs = torch.stack(theirs, dim=1) if isinstance(theirs, tuple) else theirs
        close(getattr(tr, name)(*options)(x), theirs, 3e-7)


def test_to_float_and_normalize(v2):
    x = photo((2, 3, 9, 12))
    close(tr.ToFloat()(x), v2.ToDtype(torch.float32, scale=True)(torch.from_numpy(x)), 0)
    for kind in "fd":
        x = photo((2, 3, 9, 12), kind)
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        close(tr.Normalize(mean, std)(x), v2.Normalize(mean, std)(torch.from_numpy(x)), 0, 0)


class Fed:
    """A transform of theirs, with draws of ours in place of its own."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, image, **draws):
        self.transform.make_params = lambda flat: draws
        return self.transform(torch.from_numpy(image)[None])[0]


@pytest.mark.parametrize(
    "options",
    [
        {"size": 8},
        {"size": (5, 9), "padding": 2},
        {"size": 9, "padding": (1, 2, 3, 4), "fill": 7},
        {"size": 9, "padding": 3, "padding_mode": "reflect"},
        {"size": (11, 14), "pad_if_needed": True, "fill": (1, 2, 3)},
        {"size": (12, 14), "padding": 1, "pad_if_needed": True, "padding_mode": "symmetric"},
    ],
)
def test_random_crop(v2, options):
    """Theirs draws a place, ours is given it: the same pixels; and ours draws from as many places as theirs."""
    x = photo((300, 3, 9, 12))
    ours, theirs = tr.RandomCrop(**options), v2.RandomCrop(**options)
    torch.manual_seed(0)
    places = [theirs.make_params([torch.from_numpy(x[:1])]) for _ in range(300)]
    drawn = np.array([[place["top"], place["left"]] for place in places]).T
    fed = Fed(theirs)
    for image, place, out in zip(x, places, ours.apply(x, *drawn), strict=True):
        np.testing.assert_array_equal(out, fed(image, **place).numpy())
    own = np.array(ours.draw(np.tile([3, 9, 12], (3000, 1)), np.random.default_rng(0)))
    assert own.min() == 0
    assert own.max(axis=1).tolist() == drawn.max(axis=1).tolist()


def test_random_resized_crop(v2):
    x = photo((40, 3, 33, 47))
    ours, theirs = tr.RandomResizedCrop((12, 14)), Fed(v2.RandomResizedCrop((12, 14)))
    drawn = ours.draw(np.tile([3, 33, 47], (40, 1)), np.random.default_rng(0))
    for image, out, *place in zip(x, ours.apply(x, *drawn), *drawn, strict=True):
        place = dict(zip(("top", "left", "height", "width"), map(int, place), strict=True))
        difference = np.abs(out.astype(int) - theirs(image, **place).numpy())
        assert difference.max() <= (0 if FAST else 1)


def test_draws_of_random_resized_crop_are_distributed_as_theirs(v2):
    n, shape = 1500, (3, 40, 70)
    for ours, theirs in (
        (tr.RandomResizedCrop(8), v2.RandomResizedCrop(8)),
        (tr.RandomResizedCrop(8, (0.5, 2.0)), v2.RandomResizedCrop(8, (0.5, 2.0))),  # often too large
    ):
        own = np.array(ours.draw(np.tile(shape, (n, 1)), np.random.default_rng(0)))
        torch.manual_seed(0)
        params = [theirs.make_params([torch.zeros(shape)]) for _ in range(n)]
        other = np.array([[p[key] for p in params] for key in ("top", "left", "height", "width")])
        alike(own, other)
        alike(own[2:3] * own[3:], other[2:3] * other[3:])


def alike(own: np.ndarray, other: np.ndarray) -> None:
    """Two samples, a row each quantity, from one distribution: Smirnov's distance, one in 10^6."""
    for a, b in zip(own, other, strict=True):
        points = np.union1d(a, b)
        distance = np.searchsorted(np.sort(a), points, "right") / len(a)
        distance -= np.searchsorted(np.sort(b), points, "right") / len(b)
        assert np.abs(distance).max() < 2.7 * math.sqrt(1 / len(a) + 1 / len(b))


# ---- affine maps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("kind", "ufd")
@pytest.mark.parametrize(
    "options",
    [
        {"angle": 33.0, "translate": [2, -3], "scale": 1.2, "shear": [10.0, -7.0]},
        {"angle": -20.0, "translate": [0, 1], "scale": 0.7, "shear": [0.0, 5.0], "center": [3.0, 4.0]},
        {"angle": 200.0, "translate": [-5, 1], "scale": 2.2, "shear": [-40.0, 0.0]},
    ],
)
def test_affine(v2, interpolation, kind, options):
    for shape in ((2, 3, 17, 24), (1, 1, 16, 16)):
        x = photo(shape, kind)
        mode, n = v2.InterpolationMode(interpolation), len(x)
        height, width = shape[2:]
        center = options.get("center", [width / 2, height / 2])
        maps = inverse_affine(
            np.full(n, options["angle"]),
            np.tile(options["translate"], (n, 1)),
            np.full(n, options["scale"]),
            np.tile(options["shear"], (n, 1)),
            (center[0] - width / 2, center[1] - height / 2),
        )
        theirs = v2.functional.affine(torch.from_numpy(x), interpolation=mode, fill=None, **options)
        ours = warp(x, maps, interpolation)
        # Places err by rounding; a uint8 near a half may then go the other way.
        if kind == "u" and interpolation == B:
            difference = np.abs(ours.astype(int) - theirs.numpy())
            assert difference.max() <= 1
            assert difference.mean() < 2e-3
        else:
            close(ours, theirs, 1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("angle", [30.0, -12.5, 90.0, 180.0, 270.0, 0.0, 145.0])
def test_rotate(v2, interpolation, expand, angle):
    for shape in ((1, 3, 17, 24), (1, 3, 24, 17), (1, 3, 16, 16)):
        if angle in (90, 270) and interpolation == "nearest" and not expand and shape[2] != shape[3]:
            continue  # every pixel lies half-way between two
        for kind in "fd":
            x = photo(shape, kind)
            mode = v2.InterpolationMode(interpolation)
            theirs = v2.functional.rotate(torch.from_numpy(x), angle, mode, expand=expand, fill=None)
            ours = tr.RandomRotation((angle, angle), interpolation, expand)(x)
            close(np.asarray(ours), theirs, 1e-5)


def test_fill(v2):
    """Theirs weighs the rim twice; filled by hand, with no fill of theirs, it is ours. Nearest needs no such care."""
    x, fill = photo((1, 3, 16, 20), "d"), np.array([0.2, 0.5, 0.9])
    rotate = v2.functional.rotate
    shifted = torch.from_numpy(x - fill[:, None, None])
    theirs = rotate(shifted, 30.0, v2.InterpolationMode.BILINEAR) + torch.from_numpy(fill)[:, None, None]
    close(tr.RandomRotation((30, 30), B, fill=tuple(fill))(x), theirs)
    theirs = rotate(torch.from_numpy(x), 30.0, fill=fill.tolist())
    close(tr.RandomRotation((30, 30), fill=tuple(fill))(x), theirs)


def test_draws_of_random_affine_are_distributed_as_theirs(v2):
    n, options = 1500, {"degrees": 30, "translate": (0.1, 0.2), "scale": (0.5, 2), "shear": (-3, 5, 1, 2)}
    angle, translate, scale, shear = tr.RandomAffine(**options).draw(
        np.tile([3, 40, 70], (n, 1)), np.random.default_rng(0)
    )
    torch.manual_seed(0)
    theirs = [v2.RandomAffine(**options).make_params([torch.zeros(3, 40, 70)]) for _ in range(n)]
    other = np.array([[p["angle"], *p["translate"], p["scale"], *p["shear"]] for p in theirs]).T
    alike(np.stack([angle, *translate.T, scale, *shear.T]), other)


# ---- colours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    ("name", "factor"),
    [(name, f) for name in ("brightness", "contrast", "saturation") for f in (0, 0.5, 0.83, 1, 1.7)]
    + [("hue", f) for f in (-0.5, -0.2, 0, 0.1, 0.43, 0.5)],
)
def test_adjustments(v2, channels, name, factor):
    for kind in "ufd":
        x = photo((2, channels, 24, 32), kind)
        if kind == "u":
            x[:, :, -1] = np.arange(32)
        amount = np.full((2, 1, 1, 1), factor, np.float64 if kind == "d" else np.float32)
        theirs = getattr(v2.functional, f"adjust_{name}")(torch.from_numpy(x), factor)
        ours = getattr(color, name)(x, amount)
        if kind == "u":  # rounded down from sums that they round once (fused) and we twice
            difference = np.abs(ours.astype(int) - theirs.numpy())
            assert difference.max() <= 1
            assert difference.mean() < 0.015
        elif name == "hue":  # theirs computes in float32 always
            close(ours, theirs, 5e-6, 5e-6)
        else:
            close(ours, theirs, 4e-7)


def test_color_jitter(v2):
    x = photo((30, 3, 12, 15), "f")
    options = (0.4, 0.5, (0.2, 1.5), 0.1)
    ours, theirs = tr.ColorJitter(*options), Fed(v2.ColorJitter(*options))
    order, amount = ours.draw(np.tile([3, 12, 15], (30, 1)), np.random.default_rng(0))
    names = [f"{name}_factor" for name in ("brightness", "contrast", "saturation", "hue")]
    out = ours.apply(x, order, amount)
    for i in range(30):
        draws = dict(zip(names, amount[i].tolist(), strict=True))
        np.testing.assert_allclose(out[i], theirs(x[i], fn_idx=order[i], **draws).numpy(), atol=2e-5)
    torch.manual_seed(0)
    params = [theirs.transform.__class__(*options).make_params([]) for _ in range(1500)]
    own = ours.draw(np.tile([3, 12, 15], (1500, 1)), np.random.default_rng(0))[1]
    alike(own.T, np.array([[p[name] for name in names] for p in params]).T)


# ---- erasing and mixes ----------------------------------------------------------------------------------------------


def test_random_erasing(v2):
    x = photo((60, 3, 30, 20), "f")
    ours, theirs = tr.RandomErasing(1, value=(0.1, 0.2, 0.3)), Fed(v2.RandomErasing(1, value=(0.1, 0.2, 0.3)))
    drawn = ours.draw(np.tile([3, 30, 20], (60, 1)), np.random.default_rng(0))
    value = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    for image, out, *place in zip(x, ours.apply(x, *drawn), *drawn[:4], strict=True):
        place = dict(zip("ijhw", map(int, place), strict=True))
        np.testing.assert_array_equal(out, theirs(image, v=value, **place).numpy())


def test_draws_of_random_erasing_are_distributed_as_theirs(v2):
    n = 1500
    own = np.array(tr.RandomErasing(1).draw(np.tile([3, 30, 20], (n, 1)), np.random.default_rng(0))[:4])
    torch.manual_seed(0)
    theirs = v2.RandomErasing(1)
    params = [theirs.make_params([torch.zeros(3, 30, 20)]) for _ in range(n)]
    other = np.array([[p[key] for p in params] for key in "ijhw"])
    alike(own, other)


def test_mixes(v2):
    labels = np.array([0, 2, 1, 2])
    x = photo((4, 3, 9, 12), "f")
    theirs = v2.MixUp(num_classes=3)
    theirs.make_params = lambda flat: {"lam": 0.3}
    images, soft = theirs(torch.from_numpy(x), torch.from_numpy(labels))
    close(blend(x, 0.3), images, 2e-7)
    close(blend(np.eye(3, dtype=np.float32)[labels], 0.3), soft, 2e-7)
    theirs = v2.CutMix(num_classes=3)
    for seed in range(20):
        mixed, shares = tr.CutMix(num_classes=3)(x, labels, np.random.default_rng(seed))
        generator = np.random.default_rng(seed)
        lam, r_x, r_y = generator.beta(1, 1), int(generator.integers(12)), int(generator.integers(9))
        half = 0.5 * math.sqrt(1 - lam)
        w, h = int(half * 12), int(half * 9)
        box = max(r_x - w, 0), max(r_y - h, 0), min(r_x + w, 12), min(r_y + h, 9)
        share = 1 - (box[2] - box[0]) * (box[3] - box[1]) / 108
        theirs.make_params = lambda flat, box=box, share=share: {"box": box, "lam_adjusted": share}
        images, soft = theirs(torch.from_numpy(x), torch.from_numpy(labels))
        close(mixed, images, 0)
        close(shares, soft, 2e-7)


def test_draws_of_mixes_are_distributed_as_theirs(v2):
    n, alpha = 1500, 0.4
    one, labels = np.zeros((2, 1, 1, 1), np.float32), np.eye(2, dtype=np.float32)
    own = [tr.MixUp(alpha=alpha)(one, labels, np.random.default_rng(i))[1][0, 0] for i in range(n)]
    boxes = [
        tr.CutMix(alpha=alpha)(np.zeros((2, 1, 30, 40)), labels, np.random.default_rng(i))[1][0, 0] for i in range(n)
    ]
    torch.manual_seed(0)
    theirs, cut = v2.MixUp(alpha=alpha, num_classes=2), v2.CutMix(alpha=alpha, num_classes=2)
    other = [theirs.make_params([])["lam"] for _ in range(n)]
    other_boxes = [cut.make_params([torch.zeros(2, 1, 30, 40)])["lam_adjusted"] for _ in range(n)]
    alike(np.array([own, np.round(boxes, 5)]), np.array([other, np.round(other_boxes, 5)]))


# ---- repr -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("Resize", (256,), {}),
        ("Resize", ((3, 4), "bicubic"), {}),
        ("RandomResize", (256, 480), {}),
        ("CenterCrop", (224,), {}),
        ("RandomCrop", (32, 4), {}),
        ("RandomCrop", ((5, 6),), {"pad_if_needed": True, "fill": (1, 2, 3), "padding_mode": "edge"}),
        ("RandomHorizontalFlip", (), {}),
        ("RandomVerticalFlip", (0.3,), {}),
        ("Pad", (3,), {}),
        ("Pad", ((1, 2, 3, 4), (1, 2, 3)), {}),
        ("RandomRotation", (30,), {}),
        ("RandomRotation", ((-10, 20), "bilinear", True, [1, 2]), {}),
        ("RandomAffine", (10,), {"translate": (0.1, 0.1), "scale": (0.5, 2.0), "shear": 5}),
        ("ColorJitter", (0.1, 0.2, 0.3, 0.4), {}),
        ("ColorJitter", (0.5,), {}),
        ("Grayscale", (3,), {}),
        ("RandomGrayscale", (), {}),
        ("RandomResizedCrop", (224,), {}),
        ("FiveCrop", (3,), {}),
        ("TenCrop", ((3, 4),), {}),
        ("RandomErasing", (), {"value": "random"}),
        ("Normalize", ([0.5], [0.25]), {}),
        ("MixUp", (), {"num_classes": 3}),
        ("CutMix", (), {"alpha": 0.2, "num_classes": 3}),
    ],
)
def test_repr(v2, name, args, options):
    theirs = repr(getattr(v2, name)(*args, **options)).replace(", inplace=False", "")  # which ours have not
    ours = repr(getattr(tr, name)(*args, **options)).replace(", value=random", "")  # which theirs does not show
    assert ours == theirs


def test_repr_of_compositions(v2):
    """As torchvision.transforms shows them, with four spaces; v2 has six."""
    v1 = importlib.import_module("torchvision.transforms")
    crop, gray = (v2.CenterCrop(3), v2.Grayscale()), (tr.CenterCrop(3), tr.Grayscale())
    assert repr(tr.Compose(list(gray))) + "\n" == repr(v1.Compose(crop)) + "\n"
    assert repr(tr.RandomApply(list(gray), 0.3)) == repr(v1.RandomApply(crop, 0.3))
    assert repr(tr.RandomChoice(list(gray))) == repr(v1.RandomChoice(crop)).replace("(p=None)", "")
