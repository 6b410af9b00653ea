"""Turn the scans that DeepSTD does not read itself into NIfTI, for training and benchmarks.

    DATA/chest-ct-full/*.dcm    ─ sort by position ─▶ OUT/chest-ct-full/ct.nii.gz   (3-D, HU, int16)
    DATA/chest-ct-slices/*.dcm  ─ one file each ────▶ OUT/chest-ct-slices/*.nii.gz  (2-D, HU, int16)
    DATA/samples/*.nrrd         ─ as stored ────────▶ OUT/samples/*.nii.gz          (3-D)

Usage: python benchmarks/convert_sources.py DATA OUT
(needs pydicom, pyjpegls and SimpleITK: pip install "deepstd[dicom,itk]")
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset

logger = logging.getLogger("convert_sources")

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_POSITION_TOLERANCE_MM = 1e-2


def hounsfield(dataset: Dataset) -> np.ndarray:
    """Hounsfield units of one CT slice, int16, axes (i, j) = (column, row); padding is kept."""
    values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(values), limits.min, limits.max).astype(np.int16).T


def slice_affine(dataset: Dataset, step: np.ndarray | None = None) -> np.ndarray:
    """Voxel-to-world matrix (RAS+ mm) of a slice; ``step`` is the LPS move to the next slice."""
    row, column = np.asarray(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    row_spacing, column_spacing = (float(s) for s in dataset.PixelSpacing)
    if step is None:
        step = np.cross(row, column) * float(dataset.get("SliceThickness") or 1.0)
    affine = np.eye(4)
    affine[:3, 0] = row * column_spacing
    affine[:3, 1] = column * row_spacing
    affine[:3, 2] = step
    affine[:3, 3] = np.asarray(dataset.ImagePositionPatient, dtype=np.float64)
    return _LPS_TO_RAS @ affine


def convert_series(folder: Path, target: Path) -> None:
    """One DICOM series to one volume, slices ordered along the slice normal."""
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    row, column = np.asarray(slices[0].ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    normal = np.cross(row, column)
    slices.sort(key=lambda s: float(np.dot(normal, np.asarray(s.ImagePositionPatient, float))))
    positions = np.asarray([s.ImagePositionPatient for s in slices], dtype=np.float64)
    steps = np.diff(positions, axis=0)
    if np.abs(steps - steps[0]).max() > _POSITION_TOLERANCE_MM:
        raise SystemExit(f"{folder}: the slices are not evenly spaced; expected one regular series")
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    voxels = np.stack([hounsfield(s) for s in slices], axis=-1)
    save(voxels, slice_affine(slices[0], step), target)


def convert_slice(source: Path, target: Path) -> None:
    """One DICOM slice to one 2-D file."""
    dataset = pydicom.dcmread(source)
    save(hounsfield(dataset), slice_affine(dataset), target)


def convert_nrrd(source: Path, target: Path) -> None:
    """One NRRD file to NIfTI, values and type as stored."""
    target.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(source)), str(target))


def save(voxels: np.ndarray, affine: np.ndarray, target: Path) -> None:
    """Write voxels with qform and sform in scanner coordinates."""
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, target)


def main() -> None:
    """Convert everything below DATA that needs it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the downloaded scans")
    parser.add_argument("out", type=Path, help="folder for the converted ones")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data: Path = arguments.data
    out: Path = arguments.out

    for source in sorted((data / "chest-ct-slices").glob("*.dcm")):
        convert_slice(source, out / "chest-ct-slices" / f"{source.stem}.nii.gz")
    for source in sorted((data / "samples").glob("*.nrrd")):
        convert_nrrd(source, out / "samples" / f"{source.stem}.nii.gz")
    if (data / "chest-ct-full").is_dir():
        convert_series(data / "chest-ct-full", out / "chest-ct-full" / "ct.nii.gz")
    logger.info("converted to %s", out)


if __name__ == "__main__":
    main()
