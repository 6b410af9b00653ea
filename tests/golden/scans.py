"""Procedural scans: nested ellipsoids, deformed, noisy, in every type and format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Extension

from deepstd.io import Metadata, read
from deepstd.volume import Volume
from tests.helpers.anatomy import anatomy, deformed

if TYPE_CHECKING:
    from pydicom import Dataset

OBLIQUE = np.array([
    [0.88, -0.12, 0.41, -31.5], [0.2, 1.17, -0.3, 12.25], [-0.35, 0.3, 2.4, -7.0], [0, 0, 0, 1.0],
])  # fmt: skip


def body(
    shape: tuple[int, ...], seed: int, *, noise: float = 0.02, size: float = 0.06
) -> np.ndarray:
    """Grey values of about 0 to 1.2, float64, of 2 or 3 axes."""
    random = np.random.default_rng(seed)
    axes = [(2 * np.arange(n) + 1) / n - 1 for n in shape]
    there = deformed(np.stack(np.meshgrid(*axes, indexing="ij")), random, size)
    return anatomy(there) + noise * random.normal(size=shape)


def grey(
    shape: tuple[int, ...], dtype: str, seed: int, *, low: float = 0, high: float = 1000
) -> np.ndarray:
    """A body in a range of grey values and a type."""
    values = low + (high - low) * body(shape, seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return values > (low + high) / 2
    if kind.kind in "iu":
        values = np.clip(np.rint(values), float(lowest(kind)), float(highest(kind)))
    return values.astype(kind)


def lowest(dtype: np.dtype) -> int:
    """Smallest value of an integer type that float64 holds."""
    return max(int(np.iinfo(dtype).min), -(2**52))


def highest(dtype: np.dtype) -> int:
    """Largest value of an integer type that float64 holds."""
    return min(int(np.iinfo(dtype).max), 2**52)


def disc(shape: tuple[int, ...], share: float) -> np.ndarray:
    """A circle of the first two axes, through all of the others."""
    x, y = np.ogrid[: shape[0], : shape[1]]
    radius = share * min(shape[:2]) / 2
    inside = (x - shape[0] / 2 + 0.5) ** 2 + (y - shape[1] / 2 + 0.5) ** 2 <= radius**2
    return np.broadcast_to(inside.reshape(*inside.shape, *[1] * (len(shape) - 2)), shape)


def as_nifti(voxels: np.ndarray, affine: np.ndarray, *, two: bool = False) -> Callable[..., Volume]:
    """What a NIfTI file of these voxels is read as."""

    def made(folder: Path) -> Volume:
        image = (nibabel.Nifti2Image if two else nibabel.Nifti1Image)(voxels, affine)
        image.header.set_xyzt_units("mm")
        image.header["descrip"] = b"a procedural scan"
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        nibabel.save(image, folder / "scan.nii")
        return read(folder / "scan.nii")

    return made


def as_scaled_nifti(voxels: np.ndarray) -> Callable[..., Volume]:
    """What a big-endian NIfTI-1 file with a slope and a comment, its axes mirrored, is read as."""

    def made(folder: Path) -> Volume:
        affine = np.diag([-0.9, -0.8, 2.0, 1.0])
        affine[:3, 3] = 60.5, 44.25, -30.0
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(voxels.dtype.newbyteorder(">"))
        image = nibabel.Nifti1Image(voxels, affine, header)
        image.header.extensions.append(Nifti1Extension("comment", b"procedural"))
        image.header.set_slope_inter(0.5, -20.0)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        nibabel.save(image, folder / "scan.nii.gz")
        return read(folder / "scan.nii.gz")

    return made


def as_itk(voxels: np.ndarray, suffix: str) -> Callable[..., Volume]:
    """What SimpleITK's file of these voxels, with a free key, is read as."""

    def made(folder: Path) -> Volume:
        import SimpleITK as sitk  # noqa: N813

        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
        image.SetSpacing((0.7, 0.9, 2.5))
        image.SetOrigin((-20.0, 14.5, 3.25))
        image.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        image.SetMetaData("Modality", "MR")
        sitk.WriteImage(image, str(folder / f"scan{suffix}"))
        return read(folder / f"scan{suffix}", metadata=Metadata.ALL)

    return made


def as_array(voxels: np.ndarray) -> Callable[..., Volume]:
    """What a .npy file of these voxels is read as."""

    def made(folder: Path) -> Volume:
        np.save(folder / "scan.npy", voxels)
        return read(folder / "scan.npy")

    return made


def as_png(voxels: np.ndarray) -> Callable[..., Volume]:
    """What a PNG image of 16 bits, (columns, rows), is read as."""

    def made(folder: Path) -> Volume:
        rows = np.ascontiguousarray(voxels.T, ">u2")
        lines = b"".join(b"\0" + line.tobytes() for line in rows)

        def chunk(kind: bytes, data: bytes) -> bytes:
            body = kind + data
            return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

        head = struct.pack(">IIBBBBB", *voxels.shape, 16, 0, 0, 0, 0)
        parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
        (folder / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        return read(folder / "scan.png")

    return made


def as_dicom_of_own_scales(voxels: np.ndarray) -> Callable[..., Volume]:
    """What slices are read as that have a slope, a depth and padding of their own.

    Steps are small beside the range, as a voxel that another machine rounds to the other of two
    neighbours must not differ by more than the rounding of floats.
    """

    def change(data: Dataset, k: int) -> None:
        data.Modality, data.SOPClassUID = "PT", "1.2.840.10008.5.1.4.1.1.128"
        data.RescaleSlope, data.RescaleIntercept = f"{0.0101 + 0.001 * k:.6g}", "0"
        if k % 2:
            stored = 1000 * voxels[..., k].T.astype("<i4")
            data.BitsAllocated, data.BitsStored, data.HighBit = 32, 32, 31
            data.PixelData = np.where(voxels[..., k].T == -2000, -2000, stored).tobytes()

    return as_dicom(voxels, Metadata.DEIDENTIFIED, change)


def as_dicom(
    voxels: np.ndarray, metadata: Metadata, change: Callable[[Dataset, int], None] | None = None
) -> Callable[..., Volume]:
    """What a CT series of these slices, one file each, is read as; ``change`` alters each."""

    def made(folder: Path) -> Volume:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

        for k in range(voxels.shape[2]):
            data = Dataset()
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            data.SOPInstanceUID = f"1.2.826.0.1.3680043.10.9999.1.{k + 1}"
            data.StudyInstanceUID = "1.2.826.0.1.3680043.10.9999.2"
            data.SeriesInstanceUID = "1.2.826.0.1.3680043.10.9999.3"
            data.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.9999.4"
            data.PatientName, data.PatientID = "Phantom^Procedural", "P-1"
            data.Modality, data.BodyPartExamined, data.KVP = "CT", "CHEST", "120"
            data.SeriesDescription, data.SeriesNumber = "Procedural 2.5 mm", "3"
            data.InstanceNumber = str(k + 1)
            data.ImagePositionPatient = [-40.0, -30.0, 2.5 * k - 100.0]
            data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            data.PixelSpacing, data.SliceThickness = [0.75, 0.7], "2.5"
            data.Rows, data.Columns = voxels.shape[1], voxels.shape[0]
            data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
            data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
            data.PixelRepresentation, data.PixelPaddingValue = 1, -2000
            data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
            data.WindowCenter, data.WindowWidth = "40", "400"
            data.PixelData = np.ascontiguousarray(voxels[..., k].T, "<i2").tobytes()
            if change is not None:
                change(data, k)
            data.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)
        return read(folder, metadata=metadata)

    return made
