"""Amount of a source's metadata that is kept beside the voxels.

    read(path, metadata=...) ─▶ SourceHeader ─▶ .dstd ─▶ the restored file

Geometry, stored type and value scale are always kept: without them the voxels mean nothing.
"""

from __future__ import annotations

from enum import StrEnum


class Metadata(StrEnum):
    """Levels of source metadata to store.

    DICOM data sets are kept without items that identify the patient (PS3.15 basic profile). ALL
    keeps the data sets whole, and NONE drops them. NIfTI headers are kept byte for byte, free text
    and extensions included, except with NONE. Free key-value pairs of NRRD and MetaImage files are
    kept with ALL only: files made from DICOM store a patient's data there.
    """

    NONE = "none"
    DEIDENTIFIED = "deidentified"
    ALL = "all"
