"""DeepSTD: shape-texture decoupled compression of medical scans.

    deepstd.compress("ct.nii.gz", "ct.dstd", ratio=64)
    volume = deepstd.decompress("ct.dstd")
    part = deepstd.open("ct.dstd")[100:164, 200:264, 30]

Names are imported at their first use (PEP 562), so importing the package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepstd.access.scan import Scan, open
    from deepstd.api import compress, decompress
    from deepstd.bundle import Bundle
    from deepstd.codec.codec import Codec
    from deepstd.codec.compressed import Compressed
    from deepstd.codec.protection import Protection
    from deepstd.container import (
        Beginning,
        BundleRef,
        Container,
        ExactPart,
        Registration,
        Section,
    )
    from deepstd.errors import (
        BundleError,
        BundleMismatchError,
        BundleNotFoundError,
        ContainerError,
        DamagedError,
        DeepSTDError,
        DeviceError,
        ExactPartError,
        GeometryError,
        InputError,
        MissingExtraError,
        NotDstdError,
        OutputExistsError,
        RateError,
        RegionError,
        TruncatedError,
        UnsupportedFormatError,
        UnsupportedVersionError,
    )
    from deepstd.findings import Familiarity, Finding, Protected, Region
    from deepstd.inspection import info
    from deepstd.io import Deidentification, Metadata, read, write
    from deepstd.layers import complete, strip
    from deepstd.quality import Quality
    from deepstd.rate.bound import ErrorBound
    from deepstd.rate.goal import QualityGoal
    from deepstd.rate.target import Target
    from deepstd.registration.files import Outputs, RegisterReport, register
    from deepstd.registration.report import PairReport
    from deepstd.reports import Asked, CompressReport, FileInfo, VerifyReport
    from deepstd.shape.register import ShapeReport
    from deepstd.verification import verify
    from deepstd.viewer.widget import view
    from deepstd.volume import Derivation, SourceHeader, SupportsArray, Volume

__version__ = "0.1.0"

_NAMES = {
    "deepstd.access.scan": ("Scan", "open"),
    "deepstd.api": ("compress", "decompress"),
    "deepstd.bundle": ("Bundle",),
    "deepstd.codec.codec": ("Codec",),
    "deepstd.codec.compressed": ("Compressed",),
    "deepstd.container": (
        "Beginning",
        "BundleRef",
        "Container",
        "ExactPart",
        "Registration",
        "Section",
    ),
    "deepstd.errors": (
        "BundleError",
        "BundleMismatchError",
        "BundleNotFoundError",
        "ContainerError",
        "DamagedError",
        "DeepSTDError",
        "DeviceError",
        "ExactPartError",
        "GeometryError",
        "InputError",
        "MissingExtraError",
        "NotDstdError",
        "OutputExistsError",
        "RateError",
        "RegionError",
        "TruncatedError",
        "UnsupportedFormatError",
        "UnsupportedVersionError",
    ),
    "deepstd.inspection": ("info",),
    "deepstd.io": ("Deidentification", "Metadata", "read", "write"),
    "deepstd.layers": ("complete", "strip"),
    "deepstd.quality": ("Quality",),
    "deepstd.rate.bound": ("ErrorBound",),
    "deepstd.rate.goal": ("QualityGoal",),
    "deepstd.rate.target": ("Target",),
    "deepstd.codec.protection": ("Protection",),
    "deepstd.findings": ("Familiarity", "Finding", "Protected", "Region"),
    "deepstd.registration.files": ("Outputs", "RegisterReport", "register"),
    "deepstd.registration.report": ("PairReport",),
    "deepstd.reports": ("Asked", "CompressReport", "FileInfo", "VerifyReport"),
    "deepstd.shape.register": ("ShapeReport",),
    "deepstd.verification": ("verify",),
    "deepstd.viewer.widget": ("view",),
    "deepstd.volume": ("Derivation", "SourceHeader", "SupportsArray", "Volume"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Asked",
    "Beginning",
    "Bundle",
    "BundleError",
    "BundleMismatchError",
    "BundleNotFoundError",
    "BundleRef",
    "Codec",
    "CompressReport",
    "Compressed",
    "Container",
    "ContainerError",
    "DamagedError",
    "DeepSTDError",
    "Deidentification",
    "Derivation",
    "DeviceError",
    "ErrorBound",
    "ExactPart",
    "ExactPartError",
    "Familiarity",
    "FileInfo",
    "Finding",
    "GeometryError",
    "InputError",
    "Metadata",
    "MissingExtraError",
    "NotDstdError",
    "OutputExistsError",
    "Outputs",
    "PairReport",
    "Protected",
    "Protection",
    "Quality",
    "QualityGoal",
    "RateError",
    "Region",
    "RegionError",
    "RegisterReport",
    "Registration",
    "Scan",
    "Section",
    "ShapeReport",
    "SourceHeader",
    "SupportsArray",
    "Target",
    "TruncatedError",
    "UnsupportedFormatError",
    "UnsupportedVersionError",
    "VerifyReport",
    "Volume",
    "complete",
    "compress",
    "decompress",
    "info",
    "open",
    "read",
    "register",
    "strip",
    "verify",
    "view",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepstd' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
