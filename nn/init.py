"""Initial values of parameters, with PyTorch's names, formulas and defaults.

Each function fills a tensor in place, without recording it, and returns it. The random ones draw from `generator`, by
default the generator that `minigrad.manual_seed` restarts, always in row-major order on the CPU: the values depend
neither on the memory order of the tensor nor on its device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Literal

import numpy as np

from minigrad import Tensor, asarray, no_grad
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter, Uninitialized
from minigrad.random import default_generator

Mode = Literal["fan_in", "fan_out"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs one output of a weight sees, and how many outputs one input reaches: (fan_in, fan_out).

    For the shape (out, in, *kernel) these are in * prod(kernel) and out * prod(kernel). That is what PyTorch computes,
    and what the functions below go by; of a convolution with groups, of a transposed one, of an embedding and of other
    weights that lie otherwise, `fans_of` tells the true numbers.

    Raises:
        ValueError: a shape of fewer than two axes.

    >>> fans((16, 6, 5, 5))
    (150, 400)
    """
    if len(shape) < 2:
        raise ValueError(
            f"fan_in and fan_out need a weight of at least two axes, (out, in, *kernel), got shape {shape}"
        )
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def fans_of(layer: Module) -> tuple[int, int]:
    """How many inputs one output of a layer sees, and how many outputs one input reaches: (fan_in, fan_out).

    Groups, transposed kernels and unshared weights are accounted for; strides and borders are not, as in the sources of
    the initialisers. An output of a `Bilinear` is a sum over pairs of inputs, and one of an `Embedding` is a single
    weight.

    Raises:
        TypeError: a module that is not one of the layers with weights.
        ValueError: a layer that gets its size from the first batch, before that; a convolution with a table of
            connections, whose outputs each see their own number of inputs.

    >>> from minigrad import nn
    >>> fans_of(nn.Conv2d(8, 6, 5, groups=2)), fans_of(nn.ConvTranspose2d(8, 6, 5, groups=2))
    ((100, 75), (100, 75))
    """
    # Imported here, since the layers draw their initial values with this file.
    from minigrad.nn.layers import bilinear, conv, embedding, lenet, linear, local

    if isinstance(layer, conv.ConvNd) and layer.connections is not None:
        raise ValueError("with connections each output channel sees its own number of inputs: use layer.by_fan_in()")
    if isinstance(layer, (linear.Linear, conv.Convolution)):
        _need_size(layer, layer.weight)
        fan_in, fan_out = fans(layer.weight.shape)
        if isinstance(layer, linear.Linear):
            return fan_in, fan_out
        fan_out //= layer.groups
        return (fan_out, fan_in) if layer.transposed else (fan_in, fan_out)
    if isinstance(layer, local.LocallyConnected2d):
        taps = math.prod(layer.kernel_size)
        return layer.in_channels * taps, layer.out_channels * taps
    if isinstance(layer, bilinear.Bilinear):
        return layer.in1_features * layer.in2_features, layer.in2_features * layer.out_features
    if isinstance(layer, embedding.Embedding):
        return 1, layer.embedding_dim
    if isinstance(layer, lenet.Subsampling):
        return math.prod(layer.kernel_size), 1
    raise TypeError(f"fans_of knows the layers with weights, from Linear to Subsampling, got {type(layer).__name__}")


