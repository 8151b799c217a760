"""`minigrad train`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

import minigrad as mg
from minigrad import models, nn
from minigrad.models.cli import judge
from minigrad.models.cli.catalogue import entry
from minigrad.models.cli.command import Command, Failure, Interrupted, blaming
from minigrad.models.cli.output import counted, duration, percent, remark, say
from minigrad.models.cli.pictures import Drawer
from minigrad.models.cli.progress import Progress
from minigrad.models.cli.run import Config, fitted, image_shape, is_name, load_data, need_device, split, write_json
from minigrad.models.cli.settings import KeyValue, build, channels_of, chosen, model_options, outputs, takes
from minigrad.nn.data import DataLoader, Dataset
from minigrad.nn.optional import need
from minigrad.nn.train import DivergedError, EarlyStopping, Recipe, RunLog, TensorBoard, find_lr

FREE = {"out", "resume", "quiet", "download", "data_root", "workers", "find_lr"}  # may change when a run goes on

EXAMPLES = """
minigrad train lenet5 --data digits --epochs 3
minigrad train lenet5 --data fashion-mnist --epochs 10 --seed 1
minigrad train resnet20_cifar --data cifar10 --recipe resnet_2015_cifar --download
minigrad train vgg11 --data photos/ --size 64 --width 0.25 --set optimizer.lr=0.0003
minigrad train lenet5 --data digits --find-lr
minigrad train lenet5 --data digits --epochs 20 --resume
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("model")
@click.option("--data", required=True, metavar="NAME|PATH", help="A data set, a folder of images, or an .npz file.")
@click.option("--recipe", default="default", show_default=True, metavar="NAME|FILE.toml", help="How to train.")
@click.option("--set", "changes", type=KeyValue(), multiple=True, help="Change the recipe, as optimizer.lr=0.05.")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the training set.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Images in a batch.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), metavar="X", help="Learning rate.")
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Resize the images to this many pixels a side.")
@model_options
@click.option("--weights", type=click.Path(exists=True, dir_okay=False), help="Start from the weights in this file.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to compute."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of all that is drawn."
)
@click.option(
    "--validation",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.1,
    show_default=True,
    metavar="X",
    help="Share of the training set that is held out; 0 for none.",
)
@click.option("--limit", type=click.IntRange(min=2), metavar="N", help="Use only so many samples, for a quick try.")
@click.option("--out", type=click.Path(file_okay=False), help="The run's folder.  [default: runs/MODEL-DATA]")
@click.option("--resume", is_flag=True, help="Go on with the run in this folder, with its options.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Threads for images."
)
@click.option("--autocast", is_flag=True, help="Compute in float16 where that is safe (cuda).")
@click.option("--ema", type=click.FloatRange(0, 1), metavar="DECAY", help="Evaluate with averaged weights.")
@click.option("--early-stopping", type=click.IntRange(min=1), metavar="N", help="Stop after N epochs without progress.")
@click.option("--tensorboard", is_flag=True, help="Write a log for TensorBoard too.")
@click.option("--find-lr", is_flag=True, help="Look for a good learning rate, and do not train.")
@click.option("--download", is_flag=True, help="Download the data set if it is not here.")
@click.option("--data-root", type=click.Path(), help="The folder of data sets.")
@click.option("--quiet", is_flag=True, help="Show nothing but the results.")
@click.pass_context
def train(ctx: click.Context, **asked: Any) -> None:
    """Train MODEL on a data set.

    The best weights by validation are tested once, at the end. They are saved in the run's folder, with a log,
    checkpoints and pictures. Ctrl-C saves too, and says how to go on.

    `minigrad models`, `minigrad data` and `minigrad recipes` list what there is. Epochs, batches and the learning rate
    are the recipe's unless they are given.
    """
    need("safetensors", "minigrad train")  # now, not after an epoch
    name = asked["data"] if is_name(asked["data"]) else Path(asked["data"]).expanduser().resolve().stem
    folder = Path(asked["out"] or Path("runs", f"{asked['model']}-{name}"))
    if asked["find_lr"]:
        need_device(asked["device"])
        look_for_lr(configured(asked), folder, asked["download"])
        return
    if asked["resume"] and (folder / "config.json").exists():
        config = resumed(ctx, folder, asked)
        if is_complete(folder, config):
            return
    else:
        refuse_used(folder)
        if asked["resume"]:
            remark(f"There is nothing to resume in {folder}: starting.")
        config = configured(asked)
    need_device(config.device)
    training = Training(config, folder, asked["download"], asked["quiet"])
    config.write(folder)  # not before it is known that all parts can be made
    training.run()


