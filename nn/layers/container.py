"""Modules that hold modules, in order or by name.

What they hold are plain attributes, whose names are numbers, "0", "1", ..., where no others are given: so the walk that
every module does finds them, and gives them the names that PyTorch gives them.
"""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import groupby
from typing import Any, Self, overload

from minigrad import Tensor, concatenate
from minigrad.nn.module import Module


class _Container(Module):
    """Modules as attributes."""

    def __len__(self) -> int:
        return len(self._layers())

    def _layers(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def _checked(self, layer: Any) -> Module:
        if not isinstance(layer, Module):
            hint = ", an instance: write the brackets" if isinstance(layer, type) and issubclass(layer, Module) else ""
            hint = ": unpack the list with *" if isinstance(layer, (list, tuple)) else hint
            raise TypeError(f"{type(self).__name__} holds modules{hint}; got {layer!r}")
        return layer

    def _add(self, name: str, layer: Any) -> None:
        if "." in name or name in vars(self) or getattr(type(self), name, None) is not None:
            raise ValueError(f"{name!r} cannot name a module: it has a dot, or is an attribute already; choose another")
        setattr(self, name, self._checked(layer))


class _Ordered(_Container):
    """Modules in order: index, slice, iterate, add and take away."""

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers().values())

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return self._part(dict(list(self._layers().items())[index]))
        return self._layers()[self._name(index)]

    def __setitem__(self, index: int, layer: Module) -> None:
        setattr(self, self._name(index), self._checked(layer))

    def __delitem__(self, index: int | slice) -> None:
        layers = self._layers()
        for name in list(layers)[index] if isinstance(index, slice) else [self._name(index)]:
            del layers[name]
        self._arrange(layers)

    def append(self, layer: Module) -> Self:
        """Add a module at the end."""
        self._add(self._free(), layer)
        return self

    def extend(self, layers: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for layer in [self._checked(layer) for layer in layers]:
            self.append(layer)
        return self

    def insert(self, index: int, layer: Module) -> Self:
        """Put a module before the one at `index`; where the names are numbers, those after it are counted anew."""
        items = list(self._layers().items())
        if not -len(items) <= index <= len(items):
            raise IndexError(f"{type(self).__name__} has {len(items)} modules, there is no place at index {index}")
        items.insert(index, (self._free(), self._checked(layer)))
        self._arrange(dict(items))
        return self

    @overload
    def pop(self, index: int) -> Module: ...

    @overload
    def pop(self, index: slice) -> Self: ...

    def pop(self, index: int | slice) -> Module | Self:
        """Take a module away and return it; of a slice, a container of them."""
        taken = self[index]
        del self[index]
        return taken

    def _part(self, layers: dict[str, Module]) -> Self:
        """A container like this one of these modules: themselves, not copies of them."""
        part = type(self).__new__(type(self))
        vars(part).update(layers)
        part.training = self.training
        return part

    def _arrange(self, layers: dict[str, Module]) -> None:
        """Hold these modules in this order; where the names are numbers, they are counted anew."""
        for name in self._layers():
            delattr(self, name)
        numbers = all(name.isdecimal() for name in layers)
        for i, (name, layer) in enumerate(layers.items()):
            setattr(self, str(i) if numbers else name, layer)

    def _free(self) -> str:
        number = len(self)
        while str(number) in vars(self):  # a slice keeps the names of its modules, so the next one may be taken
            number += 1
        return str(number)

    def _name(self, index: int) -> str:
        names = list(self._layers())
        i = operator.index(index)
        if not -len(names) <= i < len(names):
            raise IndexError(f"{type(self).__name__} has {len(names)} modules, there is none at index {i}")
        return names[i]


def _named(layers: tuple[Any, ...]) -> Mapping[str, Any]:
    """Modules by name: those of one dict, or numbered."""
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        return layers[0]
    return {str(i): layer for i, layer in enumerate(layers)}


class Sequential(_Ordered):
    """Run modules one after the other: the output of each is the input of the next.

    Args:
        *layers: the modules; or one dict from names to modules, in order. Without names they are "0", "1", ...

    An index gives a module, a slice a Sequential of the same modules. The length is how many there are. `append`,
    `extend`, `insert`, `pop`, `del` and `+` change them as in a list; names that are not numbers stay (PyTorch's `del`
    turns them into numbers).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    >>> net(mg.zeros((8, 4))).shape, len(net), net[1], net[:2](mg.zeros((8, 4))).shape
    ((8, 2), 3, Tanh(), (8, 3))
    """

    def __init__(self, *layers: Module | Mapping[str, Module]):
        for name, layer in _named(layers).items():
            self._add(name, layer)

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other) if isinstance(other, Sequential) else NotImplemented

    def __iadd__(self, other: Sequential) -> Self:
        return self.extend(other) if isinstance(other, Sequential) else NotImplemented

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

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def _part(self, layers: dict[str, Module]) -> Self:
        return super()._part({str(i): layer for i, layer in enumerate(layers.values())})

    def __repr__(self) -> str:
        lines, first = [], 0
        for text, same in groupby(map(repr, self)):
            n = len(list(same))
            name, times = (f"{first}-{first + n - 1}", f"{n} x ") if n > 1 else (f"{first}", "")
            lines.append(f"({name}): {times}{text}")
            first += n
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)" if lines else f"{type(self).__name__}()"


