"""What a model is made of: its layers in the order of their calls, with sizes, costs and what they see of the image."""

from __future__ import annotations

import json
import weakref
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil, prod
from typing import Any

import numpy as np

from minigrad import Tensor, zeros
from minigrad.backend import shape_of
from minigrad.contract import Op
from minigrad.gradmode import Watcher
from minigrad.models.receptive_field import PRODUCTS, WINDOWS, ReceptiveFields, watched
from minigrad.nn import Module
from minigrad.nn.parameter import Uninitialized
from minigrad.nn.undisturbed import undisturbed

WIDTH = 120  # columns of the table at most
COLUMNS = ("layer", "class", "output", "parameters", "multiply-adds", "bytes", "sees", "stride")


@dataclass(frozen=True)
class Row:
    """One call of a layer."""

    path: str  # its dotted name in the model; empty for the model itself
    layer: str  # its class
    output_shape: tuple[int, ...]  # without the batch axis
    parameters: int  # of the layer, where it is called for the first time
    multiply_adds: int
    activation_bytes: int  # of its output; 0 if that can take the place of its input
    receptive_field: tuple[int, ...] | None  # in pixels, for each axis of the image; None where it is not known
    effective_stride: tuple[float, ...] | None  # from one element of the output to the next, in pixels

    def cells(self) -> tuple[str, ...]:
        """The texts of its columns in a table; see `COLUMNS`."""
        return (
            self.path,
            self.layer,
            _by(self.output_shape),
            _number(self.parameters),
            _number(self.multiply_adds),
            _number(self.activation_bytes),
            _axes(self.receptive_field),
            _axes(self.effective_stride),
        )


@dataclass(frozen=True)
class Totals:
    """Sums over a model."""

    parameters: int
    trainable_parameters: int  # those that require a gradient
    unused_parameters: int  # those of layers that were not called, as the auxiliary heads of GoogLeNet
    parameter_bytes: int
    buffers: int  # their elements
    multiply_adds: int
    activation_bytes: int  # of all layers and of the image


