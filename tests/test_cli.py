"""The command `minigrad` as a user runs it: what each command prints, and what becomes of what cannot be done."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad import models, nn
from minigrad.models.cli import catalogue, command, devices, output
from minigrad.models.cli.root import minigrad
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

# ---- the lists ------------------------------------------------------------------------------------------------------


def test_models() -> None:
    lines = done("models").splitlines()
    assert lines[0].split() == ["name", "parameters", "image", "paper"]
    assert [line.split()[0] for line in lines[1:]] == models.names()
    assert re.search(r"^lenet5 +61,706 +1 x 28 x 28  LeCun et al\.: Gradient-Based", "\n".join(lines), re.M)
    assert json.loads(done("models", "--json"))[-1]["name"] == models.names()[-1]


@pytest.mark.parametrize("name", models.names())
def test_what_is_listed_of_a_model_is_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for draw in ("uniform_", "normal_", "trunc_normal_"):  # the weights do not count here
        monkeypatch.setattr(nn.init, draw, lambda tensor, *args, **options: tensor)
    known = catalogue.entry(name)
    model = models.get(name)
    assert sum(p.size for p in model.parameters()) == known.parameters
    first = next(p for p in model.parameters() if p.ndim == 4)
    assert first.shape[1] == known.channels
    assert models.registry.options(name).get("in_channels", known.channels) == known.channels


def test_every_usual_size_is_taken() -> None:
    for name in ("lenet5", "lenet5_1998", "lecun1989", "resnet20_cifar"):
        known = catalogue.entry(name)
        models.summary(models.get(name), (known.channels, known.size, known.size))


def test_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    text = done("data", "--data-root", str(tmp_path))
    assert re.search(r"^digits +10 +1 x 8 x 8 +1,437 +360  CC BY 4\.0 +\S+digits\.npz$", text, re.M)
    assert re.search(r"^cifar100 +100 +3 x 32 x 32 +50,000 +10,000 .* not here$", text, re.M)
    assert f"--download gets it into {tmp_path}" in text
    found = {row["name"]: row for row in json.loads(done("data", "--json", "--data-root", str(tmp_path)))}
    assert found["mnist"]["where"] is None
    assert found["digits"]["shape"] == [1, 8, 8]


def test_recipes() -> None:
    assert re.search(r"^resnet_2015_cifar +182 +128  SGD +resnet20_cifar ", done("recipes"), re.M)
    assert 'name = "CosineAnnealingLR"' in done("recipes", "default")
    assert json.loads(done("recipes", "default", "--json"))["optimizer"] == {"name": "Adam", "lr": 1e-3}
    assert {row["name"] for row in json.loads(done("recipes", "--json"))} == set(nn.train.recipe.names())
    assert "did you mean default?" in refused(1, "recipes", "defualt")


def test_a_printed_recipe_can_be_trained_with(here: Path, unpainted: None) -> None:
    Path("my.toml").write_text(done("recipes", "default").replace("epochs = 10", "epochs = 1"))
    arguments = ("train", "lenet5", "--data", "digits", "--recipe", "my.toml", "--limit", "40", "--out", "a")
    assert "my.toml: Adam" in done(*arguments)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setattr(devices, "why_no_gpu", lambda: "the driver is too old")
    text = done("devices")
    assert re.search(r"^cpu +threads +3 by OPENBLAS_NUM_THREADS$", text, re.M)
    assert re.search(r"^cuda +no GPU +the driver is too old$", text, re.M)
    found = json.loads(done("devices", "--json"))
    assert found["cpu"]["numpy"] == np.__version__
    assert found["cuda"] == {"no GPU": "the driver is too old"}


def test_devices_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {"name": b"A GPU", "totalGlobalMem": 24 << 30, "major": 9, "minor": 0}
    runtime = types.SimpleNamespace(getDevice=lambda: 0, getDeviceProperties=lambda device: properties)
    with monkeypatch.context() as patch:
        cupy = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime), __version__="14.0")
        patch.setitem(sys.modules, "cupy", cupy)
        patch.setattr(devices, "why_no_gpu", lambda: None)
        found = json.loads(done("devices", "--json"))["cuda"]
    assert found == {"device": "A GPU", "memory": "24.0 GiB", "compute": "9.0", "cupy": "14.0"}


def test_version() -> None:
    number = importlib.metadata.version("minigrad")
    assert done("version").splitlines()[0].split() == ["minigrad", number]
    assert f"numpy         {np.__version__}" in done("version")
    assert done("--version") == f"minigrad, version {number}\n"


# ---- one model, one file --------------------------------------------------------------------------------------------


def test_summary() -> None:
    assert done("summary", "lenet5") == f"{models.summary(models.get('lenet5'), (1, 28, 28))}\n"
    thin = models.get("vgg11", width=0.05, num_classes=3)
    options = ("--width", "0.05", "--option", "num_classes=3", "--size", "32")
    found = json.loads(done("summary", "vgg11", *options, "--json"))
    assert found == models.summary(thin, (3, 32, 32)).as_dict()


def test_summary_of_what_does_not_fit() -> None:
    text = refused(1, "summary", "lenet5", "--size", "20")
    assert text.startswith("Error: Linear expects 400 features, got 144")
    assert "the smallest square one is (1, 28, 28)" in text  # a note of the exception
    assert "did you mean lenet5" in refused(1, "summary", "lenet")
    assert "the model lenet5 has no option width; it has num_classes" in refused(1, "summary", "lenet5", "--width", "2")
    text = refused(1, "summary", "vgg11", "--option", "init=x", "--width", "0.05")
    assert "in the model vgg11 with init=x, width=0.05" in text


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("0.5", 0.5), ("true", True), ("word", "word"), ('"a b"', "a b"), ("[1, 2]", [1, 2])]
)
def test_values_are_toml(text: str, value: object) -> None:
    from minigrad.models.cli.settings import KeyValue

    assert KeyValue().convert(f"a.b = {text}", None, None) == ("a.b", value)


@pytest.mark.parametrize("text", ["width", "=3", "width=", "width=0,5", "wid th=1"])
def test_bad_values_are_refused(text: str) -> None:
    refused(2, "summary", "vgg11", "--option", text)


def test_convert(here: Path) -> None:
    text = done("convert", "resnet18.pth", "new.safetensors")
    numbers = sum(value.size for value in nn.load("resnet18.pth").values())
    size = Path("new.safetensors").stat().st_size
    assert text == f"new.safetensors: 122 arrays, {numbers:,} numbers, {size:,} bytes\n"
    for key, value in nn.load("thin.safetensors").items():
        np.testing.assert_array_equal(nn.load("new.safetensors")[key].numpy(), value.numpy())
    before = Path("new.safetensors").read_bytes()
    arguments = ("convert", "digit.png", "new.safetensors")
    assert "new.safetensors is there already: --force replaces it" in refused(1, *arguments)
    assert "it is not a safetensors or npz file" in refused(1, *arguments, "--force")
    assert Path("new.safetensors").read_bytes() == before
    done("convert", "new.safetensors", "new.npz")
    assert sorted(np.load("new.npz")) == sorted(nn.load("resnet18.pth"))


def test_convert_unwraps(here: Path) -> None:
    nn.save({"epoch": 3, "state_dict": {"w": mg.ones((2, 3))}}, "checkpoint.safetensors")
    assert "1 arrays under 'state_dict', 6 numbers" in done("convert", "checkpoint.safetensors", "w.safetensors")
    nn.save({"epoch": 3, "lr": [0.1]}, "other.safetensors")
    assert "holds more than named arrays: epoch, lr" in refused(1, "convert", "other.safetensors", "x.safetensors")
    assert not Path("x.safetensors").exists()


# ---- what a run is worth --------------------------------------------------------------------------------------------


def test_evaluate(here: Path) -> None:
    results = json.loads(Path(RUN, "results.json").read_text())["test"]
    text = done("evaluate", RUN)
    assert f"{100 * results['top1']:.2f} %" in text.splitlines()[1]
    assert re.search(r"^0 +\d+\.\d\d % +\d+\.\d\d % +\d+\.\d\d % +36$", text, re.M)
    assert f"picture: {RUN}/pictures/confusion_matrix-test.png" in text
    assert is_drawn(f"{RUN}/pictures/confusion_matrix-test.png")
    found = json.loads(done("evaluate", RUN, "--json"))
    assert {key: found[key] for key in results} == results  # the same weights and images, to the bit
    assert np.trace(found["confusion"]) == round(found["top1"] * 360)


def test_evaluate_the_validation_part(here: Path) -> None:
    found = json.loads(done("evaluate", RUN, "--split", "validation", "--json"))
    assert found["top1"] == json.loads(Path(RUN, "results.json").read_text())["validation"]["top1"]
    assert found["count"] == 144


def test_evaluate_a_file_of_weights(here: Path) -> None:
    weights = f"{RUN}/model.safetensors"
    arguments = ("evaluate", weights, "--model", "lenet5", "--data", "digits")
    found = json.loads(done(*arguments, "--json", "--picture", "c.svg"))
    assert found["top1"] == json.loads(Path(RUN, "results.json").read_text())["test"]["top1"]
    assert "<svg" in Path("c.svg").read_text()
    assert "--model is needed" in refused(2, "evaluate", weights, "--data", "digits")
    assert "--data is needed" in refused(2, "evaluate", weights, "--model", "lenet5")
    assert "while loading" in refused(1, "evaluate", weights, "--model", "resnet20_cifar", "--data", "digits")


def test_evaluate_what_cannot_be(here: Path) -> None:
    assert "has its own" in refused(2, "evaluate", RUN, "--model", "lenet5")
    assert "the model was trained for the classes 0, 1" in refused(1, "evaluate", RUN, "--data", "photos")
    assert "no run in photos: there is no file photos/config.json" in refused(1, "evaluate", "photos")
    assert "does not exist" in refused(2, "evaluate", "nothing")
    Path(RUN, "model.safetensors").unlink()
    assert "has no weights yet: finish it by" in refused(1, "evaluate", RUN)
    Path(RUN, "config.json").write_text('{"minigrad_run": 1}')
    assert f"cannot read {RUN}/config.json, it is no configuration of a run" in refused(1, "evaluate", RUN)


def test_predict(here: Path) -> None:
    label = int(nn.data.get("digits", train=False).labels[0])
    lines = done("predict", "digit.png", "--run", RUN, "--feature-maps", "maps.png").splitlines()
    assert lines[0] == "digit.png"
    assert len(lines[1:6]) == 5
    assert lines[1].split()[0] == str(label)
    assert lines[-1] == "feature maps: maps.png"
    assert is_drawn("maps.png")
    (found,) = json.loads(done("predict", "digit.png", "--run", RUN, "--json"))
    shares = [row["probability"] for row in found["predictions"]]
    assert shares == sorted(shares, reverse=True)
    assert found["predictions"][0]["index"] == label


def test_the_prediction_is_the_models(here: Path) -> None:
    """The steps by hand, for an image in colour and of another size."""
    from minigrad.nn.data import transforms as t

    with Image.open("digit.png") as small:
        small.convert("RGB").resize((31, 19)).save("large.png")
    config = json.loads(Path(RUN, "config.json").read_text())
    scale = config["recipe"]["test"][1]
    image = nn.data.read_image("large.png", "L")
    for step in (t.Resize((8, 8)), t.Resize((28, 28)), t.ToFloat(), t.Normalize(scale["mean"], scale["std"])):
        image = step(image)
    model = models.get("lenet5", weights=f"{RUN}/model.safetensors").eval()
    with mg.no_grad():
        expected = mg.softmax(model(image[None]), axis=1).numpy()[0]
    (found,) = json.loads(done("predict", "large.png", "--run", RUN, "--json"))
    for row in found["predictions"]:
        assert row["probability"] == pytest.approx(expected[row["index"]], rel=1e-5)
    (inverted,) = json.loads(done("predict", "large.png", "--run", RUN, "--json", "--invert"))
    assert inverted["predictions"] != found["predictions"]


def test_bad_images_are_named_and_the_others_predicted(here: Path) -> None:
    result = run("predict", "torn.png", "digit.png", "no.png", "--run", RUN)
    assert result.exit_code == 1
    assert re.findall("^Error: .*", result.stderr, re.M)[0].startswith("Error: cannot read the image torn.png: ")
    assert "Error: no.png: No such file or directory" in result.stderr
    assert result.stdout.splitlines()[0] == "digit.png"


def test_predict_with_a_file_of_weights(here: Path) -> None:
    arguments = ("--model", "resnet18", "--width", "0.05", "--weights", "thin.safetensors")
    (found,) = json.loads(done("predict", "photos/val/cat/0.png", *arguments, "--classes", "imagenet.txt", "--json"))
    assert all(row["class"] == f"class {row['index']}" for row in found["predictions"])
    image = nn.data.read_image("photos/val/cat/0.png")
    t = nn.data.transforms
    colours = t.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for step in (t.Resize(256), t.CenterCrop(224), t.ToFloat(), colours):
        image = step(image)
    model = models.get("resnet18", width=0.05, weights="thin.safetensors").eval()
    with mg.no_grad():
        expected = mg.softmax(model(image[None]), axis=1).numpy()[0]
    assert found["predictions"][0]["index"] == expected.argmax()
    assert found["predictions"][0]["probability"] == pytest.approx(expected.max(), rel=1e-5)
    text = refused(1, "predict", "digit.png", *arguments, "--classes", "digit.png")
    assert "while reading digit.png, which must be a text in UTF-8" in text
    assert "give --run, or both --model and --weights" in refused(2, "predict", "digit.png", "--model", "resnet18")
    assert "cannot be given with --run" in refused(2, "predict", "digit.png", "--run", RUN, "--model", "lenet5")


def test_plot(here: Path) -> None:
    shutil.rmtree(Path(RUN, "pictures"))
    names = ["curves", "learning_rate", "gradient_norms", "confusion_matrix", "filters", "mistakes", "feature_maps"]
    assert done("plot", RUN).split() == [f"{RUN}/pictures/{name}.png" for name in names]
    for name in names:
        assert is_drawn(f"{RUN}/pictures/{name}.png"), name
    assert "no run at photos" in refused(1, "plot", "photos")
    Path(RUN, "results.json").write_text("{}")
    assert f"cannot read {RUN}/results.json, it holds no results of a run: it lacks" in refused(1, "plot", RUN)


def test_plot_draws_what_it_can(here: Path) -> None:
    config = json.loads(Path(RUN, "config.json").read_text())
    Path(RUN, "config.json").write_text(json.dumps(config | {"data": str(here / "gone")}))
    result = run("plot", RUN, "--format", "svg")
    assert result.exit_code == 0
    assert f"{RUN}/pictures/filters.svg" in result.stdout.split()
    assert "<svg" in Path(RUN, "pictures", "filters.svg").read_text()
    assert "no picture of mistakes and feature maps: there is no folder of images" in result.stderr
    Path(RUN, "results.json").unlink()
    shutil.rmtree(Path(RUN, "pictures"))
    result = run("plot", RUN)
    assert "The training is not finished" in result.stderr
    assert "filters.png" not in result.stdout


# ---- help, errors, bugs ---------------------------------------------------------------------------------------------

# What stands in an example for what is large, or lies elsewhere, and its equivalent in the folder of these tests.
EQUIVALENT = {
    "fashion-mnist": "digits",
    "cifar10": "colours.npz",
    "photos/": "photos",
    "photos/*.jpg": "photos/val/cat/0.png",
    "dog.jpg": "photos/val/cat/0.png",
    "runs/resnet18-photos": RUN,
    "checkpoint.pt": "resnet18.pth",
    "resnet18.safetensors": "thin.safetensors",
    "0.25": "0.05",
    "20": "1",
    "10": "1",
}
SMALL = {
    "train": ("--limit", "40", "--out", "example"),
    "predict dog.jpg": ("--width", "0.05"),
    "train resnet20_cifar": ("--epochs", "1", "--width", "0.25"),
    "train vgg11": ("--epochs", "1"),
}
EXAMPLES = [
    line.removeprefix("minigrad ")
    for part in (minigrad, *minigrad.commands.values())
    for line in part.epilog.strip().splitlines()
]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_works(line: str, here: Path, request: pytest.FixtureRequest) -> None:
    if line.startswith(("train", "plot")):
        request.getfixturevalue("unpainted")
    words = [EQUIVALENT.get(word, word) for word in shlex.split(line.partition(" > ")[0])]
    if not {"--help", "--json"} & set(words):
        words += [word for start, more in SMALL.items() if line.startswith(start) for word in more]
    if line.startswith("convert"):
        words += ["--force"]
    done(*words)


def test_help_names_every_command_and_shows_examples() -> None:
    text = done("--help")
    for name, part in minigrad.commands.items():
        assert re.search(rf"^  {name} +[A-Z].*[.]$", text, re.M), name  # a whole sentence
        own = done(name, "--help")
        assert "Examples:\n  minigrad " in own
        assert len(part.epilog.strip().splitlines()) == own.count("\n  minigrad ")
        assert max(map(len, own.splitlines())) <= 100
    assert done("-h") == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'"),
        (["train", "lenet5"], "Missing option '--data'"),
        (["train", "lenet5", "--data", "digits", "--epoks", "3"], "No such option '--epoks'"),
        (["train", "lenet5", "--data", "digits", "--epochs", "0"], "0 is not in the range x>=1"),
        (["train", "lenet5", "--data", "digits", "--validation", "1"], "1.0 is not in the range 0<=x<1"),
        (["train", "lenet5", "--data", "digits", "--device", "tpu"], "'tpu' is not one of 'cpu', 'cuda'"),
        (["train", "lenet5", "--data", "digits", "--set", "lr"], "'lr' is not of the form KEY=VALUE"),
        (["predict"], "Missing argument 'IMAGE...'"),
    ],
)
def test_bad_usage(arguments: list[str], message: str) -> None:
    text = refused(2, *arguments)
    assert message in text
    assert text.startswith("Usage: minigrad ")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.data, "names", lambda: 1 + "")  # type: ignore[operator]
    result = run("data")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "TypeError: unsupported operand" in result.stderr


def test_debug_shows_the_traceback_of_every_error() -> None:
    for arguments, options in [
        (["--debug", "summary", "x"], {}),
        (["summary", "x", "--debug"], {}),
        (["summary", "x"], {"env": {"MINIGRAD_DEBUG": "1"}}),
    ]:
        result = run(*arguments, **options)
        assert result.exit_code == 1
        assert "Traceback" in result.stderr
        assert "ValueError: there is no model 'x'" in result.stderr


def test_which_errors_are_expected() -> None:
    for make, expected in [
        (lambda: models.get("x"), True),
        (lambda: nn.Linear(2, 2)(mg.ones((1, 3))), True),
        (lambda: nn.optional.need("nothing_of_that_name", "a test"), True),
        (lambda: Path("nothing", "there").read_text(), True),
        (lambda: int("x"), False),
        (lambda: models.get("lenet5").features["x"], False),
        (lambda: nn.data.transforms.ToFloat().apply(None), False),
    ]:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            make()
        assert command.is_expected(caught.value) is expected, caught.value


def test_warnings_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(nn.data, "names", lambda: warnings.warn("mind the gap", stacklevel=1) or ["digits"])
        assert run("data").stderr == "Warning: mind the gap\n"


def test_ctrl_c_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nn.data, "names", interrupt)
    result = run("data")
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_json_is_for_every_program() -> None:
    text = output.as_json({"a": [float("nan"), 1.5], "text": "[1,  2]", "lists": [[1, 2], [3]], "empty": []})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, 1.5],
        "text": "[1,  2]",
        "lists": [[1, 2], [3]],
        "empty": [],
    }
