"""Tensor: making one, reading it, and the one door through which it changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg

# ---- making ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"),
        (1.5, "float32"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([[1.0], [2]], "float32"),
        ([], "float32"),
        (np.float64(2), "float64"),
        (np.ones(2, "float16"), "float16"),
        (np.ones(2, "uint8"), "uint8"),
        ([np.float64(1)], "float64"),
    ],
)
def test_dtype_of_a_new_tensor(data: object, dtype: str) -> None:
    assert mg.tensor(data).dtype == dtype
    assert mg.tensor(data, dtype="float64").dtype == "float64"


def test_tensor_copies_and_asarray_shares() -> None:
    a = np.zeros(2)
    copied, shared = mg.tensor(a), mg.asarray(a)
    a[0] = 5
    assert copied.tolist() == [0, 0]
    assert shared.tolist() == [5, 0]
    t = mg.tensor([1.0])
    assert mg.asarray(t) is t
    assert mg.tensor(t) is not t


def test_creation_functions() -> None:
    assert mg.zeros(2).tolist() == [0, 0]
    assert mg.ones((1, 2), requires_grad=True).requires_grad
    assert mg.full((2,), 7, dtype="int32").dtype == "int32"
    assert mg.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert mg.arange(2.0).dtype == np.float32


@pytest.mark.parametrize("data", [1j, [1 + 2j], "text", [None], np.array([1], "complex64"), np.longdouble(1), object()])
def test_only_real_numbers(data: object) -> None:
    with pytest.raises(TypeError, match="tensors hold float16, float32, float64, integers or bool; got"):
        mg.tensor(data)


def test_bad_dtypes_and_ragged_lists() -> None:
    with pytest.raises(TypeError, match="got complex64"):
        mg.zeros(2).to("complex64")
    with pytest.raises(TypeError, match="'float33' is neither a dtype nor a device"):
        mg.zeros(2).to("float33")
    with pytest.raises(ValueError, match="nested lists must have even lengths"):
        mg.tensor([[1.0], [2.0, 3.0]])


def test_only_floats_require_a_gradient() -> None:
    with pytest.raises(TypeError, match=r"only floating tensors can require a gradient, got dtype int64: convert it"):
        mg.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="got dtype bool"):
        mg.tensor([True]).requires_grad_()
    with pytest.raises(TypeError, match="got complex128"):
        mg.tensor([1j], requires_grad=True)


def test_requires_grad_changes_on_leaves_only() -> None:
    x = mg.ones(2)
    x.requires_grad = True
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    with pytest.raises(RuntimeError, match=r"leaves only; this tensor is the output of multiply: use .detach\(\)"):
        y.requires_grad_(False)
    x.requires_grad_(False)
    assert not (x * 2).requires_grad


# ---- reading --------------------------------------------------------------------------------------------------------


def test_repr() -> None:
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(mg.tensor([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(mg.tensor([1.0], requires_grad=True).exp()) == f"tensor({np.exp(np.ones(1, 'f'))}, op=exp)"
    assert repr(mg.tensor([1], dtype="int8")) == "tensor([1], dtype=int8)"
    assert repr(mg.tensor(True)) == "tensor(True)"
    assert f"{mg.tensor(1.23456):.2f}" == "1.23"
    assert f"{mg.tensor([1.0])}" == "tensor([1.])"


def test_item() -> None:
    assert mg.tensor([[3]]).item() == 3
    assert type(mg.tensor(2.0).item()) is float
    with pytest.raises(ValueError, match=r"item\(\) needs a tensor of one element, this one has shape \(2,\)"):
        mg.ones(2).item()


def test_conversions_to_python() -> None:
    assert float(mg.tensor(2.5)) == 2.5
    assert int(mg.tensor(2.5)) == 2
    assert bool(mg.tensor(0.0)) is False
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert [t.item() for t in mg.arange(3)] == [0, 1, 2]
    assert 2 in mg.arange(3)
    assert 5 not in mg.arange(3)
    assert len(mg.ones((4, 2))) == 4
    with pytest.raises(TypeError, match="only an integer tensor can be an index"):
        [1][mg.tensor(0.0)]
    with pytest.raises(TypeError, match=r"len\(\) of a tensor with no axes"):
        len(mg.tensor(1.0))
    with pytest.raises(ValueError, match=r"truth value of a tensor of shape \(2,\) is ambiguous"):
        bool(mg.ones(2))


def test_numpy_is_a_read_only_view() -> None:
    x = mg.ones(2, requires_grad=True)
    view = x.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    with mg.no_grad():
        x[0] = 7
    assert view.tolist() == [7, 1]


def test_array_conversion_never_loses_a_gradient_silently() -> None:
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"would lose the gradient silently: use .detach\(\)"):
        np.asarray(x)
    assert np.asarray(x.detach()).tolist() == [1, 1]
    copied = np.array(x.detach(), dtype="float64")
    copied[0] = 3
    assert x.tolist() == [1, 1]
    with pytest.raises(ValueError, match="copy=False forbids"):
        np.asarray(x.detach(), dtype="float64", copy=False)


def test_comparisons_give_boolean_tensors_and_tensors_hash_by_identity() -> None:
    a, b = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 3.0])
    assert (a == b).tolist() == [True, False]
    assert (a != b).tolist() == [False, True]
    assert ((a < b) | (a >= b)).tolist() == [True, True]
    assert ((a <= b) & ~(a > b)).tolist() == [True, True]
    assert ((a < b) ^ (a <= b)).tolist() == [True, False]
    assert (True & (a < b)).tolist() == [False, True]
    assert len({a, b, a}) == 2
    with pytest.raises(TypeError, match="& combines boolean tensors, as comparisons give them; got float32"):
        a & b


# ---- the mutation door ----------------------------------------------------------------------------------------------


def test_tensors_without_gradients_change_freely() -> None:
    x = mg.zeros((2, 2))
    x[0] = 1.0
    x[1, mg.tensor([0])] = mg.tensor([5.0])
    x += 1
    x -= mg.ones((2, 2)) * 0.5
    x *= 2
    x /= 4
    assert x.tolist() == [[0.75, 0.75], [2.75, 0.25]]
    assert x.copy_(3.0).tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.__setitem__(0, 1.0),
        lambda t: t.copy_(1.0),
        lambda t: t.__iadd__(1.0),
        lambda t: t.__isub__(1.0),
        lambda t: t.__imul__(2.0),
        lambda t: t.__itruediv__(2.0),
    ],
)
def test_writing_to_a_tensor_in_a_graph_raises(write: object) -> None:
    x = mg.ones(2, requires_grad=True)
    plain = mg.ones(2)
    view_made_before = plain[:1]
    plain.requires_grad_()
    with mg.no_grad():
        view_made_without_grad = x[:1]
    for t in (x, x * 2, x[:1], x.reshape(2, 1)):
        with pytest.raises(
            RuntimeError, match=r"cannot write .* that requires a gradient: .* t.at\(index\).set\(value\)"
        ):
            write(t)
    for t in (x.detach(), view_made_before, view_made_without_grad):
        with pytest.raises(RuntimeError, match="shares its memory with one that requires a gradient"):
            write(t)
    assert x.tolist() == [1, 1]
    with mg.no_grad():
        write(x)
    x.detach().copy()[0] = 9  # a copy is nobody else's


def test_the_case_that_version_checks_alone_miss() -> None:
    x = mg.ones(2, requires_grad=True)
    y = x * 2
    with pytest.raises(RuntimeError, match="cannot write"):
        y[0] = 0
    (y * 3).sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_a_mutated_saved_tensor_is_named_with_the_line_that_changed_it() -> None:
    x, w = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    y = x * w
    with mg.no_grad():
        w += 1  # this line
    with pytest.raises(
        RuntimeError, match=r"multiply saved its argument 'y' of shape \(2,\) .* in place at .*test_tensor.py:\d+: go"
    ):
        y.sum().backward()


def test_a_mutated_output_is_noticed_through_a_view() -> None:
    x = mg.ones(2, requires_grad=True)
    y = mg.exp(x)
    with mg.no_grad():
        y.reshape(1, 2)[0, 0] = 5
    with pytest.raises(RuntimeError, match="exp saved its output of shape"):
        y.sum().backward()


def test_views_share_a_version_and_copies_do_not() -> None:
    x = mg.arange(6.0).reshape(2, 3)
    for view in (x[0], x[:, None], x.T, x.reshape(3, 2), x.expand_dims(0), x[None].squeeze(0), x.detach()):
        assert view.version is x.version
    for other in (x[[0]], x.copy(), x.T.reshape(6), x + 0, x[x > 1], x.astype("float64")):
        assert other.version is not x.version


def test_in_place_operators_rebind_nothing_else() -> None:
    x = mg.ones(2)
    same = x
    x += 1
    assert same is x
    y = mg.ones(2, requires_grad=True)
    y = y + 1
    assert y.requires_grad


def test_a_value_that_requires_a_gradient_cannot_be_written() -> None:
    x, v = mg.zeros(2), mg.ones((), requires_grad=True)
    with pytest.raises(RuntimeError, match="cannot write a value that requires a gradient into a tensor that does not"):
        x[0] = v
    with mg.no_grad():
        x[0] = v
    assert x.tolist() == [1, 0]


def test_differentiable_assignment() -> None:
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = mg.tensor([10.0, 20.0], requires_grad=True)
    y = x.at([0, 2]).set(v)
    z = y.at([0, 0]).add(v)
    assert y.tolist() == [10, 2, 20]
    assert z.tolist() == [40, 2, 20]
    (z * mg.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [0, 10, 0]
    assert v.grad.tolist() == [2, 101]
    assert x.tolist() == [1, 2, 3]


def test_assignment_keeps_the_dtype_and_refuses_to_lose_the_fraction() -> None:
    x = mg.arange(3)
    assert x.at(0).set(7).dtype == np.int64
    with pytest.raises(
        TypeError, match=r"cannot store float64 values in a tensor of int64: convert it with .to\('float64'\)"
    ):
        x.at(0).set(1.5)
    assert mg.ones(2).at(0).add(np.float64(1)).dtype == np.float32


# ---- axes, shapes, indices: errors that teach -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.sum(2), IndexError, r"axis 2 is out of range for shape \(2, 3\): valid axes are -2 to 1"),
        (lambda x: x.sum((0, -2)), ValueError, r"axis \(0, -2\) names an axis twice for shape \(2, 3\)"),
        (lambda x: x.sum(0.5), TypeError, "axis must be an integer, got 0.5"),
        (lambda x: mg.tensor(1.0).sum(0), IndexError, r"axis 0 is out of range for shape \(\): it has no axes"),
        (lambda x: mg.softmax(x, 3), IndexError, "axis 3 is out of range"),
        (lambda x: x.reshape(4, 2), ValueError, r"shape \(4, 2\) does not hold the 6 elements of shape \(2, 3\)"),
        (lambda x: x.reshape(-1, -1), ValueError, r"shape \(-1, -1\) does not hold the 6 elements"),
        (lambda x: x.reshape(-1, 4), ValueError, r"shape \(-1, 4\) does not hold the 6 elements"),
        (lambda x: x.permute(0), ValueError, r"axes \(0,\) must name each of the 2 axes of shape \(2, 3\) once"),
        (lambda x: x.squeeze(0), ValueError, r"only axes of size 1 can be squeezed; axis 0 of shape \(2, 3\) has 2"),
        (lambda x: x.broadcast_to((3, 2)), ValueError, r"shape \(2, 3\) does not broadcast to \(3, 2\)"),
        (lambda x: x.expand_dims(4), IndexError, "axis 4 is out of range"),
        (lambda x: mg.pad(x, -1), ValueError, "pad_width must hold integers of at least 0, got -1"),
        (lambda x: mg.pad(x, ((1, 2, 3),)), ValueError, "must be an int, a pair, or a pair for each of the 2 axes"),
        (lambda x: mg.concatenate([x], 2), IndexError, "axis 2 is out of range"),
        (lambda x: x[5], IndexError, "index 5 is out of bounds for axis 0 with size 2"),
        (lambda x: x[1.0], IndexError, "an index must hold integers or booleans, got float64"),
        (lambda x: x[mg.ones(2)], IndexError, "an index must hold integers or booleans, got float32"),
    ],
)
def test_errors(call: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call(mg.ones((2, 3)))


def test_indexing_with_tensors_lists_and_nothing() -> None:
    x = mg.arange(6).reshape(2, 3)
    assert x[mg.tensor([1, 0]), 0].tolist() == [3, 0]
    assert x[x > 3].tolist() == [4, 5]
    assert x[[]].shape == (0, 3)
    assert x[..., None].shape == (2, 3, 1)
    assert x[np.int64(1), mg.tensor(2)].item() == 5


def test_detached_copies_survive_deepcopy_of_constants() -> None:
    x = mg.tensor([1.0, 2.0])
    y = copy.copy(x)
    assert y.tolist() == [1, 2]
