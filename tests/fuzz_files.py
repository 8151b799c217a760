"""Damages files of weights in thousands of ways, and checks that each is refused or read, and nothing else happens.

Run as `python -m tests.fuzz_files KIND SEED COUNT` in a process of its own, since a crash is among the things looked
for, and audit hooks cannot be removed. Prints how many files were read, refused by `nn.load`, refused by the model,
and refused without naming the file.
"""

from __future__ import annotations

import codecs
import io
import itertools
import json
import pickletools
import random
import re
import resource
import struct
import sys
import tempfile
import tracemalloc
import unicodedata  # noqa: F401 (Python imports it for a word that is not ASCII, such as a damaged npy header may have)
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy

from minigrad import nn
from minigrad.nn import nested
from tests.torchfiles import legacy_file, pickled, saved, state_dict, zip_file

CALLED: list = []
FORBIDDEN = ("os.", "subprocess.", "pickle.find_class", "socket.", "ctypes.", "shutil.", "exec", "import")
watching = False


def canary(*arguments: object) -> None:
    """What no file may call."""
    CALLED.append(arguments)


def audit(event: str, arguments: tuple) -> None:
    if watching and event.startswith(FORBIDDEN):
        CALLED.append((event, arguments))


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))


ARRAYS = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(3, 2).T,
    "0.bias": np.array([0.5, 2], np.float16),
    "1.weight": np.array([[3, 4]], np.int64),
    "1.bias": np.array([True]),
}


def arrays(rng: random.Random) -> dict[str, np.ndarray]:
    """Those above; now and then one is missing, or has another name, in a file that is whole."""
    chosen = dict(ARRAYS)
    if rng.random() < 0.1:
        array = chosen.pop(rng.choice(list(chosen)))
        chosen |= rng.choice(({}, {"2.bias": array}))
    return chosen


# ---- damage to bytes ------------------------------------------------------------------------------------------------


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((rng.randbytes(rng.randint(1, 16)), data[at : at + 64])) + data[at:]


def delete(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 32) :]


def swap_blocks(data: bytes, rng: random.Random) -> bytes:
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _ in "abcd")
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def extreme_number(data: bytes, rng: random.Random) -> bytes:
    number = rng.choice((b"\xff", b"\x7f", b"\0", b"\x80")) * rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(data))
    return data[:at] + number + data[at + len(number) :]


BYTES: list[Callable] = [flip_bits, truncate, insert, delete, swap_blocks, extreme_number]

# ---- damage to what the bytes mean ----------------------------------------------------------------------------------

CANARY = f"c{__name__ if __name__ != '__main__' else 'tests.fuzz_files'}\ncanary\n".encode()
INSTRUCTIONS = [
    *(bytes([code]) for code in b"(.012NQRRabdelost)]}uq\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94\x97\x98"),
    *(
        CANARY,
        CANARY + b")R",
        CANARY + b")\x81",
        b"(i" + CANARY[1:],
        b"cos\nsystem\n",
        b"\x82\x01",
    ),
    *(b"K\xff", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"h\0", b"h\3", b"r\xff\xff\xff\xff"),
    *(b"\x8e" + b"\xff" * 8, b"X\xff\xff\xff\x7f", b"\x96" + b"\xff" * 7 + b"\x7f", b"\x95" + b"\xff" * 8),
]


