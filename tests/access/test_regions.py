"""Voxels of a region are those of the whole decoding, bit for bit, in every kind of file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

import deepstd
from deepstd.codec.codec import Codec
from deepstd.container import parse
from deepstd.inspection import bundle_for
from deepstd.rate.bound import ErrorBound
from deepstd.rate.target import Target
from tests.golden.record import FOLDER, read_list

Phantom = Callable[..., np.ndarray]
Key = tuple[slice, ...]


def keys_of(shape: tuple[int, ...], count: int, seed: int = 0) -> Iterable[Key]:
    """Random boxes of a scan, from single voxels to large parts; the corners among them."""
    rng = np.random.default_rng(seed)
    yield tuple(slice(0, 1) for _ in shape)
    yield tuple(slice(n - 1, n) for n in shape)
    for _ in range(count):
        ends = (sorted(rng.integers(0, n, 2)) for n in shape)
        yield tuple(slice(int(first), int(last) + 1) for first, last in ends)


def assert_regions(scan: deepstd.Scan, whole: np.ndarray, count: int) -> None:
    """Check random regions, one after the other, against the whole scan."""
    for key in keys_of(whole.shape, count):
        part = scan[key]
        assert part.dtype == whole.dtype
        assert part.shape == whole[key].shape
        assert part.tobytes() == np.ascontiguousarray(whole[key]).tobytes(), key


def restored(path: Path, model: str) -> np.ndarray:
    return deepstd.decompress(path, model=model, device="cpu").voxels


@pytest.mark.parametrize("name", sorted(read_list()))
def test_golden_files(name: str, golden_bundles: dict[str, str]) -> None:
    path = FOLDER / f"{name}.dstd"
    container = parse(path.read_bytes(), name)
    model = golden_bundles.get(container.head.bundle.digest.hex(), "auto")
    if model == "auto" and container.frames and any(f.texture for f in container.frames):
        try:
            bundle_for(container, model)
        except deepstd.BundleMismatchError:
            pytest.skip("its bundle has been replaced by another")
    whole = restored(path, model)
    assert_regions(deepstd.open(path, model=model), whole, 4)
    (*_, key) = keys_of(whole.shape, 1, 1)
    first = deepstd.open(path, model=model)[key]  # with nothing decoded before
    np.testing.assert_array_equal(first, whole[key])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((47, 38, 33), "int16"),
        ((90, 71), "uint8"),
        ((40, 1, 70), "uint16"),
        ((21, 27, 19, 3), "i2"),
    ],
)
@pytest.mark.parametrize("kept", ["all", "nothing"])
@pytest.mark.usefixtures("small_tiles")
def test_many_tiles(
    shape: tuple[int, ...],
    dtype: str,
    kept: str,
    phantom: Phantom,
    compressed: Callable[..., Path],
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = compressed(phantom(shape, dtype))
    frames = parse(path.read_bytes(), "scan").frames
    assert all(len(frame.tiles) > 3 for frame in frames)
    if kept == "nothing":
        monkeypatch.setattr("deepstd.access.scan.CACHE_BYTES", 1)
    scan = deepstd.open(path, model=str(tiny_bundle))
    assert_regions(scan, restored(path, str(tiny_bundle)), 12 if kept == "all" else 4)


@pytest.mark.usefixtures("small_tiles")
def test_many_tiles_without_the_engine(
    phantom: Phantom,
    compressed: Callable[..., Path],
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = compressed(phantom((29, 26, 22)), bpv=1)
    for module in (
        *("wavelet.lifting", "filters.wiener", "filters.postfilter", "entropy.features"),
        "entropy.native_context",
    ):
        monkeypatch.setattr(f"deepstd.texture.{module}.engine", lambda: None)
    assert_regions(deepstd.open(path, model=str(tiny_bundle)), restored(path, str(tiny_bundle)), 5)


def test_background_and_special_values(
    phantom: Phantom, compressed: Callable[..., Path], tiny_bundle: Path
) -> None:
    voxels = phantom((40, 36, 20), "float32")
    voxels[:9], voxels[30:, :, 4] = -1024, np.nan
    path = compressed(voxels)
    assert any(frame.specials for frame in parse(path.read_bytes(), "scan").frames)
    assert_regions(deepstd.open(path, model=str(tiny_bundle)), restored(path, str(tiny_bundle)), 8)


@pytest.mark.parametrize("shape", [(18, 14, 24), (150, 40), (7, 6, 5, 13)])
@pytest.mark.parametrize("bound", [None, 2.0])
def test_slabs_of_exact_files(
    shape: tuple[int, ...],
    bound: float | None,
    phantom: Phantom,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepstd.lossless.arrangement._TWO_FROM", 1000)
    monkeypatch.setattr("deepstd.lossless.arrangement._FOUR_FROM", 2000)
    path = tmp_path / "scan.dstd"
    voxels = phantom(shape, "int16")
    target = Target(lossless=bound is None, bound=None if bound is None else ErrorBound(bound))
    codec = Codec.load(str(tiny_bundle), device="cpu")
    path.write_bytes(codec.encode(deepstd.Volume(voxels), target).data)
    scan = deepstd.open(path)
    assert_regions(scan, np.asarray(scan), 8)


def test_real_ct(data_dir: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "ct.dstd", min((data_dir / "sarcoma-ct").glob("STS_*"))
    ct = deepstd.read(folder)
    crop = deepstd.Volume(ct.voxels[:134, :130, 20:32], ct.affine)
    deepstd.compress(crop, path, ratio=30, model="generic", effort="fast", device="cpu")
    scan = deepstd.open(path)
    assert_regions(scan, np.asarray(scan), 4)
