"""Loss scaling: gradients that are too small for float16 are computed larger, and made small again in float32."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor, no_grad
from minigrad.backend import Array
from minigrad.checks import at_least_zero, positive_int
from minigrad.nn.optim import Optimizer

_KEYS = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


class GradScaler:
    """Multiplies the loss, divides the gradients again, and leaves out the steps whose gradients overflowed.

    float16 ends at 6e-8 below and at 65504 above. With a loss of `scale * loss` all gradients are `scale` times as
    large: none vanishes, and if one overflows (inf or nan), the optimizer does not step and `update()` halves the
    scale; after `growth_interval` steps in a row without that it doubles the scale. So the scale stays as large as the
    gradients permit. The gradients themselves arrive and are divided in float32, see `minigrad.autocast`.

    The order of calls, with any number of optimizers and several backward passes before a step::

        for x, target in loader:
            optimizer.zero_grad()
            with mg.autocast():
                loss = loss_function(model(x), target)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)                        # only to see or clip the gradients
            nn.utils.clip_grad_norm_(model.parameters(), 1)
            scaler.step(optimizer)
            scaler.update()

    A step reads one number back from a GPU. PyTorch's takes a `device`, and reads and sets its options by methods; here
    arrays know where they are, and the options are attributes.

    Args:
        init_scale: the first scale, above 0.
        growth_factor: what the scale grows by, above 1.
        backoff_factor: what it shrinks by, between 0 and 1.
        growth_interval: after how many steps in a row without an overflow it grows, at least 1.
        enabled: False makes `step` a plain step and the rest do nothing, so that one program serves both.

    Attributes:
        growth_factor, backoff_factor, growth_interval: as given.

    Raises:
        ValueError: an option out of its range.

    Source: P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = nn.optim.SGD([p], lr=0.1), GradScaler(init_scale=1024.0)
    >>> scaler.scale((p * 3).sum()).backward()
    >>> p.grad
    tensor([3072.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> p, p.grad
    (tensor([0.7], requires_grad=True), tensor([3.]))
    >>> p.grad = mg.tensor([math.inf])
    >>> scaler.step(optimizer)  # skipped
    >>> scaler.update()
    >>> p, scaler.get_scale()
    (tensor([0.7], requires_grad=True), 512.0)
    """

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        _check(init_scale, growth_factor, backoff_factor, growth_interval, "init_scale")
        self.growth_factor = growth_factor
        self.backoff_factor = backoff_factor
        self.growth_interval = growth_interval
        self._enabled = enabled
        self._scale = _single(init_scale)
        self._growth_tracker = 0  # steps in a row without an overflow
        self._used = False
        self._states: dict[Optimizer, _State] = {}  # of the optimizers seen since the last update

    def scale(self, outputs: Any) -> Any:
        """`outputs` times the scale: a Tensor, or any iterable of them, nested; float16 becomes float32 first.

        Raises:
            TypeError: something else than Tensors.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            self._used = True
            return (outputs.astype(np.float32) if outputs.dtype == np.float16 else outputs) * self._scale
        if isinstance(outputs, Iterable) and not isinstance(outputs, (str, bytes, np.ndarray)):
            scaled = map(self.scale, outputs)
            return (
                list(scaled) if isinstance(outputs, list) else tuple(scaled) if isinstance(outputs, tuple) else scaled
            )
        raise TypeError(f"scale expects a Tensor or an iterable of them, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer by the scale, in place, and note whether all were finite.

        `step` does it if it has not been done. Call it once for each step, when all its gradients are complete, and
        before clipping.

        Raises:
            RuntimeError: `scale` was never called, there are no gradients, or this was done since the last `update()`.
            ValueError: float16 gradients, those of float16 parameters. Nothing has been changed then.
        """
        if not self._enabled:
            return
        self._need_scale("unscale_")
        if optimizer in self._states:
            raise RuntimeError(
                "unscale_() is being called after step(): call update() in between"
                if self._states[optimizer].stepped
                else "unscale_() has already been called on this optimizer since the last update()"
            )
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not gradients:
            raise RuntimeError(
                "no parameter of this optimizer has a gradient: call scaler.scale(loss).backward() first"
            )
        for g in gradients:
            if g.dtype == np.float16:
                raise ValueError(
                    f"cannot unscale a float16 gradient, of shape {g.shape}: keep the parameters in float32 and "
                    f"compute under mg.autocast()"
                )
        finite = [_all_finite([g for g in gradients if g.device == d]) for d in {g.device for g in gradients}]
        inverse = _single(1 / self._scale)
        with no_grad(), np.errstate(all="ignore"):
            for g in gradients:
                g *= inverse
        self._states[optimizer] = _State(finite)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Step the optimizer, its gradients divided by the scale, unless one of them is inf or nan.

        Returns:
            What `optimizer.step(*args, **kwargs)` does; None if it was skipped.

        Raises:
            RuntimeError: a closure, which would compute gradients without the scale, a second step without an
                `update()`, and what `unscale_` raises.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise RuntimeError("step() takes no closure while scaling is enabled: compute the gradients before it")
        self._need_scale("step")
        if optimizer in self._states and self._states[optimizer].stepped:
            raise RuntimeError("step() has already been called on this optimizer since the last update()")
        if optimizer not in self._states:
            self.unscale_(optimizer)
        state = self._states[optimizer]
        out = optimizer.step(**kwargs) if state.finite() else None
        state.stepped = True
        return out

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Fit the scale to what the steps since the last update met: once in an iteration, after all of them.

        An overflow in any of them makes it `scale * backoff_factor`; `growth_interval` updates in a row without one
        make it `scale * growth_factor`, as long as that is finite in float32.

        Args:
            new_scale: the scale to go on with instead: a number or a Tensor of one element, above 0.

        Raises:
            RuntimeError: no optimizer has stepped or been unscaled since the last update.
            ValueError: a new_scale that is not above 0 and finite.
        """
        if not self._enabled:
            return
        self._need_scale("update")
        if new_scale is not None:
            new_scale = float(new_scale.detach() if isinstance(new_scale, Tensor) else new_scale)
            _check_scale("new_scale", new_scale)
            self._scale = _single(new_scale)
        elif not self._states:
            raise RuntimeError("update() has nothing to judge by: call step(optimizer) or unscale_(optimizer) first")
        elif not all(state.finite() for state in self._states.values()):
            self._scale, self._growth_tracker = _single(self._scale * self.backoff_factor), 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self.growth_interval:
                grown = _single(self._scale * self.growth_factor)
                self._scale, self._growth_tracker = grown if math.isfinite(grown) else self._scale, 0
        self._states = {}

    def get_scale(self) -> float:
        """The scale; 1 when scaling is disabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether scaling is enabled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, the options and the steps in a row without an overflow, by PyTorch's keys; {} when disabled.

        Take it after `update()`: what is between a step and its update is not part of it.
        """
        if not self._enabled:
            return {}
        values = (self._scale, self.growth_factor, self.backoff_factor, self.growth_interval, self._growth_tracker)
        return dict(zip(_KEYS, values, strict=True))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where the scaler of `state_dict()` was; does nothing when disabled.

        Raises:
            ValueError: the state of a disabled scaler, or no state of a scaler; nothing has been changed then.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise ValueError("the state is empty: it was saved from a GradScaler with enabled=False")
        if set(state_dict) != set(_KEYS):
            raise ValueError(f"the state of a GradScaler has the keys {list(_KEYS)}, got {list(state_dict)}")
        scale, growth, backoff, interval, tracker = (state_dict[key] for key in _KEYS)
        _check(scale, growth, backoff, interval, "scale")
        at_least_zero("_growth_tracker", tracker)
        self.growth_factor, self.backoff_factor, self.growth_interval = growth, backoff, interval
        self._scale, self._growth_tracker = _single(scale), tracker
        self._states = {}

    def _need_scale(self, name: str) -> None:
        if not self._used:
            raise RuntimeError(f"{name}() before scale(): go backward from scaler.scale(loss), not from the loss")


class _State:
    """What one optimizer's gradients were like, and whether it has had its step."""

    def __init__(self, checks: list[Array]):
        self._checks = checks  # on the devices of the gradients: reading one waits for all that was computed before
        self._finite: bool | None = None
        self.stepped = False

    def finite(self) -> bool:
        if self._finite is None:
            self._finite = all(map(bool, self._checks))
        return self._finite


def _all_finite(gradients: list[Tensor]) -> Array:
    """Whether all elements of the gradients, on one device, are finite: one boolean there."""
    library = gradients[0].xp
    return library.stack([library.isfinite(g._array).all() for g in gradients]).all()


def _single(value: float) -> float:
    """Rounded to float32, which PyTorch keeps the scale in."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _check_scale(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, got {value}")


def _check(scale: float, growth_factor: float, backoff_factor: float, growth_interval: int, name: str) -> None:
    _check_scale(name, scale)
    if not growth_factor > 1:
        raise ValueError(f"growth_factor must be above 1, got {growth_factor}")
    if not 0 < backoff_factor < 1:
        raise ValueError(f"backoff_factor must be between 0 and 1, got {backoff_factor}")
    positive_int("growth_interval", growth_interval)
