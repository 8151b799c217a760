"""A run: its folder, what was asked for, and the data, model and trainer that this makes.

runs/lenet5-digits/config.json           all that `evaluate`, `predict` and `train --resume` need
                   fitted.safetensors    arrays of the recipe that would fill pages there, such as a mean image
                   log.jsonl, log.csv    the course of the training
                   checkpoints/          to go on from
                   model.safetensors     the weights, the best by validation
                   results.json          what they are worth
                   pictures/
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

from minigrad import nn, why_no_gpu
from minigrad.models.cli.output import as_json
from minigrad.models.cli.settings import build, channels_of
from minigrad.nn.atomic import replacing
from minigrad.nn.data import DataLoader, Dataset, Subset
from minigrad.nn.data.transforms import Compose, Resize
from minigrad.nn.train import Checkpoints, Recipe, Trainer

FORMAT = 1  # of config.json
INLINE = 64  # numbers of an array at most that stand in config.json itself
FEWEST = 64  # images in a batch that is only evaluated, where the recipe's batches are smaller
SAMPLED = 256  # images of a folder whose size is looked at


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run is made of.

    Attributes:
        model, options: the model's name and its options, the number of classes among them where it has that.
        data, data_root: the name of the data set, or its path, made absolute; and the folder of data sets.
        classes: their names.
        image: (C, H, W) of the images of the data set; (C,) where they are of different sizes.
        input: (C, H, W) that the model gets.
        size: the images are resized to it; None: left to the recipe, or as they are.
        recipe: the recipe with all changes, and the numbers fitted to the training set.
        seed: of the weights, the split and the batches.
        validation, limit: the share that is held out; how many samples are used at most.
        device, autocast, workers: see `Trainer` and `DataLoader`.
        early_stopping: epochs without improvement; None for no such thing.
        tensorboard: whether its log is written too.
        asked: the options of the command line, to tell a contradicting one when the run goes on.
    """

    model: str
    options: dict[str, Any]
    data: str
    data_root: str | None
    classes: list[str]
    image: list[int]
    input: list[int]
    size: int | None
    recipe: dict[str, Any]
    seed: int
    validation: float
    limit: int | None
    device: str
    autocast: str | None
    workers: int
    early_stopping: int | None
    tensorboard: bool
    asked: dict[str, Any]

    # ---- as a file --------------------------------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Write config.json, and fitted.safetensors where there are large arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        table = dataclasses.asdict(self) | {"recipe": _without_arrays(self.recipe, arrays, "recipe")}
        versions = {"python": platform.python_version(), "numpy": np.__version__, "minigrad": version("minigrad")}
        if arrays:
            nn.save(arrays, folder / "fitted.safetensors")
        config = {"minigrad_run": FORMAT, **table, "versions": versions}
        write_json(folder / "config.json", config, strict=False)  # a schedule may last until infinity

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            FileNotFoundError: the folder holds no run.
            ValueError: the file is damaged, or of another version.
        """
        path = folder / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"no run in {folder}: there is no file {path}")
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table.pop("minigrad_run") != FORMAT:
                raise ValueError("it is of another version of minigrad")
            del table["versions"]
            arrays = nn.load(folder / "fitted.safetensors") if (folder / "fitted.safetensors").exists() else {}
            return cls(**table | {"recipe": _with_arrays(table["recipe"], arrays)})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"cannot read {path}, it is no configuration of a run: {error}") from error

    def on(self, device: str, data: str | None = None, data_root: str | None = None) -> Self:
        """The same on another device, or of another data set.

        Raises:
            RuntimeError: there is no such device, with the real reason.
        """
        need_device(device)
        changes: dict[str, Any] = {"device": device}
        if data is not None:
            changes |= {"data": data if is_name(data) else str(Path(data).expanduser().resolve()), "limit": None}
        if data_root is not None:
            changes["data_root"] = str(Path(data_root).expanduser().resolve())
        return dataclasses.replace(self, **changes)

    # ---- what it makes ----------------------------------------------------------------------------------------------

    def make_recipe(self) -> Recipe:
        """How the run is trained."""
        return Recipe(**self.recipe)

    def make_model(self) -> nn.Module:
        """The model, with fresh weights, on the device."""
        return build(self.model, self.options).to(self.device)

    def load_data(self, train: bool, download: bool = False) -> Dataset:
        """A part of the data set."""
        return load_data(self.data, train, channels_of(self.model, self.options), self.data_root, download)

    def split(self, data: Dataset) -> tuple[Dataset, Dataset | None]:
        """The training set as it was read, as what is trained on and what is held out for validation."""
        return split(data, self.validation, self.seed, self.limit)

    def limited(self, data: Dataset) -> Dataset:
        """The test set, or as many samples of it as the limit says."""
        if self.limit is None or self.limit >= len(data):
            return data
        return Subset(data, np.random.default_rng(self.seed).permutation(len(data))[: self.limit])

    def held_out_loader(self, data: Dataset) -> DataLoader:
        """Batches of a data set for evaluation."""
        recipe = self.make_recipe()
        batch = recipe.batch_size if recipe.batch_size >= FEWEST // 2 else FEWEST
        return DataLoader(data, batch, transform=self.test_transform(), num_workers=self.workers, seed=self.seed)

    def test_transform(self) -> Compose:
        """What is done to an image before it is judged; all numbers it needs stand in the recipe."""
        return self.make_recipe().transforms(nn.data.ArrayDataset([]), self.size)[1]

    def prepared(self, image: np.ndarray, transform: Compose) -> np.ndarray:
        """An image of any size, uint8 (C, H, W), as the model takes it: (C, h, w), or (views, C, h, w).

        It is first brought to the size of the data set's images, where they have one.
        """
        size = tuple(self.image[1:])
        if size and image.shape[1:] != size:
            image = Resize(size)(image)
        return transform(image, np.random.default_rng(self.seed))

    def make_trainer(self, model: nn.Module, loader: DataLoader, **options: Any) -> Trainer:
        """The trainer of the run."""
        if self.autocast is not None:
            options["autocast"] = self.autocast
        return self.make_recipe().make_trainer(model, loader, **options)

    def make_checkpoints(self, folder: Path) -> Checkpoints:
        """The place of the checkpoints: the last two, and the best by validation if there is one."""
        best = 1 if self.validation else 0
        return Checkpoints(folder / "checkpoints", keep_last=2, keep_best=best, monitor="val_top1", mode="max")


def need_device(device: str) -> None:
    """Tell now if there is no such device, not when the model moves there.

    Raises:
        RuntimeError: with the real reason.
    """
    if device == "cuda" and (reason := why_no_gpu()):
        raise RuntimeError(f"--device cuda: {reason}")


def load_data(name: str, train: bool, channels: int, root: str | None, download: bool = False) -> Dataset:
    """A part of a data set by its name or path; a folder of images is read in grey for a model of one channel."""
    options = {"mode": "L"} if channels == 1 and Path(name).expanduser().is_dir() and not is_name(name) else {}
    try:
        return nn.data.get(name, train, root, download, **options)
    except (FileNotFoundError, ValueError) as error:
        if is_name(name):
            error.add_note("On the command line that is --download and --data-root.")
        raise


def is_name(data: str) -> bool:
    """Whether this names a data set that minigrad knows, rather than a path."""
    try:
        nn.data.info(data)
    except ValueError:
        return False
    return True


def split(data: Dataset, share: float, seed: int, limit: int | None) -> tuple[Dataset, Dataset | None]:
    """A data set without a share of its samples, and those, drawn from each class alike; None for a share of 0.

    Args:
        data: the training set.
        share: of the samples, below 1.
        seed: of the draw.
        limit: only so many samples are used in all; None for all.

    Raises:
        ValueError: a share so small that no sample is held out, or so large that none is left.

    >>> digits = nn.data.get("digits")
    >>> train, held_out = split(digits, 0.1, seed=0, limit=None)
    >>> len(train), len(held_out)
    (1293, 144)
    >>> counts = np.bincount(digits.labels[held_out.indices])
    >>> counts.max() - counts.min() <= 1
    np.True_
    """
    order = np.random.default_rng(seed).permutation(len(data))[:limit]
    count = round(share * len(order))
    if share and not 0 < count < len(order):
        raise ValueError(
            f"--validation {share:g} of {len(order)} samples leaves {len(order) - count} to train on and {count} to "
            f"validate with: both need some; 0 is for no validation"
        )
    labels = getattr(data, "labels", None)
    if labels is not None and count:
        order = order[np.argsort(np.asarray(labels)[order], kind="stable")]
    held_out = order[np.arange(count) * len(order) // max(count, 1)]
    rest = np.sort(np.setdiff1d(order, held_out))
    if not count and limit is None:
        return data, None
    return Subset(data, rest), Subset(data, np.sort(held_out)) if count else None


def image_shape(data: Dataset) -> list[int]:
    """(C, H, W) of the images of a data set, or (C,) where they have several sizes, as photographs do."""
    numbers = sorted({i * len(data) // SAMPLED for i in range(SAMPLED)}) if len(data) > SAMPLED else range(len(data))
    shapes = {data.batch([int(i)])[0][0].shape for i in numbers}
    first = next(iter(shapes))
    return list(map(int, first if len(shapes) == 1 else first[:1]))


def fitted(recipe: Recipe, data: Dataset, size: int | None) -> dict[str, Any]:
    """A recipe as a dict in which the numbers stand that its transforms have from the training set."""
    table: dict[str, Any] = dataclasses.asdict(recipe)
    for part, made in zip(("train", "test"), recipe.transforms(data, size), strict=True):
        steps = made.transforms[0 if size is None else 1 :]
        table[part] = [_filled(step, made) for step, made in zip(table[part], steps, strict=True)]
    return table


def _filled(table: Mapping[str, Any], step: Any) -> dict[str, Any]:
    """A transform's table with what `fit` found in the places where "data" stands."""
    return {key: _listed(getattr(step, key)) if value == "data" else value for key, value in table.items()}


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def load_into(model: nn.Module, path: Path) -> None:
    """Load a file of weights into a model; names the file where they do not fit."""
    try:
        model.load_state_dict(nn.load(path))
    except (ValueError, TypeError) as error:
        error.add_note(f"while loading {path}")
        raise


