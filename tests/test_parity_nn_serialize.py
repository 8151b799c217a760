"""Saved weights against PyTorch: what each writes, the other reads, to the last bit."""

import collections

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.parity

FORMATS = [
    pytest.param({"_use_new_zipfile_serialization": new, "pickle_protocol": protocol}, id=f"{name}-{protocol}")
    for new, name in ((True, "zip"), (False, "legacy"))
    for protocol in (2, 3, 4, 5)
]
DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


def same(ours, theirs):
    """Equal dtype, shape and bytes; bfloat16 in float32."""
    theirs = theirs.detach().cpu()
    theirs = (theirs.float() if theirs.dtype == torch.bfloat16 else theirs).numpy()
    assert type(ours) is mg.Tensor
    assert not ours.requires_grad
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.numpy().tobytes() == theirs.tobytes()


def every_kind():
    torch.manual_seed(0)
    tensors = {name: (torch.randn(3, 4) * 5).to(getattr(torch, name)) for name in DTYPES}
    shared = torch.randn(4, 6)
    return tensors | {
        "special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "bfloat16": torch.randn(5, 7).bfloat16(),
        "bfloat16 special": torch.tensor([float("nan"), float("-inf"), -0.0, 1e-40, 3e38]).bfloat16(),
        "bfloat16 columns": torch.randn(5, 7).bfloat16().t(),
        "uint16": torch.tensor([[0, 1], [2, 65535]], dtype=torch.uint16),
        "uint32": torch.tensor([[0, 1], [2, 2**32 - 1]], dtype=torch.uint32).t(),
        "uint64": torch.tensor([0, 2**64 - 1], dtype=torch.uint64)[1:],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "part": shared[1:3, 2:5],
        "every other": shared[::2, ::3],
        "columns": shared.t(),
        "whole": shared,
        "expanded": torch.randn(3, 1).expand(3, 4),
        "diagonal": torch.randn(4, 4).diagonal(),
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "gradient": torch.randn(2, 2, requires_grad=True),
    }


@pytest.mark.parametrize("options", FORMATS)
def test_every_kind_of_tensor(tmp_path, options):
    tensors = every_kind()
    torch.save(tensors, tmp_path / "x.pth", **options)
    loaded = nn.load(tmp_path / "x.pth")
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        same(loaded[name], tensor)


@pytest.mark.parametrize("options", FORMATS)
def test_state_dict_of_a_module_and_checkpoint(tmp_path, options):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )
    net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), betas=(0.8, 0.9))
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5, 5])
    net(torch.randn(3, 1, 4, 4)).sum().backward()
    optimizer.step()
    state = net.state_dict()
    assert state._metadata
    torch.save(state, tmp_path / "state.pth", **options)
    loaded = nn.load(tmp_path / "state.pth")
    assert type(loaded) is dict
    assert list(loaded) == list(state)
    for name, tensor in state.items():
        same(loaded[name], tensor)
    checkpoint = {
        "epoch": 3, "loss": [0.5, 0.25, float("inf")], "best": None, "name": "Größe", "done": False, "seed": 2**70,
        "shape": torch.Size([2, 3]), "history": collections.OrderedDict(accuracy=(0.5, 0.75)),
        "model": state, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
    }  # fmt: skip
    torch.save(checkpoint, tmp_path / "checkpoint.pth", **options)

    def compare(ours, theirs):
        if isinstance(theirs, torch.Tensor):
            same(ours, theirs)
        elif isinstance(theirs, dict):
            assert type(ours) is dict
            assert list(ours) == list(theirs)
            for key, value in theirs.items():
                compare(ours[key], value)
        elif isinstance(theirs, (list, tuple)):
            assert len(ours) == len(theirs)
            for pair in zip(ours, theirs, strict=True):
                compare(*pair)
        else:
            assert type(ours) is type(theirs)
            assert ours == theirs

    compare(nn.load(tmp_path / "checkpoint.pth"), checkpoint)


@pytest.mark.parametrize("new", [True, False])
def test_lenet_from_a_pth_file_computes_the_same(tmp_path, new):
    t = torch.nn
    theirs = t.Module()
    theirs.features = t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.Tanh(), t.AvgPool2d(2), t.Conv2d(6, 16, 5), t.Tanh(), t.AvgPool2d(2)
    )
    theirs.classifier = t.Sequential(
        t.Flatten(), t.Linear(400, 120), t.Tanh(), t.Linear(120, 84), t.Tanh(), t.Linear(84, 10)
    )
    torch.save(theirs.state_dict(), tmp_path / "lenet.pth", _use_new_zipfile_serialization=new)
    ours = models.lenet5()
    ours.load_state_dict(nn.load(tmp_path / "lenet.pth"))
    x = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
    expected = theirs.classifier(theirs.features(torch.tensor(x))).detach().numpy()
    assert abs(ours(x).detach().numpy() - expected).max() <= 1e-5 * abs(expected).max()


