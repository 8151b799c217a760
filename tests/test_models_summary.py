"""Summaries: figures of the papers and of torchvision, brute-force counts, and a model that stays as it was."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from tests.cudaemu import fake_cupy

# ---- the published networks, from layers ----------------------------------------------------------------------------


def alexnet() -> nn.Module:
    """torchvision's."""
    return nn.Sequential(
        nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        ),
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, 1000),
    )


VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
VGG19 = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M")


def vgg_features(table: tuple, batch_norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for entry in table:
        if entry == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, entry, 3, padding=1), *[nn.BatchNorm2d(entry)] * batch_norm, nn.ReLU()]
        channels = entry
    return nn.Sequential(*layers)


def vgg(table: tuple) -> nn.Module:
    return nn.Sequential(
        vgg_features(table),
        *(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000)),
    )


def conv_bn(a: int, b: int, kernel: int, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    layers = [nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b)]
    return [*layers, nn.ReLU()] if relu else layers


def bottleneck(a: int, width: int, stride: int, first: bool, v1: bool) -> nn.Module:
    before, after = (stride, 1) if v1 else (1, stride)
    body = nn.Sequential(
        *conv_bn(a, width, 1, before), *conv_bn(width, width, 3, after), *conv_bn(width, 4 * width, 1, relu=False)
    )
    shortcut = nn.Sequential(*conv_bn(a, 4 * width, 1, stride, relu=False)) if first else None
    return nn.Residual(body, shortcut, nn.ReLU())


def basic(a: int, width: int, stride: int, first: bool, v1: bool) -> nn.Module:
    body = nn.Sequential(*conv_bn(a, width, 3, stride), *conv_bn(width, width, 3, relu=False))
    return nn.Residual(
        body, nn.Sequential(*conv_bn(a, width, 1, stride, relu=False)) if a != width else None, nn.ReLU()
    )


def resnet(block=bottleneck, blocks: tuple = (3, 4, 6, 3), v1: bool = False, narrow: int = 1) -> nn.Module:
    layers: list[nn.Module] = [*conv_bn(3, 64 // narrow, 7, 2), nn.MaxPool2d(3, 2, 1)]
    a = 64 // narrow
    for stage, count in enumerate(blocks):
        width = 64 // narrow * 2**stage
        for i in range(count):
            layers.append(block(a, width, 2 if stage and not i else 1, not i, v1))
            a = width * (4 if block is bottleneck else 1)
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, 1000))


def inception(a: int, *sizes: int) -> nn.Module:
    one, three_reduced, three, five_reduced, five, pooled = sizes
    return nn.Concat(
        nn.Sequential(*conv_bn(a, one, 1)),
        nn.Sequential(*conv_bn(a, three_reduced, 1), *conv_bn(three_reduced, three, 3)),
        nn.Sequential(*conv_bn(a, five_reduced, 1), *conv_bn(five_reduced, five, 3)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), *conv_bn(a, pooled, 1)),
    )


