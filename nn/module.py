"""Parameter and Module: a network is a tree of plain Python objects, found by walking their attributes.

Nothing is registered. A module's parameters are the `Parameter`s among its attributes, also inside lists, tuples and
dicts, and those of the modules found there in the same way; the attribute names make the dotted names of PyTorch's
state dicts, as in "features.0.weight".
"""

from __future__ import annotations

import reprlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import numpy as np

from minigrad import Tensor, asarray, no_grad
from minigrad.backend import DEVICES, device_of, shape_of

T = TypeVar("T")


class Parameter(Tensor):
    """A tensor that a module learns: found by `Module.parameters()`, and requiring a gradient unless told otherwise.

    Args:
        data: the initial values, **copied** (PyTorch shares them): an array, a Tensor, or a nested list of numbers.
        requires_grad: False freezes it; it stays in the state dict.

    What is computed from a Parameter is a plain Tensor.

    >>> w = Parameter([1.0, 2.0])
    >>> w, w * 2
    (Parameter containing:
    tensor([1., 2.], requires_grad=True), tensor([2., 4.], op=multiply))
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def move(self, target: Any) -> None:
        """Change the device or the dtype and stay the same object, since an optimizer may hold it."""
        moved = self.detach().to(target)._array
        if moved is self._array:
            return
        wanted = self.requires_grad
        if self.node is not None:
            self.node.target = None  # a graph from before has a gradient of the old dtype or device: not for this one
        self._array = moved
        self.version.bump()  # a graph that saved the old array says so, instead of computing from the new one
        self.requires_grad_(False).requires_grad_(wanted)  # a new leaf: the node knows the dtype of its gradient
        if self.grad is not None:
            self.grad = self.grad.detach().to(target)


class _Calls(threading.local):
    """The call of a module that is under way in this thread."""

    root: Module | None = None  # the outermost module
    explained: Exception | None = None  # the error that already has its note

    def __init__(self) -> None:
        self.steps: deque = deque(maxlen=16)  # the last (module, shape in, shape out); shapes keep no array alive


_calls = _Calls()


def _found(name: str, value: Any) -> Iterator[tuple[str, Parameter | Module]]:
    """The parameters and modules in the value of an attribute, also inside lists, tuples and dicts."""
    if isinstance(value, (Parameter, Module)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _found(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _found(f"{name}.{key}", item)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _once(pairs: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Each object the first time it comes."""
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


