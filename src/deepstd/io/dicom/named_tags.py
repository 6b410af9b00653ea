"""Attributes that a user names: by keyword, or by group and element.

"StudyDate", "0008,0020", "(0008,0020)" ─ dictionary of the standard ─▶ tag
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from deepstd.errors import InputError
from deepstd.io.dicom.images import require_pydicom

_NUMBERS = re.compile(r"\(?([0-9A-Fa-f]{4}),? ?([0-9A-Fa-f]{4})\)?")
_PIXELS = 0x7FE0


def tags_named(names: Iterable[str]) -> dict[int, str]:
    """Return the keywords of named attributes, by tag.

    Raises:
        InputError: the standard's dictionary has no such attribute, or it is the pixels.
        MissingExtraError: pydicom is not installed.
    """
    require_pydicom()
    from pydicom.datadict import dictionary_has_tag, keyword_for_tag, tag_for_keyword

    found: dict[int, str] = {}
    for name in names:
        match = _NUMBERS.fullmatch(name.strip())
        tag = tag_for_keyword(name.strip()) if match is None else int(match[1] + match[2], 16)
        if tag is None or not dictionary_has_tag(tag):
            raise InputError(f"{name}: no attribute of DICOM has this name{_meant(name)}")
        if tag >> 16 == _PIXELS or tag >> 16 == 2:
            raise InputError(
                f"{name}: is stored in another form, or made anew. Name another attribute"
            )
        found[tag] = keyword_for_tag(tag)
    return found


def _meant(name: str) -> str:
    from pydicom._dicom_dict import DicomDictionary

    keywords = [entry[4] for entry in DicomDictionary.values() if entry[4]]
    close = difflib.get_close_matches(name.strip(), keywords, 1)
    if close:
        return f". Did you mean {close[0]}?"
    return ". Give a keyword such as StudyDate, or numbers such as 0008,0020 that are not private"
