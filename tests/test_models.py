"""The architectures: parameters against the published figures, shapes of the stages, and that each of them learns."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn

# FACTS: torchvision's published metadata where it has the model, else counted from the papers
PARAMETERS = {
    "lenet5": 61_706,
    "lenet5_1998": 60_000,
    "lecun1989": 9_760,
    "alexnet": 61_100_840,
    "alexnet_2012": 60_965_224,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg11_lrn": 132_863_336,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg16_c": 133_638_952,
    "vgg16_c_bn": 133_647_400,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "googlenet": 13_004_888,
    "googlenet_2014": 13_378_280,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet50_v1": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "resnet20_cifar": 269_722,
    "resnet32_cifar": 464_154,
    "resnet44_cifar": 658_586,
    "resnet56_cifar": 853_018,
    "resnet110_cifar": 1_727_962,
    "resnet1202_cifar": 19_421_274,
}


@pytest.fixture
def undrawn(monkeypatch):
    """Weights are not drawn where only their shapes count: for a VGG that takes seconds."""
    for name in ("uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **options: tensor)


def parameters(model):
    return sum(p.size for p in model.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name, undrawn):
    assert parameters(models.get(name)) == PARAMETERS[name]


# convolutions and linear layers, for one image of 224x224, of 32x32 for the CIFAR family; FACTS
MULTIPLY_ADDS = {
    "alexnet": 714_188_480,
    "alexnet_2012": 724_406_816,
    "vgg11": 7_609_090_048,
    "vgg11_bn": 7_609_090_048,
    "vgg13": 11_308_466_176,
    "vgg16": 15_470_264_320,
    "vgg16_c": 11_770_888_192,
    "vgg19": 19_632_062_464,
    "googlenet": 1_498_376_192,
    "googlenet_2014": 1_582_671_872,
    "resnet18": 1_814_073_344,
    "resnet34": 3_663_761_408,
    "resnet50": 4_089_184_256,
    "resnet50_v1": 3_857_973_248,
    "resnet101": 7_801_405_440,
    "resnet152": 11_513_626_624,
    "resnext50_32x4d": 4_230_479_872,
    "resnext101_32x8d": 16_414_015_488,
    "wide_resnet50_2": 11_398_021_120,
    "densenet121": 2_834_161_664,
    "densenet161": 7_727_907_072,
    "densenet169": 3_359_843_328,
    "densenet201": 4_291_365_888,
    "resnet20_cifar": 40_551_040,
    "resnet32_cifar": 68_862_592,
    "resnet44_cifar": 97_174_144,
    "resnet56_cifar": 125_485_696,
    "resnet110_cifar": 252_887_680,
}


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds(name, undrawn):
    shape = (3, 32, 32) if name.endswith("cifar") else (3, 224, 224)
    assert models.summary(models.get(name), shape).totals.multiply_adds == MULTIPLY_ADDS[name]


def test_parameters_and_multiply_adds_of_each_inception_module(undrawn):
    """The exact figures of table 1's cells, whose printed ones are rounded, and some of them wrong."""
    expected = {
        "3a": (163_696, 128_049_152),
        "3b": (388_736, 304_267_264),
        "4a": (376_176, 73_608_192),
        "4b": (449_160, 87_908_352),
        "4c": (510_104, 99_850_240),
        "4d": (605_376, 118_515_712),
        "4e": (868_352, 169_996_288),
        "5a": (1_043_456, 51_079_168),
        "5b": (1_444_080, 70_697_984),
    }
    net = models.googlenet_2014()
    rows = models.summary(net, (3, 224, 224)).rows
    for cell, figures in expected.items():
        own = [row for row in rows if row.path.startswith(f"inception{cell}.")]
        assert (sum(row.parameters for row in own), sum(row.multiply_adds for row in own)) == figures


@pytest.mark.parametrize(("name", "size"), [("alexnet", 63), ("vgg11", 32), ("googlenet", 15), ("resnet18", 1)])
def test_the_smallest_input(name, size, undrawn):
    assert models.smallest_input(models.get(name, width=0.125)) == (3, size, size)
    if size > 1:
        with pytest.raises(ValueError, match="window"):
            models.summary(models.get(name, width=0.125), (3, size - 1, size - 1))


