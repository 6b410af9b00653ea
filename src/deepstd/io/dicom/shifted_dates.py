"""Dates and times of a data set, moved by one span for each patient.

key, patient ─ HMAC ─▶ span ─▶ date, its time ─ moved together ─▶ date, time

Days and times between two events of a patient stay as they were, in all series and runs with one
key. A date and its time (Study Date, Study Time) are moved as one moment. A time without a date is
moved round the clock; a date without a time by the nearest number of days.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

_DAY = 86400  # seconds
_LEAST, _MOST = 30 * _DAY, 3650 * _DAY  # of a span, in seconds; dates move to the past
_NOON = time(12)
_DATE = re.compile(r"([0-9]{4})[.-]?([0-9]{2})[.-]?([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?(\.[0-9]{1,6})?")
_DATE_TIME = re.compile(r"([0-9]{4})([0-9]{2})?([0-9]{2})?([0-9.]*)([+-][0-9]{4})?")
# Where several together tell patients apart; the first that is there counts.
_PATIENT = (
    ("PatientID", "IssuerOfPatientID"),
    ("PatientName", "PatientBirthDate"),
    ("StudyInstanceUID",),
)


def span_of(dataset: Dataset, key: bytes) -> timedelta:
    """Return the span by which all dates of the patient of a data set are moved."""
    told = ""
    for keywords in _PATIENT:
        values = [str(dataset.get(keyword) or "").strip() for keyword in keywords]
        if values[0]:
            told = "\0".join((keywords[0], *values))
            break
    drawn = int.from_bytes(hmac.new(key, told.encode(), hashlib.sha256).digest()[:8], "big")
    return -timedelta(seconds=_LEAST + drawn % (_MOST - _LEAST))


def moved(
    dataset: Dataset, span: timedelta, applies: Callable[[DataElement], bool]
) -> dict[int, str | list[str]]:
    """Return the moved values of a data set's dates and times by tag; its items are not entered.

    Values that are no dates or times are left out.

    Args:
        dataset: data set before its values are changed.
        span: difference that is added.
        applies: whether an element is to be moved.
    """
    found: dict[int, str | list[str]] = {}
    dates = {e.keyword[:-4]: e for e in dataset if e.VR == "DA" and e.keyword.endswith("Date")}
    for element in dataset:
        if element.VR not in ("DA", "DT", "TM") or not applies(element):
            continue
        values = _values(element)
        partner = dates.get(element.keyword[:-4]) if element.keyword.endswith("Time") else None
        try:
            if element.VR == "DT":
                new = [_moved_moment(value, span) for value in values]
            elif element.VR == "DA":
                clock = dataset.get(f"{element.keyword[:-4]}Time", "")
                paired = str(clock or "") if len(values) == 1 else ""
                new = [_moved_date(value, paired, span) for value in values]
            else:
                days = _values(partner) if partner is not None and len(values) == 1 else []
                day = days[0] if days else ""
                new = [_moved_time(value, day, span) for value in values]
        except (ValueError, OverflowError):  # no date, or one beyond the calendar
            continue
        if new:
            found[int(element.tag)] = new if len(new) > 1 else new[0]
    return found


def _values(element: DataElement) -> list[str]:
    if not element.value:
        return []
    several = not isinstance(element.value, str | bytes) and hasattr(element.value, "__iter__")
    return [str(v).strip() for v in (element.value if several else [element.value])]


def _moved_date(value: str, clock: str, span: timedelta) -> str:
    match = _DATE.fullmatch(value)
    if match is None:
        raise ValueError("no date")
    day = date(int(match[1]), int(match[2]), int(match[3]))
    moment = datetime.combine(day, _clock(clock)[0] if _TIME.fullmatch(clock) else _NOON)
    return f"{moment + span:%Y%m%d}".rjust(8, "0")


def _moved_time(value: str, day: str, span: timedelta) -> str:
    clock, parts, fraction = _clock(value)
    match = _DATE.fullmatch(day)
    known = date(int(match[1]), int(match[2]), int(match[3])) if match else date(2000, 1, 1)
    # A time without minutes or seconds is moved by whole ones: it means the whole hour or minute.
    moment = datetime.combine(known, clock) + span
    return moment.strftime("%H%M%S")[: 2 * parts] + fraction


def _clock(value: str) -> tuple[time, int, str]:
    """Return a time to the second, the number of its parts, and its fraction of a second."""
    match = _TIME.fullmatch(value)
    if match is None or (match[4] and not match[3]):
        raise ValueError("no time")
    numbers = [int(part) for part in match.groups()[:3] if part is not None]
    hour, minute, second = (*numbers, 0, 0)[:3]
    return time(hour, minute, min(second, 59)), len(numbers), match[4] or ""


def _moved_moment(value: str, span: timedelta) -> str:
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        raise ValueError("no date and time")
    day = date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    zone = match[5] or ""
    if not match[4]:
        letters = 4 + 2 * bool(match[2]) + 2 * bool(match[3])
        moment = datetime.combine(day, _NOON) + span
        return moment.strftime("%Y%m%d").rjust(8, "0")[:letters]
    clock, parts, fraction = _clock(match[4])
    moment = datetime.combine(day, clock) + span
    return moment.strftime("%Y%m%d%H%M%S").rjust(14, "0")[: 8 + 2 * parts] + fraction + zone
