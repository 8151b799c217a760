"""Embedding: a learned vector for each of a number of things."""

from __future__ import annotations

from typing import Any, Self

from minigrad import Tensor, asarray, no_grad, where, zeros
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


class Embedding(Module):
    """The rows of a table at integer indices, (...) -> (..., embedding_dim).

    Args:
        num_embeddings: how many rows the table has.
        embedding_dim: how many numbers each has.
        padding_idx: a row that starts at zero and gets no gradient; a negative one counts from the end.

    PyTorch's `max_norm`, `scale_grad_by_freq` and `sparse` do not exist here.

    Attributes:
        weight: (num_embeddings, embedding_dim), drawn from N(0, 1).

    Raises:
        ValueError: a padding_idx that the table does not have.
        TypeError: indices that are not integers.
        IndexError: an index outside 0 ... num_embeddings - 1.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.Embedding(10, 3, padding_idx=0)
    >>> layer(mg.tensor([[2, 0, 5]])).shape, layer(mg.tensor([0]))
    ((1, 3, 3), tensor([[0., 0., 0.]], op=where))
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None):
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must name one of the {num_embeddings} rows, got {padding_idx}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(zeros((num_embeddings, embedding_dim)))
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Self:
        """A layer with a copy of this table, (num_embeddings, embedding_dim); `freeze` means that it is not learned."""
        table = asarray(embeddings)
        if table.ndim != 2:
            raise ValueError(f"embeddings must be a table, (num_embeddings, embedding_dim), got shape {table.shape}")
        rows, columns = table.shape
        layer = cls(rows, columns, padding_idx)
        layer.weight = Parameter(table.detach(), requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw new initial values, as PyTorch does."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, x: Tensor) -> Tensor:
        """(...), integers -> (..., embedding_dim)."""
        if x.dtype.kind not in "iu":
            raise TypeError(f"Embedding expects integer indices, got {x.dtype}")
        if x.size and not (x.min().item() >= 0 and x.max().item() < self.num_embeddings):
            low, high = x.min().item(), x.max().item()
            raise IndexError(
                f"Embedding expects indices in 0 ... {self.num_embeddings - 1}, got "
                f"{low if low < 0 else high} in an input of shape {x.shape}"
            )
        rows = self.weight[x]
        if self.padding_idx is None:
            return rows
        return where((x == self.padding_idx)[..., None], rows.detach(), rows)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
