"""Models by name."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from minigrad.nn import Module

Factory = TypeVar("Factory", bound=Callable[..., Module])

_BY_NAME: dict[str, Callable[..., Module]] = {}


def register(factory: Factory) -> Factory:
    """Make a model known by the name of the function that builds it: a decorator."""
    _BY_NAME[factory.__name__] = factory
    return factory


def register_with_bn(factory: Factory) -> Factory:
    """The same, and under its name with `_bn` with batch norm."""
    _BY_NAME[f"{factory.__name__}_bn"] = partial(factory, batch_norm=True)
    return register(factory)


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
    return _look_up(name)(**options)


def options(name: str) -> dict[str, Any]:
    """The options that `get` takes for a model, and their defaults.

    Raises:
        ValueError: there is none of that name; suggests the nearest.

    >>> from minigrad import models
    >>> models.registry.options("resnet20_cifar")
    {'weights': None, 'num_classes': 10, 'shortcut': 'A', 'in_channels': 3, 'width': 1.0}
    """
    factory = _look_up(name)
    found = dict(inspect.signature(factory).parameters)
    if found.pop("options", None):  # those of the class, but for the ones without a default, which the factory gives
        function = factory.func if isinstance(factory, partial) else factory
        found |= dict(inspect.signature(typing.get_type_hints(function)["return"]).parameters) | found
    return {key: p.default for key, p in found.items() if p.default is not p.empty}


def _look_up(name: str) -> Callable[..., Module]:
    if name not in _BY_NAME:
        near = difflib.get_close_matches(name, _BY_NAME, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "models.names() lists them"
        raise ValueError(f"there is no model {name!r}: {hint}")
    return _BY_NAME[name]
