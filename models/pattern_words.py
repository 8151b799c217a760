"""The words of patterns: what each layer makes of a shape, and which word says what a module is.

`plan` goes from a layer of a pattern to the class and the arguments of a module, and to the shape of its output;
`written` goes from a module to the layer of a pattern. The words themselves are listed in `minigrad.models.pattern`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad import nn, output_size
from minigrad.models.pattern_grammar import OPTIONS, Argument, Layer, PatternError, Value, nearest
from minigrad.window import PADDINGS, Geometry, explain, paddings, per_axis, pooling_geometry, room

Shape = tuple[int, ...]  # of one sample: (C, *spatial), or (features,)


class Step(NamedTuple):
    """What a layer of a pattern makes of an input of a known shape: the module `kind(**options)`, and its output."""

    kind: type[nn.Module]
    options: dict[str, Any]
    shape: Shape


class NoRoomError(PatternError):
    """A window that does not fit into the maps."""


class Given:
    """A layer and its arguments by name. What a plan asks for is checked; errors point at the argument.

    >>> given = Given(Layer("CONV", (Argument(64), Argument(2, "stride"))))
    >>> given.needed("maps", "its number of maps"), given.per_axis("stride", 1, 2), given.has("nobias")
    (64, (2, 2), False)
    """

    def __init__(self, layer: Layer):
        self.layer = layer
        self.word = word = WORDS[layer.word]
        self.arguments: dict[str, Argument] = {}
        places = iter(word.places)
        for argument in layer.arguments:
            flag = argument.name is None and isinstance(argument.value, str)
            name = str(argument.value) if flag else argument.name or next(places, "")
            if name not in (word.flags if flag else (*word.options, *word.places)):
                raise self._unknown(name, argument)
            if name in self.arguments:
                raise PatternError(f"{layer.word} has {name} twice", argument.at)
            self.arguments[name] = argument

    def _unknown(self, name: str, argument: Argument) -> PatternError:
        if not name:
            return PatternError(
                f"{self.layer.word} takes no number here; it is written {self.word.example}", argument.at
            )
        options, flags = self.word.options, self.word.flags
        hint = nearest(name, [*options, *flags, *(short for short, long in OPTIONS.items() if long in options)])
        known = ", ".join([*(f"{option}=" for option in options), *flags])
        has = f"it has {known}" if known else "it has none"
        return PatternError(f"{self.layer.word} has no option {name!r}{hint or f'; {has}'}", argument.at)

    def error(self, message: str, name: str = "", kind: type[PatternError] = PatternError) -> PatternError:
        """An error of this layer, which points at one of its arguments if that is there, else at the word."""
        argument = self.arguments.get(name)
        return kind(f"{self.layer.word} {message}", argument.at if argument else self.layer.at)

    def has(self, flag: str) -> bool:
        """Whether a flag is there."""
        return flag in self.arguments

    def value(self, name: str, default: Any = None) -> Any:
        """A value as it was written."""
        return self.arguments[name].value if name in self.arguments else default

    def needed(self, name: str, what: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self.value(name, default)
        if value is None:
            raise self.error(f"expects {what}: it is written {self.word.example}")
        if not isinstance(value, int) or value < 1:
            raise self.error(f"expects {what}, a whole number of at least 1, got {self.arguments[name].text}", name)
        return value

    def per_axis(self, name: str, default: int | Shape, n: int, least: int = 1) -> Shape:
        """A number for each of n axes."""
        try:
            return per_axis(name, self.value(name, default), n, least)
        except ValueError:
            many = f", or {n} of them as in {'x'.join('3' * n)}" if n > 1 else ""
            got = self.arguments[name].text
            raise self.error(f"expects for {name} a number of at least {least}{many}, got {got}", name) from None

    def padding(self, default: Shape, n: int) -> Shape | str:
        """A number for each of n axes, or the name of a padding."""
        value = self.value("pad")
        if not isinstance(value, str):
            return self.per_axis("pad", default, n, 0)
        if value not in PADDINGS:
            raise self.error(f"expects for pad numbers or one of {', '.join(PADDINGS)}, got {value}", "pad")
        return value

    def maps(self, shape: Shape, most: int = 3) -> tuple[int, Shape]:
        """The channels and the sizes of an input that must be maps."""
        channels, *sizes = shape
        if not sizes:
            raise self.error(f"expects maps, as of INPUT 3x32x32, but its input is a vector of {channels} numbers")
        if len(sizes) > most:
            raise self.error(f"is there for maps of up to {most} axes, not for {len(sizes)}")
        return channels, tuple(sizes)

    def fit(self, sizes: Shape, kernel: Shape, geometry: Geometry, ceil: bool = False) -> Shape:
        """The sizes of the output of a window, or an error with the arithmetic."""
        stride, padding, dilation = geometry[:3]
        rounding = "ceil" if ceil else "floor"
        try:
            return output_size(sizes, kernel, stride=stride, padding=padding, dilation=dilation, rounding=rounding)
        except ValueError as error:
            larger = any(room(*axis) < 0 for axis in geometry.along(sizes, kernel))
            why = explain(sizes, kernel, geometry) if larger else str(error)
            raise self.error(f"has no room in maps of {by(sizes)}: {why}", kind=NoRoomError) from None


def by(sizes: Shape) -> str:
    """Sizes as a pattern has them.

    >>> by((3, 32, 32))
    '3x32x32'
    """
    return "x".join(map(str, sizes))


def alike(value: Any) -> Any:
    """One number for numbers that are all the same, as in (2, 2); anything else as it is."""
    if not isinstance(value, (tuple, list)):
        return value
    return value[0] if len(set(value)) == 1 and isinstance(value[0], int) else tuple(value)


# ---- from a layer to a module ---------------------------------------------------------------------------------------


def _convolution(given: Given, shape: Shape) -> Step:
    channels, sizes = given.maps(shape, most=99)
    n = len(sizes)
    out = given.needed("maps", "its number of maps")
    kernel, stride = given.per_axis("kernel", 3, n), given.per_axis("stride", 1, n)
    dilation = given.per_axis("dilation", 1, n)
    padding = given.padding(tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)), n)
    groups = given.needed("groups", "its number of groups", 1)
    if channels % groups or out % groups:
        raise given.error(
            f"has groups={groups}, which must divide the {channels} maps it gets and the {out} it gives", "groups"
        )
    geometry = Geometry(stride, paddings(padding, sizes, kernel, stride, dilation), dilation)
    options = {
        "in_channels": channels,
        "out_channels": out,
        "kernel_size": alike(kernel) if n <= 3 else kernel,
        "stride": alike(stride),
        "padding": alike(padding),
        "dilation": alike(dilation),
        "groups": groups,
        "bias": not given.has("nobias"),
    }
    kind = getattr(nn, f"Conv{n}d") if n <= 3 else nn.ConvNd
    return Step(kind, options, (out, *given.fit(sizes, kernel, geometry)))


def _kind(given: Given, default: str) -> str:
    """Max, Avg or Min, of a pooling that has it as a flag."""
    flags = [flag for flag in given.word.flags if flag in ("max", "avg", "min") and given.has(flag)]
    if len(flags) > 1:
        raise given.error(f"is {' and '.join(flags)} at once; choose one", flags[1])
    return (flags[0] if flags else default).capitalize()


def _pooling(default: str) -> Callable[[Given, Shape], Step]:
    def plan(given: Given, shape: Shape) -> Step:
        channels, sizes = given.maps(shape)
        n, which = len(sizes), _kind(given, default)
        kernel = given.per_axis("kernel", 2, n)
        stride, dilation = given.per_axis("stride", kernel, n), given.per_axis("dilation", 1, n)
        padding = given.padding((0,) * n, n)
        if which == "Avg" and given.has("dilation"):
            raise given.error("has no dilation where it takes the mean", "dilation")
        geometry = Geometry(stride, paddings(padding, sizes, kernel, stride, dilation), dilation)
        ceil = given.has("ceil")
        out = given.fit(sizes, kernel, geometry, ceil)
        try:
            pooling_geometry(sizes, kernel, geometry, ceil)
        except ValueError as error:
            raise given.error(f"does not fit maps of {by(sizes)}: {error}", kind=NoRoomError) from None
        options = {"kernel_size": alike(kernel), "stride": alike(stride), "padding": alike(padding), "ceil_mode": ceil}
        options |= {"dilation": alike(dilation)} if which != "Avg" else {}
        return Step(getattr(nn, f"{which}Pool{n}d"), options, (channels, *out))

    return plan


def _global_pooling(default: str) -> Callable[[Given, Shape], Step]:
    def plan(given: Given, shape: Shape) -> Step:
        channels, sizes = given.maps(shape, most=99)
        return Step(getattr(nn, f"Global{_kind(given, default)}Pool"), {}, (channels, *(1 for _ in sizes)))

    return plan


def _adaptive_pooling(default: str) -> Callable[[Given, Shape], Step]:
    def plan(given: Given, shape: Shape) -> Step:
        channels, sizes = given.maps(shape)
        if "size" not in given.arguments:
            raise given.error(f"expects the size of its output: it is written {given.word.example}")
        size = given.per_axis("size", 1, len(sizes))
        kind = getattr(nn, f"Adaptive{_kind(given, default)}Pool{len(sizes)}d")
        return Step(kind, {"output_size": alike(size)}, (channels, *size))

    return plan


def _fully_connected(given: Given, shape: Shape) -> Step:
    out = given.needed("outputs", "its number of outputs")
    if len(shape) > 1:
        raise given.error(f"expects a vector, got {by(shape)}")
    return Step(nn.Linear, {"in_features": shape[0], "out_features": out, "bias": not given.has("nobias")}, (out,))


def _flatten(given: Given, shape: Shape) -> Step:
    return Step(nn.Flatten, {}, (math.prod(shape),))


def _batch_norm(given: Given, shape: Shape) -> Step:
    channels, sizes = given.maps(shape) if len(shape) > 1 else (shape[0], ())
    return Step(getattr(nn, f"BatchNorm{max(1, len(sizes))}d"), {"num_features": channels}, shape)


def _dropout(given: Given, shape: Shape) -> Step:
    p = given.value("p", 0.5)
    if not isinstance(p, (int, float)) or p > 1:
        raise given.error(f"expects a probability, between 0 and 1, got {given.arguments['p'].text}", "p")
    return Step(nn.Dropout, {"p": p}, shape)


def _activation(kind: type[nn.Module], **fixed: Any) -> Callable[[Given, Shape], Step]:
    def plan(given: Given, shape: Shape) -> Step:
        values = {name: given.value(name) for name in given.word.places if name in given.arguments}
        for name, value in values.items():
            if isinstance(value, tuple):
                raise given.error(f"expects for {name} one number, got {given.arguments[name].text}", name)
            if kind is nn.PReLU and value not in (1, shape[0]):
                raise given.error(f"has 1 slope, or one for each of the {shape[0]} channels, not {value}", name)
        return Step(kind, fixed | values, shape)

    return plan


class Word(NamedTuple):
    """What a word of a pattern plans, what its numbers mean in order, its options and flags, and an example."""

    plan: Callable[[Given, Shape], Step]
    example: str
    places: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


WINDOW = ("kernel", "stride", "pad", "dilation")
KINDS = ("max", "avg", "min")

ACTIVATIONS: dict[type[nn.Module], tuple[str, ...]] = {  # and the argument a number stands for
    nn.ReLU: (),
    nn.ReLU6: (),
    nn.LeakyReLU: ("negative_slope",),
    nn.PReLU: ("num_parameters",),
    nn.ELU: ("alpha",),
    nn.CELU: ("alpha",),
    nn.SELU: (),
    nn.GELU: (),
    nn.SiLU: (),
    nn.Mish: (),
    nn.Tanh: (),
    nn.ScaledTanh: (),
    nn.Hardtanh: (),
    nn.Sigmoid: (),
    nn.LogSigmoid: (),
    nn.Hardsigmoid: (),
    nn.Hardswish: (),
    nn.Softplus: ("beta",),
    nn.Softsign: (),
}

WORDS: dict[str, Word] = {
    "CONV": Word(_convolution, "CONV 64 5x5", ("maps", "kernel"), (*WINDOW, "groups"), ("nobias",)),
    "POOL": Word(_pooling("max"), "POOL 3 stride=2", ("kernel",), WINDOW, (*KINDS, "ceil")),
    "MAXPOOL": Word(_pooling("max"), "MAXPOOL 3 stride=2", ("kernel",), WINDOW, ("ceil",)),
    "AVGPOOL": Word(_pooling("avg"), "AVGPOOL 3 stride=2", ("kernel",), WINDOW[:3], ("ceil",)),
    "MINPOOL": Word(_pooling("min"), "MINPOOL 3 stride=2", ("kernel",), WINDOW, ("ceil",)),
    "GLOBALPOOL": Word(_global_pooling("avg"), "GLOBALPOOL avg", flags=KINDS),
    "GLOBALMAXPOOL": Word(_global_pooling("max"), "GLOBALMAXPOOL"),
    "GLOBALAVGPOOL": Word(_global_pooling("avg"), "GLOBALAVGPOOL"),
    "GLOBALMINPOOL": Word(_global_pooling("min"), "GLOBALMINPOOL"),
    "ADAPTIVEPOOL": Word(_adaptive_pooling("avg"), "ADAPTIVEPOOL 7x7", ("size",), flags=KINDS[:2]),
    "ADAPTIVEMAXPOOL": Word(_adaptive_pooling("max"), "ADAPTIVEMAXPOOL 7x7", ("size",)),
    "ADAPTIVEAVGPOOL": Word(_adaptive_pooling("avg"), "ADAPTIVEAVGPOOL 7x7", ("size",)),
    "FC": Word(_fully_connected, "FC 10", ("outputs",), flags=("nobias",)),
    "FLATTEN": Word(_flatten, "FLATTEN"),
    "BN": Word(_batch_norm, "BN"),
    "DROPOUT": Word(_dropout, "DROPOUT 0.5", ("p",)),
    "SOFTMAX": Word(_activation(nn.Softmax, dim=1), "SOFTMAX"),
    "LOGSOFTMAX": Word(_activation(nn.LogSoftmax, dim=1), "LOGSOFTMAX"),
}
WORDS |= {
    kind.__name__.upper(): Word(_activation(kind), kind.__name__.upper(), places)
    for kind, places in ACTIVATIONS.items()
}


def plan(layer: Layer, shape: Shape) -> Step:
    """The module that a layer means after an input of this shape, without the batch, and the shape of its output.

    Raises:
        PatternError: an unknown word, an argument that the word does not have, or an input that does not fit;
            `NoRoomError` where that is for its size.

    >>> plan(Layer("POOL", (Argument(3), Argument(2, "stride"))), (64, 55, 55))[::2]
    (<class 'minigrad.nn.layers.pool.MaxPool2d'>, (64, 27, 27))
    """
    if layer.word == "INPUT":
        raise PatternError("INPUT can only come first, and once", layer.at)
    if layer.word not in WORDS:
        raise PatternError(f"expected a layer, got {layer.word!r}{nearest(layer.word, WORDS)}", layer.at)
    given = Given(layer)
    return given.word.plan(given, shape)


# ---- from a module to a layer ---------------------------------------------------------------------------------------


def written(module: nn.Module) -> Layer:
    """The layer of a pattern that means a module, whose class must be in `WRITTEN`.

    Options for which a pattern has no words are left out here; `difference` finds them.

    >>> from minigrad import nn
    >>> str(written(nn.Conv2d(3, 64, 7, stride=2, padding=3))), str(written(nn.AvgPool2d(3, stride=2, ceil_mode=True)))
    ('CONV 64 7x7 stride=2', 'AVGPOOL 3x3 stride=2 ceil')
    """
    word, arguments = WRITTEN[type(module)]
    return Layer(word, tuple(arguments(module)))


def difference(step: Step, module: nn.Module) -> str | None:
    """What sets a module apart from the planned one, by its arguments, as in "eps=0.001"; None if nothing does.

    >>> from minigrad import nn
    >>> difference(plan(Layer("BN"), (64, 8, 8)), nn.BatchNorm2d(64, eps=0.001))
    'eps=0.001'
    """
    bound = inspect.signature(step.kind).bind(**step.options)
    bound.apply_defaults()
    for name, planned in bound.arguments.items():
        if name in ("inplace", "generator"):  # neither changes what is computed
            continue
        value = getattr(module, name)
        if alike(planned) != alike(value is not None if name == "bias" else value):
            return f"{name}={value is not None if name == 'bias' else value}"
    return None


def _window(module: Any, n: int, pad: Value | None, stride: Value, kernel: int) -> list[Argument]:
    """The arguments of a window that differ from these defaults."""
    sizes = per_axis("kernel_size", module.kernel_size, n, 1)
    arguments = [Argument(sizes if n > 1 else sizes[0])] if alike(sizes) != kernel else []
    values = {"stride": (module.stride, stride), "pad": (module.padding, pad)}
    values["dilation"] = (getattr(module, "dilation", 1), 1)
    for name, (value, default) in values.items():
        pairs = isinstance(value, (tuple, list)) and not isinstance(value[0], int)  # for which there are no words
        if alike(value) != alike(default) and not pairs:
            arguments.append(Argument(alike(value), name))
    return arguments


def _of_convolution(module: Any) -> list[Argument]:
    pads = tuple(d * (k - 1) // 2 for k, d in zip(module.kernel_size, module.dilation, strict=True))
    arguments = [Argument(module.out_channels), *_window(module, len(pads), pads, 1, 3)]
    arguments += [Argument(module.groups, "groups")] if module.groups != 1 else []
    return arguments + ([Argument("nobias")] if module.bias is None else [])


def _of_pooling(module: Any) -> list[Argument]:
    arguments = _window(module, module.dims, 0, module.kernel_size, 2)
    return arguments + ([Argument("ceil")] if module.ceil_mode else [])


def _of_adaptive_pooling(module: Any) -> list[Argument]:
    size = module.output_size
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,) * module.dims
    return [Argument(sizes if len(sizes) > 1 else sizes[0])]


def _of_fully_connected(module: Any) -> list[Argument]:
    return [Argument(module.out_features), *([Argument("nobias")] if module.bias is None else [])]


def _of_activation(kind: type[nn.Module], places: tuple[str, ...]) -> Callable[[Any], list[Argument]]:
    def arguments(module: Any) -> list[Argument]:
        parameters = inspect.signature(kind).parameters
        return [Argument(v) for name in places if (v := getattr(module, name)) != parameters[name].default]

    return arguments


def _of_nothing(module: Any) -> list[Argument]:
    return []


WRITTEN: dict[type[nn.Module], tuple[str, Callable[[Any], list[Argument]]]] = {
    nn.ConvNd: ("CONV", _of_convolution),
    nn.GlobalMaxPool: ("GLOBALMAXPOOL", _of_nothing),
    nn.GlobalAvgPool: ("GLOBALAVGPOOL", _of_nothing),
    nn.GlobalMinPool: ("GLOBALMINPOOL", _of_nothing),
    nn.Linear: ("FC", _of_fully_connected),
    nn.Flatten: ("FLATTEN", _of_nothing),
    nn.Dropout: ("DROPOUT", _of_activation(nn.Dropout, ("p",))),
    nn.Softmax: ("SOFTMAX", _of_nothing),
    nn.LogSoftmax: ("LOGSOFTMAX", _of_nothing),
}
WRITTEN |= {kind: (kind.__name__.upper(), _of_activation(kind, places)) for kind, places in ACTIVATIONS.items()}
for _n in (1, 2, 3):
    WRITTEN |= {
        getattr(nn, f"Conv{_n}d"): ("CONV", _of_convolution),
        getattr(nn, f"MaxPool{_n}d"): ("POOL", _of_pooling),
        getattr(nn, f"AvgPool{_n}d"): ("AVGPOOL", _of_pooling),
        getattr(nn, f"MinPool{_n}d"): ("MINPOOL", _of_pooling),
        getattr(nn, f"AdaptiveMaxPool{_n}d"): ("ADAPTIVEMAXPOOL", _of_adaptive_pooling),
        getattr(nn, f"AdaptiveAvgPool{_n}d"): ("ADAPTIVEAVGPOOL", _of_adaptive_pooling),
        getattr(nn, f"BatchNorm{_n}d"): ("BN", _of_nothing),
    }
