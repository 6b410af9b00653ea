"""Lossless compression of files: each format comes back with the bits that it stores."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd.codec.exact import same_bits
from deepstd.container import parse
from deepstd.errors import InputError, RateError, UnsupportedVersionError

Phantom = Callable[..., np.ndarray]
AFFINE = np.array([[0, -0.9, 0.1, 11], [0.8, 0, 0, -7], [0, 0.1, 2.5, 3], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def _no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bundle is installed."""
    monkeypatch.setattr("deepstd.bundle.store.folders", list)


def there_and_back(scan: Path, name: str) -> Path:
    """Compress a file, check it against its source, and restore it to another file."""
    packed, back = scan.with_name("scan.dstd"), scan.with_name(name)
    report = deepstd.compress(scan, packed, lossless=True, overwrite=True)
    assert report.lossless
    assert (report.mae, report.max_error, report.psnr, report.ssim) == (0, 0, np.inf, 1)
    assert report.bundle == "none 0"
    assert report.file_bytes == packed.stat().st_size
    checked = deepstd.verify(packed, against=scan)
    assert checked.as_stated
    assert deepstd.verify(packed).as_stated is None
    volume = deepstd.decompress(packed, back)
    assert same_bits(volume.voxels, deepstd.read(scan).voxels)
    return back


@pytest.mark.parametrize("dtype", ["i2", ">i2", "u1", "f4", ">f4", "f8", "u2", "i4"])
@pytest.mark.parametrize("slope", [1.0, 0.37])
def test_nifti(tmp_path: Path, phantom: Phantom, dtype: str, slope: float) -> None:
    kind = np.dtype(dtype)
    voxels = phantom((12, 11, 10), kind.newbyteorder("=").str)
    if kind.kind == "f":
        voxels = voxels * voxels.dtype.type(1.1)
    endian = ">" if kind.byteorder == ">" else "<"
    header = nibabel.Nifti1Header(endianness=endian)
    header.set_data_dtype(kind)
    image = nibabel.Nifti1Image(voxels, AFFINE, header)
    image.header["descrip"] = b"kept"
    scan = tmp_path / "scan.nii"
    nibabel.save(image, scan)
    raw = bytearray(scan.read_bytes())
    fields = np.array(
        [slope, -3.5], kind.newbyteorder(endian) if kind.kind == "f4" else endian + "f4"
    )
    raw[112:120] = fields.tobytes()
    scan.write_bytes(raw)
    assert there_and_back(scan, "back.nii").read_bytes() == scan.read_bytes()


def test_nifti_of_every_nan(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, (9, 8, 7), dtype=np.uint32)
    bits[::2] |= 0x7F800000  # NaN of every payload, signalling ones included
    bits[0], bits[1] = 0x80000000, 0
    image = nibabel.Nifti1Image(np.zeros((9, 8, 7), np.float32), np.eye(4))
    nibabel.save(image, tmp_path / "scan.nii")
    raw = (tmp_path / "scan.nii").read_bytes()[:352] + bits.tobytes(order="F")
    (tmp_path / "scan.nii").write_bytes(raw)
    assert there_and_back(tmp_path / "scan.nii", "back.nii").read_bytes() == raw


