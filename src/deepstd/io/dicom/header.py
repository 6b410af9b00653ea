"""Kept header of a DICOM series.

    raw = facts as JSON (length 4, bytes) · data sets (tables.py)

The facts are needed by every reader and take no pydicom: affine, grey scale, order of the frames
in the files. A DICOM writer needs the data sets besides.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError
from deepstd.io.cropping import moved
from deepstd.io.dicom import layout as layouts
from deepstd.io.dicom.classes import is_dose
from deepstd.io.dicom.layout import Layout
from deepstd.io.dicom.scales import FrameScale, columns, scales_of
from deepstd.io.metadata import Metadata
from deepstd.volume import SourceHeader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

HOUNSFIELD = "HU"
_LENGTH = struct.Struct("<I")
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error)
# CT, enhanced CT and legacy converted enhanced CT images are in HU unless they say otherwise.
_CT_IMAGES = tuple(f"1.2.840.10008.5.1.4.1.1.2{end}" for end in ("", ".1", ".2"))
_MOST_UNIT = 32  # characters


@dataclass(frozen=True)
class Facts:
    """Facts of a series that are always kept.

    Attributes:
        affine: rows 0 to 2 of the voxel-to-world matrix, RAS+ mm, or None.
        positions: positions of the slices in LPS mm, where the affine does not state them exactly,
            else None.
        spacing: (between rows, between columns) in mm of a frame without a position, or None.
        slope, intercept: from voxels to real-world values.
        photometric: MONOCHROME1 or MONOCHROME2.
        bits: bits that carry a value.
        modality, sop_class: modality and class of the source.
        metadata: amount of metadata that was kept, a value of `Metadata`.
        order: where the frames come from one object, their numbers in it in the order of the
            volume, slice by slice; None where each has an object of its own.
        sets: number of data sets kept.
        tiles: number of slices for each data set, where objects are mosaics; None for one.
        assumed: true where a part of the affine is assumed, as the source does not state it.
        stored: scale of each frame in the source, in the order of the volume, where frames differ
            in it; None where all are stored as the voxels are.
        between: mm between frames without a position, negative where they run backwards, or None.
        unit: unit of the real-world values where the class of the source does not imply it: "" for
            an unknown one; None for the one that the class implies.
        lossy: true where an image of the source had been compressed lossily, else None.
        layout: places of a segmentation's frames in the volume; None for any other scan.
    """

    affine: list[list[float]] | None
    positions: list[list[float]] | None
    spacing: list[float] | None
    slope: float
    intercept: float
    photometric: str
    bits: int
    modality: str
    sop_class: str
    metadata: str
    order: list[int] | None
    sets: int
    tiles: int | None = None
    assumed: bool | None = None
    stored: list[FrameScale] | None = None
    between: float | None = None
    unit: str | None = None
    lossy: bool | None = None
    layout: Layout | None = None

    @property
    def is_written_from_data_sets(self) -> bool:
        """True where no DICOM object can be made without the data sets of the source."""
        return self.order is not None or self.layout is not None or is_dose(self.sop_class)

    @property
    def spacing_without_place(self) -> tuple[float, float, float] | None:
        """Distance between rows, columns and frames without a position in mm; None if unknown."""
        if self.spacing is None and self.between is None:
            return None
        rows, columns = self.spacing or (1.0, 1.0)
        return rows, columns, self.between or 1.0

    @property
    def matrix(self) -> np.ndarray | None:
        """Voxel-to-world matrix, 4x4, RAS+ mm, or None."""
        if self.affine is None:
            return None
        return np.vstack([np.asarray(self.affine, dtype=np.float64), [0.0, 0.0, 0.0, 1.0]])


def pack(facts: Facts, datasets: Sequence[Dataset]) -> bytes:
    """Return the raw header of a DICOM source."""
    told = {f.name: getattr(facts, f.name) for f in fields(facts)}
    told["stored"] = None if facts.stored is None else columns(facts.stored)
    told["layout"] = None if facts.layout is None else layouts.columns(facts.layout)
    told = {name: value for name, value in told.items() if value is not None}
    text = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
    if not datasets:
        return _LENGTH.pack(len(text)) + text
    from deepstd.io.dicom.tables import pack_datasets

    return _LENGTH.pack(len(text)) + text + pack_datasets(datasets)


def facts_of(raw: bytes) -> Facts:
    """Return the facts in a raw header.

    Raises:
        InputError: the header is damaged.
    """
    return _split(raw)[0]


def scale_of(source: SourceHeader) -> tuple[float, float]:
    """Return slope and intercept from stored to real-world values.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(source.raw)
    return facts.slope, facts.intercept


