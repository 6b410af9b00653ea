"""Time of a frame, and other values by which frames at one position differ.

functional groups, data set, vectors of a nuclear medicine object ─▶ values, in order of weight
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from deepstd.errors import InputError
from deepstd.io.dicom.images import number, text

if TYPE_CHECKING:
    from pydicom import Dataset

Parts = Callable[[tuple[str, ...]], Iterable["Dataset"]]

_CLOCK = re.compile(r"([0-9]+)(\.[0-9]+)?")
# Ordinal numbers of the same meaning at each position.
_ORDINALS = (
    (("FrameContentSequence",), "TemporalPositionIndex"),
    ((), "TemporalPositionIdentifier"),
)
_MEASURED = (
    (("TemporalPositionSequence",), "TemporalPositionTimeOffset"),
    (("CardiacSynchronizationSequence",), "NominalCardiacTriggerDelayTime"),
    (("CardiacSynchronizationSequence",), "NominalPercentageOfCardiacPhase"),
    (("RespiratorySynchronizationSequence",), "NominalPercentageOfRespiratoryPhase"),
    ((), "TriggerTime"),
    ((), "FrameReferenceTime"),
    (("MRDiffusionSequence",), "DiffusionBValue"),
    ((), "DiffusionBValue"),
    (("MREchoSequence",), "EffectiveEchoTime"),
    ((), "EchoTime"),
    ((), "InversionTime"),
    ((), "AcquisitionNumber"),
)
# Digits of a complete value; a less precise value ends sooner.
_TIMES = (
    (("FrameContentSequence",), "FrameAcquisitionDateTime", 14),
    ((), "AcquisitionDateTime", 14),
    ((), "AcquisitionTime", 6),
)
# Indices that a nuclear medicine object has for each frame (PS3.3 C.8.4.8).
_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "RotationVector",
    "AngularViewVector",
    "TimeSliceVector",
)
ORDINALS = len(_ORDINALS)


def moment_of(dataset: Dataset, index: int, parts: Parts) -> tuple[float, ...]:
    """Return the values that sort the frames at one position, in order of weight.

    The first `ORDINALS` numbers mean the same at each position, the last is *Instance Number*. A
    value that is absent, or no number, is minus infinity: no frame has to state all of them.

    Args:
        dataset: data set of the object.
        index: index of the frame in the object.
        parts: returns the data sets that may hold a value of the given functional groups.
    """
    moment = [_number(parts(groups), keyword) for groups, keyword in _ORDINALS + _MEASURED]
    moment += [_clock(parts(groups), keyword, digits) for groups, keyword, digits in _TIMES]
    moment += [_of_vector(dataset, keyword, index) for keyword in _VECTORS]
    return (*moment, _number(parts(()), "InstanceNumber"))


def _number(parts: Iterable[Dataset], keyword: str) -> float:
    for part in parts:
        try:
            found = number(part, keyword)
        except InputError:
            continue
        if found is not None:
            return found
    return -math.inf


def _clock(parts: Iterable[Dataset], keyword: str, digits: int) -> float:
    """Return a date with time, or a time, as a number that grows with it."""
    for part in parts:
        match = _CLOCK.match(text(part, keyword).replace(":", ""))
        if match:
            return float(match[1].ljust(digits, "0") + (match[2] or ""))
    return -math.inf


def _of_vector(dataset: Dataset, keyword: str, index: int) -> float:
    values: Any = dataset.get(keyword)
    if isinstance(values, Sequence) and not isinstance(values, str) and index < len(values):
        return float(values[index])
    return -math.inf
