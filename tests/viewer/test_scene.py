"""What the page gets: slices bit by bit, figures, verdicts, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import deepstd
from deepstd.viewer.scene import Scene, load_scene


def parts(scene: Scene, plane: str, index: int, frame: int = 0) -> list[np.ndarray]:
    """Restored, original and difference of a slice, (rows, columns)."""
    rows, columns = scene.planes[plane].shape
    value, error = ("<i2", "<i4") if scene.whole else ("<f4", "<f4")
    types = [value] if scene.original is None else [value, value, error]
    data, found = scene.slice(plane, index, frame), []
    for kind in types:
        nbytes = rows * columns * np.dtype(kind).itemsize
        found.append(np.frombuffer(data[:nbytes], kind).reshape(rows, columns))
        data = data[nbytes:]
    assert data == b""
    return found


def test_slices_are_those_of_numpy(pair: Path, scene: Scene) -> None:
    original = np.asarray(deepstd.read(pair / "scan.nii"))
    restored = np.asarray(deepstd.decompress(pair / "scan.dstd"))
    assert scene.whole
    assert not np.array_equal(original, restored)
    # RAS: right on the left, anterior or superior up.
    views = {
        "axial": lambda cube, n: cube[::-1, ::-1, n].T,
        "coronal": lambda cube, n: cube[::-1, n, ::-1].T,
        "sagittal": lambda cube, n: cube[n, ::-1, ::-1].T,
    }
    for plane, view in views.items():
        for index in (0, 5, scene.planes[plane].count - 1):
            found = parts(scene, plane, index)
            np.testing.assert_array_equal(found[0], view(restored, index))
            np.testing.assert_array_equal(found[1], view(original, index))
            np.testing.assert_array_equal(found[2], found[0].astype(int) - found[1])


def test_slices_that_are_not_there(scene: Scene) -> None:
    for plane, index, frame in (("axial", 12, 0), ("axial", -1, 0), ("axial", 0, 1), ("up", 0, 0)):
        with pytest.raises(deepstd.InputError, match="there is no slice"):
            scene.slice(plane, index, frame)


def test_the_description(pair: Path, scene: Scene) -> None:
    told = json.loads(scene.description)
    report = deepstd.verify(pair / "scan.dstd", against=pair / "scan.nii")
    assert told["name"] == "scan.dstd"
    assert told["original"] == "scan.nii"
    assert told["good"] is True
    assert told["windows"][0]["name"] == "Soft tissue"
    table = {row["name"]: (row["stated"], row["measured"]) for row in told["errors"]}
    assert table["Largest error"] == ("9", "9")
    for n, figures in enumerate((report.stated, report.measured)):
        assert figures is not None
        assert table["MAE"][n] == f"{figures['mae']:.4g}"
        assert table["PSNR"][n] == f"{figures['psnr']:.2f} dB"
        assert table["SSIM"][n] == f"{figures['ssim']:.4f}"
    assert dict(told["facts"])["Asked for"] == "Largest error at most 9, reached 9"
    assert told["difference"]["largest"] == 9
    assert told["planes"][0]["edges"] == ["R", "L", "A", "P"]
    for counts in told["histograms"].values():
        assert sum(counts["counts"]) == 30 * 26 * 12


def test_without_an_original(pair: Path) -> None:
    scene = load_scene(pair / "scan.dstd")
    told = json.loads(scene.description)
    assert (told["original"], told["good"], told["difference"]) == (None, None, None)
    assert "--against" in told["verdict"]
    assert {row["measured"] for row in told["errors"]} == {""}
    assert len(parts(scene, "axial", 3)) == 1


def test_another_scan_is_told_from_the_original(
    pair: Path, phantom: Callable[..., np.ndarray]
) -> None:
    scene = load_scene(pair / "scan.dstd", against=phantom((30, 26, 12), seed=1) * 5 - 1000)
    told = json.loads(scene.description)
    assert told["good"] is False
    assert "Keep the original" in told["verdict"]


def test_another_shape_is_refused(pair: Path) -> None:
    with pytest.raises(deepstd.InputError, match=r"has shape \(3, 4\).*not the same scan"):
        load_scene(pair / "scan.dstd", against=np.zeros((3, 4)))


def test_a_damaged_file_is_refused(pair: Path, tmp_path: Path) -> None:
    data = bytearray((pair / "scan.dstd").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.dstd").write_bytes(data)
    with pytest.raises(deepstd.DamagedError, match=r"bad\.dstd"):
        load_scene(tmp_path / "bad.dstd", against=pair / "scan.nii")


def test_frames_and_floats(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> None:
    voxels = phantom((9, 8, 7, 3)).astype(np.float32) / 7
    voxels[2, 3, 4, 1] = np.nan
    deepstd.compress(voxels, tmp_path / "a.dstd", lossless=True)
    scene = load_scene(tmp_path / "a.dstd", against=voxels)
    told = json.loads(scene.description)
    assert (scene.frames, scene.whole, told["errors"]) == (3, False, [])
    assert told["verdict"] == "Every voxel is that of the array."
    found = parts(scene, "axis 2", 4, 1)
    np.testing.assert_array_equal(found[0], voxels[:, :, 4, 1])
    assert np.isnan(found[2][2, 3])
    assert np.nansum(np.abs(found[2])) == 0


def test_stored_values_are_shown_in_real_world_values(tmp_path: Path) -> None:
    import nibabel

    stored = np.arange(9 * 8 * 4, dtype=np.int16).reshape(9, 8, 4)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "scan.nii")
    assert deepstd.read(tmp_path / "scan.nii").voxels.dtype == np.int16
    deepstd.compress(tmp_path / "scan.nii", tmp_path / "a.dstd", max_error=1)
    scene = load_scene(tmp_path / "a.dstd", against=tmp_path / "scan.nii")
    told = json.loads(scene.description)
    original = parts(scene, "axial", 2)[1]
    np.testing.assert_array_equal(original, (stored[::-1, ::-1, 2].T * 0.5 - 3))
    assert float(told["errors"][1]["measured"]) == told["difference"]["largest"] <= 1


def test_both_parts_of_a_layered_file(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> None:
    scan = phantom((20, 18, 16))
    deepstd.compress(scan, tmp_path / "a.dstd", max_error=20, with_residual=True)
    exact = json.loads(load_scene(tmp_path / "a.dstd", against=scan).description)
    lossy = json.loads(load_scene(tmp_path / "a.dstd", against=scan, lossy=True).description)
    assert exact["difference"]["largest"] == 0
    assert "shows the exact scan" in exact["caption"]
    assert exact["verdict"].startswith("Every voxel")
    assert lossy["difference"]["largest"] == 20
    assert "is the one that the file states" in lossy["verdict"]


def test_a_dicom_folder_as_original(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    series = next(
        folder for folder in sorted((data_dir / "sarcoma-ct").iterdir()) if folder.is_dir()
    )
    (tmp_path / "series").mkdir()
    for path in sorted(series.iterdir())[:6]:
        shutil.copy(path, tmp_path / "series")
    deepstd.compress(tmp_path / "series", tmp_path / "a.dstd", max_error=40)
    scene = load_scene(tmp_path / "a.dstd", against=f"{tmp_path}/series/")
    told = json.loads(scene.description)
    assert told["good"] is True
    assert told["original"] == "series"
    assert told["unit"] == "HU"
    assert told["windows"][0]["name"] == "Soft tissue"
    assert told["errors"][1]["measured"] == "40 HU"
    assert scene.planes["axial"].count == 6


def test_an_xray_has_one_plane(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "chest-xray/images/00000193_019.png"
    deepstd.compress(path, tmp_path / "a.dstd", max_error=20)
    scene = load_scene(tmp_path / "a.dstd", against=path)
    assert list(scene.planes) == ["image"]
    assert json.loads(scene.description)["good"] is True
    np.testing.assert_array_equal(parts(scene, "image", 0)[1], np.asarray(deepstd.read(path)))
