"""From the options of `minigrad train` to the configuration of a run; all that can be refused early is refused here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

import minigrad as mg
from minigrad import models, nn
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import Failure, blaming
from minigrad.models.cli.run import Config, fitted, image_shape, is_name, load_data, split
from minigrad.models.cli.settings import build, channels_of, chosen, outputs, takes
from minigrad.nn.data import Dataset
from minigrad.nn.train import Recipe

FREE = {"out", "resume", "quiet", "download", "data_root", "workers", "find_lr"}  # may change when a run goes on


def configured(asked: dict[str, Any]) -> Config:
    """The configuration of a new run."""
    recipe = changed_recipe(asked)
    options = chosen(asked["model"], asked["options"], asked["width"])
    root = None if asked["data_root"] is None else str(Path(asked["data_root"]).expanduser().resolve())
    data = asked["data"] if is_name(asked["data"]) else str(Path(asked["data"]).expanduser().resolve())
    if not is_name(data) and not Path(data).exists():
        data = asked["data"]  # the message for what is neither a name nor a path shows it as it was written
    known = models.registry.options(asked["model"])
    training = load_data(data, True, channels_of(asked["model"], options), root, asked["download"])
    image, classes = image_shape(training), list(training.classes)
    found = {"num_classes": len(classes), "in_channels": image[0]}
    options = {key: value for key, value in found.items() if key in known} | options
    mg.manual_seed(asked["seed"])
    model = build(asked["model"], options)
    size = chosen_size(asked, recipe, model, image)
    part, held_out = split(training, asked["validation"], asked["seed"], asked["limit"])
    if held_out is None:
        refuse_without_validation(asked, recipe)
    with blaming(f"the recipe {recipe.name}"):
        table = fitted(recipe, part, size)
        shape = prepared_shape(Recipe(**table), part, size)
    refuse_misfit(asked, model, shape, classes)
    return Config(
        model=asked["model"],
        options=options,
        data=data,
        data_root=root,
        classes=classes,
        image=image,
        input=shape,
        size=size,
        recipe=table,
        seed=asked["seed"],
        validation=asked["validation"],
        limit=asked["limit"],
        device=asked["device"],
        autocast="float16" if asked["autocast"] else None,
        workers=asked["workers"],
        early_stopping=asked["early_stopping"],
        tensorboard=asked["tensorboard"],
        asked=plain({key: value for key, value in asked.items() if key not in FREE}),
    )


def plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value))


def changed_recipe(asked: dict[str, Any]) -> Recipe:
    """The recipe with the changes that were asked for."""
    changes = dict(asked["changes"])
    for key, value in (("epochs", asked["epochs"]), ("batch_size", asked["batch_size"]), ("optimizer.lr", asked["lr"])):
        if value is not None:
            changes[key] = value
    if asked["ema"] is not None:
        changes["average"] = {"name": "EMA", "decay": asked["ema"]}
    recipe = nn.train.recipe.get(asked["recipe"]).changed(changes)
    if recipe.epochs < 1:
        raise Failure(f"the recipe {recipe.name} must have epochs of at least 1, got {recipe.epochs}")
    return recipe


def chosen_size(asked: dict[str, Any], recipe: Recipe, model: nn.Module, image: list[int]) -> int | None:
    """The side to resize images to; None where they stay as they are, or the recipe decides."""
    if not recipe.any_size:
        if asked["size"] is not None:
            raise click.UsageError(f"--size cannot be given with the recipe {recipe.name}, whose transforms decide it")
        return None
    if asked["size"] is not None:
        return int(asked["size"])
    if len(image) == 3 and takes(model, tuple(image)):
        return None
    return entry(asked["model"]).size


def prepared_shape(recipe: Recipe, data: Dataset, size: int | None) -> list[int]:
    """(C, H, W) of an image as the network gets it; tells before the training if the recipe cannot prepare it."""
    for_training, for_test = recipe.transforms(data, size)
    one = data.batch([0])[0]
    try:
        for_training(one, np.random.default_rng(0))
        done = for_test(one, np.random.default_rng(0))
    except (TypeError, ValueError) as error:
        error.add_note(f"while the recipe {recipe.name} prepared the first image, of shape {one[0].shape}")
        raise
    return list(map(int, done.shape[-3:]))


def refuse_without_validation(asked: dict[str, Any], recipe: Recipe) -> None:
    """What looks at the validation set needs one."""
    if asked["early_stopping"] is not None:
        raise click.UsageError("--early-stopping needs a validation set: give --validation a share above 0")
    if recipe.schedule.get("name") == "ReduceLROnPlateau" and recipe.trainer.get("monitor", "val_loss")[:4] == "val_":
        raise click.UsageError(
            f"the recipe {recipe.name} lowers the learning rate by the validation set: give --validation a share above "
            f"0"
        )


def refuse_misfit(asked: dict[str, Any], model: nn.Module, shape: list[int], classes: list[str]) -> None:
    """Tell before the training if the model does not fit the data."""
    name, data = asked["model"], asked["data"]
    known = models.registry.options(name)
    channels = entry(name).channels
    if "in_channels" not in known and shape[0] != channels:
        raise Failure(f"{name} takes images of {channels} channel, those of {data} have {shape[0]}")
    try:
        count = outputs(model, tuple(shape))
    except ValueError as error:
        by = ", ".join(map(str, shape))
        error.add_note(f"{name} was given images ({by}) of {data}; --size N resizes them, {entry(name).size} is usual")
        raise
    if count < len(classes) or ("num_classes" not in known and count != len(classes)):
        raise Failure(f"{name} has {count} outputs, but {data} has {len(classes)} classes")
