"""What an import brings along: nothing that only downloads, training runs and pictures need."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from minigrad import models, nn

LATER = ("data", "pictures", "train")
HEAVY = {
    *(f"minigrad.nn.{name}" for name in LATER),
    *("argparse", "asyncio", "concurrent", "csv", "email", "http", "logging", "multiprocessing", "numpy.polynomial"),
    *("numpy.testing", "socket", "ssl", "subprocess", "tarfile", "tomllib", "unittest", "urllib"),
    *("PIL", "click", "cupy", "matplotlib", "rich", "safetensors", "torch", "tqdm"),
}


def modules(code: str) -> set[str]:
    """Those that Python has after running the code, without those that NumPy brings."""
    text = f"import numpy, numpy.random, sys; known = set(sys.modules)\n{code}\nprint(*set(sys.modules) - known)"
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("name", ["minigrad", "minigrad.nn", "minigrad.models"])
def test_an_import_brings_nothing_heavy(name: str) -> None:
    found = modules(f"import {name}")
    assert name in found
    assert not found & HEAVY


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize(
    "use",
    [
        "from minigrad import nn; found = nn.{0}",
        "from minigrad.nn import {0} as found",
        "import minigrad.nn.{0}; found = minigrad.nn.{0}",
        "from minigrad.nn import *; found = {0}",
    ],
)
def test_what_comes_later_is_there_when_it_is_asked_for(name: str, use: str) -> None:
    assert f"minigrad.nn.{name}" in modules(f"{use.format(name)}; assert found.__name__ == 'minigrad.nn.{name}'")


def test_what_comes_later_is_listed_and_pickled_like_the_rest() -> None:
    assert {*LATER, "Linear", "optim"} <= set(dir(nn))
    assert set(nn.__all__) <= set(dir(nn))
    assert modules("from minigrad import nn; dir(nn)") & HEAVY == set()
    loader = pickle.dumps(nn.data.DataLoader)
    load = f"import pickle; kind = pickle.loads({loader!r}); from minigrad import nn; assert kind is nn.data.DataLoader"
    assert "minigrad.nn.data.loader" in modules(load)


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'minigrad.nn' has no attribute 'Lineer'$"):
        nn.Lineer  # noqa: B018
    with pytest.raises(ImportError, match=r"cannot import name 'Lineer' from 'minigrad.nn'"):
        from minigrad.nn import Lineer  # noqa: F401


@pytest.mark.parametrize("package", [nn, models])
def test_all_is_what_a_package_offers(package: object) -> None:
    public = {name for name, value in vars(package).items() if not name.startswith("_") and callable(value)}
    assert public - {"import_module", "Any"} <= set(package.__all__)