@dataclass(frozen=True)
class Summary:
    """What `summary` returns: data, and as text a table."""

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    totals: Totals

    def as_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, texts and numbers: what JSON has.

        >>> from minigrad import nn
        >>> summary(nn.Linear(3, 2), (3,)).as_dict()["rows"][0]["output_shape"]
        [2]
        """
        return json.loads(json.dumps(asdict(self)))

    def __str__(self) -> str:
        cells = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for column, least in ((0, 12), (1, 12)):  # of what is too wide, names are cut first
            over = sum(widths) + 2 * (len(widths) - 1) - WIDTH
            widths[column] -= max(0, min(over, widths[column] - least))
        lines = []
        for names in cells:
            texts = [_cut(text, width) for text, width in zip(names, widths, strict=True)]
            padded = [t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True))]
            lines.append("  ".join(padded).rstrip())
        rule = "-" * max(map(len, lines))
        return "\n".join([self.title(), rule, lines[0], rule, *lines[1:], rule, *self.sums()])

    def title(self) -> str:
        """The first line of the text."""
        return f"{self.model}, input {_by(self.input_shape)}"

    def sums(self) -> list[str]:
        """Its last lines."""
        sums = self.totals
        trainable = "all" if sums.trainable_parameters == sums.parameters else f"{sums.trainable_parameters:,}"
        unused = f", {sums.unused_parameters:,} in layers that were not called" if sums.unused_parameters else ""
        return [
            f"parameters     {sums.parameters:,} ({trainable} trainable{unused}), {sums.parameter_bytes:,} bytes",
            f"buffers        {sums.buffers:,}",
            f"multiply-adds  {sums.multiply_adds:,}",
            f"activations    {sums.activation_bytes:,} bytes, the input included",
        ]


def summary(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """The layers of a model, from one image of zeros: shapes, parameters, multiply-adds, memory, receptive fields.

    The image goes through the model once, in eval mode and without recording a graph. Afterwards the model is as it
    was: every module's mode, its statistics and hooks, and the random numbers to come.

    A row is a call of a module that holds no other; a layer that is called twice has two rows, and its parameters in
    the first. A module that holds others has a row after theirs if it has parameters or multiplications of its own.

    - Multiply-adds are those of convolutions (`weights * positions`; padding counts as elements, a link missing from a
      table of connections does not), of transposed ones and of products of matrices, so of Linear, Bilinear and locally
      connected layers: torchvision's convention. Pools, and what is computed element by element, as biases, norms,
      activations and the distances of RBFOutput, count 0.
    - Activation bytes are those of the outputs that need memory of their own: a layer that maps one element to one, as
      an activation, or renames them, as Flatten, can put them in place of its input. So can a residual sum, and the
      branches of a concatenation can lie side by side from the start.
    - Receptive field and stride: see `minigrad.models.receptive_field`. A layer after Flatten sees all that one window
      over the whole map would see.

    Args:
        model: any module that takes one tensor.
        input_shape: of one image, without the batch axis. Its dtype and device are those of the first parameter.

    Returns:
        A `Summary`: `print` shows a table, `.rows` and `.totals` are the numbers, `.as_dict()` is for JSON.

    Raises:
        TypeError: a model that is no Module.
        ValueError: not a shape; a model with layers that have no size yet; an image that does not fit, with notes that
            name the layer, and if it is too small, the smallest square one that fits.

    Source: the multiply-adds, torchvision's `_ops`; the memory, A. Karpathy et al.: CS231n, Convolutional Networks,
    "VGGNet in detail", whose rows have 15.2 million numbers together, not the 24 million that are printed under them.

    >>> from minigrad import models
    >>> print(models.summary(models.lenet5(), (1, 28, 28)))
    LeNet5, input 1 x 28 x 28
    --------------------------------------------------------------------------------------
    layer         class            output  parameters  multiply-adds   bytes  sees  stride
    --------------------------------------------------------------------------------------
    features.0    Conv2d      6 x 28 x 28         156        117,600  18,816     5       1
    features.1    Tanh        6 x 28 x 28                                        5       1
    features.2    AvgPool2d   6 x 14 x 14                              4,704     6       2
    features.3    Conv2d     16 x 10 x 10       2,416        240,000   6,400    14       2
    features.4    Tanh       16 x 10 x 10                                       14       2
    features.5    AvgPool2d    16 x 5 x 5                              1,600    16       4
    classifier.0  Flatten             400                                       16       4
    classifier.1  Linear              120      48,120         48,000     480    32      20
    classifier.2  Tanh                120                                       32      20
    classifier.3  Linear               84      10,164         10,080     336    32      20
    classifier.4  Tanh                 84                                       32      20
    classifier.5  Linear               10         850            840      40    32      20
    --------------------------------------------------------------------------------------
    parameters     61,706 (all trainable), 246,824 bytes
    buffers        0
    multiply-adds  416,520
    activations    35,512 bytes, the input included
    """
    shape = _checked(model, input_shape)
    try:
        return _traced(model, shape)
    except ValueError as error:
        if least := _least(model, shape):
            error.add_note(
                f"{type(model).__name__} needs a larger image: the smallest square one is {least}, got {shape}"
            )
        raise


def smallest_input(model: Module, channels: int = 3, dims: int = 2, limit: int = 512) -> tuple[int, ...]:
    """The smallest image that a model takes, with sides of one length: (channels, size, ..., size).

    Found by trying 1, 2, 3, ...: a size that is too small fails early. Bisection would be wrong, since a model may take
    28 pixels and not 40.

    Args:
        model: any module that takes images; nothing about it changes, as with `summary`.
        channels: of the image.
        dims: how many spatial axes it has.
        limit: the largest size to try.

    Raises:
        TypeError: a model that is no Module.
        ValueError: it takes no size up to the limit, with the reason for the last; or as `summary`.

    >>> from minigrad import models
    >>> models.smallest_input(models.lenet5(), channels=1)
    (1, 28, 28)
    """
    why: ValueError | None = None
    for size in range(1, limit + 1):
        shape = (channels, *(size,) * dims)
        why = _refusal(model, shape)
        if why is None:
            return shape
    raise ValueError(
        f"{type(model).__name__} takes no image with {channels} channels and sides of 1 to {limit}; of the largest it "
        f"says: {why}"
    ) from why


def _refusal(model: Module, shape: tuple[int, ...]) -> ValueError | None:
    """Why a model does not take an image of zeros; None if it does."""
    image = _image(model, _checked(model, shape))
    with undisturbed(model):
        try:
            model(image)
        except ValueError as error:
            return error
    return None


def _least(model: Module, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The smallest input, of a model that a shape was too small for; None where that is not the matter."""
    sides = shape[1:]
    for size in range(1, 512 if sides else 1):
        square = (shape[0], *(size,) * len(sides))
        why = _refusal(model, square)
        if why is None:
            return square if size > min(sides) else None
        if size >= 64 and "window" not in str(why):
            break  # only the last layers refuse, as a Linear does: to try all sizes would take long
    return None