def test_safetensors_both_ways(tmp_path):
    kinds = [*DTYPES, "uint16", "uint32", "uint64"]
    rng = np.random.default_rng(0)
    arrays = {name: (rng.standard_normal((3, 4)) * 5).astype(np.int64).astype(name) for name in kinds}
    image = rng.standard_normal((5, 5, 3, 7)).astype(np.float32).transpose(3, 2, 0, 1)
    arrays |= {"image": image, "scalar": np.array(1.5), "empty": np.zeros((0, 3), np.float32)}
    nn.save(arrays, tmp_path / "ours.safetensors")
    theirs = safetensors.load_file(tmp_path / "ours.safetensors")
    assert sorted(theirs) == sorted(arrays)
    for name, array in arrays.items():
        assert theirs[name].numpy().dtype == array.dtype
        assert tuple(theirs[name].shape) == array.shape
        assert theirs[name].numpy().tobytes() == array.tobytes()
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in every_kind().items()}
    safetensors.save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    loaded = nn.load(tmp_path / "theirs.safetensors")
    assert sorted(loaded) == sorted(tensors)
    for name, tensor in tensors.items():
        same(loaded[name], tensor)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.nn.Linear(2, 1),
            r"it holds 'torch\.nn\.modules\.linear\.Linear', .* save model\.state_dict\(\)",
        ),
        (lambda: {"x": torch.ones(2, dtype=torch.complex64)}, r"it holds 'torch\.ComplexFloatStorage'"),
        (lambda: {"x": torch.ones(2, dtype=torch.complex64).conj().imag}, r"conj or neg bit set: call \.resolve_conj"),
        (lambda: {"x": torch.ones(2).to_sparse()}, r"it holds 'torch\._utils\._rebuild_sparse_tensor'"),
        (lambda: {"x": torch.ones(2, dtype=torch.float8_e4m3fn)}, r"it holds 'torch\.float8_e4m3fn'"),
        (lambda: {"x": torch.ones(2, device="meta")}, r"it holds 'torch\._utils\._rebuild_meta_tensor_no_storage'"),
        (lambda: {"x": np.float64(3)}, r"it holds 'numpy.*scalar'"),
        (lambda: {"x": {1, 2}}, r"it holds '.*\.set'"),
        (lambda: {"x": torch.ones(2).untyped_storage()}, "belongs to no tensor"),
        (lambda: {"x": torch.float32}, "belongs to no tensor"),
        (lambda: {(1, 2): 3}, "neither a str nor an int: tuple"),
        (lambda: torch.ones(2), "it holds no dict of names but a Tensor"),
        (lambda: [torch.ones(2)], "it holds no dict of names but a list"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code", "ignore:TypedStorage is deprecated")
def test_what_is_no_weights(tmp_path, make, message, new):
    torch.save(make(), tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=rf"cannot load .*x\.pth: .*{message}"):
        nn.load(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore:.*torch.jit.:DeprecationWarning")
def test_torchscript(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 1)).save(str(tmp_path / "x.pt"))
    with pytest.raises(ValueError, match="it is a TorchScript archive, which holds a program: load it in PyTorch and"):
        nn.load(tmp_path / "x.pt")


def test_their_tensors_are_not_ours_to_save(tmp_path):
    with pytest.raises(TypeError, match=r"nn\.save takes names with Tensors or arrays of numbers, got 'x': Tensor"):
        nn.save({"x": torch.ones(2)}, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_our_writer_in_the_tests_writes_what_torch_reads(tmp_path):
    """So the files that the other tests make without PyTorch are such files as it makes."""
    from tests.torchfiles import saved

    rng = np.random.default_rng(0)
    arrays = {name: (rng.standard_normal((3, 4)) * 5).astype(name) for name in DTYPES}
    arrays |= {
        "columns": np.arange(6.0).reshape(2, 3).T,
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), np.float32),
    }
    for legacy in (False, True):
        (tmp_path / "x.pth").write_bytes(saved(arrays, legacy))
        theirs = torch.load(tmp_path / "x.pth", weights_only=True)
        assert type(theirs) is collections.OrderedDict
        for name, array in arrays.items():
            np.testing.assert_array_equal(theirs[name].numpy(), array)


def test_nested_states_both_ways(tmp_path):
    """PyTorch's reader sees our arrays under dotted names; its checkpoints, loaded, saved as ours and loaded, stay."""
    rng = np.random.default_rng(0)
    kinds = {name: (rng.standard_normal((3, 4)) * 5).astype(np.int64).astype(name) for name in DTYPES}
    state = {"epoch": 3, "model": {"0": kinds}, "history": [(0.5, kinds["float32"].T), np.float32(0.25)], 7: np.ones(2)}
    nn.save(state, tmp_path / "ours.safetensors")
    theirs = safetensors.load_file(tmp_path / "ours.safetensors")
    expected = {f"model.0.{name}": array for name, array in kinds.items()}
    expected |= {"history.0.1": kinds["float32"].T, "history.1": np.array(0.25, np.float32), "7": np.ones(2)}
    assert sorted(theirs) == sorted(expected)
    for name, array in expected.items():
        assert (theirs[name].numpy().dtype, tuple(theirs[name].shape)) == (array.dtype, array.shape)
        assert theirs[name].numpy().tobytes() == array.tobytes()
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    checkpoint = {"epoch": 3, "seed": 2**70, "model": net.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, tmp_path / "theirs.pth")
    nn.save(nn.load(tmp_path / "theirs.pth"), tmp_path / "again.safetensors")
    again = nn.load(tmp_path / "again.safetensors")
    assert (again["epoch"], again["seed"]) == (3, 2**70)
    same(again["model"]["weight"], net.weight)
    for number, kept in checkpoint["optimizer"]["state"].items():
        for name, tensor in kept.items():
            same(again["optimizer"]["state"][number][name], tensor)
    assert again["optimizer"]["param_groups"] == checkpoint["optimizer"]["param_groups"]
