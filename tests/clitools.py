"""The command line in tests: running it in this process, and a folder with a finished run to use it on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from minigrad import models, nn
from minigrad.models.cli.pictures import Drawer
from minigrad.models.cli.root import minigrad
from tests import torchfiles

RUN = "runs/lenet5-digits"


def run(*arguments: str, **options: object) -> Result:
    """The command in this process, as in no terminal; its exit code, stdout and stderr."""
    return CliRunner().invoke(minigrad, [str(a) for a in arguments], prog_name="minigrad", **options)


def done(*arguments: str) -> str:
    """What a command that succeeds prints."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(code: int, *arguments: str) -> str:
    """What a command that fails says on stderr: one message, and no traceback."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("Error: ") == 1
    assert "Error" not in result.stdout
    return result.stderr


def is_drawn(path: str) -> bool:
    """Whether a file is a picture with something on it."""
    with Image.open(path) as image:
        return image.size[0] > 500 and np.asarray(image.convert("L")).std() > 5


@pytest.fixture(scope="session", name="made")
def fixture_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, and images and data sets beside it."""
    folder = tmp_path_factory.getbasetemp() / "cli"
    if folder.exists():  # another file of tests has made it
        return folder
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done("train", "lenet5", "--data", "digits", "--epochs", "2", "--lr", "0.003", "--out", RUN)
        digits = nn.data.get("digits", train=False)
        Image.fromarray(digits.images[0, 0]).save("digit.png")
        Path("torn.png").write_bytes(Path("digit.png").read_bytes()[:60])
        rng = np.random.default_rng(0)
        for part, count in (("train", 6), ("val", 2)):
            for name in ("cat", "dog"):
                Path("photos", part, name).mkdir(parents=True)
                for i in range(count):
                    pixels = rng.integers(0, 256, (20 + i, 24, 3), "uint8")
                    Image.fromarray(pixels).save(f"photos/{part}/{name}/{i}.png")
        images, labels = rng.integers(0, 256, (40, 3, 32, 32), "uint8"), np.arange(40) % 4
        np.savez("colours.npz", x_train=images, y_train=labels, x_test=images[:8], y_test=labels[:8])
        np.savez("unsplit.npz", images=images, labels=labels)
        thin = models.get("resnet18", width=0.05)
        nn.save(thin, "thin.safetensors")
        Path("resnet18.pth").write_bytes(torchfiles.saved({k: v.numpy() for k, v in thin.state_dict().items()}))
        Path("imagenet.txt").write_text("\n".join(f"class {i}" for i in range(1000)))
    return folder


@pytest.fixture(name="here")
def fixture_here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to work in."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(name="unpainted")
def fixture_unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pictures, which take longer than a small training."""
    monkeypatch.setattr(Drawer, "draw", lambda self, name, make: None)
    monkeypatch.setattr(Drawer, "course", lambda self, run: None)
