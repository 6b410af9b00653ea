"""A DICOM series to a volume.

    paths ─ items ─ find, choose ─▶ Series ─ arrange ─▶ Grid
    Grid ─ decode ─▶ stored values ─ one grey scale ─▶ voxels (column, row, slice[, moment])
    data sets ─ de-identify ─▶ SourceHeader("dicom")

Voxels are stored values: before slope and intercept, MONOCHROME1 not inverted. Frames without a
place in the patient (X-ray projections) have axes (row, column[, frame]), as images have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import DeepSTDError, InputError
from deepstd.io.dicom import privacy
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.grid import Grid, arrange
from deepstd.io.dicom.header import Facts, pack
from deepstd.io.dicom.images import Image, pixels, text
from deepstd.io.dicom.items import expanded
from deepstd.io.dicom.multiframe import keep_frames
from deepstd.io.dicom.series import Found, Series, choose, find, only_refusal
from deepstd.io.metadata import Metadata
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

NAME = "dicom"
_COMMON_SCALE_LEVELS = (1 << 16) - 1
# What describes the pixels that are not kept, signs them, or shows them small.
_DROPPED = (
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "DataSetTrailingPadding",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "IconImageSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "PixelDataProviderURL",
)


def read(
    paths: Sequence[Path],
    series: str | None = None,
    metadata: Metadata = Metadata.DEIDENTIFIED,
) -> Volume:
    """Read one series.

    Args:
        paths: files, folders or zip archives that hold it.
        series: id of the series, where they hold several.
        metadata: what is kept of the data sets besides geometry and grey scale.

    Raises:
        InputError: no series, several, or one with missing, double or damaged slices.
        UnsupportedFormatError: colour, or not an image.
        MissingExtraError: pydicom or a decoder is not installed.
    """
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    with expanded(paths) as items:
        return _one_of(find(items), series, metadata, where)


def _one_of(found: Found, series: str | None, metadata: Metadata, where: str) -> Volume:
    refusal = only_refusal(found)
    if refusal is not None:
        raise refusal
    chosen = choose(found, series, where)
    damaged = chosen.damaged or found.unreadable
    if damaged:
        raise next(iter(damaged.values()))
    try:
        grid = arrange(chosen.frames)
        return _volume(chosen, grid, metadata)
    except DeepSTDError as error:
        named = any(item.label in str(error) for item in chosen.items)
        raise error if named else type(error)(f"{where}: {error}") from error


def _volume(series: Series, grid: Grid, metadata: Metadata) -> Volume:
    voxels = _stored(grid)
    notes = grid.notes
    frames = [frame for place in grid.frames for frame in place]
    scales = {(frame.slope, frame.intercept) for frame in frames}
    bits = max(frame.image.bits for frame in frames)
    if len(scales) == 1:
        slope, intercept = scales.pop()
    else:
        voxels, slope, intercept = _on_one_scale(voxels, grid)
        bits = 16
        notes += (
            f"slices have {len(scales)} different rescale slopes: kept on one scale of 65536 "
            f"values, {slope:.4g} apart",
        )
    order = _order(frames)
    kept = _kept(frames, metadata)
    image = series.image
    facts = Facts(
        None if grid.affine is None else grid.affine[:3].tolist(),
        None if grid.positions is None else grid.positions.tolist(),
        None if grid.affine is not None or not frames[0].spacing else list(frames[0].spacing),
        slope,
        intercept,
        image.photometric,
        bits,
        image.modality,
        text(image.dataset, "SOPClassUID"),
        str(metadata),
        order,
        len(kept),
        image.frames if image.grid > 1 else None,
        grid.assumed or None,
    )
    if image.photometric == "MONOCHROME1":
        notes += ("dark is bright in these pixels (MONOCHROME1): stored as they are",)
    return Volume(voxels, grid.affine, SourceHeader(NAME, pack(facts, kept)), notes)


def _stored(grid: Grid) -> np.ndarray:
    """Stored values of all frames, decoded."""
    dtype = grid.frames[0][0].image.dtype
    has_place = grid.affine is not None
    voxels = np.empty(grid.shape, dtype, order="F")
    decoded: tuple[Image | None, np.ndarray] = (None, voxels)
    for k, place in enumerate(grid.frames):
        for t, frame in enumerate(place):
            if decoded[0] is not frame.image:
                decoded = (frame.image, pixels(frame.image))
            plane = decoded[1][frame.number]
            voxels[_at(voxels, k, t)] = plane.T if has_place else plane
    return voxels


def _at(voxels: np.ndarray, k: int, t: int) -> tuple[Any, ...]:
    """Where the plane of a slice and a moment stands; an axis that is not there has length one."""
    return (slice(None), slice(None), k, t)[: voxels.ndim]


def _on_one_scale(voxels: np.ndarray, grid: Grid) -> tuple[np.ndarray, float, float]:
    """Values on a common scale, and its slope and intercept; off by at most half a slope."""

    def real(k: int, t: int, frame: Frame) -> np.ndarray:
        return voxels[_at(voxels, k, t)] * np.float64(frame.slope) + frame.intercept

    placed = [(k, t, f) for k, place in enumerate(grid.frames) for t, f in enumerate(place)]
    ends = [(r.min(), r.max()) for r in (real(*p) for p in placed)]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    if not np.isfinite([low, high]).all():
        raise InputError("the rescaled values are not finite. The header is damaged")
    slope = float(high - low) / _COMMON_SCALE_LEVELS or 1.0
    scaled = np.empty(voxels.shape, np.uint16, order="F")
    for k, t, frame in placed:
        scaled[_at(scaled, k, t)] = np.rint((real(k, t, frame) - low) / slope)
    return scaled, slope, float(low)


def _order(frames: list[Frame]) -> list[int] | None:
    """Return the numbers of the frames in the object that is kept; None if each has its own."""
    if not frames[0].image.is_multi_frame:
        return None
    numbers = sorted(frame.number for frame in frames)
    return [numbers.index(frame.number) for frame in frames]


def _kept(frames: list[Frame], metadata: Metadata) -> list[Dataset]:
    """Data sets as they are stored, one an object, in the order of the frames; changed in place."""
    if metadata is Metadata.NONE:
        return []
    datasets = []
    for image in {id(frame.image): frame.image for frame in frames}.values():
        dataset = image.dataset
        if image.is_multi_frame:
            keep_frames(dataset, sorted(frame.number for frame in frames))
        for element in list(dataset):
            if element.keyword in _DROPPED or element.tag.element == 0:  # a group's length
                del dataset[element.tag]
        if metadata is Metadata.DEIDENTIFIED:
            privacy.deidentify(dataset)
            if "SOPInstanceUID" in dataset:
                del dataset.SOPInstanceUID
        datasets.append(dataset)
    return datasets
