"""Scans in and out of files.

folder ─ discover ─▶ ScanSource ─ read_scan ─▶ Volume
file or URL ─ read ─▶ Volume ─ write ─▶ file or URL
"""

from deepstd.io.atomic import atomic_folder, atomic_path
from deepstd.io.count import check_complete
from deepstd.io.dicom import survey
from deepstd.io.discover import Discovered, discover
from deepstd.io.displacement import check_displacement, displacement_writer
from deepstd.io.headers import (
    affine_of,
    check_header,
    placement_of,
    subsampled,
    with_own_header,
)
from deepstd.io.metadata import Metadata
from deepstd.io.passed import PassedOver
from deepstd.io.places import STREAM, basename, is_same, is_url, location, shown
from deepstd.io.registry import check_output, declared, holds_series, read, write, writer
from deepstd.io.remote import incoming, placed
from deepstd.io.rescale import largest_step, real_world, requantised
from deepstd.io.source import ScanSource, read_scan

__all__ = [
    "STREAM",
    "Discovered",
    "Metadata",
    "PassedOver",
    "ScanSource",
    "affine_of",
    "atomic_folder",
    "atomic_path",
    "basename",
    "check_complete",
    "check_displacement",
    "check_header",
    "check_output",
    "declared",
    "discover",
    "displacement_writer",
    "holds_series",
    "incoming",
    "is_same",
    "is_url",
    "largest_step",
    "location",
    "placed",
    "placement_of",
    "read",
    "read_scan",
    "real_world",
    "requantised",
    "shown",
    "subsampled",
    "survey",
    "with_own_header",
    "write",
    "writer",
]
