"""Modules that hold modules in order.

Their layers are plain attributes whose names are numbers, "0", "1", ...: so the walk that every module does finds
them, and gives them the names that PyTorch gives them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any, Self, overload

from minigrad.nn.module import Module


class _Ordered(Module):
    """Modules in order: index, slice, iterate, append."""

    def __len__(self) -> int:
        return len(self._layers())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers().values())

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module | Self:
        if not isinstance(index, slice):
            return self._layers()[self._name(index)]
        part = type(self).__new__(type(self))  # the layers themselves, not copies of them
        vars(part).update(list(self._layers().items())[index])
        part.training = self.training
        return part

    def __setitem__(self, index: int, layer: Module) -> None:
        setattr(self, self._name(index), _module(layer, type(self).__name__))

    def append(self, layer: Module) -> Self:
        """Add a module at the end."""
        number = len(self)
        while str(number) in vars(self):  # a slice keeps the names of its modules, so the next one may be taken
            number += 1
        self._add(str(number), layer)
        return self

    def _add(self, name: str, layer: Module) -> None:
        if "." in name or name in vars(self) or getattr(type(self), name, None) is not None:
            raise ValueError(f"{name!r} cannot name a module: it has a dot, or is an attribute already; choose another")
        setattr(self, name, _module(layer, type(self).__name__))

    def _layers(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def _name(self, index: int) -> str:
        names = list(self._layers())
        i = operator.index(index)
        if not -len(names) <= i < len(names):
            raise IndexError(f"{type(self).__name__} has {len(names)} modules, there is none at index {i}")
        return names[i]


class Sequential(_Ordered):
    """Run modules one after the other: the output of each is the input of the next.

    Args:
        *layers: the modules; or one dict from names to modules, in order. Without names they are "0", "1", ...

    An index gives a module, a slice a Sequential of the same modules. The length is how many there are.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    >>> net(mg.zeros((8, 4))).shape, len(net), net[1], net[:2](mg.zeros((8, 4))).shape
    ((8, 2), 3, Tanh(), (8, 3))
    """

    def __init__(self, *layers: Module | Mapping[str, Module]):
        named: Mapping[str, Any]
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = layers[0]
        else:
            named = {str(i): layer for i, layer in enumerate(layers)}
        for name, layer in named.items():
            self._add(name, layer)

    def forward(self, x: Any) -> Any:
        """The input through all the modules."""
        for layer in self:
            x = layer(x)
        return x


class ModuleList(_Ordered):
    """A list of modules with PyTorch's names, which the forward of another module uses; it cannot be called itself.

    A plain list as an attribute of a module does the same here.

    >>> from minigrad import nn
    >>> blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 1)])
    >>> [block.out_features for block in blocks], list(blocks.state_dict())
    ([2, 1], ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Any = ()):
        for layer in modules:
            self.append(layer)


def _module(layer: Any, where: str) -> Module:
    if not isinstance(layer, Module):
        hint = ", an instance: write the brackets" if isinstance(layer, type) and issubclass(layer, Module) else ""
        raise TypeError(f"{where} holds modules{hint}; got {layer!r}")
    return layer
