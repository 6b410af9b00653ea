"""How much of what a source file says, besides its voxels and their place, is stored.

none < deidentified (default) < all
"""

from enum import StrEnum


class Metadata(StrEnum):
    """What is kept of a source file's metadata.

    Attributes:
        NONE: geometry and grey scale only, for the smallest files.
        DEIDENTIFIED: all but what may tell who the patient is.
        ALL: everything. Such files are as confidential as their source.
    """

    NONE = "none"
    DEIDENTIFIED = "deidentified"
    ALL = "all"