def unit_of(source: SourceHeader) -> str | None:
    """Return the unit of the real-world values; None where it is not known.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(source.raw)
    return implied_unit(facts.sop_class) if facts.unit is None else facts.unit or None


def implied_unit(sop_class: str) -> str | None:
    """Return the unit of rescaled values of an image class where an image states none, or None."""
    return HOUNSFIELD if sop_class in _CT_IMAGES else None


def stated_unit(unit: str | None, sop_class: str) -> str | None:
    """Return the value of `Facts.unit` for a unit; None is an unknown unit."""
    return None if unit == implied_unit(sop_class) else unit or ""


def subsampled(
    source: SourceHeader, shape: tuple[int, ...], factors: Sequence[int]
) -> SourceHeader:
    """Return the header of a scan that is subsampled from its first voxel on.

    Data sets are left out, since they describe the frames of the whole scan.

    Args:
        source: header of the whole scan.
        shape: shape after subsampling.
        factors: subsampling factor of each spatial axis, an integer.

    Raises:
        InputError: the header is damaged.
    """
    moments = shape[3] if len(shape) == 4 else 1
    spans = [range(0, n * f, f) for n, f in zip(shape, (*factors, 1), strict=False)]
    return _part(source, spans, moments)


def cropped(source: SourceHeader, shape: tuple[int, ...], spans: Sequence[range]) -> SourceHeader:
    """Return the header of a part of a scan, without data sets.

    Args:
        source: header of the whole scan.
        shape: shape of the whole scan.
        spans: indices along each axis, ascending and not empty.

    Raises:
        InputError: the header is damaged.
    """
    return _part(source, spans, shape[3] if len(shape) == 4 else 1)


def _part(source: SourceHeader, spans: Sequence[range], moments: int) -> SourceHeader:
    """Return the header of a part of a scan of so many frames at each position."""
    facts = facts_of(source.raw)
    affine, positions, spacing = facts.matrix, facts.positions, facts.spacing
    steps = [span.step for span in spans[:3]]
    slices = spans[2] if len(spans) > 2 else range(1)
    times = spans[3] if len(spans) > 3 else range(moments)
    if spacing is not None:
        spacing = [v * s for v, s in zip(spacing, steps, strict=False)]
    stored = facts.stored
    if stored is not None and len(spans) > 2:
        stored = [s for n in slices for s in stored[n * moments : (n + 1) * moments][_slice(times)]]
    told = replace(
        facts,
        affine=None if affine is None else moved(affine, spans)[:3].tolist(),
        positions=None if positions is None else positions[_slice(slices)],
        spacing=spacing,
        between=facts.between and facts.between * slices.step,
        metadata=Metadata.NONE.value,
        order=None,
        sets=0,
        tiles=None,
        stored=stored,
        layout=None,
    )
    return SourceHeader(source.format, pack(told, []))


def _slice(span: range) -> slice:
    return slice(span.start, span.stop, span.step)


def on_grid(source: SourceHeader, affine: np.ndarray) -> SourceHeader:
    """Return the header of a scan with the same slices on another grid, without data sets.

    Args:
        source: header of the scan.
        affine: voxel-to-world matrix of the other grid, 4x4, RAS+ mm.

    Raises:
        InputError: the header is damaged.
    """
    told = replace(
        facts_of(source.raw),
        affine=affine[:3].tolist(),
        positions=None,
        spacing=None,
        metadata=Metadata.NONE.value,
        order=None,
        sets=0,
        tiles=None,
        layout=None,
    )
    return SourceHeader(source.format, pack(told, []))


def check(raw: bytes, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the affine of a raw header that describes a volume of this shape.

    Raises:
        InputError: the header is damaged, or describes another volume.
    """
    facts = facts_of(raw)
    planes = int(np.prod(shape[2:]))
    datasets = facts.sets * (facts.tiles or 1) or planes
    described = [datasets if facts.order is None else len(facts.order)]
    if facts.layout is not None:
        described = [facts.layout.count]
    if facts.stored is not None:
        described.append(len(facts.stored))
    for count in described:
        if count != planes:
            raise InputError(
                f"the scan has {planes} slices, its DICOM header describes {count}. Give the "
                "volume a SourceHeader('npy') to write it with a fresh header"
            )
    return facts.matrix


