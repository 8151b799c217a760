"""The command `minigrad`, with all that it can do."""

from __future__ import annotations

from importlib.metadata import version as installed

import click

from minigrad.models.cli.command import Group, debug_option
from minigrad.models.cli.convert import convert
from minigrad.models.cli.data import data
from minigrad.models.cli.devices import devices
from minigrad.models.cli.evaluate import evaluate
from minigrad.models.cli.models import models
from minigrad.models.cli.plot import plot
from minigrad.models.cli.predict import predict
from minigrad.models.cli.recipes import recipes
from minigrad.models.cli.summary import summary
from minigrad.models.cli.train import train
from minigrad.models.cli.version import version

EXAMPLES = """
minigrad train lenet5 --data digits --epochs 3
minigrad models
minigrad train --help
"""


@click.group(
    cls=Group,
    params=[debug_option()],
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(installed("minigrad"), "--version", prog_name="minigrad")
def minigrad() -> None:
    """Train the historical convolutional networks, and look at what they learn."""


for command in (train, evaluate, predict, plot, summary, models, data, recipes, devices, convert, version):
    minigrad.add_command(command)
