"""URLs and standard streams: whole or not at all, soon or with an error, and without secrets."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import Handler, Server

import deepstd
from deepstd import api, io
from deepstd.errors import (
    DamagedError,
    InputError,
    MissingExtraError,
    NotDstdError,
    OutputExistsError,
    UnsupportedFormatError,
)
from deepstd.io import remote
from deepstd.volume import Volume

pytest.importorskip("fsspec", reason="needs fsspec: pip install 'deepstd[remote]'")
pytest.importorskip("aiohttp", reason="needs aiohttp: pip install 'deepstd[remote]'")
SECRETS = ("jane", "hunter2", "c0ffee", "Signature")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as serving:
        serving.files, serving.requests, serving.closing = {}, [], threading.Event()
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield serving
        serving.closing.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def url(server: Server) -> Callable[..., str]:
    """url("whole", "a.nii.gz"): where the server behaves so; with secrets in it."""

    def make(behaviour: str, name: str) -> str:
        host = f"127.0.0.1:{server.server_address[1]}"
        return f"http://jane:hunter2@{host}/{behaviour}/{name}?X-Amz-Signature=c0ffee"

    return make


@pytest.fixture
def memory() -> Iterator[dict[str, Any]]:
    """The files of memory://, empty at first."""
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()


@pytest.fixture
def volume(phantom: Callable[..., np.ndarray]) -> Volume:
    return Volume(phantom((20, 18, 12)), np.diag([1.0, 1.5, 2, 1]))


