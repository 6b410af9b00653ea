"""Scans in and out of files.

folder ─ discover ─▶ ScanSource ─ read_scan ─▶ Volume
file or URL ─ read ─▶ Volume ─ write ─▶ file or URL
"""

from deepstd.io.atomic import atomic_folder, atomic_path, check_folder
from deepstd.io.dicom import survey
from deepstd.io.discover import Discovered, ScanSource, discover, read_scan
from deepstd.io.displacement import check_displacement, displacement_writer
from deepstd.io.formats import SCAN_SUFFIXES
from deepstd.io.metadata import Metadata
from deepstd.io.outline import Outline, outline
from deepstd.io.places import STREAM, basename, is_same, is_url, location, shown
from deepstd.io.registry import (
    affine_of,
    check_header,
    check_input,
    check_output,
    declared,
    holds_series,
    read,
    subsampled,
    with_own_header,
    write,
    writer,
)
from deepstd.io.remote import incoming, placed
from deepstd.io.rescale import real_world

__all__ = [
    "SCAN_SUFFIXES",
    "STREAM",
    "Discovered",
    "Metadata",
    "Outline",
    "ScanSource",
    "affine_of",
    "atomic_folder",
    "atomic_path",
    "basename",
    "check_displacement",
    "check_folder",
    "check_header",
    "check_input",
    "check_output",
    "declared",
    "discover",
    "displacement_writer",
    "holds_series",
    "incoming",
    "is_same",
    "is_url",
    "location",
    "outline",
    "placed",
    "read",
    "read_scan",
    "real_world",
    "shown",
    "subsampled",
    "survey",
    "with_own_header",
    "write",
    "writer",
]
