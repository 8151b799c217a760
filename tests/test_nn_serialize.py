"""Saved weights: round trips, memory orders, and failures that leave the old file."""

import builtins
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

import minigrad as mg
from minigrad import nn


def test_round_trip_of_a_module(tmp_path):
    net, other = (nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 2)) for _ in "ab")
    nn.save(net, tmp_path / "net.safetensors")
    state = nn.load(str(tmp_path / "net.safetensors"))
    assert all(type(value) is mg.Tensor for value in state.values())
    other.load_state_dict(state)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert a.tolist() == b.tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "int32", "uint8", "bool"])
def test_round_trip_of_arrays_and_tensors(tmp_path, dtype):
    values = {"a": np.array([[0, 1], [2, 3]], dtype), "scalar": np.array(1, dtype), "none": np.zeros((0, 3), dtype)}
    nn.save({**values, "t": mg.tensor(values["a"])}, tmp_path / "x")
    loaded = nn.load(tmp_path / "x")
    for name, value in {**values, "t": values["a"]}.items():
        assert loaded[name].dtype == value.dtype
        assert loaded[name].shape == value.shape
        np.testing.assert_array_equal(loaded[name].numpy(), value)


def test_any_memory_order_is_saved_right(tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 5, 3, 7)).transpose(3, 2, 0, 1)  # (K, C, kH, kW) lying as (kH, kW, C, K)
    assert not weight.flags.c_contiguous
    layer = nn.Conv2d(3, 7, 5)
    layer.weight._array = weight.astype(np.float32)  # astype keeps the order
    assert not layer.weight._array.flags.c_contiguous
    arrays = {"permuted": weight, "fortran": np.asfortranarray(weight[0]), "strided": np.arange(10.0)[::-2]}
    nn.save(arrays, tmp_path / "arrays")
    nn.save(layer, tmp_path / "layer")
    for loaded in (load_file(tmp_path / "arrays"), nn.load(tmp_path / "arrays")):
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(loaded[name]), array)
    np.testing.assert_array_equal(load_file(tmp_path / "layer")["weight"], weight.astype(np.float32))


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    nn.save({"a": np.ones(3)}, path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minigrad.nn.serialize.os.fsync", full)
    with pytest.raises(OSError, match=r"cannot save to .*w\.safetensors: No space left on device"):
        nn.save({"a": np.zeros(3)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_errors_name_the_path_or_the_value(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot save to .*missing/w\.safetensors: No such file"):
        nn.save({"a": np.ones(3)}, tmp_path / "missing" / "w.safetensors")
    with pytest.raises(TypeError, match=r"nn.save takes a Module or a dict of named arrays, got list"):
        nn.save([1], tmp_path / "w")
    with pytest.raises(TypeError, match=r"nn.save takes names with Tensors or arrays of numbers, got 'a': str"):
        nn.save({"a": "text"}, tmp_path / "w")
    with pytest.raises(TypeError, match="got 'a': ndarray"):
        nn.save({"a": np.array(["text"])}, tmp_path / "w")
    with pytest.raises(TypeError, match="got 3: ndarray"):
        nn.save({3: np.ones(1)}, tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_load_errors_name_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved weights at .*none\.safetensors$"):
        nn.load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no saved weights at .*: it is a folder"):
        nn.load(tmp_path)
    for text in ("", "short", "this is not a safetensors file"):
        (tmp_path / "text").write_text(text)
        with pytest.raises(
            ValueError, match=r"cannot load .*text: it is not a safetensors or npz file, nor written by"
        ):
            nn.load(tmp_path / "text")
    nn.save({"a": np.ones(100)}, tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"cannot load .*cut: it is damaged \(SafetensorError: "):
        nn.load(tmp_path / "cut")


def test_without_safetensors_it_says_what_to_install(tmp_path, monkeypatch):
    original = builtins.__import__
    nn.save({"a": np.ones(2)}, tmp_path / "w")

    def missing(name, *args, **kwargs):
        if name.startswith("safetensors"):
            raise ModuleNotFoundError("No module named 'safetensors'", name="safetensors")
        return original(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("safetensors")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", missing)
    for user, call in (("nn.save", lambda: nn.save({}, tmp_path / "w")), ("nn.load", lambda: nn.load(tmp_path / "w"))):
        with pytest.raises(ImportError) as caught:
            call()
        text = str(caught.value)
        assert text.startswith(f"{user} needs the package safetensors, which cannot be imported (")
        assert "`pip install safetensors`" in text
        assert isinstance(caught.value.__cause__, ImportError)
