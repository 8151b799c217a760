"""A training run that is killed with SIGKILL at random moments, 200 times, ends as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked, so that each starts in a millisecond")
def test_killed_again_and_again(tmp_path: Path):
    program = Path(__file__).with_name("kill_training.py")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(KILLS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == KILLS
    assert result["epochs"] > 10  # it did get on
    assert result["same"]
    assert result["logs"]