def _traced(model: Module, shape: tuple[int, ...]) -> Summary:
    image = _image(model, shape)
    with undisturbed(model) as keep:
        trace = _Trace(model, image)
        for module in model.modules():
            keep.enter_context(module.register_forward_pre_hook(trace.enter))
            keep.enter_context(module.register_forward_hook(trace.leave))
        with watched(by=[trace.fields, trace]):
            model(image)
    parameters, buffers = list(model.parameters()), list(model.buffers())
    size = sum(p.size for p in parameters)
    totals = Totals(
        parameters=size,
        trainable_parameters=sum(p.size for p in parameters if p.requires_grad),
        unused_parameters=size - sum(row.parameters for row in trace.rows),
        parameter_bytes=sum(map(_bytes, parameters)),
        buffers=sum(b.size for b in buffers),
        multiply_adds=sum(row.multiply_adds for row in trace.rows),
        activation_bytes=_bytes(image) + sum(row.activation_bytes for row in trace.rows),
    )
    return Summary(type(model).__name__, shape, tuple(trace.rows), totals)


# ---- what comes in --------------------------------------------------------------------------------------------


def _checked(model: Any, input_shape: Any) -> tuple[int, ...]:
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    if not shape or not all(isinstance(n, (int, np.integer)) and n >= 1 for n in shape):
        raise ValueError(
            f"input_shape must hold the sizes of one image, without the batch axis, as (3, 224, 224), got "
            f"{input_shape!r}"
        )
    open_ones = [
        name
        for owned in (model.named_parameters(), model.named_buffers())
        for name, value in owned
        if isinstance(value, Uninitialized)
    ]
    if open_ones:
        raise ValueError(
            f"{', '.join(open_ones)} of {type(model).__name__} have no size yet, and a summary would decide it: run a "
            f"batch through the model first"
        )
    return tuple(map(int, shape))


def _image(model: Module, shape: tuple[int, ...]) -> Tensor:
    like = next((p for p in model.parameters() if p.dtype.kind == "f"), None)
    if like is None:
        return zeros((1, *shape))
    return zeros((1, *shape), dtype=like.dtype, device=like.device)


# ---- counting -------------------------------------------------------------------------------------------------------


class _Call:
    """A module that is being called, and what its own ops did so far."""

    def __init__(self, module: Module):
        self.module = module
        self.multiply_adds = 0
        self.has_windows = False
        self.in_place = True  # every op so far could have written over its input


