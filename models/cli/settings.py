"""Options that are written as KEY=VALUE, and the model that a name and its options make."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import numpy as np

from minigrad import models, no_grad, zeros
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import blaming
from minigrad.nn import Module
from minigrad.nn.undisturbed import undisturbed


class KeyValue(click.ParamType):
    """KEY=VALUE, where VALUE is as in TOML: 0.1, true, [1, 2], "text"; a single word needs no quotes."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """The key and the value."""
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        key, text = key.strip(), text.strip()
        if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
            self.fail(f"{value!r} is not of the form KEY=VALUE, such as width=0.5", param, ctx)
        if re.fullmatch(r"[A-Za-z_][\w-]*", text) and text not in ("true", "false", "inf", "nan"):
            return key, text
        try:
            return key, tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            self.fail(
                f'{text!r} is no value for {key}: write a number, true, false, a word, "text" or [1, 2]', param, ctx
            )


device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to compute."
)
json_option = click.option("--json", "json_wanted", is_flag=True, help="Write JSON, for scripts.")


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--option and --width, for each command that builds a model."""
    command = click.option(
        "--width",
        type=click.FloatRange(min=0, min_open=True),
        metavar="X",
        help="Make all layers so many times as wide.",
    )(command)
    return click.option(
        "--option",
        "options",
        type=KeyValue(),
        multiple=True,
        help="An option of the model, such as dropout=0.3; may be given several times.",
    )(command)


def chosen(name: str, options: Sequence[tuple[str, Any]], width: float | None) -> dict[str, Any]:
    """The options of a model that were given.

    Raises:
        ValueError: no such model, or it has no such option; says which it has.

    >>> chosen("vgg11", [("dropout", 0.1)], width=0.25)
    {'dropout': 0.1, 'width': 0.25}
    """
    given = dict(options) | ({} if width is None else {"width": width})
    known = models.registry.options(name)
    known.pop("weights")
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"the model {name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    return given


def build(name: str, options: Mapping[str, Any], weights: str | None = None) -> Module:
    """A model by its name, with weights from a file or fresh ones.

    Raises:
        ValueError: an option out of its range, or weights that do not fit; names the model.
    """
    shown = ", ".join(f"{key}={value}" for key, value in options.items()) or "its own options"
    try:
        with blaming("the options of the model"):
            return models.get(name, **options, **({} if weights is None else {"weights": weights}))
    except (TypeError, ValueError) as error:
        error.add_note(f"in the model {name} with {shown}")
        raise


def channels_of(name: str, options: Mapping[str, Any]) -> int:
    """How many channels the images must have for a model with these options.

    >>> channels_of("vgg11", {"in_channels": 1}), channels_of("lenet5", {})
    (1, 1)
    """
    return int(options.get("in_channels", entry(name).channels))


def outputs(model: Module, shape: tuple[int, ...]) -> int:
    """How many scores a model gives for an image of this shape.

    Raises:
        ValueError: it does not take such an image.
    """
    with undisturbed(model), no_grad():
        scores = model(zeros((1, *shape), device=next(model.parameters()).device))
    return int(scores.shape[-1])


def takes(model: Module, shape: tuple[int, ...]) -> bool:
    """Whether a model takes an image of this shape."""
    try:
        outputs(model, shape)
    except ValueError:
        return False
    return True


def parameters(model: Module) -> int:
    """How many numbers a model learns."""
    return sum(int(np.prod(p.shape)) for p in model.parameters())
