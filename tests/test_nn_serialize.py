"""Saved weights: round trips, memory orders, and failures that leave the old file."""

import builtins
import io
import json
import os
import struct
import sys
import warnings
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy


def test_round_trip_of_a_module(tmp_path):
    net, other = (nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 2)) for _ in "ab")
    nn.save(net, tmp_path / "net.safetensors")
    state = nn.load(str(tmp_path / "net.safetensors"))
    assert all(type(value) is mg.Tensor for value in state.values())
    other.load_state_dict(state)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert a.tolist() == b.tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


FLOATS = ["float16", "float32", "float64"]
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "NPZ", "weights", ""])
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool", ">f4", ">i8"])
def test_round_trip_of_arrays_and_tensors(tmp_path, dtype, suffix):
    values = {"a": np.array([[0, 1], [2, 3]], dtype), "scalar": np.array(1, dtype), "none": np.zeros((0, 3), dtype)}
    path = tmp_path / f"x.{suffix}"
    nn.save({**values, "t": mg.tensor(values["a"])}, path)
    loaded = nn.load(path)
    assert sorted(loaded) == ["a", "none", "scalar", "t"]
    for name, value in {**values, "t": values["a"]}.items():
        assert loaded[name].dtype == value.dtype.newbyteorder("=")
        assert loaded[name].dtype.isnative
        assert loaded[name].shape == value.shape
        np.testing.assert_array_equal(loaded[name].numpy(), value)
        assert loaded[name]._array.flags.writeable
    theirs = np.load(path) if suffix.lower() == "npz" else load_file(path)
    for name, value in values.items():
        np.testing.assert_array_equal(theirs[name], value)
    if suffix.lower() == "npz":
        theirs.close()


def test_arrays_on_a_device(tmp_path):
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    with fake_cupy.install():
        x = mg.tensor(numbers, device="cuda")
        for name in ("x.npz", "x.safetensors"):
            nn.save({"tensor": x, "columns": x.T, "array": x._array}, tmp_path / name)
            loaded = nn.load(tmp_path / name)
            assert {value.device for value in loaded.values()} == {"cpu"}
            for key, expected in {"tensor": numbers, "columns": numbers.T, "array": numbers}.items():
                np.testing.assert_array_equal(loaded[key].numpy(), expected)


def test_the_contents_decide_not_the_name(tmp_path):
    value = np.arange(3.0)
    np.savez(tmp_path / "a.npz", x=value)
    (tmp_path / "a.npz").rename(tmp_path / "a.safetensors")
    nn.save({"x": value}, tmp_path / "b")
    (tmp_path / "b").rename(tmp_path / "b.pth")
    assert nn.load(tmp_path / "a.safetensors")["x"].tolist() == nn.load(tmp_path / "b.pth")["x"].tolist() == [0, 1, 2]


def test_npz_of_numpy(tmp_path):
    """Other memory and byte orders, names and compression, the second version of its format, and no array at all."""
    rng = np.random.default_rng(0)
    arrays = {
        "f": np.asfortranarray(rng.standard_normal((3, 4))),
        "big": np.arange(5, dtype=">i4"),
        "a/b.c": np.ones(2),
    }
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "x.npz", **arrays)
        loaded = nn.load(tmp_path / "x.npz")
        assert list(loaded) == list(arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(loaded[name].numpy(), value)
            assert loaded[name].dtype.isnative
    np.savez(tmp_path / "none.npz")
    nn.save({}, tmp_path / "nothing.npz")
    assert nn.load(tmp_path / "none.npz") == nn.load(tmp_path / "nothing.npz") == {}
    file = io.BytesIO()
    np.lib.format.write_array(file, np.arange(3), (2, 0))
    assert nn.load(npz(tmp_path, file.getvalue()))["x"].tolist() == [0, 1, 2]


def test_names_that_savez_cannot_have_and_equal_files(tmp_path):
    arrays = {"file": np.ones(1), "self": np.zeros(2), "allow_pickle": np.ones(3), "x.npy": np.ones(4), "": np.ones(5)}
    for name in ("a.npz", "b.npz"):
        nn.save(arrays, tmp_path / name)
        assert {key: value.size for key, value in nn.load(tmp_path / name).items()} == {
            key: value.size for key, value in arrays.items()
        }
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_bfloat16_of_safetensors_becomes_float32_exactly(tmp_path):
    bits = np.arange(1 << 16, dtype="<u2")  # every bfloat16 there is
    header = {
        "x": {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, 2 * bits.size]},
        "y": {"dtype": "I16", "shape": [2], "data_offsets": [2 * bits.size, 2 * bits.size + 4]},
    }
    loaded = nn.load(safetensors(tmp_path, header, bits.tobytes() + np.array([1, -1], "<i2").tobytes()))
    assert loaded["x"].dtype == np.float32
    np.testing.assert_array_equal(loaded["x"].numpy().ravel().view(np.uint32), bits.astype(np.uint32) << 16)
    assert loaded["y"].tolist() == [1, -1]


