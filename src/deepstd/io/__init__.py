"""Reading and writing of scans.

folder ─ discover ─▶ ScanSource ─ read_scan ─▶ Volume
file or URL ─ read ─▶ Volume ─ write ─▶ file or URL
"""

from deepstd.io.atomic import atomic_folder, atomic_path, check_folder, needing, room_told
from deepstd.io.count import check_complete
from deepstd.io.date_key import date_key
from deepstd.io.dicom import survey, survey_items
from deepstd.io.dicom import words_of as dicom_words
from deepstd.io.discover import Discovered, discover
from deepstd.io.displacement import check_displacement, displacement_writer
from deepstd.io.formats import SCAN_SUFFIXES, SUFFIXES
from deepstd.io.glance import Glance, described, glance, spacing_of
from deepstd.io.headers import (
    affine_of,
    check_header,
    cropped,
    placement_of,
    subsampled,
    with_own_header,
)
from deepstd.io.images import nibabel_image, sitk_image
from deepstd.io.locations import STREAM, basename, is_same, is_url, location, shown
from deepstd.io.metadata import Deidentification, KeptMetadata, Metadata
from deepstd.io.outline import Outline, outline
from deepstd.io.parts import split as array_in
from deepstd.io.passed import PassedOver
from deepstd.io.ranges import Ranges
from deepstd.io.registry import (
    check_input,
    check_output,
    declared,
    holds_series,
    read,
    write,
    writer,
)
from deepstd.io.remote import incoming, placed
from deepstd.io.rescale import (
    ErrorScale,
    error_scale_of,
    has_own_scales,
    largest_step,
    real_world,
    requantised,
    scale_of,
    stored_type,
    stored_values,
    voxels_of,
)
from deepstd.io.shear import notes_of_output
from deepstd.io.source import ScanSource, read_scan
from deepstd.io.straighten import straightened

__all__ = [
    "SCAN_SUFFIXES",
    "STREAM",
    "SUFFIXES",
    "Deidentification",
    "Discovered",
    "ErrorScale",
    "Glance",
    "KeptMetadata",
    "Metadata",
    "Outline",
    "PassedOver",
    "Ranges",
    "ScanSource",
    "affine_of",
    "array_in",
    "atomic_folder",
    "atomic_path",
    "basename",
    "check_complete",
    "check_displacement",
    "check_folder",
    "check_header",
    "check_input",
    "check_output",
    "cropped",
    "date_key",
    "declared",
    "described",
    "dicom_words",
    "discover",
    "displacement_writer",
    "error_scale_of",
    "glance",
    "has_own_scales",
    "holds_series",
    "incoming",
    "is_same",
    "is_url",
    "largest_step",
    "location",
    "needing",
    "nibabel_image",
    "notes_of_output",
    "outline",
    "placed",
    "placement_of",
    "read",
    "read_scan",
    "real_world",
    "requantised",
    "room_told",
    "scale_of",
    "shown",
    "sitk_image",
    "spacing_of",
    "stored_type",
    "stored_values",
    "straightened",
    "subsampled",
    "survey",
    "survey_items",
    "voxels_of",
    "with_own_header",
    "write",
    "writer",
]
