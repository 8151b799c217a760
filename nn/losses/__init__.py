"""Losses as modules."""

from minigrad.nn.losses.classification import CrossEntropyLoss

__all__ = ["CrossEntropyLoss"]
