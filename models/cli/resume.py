"""A run that is there already: it goes on as it was begun, or is left alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from minigrad.models.cli import judge
from minigrad.models.cli.command import Failure
from minigrad.models.cli.configure import FREE, plain
from minigrad.models.cli.output import counted, remark, say
from minigrad.models.cli.run import Config, read_results


def refuse_used(folder: Path) -> None:
    """A folder that holds a run, or something else, is never written over."""
    if not folder.is_dir():
        return
    if any((folder / "checkpoints").glob("step-*")) or (folder / "model.safetensors").exists():
        raise Failure(f"{folder} holds a run already: go on with it by --resume, or give another folder by --out")
    if any(folder.iterdir()) and not is_run(folder):
        raise Failure(f"{folder} is not empty and holds no run of minigrad: give another folder by --out")


def is_run(folder: Path) -> bool:
    """Whether there is a configuration of ours."""
    try:
        Config.read(folder)
    except (OSError, ValueError):
        return False
    return True


def resumed(ctx: click.Context, folder: Path, asked: dict[str, Any]) -> Config:
    """The configuration of a run that goes on: what it began with, and perhaps more epochs."""
    config = Config.read(folder)
    given = [key for key in asked if ctx.get_parameter_source(key) is not ParameterSource.DEFAULT and key not in FREE]
    for key in given:
        before, now = begun_with(config, key), plain(asked[key])
        if key != "epochs" and before != now:
            flag = next(p for p in ctx.command.params if p.name == key).opts[0]
            raise click.UsageError(
                f"{flag} {_shown(now)} contradicts the run in {folder}, which was begun with {_shown(before)}: leave "
                f"it out, or give another folder by --out"
            )
    epochs = asked["epochs"] or config.recipe["epochs"]
    if epochs < config.recipe["epochs"]:
        raise click.UsageError(f"--epochs {epochs} is fewer than the {config.recipe['epochs']} of the run in {folder}")
    if epochs > config.recipe["epochs"]:
        if {"epochs", "steps"} & {v for v in config.recipe["schedule"].values() if isinstance(v, str)}:
            remark(
                f"The learning-rate schedule was made for {config.recipe['epochs']} epochs, and goes on as it is "
                f"beyond them."
            )
        recipe = config.recipe | {"epochs": epochs}
        config = dataclasses.replace(config, recipe=recipe, asked=config.asked | {"epochs": epochs})
    return dataclasses.replace(config, workers=asked["workers"])


def begun_with(config: Config, key: str) -> Any:
    """The value of an option when the run was begun; the recipe's where it was not given."""
    recipes = {"epochs": ["epochs"], "batch_size": ["batch_size"], "lr": ["optimizer", "lr"]}
    value = config.asked[key]
    if value is None and key in recipes:
        value = config.recipe
        for name in recipes[key]:
            value = value.get(name)
    return value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{key}={item}" for key, item in value) or "none"
    return "none" if value is None else str(value)


def is_complete(folder: Path, config: Config) -> bool:
    """Whether the run has its results already; says so."""
    results = read_results(folder)
    if results is None or results["epochs_asked"] < config.recipe["epochs"]:
        return False
    say(f"{folder} is complete, after {counted(results['epochs'], 'epoch')}; --epochs N with more goes on.")
    if results["test"] is not None:
        judge.show(results["test"], "test")
    return True