def googlenet(narrow: int = 1) -> nn.Module:
    """torchvision's, without auxiliary heads."""
    table = [
        (192, 64, 96, 128, 16, 32, 32),
        (256, 128, 128, 192, 32, 96, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        (480, 192, 96, 208, 16, 48, 64),
        (512, 160, 112, 224, 24, 64, 64),
        (512, 128, 128, 256, 24, 64, 64),
        (512, 112, 144, 288, 32, 64, 64),
        (528, 256, 160, 320, 32, 128, 128),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        (832, 256, 160, 320, 32, 128, 128),
        (832, 384, 192, 384, 48, 128, 128),
    ]
    n = narrow
    return nn.Sequential(
        nn.Sequential(
            *conv_bn(3, 64 // n, 7, 2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *(*conv_bn(64 // n, 64 // n, 1), *conv_bn(64 // n, 192 // n, 3), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(inception(*(c // n for c in row)) if isinstance(row, tuple) else row for row in table),
        ),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024 // n, 1000)),
    )


def seen(model: nn.Module, size: int, path: str) -> tuple:
    """What the layer sees, and its stride; both axes alike."""
    rows = models.summary(model, (3, size, size)).rows
    row = next(row for row in rows if row.path == path)
    (field,), (stride,) = set(row.receptive_field), set(row.effective_stride)
    return field, stride


# ---- figures of the papers and of torchvision -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "parameters", "multiply_adds"),
    [
        (alexnet, 61_100_840, 714_188_480),
        (resnet, 25_557_032, 4_089_184_256),
        (lambda: resnet(v1=True), 25_557_032, 3_857_973_248),
        (lambda: resnet(basic, (2, 2, 2, 2)), 11_689_512, 1_814_073_344),
        (lambda: resnet(basic), 21_797_672, 3_663_761_408),
        (googlenet, 6_624_904, 1_498_376_192),
    ],
)
def test_totals_are_those_published(make, parameters, multiply_adds):
    totals = models.summary(make(), (3, 224, 224)).totals
    assert (totals.parameters, totals.multiply_adds) == (parameters, multiply_adds)
    assert totals.parameter_bytes == 4 * parameters
    assert totals.trainable_parameters == parameters
    assert totals.unused_parameters == 0


def test_vgg16_as_cs231n_counts_it():
    """The sum of its own rows, not the 24 M that it prints."""
    found = models.summary(vgg(VGG16), (3, 224, 224))
    assert found.totals.parameters == 138_357_544
    assert found.totals.multiply_adds == 15_470_264_320
    assert found.totals.activation_bytes == 4 * 15_237_608
    convolutions = sum(row.parameters for row in found.rows if row.layer == "Conv2d")
    assert (convolutions, *(row.parameters for row in found.rows if row.layer == "Linear")) == (
        14_714_688,
        102_764_544,
        16_781_312,
        4_097_000,
    )
    assert {row.output_shape for row in found.rows if row.layer == "MaxPool2d"} == {
        (64, 112, 112),
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (512, 7, 7),
    }


def test_lenet5():
    found = models.summary(models.lenet5(), (1, 28, 28))
    assert (found.totals.parameters, found.totals.multiply_adds) == (61_706, 416_520)
    assert [row.multiply_adds for row in found.rows if row.multiply_adds] == [117_600, 240_000, 48_000, 10_080, 840]
    sizes = 28 * 28 + 6 * 28 * 28 + 6 * 14 * 14 + 16 * 10 * 10 + 16 * 5 * 5 + 120 + 84 + 10
    assert found.totals.activation_bytes == 4 * sizes
    fields = {row.path: row.receptive_field for row in found.rows}
    assert (fields["features.5"], fields["classifier.1"]) == ((16, 16), (32, 32))  # S4 and C5


@pytest.mark.parametrize(
    ("make", "size", "path", "field", "stride"),
    [
        (alexnet, 224, "0.10", 163, 16),
        (alexnet, 224, "0.12", 195, 32),
        (lambda: vgg_features(VGG11), 32, "20", 150, 32),
        (lambda: vgg_features(VGG16), 32, "28", 196, 16),
        (lambda: vgg_features(VGG16), 32, "30", 212, 32),
        (lambda: vgg_features(VGG16, True), 32, "43", 212, 32),
        (lambda: vgg_features(VGG19), 32, "36", 268, 32),
        (lambda: resnet(narrow=4), 64, "0.19.activation", 427, 32),
        (lambda: resnet(v1=True, narrow=4), 64, "0.19.activation", 483, 32),
        (lambda: resnet(blocks=(3, 4, 23, 3), narrow=8), 64, "0.36.activation", 971, 32),
        (lambda: resnet(blocks=(3, 4, 23, 3), v1=True, narrow=8), 64, "0.36.activation", 1027, 32),
        (lambda: resnet(blocks=(3, 8, 36, 3), narrow=8), 64, "0.53.activation", 1451, 32),
        (lambda: resnet(blocks=(3, 8, 36, 3), v1=True, narrow=8), 64, "0.53.activation", 1507, 32),
        (lambda: resnet(basic, (2, 2, 2, 2), narrow=4), 64, "0.11.activation", 435, 32),
        (lambda: resnet(basic, narrow=4), 64, "0.19.activation", 899, 32),
    ],
)
def test_receptive_fields_are_those_published(make, size, path, field, stride):
    assert seen(make(), size, path) == (field, stride)


@pytest.mark.parametrize("size", [64, 224])
def test_receptive_field_of_googlenet(size):
    """7x7/2, pool 3/2, 1x1, 3x3, pool 3/2; the 5x5 branches (3x3 in torchvision) of nine cells; pools 3/2 and 2/2."""
    field, stride = 1, 1
    for k, s in [(7, 2), (3, 2), (3, 1), (3, 2), (3, 1), (3, 1), (3, 2), *[(3, 1)] * 5, (2, 2), (3, 1), (3, 1)]:
        field, stride = field + (k - 1) * stride, stride * s
    assert seen(googlenet(narrow=4), size, "0.21.1.5") == (field, stride)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (alexnet, 63),
        (lambda: vgg_features(VGG16), 32),
        (lambda: googlenet(narrow=4), 15),
        (lambda: resnet(narrow=8), 1),
    ],
)
def test_smallest_inputs_are_those_of_torchvision(make, size):
    assert models.smallest_input(make()) == (3, size, size)