def _need_size(layer: Module, weight: Parameter) -> None:
    if isinstance(weight, Uninitialized):
        raise ValueError(f"{layer!r} has no size yet: run a batch through the model first")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights are scaled so that a signal keeps its size through a nonlinearity.

    1 for linear, conv1d to conv3d, conv_transpose1d to conv_transpose3d and sigmoid; 5/3 for tanh, sqrt(2) for relu,
    sqrt(2 / (1 + a^2)) for leaky_relu of slope `param` (0.01 by default), 3/4 for selu.

    Raises:
        ValueError: another name.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    linear = ("linear", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)), "sigmoid")
    gains = {**dict.fromkeys(linear, 1.0), "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"nonlinearity must be one of {sorted([*gains, 'leaky_relu'])}, got {nonlinearity!r}")
    return gains[nonlinearity]


def _fill(tensor: Tensor, values: np.ndarray | float) -> Tensor:
    with no_grad():
        return tensor.copy_(values if isinstance(values, float) else asarray(values, device=tensor.device))


def _dtype(tensor: Tensor) -> type:
    return np.float64 if tensor.dtype == np.float64 else np.float32  # what a generator can draw; float16 is rounded


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from the uniform distribution U(a, b).

    >>> import minigrad as mg
    >>> x = uniform_(mg.zeros(1000), -2.0, 3.0)
    >>> -2 <= x.min().item() < x.max().item() <= 3
    True
    """
    values = (generator or default_generator()).random(tensor.shape, _dtype(tensor))
    return _fill(tensor, values * (b - a) + a)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> Tensor:
    """Draw from the normal distribution N(mean, std^2).

    >>> import minigrad as mg
    >>> normal_(mg.zeros(3), mean=2.0, std=0.0)
    tensor([2., 2., 2.])
    """
    values = (generator or default_generator()).standard_normal(tensor.shape, _dtype(tensor))
    return _fill(tensor, values * std + mean)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    >>> import minigrad as mg
    >>> constant_(mg.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _fill(tensor, float(val))


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return _fill(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return _fill(tensor, 1.0)


def _need(tensor: Tensor, name: str, ranks: Collection[int], axes: str) -> None:
    if tensor.ndim not in ranks:
        raise ValueError(f"{name} fills {axes}, got a tensor of shape {tensor.shape}")


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity: a linear layer that hands on its inputs, as many as it can.

    Raises:
        ValueError: a tensor that does not have two axes.

    >>> import minigrad as mg
    >>> eye_(mg.zeros((2, 3)))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    _need(tensor, "eye_", (2,), "a matrix")
    return _fill(tensor, np.eye(*tensor.shape, dtype=_dtype(tensor)))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight with zeros, and ones at the centres: it hands on its channels, as many as it can.

    Args:
        tensor: (out, in/groups, *kernel), with one to three axes of the kernel.
        groups: those of the convolution; each hands on its own channels.

    Raises:
        ValueError: another number of axes, or groups that do not divide the first.

    >>> import minigrad as mg
    >>> dirac_(mg.zeros((2, 1, 3)), groups=2).tolist()
    [[[0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]]
    """
    _need(tensor, "dirac_", (3, 4, 5), "a convolution's weight, (out, in/groups, *kernel)")
    out, seen, *kernel = tensor.shape
    if groups < 1 or out % groups:
        raise ValueError(f"groups must divide the first axis, got groups={groups} and a tensor of shape {tensor.shape}")
    values: np.ndarray = np.zeros((groups, out // groups, *tensor.shape[1:]), _dtype(tensor))
    i = np.arange(min(out // groups, seen))
    centres: tuple = (slice(None), i, i, *(k // 2 for k in kernel))
    values[centres] = 1
    return _fill(tensor, values.reshape(tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from the normal distribution N(mean, std^2), given that the number lies in [a, b].

    By rejection: numbers from N(mean, std^2) until they lie there, or, where they rarely would, evenly drawn ones that
    are kept as often as their density demands. PyTorch inverts the distribution function instead, with the same result
    (but in the far tails, where it warns).

    Args:
        tensor: of any shape.
        mean, std: of the normal distribution; that of the result is another.
        a, b: the bounds, in the units of the tensor and not of std; they may be infinite.
        generator: where the numbers come from.

    Raises:
        ValueError: an a that is not below b, or a std that is not above 0.

    Source of the second way: C. Robert: Simulation of truncated normal variables, Statistics and Computing 5, 1995,
    section 2.

    >>> import minigrad as mg
    >>> x = trunc_normal_(mg.zeros(1000), a=-1.0, b=0.5)
    >>> -1 <= x.min().item() < x.max().item() <= 0.5
    True
    """
    if not a < b:
        raise ValueError(f"a must be below b, got a={a} and b={b}")
    if not std > 0:
        raise ValueError(f"std must be above 0, got {std}")
    rng, dtype = generator or default_generator(), _dtype(tensor)
    low, high = (a - mean) / std, (b - mean) / std
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    mode = min(max(0.0, low), high)  # where the density is largest
    reach = math.sqrt(mode**2 + 74)  # beyond, it is smaller by exp(-37) and more: less than double precision tells
    first, last = max(low, -reach), min(high, reach)

    def drawn(n: int) -> np.ndarray:
        if inside > 0.1:
            z = rng.standard_normal(n, dtype)
            return z[(low <= z) & (z <= high)]
        z = first + (last - first) * rng.random(n, dtype)
        return z[rng.random(n, dtype) <= np.exp((mode**2 - z * z) / 2)]

    values: np.ndarray = np.empty(0, dtype)
    while values.size < tensor.size:
        values = np.concatenate([values, drawn(tensor.size - values.size + 16)])
    values = values[: tensor.size].reshape(tensor.shape) * std + mean
    return _fill(tensor, values.clip(a, b))  # rounding may have passed them


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Fill with a random matrix whose rows, or columns if those are fewer, are orthogonal and of length `gain`.

    The matrix is (first axis, all others), uniformly distributed among those of this kind: Q of the QR decomposition of
    normal numbers, with the signs that make the diagonal of R positive.

    Raises:
        ValueError: a tensor of fewer than two axes.

    Source: A. Saxe, J. McClelland, S. Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks, ICLR 2014, section 3.

    >>> import minigrad as mg
    >>> w = orthogonal_(mg.zeros((2, 3, 5)), gain=2.0).reshape(2, 15)
    >>> abs(w @ w.T - mg.tensor([[4.0, 0.0], [0.0, 4.0]])).max().item() < 1e-5
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_ fills a tensor of at least two axes, got one of shape {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    drawn = (generator or default_generator()).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.where(np.diagonal(r) < 0, -gain, gain)
    return _fill(tensor, (q if rows >= columns else q.T).reshape(tensor.shape).astype(_dtype(tensor)))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: np.random.Generator | None = None) -> Tensor:
    """Fill a matrix with N(0, std^2), and in each column a share of zeros at random places.

    Args:
        tensor: two axes.
        sparsity: the share of zeros, rounded up to whole elements.
        std: of the others.
        generator: where the numbers come from.

    Raises:
        ValueError: a tensor that does not have two axes, or a sparsity outside [0, 1].

    Source: J. Martens: Deep learning via Hessian-free optimization, ICML 2010, section 5.

    >>> import minigrad as mg
    >>> (sparse_(mg.ones((10, 3)), 0.25) == 0).sum(axis=0)
    tensor([3, 3, 3])
    """
    _need(tensor, "sparse_", (2,), "a matrix")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity must be a share, between 0 and 1, got {sparsity}")
    rng, rows = generator or default_generator(), tensor.shape[0]
    values = rng.standard_normal(tensor.shape, _dtype(tensor)) * std
    zero = np.broadcast_to(np.arange(rows)[:, None] < math.ceil(sparsity * rows), tensor.shape)
    values[rng.permuted(zero, axis=0)] = 0
    return _fill(tensor, values)


# ---- by the number of inputs and outputs ----------------------------------------------------------------------------


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor.shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0  # nothing is drawn without inputs


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from U(-bound, bound) with bound = gain * sqrt(3 / fan): the signal keeps its variance through ReLUs.

    Args:
        tensor: a weight, (out, in, *kernel).
        a: the slope of leaky_relu below 0; 0 is relu, sqrt(5) makes the bound 1 / sqrt(fan).
        mode: "fan_in" keeps the variance going forward, "fan_out" going backward.
        nonlinearity: see `calculate_gain`.
        generator: where the numbers come from.

    Raises:
        ValueError: fewer than two axes, or an unknown mode or nonlinearity.

    Source: K. He, X. Zhang, S. Ren, J. Sun: Delving Deep into Rectifiers, ICCV 2015, section 2.2, equations 10 and 14.

    >>> import minigrad as mg
    >>> kaiming_uniform_(mg.zeros((8, 6)), nonlinearity="relu").abs().max().item() <= 1
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from N(0, std^2) with std = gain / sqrt(fan); the arguments, errors and source of `kaiming_uniform_`.

    >>> import minigrad as mg
    >>> kaiming_normal_(mg.zeros((2, 3))).shape
    (2, 3)
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    total = sum(fans(tensor.shape))
    return gain * math.sqrt(2 / total) if total else 0.0


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from U(-bound, bound) with bound = gain * sqrt(6 / (fan_in + fan_out)).

    A compromise between keeping the variance of the signal going forward and of the gradient going backward.

    Raises:
        ValueError: a tensor of fewer than two axes.

    Source: X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS
    2010, section 4.2.1, equation 16.

    >>> import minigrad as mg
    >>> xavier_uniform_(mg.zeros((3, 3))).abs().max().item() <= 1
    True
    """
    bound = math.sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from N(0, std^2) with std = gain * sqrt(2 / (fan_in + fan_out)); errors and source of `xavier_uniform_`.

    >>> import minigrad as mg
    >>> xavier_normal_(mg.zeros((2, 3))).shape
    (2, 3)
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def lecun_uniform_(tensor: Tensor, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from U(-bound, bound) with bound = sqrt(3 / fan_in), so that the variance is 1 / fan_in.

    Raises:
        ValueError: a tensor of fewer than two axes.

    Source: Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller: Efficient BackProp, Neural Networks: Tricks of the Trade 1998,
    section 4.6, equation 16.

    >>> import minigrad as mg
    >>> lecun_uniform_(mg.zeros((8, 3))).abs().max().item() <= 1
    True
    """
    return kaiming_uniform_(tensor, nonlinearity="linear", generator=generator)


def lecun_normal_(tensor: Tensor, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from N(0, 1 / fan_in); errors and source of `lecun_uniform_`. Keras truncates it, which is not done here.

    >>> import minigrad as mg
    >>> lecun_normal_(mg.zeros((2, 3))).shape
    (2, 3)
    """
    return kaiming_normal_(tensor, nonlinearity="linear", generator=generator)


# ---- of the historical networks -------------------------------------------------------------------------------------


def lenet_uniform_(tensor: Tensor, fan_in: int | None = None, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from U(-2.4 / fan_in, 2.4 / fan_in), as LeNet-5 did for weights and biases alike.

    Args:
        tensor: a weight or a bias.
        fan_in: how many inputs the units see, as `fans_of` tells of a layer; default: by the shape, as a weight (out,
            in, *kernel).
        generator: where the numbers come from.

    Raises:
        ValueError: a fan_in below 1, or none for a tensor of fewer than two axes.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998, appendix A.

    >>> from minigrad import nn
    >>> layer = nn.Linear(24, 10)
    >>> for parameter in layer.parameters():
    ...     print(lenet_uniform_(parameter, 24).abs().max().item() <= 0.1)
    True
    True
    """
    fan_in = fans(tensor.shape)[0] if fan_in is None else fan_in
    if fan_in < 1:
        raise ValueError(f"fan_in must be at least 1, got {fan_in}")
    return uniform_(tensor, -2.4 / fan_in, 2.4 / fan_in, generator)


def _weighted(module: Module) -> Iterator[tuple[str, Parameter, Parameter | None]]:
    """The layers that multiply their input by a weight, with their names: (name, weight, bias or None)."""
    for name, layer in module.named_modules():
        weight, bias = vars(layer).get("weight"), vars(layer).get("bias")
        if isinstance(weight, Parameter):
            _need_size(layer, weight)
        if isinstance(weight, Parameter) and weight.ndim > 1:
            yield name, weight, bias


def alexnet_(module: Module, ones: Collection[str] = (), generator: np.random.Generator | None = None) -> Module:
    """Fill the layers of a network as AlexNet did: weights from N(0, 0.01^2), biases 0, those of the layers `ones` 1.

    Args:
        module: a network; of its layers those are filled whose weight has at least two axes.
        ones: the names of the layers whose biases are 1, as in `named_modules()`. In AlexNet they are the second,
            fourth and fifth convolution and the hidden fully connected layers: it gives their ReLUs positive inputs
            to begin with.
        generator: where the numbers come from.

    Raises:
        ValueError: a name in `ones` that is not that of a layer with a weight and a bias, or a layer without a size
            yet; nothing was changed.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
    NIPS 2012, section 5.

    >>> from minigrad import nn
    >>> net = alexnet_(nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1)), ones=["0"])
    >>> net[0].bias.tolist(), net[2].bias.tolist()
    ([1.0, 1.0], [0.0])
    """
    layers = list(_weighted(module))
    known = [name for name, _, bias in layers if bias is not None]
    if unknown := [name for name in ones if name not in known]:
        raise ValueError(f"ones must hold names of layers with a weight and a bias, {known}, got {unknown[0]!r}")
    for name, weight, bias in layers:
        normal_(weight, 0.0, 0.01, generator)
        if bias is not None:
            constant_(bias, float(name in ones))
    return module
