"""FreeSurfer volumes: voxels and places as nibabel reads them, restored as NIfTI."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.loadsave import load

from deepstd import api, io
from deepstd.errors import InputError, UnsupportedFormatError

AFFINE = np.array([[-0.7, 0.1, 0, 90], [0, 0.8, -0.2, -120], [0.1, 0, 2.5, 7], [0, 0, 0, 1]])


def save(path: Path, dtype: str = "f4", shape: tuple[int, ...] = (5, 4, 3)) -> np.ndarray:
    voxels: Any = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    image: Any = MGHImage(voxels, AFFINE)
    if len(shape) == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], 2500.0))
    image.to_filename(path)
    return voxels


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("name", ["scan.mgh", "scan.mgz", "no-suffix"])
def test_volumes(tmp_path: Path, name: str, dtype: str) -> None:
    voxels = save(tmp_path / f"a{'.mgh' if name == 'scan.mgh' else '.mgz'}", dtype)
    next(tmp_path.iterdir()).rename(tmp_path / name)
    volume = io.read(tmp_path / name)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.voxels.dtype == np.dtype(dtype)
    assert any("FreeSurfer volume: comes back as NIfTI" in note for note in volume.notes)
    assert io.declared(tmp_path / name) == (voxels.shape, np.dtype(dtype))
    io.write(volume, tmp_path / "back.nii.gz")
    back: Any = load(tmp_path / "back.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), voxels)
    np.testing.assert_allclose(back.affine, AFFINE, rtol=1e-5, atol=1e-5)


def test_frames_keep_their_repetition_time(tmp_path: Path) -> None:
    voxels = save(tmp_path / "a.mgz", shape=(5, 4, 3, 2))
    volume = io.read(tmp_path / "a.mgz")
    np.testing.assert_array_equal(volume.voxels, voxels)
    io.write(volume, tmp_path / "back.nii")
    back: Any = load(tmp_path / "back.nii")
    assert back.header.get_zooms()[3] == pytest.approx(2.5)
    assert back.header.get_xyzt_units() == ("mm", "sec")


def test_an_intent_in_the_version(tmp_path: Path) -> None:
    """FreeSurfer 7.3 states an intent beside the version, which nibabel refuses."""
    voxels = save(tmp_path / "a.mgh")
    data = bytearray((tmp_path / "a.mgh").read_bytes())
    data[2] = 1
    (tmp_path / "a.mgh").write_bytes(data)
    np.testing.assert_array_equal(io.read(tmp_path / "a.mgh").voxels, voxels)


def test_damage(tmp_path: Path) -> None:
    save(tmp_path / "a.mgh")
    data = (tmp_path / "a.mgh").read_bytes()
    for length in (3, 200, 284, 290, 284 + 239):
        for suffix, cut in ((".mgh", data[:length]), (".mgz", gzip.compress(data[:length]))):
            (tmp_path / f"b{suffix}").write_bytes(cut)
            with pytest.raises(InputError, match=rf"b\{suffix}: "):
                io.read(tmp_path / f"b{suffix}")
    packed = bytearray(gzip.compress(data))
    packed[-8] ^= 1
    (tmp_path / "c.mgz").write_bytes(packed)
    with pytest.raises(InputError, match=r"c\.mgz: .*gzip data are damaged"):
        io.read(tmp_path / "c.mgz")
    absurd = bytearray(data)
    absurd[4:8] = (1 << 30).to_bytes(4, "big")
    (tmp_path / "d.mgh").write_bytes(absurd)
    with pytest.raises(InputError, match=r"d\.mgh: .*cannot hold"):
        io.read(tmp_path / "d.mgh")


def test_none_is_written(tmp_path: Path) -> None:
    save(tmp_path / "a.mgz")
    with pytest.raises(UnsupportedFormatError, match=r"read and not written. Use \.nii\.gz"):
        io.write(io.read(tmp_path / "a.mgz"), tmp_path / "b.mgz")


def test_through_the_codec(tmp_path: Path, only_tiny: Path) -> None:
    axes = np.mgrid[:20, :18, :9].astype(float)
    MGHImage((axes.sum(0) * 4).astype("f4"), AFFINE).to_filename(tmp_path / "a.mgz")
    report = api.compress(tmp_path / "a.mgz", tmp_path / "a.dstd", ratio=10)
    assert any("FreeSurfer" in note for note in report.notes)
    volume = api.decompress(tmp_path / "a.dstd", tmp_path / "b.nii.gz")
    back: Any = load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), volume.voxels)
    np.testing.assert_allclose(back.affine, AFFINE, rtol=1e-5, atol=1e-5)
    assert api.verify(tmp_path / "a.dstd", against=tmp_path / "a.mgz").as_stated
