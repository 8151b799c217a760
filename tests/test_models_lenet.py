"""The LeNets of 1989, of 1998 and of today: parameters, connections, shapes, names and what they learn."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.models.demo import prepare
from minigrad.models.lecun_1989 import H2, FeatureMaps
from minigrad.models.lenet_1998 import C3, digit_bitmaps
from tests.cudaemu import fake_cupy
from tests.layertable import as_function


def test_parameters_and_keys():
    state = models.lenet5().state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "features.0.weight": (6, 1, 5, 5),
        "features.0.bias": (6,),
        "features.3.weight": (16, 6, 5, 5),
        "features.3.bias": (16,),
        "classifier.1.weight": (120, 400),
        "classifier.1.bias": (120,),
        "classifier.3.weight": (84, 120),
        "classifier.3.bias": (84,),
        "classifier.5.weight": (10, 84),
        "classifier.5.bias": (10,),
    }
    assert sum(value.size for value in state.values()) == 61_706


def test_shapes():
    net = models.lenet5(num_classes=7)
    x = mg.zeros((2, 1, 28, 28))
    shapes = []
    for layer in (*net.features, *net.classifier):
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes == [
        (6, 28, 28),
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 10, 10),
        (16, 5, 5),
        (400,),
        (120,),
        (120,),
        (84,),
        (84,),
        (7,),
    ]
    assert isinstance(net, models.LeNet5)


def test_an_image_of_the_wrong_size_says_where_it_fails():
    with pytest.raises(ValueError, match="Linear expects 400 features, got 576") as caught:
        models.lenet5()(mg.zeros((4, 1, 32, 32)))
    assert caught.value.__notes__ == [
        "in classifier.1: Linear(in_features=400, out_features=120, bias=True), input (4, 576)",
        "the shapes on the way:\n"
        "  features.0: Conv2d (4, 1, 32, 32) -> (4, 6, 32, 32), (32 + 2*2 - 5)/1 + 1 = 32\n"
        "  features.1: Tanh (4, 6, 32, 32) -> (4, 6, 32, 32)\n"
        "  features.2: AvgPool2d (4, 6, 32, 32) -> (4, 6, 16, 16), (32 - 2)/2 + 1 = 16\n"
        "  features.3: Conv2d (4, 6, 16, 16) -> (4, 16, 12, 12), (16 - 5)/1 + 1 = 12\n"
        "  features.4: Tanh (4, 16, 12, 12) -> (4, 16, 12, 12)\n"
        "  features.5: AvgPool2d (4, 16, 12, 12) -> (4, 16, 6, 6), (12 - 2)/2 + 1 = 6\n"
        "  classifier.0: Flatten (4, 16, 6, 6) -> (4, 576)",
    ]


def test_weights_follow_the_seed():
    def weights():
        mg.manual_seed(3)
        return [p.tolist() for p in models.lenet5().parameters()]

    assert weights() == weights()


def test_every_parameter_gets_a_gradient():
    net = models.lenet5()
    nn.CrossEntropyLoss()(net(mg.randn(3, 1, 28, 28)), mg.tensor([0, 1, 2])).backward()
    assert all(abs(p.grad.numpy()).max() > 0 for p in net.parameters())


# ---- the networks of 1989 and 1998, as published -------------------------------------------------------------------

TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""  # a row for each map of S2, a column for each map of C3

# (factory, side of the image, what is published of each layer with connections: name, output, parameters, connections)
PUBLISHED = [
    (
        models.lenet5_1998,
        32,
        [
            ("features.0", (6, 28, 28), 156, 122_304),
            ("features.2", (6, 14, 14), 12, 5_880),
            ("features.4", (16, 10, 10), 1_516, 151_600),
            ("features.6", (16, 5, 5), 32, 2_000),
            ("features.8", (120, 1, 1), 48_120, 48_120),
            ("classifier.1", (84,), 10_164, 10_164),
            ("classifier.3", (10,), 0, 840),
        ],
        (60_000, 340_908),
    ),
    (
        models.lecun1989,
        16,
        [
            ("features.0", (12, 8, 8), 1_068, 19_968),
            ("features.2", (12, 4, 4), 2_592, 38_592),
            ("classifier.1", (30,), 5_790, 5_790),
            ("classifier.3", (10,), 310, 310),
        ],
        (9_760, 64_660),
    ),
]
published = pytest.mark.parametrize(("make", "side", "layers", "totals"), PUBLISHED)


def learned(module):
    return sum(p.size for p in module.parameters())


def walk(net, side):
    """Every layer that has weights, with its name and the shapes of its input and output."""
    x = mg.zeros((1, 1, side, side))
    for stage in ("features", "classifier"):
        for i, layer in enumerate(getattr(net, stage)):
            y = layer(x)
            if layer.state_dict():
                yield f"{stage}.{i}", layer, x.shape, y.shape
            x = y


def connections(layer, shape):
    """How many inputs, biases among them, the units of a layer have together.

    A layer that adds up its weighted inputs counts them when inputs, weights and biases are all 1. The border of 1989
    is -1, and a pixel of it is a connection in the paper, so that the image comes with its border laid around it. The
    distance of 0 to a centre of -1 or 1 counts its coordinates.
    """
    if isinstance(layer, nn.RBFOutput):
        return layer(mg.zeros(shape)).sum().item()
    for p in layer.parameters():
        nn.init.ones_(p)
    if not isinstance(layer, FeatureMaps):
        return layer(mg.ones(shape)).sum().item()
    image = mg.ones((1, *shape[1:-2], shape[-2] + 4, shape[-1] + 4))
    sums = mg.conv2d(image, layer.weight, stride=layer.stride, connections=layer.connections)
    assert sums.shape[1:] == layer.bias.shape
    return (sums + layer.bias).sum().item()


@published
def test_parameters_and_connections_are_the_published_ones(make, side, layers, totals):
    net = make()
    counted = [
        (name, out[1:], learned(layer), connections(layer, shape)) for name, layer, shape, out in walk(net, side)
    ]
    assert counted == layers
    assert (learned(net), sum(row[3] for row in counted)) == totals
    assert isinstance(net, {32: models.LeNet5_1998, 16: models.LeCun1989}[side])


def test_the_network_of_1989_has_1256_units():
    outputs = [math.prod(out[1:]) for *_, out in walk(models.lecun1989(), 16)]
    assert 16 * 16 + sum(outputs) == 1_256


def test_the_centres_of_1998_count_but_do_not_learn():
    net = models.lenet5_1998()
    assert [(name, b.size) for name, b in net.named_buffers()] == [("classifier.3.weight", 840)]
    assert sum(value.size for value in net.state_dict().values()) == 60_840


def test_c3_is_table_one():
    rows = TABLE_I.split()
    assert [sorted(seen) for seen in C3] == [[c for c in range(6) if rows[c][k] == "X"] for k in range(16)]
    assert sum(map(len, C3)) == 60


def test_h2_sees_8_of_12_maps_and_each_map_is_seen_by_8():
    assert all(len(set(seen)) == 8 for seen in H2)
    assert len({frozenset(seen) for seen in H2}) == 12
    assert [sum(c in seen for seen in H2) for c in range(12)] == [8] * 12


def dense(layer):
    """The weight with zeros for the links that are absent, (out, in, 5, 5)."""
    weight = np.zeros((layer.out_channels, layer.in_channels, 5, 5))
    kernels = iter(layer.weight.detach().numpy())
    for k, seen in enumerate(layer.connections):
        for c in seen:
            weight[k, c] = next(kernels)
    return weight


def correlation(x, w, stride):
    """sum_{c,t} w[k,c,t] * x[n,c,o*stride+t]: the definition, with NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,kcij->nkhw", windows, w)


