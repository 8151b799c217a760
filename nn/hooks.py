"""Functions that are called when a module runs, and when the gradients come back through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, concatenate, is_grad_enabled, permute


class Hooks:
    """The hooks of one module; `call` is its forward with the hooks around it."""

    def __init__(self) -> None:
        self.before: dict[int, Callable] = {}  # (module, args) -> args
        self.after: dict[int, Callable] = {}  # (module, args, output) -> output
        self.entering: dict[int, Callable] = {}  # (module, grad_output) -> grad_output
        self.leaving: dict[int, Callable] = {}  # (module, grad_input, grad_output) -> grad_input

    def call(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Run the module's forward and its hooks."""
        for hook in tuple(self.before.values()):
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        back = _Backward(self, module) if self.entering or self.leaving else None
        out = module.forward(*(args if back is None else back.watch_inputs(args)), **kwargs)
        for hook in tuple(self.after.values()):
            changed = hook(module, args, out)
            out = out if changed is None else changed
        return out if back is None else back.watch_outputs(out)


class _Backward:
    """One call of a module, waiting for the gradients of its outputs, and then for those of its inputs.

    They are watched at aliases of the inputs and outputs, so that only what passes through this call is seen.
    """

    def __init__(self, hooks: Hooks, module: Any):
        self._hooks, self._module = hooks, module
        self._waits = False  # for inputs that need a gradient
        self._inputs: tuple[Tensor | None, ...] = ()
        self._outputs: tuple[Tensor | None, ...] = ()

    def watch_inputs(self, args: tuple) -> tuple:
        """The arguments, those that need a gradient as aliases."""
        self._inputs = (None,) * len(args)
        watched, self._waits = _watch(args, self._inputs_arrived)
        return watched

    def watch_outputs(self, out: Any) -> Any:
        """The output, or the tuple or list of them, as aliases."""
        several = isinstance(out, (tuple, list))
        watched, _ = _watch(tuple(out) if several else (out,), self._outputs_arrived)
        if hasattr(out, "_fields"):
            return type(out)(*watched)
        return type(out)(watched) if several else watched[0]

    def _outputs_arrived(self, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        self._outputs = gradients
        for hook in tuple(self._hooks.entering.values()):
            self._outputs = _replaced(self._outputs, hook(self._module, self._outputs))
        if not self._waits:
            self._inputs_arrived(self._inputs)
        return self._outputs

    def _inputs_arrived(self, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in tuple(self._hooks.leaving.values()):
            gradients = _replaced(gradients, hook(self._module, gradients, self._outputs))
        return gradients


def _replaced(gradients: tuple[Tensor | None, ...], changed: Any) -> tuple[Tensor | None, ...]:
    """What a hook makes of gradients: a tuple of as many, one value where there is one, or None to leave them."""
    if changed is None:
        return gradients
    changed = tuple(changed) if isinstance(changed, (tuple, list)) else (changed,)
    if len(changed) != len(gradients):
        raise ValueError(
            f"a backward hook got {len(gradients)} gradients and returned {len(changed)}: return as many, or None"
        )
    return changed


def _watch(values: tuple, arrived: Callable[[tuple], tuple]) -> tuple[tuple, bool]:
    """Values of which those that need a gradient are aliases, and whether there are any.

    `arrived` gets the gradients of all at once, and returns them, or others. Several tensors go through one long one,
    because only a single node of the graph knows when all that used it has been visited.
    """
    where = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not where or not is_grad_enabled():
        return values, False
    tensors = [values[i] for i in where]
    dtype = np.result_type(*(t.dtype for t in tensors))
    single = len(tensors) == 1
    pack = permute(tensors[0], tuple(range(tensors[0].ndim))) if single else _packed(tensors, dtype)

    def hook(g: Tensor) -> Tensor | None:
        parts = [g] if single else _unpacked(g, tensors)
        given: list[Tensor | None] = [None] * len(values)
        for i, part in zip(where, parts, strict=True):
            given[i] = part
        found = arrived(tuple(given))
        changed = [found[i] for i in where]
        if all(a is b for a, b in zip(changed, parts, strict=True)):
            return None
        wanted = [t.xp.zeros(t.shape, t.dtype) if c is None else c for c, t in zip(changed, tensors, strict=True)]
        return asarray(wanted[0]) if single else _packed([asarray(w) for w in wanted], dtype)

    pack.register_hook(hook)
    aliases = dict(zip(where, [pack] if single else _unpacked(pack, tensors), strict=True))
    return tuple(aliases.get(i, v) for i, v in enumerate(values)), True


def _packed(tensors: list[Tensor], dtype: Any) -> Tensor:
    return concatenate([t.reshape(-1).astype(dtype) for t in tensors])


def _unpacked(pack: Tensor, like: list[Tensor]) -> list[Tensor]:
    parts, end = [], 0
    for t in like:
        begin, end = end, end + t.size
        parts.append(pack[begin:end].reshape(t.shape).astype(t.dtype))
    return parts