class Module:
    """The base of all layers and networks: subclass it, make parameters and layers in `__init__`, define `forward`.

    Parameters and modules are found among the attributes, private ones included, and inside lists, tuples and dicts of
    them (PyTorch needs `ModuleList` there). One that is reachable twice is shared: `parameters()` yields it once, the
    state dict has it under both names.

    Calling the module runs `forward`. NumPy and CuPy arrays among the arguments become Tensors that share their
    memory; numeric warnings are off; an error gets a note that says in which layer it happened and what came in.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.factor = nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> scale = Scale()
    >>> scale(mg.ones(3))
    tensor([2., 2., 2.], op=multiply)
    >>> list(scale.state_dict())
    ['factor']
    """

    training: bool = True  # on the class, so that a subclass need not call super().__init__()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass that is called defines it."""
        raise TypeError(
            f"{type(self).__name__} has no forward: define forward(self, x) in the class; calling the module runs it"
        )

    # ---- calling ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple(_as_tensor(v) for v in args)
        kwargs = {name: _as_tensor(v) for name, v in kwargs.items()}
        if _calls.root is not None:
            return self._forward(args, kwargs)
        _calls.root = self
        try:
            with np.errstate(all="ignore"):  # once, outermost: it costs a microsecond
                return self._forward(args, kwargs)
        finally:
            _calls.root = _calls.explained = None
            _calls.steps.clear()

    def _forward(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        try:
            out = self.forward(*args, **kwargs)
        except Exception as error:
            if _calls.explained is not error:  # the innermost module speaks, those around it keep silent
                _calls.explained = error
                error.add_note(self._where(args, kwargs))
                if isinstance(error, ValueError) and (way := _way()):
                    error.add_note(way)
            raise
        if args and isinstance(args[0], Tensor) and isinstance(out, Tensor):
            _calls.steps.append((self, args[0].shape, out.shape))
        return out

    def _where(self, args: tuple, kwargs: dict[str, Any]) -> str:
        """`in features.3: Conv2d(...), input (8, 3, 9, 9)`, the path seen from the outermost module that was called."""
        path = _path(self)
        what = type(self).__name__ if next(self.children(), None) is not None else repr(self)
        shapes = [str(v.shape) for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        return f"in {path}{': ' if path else ''}{what}" + (f", input {', '.join(shapes)}" if shapes else "")

    # ---- walking ----------------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Parameter | Module]]:
        for name, value in vars(self).items():
            yield from _found(name, value)

    def _modules(self, prefix: str, above: tuple[Module, ...] = ()) -> Iterator[tuple[str, Module]]:
        """This module and those below, a shared one under every name; not round and round where they form a cycle."""
        yield prefix, self
        above = (*above, self)
        for name, value in self._members():
            if isinstance(value, Module) and not any(value is module for module in above):
                yield from value._modules(_join(prefix, name), above)

    def _parameters(self, prefix: str) -> Iterator[tuple[str, Parameter]]:
        """The parameters of this module and those below, a shared one under every name."""
        for path, module in self._modules(prefix):
            for name, value in module._members():
                if isinstance(value, Parameter):
                    yield _join(path, name), value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under the name `prefix`) and all modules below it with their dotted names, each once."""
        return _once(self._modules(prefix))

    def modules(self) -> Iterator[Module]:
        """This module and all modules below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes with their names, each once."""
        return _once((name, value) for name, value in self._members() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The modules among the attributes, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, each once: a module's own first, then those of the modules in it.

        >>> from minigrad import nn
        >>> [(name, p.shape) for name, p in nn.Linear(3, 2).named_parameters()]
        [('weight', (2, 3)), ('bias', (2,))]
        """
        return _once(self._parameters(prefix))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters())

    # ---- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of every parameter, by its dotted name; later training does not change it (PyTorch shares the memory).

        Raises:
            ValueError: two different parameters have one name, as in a dict with the keys 0 and "0".

        >>> from minigrad import nn
        >>> list(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1, bias=False)).state_dict())
        ['0.weight', '0.bias', '2.weight']
        """
        return {name: parameter.detach().copy() for name, parameter in self._targets().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy values into the parameters of the same names, converted to their dtypes and devices.

        Loading is strict: everything has to fit, and nothing has been changed when it raises.

        Args:
            state: a Tensor, array or nested list for each name in `state_dict()`.

        Raises:
            ValueError: lists all names that are missing, unexpected, or whose shape differs.

        >>> from minigrad import nn
        >>> layer = nn.Linear(2, 1)
        >>> layer.load_state_dict({"weight": [[1.0, 2.0]], "bias": [3.0]})
        >>> layer.bias.item()
        3.0
        """
        targets = self._targets()
        problems = [f"missing: {name} {p.shape}" for name, p in targets.items() if name not in state]
        problems += [f"unexpected: {name} {shape_of(v)}" for name, v in state.items() if name not in targets]
        problems += [
            f"wrong shape: {name} is {p.shape}, the state has {shape_of(state[name])}"
            for name, p in targets.items()
            if name in state and shape_of(state[name]) != p.shape
        ]
        if problems:
            lines = "\n  ".join(problems)
            raise ValueError(f"the state does not fit {type(self).__name__}; nothing was loaded:\n  {lines}")
        values = {name: asarray(state[name], p.dtype, p.device) for name, p in targets.items()}
        with no_grad():
            for name, parameter in targets.items():
                parameter.copy_(values[name])

    def _targets(self) -> dict[str, Parameter]:
        targets: dict[str, Parameter] = {}
        for name, parameter in self._parameters(""):
            if targets.setdefault(name, parameter) is not parameter:
                raise ValueError(f"two parameters of {type(self).__name__} have the name {name!r}: rename one")
        return targets

    # ---- modes, gradients, devices ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and below: layers that behave differently while training look at it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """The same as `train(False)`; gradients are recorded as before, `no_grad` is what stops that."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, target: Any) -> Self:
        """Move all parameters to a device ("cpu", "cuda"), or convert the floating ones to a floating dtype.

        They stay the same objects, so an optimizer that holds them keeps working; its own state does not move, so move
        the model before the first step. Gradients move along.

        Raises:
            TypeError: a dtype that is not floating.
            RuntimeError: the device is not there, with the reason.

        >>> import numpy as np
        >>> from minigrad import nn
        >>> nn.Linear(2, 1).to(np.float64).weight.dtype
        dtype('float64')
        """
        is_device = isinstance(target, str) and target.startswith(DEVICES)
        if not is_device and np.dtype(target).kind != "f":
            raise TypeError(f"a module can be converted to a floating dtype only, got {np.dtype(target)}")
        for parameter in self.parameters():
            if is_device or parameter.dtype.kind == "f":
                parameter.move(target)
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below, each once, and on this one last.

        >>> from minigrad import nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
        >>> _ = net.apply(lambda module: print(type(module).__name__))
        Linear
        Tanh
        Sequential
        """
        this, *below = self.modules()
        for module in (*below, this):
            function(module)
        return self

    # ---- as text ----------------------------------------------------------------------------------------------------

    def explain_size(self, shape: tuple[int, ...]) -> str:
        """The arithmetic that leads from an input of this shape to the size of the output, for error messages."""
        return ""

    def extra_repr(self) -> str:
        """The arguments that `repr` shows."""
        return ""

    @reprlib.recursive_repr("...")
    def __repr__(self) -> str:
        lines = self.extra_repr().splitlines()
        children = [(name, value) for name, value in self._members() if isinstance(value, Module)]
        if not children:
            return f"{type(self).__name__}({', '.join(lines)})"
        lines += [f"({name}): {child!r}" for name, child in children]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _as_tensor(value: Any) -> Any:
    """Arrays as Tensors that share their memory; anything else as it is."""
    return asarray(value) if not isinstance(value, Tensor) and device_of(value) is not None else value


def _path(module: Module) -> str:
    """The dotted name of a module, seen from the outermost module that was called; empty if no name leads there."""
    pairs = _calls.root.named_modules() if _calls.root is not None else iter(())
    return next((name for name, candidate in pairs if candidate is module), "")


def _way() -> str:
    """The layers that ran before an error, with their shapes and how these come about."""
    lines = []
    for module, given, made in _calls.steps:
        if next(module.children(), None) is None:
            why = module.explain_size(given)
            path = _path(module)
            layer = f"{path}{': ' if path else ''}{type(module).__name__}"
            lines.append(f"  {layer} {given} -> {made}{', ' if why else ''}{why}")
    return "\n".join(["the shapes on the way:", *lines]) if lines else ""
