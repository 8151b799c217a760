"""The historical convolutional networks."""

if __name__ != "minigrad.models":
    raise ImportError(
        f"this folder is the package minigrad.models; imported as {__name__!r} it would be a second copy: use "
        f"`from minigrad import models`"
    )

from minigrad.models.lenet import LeNet5, lenet5
from minigrad.models.pattern import convnet, from_pattern, to_pattern

__all__ = ["LeNet5", "convnet", "from_pattern", "lenet5", "to_pattern"]
