"""Made-up DICOM series: classic, enhanced, without a place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")

SECRETS = ("Doe^Jane", "PID-4711", "19610203", "ACC-0815", "Dr^Who", "St. Elsewhere")


@pytest.fixture
def secrets() -> tuple[str, ...]:
    """What no file, error or report may tell of the patient of `make_slice`."""
    return SECRETS


@pytest.fixture
def make_slice() -> Callable[..., Any]:
    """make_slice(pixels, position=…, **attributes): a CT slice with a patient's identity."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def make(
        pixels: np.ndarray, position: tuple[float, ...] | None = (0, 0, 0), **attributes: Any
    ) -> Dataset:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name, identity, birth, accession, physician, place = SECRETS
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = name, identity, birth
        dataset.AccessionNumber, dataset.ReferringPhysicianName = accession, physician
        dataset.InstitutionName = place
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.SOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
        dataset.Modality = "CT"
        dataset.KVP, dataset.BodyPartExamined = "120", "CHEST"
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.PixelData = pixels.tobytes()
        if position is not None:
            dataset.ImagePositionPatient = [float(x) for x in position]
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing = [0.5, 0.25]
            dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
        for keyword, value in attributes.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        # What the standard wants in group 2 is filled in by save_as(enforce_file_format=True).
        return dataset

    return make


@pytest.fixture
def save_series(tmp_path: Path, make_slice: Callable[..., Any]) -> Callable[..., Path]:
    """save_series(voxels (i, j, k), positions): a folder of slices, in shuffled order."""

    def save(voxels: np.ndarray, positions: list[tuple[float, ...]], **attributes: Any) -> Path:
        folder = tmp_path / "series"
        folder.mkdir(exist_ok=True)
        for k in np.random.default_rng(0).permutation(voxels.shape[2]):
            plane = np.ascontiguousarray(voxels[..., k].T)
            dataset = make_slice(plane, positions[k], InstanceNumber=int(99 - k), **attributes)
            dataset.save_as(folder / f"{(7 * int(k) + 3) % 101:03d}", enforce_file_format=True)
        return folder

    return save


@pytest.fixture
def make_enhanced(make_slice: Callable[..., Any]) -> Callable[..., Any]:
    """make_enhanced(frames, places, contents, **attributes): an enhanced MR object.

    ``places`` are (position, orientation) of each frame, ``contents`` what its frame content says.
    """
    from pydicom.dataset import Dataset

    def item(**values: Any) -> Dataset:
        dataset = Dataset()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return dataset

    def make(
        frames: np.ndarray, places: list[Any], contents: list[dict[str, Any]], **attributes: Any
    ) -> Dataset:
        told = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1",
            "Modality": "MR",
            "NumberOfFrames": len(frames),
            "PixelData": frames.tobytes(),
            **attributes,
        }
        dataset = make_slice(frames[0], None, **told)
        measures = item(PixelSpacing=[2, 3], SliceThickness=5)
        scale = item(RescaleSlope="1", RescaleIntercept="0", RescaleType="US")
        dataset.SharedFunctionalGroupsSequence = [
            item(PixelMeasuresSequence=[measures], PixelValueTransformationSequence=[scale])
        ]
        dataset.PerFrameFunctionalGroupsSequence = [
            item(
                FrameContentSequence=[item(**content)],
                PlanePositionSequence=[item(ImagePositionPatient=list(map(float, position)))],
                PlaneOrientationSequence=[item(ImageOrientationPatient=list(orientation))],
            )
            for (position, orientation), content in zip(places, contents, strict=True)
        ]
        return dataset

    return make


@pytest.fixture
def ramp() -> np.ndarray:
    """(6, 4, 5) int16 voxels, all different."""
    return np.arange(6 * 4 * 5, dtype=np.int16).reshape(6, 4, 5)
