"""A scan that is read in parts: facts, workers, forks, pickles, URLs, levels, images, damage."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
from http_server import Handler, Server

import deepstd
from deepstd.container import parse
from deepstd.errors import DamagedError, InputError, NotDstdError, TruncatedError

Phantom = Callable[..., np.ndarray]
Compressed = Callable[..., Path]
AFFINE = np.array([[0.0, -1.5, 0, 20], [1.25, 0, 0, -7], [0, 0, 2.0, 3], [0, 0, 0, 1]])
KEY = (slice(3, 20, 2), 7, slice(-5, None))


@pytest.fixture
def path(compressed: Compressed, phantom: Phantom, small_tiles: None) -> Path:
    """The file of a scan with many tiles."""
    return compressed(phantom((90, 12, 10)), AFFINE)


@pytest.fixture
def whole(path: Path, only_tiny: Path) -> np.ndarray:
    """The whole scan of this file."""
    return deepstd.decompress(path, device="cpu").voxels


def test_facts(path: Path, only_tiny: Path) -> None:
    with deepstd.open(path) as scan:
        assert (scan.shape, scan.ndim, scan.size) == ((90, 12, 10), 3, 90 * 12 * 10)
        assert (len(scan), scan.dtype) == (90, np.dtype("int16"))
        assert scan.affine is not None
        np.testing.assert_allclose(scan.affine, AFFINE)
        assert scan.spacing == pytest.approx((1.25, 1.5, 2.0))
        assert scan.header.format == "nifti1"
        assert scan.metadata["bundle"] == "tiny 1"
        assert scan.metadata["file_bytes"] == path.stat().st_size
        assert not scan.metadata["exact"]
        assert "shape=(90, 12, 10)" in repr(scan)
    assert "closed" in repr(scan)
    with pytest.raises(InputError, match="closed"):
        scan[0]


def test_index_array_and_volume(path: Path, whole: np.ndarray) -> None:
    scan = deepstd.open(path)
    np.testing.assert_array_equal(scan[KEY], whole[KEY])
    np.testing.assert_array_equal(scan[..., ::-1], whole[..., ::-1])
    assert scan[4:4].shape == (0, 12, 10)
    assert scan[3, 4, 5] == whole[3, 4, 5]
    np.testing.assert_array_equal(np.asarray(scan), whole)
    assert np.asarray(scan, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.array(scan, copy=False)
    np.testing.assert_array_equal(scan.volume().voxels, whole)
    part = scan[2:5, 2:5]
    part[...] = 0  # of the caller
    np.testing.assert_array_equal(scan[2:5, 2:5], whole[2:5, 2:5])


def test_a_part_of_the_file_is_enough(
    path: Path, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstd.container.index._FIRST", 64)  # as in a file that is larger
    scan = deepstd.open(path)
    tiles = parse(path.read_bytes(), "scan").frames[0].tiles
    np.testing.assert_array_equal(scan[:2, :2, :2], whole[:2, :2, :2])
    first = scan.bytes_read
    np.testing.assert_array_equal(scan[:3, :3, :3], whole[:3, :3, :3])
    assert scan.bytes_read == first  # all of it is known
    np.testing.assert_array_equal(scan[-1, -1, -1], whole[-1, -1, -1])
    assert len(tiles[-1]) < scan.bytes_read - first < sum(map(len, tiles)) / 2


def test_levels(path: Path, only_tiny: Path) -> None:
    scan = deepstd.open(path)
    for level in (1, 2):
        found, known = scan.level(level), deepstd.decompress(path, level=level, device="cpu")
        np.testing.assert_array_equal(found.voxels, known.voxels)
        assert found.affine is not None
        assert known.affine is not None
        np.testing.assert_array_equal(found.affine, known.affine)
    assert scan.level(0).shape == scan.shape
    with pytest.raises(InputError, match="level"):
        scan.level(9)


def test_images(path: Path, whole: np.ndarray) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'deepstd[itk]'")
    scan = deepstd.open(path)
    image = scan.nifti()
    assert isinstance(image, nibabel.Nifti1Image)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), whole)
    assert image.affine is not None
    np.testing.assert_allclose(image.affine, AFFINE)
    other = scan.sitk()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other).T, whole)
    assert other.GetSpacing() == pytest.approx((1.25, 1.5, 2.0))
    corner = np.array(other.TransformIndexToPhysicalPoint((2, 3, 4))) * (-1, -1, 1)
    np.testing.assert_allclose(corner, (AFFINE @ (2, 3, 4, 1))[:3])


def _part(scan: deepstd.Scan) -> np.ndarray:
    return scan[KEY]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers(method: str, path: Path, only_tiny: Path, whole: np.ndarray) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"processes cannot {method} here")
    # New processes know neither the patched folders of bundles nor the patched tiles.
    scan = deepstd.open(path)
    if method == "spawn":
        lossless = path.with_name("lossless.dstd")
        deepstd.compress(deepstd.Volume(whole), lossless, lossless=True)
        scan = deepstd.open(lossless)
    scan[:4, :4, :4]  # something is decoded before
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1 if method == "spawn" else 2, mp_context=context) as pool:
        for part in pool.map(_part, [scan] * 4):
            np.testing.assert_array_equal(part, whole[KEY])


def test_fork_while_a_thread_reads(path: Path, whole: np.ndarray) -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("processes cannot fork here")
    scan, busy, done = deepstd.open(path), threading.Event(), threading.Event()

    def hold() -> None:
        with scan._locked():
            busy.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    busy.wait(20)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(scan[KEY]))
    child.start()
    assert receiver.poll(20), "the child waits for a lock of its parent"
    np.testing.assert_array_equal(receiver.recv(), whole[KEY])
    child.join()
    done.set()
    thread.join()


def test_threads_share_a_scan(path: Path, whole: np.ndarray) -> None:
    scan = deepstd.open(path)
    keys = [(slice(n, n + 9), slice(None), n) for n in range(10)]
    with ThreadPoolExecutor(4) as pool:
        for key, part in zip(keys, pool.map(scan.__getitem__, keys), strict=True):
            np.testing.assert_array_equal(part, whole[key])


def test_pickles_hold_no_voxels(path: Path, whole: np.ndarray) -> None:
    scan = deepstd.open(path)
    scan[:8]
    data = pickle.dumps(scan)
    assert len(data) < 20_000
    again = pickle.loads(data)
    np.testing.assert_array_equal(again[KEY], whole[KEY])
    path.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="has changed"):
        pickle.loads(data)[KEY]


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("fsspec", reason="needs fsspec: pip install 'deepstd[remote]'")
    pytest.importorskip("aiohttp", reason="needs aiohttp: pip install 'deepstd[remote]'")
    with Server(("127.0.0.1", 0), Handler) as serving:
        serving.files, serving.requests, serving.ranges = {}, [], []
        serving.closing = threading.Event()
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield serving
        serving.closing.set()
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("behaviour", ["ranges", "whole", "chunked"])
def test_urls(behaviour: str, server: Server, path: Path, whole: np.ndarray) -> None:
    server.files["scan.dstd"] = path.read_bytes()
    url = f"http://127.0.0.1:{server.server_address[1]}/{behaviour}/scan.dstd"
    scan = deepstd.open(url)
    np.testing.assert_array_equal(scan[KEY], whole[KEY])
    if behaviour == "ranges":
        asked = sum(stop - start for start, stop in server.ranges)
        assert scan.bytes_read == asked
        assert asked < len(server.files["scan.dstd"]) + (1 << 14)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(scan))[KEY], whole[KEY])
    else:
        assert scan.bytes_read == len(server.files["scan.dstd"])


def test_damaged_tiles_are_told_where_they_are_needed(path: Path, whole: np.ndarray) -> None:
    data = bytearray(path.read_bytes())
    tile = [s for s in parse(bytes(data), "scan").sections if s.name == "TILE"][-1]
    data[tile.offset + tile.nbytes // 2] ^= 1
    path.write_bytes(data)
    scan = deepstd.open(path)
    np.testing.assert_array_equal(scan[:4, :4, :4], whole[:4, :4, :4])
    with pytest.raises(DamagedError, match=r"scan\.dstd .*checksum"):
        scan[-4:, -4:, -4:]
    with pytest.raises(DamagedError):
        np.asarray(scan)


def test_damaged_exact_voxels_are_refused(tmp_path: Path, phantom: Phantom) -> None:
    path = tmp_path / "scan.dstd"
    deepstd.compress(deepstd.Volume(phantom((20, 18, 16))), path, lossless=True)
    data = bytearray(path.read_bytes())
    data[-40] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="checksum"):
        deepstd.open(path)[0]


@pytest.mark.parametrize("kept", [0, 5, 8, 60, 400, -1])
def test_files_that_end_early(kept: int, path: Path, only_tiny: Path) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TruncatedError):
        deepstd.open(path)


def test_other_files(tmp_path: Path, path: Path) -> None:
    for other in (tmp_path, tmp_path / "missing.dstd"):
        with pytest.raises(InputError, match=other.name):
            deepstd.open(other)
    text = tmp_path / "text.dstd"
    text.write_text("no scan at all")
    with pytest.raises(NotDstdError):
        deepstd.open(text)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(deepstd.ContainerError):
        deepstd.open(path)
