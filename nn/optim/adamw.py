"""Adam with weight decay of its own."""

from __future__ import annotations

from minigrad.nn.optim.adam import Adam
from minigrad.nn.optim.optimizer import Params


class AdamW(Adam):
    """Adam whose weight decay is not scaled like the gradient: every number shrinks by the same factor.

    At each step, before that of `Adam` with no penalty in its gradient::

        p = p - lr * weight_decay * p

    Args:
        params: an iterable of tensors, or of dicts with "params" and options of their own; `decay_groups` makes two of
            these, so that biases do not shrink.
        lr: about how far a number moves in a step, positive.
        betas: how slowly the two means forget, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: how much of itself a number loses in a step, times lr.
        amsgrad: never let the scale shrink.
        maximize: go up instead of down.

    Raises:
        TypeError, ValueError: see `add_param_group`; options out of their range.

    Source: I. Loshchilov, F. Hutter: Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2; the decay is
    multiplied by lr, as in PyTorch.

    >>> import minigrad as mg
    >>> from minigrad.nn.optim import AdamW
    >>> p = mg.tensor([2.0], requires_grad=True)
    >>> optimizer = AdamW([p], lr=0.5, weight_decay=1.0)
    >>> (3 * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.5], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