def datasets_of(raw: bytes) -> list[Dataset]:
    """Return the data sets in a raw header; none where they were not kept.

    Raises:
        InputError: the data sets are damaged.
    """
    facts, data = _split(raw)
    if facts.sets == 0:
        return []
    from deepstd.io.dicom.tables import unpack_datasets

    return unpack_datasets(data, facts.sets)


def _split(raw: bytes) -> tuple[Facts, bytes]:
    try:
        (count,) = _LENGTH.unpack_from(raw)
        end = _LENGTH.size + count
        if end > len(raw):
            raise ValueError("cut short")
        told: dict[str, Any] = json.loads(raw[_LENGTH.size : end])
        values: dict[str, Any] = {name: told.get(name) for name in Facts.__dataclass_fields__}
        if values["stored"] is not None:
            values["stored"] = scales_of(values["stored"])
        if values["layout"] is not None:
            values["layout"] = layouts.layout_of(values["layout"])
        facts = Facts(**values)
        _check(facts)
    except _MALFORMED as error:
        raise InputError("the kept DICOM header is damaged") from error
    return facts, raw[end:]


def _check(facts: Facts) -> None:
    """Raise a ValueError or TypeError where a fact is not as `pack` writes it."""
    shapes = ((facts.affine, (3, 4)), (facts.positions, (-1, 3)), (facts.spacing, (2,)))
    for value, shape in shapes:
        if value is not None:
            array = np.asarray(value, dtype=np.float64)
            if not np.isfinite(array).all() or array.size != array.reshape(shape).size:
                raise ValueError("not finite")
    if facts.between is not None and (not np.isfinite(facts.between) or facts.between == 0):
        raise ValueError("no distance")
    if not (np.isfinite(facts.slope) and np.isfinite(facts.intercept)) or facts.slope == 0:
        raise ValueError("no grey scale")
    if type(facts.bits) is not int or not 1 <= facts.bits <= 32:
        raise ValueError("no number of bits")
    if type(facts.sets) is not int or facts.sets < 0:
        raise ValueError("no number of data sets")
    if facts.order is not None and sorted(facts.order) != list(range(len(facts.order))):
        raise ValueError("no order of frames")
    if facts.tiles is not None and (type(facts.tiles) is not int or facts.tiles < 2):
        raise ValueError("no number of tiles")
    if facts.assumed not in (None, True) or facts.lossy not in (None, True):
        raise ValueError("neither true nor absent")
    Metadata(facts.metadata)
    unit = facts.unit or ""
    for told in (facts.photometric, facts.modality, facts.sop_class, unit):
        if not isinstance(told, str):
            raise TypeError("not text")
    if len(unit) > _MOST_UNIT or not unit.isprintable():
        raise ValueError("no unit")
