"""A run from its configuration to its results."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import models, nn
from minigrad.models.cli import judge
from minigrad.models.cli.command import Interrupted, blaming
from minigrad.models.cli.output import counted, duration, percent, remark, say
from minigrad.models.cli.pictures import Drawer
from minigrad.models.cli.progress import Progress
from minigrad.models.cli.run import Config, is_name, write_json
from minigrad.models.cli.settings import build
from minigrad.nn.data import DataLoader, Dataset
from minigrad.nn.train import DivergedError, EarlyStopping, RunLog, TensorBoard, find_lr


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
