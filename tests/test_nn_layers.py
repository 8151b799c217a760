"""The layers: values against plain formulas, shapes, error texts, repr; containers."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def rand(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_linear_is_the_formula():
    layer = nn.Linear(3, 2)
    x, w, b = rand(4, 5, 3), layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.einsum("nti,oi->nto", x, w) + b
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert layer(x[0, 0]).shape == (2,)
    assert nn.Linear(3, 2, bias=False).bias is None
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert (layer.weight.shape, layer.bias.shape) == ((2, 3), (2,))
    assert nn.Linear(3, 2, bias=False)(x).shape == (4, 5, 2)


def test_linear_without_inputs_has_a_bias_of_zero():
    assert nn.Linear(0, 2)(mg.zeros((3, 0))).tolist() == [[0, 0]] * 3


def test_linear_says_what_does_not_fit():
    layer = nn.Linear(400, 120)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        layer(mg.zeros((8, 256)))
    assert str(caught.value) == (
        "Linear expects 400 features, got 256: the last axis of its input, of shape (8, 256), must be in_features = 400"
    )
    with pytest.raises(ValueError, match=r"make that many together: put a Flatten before it"):
        layer(mg.zeros((8, 16, 5, 5)))
    with pytest.raises(ValueError, match=r"got a single number: the last axis of its input, of shape \(\)"):
        layer(mg.zeros(()))


def convolution(x, w, b, stride, padding, dilation, groups):
    """Convolution by its definition, one output at a time."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    k, c, kh, kw = w.shape
    oh = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((len(x), k, oh, ow))
    for n, o, i, j in np.ndindex(*out.shape):
        first = o // (k // groups) * c
        window = x[n, first : first + c, i * stride[0] :: dilation[0], j * stride[1] :: dilation[1]][:, :kh, :kw]
        out[n, o, i, j] = (window * w[o]).sum() + b[o]
    return out


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [(3, 1, 0, 1, 1), ((3, 2), (2, 1), (1, 0), 1, 2), (2, 1, (0, 2), (2, 3), 4), (1, 3, 1, 1, 1)],
)
def test_conv2d_is_the_definition(kernel, stride, padding, dilation, groups):
    layer = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups)
    x = rand(2, 4, 7, 8)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    assert w.shape == (8, 4 // groups, *layer.kernel_size)
    expected = convolution(x, w, b, layer.stride, layer.padding, layer.dilation, groups)
    out = layer(x)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_conv2d_says_what_does_not_fit():
    layer = nn.Conv2d(3, 4, 5)
    with pytest.raises(ValueError, match=r"Conv2d expects 3 channels, got 1: its input of shape \(8, 1, 9, 9\) is"):
        layer(mg.zeros((8, 1, 9, 9)))
    with pytest.raises(ValueError, match="the last axis has that many"):
        layer(mg.zeros((8, 9, 9, 3)))
    with pytest.raises(
        ValueError, match=r"expects \(N, 3, H, W\), got an input of shape \(3, 9, 9\); .* put x\[None\]"
    ):
        layer(mg.zeros((3, 9, 9)))
    with pytest.raises(
        ValueError, match=r"input 4 \+ padding 0 \+ 0 is smaller than the window, dilation 1\*\(kernel 5 - 1\) \+ 1 = 5"
    ):
        layer(mg.zeros((1, 3, 4, 4)))
    with pytest.raises(ValueError, match="groups must divide in_channels, got groups=2 and in_channels=3"):
        nn.Conv2d(3, 4, 5, groups=2)
    with pytest.raises(ValueError, match="stride must be an integer of at least 1"):
        nn.Conv2d(3, 4, 5, stride=0)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 0))])
