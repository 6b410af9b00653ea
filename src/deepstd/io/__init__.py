"""Scans in and out of files.

file ─ read ─▶ Volume ─ write ─▶ file
"""

from deepstd.io.atomic import atomic_path
from deepstd.io.dicom import survey
from deepstd.io.metadata import Metadata
from deepstd.io.registry import (
    affine_of,
    check_header,
    holds_series,
    read,
    with_own_header,
    write,
)

__all__ = [
    "Metadata",
    "affine_of",
    "atomic_path",
    "check_header",
    "holds_series",
    "read",
    "survey",
    "with_own_header",
    "write",
]
