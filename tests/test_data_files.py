"""Finding, verifying and downloading the files of a data set."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minigrad.nn.data import files
from minigrad.nn.data.files import data_root, search_path
from minigrad.nn.data.mnist import load_mnist
from tests.datafiles import PARTS, flipped, outcome, put, replace, small_mnist


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data sets; gives the folder that is its /usr/share."""
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    return tmp_path / "share"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(loaded: tuple, arrays: list) -> None:
    assert np.array_equal(loaded[0], arrays[0][:, None])
    assert np.array_equal(loaded[1], arrays[1])


# ---- where ----------------------------------------------------------------------------------------------------------


def test_the_root(monkeypatch, tmp_path):
    assert data_root() == tmp_path / "cache" / "minigrad"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the convention
    monkeypatch.setenv("HOME", "/home/ada")
    assert data_root() == Path("/home/ada/.cache/minigrad")
    monkeypatch.setenv("MINIGRAD_DATA", "")
    assert data_root() == Path("/home/ada/.cache/minigrad")
    monkeypatch.setenv("MINIGRAD_DATA", "~/data")
    assert data_root() == Path("/home/ada/data")
    assert data_root("/elsewhere") == Path("/elsewhere")


def test_the_folders_in_their_order(monkeypatch):
    source = small_mnist()[0]
    monkeypatch.delenv("XDG_DATA_DIRS")
    expected = ["/d/small", "/d", "/d/Other/raw", "/usr/local/share/datasets/small", "/usr/share/datasets/small"]
    assert search_path(source, "/d") == [Path(folder) for folder in expected]


@pytest.mark.parametrize("folder", ["root/small", "root", "root/Other/raw", "share/datasets/small"])
@pytest.mark.parametrize("packed", [True, False])
def test_each_place_is_found(folder, packed, tmp_path):
    source, contents, arrays = small_mnist()
    put(tmp_path / folder, contents, packed)
    check(load_mnist(source, 10, True, tmp_path / "root"), arrays[:2])
    check(load_mnist(source, 10, False, tmp_path / "root"), arrays[2:])


def test_by_the_environment_variable_and_by_default(tmp_path, monkeypatch):
    source, contents, arrays = small_mnist()
    put(tmp_path / "cache" / "minigrad" / "small", contents)
    check(load_mnist(source, 10), arrays[:2])
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "else"))
    with pytest.raises(FileNotFoundError):
        load_mnist(source, 10)
    put(tmp_path / "else", contents)
    check(load_mnist(source, 10), arrays[:2])


def test_packed_again_as_debian_does(tmp_path):
    source, contents, arrays = small_mnist()
    put(tmp_path / "small", contents, level=1)
    assert (tmp_path / "small" / source.files[0].name).read_bytes() != gzip.compress(contents[PARTS[0]], mtime=0)
    check(load_mnist(source, 10, root=tmp_path), arrays[:2])


def test_unpacked_by_a_browser_that_left_the_name(tmp_path):
    source, contents, arrays = small_mnist()
    for name, data in contents.items():
        (tmp_path / f"{name}.gz").write_bytes(data)
    check(load_mnist(source, 10, root=tmp_path), arrays[:2])


def test_the_name_that_some_programs_unpack_to(tmp_path):
    source, contents, arrays = small_mnist()
    for name, data in contents.items():
        (tmp_path / name.replace("-idx", ".idx")).write_bytes(data)
    check(load_mnist(source, 10, root=tmp_path), arrays[:2])


def test_what_is_missing_is_explained(tmp_path):
    source = small_mnist(mirrors=("https://a.example/", "https://b.example/"), package="dataset-small")[0]
    with pytest.raises(FileNotFoundError) as raised:
        load_mnist(source, 10, root=tmp_path / "root")
    message = str(raised.value)
    assert message.startswith(f"Small needs {PARTS[0]}.gz, which is in none of the folders\n")
    for folder in search_path(source, tmp_path / "root"):
        assert f"\n    {folder}\n" in message
    assert "Pass download=True" in message
    assert f"https://a.example/{PARTS[0]}.gz or https://b.example/{PARTS[0]}.gz" in message
    assert f"SHA256 {source.files[0].sha256}" in message
    assert f"put it, as it is or unpacked, into {tmp_path / 'root' / 'small'}" in message
    assert "MINIGRAD_DATA" in message
    assert "install the Debian package dataset-small" in message
    assert not (tmp_path / "root").exists()