def safetensors(folder, header, data=b""):
    """A file with a header as it is given."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "x").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder / "x"


def npz(folder, *entries, names=("x.npy", "y.npy"), compression=zipfile.ZIP_STORED):
    """A file with entries as they are given."""
    with zipfile.ZipFile(folder / "x.npz", "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two entries of one name
        for name, entry in zip(names, entries, strict=False):
            archive.writestr(name, entry)
    return folder / "x.npz"


def npy(header, data=b"", version=b"\1\0"):
    """An array of NumPy's format with a header as it is given."""
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode("latin-1") + data


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
    nn.save(arrays, tmp_path / "arrays.npz")
    for loaded in (load_file(tmp_path / "arrays"), nn.load(tmp_path / "arrays"), nn.load(tmp_path / "arrays.npz")):
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(loaded[name]), array)
    np.testing.assert_array_equal(load_file(tmp_path / "layer")["weight"], weight.astype(np.float32))


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
@pytest.mark.parametrize("name", ["fsync", "replace", "write", "interrupt"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix, name):
    path = tmp_path / f"w.{suffix}"
    nn.save({"a": np.ones(3)}, path)
    before = path.read_bytes()

    def full(*_, **__):
        raise KeyboardInterrupt if name == "interrupt" else OSError(28, "No space left on device")

    target = {
        "fsync": "minigrad.nn.serialize.os.fsync",
        "replace": "pathlib.Path.replace",
        "write": "numpy.lib.format.write_array" if suffix == "npz" else "safetensors.numpy.save",
        "interrupt": "numpy.lib.format.write_array" if suffix == "npz" else "safetensors.numpy.save",
    }[name]
    monkeypatch.setattr(target, full)
    message = None if name == "interrupt" else rf"cannot save to .*w\.{suffix}: No space left on device"
    with pytest.raises((OSError, KeyboardInterrupt), match=message):
        nn.save({"a": np.zeros(3)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(PermissionError, match=r"cannot save to .*w\.npz: Permission denied"):
        nn.save({"a": np.ones(3)}, tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())


def test_the_order_in_which_things_reach_the_disk(tmp_path, monkeypatch):
    """The contents, then the name: the rename must not be first, and the folder is told to write the name down."""
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        "os.fsync",
        lambda fd: (steps.append("folder" if os.path.isdir(fd) else "file"), fsync(fd)),  # noqa: PTH112
    )
    monkeypatch.setattr("os.replace", lambda *names: (steps.append("rename"), replace(*names)))
    nn.save({"a": np.ones(3)}, tmp_path / "w.npz")
    assert steps == ["file", "rename", "folder"]

    def unable(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("minigrad.nn.serialize.os.open", unable)  # Windows opens no folders
    nn.save({"a": np.zeros(3)}, tmp_path / "w.npz")
    assert nn.load(tmp_path / "w.npz")["a"].tolist() == [0, 0, 0]


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("w" * 251 + ".npz")
    nn.save({"a": np.ones(3)}, path)
    assert list(tmp_path.iterdir()) == [path]


def test_save_errors_name_the_path_or_the_value(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot save to .*missing/w\.safetensors: No such file"):
        nn.save({"a": np.ones(3)}, tmp_path / "missing" / "w.safetensors")
    with pytest.raises(TypeError, match=r"nn.save takes a Module or a dict of named arrays, got list"):
        nn.save([1], tmp_path / "w")
    for value in ("text", 3, [1.0], {"b": np.ones(1)}):
        kind = type(value).__name__
        with pytest.raises(
            TypeError, match=rf"got 'a': {kind}; nested states and single numbers are written as \*\.saf"
        ):
            nn.save({"a": value}, tmp_path / "w.npz")
    bad = np.array(["text"]), np.array([None]), np.ones(1, "complex64"), np.ones(1, "datetime64[s]")
    for suffix in ("", ".npz", ".safetensors"):
        for value in (*bad, *([np.ones(1, "longdouble")] if np.longdouble(1).itemsize > 8 else [])):
            with pytest.raises(TypeError, match="got 'a': ndarray"):
                nn.save({"a": value}, tmp_path / f"w{suffix}")
        if suffix == ".npz":
            with pytest.raises(TypeError, match="got 3: ndarray"):
                nn.save({3: np.ones(1)}, tmp_path / f"w{suffix}")
        with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
            nn.save({"\ud800": np.ones(1)}, tmp_path / f"w{suffix}")
    for suffix in (".pth", ".pt", ".PTH"):
        with pytest.raises(
            ValueError, match=rf"does not write PyTorch's pickles, got .*w\{suffix}: name it \*\.safetensors"
        ):
            nn.save({"a": np.ones(1)}, tmp_path / f"w{suffix}")
    with pytest.raises(ValueError, match="safetensors keeps the name '__metadata__' for itself: rename that array"):
        nn.save({"__metadata__": np.ones(1)}, tmp_path / "w")
    with pytest.raises(ValueError, match=r"npz cannot hold the name 'a\\x00b': it ends at the character of code 0"):
        nn.save({"a\0b": np.ones(1)}, tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())


def test_load_errors_name_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved weights at .*none\.safetensors$"):
        nn.load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no saved weights at .*: it is a folder"):
        nn.load(tmp_path)
    for text in ("", "short", "this is not a safetensors file"):
        (tmp_path / "text").write_text(text)
        with pytest.raises(ValueError, match=r"cannot load .*text: it is not a safetensors or npz file,"):
            nn.load(tmp_path / "text")
    nn.save({"a": np.ones(100)}, tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"cannot load .*cut: it is damaged \(SafetensorError: "):
        nn.load(tmp_path / "cut")


def spec(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"x": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (spec(shape=(2,)), "it is damaged .SafetensorError: "),
        (spec(shape=(1 << 62, 1 << 62)), "it is damaged .SafetensorError: "),
        (spec(offsets=(0, 1 << 60)), "it is damaged .SafetensorError: "),
        (spec(offsets=(4, 0)), "it is damaged .SafetensorError: "),
        (spec(shape=(-1,)), "it is damaged .SafetensorError: "),
        (spec("F99"), "it is damaged .SafetensorError: "),
        (spec("F8_E4M3", (4,)), "'x' has the dtype F8_E4M3; F64, F32, F16, BF16, .* can be read"),
        (spec("C64", (1,), (0, 8)), "'x' has the dtype C64; F64, F32, F16, BF16, .* can be read"),
        (spec("BOOL", (4,)), "it has booleans that are neither 0 nor 1"),
        (b'{"x":' * 5000, "it is damaged .SafetensorError: "),
        (b"{" + b"[" * 100_000, "it is damaged .SafetensorError: "),
        (b"{\xff}", "it is damaged .SafetensorError: "),
    ],
)
def test_headers_of_safetensors_that_lie(tmp_path, header, message):
    with pytest.raises(ValueError, match=r"cannot load .*x: " + message):
        nn.load(safetensors(tmp_path, header, b"\2" * (8 if header == spec("C64", (1,), (0, 8)) else 4)))


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (npy(HEADER, bytes(4)), r"the entry 'x\.npy' has another size than an array of shape \(2,\) and dtype float32"),
        (npy(HEADER, bytes(9)), r"the entry 'x\.npy' has another size than"),
        (npy(HEADER.replace("(2,)", "(1 << 40,)"), bytes(8)), "it is damaged .ValueError: malformed node"),
        (npy(HEADER.replace("(2,)", f"({1 << 40},)"), bytes(8)), "another size than an array of shape"),
        (npy(HEADER.replace("(2,)", "(0, 4611686018427387904, 4611686018427387904)")), "it is damaged .ValueError: "),
        (npy(HEADER.replace("(2,)", "(-1, -2)"), bytes(8)), r"another size than an array of shape \(-1, -2\)"),
        (
            npy(HEADER.replace("<f4", "|O"), bytes(8)),
            r"has the dtype object; tensors hold real numbers of up to 64 bits",
        ),
        (npy(HEADER.replace("<f4", "<c8"), bytes(16)), r"has the dtype complex64; tensors hold real numbers"),
        (npy(HEADER.replace("'<f4'", "[('a', '<f4')]"), bytes(8)), "tensors hold real numbers"),
        (npy(HEADER.replace("<f4", "?"), b"\1\2"), "it has booleans that are neither 0 nor 1"),
        (npy("(" * 5000, bytes(8)), "it is damaged .TokenError: "),
        (npy("[" * 60000, bytes(8)), "it is damaged .ValueError: Header info length"),
        (npy("__import__('os').system('id')", bytes(8)), "it is damaged .ValueError: malformed node"),
        (npy(HEADER, bytes(8), b"\3\0"), r"has version \(3, 0\) of NumPy's format; 1\.0 and 2\.0 are known"),
        (b"", "it is damaged .ValueError: EOF"),
        (b"\x93NUMPY", "it is damaged .ValueError: EOF"),
    ],
)
def test_entries_of_npz_that_lie(tmp_path, entry, message):
    with pytest.raises(ValueError, match=message) as caught:
        nn.load(npz(tmp_path, entry))
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"cannot load {tmp_path / 'x.npz'}: ")


