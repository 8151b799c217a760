"""`minigrad recipes`."""

from __future__ import annotations

from importlib.resources import files

import click

from minigrad import nn
from minigrad.models.cli.command import Command
from minigrad.models.cli.output import as_json, say, table
from minigrad.models.cli.settings import json_option

EXAMPLES = """
minigrad recipes
minigrad recipes resnet_2015_cifar
minigrad recipes default > my.toml
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("name", required=False)
@json_option
def recipes(name: str | None, json_wanted: bool) -> None:
    """List the recipes, or print one.

    They are the settings that networks are trained with. A recipe that is written to a file can be changed, and used by
    `minigrad train --recipe FILE.toml`.
    """
    if name is not None:
        recipe = nn.train.recipe.get(name)
        if json_wanted:
            say(as_json(vars(recipe)))
        else:
            say(files("minigrad.nn.train.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8").rstrip())
        return
    found = [nn.train.recipe.get(known) for known in nn.train.recipe.names()]
    if json_wanted:
        say(as_json([vars(recipe) for recipe in found]))
        return
    table(
        ("name", ">epochs", ">batch", "optimizer", "model", "title"),
        [(r.name, r.epochs, r.batch_size, r.optimizer["name"], r.model or "any", r.title) for r in found],
    )
