"""`minigrad evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minigrad import nn
from minigrad.models.cli import judge
from minigrad.models.cli.command import Command, Failure
from minigrad.models.cli.configure import configured
from minigrad.models.cli.output import as_json, say
from minigrad.models.cli.pictures import Drawer
from minigrad.models.cli.run import Config, is_name, load_into
from minigrad.models.cli.settings import build, device_option, json_option, model_options
from minigrad.models.cli.train import train
from minigrad.nn.data import Dataset

EXAMPLES = """
minigrad evaluate runs/lenet5-digits
minigrad evaluate runs/lenet5-digits --split validation --json
minigrad evaluate runs/lenet5-digits/model.safetensors --model lenet5 --data digits
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run", metavar="RUN|WEIGHTS", type=click.Path(exists=True))
@click.option("--model", help="The model, for a file of weights.")
@click.option("--data", metavar="NAME|PATH", help="Another data set than the run's; needed for a file of weights.")
@click.option(
    "--recipe", default="default", show_default=True, help="Whose transforms are used, for a file of weights."
)
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Resize the images, for a file of weights.")
@model_options
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@device_option
@click.option("--picture", type=click.Path(dir_okay=False), help="The confusion matrix, as *.png or *.svg.")
@click.option("--download", is_flag=True, help="Download the data set if it is not here.")
@click.option("--data-root", type=click.Path(), help="The folder of data sets.")
@json_option
def evaluate(run: str, split: str, picture: str | None, json_wanted: bool, **asked: Any) -> None:
    """Measure a run, or a file of weights.

    Shown are the loss, the accuracies, and how each class fares. A file of weights is measured as if it came from
    `minigrad train` with the same options: images are resized and normalized as there."""
    path = Path(run)
    config = of_run(path, asked) if path.is_dir() else of_weights(path, asked)
    data = chosen_split(config, split, asked["download"])
    if list(data.classes) and list(data.classes) != config.classes:
        raise Failure(
            f"the model was trained for the classes {', '.join(config.classes)}; those of {config.data} are "
            f"{', '.join(data.classes)}"
        )
    loader = config.held_out_loader(data)
    model = config.make_model()
    trainer = config.make_trainer(model, loader)
    if path.is_dir():
        load_run(model, path)
    else:
        model.load_state_dict(build(config.model, config.options, run).state_dict())
    results = judge.as_dict(judge.judge(trainer, loader).metrics, config.classes)
    target = (
        Path(picture) if picture else path / "pictures" / f"confusion_matrix-{split}.png" if path.is_dir() else None
    )
    if target is not None:
        drawer = Drawer(target.parent, target.suffix[1:])
        drawer.confusion(results["confusion"], config.classes, target.stem)
    if json_wanted:
        say(as_json({"split": split, **results}))
        return
    judge.show(results, split)
    say("")
    judge.show_classes(results)
    if target is not None:
        say(f"\npicture: {target}")


def of_run(folder: Path, asked: dict[str, Any]) -> Config:
    """The configuration of a run, on the device and the data that are asked for."""
    for key, flag in (("model", "--model"), ("size", "--size"), ("width", "--width"), ("options", "--option")):
        if asked[key]:
            raise click.UsageError(f"{flag} is for a file of weights: the run in {folder} has its own")
    return Config.read(folder).on(asked["device"], asked["data"], asked["data_root"])


def of_weights(path: Path, asked: dict[str, Any]) -> Config:
    """The configuration for a file of weights: what training on this data would have."""
    for key, flag in (("model", "--model"), ("data", "--data")):
        if asked[key] is None:
            raise click.UsageError(f"{flag} is needed for a file of weights, {path}")
    with train.make_context("train", [asked["model"], "--data", asked["data"]]) as defaults:
        return configured(defaults.params | {key: value for key, value in asked.items() if key in defaults.params})


def load_run(model: nn.Module, folder: Path) -> None:
    """Load the weights of a run.

    Raises:
        Failure: it is not finished yet.
    """
    path = folder / "model.safetensors"
    if not path.exists():
        raise Failure(f"{folder} has no weights yet: finish it by `minigrad train ... --resume`")
    load_into(model, path)


def chosen_split(config: Config, split: str, download: bool) -> Dataset:
    """The data that is asked for."""
    if split == "test":
        try:
            return config.limited(config.load_data(False, download))
        except FileNotFoundError as error:
            if not is_name(config.data):
                error.add_note("--split validation measures on what was held out of the training set")
            raise
    held_out = config.split(config.load_data(True, download))[1]
    if held_out is None:
        raise Failure("nothing was held out for validation in this run (--validation 0)")
    return held_out