def test_archives_of_npz_that_lie(tmp_path):
    good = npy(HEADER, np.array([1, 2], "<f4").tobytes())
    path = npz(tmp_path, good)
    assert nn.load(path)["x"].tolist() == [1, 2]
    data = path.read_bytes()
    path.write_bytes(data.replace(np.array([1, 2], "<f4").tobytes(), np.array([1, 3], "<f4").tobytes()))
    with pytest.raises(ValueError, match=r"it is damaged \(BadZipFile: Bad CRC-32 for file 'x\.npy'\)"):
        nn.load(path)
    bomb = npy(HEADER.replace("(2,)", f"({25 << 20},)"), bytes(100 << 20))
    with pytest.raises(
        ValueError, match=r"it has \d+ bytes and would unpack to 104\d+, more than the \d+ that are allowed"
    ):
        nn.load(npz(tmp_path, bomb, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="two entries of the zip archive have the same name"):
        nn.load(npz(tmp_path, good, good, names=("x.npy", "x.npy")))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    with pytest.raises(ValueError, match=r"the entry 'x\.npy' has the dtype object"):
        nn.load(tmp_path / "objects.npz")


def test_a_damaged_file_leaves_the_model_untouched(tmp_path):
    layer = nn.Linear(3, 2)
    before = layer.state_dict()
    for name in ("w.safetensors", "w.npz"):
        nn.save({"weight": np.ones((2, 3)), "bias": np.ones(2)}, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 3 // 4])
        with pytest.raises(ValueError, match=f"cannot load .*{name}: it is damaged"):
            layer.load_state_dict(nn.load(tmp_path / name))
        for key, value in layer.state_dict().items():
            assert value.tolist() == before[key].tolist()


def test_an_error_of_the_disk_stays_one(tmp_path, monkeypatch):
    nn.save({"a": np.ones(3)}, tmp_path / "w.npz")

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("zipfile.ZipFile", broken)
    with pytest.raises(OSError, match="Input/output error"):
        nn.load(tmp_path / "w.npz")


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
    nn.save({"a": np.ones(2)}, tmp_path / "w.npz")  # needs nothing
    assert nn.load(tmp_path / "w.npz")["a"].tolist() == [1, 1]
