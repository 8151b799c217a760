"""Batch norm: each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted as learned."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor, batch_norm_act, no_grad, ones, zeros
from minigrad.nn.layers.images import expect_images
from minigrad.nn.module import Module
from minigrad.nn.parameter import Buffer, Parameter, Uninitialized, UninitializedBuffer, UninitializedParameter
from minigrad.window import AXES


class RunningNorm(Module):
    """A norm of channels that keeps running statistics: what batch norm and instance norm share. Abstract.

    A subclass sets `ranks`, how many spatial axes it takes, and defines `forward`.
    """

    ranks: tuple[int, ...]
    may_be_missing = ("num_batches_tracked",)

    def __init__(
        self,
        num_features: int | None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ):
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        known = num_features is not None
        n = num_features or 0
        self.weight = None if not affine else Parameter(ones(n)) if known else UninitializedParameter()
        self.bias = None if not (affine and bias) else Parameter(zeros(n)) if known else UninitializedParameter()
        tracked = track_running_stats
        self.running_mean = None if not tracked else Buffer(zeros(n)) if known else UninitializedBuffer()
        self.running_var = None if not tracked else Buffer(ones(n)) if known else UninitializedBuffer()
        self.num_batches_tracked = Buffer(0) if tracked else None

    def reset_running_stats(self) -> None:
        """Forget all batches."""
        with no_grad():
            for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
                if buffer is not None and not isinstance(buffer, Uninitialized):
                    buffer.copy_(value)

    def reset_parameters(self) -> None:
        """Forget all batches and all that was learned."""
        self.reset_running_stats()
        with no_grad():
            for parameter, value in ((self.weight, 1), (self.bias, 0)):
                if parameter is not None and not isinstance(parameter, Uninitialized):
                    parameter.copy_(value)

    def _by_running(self, x: Tensor, **options: Any) -> Tensor:
        """x, normalised by the running statistics."""
        return batch_norm_act(x, self.weight, self.bias, mean=self.running_mean, var=self.running_var, **options)

    def _follow(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the running statistics towards those of a batch of n values for each channel."""
        rate = self.momentum
        if rate is None and self.num_batches_tracked is not None:
            rate = 1 / self.num_batches_tracked.item()
        with no_grad():
            for running, batch in ((self.running_mean, mean), (self.running_var, var * (n / (n - 1)))):
                if running is not None:
                    running.copy_(running + rate * (batch - running))

    def _accept(self, x: Tensor) -> None:
        if x.ndim - 2 not in self.ranks:
            shapes = " or ".join(f"(N, C, {AXES[n]})" if n else "(N, C)" for n in self.ranks)
            raise ValueError(f"{type(self).__name__} expects {shapes}, got an input of shape {x.shape}")
        if self.num_features is None:
            self.num_features = x.shape[1]
            starts = ((self.weight, ones), (self.bias, zeros), (self.running_mean, zeros), (self.running_var, ones))
            for value, start in starts:
                if isinstance(value, Uninitialized):
                    value.materialize(start(x.shape[1]))
        expect_images(self, x, x.ndim - 2, self.num_features)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm(RunningNorm):
    """What the batch norms share. Abstract: a subclass sets `ranks`, how many spatial axes it takes.

    `(x - mean) / sqrt(var + eps) * weight + bias`, for each channel, and if asked for a residual is added and an
    activation applied in the same pass: `bn(x, residual=shortcut, activation="relu")`.

    While training, mean and var (divided by n) are those of the batch and the spatial axes, and the running statistics
    move towards them: `running = (1 - momentum) * running + momentum * batch`, with the variance divided by n - 1. In
    eval mode the running statistics are used.

    Args:
        num_features: the number of channels; None takes it from the first batch.
        eps: keeps the division finite.
        momentum: how fast the running statistics follow; None gives each batch the same weight.
        affine: whether there is a weight.
        bias: whether there is a bias too.
        track_running_stats: without, the batch's own statistics are used in eval mode too.

    Attributes:
        weight, bias: (num_features,), at first 1 and 0; None where there is none.
        running_mean, running_var: (num_features,), at first 0 and 1; None without `track_running_stats`.
        num_batches_tracked: how many batches have been seen, one int64; state dicts from before PyTorch 0.4.1 lack it.

    Raises:
        ValueError: an input of another rank or with other channels, or, while training, a single value in each channel.

    Source: S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", 2015, algorithms 1 and 2.
    """

    def forward(self, x: Tensor, residual: Tensor | None = None, activation: str | None = None) -> Tensor:
        """The same shape; see `minigrad.batch_norm_act` for the residual and the activation."""
        self._accept(x)
        options = {"eps": self.eps, "residual": residual, "activation": activation}
        if not self.training and self.running_mean is not None:
            return self._by_running(x, **options)
        out, mean, var = batch_norm_act(x, self.weight, self.bias, return_statistics=True, **options)
        if self.training and self.num_batches_tracked is not None:
            with no_grad():
                self.num_batches_tracked.copy_(self.num_batches_tracked + 1)
            self._follow(mean, var, x.size // x.shape[1])
        return out


class BatchNorm1d(BatchNorm):
    """Batch norm of (N, C) or (N, C, L).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> bn = nn.BatchNorm1d(2)
    >>> bn(mg.tensor([[1.0, 10.0], [3.0, 30.0]])).detach().numpy().round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> bn.running_mean
    Buffer containing:
    tensor([0.2, 2. ])
    """

    ranks = (0, 1)


class BatchNorm2d(BatchNorm):
    """Batch norm of (N, C, H, W).

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> bn = nn.BatchNorm2d(3)
    >>> x = mg.randn(2, 3, 4, 4)
    >>> bn(x, residual=x, activation="relu").shape
    (2, 3, 4, 4)
    """

    ranks = (2,)


class BatchNorm3d(BatchNorm):
    """Batch norm of (N, C, D, H, W)."""

    ranks = (3,)