# ---- every kind of layer, counted with loops ------------------------------------------------------------------------


class Linked(nn.Module):
    """A convolution with a table of connections."""

    table = ((0, 1), (1, 2), (0, 1, 2))

    def __init__(self):
        self.weight = nn.Parameter(mg.ones((7, 3, 3)))

    def forward(self, x):
        return mg.conv(x, self.weight, connections=self.table, padding=1)


class Functional(nn.Module):
    """Parameters, convolutions and products of its own beside a layer."""

    def __init__(self):
        self.weight = nn.Parameter(mg.ones((5, 4, 1, 1)))
        self.inner = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return mg.einsum("nchw,ck->nkhw", mg.conv(mg.relu(self.inner(x)), self.weight), mg.ones((5, 2)))


class Pair(nn.Module):
    def __init__(self):
        self.layer = nn.Bilinear(6, 6, 4)

    def forward(self, x):
        return self.layer(x, x)


def loops(*ranges: int) -> int:
    """How often the innermost line of nested loops runs."""
    return sum(1 for _ in np.ndindex(*ranges))


@pytest.mark.parametrize(
    ("model", "shape", "out", "count"),
    [
        (nn.Conv1d(2, 3, 3, 2), (2, 9), (3, 4), loops(3, 4, 2, 3)),
        (nn.Conv2d(4, 6, (3, 2), padding=1, groups=2), (4, 5, 5), (6, 5, 6), loops(6, 5, 6, 2, 3, 2)),
        (nn.Conv2d(3, 2, 3, dilation=2, bias=False), (3, 7, 7), (2, 3, 3), loops(2, 3, 3, 3, 3, 3)),
        (nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), (3, 4, 4), (2, 4, 4), loops(2, 4, 4, 3, 3, 3)),
        (nn.Conv3d(2, 3, 2), (2, 3, 3, 3), (3, 2, 2, 2), loops(3, 2, 2, 2, 2, 2, 2, 2)),
        (nn.ConvNd(1, 2, (2, 1, 2, 1)), (1, 3, 3, 3, 3), (2, 2, 3, 2, 3), loops(2, 2, 3, 2, 3, 2, 2)),
        (nn.ConvTranspose2d(4, 2, 3, 2, groups=2), (4, 3, 3), (2, 7, 7), loops(4, 3, 3, 1, 3, 3)),
        (nn.ConvTranspose1d(2, 3, 4, 2, 1), (2, 5), (3, 10), loops(2, 5, 3, 4)),
        (nn.LocallyConnected2d(2, 3, 5, 3, 2), (2, 5, 5), (3, 2, 2), loops(2, 2, 3, 2, 3, 3)),
        (nn.Linear(6, 4), (6,), (4,), loops(6, 4)),
        (nn.Linear(6, 4), (5, 6), (5, 4), loops(5, 6, 4)),
        (Pair(), (6,), (4,), loops(4, 6, 6) + loops(4, 6)),  # x1 times the weights, and that times x2
        (Linked(), (3, 4, 4), (3, 4, 4), loops(7, 3, 3, 4, 4)),
        (Functional(), (3, 4, 4), (2, 2, 2), loops(4, 2, 2, 3, 3, 3) + loops(5, 2, 2, 4) + loops(5, 2, 2, 2)),
        (nn.MaxPool2d(2), (3, 4, 4), (3, 2, 2), 0),
        (nn.GELU(), (3, 4, 4), (3, 4, 4), 0),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (3, 4, 4), (3, 8, 8), 0),
        (nn.GroupNorm(3, 3), (3, 4, 4), (3, 4, 4), 0),
    ],
)
def test_multiply_adds_are_those_of_plain_loops(model, shape, out, count):
    found = models.summary(model, shape)
    assert found.rows[-1].output_shape == out
    assert found.totals.multiply_adds == sum(row.multiply_adds for row in found.rows) == count


