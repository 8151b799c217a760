"""`minigrad train` as a user runs it: what it leaves behind, going on, being interrupted, a terminal and none."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.models.cli import run as cli_run
from minigrad.nn.train import Trainer
from tests.clitools import (  # noqa: F401
    RUN,
    done,
    fixture_here,
    fixture_made,
    fixture_unpainted,
    is_drawn,
    refused,
    run,
)
from tests.cudaemu import fake_cupy

FEW = ("--limit", "60")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but tab and end of line


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpainted: None) -> Path:
    """An empty folder to work in, without pictures."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def results(folder: str) -> dict:
    return json.loads(Path(folder, "results.json").read_text())


def config(folder: str) -> dict:
    return json.loads(Path(folder, "config.json").read_text())


def same_weights(one: str, other: str) -> bool:
    return Path(one, "model.safetensors").read_bytes() == Path(other, "model.safetensors").read_bytes()


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves_behind(here: Path) -> None:
    names = "checkpoints config.json log.csv log.jsonl model.safetensors pictures results.json"
    assert sorted(path.name for path in Path(RUN).iterdir()) == names.split()
    pictures = ["confusion_matrix", "curves", "filters", "gradient_norms", "learning_rate", "mistakes"]
    assert sorted(path.stem for path in Path(RUN, "pictures").iterdir()) == pictures
    assert all(is_drawn(f"{RUN}/pictures/{name}.png") for name in pictures)
    with Path(RUN, "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["epoch"] for row in nn.train.read_log(Path(RUN, "log.jsonl")) if row["kind"] == "epoch"] == [1, 2]
    found = results(RUN)
    best = max(rows, key=lambda row: float(row["val_top1"]))
    assert (found["epochs"], found["epoch_of_weights"]) == (2, int(best["epoch"]))
    assert found["validation"]["top1"] == float(best["val_top1"])
    assert found["test"]["top1"] > 0.8
    assert config(RUN)["versions"]["numpy"] == np.__version__


def test_the_results_are_those_of_the_weights(here: Path) -> None:
    """The test set, the mean and the spread, by hand."""
    (scale,) = [step for step in config(RUN)["recipe"]["test"] if step["name"] == "Normalize"]
    t = nn.data.transforms
    train, _ = cli_run.split(nn.data.get("digits"), 0.1, 0, None)
    images = t.ToFloat()(t.Resize((28, 28))(train.batch(range(len(train)))[0]))
    assert scale["mean"] == pytest.approx([images.mean()], rel=1e-5)  # of the training part alone
    assert scale["std"] == pytest.approx([images.std()], rel=1e-5)
    test = nn.data.get("digits", train=False)
    x = t.Normalize(scale["mean"], scale["std"])(t.ToFloat()(t.Resize((28, 28))(test.images)))
    model = models.get("lenet5", weights=f"{RUN}/model.safetensors").eval()
    with mg.no_grad():
        scores = model(x)
    found = results(RUN)["test"]
    assert found["top1"] == (scores.numpy().argmax(1) == test.labels).mean()
    assert found["loss"] == pytest.approx(mg.cross_entropy(scores, mg.tensor(test.labels)).item(), rel=1e-5)


def test_the_test_set_is_looked_at_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    evaluate = Trainer.evaluate
    monkeypatch.setattr(Trainer, "evaluate", lambda self, batches: asked.append(1) or evaluate(self, batches))
    read: list[bool] = []
    load = nn.data.get
    monkeypatch.setattr(nn.data, "get", lambda name, train, *rest: read.append(train) or load(name, train, *rest))
    done("train", "lenet5", "--data", "digits", "--epochs", "3", *FEW, "--out", "a")
    assert len(asked) == 3 + 1  # the validation after each epoch, the test after the last
    assert read.count(False) == 1


def test_the_output_without_a_terminal(work: Path) -> None:
    text = done("train", "lenet5", "--data", "digits", "--epochs", "2", *FEW)
    assert not CONTROL.search(text)
    lines = text.splitlines()
    assert lines[0] == "lenet5: 61,706 parameters, 416,520 multiply-adds for an image of 1 x 28 x 28"
    assert lines[1].startswith("digits: 54 images to train on, 6 to validate with, 60 to test with, 10 classes, ")
    assert lines[2] == "default: Adam with a learning rate of 0.001, batches of 64, 2 epochs"
    assert re.split(r"\s{2,}", lines[3].strip()) == [
        "epoch", "train loss", "top-1", "val loss", "top-1", "lr", "images/s", "time",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[4:6]] == ["1/2", "2/2"]
    assert re.search(r"^test +60 +\d+ +\d\.\d{4} +\d+\.\d\d % +\d+\.\d\d %$", text, re.M)
    assert "the best by validation, of epoch" in text
    assert "minigrad predict IMAGE --run runs/lenet5-digits" in lines[-1]
    assert max(map(len, lines[3:6])) <= 80


def test_quiet(work: Path) -> None:
    text = done("train", "lenet5", "--data", "digits", "--epochs", "1", *FEW, "--quiet")
    assert len(text.splitlines()) == 3
    assert text.startswith("set ")


def test_the_options_arrive(work: Path) -> None:
    Path("first.safetensors").write_bytes(b"")
    nn.save(models.get("resnet20_cifar", width=0.25, num_classes=10, in_channels=1), "first.safetensors")
    text = done(
        "train", "resnet20_cifar", "--data", "digits", *FEW, "--out", "a", "--epochs", "1", "--batch-size", "16",
        "--lr", "0.02", "--set", "optimizer.name=SGD",
        "--set", "optimizer.momentum=0.5", "--set", "trainer.clip_norm=1",
        "--size", "12", "--width", "0.25", "--option", "shortcut=B", "--seed", "3", "--validation", "0.2", "--workers",
        "2", "--ema", "0.5", "--early-stopping", "4", "--tensorboard", "--autocast", "--data-root", ".",
    )  # fmt: skip
    assert "for an image of 1 x 12 x 12" in text
    assert "digits: 48 images to train on, 12 to validate with" in text
    assert "SGD with a learning rate of 0.02, batches of 16, 1 epoch\n" in text
    found = config("a")
    assert found["options"] == {"num_classes": 10, "in_channels": 1, "shortcut": "B", "width": 0.25}
    assert found["recipe"]["optimizer"] == {"name": "SGD", "lr": 0.02, "momentum": 0.5}
    assert found["recipe"]["average"] == {"name": "EMA", "decay": 0.5}
    assert found["recipe"]["trainer"] == {"clip_norm": 1}
    assert found["autocast"] == "float16"
    assert list(Path("a", "tensorboard").iterdir())
    _, state = nn.train.Checkpoints("a/checkpoints").latest()
    assert [name for name, _ in state["callbacks"]] == ["RunLog", "TensorBoard", "EarlyStopping", "Progress"]
    assert state["average"]["n_averaged"] == 3


def test_the_seed_decides(work: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        done("train", "lenet5", "--data", "digits", "--epochs", "1", *FEW, "--seed", seed, "--out", name)
    assert same_weights("a", "b")
    assert not same_weights("a", "c")


def test_on_a_gpu(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the stand-in for CuPy; the weights come back, and serve on the CPU."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cupy", fake_cupy.cupy)
        done("train", "lenet5", "--data", "digits", "--limit", "20", "--validation", "0.2", "--epochs", "1", "--device",
             "cuda", "--out", "a")  # fmt: skip
    assert json.loads(done("evaluate", "a", "--json"))["loss"] == pytest.approx(results("a")["test"]["loss"], rel=1e-5)


def test_without_validation_the_last_weights_count(work: Path) -> None:
    text = done("train", "lenet5", "--data", "digits", "--epochs", "2", *FEW, "--validation", "0")
    assert "with the weights that are the last" in text
    assert "validate" not in text
    assert results("runs/lenet5-digits")["validation"] == {}
    assert "nothing was held out" in refused(1, "evaluate", "runs/lenet5-digits", "--split", "validation")


def test_start_from_weights(here: Path, unpainted: None) -> None:
    weights = f"{RUN}/model.safetensors"
    arguments = ("--epochs", "1", "--lr", "1e-9", *FEW, "--weights", weights)
    result = run("train", "lenet5", "--data", "digits", *arguments, "--out", "a")
    assert f"Starting from the weights in {weights}." in result.stderr
    assert results("a")["test"]["top1"] > 0.7  # a rate of 1e-9 teaches nothing: it is known already
    result = run("train", "lenet5", "--data", "photos", *arguments[:-4], "--weights", weights, "--out", "b")
    assert "but for classifier.5.weight, classifier.5.bias, which are fresh" in result.stderr
    before, after = nn.load(weights), nn.load("b/model.safetensors")
    np.testing.assert_allclose(after["features.0.weight"].numpy(), before["features.0.weight"].numpy(), atol=1e-6)
    assert after["classifier.5.bias"].shape == (2,)
    assert "while loading" in refused(
        1, "train", "resnet20_cifar", "--data", "digits", *arguments, "--out", "c", "--width", "0.25"
    )


def test_folders_and_archives(here: Path, unpainted: None) -> None:
    thin = ("--epochs", "1", "--width", "0.25")
    text = done("train", "resnet20_cifar", "--data", "photos", *thin, "--validation", "0.2")
    assert "photos: 10 images to train on, 2 to validate with, 4 to test with, 2 classes, resized to 32 x 32" in text
    assert config("runs/resnet20_cifar-photos")["data"] == str(here / "photos")  # also from another folder
    assert config("runs/resnet20_cifar-photos")["image"] == [3]
    text = done("train", "lenet5", "--data", "photos", "--epochs", "1", "--validation", "0")
    assert "for an image of 1 x 28 x 28" in text  # a network for grey images reads them in grey
    text = done("train", "resnet20_cifar", "--data", "unsplit.npz", *thin)
    assert re.search(r"unsplit.npz has no test set; validation: \d+\.\d\d %", text)
    assert "no run" not in text
    assert "has no held-out part" in refused(1, "evaluate", "runs/resnet20_cifar-unsplit")
    assert "--split validation measures" in refused(1, "evaluate", "runs/resnet20_cifar-unsplit")


def test_a_paper_with_penalties_many_views_and_a_mean_image(work: Path) -> None:
    done("train", "lenet5_1998", "--data", "digits", "--recipe", "lenet5_1998", "--epochs", "1", "--limit", "12",
         "--validation", "0")  # fmt: skip
    folder = "runs/lenet5_1998-digits"
    assert json.loads(done("evaluate", folder, "--json"))["loss"] == results(folder)["test"]["loss"]
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 3, 32, 32), "uint8"), np.arange(12) % 3
    np.savez("c.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    Path("ten.toml").write_text(
        """
        title = "a mean image, and ten crops"
        source = "AlexNet's, smaller"
        epochs = 1
        batch_size = 4
        optimizer = { name = "SGD", lr = 0.01 }
        train = [{ name = "ToFloat" }, { name = "SubtractMean", mean = "data" }, { name = "CenterCrop", size = 28 }]
        test = [{ name = "ToFloat" }, { name = "SubtractMean", mean = "data" }, { name = "TenCrop", size = 28 }]
        """
    )
    done("train", "resnet20_cifar", "--data", "c.npz", "--recipe", "ten.toml", "--width", "0.25", "--out", "ten",
         "--validation", "0")  # fmt: skip
    assert config("ten")["input"] == [3, 28, 28]
    assert config("ten")["recipe"]["test"][1]["mean"] == {"array": "recipe.test.1.mean"}
    kept = nn.load("ten/fitted.safetensors")["recipe.test.1.mean"].numpy()
    np.testing.assert_allclose(kept, images.mean(0) / 255, rtol=1e-6)
    assert json.loads(done("evaluate", "ten", "--json"))["loss"] == results("ten")["test"]["loss"]
    from PIL import Image

    Image.fromarray(images[0].transpose(1, 2, 0)).save("one.png")
    assert len(json.loads(done("predict", "one.png", "--run", "ten", "--json"))[0]["predictions"]) == 3


