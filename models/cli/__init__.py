"""The command `minigrad`: training, evaluation and prediction in a terminal."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that `sys.argv` holds, and exit: with 0, 1 for a failure, 2 for bad usage, 130 for Ctrl-C."""
    from minigrad.nn.optional import need  # imported here, as all below: the library works without them

    try:
        for package in ("click", "rich"):
            need(package, "the command minigrad")
    except ImportError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    from minigrad.models.cli.root import minigrad

    minigrad.main(prog_name="minigrad")
