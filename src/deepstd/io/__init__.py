"""Scans in and out of files.

folder ─ discover ─▶ ScanSource ─ read_scan ─▶ Volume
file ─ read ─▶ Volume ─ write ─▶ file
"""

from deepstd.io.atomic import atomic_path
from deepstd.io.discover import Discovered, ScanSource, discover, read_scan
from deepstd.io.registry import (
    affine_of,
    check_header,
    declared,
    read,
    with_own_header,
    write,
)

__all__ = [
    "Discovered",
    "ScanSource",
    "affine_of",
    "atomic_path",
    "check_header",
    "declared",
    "discover",
    "read",
    "read_scan",
    "with_own_header",
    "write",
]
