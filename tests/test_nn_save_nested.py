"""Nested states: what is saved comes back to the bit, other programs see the arrays, damage is found and named."""

import collections
import enum
import json
import math
import os
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import minigrad as mg
from minigrad import nn
from minigrad.nn import nested
from minigrad.nn.serialize import load_outline
from tests.cudaemu import fake_cupy


def bits(x):
    return struct.pack(">d", x)


def same(loaded, saved):
    """Equal types, order, bits; a Tensor for an array."""
    if isinstance(saved, (mg.Tensor, np.ndarray)):
        array = np.asarray(saved.numpy() if isinstance(saved, mg.Tensor) else saved)
        assert type(loaded) is mg.Tensor
        assert (loaded.dtype, loaded.shape) == (array.dtype.newbyteorder("="), array.shape)
        assert loaded.numpy().tobytes() == array.astype(loaded.dtype).tobytes()
        return
    assert type(loaded) is type(saved)
    if isinstance(saved, dict):
        assert list(loaded) == list(saved)
        for (ours, a), (theirs, b) in zip(loaded.items(), saved.items(), strict=True):
            assert type(ours) is type(theirs)
            same(a, b)
    elif isinstance(saved, (list, tuple)):
        assert len(loaded) == len(saved)
        for a, b in zip(loaded, saved, strict=True):
            same(a, b)
    elif isinstance(saved, float):
        assert bits(loaded) == bits(saved)
    elif isinstance(saved, np.generic):
        assert loaded.tobytes() == saved.tobytes()
    else:
        assert loaded == saved


def round_trip(state, folder):
    nn.save(state, folder / "x.safetensors")
    return nn.load(folder / "x.safetensors")


(NAN_WITH_PAYLOAD,) = struct.unpack(">d", bytes.fromhex("fff8000000abcdef"))
STATES = {
    "numbers": {"a": 0, "b": -1, "c": 2**63 - 1, "d": -(2**63), "e": 2**63, "f": -(2**127), "g": 7**6000, "h": True},
    "floats": {"x": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e22, math.inf, -math.inf, math.nan, NAN_WITH_PAYLOAD]},
    "text": {"": "", "{": '{"tensor":', "é\0\n\"\\": "日本 \U0001f600 \x7f\u2028", "half": "\ud800", "path": "\udcff"},
    "nesting": {"a": [], "b": (), "c": {}, "d": [(), ([{}],), {"x": (None,)}], "e": None},
    "keys": {2: "b", 1: "a", -3: "c", "2": "d", 2**60 - 1: 0, "a.b": 1, "a": {"b": 2}},
    "order": {"z": 1, "a": np.ones(1), "m": {"z": np.ones(2), "b": 0}},
    "scalars": {name: np.dtype(name).type(1) for name in ("f2", "f4", "f8", "i1", "i8", "u8", "?")},
    "names": {"a": {"b": np.zeros(1)}, "a.b": np.ones(2), 0: np.ones(3), "0": [np.ones(4)], "0.0": np.ones(5),
              "__metadata__": np.ones(6), "minigrad": np.ones(7), "": np.ones(8), "\ud800": np.ones(9)},
    "shapes": {"none": None, "0-d": np.array(2.5, np.float32), "empty": np.zeros((0, 3), np.int16),
               "big": np.arange(3, dtype=">i4")},
    "bits": {"n": 0, "x": np.array([math.nan, NAN_WITH_PAYLOAD, -0.0, math.inf, 5e-324])},
    "random states": {"rng": mg.get_rng_state(), "numpy": np.random.default_rng(5).bit_generator.state},
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_what_is_saved_comes_back(tmp_path, name):
    loaded = round_trip(STATES[name], tmp_path)
    same(loaded, STATES[name])
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]
    same(round_trip(loaded, tmp_path), STATES[name])


