"""Samples are counted without the readers, so that a slice that these lose is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.nifti1 import Nifti1Image, Nifti1Pair
from PIL import Image

from deepstd import io
from deepstd.errors import InputError
from deepstd.io.count import count_samples
from deepstd.volume import Volume

VOXELS: Any = np.arange(7 * 6 * 5, dtype="i2").reshape(7, 6, 5)


def test_files(tmp_path: Path) -> None:
    Nifti1Image(VOXELS, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    Nifti1Image(VOXELS, np.eye(4)).to_filename(tmp_path / "a.nii")
    Nifti1Pair(VOXELS, np.eye(4)).to_filename(tmp_path / "b.hdr")
    MGHImage(VOXELS, np.eye(4)).to_filename(tmp_path / "a.mgz")
    np.save(tmp_path / "a.npy", VOXELS)
    Image.fromarray(VOXELS[0].astype("u2")).save(tmp_path / "a.png")
    Image.fromarray(VOXELS[0].astype("u2")).save(tmp_path / "a.tif")
    names = {name: 210 for name in ("a.nii.gz", "a.nii", "b.hdr", "b.img", "a.mgz", "a.npy")}
    for name, count in (names | {"a.png": 30, "a.tif": 30}).items():
        path = tmp_path / name
        assert count_samples([path]) == count == io.read(path).voxels.size
        io.check_complete(path, io.read(path))
        with pytest.raises(InputError, match=rf"{name}: holds {count} samples, .* {count - 5}"):
            io.check_complete(path, Volume(io.read(path).voxels.reshape(-1, 5)[1:]))


def test_a_folder_of_images(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(VOXELS[0].astype("u2")).save(tmp_path / f"{number}.png")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    assert count_samples([tmp_path]) == 90
    io.check_complete(tmp_path, io.read(tmp_path))


def test_what_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"hello")
    assert count_samples([tmp_path / "a.xyz"]) is None
    io.check_complete("https://example.org/a.nii.gz", Volume(VOXELS))


def test_dicom(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    def save(name: str, pixels: np.ndarray, instance: str, z: float, **told: Any) -> None:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", instance
        dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "CT"
        dataset.ImagePositionPatient = [0, 0, z]
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        dataset.BitsAllocated, dataset.PixelRepresentation = 16, 1
        dataset.PixelData = pixels.tobytes()
        for keyword, value in told.items():
            setattr(dataset, keyword, value)
        dataset.save_as(tmp_path / name, enforce_file_format=True)

    for number in range(3):
        # One identifier for all, as bad anonymisation leaves it.
        save(f"{number}.dcm", VOXELS[number], "1.2.3.4", float(number))
    save("copy.dcm", VOXELS[0], "1.2.3.4", 0.0)
    save("colour.dcm", np.stack([VOXELS[0]] * 3), "1.2.3.6", 0.0, SamplesPerPixel=3)
    save("frames.dcm", VOXELS[:2], "1.2.3.7", 0.0, NumberOfFrames=2)
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert count_samples([tmp_path]) == 5 * 30
    assert count_samples([tmp_path], "15b3d37f") is None
    save("labels.dcm", VOXELS[0], "1.2.3.5", 0.0, Modality="SEG")
    assert count_samples([tmp_path]) is None
    (tmp_path / "labels.dcm").unlink()
    save("tiles.dcm", VOXELS[0], "1.2.3.8", 0.0, ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"])
    assert count_samples([tmp_path]) is None
