"""Small data sets of phantoms: a BIDS data set with labels, and slices of a DICOM series."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np

IGNORED = b"extra_data/\n*.log"  # without a line break at its end


def make_bids(root: Path, subjects: int = 2) -> Path:
    """Write a data set with labels, side-cars of all kinds, and derivatives."""
    root.mkdir(parents=True)
    texts = {
        "dataset_description.json": json.dumps({"Name": "Phantoms", "BIDSVersion": "1.9.0"}),
        "README": "Balls.\n" * 3,
        "CHANGES": "1.0.0 2026-01-01\n  - First.\n",
        "participants.tsv": "participant_id\tage\nsub-01\t21\nsub-02\t22\n",
        "participants.json": json.dumps({"age": {"Description": "age"}}),
        "code/run.py": "1\n",
        "phenotype/notes.txt": "Any other file of a data set.\r\n",
        "derivatives/manual/dataset_description.json": json.dumps(
            {"Name": "labels", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
        ),
    }
    for name, text in texts.items():
        write(root / name, text.encode())
    write(root / ".bidsignore", IGNORED)
    write(root / ".secret", b"hidden")
    for number in range(1, subjects + 1):
        subject = f"sub-{number:02d}"
        folder, labels = root / subject / "anat", root / "derivatives/manual" / subject / "anat"
        voxels = ball(number)
        save(folder / f"{subject}_T1w.nii.gz", voxels)
        write(folder / f"{subject}_T1w.json", b'{"MagneticFieldStrength": 3}')
        save(labels / f"{subject}_dseg.nii.gz", (voxels > 120).astype(np.uint8))
        write(root / subject / "dwi" / f"{subject}_dwi.bval", b"0 1000\n")
    return root


def ball(seed: int, shape: tuple[int, ...] = (18, 16, 14)) -> np.ndarray:
    """Return a noisy ball."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    values = 160 / (1 + np.exp(10 * (np.sqrt(sum(x * x for x in axes)) - 0.7))) + 20 * axes[0] + 40
    values += np.random.default_rng(seed).normal(0, 4, shape)
    return np.rint(np.clip(values, 0, 250)).astype(np.int16)


def save(path: Path, voxels: np.ndarray) -> None:
    """Save a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 1.2, 1.0])), path)


def write(path: Path, data: bytes) -> None:
    """Write a file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def dicom_slice(number: int, series: str = "1.2.5") -> bytes:
    """A file of one slice of a series."""
    from pydicom import Dataset  # not at the top: BIDS needs none of it
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", series
    dataset.Modality, dataset.SeriesDescription = "MR", "T1"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 16, 16, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.ImagePositionPatient = [0.0, 0.0, float(number)]
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    dataset.PixelData = np.full((16, 16), number, np.int16).tobytes()
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
