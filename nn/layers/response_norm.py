"""Local response normalisation, with which AlexNet and GoogLeNet were published."""

from __future__ import annotations

from typing import Literal

from minigrad import Tensor, local_response_norm
from minigrad.nn.module import Module


class LocalResponseNorm(Module):
    """`x / (k + alpha/n * sum of x^2 over a window)**beta`: what responds strongly holds its neighbours back.

    Across channels the window has `size` of them (n = size), around each channel and as far as there are channels.
    Within a channel it has `size` elements along every spatial axis (n = size * ... * size), borders counting as 0.

    Args:
        size: the width of the window.
        alpha, beta, k: the constants. AlexNet: size 5, alpha 1e-4, beta 0.75, k 2, in the form of the paper.
        form: what alpha means: "pytorch" (and Caffe) divides it by n, as above; "paper" does not.
        region: "across" the channels, or "within" each (WITHIN_CHANNEL in Caffe).

    Raises:
        ValueError: an even `size` within channels, or another form.

    Source: A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012, section 3.3.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LocalResponseNorm(3, alpha=3.0, beta=1.0)(mg.ones((1, 3, 1, 1))).reshape(-1)
    tensor([0.33333334, 0.25      , 0.33333334])
    >>> nn.LocalResponseNorm(5, k=2.0, form="paper")
    LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=2.0, form='paper')
    """

    def __init__(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        form: Literal["pytorch", "paper"] = "pytorch",
        region: Literal["across", "within"] = "across",
    ):
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k
        self.form = form
        self.region = region

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial), the same shape."""
        options = {"alpha": self.alpha, "beta": self.beta, "k": self.k, "form": self.form, "region": self.region}
        return local_response_norm(x, self.size, **options)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them, and what else differs from the defaults."""
        text = f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
        text += f", form={self.form!r}" if self.form != "pytorch" else ""
        return text + (f", region={self.region!r}" if self.region != "across" else "")
