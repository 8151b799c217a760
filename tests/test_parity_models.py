"""The models against torchvision's: keys, shapes and logits of the same weights, read from files that PyTorch wrote."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

import minigrad as mg
from minigrad import models

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def torchvision():
    """torchvision without its registrations for a compiled library, which the wheel beside this PyTorch lacks."""
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
    try:
        return importlib.import_module("torchvision.models")
    except ImportError as error:
        pytest.skip(f"NOT CHECKED against torchvision: {error}; `make parity` installs it")


# name, the size of the image: the smallest that still has more than one pixel in the last maps
FAMILIES = {
    "alexnet": 95,
    "vgg11": 64,
    "vgg11_bn": 64,
    "vgg13": 64,
    "vgg16_bn": 64,
    "vgg19": 64,
    "googlenet": 64,
    "resnet18": 64,
    "resnet34": 64,
    "resnet50": 64,
    "resnet101": 64,
    "resnet152": 64,
    "resnext50_32x4d": 64,
    "resnext101_32x8d": 64,
    "wide_resnet50_2": 64,
    "densenet121": 64,
    "densenet161": 64,
    "densenet169": 64,
    "densenet201": 64,
}


def theirs_of(torchvision, name, **options):
    """Their model, in eval mode, with statistics and weights that are not the first ones."""
    torch.manual_seed(0)
    if name == "googlenet":
        options = {"init_weights": False, "aux_logits": True, **options}
    model = getattr(torchvision, name)(**options).eval()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
    return model


def images(size, n=2):
    return np.random.default_rng(0).standard_normal((n, 3, size, size)).astype(np.float32)


def error(ours, theirs):
    return abs(ours - theirs).max() / abs(theirs).max()


@pytest.mark.parametrize("name", FAMILIES)
def test_keys_and_shapes(name, torchvision):
    theirs = theirs_of(torchvision, name)
    expected = [(key, tuple(value.shape)) for key, value in theirs.state_dict().items()]
    ours = models.get(name)
    assert [(key, value.shape) for key, value in ours._targets().items()] == expected


# one of each family: the file as PyTorch writes it, loaded by the option `weights`
@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet50", "resnext50_32x4d", "densenet121"]
)
def test_logits_of_the_same_weights(name, torchvision, tmp_path):
    theirs = theirs_of(torchvision, name)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    if name == "googlenet":
        theirs.transform_input = True  # what their own loading does
    ours = models.get(name, weights=tmp_path / "weights.pth").eval()
    x = images(FAMILIES[name])
    with mg.no_grad(), torch.no_grad():
        assert error(ours(x).numpy(), theirs(torch.tensor(x)).numpy()) <= 1e-5


def test_logits_with_the_stem_for_small_images(torchvision):
    theirs = theirs_of(torchvision, "resnet18", num_classes=10)
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    theirs.maxpool = torch.nn.Identity()
    ours = models.resnet18(num_classes=10, stem="cifar").eval()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = images(32)
    with mg.no_grad(), torch.no_grad():
        assert error(ours(x).numpy(), theirs(torch.tensor(x)).numpy()) <= 1e-5


def test_googlenet_with_its_heads_while_training(torchvision, tmp_path):
    theirs = theirs_of(torchvision, "googlenet", dropout=0.0, dropout_aux=0.0).train().double()
    ours = models.googlenet(dropout=0.0, dropout_aux=0.0).to("float64")
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = images(64).astype(np.float64)  # batch norms of a few values multiply what is rounded
    got, expected = ours(x), theirs(torch.tensor(x))
    assert got._fields == expected._fields
    for a, b in zip(got, expected, strict=True):
        assert error(a.detach().numpy(), b.detach().numpy()) <= 1e-9


def test_old_names_of_a_densenet(torchvision, tmp_path):
    theirs = theirs_of(torchvision, "densenet121")
    state = {}
    for key, value in theirs.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            key = key.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.") if "denselayer" in key else key
        if not key.endswith("num_batches_tracked"):
            state[key] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    ours = models.densenet121(weights=tmp_path / "old.pth").eval()
    x = images(64)
    with mg.no_grad(), torch.no_grad():
        assert error(ours(x).numpy(), theirs(torch.tensor(x)).numpy()) <= 1e-5


def test_shared_weights_of_a_cifar_resnet(tmp_path):
    """The form of the checkpoints that people share: trained on several GPUs, with what surrounds a training."""
    net = models.resnet20_cifar()
    state = {f"module.{key}": torch.tensor(value.numpy()) for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.7}, tmp_path / "resnet20.th")
    other = models.resnet20_cifar(weights=tmp_path / "resnet20.th").eval()
    x = images(32)
    np.testing.assert_array_equal(other(x).detach().numpy(), net.eval()(x).detach().numpy())


def test_gradients_of_a_resnet(torchvision):
    theirs = theirs_of(torchvision, "resnet18", num_classes=5).train()
    ours = models.resnet18(num_classes=5)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    ours.to("float64")
    theirs.double()
    x, target = images(64).astype(np.float64), np.array([1, 3])
    mg.cross_entropy(ours(x), target).backward()
    torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target)).backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert error(p.grad.numpy(), q.grad.numpy()) <= 1e-7, name