def instructions(code: bytes, rng: random.Random) -> bytes:
    """The program of a pickle with a few instructions changed."""
    starts = [position for _, _, position in pickletools.genops(code)] + [len(code)]
    parts = [code[a:b] for a, b in itertools.pairwise(starts)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        match rng.randrange(5):
            case 0:
                parts[at] = rng.choice(INSTRUCTIONS)
            case 1:
                parts.insert(at, rng.choice(INSTRUCTIONS))
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts.insert(at, parts[other])
            case 4:
                parts[at] = b""
    return b"".join(parts)


NUMBERS = [-1, 0, 1, 2, 3, 5, 6, 7, 255, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, 1 << 64]


def numbers(text: bytes, rng: random.Random) -> bytes:
    """A text with one number changed."""
    found = list(re.finditer(rb"\d+", text))
    chosen = rng.choice(found)
    return text[: chosen.start()] + str(rng.choice(NUMBERS)).encode() + text[chosen.end() :]


WORDS = [b"F32", b"F64", b"BF16", b"BOOL", b"I8", b"U64", b"C64", b"<f4", b"|O", b">i8", b"|b1", b"<c16", b"<M8[s]",
         b"[]", b"None", b"True", b"()", b"{}", b"shape", b"dtype", b"1.bias", b"descr"]  # fmt: skip


def words(text: bytes, rng: random.Random) -> bytes:
    """A text with one word changed."""
    chosen = rng.choice(list(re.finditer(rb"[\w<|>.]+", text)))
    return text[: chosen.start()] + rng.choice(WORDS) + text[chosen.end() :]


def header(text: bytes, rng: random.Random) -> bytes:
    return rng.choice((numbers, words, flip_bits, insert, delete, swap_blocks))(text, rng)


# ---- the five formats -----------------------------------------------------------------------------------------------


def damaged_zip(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return rng.choice(BYTES)(saved(ARRAYS), rng)
    described, storages = state_dict(arrays(rng))
    code = pickled(described)
    match rng.randrange(9):
        case 8:
            pass
        case 0:
            code = rng.choice(BYTES)(code, rng)
        case 1:
            key = rng.choice(list(storages))
            storages[key] = rng.choice(BYTES)(storages[key], rng)
        case 2:
            return zip_file(code, storages, rng.choice(("big", "little", "", "x")))
        case _:
            code = instructions(code, rng)
    return zip_file(code, storages)


def damaged_legacy(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return rng.choice(BYTES)(saved(ARRAYS, legacy=True), rng)
    chosen = arrays(rng)
    described, storages = state_dict(chosen, legacy=True)
    sizes = {key: (x.size, data) for (key, data), x in zip(storages.items(), chosen.values(), strict=True)}
    if rng.random() < 0.2:
        key = rng.choice(list(sizes))
        sizes[key] = (rng.choice([n for n in NUMBERS if n < 1 << 63]), sizes[key][1])
    code = pickled(described)
    return legacy_file(code if rng.random() < 0.1 else instructions(code, rng), sizes)


def damaged_safetensors(rng: random.Random) -> bytes:
    good = SAFETENSORS
    if rng.random() < 0.4:
        return rng.choice(BYTES)(good, rng)
    (length,) = struct.unpack("<Q", good[:8])
    if rng.random() < 0.2:  # a valid header that fits its data, of another dtype of the same size
        table = json.loads(good[8 : 8 + length])
        entry = table[rng.choice(list(table))]
        entry["dtype"] = rng.choice({1: ["U8", "BOOL", "F8_E5M2"], 2: ["BF16", "I16"], 4: ["I32", "U32"]}.get(
            {"F32": 4, "F16": 2, "BOOL": 1}.get(entry["dtype"], 8), ["F64", "U64", "C64"]))  # fmt: skip
        text = json.dumps(table).encode()
    else:
        text = header(good[8 : 8 + length], rng)
    return struct.pack("<Q", len(text)) + text + good[8 + length :]


def damaged_npz(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return rng.choice(BYTES)(NPZ, rng)
    file = io.BytesIO()
    chosen = rng.choice(list(ARRAYS))
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, array in arrays(rng).items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array)
            data = entry.getvalue()
            if name == chosen:
                text = header(data[10:].split(b"\n")[0], rng)
                data = data[:8] + struct.pack("<H", len(text) + 1) + text + b"\n" + data[10:].split(b"\n", 1)[1]
                data = rng.choice(BYTES)(data, rng) if rng.random() < 0.2 else data
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def checkpoint(model: dict) -> dict:
    return {"epoch": 3, "model": model, "rng": [(2**70, None, True), {5: 0.5, "loss": float("nan")}, np.float32(2)]}


def damaged_nested(rng: random.Random) -> bytes:
    """Half of them with a description that was changed before its checksum was made."""
    if rng.random() < 0.4:
        return rng.choice(BYTES)(NESTED, rng)
    text, named = nested.pack(checkpoint(arrays(rng)), lambda _, array: np.asarray(array, order="C"))
    mark, version, checksum, json_text = text.split(" ", 3)
    if rng.random() < 0.9:
        json_text = header(json_text.encode(), rng).decode(errors="replace")
        checksum = f"{zlib.crc32(json_text.encode()):08x}"
    return safetensors.numpy.save(named, {nested.KEY: f"{mark} {version} {checksum} {json_text}"})


KINDS = {"zip": damaged_zip, "legacy": damaged_legacy, "safetensors": damaged_safetensors, "npz": damaged_npz}
KINDS["nested"] = damaged_nested


def written(name: str, state: dict) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        nn.save(state, Path(folder, name))
        return Path(folder, name).read_bytes()


SAFETENSORS, NPZ = written("w.safetensors", ARRAYS), written("w.npz", ARRAYS)
NESTED = written("w.safetensors", checkpoint(ARRAYS))


def main(kind: str, seed: int, count: int) -> dict[str, int]:
    global watching
    rng = random.Random(f"{kind} {seed}")
    net = model()
    start = {name: value.numpy().tobytes() for name, value in net.state_dict().items()}
    first = net.state_dict()
    counts = {"loaded": 0, "refused": 0, "misfits": 0, "unexplained": 0}
    sys.addaudithook(audit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights")
        path.write_bytes(saved(ARRAYS))
        nn.load(path)  # what is imported late is imported now
        for encoding in ("raw-unicode-escape", "cp437"):
            codecs.lookup(encoding)
        tracemalloc.start()
        for number in range(count):
            data = KINDS[kind](rng)
            path.write_bytes(data)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            state = None
            try:
                watching = True
                state = nn.load(path)
            except ValueError as error:
                named = type(error) is ValueError and str(error).startswith(f"cannot load {path}: ")
                counts["refused" if named else "unexplained"] += 1
            finally:
                watching = False
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak < 4 * len(data) + (64 << 20), (number, peak)
            if state is not None:
                state = state.get("model") if kind == "nested" else state
                try:
                    net.load_state_dict(state)
                    counts["loaded"] += 1
                    now = {name: value.numpy() for name, value in net.state_dict().items()}
                    assert all(np.array_equal(now[k], state[k].numpy().astype("f4"), True) for k in now), number
                    net.load_state_dict(first)
                except (ValueError, TypeError):
                    counts["misfits"] += 1
            assert {k: v.numpy().tobytes() for k, v in net.state_dict().items()} == start, number
            assert not CALLED, (number, CALLED)
    return counts


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # what no tracer sees is bounded too
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
