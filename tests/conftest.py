"""Shared by all tests: the same examples in every run, and no test may leave global state behind."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import minigrad as mg

settings.register_profile(
    "tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `gpu` where there is none, and say why; before fixtures, for it imports CuPy."""
    if item.get_closest_marker("gpu"):
        with warnings.catch_warnings(action="ignore"):  # an import that is not ours
            reason = mg.why_no_gpu()
        if reason is not None:
            pytest.skip(f"NOT CHECKED on a GPU: {reason}")


@pytest.fixture(autouse=True)
def _no_state_is_left_behind() -> Iterator[None]:
    mg.manual_seed(0)
    before = mg.is_grad_enabled(), np.geterr(), sys.modules.get("cupy"), mg.get_num_threads()
    yield
    assert (mg.is_grad_enabled(), np.geterr(), sys.modules.get("cupy"), mg.get_num_threads()) == before


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = mg.get_num_threads()
    mg.set_num_threads(1)
    yield
    mg.set_num_threads(before)
