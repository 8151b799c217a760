"""The historical convolutional networks."""

if __name__ != "minigrad.models":
    raise ImportError(
        f"this folder is the package minigrad.models; imported as {__name__!r} it would be a second copy: use "
        f"`from minigrad import models`"
    )

from minigrad.models.lenet import LeNet5, lenet5
from minigrad.models.summary import Summary, smallest_input, summary

__all__ = ["LeNet5", "Summary", "lenet5", "smallest_input", "summary"]