def test_find_lr(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = done("train", "lenet5", "--data", "digits", *FEW, "--find-lr")
    rate = float(re.search(r"suggested learning rate: (\S+) \(--lr \1\)", text)[1])
    assert 1e-4 < rate < 1
    assert not Path("runs/lenet5-digits").exists()


def test_find_lr_draws(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.models.cli import pictures, training

    monkeypatch.undo()
    monkeypatch.chdir(work)
    curve = nn.train.LRCurve([1e-3, 1e-2, 1e-1], [2.0, 1.0, 3.0], 1e-2)
    monkeypatch.setattr(training, "find_lr", lambda trainer, loader: curve)
    assert "picture: runs/lenet5-digits-lr_finder.png" in done("train", "lenet5", "--data", "digits", *FEW, "--find-lr")
    assert is_drawn("runs/lenet5-digits-lr_finder.png")
    assert pictures.Drawer(work).paths == []


# ---- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (1, ["lennet", "--data", "digits"], "there is no model 'lennet': did you mean lenet5"),
        (1, ["lenet5", "--data", "digit"], "there is no data set 'digit': did you mean digits"),
        (1, ["lenet5", "--data", "digits", "--recipe", "x"], "there is no recipe 'x'"),
        (1, ["lenet5", "--data", "digits", "--recipe", "x.toml"], "x.toml: No such file or directory"),
        (1, ["lenet5", "--data", "no.npz"], "there is no folder of images and no .npz file at"),
        (1, ["lenet5", "--data", "mnist", "--data-root", "."], "On the command line that is --download"),
        (1, ["lenet5", "--data", "digits", "--set", "epoks=3"], "unknown keys ['epoks']"),
        (1, ["lenet5", "--data", "digits", "--set", "optimizer.rate=3"], "Adam has no option ['rate']"),
        (1, ["lenet5", "--data", "digits", "--set", "epochs=0"], "must have epochs of at least 1, got 0"),
        (
            1,
            ["lenet5", "--data", "digits", "--set", "train=[1]"],
            "a value in the recipe default cannot be used",
        ),
        (
            1,
            ["lenet5", "--data", "digits", "--lr", "1", "--set", "trainer.clip_norm=x"],
            "clip_norm must be a number, got 'x'",
        ),
        (1, ["lenet5", "--data", "digits", "--option", "num_classes=x"], "a value in the options of the model cannot"),
        (1, ["lenet5", "--data", "digits", "--width", "2"], "the model lenet5 has no option width; it has num_classes"),
        (1, ["lenet5", "--data", "digits", "--size", "20"], "--size N resizes them, 28 is usual"),
        (1, ["lecun1989", "--data", "c.npz"], "lecun1989 takes images of 1 channel, those of c.npz have 3"),
        (1, ["lenet5_1998", "--data", "two.npz"], "lenet5_1998 has 10 outputs, but two.npz has 2 classes"),
        (1, ["lenet5", "--data", "digits", "--device", "cuda"], "--device cuda: there is no GPU in this test"),
        (1, ["lenet5", "--data", "digits", "--limit", "3"], "--validation 0.1 of 3 samples leaves 3 to train on and 0"),
        (2, ["lenet5", "--data", "digits", "--early-stopping", "2", "--validation", "0"], "needs a validation set"),
        (2, ["alexnet", "--data", "digits", "--recipe", "alexnet_2012", "--size", "9", "--width", "0.01"], "--size"),
        (
            2,
            ["vgg11", "--data", "digits", "--recipe", "vgg_2014", "--width", "0.01", "--validation", "0"],
            "the recipe vgg_2014 lowers the learning rate by the validation set",
        ),
        (
            1,
            ["resnet20_cifar", "--data", "digits", "--recipe", "resnet_2015_cifar", "--width", "0.25"],
            "while the recipe resnet_2015_cifar prepared the first image, of shape (1, 8, 8)",
        ),
    ],
)
def test_what_cannot_be_trained(
    code: int, arguments: list[str], message: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_run, "why_no_gpu", lambda: "there is no GPU in this test")
    monkeypatch.setenv("XDG_DATA_DIRS", str(work))
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16), "uint8")
    np.savez("c.npz", images=images, labels=np.arange(20) % 10)
    np.savez("two.npz", images=images[:, :1].repeat(2, 2).repeat(2, 3), labels=np.arange(20) % 2)
    assert message in refused(code, "train", *arguments)
    assert not Path("runs").exists()