def test_c3_is_a_dense_convolution_with_masked_weights():
    layer = models.lenet5_1998().features[4].to(np.float64)
    x = np.random.default_rng(0).standard_normal((2, 6, 14, 14))
    w = dense(layer)
    assert (np.abs(w).sum((2, 3)) > 0).sum() == 60
    expected = correlation(x, w, 1) + layer.bias.detach().numpy()[:, None, None]
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("i", [0, 2])
def test_the_maps_of_1989_are_a_convolution_over_a_border_of_minus_one(i):
    layer = models.lecun1989().features[i].to(np.float64)
    size = 16 if i == 0 else 8
    x = np.random.default_rng(0).standard_normal((2, layer.in_channels, size, size))
    bordered = np.pad(x, ((0, 0), (0, 0), (2, 1), (2, 1)), constant_values=-1)
    w = dense(layer) if layer.connections else layer.weight.detach().numpy()
    expected = correlation(bordered, w, 2) + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-13)


def squash(a):
    return 1.7159 * np.tanh(2 / 3 * a)


def test_the_network_of_1998_is_its_equations():
    net = models.lenet5_1998().to(np.float64)
    x = np.random.default_rng(0).uniform(-0.1, 1.175, (3, 1, 32, 32))
    p = {name: value.numpy() for name, value in net.state_dict().items()}

    def convolved(a, i, weight):
        return squash(correlation(a, weight, 1) + p[f"features.{i}.bias"][:, None, None])

    def subsampled(a, i):
        n, c, h, w = a.shape
        total = a.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5))
        weight, bias = (p[f"features.{i}.{name}"][:, None, None] for name in ("weight", "bias"))
        return squash(total * weight + bias)

    a = subsampled(convolved(x, 0, p["features.0.weight"]), 2)
    a = subsampled(convolved(a, 4, dense(net.features[4])), 6)
    a = convolved(a, 8, p["features.8.weight"]).reshape(3, 120)
    a = squash(a @ p["classifier.1.weight"].T + p["classifier.1.bias"])
    expected = ((a[:, None] - digit_bitmaps()) ** 2).sum(-1)
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(net.predict(x).numpy(), expected.argmin(1))


