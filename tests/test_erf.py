"""erf against the C library's, which is correct to less than one unit in the last place."""

from __future__ import annotations

import math

import numpy as np

import minigrad as mg


def test_erf_errs_by_two_units_in_the_last_place_at_most() -> None:
    x = np.concatenate([np.linspace(-6.5, 6.5, 200_001), 10.0 ** np.linspace(-300, 0, 10_001)])
    exact = np.array([math.erf(v) for v in x])
    nonzero = exact != 0
    units = np.abs(mg.erf(x) - exact)[nonzero] / np.spacing(np.abs(exact[nonzero]))
    assert units.max() <= 2
    assert (mg.erf(x)[~nonzero] == 0).all()


def test_erf_in_single_precision_is_rounded_from_double() -> None:
    x = np.linspace(-4, 4, 20_001, dtype="float32")
    exact = np.array([math.erf(v) for v in x.astype("float64")])
    np.testing.assert_array_less(np.abs(mg.erf(x) - exact), 0.51 * np.spacing(np.abs(exact).astype("float32")) + 1e-45)


def test_edges() -> None:
    values = mg.erf(np.array([0.0, -0.0, np.inf, -np.inf, np.nan]))
    np.testing.assert_array_equal(values, [0, 0, 1, -1, np.nan])
    assert np.signbit(values[1])