# ---- what is asked for ----------------------------------------------------------------------------------------------


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


# ---- a run that is there --------------------------------------------------------------------------------------------


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
    path = folder / "results.json"
    if not path.exists():
        return False
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["epochs_asked"] < config.recipe["epochs"]:
        return False
    say(f"{folder} is complete, after {counted(results['epochs'], 'epoch')}; --epochs N with more goes on.")
    if results["test"] is not None:
        judge.show(results["test"], "test")
    return True


# ---- training -------------------------------------------------------------------------------------------------------


class Training:
    """A run from its configuration to its results.

    Args:
        config: what to do.
        folder: of the run.
        download: whether data that is not here may be downloaded.
        quiet: say nothing but the results.
    """

    def __init__(self, config: Config, folder: Path, download: bool = False, quiet: bool = False):
        self.config = config
        self.folder = folder
        self.quiet = quiet
        mg.manual_seed(config.seed)
        self.data, self.held_out = config.split(config.load_data(True, download))
        self.test = self._test_set(download)
        self.model = config.make_model()
        self.checkpoints = config.make_checkpoints(folder)
        with blaming(f"the recipe {config.recipe['name']}"):
            self.loader, _ = config.make_recipe().loaders(self.data, size=config.size, num_workers=config.workers)
            self.progress = self._progress()
            self.trainer = config.make_trainer(
                self.model, self.loader, checkpoints=self.checkpoints, callbacks=self._callbacks()
            )

    def _test_set(self, download: bool) -> Dataset | None:
        try:
            return self.config.limited(self.config.load_data(False, download))
        except FileNotFoundError:
            if is_name(self.config.data):
                raise
            return None  # a folder or an archive of the user's that has no such part

    def _progress(self) -> Progress:
        recipe = self.config.make_recipe()
        group = recipe.trainer.get("accumulate", 1)
        return Progress(recipe.epochs, -(-len(self.loader) // group), recipe.batch_size * group, self.quiet)

    def _callbacks(self) -> list[Any]:
        found: list[Any] = [RunLog(self.folder)]
        if self.config.tensorboard:
            found.append(TensorBoard(self.folder / "tensorboard"))
        if self.config.early_stopping is not None:
            found.append(EarlyStopping("val_top1", self.config.early_stopping))
        return [*found, self.progress]

    def run(self) -> None:
        """Train, test, save, draw."""
        if self.trainer.resume():
            remark(f"Going on after epoch {self.trainer.epoch}, step {self.trainer.step}.")
        elif (weights := self.config.asked["weights"]) is not None:
            remark(start_from(self.model, self.config, Path(weights)))
        if not self.quiet:
            self._introduce()
        held_out = None if self.held_out is None else self.progress.watched(self._loader(self.held_out))
        try:
            self.trainer.fit(self.loader, held_out, epochs=self.config.recipe["epochs"])
            self._finish()
        except KeyboardInterrupt as error:
            raise Interrupted(self._how_to_go_on()) from error
        except DivergedError as error:
            error.add_note("On the command line that is --lr, and --set trainer.clip_norm=1.0.")
            raise

    def _loader(self, data: Dataset) -> DataLoader:
        return self.config.held_out_loader(data)

    def _introduce(self) -> None:
        config, recipe = self.config, self.config.make_recipe()
        sums = models.summary(self.model, tuple(config.input)).totals
        by = " x ".join(map(str, config.input))
        say(
            f"{config.model}: {sums.parameters:,} parameters, {sums.multiply_adds:,} multiply-adds for an image of {by}"
        )
        parts = [f"{len(self.data):,} images to train on"]
        parts += [] if self.held_out is None else [f"{len(self.held_out):,} to validate with"]
        parts += ["no test set"] if self.test is None else [f"{len(self.test):,} to test with"]
        resized = "" if config.size is None else f", resized to {config.size} x {config.size}"
        say(f"{config.data}: {', '.join(parts)}, {len(config.classes)} classes{resized}")
        say(
            f"{recipe.name}: {recipe.optimizer['name']} with a learning rate of {recipe.optimizer.get('lr')}, "
            f"batches of {recipe.batch_size}, {counted(recipe.epochs, 'epoch')}"
        )

    def _how_to_go_on(self) -> str:
        saved = self.checkpoints.path(self.trainer.step).exists()
        command = ["minigrad", "train", self.config.model, "--data", self.config.asked["data"]]
        command += ["--out", str(self.folder), "--resume"]
        done = self.trainer.epoch >= self.config.recipe["epochs"] or self.trainer.stop
        when = "after the last epoch" if done else f"in epoch {self.trainer.epoch + 1}"
        where = f"Interrupted {when}, after step {self.trainer.step}"
        state = "saved" if saved else "what came after the last checkpoint is lost"
        return f"{where}: {state}. Go on with\n  {shlex.join(command)}"

    def _finish(self) -> None:
        history = list(self.trainer.history)
        found = self.checkpoints.best() if self.held_out is not None else None
        if found is not None:
            self.trainer.load_state_dict(found[1])
        epoch = self.trainer.epoch
        judged = None if self.test is None else judge.judge(self.trainer, self._loader(self.test))
        classes = self.config.classes
        test = None if judged is None else judge.as_dict(judged.metrics, classes)
        with self.trainer.evaluating() as model:
            nn.save(model, self.folder / "model.safetensors")
        results = {
            "model": self.config.model,
            "data": self.config.data,
            "recipe": self.config.recipe["name"],
            "seed": self.config.seed,
            "epochs": len(history),
            "epochs_asked": self.config.recipe["epochs"],
            "epoch_of_weights": epoch,
            "seconds_of_training": sum(row["seconds"] for row in history),
            "validation": {k.removeprefix("val_"): v for k, v in history[epoch - 1].items() if k.startswith("val_")},
            "test": test,
        }
        drawer = Drawer(self.folder / "pictures")
        try:
            self._draw(drawer, judged)
        except ImportError as error:
            drawer.missing.append(str(error))
        write_json(self.folder / "results.json", results)
        self._report(results, drawer)

    def _draw(self, drawer: Drawer, judged: judge.Judgement | None) -> None:
        drawer.course(self.folder)
        with self.trainer.evaluating() as model:
            drawer.filters(model)
            if judged is not None and self.test is not None:
                drawer.confusion(judged.metrics.confusion, self.config.classes)
                drawer.mistakes(self.test, judged, self.config.classes)

    def _report(self, results: dict[str, Any], drawer: Drawer) -> None:
        if not self.quiet:
            say("")
        validation = results["validation"]
        which = f"the best by validation, of epoch {results['epoch_of_weights']}" if validation else "the last"
        if results["test"] is not None:
            judge.show(results["test"], "test")
        else:
            best = f"; validation: {percent(validation['top1'])}" if validation else ""
            say(f"{self.config.data} has no test set{best}")
        say(f"with the weights that are {which}; trained in {duration(results['seconds_of_training'])}")
        if self.quiet:
            return
        say("")
        say(f"weights   {self.folder / 'model.safetensors'}")
        say(f"results   {self.folder / 'results.json'}")
        say(f"log       {self.folder / 'log.csv'}, {self.folder / 'log.jsonl'}")
        if drawer.paths:
            say(f"pictures  {drawer.folder}: {', '.join(path.name for path in drawer.paths)}")
        for line in drawer.missing:
            remark(f"no picture of {line}")
        say(f"next      minigrad predict IMAGE --run {shlex.quote(str(self.folder))}")


def start_from(model: nn.Module, config: Config, path: Path) -> str:
    """Load weights into a model; of those for another number of classes or channels, all that fit. Returns a remark."""
    try:
        model.load_state_dict(build(config.model, config.options, str(path)).state_dict())
        return f"Starting from the weights in {path}."
    except ValueError:
        own = {key: value for key, value in config.options.items() if key not in ("num_classes", "in_channels")}
        whole = build(config.model, own, str(path)).state_dict()
    state = model.state_dict()
    fresh = [key for key, value in state.items() if value.shape != whole[key].shape]
    model.load_state_dict(state | {key: value for key, value in whole.items() if key not in fresh})
    return f"Starting from the weights in {path}, but for {', '.join(fresh)}, which are fresh: their shapes differ."


def look_for_lr(config: Config, folder: Path, download: bool) -> None:
    """`--find-lr`: print a suggestion and draw the picture, beside where the run would be."""
    mg.manual_seed(config.seed)
    data, _ = config.split(config.load_data(True, download))
    model = config.make_model()
    loader, _ = config.make_recipe().loaders(data, size=config.size, num_workers=config.workers)
    trainer = config.make_trainer(model, loader)
    if (weights := config.asked["weights"]) is not None:
        start_from(model, config, Path(weights))
    curve = find_lr(trainer, loader)
    say(f"suggested learning rate: {curve.suggestion:.2g} (--lr {curve.suggestion:.2g})")
    drawer = Drawer(folder.parent)
    drawer.draw(f"{folder.name}-lr_finder", lambda: nn.pictures.lr_finder(curve.lrs, curve.losses, curve.suggestion))
    for path in drawer.paths:
        say(f"picture: {path}")
