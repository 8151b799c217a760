"""Everything in nn on the stand-in for a GPU: no step may fall back to NumPy or mix the two."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from tests.cudaemu import fake_cupy


@pytest.fixture(autouse=True)
def _device():
    with fake_cupy.install():
        yield


def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 1, 28, 28)).astype(np.float32), np.array([1, 2, 3, 4])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (nn.optim.SGD, {"lr": 0.01, "momentum": 0.9, "form": "caffe"}),
        (nn.optim.Adam, {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
        (nn.optim.AdamW, {}),
        (nn.optim.NAdam, {}),
        (nn.optim.RMSprop, {"momentum": 0.5, "centered": True, "eps": 0.1}),
        (nn.optim.Adagrad, {"lr_decay": 0.1}),
        (nn.optim.Adadelta, {}),
        (nn.optim.LARS, {"lr": 1.0, "weight_decay": 0.1}),
        (nn.optim.LAMB, {"weight_decay": 0.1}),
        (nn.optim.Lion, {"weight_decay": 0.1}),
    ],
)
def test_training_on_the_device_equals_training_on_the_cpu(kind, options, tmp_path):
    images, labels = batch()
    mg.manual_seed(1)
    first, losses = models.lenet5().state_dict(), []
    for device in ("cpu", "cuda"):
        net = models.lenet5()
        net.load_state_dict(first)
        parameters = list(net.parameters())
        optimizer = kind(net.to(device).parameters(), **options)
        x, target = mg.tensor(images, device=device), mg.tensor(labels, device=device)
        losses.append([])
        for _ in range(3):
            loss = nn.CrossEntropyLoss()(net(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
        assert list(net.parameters()) == parameters
        assert {p.device for p in parameters} == {p.grad.device for p in parameters} == {device}
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    nn.save(net, tmp_path / "net")
    net.load_state_dict(nn.load(tmp_path / "net"))  # from the CPU to the device
    net.to("cpu")
    assert {p.device for p in net.parameters()} == {p.grad.device for p in net.parameters()} == {"cpu"}
    assert net(images).device == "cpu"


def test_an_optimizer_follows_its_parameters_to_another_device():
    """What is remembered moves with them; a gradient that stayed behind is refused."""
    layer, (x, _) = nn.Linear(28, 2), batch()
    optimizer = nn.optim.NAdam(layer.parameters(), lr=0.1)
    kept = []
    for device in ("cpu", "cuda", "cpu"):
        layer.to(device)
        optimizer.zero_grad()
        layer(mg.tensor(x, device=device)).sum().backward()
        optimizer.step()
        state = optimizer.state[layer.weight]
        assert {mg.asarray(v).device for v in state.values() if not isinstance(v, (int, float))} == {device}
        kept.append(mg.asarray(state["exp_avg"]).detach().to("cpu").numpy().copy())
    gradient = layer.weight.grad.numpy()  # that of a sum of a linear function: the same each time
    for t, m in enumerate(kept, 1):
        np.testing.assert_allclose(m, (1 - 0.9**t) * gradient, rtol=1e-5, atol=1e-6)
    layer.bias.grad = layer.bias.grad.to("cuda")
    with pytest.raises(ValueError, match=r"a parameter of shape \(2,\) on cpu has a gradient of shape \(2,\) on cuda"):
        optimizer.step()
    assert optimizer.state[layer.weight]["step"] == 3


def test_parameters_that_are_not_dense_and_gradients_of_another_dtype():
    """As on the CPU: the kernel gets copies, and what it changed is brought back."""
    found = []
    for device in ("cpu", "cuda"):
        base = mg.tensor(np.linspace(-1, 1, 48).reshape(4, 12), device=device)
        p = mg.asarray(base._array[::2, 1::3].T).requires_grad_()
        p.grad = mg.tensor(np.linspace(2, -3, 8).reshape(4, 2).astype("f4"), device=device)
        optimizer = nn.optim.LAMB([p], lr=0.5)
        for _ in range(3):
            optimizer.step()
        found.append(base.to("cpu").numpy())
        assert p.grad.dtype == np.float32
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert (found[0] != np.linspace(-1, 1, 48).reshape(4, 12)).sum() == 8


def test_initialisers_fill_on_the_device_what_they_fill_on_the_cpu():
    for fill in (nn.init.kaiming_uniform_, nn.init.xavier_normal_):
        tensors = [fill(mg.zeros((3, 4), device=d), generator=np.random.default_rng(0)) for d in ("cpu", "cuda")]
        assert tensors[0].tolist() == tensors[1].tolist()


def test_arrays_of_the_device_are_wrapped():
    layer = nn.Linear(2, 1).to("cuda")
    x = mg.ones((3, 2), device="cuda")._array
    assert layer(x).device == "cuda"
    with pytest.raises(ValueError, match="on one device") as caught:
        layer(mg.ones((3, 2)))
    assert "in Linear(in_features=2, out_features=1, bias=True), input (3, 2)" in caught.value.__notes__
