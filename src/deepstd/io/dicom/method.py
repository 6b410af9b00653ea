"""Statement in a data set of how it was de-identified.

options ─▶ De-identification Method (0012,0063), in words
        └▶ its Code Sequence (0012,0064), by codes of PS3.16 CID 7050
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepstd.io.metadata import Deidentification

if TYPE_CHECKING:
    from pydicom import Dataset

METHOD = "DICOM PS3.15 basic profile, 2026c"
_PROFILE = ("113100", "Basic Application Confidentiality Profile")
_DESCRIPTORS = ("113105", "Clean Descriptors Option")
_DATES = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
_SAFE_PRIVATE = ("113111", "Retain Safe Private Option")
_MOST_LETTERS = 64  # of a value of this representation


def state(
    dataset: Dataset, how: Deidentification, kept: Sequence[str], *, is_removed: bool
) -> None:
    """Set the attributes that state the de-identification, in place.

    Args:
        dataset: de-identified data set.
        how: options that were used.
        kept: keywords of further attributes that were kept.
        is_removed: whether no attribute about the patient was kept.
    """
    words: list[str] = [METHOD]
    codes: list[tuple[str, str]] = [_PROFILE]
    if how.descriptions:
        words.append("descriptions kept, cleaned by known names and numbers")
        codes.append(_DESCRIPTORS)
    if how.date_key is not None:
        words.append("dates and times moved, one span for each patient")
        codes.append(_DATES)
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    if how.safe_private:
        words.append("safe private attributes kept")
        codes.append(_SAFE_PRIVATE)
    words += [f"kept: {keyword}"[:_MOST_LETTERS] for keyword in kept]
    dataset.PatientIdentityRemoved = "YES" if is_removed else "NO"
    dataset.DeidentificationMethod = words if len(words) > 1 else METHOD
    if len(codes) > 1:
        _add_codes(dataset, codes)


def _add_codes(dataset: Dataset, codes: Sequence[tuple[str, str]]) -> None:
    from pydicom import Dataset as NewDataset

    before: list[Any] = list(dataset.get("DeidentificationMethodCodeSequence") or [])
    known = {item.get("CodeValue") for item in before}
    for value, meaning in codes:
        if value not in known:
            item = NewDataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
            before.append(item)
    dataset.DeidentificationMethodCodeSequence = before
