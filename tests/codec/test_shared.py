"""Codecs are loaded once for a process, and anew where the files of their bundle have changed."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import deepstd
from deepstd import bundle as bundles
from deepstd.bundle import Bundle, store
from deepstd.codec import shared
from deepstd.errors import BundleError, BundleMismatchError


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders of the bundles that are loaded, of a process that has loaded none."""
    monkeypatch.setattr(shared, "_kept", type(shared._kept)())
    found: list[Path] = []
    load = store.load

    def counted(folder: Path) -> Bundle:
        found.append(folder)
        return load(folder)

    monkeypatch.setattr(store, "load", counted)  # as load_exact calls it
    monkeypatch.setattr(bundles, "load", counted)
    return found


@pytest.fixture
def home(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of an installed bundle that a test may change."""
    folder = tmp_path / "home" / "bundles" / "tiny"
    shutil.copytree(tiny_bundle, folder)
    monkeypatch.setenv("DEEPSTD_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def scan(tmp_path: Path, phantom: Callable[..., np.ndarray], home: Path) -> Path:
    """Lossy file of the installed bundle."""
    path = tmp_path / "scan.dstd"
    deepstd.compress(phantom((20, 18, 16)), path, ratio=6, model=str(home), effort="fast")
    return path


def test_a_bundle_is_loaded_once_for_all_ways_to_read(scan: Path, loads: list[Path]) -> None:
    whole = deepstd.decompress(scan, device="cpu").voxels
    again = deepstd.decompress(scan, device="cpu").voxels
    part = deepstd.open(scan)[2:9, 3, :]
    assert len(loads) == 1
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_array_equal(part, whole[2:9, 3])


def test_threads_that_begin_together_load_once(scan: Path, loads: list[Path]) -> None:
    start, found = threading.Barrier(4), []

    def read() -> None:
        start.wait()
        found.append(deepstd.decompress(scan, device="cpu").voxels)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(found) == 4
    for voxels in found[1:]:
        np.testing.assert_array_equal(voxels, found[0])


@pytest.mark.parametrize("named", [False, True])
def test_damage_after_the_first_load_is_told(
    scan: Path, home: Path, loads: list[Path], *, named: bool
) -> None:
    model = str(home) if named else "auto"
    deepstd.decompress(scan, model=model, device="cpu")
    (network,) = home.glob("texture-3d.safetensors")
    data = bytearray(network.read_bytes())
    data[-1] ^= 1
    network.write_bytes(data)
    with pytest.raises(BundleError, match="damaged or was changed"):
        deepstd.decompress(scan, model=model, device="cpu")


def test_a_folder_that_is_gone_or_no_longer_searched(
    scan: Path, home: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    deepstd.decompress(scan, device="cpu")
    monkeypatch.setenv("DEEPSTD_HOME", str(home.parent / "empty"))
    with pytest.raises(BundleMismatchError, match="not installed"):
        deepstd.decompress(scan, device="cpu")
    monkeypatch.setenv("DEEPSTD_HOME", str(home.parents[1]))
    shutil.rmtree(home)
    with pytest.raises(BundleMismatchError, match="not installed"):
        deepstd.decompress(scan, device="cpu")


def test_another_bundle_is_refused_also_where_it_is_kept(scan: Path, loads: list[Path]) -> None:
    with pytest.raises(BundleMismatchError, match="not the one at hand"):
        deepstd.decompress(scan, model="generic", device="cpu")
    shared.codec_named("generic", "cpu")
    before = len(loads)
    with pytest.raises(BundleMismatchError, match="not the one at hand"):
        deepstd.decompress(scan, model="generic", device="cpu")
    with pytest.raises(BundleMismatchError, match="not the one at hand"):
        deepstd.open(scan, model="generic")[3]
    assert len(loads) == before


def test_few_codecs_are_kept(
    home: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "MOST", 2)
    folders = [shutil.copytree(home, home.parent / f"copy{n}") for n in range(3)]
    for folder in (*folders, folders[2], folders[0]):
        shared.codec_named(str(folder), "cpu")
    assert [path.name for path in loads] == ["copy0", "copy1", "copy2", "copy0"]
    assert len(shared._kept) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_a_thread_loads(scan: Path, loads: list[Path]) -> None:
    deepstd.decompress(scan, device="cpu")
    with shared._lock:  # as a thread of the parent holds it
        child = os.fork()
        if not child:
            free = shared._lock.acquire(timeout=5)
            os._exit(0 if free and len(shared._kept) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
