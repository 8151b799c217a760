"""`make stress`: every row of the op table on drawn values, memory layouts, dtypes and projections.

Where `test_properties` draws shapes and arguments for some ops, this draws inputs for all of them, and compares the
value, both interpreters and the gradients of order 1 or 2. `make test` looks at one example a row, `make stress` at 30:
more than 11,000.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backend import raw
from tests.optable import ROWS, Row
from tests.test_ops import scattered

EXAMPLES = int(os.environ.get("MINIGRAD_STRESS", "1"))  # for each row; `make stress` asks for many
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


@rows
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 10**6), layout=st.booleans(), dtype=st.sampled_from(["float64", "float32"]), data=st.data())
def test_row(row: Row, seed: int, layout: bool, dtype: str, data: st.DataObject) -> None:
    """Other values, another layout, another dtype: the same function, and gradients that agree with differences."""
    rng = np.random.default_rng(seed)
    xs = [x.astype(dtype) for x in row.inputs(rng)]
    given_ = [scattered(x) if layout else x for x in xs]
    wide = [x.astype("float64") for x in xs]
    expected = row.reference(*wide)
    got = row.call(*map(mg.asarray, given_))
    eps = 1e-11 if got.dtype != np.float32 else 1e-4
    size = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(raw(got), expected, rtol=eps, atol=eps * size)
    np.testing.assert_array_equal(row.call(*given_), raw(got))
    if row.differentiable:
        mg.check_gradients(row.call, *wide, order=data.draw(st.integers(1, row.order)), seed=seed)
        leaves = [mg.asarray(x).detach().requires_grad_() for x in given_]
        y = row.call(*leaves)
        u = rng.standard_normal(y.shape).astype(y.dtype)
        plain = mg.grad(y, leaves, u, retain_graph=True, allow_unused=True)
        recorded = mg.grad(y, leaves, u, create_graph=True, allow_unused=True)
        for x, g, h in zip(leaves, plain, recorded, strict=True):
            assert (g is None) == (h is None)
            if g is not None:
                assert g.dtype == h.dtype == x.dtype
                assert g.shape == h.shape == x.shape
                np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=eps, atol=eps)
