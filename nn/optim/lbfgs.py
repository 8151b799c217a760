"""L-BFGS: a quasi-Newton method, with a line search if asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad import asarray, enable_grad, no_grad, xp
from minigrad.backend import Array
from minigrad.checks import one_of, positive_int
from minigrad.nn.optim.line_search import Point, strong_wolfe
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, at_least_zero, positive_lr
from minigrad.tensor import wrap

VECTORS = ("d", "prev_flat_grad")  # what is remembered of the last iteration, with PyTorch's names


class Pair(NamedTuple):
    """What is remembered of one iteration: how far x and the gradient moved."""

    s: Array  # x_{k+1} - x_k
    y: Array  # g_{k+1} - g_k
    rho: float  # 1 / (y . s)


class LBFGS(Optimizer):
    """L-BFGS: steps along -H g, with an approximation H of the inverse Hessian from the last steps alone.

    One `step(closure)` makes up to max_iter iterations; in each, from the gradient g at x::

        d = -H g                                      two loops over the last (s, y): see `direction`
        t = lr, or from the strong Wolfe conditions   at the very first iteration lr * min(1, 1 / sum |g|)
        x = x + t d
        s = t d,  y = g(new x) - g                    kept if y . s > 1e-10

    It needs the whole data set, or at least the same batch throughout a step: noise in y spoils H. All parameters are
    one vector here, so there is one group. Memory: 2 * history_size + 5 times that of the parameters.

    Args:
        params: an iterable of tensors on one device.
        lr: the length of a step; with a line search, the one that is tried first.
        max_iter: how many iterations one step makes at most.
        max_eval: how many times it calls the closure at most, by default max_iter * 5 / 4 (PyTorch's line search may
            call it once more).
        tolerance_grad: end where no element of the gradient is larger.
        tolerance_change: end where neither x nor the loss changes by more.
        history_size: how many pairs (s, y) are kept.
        line_search_fn: None or "strong_wolfe".

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range, or several groups.

    Source: J. Nocedal, S. Wright: Numerical Optimization, 2nd edition, Springer 2006, algorithms 7.4 and 7.5, and 3.5
    and 3.6 for the line search. Names and tolerances are PyTorch's; its line search differs a little in which end of an
    interval it keeps.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import LBFGS
    >>> x = mg.tensor([-1.0, 2.0], requires_grad=True)
    >>> optimizer = LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     first = optimizer.step(closure)
    >>> [round(v, 3) for v in x.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        self.pairs: list[Pair] = []
        self.last: dict[str, Any] = {"func_evals": 0, "n_iter": 0}  # of the last iteration also d, t, prev_flat_grad
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        positive_lr(group)
        at_least_zero(group, "tolerance_grad", "tolerance_change")
        for name in ("max_iter", "max_eval", "history_size"):
            positive_int(name, group[name])
        one_of("line_search_fn", group["line_search_fn"], (None, "strong_wolfe"))
        if self.param_groups:
            raise ValueError("LBFGS takes all parameters as one vector: it can have one group only")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to max_iter iterations.

        Args:
            closure: sets the gradients to None, computes the loss, calls `backward()` and returns the loss.

        Returns:
            The loss before the first iteration, as the closure returned it.

        Raises:
            TypeError: no closure.
            ValueError: parameters on two devices.
        """
        if closure is None:
            raise TypeError("LBFGS.step needs a closure, to compute the loss and its gradients at several points")
        if len(devices := {p.device for p in self._params()}) > 1:
            raise ValueError(f"the parameters must be on one device, they are on {sorted(devices)}")
        group, last = self.param_groups[0], self.last
        with no_grad(), np.errstate(all="ignore"):
            first, f, g = self._evaluate(closure)
            evals, x = 1, self._flat([p._array for p in self._params()])
            for iteration in range(1, group["max_iter"] + 1):
                if abs(g).max() <= group["tolerance_grad"]:
                    break
                if last["n_iter"] == 0:
                    d, t = -g, group["lr"] * min(1.0, 1.0 / float(abs(g).sum()))
                else:
                    self._remember(last["t"] * last["d"], g - last["prev_flat_grad"], group["history_size"])
                    d, t = direction(g, self.pairs), group["lr"]
                last.update(n_iter=last["n_iter"] + 1, d=d, t=t, prev_flat_grad=g)
                slope = float(g @ d)
                if slope > -group["tolerance_change"]:
                    break
                before = f
                if group["line_search_fn"] is not None:
                    point, used = self._search(closure, x, d, Point(0.0, f, g, slope), t, group["max_eval"] - evals)
                    last["t"], f, g = point.t, point.f, point.g
                    evals += used
                else:
                    self._move(x, t, d)
                    if iteration < group["max_iter"]:  # with other data in the next step, the value would be of no use
                        _, f, g = self._evaluate(closure)
                        evals += 1
                x = self._flat([p._array for p in self._params()])
                if evals >= group["max_eval"] or float(abs(last["t"] * d).max()) <= group["tolerance_change"]:
                    break
                if abs(f - before) < group["tolerance_change"]:
                    break
            last["func_evals"] += evals
        return first

    def _remember(self, s: Array, y: Array, history_size: int) -> None:
        """Keep a pair, and forget the oldest if there are too many."""
        curvature = float(y @ s)
        if curvature > 1e-10:  # else H would no longer be positive definite, and d might go up
            self.pairs = [*self.pairs, Pair(s, y, 1 / curvature)][-history_size:]

    def _search(
        self, closure: Callable[[], Any], x: Array, d: Array, start: Point, t: float, max_evals: int
    ) -> tuple[Point, int]:
        """Go from x along d to where the strong Wolfe conditions hold; also the number of evaluations."""

        def phi(t: float) -> Point:
            self._move(x, t, d)
            _, f, g = self._evaluate(closure)
            return Point(t, f, g, float(g @ d))

        tolerance = self.param_groups[0]["tolerance_change"]
        point, evals = strong_wolfe(phi, start, t, float(abs(d).max()), tolerance, max_evals)
        self._move(x, point.t, d)  # the best point need not be the last one
        return point, evals

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, float, Array]:
        """What the closure returned, as a number too, and the gradients as one vector."""
        with enable_grad():
            loss = closure()
        gradients = [p.xp.zeros(p.shape, p.dtype) if p.grad is None else p.grad._array for p in self._params()]
        return loss, float(loss), self._flat(gradients)

    def _flat(self, arrays: list[Array]) -> Array:
        """A copy of all elements as one vector, at least in float32."""
        dtype = np.result_type(np.float32, *[a.dtype for a in arrays])
        return xp(arrays[0]).concatenate([a.ravel().astype(dtype) for a in arrays])

    def _move(self, x: Array, t: float, d: Array) -> None:
        """Put all parameters to x + t d."""
        end = 0
        for p in self._params():
            begin, end = end, end + p.size
            p._array[...] = x[begin:end].reshape(p.shape)
            self._update(p._array, d[begin:end].reshape(p.shape), {"t": t}, self.param_groups[0])
            p.version.bump()

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """x + t d for one parameter: `g` is its part of the direction d."""
        p += state["t"] * g

    def state_dict(self) -> dict[str, Any]:
        """A copy of the options and of all that is remembered, as of the first parameter; vectors hold all of them.

        Returns:
            {"state": {0: {"func_evals": int, "n_iter": int, "d": Tensor, "t": float, "prev_flat_grad": Tensor,
            "old_stps": [s], "old_dirs": [y], "ro": [float]}}, "param_groups": [...]}, with PyTorch's names
        """
        kept = {name: wrap(v.copy()) if name in VECTORS else v for name, v in self.last.items()}
        kept["old_stps"] = [wrap(pair.s.copy()) for pair in self.pairs]
        kept["old_dirs"] = [wrap(pair.y.copy()) for pair in self.pairs]
        kept["ro"] = [pair.rho for pair in self.pairs]
        return {**super().state_dict(), "state": {0: kept}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the optimizer of `state_dict()` was; the parameters themselves are loaded separately.

        Raises:
            ValueError: another optimizer's state, another number of parameters, or vectors of another length; nothing
                has been changed then.
        """
        self._check_state(state)
        kept: dict[str, Any] = next(iter(state["state"].values()), {})
        last: dict[str, Any] = {"func_evals": 0, "n_iter": 0}
        for name in ("func_evals", "n_iter", "d", "t", "prev_flat_grad"):
            if name in kept:
                last[name] = self._loaded(name, kept[name]) if name in VECTORS else kept[name]
        steps, changes = ([self._loaded(name, v) for v in kept.get(name, [])] for name in ("old_stps", "old_dirs"))
        rhos = kept.get("ro", [])
        if not len(steps) == len(changes) == len(rhos):
            raise ValueError(
                f"the state's old_stps, old_dirs and ro must be as many, got {len(steps)}, {len(changes)}, {len(rhos)}"
            )
        pairs = [Pair(*pair) for pair in zip(steps, changes, rhos, strict=True)]
        super().load_state_dict({**state, "state": {}})
        self.last, self.pairs = last, pairs

    def _loaded(self, name: str, value: Any) -> Array:
        params = self._params()
        vector = asarray(value, device=params[0].device)._array.copy()
        if vector.shape != (size := sum(p.size for p in params),):
            raise ValueError(f"the state's {name} has shape {vector.shape}, the parameters have {size} elements")
        return vector


def direction(g: Array, pairs: list[Pair]) -> Array:
    """-H g, for the inverse Hessian H that BFGS makes of the pairs.

    It begins with (y . s) / (y . y) times the identity, by the last pair. H itself is never formed: one loop goes back
    through the pairs, one forward.

    Source: Nocedal and Wright, algorithm 7.4 and equation 7.20.

    >>> direction(np.array([1.0, 2.0]), [])
    array([-1., -2.])
    """
    d = -g
    alphas = []
    for s, y, rho in reversed(pairs):
        alphas.append(rho * float(s @ d))
        d = d - alphas[-1] * y
    if pairs:
        s, y, rho = pairs[-1]
        d = d / (rho * float(y @ y))
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        d = d + (alpha - rho * float(y @ d)) * s
    return d
