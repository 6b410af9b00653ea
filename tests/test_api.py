"""Files in, files out: what comes back, what is refused, and what is said about it."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd import api, io
from deepstd.container import Registration, least_bytes, pack_source_header, parse
from deepstd.errors import (
    BundleMismatchError,
    BundleNotFoundError,
    ContainerError,
    DamagedError,
    InputError,
    NotDstdError,
    OutputExistsError,
    RateError,
)
from deepstd.volume import SourceHeader
from tests.helpers.chunks import with_header

pytestmark = pytest.mark.usefixtures("only_tiny")
Phantom = Callable[..., np.ndarray]


@pytest.fixture
def scan(tmp_path: Path, phantom: Phantom) -> Path:
    """A NIfTI scan with slope, units, anisotropic spacing and a tilted orientation."""
    affine = np.array([[0, -0.9, 0.1, 11], [0.8, 0, 0, -7], [0, 0.1, 2.5, 3], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(phantom((22, 26, 14)), affine)
    image.header.set_slope_inter(2.0, -10.0)
    image.header.set_xyzt_units("mm", "sec")
    path = tmp_path / "scan.nii.gz"
    nibabel.save(image, path)
    return path


def there_and_back(folder: Path, voxels: np.ndarray, **rate: float) -> np.ndarray:
    """Voxels of a .npy scan after compression and restoration."""
    np.save(folder / "in.npy", voxels)
    options = rate or {"max_bytes": 700}
    api.compress(folder / "in.npy", folder / "in.dstd", overwrite=True, **options)  # pyright: ignore[reportArgumentType]
    api.decompress(folder / "in.dstd", folder / "out.npy", overwrite=True)
    restored = np.load(folder / "out.npy")
    assert restored.shape == voxels.shape
    assert restored.dtype == voxels.dtype
    return restored


def test_a_scan_comes_back_as_it_was_but_for_its_voxels(scan: Path, tmp_path: Path) -> None:
    report = deepstd.compress(scan, tmp_path / "scan.dstd", ratio=20)
    deepstd.decompress(tmp_path / "scan.dstd", tmp_path / "back.nii.gz")
    before, after = deepstd.read(scan), deepstd.read(tmp_path / "back.nii.gz")
    assert after.source == before.source
    assert after.voxels.dtype == before.voxels.dtype
    np.testing.assert_array_equal(after.affine, before.affine)
    error = np.abs(after.voxels.astype(float) - before.voxels)
    assert report.slope == 2
    assert report.mae == pytest.approx(2 * error.mean())
    assert report.max_error == 2 * error.max()
    assert error.mean() < 8


@pytest.mark.parametrize("rate", [{"ratio": 16}, {"ratio": 40.5}, {"bpv": 0.8}, {"max_bytes": 900}])
def test_the_file_fills_what_it_may(scan: Path, tmp_path: Path, rate: dict[str, float]) -> None:
    report = api.compress(scan, tmp_path / "scan.dstd", **rate)  # pyright: ignore[reportArgumentType]
    voxels, stored = 22 * 26 * 14, 2 * 22 * 26 * 14
    allowed = rate.get(
        "max_bytes", rate.get("bpv", 0) * voxels / 8 or stored / rate.get("ratio", 1)
    )
    nbytes = (tmp_path / "scan.dstd").stat().st_size
    assert nbytes == report.file_bytes
    assert 0.997 * math.floor(allowed) <= nbytes <= allowed
    assert report.ratio == pytest.approx(stored / nbytes)
    assert report.bpv == pytest.approx(8 * nbytes / voxels)


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),
        (1, 1, 1),
        (1, 40),
        (7, 1, 5),
        (1, 9, 11),
        (9, 11, 1),
        (2, 3, 2),
        (31, 17),
        (9, 7, 6, 3),
    ],
)
def test_any_shape(tmp_path: Path, phantom: Phantom, shape: tuple[int, ...]) -> None:
    voxels = phantom(shape)
    restored = there_and_back(tmp_path, voxels)
    assert np.abs(restored.astype(float) - voxels).mean() < 5


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8", "?"]
)
def test_any_type(tmp_path: Path, phantom: Phantom, dtype: str) -> None:
    values = phantom((12, 10, 9), "f8")
    voxels = (values > 100 if dtype == "?" else values / 2).astype(dtype)
    restored = there_and_back(tmp_path, voxels)
    error = np.abs(restored.astype(float) - voxels.astype(float)).mean()
    assert error < (0.1 if dtype == "?" else 5)


@pytest.mark.parametrize("dtype", ["i1", "<i2", "f2", "f4"])
def test_no_value_becomes_negative(tmp_path: Path, phantom: Phantom, dtype: str) -> None:
    values = np.maximum(phantom((24, 20, 9), "f8") / 2 - 40, 0).astype(dtype)
    assert there_and_back(tmp_path, values, ratio=24).min() >= 0
    if values.dtype.kind == "f":
        values[2, 2:5, 3], values[3, 3, 3] = -np.inf, np.nan
        restored = there_and_back(tmp_path, values, ratio=24)
        assert restored[np.isfinite(restored)].min() >= 0
    below = there_and_back(tmp_path, (values - np.asarray(20, dtype)).astype(dtype), ratio=24)
    assert below[np.isfinite(below)].min() < 0


def test_values_that_are_not_finite_stay_where_they_are(tmp_path: Path, phantom: Phantom) -> None:
    voxels = phantom((12, 10, 9), "f4")
    voxels[2:4, 3, 1:5] = np.nan
    voxels[7, 7, 7], voxels[8, 8, 8] = np.inf, -np.inf
    restored = there_and_back(tmp_path, voxels)
    for holds in (np.isnan, np.isposinf, np.isneginf, np.isfinite):
        np.testing.assert_array_equal(holds(restored), holds(voxels))


def test_a_sparse_scan_is_exact_where_there_is_room(tmp_path: Path) -> None:
    voxels = np.zeros((24, 24, 24), "i2")
    voxels.flat[np.random.default_rng(7).choice(voxels.size, 12, replace=False)] = 1
    np.testing.assert_array_equal(there_and_back(tmp_path, voxels, ratio=8), voxels)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 3e37])
def test_any_scale_of_floats(tmp_path: Path, phantom: Phantom, dtype: str, scale: float) -> None:
    voxels = ((phantom((12, 10, 9), "f8") - 125) / 125 * scale).astype(dtype)
    restored = there_and_back(tmp_path, voxels, bpv=8)
    assert np.abs(restored.astype("f8") - voxels).max() < 0.1 * scale


def test_an_offset_beyond_all_measure(tmp_path: Path) -> None:
    voxels = 1e12 + np.random.default_rng(0).normal(0, 1, (12, 10, 9))
    assert np.abs(there_and_back(tmp_path, voxels, bpv=8) - voxels).max() < 2


@pytest.mark.parametrize("outlier", [1e12, 1e30])
def test_outliers_that_cannot_be_coded_are_refused_at_once(
    tmp_path: Path, phantom: Phantom, outlier: float
) -> None:
    voxels = phantom((12, 10, 9), "f4")
    voxels[3, 3, 3] = outlier
    with pytest.raises(InputError, match=r"in\.npy: .*span too much"):
        there_and_back(tmp_path, voxels)


def test_an_affine_without_a_header_comes_back(phantom: Phantom) -> None:
    affine = np.array([[0, -2.0, 0, 5], [3.0, 0, 0, -4], [0, 0, 1.5, 9], [0, 0, 0, 1]])
    codec = deepstd.Codec.load("tiny")
    volume = deepstd.Volume(phantom((12, 10, 9)), affine)
    restored = codec.decompress(codec.compress(volume, max_bytes=900))
    assert restored.affine is not None
    np.testing.assert_allclose(restored.affine, affine, atol=1e-5)
    with pytest.raises(InputError, match="affine"):
        codec.compress(deepstd.Volume(phantom((12, 10, 9)) > 9, affine), max_bytes=900)


@pytest.mark.parametrize("value", [0, -1000, 32767, 0.1, 10**15])
def test_a_constant_scan_is_exact(tmp_path: Path, value: float) -> None:
    dtype = np.float64 if isinstance(value, float) else np.int64
    voxels = np.full((9, 8, 7), value, dtype)
    np.testing.assert_array_equal(there_and_back(tmp_path, voxels), voxels)


def test_nothing_but_nan(tmp_path: Path) -> None:
    assert np.isnan(there_and_back(tmp_path, np.full((5, 6, 4), np.nan, np.float32))).all()


def test_an_unreachable_size_names_the_one_that_can_be_reached(scan: Path, tmp_path: Path) -> None:
    ratio = 5000.0
    # At first by what a file holds beside the voxels, then by its smallest encoding.
    for _ in range(2):
        with pytest.raises(RateError) as caught:
            api.compress(scan, tmp_path / "scan.dstd", ratio=ratio)
        assert not (tmp_path / "scan.dstd").exists()
        named = re.search(r"--ratio ([0-9.]+)", str(caught.value))
        assert named is not None, caught.value
        assert float(named[1]) < ratio
        ratio = float(named[1])
    assert api.compress(scan, tmp_path / "scan.dstd", ratio=ratio).ratio > 10


@pytest.mark.parametrize("rate", [{"ratio": 1e9}, {"bpv": 1e-9}, {"max_bytes": 1}])
def test_less_than_a_byte_is_out_of_reach(
    scan: Path, tmp_path: Path, rate: dict[str, float]
) -> None:
    with pytest.raises(RateError, match=r"scan\.nii\.gz: .*Ask for at least"):
        api.compress(scan, tmp_path / "scan.dstd", **rate)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "rate", [{}, {"ratio": 8, "bpv": 1}, {"ratio": 0}, {"bpv": math.nan}, {"ratio": "8"}]
)
def test_a_size_that_makes_no_sense(scan: Path, tmp_path: Path, rate: dict[str, float]) -> None:
    with pytest.raises(RateError):
        api.compress(scan, tmp_path / "scan.dstd", **rate)  # pyright: ignore[reportArgumentType]


def test_nothing_is_overwritten_unasked(scan: Path, tmp_path: Path) -> None:
    packed, kept = tmp_path / "scan.dstd", tmp_path / "kept"
    kept.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        api.compress(scan, kept, ratio=20)
    api.compress(scan, packed, ratio=20)
    shutil.copy(kept, tmp_path / "kept.npy")
    with pytest.raises(OutputExistsError):
        api.decompress(packed, tmp_path / "kept.npy")
    assert kept.read_bytes() == (tmp_path / "kept.npy").read_bytes() == b"precious"
    api.decompress(packed, tmp_path / "kept.npy", overwrite=True)
    assert np.load(tmp_path / "kept.npy").shape == (22, 26, 14)


def test_an_input_is_never_its_own_output(scan: Path) -> None:
    before = scan.read_bytes()
    with pytest.raises(InputError, match="is the input"):
        api.compress(scan, scan, ratio=20, overwrite=True)
    with pytest.raises(InputError, match="is the input"):
        api.decompress(scan, scan, overwrite=True)
    assert scan.read_bytes() == before


@pytest.fixture(scope="module")
def packed(tiny_bundle: Path, phantom: Phantom) -> bytes:
    """A real small file with special values and two frames, 2 kB."""
    voxels = np.stack([phantom((14, 12, 10), "f4", seed=n) for n in range(2)], axis=-1)
    voxels[:3, :3, :2] = np.nan
    codec = deepstd.Codec.load(str(tiny_bundle))
    return codec.compress(deepstd.Volume(voxels), max_bytes=2000)


class TestDamage:
    """Whatever happens to a file, another scan never comes out of it."""

    def test_every_truncation(self, packed: bytes, tiny_bundle: Path, tmp_path: Path) -> None:
        codec = deepstd.Codec.load(str(tiny_bundle))
        for length in range(len(packed)):
            with pytest.raises(ContainerError):
                codec.decompress(packed[:length])
        for length in range(0, len(packed), 50):
            (tmp_path / "cut.dstd").write_bytes(packed[:length])
            with pytest.raises(ContainerError, match=r"cut\.dstd"):
                deepstd.info(tmp_path / "cut.dstd")

    def test_a_damaged_header_of_the_original_behind_a_good_checksum(
        self, scan: Path, tiny_bundle: Path
    ) -> None:
        codec = deepstd.Codec.load(str(tiny_bundle))
        container = parse(codec.compress(deepstd.read(scan), max_bytes=900), "scan.dstd")
        whole = container.source_header()
        for raw in (whole.raw[:100], whole.raw[:42] + b"\x09" + whole.raw[43:], bytes(352)):
            header = pack_source_header(
                SourceHeader(whole.format, raw), container.head.shape, container.head.dtype
            )
            data = with_header(container, codec, header)
            with pytest.raises(DamagedError, match=r"scan\.dstd: .*header"):
                codec.decompress(data, name="scan.dstd")

    def test_random_bytes_changed(self, packed: bytes, tiny_bundle: Path, tmp_path: Path) -> None:
        codec = deepstd.Codec.load(str(tiny_bundle))
        expected = codec.decompress(packed).voxels
        generator = random.Random(7)
        path = tmp_path / "flipped.dstd"
        for _ in range(2000):
            flipped = bytearray(packed)
            flipped[generator.randrange(len(packed))] ^= generator.randrange(1, 256)
            path.write_bytes(flipped)
            try:
                deepstd.info(path)
            except ContainerError:
                with pytest.raises(ContainerError):
                    codec.decompress(bytes(flipped))
            else:
                restored = codec.decompress(bytes(flipped)).voxels
                np.testing.assert_array_equal(restored, expected)

    def test_bytes_added(self, packed: bytes, tiny_bundle: Path) -> None:
        with pytest.raises(ContainerError):
            deepstd.Codec.load(str(tiny_bundle)).decompress(packed + b"\0")

    @pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"n+1\0" * 200])
    def test_another_kind_of_file(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "other.dstd").write_bytes(data)
        with pytest.raises(ContainerError if not data else NotDstdError):
            api.decompress(tmp_path / "other.dstd", tmp_path / "out.npy")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"nowhere\.dstd"):
            api.decompress(tmp_path / "nowhere.dstd", tmp_path / "out.npy")


class TestVerify:
    """A file is decoded, and its stated error is held against the original."""

    def test_the_original(self, scan: Path, tmp_path: Path) -> None:
        made = api.compress(scan, tmp_path / "scan.dstd", ratio=20)
        report = api.verify(tmp_path / "scan.dstd", against=scan)
        assert report.as_stated
        assert report.bundle == made.bundle == "tiny 1"
        assert report.stated is not None
        assert report.measured is not None
        assert report.measured["mae"] == pytest.approx(made.mae)
        assert report.stated == pytest.approx(report.measured, rel=1e-4)

    def test_another_scan(self, scan: Path, tmp_path: Path, phantom: Phantom) -> None:
        api.compress(scan, tmp_path / "scan.dstd", ratio=20)
        np.save(tmp_path / "other.npy", phantom((22, 26, 14), seed=1)[::-1])
        assert api.verify(tmp_path / "scan.dstd", against=tmp_path / "other.npy").as_stated is False
        np.save(tmp_path / "shorter.npy", phantom((22, 26, 13)))
        with pytest.raises(InputError, match="not the same scan"):
            api.verify(tmp_path / "scan.dstd", against=tmp_path / "shorter.npy")

    def test_without_an_original(self, scan: Path, tmp_path: Path) -> None:
        api.compress(scan, tmp_path / "scan.dstd", ratio=20)
        report = api.verify(tmp_path / "scan.dstd")
        assert (report.measured, report.as_stated) == (None, None)


class TestBundles:
    """Which bundle is taken, and what happens when it is not the right one."""

    @pytest.fixture
    def home(self, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder of bundles with "tiny" alone."""
        shutil.copytree(tiny_bundle, tmp_path / "bundles" / "tiny")
        monkeypatch.setattr("deepstd.bundle.store.folders", lambda: [tmp_path / "bundles"])
        return tmp_path / "bundles"

    def test_auto_tries_all_and_passes_over_a_damaged_one(
        self, scan: Path, home: Path, tmp_path: Path, make_bundle: Callable[[Path, str], Path]
    ) -> None:
        make_bundle(home, "second")
        weights = make_bundle(home, "broken") / "texture-3d.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
        said: list[str] = []
        report = api.compress(scan, tmp_path / "scan.dstd", ratio=20, progress=said.append)
        assert set(report.tried) == {"tiny 1", "second 1"}
        assert report.tried[report.bundle] == min(report.tried.values())
        assert any("passing over" in text and "broken" in text for text in said)

    def test_auto_names_a_reachable_size_when_no_bundle_reaches_it(
        self, scan: Path, home: Path, tmp_path: Path, make_bundle: Callable[[Path, str], Path]
    ) -> None:
        make_bundle(home, "second")
        volume = io.read(scan)
        least = least_bytes(volume.source, volume.shape, volume.voxels.dtype)
        with pytest.raises(RateError, match="no bundle can do it") as caught:
            api.compress(scan, tmp_path / "scan.dstd", max_bytes=least)
        for name in ("second 1", "tiny 1"):
            assert re.search(rf"{name}: .*?\(--max-bytes \d+, --ratio", str(caught.value))

    def test_another_bundle_of_the_same_name_is_refused(
        self, scan: Path, home: Path, tmp_path: Path
    ) -> None:
        api.compress(scan, tmp_path / "scan.dstd", ratio=20)
        manifest = home / "tiny" / "bundle.json"
        manifest.write_text(manifest.read_text().replace("For tests.", "Another."))
        with pytest.raises(BundleMismatchError, match="tiny 1") as caught:
            api.decompress(tmp_path / "scan.dstd", tmp_path / "back.nii.gz")
        assert caught.value.exit_code == 4

    def test_a_bundle_that_is_not_installed(
        self, scan: Path, home: Path, tmp_path: Path, tiny_bundle: Path
    ) -> None:
        api.compress(scan, tmp_path / "scan.dstd", ratio=20)
        shutil.rmtree(home / "tiny")
        with pytest.raises(BundleMismatchError, match=r"scan\.dstd: .*tiny") as caught:
            api.decompress(tmp_path / "scan.dstd", tmp_path / "back.npy")
        assert caught.value.exit_code == 4
        api.decompress(tmp_path / "scan.dstd", tmp_path / "back.npy", model=str(tiny_bundle))
        with pytest.raises(BundleNotFoundError, match="no bundle is installed"):
            api.compress(scan, tmp_path / "scan.dstd", ratio=20, overwrite=True)


