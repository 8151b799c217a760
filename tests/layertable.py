"""The table of the simple layers: how to make each, with minigrad's or with PyTorch's classes, and what to call it on.

The tests walk over `LAYERS`: gradients, the stand-in for a GPU, the memory order of images, and parity with PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.nn import Parameter
from tests.optable import distinct

IMAGES = (2, 4, 3, 5)
VOLUMES = (2, 3, 2, 3, 4)


@dataclass(frozen=True)
class Layer:
    name: str  # of the class
    make: Callable  # takes the package with the class, nn or torch.nn
    inputs: Callable[[np.random.Generator], list[np.ndarray]]  # off kinks and ties
    torch: bool = True
    case: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}-{self.case}" if self.case else self.name


LAYERS: list[Layer] = []


def layer(name: str, *shapes: tuple[int, ...], case: str = "", torch: bool = True, args: tuple = (), **options: Any):
    """A row: the class, called with `args` and `options`, takes inputs of these shapes."""

    def inputs(rng: np.random.Generator) -> list[np.ndarray]:
        return [distinct(rng, *shape, low=-4.0, high=4.0) for shape in shapes]

    LAYERS.append(Layer(name, lambda n: getattr(n, name)(*args, **options), inputs, torch, case))


# ---- activations ----------------------------------------------------------------------------------------------------

for _name in ("ReLU", "ReLU6", "LeakyReLU", "PReLU", "Hardtanh", "Hardsigmoid", "Hardswish", "Tanh", "Sigmoid", "SiLU"):
    layer(_name, IMAGES)
for _name in ("LogSigmoid", "Softsign", "Softplus", "ELU", "CELU", "SELU", "GELU", "Mish"):
    layer(_name, IMAGES)
for _name in ("ReLU", "ReLU6", "Hardsigmoid", "Hardswish", "SELU", "SiLU", "Mish"):
    layer(_name, (5,), case="in place", inplace=True)
layer("LeakyReLU", (3, 4), args=(0.3, True), case="slope")
layer("PReLU", IMAGES, args=(4, 0.1), case="channels")
layer("PReLU", (6,), case="vector")
layer("Hardtanh", (3, 4), args=(-2, 0.5, True), case="bounds")
layer("Softplus", (3, 4), args=(2, 5), case="threshold")
layer("Softplus", (3, 4), threshold=float("inf"), case="exact")
layer("ELU", (3, 4), args=(0.7, True), case="alpha")
layer("CELU", (3, 4), args=(0.7, True), case="alpha")
layer("GELU", (3, 4), approximate="tanh", case="tanh")
for _name in ("Softmax", "LogSoftmax"):
    layer(_name, IMAGES, args=(1,))
    layer(_name, (4,), dim=-1, case="vector")
layer("GLU", (3, 4))
layer("GLU", IMAGES, args=(1,), case="channels")
layer("ScaledTanh", IMAGES, torch=False)
layer("Maxout", IMAGES, args=(2,), torch=False)
layer("Maxout", (3, 6), args=(3,), case="features", torch=False)

# ---- dropout --------------------------------------------------------------------------------------------------------

for _name, _shape in (("Dropout", IMAGES), ("Dropout1d", (3, 4, 5)), ("Dropout2d", IMAGES), ("Dropout3d", VOLUMES)):
    layer(_name, _shape)
    layer(_name, _shape, args=(0.3, True), case="in place")
    for _p in (0, 1):
        layer(_name, _shape, args=(_p,), case=f"p={_p}")
layer("DropPath", IMAGES, args=(0.5,), torch=False)
layer("UnscaledDropout", IMAGES, torch=False)

# ---- shapes ---------------------------------------------------------------------------------------------------------

for _kind in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
    for _n, _shape in ((1, (2, 3, 4)), (2, IMAGES), (3, VOLUMES)):
        layer(f"{_kind}{_n}d", _shape, args=(1,))
        layer(f"{_kind}{_n}d", _shape[1:], args=((2, 1, 1, 0, 0, 1)[: 2 * _n],), case="sides")
for _n, _shape in ((1, (2, 3, 4)), (2, IMAGES), (3, VOLUMES)):
    layer(f"ConstantPad{_n}d", _shape, args=(2, 3.5))
    layer(f"ConstantPad{_n}d", _shape[1:], args=((2, 1, 1, 0, 0, 3)[: 2 * _n], -1), case="sides")
layer("Identity", IMAGES, args=(3, "x"), unused=1)
layer("Flatten", IMAGES)
layer("Unflatten", IMAGES, args=(1, (2, 2)))
layer("Unflatten", IMAGES, args=(-1, (-1, 5)), case="free")
layer("PixelShuffle", IMAGES, args=(2,))
layer("PixelShuffle", (9, 2, 2), args=(3,), case="sample")
layer("PixelUnshuffle", (2, 3, 4, 6), args=(2,))
layer("PixelUnshuffle", (2, 1, 2, 3, 3), args=(3,), case="batches")
layer("Upsample", IMAGES, scale_factor=2)
layer("Upsample", IMAGES, args=((4, 7),), case="size")
layer("Upsample", (2, 3, 4), scale_factor=1.6, mode="linear", case="linear")
layer("Upsample", IMAGES, scale_factor=(1.5, 2), mode="bilinear", case="bilinear")
layer("Upsample", IMAGES, size=(5, 3), mode="bilinear", align_corners=True, case="corners")
layer("Upsample", IMAGES, size=4, mode="bicubic", case="bicubic")
layer("Upsample", VOLUMES, scale_factor=1.4, mode="trilinear", recompute_scale_factor=True, case="trilinear")

# ---- with weights ---------------------------------------------------------------------------------------------------

layer("Bilinear", (3, 4), (3, 5), args=(4, 5, 2))
layer("Bilinear", (2, 3, 4), (2, 3, 5), args=(4, 5, 2, False), case="no bias")
layer("LocallyConnected2d", (2, 2, 5, 6), args=(2, 3, (5, 6), (3, 2), 2, 1), torch=False)
layer("LocallyConnected2d", (2, 2, 4, 4), args=(2, 1, 4, 3), bias=False, case="no bias", torch=False)
layer("Subsampling", (2, 3, 5, 6), args=(3,), torch=False)
layer("Subsampling", (2, 3, 5, 6), args=(3, (3, 2), (1, 2)), case="overlapping", torch=False)
layer("RBFOutput", (2, 4), args=([[1, -1, 1, 1], [1, 1, -1, -1]],), torch=False)
layer("RBFOutput", (2, 2), args=([[1, -1], [-1, -1]], True), case="trainable", torch=False)
for _options in ({}, {"padding_idx": -2}):
    LAYERS.append(
        Layer(
            "Embedding",
            lambda n, o=_options: n.Embedding(5, 3, **o),
            lambda rng: [np.array([[0, 3, 1], [3, 3, 4]])],
            case=" ".join(_options),
        )
    )

# ---- containers -----------------------------------------------------------------------------------------------------

for _name, _make, _theirs in (
    ("Sequential", lambda n: n.Sequential(n.PReLU(), n.Conv2d(4, 2, 3)), True),
    ("Residual", lambda n: n.Residual(n.Conv2d(4, 4, 3, padding=1), activation=n.Tanh()), False),
    ("Residual-shortcut", lambda n: n.Residual(n.Conv2d(4, 2, 3, 2, 1), n.Conv2d(4, 2, 1, 2)), False),
    ("Concat", lambda n: n.Concat(n.Conv2d(4, 2, 1), n.Identity(), {"a": n.Tanh()}["a"]), False),
):
    _first, _, _case = _name.partition("-")
    LAYERS.append(Layer(_first, _make, lambda rng: [distinct(rng, *IMAGES)], _theirs, _case))


def as_function(module: Any) -> tuple[Callable, list[np.ndarray]]:
    """The module as a function of its inputs and its parameters, the same in every call; and the parameters' values."""
    places = [(m, name) for m in module.modules() for name, v in vars(m).items() if isinstance(v, Parameter)]
    values = [getattr(m, name).detach().numpy().astype(np.float64) for m, name in places]

    def call(*arrays: mg.Tensor) -> mg.Tensor:
        inputs = arrays[: len(arrays) - len(places)]
        for (m, name), value in zip(places, arrays[len(inputs) :], strict=True):
            vars(m)[name] = value  # not setattr, which wants a Parameter there
        mg.manual_seed(1)
        return module(*inputs)

    return call, values
