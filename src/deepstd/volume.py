"""Scans in memory: stored voxels, the voxel-to-world affine, the header of their file.

array, affine ─────────────────┐
file ─ io.read ────────────────┴▶ Volume ─ np.asarray ─▶ stored voxels
                                         └ repr, notebooks ─▶ a line, three slices
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from deepstd.errors import GeometryError, InputError, UnsupportedFormatError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

_NUMERIC_KINDS = "iufb"


class SupportsArray(Protocol):
    """An object that NumPy turns into an array, such as an array of another library."""

    def __array__(self) -> np.ndarray: ...


@dataclass(frozen=True)
class SourceHeader:
    """Header of a scan's file, kept so that the file can be written again.

    Attributes:
        format: name of the reader: "nifti1", "nifti2", "nrrd", "metaimage", "npy", "png", "tiff",
            "png-stack", "tiff-stack" or "dicom".
        raw: header in a form that the reader of the format defines. A NIfTI header and its
            extensions are kept byte for byte.
    """

    format: str
    raw: bytes = b""


@dataclass(frozen=True)
class Derivation:
    """Origin of restored voxels, for formats that record how an image was derived.

    Attributes:
        ratio: bytes of the stored voxels divided by bytes of the compressed file.
        method: codec and model bundle, in one line.
    """

    ratio: float
    method: str


@dataclass(frozen=True, repr=False)
class Volume:
    """A 2-D to 4-D grey-value scan.

    NumPy takes a volume as its stored voxels: ``np.asarray(volume)`` is ``volume.voxels``.
    ``Volume(array, affine)`` makes a scan of an array.

    Attributes:
        voxels: stored values, shape (I, J), (I, J, K) or (I, J, K, T), before rescale slope and
            intercept, in the stored type. The fourth axis holds frames. DICOM slices with rescale
            parameters of their own are converted to the parameters that the header keeps.
        affine: voxel-to-world matrix, (4, 4) float64, RAS+ in millimetres; None without geometry.
        source: header of the file that the scan was read from.
        notes: sentences on the scan that a user should know, such as on missing slices.
        source_nbytes: bytes of the voxels in their file, where the file stores another type than
            ``voxels`` has; else None.
        padding: stored values that the file declares as padding.
        loss: what ``voxels`` lack of the values in the file, in words; empty where they hold all.
        labels: True where the file declares that voxels are labels of regions.

    Raises:
        UnsupportedFormatError: the voxels have another number of axes, or no grey values.
        GeometryError: the affine is no finite 4x4 matrix.
        InputError: the voxels are an array with masked values.
    """

    voxels: np.ndarray
    affine: np.ndarray | None = None
    source: SourceHeader = field(default_factory=lambda: SourceHeader("npy"))
    notes: tuple[str, ...] = ()
    source_nbytes: int | None = None
    padding: tuple[int | float, ...] = ()
    loss: str = ""
    labels: bool = False

    def __post_init__(self) -> None:
        if np.ma.is_masked(self.voxels):
            raise InputError(
                "the array has masked values. Give them a value: array.filled(0), for example"
            )
        voxels = np.asarray(self.voxels)
        object.__setattr__(self, "voxels", voxels)
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

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.voxels, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        told = [f"shape={self.shape}", f"dtype={self.voxels.dtype}"]
        if self.spacing is not None:
            told.append(f"spacing=({', '.join(f'{length:.4g}' for length in self.spacing)}) mm")
        if self.orientation is not None:
            told.append(f"orientation={''.join(self.orientation)}")
        told.append(f"format={self.source.format!r}")
        if self.notes:
            told.append(f"notes={len(self.notes)}")
        return f"Volume({', '.join(told)})"

    def _repr_html_(self) -> str:
        from deepstd.slice_images import as_html  # with Pillow, which only notebooks need here

        return as_html(self.voxels, self.affine, repr(self), self.notes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stored array."""
        return self.voxels.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels in their file: the numerator of the compression ratio."""
        return self.voxels.nbytes if self.source_nbytes is None else self.source_nbytes

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size along each spatial axis in millimetres; None without geometry."""
        if self.affine is None:
            return None
        spatial = min(self.voxels.ndim, 3)
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :spatial], axis=0))

    @property
    def origin(self) -> tuple[float, float, float] | None:
        """World coordinates of the first voxel, RAS+ in millimetres; None without geometry."""
        if self.affine is None:
            return None
        x, y, z = (float(coordinate) for coordinate in self.affine[:3, 3])
        return x, y, z

    @property
    def orientation(self) -> tuple[str, ...] | None:
        """Anatomical direction nearest to each spatial axis, of L R P A I S.

        None without geometry, or where an axis has no direction.
        """
        if self.affine is None:
            return None
        from nibabel.orientations import aff2axcodes

        with np.errstate(all="ignore"):  # spacings whose squares overflow have no direction
            codes = aff2axcodes(self.affine)[: min(self.voxels.ndim, 3)]
        return None if None in codes else tuple(map(str, codes))

    def replace_voxels(self, voxels: np.ndarray) -> Volume:
        """Return the scan with other voxel values, of the same shape and type."""
        return replace(self, voxels=voxels, loss="")

    def summary(self) -> dict[str, Any]:
        """Return shape, type, spacing and format as plain values for reports."""
        return {
            "shape": list(self.shape),
            "dtype": self.voxels.dtype.str,
            "spacing_mm": None if self.spacing is None else list(self.spacing),
            "format": self.source.format,
        }


def as_volume(scan: Volume | SupportsArray, affine: np.ndarray | None = None) -> Volume:
    """Return a volume as it is, and an array as a volume with an affine.

    Args:
        scan: a volume, or an array of shape (I, J), (I, J, K) or (I, J, K, T).
        affine: voxel-to-world matrix of the array, (4, 4), RAS+ in millimetres; None for none.

    Raises:
        InputError: a volume comes with an affine, or is no scan; see `Volume`.
    """
    if isinstance(scan, Volume):
        if affine is not None:
            raise InputError("the volume has an affine of its own: give an affine with arrays only")
        return scan
    return Volume(scan if isinstance(scan, np.ndarray) else np.asarray(scan), affine)
