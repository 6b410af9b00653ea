"""Files among scans that are no scans, by kind.

name ─ suffix ─▶ kind: "hidden files and folders", ".txt files" …
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

HIDDEN = "hidden files and folders"
AGAIN = "folders that a link leads to again"
SPECIAL = "pipes, sockets and devices"
NOT_GREY = "DICOM objects that are no grey images"
LINKS = "links in archives"
DOUBLES = "members of an archive whose name comes again"
NESTED = "archives in archives, which are not opened"
COMPRESSED = "files that are compressed already (.dstd)"
ARCHIVES = "archives of other kinds (unpack them first)"
NAMELESS = "files without a suffix"
OTHERS = "files of other kinds"

_DICOM = (".dcm", ".dicom", ".ima", ".img", ".acr")
_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tbz", ".tgz", ".txz", ".xz", ".zip", ".zst")
_MOST_LETTERS = 8


@dataclass(frozen=True)
class PassedOver:
    """A file or folder that is no scan.

    Attributes:
        name: where it lies below the folder that was searched, with "/".
        kind: one of a few words, the same for all that are alike.
        reason: more of it, or empty.
    """

    name: str
    kind: str
    reason: str = ""


def kind_of(name: str) -> str:
    """Return the kind of a file that has no scan's suffix and is not DICOM."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".dstd":
        return COMPRESSED
    if suffix in _ARCHIVES:
        return ARCHIVES
    if not suffix:
        return NAMELESS
    is_usual = suffix[1:].isalnum() and not suffix[1:].isdigit() and len(suffix) <= _MOST_LETTERS
    return f"{suffix} files" if is_usual else OTHERS


def may_be_dicom(name: str) -> bool:
    """Tell by its name whether a file that cannot be read may be DICOM."""
    is_dicom = PurePosixPath(name).suffix.lower() in _DICOM
    return is_dicom or kind_of(name) in (NAMELESS, OTHERS)
