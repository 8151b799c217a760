"""What torch.save writes, written here without PyTorch: read right, or refused whatever it tries."""

import copyreg
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.torchfiles import (
    MAGIC,
    ORDERED,
    STORAGES,
    Call,
    Name,
    Opcodes,
    Stored,
    encode,
    legacy_file,
    pickled,
    saved,
    storage,
    view,
    zip_file,
)

COUNTER = Name("collections", "Counter")
RNG = np.random.default_rng(0)
DATA = {"0": np.arange(12, dtype=np.float32).tobytes()}
MEMORY = storage("0", "FloatStorage", 12)


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    return path


def read(tmp_path: Path, data: bytes):
    return nn.load(write(tmp_path, data))


def read_object(tmp_path: Path, value):
    """A dict written as a zip archive with one storage of the numbers 0 to 11."""
    return read(tmp_path, zip_file(pickled(value), DATA))


# ---- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", STORAGES)
def test_state_dicts(tmp_path, dtype, legacy):
    rows = (RNG.standard_normal((3, 4)) * 3).astype(dtype)
    image = (RNG.standard_normal((2, 5, 4, 3)) * 3).astype(dtype).transpose(0, 3, 1, 2)
    arrays = {"rows": rows, "columns": rows.copy().T, "image": image, "scalar": rows[1, 1].reshape(()).copy()}
    arrays |= {"empty": rows[:, :0].copy(), "one": rows[:1, :1].copy()}
    state = read(tmp_path, saved(arrays, legacy))
    assert list(state) == list(arrays)
    for name, x in arrays.items():
        assert type(state[name]) is mg.Tensor
        assert state[name].dtype == x.dtype
        assert state[name].shape == x.shape
        np.testing.assert_array_equal(state[name].numpy(), x)
        assert state[name]._array.flags.writeable
        assert state[name]._array.flags.aligned


def test_bfloat16_becomes_float32_exactly(tmp_path):
    bits = np.arange(1 << 16, dtype=np.uint16)  # every bfloat16 there is
    data = pickled({"x": view(storage("0", "BFloat16Storage", bits.size), 0, (256, 256), (1, 256))})
    x = read(tmp_path, zip_file(data, {"0": bits.tobytes()}))["x"]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.numpy().T.ravel().view(np.uint32), bits.astype(np.uint32) << 16)


@pytest.mark.parametrize(("byteorder", "letter"), [("little", "<"), ("big", ">"), (None, "<")])
def test_byte_orders(tmp_path, byteorder, letter):
    values = {kind: np.array([1, 100, 3], np.dtype(dtype).newbyteorder(letter)) for dtype, kind in STORAGES.items()}
    values |= {"BFloat16Storage": np.array([0x3F80, 0x4000, 0x4040], letter + "u2")}
    described = {kind: view(storage(kind, kind, 3), 0, (3,), (1,)) for kind in values}
    state = read(tmp_path, zip_file(pickled(described), {k: v.tobytes() for k, v in values.items()}, byteorder))
    for kind, value in values.items():
        expected = [1.0, 2.0, 3.0] if kind == "BFloat16Storage" else value.tolist()
        assert state[kind].tolist() == expected
        assert state[kind].dtype.isnative


def test_tensors_that_share_a_storage_get_memory_of_their_own(tmp_path):
    whole = view(MEMORY, 0, (3, 4), (4, 1))
    state = read_object(
        tmp_path,
        {"whole": whole, "same": whole, "row": view(MEMORY, 4, (4,), (1,)), "wide": view(MEMORY, 2, (2, 2), (0, 1))},
    )
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)
    for name, expected in {"whole": numbers, "row": numbers[1], "wide": np.array([[2, 3], [2, 3]])}.items():
        np.testing.assert_array_equal(state[name].numpy(), expected)
    assert state["same"] is state["whole"]  # tied weights stay tied
    with mg.no_grad():
        state["whole"][...] = 0
    assert state["row"].tolist() == [4, 5, 6, 7]
    assert state["wide"].tolist() == [[2, 3], [2, 3]]