SHAPES = st.lists(st.integers(0, 3), max_size=3)
KINDS = st.sampled_from(["f2", "f4", "f8", "i1", "u2", "i8", "?"])
ARRAYS = st.builds(lambda shape, kind: np.arange(math.prod(shape)).reshape(shape).astype(kind), SHAPES, KINDS)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(-(2**59), 2**59), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3) | st.integers(-5, 5), NESTED, max_size=4))
def test_any_nesting_comes_back(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("nested")
    loaded = round_trip(state, folder)
    if loaded and all(type(key) is str and isinstance(value, np.ndarray) for key, value in state.items()):
        assert sorted(loaded) == sorted(state)  # a flat state, which safetensors sorts
        state = {key: state[key] for key in loaded}
    same(loaded, state)


def test_a_checkpoint_of_a_training_run_goes_on_to_the_bit(tmp_path):
    def parts():
        mg.manual_seed(3)
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        optimizer = nn.optim.Adam(net.parameters(), lr=0.01)
        return net, optimizer, nn.schedule.CosineAnnealingLR(optimizer, 10)

    def train(net, optimizer, schedule, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (net(mg.randn(8, 3)) ** 2).sum().backward()
            optimizer.step()
            schedule.step()

    whole = parts()
    train(*whole, 6)
    first = parts()
    train(*first, 3)
    state = {"parts": [part.state_dict() for part in first], "rng": mg.get_rng_state()}
    loaded = round_trip(state, tmp_path)
    second = parts()
    for part, kept in zip(second, loaded["parts"], strict=True):
        part.load_state_dict(kept)
    mg.set_rng_state(loaded["rng"])
    train(*second, 3)
    for name, value in whole[0].state_dict().items():
        assert second[0].state_dict()[name].numpy().tobytes() == value.numpy().tobytes(), name


def test_kinds_of_the_same_thing(tmp_path):
    """Subclasses come back as what they are made of, arrays in row-major order and on the CPU."""

    class Color(enum.IntEnum):
        RED = 3

    class Level(enum.StrEnum):
        HIGH = "high"

    Point = collections.namedtuple("Point", "x y")
    state = {
        "point": Point(1, 2), "color": Color.RED, "level": Level.HIGH, Level.HIGH: 1, "text": np.str_("a"),
        "ordered": collections.OrderedDict(b=1, a=2), "counter": collections.Counter("aab"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "parameter": nn.Parameter(np.ones(2)),
        "needs": mg.tensor([1.0], requires_grad=True), "strided": np.arange(10)[::-2],
    }  # fmt: skip
    loaded = round_trip(state, tmp_path)
    same(loaded, {
        "point": (1, 2), "color": 3, "level": "high", "high": 1, "text": "a", "ordered": {"b": 1, "a": 2},
        "counter": {"a": 2, "b": 1}, "fortran": np.arange(6.0).reshape(2, 3), "parameter": np.ones(2),
        "needs": np.ones(1, np.float32), "strided": np.array([9, 7, 5, 3, 1]),
    })  # fmt: skip
    assert loaded["fortran"]._array.flags.c_contiguous
    assert not loaded["needs"].requires_grad
    assert loaded["strided"]._array.flags.writeable


def test_arrays_on_a_device(tmp_path):
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    with fake_cupy.install():
        x = mg.tensor(numbers, device="cuda")
        loaded = round_trip({"tensor": [x, x.T], "array": (x._array, 1)}, tmp_path)
    same(loaded, {"tensor": [numbers, numbers.T], "array": (numbers, 1)})
    assert loaded["tensor"][0].device == "cpu"


def test_other_programs_see_the_arrays_under_dotted_names(tmp_path):
    weight, bias = np.arange(6.0).reshape(2, 3), np.ones(2, np.float16)
    nn.save({"epoch": 3, "model": {"0": {"weight": weight}, "1": [bias, {"x": (bias,)}]}, 7: bias}, tmp_path / "x")
    theirs = load_file(tmp_path / "x")
    assert sorted(theirs) == ["7", "model.0.weight", "model.1.0", "model.1.1.x.0"]
    np.testing.assert_array_equal(theirs["model.0.weight"], weight)
    assert theirs["7"].dtype == np.float16


def test_a_flat_state_is_written_as_before(tmp_path):
    """Byte for byte as the library writes it, with nothing of ours in it."""
    arrays = {"b": np.ones((2, 3), np.float32), "a": np.arange(3)}
    nn.save({"b": mg.tensor(arrays["b"]), "a": arrays["a"]}, tmp_path / "ours")
    save_file(arrays, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    save_file(arrays, tmp_path / "theirs", metadata={"format": "pt", "note": "of another program"})
    same(nn.load(tmp_path / "theirs"), {"a": arrays["a"], "b": arrays["b"]})


def test_equal_states_give_equal_files(tmp_path):
    """In another process too: so files can be compared by their hashes."""
    state = "{'b': [1, np.ones(3)], 'a': {'z': np.zeros(2), 3: 0.5}}"
    program = f"import sys, numpy as np; from minigrad import nn; nn.save({state}, sys.argv[1])"
    for seed in "12":
        subprocess.run(
            [sys.executable, "-c", program, tmp_path / seed], check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_the_documented_format(tmp_path):
    """A file written by hand, from the description in nested.py alone."""
    array = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
    crc = zlib.crc32(b"model.weight <f4 (2, 3)" + array.tobytes())
    one = zlib.crc32(b"n |i1 ()\5")
    text = (
        '{"dict":[["epoch",3],["model",{"dict":[["weight",{"tensor":["model.weight",' + str(crc) + "]}]]}],"
        '[5,{"tuple":[null,[true]]}],["big",{"int":"-0x1000000000000000000"}],["inf",{"float":"7ff0000000000000"}],'
        '["n",{"scalar":["n",' + str(one) + "]}]]}"
    )
    metadata = {"minigrad": f"minigrad-nested 1 {zlib.crc32(text.encode()):08x} {text}"}
    save_file({"model.weight": array, "n": np.array(5, np.int8)}, tmp_path / "x", metadata=metadata)
    expected = {
        "epoch": 3,
        "model": {"weight": array},
        5: (None, [True]),
        "big": -(16**18),
        "inf": math.inf,
        "n": np.int8(5),
    }
    same(nn.load(tmp_path / "x"), expected)
    nn.save(expected, tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "x").read_bytes()


def test_the_outline_reads_the_header_only(tmp_path):
    path = tmp_path / "x"
    nn.save({"step": 3, "x": [np.ones(1000), np.float32(2)], "metrics": {"loss": math.inf}}, path)
    assert load_outline(path) == {"step": 3, "x": [None, None], "metrics": {"loss": math.inf}}
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert load_outline(path)["step"] == 3
    with pytest.raises(ValueError, match=r"cannot load .*x: the array 'x\.1' is damaged: its checksum is another"):
        load_outline(path, check=True)
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match=r"it is damaged \(SafetensorError: "):
        load_outline(path)
    nn.save({"x": np.ones(3)}, path)
    with pytest.raises(ValueError, match=r"cannot load .*x: it holds no nested state"):
        load_outline(path)
    path.write_text("text")
    with pytest.raises(
        ValueError, match=r"cannot load .*x: it is not a safetensors file; or its first bytes are damaged"
    ):
        load_outline(path)
    with pytest.raises(FileNotFoundError, match=r"no saved weights at .*none"):
        load_outline(tmp_path / "none")


# ---- damage ---------------------------------------------------------------------------------------------------------


def attempt(path):
    """What is loaded, or the fault."""
    try:
        return nn.load(path), None
    except ValueError as error:
        return None, str(error)


def test_every_flipped_bit_is_found(tmp_path):
    """All of them in a small file: refused, or of no effect, as in the spaces after the header."""
    state = {
        "a": [1, -0.5, "x"],
        "b": {"c": np.arange(3, dtype=np.int16), 4: (np.float32(2), None)},
        "d": np.array(True),
    }
    path = tmp_path / "x.safetensors"
    nn.save(state, path)
    good = path.read_bytes()
    (length,) = struct.unpack("<Q", good[:8])
    harmless = set()
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        loaded, fault = attempt(path)
        if fault is None:
            same(loaded, state)
            harmless.add(bit // 8)
        else:
            assert fault.startswith(f"cannot load {path}: ")
    header = good[8 : 8 + length]
    key = header.index(b'"minigrad"') + 8
    padding = range(8 + len(header.rstrip()), 8 + length)
    assert harmless <= {*padding, *range(key, key + 10)}  # the key stands for itself in the text, see nested.find


def test_damage_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    nn.save({"step": 1, "model": {"weight": np.zeros(300, np.float32), "bias": np.zeros(100, np.float32)}}, path)
    good = path.read_bytes()

    def flipped(at):
        path.write_bytes(good[:at] + bytes([good[at] ^ 16]) + good[at + 1 :])
        with pytest.raises(ValueError, match=r"cannot load .*x\.safetensors: ") as caught:
            nn.load(path)
        return str(caught.value)

    assert "the array 'model.weight' is damaged: its checksum is another" in flipped(len(good) - 1)
    assert "the array 'model.bias' is damaged: its checksum is another" in flipped(len(good) - 1200 - 1)
    assert "its description of the nested state is damaged: the checksum is another" in flipped(good.index(b"step"))
    assert "its description of the nested state is damaged" in flipped(good.index(b"nested"))
    for length in (0, 7, 9, 100, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"cannot load .*x\.safetensors: it is "):
            nn.load(path)


def test_swapped_arrays_are_found(tmp_path):
    """Of the same shape and dtype: the name is in the checksum."""
    nn.save({"n": 1, "a": np.zeros(2), "b": np.ones(2)}, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[:-32] + data[-16:] + data[-32:-16])
    with pytest.raises(ValueError, match=r"the array '[ab]' is damaged"):
        nn.load(tmp_path / "x")


def written(folder, text, version=1, checksum=None, metadata=None, **arrays):
    """A file with a description as it is given."""
    text = text if isinstance(text, str) else json.dumps(text)
    checksum = zlib.crc32(text.encode()) if checksum is None else checksum
    metadata = {"minigrad": f"minigrad-nested {version} {checksum:08x} {text}"} if metadata is None else metadata
    save_file(arrays, folder / "x", metadata=metadata)
    return folder / "x"


X = np.ones(2)
CRC = nested.checksum("x", X)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "it is damaged .RecursionError: "),
        ('{"dict":[["a",' + "[" * 65 + "]" * 65 + "]]}", "its data is nested deeper than 64"),
        ("[" + "[]," * (1 << 22) + "[]]", "its description has more than 4194304 parts"),
        ("[1, 2]", "it holds no dict of names but a list"),
        ("3", "it holds no dict of names but a int"),
        ("{", "it is damaged .JSONDecodeError: "),
        ('{"dict":[["a",NaN]]}', "its description has the number NaN, which is not JSON"),
        ('{"dict":[["a",-Infinity]]}', "its description has the number -Infinity, which is not JSON"),
        ('{"dict":[["a",' + "1" * 5000 + "]]}", "it is damaged .ValueError: Exceeds the limit"),
        ({"dict": [["a", 1], ["a", 2]]}, "its description has a key twice"),
        ({"dict": [[[], 1]]}, "a dict with a key of another type: list"),
        ({"dict": [[None, 1]]}, "a dict with a key of another type: NoneType"),
        ({"dict": [[True, 1]]}, "a dict with a key of another type: bool"),
        ({"dict": [[1.5, 1]]}, "a dict with a key of another type: float"),
        ({"dict": [[1 << 60, 1]]}, "a dict with a key of another type: int"),
        ({"dict": [["a", 1, 2]]}, "it is damaged .ValueError: too many values to unpack"),
        ({"dict": 3}, "it is damaged .TypeError: "),
        ({"dict": [], "tuple": []}, "it is damaged .ValueError: too many values to unpack"),
        ({}, "it is damaged .ValueError: not enough values to unpack"),
        ({"set": []}, "its description has a 'set', which this version does not know"),
        ({"dict": [["a", {"int": "text"}]]}, "it is damaged .ValueError: invalid literal for int"),
        ({"dict": [["a", {"float": "00"}]]}, "it is damaged .error: unpack requires a buffer of 8 bytes"),
        ({"dict": [["a", {"tensor": ["y", 0]}]]}, "names the array 'y', which it has not, or twice"),
        ({"dict": [["a", {"tensor": [["x"], 0]}]]}, "names the array .*which it has not, or twice"),
        ({"dict": [["a", {"tensor": ["x", 0]}]]}, "the array 'x' is damaged: its checksum is another"),
        ({"dict": [["a", {"tensor": ["x", CRC]}], ["b", {"tensor": ["x", CRC]}]]}, "names the array 'x', which it has"),
        ({"dict": [["a", {"scalar": ["x", CRC]}]]}, "it is damaged .ValueError: cannot reshape"),
        ({"dict": []}, "its description does not have the array 'x'"),
    ],
    ids=range(28),
)  # fmt: skip
def test_descriptions_that_lie(tmp_path, text, message):
    with pytest.raises(ValueError, match=r"cannot load .*x: .*" + message) as caught:
        nn.load(written(tmp_path, text, x=X))
    assert type(caught.value) is ValueError


def test_versions_and_keys(tmp_path):
    with pytest.raises(ValueError, match="its nested state has version 2 of the format, this minigrad reads 1"):
        nn.load(written(tmp_path, {"dict": []}, version=2))
    with pytest.raises(ValueError, match="its description of the nested state is damaged: the checksum is another"):
        nn.load(written(tmp_path, {"dict": []}, checksum=1))
    for metadata in ({"minigrad": ""}, {"other": "minigrad-nested"}, {"minigrad": "1 2 3"}):
        with pytest.raises(ValueError, match=r"its description of the nested state is damaged$"):
            nn.load(written(tmp_path, "", metadata=metadata, x=X))
    written(tmp_path, {"dict": [["a", 1]]})
    assert nn.load(tmp_path / "x") == {"a": 1}


def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path):
    deep = leaf = {}
    for _ in range(64):
        leaf["a"] = {}
        leaf = leaf["a"]
    loop = []
    loop += [loop, loop]
    kinds = (
        "nn.save takes names with Tensors or arrays of numbers, and nested dicts, lists, tuples, numbers, str, bool "
        "and None, got "
    )
    for state, error, message in [
        ({"a": {"b": [0, {1}]}}, TypeError, kinds + r"'a\.b\.1': set"),
        ({"a": 1j}, TypeError, kinds + "'a': complex"),
        ({"a": b"bytes"}, TypeError, kinds + "'a': bytes"),
        ({"a": [print]}, TypeError, kinds + r"'a\.0': builtin_function_or_method"),
        ({"model": nn.Linear(1, 1)}, TypeError, kinds + "'model': Linear"),
        ({"a": [np.array(["text"])]}, TypeError, r"arrays of numbers, got 'a\.0': ndarray"),
        ({"a": np.complex64(1), "b": 0}, TypeError, "arrays of numbers, got 'a': complex64"),
        ({"a": np.datetime64("2020-01-01")}, TypeError, "arrays of numbers, got 'a': datetime64"),
        ({(1, 2): 3}, TypeError, r"keys of str or int \(of less than 60 bits\), got \(1, 2\) in ''"),
        ({"a": {True: 3}}, TypeError, "keys of str or int .*, got True in 'a'"),
        ({"a": {2**60: 3}}, TypeError, f"keys of str or int .*, got {2**60} in 'a'"),
        ({"a": {None: 3}}, TypeError, "keys of str or int .*, got None in 'a'"),
        (
            {"a": "\ud83d\ude00"},
            ValueError,
            r"cannot hold the text '\\ud83d\\ude00', at 'a': two halves of a character",
        ),
        ({"a": {"\ud83d\ude00": 1}}, ValueError, r"cannot hold the text '\\ud83d\\ude00', at 'a': two halves"),
        ({"a": deep}, ValueError, r"the state is nested deeper than 64, or contains itself, at 'a\.a\.a"),
        ({"a": loop}, ValueError, r"the state is nested deeper than 64, or contains itself, at 'a\.0\.0"),
        (
            {"a": "," * (1 << 22), "b": []},
            ValueError,
            "up to 4194304 parts and 33554432 characters, beside the arrays: ",
        ),
        ({"a": "x" * (33 << 20)}, ValueError, "33554432 characters, beside the arrays: make arrays of long lists of"),
    ]:
        with pytest.raises(error, match=message):
            nn.save(state, tmp_path / "x.safetensors")
        assert not list(tmp_path.iterdir())
    assert leaf == {}
    nn.save(deep["a"], tmp_path / "x.safetensors")
    assert nn.load(tmp_path / "x.safetensors") == deep["a"]


def test_few_lists_that_stand_for_many(tmp_path, monkeypatch):
    doubled = []
    for _ in range(40):
        doubled = [doubled, doubled]
    monkeypatch.setattr("minigrad.nn.nested.MAX_STEPS", 1000)
    with pytest.raises(ValueError, match=r"nn\.save takes nested states of up to 1000 parts and \d+ characters"):
        nn.save({"a": doubled}, tmp_path / "x.safetensors")


def test_random_damage_never_gives_a_wrong_state(tmp_path):
    """Several bytes at once, which the test of single bits does not do."""
    rng = random.Random(0)
    state = {"n": 3, "w": [np.arange(20.0), {"b": np.arange(7, dtype=np.int8)}], "s": "text"}
    path = tmp_path / "x.safetensors"
    nn.save(state, path)
    good = path.read_bytes()
    refused = 0
    for _ in range(500):
        at, length = rng.randrange(len(good)), rng.randint(1, 40)
        path.write_bytes((good[:at] + rng.randbytes(length) + good[at + length :])[: len(good)])
        loaded, fault = attempt(path)
        if fault is None:
            same(loaded, state)
        else:
            assert fault.startswith(f"cannot load {path}: ")
            refused += 1
    assert refused > 450
