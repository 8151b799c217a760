"""Every op of the registry, row by row of the table."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import raw
from minigrad.engine import REGISTRY
from tests.cudaemu import fake_cupy
from tests.optable import ROWS, Row

DIFFERENTIABLE = [row for row in ROWS if row.differentiable]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
differentiable = pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.id)


def inputs(row: Row, dtype: str = "float64") -> list[np.ndarray]:
    return [x.astype(dtype) for x in row.inputs(np.random.default_rng(1))]


def leaves(arrays: list[np.ndarray]) -> list[mg.Tensor]:
    return [mg.tensor(x, requires_grad=True) for x in arrays]


def test_every_op_and_every_public_function_of_ops_has_a_row() -> None:
    assert set(REGISTRY) | set(mg.ops.__all__) == {row.op for row in ROWS}
    assert set(mg.ops.__all__) <= set(mg.__all__)


def test_the_rows_that_are_not_differentiated_have_no_rules() -> None:
    for row in ROWS:
        rules = REGISTRY[row.op].rules if row.op in REGISTRY else {}
        assert row.differentiable or not rules, row.id


def test_ids_are_unique() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


@rows
def test_value(row: Row) -> None:
    xs = inputs(row)
    expected = row.reference(*xs)
    for got in (row.call(*map(mg.tensor, xs)).numpy(), row.call(*xs)):
        assert type(got) is np.ndarray or row.op not in REGISTRY  # composed of operators, which give NumPy's scalars
        assert got.shape == np.shape(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@differentiable
def test_gradients(row: Row) -> None:
    mg.check_gradients(row.call, *inputs(row), order=row.order)


@pytest.mark.parametrize(("dtype", "eps"), [("float32", 1e-5), ("float16", 1e-2)])
@differentiable
def test_dtype_is_kept(row: Row, dtype: str, eps: float) -> None:
    xs = leaves(inputs(row, dtype))
    y = row.call(*xs)
    exact = row.reference(*(x.astype("float64") for x in inputs(row, dtype)))
    if row.op != "astype":
        assert y.dtype == dtype
    np.testing.assert_allclose(y.detach().numpy(), exact, rtol=eps, atol=eps * max(1, np.abs(exact).max(initial=0)))
    for x, g in zip(xs, mg.grad(y, xs, np.ones(y.shape, dtype), allow_unused=True), strict=True):
        assert g is None or (g.dtype == x.dtype and g.shape == x.shape)


@rows
def test_inputs_are_not_changed(row: Row) -> None:
    arrays = inputs(row)
    xs = leaves(arrays)
    y = row.call(*xs)
    if y.requires_grad:
        mg.grad(y, xs, np.ones(y.shape), allow_unused=True)
    row.call(*arrays)
    for array, x, original in zip(arrays, xs, inputs(row), strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), original)
        np.testing.assert_array_equal(array, original)


def scattered(x: np.ndarray) -> np.ndarray:
    """The same values, laid out backwards and with gaps: no axis contiguous."""
    room = np.full([2 * n for n in x.shape[::-1]], np.nan)
    odd, back = (slice(1, None, 2),) * x.ndim, (slice(None, None, -1),) * x.ndim
    view = room[(*odd, ...)].T[(*back, ...)]
    view[...] = x
    return view


@rows
def test_any_memory_layout(row: Row) -> None:
    xs = inputs(row)
    strange = [mg.asarray(scattered(x)) for x in xs]
    plain = list(map(mg.tensor, xs))
    for x in (*strange, *plain):
        x.requires_grad_(True)
    a, b = row.call(*strange), row.call(*plain)
    np.testing.assert_allclose(raw(a), raw(b), rtol=1e-13)
    if a.requires_grad:
        seed = np.random.default_rng(2).standard_normal(a.shape)
        one, other = (mg.grad(y, x, seed, allow_unused=True) for y, x in ((a, strange), (b, plain)))
        for g, h in zip(one, other, strict=True):
            assert g is h is None or np.allclose(g.numpy(), h.numpy(), rtol=1e-12, atol=1e-14)


@rows
def test_on_cuda(row: Row) -> None:
    xs = inputs(row)
    with fake_cupy.install():
        there = [mg.tensor(x, device="cuda", requires_grad=True) for x in xs]
        here = leaves(xs)
        a, b = row.call(*there), row.call(*here)
        assert a.device == "cuda"
        np.testing.assert_allclose(a.detach().to("cpu").numpy(), b.detach().numpy(), rtol=1e-13, atol=1e-14)
        if a.requires_grad:
            seed = np.random.default_rng(2).standard_normal(b.shape)
            for create_graph in (False, True):
                one = mg.grad(a, there, mg.tensor(seed, device="cuda"), True, create_graph, allow_unused=True)
                other = mg.grad(b, here, seed, retain_graph=True, allow_unused=True)
                for g, h in zip(one, other, strict=True):
                    if h is not None:
                        assert g.device == "cuda"
                        np.testing.assert_allclose(g.detach().to("cpu").numpy(), h.numpy(), rtol=1e-12, atol=1e-14)


# ---- adding long slices ---------------------------------------------------------------------------------------------

LONG_SLICES = {  # shape of x, index, shape of the value
    "rows": ((5, 200), ([3, 0, 3, -1, 0],), (5, 200)),
    "rows of a batch": ((5, 200), ([[3, 0], [3, -1]],), (2, 2, 200)),
    "broadcast": ((5, 200), ([3, 3, 1],), (200,)),
    "middle": ((9, 4, 9, 9), (slice(None), [[0, 2], [2, 3]]), (9, 2, 2, 9, 9)),
    "last": ((9, 9, 9, 6), (slice(None), slice(None), slice(None), [5, 0, 5, 5]), (9, 9, 9, 4)),
    "nothing": ((5, 200), (np.zeros(0, int),), (0, 200)),
    "with a slice": ((5, 200, 3), (slice(1, 4), [3, 3, 1]), (3, 3, 3)),
    "with a number": ((5, 200, 300), (1, [3, 3, 1]), (3, 300)),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
@pytest.mark.parametrize("case", LONG_SLICES)
def test_index_add_slice_by_slice_is_numpys_add_at(case, dtype):
    shape, index, cut = LONG_SLICES[case]
    rng = np.random.default_rng(0)
    x, value = ((rng.standard_normal(s) * 10).astype(dtype) for s in (shape, cut))
    index = tuple(np.asarray(i) if isinstance(i, list) else i for i in index)
    expected = x.copy()
    np.add.at(expected, index, value)
    np.testing.assert_array_equal(mg.index_add(x, value, index), expected)
    turned = np.ascontiguousarray(x.T).T  # another memory order, which the result keeps
    found = mg.index_add(turned, value, index)
    np.testing.assert_array_equal(found, expected)
    assert found.strides == turned.strides


def test_index_add_slice_by_slice_knows_its_bounds():
    with pytest.raises(IndexError, match="out of bounds"):
        mg.index_add(np.zeros((3, 200)), np.zeros((1, 200)), [3])