@pytest.fixture
def scan(volume: Volume, tmp_path: Path) -> Path:
    io.write(volume, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def tells_no_secret(message: str) -> bool:
    return not any(secret in message for secret in SECRETS)


class TestPlaces:
    """Paths, URLs and what may be said of them."""

    @pytest.mark.parametrize(
        ("place", "told"),
        [
            ("a/b.nii", "a/b.nii"),
            ("-", "-"),
            ("http://h/a.nii", "http://h/a.nii"),
            ("https://jane:hunter2@h:81/x/a.nii?X-Amz-Signature=c0ffee#p", "https://h:81/x/a.nii"),
            ("https://jane:hun@ter2@h/a.nii", "https://h/a.nii"),
            ("https://h?sig=c0ffee", "https://h"),
            ("ftp://jane@h/a.nii", "ftp://h/a.nii"),
            ("s3://bucket/key/a.dstd", "s3://bucket/key/a.dstd"),
        ],
    )
    def test_shown(self, place: str, told: str) -> None:
        assert io.shown(place) == told

    def test_basename(self) -> None:
        assert io.basename("https://h/x/my%20scan.nii.gz?a=b/c.png") == "my scan.nii.gz"
        assert io.basename("https://h/x/..%2F..%2Fetc%2Fpasswd") == "_.._etc_passwd"
        assert io.basename("https://h/") == "scan"
        assert io.basename("a/b.nii") == "b.nii"

    def test_file_urls_are_paths(self, scan: Path, volume: Volume) -> None:
        np.testing.assert_array_equal(io.read(scan.as_uri()).voxels, volume.voxels)

    @pytest.mark.parametrize(
        "place", ["zip://a.nii::https://jane:hunter2@h/a.zip", "filecache::https://jane@h/a.nii"]
    )
    def test_chains_are_refused(self, place: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="chain") as caught:
            io.read(place)
        assert tells_no_secret(str(caught.value))

    def test_nul_characters(self, tmp_path: Path, volume: Volume) -> None:
        for ask in (
            lambda: io.read("a\0b.nii"),
            lambda: io.write(volume, "a\0b.nii"),
            lambda: io.atomic_path("a\0b.nii").__enter__(),
            lambda: deepstd.info("a\0b.dstd"),
            lambda: api.compress("a\0b.nii", tmp_path / "b.dstd", ratio=16),
            lambda: api.compress(tmp_path / "a.nii", "a\0b.dstd", ratio=16),
            lambda: api.decompress("a\0b.dstd", tmp_path / "b.nii"),
            lambda: api.verify("a\0b.dstd"),
        ):
            with pytest.raises(InputError, match=r"NUL|null"):
                ask()

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        for place in ("/dev/null", "/dev/stdin"):
            if Path(place).exists() and not Path(place).is_file():
                with pytest.raises(InputError, match=f"{place}: not an ordinary file"):
                    io.read(place)
        with pytest.raises(InputError, match="standard input"):
            io.read("-")


class TestReading:
    """Over HTTP, with a server that is not always well."""

    @pytest.mark.parametrize("behaviour", ["whole", "chunked"])
    def test_a_scan(
        self, server: Server, url: Callable[..., str], scan: Path, volume: Volume, behaviour: str
    ) -> None:
        server.files["scan.nii.gz"] = scan.read_bytes()
        told: list[str] = []
        back = io.read(url(behaviour, "scan.nii.gz"), progress=told.append)
        np.testing.assert_array_equal(back.voxels, volume.voxels)
        assert back.source == io.read(scan).source
        assert server.requests[-1].startswith("Basic ")
        assert "fetching http://127.0.0.1" in told[0]
        size = f" of {scan.stat().st_size:,} bytes"
        assert (size in told[0]) == (behaviour == "whole")
        assert all(map(tells_no_secret, told))

    @pytest.mark.parametrize(
        ("behaviour", "words"),
        [
            ("whole", "no such file"),
            ("404", "no such file"),
            ("403", "answers 403"),
            ("500", "answers 500"),
            ("short", "ended"),
            ("silent", "does not answer"),
            ("stalled", "does not answer"),
        ],
    )
    @pytest.mark.parametrize("ask", [io.read, deepstd.info])
    def test_errors(
        self,
        server: Server,
        url: Callable[..., str],
        scan: Path,
        monkeypatch: pytest.MonkeyPatch,
        ask: Callable[[str], object],
        behaviour: str,
        words: str,
        only_tiny: Path,
    ) -> None:
        if words == "does not answer":
            monkeypatch.setattr(remote, "_SILENCE_SECONDS", 0.3)
        api.compress(scan, scan.parent / "a.dstd", ratio=10)
        good = scan if ask is io.read else scan.parent / "a.dstd"
        server.files["a"] = good.read_bytes()
        name = "none" if behaviour == "whole" else "a"
        with pytest.raises(InputError, match=words) as caught:
            ask(url(behaviour, name))
        message = str(caught.value)
        assert message.startswith(f"http://127.0.0.1:{server.server_address[1]}/{behaviour}/")
        assert message.count("http://") == 1
        assert tells_no_secret(message)
        assert caught.value.__cause__ is None or tells_no_secret(repr(caught.value.__cause__))

    def test_nobody_is_there(self) -> None:
        for place in ("http://jane@127.0.0.1:9/a.nii", "http://jane@no-such-host.invalid/a.nii"):
            with pytest.raises(InputError, match="cannot be reached") as caught:
                io.read(place)
            assert tells_no_secret(str(caught.value))

    @pytest.mark.parametrize("place", ["http://", "http://jane:pw@:99999/a.nii", "http://[/a"])
    def test_odd_urls(self, place: str) -> None:
        with pytest.raises(InputError, match="http://") as caught:
            io.read(place)
        assert tells_no_secret(str(caught.value))

    def test_what_comes_is_no_scan(self, server: Server, url: Callable[..., str]) -> None:
        server.files["a.nii"] = b"<html>"
        with pytest.raises(InputError, match=r"/whole/a\.nii: ") as caught:
            io.read(url("whole", "a.nii"))
        assert tells_no_secret(str(caught.value))
        with pytest.raises(NotDstdError, match=r"/whole/a\.nii") as caught:
            deepstd.info(url("whole", "a.nii"))
        assert tells_no_secret(str(caught.value))

    def test_nothing_stays_in_the_temporary_folder(
        self,
        server: Server,
        url: Callable[..., str],
        scan: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        server.files["scan.nii.gz"] = scan.read_bytes()
        io.read(url("whole", "scan.nii.gz"))
        with pytest.raises(InputError):
            io.read(url("short", "scan.nii.gz"))
        assert list((tmp_path / "temporary").iterdir()) == []

    def test_larger_than_the_disk(
        self,
        server: Server,
        url: Callable[..., str],
        scan: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server.files["a"] = scan.read_bytes()
        usage = type("Usage", (), {"free": 100})
        monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
        with pytest.raises(InputError, match="free space"):
            io.read(url("whole", "a"))

    def test_http_is_read_only(self, volume: Volume, url: Callable[..., str]) -> None:
        with pytest.raises(InputError, match="read only") as caught:
            io.write(volume, url("whole", "a.nii.gz"))
        assert tells_no_secret(str(caught.value))


class TestMemory:
    """A file system that can be written."""

    def test_there_and_back(
        self, memory: dict[str, Any], scan: Path, volume: Volume, only_tiny: Path
    ) -> None:
        io.write(volume, "memory://scans/a.nii.gz")
        report = api.compress("memory://scans/a.nii.gz", "memory://scans/a.dstd", ratio=10)
        assert (report.source, report.output) == (
            "memory://scans/a.nii.gz",
            "memory://scans/a.dstd",
        )
        assert len(memory["/scans/a.dstd"].getvalue()) == report.file_bytes
        assert deepstd.info("memory://scans/a.dstd").file == "memory://scans/a.dstd"
        verified = api.verify("memory://scans/a.dstd", against="memory://scans/a.nii.gz")
        assert verified.as_stated
        api.decompress("memory://scans/a.dstd", scan.parent / "back.nii.gz")
        assert io.read(scan.parent / "back.nii.gz").source == io.read(scan).source
        assert set(memory) == {"/scans/a.nii.gz", "/scans/a.dstd"}

    def test_existing_files(self, memory: dict[str, Any], volume: Volume) -> None:
        io.write(volume, "memory://a.npy")
        before = memory["/a.npy"].getvalue()
        with pytest.raises(OutputExistsError, match=r"memory://a\.npy"):
            io.write(Volume(volume.voxels + 1), "memory://a.npy")
        assert memory["/a.npy"].getvalue() == before
        io.write(Volume(volume.voxels + 1), "memory://a.npy", overwrite=True)
        assert memory["/a.npy"].getvalue() != before

    @pytest.mark.parametrize("step", ["put_file", "mv"])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("the line is down")])
    def test_a_failed_upload_leaves_nothing(
        self,
        memory: dict[str, Any],
        volume: Volume,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
        error: BaseException,
    ) -> None:
        from fsspec.implementations.memory import MemoryFileSystem

        def fail(system: MemoryFileSystem, source: str, target: str) -> None:
            if step == "put_file":
                system.pipe_file(target, b"half")
            raise error

        monkeypatch.setattr(MemoryFileSystem, step, fail)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
            io.write(volume, "memory://a/b.npy")
        assert memory == {}

    def test_a_file_that_appears_meanwhile_is_kept(self, memory: dict[str, Any]) -> None:
        import fsspec

        def write() -> None:
            with io.placed("memory://a.npy") as temporary:
                temporary.write_bytes(b"mine")
                fsspec.filesystem("memory").pipe_file("/a.npy", b"theirs")

        with pytest.raises(OutputExistsError, match=r"memory://a\.npy"):
            write()
        assert {name: file.getvalue() for name, file in memory.items()} == {"/a.npy": b"theirs"}

    def test_what_a_file_system_says_is_not_repeated(
        self, memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fsspec.implementations.memory import MemoryFileSystem

        def fail(system: MemoryFileSystem, *arguments: Any, **options: Any) -> None:
            raise RuntimeError("cannot open memory://jane:hunter2@h/a.npy")

        monkeypatch.setattr(MemoryFileSystem, "open", fail)
        with pytest.raises(InputError, match=r"memory://h/a\.npy: .*RuntimeError") as caught:
            io.read("memory://jane:hunter2@h/a.npy")
        assert tells_no_secret(str(caught.value))

    def test_a_failed_write_uploads_nothing(self, memory: dict[str, Any], volume: Volume) -> None:
        for name in ("a.jpg", "a.png", "a.mhd"):
            with pytest.raises(UnsupportedFormatError, match=f"memory://{name}"):
                io.write(volume, f"memory://{name}")
        assert memory == {}

    def test_the_output_is_not_the_input(self, memory: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="is the input"):
            api.compress("memory://a.npy", "memory://a.npy", ratio=10)


class TestPackages:
    """Schemes that need something that is not there."""

    def test_a_scheme_of_another_package(self, volume: Volume) -> None:
        if sys.modules.get("s3fs"):
            pytest.skip("s3fs is installed")
        for ask in (lambda: io.read("s3://b/a.nii"), lambda: io.write(volume, "s3://b/a.nii")):
            with pytest.raises(MissingExtraError, match="pip install s3fs"):
                ask()

    def test_an_unknown_scheme(self) -> None:
        with pytest.raises(InputError, match="gopher:// are not known"):
            io.read("gopher://jane:hunter2@h/a.nii")

    @pytest.mark.parametrize("package", ["fsspec", "aiohttp"])
    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        load = builtins.__import__

        def fail(name: str, *arguments: Any) -> Any:
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return load(name, *arguments)

        monkeypatch.setattr(builtins, "__import__", fail)
        with pytest.raises(MissingExtraError, match=r'pip install "deepstd\[remote\]"'):
            io.read("http://127.0.0.1/a.nii")


def test_a_stream_that_does_not_end(
    scan: Path, only_tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.compress(scan, scan.parent / "a.dstd", ratio=10)
    data = (scan.parent / "a.dstd").read_bytes()

    class Endless:
        """A file, and then zeros for ever."""

        def __init__(self) -> None:
            self.rest, self.given = data, 0

        def read(self, count: int) -> bytes:
            piece, self.rest = self.rest[:count], self.rest[count:]
            self.given += count
            return piece or bytes(count)

    endless = Endless()
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": endless, "closed": False}))
    with pytest.raises(DamagedError, match="standard input: goes on"):
        deepstd.info("-")
    assert endless.given < 100_000_000
