"""LeNet-5's optimizer: the stochastic diagonal Levenberg-Marquardt method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, enable_grad, grad, hessian
from minigrad.backend import Array
from minigrad.checks import positive
from minigrad.nn.module import Module
from minigrad.nn.optim.optimizer import Group, Optimizer, Params, positive_lr, remembered


class DiagonalLM(Optimizer):
    """Gradient descent with a step of its own for each number: long where the loss is flat, short where it is curved.

    With the gradient g of a parameter p, and its curvature h from `estimate`::

        p = p - lr / (mu + h) * g

    The curvature is the mean over some samples of the diagonal of the Gauss-Newton matrix J^T H J, for the Jacobian J
    of the network's outputs in p and the Hessian H of the loss in the outputs, which has to be convex: so h >= 0, and
    mu bounds the step. LeCun et al. call `estimate` before each pass over the data, with 500 samples, and let lr fall
    by `nn.schedule.LENET_1998`.

    The diagonal is exact here: each sample takes as many passes backward as the network has outputs. LeCun et al. go
    back once, and leave out what is off the diagonal in every layer, and between the places that share a weight. So it
    is meant for networks of the size of LeNet: 500 samples and 10 outputs are 5000 passes backward.

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own.
        lr: eta in the paper, positive.
        mu: about the curvature below which a parameter counts as flat, positive.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, appendix C, equations 18 to 24; lr and mu: section III.B. Not in PyTorch.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = model.load_state_dict({"weight": [[0.0, 0.0]]})
    >>> optimizer = nn.optim.DiagonalLM(model.parameters(), lr=1.0, mu=1.0)
    >>> half_square = lambda z, target: ((z - target) ** 2).sum() / 2
    >>> x, target = mg.tensor([[1.0, 3.0]]), mg.tensor([[1.0]])
    >>> optimizer.estimate(model, half_square, x, target)
    >>> half_square(model(x), target).backward()
    >>> optimizer.step()
    >>> model.weight
    Parameter containing:
    tensor([[0.5, 0.3]], requires_grad=True)
    """

    def __init__(self, params: Params, lr: float = 5e-4, mu: float = 0.02):
        super().__init__(params, {"lr": lr, "mu": mu})

    def _check(self, group: Group) -> None:
        positive_lr(group)
        positive("mu", group["mu"])

    def estimate(self, model: Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Any, targets: Any) -> None:
        """Compute the curvature of every parameter that requires a gradient, as a mean over the samples.

        Args:
            model: gets one sample at a time, as a batch of one, in the mode that it is in.
            loss: of the model's outputs and the targets: one number, convex in the outputs.
            inputs: N samples, (N, ...).
            targets: their targets, (N, ...).

        Raises:
            ValueError: no samples, another number of targets, or a loss that is not convex or not finite there; nothing
                has been changed then.
        """
        inputs, targets = asarray(inputs), asarray(targets)
        if not inputs.shape or not targets.shape or len(inputs) != len(targets) or not len(inputs):
            raise ValueError(
                f"inputs and targets must be the same number of samples, got shapes {inputs.shape} and {targets.shape}"
            )
        params = [p for p in self._params() if p.requires_grad]
        new: list[dict[str, Any]] = [{} for _ in params]
        curvature = [remembered(kept, "curvature", p._array) for kept, p in zip(new, params, strict=True)]
        for i in range(len(inputs)):
            with enable_grad():
                outputs = model(inputs[i : i + 1])
            for weight, along in _curvatures(loss, outputs, targets[i : i + 1]):
                rows = grad(outputs, params, along, retain_graph=True, allow_unused=True)
                for h, row in zip(curvature, rows, strict=True):
                    if row is not None:
                        h += weight / len(inputs) * row._array**2
        self.state.update(zip(params, new, strict=True))

    def _ready(self, p: Tensor) -> None:
        if p not in self.state:
            raise RuntimeError(
                f"the curvature of a parameter of shape {p.shape} is not known: call optimizer.estimate(model, loss, "
                f"inputs, targets) first, and again from time to time"
            )

    def _update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        p -= (group["lr"] / (group["mu"] + remembered(state, "curvature", p)) * g).astype(p.dtype, copy=False)


def _curvatures(loss: Callable, outputs: Tensor, target: Tensor) -> Iterator[tuple[float, Tensor]]:
    """The eigenvalues of the loss's Hessian in the outputs, those above 0, each with its eigenvector.

    With H = sum of w v v^T, the diagonal of J^T H J is the sum of w (v^T J)^2: one pass backward for each.
    """
    h = hessian(lambda z: loss(z, target), outputs.detach(), create_graph=False).to("cpu").numpy()
    if not np.isfinite(h).all():
        raise ValueError(f"the second derivatives of the loss are not finite: the outputs are {outputs.tolist()}")
    values, vectors = np.linalg.eigh(h.astype(np.float64).reshape(outputs.size, outputs.size))
    noise = 100 * np.finfo(h.dtype).eps * abs(values).max()
    if values[0] < -noise:
        raise ValueError(f"the loss must be convex in the outputs, its Hessian has the eigenvalue {values[0]:.3g}")
    for value, vector in zip(values, vectors.T, strict=True):
        if value > noise:  # of cross entropy one is 0: adding to all logits changes nothing
            yield float(value), asarray(vector.reshape(outputs.shape), outputs.dtype, outputs.device)
