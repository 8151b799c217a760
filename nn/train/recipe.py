"""A recipe: how a network is trained, as data. The papers' recipes are TOML files in `nn/train/recipes`."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from minigrad.nn import averaging, init, losses, optim, schedule
from minigrad.nn.data import transforms
from minigrad.nn.data.dataset import Dataset
from minigrad.nn.data.loader import DataLoader
from minigrad.nn.data.transforms import Compose
from minigrad.nn.layers.conv import ConvNd
from minigrad.nn.layers.linear import Linear
from minigrad.nn.module import Module
from minigrad.nn.train.curvature import EstimateCurvature
from minigrad.nn.train.trainer import Trainer

Table = Mapping[str, Any]
FITTED = "data"  # an option of a transform that is computed from the training set
SHOWN = 1 << 26  # to so many numbers of it


def names() -> list[str]:
    """The recipes that come with minigrad.

    >>> from minigrad import nn
    >>> "resnet_2015_cifar" in nn.train.recipe.names()
    True
    """
    folder = files("minigrad.nn.train.recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def get(name: str | os.PathLike[str]) -> Recipe:
    """A recipe by its name, or from a TOML file of yours.

    Raises:
        ValueError: there is none of that name; suggests the nearest. A file that is no recipe; says why.
        FileNotFoundError: there is no such file.

    >>> from minigrad import nn
    >>> recipe = nn.train.recipe.get("alexnet_2012")
    >>> recipe.optimizer["lr"], recipe.batch_size, recipe.epochs
    (0.01, 128, 90)
    """
    if os.fspath(name).endswith(".toml"):
        return Recipe.from_toml(Path(name).read_text(encoding="utf-8"), os.fspath(name))
    if name not in names():
        near = difflib.get_close_matches(os.fspath(name), names(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}, or name a .toml file"
        raise ValueError(f"there is no recipe {os.fspath(name)!r}: {hint}")
    text = files("minigrad.nn.train.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return Recipe.from_toml(text, os.fspath(name))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained: everything but the network, the data and the machine.

    A table names a class of minigrad by "name" and gives its arguments: {"name": "SGD", "lr": 0.1, "momentum": 0.9}.
    Values may be "epochs" or "steps", the number of epochs or optimizer steps of the whole training, and in transforms
    "data", what the training set gives (the mean of its channels, for instance: what the transform's `fit` finds).

    Attributes:
        name, title, source: what it is, and the paper and section it is from.
        epochs, batch_size: of the training.
        optimizer: a class of `nn.optim`; "decay_norms_and_biases": false spares what has fewer than two axes.
        model: the network it was published for; empty for any.
        notes: what the source leaves open, and what was chosen.
        criterion: a class of `nn`; the labels are given as they are.
        schedule: a class of `nn.schedule`, and "per": "epoch" or "step"; empty for none.
        average: a class of `nn.averaging`; empty for none.
        init: "weight", a function of `nn.init`, with its other arguments, and "bias", a number: drawn anew for all
            linear and convolution layers; empty for the model's own.
        train, test: transforms, one after another, of the images for training and for evaluation.
        mix: `MixUp` or `CutMix`; empty for none.
        trainer: further arguments of `Trainer`; "penalties": true says that the least output wins.
        any_size: the images may be resized to what the network takes; else the transforms decide.
    """

    name: str
    title: str
    source: str
    epochs: int
    batch_size: int
    optimizer: Table
    model: str = ""
    notes: str = ""
    criterion: Table = dataclasses.field(default_factory=lambda: {"name": "CrossEntropyLoss"})
    schedule: Table = dataclasses.field(default_factory=dict)
    average: Table = dataclasses.field(default_factory=dict)
    init: Table = dataclasses.field(default_factory=dict)
    train: list[Table] = dataclasses.field(default_factory=list)
    test: list[Table] = dataclasses.field(default_factory=list)
    mix: Table = dataclasses.field(default_factory=dict)
    trainer: Table = dataclasses.field(default_factory=dict)
    any_size: bool = False

    @classmethod
    def from_toml(cls, text: str, name: str = "recipe") -> Self:
        """A recipe from the text of a TOML file, with a key for each attribute.

        Raises:
            ValueError: it is not TOML, lacks a key, has an unknown one, or one of another type.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"the recipe {name} is not TOML: {error}") from error
        return cls._from_table({"name": name, **table})

    @classmethod
    def _from_table(cls, table: Table) -> Self:
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(table.keys() - fields):
            raise ValueError(f"the recipe {table['name']} has unknown keys {unknown}; there are {sorted(fields)}")
        needed = [n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
        if missing := sorted(set(needed) - table.keys()):
            raise ValueError(f"the recipe {table['name']} lacks {missing}")
        kinds = {"int": int, "str": str, "bool": bool, "Table": dict, "list[Table]": list}
        for key, value in table.items():
            kind = kinds[str(fields[key].type)]
            if type(value) is not kind:
                raise ValueError(f"the recipe {table['name']} must have {key} as a {kind.__name__}, got {value!r}")
        return cls(**table)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The recipe with other values: {"epochs": 5, "optimizer.lr": 0.1} changes two.

        Raises:
            ValueError: an unknown key.

        >>> from minigrad import nn
        >>> nn.train.recipe.get("default").changed({"optimizer.lr": 0.1}).optimizer["lr"]
        0.1
        """
        table: dict[str, Any] = dataclasses.asdict(self)
        for path, value in changes.items():
            key, _, option = path.partition(".")
            if option and isinstance(table.get(key), dict):
                table[key] = {**table[key], option: value}
            elif option:
                raise ValueError(f"the recipe {self.name} has no table {key!r} for {path!r}")
            else:
                table[key] = value
        return self._from_table(table)

    # ---- what it makes ----------------------------------------------------------------------------------------------

    def transforms(self, data: Dataset, size: int | None = None) -> tuple[Compose, Compose]:
        """The transforms of the images for training and for evaluation.

        Args:
            data: the training set, to which the transforms with the value "data" are fitted: up to 64 Mi numbers of
                evenly spaced samples.
            size: resize the images to this first; only for a recipe with `any_size`.

        Raises:
            ValueError: a table that makes no transform; a size for a recipe that has its own.
        """
        if size is not None and not self.any_size:
            raise ValueError(f"size must be None for the recipe {self.name}, whose transforms decide it, got {size}")
        first = [] if size is None else [transforms.Resize((size, size))]
        fitted: dict[str, Any] = {}
        made = []
        for part in ("train", "test"):
            steps: list[Any] = list(first)
            for table in getattr(self, part):
                key = repr(table)
                if FITTED not in table.values():
                    steps.append(self._made(part, table, transforms))
                elif key in fitted:
                    steps.append(fitted[key])  # the test is prepared with what the training set gave
                else:
                    steps.append(self._fitted(part, table, data, steps))
                    fitted[key] = steps[-1]
            made.append(Compose(steps))
        return made[0], made[1]

    def _fitted(self, part: str, table: Table, data: Dataset, before: list[Any]) -> Any:
        """A transform fitted to what the training set looks like after the transforms before it."""
        kind = self._named(part, table, transforms)
        if not hasattr(kind, "fit"):
            raise ValueError(f"the recipe {self.name} has {FITTED!r} in {table}, which cannot be fitted to data")
        prepare = Compose(before) if before else lambda images, generator: images
        one = prepare(data.batch([0])[0], np.random.default_rng(0))
        count = min(len(data), max(1, SHOWN // one[0].size))
        numbers = [i * len(data) // count for i in range(count)]
        images = prepare(data.batch(numbers)[0], np.random.default_rng(0))
        options = {name: value for name, value in table.items() if name != "name" and value != FITTED}
        return kind.fit(images, **options)

    def loaders(
        self, train: Dataset, test: Dataset | None = None, *, size: int | None = None, **options: Any
    ) -> tuple[DataLoader, DataLoader | None]:
        """The loaders for training, shuffled, and for evaluation; `options` are those of `DataLoader`, for both."""
        for_train, for_test = self.transforms(train, size)
        mix = self._made("mix", {**self.mix, "num_classes": len(train.classes)}, transforms) if self.mix else None
        loader = DataLoader(train, self.batch_size, shuffle=True, transform=for_train, mix=mix, **options)
        if test is None:
            return loader, None
        return loader, DataLoader(test, self.batch_size, transform=for_test, **options)

    def fit_model(self, model: Module) -> None:
        """Draw the weights as the recipe says; leaves the model's own where it says nothing."""
        if not self.init:
            return
        options = {name: value for name, value in self.init.items() if name not in ("weight", "bias")}
        draw = _look_up(init, self.init["weight"], f"the recipe {self.name}: init.weight")
        for module in model.modules():
            if isinstance(module, (ConvNd, Linear)):
                draw(module.weight, **options)
                if module.bias is not None and "bias" in self.init:
                    init.constant_(module.bias, self.init["bias"])

    def make_trainer(self, model: Module, loader: DataLoader, **options: Any) -> Trainer:
        """A trainer for a model, ready to `fit` for the recipe's epochs; `options` go to `Trainer` and win."""
        self.fit_model(model)
        given = dict(self.trainer)
        accumulate = {**given, **options}.get("accumulate", 1)
        steps = -(-len(loader) // accumulate) * self.epochs
        counts = {"epochs": self.epochs, "steps": steps}
        table = dict(self.optimizer)
        spare = not table.pop("decay_norms_and_biases", True)
        params: Any = model.parameters()
        if spare:
            params = optim.decay_groups(model, table.get("weight_decay", 0.0))
        optimizer = self._made("optimizer", table, optim, params)
        if self.schedule:
            rest = {k: counts.get(v, v) if isinstance(v, str) else v for k, v in self.schedule.items() if k != "per"}
            given["schedule"] = self._made("schedule", rest, schedule, optimizer)
            given["schedule_per"] = self.schedule.get("per", "epoch")
        if self.average:
            given["average"] = self._made("average", self.average, averaging, model)
        if given.pop("penalties", False):
            given["to_scores"] = lambda penalties: -penalties
        callbacks = [*options.pop("callbacks", ())]
        if isinstance(optimizer, optim.DiagonalLM):
            callbacks.insert(0, EstimateCurvature(loader))
        criterion = self._made("criterion", self.criterion, losses)
        return Trainer(model, optimizer, criterion, callbacks=callbacks, **{**given, **options})

    def _named(self, part: str, table: Table, module: ModuleType) -> Callable[..., Any]:
        if "name" not in table:
            raise ValueError(f"the recipe {self.name}: {part} must have a name, got {dict(table)}")
        return _look_up(module, table["name"], f"the recipe {self.name}: {part}.name")

    def _made(self, part: str, table: Table, module: ModuleType, *first: Any) -> Any:
        """What a table names, called with its options."""
        make = self._named(part, table, module)
        options = {name: value for name, value in table.items() if name != "name"}
        known = inspect.signature(make).parameters
        if unknown := sorted(options.keys() - known):
            there = list(known)[len(first) :]
            raise ValueError(f"the recipe {self.name}: {part} {table['name']} has no option {unknown}; it has {there}")
        return make(*first, **options)


def _look_up(module: ModuleType, name: str, what: str) -> Callable[..., Any]:
    found = getattr(module, name, None) if isinstance(name, str) else None
    if not callable(found):
        there = [other for other in dir(module) if callable(getattr(module, other))]
        near = [o for o in there if o.lower() == str(name).lower()] or difflib.get_close_matches(str(name), there, n=1)
        raise ValueError(
            f"{what} must be a name in {module.__name__}, got {name!r}" + (f": did you mean {near[0]}?" if near else "")
        )
    return found