# AlexNet, VGG-16 and the ResNets as google-research/receptive_field prints them
@pytest.mark.parametrize(
    ("name", "path", "field"),
    [
        ("alexnet", "features.12", 195),
        ("vgg16", "features.30", 212),
        ("resnet50", "layer4.2.bn3", 427),
        ("resnet50_v1", "layer4.2.bn3", 483),
        ("resnet18", "layer4.1.bn2", 435),
        ("resnet101", "layer4.2.bn3", 971),
    ],
)
def test_receptive_fields(name, path, field, undrawn):
    rows = {row.path: row for row in models.summary(models.get(name, width=0.125), (3, 224, 224)).rows}
    assert rows[path].receptive_field == (field, field)
    assert rows[path].effective_stride == (32, 32)


def test_parameters_of_single_layers(undrawn):
    """Where the sources give them."""
    expected = {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }
    net = models.alexnet_2012()
    assert {name: parameters(net.get_submodule(name)) for name in expected} == expected
    net = models.vgg16()
    assert parameters(net.features) == 14_714_688
    assert [parameters(net.classifier[i]) for i in (0, 3, 6)] == [102_764_544, 16_781_312, 4_097_000]
    assert sum(p.size for name, p in net.named_parameters() if name.endswith("weight")) == 138_344_128


def test_parameters_of_variants(undrawn):
    for model, count in (
        (models.googlenet(aux_logits=False), 6_624_904),
        (models.googlenet_2014(aux_logits=False), 6_998_552),
        (models.nin(num_classes=10, in_channels=1), 1_992_166),
        (models.resnet18(num_classes=10, stem="cifar"), 11_173_962),
        (models.resnet20_cifar(shortcut="B"), 272_474),
        (models.resnet56_cifar(shortcut="B"), 855_770),
        (models.resnet110_cifar(shortcut="B"), 1_730_714),
    ):
        assert parameters(model) == count
    # option A has no projections; C has one in every block
    blocks, expansion = {18: 8, 34: 16}, 1
    for depth, count in blocks.items():
        by_kind = {kind: models.get(f"resnet{depth}", shortcut=kind) for kind in ("A", "B", "C", "none")}
        projections = {
            kind: sum(isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) for m in net.modules())
            for kind, net in by_kind.items()
        }
        assert projections == {"A": 0, "B": 3, "C": count, "none": 0}
        assert parameters(by_kind["A"]) == parameters(by_kind["none"]) == parameters(models.get(f"plain{depth}"))
    assert expansion == 1


@pytest.mark.parametrize(
    "name", [n for n in models.names() if not n.startswith(("lenet", "lecun")) and n != "resnet1202_cifar"]
)
def test_every_model_takes_a_width_and_other_classes(name):
    model = models.get(name, width=0.125, num_classes=6).eval()
    size = 32 if "cifar" in name else 223 if name == "alexnet_2012" else 95
    with mg.no_grad():
        assert model(np.zeros((1, 3, size, size), np.float32)).shape == (1, 6)


# ---- shapes of the stages -------------------------------------------------------------------------------------------


def stages(model, size, paths, in_channels=3):
    """The output shape of each of these modules for one image, without the batch."""
    shapes = {}
    with mg.no_grad():
        for path in paths:
            model.get_submodule(path).register_forward_hook(
                lambda module, args, out, path=path: shapes.update({path: out.shape[1:]})
            )
        model.eval()(np.zeros((1, in_channels, size, size), np.float32))
    return list(shapes.values())


def test_stages_of_alexnet(undrawn):
    paths = ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5", "fc6", "fc8"]
    assert stages(models.alexnet_2012(), 224, paths) == [
        (96, 55, 55),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
        (4096,),
        (1000,),
    ]
    assert stages(models.alexnet(), 224, ["features.0", "features.2", "features.12"]) == [
        (64, 55, 55),
        (64, 27, 27),
        (256, 6, 6),
    ]


