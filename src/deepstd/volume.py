"""A scan in memory: stored voxels, their place in the world, what else its file said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deepstd.errors import GeometryError, UnsupportedFormatError

_NUMERIC_KINDS = "iufb"


@dataclass(frozen=True)
class SourceHeader:
    """What a scan's file held besides voxels, kept so that the file can be written again.

    ``format`` names the reader ("nifti1", "nifti2", "nrrd", "metaimage", "npy", "png", "tiff",
    "png-stack", "tiff-stack", "dicom"); ``raw`` is that format's header, byte for byte where it is
    NIfTI's (header and extensions).
    """

    format: str
    raw: bytes = b""


@dataclass(frozen=True)
class Derivation:
    """How restored voxels came about, for formats that keep account of it.

    Attributes:
        ratio: stored bytes of the voxels divided by bytes of the compressed file.
        method: the codec and its model, in one line.
    """

    ratio: float
    method: str


@dataclass(frozen=True)
class Volume:
    """A 2-D to 4-D grey-value scan.

    Attributes:
        voxels: stored values, shape (I, J), (I, J, K) or (I, J, K, T), before any slope and
            intercept, in the type of the file. Of DICOM slices that are stored in different ways,
            what their header's one slope and intercept take to real-world values. A fourth axis
            holds frames.
        affine: 4x4 float64 voxel-to-world matrix in RAS+ millimetres, or None where the format
            has no geometry.
        source: the header of the file the scan came from.
        notes: what a user should know of it, such as missing slices, in sentences.
        source_nbytes: bytes of the voxels as their file stores them, where that is in another type
            than ``voxels``; None where it is the same.
        padding: stored values that the source declares to be no measurement.
    """

    voxels: np.ndarray
    affine: np.ndarray | None = None
    source: SourceHeader = field(default_factory=lambda: SourceHeader("npy"))
    notes: tuple[str, ...] = ()
    source_nbytes: int | None = None
    padding: tuple[int | float, ...] = ()

    def __post_init__(self) -> None:
        voxels = self.voxels
        if voxels.dtype.kind not in _NUMERIC_KINDS or voxels.dtype.itemsize > 8:
            raise UnsupportedFormatError(
                f"voxels of type {voxels.dtype} are not supported: expected integers, booleans or "
                "floats of at most 64 bits. Give one grey value per voxel."
            )
        if not 2 <= voxels.ndim <= 4 or voxels.size == 0:
            raise UnsupportedFormatError(
                f"a scan of shape {voxels.shape} is not supported: expected 2 to 4 axes, none empty"
            )
        if self.affine is not None:
            affine = np.asarray(self.affine, dtype=np.float64)
            if affine.shape != (4, 4) or not np.isfinite(affine).all():
                raise GeometryError("the affine must be a finite 4x4 matrix")
            object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stored array."""
        return self.voxels.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels as their file stores them, the numerator of the ratio."""
        return self.voxels.nbytes if self.source_nbytes is None else self.source_nbytes

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size along each spatial axis in millimetres; None without geometry."""
        if self.affine is None:
            return None
        spatial = min(self.voxels.ndim, 3)
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :spatial], axis=0))

    def replace_voxels(self, voxels: np.ndarray) -> Volume:
        """The same scan with other voxel values of the same shape and type."""
        return replace(self, voxels=voxels)

    def summary(self) -> dict[str, Any]:
        """Shape, type and spacing for reports."""
        return {
            "shape": list(self.shape),
            "dtype": self.voxels.dtype.str,
            "spacing_mm": None if self.spacing is None else list(self.spacing),
            "format": self.source.format,
        }
