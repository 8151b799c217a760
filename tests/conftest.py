"""Shared by all tests: the same examples in every run, and no test may leave global state behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import minigrad as mg

settings.register_profile(
    "tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _no_state_is_left_behind() -> Iterator[None]:
    mg.manual_seed(0)
    before = mg.is_grad_enabled(), np.geterr(), sys.modules.get("cupy")
    yield
    assert (mg.is_grad_enabled(), np.geterr(), sys.modules.get("cupy")) == before
