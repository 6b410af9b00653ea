"""Unit of the real-world values of stored pixels.

    data set ─ Rescale Type, Units, Dose Units ─▶ unit of a frame ─ equal in all ─▶ Facts.unit
    Facts ─▶ unit, HU where a CT image does not state another

Only the standard's defined terms name a unit; free text is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from deepstd.io.dicom import dose
from deepstd.io.dicom.classes import is_dose
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.header import HOUNSFIELD, implied_unit
from deepstd.io.dicom.images import text

if TYPE_CHECKING:
    from pydicom import Dataset

# Rescale Type (PS3.3 C.11.1.1.2); US is "unspecified".
_RESCALE_TYPES = {
    "HU": HOUNSFIELD,
    "HU_MOD": "modified HU",
    "OD": "OD/1000",
    "MGML": "mg/ml",
    "Z_EFF": "effective Z",
    "ED": "10²³ electrons/ml",
    "EDW": "relative to water",
    "PCT": "%",
}
# Units of a PET series (PS3.3 C.8.9.1.1.3); some scanners write them as the Rescale Type, too.
_PET_UNITS = {
    "CNTS": "counts",
    "CM2": "cm²",
    "CM2ML": "cm²/ml",
    "PCNT": "%",
    "CPS": "counts/s",
    "BQML": "Bq/ml",
    "MGMINML": "mg/min/ml",
    "UMOLMINML": "µmol/min/ml",
    "MLMING": "ml/min/g",
    "MLG": "ml/g",
    "1CM": "1/cm",
    "UMOLML": "µmol/ml",
    "MLMINML": "ml/min/ml",
    "MLML": "ml/ml",
    "GML": "g/ml",
    "STDDEV": "standard deviations",
}
_LOCALIZER = "LOCALIZER"


def common_unit(frames: Iterable[Frame]) -> str | None:
    """Return the unit that all frames share; None where it is not known or frames differ in it."""
    units = {_unit(frame.image.dataset, frame.number) for frame in frames}
    return units.pop() if len(units) == 1 else None


def _unit(dataset: Dataset, number: int) -> str | None:
    """Return the unit of a frame's values after its rescale slope and intercept."""
    if is_dose(text(dataset, "SOPClassUID")):
        return dose.unit_of(dataset)
    transformed = _transformation(dataset, number)
    told = text(transformed, "RescaleType").upper()
    if told:
        return _RESCALE_TYPES.get(told) or _PET_UNITS.get(told)
    units = text(dataset, "Units").upper()
    if units:
        return _PET_UNITS.get(units)
    rescaled = "RescaleSlope" in transformed or "RescaleIntercept" in transformed
    kinds: Any = dataset.get("ImageType") or []
    implied = implied_unit(text(dataset, "SOPClassUID"))
    return implied if rescaled and _LOCALIZER not in kinds else None


def _transformation(dataset: Dataset, number: int) -> Dataset:
    """Return the data set that holds a frame's rescale slope: a functional group, or the object."""
    per_frame: Any = dataset.get("PerFrameFunctionalGroupsSequence")
    shared: Any = dataset.get("SharedFunctionalGroupsSequence")
    for group in ([per_frame[number]] if per_frame else []) + ([shared[0]] if shared else []):
        items: Any = group.get("PixelValueTransformationSequence")
        if items:
            return items[0]
    return dataset