def test_pooling_is_the_definition(kernel, stride, padding):
    x = rand(2, 3, 6, 7)
    for layer, fill, reduce in ((nn.MaxPool2d, -np.inf, np.max), (nn.AvgPool2d, 0, np.mean)):
        out = layer(kernel, stride, padding)(x).numpy()
        (kh, kw), (ph, pw) = np.broadcast_to(kernel, 2), np.broadcast_to(padding, 2)
        sh, sw = np.broadcast_to(kernel if stride is None else stride, 2)
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
        for i, j in np.ndindex(*out.shape[2:]):
            window = padded[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            np.testing.assert_allclose(out[:, :, i, j], reduce(window, axis=(2, 3)), rtol=1e-5, atol=1e-6)


def test_sizes_are_explained():
    assert nn.Conv2d(1, 1, 5).explain_size((1, 1, 28, 28)) == "(28 - 5)/1 + 1 = 24"
    assert nn.Conv2d(1, 1, (3, 2), 2, 1, 2).explain_size((1, 1, 9, 8)) == (
        "(9 + 2*1 - 5)/2 + 1 = 4 and floor((8 + 2*1 - 3)/2) + 1 = 4"
    )
    assert nn.MaxPool2d(3, 2).explain_size((1, 1, 55, 55)) == "(55 - 3)/2 + 1 = 27"
    assert nn.AvgPool2d((2, 1), padding=(1, 0)).explain_size((1, 1, 4, 4)) == (
        "(4 + 2*1 - 2)/2 + 1 = 3 and (4 - 1)/1 + 1 = 4"
    )
    assert nn.Tanh().explain_size((3,)) == ""


def test_activations_are_their_formulas():
    x = rand(3, 4)
    e = np.exp(x)
    expected = {
        nn.Tanh(): np.tanh(x),
        nn.ReLU(): np.where(x > 0, x, 0),
        nn.Sigmoid(): 1 / (1 + np.exp(-x)),
        nn.Softmax(dim=0): e / e.sum(0),
    }
    for layer, value in expected.items():
        np.testing.assert_allclose(layer(x).numpy(), value, rtol=1e-5, atol=1e-7)


def test_flatten():
    x = mg.zeros((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten(-2)(x).shape == (2, 3, 20)
    assert nn.Flatten(2, 2)(x).shape == x.shape
    assert nn.Flatten()(mg.zeros((0, 3, 4))).shape == (0, 12)
    x = rand(2, 3, 4)
    np.testing.assert_array_equal(nn.Flatten()(x.transpose(0, 2, 1)).numpy(), x.transpose(0, 2, 1).reshape(2, 12))
    with pytest.raises(ValueError, match=r"axes start_dim=1 to end_dim=-1, in this order, got one of shape \(3,\)"):
        nn.Flatten()(mg.zeros(3))


def test_cross_entropy_loss_is_the_formula():
    x, target = rand(5, 4), np.array([0, 3, 1, 1, 2])
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    expected = -np.log(p[np.arange(5), target]).mean()
    assert math.isclose(nn.CrossEntropyLoss()(x, target).item(), expected, rel_tol=1e-6)


def test_repr_of_the_layers():
    assert repr(nn.Conv2d(3, 6, 5)) == "Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))"
    assert repr(nn.Conv2d(4, 6, 3, 2, 1, 2, 2, False)) == (
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False)"
    )
    assert repr(nn.Linear(4, 2)) == "Linear(in_features=4, out_features=2, bias=True)"
    assert repr(nn.MaxPool2d(3, 2)) == "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(nn.AvgPool2d(2)) == "AvgPool2d(kernel_size=2, stride=2, padding=0)"
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert repr(nn.Softmax(1)) == "Softmax(dim=1)"


# ---- containers -----------------------------------------------------------------------------------------------------


def test_sequential_runs_and_indexes():
    a, b, c = nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    x = rand(4, 2)
    np.testing.assert_array_equal(net(x).detach().numpy(), c(b(a(x))).detach().numpy())
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[0] is a
    assert net[-1] is c
    assert list(net[1:]) == [b, c]
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]
    assert not net.eval()[:1].training
    with pytest.raises(IndexError, match="Sequential has 3 modules, there is none at index 3"):
        net[3]
    with pytest.raises(IndexError):
        net[-4]


def test_sequential_changes():
    net = nn.Sequential(nn.Linear(2, 3))
    assert net.append(nn.Tanh()) is net
    net[0] = nn.Linear(2, 4)
    assert [type(layer) for layer in net] == [nn.Linear, nn.Tanh]
    assert net[0].out_features == 4
    rest = net[1:].append(nn.ReLU())  # the names 1 and 2: the slice keeps its own
    assert [type(layer) for layer in rest] == [nn.Tanh, nn.ReLU]
    with pytest.raises(TypeError, match="Sequential holds modules; got 'x'"):
        net[0] = "x"


def test_sequential_with_names():
    net = nn.Sequential({"conv": nn.Conv2d(1, 2, 3), "act": nn.Tanh()})
    assert list(net.state_dict()) == ["conv.weight", "conv.bias"]
    assert net.act is net[1]
    for name in ("a.b", "forward", "training"):
        with pytest.raises(ValueError, match=f"'{name}' cannot name a module"):
            nn.Sequential({name: nn.Tanh()})


def test_containers_refuse_what_is_no_module():
    with pytest.raises(TypeError, match="Sequential holds modules, an instance: write the brackets; got <class"):
        nn.Sequential(nn.Tanh)
    with pytest.raises(TypeError, match="ModuleList holds modules; got None"):
        nn.ModuleList([None])


def test_module_list():
    net = nn.Module()
    net.blocks = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(2)])
    net.blocks.append(nn.Linear(1, 1, bias=False))
    assert list(net.state_dict()) == ["blocks.0.weight", "blocks.1.weight", "blocks.2.weight"]
    assert len(net.blocks[1:]) == 2


