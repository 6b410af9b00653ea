"""How much of what a scan's file says besides its voxels is kept.

    read(path, metadata=...) ─▶ SourceHeader ─▶ .dstd ─▶ the restored file

Geometry, stored type and value scale are always kept: without them the voxels mean nothing.
"""

from __future__ import annotations

from enum import StrEnum


class Metadata(StrEnum):
    """Which other information of the source is stored.

    DICOM data sets are kept without what tells who the patient is (PS3.15 basic profile), whole
    with ALL, not at all with NONE. NIfTI headers are kept byte for byte, free text and extensions
    included, unless NONE is asked for. Free key-value pairs of NRRD and MetaImage files, which
    scans made from DICOM fill with a patient's data, are kept with ALL only.
    """

    NONE = "none"
    DEIDENTIFIED = "deidentified"
    ALL = "all"
