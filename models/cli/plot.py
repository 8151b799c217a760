"""`minigrad plot`."""

from __future__ import annotations

from pathlib import Path

import click

from minigrad.models.cli import judge
from minigrad.models.cli.command import Command, described
from minigrad.models.cli.evaluate import load_run
from minigrad.models.cli.output import remark, say
from minigrad.models.cli.pictures import Drawer
from minigrad.models.cli.run import Config, read_results

EXAMPLES = """
minigrad plot runs/lenet5-digits
minigrad plot runs/lenet5-digits --format svg
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run", type=click.Path(exists=True, file_okay=False))
@click.option("--format", "kind", type=click.Choice(["png", "svg"]), default="png", show_default=True)
def plot(run: str, kind: str) -> None:
    """Draw the pictures of a RUN.

    They show its course: loss, accuracy, learning rate and gradients; and what it learned, as far as it is finished and
    its data are here: the first filters, the confusion matrix, the worst mistakes, and a test image on its way through
    the network.
    """
    folder = Path(run)
    drawer = Drawer(folder / "pictures", kind)
    drawer.course(folder)
    if (results := read_results(folder)) is not None:
        config = Config.read(folder)
        if results["test"] is not None:
            drawer.confusion(results["test"]["confusion"], config.classes)
        learned(drawer, config, folder)
    else:
        remark("The training is not finished: what it learned is drawn when it is.")
    for path in drawer.paths:
        say(str(path))
    for line in drawer.missing:
        remark(f"no picture of {line}")


def learned(drawer: Drawer, config: Config, folder: Path) -> None:
    """The pictures that need the weights, and the data if they are here."""
    model = config.on("cpu").make_model()
    load_run(model, folder)
    drawer.filters(model)
    try:
        data = config.limited(config.load_data(train=False))
    except (OSError, ValueError) as error:
        drawer.missing.append(f"mistakes and feature maps: {described(error)}")
        return
    loader = config.held_out_loader(data)
    trainer = config.make_trainer(model, loader)
    load_run(model, folder)
    drawer.mistakes(data, judge.judge(trainer, loader), config.classes)
    drawer.feature_maps(model, config.prepared(data.batch([0])[0][0], config.test_transform()))
