"""Descriptions of studies and series, without what the data set itself tells of people.

names, identifiers, places, dates of a data set ─ words ─┐
description ─ without these words, long numbers, titles ─┴▶ description

This is no proof: a name that stands nowhere else in the data set is not known to be one.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

# Of the attributes that the Clean Descriptors Option names, those about images and procedures.
# Comments, histories and reports are not among them.
DESCRIPTIONS = (
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionProtocolDescription",
    "AcquisitionDeviceProcessingDescription",
    "AcquisitionFieldOfViewLabel",
    "ClinicalTrialSeriesDescription",
    "ClinicalTrialTimePointDescription",
    "ContrastBolusAgent",
    "DecompositionDescription",
    "DerivationDescription",
    "MultienergyAcquisitionDescription",
    "PerformedProcedureStepDescription",
    "PyramidDescription",
    "RequestedProcedureDescription",
    "RequestedSeriesDescription",
    "RespiratoryMotionCompensationTechniqueDescription",
    "ScheduledProcedureStepDescription",
)
_IDENTIFYING = (
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "AdmissionID",
    "ClinicalTrialSubjectID",
    "RequestingService",
)
_TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UT")
_PATIENT = 0x0010
_LEAST_LETTERS = 3  # of a word that is looked for; initials are inside other words
_INSIDE_LETTERS = 5  # from here on, it is looked for inside other words as well
_WORD = re.compile(r"[^\W_]+")
_ADDRESS = re.compile(r"\S+@\S+")
_DATE = re.compile(r"\b[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}\b")
_NUMBER = re.compile(r"[0-9]{5,}")  # identifiers, dates, telephone numbers
_TITLE = re.compile(r"\b(?:dr|prof|mr|mrs|ms|mme|herr|frau)\b\.?\s*[^\W\d_]+", re.IGNORECASE)
_GAPS = re.compile(r"\s{2,}")


def identifying_words(dataset: Dataset) -> frozenset[str]:
    """Return words and numbers of names, identifiers and places, items included."""
    words: set[str] = set()
    for element in dataset.iterall():
        is_named = element.keyword in _IDENTIFYING or element.tag.group == _PATIENT
        if element.VR == "PN" or (is_named and element.VR in _TEXT):
            found = _WORD.findall(str(element.value or ""))
            words |= {word for word in found if len(word) >= _LEAST_LETTERS}
    return frozenset(words)


def cleaned(value: str, words: frozenset[str]) -> str:
    """Return a description without identifying words, addresses, dates, titles, long numbers."""
    for pattern in (_ADDRESS, _DATE, _TITLE, _NUMBER):
        value = pattern.sub("", value)
    for word in sorted(words, key=len, reverse=True):
        inner = re.escape(word)
        pattern = inner if len(word) >= _INSIDE_LETTERS else rf"(?<![^\W_]){inner}(?![^\W_])"
        value = re.sub(pattern, "", value, flags=re.IGNORECASE)
    return _GAPS.sub(" ", value).strip(" ,;^_-")


@cache
def description_tags() -> frozenset[int]:
    """Return the tags of `DESCRIPTIONS`."""
    from pydicom.datadict import tag_for_keyword

    return frozenset(tag for tag in map(tag_for_keyword, DESCRIPTIONS) if tag is not None)