def test_checkpoints_are_plain_data_with_tensors(tmp_path):
    epochs = [1, 2.5, None]
    state = read_object(
        tmp_path,
        {
            "state_dict": Call(ORDERED, (), {"w": Call(Name("torch._utils", "_rebuild_parameter"), (
                view(MEMORY, 0, (2,), (1,)), True, Call(ORDERED, ())))}),
            "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"betas": (0.9, 0.999), "params": [0, -1]}]},
            "epochs": epochs, "done": True, "text": "Grüße", "size": Call(Name("torch", "Size"), ((2, 3),)),
            "milestones": Call(COUNTER, ({30: 1},)), "none": Call(COUNTER, ()),
        },
    )  # fmt: skip
    assert type(state["state_dict"]["w"]) is mg.Tensor
    assert not state["state_dict"]["w"].requires_grad
    assert state.pop("state_dict")["w"].tolist() == [0, 1]
    assert state == {
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"betas": (0.9, 0.999), "params": [0, -1]}]},
        "epochs": epochs,
        "done": True,
        "text": "Grüße",
        "size": (2, 3),
        "milestones": {30: 1},
        "none": {},
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle(tmp_path, protocol):
    name = "a name that is written once"
    value = {
        name: [1, -1, 300, 1 << 40, 1 << 70, -(1 << 70)],
        "b": (True, None, 0.5, "ä" * 300),
        "c": [(), (1,), (1, 2, 3)],
    }
    value["again"] = {name: value["c"]}
    state = read(tmp_path, zip_file(pickle.dumps(value, protocol), {}))
    assert state == value
    assert state["again"][name] is state["c"]


def test_what_old_versions_wrote(tmp_path):
    """Python 2's OrderedDict of pairs and byte strings, _rebuild_tensor, and Parameters made by NEWOBJ and BUILD."""
    plain = Call(Name("torch._utils", "_rebuild_tensor"), (MEMORY, 1, (2,), (1,)))
    parameter = Opcodes(
        encode(Name("torch.nn.parameter", "Parameter")) + encode((plain,)) + b"\x81" + encode((True, 1)) + b"b"
    )
    name = Opcodes(b"U\x01a")
    assert read_object(tmp_path, Call(ORDERED, ([[name, plain], ("b", parameter)],)))["b"].tolist() == [1, 2]


def test_dtypes_that_have_no_storage_of_their_own(tmp_path):
    untyped = Stored(("storage", Name("torch.storage", "UntypedStorage"), "0", "cpu", 48))
    rebuild = Name("torch._utils", "_rebuild_tensor_v3")

    def seen_as(dtype, shape=(3, 2), strides=(2, 1), offset=1):
        return Call(rebuild, (untyped, offset, shape, strides, False, Call(ORDERED, ()), Name("torch", dtype)))

    state = read_object(tmp_path, {name: seen_as(name) for name in ("uint16", "uint32", "float32", "uint8", "uint64")
                                   if name != "uint64"} | {"uint64": seen_as("uint64", (5,), (1,))})  # fmt: skip
    for name, x in state.items():
        expected = np.frombuffer(DATA["0"], name)[1 : 1 + x.size].reshape(x.shape)
        np.testing.assert_array_equal(x.numpy(), expected)
    with pytest.raises(ValueError, match=r"reaches outside of its storage of 6 elements"):
        read_object(tmp_path, {"x": seen_as("uint64", (6,), (1,))})


