"""Initialisers: bounds and moments against their formulas, reproducibility, error texts."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy


def generator():
    return np.random.default_rng(1)


def test_fans():
    assert nn.init.fans((16, 6, 5, 5)) == (150, 400)
    assert nn.init.fans((3, 7)) == (7, 3)
    with pytest.raises(ValueError, match=r"at least two axes, \(out, in, \*kernel\), got shape \(3,\)"):
        nn.init.fans((3,))


def test_a_table_of_connections_has_no_single_fan_in():
    with pytest.raises(ValueError, match=r"each output channel sees its own number .*: use layer.by_fan_in\(\)"):
        nn.init.fans_of(nn.Conv2d(2, 2, 5, connections=[[0], [0, 1]]))
    assert nn.init.fans_of(nn.Conv2d(2, 2, 5)) == (50, 50)


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t, g: nn.init.uniform_(t, -2.0, 2.0, g), 2.0),
        (lambda t, g: nn.init.kaiming_uniform_(t, generator=g), math.sqrt(6 / 150)),
        (lambda t, g: nn.init.kaiming_uniform_(t, a=math.sqrt(5), generator=g), math.sqrt(1 / 150)),
        (
            lambda t, g: nn.init.kaiming_uniform_(t, mode="fan_out", nonlinearity="linear", generator=g),
            math.sqrt(3 / 1000),
        ),
        (lambda t, g: nn.init.xavier_uniform_(t, gain=2.0, generator=g), 2 * math.sqrt(6 / 1150)),
        (lambda t, g: nn.init.lecun_uniform_(t, g), math.sqrt(3 / 150)),
        (lambda t, g: nn.init.lenet_uniform_(t, generator=g), 2.4 / 150),
        (lambda t, g: nn.init.lenet_uniform_(t, 12, g), 0.2),
    ],
)
def test_uniform_bounds(fill, bound):
    values = fill(mg.zeros((40, 6, 5, 5)), generator()).numpy()
    assert abs(values).max() <= bound * (1 + 1e-6)
    assert abs(values).max() > 0.998 * bound  # 6,000 numbers: the chance of less is 0.998 ** 6000 < 1e-5
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * values.size)
    assert abs(values.std() - bound / math.sqrt(3)) < 0.03 * bound


@pytest.mark.parametrize(
    ("fill", "mean", "std"),
    [
        (lambda t, g: nn.init.normal_(t, 3.0, 2.0, g), 3, 2.0),
        (lambda t, g: nn.init.kaiming_normal_(t, generator=g), 0, math.sqrt(2 / 150)),
        (lambda t, g: nn.init.xavier_normal_(t, generator=g), 0, math.sqrt(2 / 1150)),
        (lambda t, g: nn.init.lecun_normal_(t, g), 0, math.sqrt(1 / 150)),
    ],
)
def test_normal_moments(fill, mean, std):
    values = fill(mg.zeros((40, 6, 5, 5)), generator()).numpy()
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * values.size)


LINEAR = ["linear", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)), "sigmoid"]


def test_gains():
    assert {nn.init.calculate_gain(name) for name in LINEAR} == {1.0}
    for name, value in {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}.items():
        assert nn.init.calculate_gain(name) == value
    assert nn.init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert nn.init.calculate_gain("leaky_relu", 1) == 1
    with pytest.raises(ValueError, match=r"nonlinearity must be one of .*'tanh'.*, got 'swish'"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        nn.init.kaiming_normal_(mg.zeros((2, 2)), mode="fan")


def test_constants():
    assert nn.init.ones_(mg.zeros(2)).tolist() == [1, 1]
    assert nn.init.zeros_(mg.ones(2)).tolist() == [0, 0]
    assert nn.init.constant_(mg.ones(2), 3).tolist() == [3, 3]


def test_filled_in_place_in_any_dtype_and_memory_order():
    for dtype in (np.float16, np.float32, np.float64):
        t = nn.Parameter(mg.zeros((3, 4), dtype=dtype))
        assert nn.init.uniform_(t, generator=generator()) is t
        assert t.dtype == dtype
        assert t.requires_grad
    straight, turned = mg.zeros((3, 4)), mg.zeros((4, 3)).T
    nn.init.normal_(straight, generator=generator())
    nn.init.normal_(turned, generator=generator())
    assert straight.tolist() == turned.tolist()


def test_the_default_generator_is_the_seeded_one():
    def drawn():
        mg.manual_seed(5)
        return nn.Conv2d(2, 3, 3).weight.tolist(), nn.Linear(3, 2).bias.tolist()

    assert drawn() == drawn()


def test_default_initialisation_of_the_layers():
    mg.manual_seed(0)
    for layer, fan_in in ((nn.Linear(100, 300), 100), (nn.Conv2d(8, 300, 5, groups=2), 100)):
        for p in layer.parameters():
            largest = abs(p.detach().numpy()).max()
            assert 0.95 / math.sqrt(fan_in) < largest <= 1 / math.sqrt(fan_in) * (1 + 1e-6)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(3, 7), (3, 7)),
        (nn.Conv2d(8, 6, (3, 5)), (8 * 15, 6 * 15)),
        (nn.Conv2d(8, 6, (3, 5), groups=2), (4 * 15, 3 * 15)),
        (nn.Conv1d(4, 4, 3, groups=4), (3, 3)),
        (nn.ConvTranspose2d(8, 6, 3), (8 * 9, 6 * 9)),
        (nn.ConvTranspose3d(8, 6, 2, groups=2), (4 * 8, 3 * 8)),
        (nn.Bilinear(3, 4, 5), (12, 20)),
        (nn.Embedding(30, 4), (1, 4)),
        (nn.LocallyConnected2d(2, 3, 9, 5), (50, 75)),
        (nn.Subsampling(6), (4, 1)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_true_fans_count_what_an_output_sees_and_an_input_reaches(layer, expected):
    assert nn.init.fans_of(layer) == expected


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 7), (1, 3)),
        (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 9, 9)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (1, 4, 9, 9)),
        (nn.LocallyConnected2d(2, 3, 9, 3), (1, 2, 9, 9)),
        (nn.Subsampling(2), (1, 2, 8, 8)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_true_fans_are_the_numbers_of_gradients_that_are_not_zero(layer, shape):
    """Of an output in the middle, in all inputs; and of all outputs, in an input in the middle."""
    for p in layer.parameters():
        nn.init.ones_(p)
    fan_in, fan_out = nn.init.fans_of(layer)
    x = mg.ones(shape, requires_grad=True)
    y = layer(x)
    (seen,) = mg.grad(y[(0, 0, *(n // 2 for n in y.shape[2:]))], [x], retain_graph=True)
    assert (seen.numpy() != 0).sum() == fan_in
    bump = np.zeros(shape, np.float32)
    bump[(0, 0, *(n // 2 for n in shape[2:]))] = 1
    assert ((layer(bump) - layer(np.zeros_like(bump))).detach().numpy() != 0).sum() == fan_out


@pytest.mark.parametrize("layer", [nn.Linear(None, 3), nn.Conv2d(None, 4, 3)], ids=lambda v: type(v).__name__)
def test_a_layer_without_a_size_is_not_passed_over(layer):
    for call in (nn.init.fans_of, lambda layer: nn.init.alexnet_(nn.Sequential(nn.Linear(2, 2), layer))):
        with pytest.raises(ValueError, match=rf"{type(layer).__name__}\(.*\) has no size yet: run a batch through the"):
            call(layer)
    layer(mg.zeros((1, 5)) if isinstance(layer, nn.Linear) else mg.zeros((1, 5, 3, 3)))
    assert nn.init.fans_of(layer) == ((5, 3) if isinstance(layer, nn.Linear) else (45, 36))


def test_fans_of_says_what_it_knows():
    with pytest.raises(TypeError, match="fans_of knows the layers with weights, from Linear to Subsampling, got ReLU"):
        nn.init.fans_of(nn.ReLU())


def test_eye_and_dirac_hand_on_their_inputs():
    linear = nn.Linear(4, 4, bias=False)
    nn.init.eye_(linear.weight)
    x = generator().standard_normal((2, 4)).astype(np.float32)
    np.testing.assert_array_equal(linear(x).detach().numpy(), x)
    for dims, groups in ((1, 1), (1, 2), (2, 4), (3, 2)):
        conv = getattr(nn, f"Conv{dims}d")(4, 4, 3, padding=1, groups=groups, bias=False)
        nn.init.dirac_(conv.weight, groups)
        image = generator().standard_normal((2, 4, *(5, 4, 3)[:dims])).astype(np.float32)
        np.testing.assert_array_equal(conv(image).detach().numpy(), image)


def truncated_moments(low, high):
    """Mean and variance of a standard normal number in [low, high], by their closed forms."""
    if high < 0:  # mirrored, where erfc below does not cancel
        mean, variance = truncated_moments(-high, -low)
        return -mean, variance
    density = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) if math.isfinite(z) else 0 for z in (low, high)]
    mass = (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2
    mean = (density[0] - density[1]) / mass
    ends = sum(s * z * d for s, z, d in zip((1, -1), (low, high), density, strict=True) if math.isfinite(z))
    return mean, 1 + ends / mass - mean**2


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0, 1, -2, 2),
        (0, 0.02, -2, 2),
        (0, 1, -0.1, 0.3),
        (1, 2, 0, math.inf),
        (0, 1, -math.inf, -1),
        (0, 1, 4, 5),
        (0, 1, 6, math.inf),
        (3, 0.5, -math.inf, -1),
        (0, 10, -1, 1),
    ],
)
def test_truncated_normal_moments(mean, std, a, b):
    values = nn.init.trunc_normal_(mg.zeros(40000, dtype=np.float64), mean, std, a, b, generator()).numpy()
    assert a <= values.min()
    assert values.max() <= b
    expected, variance = truncated_moments((a - mean) / std, (b - mean) / std)
    assert abs(values.mean() - (mean + std * expected)) < 5 * std * math.sqrt(variance / values.size)
    assert abs(values.var() / (std * std * variance) - 1) < 0.1


def test_truncated_normal_has_its_bounds_in_every_dtype():
    for dtype in (np.float16, np.float32):
        values = nn.init.trunc_normal_(mg.zeros(5000, dtype=dtype), 0.0, 1.0, -0.3, 0.7, generator()).numpy()
        assert np.asarray(-0.3, dtype) <= values.min() < values.max() <= np.asarray(0.7, dtype)
    assert nn.init.trunc_normal_(mg.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3, 3), (40, 2, 3, 3), (1, 1)])
def test_orthogonal(shape):
    w = nn.init.orthogonal_(mg.zeros(shape, dtype=np.float64), 1.5, generator()).numpy().reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), atol=1e-13)


def test_orthogonal_matrices_are_uniformly_distributed():
    """So every entry has mean 0 and variance 1/n, the diagonal too: without the sign rule it would lean to one side."""
    drawn = np.stack([nn.init.orthogonal_(mg.zeros((3, 3)), generator=rng).numpy() for rng in [generator()] * 4000])
    limit = 5 / math.sqrt(3 * 4000)
    assert abs(drawn.mean(0)).max() < limit
    assert abs((drawn**2).mean(0) - 1 / 3).max() < limit


def test_sparse_has_its_zeros_in_every_column():
    w = nn.init.sparse_(mg.zeros((30, 400)), 0.21, 2.0, generator()).numpy()
    assert ((w == 0).sum(0) == 7).all()  # 6.3, rounded up
    assert abs((w == 0).mean(1) - 7 / 30).max() < 5 * math.sqrt(0.25 / 400)  # at any place alike
    assert abs(w[w != 0].std() / 2 - 1) < 0.05
    assert (nn.init.sparse_(mg.ones((4, 2)), 1.0).numpy() == 0).all()
    assert (nn.init.sparse_(mg.zeros((4, 2)), 0.0).numpy() != 0).all()


def test_lenet_uniform_of_a_whole_network():
    net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Subsampling(6), nn.Linear(84, 10))
    for layer in net:
        for p in layer.parameters():
            nn.init.lenet_uniform_(p, nn.init.fans_of(layer)[0], generator())
    for p, fan_in in zip(net.parameters(), (25, 25, 4, 4, 84, 84), strict=True):
        largest = abs(p.detach().numpy()).max()
        assert 0.6 * 2.4 / fan_in < largest <= 2.4 / fan_in


def test_alexnet_says_which_biases_are_one():
    net = nn.Sequential(
        {
            "conv1": nn.Conv2d(3, 40, 5),
            "conv2": nn.Conv2d(40, 30, 5, groups=2),
            "slope": nn.PReLU(3),
            "full": nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 10, bias=False)),
        }
    )
    assert nn.init.alexnet_(net, ["conv2", "full.0"], generator()) is net
    assert set(net.conv1.bias.tolist()) == {0.0}
    assert set(net.conv2.bias.tolist()) == set(net.full[0].bias.tolist()) == {1.0}
    assert net.slope.weight.tolist() == [0.25] * 3
    for layer in (net.conv1, net.conv2, *net.full):
        values = layer.weight.detach().numpy()
        assert abs(values.mean()) < 5 * 0.01 / math.sqrt(values.size)
        assert abs(values.std() / 0.01 - 1) < 5 / math.sqrt(2 * values.size)
    before = net.state_dict()
    for name in ("conv3", "slope", "full", "full.1"):
        with pytest.raises(ValueError, match=rf"ones must hold names of layers with .*'full.0'\], got '{name}'"):
            nn.init.alexnet_(net, [name])
    assert all((value.numpy() == before[key].numpy()).all() for key, value in net.state_dict().items())


@pytest.mark.parametrize(
    "fill",
    [
        lambda t, g: nn.init.trunc_normal_(t, generator=g),
        lambda t, g: nn.init.trunc_normal_(t, a=3.0, b=4.0, generator=g),
        lambda t, g: nn.init.orthogonal_(t, generator=g),
        lambda t, g: nn.init.sparse_(t, 0.5, generator=g),
        lambda t, g: nn.init.lecun_uniform_(t, g),
        lambda t, g: nn.init.lecun_normal_(t, g),
        lambda t, g: nn.init.lenet_uniform_(t, 3, g),
    ],
)
def test_generators(fill):
    def drawn(g, dtype=np.float32, device="cpu"):
        t = mg.zeros((4, 5), dtype=dtype, device=device)
        assert fill(t, g) is t
        return t.tolist()

    mine = generator()
    before = mg.get_rng_state()
    assert drawn(generator()) == drawn(mine) != drawn(mine)
    assert mg.get_rng_state() == before
    mg.manual_seed(1)
    seeded = drawn(None)
    mg.manual_seed(1)
    assert drawn(None) == seeded
    for dtype in (np.float16, np.float64):
        drawn(generator(), dtype)
    with fake_cupy.install():
        assert drawn(generator(), device="cuda") == drawn(generator())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.init.eye_(mg.zeros(3)), r"eye_ fills a matrix, got a tensor of shape \(3,\)"),
        (
            lambda: nn.init.sparse_(mg.zeros((1, 2, 3)), 0.5),
            r"sparse_ fills a matrix, got a tensor of shape \(1, 2, 3\)",
        ),
        (lambda: nn.init.sparse_(mg.zeros((2, 3)), 1.5), "sparsity must be a share, between 0 and 1, got 1.5"),
        (lambda: nn.init.dirac_(mg.zeros((2, 3))), r"dirac_ fills a convolution's weight, .* of shape \(2, 3\)"),
        (
            lambda: nn.init.dirac_(mg.zeros((3, 3, 1)), 2),
            r"groups must divide the first axis, got groups=2 .*\(3, 3, 1\)",
        ),
        (lambda: nn.init.orthogonal_(mg.zeros(3)), r"orthogonal_ fills .* at least two axes, got .* \(3,\)"),
        (lambda: nn.init.trunc_normal_(mg.zeros(3), a=1.0, b=1.0), "a must be below b, got a=1.0 and b=1.0"),
        (lambda: nn.init.trunc_normal_(mg.zeros(3), std=0.0), "std must be above 0, got 0.0"),
        (lambda: nn.init.lenet_uniform_(mg.zeros(3)), r"at least two axes, \(out, in, \*kernel\), got shape \(3,\)"),
        (lambda: nn.init.lenet_uniform_(mg.zeros(3), 0), "fan_in must be at least 1, got 0"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()
