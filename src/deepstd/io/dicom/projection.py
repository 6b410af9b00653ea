"""Pixel sizes of frames without a position in the patient: X-rays, planar scintigrams.

    data set ─ class ─▶ attribute that holds the pixel spacing, as GDCM (so SimpleITK) reads it

X-ray classes state spacing at the detector (Imager Pixel Spacing). Pixel Spacing, if present, has
been calibrated or corrected for magnification. GDCM reads the first alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from deepstd.io.dicom.images import number, numbers, text

if TYPE_CHECKING:
    from pydicom import Dataset

    from deepstd.io.dicom.frames import Frame

_IMAGER, _PIXEL, _SCANNED = "ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"
_PROJECTIONS = tuple(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in (
        "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1",  # CR, DX, mammography, intra-oral
        "12.1", "12.1.1", "12.2", "12.2.1", "12.3",  # angiography, fluoroscopy, biplane
    )
)  # fmt: skip
# Nuclear medicine and X-ray classes with frames, for which GDCM reads the distance.
_WITH_DISTANCE = (*_PROJECTIONS, "1.2.840.10008.5.1.4.1.1.20")


class Projection(NamedTuple):
    """Pixel size of frames without a position.

    Attributes:
        spacing: [between rows, between columns] in mm, or None.
        between: mm between frames, negative where they run backwards, or None.
        notes: sentences for users.
    """

    spacing: list[float] | None
    between: float | None
    notes: tuple[str, ...]


def spacing_keyword(sop_class: str) -> str:
    """Return the attribute that holds the pixel spacing of a class's images without a position."""
    return _IMAGER if sop_class in _PROJECTIONS else _PIXEL


def projection_of(frame: Frame) -> Projection:
    """Return pixel spacing and distance of an object's frames.

    Raises:
        InputError: a number is damaged.
    """
    dataset, sop_class = frame.image.dataset, text(frame.image.dataset, "SOPClassUID")
    stated = None if frame.spacing is None else list(frame.spacing)
    imager = _positive(dataset, _IMAGER) if sop_class in _PROJECTIONS else None
    notes: tuple[str, ...] = ()
    if imager is not None and stated not in (None, imager):
        notes = (
            f"pixels are {_told(imager)} at the detector (Imager Pixel Spacing) and "
            f"{_told(stated)} after calibration (Pixel Spacing): NIfTI, NRRD and MetaImage get the "
            "first, as SimpleITK reads it",
        )
    spacing = imager or stated or _positive(dataset, _SCANNED)
    between = number(dataset, "SpacingBetweenSlices") if sop_class in _WITH_DISTANCE else None
    return Projection(spacing, between if frame.image.frames > 1 and between else None, notes)


def _positive(dataset: Dataset, keyword: str) -> list[float] | None:
    found = numbers(dataset, keyword, 2)
    return None if found is None or min(found) <= 0 else list(found)


def _told(spacing: list[float] | None) -> str:
    rows, columns = spacing or (0.0, 0.0)
    return f"{columns:g} x {rows:g} mm"
