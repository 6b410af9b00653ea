"""De-identification: removal of all that may identify the patient from a data set.

    data set ─ PS3.15 table E.1-1, at every depth ─▶ removed, emptied, replaced
             ├ private attributes, groups about patients, orders and visits ─▶ removed
             ├ text, names, dates, URLs, bytes that no table lists ─ kept_text ─▶ kept or removed
             ├ other UIDs ─▶ hashed, unless the standard defines them
             └ options ─ safe_private, descriptions, shifted_dates, named_tags ─▶ kept, changed

The table is that of the package dicom-anonymizer. Sometimes it leaves a choice between removing
and replacing. Enhanced objects then get a dummy, as they demand values more often, and others lose
the attribute. UIDs become hashes, so that references between objects survive. Text burned into the
pixels is not searched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from deepstd.errors import MissingExtraError
from deepstd.io.dicom import method
from deepstd.io.dicom.descriptions import cleaned, description_tags, identifying_words
from deepstd.io.dicom.images import INSTALL, text
from deepstd.io.dicom.kept_text import PUBLIC_SCHEMES, code_tags, kept_tags
from deepstd.io.dicom.named_tags import tags_named
from deepstd.io.dicom.safe_private import safe_tags
from deepstd.io.dicom.shifted_dates import moved, span_of
from deepstd.io.metadata import Deidentification

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

# Curves and overlays: the profile removes their data, so their descriptions are removed as well.
_DRAWN_OVER = (0x5000, 0x6000)
# Patients, orders, visits, reports, products, worklists, media, printing, signatures: no element of
# these groups describes how an image was made or is to be shown.
_NOT_OF_IMAGES = frozenset(
    {0x0010, 0x0032, 0x0038, 0x0042, 0x0044, 0x0072, 0x0074, 0x0088, 0x0100, 0x0400, 0x2000, 0x2010}
    | {0x2020, 0x2030, 0x2040, 0x2100, 0x2110, 0x2120, 0x2130, 0x2200, 0x4008, 0x4010, 0xFFFA}
)
# Retired numbers of other studies, reports and images: not text, and in no table.
_NUMBERS = frozenset({(0x0020, 0x00AA), (0x0020, 0x1070), (0x0020, 0x3402)})
_SOURCE_IMAGES = (0x0020, 0x3100, 0xFF00)  # group, elements, mask
# Only listed attributes of these representations are kept, besides code strings of the dictionary.
_TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT")
_TIMES = ("AS", "DA", "DT", "TM")
_BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "OB or OW", "US or OW", "US or SS or OW")
_LISTED_ONLY = frozenset((*_TEXT, *_TIMES, *_BYTES))
_PLACE_OF_CAMERA = 0x0016  # its times come from satellites; no option keeps them
_SOP_CLASS = 0x00080016
_UID_LETTERS = frozenset("0123456789.")
_REMOVE, _EMPTY, _REPLACE, _HASH = "remove", "empty", "replace", "hash"
_EITHER = "remove or replace"
_ACTIONS = {
    "X_TAGS": _REMOVE,
    "X_Z_TAGS": _REMOVE,
    "X_D_TAGS": _EITHER,
    "X_Z_D_TAGS": _EITHER,
    "X_Z_U_STAR_TAGS": _REMOVE,
    "Z_TAGS": _EMPTY,
    "Z_D_TAGS": _REPLACE,
    "D_TAGS": _REPLACE,
    "U_TAGS": _HASH,
}
_DUMMIES: dict[str, Any] = {
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "AS": "000Y",
    "OB": b"",
    "UN": b"",
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"), "REMOVED"),
}


@dataclass(frozen=True)
class _Rules:
    """Options as they apply to one data set.

    Attributes:
        either: what is done where the profile leaves a choice, "remove" or "replace".
        safe_private: safe private attributes are kept.
        words: words that descriptions lose; None where descriptions are removed.
        span: difference that is added to dates; None where dates are removed.
        keep: tags that are kept as they are.
    """

    either: str
    safe_private: bool
    words: frozenset[str] | None
    span: timedelta | None
    keep: frozenset[int]


def deidentify(dataset: Dataset, how: Deidentification = Deidentification()) -> None:  # noqa: B008  immutable
    """Remove the identity of the patient from a data set, in place.

    The profile is the Basic Application Level Confidentiality Profile of PS3.15 annex E.

    Args:
        dataset: data set to change.
        how: options of the profile.

    Raises:
        InputError: the options name an attribute that does not exist.
        MissingExtraError: dicom-anonymizer is not installed.
    """
    named = tags_named(how.keep)
    rules = _Rules(
        _REPLACE if "SharedFunctionalGroupsSequence" in dataset else _REMOVE,
        how.safe_private,
        identifying_words(dataset) if how.descriptions else None,
        None if how.date_key is None else span_of(dataset, how.date_key),
        frozenset(named),
    )
    names_patient = any(tag in dataset and _names_people(dataset[tag]) for tag in named)
    _clean([dataset], rules)
    method.state(dataset, how, list(named.values()), is_removed=not names_patient)


def _names_people(element: DataElement) -> bool:
    return bool(element.value) and (element.VR == "PN" or element.tag.group in _NOT_OF_IMAGES)


def hashed_uid(uid: str) -> str:
    """Return the UID that replaces a UID, always the same one."""
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=["deepstd", uid])


def _other_uid(uid: str) -> str:
    """Return the hash of a UID; a UID that the standard defines identifies nobody and stays."""
    from pydicom.uid import UID

    is_defined = UID(uid).name != uid
    return uid if is_defined else hashed_uid(uid)


def _clean(datasets: Iterable[Dataset], rules: _Rules) -> None:
    for dataset in datasets:
        is_public_code = text(dataset, "CodingSchemeDesignator") in PUBLIC_SCHEMES
        safe = safe_tags(dataset) if rules.safe_private else frozenset()
        dates = {} if rules.span is None else moved(dataset, rules.span, _is_movable)
        for element in list(dataset):
            tag = (element.tag.group, element.tag.element)
            if element.tag.is_private:
                if element.tag not in safe:
                    del dataset[element.tag]
                elif element.VR == "UI":
                    _act(dataset, element, _HASH)
                continue
            action = _action_of(tag) or _action_of_unlisted(element, tag, is_public_code)
            if element.tag in rules.keep:
                action = None
            if int(element.tag) in dates and action is not None:
                element.value = dates[int(element.tag)]
            elif action is not None:
                action = rules.either if action == _EITHER else action
                _act_or_clean(dataset, element, action, rules)
            elif element.VR == "SQ":
                _clean(element.value, rules)


def _is_movable(element: DataElement) -> bool:
    """Return True for a date or time of an examination, and not of a person or an order."""
    tag = (element.tag.group, element.tag.element)
    return not (element.tag.is_private or tag[0] == _PLACE_OF_CAMERA or _is_no_image(tag))


def _act_or_clean(dataset: Dataset, element: DataElement, action: str, rules: _Rules) -> None:
    """Clean a description that is to be kept; act on any other element."""
    if rules.words is None or element.tag not in description_tags() or not element.value:
        _act(dataset, element, action)
        return
    several = not isinstance(element.value, str)
    values = [str(v) for v in element.value] if several else [str(element.value)]
    words = rules.words
    left = [kept for value in values if (kept := cleaned(value, words))]
    if left:
        element.value = left if len(left) > 1 else left[0]
    else:
        _act(dataset, element, action)


def _action_of_unlisted(element: DataElement, tag: Tag, is_public_code: bool) -> str | None:
    """Return the action for an element that the profile does not list; None keeps it."""
    if _is_no_image(tag):
        return _REMOVE
    if element.VR == "UI":
        is_class = element.tag == _SOP_CLASS and _UID_LETTERS.issuperset(str(element.value))
        return None if is_class else _HASH
    if element.tag in code_tags():
        return None if is_public_code else _REPLACE
    if element.VR == "CS":
        return None if element.keyword else _REMOVE
    return _REMOVE if element.VR in _LISTED_ONLY and element.tag not in kept_tags() else None


def _is_no_image(tag: Tag) -> bool:
    group, elements, mask = _SOURCE_IMAGES
    is_source_image = tag[0] == group and tag[1] & mask == elements
    is_drawn_over = tag[0] & 0xFF00 in _DRAWN_OVER
    return tag[0] in _NOT_OF_IMAGES or tag in _NUMBERS or is_source_image or is_drawn_over


def _act(dataset: Dataset, element: DataElement, action: str) -> None:
    if action == _EMPTY or (action == _REPLACE and not element.value):
        element.value = [] if element.VR == "SQ" else None
    elif action == _HASH and element.VR == "UI" and element.value:
        values = [element.value] if isinstance(element.value, str) else element.value
        hashes = [_other_uid(str(value)) for value in values]
        element.value = hashes if len(hashes) > 1 else hashes[0]
    elif action == _REPLACE and element.VR in _DUMMIES:
        element.value = _DUMMIES[element.VR]
    else:
        del dataset[element.tag]


Tag = tuple[int, int]


@cache
def _table() -> tuple[dict[Tag, str], list[tuple[Tag, Tag, str]]]:
    """Return the profile's actions by tag, and by value and mask of repeating groups."""
    try:
        from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as profile
    except ImportError as error:
        raise MissingExtraError(
            f"taking a patient's identity out needs dicom-anonymizer: {INSTALL}"
        ) from error
    exact: dict[Tag, str] = {}
    masked: list[tuple[Tag, Tag, str]] = []
    for name, action in _ACTIONS.items():
        for tag in getattr(profile, name):
            if len(tag) == 2:
                exact[tag] = action
            else:
                masked.append((tag[:2], tag[2:], action))
    return exact, masked


def _action_of(tag: Tag) -> str | None:
    """Return the profile's action for an element, None where it is not listed."""
    exact, masked = _table()
    if tag in exact:
        return exact[tag]
    for value, mask, action in masked:
        if all(t & m == v & m for t, v, m in zip(tag, value, mask, strict=True)):
            return action
    return None
