"""Reports of `deepstd.compress`, `deepstd.verify` and `deepstd.info`.

errors of stored values ─ rescale slope and unit of the header ─▶ errors of real-world values
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepstd.container import LARGEST_FIGURE, BundleRef, Registration, Section
from deepstd.findings import Familiarity
from deepstd.quality import Quality

if TYPE_CHECKING:
    from deepstd.shape.register import ShapeReport


@dataclass(frozen=True)
class Asked:
    """Quality that was asked for.

    Attributes:
        measure: "psnr" in dB, "ssim", "mae" or "max_error" in real-world values.
        value: the least PSNR or SSIM, or the largest error.
        reached: the same figure of the restored scan.
        kept: True if the restored scan has the quality.
    """

    measure: str
    value: float
    reached: float
    kept: bool


@dataclass(frozen=True)
class CompressReport:
    """Result of `deepstd.compress`.

    Attributes:
        source: path or URL of the scan, without credentials; "the array" or "the volume" for a
            scan in memory.
        output: path or URL of the file, without credentials.
        bundle: name and version of the model bundle.
        tried: mean squared error in stored units by bundle, for each bundle tried at the same size.
        voxels: number of voxels.
        stored_bytes: bytes of the voxels in their stored type.
        file_bytes: bytes of the compressed file.
        ratio: compression ratio, ``stored_bytes / file_bytes``.
        bpv: bits per voxel of the compressed file.
        shape_bytes: bytes of the deformation fields.
        texture_bytes: bytes of the textures.
        field_kept: True if the file has a deformation field.
        registration: report on the deformation field of each frame; None for a frame without.
        mae: mean absolute error of the restored scan, in real-world values.
        max_error: largest absolute error of the restored scan, in real-world values.
        psnr: peak signal-to-noise ratio in dB, with the peak max − min of the original.
        ssim: structural similarity of the restored scan.
        seconds: time taken.
        notes: sentences on the scan that a user should know, such as on missing slices.
        slope: real-world units of one stored unit, above zero.
        unit: unit of the real-world values, such as "HU"; None where it is not known.
        smallest_dtype: smallest type that holds every voxel, where the stored type has 4 or 8 bytes
            and a smaller one is enough; else None.
        smallest_ratio: compression ratio with voxels of ``smallest_dtype``; None without.
        lossless: True if every voxel comes back bit for bit, as the encoder has verified.
        asked: quality that was asked for; None where none was.
        exact_bytes: bytes of the exact part, which ``file_bytes`` include; 0 without.
        lossy_ratio: compression ratio of the file without its exact part.
        familiarity: how the scan fits the bundle, compared with the bundle's validation scans;
            None for a file without a bundle.
    """

    source: str
    output: str
    bundle: str
    tried: dict[str, float]
    voxels: int
    stored_bytes: int
    file_bytes: int
    ratio: float
    bpv: float
    shape_bytes: int
    texture_bytes: int
    field_kept: bool
    registration: tuple[ShapeReport | None, ...]
    mae: float
    max_error: float
    psnr: float
    ssim: float
    seconds: float
    notes: tuple[str, ...]
    slope: float = 1.0
    unit: str | None = None
    smallest_dtype: str | None = None
    smallest_ratio: float | None = None
    lossless: bool = False
    asked: Asked | None = None
    exact_bytes: int = 0
    lossy_ratio: float = math.nan
    familiarity: Familiarity | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class VerifyReport:
    """Result of `deepstd.verify` for a file that decodes to what was encoded.

    Attributes:
        source: path or URL of the file.
        bundle: name and version of its bundle.
        stated: "mae", "max_error", "psnr" and "ssim" as the file states them, or None; errors are
            in real-world values.
        against: the original, if one was given.
        measured: the same metrics of the restored scan against the original, or None.
        as_stated: True if the measured error equals the stated error; for a lossless file, if every
            voxel equals the original. None where an error is missing.
        slope: real-world units of one stored unit, above zero.
        unit: unit of the real-world values, such as "HU"; None where it is not known.
        notes: sentences on the scan that a user should know, from the file.
        lossless: True if the file is lossless: the hash of the decoded voxels was checked.
        layered: True if the file has an exact part: both parts were decoded and checked. The errors
            are those of the lossy part; ``as_stated`` tells of both.
    """

    source: str
    bundle: str
    stated: dict[str, float] | None
    against: str | None
    measured: dict[str, float] | None
    as_stated: bool | None
    slope: float = 1.0
    unit: str | None = None
    notes: tuple[str, ...] = ()
    lossless: bool = False
    layered: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class FileInfo:
    """Contents of a .dstd file, without its voxels: the result of `deepstd.info`.

    Attributes:
        file: path or URL of the file, without credentials.
        file_bytes: bytes of the file.
        source_format: format of the scan that was compressed, such as "nifti1" or "dicom".
        shape: shape of the scan, 2 to 4 axes.
        dtype: name of the stored type, such as "int16".
        byte_order: "little" or "big".
        voxels: number of voxels.
        stored_bytes: bytes of the voxels in their stored type.
        ratio: compression ratio, ``stored_bytes / file_bytes``.
        bpv: bits per voxel of the compressed file.
        smallest_dtype: smallest type that holds every voxel, where the stored type has 4 or 8 bytes
            and a smaller one is enough; else None.
        smallest_ratio: compression ratio with voxels of ``smallest_dtype``; None without.
        bundle: model bundle that the file was written with.
        quality: metrics of the restored scan that the file states, errors in real-world values;
            None where the file states none.
        slope: real-world units of one stored unit, above zero.
        unit: unit of the real-world values, such as "HU"; None where it is not known.
        notes: sentences on the scan that a user should know, such as on missing slices.
        field_bytes: bytes of the deformation fields, framing included; 0 without.
        registration: fit of the scan to the template of its bundle; None where the file has no
            deformation field, or no room to state the fit.
        digest: hash of everything that decides a voxel, which a decoder checks.
        sections: all parts of the file in order, with offset and bytes.
        lossless: True if every voxel comes back bit for bit.
        asked: quality that was asked for, to the precision of a float32; None where none was.
        exact_bytes: bytes of the exact part, which ``file_bytes`` include; 0 without.
        lossy_ratio: compression ratio of the file without its exact part.
    """

    file: str
    file_bytes: int
    source_format: str
    shape: tuple[int, ...]
    dtype: str
    byte_order: str
    voxels: int
    stored_bytes: int
    ratio: float
    bpv: float
    smallest_dtype: str | None
    smallest_ratio: float | None
    bundle: BundleRef
    quality: Quality | None
    slope: float
    unit: str | None
    notes: tuple[str, ...]
    field_bytes: int
    registration: Registration | None
    digest: bytes
    sections: tuple[Section, ...]
    lossless: bool = False
    asked: Asked | None = None
    exact_bytes: int = 0
    lossy_ratio: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as `deepstd info --json` prints them."""
        plain = {key: value for key, value in asdict(self).items() if key != "field_bytes"}
        fit = plain["registration"] or {}
        return {
            **plain,
            "shape": list(self.shape),
            "bundle": {**plain["bundle"], "digest": self.bundle.digest.hex()},
            "notes": list(self.notes),
            "registration": {"bytes": self.field_bytes, **fit} if self.field_bytes else None,
            "digest": self.digest.hex(),
            "sections": [
                {"name": s.name, "offset": s.offset, "bytes": s.nbytes} for s in self.sections
            ],
        }


def error_in_words(value: float, slope: float) -> str:
    """Format an error of real-world values; a file stores errors beyond float32 as infinite.

    Args:
        value: the error.
        slope: real-world units of one stored unit, above zero.
    """
    return f"over {LARGEST_FIGURE * slope:.2g}" if math.isinf(value) else f"{value:.4g}"
