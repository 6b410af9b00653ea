"""NRRD and MetaImage files by hand, and what SimpleITK and nibabel read of a file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from deepstd.volume import Volume

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'deepstd[itk]'")
TOLERANCE_MM = 1e-4
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
SUFFIXES = [".nrrd", ".mha", ".mhd"]
FIELDS = {
    "type": "short", "dimension": "3", "sizes": "4 3 2", "endian": "little", "encoding": "raw",
}  # fmt: skip
VALUES = np.arange(24, dtype="<i2")
VOXELS = VALUES.reshape((4, 3, 2), order="F")


def by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [i, j, k] and world coordinates (RAS) of the corners, as SimpleITK has them."""
    image = sitk.ReadImage(str(path))
    corners = itertools.product(*[(-0.5, n - 0.5) for n in image.GetSize()[:3]])
    rest = (0.0,) * (image.GetDimension() - 3)
    points = [image.TransformContinuousIndexToPhysicalPoint((*c, *rest)) for c in corners]
    lps = np.array([[*point, 0.0][:3] for point in points])
    return sitk.GetArrayFromImage(image).T, lps * [-1, -1, 1]


def by_us(volume: Volume) -> np.ndarray:
    """World coordinates of the corners of a volume."""
    assert volume.affine is not None
    corners = list(itertools.product(*[(-0.5, n - 0.5) for n in volume.shape[:3]]))
    padded = np.array([[*corner, 0.0][:3] for corner in corners])
    return padded @ volume.affine[:3, :3].T + volume.affine[:3, 3]


def by_nibabel(path: Path) -> np.ndarray:
    image = nibabel.Nifti1Image.from_filename(path)
    volume = Volume(np.zeros(image.shape, "u1"), image.affine)
    return by_us(volume)


def assert_as_itk(volume: Volume, path: Path) -> None:
    voxels, corners = by_itk(path)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.voxels.dtype == voxels.dtype
    np.testing.assert_allclose(by_us(volume), corners, atol=TOLERANCE_MM)


def nrrd(path: Path, data: bytes = VALUES.tobytes(), **fields: Any) -> Path:
    told = {**FIELDS, **{name.replace("_", " "): value for name, value in fields.items()}}
    lines = "".join(f"{name}: {value}\n" for name, value in told.items() if value)
    path.write_bytes(b"NRRD0004\n" + lines.encode() + b"\n" + data)
    return path


def meta(path: Path, data: bytes = VALUES.tobytes(), **keys: Any) -> Path:
    told = {"ObjectType": "Image", "NDims": "3", "DimSize": "4 3 2", "ElementType": "MET_SHORT"}
    told |= {**keys, "ElementDataFile": keys.get("ElementDataFile", "LOCAL")}
    told["ElementDataFile"] = told.pop("ElementDataFile")  # the last
    lines = "".join(f"{name} = {value}\n" for name, value in told.items() if value)
    path.write_bytes(lines.encode() + data)
    return path


def oblique(spacing: tuple[float, ...], origin: tuple[float, ...], angles: Any) -> np.ndarray:
    affine = np.eye(4)
    for axis, angle in enumerate(angles):
        turn = np.eye(4)
        a, b = [n for n in range(3) if n != axis]
        turn[[a, a, b, b], [a, b, a, b]] = [
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        ]  # fmt: skip
        affine = affine @ turn
    affine[:3, :3] *= spacing
    affine[:3, 3] = origin
    return affine


SHEARED = np.array([[0.9, 0.2, 0, -80], [0, 1.1, 0.4, 33], [0.1, 0, 2.5, 7.5], [0, 0, 0, 1]])
OBLIQUE = oblique((0.7, 0.8, 3.3), (-91.5, 120.25, -1000.125), (0.3, -1.2, 2.5))