def test_the_prediction_is_the_nearest_picture():
    net = models.lenet5_1998()
    codes = digit_bitmaps()
    assert codes.shape == (10, 84)
    assert codes.dtype == np.float32
    assert set(codes.ravel()) == {-1, 1}
    apart = ((codes[:, None] - codes) ** 2).sum(-1)
    assert apart[~np.eye(10, dtype=bool)].min() == 60  # 15 pixels: 5 and 8 are the most alike
    nn.init.zeros_(net.classifier[1].weight)  # F6 gives what its bias says, whatever the image is
    for digit, code in enumerate(codes):
        with mg.no_grad():
            net.classifier[1].bias.copy_(mg.tensor(np.arctanh(code / 1.7159) * 1.5))
            penalties = net(mg.zeros((2, 1, 32, 32)))
        np.testing.assert_allclose(penalties.numpy(), [apart[digit]] * 2, rtol=1e-4, atol=1e-8)
        predicted = net.predict(mg.zeros((2, 1, 32, 32)))
        assert predicted.tolist() == [digit] * 2
        assert not predicted.requires_grad


@published
def test_initial_values_are_2_4_by_the_inputs_of_the_unit(make, side, layers, totals):
    net = make()
    fan_ins = {"features.0": 25, "features.2": 4, "features.6": 4, "features.8": 400, "classifier.1": 120}
    if side == 16:
        fan_ins = {"features.0": 25, "features.2": 200, "classifier.1": 192, "classifier.3": 30}
    for name, fan_in in fan_ins.items():
        layer = net.get_submodule(name)
        for p in layer.parameters():
            most = p.abs().max().item() * fan_in / 2.4
            assert most <= 1 + 1e-6
            assert most > 0.9 or p.size < 100
    if side == 32:
        c3 = net.features[4]
        kernels = iter(c3.weight.abs().max(axis=(1, 2)).tolist())
        for seen, bias in zip(C3, c3.bias.tolist(), strict=True):
            bound = 2.4 / (25 * len(seen))
            most = [next(kernels) for _ in seen]
            assert 0.9 * bound < max(most) <= bound * (1 + 1e-6)
            assert 0 < abs(bias) <= bound


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: nn.Conv2d(3, 2, 2, connections=[[0, 2], [1]]), (2, 3, 3, 3)),
        (lambda: FeatureMaps(2, 2, 2, [[1], [0, 1]]), (2, 2, 4, 4)),
        (lambda: nn.Sequential(nn.Subsampling(2), nn.ScaledTanh()), (2, 2, 4, 4)),
        (lambda: nn.Sequential(nn.ScaledTanh(), nn.RBFOutput(digit_bitmaps()[:3])), (2, 84)),
    ],
    ids=["connections", "maps of 1989", "subsampling", "pictures"],
)
def test_gradients(layer, shape):
    call, values = as_function(layer())
    mg.check_gradients(call, np.random.default_rng(0).standard_normal(shape), *values)


