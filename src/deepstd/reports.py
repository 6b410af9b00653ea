"""What `deepstd.compress` and `deepstd.verify` report, and the figures that reports state.

figures of stored values ─ slope and unit of the header ─▶ figures of the values they stand for
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepstd.shape.register import ShapeReport


@dataclass(frozen=True)
class CompressReport:
    """What `compress` did.

    Attributes:
        source, output: paths or URLs, the latter without credentials.
        bundle: name and version of the bundle that was used.
        tried: mean squared error of every bundle that was tried at the same size, in stored units.
        voxels, stored_bytes, file_bytes: sizes.
        ratio: stored bytes divided by file bytes. bpv: bits of the file per voxel.
        shape_bytes, texture_bytes: payloads of the file.
        field_kept: whether a deformation field is in the file.
        registration: of each frame, how its field was fitted, or None where none is in the file.
        mae, max_error: error of the decoded scan, in real-world values: stored ones times slope.
        psnr, ssim: of the decoded scan, the first in dB.
        seconds: time taken.
        notes: what to know of the scan, such as missing slices.
        slope: real-world units a stored unit, above zero.
        unit: of the real-world values, such as "HU"; None where it is not known.
        smallest_dtype: smallest type that holds every voxel, where 4 or 8 bytes a voxel are more
            than that needs; else None.
        smallest_ratio: the ratio with voxels of that type; None where there is none.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found of a file that decodes as it was encoded.

    Attributes:
        source: the file.
        bundle: name and version of its bundle.
        stated: the figures "mae", "max_error", "psnr" and "ssim" in the file, or None; errors in
            real-world values, stored ones times slope.
        against: the original, if one was given.
        measured: the same figures against it.
        as_stated: whether the measured error is the stated one; None where one of them is missing.
        slope: real-world units a stored unit, above zero.
        unit: of the real-world values, such as "HU"; None where it is not known.
        notes: what the file says is to be known of the scan.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
