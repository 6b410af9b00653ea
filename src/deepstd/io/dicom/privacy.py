"""The basic profile: a data set without what may tell who the patient is.

    data set ─ PS3.15 table E.1-1, at every depth ─▶ removed, emptied, replaced
             └ private attributes, pixels of icons ─▶ removed

The table is that of the package dicom-anonymizer. Where it leaves a choice between removing and
replacing, enhanced objects, which demand a value more often, get a dummy, and others lose the
attribute. UIDs become hashes, so that what belonged together still
does. Text burned into the pixels is not looked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from deepstd.errors import MissingExtraError
from deepstd.io.dicom.images import INSTALL

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

METHOD = "DICOM PS3.15 basic profile, 2026c"
# Curves and overlays: their data are removed by the profile, so what describes them is, too.
_DRAWN_OVER = (0x5000, 0x6000)
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


def deidentify(dataset: Dataset) -> None:
    """Take the identity of the patient out of a data set, in place.

    Raises:
        MissingExtraError: dicom-anonymizer is not installed.
    """
    dataset.remove_private_tags()
    for element in list(dataset):
        if element.tag.group & 0xFF00 in _DRAWN_OVER:
            del dataset[element.tag]
    either = _REPLACE if "SharedFunctionalGroupsSequence" in dataset else _REMOVE
    _clean([dataset], either)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD


def hashed_uid(uid: str) -> str:
    """Another UID, the same for the same one."""
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=["deepstd", uid])


def _clean(datasets: Iterable[Dataset], either: str) -> None:
    exact, masked = _table()
    for dataset in datasets:
        for element in list(dataset):
            tag = (element.tag.group, element.tag.element)
            action = exact.get(tag) or _action_of_group(tag, masked)
            if action is not None:
                _act(dataset, element, either if action == _EITHER else action)
            elif element.VR == "SQ":
                _clean(element.value, either)


def _act(dataset: Dataset, element: DataElement, action: str) -> None:
    if action == _EMPTY or (action == _REPLACE and not element.value):
        element.value = [] if element.VR == "SQ" else None
    elif action == _HASH and element.VR == "UI" and element.value:
        values = [element.value] if isinstance(element.value, str) else element.value
        hashes = [hashed_uid(str(value)) for value in values]
        element.value = hashes if len(hashes) > 1 else hashes[0]
    elif action == _REPLACE and element.VR in _DUMMIES:
        element.value = _DUMMIES[element.VR]
    else:
        del dataset[element.tag]


Tag = tuple[int, int]


@cache
def _table() -> tuple[dict[Tag, str], list[tuple[Tag, Tag, str]]]:
    """Actions by tag, and by value and mask of repeating groups."""
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


def _action_of_group(tag: Tag, masked: list[tuple[Tag, Tag, str]]) -> str | None:
    for value, mask, action in masked:
        if all(t & m == v & m for t, v, m in zip(tag, value, mask, strict=True)):
            return action
    return None
