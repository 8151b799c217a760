"""`minigrad data`."""

from __future__ import annotations

import click

from minigrad import nn
from minigrad.models.cli.command import Command
from minigrad.models.cli.output import as_json, say, table
from minigrad.models.cli.settings import json_option

EXAMPLES = """
minigrad data
minigrad data --json
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.option("--data-root", type=click.Path(), help="The folder of data sets.")
@json_option
def data(data_root: str | None, json_wanted: bool) -> None:
    """List the data sets, and where they are.

    Besides these names, --data of the other commands takes a folder with a folder of images for each class, and an .npz
    file with images and labels.
    """
    found = [nn.data.info(name, data_root) for name in nn.data.names()]
    if json_wanted:
        rows = [{**vars(known), "where": None if known.where is None else str(known.where)} for known in found]
        say(as_json(rows))
        return
    table(
        ("name", ">classes", ">image", ">training", ">test", "licence", "where"),
        [
            (
                known.name,
                known.classes,
                " x ".join(map(str, known.shape)),
                f"{known.train:,}",
                f"{known.test:,}",
                known.licence,
                known.where or "not here",
            )
            for known in found
        ],
    )
    if any(known.where is None for known in found):
        say(f"\nWhat is not here: --download gets it into {nn.data.data_root(data_root)}, or put its files there.")
