"""The trainer: epochs of steps, evaluation, and a state from which training goes on bit for bit.

`fit` is the loop that everyone writes; read it, `_epoch` and `_step` first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from numbers import Real
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, asarray, no_grad
from minigrad.checks import at_least_zero, one_of, positive, positive_int
from minigrad.nn import utils
from minigrad.nn.averaging import WeightAverage
from minigrad.nn.data.dataset import Dataset
from minigrad.nn.data.loader import DataLoader
from minigrad.nn.losses.classification import CrossEntropyLoss
from minigrad.nn.module import Module
from minigrad.nn.optim.lbfgs import LBFGS
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.schedule.plateau import ReduceLROnPlateau
from minigrad.nn.schedule.scheduler import LRScheduler
from minigrad.nn.train.callbacks import Callback, metric
from minigrad.nn.train.checkpoints import Checkpoints
from minigrad.nn.train.interrupt import Interrupt
from minigrad.nn.train.log import Row
from minigrad.nn.train.metrics import Metrics
from minigrad.nn.train.scaler import GradScaler
from minigrad.nn.train.state import collected, restore

MIN_SCALE = 2.0**-24  # of the loss in float16, in which it is the least number


class DivergedError(ArithmeticError):
    """The loss, or the norm of the gradients, is nan or infinite: no further step can mend that."""


class Trainer:
    """Trains a classifier on batches (images, labels).

    Args:
        model: a Module, on the device where it is to be trained. Its output is scores (N, C), or a tuple with those
            first and the logits of auxiliary heads after them, as GoogLeNet's.
        optimizer: of the model's parameters.
        criterion: called with the output and the labels; default: cross entropy.
        schedule: of the learning rate; its `step()` is called after every epoch or, with schedule_per="step", after
            every step of the optimizer.
        monitor: the entry of an epoch's row that `ReduceLROnPlateau` looks at.
        accumulate: so many batches make one step. The gradient is that of the mean loss over all their samples, as if
            they were one batch; a criterion with class weights takes the mean by weight within each batch only.
        clip_norm, clip_value: limits for the norm of all gradients together, and for each number in them.
        average: an average of the weights, such as `nn.averaging.EMA(model)`: updated after each step, and used for
            evaluation.
        autocast: "float16": compute the forward pass in it where that is safe (`mg.autocast`), and scale the loss
            (`GradScaler`).
        aux_weight: how much the loss of each auxiliary head counts; 0.3 in GoogLeNet.
        to_scores: makes scores of the criterion's input, the higher the likelier, where they are something else: the
            penalties of LeNet-5 (1998) take `lambda penalties: -penalties`.
        callbacks: told of each step and epoch, in their order.
        checkpoints: where the state is saved: after every `save_every` epochs, after the last one, and when the
            training is interrupted.
        log_every: every so many steps `on_step_end` gets the norm of the gradients too.

    Attributes:
        epoch, step: how many epochs and steps of the optimizer are done. Steps that float16 leaves out, because the
            gradients overflow, count too: the schedule ends where it would have ended without them.
        history: the row of each epoch, a dict with "epoch", "step", "lr", "train_loss", "train_top1", "train_top5", the
            same with "val_" if there is a validation set, "seconds" and "images_per_second" of the training, and
            "grad_norms", the norm of each parameter's gradient in the last step. Training accuracies are taken during
            the epoch, in training mode.
        stop: set it to end the training after the epoch.

    Ctrl-C (or SIGTERM) ends the step that is under way, saves the state, and then raises KeyboardInterrupt; a second
    one does not wait.

    Raises:
        TypeError, ValueError: a bad argument; see each.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> _ = mg.manual_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> data = nn.data.ArrayDataset(x, (x[:, 0] > x[:, 1]).astype(int))
    >>> model = nn.Linear(2, 2)
    >>> trainer = nn.train.Trainer(model, nn.optim.SGD(model.parameters(), lr=1.0))
    >>> rows = trainer.fit(nn.data.DataLoader(data, batch_size=16, shuffle=True), epochs=5)
    >>> rows[-1]["epoch"], rows[-1]["step"], rows[-1]["train_top1"] > 0.9
    (5, 20, True)
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        schedule: LRScheduler | None = None,
        schedule_per: str = "epoch",
        monitor: str = "val_loss",
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        average: WeightAverage | None = None,
        autocast: str | None = None,
        aux_weight: float = 0.3,
        to_scores: Callable[[Tensor], Tensor] = lambda output: output,
        callbacks: Sequence[Callback] = (),
        checkpoints: Checkpoints | None = None,
        save_every: int = 1,
        log_every: int = 50,
    ):
        if not isinstance(model, Module):
            raise TypeError(f"model must be a Module, got {type(model).__name__}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, got {type(optimizer).__name__}")
        if isinstance(optimizer, LBFGS):
            raise TypeError("optimizer must take one gradient a step, LBFGS asks for many: call it yourself")
        if criterion is not None and not callable(criterion):
            raise TypeError(f"criterion must be a function of (output, labels) such as a loss, got {criterion!r}")
        if isinstance(callbacks, Callback):
            raise TypeError(f"callbacks must be a list, got one {type(callbacks).__name__}: put it in [...]")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be minigrad.nn.train.Callback, got {callback!r}")
        if checkpoints is not None and not isinstance(checkpoints, Checkpoints):
            raise TypeError(f"checkpoints must be Checkpoints(folder), got {checkpoints!r}")
        if isinstance(schedule, ReduceLROnPlateau) and schedule_per != "epoch":
            raise ValueError("schedule_per must be 'epoch' for ReduceLROnPlateau, whose metric there is once an epoch")
        if not {id(p) for p in model.parameters()} & {id(p) for g in optimizer.param_groups for p in g["params"]}:
            raise ValueError("optimizer must be of the model's parameters, it has none of them")
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError("schedule must be of the optimizer that is given, it is of another one")
        self.model = model
        self.optimizer = optimizer
        self.criterion = CrossEntropyLoss() if criterion is None else criterion
        self.schedule = schedule
        self.schedule_per = one_of("schedule_per", schedule_per, ["epoch", "step"])
        self.monitor = monitor
        self.accumulate = positive_int("accumulate", accumulate)
        self.clip_norm = clip_norm if clip_norm is None else positive("clip_norm", clip_norm)
        self.clip_value = clip_value if clip_value is None else positive("clip_value", clip_value)
        self.average = average
        self.autocast = one_of("autocast", autocast, [None, "float16"])
        self.scaler = GradScaler(enabled=autocast == "float16")
        self.aux_weight = at_least_zero("aux_weight", aux_weight)
        self.to_scores = to_scores
        self.callbacks = list(callbacks)
        self.checkpoints = checkpoints
        self.save_every = positive_int("save_every", save_every)
        self.log_every = positive_int("log_every", log_every)

        self.epoch = self.step = 0
        self.history: list[Row] = []
        self.stop = False
        self._metrics: Metrics | None = None  # of the epoch under way
        self._seconds = 0.0  # that it has taken
        self._last_lr = self.lr  # of the last step
        self._loader: DataLoader | None = None
        self._loader_state: dict[str, Any] | None = None  # for the loader of the next fit
        self._interrupt = Interrupt()

    # ---- training ---------------------------------------------------------------------------------------------------

    def fit(self, train: Iterable[Any], validation: Iterable[Any] | None = None, epochs: int = 1) -> list[Row]:
        """Train until `epochs` epochs are done in all; an interrupted epoch is finished first.

        Args:
            train, validation: batches of (images, labels), arrays or Tensors, from the start for each epoch: loaders,
                or lists of batches. Only a `DataLoader` can go on in the middle of an epoch.
            epochs: the number of the last epoch: a training that is resumed after 3 of 10 epochs has 7 to go.

        Returns:
            The rows of all epochs so far, `history`.

        Raises:
            TypeError: a model, a data set or an array in place of batches.
            DivergedError: the loss is nan or infinite, or the norm of the gradients where it is computed, for clipping
                or the log. The step has not been made.
            KeyboardInterrupt: Ctrl-C, after the state was saved.
        """
        for name, batches in (("train", train), ("validation", validation)):
            if isinstance(batches, Module | Dataset | np.ndarray | Tensor):
                raise TypeError(
                    f"{name} must be batches of (images, labels), such as a DataLoader, got {type(batches).__name__}"
                )
        if self._metrics is not None and not isinstance(train, DataLoader):
            raise ValueError(
                f"train must be a DataLoader to go on in the middle of epoch {self.epoch + 1}, "
                f"got {type(train).__name__}"
            )
        loader = train if isinstance(train, DataLoader) else None
        if self._loader_state is not None and loader is not None:
            loader.load_state_dict(self._loader_state)
        self._loader, self._loader_state = loader, None
        self.stop = False
        with self._fitting():
            while self.epoch < epochs and not self.stop:
                row = self._epoch(train)
                if validation is not None:
                    if isinstance(validation, DataLoader) and validation is not train:
                        validation.set_epoch(self.epoch)  # its draws too are the same after a restart
                    row |= {f"val_{name}": v for name, v in _summary(self.evaluate(validation)).items()}
                if self.schedule is not None and self.schedule_per == "epoch":
                    self._step_schedule(row)
                self.epoch += 1
                self.history.append(row)  # first: a callback that raises does not take the epoch back
                self._tell("on_epoch_end", row)
                if self.epoch % self.save_every == 0 or self.epoch >= epochs or self.stop or self._interrupt.noted:
                    self.save()
                self._interrupt.check()
        return self.history

    def _epoch(self, train: Iterable[Any]) -> Row:
        """Train on all batches that are left of this epoch."""
        if self._metrics is None:
            self._tell("on_epoch_start")
            self._metrics, self._seconds = Metrics(), 0.0
        elif self._all_seen():
            train = ()  # it was stopped after its last batch
        self.model.train()
        before, start = self._seconds, time.perf_counter()
        group: list[tuple[float, int]] = []  # the loss and the size of each batch of the step under way
        for images, labels in train:
            if not group:
                self._zero_grad()
            group.append(self._backward(images, labels))
            if len(group) == self.accumulate:
                self._step(group)
                group = []
                self._seconds = before + time.perf_counter() - start
                self._interrupt.check(self._save_within_epoch)
        if group:
            self._step(group)
        self._seconds = before + time.perf_counter() - start
        if not self._metrics.count:
            raise ValueError("train has no batches: a generator can be used up only once, pass a loader or a list")
        row: Row = {"epoch": self.epoch + 1, "step": self.step, "lr": self._last_lr}
        row |= {f"train_{name}": value for name, value in _summary(self._metrics).items()}
        row |= {"seconds": self._seconds, "images_per_second": self._metrics.count / self._seconds}
        row["grad_norms"] = utils.grad_norms(self.model)
        self._zero_grad()  # the memory is of use in the validation
        self._metrics = None
        return row

    def _backward(self, images: Any, labels: Any) -> tuple[float, int]:
        """Add the gradient of the loss of one batch; returns the loss and the number of samples."""
        images, labels = self.placed(images, labels)
        with self._autocasting():
            output = self.model(images)
            main, *others = output if isinstance(output, tuple) else (output,)
            loss = self.criterion(main, labels)
            for other in others:
                loss = loss + self.aux_weight * self.criterion(other, labels)
        value, n = loss.item(), len(images)
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}")
        self.scaler.scale(loss if self.accumulate == 1 else loss * n).backward()
        self._metrics.update(self.to_scores(main.detach()), labels, value)  # type: ignore[union-attr]
        return value, n

    def _step(self, group: list[tuple[float, int]]) -> None:
        """Move the parameters by the gradients of a group of batches."""
        samples = sum(n for _, n in group)
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.scaler.unscale_(self.optimizer)
        if self.accumulate > 1:
            with no_grad():
                for p in parameters:
                    if p.grad is not None:
                        p.grad *= 1 / samples
        self._last_lr = self.lr
        row = {"epoch": self.epoch + 1, "step": self.step + 1, "lr": self.lr}
        row["loss"] = sum(loss * n for loss, n in group) / samples
        if self.clip_norm is not None or self.clip_value is not None or (self.step + 1) % self.log_every == 0:
            limit = math.inf if self.clip_norm is None else self.clip_norm
            row["grad_norm"] = utils.clip_grad_norm_(parameters, limit).item()
            if not (math.isfinite(row["grad_norm"]) or self.scaler.is_enabled()):
                raise self._diverged(f"the norm of the gradients is {row['grad_norm']}")
            if self.clip_value is not None:
                utils.clip_grad_value_(parameters, self.clip_value)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() < MIN_SCALE:
            raise self._diverged("the gradients overflow at any scale")
        self.step += 1
        if self.average is not None:
            self.average.update(self.model)
        if self.schedule is not None and self.schedule_per == "step":
            self._step_schedule(row)
        self._tell("on_step_end", row)

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"{what} in step {self.step + 1}, epoch {self.epoch + 1}: lower the learning rate ({self.lr:g}), clip the "
            f"gradients (clip_norm=1.0), or look for bad values in the data"
        )

    def _zero_grad(self) -> None:
        """Also of parameters that the optimizer does not have, whose gradients would grow from step to step."""
        self.optimizer.zero_grad()
        self.model.zero_grad()

    def _step_schedule(self, row: Row) -> None:
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(metric(row, self.monitor))
        else:
            self.schedule.step()  # type: ignore[union-attr]

    @property
    def lr(self) -> float:
        """The learning rate of the first group of parameters."""
        return self.optimizer.param_groups[0]["lr"]

    # ---- evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, batches: Iterable[Any]) -> Metrics:
        """Loss and accuracies in evaluation mode, with the averaged weights if there is an average.

        Several views of each image, (N, views, C, H, W) as `TenCrop` gives them, are judged by the mean of their
        probabilities; their loss is the cross entropy of that mean.

        Raises:
            ValueError: no batches.
        """
        metrics = Metrics()
        with self.evaluating():
            for images, labels in batches:
                images, labels = self.placed(images, labels)
                if images.ndim == 5:
                    scores = self._log_probabilities(images)
                    loss = mg.cross_entropy(scores, labels)
                else:
                    with self._autocasting():
                        output = self.model(images)
                        scores, loss = self.to_scores(output), self.criterion(output, labels)
                metrics.update(scores, labels, loss.item())
        if not metrics.count:
            raise ValueError("batches is empty: there is nothing to evaluate on")
        return metrics

    def predict(self, images: Any) -> np.ndarray:
        """The probability of each class, float32 (N, C): of images (N, C, H, W), or views (N, views, C, H, W)."""
        with self.evaluating():
            return mg.exp(self._log_probabilities(self.placed(images)[0])).to("cpu").numpy()

    @contextmanager
    def evaluating(self) -> Iterator[Module]:
        """The model as it is evaluated: in evaluation mode, with the averaged weights, and nothing is recorded."""
        modes = [(module, module.training) for module in self.model.modules()]
        average = self.average if self.average is not None and self.average.n_averaged else None
        try:
            self.model.eval()
            with no_grad(), nullcontext() if average is None else average.applied_to(self.model):
                yield self.model
        finally:
            for module, mode in modes:
                module.training = mode

    def _log_probabilities(self, images: Tensor) -> Tensor:
        """The logarithm of the mean over the views, finite also where each probability is too small for a float."""
        views = images.shape[1] if images.ndim == 5 else 1
        with self._autocasting():
            scores = self.to_scores(self.model(images.reshape(-1, *images.shape[-3:])))
        logs = mg.log_softmax(scores.to("float32"), axis=1).reshape(-1, views, scores.shape[1])
        return mg.logsumexp(logs, axis=1) - math.log(views)

    def _autocasting(self) -> Any:
        return nullcontext() if self.autocast is None else mg.autocast(self.autocast)

    def placed(self, *arrays: Any) -> list[Tensor]:
        """The arrays as Tensors where the model is."""
        device = next(self.model.parameters()).device
        return [asarray(array).to(device) for array in arrays]

    # ---- stopping and going on --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit: everything that learns, the random numbers, the loader's place."""
        return collected(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where the trainer of `state_dict()` was; it must have been made of the same parts.

        Raises:
            ValueError: a state of other parts; nothing has been changed then.
        """
        restore(self, state)

    def save(self) -> None:
        """Write a checkpoint now, if there is a place for them."""
        if self.checkpoints is not None:
            last = self.history[-1] if self.history and self._metrics is None else {}
            numbers = {name: value for name, value in last.items() if isinstance(value, Real)}
            self.checkpoints.save(self.state_dict(), self.step, numbers)

    def resume(self) -> bool:
        """Load the newest checkpoint; False if there is none yet.

        Raises:
            ValueError: none of the checkpoints can be read, or it is of other parts.
        """
        found = None if self.checkpoints is None else self.checkpoints.latest()
        if found is None:
            return False
        path, state = found
        try:
            self.load_state_dict(state)
        except ValueError as error:
            error.add_note(f"while resuming from {path}")
            raise
        return True

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Tell callbacks of the start and the end; after an error or a Ctrl-C the next `fit` goes on in mid-epoch."""
        self._tell("on_fit_start")
        try:
            with self._interrupt:
                yield
        except KeyboardInterrupt as stop:
            if self.checkpoints is not None and not stop.args:
                stop.args = (f"stopped after step {self.step}; resume() goes on from {self.checkpoints.folder}",)
            raise
        finally:
            if self._metrics is not None and self._loader is not None:
                self._loader_state = self._loader.state_dict()
            self._tell("on_fit_end")

    def _all_seen(self) -> bool:
        """Whether the epoch under way has had all its batches: the loader stands at the next epoch then."""
        return (
            self._loader is not None
            and self._metrics is not None
            and bool(self._metrics.count and self._loader.state_dict()["batch"] == 0)
        )

    def _save_within_epoch(self) -> bool:
        """Save after a step; False after the last one of an epoch, which is finished first, and saved then."""
        if self._all_seen():
            return False
        if self._loader is not None:
            self.save()
        return True

    def _tell(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)


def _summary(metrics: Metrics) -> dict[str, float]:
    return {name: getattr(metrics, name) for name in ("loss", "top1", "top5")}