@pytest.mark.parametrize(
    ("layer", "kept"),
    [
        (nn.ReLU(), False),
        (nn.PReLU(), False),
        (nn.Dropout(), False),
        (nn.Flatten(), False),
        (nn.Identity(), False),
        (nn.AdaptiveAvgPool2d(4), False),  # as large as the input: nothing is pooled
        (nn.MaxPool2d(1), False),
        (nn.MaxPool2d(3, 1, 1), True),
        (nn.AdaptiveAvgPool2d(2), True),
        (nn.BatchNorm2d(3), True),
        (nn.LocalResponseNorm(5), True),
        (nn.Softmax(1), True),
        (nn.ZeroPad2d(1), True),
        (nn.Upsample(scale_factor=2), True),
        (nn.Conv2d(3, 3, 1), True),
    ],
)
def test_activation_bytes_are_those_of_outputs_that_need_memory(layer, kept):
    (row,) = models.summary(layer, (3, 4, 4)).rows
    assert row.activation_bytes == (4 * math.prod(row.output_shape) if kept else 0)


def test_indices_of_a_pool_are_in_memory_too():
    (row,) = models.summary(nn.MaxPool2d(2, return_indices=True), (3, 4, 4)).rows
    assert (row.output_shape, row.activation_bytes) == ((3, 2, 2), 12 * (4 + 8))


def test_double_precision_takes_twice_the_memory():
    single, double = (models.summary(resnet(basic, (1,), narrow=8).to(d), (3, 32, 32)).totals for d in "fd")
    assert (2 * single.parameter_bytes, 2 * single.activation_bytes) == (
        double.parameter_bytes,
        double.activation_bytes,
    )


def test_on_a_device_the_numbers_are_the_same():
    models_of_each = (resnet(basic, (1, 1), narrow=16), Linked(), nn.LocallyConnected2d(3, 3, 16, 3))
    for model in models_of_each:
        here = models.summary(model, (3, 16, 16))
        with fake_cupy.install():
            assert models.summary(model.to("cuda"), (3, 16, 16)) == here
            model.to("cpu")


# ---- receptive fields, measured -------------------------------------------------------------------------------------


class Sliced(nn.Module):
    """A shortcut of option A: every other pixel, and channels of zeros."""

    def __init__(self):
        self.body = nn.Conv2d(1, 2, 3, 2, 1)

    def forward(self, x):
        return self.body(x) + mg.pad(x[..., ::2, ::2], ((0, 0), (0, 1), (0, 0), (0, 0)))