def test_it_loads_into_a_model_or_changes_nothing(tmp_path):
    layer = nn.Linear(3, 2)
    arrays = {"weight": np.ones((2, 3), np.float32), "bias": np.full(2, 5, np.float32)}
    data = saved(arrays)
    before = layer.state_dict()
    start = data.index(np.full(2, 5, np.float32).tobytes())
    damaged = data[: start + 1] + b"\xff" + data[start + 2 :]
    with pytest.raises(ValueError, match=r"cannot load .*weights\.pth: it is damaged \(BadZipFile: Bad CRC-32"):
        layer.load_state_dict(read(tmp_path, damaged))
    for name, value in layer.state_dict().items():
        assert value.tolist() == before[name].tolist()
    layer.load_state_dict(read(tmp_path, data))
    assert layer.bias.tolist() == [5, 5]


# ---- what is refused ------------------------------------------------------------------------------------------------

CALLED: list = []


def canary(*args, **kwargs):
    """What no file may reach."""
    CALLED.append(args)


class Canary:
    """A class that no file may make."""

    def __new__(cls, *args, **kwargs):
        CALLED.append(args)
        return super().__new__(cls)

    def __setstate__(self, state):
        CALLED.append(state)


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch):
    monkeypatch.setattr(os, "system", canary)
    monkeypatch.setitem(copyreg._inverted_registry, 7, (__name__, "canary"))
    monkeypatch.setitem(copyreg._extension_cache, 7, canary)
    yield
    assert not CALLED
    CALLED.clear()


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
HERE = f"{__name__}\n".encode()
FLOATS = Name("torch", "FloatStorage")
HOOKS = Call(ORDERED, ())
DEEP = 5_000


def wild(*arguments):
    return {"x": Call(REBUILD, arguments)}


def strings(*texts):
    return b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in texts)


