"""The GPU's queue and its memory, on the stand-in for CuPy; `tests/test_gpu.py` asks a real one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import minigrad as mg
from tests.cudaemu import fake_cupy


class Pool:
    """What CuPy's pool says after arrays of 1 MiB and 100 bytes were made and the large one was dropped."""

    def used_bytes(self) -> int:
        return 512

    def total_bytes(self) -> int:
        return 2**20 + 512


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A device, and a note of each time it was waited for."""
    notes: list[str] = []
    pieces: dict[str, Any] = {
        "cupy.get_default_memory_pool": Pool,
        "cupy.cuda.runtime.memGetInfo": lambda: (6 * 2**30, 8 * 2**30),
        "cupy.cuda.runtime.deviceSynchronize": lambda: notes.append("waited"),
    }
    for name, piece in pieces.items():
        monkeypatch.setitem(fake_cupy.OWN, name, piece)
    with fake_cupy.install():
        yield notes


def test_synchronize_waits_for_the_device(waited: list[str]) -> None:
    assert mg.cuda.synchronize() is None
    assert waited == ["waited"]


def test_memory_is_that_of_the_pool_and_of_the_device(waited: list[str]) -> None:
    found = mg.cuda.memory()
    assert found == (512, 2**20 + 512, 6 * 2**30, 8 * 2**30)
    assert (found.used, found.reserved, found.free, found.total) == found
    assert waited == []


@pytest.mark.parametrize("ask", [mg.cuda.synchronize, mg.cuda.memory])
def test_without_a_gpu_both_say_why(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match="no device 'cuda' here: CuPy is not installed: install cupy-cuda13x"):
        ask()
    with fake_cupy.install():
        monkeypatch.setitem(fake_cupy.OWN, "cupy.cuda.runtime.getDeviceCount", lambda: 0)
        with pytest.raises(RuntimeError, match=r"no device 'cuda' here: .* it sees no GPU"):
            ask()
