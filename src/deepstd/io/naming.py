"""Names of scans, from file names and DICOM descriptions.

a/scan.nii.gz ─ stem ─▶ a/scan       ../scan.nii in an archive ─ safe_member ─▶ member-….nii
series date, description ─ title_of ─▶ 20260102_T1-MPRAGE
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deepstd.io.dicom import text
from deepstd.io.formats import SUFFIXES

if TYPE_CHECKING:
    from pydicom import Dataset

_HASH_DIGITS = 12  # 48 bits
_MOST_TITLE = 60  # bytes of UTF-8


def stem(name: str) -> str:
    """Return a file name without the suffix of its scan format."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def stem_of_data(name: str) -> str | None:
    """Return the name of a voxel file without its suffix; None for other files.

    The suffixes are .raw, .zraw, .img and .rec, plain or gzipped.
    """
    short = re.sub(r"\.(z?raw|img|rec)(\.gz)?$", "", name, flags=re.IGNORECASE)
    return short if short != name else None


def title_of(dataset: Dataset) -> str:
    """Return date and description of a DICOM series as a part of a file name."""
    date, words = ("", "")
    for keyword in ("SeriesDate", "AcquisitionDate", "StudyDate"):
        date = date or text(dataset, keyword)
    for keyword in ("SeriesDescription", "ProtocolName"):
        words = words or text(dataset, keyword)
    date = date if re.fullmatch(r"[0-9]{8}", date) else ""
    words = re.sub(r"[^\w.+-]+", "-", words).strip("-.")
    kept = words.encode()[:_MOST_TITLE].decode(errors="ignore")
    return "_".join(part for part in (date, kept) if part)


def safe_member(member: str) -> str:
    """Return the name of an archive member if it is a plain path, else its hash and its suffix."""
    parts = member.split("/")
    is_plain = all(part not in ("", ".", "..") for part in parts)
    if is_plain and not re.search(r"[\\:\x00-\x1f\x7f]", member):
        return member
    digest = hashlib.sha256(member.encode(errors="surrogateescape")).hexdigest()[:_HASH_DIGITS]
    short = stem(member)
    suffix = member[len(short) :] if short != member else PurePosixPath(member).suffix
    return f"member-{digest}{re.sub(r'[^A-Za-z0-9.]', '', suffix)}"
