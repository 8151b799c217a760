"""The command `minigrad`, with all that it can do."""

from __future__ import annotations

from importlib.metadata import version

import click

from minigrad.models.cli.command import Group, debug_option
from minigrad.models.cli.train import train

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
@click.version_option(version("minigrad"), "--version", prog_name="minigrad")
def minigrad() -> None:
    """Train the historical convolutional networks, and look at what they learn."""


for command in (train,):
    minigrad.add_command(command)
