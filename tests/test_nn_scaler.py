"""GradScaler: what it does to gradients, when a step is left out, and how the scale moves."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.nn.train import GradScaler
from tests.cudaemu import fake_cupy


def made(value: float = 1.0, **options: Any) -> tuple[mg.Tensor, nn.optim.Optimizer, GradScaler]:
    p = mg.tensor([value, value], requires_grad=True)
    return p, nn.optim.SGD([p], lr=1.0), GradScaler(**options)


def iterate(scaler: GradScaler, optimizer: nn.optim.Optimizer, p: mg.Tensor, bad: bool = False) -> None:
    """One step with the gradient (0.5, 0.5), or one that is not finite."""
    optimizer.zero_grad()
    scaler.scale((p * 0.5).sum()).backward()
    if bad:
        p.grad[1] = math.inf
    scaler.step(optimizer)
    scaler.update()


def test_scale_takes_tensors_in_any_nesting() -> None:
    scaler = GradScaler(init_scale=4.0)
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    assert scaler.scale(x).tolist() == [4, 8]
    scaled = scaler.scale([x, (x, x)])
    assert isinstance(scaled, list)
    assert isinstance(scaled[1], tuple)
    assert [t.tolist() for t in scaled[1]] == [[4, 8], [4, 8]]
    assert [t.tolist() for t in scaler.scale(t for t in (x, x))] == [[4, 8], [4, 8]]
    for wrong in (1.0, "loss", np.ones(2), [x, None]):
        with pytest.raises(TypeError, match="scale expects a Tensor or an iterable of them, got"):
            scaler.scale(wrong)


def test_a_float16_loss_becomes_float32_first() -> None:
    x = mg.tensor(2.0, dtype="float16", requires_grad=True)
    scaled = GradScaler().scale(x)
    assert (scaled.dtype, scaled.item()) == (np.float32, 131072)
    scaled.backward()
    assert x.grad.dtype == np.float16


def test_the_step_is_that_without_scaling() -> None:
    p, optimizer, scaler = made(init_scale=1024.0)
    iterate(scaler, optimizer, p)
    assert p.tolist() == [0.5, 0.5]
    assert p.grad.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_leaves_the_step_out(bad: float) -> None:
    p, optimizer, scaler = made(init_scale=8.0)
    q = mg.ones(3, requires_grad=True)
    optimizer.add_param_group({"params": [q]})
    scaler.scale((p.sum() + q.sum()) * 2).backward()
    q.grad[2] = bad
    assert scaler.step(optimizer) is None
    assert (p.tolist(), q.tolist()) == ([1, 1], [1, 1, 1])
    scaler.update()
    assert scaler.get_scale() == 4


def test_an_overflow_that_the_division_would_cause_is_not_one_of_the_loss() -> None:
    """As in PyTorch the gradients are judged as they arrive."""
    p, optimizer, scaler = made(init_scale=2.0**-10)
    scaler.scale(p.sum()).backward()
    p.grad = mg.tensor([1e38, 1.0])
    scaler.unscale_(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**-10
    assert p.grad.tolist() == [math.inf, 1024]


def test_the_scale_over_a_sequence_of_steps() -> None:
    p, optimizer, scaler = made(init_scale=16.0, growth_factor=4.0, backoff_factor=0.25, growth_interval=3)
    found = []
    for bad in [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]:
        iterate(scaler, optimizer, p, bool(bad))
        found.append(scaler.get_scale())
    #        two, and then not the third; three in a row; three more; two overflows
    assert found == [16, 16, 4, 4, 4, 16, 16, 16, 64, 16, 4]
    assert p.tolist() == [1 - 8 * 0.5] * 2


def test_the_scale_does_not_grow_beyond_float32() -> None:
    p, optimizer, scaler = made(init_scale=2.0**126, growth_interval=1)
    for expected in (2.0**127, 2.0**127):
        scaler.scale((p * 1e-30).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == expected


def test_clipping_between_unscale_and_step() -> None:
    p, optimizer, scaler = made(init_scale=1024.0)
    scaler.scale((p * mg.tensor([3.0, 4.0])).sum()).backward()
    scaler.unscale_(optimizer)
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 5
    scaler.step(optimizer)
    np.testing.assert_allclose(p.detach().numpy(), [0.4, 0.2], rtol=1e-5)


def test_accumulation_over_several_backward_passes() -> None:
    p, optimizer, scaler = made(init_scale=64.0)
    for _ in range(3):
        scaler.scale(p.sum() / 3).backward()
    scaler.step(optimizer)
    np.testing.assert_allclose(p.detach().numpy(), [0, 0], atol=1e-6)


def test_several_optimizers_have_one_scale_and_steps_of_their_own() -> None:
    p, first, scaler = made(init_scale=8.0)
    q = mg.ones(1, requires_grad=True)
    second = nn.optim.SGD([q], lr=1.0)
    scaler.scale(p.sum() + q.sum()).backward()
    q.grad = mg.tensor([math.nan])
    scaler.unscale_(first)
    scaler.step(second)
    scaler.step(first)
    scaler.update()
    assert (p.tolist(), q.tolist(), scaler.get_scale()) == ([0, 0], [1], 4)


def test_what_a_step_returns_and_passes_on() -> None:
    class Told(nn.optim.SGD):
        def step(self, closure: Any = None, *, word: str = "") -> Any:
            super().step(closure)
            return word

    p, _, scaler = made()
    optimizer = Told([p])
    scaler.scale(p.sum()).backward()
    assert scaler.step(optimizer, word="done") == "done"


def test_a_disabled_scaler_does_nothing() -> None:
    p, optimizer, scaler = made(enabled=False)
    loss = p.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)
    scaler.step(optimizer, lambda: None)
    scaler.update()
    assert (p.tolist(), scaler.get_scale(), scaler.is_enabled(), scaler.state_dict()) == ([0, 0], 1.0, False, {})
    scaler.load_state_dict({"anything": 1})
    assert GradScaler().is_enabled()


def test_update_to_a_given_scale() -> None:
    p, optimizer, scaler = made()
    iterate(scaler, optimizer, p)
    scaler.update(32.0)
    assert scaler.get_scale() == 32
    scaler.update(mg.tensor([0.1]))
    assert scaler.get_scale() == float(np.float32(0.1))
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"new_scale must be above 0 and finite, got {wrong}"):
            scaler.update(wrong)
    assert scaler.get_scale() == float(np.float32(0.1))


def test_a_state_continues_exactly() -> None:
    p, optimizer, scaler = made(init_scale=1024.0, growth_interval=3)
    for bad in (False, True, False, False):
        iterate(scaler, optimizer, p, bad)
    state = json.loads(json.dumps(scaler.state_dict()))
    assert state == {
        "scale": 512.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 3,
        "_growth_tracker": 2,
    }
    other = GradScaler()
    other.load_state_dict(state)
    for s in (scaler, other):
        iterate(s, optimizer, p)
        assert (s.get_scale(), s.state_dict()["_growth_tracker"]) == (1024, 0)


def test_errors_of_states() -> None:
    scaler = GradScaler()
    good = scaler.state_dict()
    with pytest.raises(ValueError, match="the state is empty: it was saved from a GradScaler with enabled=False"):
        scaler.load_state_dict({})
    with pytest.raises(ValueError, match=r"the state of a GradScaler has the keys \['scale', .*\], got \['scale'\]"):
        scaler.load_state_dict({"scale": 1.0})
    for name, value, text in (
        ("scale", 0.0, "scale must be above 0 and finite, got 0.0"),
        ("growth_factor", 1.0, "growth_factor must be above 1, got 1.0"),
        ("_growth_tracker", -1, "_growth_tracker must be at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=text):
            scaler.load_state_dict({**good, "growth_interval": 7, name: value})
    assert scaler.state_dict() == good


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"init_scale": 0.0}, "init_scale must be above 0 and finite, got 0.0"),
        ({"init_scale": math.inf}, "init_scale must be above 0 and finite, got inf"),
        ({"growth_factor": 1.0}, r"growth_factor must be above 1, got 1\.0"),
        ({"backoff_factor": 1.0}, r"backoff_factor must be between 0 and 1, got 1\.0"),
        ({"backoff_factor": 0.0}, r"backoff_factor must be between 0 and 1, got 0\.0"),
        ({"growth_interval": 0}, "growth_interval must be a positive integer, got 0"),
        ({"growth_interval": 1.5}, r"growth_interval must be a positive integer, got 1\.5"),
    ],
)
def test_errors_of_options(options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        GradScaler(**options)


def test_errors_of_order() -> None:
    p, optimizer, scaler = made()
    p.grad = mg.ones(2)
    for name, call in (
        ("unscale_", lambda: scaler.unscale_(optimizer)),
        ("step", lambda: scaler.step(optimizer)),
        ("update", scaler.update),
    ):
        with pytest.raises(RuntimeError, match=rf"{name}\(\) before scale\(\): go backward from scaler.scale\(loss\)"):
            call()
    optimizer.zero_grad()
    loss = scaler.scale(p.sum())
    with pytest.raises(RuntimeError, match=r"update\(\) has nothing to judge by: call step\(optimizer\) or"):
        scaler.update()
    with pytest.raises(RuntimeError, match=r"no parameter of this optimizer has a gradient: call scaler\.scale"):
        scaler.step(optimizer)
    loss.backward()
    for arguments, options in (((lambda: None,), {}), ((), {"closure": None})):
        with pytest.raises(RuntimeError, match=r"step\(\) takes no closure while scaling is enabled"):
            scaler.step(optimizer, *arguments, **options)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called on this optimizer since the last"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\): call update\(\) in between"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called on this optimizer since the last"):
        scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0, 0]
    scaler.unscale_(optimizer)


def test_float16_gradients_are_refused_before_anything_changes() -> None:
    p, optimizer, scaler = made(init_scale=2.0)
    q = mg.ones(3, dtype="float16", requires_grad=True)
    optimizer.add_param_group({"params": [q]})
    scaler.scale(p.sum() + q.sum()).backward()
    with pytest.raises(ValueError, match=r"cannot unscale a float16 gradient, of shape \(3,\): keep the parameters in"):
        scaler.step(optimizer)
    assert (p.grad.tolist(), p.tolist()) == ([2, 2], [1, 1])


# ---- on the device ---------------------------------------------------------------------------------------------------


def test_on_the_device_with_one_reading_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cupy.install():
        reads = []
        array = type(mg.ones(1, device="cuda")._array)
        original = array.__bool__
        monkeypatch.setattr(array, "__bool__", lambda self: reads.append(1) or original(self))
        p = mg.ones((2, 2), device="cuda", requires_grad=True)
        q = mg.ones(2, device="cuda", requires_grad=True)
        optimizer, scaler = nn.optim.SGD([p, q], lr=1.0), GradScaler(init_scale=4.0)
        for bad, expected, scale in ((False, 0.5, 4), (True, 0.5, 2), (False, 0.0, 2)):
            optimizer.zero_grad()
            loss = scaler.scale((p.sum() + q.sum()) * 0.5)
            loss.backward()
            if bad:
                q.grad[0] = math.nan
            reads.clear()
            scaler.unscale_(optimizer)
            assert reads == []
            scaler.step(optimizer)
            scaler.update()
            assert reads == [1]
            assert scaler.get_scale() == scale
            assert p.to("cpu").tolist() == [[expected] * 2] * 2
            assert (loss.device, p.grad.device) == ("cuda", "cuda")


def test_parameters_on_two_devices() -> None:
    with fake_cupy.install():
        p, optimizer, scaler = made(init_scale=4.0)
        q = mg.ones(1, device="cuda", requires_grad=True)
        optimizer.add_param_group({"params": [q]})
        scaler.scale(p.sum()).backward()
        scaler.scale(q.sum()).backward()
        scaler.step(optimizer)
        assert (p.tolist(), q.to("cpu").tolist()) == ([0, 0], [0])


# ---- training --------------------------------------------------------------------------------------------------------


def test_scaling_keeps_gradients_that_float16_would_lose() -> None:
    """The slope of the loss is 1e-9 in each activation: 0 in float16."""
    found = []
    for enabled in (True, False):
        layer = nn.Linear(2, 2, bias=False)
        optimizer, scaler = nn.optim.SGD(layer.parameters()), GradScaler(enabled=enabled)
        with mg.autocast():
            loss = layer(mg.ones((1, 2))).sum() * 1e-9
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        found.append(layer.weight.grad.numpy())
    np.testing.assert_allclose(found[0], 1e-9, rtol=1e-3)
    np.testing.assert_array_equal(found[1], 0)


def test_lenet_trained_in_half_reaches_the_loss_of_float32() -> None:
    """256 digits, 6 epochs: the loss falls from 2.3 below 0.3 in both, and the two ends differ by 1 % at most."""
    images, labels = (array[:256] for array in nn.data.digits())
    x = np.pad(images.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))[:, None] / np.float32(16)
    mg.manual_seed(0)
    start = models.lenet5()
    ends = []
    for enabled in (False, True):
        net = copy.deepcopy(start)
        optimizer, scaler = nn.optim.Adam(net.parameters(), lr=3e-3), GradScaler(enabled=enabled)
        for step in range(24):
            batch = slice(step % 4 * 64, step % 4 * 64 + 64)
            optimizer.zero_grad()
            with mg.autocast(enabled=enabled):
                loss = nn.CrossEntropyLoss()(net(x[batch]), labels[batch])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        assert {p.dtype for p in net.parameters()} == {np.dtype("float32")}
        ends.append(nn.CrossEntropyLoss()(net(x), labels).item())
    assert ends[0] < 0.3
    assert abs(ends[1] - ends[0]) < 0.01 * ends[0]
