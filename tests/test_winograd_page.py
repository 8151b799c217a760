"""docs/winograd.md: its examples run, as one session, and the bounds it names are those of the code."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from minigrad.kernels.cpu.conv import ALGORITHMS

TEXT = (Path(__file__).parent.parent / "docs" / "winograd.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)


def test_every_block_runs() -> None:
    assert len(BLOCKS) > 5
    assert all(block.startswith(">>> ") for block in BLOCKS)
    test = doctest.DocTestParser().get_doctest("\n".join(BLOCKS), {}, "winograd.md", "winograd.md", 0)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_bounds_are_those_of_the_code() -> None:
    stated = re.search(
        r"E is (\d+) for sums.*?, (\d+) for F\(2x2, 3x3\), (\d+) for.*?, (\d+) for.*? and (\d+)", TEXT, re.S
    )
    names = ("im2col", "winograd2", "winograd_s2", "winograd4", "winograd5")
    assert stated is not None
    assert [ALGORITHMS[name].ERROR for name in names] == [int(number) for number in stated.groups()]
