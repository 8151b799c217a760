"""What all optimizers share: groups of parameters, options, state, and the door through which a step writes.

An optimizer is one formula, written for one parameter `p`, its gradient `g` and what is remembered of it; `_update`
gives it these and the options. The formula works in place on the raw arrays under the Tensors, because as Tensors every
term would be allocated anew and noted as a change of its own; `step` then notes one change for each parameter, as any
write to a Tensor does. `update` (in update.py) makes the formula run on arrays of either device.

Names, formulas and defaults are PyTorch's. Unlike there, lr = 0 is refused at construction (a schedule may still set
it), a parameter given twice raises also within one group, `state_dict()` is a snapshot, what is remembered of a float16
parameter is float32, in which the formula is computed, and it follows a parameter that is moved between steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, checks, enable_grad, no_grad, xp
from minigrad.backend import Array
from minigrad.nn.module import Module
from minigrad.tensor import wrap
from minigrad.threads import one_blas_thread

Group = dict[str, Any]
# What the first schedule of an optimizer leaves in each group, as in PyTorch: the learning rate that it found. The
# second schedule of a composition finds what the first one has written, and must not take that for the initial value.
INITIAL = "initial_lr"
# Options of PyTorch's optimizers that say how, and not what, they compute: a state from there has them.
HOW = ("foreach", "fused", "capturable", "differentiable")
Params = Iterable[Tensor] | Iterable[Group]


class Optimizer(ABC):
    """What all optimizers share; a subclass checks its options and defines `_update`, the formula.

    Attributes:
        param_groups: a list of dicts, each with "params" and its own value of every option, such as "lr", which may be
            changed between steps.
        state: what is remembered about each parameter, filled at its first step.
    """

    not_in_pytorch: tuple[str, ...] = ()  # options that a state from there lacks

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
        if unknown := sorted(group.keys() - {"params", INITIAL, *self.defaults}):
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

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        Args:
            closure: computes the loss and, by `backward()`, the gradients; called first, with gradients enabled.

        Returns:
            What the closure returned; None without one.

        Raises:
            ValueError: a gradient whose shape or device is not its parameter's; nothing has been changed then.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        moved = [(group, p, p.grad) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for _, p, g in moved:
            if (g.shape, g.device) != (p.shape, p.device):
                raise ValueError(
                    f"a parameter of shape {p.shape} on {p.device} has a gradient of shape {g.shape} on {g.device}"
                )
            self._ready(p)
        with (
            no_grad(),
            np.errstate(all="ignore"),
            one_blas_thread(),
        ):  # a diverging run shows nan, as everywhere in minigrad
            for group, p, g in moved:
                self._update(p._array, g._array, self.state.setdefault(p, {}), group)
                p.version.bump()
        return loss

    def _ready(self, p: Tensor) -> None:  # noqa: B027 (most can move at once)
        """Raise if a parameter cannot be moved yet: an optimizer that must know something first says so here."""

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """A copy of the options and of all that is remembered; parameters appear as numbers, in their order.

        Returns:
            {"state": {number: {name: Tensor, int or float}}, "param_groups": [{"lr": ..., "params": [number]}]}, as in
            PyTorch
        """
        numbers = {p: i for i, p in enumerate(self._params())}
        return {
            "state": {
                numbers[p]: {name: v if isinstance(v, (int, float)) else wrap(v.copy("K")) for name, v in kept.items()}
                for p, kept in self.state.items()
            },
            "param_groups": [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the optimizer of `state_dict()` was; the parameters themselves are loaded separately.

        Raises:
            ValueError: no state, another optimizer's state, other groups or numbers of parameters, or a value whose
                shape is not its parameter's; nothing has been changed then.
        """
        self._check_state(state)
        params = self._params()
        order = [i for group in state["param_groups"] for i in group["params"]]
        place = dict(zip(order, params, strict=True))
        if strangers := sorted({int(number) for number in state["state"]} - place.keys()):
            raise ValueError(f"the state remembers parameters {strangers}, which are in none of its groups")
        new: dict[Tensor, dict[str, Any]] = {}
        for number, kept in state["state"].items():
            p = place[int(number)]
            new[p] = {name: _loaded(v, p, name) for name, v in kept.items() if v is not None}
        self.state = new
        for group, saved in zip(self.param_groups, state["param_groups"], strict=True):
            group.update({name: v for name, v in saved.items() if name not in ("params", *HOW)})

    def _check_state(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError for what is no state, or that of an optimizer with other groups or options."""
        if not {"state", "param_groups"} <= state.keys():
            raise ValueError(
                f'a state has the keys "state" and "param_groups", as state_dict() gives, got {list(state)}'
            )
        ours = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in state["param_groups"]]
        if ours != theirs:
            raise ValueError(f"the state has groups of {theirs} parameters, this optimizer has groups of {ours}")
        for saved in state["param_groups"]:
            options = sorted(saved.keys() - {"params", INITIAL, *HOW})
            if sorted({*options, *self.not_in_pytorch}) != sorted(self.defaults):
                raise ValueError(
                    f"the state is that of another optimizer: its options are {options}, those of "
                    f"{type(self).__name__} are {sorted(self.defaults)}"
                )

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [
            f"{len(group['params'])} tensors, " + ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            for group in self.param_groups
        ]
        return f"{type(self).__name__}({'; '.join(groups)})"


def remembered(state: dict[str, Any], name: str, p: Array, fill: float = 0.0) -> Array:
    """The array of this name that is kept for the raw array `p`, in its memory order: full of one number at first."""
    if name not in state:
        state[name] = xp(p).full_like(p, fill, dtype=_wide(p))
    elif type(state[name]) is not type(p) or state[name].dtype != _wide(p):
        state[name] = _copy_for(p, asarray(state[name], device="cpu" if xp(p) is np else "cuda")._array)
    return state[name]


def count_step(state: dict[str, Any]) -> int:
    """The number of this step, 1 at first."""
    state["step"] = state.get("step", 0) + 1
    return state["step"]


def _wide(p: Array) -> np.dtype:
    """In what the formulas compute for this parameter: 16 bits in float32."""
    return np.dtype(np.float32) if p.dtype.itemsize == 2 else p.dtype


def _copy_for(p: Array, value: Array) -> Array:
    """A copy of what is remembered of p, in the dtype of the formulas and in the memory order of p."""
    out = xp(p).empty_like(p, dtype=_wide(p))
    out[...] = value
    return out


def _loaded(value: Any, p: Tensor, name: str) -> Any:
    """A remembered number, or a copy of an array, on the device and in the memory order of its parameter."""
    if isinstance(value, (int, float)):
        return value
    if name == "step":  # PyTorch counts in a tensor
        return int(asarray(value).item())
    value = asarray(value, device=p.device)
    if value.shape != p.shape:
        raise ValueError(f"the state's {name} has shape {value.shape}, its parameter has shape {p.shape}")
    return _copy_for(p._array, value._array)


def at_least_zero(group: Group, *names: str) -> None:
    """Raise ValueError for an option below 0 (or nan)."""
    for name in names:
        checks.at_least_zero(name, group[name])


def positive_lr(group: Group) -> None:
    """Raise ValueError for a step size that is not positive."""
    if not checks.number("lr", group["lr"]) > 0:
        raise ValueError(f"lr must be positive, got {group['lr']}; maximize=True goes up instead of down")


def below_one(group: Group, *names: str) -> None:
    """Raise ValueError for an option outside of [0, 1)."""
    for name in names:
        if not 0 <= checks.number(name, group[name]) < 1:
            raise ValueError(f"{name} must be in [0, 1), got {group[name]}")


def two_betas(group: Group) -> None:
    """Raise ValueError for betas that are not two numbers in [0, 1)."""
    if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
        raise ValueError(f"betas must be two numbers in [0, 1), got {group['betas']}")
