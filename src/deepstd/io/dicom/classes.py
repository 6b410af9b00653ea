"""Classes of DICOM objects whose pixels are no measured grey values.

data set ─ SOP Class UID ─▶ segmentation, or radiotherapy dose
"""

from __future__ import annotations

_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", _LABEL_MAP)
_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"


def is_segmentation(sop_class: str) -> bool:
    """Return True for a class of segmentations with pixels (PS3.3 A.51)."""
    return sop_class in _SEGMENTATIONS


def is_label_map(sop_class: str) -> bool:
    """Return True for the class of segmentations whose pixels are numbers of segments."""
    return sop_class == _LABEL_MAP


def is_dose(sop_class: str) -> bool:
    """Return True for the class of radiotherapy doses (PS3.3 A.18.3)."""
    return sop_class == _DOSE