# ---- damage ---------------------------------------------------------------------------------------------------------

IMAGES = small_mnist()[1][PARTS[0]]
PACKED = gzip.compress(IMAGES, mtime=0)
OTHER = IMAGES[:-1] + bytes([IMAGES[-1] ^ 1])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


WRONG = f"it is not the published file: SHA256 of its contents is {sha256(OTHER)}, {sha256(IMAGES)} is expected"
DAMAGED = {
    "other pixels": (
        OTHER,
        WRONG,
    ),
    "other pixels, packed": (
        gzip.compress(OTHER),
        WRONG,
    ),
    "cut off": (
        IMAGES[:99],
        f"it has 99 bytes, {len(IMAGES)} are expected; SHA256 of the file is {sha256(IMAGES[:99])}, "
        f"of the published file {sha256(IMAGES)}",
    ),
    "too long": (IMAGES + b"\0", f"it has more than {len(IMAGES)} bytes, {len(IMAGES)} are expected"),
    "packed and too short": (gzip.compress(b"\0\0\x08"), f"it unpacks to 3 bytes, {len(IMAGES)} are expected"),
    "packed and too long": (gzip.compress(IMAGES + bytes(9)), f"it unpacks to more than {len(IMAGES)} bytes"),
    "half a gzip file": (
        PACKED[:200],
        "it is a damaged gzip file (Compressed file ended before the end-of-stream marker was reached); "
        f"SHA256 of the file is {sha256(PACKED[:200])}, of the published file {sha256(PACKED)}",
    ),
    "gzip's own checksum": (PACKED[:-8] + bytes(4) + PACKED[-4:], "it is a damaged gzip file (CRC check failed"),
    "rubbish after gzip": (PACKED + b"rubbish", "it is a damaged gzip file (Not a gzipped file"),
    "empty": (b"", f"it has 0 bytes, {len(IMAGES)} are expected"),
    "two bytes": (b"\x1f\x8b", "it is a damaged gzip file"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("download", [False, True])
def test_a_damaged_file_is_explained_and_left_alone(name, download, tmp_path):
    data, fault = DAMAGED[name]
    source, contents, _ = small_mnist()
    put(tmp_path / "small", contents)
    path = tmp_path / "small" / f"{PARTS[0]}.gz"
    path.write_bytes(data)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="Small needs") as raised:
        load_mnist(source, 10, root=tmp_path, download=download)
    assert f"\n    {path}: {fault}" in str(raised.value)
    assert f"into {path.parent}" in str(raised.value)
    assert source.mirrors[0] + f"{PARTS[0]}.gz" in str(raised.value)
    assert f"Nothing was changed. Move {path} away and pass download=True" in str(raised.value)
    assert snapshot(tmp_path) == before


def test_a_whole_file_elsewhere_is_taken_instead(tmp_path, system):
    source, contents, arrays = small_mnist()
    put(tmp_path / "root" / "small", dict.fromkeys(contents, b"damaged"))
    put(system / "datasets" / "small", contents)
    check(load_mnist(source, 10, root=tmp_path / "root"), arrays[:2])


def test_all_faults_are_told(tmp_path, system):
    source, contents, _ = small_mnist()
    put(tmp_path / "root" / "small", dict.fromkeys(contents, b"damaged"))
    put(system / "datasets" / "small", dict.fromkeys(contents, b"damaged too"), packed=False)
    with pytest.raises(ValueError, match="unpacks to 7 bytes") as raised:
        load_mnist(source, 10, root=tmp_path / "root")
    assert "it has 11 bytes" in str(raised.value)


def test_a_folder_a_pipe_and_a_dead_link(tmp_path):
    source, _, _ = small_mnist()
    path = tmp_path / "small" / f"{PARTS[0]}.gz"
    path.mkdir(parents=True)
    with pytest.raises(ValueError, match=f"{path}: it is a folder\n"):
        load_mnist(source, 10, root=tmp_path, download=True)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=f"{path}: it is not a file\n"):
        load_mnist(source, 10, root=tmp_path)
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=f"none of the folders(.|\n)*Move {path} away"):
        load_mnist(source, 10, root=tmp_path, download=True)
    assert path.is_symlink()


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that anybody may use, and a user whom permissions bind, which root is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            (folder / "own").mkdir()
            yield folder / "own"
        finally:
            if user == 0:
                os.seteuid(0)


