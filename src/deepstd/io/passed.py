"""Kinds of files among scans that are no scans.

name ─ suffix ─▶ kind: "hidden files and folders", ".txt files" …
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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
_MOST_LETTERS = 8  # with the dot; longer suffixes are seldom ones


@dataclass(frozen=True)
class PassedOver:
    """A file or folder that is no scan.

    Attributes:
        name: path below the searched folder, with "/".
        kind: description that all files of a kind share.
        reason: further explanation, or empty.
        path: the file, or the archive that holds it; None where it is no ordinary file.
        member: name in the archive; None for a file.
    """

    name: str
    kind: str
    reason: str = ""
    path: Path | None = None
    member: str | None = None


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
    """Return whether an unreadable file may be DICOM, judged by its name."""
    is_dicom = PurePosixPath(name).suffix.lower() in _DICOM
    return is_dicom or kind_of(name) in (NAMELESS, OTHERS)