class ModuleDict(_Container):
    """A dict of modules with PyTorch's names, which the forward of another module uses; it cannot be called itself.

    Args:
        modules: a dict from names to modules, or pairs of them. The order stays.

    A plain dict as an attribute of a module does the same here.

    Raises:
        ValueError: a name with a dot, or one that is an attribute already, such as "keys" or "training".
        TypeError: what is no module.
        KeyError: a name that is not there.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> paths = nn.ModuleDict({"linear": nn.Linear(2, 1), "tanh": nn.Tanh()})
    >>> paths["tanh"](mg.zeros(2)), "relu" in paths, list(paths), list(paths.state_dict())
    (tensor([0., 0.]), False, ['linear', 'tanh'], ['linear.weight', 'linear.bias'])
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        self.update(modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers())

    def __contains__(self, key: str) -> bool:
        return key in self._layers()

    def __getitem__(self, key: str) -> Module:
        layers = self._layers()
        if key not in layers:
            raise KeyError(f"ModuleDict has no module {key!r}; it has {', '.join(map(repr, layers)) or 'none'}")
        return layers[key]

    def __setitem__(self, key: str, layer: Module) -> None:
        if key in self:
            setattr(self, key, self._checked(layer))
        else:
            self._add(key, layer)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._layers().keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._layers().values()

    def items(self) -> ItemsView[str, Module]:
        """The names with the modules."""
        return self._layers().items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules; one whose name is there already takes the place of that."""
        for key, layer in dict(modules).items():
            self[key] = layer

    def pop(self, key: str) -> Module:
        """Take a module away and return it."""
        layer = self[key]
        delattr(self, key)
        return layer

    def clear(self) -> None:
        """Take all modules away."""
        for key in self._layers():
            delattr(self, key)


class Residual(Module):
    """`activation(body(x) + shortcut(x))`: a residual block, whose body learns what to add to its input.

    Args:
        body: any module.
        shortcut: a module whose output has the shape of the body's; None is the identity.
        activation: a module that comes after the sum; None is none.

    Raises:
        ValueError: the two terms have different shapes; nothing is broadcast.

    Source: K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 3.2,
    equations 1 and 2; the shortcuts A, B and C, section 4.1.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Residual(nn.Tanh())(mg.tensor([100.0]))
    tensor([101.])
    >>> block = nn.Residual(nn.Conv2d(2, 4, 3, 2, 1), shortcut=nn.Conv2d(2, 4, 1, 2), activation=nn.ReLU())
    >>> block(mg.zeros((1, 2, 8, 8))).shape
    (1, 4, 4, 4)
    """

    def __init__(self, body: Module, shortcut: Module | None = None, activation: Module | None = None):
        self.body = body
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The sum, of the shape of the body's output."""
        y, past = self.body(x), x if self.shortcut is None else self.shortcut(x)
        if y.shape != past.shape:
            what = "the input itself, without a shortcut" if self.shortcut is None else "the shortcut's output"
            raise ValueError(
                f"Residual adds two terms of one shape, got {y.shape} from the body and {past.shape}, {what}: give it "
                f"a shortcut that changes the shape likewise, a 1x1 convolution with the body's channels and stride "
                f"(option B of He et al. 2016), or a strided slice with channels of zeros (option A)"
            )
        out = y + past
        return out if self.activation is None else self.activation(out)


class Concat(_Ordered):
    """Run modules side by side on the same input and join their outputs along an axis, as in an Inception block.

    Args:
        *branches: the modules; or one dict from names to modules, in order. Without names they are "0", "1", ...
        dim: the axis along which they are joined, by default that of the channels.

    Raises:
        ValueError: no branches, or outputs that differ in another axis.

    Source: C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 4, figure 2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Concat(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 3, padding=1))(mg.zeros((1, 3, 5, 5))).shape
    (1, 12, 5, 5)
    """

    def __init__(self, *branches: Module | Mapping[str, Module], dim: int = 1):
        self.dim = dim
        for name, branch in _named(branches).items():
            self._add(name, branch)

    def _part(self, layers: dict[str, Module]) -> Self:
        part = super()._part(layers)
        part.dim = self.dim
        return part

    def forward(self, x: Any) -> Tensor:
        """The outputs of all the branches on x, joined."""
        outs = {name: branch(x) for name, branch in self._layers().items()}
        if not outs:
            raise ValueError("Concat has no branches: give it one or more")
        others = {self._without(out.shape) for out in outs.values()}
        if len(others) > 1 or None in others:
            lines = ", ".join(f"{out.shape} from {name!r}" for name, out in outs.items())
            raise ValueError(f"Concat joins outputs that differ in the axis dim={self.dim} only, got {lines}")
        return concatenate(list(outs.values()), self.dim)

    def _without(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The sizes of the other axes; None where there is no axis `dim`."""
        if not -len(shape) <= self.dim < len(shape):
            return None
        axis = self.dim % len(shape)
        return shape[:axis] + shape[axis + 1 :]

    def extra_repr(self) -> str:
        """The axis, where it is not the default."""
        return "" if self.dim == 1 else f"dim={self.dim}"