class ChannelsLast(nn.Module):
    """A Linear over the channels of every pixel."""

    def __init__(self):
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return self.linear(x.transpose((0, 2, 3, 1))).transpose((0, 3, 1, 2))


C, S = nn.Conv2d, nn.Sequential


@pytest.mark.parametrize(
    "model",
    [
        C(1, 1, 3),
        S(C(1, 1, 3, 2), C(1, 1, 3, dilation=2), nn.AvgPool2d(2)),
        C(1, 1, (3, 5), (1, 2)),
        C(1, 1, 5, padding="same", padding_mode="reflect"),
        S(nn.ReflectionPad2d(1), C(1, 1, 3), nn.ZeroPad2d(2), C(1, 1, 3)),
        S(C(1, 1, 3, 2), nn.ConvTranspose2d(1, 1, 3, 2)),
        S(C(1, 1, 3, 3), nn.ConvTranspose2d(1, 1, 7, 3)),
        S(C(1, 1, 3, 2), nn.ConvTranspose2d(1, 1, 3, dilation=2)),
        S(nn.AvgPool2d(2), nn.ConvTranspose2d(1, 1, 5, 2, dilation=3)),
        S(nn.AvgPool2d(4), nn.Upsample(scale_factor=2), C(1, 1, 3)),
        S(nn.AvgPool2d(4), nn.Upsample(scale_factor=2, mode="bilinear")),
        S(C(1, 4, 3), nn.PixelShuffle(2), C(1, 1, 3)),
        S(nn.PixelUnshuffle(2), C(4, 1, 3)),
        S(nn.Residual(S(C(1, 1, 3, padding=1), C(1, 1, 3, padding=1)), nn.Identity()), nn.AvgPool2d(2)),
        S(nn.Concat(C(1, 1, 1), C(1, 2, 5, padding=2), S(nn.AvgPool2d(3, 1, 1), C(1, 1, 1))), C(4, 1, 3, 2)),
        S(Sliced(), C(2, 1, 3)),
        S(C(1, 1, 3), ChannelsLast(), nn.AvgPool2d(2)),
        S(nn.LocallyConnected2d(1, 1, 40, 3, 2), C(1, 1, 3)),
        S(nn.AdaptiveAvgPool2d(40), C(1, 1, 3, 2), nn.AdaptiveAvgPool2d(5)),
        S(C(1, 1, 3), nn.LayerNorm(38, elementwise_affine=False), C(1, 1, 3)),
    ],
    ids=repr,
)
def test_receptive_fields_are_where_gradients_come_from(model):
    """The pixels that an output element in the middle depends on, when all weights are positive."""
    found = models.summary(model, (1, 40, 40)).rows[-1]
    enlarges = any(name in repr(model) for name in ("Transpose", "Upsample", "PixelShuffle", "Adaptive"))
    for module in model.modules():  # statistics over the map do not count
        if isinstance(module, nn.LayerNorm):
            module.forward = lambda x: x * 2
    with mg.no_grad():
        for parameter in model.parameters():
            parameter.copy_(mg.ones(parameter.shape))
    image = mg.ones((1, 1, 40, 40), requires_grad=True)
    y = model(image)
    for axis in (2, 3):
        size, middle = y.shape[axis], [n // 2 for n in y.shape]
        spans = []
        for at in range(max(size // 2 - 3, 0), min(size // 2 + 3, size)):
            middle[axis] = at
            (g,) = mg.grad(y[0, 0, middle[2], middle[3]], image, retain_graph=True)
            seen_along = np.flatnonzero(g.numpy()[0, 0].any(axis=3 - axis))
            spans.append((seen_along[0], seen_along[-1]))
        assert max(last - first + 1 for first, last in spans) == found.receptive_field[axis - 2]
        way = (sum(spans[-1]) - sum(spans[0])) / 2  # of the middle of the field
        stride = found.effective_stride[axis - 2]
        # Where a map is enlarged, some elements lie where their neighbours do, but never further than one is from it.
        assert len(spans) > 4
        assert abs(way - stride * (len(spans) - 1)) <= (stride if enlarges else 0)


@pytest.mark.parametrize(
    ("layer", "field", "stride"),
    [
        (nn.GlobalAvgPool(), (8, 8), (8, 8)),
        (nn.AdaptiveMaxPool2d((1, 2)), (8, 4), (8, 4)),
        (nn.AdaptiveAvgPool2d(3), (4, 4), (8 / 3, 8 / 3)),
        (nn.Upsample(scale_factor=2, mode="bicubic"), (4, 4), (0.5, 0.5)),
        (nn.InstanceNorm2d(2), (1, 1), (1, 1)),
        (S(nn.Flatten(), nn.Linear(128, 128)), (8, 8), (8, 8)),
    ],
)
def test_receptive_field_of_a_layer(layer, field, stride):
    row = models.summary(layer, (2, 8, 8)).rows[-1]
    assert row.receptive_field == field
    assert row.effective_stride == pytest.approx(stride)


class By(nn.Module):
    """Some function of the image, and a convolution of what it gives."""

    def __init__(self, function, layer=None):
        self.function = function
        self.layer = layer or nn.Conv2d(2, 2, 3)

    def forward(self, x):
        return self.layer(self.function(x))


@pytest.mark.parametrize(
    ("function", "field"),
    [
        (lambda x: x.mean((2, 3), keepdims=True) * x, (10, 10)),  # as in squeeze and excitation
        (lambda x: x.mean(1, keepdims=True) + x, (3, 3)),
        (lambda x: x.detach(), None),  # what no op made is not known, and what comes of it neither
        (lambda x: mg.interpolate(x, scale_factor=2), None),
        (lambda x: mg.interpolate(x, 16, mode="bilinear") + mg.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4))), None),
        (lambda x: mg.tanh(mg.interpolate(x, scale_factor=2)), None),
    ],
)
def test_receptive_field_of_what_happens_between_the_layers(function, field):
    assert models.summary(By(function), (2, 8, 8)).rows[-1].receptive_field == field


