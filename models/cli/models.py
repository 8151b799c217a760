"""`minigrad models`."""

from __future__ import annotations

import click

from minigrad import models as networks
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import Command
from minigrad.models.cli.output import as_json, say, table
from minigrad.models.cli.settings import json_option

EXAMPLES = """
minigrad models
minigrad models --json
"""


@click.command(cls=Command, epilog=EXAMPLES)
@json_option
def models(json_wanted: bool) -> None:
    """List the models.

    Shown are their parameters, the images they were made for, and the papers they are from."""
    found = {name: entry(name) for name in networks.names()}
    if json_wanted:
        say(as_json([{"name": name, **known._asdict()} for name, known in found.items()]))
        return
    table(
        ("name", ">parameters", ">image", "paper"),
        [
            (name, f"{known.parameters:,}", f"{known.channels} x {known.size} x {known.size}", known.paper)
            for name, known in found.items()
        ],
    )
