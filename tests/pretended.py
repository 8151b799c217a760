"""A plugin for pytest: the tests marked `gpu` on the stand-in for CuPy, so that they are known to run.

    python -m pytest -p tests.pretended -m gpu

What only a device can show is skipped.
"""

from __future__ import annotations

import sys

import pytest

from tests.cudaemu import fake_cupy

sys.modules["cupy"] = fake_cupy.cupy

NOT_IMITATED = {"test_the_kernel_on_the_gpu": "ElementwiseKernel", "test_dlpack_on_the_gpu": "DLPack"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what asks for a piece of CuPy that the stand-in has not."""
    if piece := NOT_IMITATED.get(item.name):
        pytest.skip(f"the fake CuPy has no {piece}")