def test_permission_denied(as_nobody):
    source, contents, _ = small_mnist()
    put(as_nobody / "small", contents)
    path = as_nobody / "small" / f"{PARTS[0]}.gz"
    path.chmod(0)
    with pytest.raises(OSError, match=f"{path} cannot be read: Permission denied"):
        load_mnist(source, 10, root=as_nobody)
    path.parent.chmod(0)
    with pytest.raises(OSError, match=f"{path} cannot be read: Permission denied"):
        load_mnist(source, 10, root=as_nobody)
    path.parent.chmod(0o700)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    source, contents, _ = small_mnist()
    put(tmp_path, contents)
    (tmp_path / f"{PARTS[0]}.gz").write_bytes(gzip.compress(IMAGES + bytes(100 << 20)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"unpacks to more than {len(IMAGES)} bytes"):
        load_mnist(source, 10, root=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("packed", [True, False])
def test_a_thousand_damaged_files(packed, tmp_path):
    """With a checksum of the contents: refused, or equal (a byte of gzip's header that says nothing)."""
    source, contents, arrays = small_mnist()
    put(tmp_path, contents, packed)
    path = tmp_path / (f"{PARTS[1]}.gz" if packed else PARTS[1])
    good = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(500):
        replace(path, flipped(good, rng))
        loaded, message = outcome(lambda: load_mnist(source, 10, root=tmp_path))
        if message:
            refused += 1
            assert str(path) in message
        else:
            check(loaded, arrays[:2])
    assert refused > 400


# ---- downloads ------------------------------------------------------------------------------------------------------


class Mirrors:
    """An HTTP server on this machine whose folders are mirrors, each with its own fault."""

    def __init__(self, contents: dict[str, bytes]):
        packed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in contents.items()}
        self.asked: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.asked.append(self.path)
                _, mirror, name = self.path.split("/")
                data = packed[name]
                if mirror == "missing":
                    self.send_error(404)
                    return
                if mirror == "moved":
                    self.send_response(302)
                    self.send_header("Location", f"/good/{name}")
                    self.end_headers()
                    return
                if mirror == "rude":
                    self.wfile.write(b"what?\r\n")
                    return
                self.send_response(200)
                if mirror not in ("endless", "unmeasured"):
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                body = {"wrong": bytes(len(data)), "cut": data[: len(data) // 2], "endless": data + bytes(1 << 20)}
                self.wfile.write(body.get(mirror, data))

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, mirror: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{mirror}/"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Mirrors(small_mnist()[1])
    yield server
    server.close()


def test_a_download(mirrors, tmp_path):
    source, contents, arrays = small_mnist((mirrors.url("good"),))
    check(load_mnist(source, 10, True, tmp_path / "new" / "root", download=True), arrays[:2])
    expected = {f"small/{name}.gz": gzip.compress(contents[name], mtime=0) for name in PARTS[:2]}
    assert snapshot(tmp_path / "new" / "root") == expected
    assert len(mirrors.asked) == 2
    check(load_mnist(source, 10, True, tmp_path / "new" / "root", download=True), arrays[:2])
    assert len(mirrors.asked) == 2  # what is there is not downloaded again
    check(load_mnist(source, 10, False, tmp_path / "new" / "root", download=True), arrays[2:])


@pytest.mark.parametrize("mirror", ["moved", "unmeasured"])
def test_other_ways_to_send_it(mirror, mirrors, tmp_path):
    source, _, arrays = small_mnist((mirrors.url(mirror),))
    check(load_mnist(source, 10, root=tmp_path, download=True), arrays[:2])


FAULTS = {
    "missing": "HTTP Error 404: Not Found",
    "wrong": f"SHA256 of its {len(PACKED)} bytes is {sha256(bytes(len(PACKED)))}, {sha256(PACKED)} is expected",
    "cut": f"the connection ended after {len(PACKED) // 2} of {len(PACKED)} bytes",
    "endless": "it sends more than",
    "rude": "what?",
}


@pytest.mark.parametrize("mirror", FAULTS)
def test_a_mirror_fails_and_the_next_is_asked(mirror, mirrors, tmp_path):
    bad, good = mirrors.url(mirror), mirrors.url("good")
    source, _, arrays = small_mnist((bad,))
    with pytest.raises(OSError, match="cannot be downloaded") as raised:
        load_mnist(source, 10, root=tmp_path, download=True)
    message = str(raised.value)
    assert f"\n    {bad}{PARTS[0]}.gz: " in message
    assert FAULTS[mirror] in message
    assert f"put it, as it is or unpacked, into {tmp_path / 'small'}" in message
    assert snapshot(tmp_path) == {}  # nothing is left behind
    source = small_mnist((bad, good))[0]
    check(load_mnist(source, 10, root=tmp_path, download=True), arrays[:2])
    assert snapshot(tmp_path).keys() == {f"small/{name}.gz" for name in PARTS[:2]}


def test_only_md5_is_known(mirrors, tmp_path):
    source, _, arrays = small_mnist((mirrors.url("wrong"), mirrors.url("good")), checksums="md5")
    check(load_mnist(source, 10, root=tmp_path, download=True), arrays[:2])
    with pytest.raises(OSError, match=f"MD5 of its {len(PACKED)} bytes is [0-9a-f]{{32}}, {source.files[0].md5} is"):
        load_mnist(small_mnist((mirrors.url("wrong"),), "md5")[0], 10, root=tmp_path / "new", download=True)


def test_nobody_listens(tmp_path):
    with socket.socket() as held:  # a port that is taken but not served
        held.bind(("127.0.0.1", 0))
        source = small_mnist((f"http://127.0.0.1:{held.getsockname()[1]}/",))[0]
        with pytest.raises(OSError, match="Connection refused"):
            load_mnist(source, 10, root=tmp_path, download=True)


def test_a_mirror_that_says_nothing_is_left(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = small_mnist((f"http://127.0.0.1:{server.getsockname()[1]}/",))[0]
        with pytest.raises(OSError, match="timed out"):
            files.fetch(source, source.files[0], tmp_path / "x.gz", timeout=0.05)
    assert snapshot(tmp_path) == {}


def test_interrupted_by_the_user(mirrors, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    source = small_mnist((mirrors.url("good"),))[0]
    with pytest.raises(KeyboardInterrupt):
        load_mnist(source, 10, root=tmp_path, download=True)
    assert snapshot(tmp_path) == {}


def test_a_full_disk_is_not_the_mirrors_fault(mirrors, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    source = small_mnist((mirrors.url("good"), mirrors.url("good")))[0]
    with pytest.raises(OSError, match=rf"cannot save to {tmp_path}/small/{PARTS[0]}.gz: No space left on device"):
        load_mnist(source, 10, root=tmp_path, download=True)
    assert len(mirrors.asked) == 1
    assert snapshot(tmp_path) == {}


def test_a_folder_that_cannot_be_written(mirrors, as_nobody):
    as_nobody.chmod(0o500)
    source = small_mnist((mirrors.url("good"),))[0]
    with pytest.raises(PermissionError, match=rf"cannot save to {as_nobody}/small/.*: Permission denied"):
        load_mnist(source, 10, root=as_nobody, download=True)
    as_nobody.chmod(0o700)


def test_damaged_in_the_root_downloaded_beside_it(mirrors, tmp_path):
    source, _, arrays = small_mnist((mirrors.url("good"),))
    (tmp_path / PARTS[0]).write_bytes(b"damaged")
    check(load_mnist(source, 10, root=tmp_path, download=True), arrays[:2])
    assert (tmp_path / PARTS[0]).read_bytes() == b"damaged"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_only(mirrors, tmp_path, monkeypatch):
    source = small_mnist((mirrors.url("good"),))[0]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    load_mnist(source, 10, root=tmp_path / "1", download=True)
    assert f"{PARTS[0]}.gz: 100%" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    load_mnist(source, 10, root=tmp_path / "2", download=True)
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", None)  # as without a console on Windows
    load_mnist(source, 10, root=tmp_path / "3", download=True)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm", None)
    load_mnist(source, 10, root=tmp_path / "4", download=True)
    assert sys.stderr.getvalue() == ""