def test_divergence_is_told(work: Path) -> None:
    text = refused(1, "train", "lenet5", "--data", "digits", "--lr", "1e38", "--epochs", "3")
    assert "Error: the loss is nan in step 2, epoch 1: lower the learning rate" in text
    assert "On the command line that is --lr, and --set trainer.clip_norm=1.0." in text


# ---- going on -------------------------------------------------------------------------------------------------------


def test_a_run_is_never_written_over(here: Path, unpainted: None) -> None:
    before = {path: path.read_bytes() for path in Path(RUN).rglob("*") if path.is_file()}
    assert f"{RUN} holds a run already: go on with it by --resume" in refused(1, "train", "lenet5", "--data", "digits")
    assert {path: path.read_bytes() for path in Path(RUN).rglob("*") if path.is_file()} == before
    Path("mine").mkdir()
    Path("mine", "config.json").write_text("{}")
    text = refused(1, "train", "lenet5", "--data", "digits", "--out", "mine")
    assert "mine is not empty and holds no run of minigrad" in text
    assert Path("mine", "config.json").read_text() == "{}"


def test_more_epochs(work: Path) -> None:
    arguments = ("train", "lenet5", "--data", "digits", "--out", "a", "--set", "schedule={}")
    done(*arguments, "--epochs", "1", *FEW)
    shutil.copytree("a", "whole")
    result = run("train", "lenet5", "--data", "digits", "--out", "a", "--resume", "--epochs", "3")
    assert result.exit_code == 0, result.output
    assert result.stderr == "Going on after epoch 1, step 1.\n"
    assert [line.split()[0] for line in result.stdout.splitlines() if re.match(r" +\d/3 ", line)] == ["2/3", "3/3"]
    shutil.rmtree("whole")
    done(*arguments[:-4], *arguments[-2:], "--out", "whole", "--epochs", "3", *FEW)
    assert same_weights("a", "whole")
    assert config("a")["recipe"]["epochs"] == 3
    text = done("train", "lenet5", "--data", "digits", "--out", "a", "--resume")
    assert text.startswith("a is complete, after 3 epochs; --epochs N with more goes on.")


