"""Real series beside SimpleITK's reading of them, and a hundred odd files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import DeepSTDError
from deepstd.io import dicom

SimpleITK: Any = pytest.importorskip("SimpleITK", reason="needs SimpleITK: deepstd[itk]")
pytest.importorskip("pydicom", reason="needs pydicom: deepstd[dicom]")

SERIES = (
    "dicom/ct-abdomen-j2k-20slices",
    "dicom/ct-head-gantry-tilt",
    "dicom/mr-brain-t1post",
    "dicom/series-generic-anatomical-002-non-isotropic",
    "dicom/series-generic-compressed-001",
    "dicom/series-generic-compressed-j2k-001",
    "dicom/series-generic-compressed-jpegls-001",
    "dicom/series-generic-compressed-rle-001",
    "dicom/series-philips-enhanced-anatomical-001",
)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def folder_of(data_dir: Path, name: str) -> Path:
    folder = data_dir / name
    if not folder.is_dir():
        pytest.skip(f"needs the series {folder}")
    return folder


def slice_by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Real-world values (i, j, k) of a file, and RAS mm of its first and last pixel in plane."""
    image = SimpleITK.ReadImage(str(path))
    columns, rows = image.GetSize()[:2]
    ends = [(0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0)]
    corners = [image.TransformIndexToPhysicalPoint(end) for end in ends]
    return SimpleITK.GetArrayFromImage(image).T, np.asarray(corners) @ LPS_TO_RAS


@pytest.mark.parametrize("name", SERIES)
def test_values_and_places_are_those_of_another_reader(data_dir: Path, name: str) -> None:
    """Each slice, read alone by ITK, is found in the volume where its position says."""
    folder = folder_of(data_dir, name)
    volume = io.read(folder)
    facts = dicom.facts_of(volume.source.raw)
    assert volume.affine is not None
    real = volume.voxels * facts.slope + facts.intercept
    depths = np.arange(volume.shape[2])[:, None] * volume.affine[:3, 2] + volume.affine[:3, 3]
    if facts.positions is not None:
        depths = np.asarray(facts.positions) @ LPS_TO_RAS
    taken = []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        values, corners = slice_by_itk(path)
        if values.shape[2] > 1:  # one object: ITK orders its frames as they are stored
            values = values[..., facts.order or []]
            np.testing.assert_allclose(real, values, rtol=1e-6)
            return
        near = np.linalg.norm(depths - corners[0], axis=1)
        k = int(near.argmin())
        assert near[k] < 1e-2
        taken.append(k)
        first = corners[0]
        columns, rows = volume.shape[:2]
        np.testing.assert_allclose(
            corners[1] - first, volume.affine[:3, 0] * (columns - 1), atol=1e-4
        )
        np.testing.assert_allclose(corners[2] - first, volume.affine[:3, 1] * (rows - 1), atol=1e-4)
        np.testing.assert_allclose(real[..., k], values[..., 0], atol=0.51 * abs(facts.slope))
    assert sorted(taken) == list(range(volume.shape[2]))


def test_colour_is_refused(data_dir: Path) -> None:
    folder = folder_of(data_dir, "dicom/series-generic-rgb-001")
    with pytest.raises(DeepSTDError, match=r"4 DICOM files: a colour image \(RGB\)"):
        io.read(folder)


def test_every_odd_file_is_a_volume_or_a_refusal_of_one_line(data_dir: Path) -> None:
    folder = folder_of(data_dir, "dicom/single")
    volumes, refusals = {}, {}
    for path in sorted(folder.iterdir()):
        try:
            volumes[path.name] = io.read(path)
        except DeepSTDError as error:
            refusals[path.name] = str(error)
    assert len(volumes) + len(refusals) == len(list(folder.iterdir()))
    for name in ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG-LL.dcm", "emri_small_big_endian.dcm"):
        assert name in volumes
    for name in ("SC_rgb.dcm", "rtplan.dcm", "MR_truncated.dcm", "test-SR.dcm", "badVR.dcm"):
        assert name in refusals
    assert all(name in told and "\n" not in told for name, told in refusals.items())
    # The same scan in other transfer syntaxes is the same scan.
    for name in ("MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"):
        np.testing.assert_array_equal(volumes[f"{name}.dcm"].voxels, volumes["MR_small.dcm"].voxels)
    for name in ("MR_small_bigendian", "MR_small_implicit", "MR_small_padded"):
        np.testing.assert_array_equal(volumes[f"{name}.dcm"].voxels, volumes["MR_small.dcm"].voxels)
