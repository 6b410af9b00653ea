"""DICOM series in and out.

files, folders, zip ─ items ─ images ─ frames ─ series ─ grid ─ read ─▶ Volume
Volume ─ header, tables ─ write ─▶ files
"""

from deepstd.io.dicom.copies import distinct
from deepstd.io.dicom.header import check, facts_of, scale_of, subsampled
from deepstd.io.dicom.items import ZIP_MAGIC, Item, begins_as_dicom
from deepstd.io.dicom.picture import picture
from deepstd.io.dicom.read import NAME, read
from deepstd.io.dicom.report import survey
from deepstd.io.dicom.series import Found, Series, find
from deepstd.io.dicom.write import SUFFIX, is_written, write_object, write_series

__all__ = [
    "NAME",
    "SUFFIX",
    "ZIP_MAGIC",
    "Found",
    "Item",
    "Series",
    "begins_as_dicom",
    "check",
    "distinct",
    "facts_of",
    "find",
    "is_written",
    "picture",
    "read",
    "scale_of",
    "subsampled",
    "survey",
    "write_object",
    "write_series",
]