@pytest.mark.parametrize("name", ["MinPool1d", "MinPool2d", "MinPool3d"])
def test_min_pooling_is_max_pooling_upside_down(name):
    dims = int(name[-2])
    x = rand(2, 3, *(7, 6, 5)[:dims])
    least, most = getattr(nn, name)(3, 2, 1), getattr(nn, name.replace("Min", "Max"))(3, 2, 1)
    np.testing.assert_array_equal(least(x).numpy(), -most(-x).numpy())
    assert repr(least) == repr(most).replace("Max", "Min")


def test_global_pools():
    x = rand(2, 3, 4, 5)
    for layer, reduce in ((nn.GlobalAvgPool, np.mean), (nn.GlobalMaxPool, np.max), (nn.GlobalMinPool, np.min)):
        np.testing.assert_allclose(layer()(x).numpy(), reduce(x, axis=(2, 3), keepdims=True), rtol=1e-6)


def test_convolution_beyond_pytorch():
    assert nn.Conv2d(3, 4, 3, stride=2, padding="same")(mg.zeros((1, 3, 9, 8))).shape == (1, 4, 5, 4)
    assert nn.Conv1d(2, 2, 3, padding=((2, 0),))(mg.zeros((1, 2, 5))).shape == (1, 2, 5)  # causal
    assert nn.ConvNd(1, 2, (2, 1, 2, 1))(mg.zeros((1, 1, 3, 3, 3, 3))).shape == (1, 2, 2, 3, 2, 3)
    assert nn.ConvTransposeNd(1, 2, (2, 1, 2, 1))(mg.zeros((1, 1, 2, 3, 2, 3))).shape == (1, 2, 3, 3, 3, 3)
    assert repr(nn.Conv2d(1, 1, 3, padding=((1, 0), (2, 2)))) == (
        "Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), padding=((1, 0), (2, 2)))"
    )


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (lambda: nn.Conv1d(3, 4, 5), (3, 9), r"Conv1d expects \(N, 3, L\), got .* \(3, 9\); .* put x\[None\]"),
        (lambda: nn.Conv3d(3, 4, 5), (1, 3, 9), r"Conv3d expects \(N, 3, D, H, W\), got an input of shape \(1, 3, 9\)"),
        (lambda: nn.ConvTranspose2d(3, 4, 5), (1, 2, 9, 9), "ConvTranspose2d expects 3 channels, got 2"),
        (lambda: nn.MaxPool2d(2), (3, 9, 9), r"MaxPool2d expects \(N, C, H, W\), got .*\(3, 9, 9\); .* put x\[None\]"),
        (lambda: nn.AvgPool1d(2), (3,), r"AvgPool1d expects \(N, C, L\), got an input of shape \(3,\)"),
        (lambda: nn.AdaptiveAvgPool2d(2), (1, 3, 9), r"AdaptiveAvgPool2d expects \(N, C, H, W\), got .*; .* put x"),
    ],
)
def test_layers_say_what_does_not_fit(layer, shape, text):
    with pytest.raises(ValueError, match=text):
        layer()(mg.zeros(shape))


TABLE = [[0, 2], [1], [3, 0, 1]]


