"""The demo, one epoch of it: what it prints, what it leaves, and that the printed lines work."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.models import demo


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """One run of one epoch: the folder it ran in and what it printed."""
    folder, printed = tmp_path_factory.mktemp("run"), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        demo.main(["--epochs", "1", "--quiet", "--out", "made/here"])
    return folder, printed.getvalue()


def test_it_runs_as_a_module_and_explains_itself():
    command = [sys.executable, "-W", "error", "-m", "minigrad.models.demo", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(option in done.stdout for option in ("--seed", "--epochs", "--out", "--quiet"))


def test_it_leaves_weights_and_a_picture(result):
    folder, printed = result
    assert sorted(path.name for path in (folder / "made/here").iterdir()) == ["lenet5.png", "lenet5.safetensors"]
    picture = (folder / "made/here/lenet5.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert "weights: made/here/lenet5.safetensors" in printed
    assert "picture: made/here/lenet5.png" in printed
    assert "The same 13 people wrote both parts" in printed


def test_the_weights_reproduce_the_accuracy(result):
    folder, printed = result
    model = models.lenet5()
    model.load_state_dict(nn.load(folder / "made/here/lenet5.safetensors"))
    images, labels = nn.data.digits()
    test = mg.manual_seed(0).permutation(len(images))[: demo.TEST_SIZE]
    accuracy = (demo.predict(model, demo.prepare(images[test])) == labels[test]).mean()
    assert f"test accuracy {accuracy:.2%}" in printed
    assert accuracy > 0.5  # one epoch; guessing gives 0.1


def test_the_printed_lines_run(result):
    folder, printed = result
    lines = "\n".join(line[4:] for line in printed.splitlines() if line.startswith("    "))
    assert "load_state_dict" in lines
    done = subprocess.run([sys.executable, "-c", lines], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("[0 1 2 3 4 5 6 7 8 9]")


def test_the_same_seed_gives_the_same_run():
    images, labels = nn.data.digits()
    x = demo.prepare(images[:200])

    def loss(seed):
        generator = mg.manual_seed(seed)
        return demo.train(models.lenet5(), x, labels[:200], x[:50], labels[:50], epochs=1, generator=generator)["loss"]

    assert loss(1) == loss(1) != loss(2)


def test_prepare():
    x = demo.prepare(np.arange(64, dtype=np.uint8).reshape(1, 8, 8) // 4)
    assert (x.shape, x.dtype) == ((1, 1, 28, 28), np.float32)
    assert not x[0, 0, [0, 1, 26, 27]].any()
    assert not x[0, 0, :, [0, 1, 26, 27]].any()
    for i, j in np.ndindex(8, 8):
        assert (x[0, 0, 2 + 3 * i : 5 + 3 * i, 2 + 3 * j : 5 + 3 * j] == ((8 * i + j) // 4) / 16).all()


def test_it_says_at_once_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"the demo needs the package matplotlib, .*`pip install matplotlib`"):
        demo.main(["--epochs", "1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_bad_epochs(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--epochs", "0"])
    assert "--epochs must be at least 1, got 0" in capsys.readouterr().err
