"""NumPy's functions on Tensors differentiate, or raise; they never detach silently."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import minigrad as mg
from minigrad import interop
from tests.cudaemu import fake_cupy

SQUARE = np.array([[2.2, 0.7], [0.7, 1.4]])  # positive definite: each function below can take it
V = np.array([0.3, -1.2])


@pytest.fixture
def x() -> mg.Tensor:
    return mg.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)


# Calls in NumPy's own words, positional where NumPy's order of arguments is not ours.
CALLS: dict[str, Callable] = {
    "exp": np.exp,
    "abs": np.abs,
    "rint": lambda x: np.rint(x) * x,
    "square": np.square,
    "positive": np.positive,
    "conj": np.conj,
    "negative": np.negative,
    "atan2": lambda x: np.arctan2(x, V),
    "multiply": lambda x: np.multiply(np.ones(2), x),
    "array @": lambda x: V @ x,
    "array -": lambda x: np.arange(2.0) - x,
    "sum": np.sum,
    "sum positional": lambda x: np.sum(x, 0, None, None, True),
    "mean": lambda x: np.mean(x, axis=0),
    "max": lambda x: np.max(x, axis=1, keepdims=True),
    "amax": lambda x: np.amax(x, 1),
    "amin": lambda x: np.amin(a=x, axis=0),
    "var": lambda x: np.var(x, 0, None, None, 1),
    "std": lambda x: np.std(x, ddof=1, axis=1),
    "prod": lambda x: np.prod(x, 0, None),
    "cumsum": lambda x: np.cumsum(x, 1),
    "cumprod": np.cumprod,
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "concatenate positional": lambda x: np.concatenate((V[None], x), 0),
    "stack": lambda x: np.stack([x, SQUARE], 1),
    "vstack": lambda x: np.vstack([x, V]),
    "vstack rows": np.vstack,
    "hstack": lambda x: np.hstack([x, SQUARE]),
    "hstack vectors": lambda x: np.hstack([x[0], V, x[1, 1]]),
    "split": lambda x: np.split(x, 2, axis=1)[1],
    "reshape": lambda x: np.reshape(x, (4,)),
    "reshape C": lambda x: np.reshape(x, -1, order="C"),
    "ravel": np.ravel,
    "transpose": np.transpose,
    "permute_dims": lambda x: np.permute_dims(x, axes=(1, 0)),
    "matrix_transpose": np.matrix_transpose,
    "linalg.matrix_transpose": np.linalg.matrix_transpose,
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(np.stack([x, x * x, x - 1]), [0, 2], [-1, 0]),
    "moveaxis one": lambda x: np.moveaxis(x[None], 0, 1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(x[None]),
    "broadcast_to": lambda x: np.broadcast_to(x, (3, 2, 2)),
    "copy": np.copy,
    "astype": lambda x: np.astype(x, np.float64),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, 0),
    "roll": lambda x: np.roll(x, 1, axis=0),
    "flip": lambda x: np.flip(x, 0),
    "pad": lambda x: np.pad(x, ((0, 1), (1, 0)), "constant", constant_values=2.0),
    "pad reflect": lambda x: np.pad(x, 1, mode="reflect"),
    "take": lambda x: np.take(x, [1, 1], 0),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[1], [0]]), 1),
    "sort": lambda x: np.sort(x, 0, "mergesort"),
    "sort stable": lambda x: np.sort(x, stable=True),
    "where": lambda x: np.where(np.array([True, False]), x, 0.0),
    "clip": lambda x: np.clip(x, 1.0, 2.0),
    "clip names": lambda x: np.clip(x, min=1.0),
    "clip none": lambda x: np.clip(x, None, 2.0),
    "round": lambda x: np.round(x, 1) * x,
    "around": lambda x: np.around(x) * x,
    "einsum": lambda x: np.einsum("ij,jk->ik", x, SQUARE, optimize=True),
    "tensordot": lambda x: np.tensordot(x, SQUARE, axes=1),
    "linalg.tensordot": lambda x: np.linalg.tensordot(x, SQUARE, axes=([0], [1])),
    "outer": lambda x: np.outer(x, V),
    "dot": lambda x: np.dot(x, V),
    "dot scalar": lambda x: np.dot(2.0, x),
    "dot vectors": lambda x: np.dot(x[0], x[1]),
    "dot stacks": lambda x: np.dot(x, np.stack([x, SQUARE])),
    "dot stack vector": lambda x: np.dot(np.stack([x, x]), V),
    "linalg.matmul": lambda x: np.linalg.matmul(x, x),
    "linalg.inv": np.linalg.inv,
    "linalg.det": np.linalg.det,
    "linalg.slogdet": lambda x: np.linalg.slogdet(x)[1],
    "linalg.solve": lambda x: np.linalg.solve(x, V),
    "linalg.norm": np.linalg.norm,
    "linalg.norm fro": lambda x: np.linalg.norm(x, "fro", keepdims=True),
    "linalg.norm axis": lambda x: np.linalg.norm(x, 3, axis=1),
    "linalg.norm axes": lambda x: np.linalg.norm(x, axis=(0, 1)),
    "linalg.norm of vector": lambda x: np.linalg.norm(x[0], 1),
    "linalg.vector_norm": lambda x: np.linalg.vector_norm(x, ord=1, axis=0),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_calls_are_recorded(name: str) -> None:
    call, x = CALLS[name], mg.tensor(SQUARE, requires_grad=True)
    y = call(x)
    assert isinstance(y, mg.Tensor)
    assert y.requires_grad
    np.testing.assert_allclose(y.detach().numpy(), call(SQUARE), rtol=1e-14)
    mg.check_gradients(call, SQUARE)


def test_cholesky_differentiates_for_symmetric_matrices(x: mg.Tensor) -> None:
    call = lambda x: np.linalg.cholesky(x @ x.T)  # noqa: E731
    np.testing.assert_allclose(call(x).detach().numpy(), call(x.numpy()))
    mg.check_gradients(call, x.numpy())


def test_every_function_that_is_served_is_called_above() -> None:
    served = {*interop._SAME, *interop._ADAPTED} - {"all", "any", "argmax", "argmin", "argsort", "linalg.cholesky"}
    called = {name.partition(" ")[0] for name in CALLS} | {"min"}  # np.min is np.amin, but for its name
    assert served <= called


def test_answers_that_have_no_gradient(x: mg.Tensor) -> None:
    for call in (np.argmax, np.argsort, lambda x: np.any(x > 3, axis=0), np.all, np.isfinite, np.min):
        got = call(x)
        assert isinstance(got, mg.Tensor)
        np.testing.assert_array_equal(got.detach(), call(x.numpy()))
    for call in (
        *(np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.min_scalar_type),
        *(np.common_type, np.array_repr, np.array_str, np.array2string, np.isscalar, np.iterable),
        lambda x: np.size(x, 1),
        lambda x: np.can_cast(x, "float32"),
        lambda x: np.result_type(x, np.float32(1)),
        lambda x: np.array_equal(x, x),
        lambda x: np.allclose(a=x, b=x + 1e-9),
        lambda x: np.array_equiv(x, x[0]),
    ):
        got = call(x)
        assert not isinstance(got, mg.Tensor)
        if call is not np.isscalar:
            assert got == call(x.numpy())
    assert np.shares_memory(x, x.numpy())
    close = np.isclose(x, [1.0, 2.0])
    assert isinstance(close, mg.Tensor)
    assert close.tolist() == [[True, True], [False, False]]


def test_arrays_like_a_tensor_are_tensors(x: mg.Tensor) -> None:
    for like, value in ((np.zeros_like, 0), (np.ones_like, 1), (lambda a: np.full_like(a=a, fill_value=7), 7)):
        made = like(x)
        assert isinstance(made, mg.Tensor)
        assert (made == value).all()
        assert not made.requires_grad
    assert np.zeros_like(x, dtype="int8").dtype == "int8"
    assert np.empty_like(x, shape=(3,)).shape == (3,)
    with pytest.raises(TypeError, match=r"np.copyto on a minigrad Tensor has no minigrad op"):
        np.full_like(x, x[0, 0])


def test_boolean_operators_with_an_array_on_the_left(x: mg.Tensor) -> None:
    keep = np.array([True, False])
    assert (keep & (x > 2)).tolist() == [[False, False], [True, False]]
    assert (keep | (x > 2)).tolist() == [[True, False], [True, True]]
    assert (keep ^ (x > 2)).tolist() == [[True, False], [False, True]]
    assert np.invert(x > 2).tolist() == [[True, True], [False, False]]
    with pytest.raises(TypeError, match="& combines boolean tensors"):
        np.array([1, 2]) & (x > 2)


def test_numpy_functions_on_the_device() -> None:
    with fake_cupy.install():
        x = mg.tensor([[1.0, 2.0]], device="cuda", requires_grad=True)
        for y in (np.exp(x), np.sum(x, axis=0), np.concatenate([x, x]), np.linalg.norm(x), np.ravel(x)):
            assert y.device == "cuda"
            assert y.requires_grad
        assert np.shape(x) == (1, 2)
        assert np.zeros_like(x).device == "cuda"


REMEDY = r": use minigrad's own functions, or .detach\(\).numpy\(\) where no gradient is needed"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (np.sinc, r"np.sinc on a minigrad Tensor has no minigrad op"),
        (np.linalg.eigh, r"np.linalg.eigh on a minigrad Tensor has no minigrad op"),
        (np.fft.fft, r"np.fft.fft on a minigrad Tensor has no minigrad op"),
        (np.cbrt, r"np.cbrt on a minigrad Tensor has no minigrad op"),
        (np.add.reduce, r"np.add.reduce on a minigrad Tensor is not differentiable"),
        (lambda x: np.exp(x, out=np.zeros((2, 2))), r"np.exp on a minigrad Tensor does not take out"),
        (lambda x: np.exp(x, where=False), r"np.exp on a minigrad Tensor does not take where"),
        (lambda x: np.max(x, initial=3.0), r"np.max on a minigrad Tensor does not take initial"),
        (
            lambda x: np.sum(x, where=np.array([True, False]), dtype="f4"),
            r"np.sum on a minigrad .* take dtype, where",
        ),
        (lambda x: np.std(x, correction=1), r"np.std on a minigrad Tensor does not take correction"),
        (lambda x: np.reshape(x, 4, order="F"), r"np.reshape on a minigrad Tensor does not take order"),
        (lambda x: np.ravel(x, order="F"), r"np.ravel on a minigrad Tensor does not take order"),
        (lambda x: np.take(x, [0], mode="clip"), r"np.take on a minigrad Tensor does not take mode"),
        (lambda x: np.sort(x, order="f"), r"np.sort on a minigrad Tensor does not take order"),
        (lambda x: np.concatenate([x, x], dtype="f4"), r"np.concatenate on a minigrad Tensor does not take dtype"),
        (lambda x: np.vstack([x, x], dtype="f4"), r"np.vstack on a minigrad Tensor does not take dtype"),
        (lambda x: np.hstack([x, x], casting="no"), r"np.hstack on a minigrad Tensor does not take casting"),
        (lambda x: np.linalg.cholesky(x, upper=True), r"np.linalg.cholesky on a minigrad Tensor does not take upper"),
        (lambda x: np.dot(x, x, out=np.zeros((2, 2))), r"np.dot on a minigrad Tensor does not take out"),
        (lambda x: np.astype(x, "f4", copy=False), r"np.astype on a minigrad Tensor does not take copy"),
        (lambda x: np.clip(x, 0, 1, out=np.zeros((2, 2))), r"np.clip on a minigrad Tensor does not take out"),
        (lambda x: np.clip(x, 0, 1, where=False), r"np.clip on a minigrad Tensor does not take where"),
        (lambda x: np.where(x > 1), r"np.where on a minigrad Tensor needs condition, x and y"),
        (lambda x: np.pad(x, 1, "mean", stat_length=1), r"np.pad on a minigrad Tensor does not take stat_length"),
        (lambda x: np.pad(x, 1, "mean"), r"np.pad on a minigrad Tensor has no mode 'mean'"),
        (
            lambda x: np.pad(x, 1, constant_values=(1, 2)),
            r"np.pad on a minigrad Tensor takes one number as constant_values, got \(1, 2\)",
        ),
        (lambda x: np.einsum(x, [0, 0]), r"np.einsum on a minigrad Tensor takes its subscripts as one string"),
        (lambda x: np.einsum("ii", x, dtype="f4"), r"np.einsum on a minigrad Tensor does not take dtype"),
        (
            lambda x: np.linalg.norm(x, 1),
            r"np.linalg.norm on a minigrad Tensor has only the Frobenius norm of matrices, not ord=1",
        ),
        (lambda x: np.linalg.norm(x[0], 0), r"np.linalg.norm on a minigrad Tensor does not take ord=0"),
    ],
)
def test_what_cannot_be_recorded_raises(x: mg.Tensor, call: Callable, text: str) -> None:
    with pytest.raises(TypeError, match=text + REMEDY):
        call(x)


def test_moveaxis_needs_pairs(x: mg.Tensor) -> None:
    with pytest.raises(ValueError, match=r"as many destinations as sources, got \(0, 1\) and 0"):
        np.moveaxis(x, 0, (0, 1))


def test_an_array_cannot_be_changed_into_a_tensor_in_place(x: mg.Tensor) -> None:
    a = np.ones((2, 2))
    with pytest.raises(TypeError, match="does not take out"):
        a += x


# ---- all of NumPy ---------------------------------------------------------------------------------------------------

# Not called: they do not take arrays, and set or print something, read files, or run NumPy's own tests.
NOT_CALLED = {
    *("test", "show_config", "show_runtime", "info", "get_include", "setbufsize", "getbufsize", "seterr", "geterr"),
    *("seterrcall", "geterrcall", "errstate", "set_printoptions", "get_printoptions", "printoptions", "typename"),
    *("fromfile", "memmap", "load", "loadtxt", "genfromtxt", "fromregex", "fromstring", "open_memmap"),
}
# Python's number protocol, as in float(t): see minigrad/interop.py.
NUMBERS = {"float64", "complex64", "complex128", "fromiter", "tri", "tril_indices", "triu_indices"}
ANSWERS = interop._ANSWERS | {"isscalar", "iterable", "dtype", "issubdtype"}
ANSWERS |= {"format_float_positional", "format_float_scientific"}
# The second argument is a dtype, for which a Tensor gives its own, or something else that is no data.
SECOND_IS_NO_DATA = {"array", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray"}
SECOND_IS_NO_DATA |= {"asmatrix", "astype", "bmat", "empty_like", "frombuffer", "matrix", "ones_like", "zeros_like"}
SECOND_IS_NO_DATA |= {"require", "linalg.matrix_rank", "real_if_close"}
THIRD_IS_NO_DATA = {"full_like", "isin", "trapezoid"}  # a dtype, a flag, and a width that goes unused beside x
TEXTS = {"str_", "bytes_", "object_"}  # str(t), bytes and the object itself


def namespace() -> Iterator[tuple[str, Callable]]:
    for module, prefix in ((np, ""), (np.linalg, "linalg."), (np.fft, "fft.")):
        for name in sorted(vars(module)):
            value = getattr(module, name)
            if name.startswith("_") or isinstance(value, ModuleType) or not callable(value) or name in NOT_CALLED:
                continue
            if not (isinstance(value, type) and issubclass(value, BaseException)):
                name = value.__name__ if isinstance(value, type) else name  # np.double is np.float64
                yield prefix + name, value


FUNCTIONS = dict(namespace())


def arguments(name: str, t: mg.Tensor) -> list[tuple]:
    """Positional arguments of many kinds, with the Tensor as data: as a flag, t raises, having several elements."""
    one, vector = t.sum(), t[0]
    alone = [t, vector, one, [t, t], [one, one], [vector, vector]]
    others = [t, 1, 0, (2, 2), [0, 1], np.ones((2, 2)), "float64", np.sum]
    pairs = [(a, b) for a, b in itertools.product([t, vector, one, [t, t]], others)]
    found = [(a,) for a in alone] + pairs + [(t, t, t), (t, 0, 1), (vector, vector, vector), (t, 0, 0, t)]
    if name not in SECOND_IS_NO_DATA:
        found += [(SQUARE, t), (V, t), (V, vector), (0.5, t), (0.5, vector), (SQUARE > 1, t, t)]
        found += [] if name in THIRD_IS_NO_DATA else [(SQUARE, SQUARE, t)]
    return found


def cut(value: object) -> bool:
    """Whether a result holds values that are no longer part of the graph."""
    if isinstance(value, mg.Tensor) or value is None or value is NotImplemented:
        return False
    if isinstance(value, (tuple, list)):
        return any(map(cut, value))
    return isinstance(value, (np.ndarray, np.generic, int, float, complex))


NO_GRADIENT = {"all", "any", "argmax", "argmin", "argsort", "isclose", *interop._LIKE}  # of integers and booleans
NO_GRADIENT |= {"isfinite", "isinf", "isnan", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
NO_GRADIENT |= {"logical_and", "logical_not", "logical_or", "logical_xor"}
NO_GRADIENT |= {"sign", "floor", "ceil", "round", "around", "rint"}  # flat, but for their jumps


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_of_numpy_cuts_the_graph(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # np.save and its like take a name
    t = mg.tensor(SQUARE, requires_grad=True)
    for given in arguments(name, t):
        try:
            with np.errstate(all="ignore"):
                got = FUNCTIONS[name](*given)
        except Exception:
            continue
        if name in ANSWERS | NUMBERS | TEXTS:
            continue
        assert not cut(got), f"np.{name}{given} gave {got!r}"
        if name in NO_GRADIENT or (name == "where" and not isinstance(given[-1], mg.Tensor)):
            continue
        parts = got if isinstance(got, (tuple, list)) else [got]
        tensors = [part for part in parts if isinstance(part, mg.Tensor)]
        assert not tensors or any(part.requires_grad for part in tensors), f"np.{name}{given} gave {got!r}"


def test_the_functions_served_are_numpys() -> None:
    for name in (*interop._SAME, *interop._ADAPTED, *interop._LIKE, *interop._ANSWERS, *interop._ELEMENTWISE_ANSWERS):
        assert name in FUNCTIONS, name
    assert all(isinstance(getattr(np, name), np.ufunc) for name in interop._UFUNCS)
