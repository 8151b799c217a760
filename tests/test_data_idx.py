"""The parser of IDX files, on good and on damaged ones."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from minigrad import nn
from tests.datafiles import flipped, idx, outcome, replace

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.array([3, 1, 2], np.uint8),
    np.array([[-1, 5]], np.int8),
    np.array([-300, 7], np.int16),
    np.array([[[[70000]]]], np.int32),
    np.array([0.5, -2], np.float32),
    np.array([1e300], np.float64),
    np.empty((0, 28, 28), np.uint8),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("packed", [False, True])
def test_every_dtype_comes_back(array, packed, tmp_path):
    data = idx(array)
    (tmp_path / "x").write_bytes(gzip.compress(data) if packed else data)
    for read in (nn.data.parse_idx(data), nn.data.read_idx(tmp_path / "x")):
        assert read.dtype == array.dtype
        assert read.dtype.isnative
        assert np.array_equal(read, array)
        read[...] = 0  # memory of its own


GOOD = idx(ARRAYS[0])
DAMAGED = {
    "nothing": (b"", "begins with 4 bytes that say what it is, this has 0"),
    "three bytes": (GOOD[:3], "this has 3"),
    "the wrong magic": (b"\0\1" + GOOD[2:], "begins with 0x00010803"),
    "an unknown dtype": (b"\0\0\x0a" + GOOD[3:], "begins with 0x00000a03"),
    "no dimension": (b"\0\0\x08\0" + GOOD[4:], "begins with 0x00000800"),
    "too many dimensions": (b"\0\0\x08\xff" + bytes(2000), "begins with 0x000008ff"),
    "text": (b"<!DOCTYPE html>", "begins with 0x3c21444f"),
    "half a header": (GOOD[:9], "ends inside the header of an IDX file with 3 dimensions"),
    "the header alone": (GOOD[:16], r"shape \(2, 3, 4\) and dtype uint8 has 40 bytes, this has 16"),
    "a byte too few": (GOOD[:-1], "has 40 bytes, this has 39"),
    "a byte too many": (GOOD + b"\0", "has 40 bytes, this has 41"),
    "other sizes": (GOOD[:4] + struct.pack(">3I", 2, 3, 5) + GOOD[16:], "has 46 bytes, this has 40"),
    "huge sizes": (GOOD[:4] + struct.pack(">3I", *[0xFFFFFFFF] * 3) + GOOD[16:], r"\(4294967295, 42949672"),
    "huge sizes and a zero": (struct.pack(">4B6I", 0, 0, 8, 6, 0, *[0xFFFFFFFF] * 5), "maximum|too big|too large"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_explained(name, tmp_path):
    data, message = DAMAGED[name]
    with pytest.raises(ValueError, match=message):
        nn.data.parse_idx(data)
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(ValueError, match=f"cannot read {tmp_path / 'damaged'}: ") as error:
        nn.data.read_idx(tmp_path / "damaged")
    if not name.startswith("huge"):  # there the limit speaks first
        assert error.match(message)


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        nn.data.read_idx(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        nn.data.read_idx(tmp_path)


def test_a_limit_is_kept_before_memory_is_taken(tmp_path):
    (tmp_path / "x").write_bytes(GOOD)
    assert nn.data.read_idx(tmp_path / "x", limit=24).size == 24
    with pytest.raises(ValueError, match=r"claims the shape \(2, 3, 4\) of uint8: 24 bytes, 23 are allowed"):
        nn.data.read_idx(tmp_path / "x", limit=23)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    (tmp_path / "bomb").write_bytes(gzip.compress(GOOD + bytes(100 << 20)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="has 40 bytes, this has 41"):
        nn.data.read_idx(tmp_path / "bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("cut", [3, 9, 12, -9, -1])
def test_a_gzip_file_cut_off(cut, tmp_path):
    (tmp_path / "cut.gz").write_bytes(gzip.compress(GOOD)[:cut])
    with pytest.raises(ValueError, match=r"cannot read .*cut.gz: it is a damaged gzip file"):
        nn.data.read_idx(tmp_path / "cut.gz")


@pytest.mark.parametrize("packed", [False, True])
def test_two_thousand_damaged_files(packed, tmp_path):
    """Each is refused or read; of a packed one the checksum of gzip tells, so that what is read is equal."""
    rng = np.random.default_rng(0)
    data = gzip.compress(GOOD, mtime=0) if packed else GOOD
    path = tmp_path / "x"
    refused = 0
    for _ in range(1000):
        damaged = flipped(data, rng)
        replace(path, damaged)
        array, message = outcome(lambda: nn.data.read_idx(path))
        if message:
            refused += 1
            assert str(path) in message
        elif packed:
            assert np.array_equal(array, ARRAYS[0])
        else:
            assert idx(array) == damaged
    assert 500 < refused < 990
