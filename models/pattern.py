"""The pattern of convolutional networks, `INPUT -> [(CONV -> ReLU)*N -> POOL?]*M -> [FC -> ReLU]*K -> FC`.

`from_pattern` builds a network from a line of text like it, `convnet` from the numbers N, M and K and the widths, and
`to_pattern` writes the line of a network that has one. These are the words, in capitals or not:

    INPUT 3x32x32             the shape of one input, channels first, with any number of axes; INPUT 784 is a vector
    CONV 64 5x5 stride=2 pad=0  64 maps. By default the kernel is 3x3, the stride 1, and the padding
                              dilation*(kernel - 1)//2: under an odd kernel and stride 1 the maps keep their size.
                              Also dilation=2, groups=2, nobias, and pad=same, valid, same_lower or full
    POOL 3 stride=2 pad=1     the largest value of each window, by default 2x2 with the stride of the kernel; also
                              dilation=2, ceil, and avg or min in place of max: POOL avg, AVGPOOL, MINPOOL
    GLOBALPOOL                one number for each map, the mean; or GLOBALMAXPOOL, GLOBALMINPOOL
    ADAPTIVEPOOL 7x7          maps of this size, the means of windows; or ADAPTIVEMAXPOOL
    FC 512                    512 outputs, each of which sees every input; also nobias
    FLATTEN                   maps as one vector; where it is not written, it comes by itself before the first FC
    BN, DROPOUT 0.5           batch norm; dropout with this probability, which is the default
    RELU, TANH, SIGMOID, ...  the activations of `minigrad.nn` that work on single elements, and SOFTMAX, LOGSOFTMAX;
                              for some with a number, LEAKYRELU 0.2, ELU 0.5, CELU 0.5, PRELU 64, SOFTPLUS 2

A kernel, a stride and so on is one number for all axes, or one for each as in 1x3. Options are also written `stride 2`
or `s=2`, and k, p, d, g likewise. `*2` repeats what is before it, `*0` leaves it out, and `*N` does what the argument N
of `from_pattern` says. `POOL?` is a pooling that is left out where its window does not fit into the maps any more. The
grammar is in `minigrad.models.pattern_grammar`.

Source of the pattern: A. Karpathy, CS231n Convolutional Neural Networks for Visual Recognition, Stanford, lecture notes
on convolutional networks, section "Layer Patterns".
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, no_grad, randn
from minigrad.models.pattern_grammar import Argument, Layer, Part, PatternError, fold, names, parse, show, unroll
from minigrad.models.pattern_words import WRITTEN, NoRoomError, Shape, Step, by, difference, plan, written
from minigrad.nn import Identity, Linear, Module, Sequential
from minigrad.nn.layers.batch_norm import BatchNorm
from minigrad.nn.layers.conv import ConvNd
from minigrad.nn.parameter import Uninitialized
from minigrad.window import per_axis

LARGEST_GUESS = 1024  # pixels

# ---- from a pattern to a network ------------------------------------------------------------------------------------


def from_pattern(text: str, **counts: int) -> Sequential:
    """The network that a pattern describes, with fresh weights drawn from minigrad's default generator.

    (N, *INPUT) -> what the last layer gives. Sizes are worked out from layer to layer, and a Flatten comes before the
    first FC. The modules up to there are in `features`, those from there on in `classifier`, numbered from 0; a part
    without modules is left out.

    Args:
        text: the pattern, see `minigrad.models.pattern` for its words.
        **counts: the numbers for `*N`, `*M`, ... in it.

    Raises:
        ValueError: a text that is no pattern, an argument that does not fit, or maps that run out of pixels; with the
            line of the text, and a caret under the place.
        TypeError: a count that is no integer, or that the pattern does not have.

    >>> from minigrad import models
    >>> lenet = "INPUT 1x28x28 -> CONV 6 5x5 -> TANH -> AVGPOOL -> CONV 16 5x5 pad=0 -> TANH -> AVGPOOL"
    >>> net = models.from_pattern(lenet + " -> FC 120 -> TANH -> FC 84 -> TANH -> FC 10")
    >>> sum(p.size for p in net.parameters()), net.classifier[1]
    (61706, Linear(in_features=400, out_features=120, bias=True))
    >>> lecture = "INPUT 3x32x32 -> [(CONV 8 -> RELU)*N -> POOL?]*M -> [FC 16 -> RELU]*K -> FC 10"
    >>> list(models.from_pattern(lecture, N=1, M=2, K=0).state_dict())  # doctest: +NORMALIZE_WHITESPACE
    ['features.0.weight', 'features.0.bias', 'features.3.weight', 'features.3.bias',
     'classifier.1.weight', 'classifier.1.bias']
    >>> models.from_pattern("INPUT 3x8x8 -> POOL 4 -> CONF 8")
    Traceback (most recent call last):
        ...
    minigrad.models.pattern_grammar.PatternError: character 26 of the pattern: expected a layer, got 'CONF'; did you mean CONV?
        INPUT 3x8x8 -> POOL 4 -> CONF 8
                                 ^
    """  # noqa: E501
    try:
        parts = parse(text)
        layers = unroll(parts, _counted(parts, counts))
        shape = _input_shape(parts)
        planned = _planned(shape, layers[1:])
        return _made(planned)
    except PatternError as error:
        raise error.shown_in(text) from None


def _counted(parts: tuple[Part, ...], counts: dict[str, int]) -> dict[str, int]:
    known, numbers = names(parts), {}
    for name, count in counts.items():
        if name.upper() not in known:
            raise TypeError(f"from_pattern is given {name}={count!r}, but the pattern has no *{name}")
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, got {count!r}")
        if count < 0:
            raise ValueError(f"{name} must be at least 0, got {count}")
        numbers[name.upper()] = int(count)
    return numbers


def _input_shape(parts: tuple[Part, ...]) -> Shape:
    first = parts[0]
    if not isinstance(first, Layer) or first.word != "INPUT":
        raise PatternError("expected INPUT and the shape of one input, as in INPUT 3x32x32", first.at)
    value = first.arguments[0].value if len(first.arguments) == 1 and first.arguments[0].name is None else ""
    shape = (value,) if isinstance(value, int) else value
    if not isinstance(shape, tuple) or min(shape) < 1 or first.optional:
        raise PatternError("INPUT expects one shape of sizes of at least 1, as in INPUT 3x32x32 or INPUT 784", first.at)
    return shape


class _Planned(NamedTuple):
    part: str  # of the network: "features" or "classifier"
    layer: Layer
    step: Step


def _planned(shape: Shape, layers: Iterable[Layer]) -> list[_Planned]:
    """The modules that layers mean on an input of this shape, the Flatten among them."""
    planned: list[_Planned] = []
    part, start, place, sizes = "features", shape, 0, [by(shape[1:])]
    for layer in layers:
        if layer.optional and not layer.word.endswith("POOL"):
            raise PatternError(f"only a pooling can be optional, not {layer.word}", layer.at)
        flatten = layer.word == "FC" and len(shape) > 1
        if part == "features" and layer.word in ("FC", "FLATTEN"):
            part, place = "classifier", 0
        for each in (Layer("FLATTEN"), layer) if flatten else (layer,):
            try:
                step = plan(each, shape)
            except NoRoomError as error:
                if layer.optional:
                    break
                raise PatternError(
                    f"{error.message}; it would be {part}.{place}{_way(start, sizes)}", error.at
                ) from None
            planned.append(_Planned(part, each, step))
            shape, place = step.shape, place + 1
            if by(shape[1:]) != sizes[-1]:
                sizes.append(by(shape[1:]))
    return planned


def _way(start: Shape, sizes: list[str]) -> str:
    """How the maps came to their size, and what may be wrong with the shape they began with."""
    way = f", after maps of {', '.join(sizes)}"
    last = start[-1] in (1, 3) and start[0] > start[-1] and len(start) > 2
    return way + (f"; channels come first: INPUT {by((start[-1], *start[:-1]))}?" if last else "")


def _made(planned: list[_Planned]) -> Sequential:
    parts: dict[str, list[Module]] = {}
    for part, layer, step in planned:
        try:
            module = step.kind(**step.options)
        except ValueError as error:
            raise PatternError(f"{layer.word}: {error}", layer.at) from None
        parts.setdefault(part, []).append(module)
    return Sequential({part: Sequential(*modules) for part, modules in parts.items()})


def convnet(
    input_shape: Sequence[int],
    N: int | Sequence[int],  # noqa: N803
    M: int,  # noqa: N803
    K: int,  # noqa: N803
    widths: int | Sequence[int] = 64,
    *,
    hidden: int | Sequence[int] = 512,
    num_classes: int = 10,
    conv: str = "3",
    pool: str | None = "POOL",
    activation: str = "RELU",
) -> Sequential:
    """The network `INPUT -> [(CONV -> ReLU)*N -> POOL]*M -> [FC -> ReLU]*K -> FC`: `from_pattern` on the numbers.

    Without convolutions, M = 0, it is a perceptron of K hidden layers, and with K = 0 as well a linear model.

    Args:
        input_shape: (C, *spatial) or (features,).
        N: how many convolutions come before each pooling; one number, or one for each of the M blocks.
        M: how many blocks there are.
        K: how many fully connected layers come before the last.
        widths: how many maps the convolutions of each block give; one number, or M of them.
        hidden: how many outputs the K layers have; one number, or K of them.
        num_classes: how many outputs the last one has.
        conv: what each CONV has after its number of maps, in the words of a pattern, as in "5 stride=2 nobias".
        pool: the layer after each block; None is none.
        activation: the layer after each convolution and each of the K layers; "BN -> RELU" is two.

    Raises:
        ValueError: numbers that are negative or not as many as they should be, or a pattern that cannot be built.

    >>> from minigrad import models
    >>> net = models.convnet((3, 32, 32), N=2, M=3, K=2, widths=(64, 128, 256))
    >>> sum(p.size for p in net.features.parameters()), sum(p.size for p in net.parameters())
    (1145408, 3510858)
    >>> models.to_pattern(models.convnet((784,), N=0, M=0, K=2, hidden=100))
    'INPUT 784 -> [FC 100 -> RELU]*2 -> FC 10'
    """
    shape = per_axis("input_shape", tuple(input_shape), len(input_shape), 1)
    (blocks,), (layers,) = per_axis("M", M, 1, 0), per_axis("K", K, 1, 0)
    parts = [f"INPUT {by(shape)}"]
    for times, width in zip(_each("N", N, blocks, 0), _each("widths", widths, blocks, 1), strict=True):
        block = f"[CONV {width} {conv} -> {activation}]*{times}"
        parts.append(block if pool is None else f"[{block} -> {pool}]")
    parts += [f"FC {width} -> {activation}" for width in _each("hidden", hidden, layers, 1)]
    return from_pattern(" -> ".join([*parts, f"FC {num_classes}"]))


def _each(name: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """One number for each of n."""
    one = not isinstance(value, Sequence)
    values = (value,) * max(1, n) if one else tuple(value)
    try:
        numbers = tuple(operator.index(v) for v in values)
    except TypeError:
        numbers = ()
    if len(numbers) != len(values) or any(v < least for v in numbers) or not (one or len(values) == n):
        raise ValueError(f"{name} must be a whole number of at least {least}, or {n} of them, got {value!r}")
    return numbers[:n]


# ---- from a network to its pattern ----------------------------------------------------------------------------------


def to_pattern(model: Module, input_shape: Sequence[int] | None = None) -> str:
    """The pattern of a network: `from_pattern` of it has the same layers, with the same arguments, in the same order.

    One image goes through the network, in eval mode and with neither statistics nor random numbers changed, to see in
    which order its layers come, and that each of them gets what the one before gives, also in a module whose forward is
    its own; what that does only while training is not seen. Repetitions are folded, so that as few layers are written
    as possible. `Identity` is left out, and so is a Flatten that comes before the first FC by itself.

    Args:
        model: layers that a pattern has words for, in modules within modules as one likes.
        input_shape: without the batch, (C, *spatial) or (features,). By default the smallest square, or line or cube,
            that the network takes.

    Raises:
        ValueError: the first module that has no place in a pattern, by its name; or a model without parameters to tell
            the channels by, or with sizes still open, or that takes no square.

    >>> from minigrad import models
    >>> models.to_pattern(models.lenet5())  # doctest: +NORMALIZE_WHITESPACE
    'INPUT 1x28x28 -> CONV 6 5x5 -> TANH -> AVGPOOL -> CONV 16 5x5 pad=0 -> TANH -> AVGPOOL
     -> FC 120 -> TANH -> FC 84 -> TANH -> FC 10'
    >>> models.to_pattern(models.convnet((3, 32, 32), 2, 3, 1, 64), (3, 32, 32))
    'INPUT 3x32x32 -> [[CONV 64 -> RELU]*2 -> POOL]*3 -> FC 512 -> RELU -> FC 10'
    """
    for name, parameter in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(parameter, Uninitialized):
            raise ValueError(f"{name} has no size yet: run a batch through the model first")
    shape = _guess(model) if input_shape is None else per_axis("input_shape", tuple(input_shape), len(input_shape), 1)
    trace = _trace(model, shape)
    layers = [layer for layer, _ in trace]
    kept = [
        layer
        for (layer, came), after in zip(trace, [*layers, None][1:], strict=True)
        if not (layer.word == "FLATTEN" and len(came) > 1 and after and after.word == "FC")  # from_pattern puts it back
    ]
    first = Layer("INPUT", (Argument(shape if len(shape) > 1 else shape[0]),))
    return show((first, *fold(kept)))


def _homeless(name: str, module: Module, why: str) -> ValueError:
    return ValueError(f"{name or 'the model'} ({type(module).__name__}) has no place in a pattern: {why}")


def _check_known(name: str, module: Module) -> None:
    """Raise for a module without a word, unless what it does is what the modules in it do, or nothing."""
    passes_on = isinstance(module, (Identity, Sequential)) or next(module.children(), None) is not None
    if type(module) not in WRITTEN and not passes_on:
        raise _homeless(name, module, "there is no word for it")


def _read(name: str, module: Module, shape: Shape) -> Layer:
    """The layer of a pattern that means exactly this module, which has a word, after an input of this shape."""
    layer = written(module)
    try:
        other = difference(plan(layer, shape), module)
    except PatternError as error:
        raise _homeless(name, module, error.message) from None
    if other is not None or not _is_text(layer):
        raise _homeless(name, module, f"there is no word for {other or layer}")
    return layer


def _is_text(layer: Layer) -> bool:
    """Whether a layer can be written: a negative number, for one, cannot."""
    try:
        return parse(str(layer)) == (layer,)
    except PatternError:
        return False


def _trace(model: Module, shape: Shape) -> list[tuple[Layer, Shape]]:
    """The layers in the order in which one image meets them, each with the shape that comes in.

    Each must get what the one before gives; a reshape to vectors in the forward of a module is a FLATTEN.
    """
    named = {id(module): name for name, module in model.named_modules()}
    current = _image(model, shape)
    around: list[Module] = []  # the modules that are running, the innermost last
    used: list[Module] = []
    trace: list[tuple[Layer, Shape]] = []

    def reach(x: Any, module: Module, why: str) -> None:
        """`module` goes on with x: the current output, or that as a vector."""
        nonlocal current
        if x is current:
            return
        flat = isinstance(x, Tensor) and x.ndim == 2 < current.ndim and x.size == current.size
        if not flat or not _same(x, current.reshape(*x.shape)):
            raise _homeless(named[id(module)], module, why)
        trace.append((Layer("FLATTEN"), current.shape[1:]))
        current = x

    def entering(module: Module, args: tuple) -> None:
        name = named[id(module)]
        if around:
            why = f"{name} ({type(module).__name__}) in it does not get the output of the layer before"
            reach(args[0] if len(args) == 1 else None, around[-1], why)
        _check_known(name, module)
        if type(module) in WRITTEN:
            trace.append((_read(name, module, current.shape[1:]), current.shape[1:]))
            if any(module is other for other in used) and next(module.parameters(), None) is not None:
                raise _homeless(name, module, "it is used twice, and layers of a pattern do not share parameters")
            used.append(module)
        around.append(module)

    def leaving(module: Module, args: tuple, out: Any) -> None:
        nonlocal current
        around.pop()
        if type(module) not in WRITTEN:
            reach(out, module, "it does not end with the output of its last layer")
        # A hook does not see the other arguments of a batch norm's forward, a residual and an activation.
        elif isinstance(module, BatchNorm) and not _same(out, module.forward(args[0])):
            raise _homeless(named[id(module)], module, "it does more in one pass than normalise")
        else:
            current = out

    with ExitStack() as stack:
        for module in model.modules():
            stack.callback(setattr, module, "training", module.training)
            stack.enter_context(module.register_forward_pre_hook(entering))
            stack.enter_context(module.register_forward_hook(leaving))
        stack.enter_context(no_grad())
        model.eval()(current)
    return trace


def _same(x: Any, y: Tensor) -> bool:
    """Whether two Tensors hold the same numbers, where nan is nan."""
    return isinstance(x, Tensor) and x.shape == y.shape and bool(((x == y) | ((x != x) & (y != y))).all().item())


def _image(model: Module, shape: Shape) -> Tensor:
    """One random input of the model's dtype, on its device; the default generator stays as it is."""
    x = randn(1, *shape, generator=np.random.default_rng(0))
    parameter = next(model.parameters(), None)
    return x if parameter is None else x.to(parameter.dtype).to(parameter.device)


def _guess(model: Module) -> Shape:
    """The smallest input with axes of the same length that the layers take, in the order of their definition."""
    modules = [module for module in model.modules() if type(module) in WRITTEN]
    layers = [written(module) for module in modules]
    wanted = [module.in_features for module in modules if isinstance(module, Linear)]
    first = next((module for module in modules if isinstance(module, (ConvNd, Linear))), None)
    shapes: list[Shape] = []
    if isinstance(first, ConvNd) and first.in_channels is not None:
        n = len(first.kernel_size)
        shapes = [(first.in_channels, *(side,) * n) for side in range(1, LARGEST_GUESS + 1)]
    elif isinstance(first, Linear) and first.in_features is not None:
        shapes = [(first.in_features,)]
    for shape in shapes:
        try:
            planned = _planned(shape, layers)
        except PatternError:
            continue
        if [p.step.options["in_features"] for p in planned if p.step.kind is Linear] == wanted:
            return shape
    for name, module in model.named_modules():
        _check_known(name, module)
    raise ValueError("to_pattern cannot tell the shape of the input from the layers: pass input_shape=(3, 32, 32), say")
