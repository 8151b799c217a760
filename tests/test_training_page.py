"""docs/training.md and the commands of the README: all of it runs, and the links lead somewhere."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE, README = ((ROOT / name).read_text() for name in ("docs/training.md", "README.md"))


def test_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "training.md", "training.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_links():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("text", [PAGE, README], ids=["training.md", "README.md"])
def test_the_commands(text: str, tmp_path: Path):
    """One after another in one folder, as a reader types them."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.S)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert commands
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "minigrad"
        program = [sys.executable, "-m", "minigrad.models"]
        done = subprocess.run([*program, *arguments], cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{command}: {done.stderr}"
