"""Pixel sizes and grey scale of a TIFF file, from its tags and descriptions.

tags, ImageJ description, OME-XML ─▶ Kept (resolution, distances, grey scale), notes
"""

from __future__ import annotations

import math
from typing import Any

from deepstd.io.picture_header import MM_PER_INCH, NO_SCALE, Kept, plausible_dpi

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_NO_UNIT, _INCH, _CENTIMETRE = 1, 2, 3
_PER_INCH = {_INCH: 1.0, _CENTIMETRE: MM_PER_INCH / 10}  # length units of the resolution per inch
_UNITS = {
    "nm": 1e-6, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "\\u00b5m": 1e-3, "\u00b5m": 1e-3,
    "\u03bcm": 1e-3, "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "m": 1e3,
    "inch": MM_PER_INCH, "in": MM_PER_INCH, "\u00e5": 1e-7, "\u212b": 1e-7, "dm": 100.0,
    "km": 1e6, "ft": 12 * MM_PER_INCH,
}  # fmt: skip
_STRAIGHT_LINE = 0  # ImageJ's calibration function c0 + c1 x


def kept_of(file: Any, page: Any) -> tuple[Kept, tuple[str, ...]]:
    """Return the kept parts of a file's header, and notes for users.

    Args:
        file: an opened `tifffile.TiffFile`.
        page: first image of the file.
    """
    white = page.photometric == 0
    if file.imagej_metadata:
        return _of_imagej(file.imagej_metadata, page, white)
    if file.is_ome:
        return _of_ome(file, white)
    factor = _PER_INCH.get(page.tags.valueof(_RESOLUTION_UNIT, _INCH))
    resolution = _resolution(page)
    if factor is None or resolution is None:
        return Kept(white=white), ()
    return Kept(plausible_dpi(value * factor for value in resolution), white=white), ()


def _of_imagej(told: dict[str, Any], page: Any, white: bool) -> tuple[Kept, tuple[str, ...]]:
    unit = _UNITS.get(str(told.get("unit", "")).strip().lower())
    resolution, notes = _resolution(page), ()
    dpi = None
    if unit is not None and resolution is not None:
        dpi = plausible_dpi(value * MM_PER_INCH / unit for value in resolution)
    elif resolution is not None:
        factor = _PER_INCH.get(page.tags.valueof(_RESOLUTION_UNIT, _INCH))
        dpi = None if factor is None else plausible_dpi(value * factor for value in resolution)
    spacing = _positive(told.get("spacing"))
    distance = None if spacing is None else spacing * (1.0 if unit is None else unit)
    function = told.get("cf")
    scale = NO_SCALE
    if function == _STRAIGHT_LINE:
        slope, intercept = _finite(told.get("c1"), 1.0), _finite(told.get("c0"), 0.0)
        scale = (slope, intercept) if slope else NO_SCALE
    elif function is not None:
        notes += (f"ImageJ's calibration function {function} is not kept: stored values are",)
    if scale != NO_SCALE:
        notes += (
            f"ImageJ's calibration ({scale[0]:g} x value + {scale[1]:g}) is kept as slope and "
            "intercept",
        )
    kept = Kept(dpi, distance, _positive(told.get("finterval")), scale, white)
    return kept, notes + _sizes_told(kept, "ImageJ description")


def _of_ome(file: Any, white: bool) -> tuple[Kept, tuple[str, ...]]:
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return Kept(white=white), ()
    found = next((one for one in root.iter() if one.tag.rpartition("}")[2] == "Pixels"), None)
    told = {} if found is None else found.attrib
    sizes = []
    for axis in "XYZ":
        size = _positive(told.get(f"PhysicalSize{axis}"))
        # OME distinguishes capitals in prefixes: Mm is no mm.
        named = told.get(f"PhysicalSize{axis}Unit", "um")
        unit = _UNITS.get(named.replace("\u00c5", "\u00e5"))
        sizes.append(None if size is None or unit is None else size * unit)
    x, y, distance = sizes
    dpi = None
    if x is not None and y is not None:
        dpi = plausible_dpi((MM_PER_INCH / x, MM_PER_INCH / y))
    step = {"min": 60.0, "s": 1.0, "ms": 1e-3, "\u00b5s": 1e-6}.get(
        told.get("TimeIncrementUnit", "s")
    )
    frame = _positive(told.get("TimeIncrement"))
    kept = Kept(dpi, distance, None if frame is None or step is None else frame * step, white=white)
    return kept, _sizes_told(kept, "OME description")


def _sizes_told(kept: Kept, where: str) -> tuple[str, ...]:
    if kept.spacing is None:
        return ()
    rows, columns, slices = kept.spacing
    sizes = f"{columns:.6g} x {rows:.6g} x {slices:.6g} mm"
    return (f"voxel size from its {where}, which SimpleITK does not read: {sizes}",)


def _resolution(page: Any) -> tuple[float, float] | None:
    """Return pixels per unit along a row and down a column."""
    values = []
    for tag in (_X_RESOLUTION, _Y_RESOLUTION):
        value = page.tags.valueof(tag)
        if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
            return None
        values.append(value[0] / value[1])
    return values[0], values[1]


def _positive(value: Any) -> float | None:
    number = _finite(value, 0.0)
    return number if number > 0 else None


def _finite(value: Any, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return number if math.isfinite(number) else default