def test_a_schedule_that_ends_is_told(work: Path) -> None:
    done("train", "lenet5", "--data", "digits", "--out", "a", "--epochs", "1", *FEW)
    result = run("train", "lenet5", "--data", "digits", "--out", "a", "--resume", "--epochs", "2")
    assert "The learning-rate schedule was made for 1 epochs, and goes on as it is beyond them." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20_cifar"], "model resnet20_cifar contradicts the run in runs/lenet5-digits"),
        (["lenet5", "--seed", "1"], "--seed 1 contradicts the run in runs/lenet5-digits, which was begun with 0"),
        (["lenet5", "--lr", "0.1"], "--lr 0.1 contradicts the run in runs/lenet5-digits, which was begun with 0.003"),
        (["lenet5", "--batch-size", "32"], "--batch-size 32 contradicts the run"),
        (["lenet5", "--set", "optimizer.eps=0.1"], "--set optimizer.eps=0.1 contradicts the run"),
        (["lenet5", "--epochs", "1"], "--epochs 1 is fewer than the 2 of the run in runs/lenet5-digits"),
    ],
)
def test_a_contradiction_is_refused(arguments: list[str], message: str, here: Path) -> None:
    assert message in refused(2, "train", *arguments, "--data", "digits", "--out", RUN, "--resume")


