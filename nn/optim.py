"""Optimizers: how parameters change, given their gradients.

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
from minigrad.backend import Array, as_array
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


def _at_least_zero(group: Group, *names: str) -> None:
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"{name} must be at least 0, got {group[name]}")


def _positive_lr(group: Group) -> None:
    if not group["lr"] > 0:
        raise ValueError(f"lr must be positive, got {group['lr']}; maximize=True goes up instead of down")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    With the gradient g of a parameter p::

        g = g + weight_decay * p
        v = momentum * v + (1 - dampening) * g        (v = g at the first step)
        p = p - lr * v                                (nesterov: p - lr * (g + momentum * v))

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: the size of a step, positive.
        momentum: how much of the last direction is kept, usually 0.9; 0 is plain descent.
        dampening: how much of the gradient is left out of the momentum.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2.
        nesterov: look ahead along the momentum; needs momentum > 0 and dampening = 0.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep
    learning, ICML 2013; in PyTorch's form, where lr multiplies v and not g.

    >>> import minigrad as mg
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.7], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        _positive_lr(group)
        _at_least_zero(group, "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"nesterov needs momentum > 0 and dampening = 0, got momentum={group['momentum']} and "
                f"dampening={group['dampening']}"
            )

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        momentum = group["momentum"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if momentum:
            v = state.get("momentum_buffer")
            if v is None:
                v = state["momentum_buffer"] = as_array(g).copy("K")  # of no axes, g is a NumPy scalar
            else:
                v *= momentum
                v += (1 - group["dampening"]) * g
            g = g + momentum * v if group["nesterov"] else v
        p -= group["lr"] * g


class Adam(Optimizer):
    """Adam: steps that are scaled, for each number, by running means of its gradient and of the gradient squared.

    With the gradient g of a parameter p, at its step t = 1, 2, ...::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2             (amsgrad: below, the largest v so far)
        p = p - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: about how far a number moves in a step, positive.
        betas: how slowly the two means forget, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the strength of an L2 penalty, weight_decay/2 * |p|^2, scaled like the rest of the gradient.
        amsgrad: never let the scale shrink.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: D. Kingma, J. Ba: Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1; amsgrad: S. Reddi,
    S. Kale, S. Kumar: On the Convergence of Adam and Beyond, ICLR 2018, algorithm 2, with the bias corrected as PyTorch
    does.

    >>> import minigrad as mg
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([p], lr=0.1)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        _positive_lr(group)
        _at_least_zero(group, "eps", "weight_decay")
        if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"betas must be two numbers in [0, 1), got {group['betas']}")

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        beta1, beta2 = group["betas"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if not state:
            state.update(step=0, exp_avg=xp(p).zeros_like(p), exp_avg_sq=xp(p).zeros_like(p))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = xp(p).zeros_like(p)
        t = state["step"] = state["step"] + 1
        m, v = state["exp_avg"], state["exp_avg_sq"]
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * g * g
        if group["amsgrad"]:
            v = xp(p).maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        p -= group["lr"] / (1 - beta1**t) * m / (xp(p).sqrt(v) / (1 - beta2**t) ** 0.5 + group["eps"])