def test_a_mean_over_the_map_is_a_global_pool():
    rows = models.summary(By(lambda x: x.mean((2, 3)), nn.Linear(2, 3)), (2, 6, 8)).rows
    assert (rows[-1].receptive_field, rows[-1].effective_stride) == ((6, 8), (6, 8))


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_a_shared_layer_has_a_row_for_each_call_and_its_parameters_once():
    shared = nn.Linear(3, 3)
    found = models.summary(S(shared, nn.Tanh(), shared), (3,))
    assert [(row.path, row.layer, row.parameters, row.multiply_adds) for row in found.rows] == [
        ("0", "Linear", 12, 9),
        ("1", "Tanh", 0, 0),
        ("0", "Linear", 0, 9),
    ]
    assert (found.totals.parameters, found.totals.multiply_adds) == (12, 18)


def test_tied_weights_count_once():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    found = models.summary(S(first, second), (3,))
    assert [row.parameters for row in found.rows] == [12, 3]
    assert found.totals.parameters == 15


def test_what_a_module_with_layers_has_of_its_own_is_a_row():
    found = models.summary(Functional(), (3, 4, 4))
    assert [(row.path, row.layer, row.parameters) for row in found.rows] == [
        ("inner", "Conv2d", 112),
        ("", "Functional", 20),
    ]
    assert found.totals.unused_parameters == 0


