"""Module: a network is a tree of plain Python objects, found by walking their attributes.

Nothing is registered. A module's parameters are the `Parameter`s among its attributes, also inside lists, tuples and
dicts, and those of the modules found there in the same way; so are its `Buffer`s. The attribute names make the dotted
names of PyTorch's state dicts, as in "features.0.weight".
"""

from __future__ import annotations

import reprlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from minigrad import Tensor, asarray, no_grad
from minigrad.backend import DEVICES, device_of, shape_of
from minigrad.nn.hooks import Hooks
from minigrad.nn.parameter import Buffer, Owned, Parameter, Uninitialized
from minigrad.tensor import RemovableHandle
from minigrad.threads import one_blas_thread

T = TypeVar("T")
Kind = TypeVar("Kind", bound=Owned)


class Unmatched(NamedTuple):
    """What `load_state_dict(strict=False)` left alone."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class _Calls(threading.local):
    """The call of a module that is under way in this thread."""

    root: Module | None = None  # the outermost module
    explained: Exception | None = None  # the error that already has its note

    def __init__(self) -> None:
        self.steps: deque = deque(maxlen=16)  # the last (module, shape in, shape out); shapes keep no array alive


_calls = _Calls()


def _found(name: str, value: Any) -> Iterator[tuple[str, Owned | Module]]:
    """The parameters, buffers and modules in the value of an attribute, also inside lists, tuples and dicts."""
    if isinstance(value, (Owned, Module)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _found(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _found(f"{name}.{key}", item)


_UNKNOWN_SIZE = "has no size yet: run a batch through the model first, or give the layer its number of inputs"


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

    Parameters, buffers and modules are found among the attributes, private ones included, and inside lists, tuples and
    dicts of them (PyTorch needs `ModuleList` there). One that is reachable twice is shared: `parameters()` yields it
    once, the state dict has it under both names.

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

    # On the class, so that a subclass need not call super().__init__().
    training: bool = True
    may_be_missing: tuple[str, ...] = ()  # what older state dicts lack: a module of it loads without
    _hooks: Hooks | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self).get(name)
        if isinstance(held, Parameter) and not isinstance(value, Parameter) and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter, and a plain {type(value).__name__} in its place would "
                f"not be learned: assign an nn.Parameter, or write the values with .copy_(values) under no_grad()"
            )
        if isinstance(held, Module) and not isinstance(value, Module) and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a {type(held).__name__}, and a {type(value).__name__} in its place "
                f"would take its parameters away: assign a Module, or None"
            )
        if isinstance(held, Buffer) and isinstance(value, Tensor) and not isinstance(value, Owned):
            value = Buffer(value.detach(), held.persistent)
        super().__setattr__(name, value)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """The same as `self.name = Buffer(tensor, persistent)`, for those who know it from PyTorch."""
        setattr(self, name, None if tensor is None else Buffer(tensor, persistent))

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
            with np.errstate(all="ignore"), one_blas_thread():  # once, outermost: each costs a microsecond and more
                return self._forward(args, kwargs)
        finally:
            _calls.root = _calls.explained = None
            _calls.steps.clear()

    def _forward(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        try:
            out = self.forward(*args, **kwargs) if self._hooks is None else self._hooks.call(self, args, kwargs)
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

    # ---- hooks ------------------------------------------------------------------------------------------------------

    def _hooked(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    def register_forward_pre_hook(self, hook: Callable[[Any, tuple], Any]) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns, a tuple or one value, replaces the arguments.

        Returns:
            A handle: `.remove()` takes the hook away, and so does leaving a `with` block over it.
        """
        return RemovableHandle(self._hooked().before, hook)

    def register_forward_hook(self, hook: Callable[[Any, tuple, Any], Any]) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; what it returns replaces the output.

        >>> import minigrad as mg
        >>> from minigrad import nn
        >>> layer, seen = nn.Linear(3, 2), []
        >>> with layer.register_forward_hook(lambda module, args, out: seen.append(out.shape)):
        ...     _ = layer(mg.zeros((4, 3)))
        >>> _ = layer(mg.zeros((5, 3)))
        >>> seen
        [(4, 2)]
        """
        return RemovableHandle(self._hooked().after, hook)

    def register_full_backward_pre_hook(self, hook: Callable[[Any, tuple], Any]) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradient of the output has arrived; what it returns replaces it.

        `grad_output` is a tuple with a gradient for each output, None where there is none.
        """
        return RemovableHandle(self._hooked().entering, hook)

    def register_full_backward_hook(self, hook: Callable[[Any, tuple, tuple], Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are there as well.

        Both are tuples with a Tensor for each positional argument and each output, None for those that need no gradient
        and zeros for those that nothing used. What the hook returns replaces `grad_input`. A module whose arguments
        need no gradient, as the first of a network, has only None there, and is called when that of its output arrives.

        Raises:
            ValueError: (while going backward) a replacement of another number of gradients.
        """
        return RemovableHandle(self._hooked().leaving, hook)

    # ---- walking ----------------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Owned | Module]]:
        for name, value in vars(self).items():
            yield from _found(name, value)

    def _modules(self, prefix: str, above: tuple[Module, ...] = ()) -> Iterator[tuple[str, Module]]:
        """This module and those below, a shared one under every name; not round and round where they form a cycle."""
        yield prefix, self
        above = (*above, self)
        for name, value in self._members():
            if isinstance(value, Module) and not any(value is module for module in above):
                yield from value._modules(_join(prefix, name), above)

    def _owned(self, kind: type[Kind], prefix: str) -> Iterator[tuple[str, Kind, Module]]:
        """The parameters or buffers here and below, a shared one under every name, each with the module it is in."""
        for path, module in self._modules(prefix):
            for name, value in module._members():
                if isinstance(value, kind):
                    yield _join(path, name), value, module

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
        return _once((name, value) for name, value, _ in self._owned(Parameter, prefix))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """All buffers with their dotted names, each once.

        >>> from minigrad import nn
        >>> [(name, b.shape) for name, b in nn.BatchNorm1d(3).named_buffers()]
        [('running_mean', (3,)), ('running_var', (3,)), ('num_batches_tracked', ())]
        """
        return _once((name, value) for name, value, _ in self._owned(Buffer, prefix))

    def buffers(self) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def get_submodule(self, name: str) -> Module:
        """The module with a dotted name, as `named_modules` gives it; "" is this one.

        Raises:
            AttributeError: there is none; says how far the name leads.

        >>> from minigrad import nn
        >>> nn.Sequential(nn.Sequential(nn.Tanh())).get_submodule("0.0")
        Tanh()
        """
        known = dict(self._modules(""))
        if name not in known:
            parts = name.split(".")
            reached = next(".".join(parts[:i]) for i in range(len(parts), -1, -1) if ".".join(parts[:i]) in known)
            there = [child for child, _ in known[reached].named_children()]
            raise AttributeError(
                f"{type(self).__name__} has no module {name!r}: {reached or 'the model itself'!r} has {there}"
            )
        return known[name]

    # ---- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of every parameter and persistent buffer, by its dotted name, in PyTorch's order.

        Later training does not change it (PyTorch shares the memory).

        Raises:
            ValueError: two different parameters have one name, as in a dict with the keys 0 and "0"; or one has no size
                yet.

        >>> from minigrad import nn
        >>> list(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1, bias=False)).state_dict())
        ['0.weight', '0.bias', '2.weight']
        """
        targets = self._targets()
        if unknown := [name for name, value in targets.items() if isinstance(value, Uninitialized)]:
            raise ValueError(f"{', '.join(unknown)} of {type(self).__name__} {_UNKNOWN_SIZE}")
        return {name: value.detach().copy() for name, value in targets.items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Unmatched:
        """Copy values into the parameters and buffers of the same names, converted to their dtypes and devices.

        Everything has to fit, and nothing has been changed when it raises.

        Args:
            state: a Tensor, array or nested list for each name in `state_dict()`.
            strict: False leaves alone what is missing or unexpected, and returns both; shapes must fit all the same.

        Returns:
            (missing_keys, unexpected_keys), two lists, both empty when all was loaded.

        Raises:
            ValueError: lists all names that are missing, unexpected, or whose shape differs.

        >>> from minigrad import nn
        >>> layer = nn.Linear(2, 1)
        >>> layer.load_state_dict({"weight": [[1.0, 2.0]], "bias": [3.0]})
        Unmatched(missing_keys=[], unexpected_keys=[])
        >>> layer.bias.item()
        3.0
        """
        targets = self._targets()
        optional = {name for name, _, module in self._owned(Owned, "") if name.split(".")[-1] in module.may_be_missing}
        missing = [name for name in targets if name not in state and name not in optional]
        unexpected = [name for name in state if name not in targets]
        found = {name: value for name, value in targets.items() if name in state}
        problems = [f"missing: {name} {targets[name].shape}" for name in missing if strict]
        problems += [f"unexpected: {name} {shape_of(state[name])}" for name in unexpected if strict]
        for name, target in found.items():
            if isinstance(target, Uninitialized):
                problems.append(f"without a size: {name} {_UNKNOWN_SIZE}")
            elif shape_of(state[name]) != target.shape:
                problems.append(f"wrong shape: {name} is {target.shape}, the state has {shape_of(state[name])}")
        if problems:
            lines = "\n  ".join(problems)
            raise ValueError(f"the state does not fit {type(self).__name__}; nothing was loaded:\n  {lines}")
        values = {name: asarray(state[name], target.dtype, target.device) for name, target in found.items()}
        ours = {id(target._array) for target in found.values()}  # written one by one: two may be exchanged
        values = {name: v.copy() if id(v._array) in ours else v for name, v in values.items()}
        with no_grad():
            for name, target in found.items():
                target.copy_(values[name])
        return Unmatched(missing, unexpected)

    def _targets(self) -> dict[str, Owned]:
        """What the state dict holds: for each module its parameters, then its buffers, then the modules in it."""
        targets: dict[str, Owned] = {}
        for path, module in self._modules(""):
            members = [(name, value) for name, value in module._members() if isinstance(value, Owned)]
            members.sort(key=lambda pair: isinstance(pair[1], Buffer))
            for name, value in members:
                if isinstance(value, Buffer) and not value.persistent:
                    continue
                if targets.setdefault(_join(path, name), value) is not value:
                    whole = _join(path, name)
                    raise ValueError(f"two parameters of {type(self).__name__} have the name {whole!r}: rename one")
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
        """Move parameters and buffers to a device ("cpu", "cuda"), or convert the floating ones to a floating dtype.

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
        for _, value in _once((name, value) for name, value, _ in self._owned(Owned, "")):
            if is_device or value.dtype.kind == "f":
                value.move(target)
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
