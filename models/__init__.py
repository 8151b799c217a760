"""The historical convolutional networks."""

if __name__ != "minigrad.models":
    raise ImportError(
        f"this folder is the package minigrad.models; imported as {__name__!r} it would be a second copy: use "
        f"`from minigrad import models`"
    )

from minigrad.models.lecun_1989 import LeCun1989, lecun1989
from minigrad.models.lenet import LeNet5, lenet5
from minigrad.models.lenet_1998 import LeNet5_1998, lenet5_1998

__all__ = ["LeCun1989", "LeNet5", "LeNet5_1998", "lecun1989", "lenet5", "lenet5_1998"]