def test_what_does_not_contradict_is_accepted(here: Path) -> None:
    same = ("--lr", "0.003", "--batch-size", "64", "--epochs", "2", "--workers", "1", "--seed", "0")
    assert "is complete" in done("train", "lenet5", "--data", "digits", "--out", RUN, "--resume", *same)


def test_nothing_to_resume(work: Path) -> None:
    result = run("train", "lenet5", "--data", "digits", "--epochs", "1", *FEW, "--resume")
    assert result.stderr == "There is nothing to resume in runs/lenet5-digits: starting.\n"
    assert Path("runs/lenet5-digits/results.json").exists()


def test_killed_before_the_first_checkpoint(work: Path) -> None:
    """The options are those that the run was begun with."""
    done("train", "lenet5", "--data", "digits", "--epochs", "1", *FEW, "--seed", "7", "--out", "a")
    for name in ("checkpoints", "model.safetensors", "results.json"):
        shutil.move(Path("a", name), name)
    result = run("train", "lenet5", "--data", "digits", "--out", "a", "--resume")
    assert result.stderr == "There is no checkpoint in a yet: starting from the beginning, with its options.\n"
    assert Path("a", "model.safetensors").read_bytes() == Path("model.safetensors").read_bytes()


def test_damaged_checkpoints(here: Path, unpainted: None) -> None:
    for path in Path(RUN, "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    text = refused(1, "train", "lenet5", "--data", "digits", "--out", RUN, "--resume", "--epochs", "3")
    assert f"no checkpoint in {RUN}/checkpoints can be read" in text


# ---- in a process of its own ----------------------------------------------------------------------------------------

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
COMMAND = [sys.executable, "-m", "minigrad.models"]


def test_ctrl_c_and_going_on_is_bit_exact(work: Path) -> None:
    arguments = ["train", "lenet5", "--data", "digits", "--epochs", "4", "--limit", "600"]
    subprocess.run([*COMMAND, *arguments, "--out", "whole"], check=True, capture_output=True, env=ENVIRONMENT)
    command = [*COMMAND, *arguments, "--out", "cut"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    for line in process.stdout:
        if line.split()[0] == "1/4":
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    said = re.fullmatch(
        r"Interrupted in epoch \d, after step \d+: saved\. Go on with\n"
        r"  minigrad (train lenet5 --data digits --out cut --resume)\n",
        errors,
    )
    assert said, errors
    assert not Path("cut/model.safetensors").exists()
    command = [*COMMAND, *shlex.split(said[1])]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    assert result.stderr.startswith("Going on after epoch ")
    assert same_weights("cut", "whole")  # one number of BLAS threads for all: it decides the last bits
    assert results("cut")["test"] == results("whole")["test"]


def test_in_a_terminal(work: Path) -> None:
    """A bar that is drawn over, and nothing of it left at the end."""
    text, code = in_terminal(
        ["train", "lenet5", "--data", "digits", "--epochs", "2", "--batch-size", "8"], NO_COLOR="1"
    )  # long enough to be drawn, ten times a second
    assert code == 0, text
    assert re.search(r"epoch [12]/2 [━╸ ]+\d+/\d+ loss \d\.\d{4}  [\d,]+ images/s  (\d+ min )?[\d.]+ s left", text)
    assert re.search(r"^[^\n]*  2/2 +\d\.\d{4} ", text, re.M)
    assert "┏━" in text  # the table of results
    assert not re.search(r"\x1b\[[\d;]*3\d", text)  # no colours
    assert text.rstrip().endswith("minigrad predict IMAGE --run runs/lenet5-digits")


def in_terminal(arguments: list[str], **environment: str) -> tuple[str, int]:
    """What a command writes to a pseudo-terminal, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(COMMAND[0], [*COMMAND, *arguments], {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100", **environment})
    written = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
        while piece := os.read(terminal, 65536):
            written += piece
    os.close(terminal)
    return written.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_broken_pipe_is_silent(work: Path) -> None:
    script = f"{shlex.join(COMMAND)} models | head -n 1; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert found.stderr == ""
    first, code = found.stdout.splitlines()
    assert first.startswith("name ")
    assert code in ("141", "0")  # 0 where all of it went into the pipe before it was closed


def test_without_click_it_says_what_to_install(work: Path) -> None:
    code = "import sys; sys.modules['click'] = None; from minigrad.models.cli import main; main()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert found.returncode == 1
    assert found.stderr.startswith("Error: the command minigrad needs the package click, which cannot be imported")
    assert "pip install click" in found.stderr
