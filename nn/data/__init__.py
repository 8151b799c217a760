"""Data sets."""

from minigrad.nn.data.digits import digits

__all__ = ["digits"]
