"""Reading and writing of DICOM series.

files, folders, zip ─ items ─ images ─ frames ─ series ─ grid ─ read ─▶ Volume
Volume ─ header, tables ─ write ─▶ files
"""

from deepstd.io.dicom.copies import distinct
from deepstd.io.dicom.header import (
    check,
    cropped,
    facts_of,
    on_grid,
    scale_of,
    subsampled,
    unit_of,
)
from deepstd.io.dicom.images import text
from deepstd.io.dicom.items import ZIP_MAGIC, Archives, Item, begins_as_dicom, contents
from deepstd.io.dicom.named_tags import tags_named
from deepstd.io.dicom.picture import picture
from deepstd.io.dicom.planes import (
    largest_step,
    requantised,
    stored_type,
    stored_values,
    voxels_of,
    with_padding_values,
)
from deepstd.io.dicom.read import NAME, read, read_items
from deepstd.io.dicom.report import survey, survey_items, words_of
from deepstd.io.dicom.series import Found, Series, find
from deepstd.io.dicom.write import SUFFIX, is_written, write_object, write_series

__all__ = [
    "NAME",
    "SUFFIX",
    "ZIP_MAGIC",
    "Archives",
    "Found",
    "Item",
    "Series",
    "begins_as_dicom",
    "check",
    "contents",
    "cropped",
    "distinct",
    "facts_of",
    "find",
    "is_written",
    "largest_step",
    "on_grid",
    "picture",
    "read",
    "read_items",
    "requantised",
    "scale_of",
    "stored_type",
    "stored_values",
    "subsampled",
    "survey",
    "survey_items",
    "tags_named",
    "text",
    "unit_of",
    "voxels_of",
    "with_padding_values",
    "words_of",
    "write_object",
    "write_series",
]
