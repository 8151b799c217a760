"""12,500 damaged files of weights: each is refused or read, and nothing else happens; see tests/fuzz_files.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = 2500


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "npz", "nested"])
def test_damaged_files(kind):
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.fuzz_files", kind, "0", str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout)
    assert sum(counts.values()) == COUNT
    assert counts["unexplained"] == 0
    assert counts["refused"] > COUNT / 2
    assert counts["loaded"] > COUNT / 100  # the damage is fine enough to pass every gate
    assert counts["misfits"] > 0