HOSTILE = {
    # the name of the attack: what the pickle puts on the stack, and what the error says
    "os.system by GLOBAL": (Call(Name("os", "system"), ("id",)), r"it holds 'os\.system', which is not weights"),
    "posix.system by GLOBAL": (Call(Name("posix", "system"), ("id",)), r"it holds 'posix\.system"),
    "os.system by STACK_GLOBAL": (
        Opcodes(strings("os", "system") + b"\x93" + encode(("id",)) + b"R"), r"it holds 'os\.system"),
    "STACK_GLOBAL of a list": (Opcodes(b"]" + strings("system") + b"\x93"), "imports something without a name"),
    "os.system by INST": (Opcodes(b"(" + strings("id") + b"ios\nsystem\n"), "the instruction INST"),
    "os.system by OBJ": (Opcodes(b"(cos\nsystem\n" + strings("id") + b"o"), r"it holds 'os\.system"),
    "a known function by OBJ": (Opcodes(b"(" + encode(ORDERED) + b"o"), "the instruction OBJ"),
    "builtins.eval": (Call(Name("builtins", "eval"), ("1",)), r"it holds 'builtins\.eval"),
    "__builtin__.eval": (Call(Name("__builtin__", "eval"), ("1",)), r"it holds '__builtin__\.eval"),
    "a getattr chain": (
        Call(Call(Name("builtins", "getattr"), (Name("os", "system"), "__call__")), ("id",)),
        r"it holds 'builtins\.getattr",
    ),
    "an attribute of a known name": (
        Opcodes(strings("torch", "FloatStorage.__init__.__globals__") + b"\x93"),
        r"it holds 'torch\.FloatStorage\.__init__\.__globals__",
    ),
    "a name through a known module": (Name("collections", "_sys.modules"), r"it holds 'collections\._sys\.modules"),
    "a name with a space": (Name("torch FloatStorage", ""), r"it holds 'torch\.FloatStorage '"),
    "a name with an escape sequence": (Name("os", "\x1b[2J" + "x" * 1000), r"it holds 'os\.\\x1b\[2Jx{93}', which"),
    "a class by NEWOBJ": (Opcodes(b"c" + HERE + b"Canary\n)\x81"), r"it holds '.*\.Canary"),
    "a class by NEWOBJ_EX": (Opcodes(encode(ORDERED) + b")}\x92"), "the instruction NEWOBJ_EX"),
    "a pickled module": (Name("torch.nn.modules.linear", "Linear"), r"of a whole model save model\.state_dict\(\)"),
    "EXT1": (Opcodes(b"\x82\x07"), "the instruction EXT1"),
    "EXT2": (Opcodes(b"\x83\x07\x00"), "the instruction EXT2"),
    "EXT4": (Opcodes(b"\x84\x07\x00\x00\x00"), "the instruction EXT4"),
    "NEXT_BUFFER": (Opcodes(b"\x97"), "the instruction NEXT_BUFFER"),
    "BYTEARRAY8": (Opcodes(b"\x96" + struct.pack("<Q", 3) + b"abc"), "the instruction BYTEARRAY8"),
    "a call of a storage": ({"x": Call(MEMORY, ())}, "calls what is no function"),
    "a call of a dtype": ({"x": Call(FLOATS, (5,))}, "calls what is no function"),
    "a call of a str": ({"x": Call("system", ())}, "calls what is no function"),
    "a call with a list": (Opcodes(encode(ORDERED) + b"]R"), "calls what is no function"),
    "a function as data": ({"x": REBUILD}, "belongs to no tensor"),
    "a storage as data": ({"x": MEMORY}, "belongs to no tensor"),
    "wild arguments: none": (wild(), r"TypeError: _rebuild_tensor_v2\(\) missing"),
    "wild arguments: too many": (wild(*range(20)), r"TypeError: _rebuild_tensor_v2\(\) takes"),
    "wild arguments: no storage": (wild("x", 0, (1,), (1,), False, HOOKS), "not described by a storage"),
    "wild arguments: a list": (wild(MEMORY, 0, [1], (1,), False, HOOKS), "not described by a storage"),
    "a negative size": (wild(MEMORY, 0, (-1,), (1,), False, HOOKS), "no 64-bit integer of at least 0"),
    "a negative stride": (wild(MEMORY, 11, (2,), (-1,), False, HOOKS), "no 64-bit integer of at least 0"),
    "a negative offset": (wild(MEMORY, -1, (2,), (1,), False, HOOKS), "no 64-bit integer of at least 0"),
    "a size of 64 bits": (wild(MEMORY, 0, (1 << 63,), (0,), False, HOOKS), "no 64-bit integer of at least 0"),
    "a size of floats": (wild(MEMORY, 0, (1.0,), (1,), False, HOOKS), "no 64-bit integer of at least 0"),
    "a size of bools": (wild(MEMORY, 0, (True,), (1,), False, HOOKS), "no 64-bit integer of at least 0"),
    "sizes without strides": (wild(MEMORY, 0, (2, 2), (1,), False, HOOKS), "has 2 axes and 1 strides"),
    "100 axes": (wild(MEMORY, 0, (1,) * 100, (1,) * 100, False, HOOKS), "has 100 axes and 100 strides; at most 32"),
    "a view past the end": (wild(MEMORY, 0, (13,), (1,), False, HOOKS), r"outside of its storage of 12 elements"),
    "an offset past the end": (wild(MEMORY, 12, (), (), False, HOOKS), r"shape \(\) .* offset 12 reaches outside"),
    "strides past the end": (wild(MEMORY, 0, (3, 4), (4, 2), False, HOOKS), r"strides \(4, 2\) at offset 0 reaches"),
    "strides that overflow": (wild(MEMORY, 0, (3, 3), (1 << 62, 1 << 62), False, HOOKS), "reaches outside"),
    "an empty tensor of wild sizes": (
        wild(MEMORY, 0, (0, 1 << 62, 1 << 62), (1, 1, 1), False, HOOKS), "it is damaged .ValueError: array is too big"),
    "a stride of 0 for a terabyte": (wild(MEMORY, 0, (1 << 38,), (0,), False, HOOKS), "repeat elements until"),
    "the same memory a hundred times": (
        {str(i): view(MEMORY, 0, ((1 << 18) - i,), (0,)) for i in range(100)}, "repeat elements until"),
    "a conjugated tensor": (wild(MEMORY, 0, (2,), (1,), False, HOOKS, {"conj": True}), r"call \.resolve_conj\(\)"),
    "a v3 tensor of no dtype": (
        {"x": Call(Name("torch._utils", "_rebuild_tensor_v3"), (MEMORY, 0, (2,), (1,), False, HOOKS, "float32"))},
        "a dtype that is none",
    ),
    "a Parameter of a str": (
        {"x": Call(Name("torch._utils", "_rebuild_parameter"), ("x", 1, 2))}, "something else than a tensor"),
    "torch.Size of a list": ({"x": Call(Name("torch", "Size"), ([1],))}, "something that is no tuple"),
    "an OrderedDict of a str": (Call(ORDERED, ("ab",)), "made of something else than a list"),
    "an OrderedDict of no pairs": (Call(ORDERED, ([[1, 2, 3]],)), "an item that is no pair"),
    "a storage of a petabyte": ({"x": storage("0", "FloatStorage", 1 << 48)}, "storages claim more than the"),
    "many storages of the size of the file": (
        [storage(str(i), "ByteStorage", 400) for i in range(100)], "claim more than the"),
    "a storage of negative size": ({"x": storage("0", "FloatStorage", -1)}, "a storage is not described"),
    "a storage of another size": ({"x": storage("0", "FloatStorage", 11)}, r"storage '0' has 48 bytes instead of 44"),
    "a storage that is missing": ({"x": storage("7", "FloatStorage", 11)}, r"has no entry 'archive/data/7'"),
    "a storage with a path": ({"x": storage("../data.pkl", "ByteStorage", 1)}, r"no entry 'archive/data/\.\./data"),
    "a storage of two kinds": ([MEMORY, storage("0", "IntStorage", 12)], "'0' is described in two ways"),
    "a storage of an unknown kind": ({"x": storage("0", "ComplexFloatStorage", 6)}, r"it holds 'torch\.Complex"),
    "a storage that is a view": (
        {"x": Stored(("storage", FLOATS, "0", "cpu", 12, ("1", 0, 4)))}, "a storage is not described"),
    "an identifier that is a str": ({"x": Stored("0")}, "a storage is not described"),
    "an identifier of a module": ({"x": Stored(("module", FLOATS, "f.py", "x", 1))}, "a storage is not described"),
    "an identifier of protocol 0": (Opcodes(b"P0\n"), "the instruction PERSID"),
    "BINBYTES8 of 4 exabytes": (Opcodes(b"\x8e" + struct.pack("<Q", 1 << 62)), "the instruction BINBYTES8|expected"),
    "BINUNICODE8 of 4 exabytes": (Opcodes(b"\x8d" + struct.pack("<Q", 1 << 62)), "bytes in a unicodestring8"),
    "BINUNICODE of 4 gigabytes": (Opcodes(b"X\xff\xff\xff\xff"), "expected 4294967295 bytes in a unicodestring4"),
    "LONG4 of 2 gigabytes": (Opcodes(b"\x8b\xff\xff\xff\x7f"), "not enough data in stream to read long4"),
    "a text that is no UTF-8": (Opcodes(b"X\x01\x00\x00\x00\xff"), "it is damaged .UnicodeDecodeError"),
    "a list that contains itself": (Opcodes(b"}" + strings("a") + b"]q\x00h\x00as"), "than 64, or contains itself"),
    "a dict that contains itself": (Opcodes(b"}q\x00" + strings("a") + b"h\x00s"), "than 64, or contains itself"),
    "deep lists": (Opcodes(b"}" + strings("a") + b"]" * DEEP + b"a" * (DEEP - 1) + b"s"), "nested deeper than 64"),
    "deep tuples": (Opcodes(b"}" + strings("a") + b")" + b"\x85" * DEEP + b"s"), "nested deeper than 64"),
    "a deep tuple as a key": (Opcodes(b"})" + b"\x85" * DEEP + b"Ns"), "a key that is neither a str nor an int: tuple"),
    "a deep tuple as an argument": (wild(Opcodes(b")" + b"\x85" * DEEP), 0, 0, 0, 0, 0), "not described by a storage"),
    "a deep tuple as a shape": (
        wild(MEMORY, 0, Opcodes(b")" + b"\x85" * DEEP), (1,), False, HOOKS), "no 64-bit integer"),
    "a deep tuple as an identifier": ({"x": Stored(Opcodes(b")" + b"\x85" * DEEP))}, "a storage is not described"),
    "marks without end": (Opcodes(b"(" * DEEP), "IndexError"),
    "billion laughs": (
        Opcodes(b"}" + strings("a") + b"](]q\x00" + b"".join(
            b"](" + bytes([ord("h"), i]) * 10 + b"eq" + bytes([i + 1]) for i in range(20)) + b"es"),
        "more than 4194304 items",
    ),
    "chains that hang on each other": (
        Opcodes(b"](" + b"".join(
            (bytes([ord("h"), i - 1]) if i else b")") + b"\x85" * 50 + b"q" + bytes([i]) for i in range(200)) + b"e"),
        "is deeper than 64",
    ),
    "keys whose hashes collide": ({(1 << 61) - 1: 1}, "a key that is neither a str nor an int: int"),
    "a key that is a float": (Opcodes(b"}" + encode(1.5) + b"Ns"), "neither a str nor an int: float"),
    "half an item": (Opcodes(b"}(Nu"), "half an item"),
    "items of a list": (Opcodes(b"]" + strings("a") + b"Ns"), "sets the items of what is no dict"),
    "items of a storage": (Opcodes(encode(MEMORY) + strings("a") + b"Ns"), "sets the items of what is no dict"),
    "appending to a dict": (Opcodes(b"}Na"), "appends to what is no list"),
    "a memo that was never set": (Opcodes(b"h\x05"), "KeyError"),
    "popping beneath a mark": (Opcodes(b"}(Na"), "IndexError"),
    "an empty stack": (Opcodes(b"R"), "IndexError"),
    "a tuple of nothing": (Opcodes(b"(\x86"), "makes a tuple of more than there is"),
    "an unknown instruction": (Opcodes(b"\xff"), "opcode b'.xff' unknown"),
    "no dict": ([1], "it holds no dict of names but a list"),
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, name, legacy):
    value, message = HOSTILE[name]
    code = pickled(value)
    named = {"0": (12, DATA["0"])} if b"storage" in code else {}
    data = legacy_file(code, named) if legacy else zip_file(code, DATA)
    path = write(tmp_path, data)
    if legacy and name in ("a storage of another size", "a storage that is missing", "a storage with a path"):
        message = "has 12 elements instead of 11|does not name those that its tensors need"
    elif legacy and name.startswith(("BIN", "LONG4")):
        message = "it claims to have a part of"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            nn.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"cannot load {path}: ")
    assert peak < 4 * len(data) + (64 << 20)