def test_info_says_what_is_in_a_file(scan: Path, tmp_path: Path) -> None:
    report = api.compress(scan, tmp_path / "scan.dstd", ratio=20)
    found = deepstd.info(tmp_path / "scan.dstd")
    assert (found.shape, found.voxels) == ((22, 26, 14), 22 * 26 * 14)
    assert (found.dtype, found.byte_order, found.source_format) == ("int16", "little", "nifti1")
    assert found.file_bytes == report.file_bytes == sum(s.nbytes for s in found.sections)
    assert (found.stored_bytes, found.ratio, found.bpv) == (
        report.stored_bytes,
        report.ratio,
        report.bpv,
    )
    assert found.bundle.name == "tiny"
    assert found.quality is not None
    assert found.quality.mae == pytest.approx(report.mae, rel=1e-4)
    assert found.slope == report.slope == 2
    assert (found.registration, found.field_bytes) == (None, 0)
    assert [s.name for s in found.sections][-3:] == ["TEXT", "WIEN", "HASH"]


def test_info_as_plain_values(scan: Path, tmp_path: Path) -> None:
    api.compress(scan, tmp_path / "scan.dstd", ratio=20)
    found = deepstd.info(tmp_path / "scan.dstd")
    plain = found.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert list(plain) == [
        *("file", "file_bytes", "source_format", "shape", "dtype", "byte_order", "voxels"),
        *("stored_bytes", "ratio", "bpv", "smallest_dtype", "smallest_ratio", "bundle"),
        *("quality", "slope", "unit", "notes", "registration", "digest", "sections"),
        *("lossless", "asked", "exact_bytes", "lossy_ratio"),
    ]
    assert plain["shape"] == [22, 26, 14]
    assert plain["bundle"] == {
        "name": "tiny",
        "version": "1",
        "digest": found.bundle.digest.hex(),
    }
    assert set(plain["quality"]) == {"mae", "max_error", "psnr", "ssim"}
    assert plain["registration"] is None
    assert plain["digest"] == found.digest.hex()
    assert plain["sections"][0] == {"name": "preamble", "offset": 0, "bytes": 8}
    fitted = replace(
        found,
        field_bytes=9,
        registration=Registration(0.5, 0.75, cycle_error_voxels=1, folding_percent=0),
    )
    assert fitted.to_dict()["registration"] == {
        "bytes": 9,
        "ncc_before": 0.5,
        "ncc_after": 0.75,
        "cycle_error_voxels": 1,
        "folding_percent": 0,
    }
    assert replace(found, field_bytes=9).to_dict()["registration"] == {"bytes": 9}


