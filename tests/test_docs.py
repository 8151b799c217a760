"""Every example in a docstring runs, and so does everything the README shows."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad
from minigrad import models, nn

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MODULES = sorted(
    {
        m.name
        for package in (minigrad, nn, models)
        for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    }
    | {"minigrad", "minigrad.nn", "minigrad.models"}
)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


RANKED = [name for name in minigrad.__all__ if re.search(r"\dd$", name)]


@pytest.mark.parametrize("name", RANKED)
def test_doctests_of_what_is_made_from_another(name: str) -> None:
    """conv2d from conv, and so on: doctest looks for functions written in their module, and misses these."""
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(minigrad, name), name, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    for key, value in vars(module).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__doc__, f"{name}.{key}"
        if inspect.isclass(value):
            for method, body in vars(value).items():
                if inspect.isfunction(body) and not method.startswith("_"):
                    assert body.__doc__, f"{name}.{key}.{method}"


def test_readme_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of the README, as one session."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert blocks
    text = "\n".join(blocks)
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_readme_commands_exist() -> None:
    """Each `make` target that the README names is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"`?make ([a-z]+)", README))
    assert {"demo", "test"} <= named <= targets


def test_readme_links_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_floors_are_imported_by_their_full_name_and_downwards_only() -> None:
    forbidden = {
        "minigrad": r"^\s*(from|import) (minigrad\.(nn|models)|nn|models)\b|from minigrad import .*\b(nn|models)\b",
        "nn": r"^\s*(from|import) (minigrad\.models|nn|models)\b|from minigrad import .*\bmodels\b",
        "models": r"^\s*(from|import) (nn|models)\b",
    }
    for folder, pattern in forbidden.items():
        for path in (ROOT / folder).rglob("*.py"):
            code = re.sub(r'"""(.|\n)*?"""', "", path.read_text())
            assert not re.search(pattern, code, flags=re.M), path


@pytest.mark.parametrize("folder", ["nn", "models"])
def test_the_folders_refuse_to_be_imported_under_their_own_name(folder: str) -> None:
    run = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "ImportError" in run.stderr
    assert f"from minigrad import {folder}" in run.stderr


def training_table() -> list[str]:
    """The README's table of whole training steps, from bench/results/train.json."""
    measured = json.loads((ROOT / "bench" / "results" / "train.json").read_text())
    names = {"lenet5": "LeNet-5", "resnet18": "ResNet-18", "alexnet": "AlexNet", "vgg16": "VGG-16"}
    names |= {"googlenet": "GoogLeNet", "resnet50": "ResNet-50"}
    one, two = (measured["threads"][key] for key in ("1", "2"))
    lines = [
        "| network | a step of training | prediction | the same, two threads | memory |",
        "|---|---|---|---|---|",
    ]
    for key, name in names.items():
        alone = " | ".join(f"{one[key][what]['ratio']:.2f}" for what in ("step", "predict"))
        both = ", ".join(f"{two[key][what]['ratio']:.2f}" for what in ("step", "predict"))
        lines.append(f"| {name} | {alone} | {both} | {one[key]['memory']['ratio']:.2f} |")
    return lines


def test_readme_figures_of_training_are_the_measured_ones() -> None:
    assert "\n".join(training_table()) in README


def startup_sentence() -> str:
    """The README's figures of starting and recording, from bench/results/startup.json."""
    found = json.loads((ROOT / "bench" / "results" / "startup.json").read_text())
    imports, calls = found["imports"], found["recording"]
    core, layers, torch = (imports[name]["cpu ms"] for name in ("minigrad", "minigrad.nn", "torch"))
    pairs = [calls[mode] for mode in ("recorded", "no_grad")]
    recorded, unrecorded = (f"{pair['minigrad']:.1f} us (PyTorch {pair['torch']:.1f})" for pair in pairs)
    return (
        f"Beyond NumPy, `import minigrad` takes {core:.0f} ms, `minigrad.nn` {layers:.0f}, `torch` {torch:.0f}. A "
        f"`multiply` of 8x8 arrays takes {recorded} when it is recorded and {unrecorded} under `no_grad`; a node of "
        f"the graph takes {found['bytes of a node']:.0f} bytes beside its array."
    )


def test_readme_figures_of_startup_are_the_measured_ones() -> None:
    assert startup_sentence() in README.replace("\n", " ")


def conv_table() -> list[str]:
    """The README's table of convolutions, from bench/results/conv.json."""
    measured = json.loads((ROOT / "bench" / "results" / "conv.json").read_text())
    names = {"lenet5": "LeNet-5", "alexnet": "AlexNet", "vgg16": "VGG-16", "googlenet": "GoogLeNet"}
    names |= {"resnet50": "ResNet-50", "vgg16 and resnet50": "VGG-16 and ResNet-50 together"}
    kernels = ("forward", "input gradient", "weight gradient")
    one, two = (measured["threads"][key]["means"] for key in ("1", "2"))
    lines = [
        "| network | forward | gradient in x | gradient in w | the same, two threads |",
        "|---|---|---|---|---|",
    ]
    for key, name in names.items():
        alone = " | ".join(f"{one[key][kernel]['layers']:.2f}" for kernel in kernels)
        both = ", ".join(f"{two[key][kernel]['layers']:.2f}" for kernel in kernels)
        lines.append(f"| {name} | {alone} | {both} |")
    return lines


def test_readme_figures_of_convolution_are_the_measured_ones() -> None:
    assert "\n".join(conv_table()) in README
    work = json.loads((ROOT / "bench" / "results" / "conv.json").read_text())["workspace"]
    peak, columns = max(work["peak bytes"].values()) / 2**20, work["full columns"] / 2**20
    assert f"takes {peak:.1f} MiB, where all of its unrolled windows would take {columns:.0f}." in README


def test_readme_figures_are_the_measured_ones() -> None:
    """The table of overheads is the one in bench/results/overhead.json."""
    measured = json.loads((ROOT / "bench" / "results" / "overhead.json").read_text())
    for row in measured["rows"]:
        ours, theirs = row["minigrad"][1], row["torch"][1]
        assert f"| {row['op']} | {ours:.1f} us | {theirs:.1f} us | {row['ratio']:.2f} |" in README
    assert f"| median of the ratios | | | {measured['median ratio']:.2f} |" in README


def test_readme_figures_of_real_images_are_the_measured_ones() -> None:
    found = json.loads((ROOT / "bench" / "results" / "real_results.json").read_text())
    for name, row in found.items():
        accuracies = ", ".join(f"{100 * value:.2f}" for value in row["test_top1"])
        book = "" if row["published"] is None else f"{100 * row['published']:.1f}"
        minutes = ", ".join(f"{seconds / 60:.1f}" for seconds in row["seconds"])
        command = row["command"].removeprefix("minigrad train ")
        assert f"| {name} | `{command}` | {accuracies} | {book} | {minutes} |" in README
