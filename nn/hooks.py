"""Functions that are called when a module runs, and when the gradients come back through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad import Tensor, permute


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
        self._inputs: list[Tensor | None] = []
        self._outputs: list[Tensor | None] = []
        self._watched = 0  # inputs that need a gradient
        self._awaited = 0  # those whose gradients are still to come

    def watch_inputs(self, args: tuple) -> tuple:
        """The arguments, those that need a gradient as aliases."""
        self._inputs = [None] * len(args)
        return tuple(self._alias(v, self._input_arrived, i) for i, v in enumerate(args))

    def watch_outputs(self, out: Any) -> Any:
        """The output, or the tuple or list of them, as aliases."""
        several = isinstance(out, (tuple, list))
        outs = list(out) if several else [out]
        self._outputs = [None] * len(outs)
        watched = [self._alias(v, self._output_arrived, i) for i, v in enumerate(outs)]
        return type(out)(watched) if several else watched[0]

    def _alias(self, value: Any, arrived: Callable, i: int) -> Any:
        if not isinstance(value, Tensor) or not value.requires_grad:
            return value
        alias = permute(value, tuple(range(value.ndim)))
        if alias.requires_grad:  # not under no_grad
            alias.register_hook(lambda g: arrived(i, g))
            self._watched += arrived == self._input_arrived
        return alias

    def _output_arrived(self, i: int, g: Tensor) -> Tensor | None:
        if not any(g is not None for g in self._outputs):
            self._inputs, self._awaited = [None] * len(self._inputs), self._watched
        self._outputs[i] = g
        for hook in tuple(self._hooks.entering.values()):
            changed = hook(self._module, tuple(self._outputs))
            if changed is not None:
                self._outputs[i] = changed[i] if isinstance(changed, tuple) else changed
        passed_on = self._outputs[i]
        if not self._watched:
            self._leave()
        return passed_on

    def _input_arrived(self, i: int, g: Tensor) -> Tensor | None:
        self._inputs[i] = g
        self._awaited -= 1
        if not self._awaited:
            self._leave()
        return self._inputs[i]

    def _leave(self) -> None:
        for hook in tuple(self._hooks.leaving.values()):
            changed = hook(self._module, tuple(self._inputs), tuple(self._outputs))
            if changed is None:
                continue
            given = [i for i, g in enumerate(self._inputs) if g is not None]
            if len(given) != 1:
                raise RuntimeError(
                    f"a backward hook of {type(self._module).__name__} returned a gradient for {len(given)} arguments: "
                    f"it can be replaced only where exactly one argument needs one"
                )
            self._inputs[given[0]] = changed[given[0]] if isinstance(changed, tuple) else changed
        self._outputs = [None] * len(self._outputs)  # the graph may be gone through again
