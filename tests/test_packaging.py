"""The wheel works outside the checkout, in an environment that holds numpy and nothing else."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in kept.stdout.split():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with numpy and the wheel."""
    home = tmp_path_factory.mktemp("empty")
    venv.create(home, with_pip=False)
    executable = home / "bin" / "python"
    site = next((home / "lib").glob("python*/site-packages"))
    for package in Path(np.__file__).parent.parent.glob("numpy*"):
        (site / package.name).symlink_to(package)
    with zipfile.ZipFile(wheel) as archive:  # a wheel of pure Python is installed by unpacking it
        archive.extractall(site)
    return executable


def run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True)


def test_the_wheel_holds_every_part(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {f"minigrad/{p.relative_to(ROOT / 'minigrad')}" for p in (ROOT / "minigrad").rglob("*.py")}
    for floor in ("nn", "models"):
        sources |= {f"minigrad/{floor}/{p.relative_to(ROOT / floor)}" for p in (ROOT / floor).rglob("*.py")}
    assert sources <= names
    assert {"minigrad/py.typed", "minigrad/nn/data/digits.npz", "minigrad/nn/data/digits.txt"} <= names
    assert not [name for name in names if name.split("/")[0] in ("nn", "models", "tests", "bench")]


def test_it_works_with_numpy_alone(python: Path, tmp_path: Path) -> None:
    code = """
import minigrad as mg
from minigrad import nn, models
net = models.lenet5()
loss = mg.cross_entropy(net(mg.zeros((2, 1, 28, 28))), mg.tensor([3, 7]))
loss.backward()
print(sum(p.size for p in net.parameters()), net.state_dict()["classifier.5.bias"].shape, len(nn.data.digits()[0]))
"""
    done = run(python, code, tmp_path)
    assert done.stderr == ""
    assert done.stdout == "61706 (10,) 1797\n"


def test_what_needs_an_extra_says_which(python: Path, tmp_path: Path) -> None:
    done = run(python, "from minigrad import nn, models; nn.save(models.lenet5(), 'x.safetensors')", tmp_path)
    assert done.returncode == 1
    assert "No module named 'safetensors'" in done.stderr
    assert "pip install" in done.stderr.splitlines()[-1]