def test_layers_that_are_not_called_and_frozen_ones():
    model = S(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model.head = nn.Linear(2, 50)  # not in the forward of a Sequential that was sliced
    model.forward = lambda x: model[1](model[0](x))
    model[0].requires_grad_(False)
    found = models.summary(model, (3,))
    assert (found.totals.parameters, found.totals.trainable_parameters, found.totals.unused_parameters) == (
        162,
        154,
        150,
    )
    assert found.totals.buffers == 5
    assert "162 (154 trainable, 150 in layers that were not called), 648 bytes" in str(found)


# ---- as text and as data --------------------------------------------------------------------------------------------


def test_data_is_json():
    found = models.summary(S(nn.Conv2d(3, 2, 3, 2), nn.Upsample(scale_factor=4)), (3, 9, 9))
    data = found.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["rows"][1] == {
        "path": "1",
        "layer": "Upsample",
        "output_shape": [2, 16, 16],
        "parameters": 0,
        "multiply_adds": 0,
        "activation_bytes": 2048,
        "receptive_field": [3, 3],
        "effective_stride": [0.5, 0.5],
    }
    assert data["totals"] == asdict(found.totals)
    assert (data["model"], data["input_shape"]) == ("Sequential", [3, 9, 9])


def test_the_table_has_thousands_separators_and_its_columns_are_aligned():
    model = S(nn.Conv2d(3, 64, (3, 5), (1, 2)), nn.ReLU())
    assert str(models.summary(model, (3, 32, 32))).splitlines() == [
        "Sequential, input 3 x 32 x 32",
        "-" * 78,
        "layer  class         output  parameters  multiply-adds    bytes   sees  stride",
        "-" * 78,
        "0      Conv2d  64 x 30 x 14       2,944      1,209,600  107,520  3 x 5   1 x 2",
        "1      ReLU    64 x 30 x 14                                      3 x 5   1 x 2",
        "-" * 78,
        "parameters     2,944 (all trainable), 11,776 bytes",
        "buffers        0",
        "multiply-adds  1,209,600",
        "activations    119,808 bytes, the input included",
    ]


def test_a_table_fits_120_columns():
    model = nn.Conv3d(3, 2048, (1, 2, 3), (1, 2, 3))
    for name in ("a_rather_long_name_of_a_layer", "in_another", "in_one_more", "and_the_outermost_of_all"):
        model = S({name: model})
    text = str(models.summary(model, (3, 10, 60, 90)))
    assert max(map(len, text.splitlines())) == 120
    assert "...rather_long_name_of_a_layer  Conv3d " in text
    assert "1 x 2 x 3" in text


# ---- the model stays as it was --------------------------------------------------------------------------------------


def state(model):
    return [
        [(name, value.tolist()) for name, value in model.state_dict().items()],
        [{key: value for key, value in vars(m).items() if key in ("training", "_hooks")} for m in model.modules()],
        [list(vars(m._hooks).items()) for m in model.modules() if m._hooks is not None],
        [(value.version.count, value.grad) for value in (*model.parameters(), *model.buffers())],
        mg.get_rng_state(),
    ]


class Restless(nn.Module):
    """Counts its calls and draws a number, also in eval mode."""

    def __init__(self):
        self.calls = nn.Buffer(0)

    def forward(self, x):
        with mg.no_grad():
            self.calls.copy_(self.calls + 1)
        return x + mg.rand(1)


def restless():
    model = S(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), S(nn.MaxPool2d(2), nn.DropPath()))
    model[1].eval()
    model[0].register_forward_hook(lambda module, args, out: None)
    return model


@pytest.mark.parametrize("size", [9, 3])
def test_nothing_changes_whether_the_image_fits_or_not(size):
    model = restless()
    before = state(model)
    if size == 9:
        models.summary(model, (3, 9, 9))
    else:
        with pytest.raises(ValueError, match="window does not fit"):
            models.summary(model, (3, 3, 3))
    assert models.smallest_input(model) == (3, 4, 4)
    assert state(model) == before


def test_what_a_layer_changes_in_eval_mode_is_put_back():
    model, numbers = Restless(), mg.get_rng_state()
    models.summary(model, (3,))
    assert (model.calls.item(), mg.get_rng_state()) == (0, numbers)


