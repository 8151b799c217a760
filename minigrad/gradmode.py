"""What holds for the calls of ops in one thread: whether they are recorded, and who is watching them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigrad.autocast import Casts
    from minigrad.contract import Op
    from minigrad.engine import Node
    from minigrad.tensor import Tensor


class Watcher:
    """Is shown every call of an op with a Tensor, and every step back, while it is in `mode.watchers`."""

    def called(self, op: Op, values: tuple, raw: list, result: Tensor) -> None:
        """An op was called with `values`, `raw` as arrays; `result` has no node if the call was not recorded."""

    def arrived(self, node: Node, g: Any) -> None:
        """The gradient of the output of a node is complete; its hooks have not run yet."""

    def entered(self, node: Node, g: Any) -> None:
        """The hooks of a node have run, and its rules are about to."""

    def returned(self, node: Node, position: int, given: list, gx: Any) -> None:
        """The rule for one argument returned `gx`; `given` starts with the gradient and what the node had saved."""

    def left(self) -> None:
        """The rules of that node have run."""


class _Mode(threading.local):
    recording = True
    watchers: tuple[Watcher, ...] = ()
    autocast: Casts | None = None


mode = _Mode()


class Scope:
    """Base of what is switched on for a while: a context manager and decorator that holds in its own thread only.

    A subclass names the attribute of `mode` that it sets, and `value` says to what.
    """

    attribute: str

    def __new__(cls, function: Callable | None = None, **options: Any) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls(**options)(function)  # @no_grad without parentheses

    def value(self) -> Any:
        """What the attribute is inside."""
        raise NotImplementedError

    def __enter__(self) -> None:
        before = getattr(mode, self.attribute)
        self._before = [*getattr(self, "_before", ()), before]  # a list: one object may be entered twice
        setattr(mode, self.attribute, self.value())

    def __exit__(self, *_: object) -> None:
        setattr(mode, self.attribute, self._before.pop())

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{type(self).__name__} cannot decorate {function.__name__}, whose body runs after the call returns; "
                f"use `with {type(self).__name__}():` inside it"
            )

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            before = getattr(mode, self.attribute)  # not `with self`, which threads that call at once would share
            setattr(mode, self.attribute, self.value())
            try:
                return function(*args, **kwargs)
            finally:
                setattr(mode, self.attribute, before)

        return inside


class no_grad(Scope):
    """Compute without recording, in this thread: `with no_grad():` or `@no_grad()`.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    attribute = "recording"

    def value(self) -> bool:
        """False: nothing is recorded."""
        return False


class enable_grad(Scope):
    """Record again inside a `no_grad` region, in this thread: `with enable_grad():` or `@enable_grad()`."""

    attribute = "recording"

    def value(self) -> bool:
        """True: ops are recorded."""
        return True


def is_grad_enabled() -> bool:
    """Whether ops called by this thread are recorded."""
    return mode.recording
