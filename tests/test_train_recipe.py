"""Recipes: the papers' figures, every part of each made, and the errors of bad ones."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.nn.data import ArrayDataset
from minigrad.nn.train import Trainer, recipe


def pictures(n: int = 12, channels: int = 3, size: int = 32, classes: int = 3) -> ArrayDataset:
    rng = np.random.default_rng(0)
    return ArrayDataset(
        rng.integers(0, 256, (n, channels, size, size)).astype("uint8"),
        np.arange(n) % classes,
        classes=[f"class {i}" for i in range(classes)],
    )


# recipe: epochs, batch, optimizer and its options, what the schedule gives at some epochs (or steps); from the papers
PAPERS: dict[str, tuple[int, int, str, dict[str, Any]]] = {
    "lenet5_1998": (20, 1, "DiagonalLM", {"mu": 0.02}),
    "alexnet_2012": (90, 128, "SGD", {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "form": "caffe"}),
    "vgg_2014": (74, 256, "SGD", {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}),
    "googlenet_2014": (100, 128, "SGD", {"momentum": 0.9}),
    "resnet_2015_imagenet": (120, 256, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}),
    "resnet_2015_cifar": (182, 128, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}),
}


def trainer_of(name: str, **changes: Any) -> Trainer:
    found = recipe.get(name).changed(changes)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    loader = nn.data.DataLoader(pictures(), 4)
    return found.make_trainer(model, loader)


def test_all_recipes_are_looked_at_here():
    assert recipe.names() == sorted(["default", *PAPERS])


@pytest.mark.parametrize("name", PAPERS)
def test_the_figures_of_the_papers(name: str):
    epochs, batch, optimizer, options = PAPERS[name]
    found = recipe.get(name)
    assert (found.epochs, found.batch_size) == (epochs, batch)
    assert found.model in models.names()
    trainer = trainer_of(name)
    assert type(trainer.optimizer).__name__ == optimizer
    for option, value in options.items():
        assert trainer.optimizer.param_groups[0][option] == value, option
    assert re.search(r"(19|20)\d\d, section|(19|20)\d\d, sections", found.source)


def test_the_schedules_of_the_papers():
    lenet = trainer_of("lenet5_1998").schedule
    assert [lenet.lr(t, 0) for t in range(20)] == [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    google = trainer_of("googlenet_2014").schedule
    assert [google.lr(t, 0) for t in (7, 8, 16)] == pytest.approx([0.01, 0.0096, 0.01 * 0.96**2])
    cifar = trainer_of("resnet_2015_cifar")
    assert cifar.schedule_per == "step"
    assert [cifar.schedule.lr(t, 0) for t in (31999, 32000, 47999, 48000)] == pytest.approx([0.1, 0.01, 0.01, 0.001])
    for name in ("alexnet_2012", "vgg_2014", "resnet_2015_imagenet"):
        trainer = trainer_of(name)
        assert isinstance(trainer.schedule, nn.schedule.ReduceLROnPlateau)
        assert (trainer.schedule.factor, trainer.schedule.mode, trainer.monitor) == (0.1, "max", "val_top1")
    assert isinstance(trainer_of("googlenet_2014").average, nn.averaging.AveragedModel)
    default = trainer_of("default").schedule
    assert default.T_max == 10 * 3  # epochs times steps
    model, loader = nn.Linear(4, 3), nn.data.DataLoader(pictures(), 4)
    assert recipe.get("default").make_trainer(model, loader, accumulate=2).schedule.T_max == 10 * 2


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_trains_and_evaluates(name: str):
    """Two steps of a small network of its family on small images, with all of its transforms."""
    mg.manual_seed(0)
    found = recipe.get(name)
    options = {
        "lenet5_1998": {},
        "alexnet_2012": {"width": 0.0625},
        "vgg_2014": {"width": 0.03},
        "googlenet_2014": {"width": 0.0625},
        "resnet_2015_imagenet": {"width": 0.0625},
        "resnet_2015_cifar": {},
        "default": {},
    }[name]
    data = pictures(4, channels=1 if name in ("lenet5_1998", "default") else 3, size=28 if name == "default" else 32)
    classes = {} if name == "lenet5_1998" else {"num_classes": 3}
    if name == "resnet_2015_imagenet":
        model = models.resnet18(**options, **classes)
    else:
        model = models.get(found.model or "lenet5", **options, **classes)
    found = found.changed({"batch_size": 2})
    train, test = found.loaders(data, ArrayDataset(*(a[:1] for a in data.arrays), classes=data.classes))
    trainer = found.make_trainer(model, train)
    before = {k: v.numpy() for k, v in model.state_dict().items()}
    if name == "googlenet_2014":
        assert next(iter(test))[0].shape == (1, 144, 3, 224, 224)
        test = [(next(iter(test))[0][:, :3], np.array([0]))]  # 3 of the 144 views are enough to see it work
    rows = trainer.fit(train, test, epochs=1)
    assert np.isfinite(rows[0]["train_loss"])
    assert np.isfinite(rows[0]["val_loss"])
    assert any((before[k] != v.numpy()).any() for k, v in model.state_dict().items())


def test_the_training_set_decides_what_is_fitted():
    data = pictures(50)
    train, test = recipe.get("default").transforms(data)
    x = train(data.arrays[0])
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, atol=1e-5)
    assert test.transforms[-1] is train.transforms[-1]  # the test is prepared by what the training set gave
    per_pixel = recipe.get("resnet_2015_cifar").transforms(data)[1].transforms[-1]
    np.testing.assert_allclose(per_pixel.mean, data.arrays[0].mean(axis=0) / 255, atol=1e-6)


def test_images_are_resized_where_the_recipe_lets_them():
    data = pictures(6, channels=1, size=8)
    train, test = recipe.get("default").loaders(data, data, size=28)
    assert next(iter(train))[0].shape == next(iter(test))[0].shape == (6, 1, 28, 28)
    with pytest.raises(
        ValueError, match="size must be None for the recipe alexnet_2012, whose transforms decide it, got 28"
    ):
        recipe.get("alexnet_2012").loaders(data, size=28)


def test_weights_are_drawn_as_the_recipe_says():
    mg.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.Linear(100, 100))
    found = recipe.get("default").changed({"init": {"weight": "normal_", "std": 0.01, "bias": 0.5}})
    found.fit_model(net)
    for layer in (net[0], net[2]):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert (layer.bias == 0.5).all()
    before = net.state_dict()
    recipe.get("default").fit_model(net)
    assert all((value == before[name]).all() for name, value in net.state_dict().items())


def test_norms_and_biases_can_be_spared_the_decay():
    found = recipe.get("resnet_2015_cifar").changed({"optimizer.decay_norms_and_biases": False})
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
    groups = found.make_trainer(net, nn.data.DataLoader(pictures(), 4)).optimizer.param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(2, 1e-4), (4, 0.0)]


def test_a_mix_knows_the_number_of_classes():
    found = recipe.get("default").changed({"mix": {"name": "MixUp", "alpha": 0.2}})
    _, labels = next(iter(found.loaders(pictures())[0]))
    assert labels.shape == (12, 3)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


def test_changes():
    found = recipe.get("default").changed({"epochs": 3, "optimizer.lr": 0.5, "criterion.label_smoothing": 0.1})
    assert (found.epochs, found.optimizer["lr"]) == (3, 0.5)
    assert recipe.get("default").epochs == 10
    with pytest.raises(ValueError, match=r"the recipe default has no table 'epochs' for 'epochs.lr'"):
        recipe.get("default").changed({"epochs.lr": 1})
    with pytest.raises(ValueError, match="the recipe default has unknown keys"):
        recipe.get("default").changed({"epoch": 1})
    with pytest.raises(ValueError, match=r"the recipe default must have epochs as a int, got 1.5"):
        recipe.get("default").changed({"epochs": 1.5})


def test_a_file_of_your_own(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(files("minigrad.nn.train.recipes").joinpath("default.toml").read_text())
    assert recipe.get(path).optimizer == recipe.get("default").optimizer
    assert recipe.get(str(path)).name == str(path)
    for text, message in (
        ("epochs = ", "is not TOML"),
        ("epochs = 1", r"lacks \['batch_size', 'optimizer', 'source', 'title'\]"),
        ("epochs = 1\nbatch_size = 2\ntitle = 3\nsource = ''\noptimizer = {}", "must have title as a str, got 3"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            recipe.get(path)
    with pytest.raises(FileNotFoundError):
        recipe.get(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="there is no recipe 'alexnet_2021': did you mean alexnet_2012"):
        recipe.get("alexnet_2021")
    with pytest.raises(ValueError, match="there is no recipe 'x': there are alexnet_2012, default"):
        recipe.get("x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"lr": 1}}, "the recipe default: optimizer must have a name, got {'lr': 1}"),
        (
            {"optimizer": {"name": "Sgd"}},
            "optimizer.name must be a name in minigrad.nn.optim, got 'Sgd': did you mean SGD",
        ),
        ({"optimizer": {"name": 3}}, "optimizer.name must be a name in minigrad.nn.optim, got 3"),
        (
            {"optimizer": {"name": "Adam", "learning_rate": 1}},
            r"optimizer Adam has no option \['learning_rate'\]; it has \['lr', ",
        ),
        ({"schedule": {"name": "Cosine"}}, "schedule.name must be a name in minigrad.nn.schedule, got 'Cosine'"),
        ({"optimizer.lr": "0.1"}, "lr must be a number, got '0.1'"),
        ({"criterion": {"name": "CrossEntropy"}}, "did you mean CrossEntropyLoss"),
        ({"average": {"name": "EMA", "decay": 2.0}}, "decay must be from 0 to 1, got 2.0"),
        (
            {"init": {"weight": "normal"}},
            "init.weight must be a name in minigrad.nn.init, got 'normal': did you mean normal_",
        ),
    ],
)
def test_bad_parts(changes: dict, message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        trainer_of("default", **changes)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([{"name": "Flip"}], "train.name must be a name in minigrad.nn.data.transforms, got 'Flip'"),
        ([{"name": "RandomCrop", "siz": 3}], r"train RandomCrop has no option \['siz'\]; it has \['size', "),
        ([{"name": "RandomCrop", "size": "data"}], "has 'data' in .*, which cannot be fitted to data"),
    ],
)
def test_bad_transforms(train: list, message: str):
    with pytest.raises(ValueError, match=message):
        recipe.get("default").changed({"train": train}).transforms(pictures())
