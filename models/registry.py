"""Models by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from minigrad.models.alexnet import alexnet, alexnet_2012
from minigrad.models.densenet import densenet121, densenet161, densenet169, densenet201
from minigrad.models.googlenet import googlenet, googlenet_2014
from minigrad.models.lecun_1989 import lecun1989
from minigrad.models.lenet import lenet5
from minigrad.models.lenet_1998 import lenet5_1998
from minigrad.models.nin import nin
from minigrad.models.resnet import (
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from minigrad.models.resnet_cifar import (
    resnet20_cifar,
    resnet32_cifar,
    resnet44_cifar,
    resnet56_cifar,
    resnet110_cifar,
    resnet1202_cifar,
)
from minigrad.models.resnet_v2 import resnet18_v2, resnet34_v2, resnet50_v2, resnet101_v2, resnet152_v2
from minigrad.models.vgg import vgg11, vgg11_lrn, vgg13, vgg16, vgg16_c, vgg19
from minigrad.nn import Module

Factory = Callable[..., Module]


def _with_batch_norm(factory: Factory) -> Factory:
    def build(**options: Any) -> Module:
        return factory(**{**options, "batch_norm": True})

    build.__name__, build.__doc__ = f"{factory.__name__}_bn", f"{factory.__doc__} With batch norm."
    return build


_PLAIN: tuple[Factory, ...] = (
    lenet5,
    lenet5_1998,
    lecun1989,
    alexnet,
    alexnet_2012,
    vgg11,
    vgg13,
    vgg16,
    vgg19,
    vgg11_lrn,
    vgg16_c,
    nin,
    googlenet,
    googlenet_2014,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet50_v1,
    plain18,
    plain34,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
    resnet18_v2,
    resnet34_v2,
    resnet50_v2,
    resnet101_v2,
    resnet152_v2,
    resnet20_cifar,
    resnet32_cifar,
    resnet44_cifar,
    resnet56_cifar,
    resnet110_cifar,
    resnet1202_cifar,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
_NORMED = tuple(map(_with_batch_norm, (vgg11, vgg13, vgg16, vgg19, vgg16_c)))
_BY_NAME = {factory.__name__: factory for factory in (*_PLAIN, *_NORMED)}


def names() -> list[str]:
    """The names of all models, for `get`; those of torchvision where it has the model.

    >>> from minigrad import models
    >>> [name for name in models.names() if name.startswith("vgg16")]
    ['vgg16', 'vgg16_bn', 'vgg16_c', 'vgg16_c_bn']
    """
    return sorted(_BY_NAME)


def get(name: str, **options: Any) -> Module:
    """A model by its name: `get("resnet18", num_classes=10)` is `resnet18(num_classes=10)`.

    Raises:
        ValueError: there is none of that name; suggests the nearest.

    >>> from minigrad import models
    >>> models.get("lenet5", num_classes=3).classifier[-1].out_features
    3
    """
    if name not in _BY_NAME:
        near = difflib.get_close_matches(name, _BY_NAME, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "models.names() lists them"
        raise ValueError(f"there is no model {name!r}: {hint}")
    return _BY_NAME[name](**options)