def test_info_needs_no_torch(scan: Path, tmp_path: Path) -> None:
    api.compress(scan, tmp_path / "scan.dstd", ratio=20)
    code = "import sys, deepstd; deepstd.info(sys.argv[1]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "scan.dstd")]
    assert subprocess.run(command, check=False).returncode == 0


class TestInMemory:
    """Scans come from arrays and volumes, and come back without a file."""

    AFFINE = np.array([[0, -0.9, 0.1, 11], [0.8, 0, 0, -7], [0, 0.1, 2.5, 3], [0, 0, 0, 1]])

    def test_an_array_with_an_affine(self, tmp_path: Path, phantom: Phantom) -> None:
        voxels = phantom((22, 26, 14))
        report = deepstd.compress(voxels, tmp_path / "a.dstd", ratio=20, affine=self.AFFINE)
        assert report.source == "the array"
        assert report.stored_bytes == voxels.nbytes
        volume = deepstd.decompress(tmp_path / "a.dstd")
        assert (volume.shape, volume.voxels.dtype) == (voxels.shape, voxels.dtype)
        assert volume.affine is not None
        np.testing.assert_allclose(volume.affine, self.AFFINE, atol=1e-5)
        error = np.abs(np.asarray(volume, float) - voxels)
        assert error.mean() == pytest.approx(report.mae)
        assert error.max() == report.max_error

    def test_a_volume_gives_the_file_that_its_path_gives(self, scan: Path, tmp_path: Path) -> None:
        report = deepstd.compress(deepstd.read(scan), tmp_path / "volume.dstd", ratio=20)
        assert report.source == "the volume"
        deepstd.compress(scan, tmp_path / "path.dstd", ratio=20)
        assert (tmp_path / "volume.dstd").read_bytes() == (tmp_path / "path.dstd").read_bytes()

    def test_nothing_is_written_without_an_output(
        self, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deepstd.compress(scan, tmp_path / "scan.dstd", ratio=20)
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        volume = deepstd.decompress("scan.dstd")
        preview = deepstd.decompress("scan.dstd", level=1)
        assert sorted(tmp_path.rglob("*")) == before
        deepstd.decompress("scan.dstd", "back.nii.gz")
        written = deepstd.read("back.nii.gz")
        np.testing.assert_array_equal(volume.voxels, written.voxels)
        np.testing.assert_array_equal(volume.affine, written.affine)
        assert volume.source == written.source
        assert preview.shape == (11, 13, 14)

    def test_a_level_that_does_not_exist_is_refused(self, scan: Path, tmp_path: Path) -> None:
        deepstd.compress(scan, tmp_path / "scan.dstd", ratio=20)
        with pytest.raises(InputError, match="levels"):
            deepstd.decompress(tmp_path / "scan.dstd", level=9)

    def test_sheared_scans_are_straightened(self, tmp_path: Path, phantom: Phantom) -> None:
        affine = np.eye(4)
        affine[1, 2] = 0.3
        deepstd.compress(phantom((20, 20, 9)), tmp_path / "a.dstd", ratio=10, affine=affine)
        volume = deepstd.decompress(tmp_path / "a.dstd", straighten=True)
        assert volume.affine is not None
        assert volume.affine[:3, 1] @ volume.affine[:3, 2] == pytest.approx(0, abs=1e-6)

    def test_files_are_verified_against_arrays_and_volumes(
        self, tmp_path: Path, phantom: Phantom
    ) -> None:
        voxels = phantom((22, 26, 14))
        path = tmp_path / "a.dstd"
        deepstd.compress(voxels, path, ratio=20, affine=self.AFFINE)
        for original, name in ((voxels, "the array"), (deepstd.Volume(voxels), "the volume")):
            report = deepstd.verify(path, against=original)
            assert report.as_stated
            assert report.against == name
        assert deepstd.verify(path, against=voxels[::-1]).as_stated is False
        with pytest.raises(InputError, match="the array has shape"):
            deepstd.verify(path, against=voxels[1:])

    def test_errors_name_the_array(self, tmp_path: Path, phantom: Phantom) -> None:
        with pytest.raises(RateError, match="the array: cannot make the file that small"):
            deepstd.compress(phantom((22, 26, 14)), tmp_path / "a.dstd", max_bytes=20)
        with pytest.raises(InputError, match="affine"):
            deepstd.compress(tmp_path / "b.nii", tmp_path / "a.dstd", ratio=4, affine=np.eye(4))
        with pytest.raises(InputError, match=r"deepstd\.read"):
            deepstd.compress(
                phantom((9, 9)), tmp_path / "a.dstd", ratio=4, metadata=deepstd.io.Metadata.ALL
            )
        assert list(tmp_path.iterdir()) == []
