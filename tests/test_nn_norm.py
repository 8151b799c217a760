"""Norm layers: against the formulas in float64, running statistics, second derivatives, and what they refuse."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy


def images(*shape, seed=0, shift=3.0):
    return np.random.default_rng(seed).standard_normal(shape) * 2 + shift


def standard(x, axes, eps=1e-5):
    """The definition."""
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


def learned(layer, seed=1):
    """The layer with a weight and a bias that are not 1 and 0, in float64."""
    layer.to(np.float64)
    for i, p in enumerate(layer.parameters()):
        nn.init.normal_(p, 0.5, 1.0, np.random.default_rng(seed + i))
    return layer


def across(v, x):
    return v.detach().numpy().reshape(1, -1, *(1,) * (x.ndim - 2))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.BatchNorm1d, (7, 3)),
        (nn.BatchNorm1d, (4, 3, 5)),
        (nn.BatchNorm2d, (4, 3, 5, 2)),
        (nn.BatchNorm3d, (2, 3, 2, 3, 4)),
    ],
)
def test_batch_norm_is_the_formula_and_its_running_statistics_follow(kind, shape):
    bn = learned(kind(3))
    axes = (0, *range(2, len(shape)))
    n = np.prod(shape) // 3
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(4):
        x = images(*shape, seed=seed)
        expected = standard(x, axes) * across(bn.weight, x) + across(bn.bias, x)
        np.testing.assert_allclose(bn(x).detach().numpy(), expected, rtol=1e-10, atol=1e-10)
        mean = 0.9 * mean + 0.1 * x.mean(axes)
        var = 0.9 * var + 0.1 * x.var(axes) * n / (n - 1)
    np.testing.assert_allclose(bn.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(bn.running_var.numpy(), var, rtol=1e-12)
    assert bn.num_batches_tracked.item() == 4
    bn.eval()
    x = images(*shape, seed=9)
    scale = across(bn.weight, x) / np.sqrt(var + 1e-5).reshape(across(bn.weight, x).shape)
    expected = (x - mean.reshape(scale.shape)) * scale + across(bn.bias, x)
    np.testing.assert_allclose(bn(x).detach().numpy(), expected, rtol=1e-11, atol=1e-11)
    assert bn.num_batches_tracked.item() == 4


def test_without_momentum_each_batch_counts_the_same():
    bn = nn.BatchNorm1d(2, momentum=None).to(np.float64)
    batches = [images(6, 2, seed=seed) for seed in range(5)]
    for x in batches:
        bn(x)
    np.testing.assert_allclose(bn.running_mean.numpy(), np.mean([x.mean(0) for x in batches], 0), rtol=1e-12)
    np.testing.assert_allclose(bn.running_var.numpy(), np.mean([x.var(0, ddof=1) for x in batches], 0), rtol=1e-12)


def test_running_statistics_stay_out_of_the_graph_and_can_be_reset():
    bn = nn.BatchNorm1d(2)
    x = mg.tensor(images(6, 2), requires_grad=True)
    bn.to(np.float64)(x).sum().backward()
    assert not any(b.requires_grad for b in bn.buffers())
    assert isinstance(bn.running_mean, nn.Buffer)
    nn.init.constant_(bn.weight, 5.0)
    bn.reset_parameters()
    assert (bn.running_mean.tolist(), bn.running_var.tolist(), bn.num_batches_tracked.item()) == ([0, 0], [1, 1], 0)
    assert bn.weight.tolist() == [1, 1]


def test_without_running_statistics_eval_uses_the_batch():
    bn = nn.BatchNorm1d(2, affine=False, track_running_stats=False).eval()
    assert list(bn.state_dict()) == []
    x = images(6, 2)
    np.testing.assert_allclose(bn(x).numpy(), standard(x, 0), rtol=1e-10)


def test_residual_and_activation_are_what_they_say():
    bn = learned(nn.BatchNorm2d(3))
    x, r = images(4, 3, 5, 2), images(4, 3, 5, 2, seed=1)
    plain = bn(x).detach().numpy()
    np.testing.assert_allclose(bn(x, residual=r).detach().numpy(), plain + r, rtol=1e-12)
    np.testing.assert_allclose(bn(x, r, "relu").detach().numpy(), np.maximum(plain + r, 0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_old_state_dicts_lack_the_count(momentum):
    bn = nn.BatchNorm2d(2, momentum=momentum)
    state = bn.state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    del state["num_batches_tracked"]
    assert nn.Sequential(bn).load_state_dict({f"0.{k}": v for k, v in state.items()}) == ([], [])


def test_far_from_zero_nothing_is_lost():
    """The variance of 1e4 + noise: E[x^2] - E[x]^2 in float32 has no digit right."""
    x = (1e4 + np.random.default_rng(0).standard_normal((64, 3, 9, 9))).astype(np.float32)
    exact = x.astype(np.float64)
    bn = nn.BatchNorm2d(3, momentum=1.0)
    y = bn(x).detach().numpy()
    np.testing.assert_allclose(bn.running_var.numpy(), exact.var((0, 2, 3), ddof=1), rtol=1e-5)
    np.testing.assert_allclose(y, standard(exact, (0, 2, 3)), atol=3e-3)  # x itself is known to 5e-4


@pytest.mark.parametrize("order", ["C", "F"])
def test_half_precision_is_computed_in_single(order):
    x = np.asarray(images(64, 3, 30, 30, shift=40.0), np.float16, order=order)
    bn = nn.BatchNorm2d(3).to(np.float16)
    y = bn(x).detach().numpy()
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, standard(x.astype(np.float64), (0, 2, 3)), atol=2e-2)


@pytest.mark.parametrize(
    ("make", "axes"),
    [
        (lambda: nn.LayerNorm((3, 8, 9)), (1, 2, 3)),
        (lambda: nn.GroupNorm(1, 3), (1, 2, 3)),
        (lambda: nn.InstanceNorm2d(3), (2, 3)),
        (lambda: nn.BatchNorm2d(3, bias=False), (0, 2, 3)),
    ],
)
def test_half_precision_does_not_overflow(make, axes):
    """The squares of 400 are beyond float16; values and gradients are those of float32, rounded."""
    x = images(16, 3, 8, 9, shift=500.0).astype(np.float64) * 1.0
    x = np.asarray((x - 500) * 200 + 100, np.float16)
    g = np.asarray(images(16, 3, 8, 9, seed=3, shift=0.0), np.float16)
    results = []
    for dtype in (np.float16, np.float64):
        layer, t = make().to(dtype), mg.tensor(x.astype(dtype), requires_grad=True)
        y = layer(t)
        y.backward(g.astype(dtype))
        results.append([y, t.grad, *(p.grad for p in layer.parameters())])
    np.testing.assert_allclose(results[0][0].detach().numpy(), standard(x.astype(np.float64), axes), atol=4e-3)
    for half, exact in zip(*results, strict=True):
        half, exact = half.detach().numpy().astype(np.float64), exact.detach().numpy()
        assert np.linalg.norm(half - exact) <= 4e-3 * np.linalg.norm(exact)


def test_rms_and_response_norm_in_half_precision():
    x = np.full((1, 1, 3, 3), 300, np.float16)
    np.testing.assert_allclose(nn.RMSNorm(3).to(np.float16)(x).detach().numpy(), 1, rtol=1e-3)
    y = nn.LocalResponseNorm(3, region="within")(x).numpy()
    exact = nn.LocalResponseNorm(3, region="within")(x.astype(np.float64)).numpy()
    np.testing.assert_allclose(y, exact, rtol=2e-3)


def test_eval_in_half_precision_is_computed_in_single():
    bn = nn.BatchNorm1d(1).to(np.float16).eval()
    bn.load_state_dict({"weight": [3.3], "bias": [0.0], "running_mean": [1000.0], "running_var": [1.0]}, strict=False)
    x = mg.tensor(np.array([[1000.0], [1001.0]], np.float16), requires_grad=True)
    y = bn(x)
    np.testing.assert_allclose(y.detach().numpy(), [[0], [3.3]], atol=4e-3)
    y.backward(np.full((2, 1), 60, np.float16))
    np.testing.assert_allclose(bn.weight.grad.numpy(), [60], rtol=1e-3)


@pytest.mark.parametrize("frozen", ["nothing", "bias", "x"])
def test_the_gradient_of_the_weight_does_not_depend_on_what_else_needs_one(frozen):
    """Far from 0 a sum in float32 loses digits; in the order of memory of the kernels it is down a column."""
    rng = np.random.default_rng(0)
    x = np.asarray(rng.standard_normal((64, 64, 8, 4)) + 30, np.float32).transpose(2, 3, 0, 1)
    g = rng.standard_normal(x.shape).astype(np.float32)
    exact = (g.astype(np.float64) * standard(x.astype(np.float64), (0, 2, 3))).sum((0, 2, 3))
    bn = nn.BatchNorm2d(4)
    bn.bias.requires_grad_(frozen != "bias")
    bn(mg.tensor(x, requires_grad=frozen != "x")).backward(g)
    np.testing.assert_allclose(bn.weight.grad.numpy(), exact, rtol=2e-4, atol=2e-3)


def test_the_gradient_of_the_weight_in_eval_mode_keeps_its_digits():
    """With frozen statistics of mean 1000: sum(g * (x - mean)), not sum(g * x) - mean * sum(g)."""
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((4096, 1)) + 1000).astype(np.float32), np.ones((4096, 1), np.float32)
    bn = nn.BatchNorm1d(1).eval()
    bn.load_state_dict({"weight": [1.0], "bias": [0.0], "running_mean": [1000.0], "running_var": [1.0]}, strict=False)
    bn(x).backward(g)
    exact = (x.astype(np.float64) - 1000).sum() / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(bn.weight.grad.numpy(), [exact], rtol=1e-4)


def brute_group_norm(x, groups, eps=1e-5):
    out = np.empty(x.shape)
    size = x.shape[1] // groups
    for n in range(x.shape[0]):
        for g in range(groups):
            part = np.s_[n, g * size : (g + 1) * size]
            out[part] = (x[part] - x[part].mean()) / np.sqrt(x[part].var() + eps)
    return out


@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 5), (2, 6, 3, 4)])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_group_norm(shape, groups):
    layer, x = learned(nn.GroupNorm(groups, 6)), images(*shape)
    expected = brute_group_norm(x, groups) * across(layer.weight, x) + across(layer.bias, x)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_layer_and_rms_norm():
    x = images(4, 3, 2, 5)
    for shape in (5, (2, 5), (3, 2, 5)):
        axes = tuple(range(4 - (1 if shape == 5 else len(shape)), 4))
        layer = learned(nn.LayerNorm(shape))
        expected = standard(x, axes) * layer.weight.detach().numpy() + layer.bias.detach().numpy()
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)
        rms = learned(nn.RMSNorm(shape, eps=0.1))
        expected = x / np.sqrt((x * x).mean(axes, keepdims=True) + 0.1) * rms.weight.detach().numpy()
        np.testing.assert_allclose(rms(x).detach().numpy(), expected, rtol=1e-10)
    assert list(nn.LayerNorm(5, bias=False).state_dict()) == ["weight"]
    assert list(nn.LayerNorm(5, elementwise_affine=False).state_dict()) == []


def test_instance_norm():
    x = images(4, 3, 5, 2)
    np.testing.assert_allclose(nn.InstanceNorm2d(3)(x).numpy(), standard(x, (2, 3)), rtol=1e-9, atol=1e-9)
    layer = learned(nn.InstanceNorm2d(3, affine=True, track_running_stats=True))
    expected = standard(x, (2, 3)) * across(layer.weight, x) + across(layer.bias, x)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    mean, var = x.mean((2, 3)).mean(0), x.var((2, 3), ddof=1).mean(0)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * var, rtol=1e-12)
    layer.eval()
    scale = across(layer.weight, x) / np.sqrt(across(layer.running_var, x) + 1e-5)
    expected = (x - across(layer.running_mean, x)) * scale + across(layer.bias, x)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-10)


def test_local_response_norm_within_a_channel():
    x, layer = images(2, 3, 5, 4), nn.LocalResponseNorm(3, alpha=0.3, beta=0.5, k=2.0, region="within")
    padded = np.pad(x * x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = sum(padded[:, :, i : i + 5, j : j + 4] for i in range(3) for j in range(3))
    np.testing.assert_allclose(layer(x).numpy(), x / np.sqrt(2 + 0.3 * total / 9), rtol=1e-12)
    layer.form = "paper"
    np.testing.assert_allclose(layer(x).numpy(), x / np.sqrt(2 + 0.3 * total), rtol=1e-12)


def test_the_two_meanings_of_alpha():
    x = images(2, 7, 3, 3)
    paper = nn.LocalResponseNorm(5, alpha=1e-2, k=2.0, form="paper")
    pytorch = nn.LocalResponseNorm(5, alpha=5e-2, k=2.0)
    np.testing.assert_allclose(paper(x).numpy(), pytorch(x).numpy(), rtol=1e-14)
    assert repr(pytorch) == "LocalResponseNorm(5, alpha=0.05, beta=0.75, k=2.0)"


LAYERS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (4, 3)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2), (3, 2, 2, 2)),
    "BatchNorm3d, eval": (lambda: nn.BatchNorm3d(2).eval(), (2, 2, 1, 2, 2)),
    "LayerNorm": (lambda: nn.LayerNorm((2, 3)), (3, 2, 3)),
    "RMSNorm": (lambda: nn.RMSNorm(3), (2, 3)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(2, affine=True), (2, 2, 4)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, alpha=0.5), (2, 4, 2)),
    "LocalResponseNorm, within": (lambda: nn.LocalResponseNorm(3, alpha=0.5, region="within"), (1, 2, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_to_the_second_order(name):
    make, shape = LAYERS[name]
    layer = learned(make())
    names = [name for name, _ in layer.named_parameters()]

    def call(x, *values):
        before = [getattr(layer, n) for n in names]
        for n, v in zip(names, values, strict=True):
            vars(layer)[n] = v
        try:
            return layer(x)
        finally:
            vars(layer).update(zip(names, before, strict=True))

    mg.check_gradients(call, images(*shape), *(p.detach().numpy() for p in layer.parameters()))


@pytest.mark.parametrize("name", LAYERS)
def test_on_the_stand_in_for_a_gpu(name):
    make, shape = LAYERS[name]
    x = images(*shape)
    results = []
    with fake_cupy.install():
        for device in ("cpu", "cuda"):
            layer = learned(make()).to(device)
            y = layer(mg.tensor(x, device=device, requires_grad=True))
            y.sum().backward()
            results.append([y, *(p.grad for p in layer.parameters()), *layer.buffers()])
        for here, there in zip(*results, strict=True):
            assert there.device == "cuda"
            np.testing.assert_allclose(here.detach().numpy(), there.detach().to("cpu").numpy(), rtol=1e-12, atol=1e-12)


def test_sizes_from_the_first_batch():
    bn = nn.BatchNorm2d(None)
    optimizer = nn.optim.SGD(bn.parameters(), lr=0.1)
    x = images(4, 3, 5, 2).astype(np.float32)
    np.testing.assert_allclose(bn(x).detach().numpy(), standard(x, (0, 2, 3)), atol=1e-5)
    assert bn.running_mean.shape == bn.weight.shape == (3,)
    assert repr(bn) == repr(nn.BatchNorm2d(3))
    bn(x).sum().backward()
    optimizer.step()
    with pytest.raises(ValueError, match="BatchNorm2d expects 3 channels, got 2"):
        bn(images(4, 2, 5, 2))


@pytest.mark.parametrize(
    ("make", "shape", "text"),
    [
        (
            lambda: nn.BatchNorm1d(3),
            (4, 3, 5, 5),
            r"BatchNorm1d expects \(N, C\) or \(N, C, L\), got an input of shape",
        ),
        (lambda: nn.BatchNorm2d(3), (4, 3), r"BatchNorm2d expects \(N, C, H, W\), got an input of shape \(4, 3\)"),
        (
            lambda: nn.BatchNorm1d(3),
            (1, 3),
            "batch norm needs more than one value for each channel to have a deviation",
        ),
        (lambda: nn.BatchNorm2d(3), (0, 3, 2, 2), "batch norm needs more than one value for each channel"),
        (lambda: nn.LayerNorm((2, 3)), (4, 3, 2), r"last axes are normalized_shape = \(2, 3\), got \(4, 3, 2\)"),
        (lambda: nn.RMSNorm(3), (4, 2), r"RMSNorm expects an input whose last axes are normalized_shape = \(3,\)"),
        (lambda: nn.LayerNorm(0), (4, 2), r"normalized_shape must be an int or a tuple of sizes of at least 1, got 0"),
        (
            lambda: nn.GroupNorm(4, 6),
            (4, 6),
            "num_groups must divide num_channels, got num_groups=4 and num_channels=6",
        ),
        (lambda: nn.GroupNorm(2, 6), (4, 4), r"GroupNorm expects \(N, 6, \*spatial\), got an input of shape \(4, 4\)"),
        (
            lambda: nn.InstanceNorm2d(3, track_running_stats=True).eval(),
            (4, 3),
            r"InstanceNorm2d expects \(N, C, H, W\)",
        ),
        (
            lambda: nn.InstanceNorm2d(3, momentum=None, track_running_stats=True),
            (4, 3, 2, 2),
            "InstanceNorm2d needs a momentum to track running statistics, got None",
        ),
        (lambda: nn.InstanceNorm2d(3), (4, 3, 1, 1), "InstanceNorm2d needs more than one value for each channel of a"),
        (lambda: nn.LocalResponseNorm(4, region="within"), (1, 1, 3, 3), "size must be odd within channels, .* got 4"),
        (lambda: nn.LocalResponseNorm(4, region="among"), (1, 1, 3, 3), "region must be 'across' or 'within', got 'am"),
        (lambda: nn.LocalResponseNorm(4, form="caffe"), (1, 1, 3, 3), "form must be 'pytorch' or 'paper', got 'caffe'"),
        (lambda: nn.LocalResponseNorm(0), (1, 1, 3, 3), "size must be an integer of at least 1, got 0"),
    ],
)
def test_what_they_refuse(make, shape, text):
    with pytest.raises(ValueError, match=text):
        make()(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight": np.ones(3)}, r"weight must have shape \(2,\), one number for each channel, got \(3,\)"),
        ({"residual": np.ones((4, 2, 1))}, r"residual must have the shape of x \(4, 2\), got \(4, 2, 1\)"),
        ({"activation": "tanh"}, "activation must be None or 'relu', got 'tanh'"),
        ({"mean": np.ones(2)}, "mean and var must be given both, or neither"),
        ({"mean": np.ones(2), "var": np.ones(2), "return_statistics": True}, "asks for the statistics of the batch"),
    ],
)
def test_what_the_function_refuses(options, text):
    with pytest.raises(ValueError, match=text):
        mg.batch_norm_act(np.ones((4, 2)), **options)


def test_integers_are_refused():
    for function in (mg.batch_norm_act, lambda x: mg.local_response_norm(x, 3), lambda x: mg.cross_entropy(x, [0, 1])):
        with pytest.raises(TypeError, match=r"needs a floating x, got int64: convert it with .to\('float32'\)"):
            function(np.ones((2, 3), np.int64))


def test_batch_norm_keeps_the_memory_order():
    x = np.asarray(images(5, 4, 3, 2).transpose(2, 3, 0, 1), order="C").transpose(2, 3, 0, 1)
    t = mg.tensor(x, requires_grad=True)
    y = mg.batch_norm_act(t, activation="relu")
    y.sum().backward()
    for array in (y.detach()._array, t.grad._array):
        assert array.transpose(2, 3, 0, 1).flags.c_contiguous
