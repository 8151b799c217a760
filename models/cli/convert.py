"""`minigrad convert`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from minigrad import Tensor, nn
from minigrad.models.cli.command import Command, Failure
from minigrad.models.cli.output import say
from minigrad.models.weights import WRAPPERS

EXAMPLES = """
minigrad convert resnet18.pth resnet18.safetensors
minigrad convert checkpoint.pt weights.npz --force
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("source", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Replace TARGET if it is there.")
def convert(source: str, target: str, force: bool) -> None:
    """Convert a file of weights.

    SOURCE is a .pth, .pt, .npz or .safetensors file, TARGET a .safetensors or .npz one.

    The file of a training script that keeps the weights under "state_dict", "model_state_dict" or "model" becomes one
    of the weights alone. Nothing in SOURCE is run.
    """
    if Path(target).exists() and not force:
        raise Failure(f"{target} is there already: --force replaces it")
    state: Any = nn.load(source)
    inside = next((name for name in WRAPPERS if isinstance(state.get(name), Mapping)), None)
    weights = state if inside is None else state[inside]
    if others := sorted(str(key) for key, value in weights.items() if not isinstance(value, Tensor)):
        raise Failure(f"{source} holds more than named arrays: {', '.join(others[:5])}")
    nn.save(weights, target)
    where = "" if inside is None else f" under {inside!r}"
    say(
        f"{target}: {len(weights)} arrays{where}, {sum(value.size for value in weights.values()):,} numbers, "
        f"{Path(target).stat().st_size:,} bytes"
    )
