"""Averages of a model's weights over training, to evaluate with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import Tensor, asarray, no_grad
from minigrad.backend import shape_of
from minigrad.nn.layers.batch_norm import BatchNorm
from minigrad.nn.module import Module


class WeightAverage(ABC):
    """A running average a of everything in a model's state dict, x: at update number n = 0, 1, ...::

        a = x                            n = 0
        a = a + weight(n) * (x - a)      then

    Abstract: a subclass defines `weight`. Buffers are averaged like parameters (PyTorch asks for use_buffers=True), and
    what is not floating, such as a count of batches, is copied. Averages of float16 are kept in float32.

    Attributes:
        average: the averages, by the names of the state dict.
        n_averaged: the number of updates so far.
    """

    def __init__(self, model: Module):
        if not isinstance(model, Module):
            raise TypeError(f"model must be a Module, got {type(model).__name__}")
        self.average = {name: _wide(value) for name, value in model.state_dict().items()}
        self.n_averaged = 0

    @abstractmethod
    def weight(self, n: int) -> float:
        """How far update number `n` goes towards the model, from 0 to 1."""

    def update(self, model: Module) -> None:
        """Take the present weights of the model into the average: usually after each step of the optimizer.

        Raises:
            ValueError: a model with other names or shapes; nothing has been changed then.
        """
        state = model.state_dict()
        _check_same(state, self.average, "the model")
        weight = self.weight(self.n_averaged) if self.n_averaged else 1.0
        with no_grad(), np.errstate(all="ignore"):  # a diverging run shows nan, as everywhere in minigrad
            for name, a in self.average.items():
                if weight == 1 or a.dtype.kind != "f":
                    a.copy_(state[name].to(a.device))
                else:
                    x = _wide(state[name]).to(a.device)  # the copy that state_dict made, so we may compute in it
                    x -= a
                    x *= weight
                    a += x
        self.n_averaged += 1

    @contextmanager
    def applied_to(self, model: Module) -> Iterator[Module]:
        """Evaluate with the average: the model has it inside the `with` block, and its own weights again after it.

        >>> from minigrad import nn
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = nn.averaging.AveragedModel(model)
        >>> for value in (1.0, 3.0):
        ...     _ = model.load_state_dict({"weight": [[value]]})
        ...     average.update(model)
        >>> with average.applied_to(model):
        ...     print(model.weight.item())
        2.0
        >>> model.weight.item()
        3.0
        """
        own = model.state_dict()
        model.load_state_dict(self.average)
        try:
            yield model
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """A copy of the averages, and the number of updates: {"n_averaged": int, "average": {name: Tensor}}."""
        return {"n_averaged": self.n_averaged, "average": {name: a.copy() for name, a in self.average.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the average of `state_dict()` was.

        Raises:
            ValueError: an average of another model; nothing has been changed then.
        """
        if not {"n_averaged", "average"} <= state.keys():
            raise ValueError(
                f'a state has the keys "n_averaged" and "average", as state_dict() gives, got {list(state)}'
            )
        _check_same(state["average"], self.average, "the state")
        for name, a in self.average.items():
            a.copy_(asarray(state["average"][name], a.dtype, a.device))
        self.n_averaged = int(state["n_averaged"])

    def __repr__(self) -> str:
        options = [f"{name}={value}" for name, value in vars(self).items() if name != "average"]
        return f"{type(self).__name__}({', '.join(options)})"


class EMA(WeightAverage):
    """An exponential moving average: a = decay * a + (1 - decay) * x.

    Args:
        model: whose weights are averaged.
        decay: how slowly the past is forgotten, from 0 to 1; the memory is about 1 / (1 - decay) updates long.
        warmup: use min(decay, (1 + n) / (10 + n)) at update n, so that the first weights are forgotten soon.

    Raises:
        TypeError: something else than a Module.
        ValueError: a decay outside [0, 1].

    Source: A. Tarvainen, H. Valpola: Mean teachers are better role models, NIPS 2017, section 2; the form with warm-up
    is that of TensorFlow's ExponentialMovingAverage with num_updates.

    >>> from minigrad import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = EMA(model, decay=0.75)
    >>> for value in (0.0, 4.0):
    ...     _ = model.load_state_dict({"weight": [[value]]})
    ...     average.update(model)
    >>> average.average["weight"]
    tensor([[1.]])
    """

    def __init__(self, model: Module, decay: float = 0.999, warmup: bool = False):
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be from 0 to 1, got {decay}")
        super().__init__(model)
        self.decay = decay
        self.warmup = warmup

    def weight(self, n: int) -> float:
        """1 - decay, or more at first with `warmup`."""
        return 1 - (min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay)


class AveragedModel(WeightAverage):
    """The plain mean of all weights that it was given: a = a + (x - a) / (n + 1).

    Updated after every step it is Polyak averaging, as GoogLeNet used it. Updated once in a while, late in training, at
    a constant or cyclic learning rate (`nn.schedule.SWALR`), it is stochastic weight averaging; networks with batch
    normalization then want `update_bn`. Unlike PyTorch's, it is not a Module: see `applied_to`.

    Args:
        model: whose weights are averaged.

    Raises:
        TypeError: something else than a Module.

    Source: B. Polyak, A. Juditsky: Acceleration of Stochastic Approximation by Averaging, SIAM Journal on Control and
    Optimization 1992; P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. Wilson: Averaging Weights Leads to Wider
    Optima and Better Generalization, UAI 2018, algorithm 1.

    >>> from minigrad import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = model.load_state_dict({"weight": [[value]]})
    ...     average.update(model)
    >>> average.average["weight"]
    tensor([[3.]])
    """

    def weight(self, n: int) -> float:
        """1 / (n + 1)."""
        return 1 / (n + 1)


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Compute the running statistics of all batch norms anew: their plain means over the batches.

    Averaged weights need it, for the statistics of no single model fit them: call it inside `applied_to`, or after
    loading the average into a model. The mode and the momenta are as before afterwards, even after an error.

    Args:
        loader: batches: arrays or Tensors, or lists or tuples whose first element is the input.
        model: the model, which is called on each batch in training mode.

    Source: P. Izmailov et al.: Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018,
    section 3.2.
    """
    layers = [module for module in model.modules() if isinstance(module, BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        with no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _wide(x: Tensor) -> Tensor:
    return x.to(np.float32) if x.dtype == np.float16 else x  # a step of 0.001 would be lost in 11 bits


def _check_same(state: Mapping[str, Any], average: Mapping[str, Tensor], whose: str) -> None:
    """Raise ValueError unless the names and shapes are those that are averaged."""
    theirs, ours = ({name: shape_of(x) for name, x in d.items()} for d in (state, average))
    if theirs != ours:
        different = sorted({*theirs.items()} ^ {*ours.items()})
        raise ValueError(f"{whose} is not what is averaged here: names or shapes differ, as {different[0]}")