def test_no_graph_is_recorded_and_no_watcher_stays():
    wanted = []
    model = By(lambda x: wanted.append((mg.is_grad_enabled(), x.requires_grad)) or x)
    models.summary(model, (2, 4, 4))
    assert wanted == [(False, False)]
    assert mg.gradmode.mode.watchers == ()
    assert model(mg.zeros((1, 2, 4, 4))).requires_grad


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_an_image_that_is_too_small_names_the_layer_and_the_smallest():
    with pytest.raises(ValueError, match="the window does not fit on spatial axis 0: input 2") as caught:
        models.summary(alexnet(), (3, 62, 62))
    first, way, last = caught.value.__notes__
    assert first.startswith("in 0.12: MaxPool2d(kernel_size=3, stride=2, padding=0")
    assert "0.5: MaxPool2d (1, 192, 6, 6) -> (1, 192, 2, 2), floor((6 - 3)/2) + 1 = 2" in way
    assert last == "Sequential needs a larger image: the smallest square one is (3, 63, 63), got (3, 62, 62)"


def test_where_the_last_layers_want_a_size():
    with pytest.raises(ValueError, match="Linear expects 400 features, got 144") as caught:
        models.summary(models.lenet5(), (1, 20, 20))
    assert caught.value.__notes__[-1] == (
        "LeNet5 needs a larger image: the smallest square one is (1, 28, 28), got (1, 20, 20)"
    )


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 28, 28)])
def test_where_size_is_not_the_matter_nothing_is_said_of_it(shape):
    with pytest.raises(ValueError, match="expects") as caught:
        models.summary(models.lenet5(), shape)
    assert not any("larger image" in note for note in caught.value.__notes__)


def test_the_search_for_the_smallest_ends_where_only_the_last_layers_refuse():
    calls = []
    model = S(nn.Conv2d(1, 1, 8, 8), By(lambda x: calls.append(x.shape) or x, nn.Flatten()), nn.Linear(400, 1))
    with pytest.raises(ValueError, match="window does not fit") as caught:
        models.summary(model, (1, 4, 4))  # it takes 160 to 167 pixels
    assert not any("larger image" in note for note in caught.value.__notes__)
    assert calls[-1] == (1, 1, 8, 8)
    assert models.smallest_input(model, channels=1) == (1, 160, 160)


def test_a_vector_that_does_not_fit_has_no_smallest_size():
    with pytest.raises(ValueError, match="Linear expects 3 features") as caught:
        models.summary(nn.Linear(3, 1), (2,))
    assert len(caught.value.__notes__) == 1


def test_no_size_fits():
    with pytest.raises(ValueError, match="takes no image with 2 channels and sides of 1 to 30; of the largest it says"):
        models.smallest_input(models.lenet5(), channels=2, limit=30)


def test_other_numbers_of_axes():
    assert models.smallest_input(nn.Conv1d(2, 3, 5), channels=2, dims=1) == (2, 5)
    assert models.smallest_input(nn.Conv3d(2, 3, 5, padding=1), channels=2, dims=3) == (2, 3, 3, 3)


@pytest.mark.parametrize("shape", [(3, 0, 4), (), 224, (3.0, 4), "3x4"])
def test_a_shape_that_is_none(shape):
    with pytest.raises(ValueError, match=r"input_shape must hold the sizes of one image.*\(3, 224, 224\), got"):
        models.summary(nn.ReLU(), shape)


@pytest.mark.parametrize("function", [lambda m: models.summary(m, (3,)), models.smallest_input])
def test_a_model_that_is_none(function):
    with pytest.raises(TypeError, match="model must be a Module, got function"):
        function(lambda x: x)


def test_layers_without_a_size():
    model = S(nn.Conv2d(None, 2, 1), nn.BatchNorm2d(None))
    with pytest.raises(ValueError, match=r"^0.weight, 1.weight, 1.bias, 1.running_mean, 1.running_var of Sequential"):
        models.summary(model, (3, 4, 4))
    model(mg.zeros((2, 3, 4, 4)))
    assert models.summary(model, (3, 4, 4)).totals.parameters == 12