def test_nifti_of_several_frames_and_a_label_map(tmp_path: Path, phantom: Phantom) -> None:
    image = nibabel.Nifti1Image((phantom((12, 11, 5, 4)) > 90).astype(np.uint8), np.eye(4))
    image.header["intent_code"] = 1002
    nibabel.save(image, tmp_path / "scan.nii.gz")
    back = there_and_back(tmp_path / "scan.nii.gz", "back.nii.gz")
    unpacked = (gzip.decompress(path.read_bytes()) for path in (back, tmp_path / "scan.nii.gz"))
    assert len(set(unpacked)) == 1
    assert deepstd.info(tmp_path / "scan.dstd").notes == ()


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", ">i2", "u2", "i4", ">u4", "i8", "u8", "f2", "f4", ">f8"]
)
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 7), (6, 5, 4, 3)])
def test_arrays(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    voxels = (rng.normal(0, 40, shape) > 9) if dtype == "?" else rng.normal(60, 20, shape)
    np.save(tmp_path / "scan.npy", voxels.astype(dtype))
    back = there_and_back(tmp_path / "scan.npy", "back.npy")
    assert back.read_bytes() == (tmp_path / "scan.npy").read_bytes()


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_itk(tmp_path: Path, phantom: Phantom, suffix: str, dtype: str) -> None:
    pytest.importorskip("SimpleITK")
    voxels = phantom((12, 11, 10), dtype) * np.dtype(dtype).type(1)
    scan = tmp_path / f"scan{suffix}"
    deepstd.write(deepstd.Volume(voxels, np.diag([1.5, 1.5, 2.0, 1.0])), scan)
    back = deepstd.read(there_and_back(scan, f"back{suffix}"))
    assert same_bits(back.voxels, deepstd.read(scan).voxels)
    np.testing.assert_array_equal(np.asarray(back.affine), np.asarray(deepstd.read(scan).affine))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_pictures(tmp_path: Path, phantom: Phantom, suffix: str, dtype: str) -> None:
    scan = tmp_path / f"scan{suffix}"
    deepstd.write(deepstd.Volume(phantom((40, 30), dtype)), scan)
    back = deepstd.read(there_and_back(scan, f"back{suffix}"))
    assert same_bits(back.voxels, phantom((40, 30), dtype))


def test_a_folder_of_slices(tmp_path: Path, phantom: Phantom) -> None:
    (tmp_path / "slices").mkdir()
    for number, plane in enumerate(np.moveaxis(phantom((20, 18, 4), "u2"), -1, 0)):
        deepstd.write(deepstd.Volume(plane), tmp_path / "slices" / f"{number}.png")
    back = there_and_back(tmp_path / "slices", "back")
    assert same_bits(deepstd.read(back).voxels, deepstd.read(tmp_path / "slices").voxels)


def test_a_lossless_file_in_other_formats(tmp_path: Path, phantom: Phantom) -> None:
    deepstd.write(deepstd.Volume(phantom((12, 11, 10)), AFFINE), tmp_path / "scan.nii.gz")
    deepstd.compress(tmp_path / "scan.nii.gz", tmp_path / "scan.dstd", lossless=True)
    deepstd.decompress(tmp_path / "scan.dstd", tmp_path / "back.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), phantom((12, 11, 10)))
    assert deepstd.verify(tmp_path / "scan.dstd", against=phantom((12, 11, 10))).as_stated


def test_verify_finds_a_difference_of_one_voxel_or_one_bit(
    tmp_path: Path, phantom: Phantom
) -> None:
    voxels = phantom((12, 11, 10), "f4")
    voxels[3, 3, 3] = 0
    deepstd.compress(voxels, tmp_path / "scan.dstd", lossless=True)
    assert deepstd.verify(tmp_path / "scan.dstd", against=voxels).as_stated
    assert deepstd.verify(tmp_path / "scan.dstd", against=voxels.astype(">f4")).as_stated
    assert deepstd.verify(tmp_path / "scan.dstd", against=voxels.astype("f8")).as_stated
    for value in (-0.0, 1e-30):
        other = voxels.copy()
        other[3, 3, 3] = value
        assert deepstd.verify(tmp_path / "scan.dstd", against=other).as_stated is False


def test_info(tmp_path: Path, phantom: Phantom) -> None:
    voxels = phantom((12, 11, 10), "f8")
    deepstd.compress(voxels, tmp_path / "scan.dstd", lossless=True)
    found = deepstd.info(tmp_path / "scan.dstd")
    assert found.lossless
    assert found.smallest_dtype == "uint8"
    assert "which holds every value" in found.notes[0]
    assert "ask for" not in found.notes[0]


def test_what_excludes_each_other(tmp_path: Path, phantom: Phantom) -> None:
    scan, output = phantom((9, 8, 7)), tmp_path / "scan.dstd"
    sizes: list[dict[str, Any]] = [{"ratio": 4.0}, {"bpv": 1.0}, {"max_bytes": 100}]
    for size in sizes:
        with pytest.raises(RateError, match="give no size"):
            deepstd.compress(scan, output, lossless=True, **size)
    with pytest.raises(InputError, match="needs no model: leave out 'generic'"):
        deepstd.compress(scan, output, lossless=True, model="generic")
    with pytest.raises(InputError, match="has no effort"):
        deepstd.compress(scan, output, lossless=True, effort="best")
    assert not output.exists()


def test_an_earlier_release_refuses_the_file(
    tmp_path: Path, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    deepstd.compress(phantom((9, 8, 7)), tmp_path / "scan.dstd", lossless=True)
    from deepstd.container import chunks
    from deepstd.container.format import ChunkType

    known = {code: kind for code, kind in chunks._TYPES.items() if kind is not ChunkType.EXAC}
    monkeypatch.setattr(chunks, "_TYPES", known)
    with pytest.raises(UnsupportedVersionError, match=r"scan\.dstd: chunk type 0x58"):
        parse((tmp_path / "scan.dstd").read_bytes(), "scan.dstd")


def test_memory_is_checked_first(
    tmp_path: Path, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "scan.npy", phantom((12, 11, 10)))
    packed = tmp_path / "scan.dstd"
    deepstd.compress(tmp_path / "scan.npy", packed, lossless=True)
    voxels = 12 * 11 * 10
    monkeypatch.setattr("deepstd.preflight.free_memory", lambda: 20 * voxels - 1)
    with pytest.raises(InputError, match="compressing its 1,320 voxels"):
        deepstd.compress(tmp_path / "scan.npy", packed, lossless=True, overwrite=True)
    monkeypatch.setattr("deepstd.preflight.free_memory", lambda: 20 * voxels)
    deepstd.compress(tmp_path / "scan.npy", packed, lossless=True, overwrite=True)
    deepstd.decompress(packed)
    monkeypatch.setattr("deepstd.preflight.free_memory", lambda: 18 * voxels - 1)
    for level in (0, 1):
        with pytest.raises(InputError, match=r"restoring its 1,320 voxels .* elsewhere"):
            deepstd.decompress(packed, level=level)


def test_space_is_checked_first(
    tmp_path: Path, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "scan.npy", phantom((12, 11, 10)))
    disk = SimpleNamespace(total=9999, free=8)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: disk)
    with pytest.raises(InputError, match="8 are free"):
        deepstd.compress(tmp_path / "scan.npy", tmp_path / "scan.dstd", lossless=True)
    # Nobody knows before what it takes: the header alone certainly.
    disk.free = 1000
    deepstd.compress(tmp_path / "scan.npy", tmp_path / "scan.dstd", lossless=True)
