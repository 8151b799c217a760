"""`minigrad version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click

from minigrad.models.cli.command import Command
from minigrad.models.cli.output import columned, say

PACKAGES = (
    "numpy",
    "cupy-cuda13x",
    "cupy-cuda12x",
    "safetensors",
    "matplotlib",
    "pillow",
    "click",
    "rich",
    "tensorboard",
)

EXAMPLES = """
minigrad version
"""


@click.command(cls=Command, epilog=EXAMPLES)
def version() -> None:
    """Show the versions of all that matters.

    A report of a bug needs them."""
    rows = [["minigrad", installed("minigrad")], ["python", platform.python_version()]]
    for package in PACKAGES:
        try:
            rows.append([package, installed(package)])
        except PackageNotFoundError:
            rows.append([package, "-"])
    for line in columned(rows, [False, False]):
        say(line)
