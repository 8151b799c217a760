"""What all optimizers share: groups of parameters, options, state, and the door through which a step writes.

An optimizer is one formula, `_update`, written for one parameter `p`, its gradient `g` and what is remembered of it.
The formula works in place on the raw arrays under the Tensors, because as Tensors every term would be allocated anew
and noted as a change of its own; `step` then notes one change for each parameter, as any write to a Tensor does.

Names, formulas and defaults are PyTorch's. Unlike there, lr = 0 is refused at construction (a schedule may still set
it), a parameter given twice raises also within one group, and `state_dict()` is a snapshot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, no_grad, xp
from minigrad.backend import Array
from minigrad.nn.module import Module
from minigrad.tensor import wrap

Group = dict[str, Any]
Params = Iterable[Tensor] | Iterable[Group]


class Optimizer(ABC):
    """What all optimizers share; a subclass checks its options and defines `_update`, the formula.

    Attributes:
        param_groups: a list of dicts, each with "params" and its own value of every option, such as "lr", which may be
            changed between steps.
        state: what is remembered about each parameter, filled at its first step.
    """

    def __init__(self, params: Params, defaults: Group):
        if isinstance(params, (Tensor, Module)):
            remedy = "model.parameters()" if isinstance(params, Module) else "a list of them, [tensor]"
            raise TypeError(f"params must be the tensors to optimize, got one {type(params).__name__}: pass {remedy}")
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        given: list[Any] = list(params)
        if not given:
            raise ValueError("params is empty: there is nothing to optimize (a generator can be used up only once)")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)

    @abstractmethod
    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """Change `p` in place, given its gradient `g`, which must not be changed."""

    @abstractmethod
    def _check(self, group: Group) -> None:
        """Raise ValueError for options that make no sense."""

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize further tensors: `group` holds "params", and those options that differ from the defaults.

        Raises:
            TypeError: something else than a Tensor, or an unknown option.
            ValueError: no tensors, one that is not a leaf, one that is optimized already, or a bad option.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f'a parameter group is a dict with the key "params", got {type(group).__name__}')
        if unknown := sorted(group.keys() - {"params", *self.defaults}):
            raise TypeError(f"{type(self).__name__} has no option {unknown}; it has {sorted(self.defaults)}")
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if not params:
            raise ValueError("params is empty: there is nothing to optimize (a generator can be used up only once)")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"params[{i}] must be a Tensor, got {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(
                    f"params[{i}], of shape {p.shape}, is not a leaf but was computed, so a step would not last: "
                    f"optimize the tensors it was computed from"
                )
            if id(p) in known:
                raise ValueError(f"params[{i}], of shape {p.shape}, is given twice: one step would move it twice")
            known.add(id(p))
        complete = {**self.defaults, **group, "params": params}
        self._check(complete)
        self.param_groups.append(complete)

    def step(self) -> None:
        """Change every parameter that has a gradient."""
        with no_grad(), np.errstate(all="ignore"):  # a diverging run shows nan, as everywhere in minigrad
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    g = _ordered_like(p.grad._array, p._array)
                    self._update(p._array, -g if group["maximize"] else g, self.state.setdefault(p, {}), group)
                    p.version.bump()

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """A copy of the options and of all that is remembered; parameters appear as numbers, in their order.

        Returns:
            {"state": {number: {name: Tensor or int}}, "param_groups": [{"lr": ..., "params": [number]}]}, as in PyTorch
        """
        numbers = {p: i for i, p in enumerate(self._params())}
        return {
            "state": {
                numbers[p]: {name: v if isinstance(v, int) else wrap(v.copy("K")) for name, v in kept.items()}
                for p, kept in self.state.items()
            },
            "param_groups": [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the optimizer of `state_dict()` was; the parameters themselves are loaded separately.

        Raises:
            ValueError: another optimizer's state, other groups or numbers of parameters, or a value whose shape is not
                its parameter's; nothing has been changed then.
        """
        ours = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in state["param_groups"]]
        if ours != theirs:
            raise ValueError(f"the state has groups of {theirs} parameters, this optimizer has groups of {ours}")
        for saved in state["param_groups"]:
            options = sorted(saved.keys() - {"params"})
            if options != sorted(self.defaults):
                raise ValueError(
                    f"the state is that of another optimizer: its options are {options}, those of "
                    f"{type(self).__name__} are {sorted(self.defaults)}"
                )
        params = self._params()
        order = [i for group in state["param_groups"] for i in group["params"]]
        place = dict(zip(order, params, strict=True))
        new: dict[Tensor, dict[str, Any]] = {}
        for number, kept in state["state"].items():
            p = place[int(number)]
            new[p] = {name: v if isinstance(v, int) else _loaded(v, p, name) for name, v in kept.items()}
        self.state = new
        for group, saved in zip(self.param_groups, state["param_groups"], strict=True):
            group.update({name: v for name, v in saved.items() if name != "params"})

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [
            f"{len(group['params'])} tensors, " + ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            for group in self.param_groups
        ]
        return f"{type(self).__name__}({'; '.join(groups)})"


def _ordered_like(x: Array, like: Array) -> Array:
    """`x` in the memory order of `like`: arithmetic on arrays of two different orders is many times as slow."""
    if x.strides == like.strides:
        return x
    out = xp(like).empty_like(like)
    out[...] = x
    return out


def _loaded(value: Any, p: Tensor, name: str) -> Array:
    """A copy of a remembered array, on the device and in the memory order of its parameter."""
    value = asarray(value, device=p.device)
    if value.shape != p.shape:
        raise ValueError(f"the state's {name} has shape {value.shape}, its parameter has shape {p.shape}")
    out = p.xp.empty_like(p._array, dtype=value.dtype)
    out[...] = value._array
    return out


def at_least_zero(group: Group, *names: str) -> None:
    """Raise ValueError for an option below 0 (or nan)."""
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"{name} must be at least 0, got {group[name]}")


def positive_lr(group: Group) -> None:
    """Raise ValueError for a step size that is not positive."""
    if not group["lr"] > 0:
        raise ValueError(f"lr must be positive, got {group['lr']}; maximize=True goes up instead of down")
