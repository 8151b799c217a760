"""vjp, jvp, hvp, jacobian, hessian: against analysis, finite differences, and each other."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.cudaemu import fake_cupy

RNG = np.random.default_rng(0)
A = RNG.standard_normal((3, 4))
IMAGE = RNG.standard_normal((1, 2, 4, 4))
KERNEL = mg.tensor(RNG.standard_normal((3, 2, 2, 2)))
FUNCTIONS = {
    "linear": (lambda x: mg.tensor(A) @ x, RNG.standard_normal(4)),
    "smooth": (lambda x: mg.tanh(x * x) * mg.exp(x[::-1]), RNG.standard_normal(5)),
    "softmax": (mg.softmax, RNG.standard_normal((2, 3))),
    "conv": (lambda x: mg.max_pool2d(mg.conv2d(x, KERNEL), 2, stride=1) ** 2, IMAGE),
    "loss": (lambda x: mg.cross_entropy(x, [0, 2]), RNG.standard_normal((2, 3))),
    "constant": (lambda x: mg.ones(2, dtype="float64"), RNG.standard_normal(3)),
}
functions = pytest.mark.parametrize("name", FUNCTIONS)


def differences(f: object, x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """The Jacobian by central differences."""
    columns = []
    for index in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[index] = h
        columns.append((f(mg.tensor(x + e)).numpy() - f(mg.tensor(x - e)).numpy()) / (2 * h))
    return np.moveaxis(np.array(columns), 0, -1).reshape((*columns[0].shape, *x.shape))


@functions
def test_jacobian_and_the_products_with_it(name: str) -> None:
    f, x = FUNCTIONS[name]
    full = mg.jacobian(f, x).numpy()
    np.testing.assert_allclose(full, differences(f, x), atol=1e-7)
    y = f(mg.tensor(x)).numpy()
    u, v = RNG.standard_normal(y.shape), RNG.standard_normal(x.shape)
    out, along = mg.jvp(f, x, v)
    np.testing.assert_array_equal(out, y)
    np.testing.assert_allclose(along, np.tensordot(full, v, x.ndim), atol=1e-12)
    out, product = mg.vjp(f, mg.tensor(x), u)
    np.testing.assert_array_equal(out, y)
    np.testing.assert_allclose(product, np.tensordot(u, full, y.ndim), atol=1e-12)
    assert not out.requires_grad
    assert not product.requires_grad


@functions
def test_hessian_and_the_product_with_it(name: str) -> None:
    f, x = FUNCTIONS[name]
    scalar = lambda t: (f(t) ** 2).sum()  # noqa: E731
    full = mg.hessian(scalar, x).numpy()
    slope = lambda t: mg.vjp(scalar, t)[1]  # noqa: E731
    np.testing.assert_allclose(full, differences(slope, x), atol=2e-5)
    n = x.size
    np.testing.assert_allclose(full.reshape(n, n), full.reshape(n, n).T, atol=1e-10)
    v = RNG.standard_normal(x.shape)
    value, product = mg.hvp(scalar, x, v)
    np.testing.assert_allclose(value.numpy(), scalar(mg.tensor(x)).numpy())
    np.testing.assert_allclose(product, np.tensordot(full, v, x.ndim), atol=1e-10)


def test_several_inputs_and_outputs() -> None:
    f = lambda x, w: (x * w, w.sum())  # noqa: E731
    x, w = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    (xx, xw), (sx, sw) = mg.jacobian(f, (x, w))
    np.testing.assert_array_equal(xx, np.diag(w))
    np.testing.assert_array_equal(xw, np.diag(x))
    np.testing.assert_array_equal(sx, [0, 0])
    np.testing.assert_array_equal(sw, [1, 1])
    (_, _), (gx, gw) = mg.vjp(f, (x, w), (np.ones(2), 10.0))
    assert (gx.tolist(), gw.tolist()) == ([3, 5], [11, 12])
    (_, _), (a, b) = mg.jvp(f, (x, w), (np.ones(2), np.zeros(2)))
    assert (a.tolist(), b.item()) == ([3, 5], 0)
    blocks = mg.hessian(lambda x, w: (x * w * w).sum(), (x, w))
    np.testing.assert_array_equal(blocks[0][1], np.diag(2 * w))
    np.testing.assert_array_equal(blocks[1][1], np.diag(2 * x))
    np.testing.assert_array_equal(blocks[0][0], np.zeros((2, 2)))


def test_nested() -> None:
    cube = lambda x: x**3  # noqa: E731
    x = np.array([1.0, 2.0])
    third = mg.jacobian(lambda t: mg.jacobian(lambda s: mg.jacobian(cube, s), t), x)
    expected = np.zeros((2, 2, 2, 2))
    expected[0, 0, 0, 0] = expected[1, 1, 1, 1] = 6
    np.testing.assert_array_equal(third, expected)
    total = lambda t: (t**4).sum()  # noqa: E731
    _, along = mg.hvp(lambda t: mg.hvp(total, t, np.ones(2))[1].sum(), x, np.ones(2))
    np.testing.assert_allclose(along, [24, 24])
    np.testing.assert_allclose(mg.jvp(lambda t: mg.jvp(cube, t, np.ones(2))[1], x, np.ones(2))[1], 6 * x)


def test_results_join_the_graph_of_an_input_that_requires_a_gradient() -> None:
    x, scale = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor(3.0, requires_grad=True)
    penalty = (mg.vjp(lambda t: (t**3).sum(), x)[1] ** 2).sum()  # |grad|^2 = 9 x^4
    penalty.backward()
    np.testing.assert_allclose(x.grad.numpy(), [36, 288])
    _, g = mg.vjp(lambda t, s: (t * t * s).sum(), (x.detach(), scale))
    g[0].sum().backward()
    np.testing.assert_allclose(scale.grad.numpy(), 6)
    mg.check_gradients(lambda t: mg.jacobian(lambda s: mg.tanh(s) * s.sum(), t), [0.3, -0.7])


def test_inner_calls_connect_to_what_their_function_takes_from_outside() -> None:
    """d/dx (x * d/dy (x * y)) is 2x; PyTorch gives x, silently, unless the inner call has create_graph=True."""
    for inner in (
        lambda x: mg.vjp(lambda y: x * y, 1.0)[1],
        lambda x: mg.jvp(lambda y: x * y, 1.0, 1.0)[1],
        lambda x: mg.jacobian(lambda y: x * y, 1.0),
        lambda x: mg.hvp(lambda y: x * y * y / 2, 1.0, 1.0)[1],
        lambda x: mg.hessian(lambda y: x * y * y / 2, 1.0),
        lambda x: mg.hvp(lambda y: y * y / 2, 1.0, x)[1],  # v is outside, too
        lambda x: mg.jvp(lambda y: y, 1.0, x)[1],
        lambda x: mg.vjp(lambda y: y, 1.0, x)[1],
    ):
        outer = lambda x, inner=inner: x * inner(x)  # noqa: E731
        np.testing.assert_allclose(mg.jacobian(outer, 3.0), 6)
        np.testing.assert_allclose(mg.vjp(outer, 3.0)[1], 6)
        np.testing.assert_allclose(mg.jvp(outer, 3.0, 1.0)[1], 6)


def test_create_graph() -> None:
    w, x = mg.tensor([2.0, 3.0], requires_grad=True), mg.tensor([1.0, 5.0])
    f = lambda t: (w * t * t).sum()  # noqa: E731
    calls = {
        "vjp": lambda **o: mg.vjp(f, x, **o)[1],
        "jvp": lambda **o: mg.jvp(f, x, x, **o)[1],
        "hvp": lambda **o: mg.hvp(f, x, x, **o)[1],
        "jacobian": lambda **o: mg.jacobian(f, x, **o),
        "hessian": lambda **o: mg.hessian(f, x, **o),
    }
    for name, call in calls.items():
        assert call().requires_grad, name
        assert not call(create_graph=False).requires_grad
        with mg.no_grad():
            assert not call().requires_grad
            assert call(create_graph=True).requires_grad
        np.testing.assert_array_equal(call().detach(), call(create_graph=False))
    out, product = mg.vjp(f, x)
    assert out.requires_grad
    product.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * x.numpy())
    assert not mg.vjp(f, x, create_graph=False)[0].requires_grad


def test_a_freed_graph_outside_is_outside_all_the_same() -> None:
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    y = w * w
    y.sum().backward()
    product = mg.vjp(lambda t: (t * t * y).sum(), mg.ones(2))[1]
    with pytest.raises(RuntimeError, match="already freed"):
        product.sum().backward()  # a gradient for w is asked for, so its absence is not silent


def test_results_without_anything_outside_are_plain_and_can_be_written_to() -> None:
    x, w = mg.tensor([1.0, 2.0]), mg.tensor(3.0, requires_grad=True)
    out, product = mg.vjp(lambda t: t * 2, x, x)
    out[0] = product[0] = 9
    assert x.tolist() == [1, 2]
    x[0] = 5  # nothing that was computed keeps it from being written to
    (plain, kept), _ = mg.vjp(lambda t: (t * 2, t * w), x, (x, x))
    assert not plain.requires_grad
    assert kept.requires_grad


def test_a_later_change_of_the_input_does_not_reach_the_graph() -> None:
    w, x = mg.tensor([2.0, 3.0], requires_grad=True), mg.tensor([1.0, 5.0])
    product = mg.vjp(lambda t: (w * t[:2] * t).sum(), x)[1]
    x[...] = 0
    product.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [2, 10])


def test_an_output_that_is_a_constant_or_a_view_of_a_parameter() -> None:
    w = mg.tensor([2.0, 3.0], requires_grad=True)
    with mg.no_grad():
        out, product = mg.vjp(lambda t: w[:1], mg.ones(3), [1.0])
    assert not out.requires_grad
    assert product.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="shares its memory with one that requires a gradient"):
        out[0] = 5
    constant = mg.ones(1)
    assert mg.vjp(lambda t: constant, mg.ones(3))[0] is constant


def test_tuples_stay_tuples() -> None:
    x = np.array([1.0, 2.0])
    one = (x,)
    assert isinstance(mg.vjp(lambda t: t.sum(), one)[1], tuple)
    assert isinstance(mg.vjp(lambda t: (t.sum(),), x)[0], tuple)
    assert isinstance(mg.jvp(lambda t: (t,), x, x)[1], tuple)
    assert isinstance(mg.jvp(lambda t: t, one, one)[1], mg.Tensor)
    assert isinstance(mg.hvp(lambda t: t.sum(), one, one)[1], tuple)
    assert isinstance(mg.jacobian(lambda t: (t,), one)[0][0], mg.Tensor)
    assert isinstance(mg.hessian(lambda t: t.sum(), one)[0][0], mg.Tensor)
    assert mg.jacobian(lambda: mg.ones(2), ()) == ()
    assert mg.vjp(lambda: mg.ones(()), ())[1] == ()


def test_v_may_be_left_out_for_one_element_and_has_any_dtype() -> None:
    assert mg.jvp(lambda t: t * t, 3.0)[1].item() == 6
    assert mg.hvp(lambda t: t**3, 3.0)[1].item() == 18
    assert mg.vjp(lambda t: t * t, 3.0)[1].item() == 6
    x = mg.tensor([1.0, 2.0], dtype="float64")
    assert mg.vjp(mg.exp, x, mg.tensor([1, 2]))[1].dtype == "float64"
    assert mg.jvp(mg.exp, x, [1.0, 2.0])[1].dtype == "float64"
    assert mg.jacobian(lambda t: t.astype("float32"), x).dtype == "float64"
    assert mg.jvp(lambda t: t.astype("float32"), x, x)[1].dtype == "float32"


def test_functions_of_a_parameter_only_give_zeros() -> None:
    w, x = mg.ones(2, requires_grad=True), np.ones(3)
    f = lambda t: (w * w).sum()  # noqa: E731
    for zeros, shape in (
        (mg.vjp(f, x)[1], (3,)),
        (mg.jvp(f, x, x)[1], ()),
        (mg.hvp(f, x, x)[1], (3,)),
        (mg.jacobian(f, x), (3,)),
        (mg.hessian(f, x), (3, 3)),
    ):
        assert zeros.shape == shape
        assert (zeros == 0).all()


def test_works_inside_no_grad_and_keeps_dtype_and_device() -> None:
    with mg.no_grad():
        assert mg.jacobian(lambda t: t * 2, mg.ones(2)).dtype == np.float32
    with fake_cupy.install():
        x = mg.tensor([1.0, 2.0], device="cuda")
        for result in (
            mg.jacobian(mg.exp, x),
            mg.hessian(lambda t: (t**3).sum(), x),
            mg.jvp(mg.exp, x, x)[1],
            mg.vjp(mg.exp, x, x)[1],
            mg.hvp(lambda t: (t**3).sum(), x, x)[1],
        ):
            assert result.device == "cuda"
            assert result.dtype == np.float32


def test_empty_inputs_and_outputs() -> None:
    assert mg.jacobian(lambda t: t * 2, np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert mg.jacobian(lambda t: t[:0], np.zeros(3)).shape == (0, 3)
    empty = np.zeros((0, 2))
    assert mg.jacobian(lambda t: t.sum(), empty).shape == (0, 2)
    assert mg.hessian(lambda t: (t * t).sum(), empty).shape == (0, 2, 0, 2)
    assert mg.hvp(lambda t: (t * t).sum(), empty, empty)[1].shape == (0, 2)
    assert mg.jvp(lambda t: t * t, empty, empty)[1].shape == (0, 2)
    assert mg.vjp(lambda t: t * t, empty, empty)[1].shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: mg.jacobian(mg.exp, np.array([1])), TypeError, r"inputs\[0\] must be floating .* got int64"),
        (
            lambda: mg.jacobian(lambda t: 3, np.ones(1)),
            TypeError,
            "must return a Tensor or a tuple of Tensors, got",
        ),
        (lambda: mg.vjp(mg.exp, np.ones(2)), ValueError, r"v may be left out for .*; they have shape \(2,\): pass"),
        (lambda: mg.vjp(mg.exp, np.ones(2), np.ones(3)), ValueError, r"v\[0\] has shape \(3,\), but outputs\[0\] has"),
        (lambda: mg.jvp(mg.add, (np.ones(2), np.ones(2)), np.ones(2)), ValueError, "must hold 2 vectors, .* got 1"),
        (
            lambda: mg.hvp(mg.exp, np.ones(2), np.ones(2)),
            ValueError,
            r"hvp needs a func that returns one element, got shape",
        ),
        (lambda: mg.hessian(lambda t: (t, t), np.ones(1)), ValueError, "hessian needs .* got 2 outputs: sum it, or"),
        (
            lambda: mg.jacobian(mg.add, [np.ones(1), np.ones(1)]),
            TypeError,
            r"inputs must be a Tensor or array, or a tuple of them, got a list: use tuple\(inputs\)",
        ),
        (
            lambda: mg.jvp(lambda t: t > 0, np.ones(1)),
            TypeError,
            r"outputs\[0\] of func must be floating to be differentiated, got bool",
        ),
        (lambda: mg.jacobian(lambda t: [t], np.ones(1)), TypeError, "a tuple of Tensors, got list"),
    ],
)
def test_errors(call: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_v_on_another_device() -> None:
    with fake_cupy.install():
        x = mg.tensor([1.0, 2.0], device="cuda")
        with pytest.raises(
            ValueError, match=r"v\[0\] is on cpu, but inputs\[0\] is on cuda: move it with .to\('cuda'\)"
        ):
            mg.jvp(mg.exp, x, mg.ones(2))
        assert mg.jvp(mg.exp, x, [1.0, 0.0])[1].device == "cuda"