@pytest.mark.parametrize("bias", [True, False])
def test_connections_are_a_dense_convolution_with_zeros(bias):
    layer = nn.Conv2d(4, 3, (3, 2), (2, 1), 1, 2, bias=bias, connections=TABLE)
    w = np.zeros((3, 4, 3, 2))
    kernels = iter(layer.weight.detach().numpy())
    for k, row in enumerate(TABLE):
        for c in row:
            w[k, c] = next(kernels)
    x = rand(2, 4, 7, 8)
    b = layer.bias.detach().numpy() if bias else np.zeros(3)
    expected = convolution(x, w, b, layer.stride, layer.padding, layer.dilation, 1)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    layer(x).sum().backward()
    assert [p.grad.shape for p in layer.parameters()] == [(6, 3, 2), (3,)][: 1 + bias]
    assert repr(layer) == (
        "Conv2d(4, 3, kernel_size=(3, 2), stride=(2, 1), padding=(1, 1), dilation=(2, 2), "
        + ("" if bias else "bias=False, ")
        + "connections=6 links)"
    )


def test_initial_values_go_by_the_inputs_of_each_output_channel():
    layer = nn.Conv2d(64, 3, 5, connections=[list(range(64)), [7], list(range(16))])
    rows = layer.weight.detach().numpy()
    for k, (kernels, fan_in) in enumerate([(rows[:64], 1600), (rows[64:65], 25), (rows[65:], 400)]):
        assert 0.8 * fan_in**-0.5 < abs(kernels).max() <= fan_in**-0.5
        assert 0 < abs(layer.bias.tolist()[k]) <= fan_in**-0.5
    for dense in (nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(4, 6, 3, groups=2, bias=False)):
        ((part, fan_in),) = dense.by_fan_in()
        assert fan_in == 18
        assert list(map(id, part)) == list(map(id, dense.parameters()))


@pytest.mark.parametrize(
    ("channels", "options", "text"),
    [
        (4, {"connections": TABLE[:2]}, r"connections must be a list of 3 rows, one .*, got \[\[0, 2\], \[1\]\]"),
        (4, {"connections": 3}, "connections must be a list of 3 rows, one for each output channel, got 3"),
        (3, {"connections": TABLE}, r"connections\[2\] must .* channel 2 sees, .* from 0 to 2, got \[3, 0, 1\]"),
        (4, {"connections": [[0], [], [1]]}, r"connections\[1\] must .* at least one .*, got \[\]"),
        (4, {"connections": [[0], [1, 1], [1]]}, r"connections\[1\] must .* each once, .*, got \[1, 1\]"),
        (4, {"connections": [[0], [1], [True]]}, r"connections\[2\] must list the input channels .*, got \[True\]"),
        (4, {"connections": [[0], [1], [-1]]}, r"connections\[2\] must list the input channels .*, got \[-1\]"),
        (4, {"connections": [0, 1, 2]}, r"connections\[0\] must list the input channels .*, got 0"),
        (3, {"connections": TABLE, "groups": 3}, "connections .* so groups must stay 1, got 3"),
        (None, {"connections": TABLE}, "so in_channels must be given, got None"),
    ],
)
def test_tables_that_make_no_sense(channels, options, text):
    with pytest.raises(ValueError, match=text):
        nn.Conv2d(channels, 3, 5, **options)


def test_a_convolution_needs_sizes_for_its_axes():
    with pytest.raises(ValueError, match="kernel_size must have one size for each spatial axis, got 3"):
        nn.ConvNd(1, 1, 3)


@pytest.mark.parametrize("rows", [2, 8, 128, 129])
@pytest.mark.parametrize("size", [(1030, 1024), (1024, 1100), (64, 1 << 14), (63, 17_000)])
def test_a_large_linear_layer_is_the_product_for_any_batch(rows, size):
    """Which goes by blocks of 64 outputs, and what is left over, for a batch of few rows."""
    rng = np.random.default_rng(rows)
    x, w = rng.standard_normal((rows, size[1])).astype(np.float32), rng.standard_normal(size).astype(np.float32)
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    for y in (mg.matmul(x, w.T), mg.matmul(x, np.ascontiguousarray(w.T)), mg.matmul(x[:, ::-1], w[:, ::-1].T)):
        assert (y.shape, y.dtype, y.flags.c_contiguous) == (exact.shape, np.float32, True)
        np.testing.assert_allclose(y, exact, atol=2e-6 * np.abs(exact).max())
    assert mg.matmul(x, w.T.astype(np.float64)).dtype == np.float64
