"""The fake CuPy against the real one: names and signatures, for which the wheel needs no GPU (`make parity`)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from tests.cudaemu import fake_cupy
from tests.optable import ROWS

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        importlib.util.find_spec("cupy") is None,
        reason="NOT CHECKED: whether the fake CuPy has the names and signatures of the real one. No cupy is installed "
        "here; `make parity` installs cupy-cuda13x, which imports without a GPU",
    ),
]
CUDAEMU = Path(fake_cupy.__file__).parent

RESOLVE = """
import json, sys
import cupy

def exists(name):
    value = cupy
    for part in name.split(".")[1:]:
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True

print(json.dumps([name for name in json.load(sys.stdin) if not exists(name)]))
"""


def python(*arguments: str, stdin: str = "") -> str:
    """What a fresh interpreter prints: the real CuPy is never imported into the one that runs the tests."""
    done = subprocess.run([sys.executable, *arguments], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout


def names_that_minigrad_uses() -> set[str]:
    """Every op of the table, forward, backward and backward of the backward, on the fake."""
    fake_cupy.used.clear()
    with fake_cupy.install():
        for row in ROWS:
            xs = [mg.tensor(x, device="cuda", requires_grad=True) for x in row.inputs(np.random.default_rng(0))]
            y = row.call(*xs)
            if y.requires_grad:
                first = mg.grad(y.sum(), xs, create_graph=True, allow_unused=True)
                for g in first:
                    if g is not None and g.requires_grad:
                        mg.grad(g.sum(), xs, retain_graph=True, allow_unused=True)
        mg.cross_entropy(mg.randn(2, 3, device="cuda"), mg.tensor([0, 2], device="cuda"))
    return set(fake_cupy.used)


def test_every_name_that_minigrad_uses_is_real() -> None:
    names = names_that_minigrad_uses()
    assert {"cupy.add", "cupy.matmul", "cupy.ndarray.transpose"} < names
    assert json.loads(python("-c", RESOLVE, stdin=json.dumps(sorted(names)))) == []


def test_the_check_of_names_notices_a_wrong_one() -> None:
    names = ["cupy.add", "cupy.errstate", "cupy.linalg.norm", "cupy.ndarray.setflags"]
    assert json.loads(python("-c", RESOLVE, stdin=json.dumps(names))) == ["cupy.errstate", "cupy.ndarray.setflags"]


def test_the_own_classes_of_the_fake_have_only_real_names() -> None:
    classes = {name: value for name, value in fake_cupy.OWN.items() if isinstance(value, type)}
    names = [f"{name}.{member}" for name, value in classes.items() for member in vars(value) if member[0] != "_"]
    assert {"cupy.RawModule.get_function", "cupy.cuda.Stream.synchronize", "cupy.ndarray.sum"} < set(names)
    assert json.loads(python("-c", RESOLVE, stdin=json.dumps(names))) == []


def test_the_stored_names_and_signatures_are_those_of_the_wheel() -> None:
    """If this fails after an update of CuPy: `python tests/cudaemu/api.py > tests/cudaemu/api.txt`; read the diff."""
    real = python(str(CUDAEMU / "api.py")).splitlines()
    assert (CUDAEMU / "api.txt").read_text().splitlines() == real