def test_stages_of_googlenet(undrawn):
    paths = ["maxpool1", "maxpool2", *(f"inception{cell}" for cell in models.googlenet.__globals__["INCEPTIONS"])]
    expected = [(64, 56, 56), (192, 28, 28), (256, 28, 28), (480, 28, 28)]
    expected += [(512, 14, 14)] * 3 + [(528, 14, 14), (832, 14, 14), (832, 7, 7), (1024, 7, 7)]
    assert stages(models.googlenet(), 224, paths) == expected
    assert stages(models.googlenet_2014(), 224, paths) == expected


def test_stages_of_vgg_and_resnet(undrawn):
    pools = [str(i) for i, layer in enumerate(models.vgg11(width=0.1).features) if isinstance(layer, nn.MaxPool2d)]
    shapes = stages(models.vgg11(), 64, [f"features.{i}" for i in pools])
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    paths = ["conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    for name, factor in (("resnet18", 1), ("resnet50", 4), ("resnet50_v1", 4), ("resnet18_v2", 1)):
        shapes = stages(models.get(name), 64, paths)
        outs = [(64 * factor, 16, 16), (128 * factor, 8, 8), (256 * factor, 4, 4), (512 * factor, 2, 2)]
        assert shapes == [(64, 32, 32), (64, 16, 16), *outs]
    shapes = stages(models.resnet18(stem="cifar"), 32, paths)
    assert shapes == [(64, 32, 32), (64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    shapes = stages(models.resnet20_cifar(), 32, ["layer1", "layer2", "layer3"])
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    shapes = stages(models.densenet121(), 64, [f"features.denseblock{i}" for i in range(1, 5)])
    assert shapes == [(256, 16, 16), (512, 8, 8), (1024, 4, 4), (1024, 2, 2)]


def test_the_stride_of_v1_is_in_the_first_convolution(undrawn):
    for version, strides in (("v1", [2, 1, 1]), ("v1.5", [1, 2, 1])):
        block = models.resnet50(version=version).layer2[0]
        assert [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)] == strides


@pytest.mark.parametrize("width", [0.1, 0.3])
def test_inception_modules_of_any_width_fit_each_other(width):
    for net, size in ((models.googlenet, 64), (models.googlenet_2014, 224)):
        out = net(width=width, num_classes=3)(np.zeros((2, 3, size, size), np.float32))
        assert {v.shape for v in out} == {(2, 3)}
        with pytest.raises(
            TypeError, match="cross_entropy needs one tensor, got a Outputs of 3: pass one of its fields"
        ):
            mg.cross_entropy(out, np.array([0, 1]))


def test_weights_that_are_not_there():
    with pytest.raises(FileNotFoundError, match="no saved weights at DEFAULT") as caught:
        models.resnet18(width=0.1, weights="DEFAULT")
    assert caught.value.__notes__ == [
        "`weights` is the path of a file: nothing is downloaded, and names of weights are not known"
    ]


# ---- AlexNet's two towers -------------------------------------------------------------------------------------------


def test_two_towers_are_the_grouped_network():
    single = models.alexnet_2012(num_classes=10, width=0.125).to("float64").eval()
    towers = models.alexnet_2012(num_classes=10, width=0.125, towers=True).to("float64").eval().load_single(single)
    assert parameters(towers) == parameters(single)
    x = np.random.default_rng(0).standard_normal((2, 3, 224, 224))
    a, b = single(x), towers(x)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-14)
    for net, y in ((single, a), (towers, b)):
        net.zero_grad()
        (y * y).sum().backward()
    whole = single.conv2.weight.grad.numpy()
    for i in range(2):
        half = towers.towers[i].conv2.weight.grad.numpy()
        np.testing.assert_allclose(half, whole[i * 16 : (i + 1) * 16], rtol=1e-9, atol=1e-12 * abs(whole).max())


def test_the_towers_talk_at_conv3_and_the_fully_connected_layers_only(monkeypatch):
    towers = models.alexnet_2012(num_classes=10, width=0.125, towers=True).eval()
    crossings, seen = [], []
    plain = towers.transfer

    def counted(halves):
        crossings.append([h.shape[1:] for h in halves])
        return plain(halves)

    monkeypatch.setattr(models.AlexNetTowers, "transfer", lambda self, halves: counted(halves))
    for tower in towers.towers:
        for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
            tower.get_submodule(name).register_forward_pre_hook(
                lambda module, args, name=name: seen.append((name, args[0].shape[1]))
            )
    towers(np.zeros((1, 3, 224, 224), np.float32))
    assert [shapes[0] for shapes in crossings] == [(16, 13, 13), (16, 6, 6), (256,), (256,)]
    inputs = dict(seen)  # what each layer of a tower sees: the channels of both only after a transfer
    assert inputs == {
        "conv1": 3,
        "conv2": 6,
        "conv3": 32,
        "conv4": 24,
        "conv5": 24,
        "fc6": 32 * 36,
        "fc7": 512,
        "fc8": 512,
    }
    with pytest.raises(ValueError, match="num_classes must be even, each tower gives half of them; got 5"):
        models.alexnet_2012(num_classes=5, towers=True)


def test_alexnet_begins_as_published():
    net = models.alexnet_2012(width=0.25)
    for name, layer in net.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert set(layer.bias.tolist()) == {1.0 if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0}
            assert layer.weight.numpy().std() == pytest.approx(0.01, rel=0.1)


# ---- residual blocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_block_whose_last_batch_norm_is_zero_is_the_identity(name):
    net = models.get(name, zero_init_residual=True, width=0.25)
    block = net.layer1[1]
    channels = block.last_norm().num_features
    x = abs(np.random.default_rng(0).standard_normal((2, channels, 6, 6))).astype(np.float32)
    for training in (True, False):
        np.testing.assert_array_equal(block.train(training)(x).detach().numpy(), x)
    assert (block(-x).detach().numpy() == 0).all()  # and relu below 0


def test_option_a_takes_every_other_pixel_and_adds_maps_of_zeros():
    block = models.resnet20_cifar().layer2[0]
    x = np.random.default_rng(0).standard_normal((2, 16, 8, 8)).astype(np.float32)
    y = block.downsample(mg.asarray(x)).numpy()
    np.testing.assert_array_equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def first_gradient(**options):
    """The norm of the gradient of the first layer of a network of 34 layers, at its first weights."""
    mg.manual_seed(0)
    net = models.resnet34(num_classes=10, **options)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    mg.cross_entropy(net(x), np.array([1, 7])).backward()
    return float(np.linalg.norm(net.conv1.weight.grad.numpy().astype(np.float64)))


def test_shortcuts_keep_the_gradient_alive():
    """Without batch norm the plain network's vanishes; with it neither does, which is what the paper found."""
    residual, plain = (first_gradient(batch_norm=False, shortcut=kind) for kind in ("B", "none"))
    assert plain < residual / 1e6
    residual, plain = (first_gradient(shortcut=kind) for kind in ("B", "none"))
    assert residual / 100 < plain < residual * 100


# ---- learning -------------------------------------------------------------------------------------------------------

# a quarter wide, at the smallest image that the family takes: size, learning rate, options
LEARNERS = {
    "alexnet": (63, 1e-3, {}),
    "alexnet_2012": (223, 7e-4, {}),
    "vgg11": (32, 1e-3, {}),
    "vgg16_bn": (32, 1e-3, {}),
    "nin": (67, 2e-3, {"last_relu": False, "num_classes": 20}),
    "googlenet": (15, 3e-3, {"aux_logits": False}),
    "resnet18": (1, 3e-3, {}),
    "resnet50": (1, 3e-3, {}),
    "resnet18_v2": (1, 3e-3, {}),
    "resnext50_32x4d": (1, 3e-3, {}),
    "resnet20_cifar": (1, 1e-2, {}),
    "densenet121": (29, 3e-3, {}),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_it_overfits_one_batch(name):
    size, lr, options = LEARNERS[name]
    mg.manual_seed(0)
    net = models.get(name, **{"num_classes": 4, "width": 0.25, **options})
    assert models.smallest_input(net) == (3, size, size)
    for module in net.modules():
        if isinstance(module, (nn.Dropout, nn.UnscaledDropout)):
            module.p = 0.0
    rng = np.random.default_rng(0)
    n = 4 if name == "alexnet_2012" else 8
    x = rng.standard_normal((n, 3, size, size)) + 2 * rng.standard_normal((n, 3, 1, 1))  # noise, each in its own colour
    x, target = x.astype(np.float32), np.arange(n) % 4
    optimizer = nn.optim.Adam(net.parameters(), lr=lr)
    losses = []
    for _ in range(100):
        loss = mg.cross_entropy(net(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.05:
            break
    assert losses[-1] < 0.1 * losses[0]


# ---- by name --------------------------------------------------------------------------------------------------------


def test_names():
    assert models.names() == sorted(set(models.names()))
    assert set(PARAMETERS) <= set(models.names())
    with pytest.raises(ValueError, match="there is no model 'resnet51': did you mean resnet50"):
        models.get("resnet51")
    with pytest.raises(ValueError, match=r"there is no model 'transformer': models.names\(\) lists them"):
        models.get("transformer")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: models.resnet18(groups=2),
            "a block of two 3x3 convolutions has groups=1 and width_per_group=64, got 2",
        ),
        (lambda: models.ResNetCifar(21), r"depth must be 6n \+ 2 with n of at least 1, as 20, 32 or 110; got 21"),
        (
            lambda: models.vgg11(width=0.1, init="xavier"),
            "init must be 'kaiming', 'std 0.01' or 'std 0.1', got 'xavier'",
        ),
        (lambda: models.VGG("Z"), "configuration must be 'A', 'A-LRN', 'B', 'C', 'D' or 'E', got 'Z'"),
        (lambda: models.ResNet(20), "depth must be 18, 34, 50, 101 or 152, got 20"),
        (lambda: models.ResNetV2(20), "depth must be 18, 34, 50, 101 or 152, got 20"),
        (lambda: models.DenseNet(5), "depth must be 121, 161, 169 or 201, got 5"),
        (lambda: models.resnet18(version="v3"), "version must be 'v1' or 'v1.5', got 'v3'"),
        (lambda: models.resnet18(shortcut="D"), "shortcut must be 'A', 'B', 'C' or 'none', got 'D'"),
        (lambda: models.resnet18(stem="small"), "stem must be 'imagenet' or 'cifar', got 'small'"),
        (lambda: models.resnet18(zero_init_residual=True, batch_norm=False), "sets weights of batch norms, but batch"),
        (lambda: models.resnet18(width=0), "width must be positive, got 0"),
    ],
)
def test_what_they_refuse(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_how_vgg_may_begin():
    stds = {}
    for init in ("kaiming", "std 0.01", "std 0.1"):
        net = models.vgg16(width=0.25, num_classes=10, init=init)
        with mg.no_grad():
            stds[init] = net(np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype("f")).numpy().std()
    assert stds["std 0.01"] < 1e-6 < stds["kaiming"] < 1 < stds["std 0.1"]  # it vanishes, lasts, and explodes


# ---- the page -------------------------------------------------------------------------------------------------------


def test_the_page_of_models(undrawn):
    """docs/models.md: its examples run, its table is what the networks are, and its links lead somewhere."""
    root = Path(__file__).parent.parent
    text = (root / "docs" / "models.md").read_text()
    test = doctest.DocTestParser().get_doctest(text, {}, "models.md", "models.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
    sizes = {"lecun1989": (1, 16, 16), "lenet5": (1, 28, 28), "lenet5_1998": (1, 32, 32)}
    lines = []
    for name in models.names():
        shape = sizes.get(name, (3, 32, 32) if name.endswith("cifar") else (3, 224, 224))
        totals = models.summary(models.get(name), shape).totals
        published = f"{PARAMETERS[name]:,}" if name in PARAMETERS else ""
        counted = f"{totals.parameters:,} | {totals.multiply_adds:,}"
        lines.append(f"| `{name}` | {' x '.join(map(str, shape))} | {counted} | {published} |")
    assert "\n".join(lines) in text
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (root / "docs" / target).exists(), target


def test_the_measured_ratio_is_as_large_as_the_page_says():
    found = json.loads((Path(__file__).parent.parent / "bench" / "results" / "skip_connections.json").read_text())
    ratio = found["first layer, with shortcuts to plain"]
    assert ratio["no batch norm"] > 1e13
    assert 0.01 < ratio["batch norm"] < 100
