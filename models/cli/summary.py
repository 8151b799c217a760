"""`minigrad summary`."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from minigrad import models
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import Command
from minigrad.models.cli.output import as_json, console, is_live, say
from minigrad.models.cli.settings import build, channels_of, chosen, model_options

EXAMPLES = """
minigrad summary lenet5
minigrad summary vgg11 --size 64 --width 0.25 --option num_classes=10
minigrad summary resnet20_cifar --json
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("model")
@click.option("--size", type=click.IntRange(min=1), help="Of the image, in pixels.  [default: the model's usual one]")
@model_options
@click.option("--json", "json_wanted", is_flag=True, help="Write JSON, for scripts.")
def summary(model: str, size: int | None, options: Any, width: float | None, json_wanted: bool) -> None:
    """Show the layers of MODEL: shapes, parameters, multiply-adds, memory, receptive fields."""
    given = chosen(model, options, width)
    side = size or entry(model).size
    found = models.summary(build(model, given), (channels_of(model, given), side, side))
    if json_wanted:
        say(as_json(found.as_dict()))
    elif is_live():
        draw(found)
    else:
        say(str(found))


def draw(found: models.Summary) -> None:
    """The rows of the printed summary as a table, and its totals."""
    head, _, titles, _, *rows = str(found).splitlines()
    table = Table(title=head, title_justify="left", title_style="bold")
    for title, side in zip(titles.split(), ["left"] * 2 + ["right"] * 6, strict=True):
        table.add_column(title, justify=side, overflow="fold")  # type: ignore[arg-type]
    for row in found.rows:
        table.add_row(*map(Text, row.cells()))
    console().print(table)
    say("\n".join(rows[len(found.rows) + 1 :]))