def read_results(folder: Path) -> dict[str, Any] | None:
    """The results of a run; None if it is not finished.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / "results.json"
    if not path.exists():
        return None
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not results.keys() >= {"epochs", "epochs_asked", "test"}:
            raise ValueError("it lacks entries")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"cannot read {path}, it holds no results of a run: {error}") from error
    return results


def write_json(path: Path, table: Mapping[str, Any], strict: bool = True) -> None:
    """Write a file of JSON, see `as_json`, under its name only when it is complete."""
    with replacing(path) as file:
        file.write(f"{as_json(table, strict)}\n".encode())


def _without_arrays(value: Any, arrays: dict[str, np.ndarray], path: str) -> Any:
    """JSON with large lists of numbers taken out: {"array": name} stands for each, and `arrays` gets it."""
    if isinstance(value, Mapping):
        return {key: _without_arrays(item, arrays, f"{path}.{key}") for key, item in value.items()}
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    if value and not isinstance(value[0], Mapping | str) and np.size(np.asarray(value, object)) > INLINE:
        arrays[path] = np.asarray(value, np.float64)
        return {"array": path}
    return [_without_arrays(item, arrays, f"{path}.{i}") for i, item in enumerate(value)]


def _with_arrays(value: Any, arrays: Mapping[str, Any]) -> Any:
    """What `_without_arrays` had before it."""
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"array"}:
        return arrays[value["array"]].numpy().tolist()
    return {key: _with_arrays(item, arrays) for key, item in value.items()}
