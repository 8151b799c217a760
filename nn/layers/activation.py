"""Activations as layers: mostly the ops of the same names, for use in a Sequential.

Those that work element by element take an input of any shape. Where PyTorch's layer has an argument `inplace`, this one
takes it too, so that ported code runs: it shows in the repr and changes nothing else, since an op never overwrites its
input here.
"""

from __future__ import annotations

import minigrad
from minigrad import Tensor, full
from minigrad.autocast import under_autocast
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter


class Inplace(Module):
    """What the activations with PyTorch's argument `inplace` share: they accept it, and leave their input as it is.

    Abstract.
    """

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def extra_repr(self) -> str:
        """`inplace=True` where it was asked for, as PyTorch shows it."""
        return "inplace=True" if self.inplace else ""

    def shown(self, text: str) -> str:
        """The other arguments, with `inplace` after them where it was asked for."""
        return f"{text}, inplace=True" if self.inplace else text


# ---- with a kink ----------------------------------------------------------------------------------------------------


class ReLU(Inplace):
    """max(x, 0) of each element; its derivative at 0 is 0: `minigrad.relu`.

    Args:
        inplace: accepted and ignored.

    Source: V. Nair, G. Hinton: Rectified Linear Units Improve Restricted Boltzmann Machines, ICML 2010.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ReLU()(mg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return minigrad.relu(x)


class ReLU6(Inplace):
    """min(max(x, 0), 6) of each element; its derivative at 0 and at 6 is 0: `minigrad.relu6`.

    Args:
        inplace: accepted and ignored.

    Source: A. Krizhevsky: Convolutional Deep Belief Networks on CIFAR-10, 2010.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ReLU6()(mg.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """min(max(x, 0), 6)."""
        return minigrad.relu6(x)


class LeakyReLU(Inplace):
    """x where x > 0, else negative_slope * x: `minigrad.leaky_relu`.

    Args:
        negative_slope: the slope below 0, and at 0.
        inplace: accepted and ignored.

    Source: A. Maas, A. Hannun, A. Ng: Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML 2013
    workshop.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LeakyReLU(0.25)(mg.tensor([-2.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """x where x > 0, else negative_slope * x."""
        return minigrad.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope, as PyTorch shows it."""
        return self.shown(f"negative_slope={self.negative_slope}")


class PReLU(Module):
    """x where x > 0, else weight * x, with a learned slope for all channels or for each: `minigrad.prelu`.

    Args:
        num_parameters: 1, or the number of channels, the second axis of the input.
        init: the first value of the slopes.

    Attributes:
        weight: (num_parameters,).

    Raises:
        ValueError: an input with another number of channels.

    Source: K. He, X. Zhang, S. Ren, J. Sun: Delving Deep into Rectifiers, ICCV 2015, section 2.1, equation 1.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.PReLU()(mg.tensor([-2.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full(num_parameters, init))

    def reset_parameters(self) -> None:
        """Set the slopes to their first value."""
        init.constant_(self.weight, self.init)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...), or any shape with one slope, -> the same shape."""
        return minigrad.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes, as PyTorch shows it."""
        return f"num_parameters={self.num_parameters}"


class Hardtanh(Inplace):
    """x limited to [min_val, max_val]; its derivative is 0 at the bounds and beyond: `minigrad.hardtanh`.

    Args:
        min_val, max_val: the bounds.
        inplace: accepted and ignored.

    Raises:
        ValueError: a min_val that is not below max_val.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Hardtanh(-1, 2)(mg.tensor([-3.0, 0.5, 3.0]))
    tensor([-1. ,  0.5,  2. ])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
        if not min_val < max_val:
            raise ValueError(f"min_val must be below max_val, got min_val={min_val} and max_val={max_val}")
        super().__init__(inplace)
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: Tensor) -> Tensor:
        """min(max(x, min_val), max_val)."""
        return minigrad.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The bounds, as PyTorch shows them."""
        return self.shown(f"min_val={self.min_val}, max_val={self.max_val}")


class Hardsigmoid(Inplace):
    """relu6(x + 3) / 6 of each element: a sigmoid of three straight lines.

    Args:
        inplace: accepted and ignored.

    Source: A. Howard et al.: Searching for MobileNetV3, ICCV 2019, section 5.2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Hardsigmoid()(mg.tensor([-4.0, 0.0, 4.0]))
    tensor([0. , 0.5, 1. ])
    """

    def forward(self, x: Tensor) -> Tensor:
        """relu6(x + 3) / 6."""
        return minigrad.relu6(x + 3) / 6

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class Hardswish(Inplace):
    """x * relu6(x + 3) / 6 of each element: silu with `Hardsigmoid` for its sigmoid.

    Args:
        inplace: accepted and ignored.

    Source: A. Howard et al.: Searching for MobileNetV3, ICCV 2019, section 5.2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Hardswish()(mg.tensor([-4.0, 3.0, 4.0]))
    tensor([-0.,  3.,  4.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """x * relu6(x + 3) / 6."""
        return x * (minigrad.relu6(x + 3) / 6)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class Maxout(Module):
    """The largest of each `pieces` channels that lie side by side: a learned convex function of straight pieces.

    `out[:, i] = max(x[:, i*pieces], ..., x[:, i*pieces + pieces - 1])`, (N, pieces*C, ...) -> (N, C, ...): after a
    `Linear` or a convolution with pieces*C outputs it makes the maxout layer of the source, of C units.

    Args:
        pieces: how many linear pieces each unit has, k in the source.

    Elements that tie for the largest share the gradient.

    Raises:
        ValueError: fewer than one piece, or an input whose channels are not a multiple of the pieces.

    Source: I. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville, Y. Bengio: Maxout Networks, ICML 2013, section 3.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Maxout(2)(mg.tensor([[1.0, 3.0, 5.0, -4.0]]))
    tensor([[3., 5.]])
    >>> nn.Sequential(nn.Conv2d(3, 8 * 4, 5), nn.Maxout(4))(mg.zeros((1, 3, 9, 9))).shape
    (1, 8, 5, 5)
    """

    def __init__(self, pieces: int):
        if pieces < 1:
            raise ValueError(f"pieces must be at least 1, got {pieces}")
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """(N, pieces*C, ...) -> (N, C, ...)."""
        if x.ndim < 2 or x.shape[1] % self.pieces:
            raise ValueError(
                f"Maxout expects (N, C, ...) with C a multiple of pieces={self.pieces}, got an input of shape {x.shape}"
            )
        apart = x.reshape(x.shape[0], x.shape[1] // self.pieces, self.pieces, *x.shape[2:])
        return minigrad.in_order(minigrad.max(apart, 2), x._array.strides)  # CuPy's reductions are row-major

    def extra_repr(self) -> str:
        """The number of pieces."""
        return f"pieces={self.pieces}"


# ---- smooth ---------------------------------------------------------------------------------------------------------


class Tanh(Module):
    """The hyperbolic tangent of each element.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Tanh()(mg.tensor([0.0, 100.0]))
    tensor([0., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x)."""
        return minigrad.tanh(x)


class ScaledTanh(Module):
    """amplitude * tanh(slope * x) of each element: LeNet's squashing function, which maps 1 to 1 and -1 to -1.

    Args:
        amplitude: A in the source.
        slope: S in the source.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, appendix A.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ScaledTanh()(mg.tensor([0.0, 100.0]))
    tensor([0.    , 1.7159])
    """

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3):
        self.amplitude = amplitude
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """amplitude * tanh(slope * x)."""
        return self.amplitude * minigrad.tanh(self.slope * x)

    def extra_repr(self) -> str:
        """Both factors."""
        return f"amplitude={self.amplitude}, slope={self.slope}"


class Sigmoid(Module):
    """1 / (1 + exp(-x)) of each element.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Sigmoid()(mg.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        """1 / (1 + exp(-x))."""
        return minigrad.sigmoid(x)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))) of each element, without overflow: `minigrad.logsigmoid`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LogSigmoid()(mg.tensor([-1000.0, 1000.0]))
    tensor([-1000.,    -0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """log(sigmoid(x))."""
        return minigrad.logsigmoid(x)


class Softsign(Module):
    """x / (1 + |x|) of each element.

    Source: X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS
    2010, section 2.3.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Softsign()(mg.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    def forward(self, x: Tensor) -> Tensor:
        """x / (1 + |x|)."""
        return x / (1 + minigrad.abs(x))


class Softplus(Module):
    """log(1 + exp(beta*x)) / beta of each element, a smooth ReLU: `minigrad.softplus`.

    Args:
        beta: how sharp the bend is.
        threshold: where beta*x is above it, the result is x; the default is PyTorch's, `float("inf")` the exact
            function, which does not overflow here.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Softplus()(mg.tensor([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """log(1 + exp(beta*x)) / beta, or x."""
        return minigrad.where(x * self.beta > self.threshold, x, minigrad.softplus(x, self.beta))

    def extra_repr(self) -> str:
        """Both arguments, as PyTorch shows them."""
        return f"beta={self.beta}, threshold={self.threshold}"


class ELU(Inplace):
    """x where x > 0, else alpha * (exp(x) - 1): `minigrad.elu`.

    Args:
        alpha: minus the limit towards minus infinity.
        inplace: accepted and ignored.

    Source: D.-A. Clevert, T. Unterthiner, S. Hochreiter: Fast and Accurate Deep Network Learning by Exponential Linear
    Units, ICLR 2016, equation 15.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.ELU()(mg.tensor([-100.0, 2.0]))
    tensor([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """x where x > 0, else alpha * (exp(x) - 1)."""
        return minigrad.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return self.shown(f"alpha={self.alpha}")


class CELU(Inplace):
    """x where x > 0, else alpha * (exp(x/alpha) - 1): an ELU whose slope at 0 is 1 for every alpha.

    Args:
        alpha: minus the limit towards minus infinity, above 0 (PyTorch takes a negative one too).
        inplace: accepted and ignored.

    Raises:
        ValueError: an alpha that is not above 0.

    Source: J. Barron: Continuously Differentiable Exponential Linear Units, arXiv 1704.07483, 2017.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.CELU(2.0)(mg.tensor([-100.0, 2.0]))
    tensor([-2.,  2.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, got {alpha}")
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """x where x > 0, else alpha * (exp(x/alpha) - 1)."""
        return self.alpha * minigrad.elu(x / self.alpha)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch shows them."""
        return self.shown(f"alpha={self.alpha}")


class SELU(Inplace):
    """1.0507 * elu(x, 1.6733): keeps mean 0 and variance 1 from layer to layer: `minigrad.selu`.

    Args:
        inplace: accepted and ignored.

    Source: G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter: Self-Normalizing Neural Networks, NIPS 2017,
    equation 2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.SELU()(mg.tensor([-100.0, 1.0]))
    tensor([-1.7580993,  1.050701 ])
    """

    def forward(self, x: Tensor) -> Tensor:
        """1.0507 * elu(x, 1.6733)."""
        return minigrad.selu(x)


class GELU(Module):
    """x times the normal distribution function at x: `minigrad.gelu`.

    Args:
        approximate: "none", or "tanh" for an approximation with tanh.

    Raises:
        ValueError: another `approximate`, when the layer is called.

    Source: D. Hendrycks, K. Gimpel: Gaussian Error Linear Units, arXiv 1606.08415, 2016, section 2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.GELU()(mg.tensor([-100.0, 0.0, 100.0]))
    tensor([ -0.,   0., 100.])
    """

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """x * (1 + erf(x/sqrt(2))) / 2."""
        return minigrad.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """The argument, as PyTorch shows it."""
        return f"approximate={self.approximate!r}"


class SiLU(Inplace):
    """x * sigmoid(x) of each element, also called swish: `minigrad.silu`.

    Args:
        inplace: accepted and ignored.

    Source: S. Elfwing, E. Uchibe, K. Doya: Sigmoid-Weighted Linear Units for Neural Network Function Approximation in
    Reinforcement Learning, Neural Networks 107, 2018.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.SiLU()(mg.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """x * sigmoid(x)."""
        return minigrad.silu(x)


class Mish(Inplace):
    """x * tanh(log(1 + exp(x))) of each element.

    Args:
        inplace: accepted and ignored.

    Source: D. Misra: Mish: A Self Regularized Non-Monotonic Activation Function, BMVC 2020.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Mish()(mg.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    @under_autocast("same")
    def forward(self, x: Tensor) -> Tensor:
        """x * tanh(softplus(x))."""
        return x * minigrad.tanh(minigrad.softplus(x))


# ---- along an axis --------------------------------------------------------------------------------------------------


class Softmax(Module):
    """exp(x) / sum(exp(x)) along the axis `dim` (PyTorch's name; it may not be left out here).

    `CrossEntropyLoss` takes logits: put no Softmax before it.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Softmax(dim=1)(mg.zeros((1, 4)))
    tensor([[0.25, 0.25, 0.25, 0.25]])
    """

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; each slice along `dim` is positive and sums to 1."""
        return minigrad.softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x - log(sum(exp(x))) along the axis `dim` (it may not be left out here): `minigrad.log_softmax`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LogSoftmax(dim=1)(mg.zeros((1, 2)))
    tensor([[-0.6931472, -0.6931472]])
    """

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; each slice along `dim` holds the logarithms of numbers that sum to 1."""
        return minigrad.log_softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class GLU(Module):
    """a * sigmoid(b), where a and b are the halves of x along the axis `dim`.

    Args:
        dim: the axis that is halved: its size must be even.

    Raises:
        ValueError: an axis that the input does not have, or one of odd size.

    Source: Y. Dauphin, A. Fan, M. Auli, D. Grangier: Language Modeling with Gated Convolutional Networks, ICML 2017,
    section 2.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.GLU()(mg.tensor([3.0, 4.0, 0.0, 100.0]))
    tensor([1.5, 4. ])
    """

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2*n, ...) -> (..., n, ...)."""
        if not -x.ndim <= self.dim < x.ndim or x.shape[self.dim] % 2:
            raise ValueError(f"GLU expects an even size along dim={self.dim}, got an input of shape {x.shape}")
        a, b = minigrad.split(x, 2, self.dim)
        return a * minigrad.sigmoid(b)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
