"""`minigrad predict`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.text import Text

import minigrad as mg
from minigrad import models, nn, no_grad
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import Command, described, is_expected
from minigrad.models.cli.evaluate import load_run
from minigrad.models.cli.output import as_json, console, is_live, percent, remark, say
from minigrad.models.cli.run import Config
from minigrad.models.cli.settings import build, channels_of, chosen, device_option, json_option, model_options
from minigrad.nn.data.transforms import CenterCrop, Compose, Normalize, Resize, ToFloat

BAR = 30  # characters
SHOWN = 5
MARGIN = 256 / 224  # of the shorter side over the crop, as ImageNet's networks are tested
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours, as torchvision has them

EXAMPLES = """
minigrad predict digit.png --run runs/lenet5-digits
minigrad predict photos/*.jpg --run runs/resnet18-photos --json
minigrad predict dog.jpg --model resnet18 --weights resnet18.safetensors --classes imagenet.txt
minigrad predict digit.png --run runs/lenet5-digits --feature-maps maps.png
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path())
@click.option("--run", type=click.Path(exists=True, file_okay=False), help="The folder of a run.")
@click.option("--model", help="Instead of a run: a model ...")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False), help="... with the weights of a file ...")
@click.option("--classes", type=click.Path(exists=True, dir_okay=False), help="... and names, one a line.")
@click.option(
    "--size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of the image, for --model.  [default: the model's usual one]",
)
@model_options
@click.option("--invert", is_flag=True, help="Light becomes dark: for ink on paper, where digits are light on dark.")
@click.option("--feature-maps", type=click.Path(dir_okay=False), help="Draw what the network sees of the first image.")
@device_option
@json_option
def predict(images: Sequence[str], json_wanted: bool, invert: bool, feature_maps: str | None, **asked: Any) -> None:
    """Say what is in each IMAGE: the five likeliest classes.

    With --run an image is prepared as those of the run were. With --model it is prepared as ImageNet's networks are
    tested: the shorter side resized, the centre cut out, ImageNet's mean and spread of colours taken off.
    """
    predictor = of_run(asked) if asked["run"] is not None else of_model(asked)
    found: list[dict[str, Any]] = []
    drawn = failed = False
    for path in images:
        try:
            image = nn.data.read_image(Path(path), "L" if predictor.channels == 1 else "RGB")
            image = predictor.prepare(255 - image if invert else image)
        except (OSError, ValueError) as error:
            if not is_expected(error):
                raise
            remark(f"Error: {described(error)}")
            failed = True
            continue
        found.append({"file": path, "predictions": predictor.likeliest(image)})
        if not json_wanted:
            show(found[-1], first=len(found) == 1)
        if feature_maps is not None and not drawn:
            view = image[0] if image.ndim == 4 else image
            nn.pictures.save(nn.pictures.feature_maps(predictor.model, view), feature_maps)
            drawn = True
    if json_wanted:
        say(as_json(found))
    elif drawn:
        say(f"\nfeature maps: {feature_maps}")
    if failed:
        sys.exit(1)


class Predictor:
    """A network with what is done to an image before it.

    Args:
        model: with its weights.
        prepare: from uint8 (C, H, W) to what the model takes.
        scores: the probabilities (N, classes) of images (N, C, H, W) or views (N, views, C, H, W).
        classes: the names.
        channels: of an image.
    """

    def __init__(
        self,
        model: nn.Module,
        prepare: Callable[[np.ndarray], np.ndarray],
        scores: Callable[[np.ndarray], np.ndarray],
        classes: Sequence[str],
        channels: int,
    ):
        self.model = model
        self.prepare = prepare
        self.scores = scores
        self.classes = classes
        self.channels = channels

    def likeliest(self, image: np.ndarray) -> list[dict[str, Any]]:
        """The five likeliest classes of an image, the likeliest first."""
        p = self.scores(image[None])[0]
        order = np.argsort(-p, kind="stable")[:SHOWN]
        return [{"class": self.name(int(i)), "index": int(i), "probability": float(p[i])} for i in order]

    def name(self, i: int) -> str:
        """Of a class; its number where it has none."""
        return self.classes[i] if i < len(self.classes) else str(i)


def of_run(asked: dict[str, Any]) -> Predictor:
    """The network of a run."""
    for key, flag in (("model", "--model"), ("weights", "--weights"), ("classes", "--classes"), ("size", "--size")):
        if asked[key] is not None:
            raise click.UsageError(f"{flag} cannot be given with --run, which has its own")
    folder = Path(asked["run"])
    config = Config.read(folder).on(asked["device"])
    transform = config.test_transform()
    model = config.make_model()
    trainer = config.make_trainer(model, nn.data.DataLoader(nn.data.ArrayDataset([0])))
    load_run(model, folder)
    return Predictor(
        model, lambda image: config.prepared(image, transform), trainer.predict, config.classes, config.image[0]
    )


def of_model(asked: dict[str, Any]) -> Predictor:
    """A network by its name, with a file of weights."""
    for key, flag in (("model", "--model"), ("weights", "--weights")):
        if asked[key] is None:
            raise click.UsageError(f"{flag} is missing: give --run, or both --model and --weights")
    classes: list[str] = []
    if asked["classes"] is not None:
        try:
            classes = Path(asked["classes"]).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            error.add_note(f"while reading {asked['classes']}, which must be a text in UTF-8 with a name in each line")
            raise
    options = chosen(asked["model"], asked["options"], asked["width"])
    if classes and "num_classes" in models.registry.options(asked["model"]):
        options = {"num_classes": len(classes)} | options
    channels = channels_of(asked["model"], options)
    size = asked["size"] or entry(asked["model"]).size
    model = build(asked["model"], options, asked["weights"]).to(asked["device"]).eval()
    mean, std = (MEAN, STD) if channels == 3 else ((0.0,), (1.0,))
    prepare = Compose([Resize(math.ceil(size * MARGIN)), CenterCrop(size), ToFloat(), Normalize(mean, std)])

    def scores(images: np.ndarray) -> np.ndarray:
        with no_grad():
            return mg.softmax(model(mg.asarray(images).to(asked["device"])), axis=1).to("cpu").numpy()

    return Predictor(model, prepare, scores, classes, channels)


def show(found: dict[str, Any], first: bool) -> None:
    """Write the classes of one image; with bars in a terminal."""
    if not first:
        say("")
    say(f"{found['file']}")
    width = max(len(row["class"]) for row in found["predictions"])
    for row in found["predictions"]:
        line = f"  {row['class'].ljust(width)}  {percent(row['probability']):>8}"
        if is_live():
            console().print(Text(f"{line}  ").append("━" * round(BAR * row["probability"]), "green"))
        else:
            say(line)
