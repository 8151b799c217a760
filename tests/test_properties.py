"""Properties over drawn shapes, axes and broadcastings: sizes of 0 and no axes at all included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from tests import optable

UNARY = ["negative", "abs", "exp", "tanh", "sigmoid", "relu"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power"]
small_shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


def values(shape: tuple[int, ...], seed: int, low: float = -2.0) -> np.ndarray:
    return optable.distinct(np.random.default_rng(seed), *shape, low=low)


def compare(call: Callable, reference: Callable, *arrays: np.ndarray) -> None:
    """Value, both interpreters, gradients of order 1 and 2, and the dtype of float32."""
    expected = reference(*arrays)
    got = call(*map(mg.tensor, arrays)).numpy()
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(call(*arrays), got)
    mg.check_gradients(call, *arrays)
    assert call(*(mg.tensor(a, dtype="float32") for a in arrays)).dtype == np.float32


@pytest.mark.parametrize("op", UNARY)
@given(shape=small_shapes, seed=st.integers(0, 99))
def test_unary(op: str, shape: tuple[int, ...], seed: int) -> None:
    row = next(r for r in optable.ROWS if r.op == op)
    compare(getattr(mg, op), row.reference, values(shape, seed))


@pytest.mark.parametrize("op", BINARY)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3), seed=st.integers(0, 99)
)
def test_broadcasting(op: str, shapes: hnp.BroadcastableShapes, seed: int) -> None:
    a, b = optable.split(np.random.default_rng(seed), *shapes.input_shapes, low=0.3, high=2.0)
    compare(getattr(mg, op), getattr(np, op), a, b)


@st.composite
def reductions(draw: st.DrawFn) -> tuple:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    axis = draw(st.none() | hnp.valid_tuple_axes(len(shape), max_size=len(shape)))
    return shape, axis, draw(st.booleans()), draw(st.integers(0, 99))


@pytest.mark.parametrize("op", ["sum", "mean", "max", "min"])
@given(case=reductions())
def test_reductions(op: str, case: tuple) -> None:
    shape, axis, keepdims, seed = case
    reduced = [shape[a] for a in (range(len(shape)) if axis is None else axis)]
    assume(op == "sum" or 0 not in reduced)  # the mean or maximum of nothing is an error, or nan
    reference = getattr(np, op)
    compare(
        lambda x: getattr(mg, op)(x, axis, keepdims),
        lambda x: reference(x, axis=axis, keepdims=keepdims),
        values(shape, seed),
    )


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), data=st.data())
def test_softmax_along_any_axis(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = values(shape, 0)
    compare(lambda t: mg.softmax(t, axis), lambda t: np.exp(t) / np.exp(t).sum(axis, keepdims=True), x)
    shifted = mg.softmax(mg.tensor(x + 1000.0), axis).numpy()
    np.testing.assert_allclose(shifted, mg.softmax(x, axis), rtol=1e-9)


@given(
    shapes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3),
    seed=st.integers(0, 99),
)
def test_matmul(shapes: hnp.BroadcastableShapes, seed: int) -> None:
    a, b = optable.split(np.random.default_rng(seed), *shapes.input_shapes, low=-1, high=1)
    compare(mg.matmul, np.matmul, a, b)


@given(shape=small_shapes, data=st.data())
def test_indexing(shape: tuple[int, ...], data: st.DataObject) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    compare(lambda x: mg.getitem(x, index), lambda x: x[index], values(shape, 1))


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3), data=st.data())
def test_indexing_with_arrays_that_repeat(shape: tuple[int, ...], data: st.DataObject) -> None:
    index = tuple(i.tolist() for i in data.draw(hnp.integer_array_indices(shape, result_shape=st.just((4,)))))
    x, v = values(shape, 2), values(np.zeros(shape)[index].shape, 3)
    compare(lambda x: mg.getitem(x, index), lambda x: x[index], x)
    add = lambda old, new: old + new  # noqa: E731
    compare(lambda x, v: mg.index_add(x, v, index), lambda x, v: optable.changed(x, index, v, add), x, v)
    last = lambda old, new: new  # noqa: E731
    compare(lambda x, v: mg.index_set(x, v, index)[0], lambda x, v: optable.changed(x, index, v, last), x, v)


@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3), data=st.data())
def test_shape_ops(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = values(shape, 4)
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    compare(lambda t: mg.permute(t, axes), lambda a: np.transpose(a, axes), x)
    compare(lambda t: mg.reshape(t, x.size), lambda a: a.reshape(-1), x)
    axis = data.draw(st.integers(0, len(shape) - 1))
    compare(lambda t: mg.concatenate([t, t], axis), lambda a: np.concatenate([a, a], axis), x)
    widths = tuple(data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in shape)
    compare(lambda t: mg.pad(t, widths), lambda a: np.pad(a, widths), x)
