"""autocast: which precision each op is called in, and that gradients of every order come back right from there."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autocast import CLASS_OF, CLASSES
from minigrad.contract import REGISTRY
from tests.cudaemu import fake_cupy

F16, F32, F64 = (np.dtype(name) for name in ("float16", "float32", "float64"))


def half(*shape: int) -> mg.Tensor:
    return mg.tensor(0.25 + np.arange(np.prod(shape)).reshape(shape) / 64).to(F16)


def single(*shape: int) -> mg.Tensor:
    return half(*shape).to(F32)


def leaf(*shape: int) -> mg.Tensor:
    return single(*shape).requires_grad_()


# ---- the classes of ops ----------------------------------------------------------------------------------------------


def test_every_op_has_exactly_one_class() -> None:
    names = [name for names in CLASSES.values() for name in names.split()]
    assert sorted(names) == sorted(REGISTRY)
    for name, op in REGISTRY.items():
        assert op.precision == (None if CLASS_OF[name] == "same" else CLASS_OF[name])


@pytest.mark.parametrize(
    ("call", "expected"),
    {
        "matmul": (lambda: single(2, 3) @ leaf(3, 2), F16),
        "matmul with an array": (lambda: single(2, 3) @ single(3, 2).numpy(), F16),
        "matmul in double": (lambda: single(2, 3) @ single(3, 2).to(F64), F64),
        "matmul of integers": (lambda: mg.ones((2, 3), dtype="int64") @ mg.ones((3, 2), dtype="int64"), np.int64),
        "einsum": (lambda: mg.einsum("ij,jk->ik", single(2, 3), half(3, 2)), F16),
        "conv": (lambda: mg.conv(single(1, 2, 5), leaf(3, 2, 2), leaf(3)), F16),
        "conv of a list": (lambda: mg.conv([[[1.0, 2.0]]], leaf(3, 1, 2)), F64),
        "conv_transpose": (lambda: mg.conv_transpose1d(half(1, 2, 5), leaf(2, 3, 2), bias=leaf(3)), F16),
        "conv_local": (lambda: mg.conv_local(single(1, 2, 3), leaf(2, 3, 2, 2), leaf(3)), F16),
        "prelu": (lambda: mg.prelu(single(2, 3), leaf(3)), F16),
        "linear": (lambda: nn.Linear(3, 2)(half(4, 3)), F16),
        "linear of an array": (lambda: nn.Linear(3, 2)(single(4, 3).numpy()), F16),
        "bilinear": (lambda: nn.Bilinear(3, 2, 2)(half(4, 3), half(4, 2)), F32),
        "tensordot of halves": (lambda: mg.tensordot(half(2, 3), half(3, 2), 1), F16),
        "tensordot": (lambda: mg.tensordot(half(2, 3), single(3, 2), 1), F32),
        "exp": (lambda: mg.exp(half(2)), F32),
        "power": (lambda: half(2) ** 2, F32),
        "sum": (lambda: half(2).sum(), F32),
        "mean": (lambda: half(2).mean(), F16),
        "softmax": (lambda: mg.softmax(half(2, 3)), F32),
        "cross entropy": (lambda: mg.cross_entropy(half(2, 3), mg.tensor([0, 1])), F32),
        "loss as a module": (lambda: nn.MSELoss()(half(2, 3), target=single(2, 3)), F32),
        "layer norm": (lambda: nn.LayerNorm(3)(half(2, 3)), F32),
        "RMS norm": (lambda: nn.RMSNorm(3)(half(2, 3)), F32),
        "group norm": (lambda: nn.GroupNorm(1, 3)(half(2, 3)), F32),
        "instance norm": (lambda: nn.InstanceNorm1d(2, affine=True)(half(2, 2, 3)), F16),
        "batch norm": (lambda: nn.BatchNorm1d(3)(half(2, 3)), F16),
        "batch norm and a residual": (lambda: nn.BatchNorm1d(3)(half(2, 3), residual=single(2, 3)), F16),
        "interpolate": (lambda: mg.interpolate(half(1, 1, 2), 4, mode="linear"), F32),
        "response norm": (lambda: mg.local_response_norm(half(1, 3, 3), 3, region="within"), F32),
        "1/x": (lambda: 1 / half(2), F32),
        "x/2": (lambda: half(2) / 2, F16),
        "x/y": (lambda: half(2) / single(2), F32),
        "add": (lambda: half(2) + single(2), F32),
        "scatter_add": (lambda: mg.index_add(half(3), single(1), [0]), F32),
        "scatter_add of halves": (lambda: mg.index_add(half(3), half(1), [0]), F16),
        "concatenate": (lambda: mg.concatenate([half(2), single(2)]), F32),
        "relu": (lambda: mg.relu(half(2)), F16),
        "mish": (lambda: nn.Mish()(half(2)), F16),
        "max_pool": (lambda: mg.max_pool(half(1, 1, 4), 2), F16),
        "avg_pool": (lambda: mg.avg_pool(single(1, 1, 4), 2), F32),
    }.values(),
)
def test_dtype_of_the_result(call: object, expected: np.dtype) -> None:
    with mg.autocast():
        assert call().dtype == expected


def test_no_tensor_means_no_cast() -> None:
    x = np.ones((2, 2), np.float32)
    with mg.autocast():
        assert mg.matmul(x, x).dtype == F32
        assert mg.tensordot(x, x, 1).dtype == F32


def test_values_are_those_of_the_casts_by_hand() -> None:
    x, w, b, t = single(4, 3), leaf(2, 3), leaf(2), mg.tensor([0, 1, 1, 0])
    layer = nn.Linear(3, 2)
    layer.load_state_dict({"weight": w, "bias": b})
    with mg.autocast():
        loss = mg.cross_entropy(mg.relu(layer(x)), t)
    by_hand = mg.cross_entropy(mg.relu(x.to(F16) @ w.to(F16).T + b.to(F16)).to(F32), t)
    assert loss.item() == by_hand.item()
    loss.backward()
    by_hand.backward()
    for found, expected in ((layer.weight.grad, w.grad), (layer.bias.grad, b.grad)):
        assert found.dtype == F32
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_gradients_of_several_uses_are_added_in_float32() -> None:
    w = mg.ones((1, 1), requires_grad=True)
    with mg.autocast():
        y = (mg.ones((1, 1)) * 2048 @ w).sum() + (mg.ones((1, 1)) @ w).sum()
    y.backward()
    assert w.grad.item() == 2049  # not a number of float16


def test_a_loss_beyond_float16_stays_finite() -> None:
    x = mg.tensor(np.full((1, 2), 300.0)).to(F16).requires_grad_()
    with mg.autocast():
        assert nn.MSELoss()(x, mg.zeros((1, 2))).item() == 90000
    assert mg.isinf(nn.MSELoss()(x, mg.zeros((1, 2)))).item()


# ---- the scope -------------------------------------------------------------------------------------------------------


def product() -> np.dtype:
    return (single(2, 2) @ single(2, 2)).dtype


def test_it_holds_inside_and_in_this_thread_only() -> None:
    assert not mg.is_autocast_enabled()
    found = []
    with mg.autocast("float16"):
        assert mg.is_autocast_enabled()
        thread = threading.Thread(target=lambda: found.append(product()))
        thread.start()
        thread.join()
        with mg.autocast(enabled=False):
            assert (product(), mg.is_autocast_enabled()) == (F32, False)
            with mg.autocast(dtype=np.float16):
                assert product() == F16
        assert product() == F16
        with pytest.raises(ZeroDivisionError), mg.autocast(enabled=False):
            raise ZeroDivisionError
        assert product() == F16
    assert (found, product()) == ([F32], F32)


def test_as_a_decorator() -> None:
    assert mg.autocast(product)() == mg.autocast()(product)() == mg.autocast(dtype="float16")(product)() == F16
    with mg.autocast():
        assert mg.autocast(enabled=False)(product)() == F32
    assert mg.autocast(product).__name__ == "product"
    with pytest.raises(TypeError, match=r"autocast cannot decorate later, whose body runs after the call returns"):

        @mg.autocast()
        def later() -> object:
            yield


@pytest.mark.parametrize(
    ("dtype", "error", "text"),
    [
        ("bfloat16", TypeError, "autocast to bfloat16 needs tensors that hold it, and NumPy has no such dtype"),
        ("float32", ValueError, r"dtype must be 'float16', got 'float32': autocast\(enabled=False\) computes in"),
        ("cuda", ValueError, "dtype must be 'float16', got 'cuda'"),
        (None, ValueError, "dtype must be 'float16', got None"),
    ],
)
def test_other_dtypes(dtype: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        mg.autocast(dtype)
    with mg.autocast(dtype, enabled=False):
        assert product() == F32


def test_bfloat16_of_ml_dtypes() -> None:
    with pytest.raises(TypeError, match="autocast to bfloat16"):
        mg.autocast(type("bfloat16", (), {}))


def test_a_failure_inside_a_function_of_several_ops_leaves_autocast_on() -> None:
    with mg.autocast():
        with pytest.raises(ValueError, match="x has 2 channels"):
            mg.conv_transpose(half(1, 2, 5), leaf(3, 3, 2))
        assert product() == F16


# ---- copies of parameters --------------------------------------------------------------------------------------------


def copies(monkeypatch: pytest.MonkeyPatch) -> list:
    """Notes every copy of a parameter that is made."""
    made: list = []
    module = sys.modules["minigrad.autocast"]  # the name minigrad.autocast is the class
    wrap = module.wrap

    def noted(array: np.ndarray, node: object, version: object) -> mg.Tensor:
        made.append(node)
        return wrap(array, node, version)

    monkeypatch.setattr(module, "wrap", noted)
    return made


def test_a_parameter_is_cast_once_in_a_region_and_again_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    made, w, x = copies(monkeypatch), leaf(2, 2), single(2, 2)
    with mg.autocast():
        for _ in range(3):
            x @ w
        with mg.autocast():
            x @ w
        with mg.no_grad():
            x @ w
            assert len(made) == 1
            w += 1
        after = x @ w
        assert len(made) == 2
    np.testing.assert_array_equal(after.detach().numpy(), (x.to(F16) @ w.detach().to(F16)).numpy())
    with mg.autocast():
        x @ w
    assert len(made) == 3


def test_an_optimizer_step_inside_a_region_counts() -> None:
    layer = nn.Linear(2, 1, bias=False)
    optimizer = nn.optim.SGD(layer.parameters(), lr=1.0)
    with mg.autocast():
        before = layer(mg.ones((1, 2)))
        before.sum().backward()
        optimizer.step()
        after = layer(mg.ones((1, 2)))
    assert before.item() - after.item() == pytest.approx(2, abs=2e-3)


def test_a_cast_made_under_no_grad_does_not_lose_gradients() -> None:
    w = leaf(2, 2)
    with mg.autocast():
        with mg.no_grad():
            single(2, 2) @ w
        (single(2, 2) @ w).sum().backward()
    assert w.grad is not None


def test_several_graphs_share_a_copy() -> None:
    w, x = leaf(2, 2), single(2, 2)
    with mg.autocast():
        first, second = (x @ w).sum(), (x @ w).sum()
        first.backward()
        second.backward()  # the first freed its own graph, not the copy
        (x @ w).sum().backward()
    by_hand = x.to(F16).numpy().astype(F32).sum(0)[:, None] * np.ones((1, 2))
    np.testing.assert_allclose(w.grad.numpy(), 3 * by_hand, rtol=1e-3)


def test_copies_go_with_the_region_and_with_the_parameter() -> None:
    gc.disable()
    try:
        w, kept = leaf(2, 2), leaf(2, 2)
        with mg.autocast():
            single(2, 2) @ w
            single(2, 2) @ kept
            copies = mg.gradmode.mode.autocast._copies
            half_of_kept = weakref.ref(copies[id(kept)].half)
            gone = weakref.ref(w)
            assert len(copies) == 2
            del w
            assert gone() is None
            assert list(copies) == [id(kept)]
            del copies
        assert half_of_kept() is None
    finally:
        gc.enable()


def test_freezing_and_thawing_a_parameter() -> None:
    w = leaf(2, 2)
    with mg.autocast():
        single(2, 2) @ w
        w.requires_grad_(False)
        assert not (single(2, 2) @ w).requires_grad
        w.requires_grad_()
        (single(2, 2) @ w).sum().backward()
    assert w.grad is not None


def test_a_change_before_backward_is_noticed() -> None:
    w, x = leaf(2, 2), leaf(2, 2)
    with mg.autocast():
        y = x @ w
    with mg.no_grad():
        w += 1
    with pytest.raises(RuntimeError, match=r"matmul saved its argument 'y' .* was changed in place at .*test_autocast"):
        y.sum().backward()


# ---- derivatives -----------------------------------------------------------------------------------------------------


def network(x: mg.Tensor, w: mg.Tensor, v: mg.Tensor) -> mg.Tensor:
    h = mg.tanh(mg.conv(x, w, padding=1))
    return mg.logsumexp(h.reshape(x.shape[0], -1) @ v, 1).sum()


def small(rng: np.random.Generator) -> list[mg.Tensor]:
    shapes = ((2, 2, 5), (3, 2, 3), (15, 4))
    return [mg.tensor(0.5 * rng.standard_normal(s).astype(np.float32), requires_grad=True) for s in shapes]


@pytest.mark.parametrize("inside", [True, False])
def test_second_derivatives(inside: bool) -> None:
    """A gradient penalty: close to float32, in float32, and the same whether backward runs inside the region or not."""
    found = []
    for enabled, within in ((False, False), (True, inside), (True, not inside)):
        x, w, v = small(np.random.default_rng(1))
        with mg.autocast(enabled=enabled):
            y = network(x, w, v)
        with mg.autocast(enabled=within and enabled):
            (g,) = mg.grad(y, x, create_graph=True)
            assert g.dtype == F32
        penalty = (g * g).sum()
        penalty.backward()
        found.append([t.grad.numpy() for t in (x, w, v)])
        assert {t.grad.dtype for t in (x, w, v)} == {F32}
    for exact, first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, exact, atol=1e-2 * abs(exact).max())


def test_checkpoint_runs_again_in_the_precision_of_the_first_time() -> None:
    found = []
    for use in (lambda f, *a: f(*a), mg.checkpoint):
        x, w, v = small(np.random.default_rng(2))
        with mg.autocast():
            mg.conv(x, w)  # a copy that the first run finds and the second makes
            y = use(network, x, w, v)
        y.backward()
        found.append([y.item(), *(t.grad.tolist() for t in (x, w, v))])
    assert found[0] == found[1]
    x, w, v = small(np.random.default_rng(2))
    y = mg.checkpoint(network, x, w, v)
    with mg.autocast():
        y.backward()  # the first run was outside
    assert x.grad is not None


def test_checkpoint_notices_a_parameter_that_changed() -> None:
    x, w, v = small(np.random.default_rng(2))
    with mg.autocast():
        y = mg.checkpoint(network, x, w, v)
    with mg.no_grad():
        w += 1
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_functional_derivatives() -> None:
    x, w, v = small(np.random.default_rng(3))
    u = mg.tensor(np.random.default_rng(4).standard_normal(w.shape).astype(np.float32))

    def f(t: mg.Tensor) -> mg.Tensor:
        return network(x.detach(), t, v.detach())

    _, gradient = mg.vjp(f, w.detach())
    terms = abs(gradient.numpy() * u.numpy()).sum()  # they cancel in their sum, their errors do not
    for derivative, size in ((mg.jvp, terms), (mg.hvp, None)):
        exact = derivative(f, w.detach(), u)[1].numpy()
        with mg.autocast():
            found = derivative(f, w.detach(), u)[1]
        assert found.dtype == F32
        np.testing.assert_allclose(found.numpy(), exact, atol=4e-3 * (size or abs(exact).max()))
    with mg.autocast():
        y, g = mg.vjp(lambda t: t @ t, single(2, 2), half(2, 2))
    assert (y.dtype, g.dtype) == (F16, F32)


def test_gradients_of_a_network_against_float32() -> None:
    x, w, v = small(np.random.default_rng(5))
    network(x, w, v).backward()
    exact = [t.grad.numpy() for t in (x, w, v)]
    x, w, v = small(np.random.default_rng(5))
    with mg.autocast():
        network(x, w, v).backward()  # PyTorch advises against it: here it changes nothing
    for t, e in zip((x, w, v), exact, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), e, atol=4e-3 * abs(e).max())


def test_anomaly_mode_names_the_cast_that_overflowed() -> None:
    big = mg.tensor([[1e5]], requires_grad=True) * 1.0
    with np.errstate(all="ignore"), mg.autocast(), mg.detect_anomaly():
        with pytest.raises(FloatingPointError, match=r"astype produced 1 inf \(float16\[1, 1\]\) at .*test_autocast"):
            big @ single(1, 1)
        assert (single(2, 2) @ leaf(2, 2)).dtype == F16


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_running_statistics_stay_float32_and_are_those_of_the_halves() -> None:
    bn, x = nn.BatchNorm1d(2), half(4, 2)
    with mg.autocast():
        bn(x)
    assert bn.running_mean.dtype == bn.running_var.dtype == F32
    np.testing.assert_allclose(bn.running_mean.numpy(), 0.1 * x.numpy().astype(F32).mean(0), rtol=1e-6)


def test_gradients_of_batch_norm_do_not_pass_through_float16() -> None:
    bn = nn.BatchNorm1d(1)
    with mg.autocast():
        y = bn(half(4, 1))
    y.backward(np.full((4, 1), 60000, F16))
    assert bn.bias.grad.item() == 240000  # beyond float16


def test_binary_cross_entropy_of_probabilities_is_refused() -> None:
    p, t = half(2, 2), single(2, 2)
    with mg.autocast():
        with pytest.raises(RuntimeError, match=r"BCELoss is not safe under autocast: .* Use BCEWithLogitsLoss"):
            nn.BCELoss()(p, t)
        with mg.autocast(enabled=False):
            nn.BCELoss()(p.to(F32), t)
        assert nn.BCEWithLogitsLoss()(p, t).dtype == F32


# ---- on the device ---------------------------------------------------------------------------------------------------


def test_on_the_device_as_on_the_cpu() -> None:
    with fake_cupy.install():
        found = []
        for device in ("cpu", "cuda"):
            mg.manual_seed(0)
            net = nn.Sequential(
                nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3)
            ).to(device)
            x = mg.tensor(np.random.default_rng(0).standard_normal((4, 2, 4, 4)).astype("f4"), device=device)
            with mg.autocast():
                loss = nn.CrossEntropyLoss()(net(x), mg.tensor([0, 1, 2, 0], device=device))
            loss.backward()
            assert {(p.grad.dtype, p.grad.device) for p in net.parameters()} == {(F32, device)}
            found.append([loss.item(), *(p.grad.to("cpu").numpy() for p in net.parameters())])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, atol=4e-3 * max(np.abs(a).max(), 0.1))