HARMLESS = {
    # what looks like an attack and has no effect
    "BUILD with __dict__": Opcodes(encode({}) + encode({"__class__": 1, "update": 2}) + b"b"),
    "BUILD with slots": Opcodes(encode({}) + encode((None, {"__class__": 1})) + b"b"),
    "a memo of 4 billion places": Opcodes(b"}r\xff\xff\xff\xff"),
    "a memo set over and over": Opcodes(b"}" + b"q\x00" * 1000),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_pickles(tmp_path, name):
    tracemalloc.start()
    try:
        assert read_object(tmp_path, HARMLESS[name]) == {}
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_list_that_is_made_a_dict_many_times_takes_its_memory_once(tmp_path):
    pairs = [[f"{i:04}", i] for i in range(2000)]
    code = encode(pairs) + b"\x85q\x02"
    calls = (encode(ORDERED) + b"h\x02R") * 3000
    data = zip_file(b"\x80\x02}" + strings("a") + b"]" + b"(" + code + calls + b"es.", DATA)
    tracemalloc.start()
    try:
        state = read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (8 << 20)
    finally:
        tracemalloc.stop()
    assert len(state["a"][1]) == 2000
    assert state["a"][2] == {}


def test_wrong_containers(tmp_path):
    described = pickled({"x": view(MEMORY, 0, (12,), (1,))})
    good, legacy = zip_file(described, DATA), legacy_file(described, {"0": (12, DATA["0"])})
    assert read(tmp_path, good)["x"].tolist() == read(tmp_path, legacy)["x"].tolist() == list(range(12))

    def archive(compress=zipfile.ZIP_STORED, names=("a/data.pkl", "a/data/0"), data=DATA["0"]):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compress) as target:
            for name in names:
                target.writestr(name, described if name.endswith("pkl") else data)
        return file.getvalue()

    twice = archive(names=("a/data.pkl", "b/data.pkl", "a/data/0"))
    bomb = archive(zipfile.ZIP_DEFLATED, data=bytes(60 << 20))
    heads = [pickle.dumps(x, 2) for x in (MAGIC, 1001, {})]
    for data, message in [
        (zip_file(described, DATA, byteorder="middle"), r"the byte order must be little or big, got b'middle'"),
        (zip_file(described, DATA, **{"constants.pkl": b""}), "it is a TorchScript archive, which holds a program"),
        (archive(zipfile.ZIP_DEFLATED), r"the entry 'a/data\.pkl' is compressed, torch\.save stores as it is"),
        (archive(zipfile.ZIP_LZMA), r"'a/data\.pkl' is compressed by a method that NumPy does not use"),
        (bomb, r"it has \d+ bytes and would unpack to 629\d+, more than the \d+ that are allowed"),
        (twice.replace(b"b/data.pkl", b"a/data.pkl"), "two entries of the zip archive have the same name"),
        (archive(names=("readme.txt",)), r"a zip archive but neither of np\.savez nor of torch\.save: .*'readme\.txt'"),
        (good[:-30], r"it is damaged \(BadZipFile"),
        (legacy[:-5], "it ends 5 bytes too early"),
        (legacy + b"x", "bytes follow after its end"),
        (legacy.replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)), "it is not of version 1001 of the format"),
        (legacy.replace(struct.pack("<q", 12), struct.pack("<q", -1)), "storage '0' has -1 elements instead of 12"),
        (legacy.replace(pickle.dumps(["0"], 2), pickle.dumps([], 2)), "list of storages does not name those"),
        (heads[0] + b"cos\nsystem\n(X\x02\x00\x00\x00idtR.", r"it holds 'os\.system"),
        (b"\x80\x02" + encode((MAGIC, 1)) + b".", "its magic number is wrong"),
        (heads[0] + heads[1] + pickled(Stored("x")), "its head holds something else than plain data"),
        (b"".join(heads), "pickle exhausted before seeing STOP"),
        (b"".join(heads) + pickle.dumps({}, 2) + b"cos\nsystem\n.", r"it holds 'os\.system"),
        (pickle.dumps({"a": 1}), "it is not a safetensors or npz file, nor written by torch.save"),
        (bytes(257) + b"ustar" + bytes(300), "it is a tar archive, as the first versions of torch.save wrote"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            read(tmp_path, data)
        assert str(caught.value).startswith("cannot load ")


def test_booleans_that_are_neither(tmp_path):
    code = pickled({"x": view(storage("0", "BoolStorage", 3), 0, (3,), (1,))})
    with pytest.raises(ValueError, match="it has booleans that are neither 0 nor 1"):
        read(tmp_path, zip_file(code, {"0": b"\0\1\2"}))


def test_a_pickle_of_too_many_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("minigrad.nn.plain_pickle.MAX_STEPS", 1000)
    with pytest.raises(ValueError, match="its pickle has more than 1000 steps"):
        read_object(tmp_path, {"a": list(range(1000))})