def test_images_of_the_wrong_size():
    with pytest.raises(
        ValueError, match=r"FeatureMaps expects images of 16x16, got an input of shape \(4, 1, 28, 28\)"
    ):
        models.lecun1989()(mg.zeros((4, 1, 28, 28)))
    with pytest.raises(ValueError, match=r"FeatureMaps expects \(N, 1, H, W\), got .* put x\[None\]"):
        models.lecun1989()(mg.zeros((1, 16, 16)))
    with pytest.raises(ValueError, match=r"the window does not fit on spatial axis 0: input 4 .*\(kernel 5"):
        models.lenet5_1998()(mg.zeros((4, 1, 28, 28)))
    with pytest.raises(ValueError, match="Linear expects 120 features, got 480"):
        models.lenet5_1998()(mg.zeros((4, 1, 36, 36)))


def fit(net, x, criterion, lr, steps):
    optimizer = nn.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        criterion(net(x)).backward()
        optimizer.step()
    with mg.no_grad():
        return criterion(net(x)).item(), net(x).numpy()


def test_the_network_of_1998_learns_twenty_digits_by_heart():
    mg.manual_seed(0)
    images, labels = (part[:20] for part in nn.data.digits())
    x = np.pad(prepare(images), ((0, 0), (0, 0), (2, 2), (2, 2))) * np.float32(1.275) - np.float32(0.1)
    net = models.lenet5_1998()
    loss, penalties = fit(net, x, lambda y: nn.LeNetMSELoss()(y, labels), lr=0.01, steps=150)
    assert loss < 0.25  # from 84: what the code of any digit is away from 0
    np.testing.assert_array_equal(penalties.argmin(1), labels)
    np.testing.assert_array_equal(net.predict(x).numpy(), labels)
    np.testing.assert_array_equal(net.classifier[3].weight.numpy(), digit_bitmaps())


def test_the_network_of_1989_learns_twenty_digits_by_heart():
    mg.manual_seed(0)
    images, labels = (part[:20] for part in nn.data.digits())
    x = images.repeat(2, axis=1).repeat(2, axis=2)[:, None].astype(np.float32) / 8 - 1
    targets = np.where(labels[:, None] == np.arange(10), 1, -1).astype(np.float32)
    net = models.lecun1989()
    loss, outputs = fit(net, x, lambda y: nn.MSELoss()(y, targets), lr=0.3, steps=400)
    assert loss < 0.01  # from 1
    np.testing.assert_array_equal(outputs.argmax(1), labels)


def test_both_on_cuda():
    for make, side, *_ in PUBLISHED:
        results = []
        for device in ("cpu", "cuda"):
            with fake_cupy.install():
                mg.manual_seed(0)
                net = make().to(np.float64).to(device)
                x = mg.tensor(np.random.default_rng(0).standard_normal((2, 1, side, side)), device=device)
                y = net(x)
                assert y.device == device
                y.sum().backward()
                results.append([t.detach().to("cpu").numpy() for t in (y, *(p.grad for p in net.parameters()))])
        for here, there in zip(*results, strict=True):
            np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-11)