class _Trace(Watcher):
    """Sees the calls of modules, as hooks, and of ops; collects the rows."""

    def __init__(self, model: Module, image: Tensor):
        self.fields = ReceptiveFields(image)
        self.rows: list[Row] = []
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._calls: list[_Call] = []
        self._counted: dict[int, Tensor] = {}
        self._links: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # the weights in a table of connections

    # ---- modules ----------------------------------------------------------------------------------------------------

    def enter(self, module: Module, args: tuple) -> None:
        """A module is called."""
        self._calls.append(_Call(module))

    def leave(self, module: Module, args: tuple, output: Any) -> None:
        """It returns."""
        while (call := self._calls.pop()).module is not module:
            pass  # one whose error was caught on the way
        outs = [v for v in (output if isinstance(output, (tuple, list)) else (output,)) if isinstance(v, Tensor)]
        x = next((v for v in args if isinstance(v, Tensor)), None)
        children = list(module.children())
        if not children and outs:
            self.fields.layer(module, x, outs[0], call.has_windows or call.multiply_adds > 0)
        inside = {id(p) for child in children for p in child.parameters()}
        new = {id(p): p for p in module.parameters() if id(p) not in inside and id(p) not in self._counted}
        self._counted |= new
        if children and not new and not call.multiply_adds:
            return
        reach = self.fields.of(outs[0]) if outs else None
        kept = call.in_place and x is not None and all(x.size == out.size for out in outs)
        self.rows.append(
            Row(
                path=self._paths.get(id(module), ""),
                layer=type(module).__name__,
                output_shape=outs[0].shape[1:] if outs else (),
                parameters=sum(p.size for p in new.values()),
                multiply_adds=call.multiply_adds,
                activation_bytes=0 if kept else sum(map(_bytes, outs)),
                receptive_field=None if reach is None else tuple(map(ceil, reach.field)),
                effective_stride=None if reach is None else tuple(_plain(j) for j in reach.stride),
            )
        )

    # ---- ops --------------------------------------------------------------------------------------------------------

    def called(self, op: Op, values: tuple, raw: list, result: Tensor) -> None:
        """An op is called, by the module that was entered last."""
        given = dict(zip(op.parameters, values, strict=True))
        if op.name == "index_set" and not isinstance(given["x"], Tensor):
            self._links[id(result)] = weakref.ref(result), raw[0][given["index"]].size
        if not self._calls:
            return
        call = self._calls[-1]
        call.multiply_adds += self._multiply_adds(op, given, result)
        still = "geometry" in given and set(given.get("kernel", (0,))) == set(given["geometry"].stride) == {1}
        call.has_windows |= op.name in WINDOWS
        call.in_place &= op.elementwise or op.view or still

    def _multiply_adds(self, op: Op, given: dict[str, Any], result: Tensor) -> int:
        if op.name == "conv":
            return self._weights(given["w"]) * prod(result.shape[2:])
        if op.name == "conv_input":
            return self._weights(given["w"]) * prod(shape_of(given["g"])[2:])
        if op.name in PRODUCTS and all(isinstance(given[name], Tensor) for name in PRODUCTS[op.name]):  # no constant
            return result.size * given["x"].shape[-1]
        if op.name == "einsum":
            terms = given["subscripts"].split("->")[0].split(",")
            sizes = zip("".join(terms), [n for x in given["operands"] for n in shape_of(x)], strict=True)
            return (len(terms) - 1) * prod(dict(sizes).values())
        return 0

    def _weights(self, w: Any) -> int:
        """How many numbers a kernel holds; of one made of a table of connections, how many its links have."""
        reference, size = self._links.get(id(w), (None, 0))
        return size if reference is not None and reference() is w else prod(shape_of(w))


# ---- numbers as text ------------------------------------------------------------------------------------------------


def _bytes(x: Tensor) -> int:
    return x.size * x.dtype.itemsize


def _plain(number: Fraction) -> float:
    return int(number) if number.denominator == 1 else float(number)


def _number(n: int) -> str:
    return f"{n:,}" if n else ""


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _axes(numbers: tuple[float, ...] | None) -> str:
    """One number where all axes have the same."""
    return " x ".join(f"{n:g}" for n in (numbers[:1] if len(set(numbers)) == 1 else numbers)) if numbers else ""


def _cut(text: str, width: int) -> str:
    """The end of a text that is too long."""
    return text if len(text) <= width else f"...{text[3 - width :]}"
