"""`minigrad summary`."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from minigrad import models as networks
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import Command
from minigrad.models.cli.output import as_json, console, is_live, say
from minigrad.models.cli.settings import build, channels_of, chosen, json_option, model_options
from minigrad.models.summary import COLUMNS

EXAMPLES = """
minigrad summary lenet5
minigrad summary vgg11 --size 64 --width 0.25 --option num_classes=10
minigrad summary resnet20_cifar --json
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("model")
@click.option(
    "--size", type=click.IntRange(min=1), metavar="N", help="Of the image, in pixels.  [default: the model's usual one]"
)
@model_options
@json_option
def summary(model: str, size: int | None, options: Any, width: float | None, json_wanted: bool) -> None:
    """Show the layers of MODEL.

    Each has its output's shape, its parameters, multiply-adds and memory, and the part of the image that it sees."""
    given = chosen(model, options, width)
    side = size or entry(model).size
    found = networks.summary(build(model, given), (channels_of(model, given), side, side))
    if json_wanted:
        say(as_json(found.as_dict()))
    elif is_live():
        draw(found)
    else:
        say(str(found))


def draw(found: networks.Summary) -> None:
    """The summary as a table with lines."""
    rows = Table(title=found.title(), title_justify="left", title_style="bold")
    for i, column in enumerate(COLUMNS):
        rows.add_column(column, justify="right" if i > 1 else "left", overflow="fold")
    for row in found.rows:
        rows.add_row(*map(Text, row.cells()))
    console().print(rows)
    for line in found.sums():
        say(line)
