"""The estimate of the curvature that LeNet-5's optimizer needs before each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from minigrad import Tensor, concatenate
from minigrad.checks import positive_int
from minigrad.nn.layers.lenet import RBFOutput
from minigrad.nn.optim.diagonal import DiagonalLM
from minigrad.nn.train.callbacks import Callback

if TYPE_CHECKING:
    from minigrad.nn.train.trainer import Trainer


class EstimateCurvature(Callback):
    """Call `DiagonalLM.estimate` before every epoch, on the first samples of the training set.

    The loss's curvature is taken in the output of the network; if the network ends in an `RBFOutput`, whose outputs are
    squared distances already, in the input of that layer.

    Args:
        batches: of (images, labels).
        samples: how many are looked at. The paper takes 500; the default is smaller, since each sample costs one
            backward pass for every output of the network.

    Raises:
        TypeError: when the training begins, an optimizer that is no `DiagonalLM`.
        ValueError: samples below 1.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section III.B and appendix C.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> model = nn.Linear(2, 2)
    >>> optimizer = nn.optim.DiagonalLM(model.parameters(), lr=0.01)
    >>> batches = [(mg.randn(4, 2), mg.tensor([0, 1, 0, 1]))]
    >>> trainer = nn.train.Trainer(model, optimizer, callbacks=[EstimateCurvature(batches)])
    >>> trainer.fit(batches)[0]["step"]
    1
    """

    def __init__(self, batches: Iterable[Any], samples: int = 50):
        self.batches = batches
        self.samples = positive_int("samples", samples)

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Look at the curvature anew."""
        optimizer = trainer.optimizer
        if not isinstance(optimizer, DiagonalLM):
            raise TypeError(f"optimizer must be a DiagonalLM for EstimateCurvature, got {type(optimizer).__name__}")
        images, labels = self._first(trainer)
        model, loss = _from_codes(trainer.model, trainer.criterion)
        optimizer.estimate(model, loss, images, labels)

    def _first(self, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """The first samples, each image a batch of its own for `estimate`."""
        parts: list[list[Tensor]] = []
        count = 0
        for batch in self.batches:
            parts.append(trainer.placed(*batch))
            count += len(batch[1])
            if count >= self.samples:
                break
        images, labels = (concatenate(list(part)) for part in zip(*parts, strict=True))
        return images[: self.samples], labels[: self.samples]


def _from_codes(model: Any, criterion: Callable[[Tensor, Any], Tensor]) -> tuple[Any, Callable[[Tensor, Any], Tensor]]:
    """The model up to its last `RBFOutput`, and the loss from there on; both as they are without one."""
    rbf = [module for module in model.modules() if isinstance(module, RBFOutput)]
    if not rbf:
        return model, criterion

    def codes(x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        with rbf[-1].register_forward_pre_hook(lambda module, args: seen.append(args[0])):
            model(x)
        return seen[-1]

    return codes, lambda z, labels: criterion(rbf[-1](z), labels)
