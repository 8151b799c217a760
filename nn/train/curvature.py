"""What LeNet-5's optimizer has to know before each pass over the data."""

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

    The curvature is that of the criterion in the network's output; behind an `RBFOutput`, whose penalties are squared
    distances already, in the activations that it gets.

    Args:
        batches: of (images, labels).
        samples: how many are looked at. The paper takes 500; here, where each takes as many passes backward as the
            network has outputs, less has to do.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, section III.B and appendix C.
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
