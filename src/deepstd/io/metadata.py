"""Amount of a source's metadata that is kept beside the voxels.

    read(path, metadata=...) ─▶ SourceHeader ─▶ .dstd ─▶ the restored file

Geometry, stored type and value scale are always kept: without them the voxels mean nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

_DIGITS = 8  # hexadecimal, of the hash by which a key is told from another


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


@dataclass(frozen=True)
class Deidentification:
    """Options of PS3.15 that keep more of DICOM data sets than `Metadata.DEIDENTIFIED`.

    Other formats are treated as with `Metadata.DEIDENTIFIED`.

    Attributes:
        safe_private: private attributes that the standard lists as safe are kept.
        descriptions: descriptions of studies and series are kept, without names, dates and
            identifiers that the data set holds. Other names in them are not recognised.
        date_key: key by which dates and times are moved, one span for each patient; None to
            remove them.
        keep: further attributes that are kept as they are, by keyword or as "gggg,eeee".
    """

    safe_private: bool = False
    descriptions: bool = False
    date_key: bytes | None = field(default=None, repr=False)
    keep: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the settings without the key, equal for equal settings."""
        parts = [str(Metadata.DEIDENTIFIED)]
        parts += ["safe private"] * self.safe_private + ["descriptions"] * self.descriptions
        if self.date_key is not None:
            digest = hashlib.sha256(b"deepstd dates" + self.date_key).hexdigest()
            parts.append(f"dates moved by key {digest[:_DIGITS]}")
        return " + ".join([*parts, *sorted(self.keep)])


KeptMetadata = Metadata | Deidentification
"""Metadata to store: a level, or options beyond the level DEIDENTIFIED."""


def level_of(kept: KeptMetadata) -> Metadata:
    """Return the level of what is kept."""
    return kept if isinstance(kept, Metadata) else Metadata.DEIDENTIFIED
