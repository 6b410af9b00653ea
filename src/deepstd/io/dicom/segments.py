"""Segmentations: frames of segments to a label volume.

    frames ─ position ─▶ slices of a grid ┬ no pixel of two segments ─▶ numbers of segments
                                          └ else ─▶ a volume a segment, along a fourth axis
    no grid ─▶ frames in their order

Empty frames may be left out of an object. The slices between those that are there are then empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.io.dicom.copies import without_copies
from deepstd.io.dicom.frames import Frame, functional_groups
from deepstd.io.dicom.gaps import EVEN_WITHIN_MM
from deepstd.io.dicom.grid import affine_of
from deepstd.io.dicom.images import number, pixels, text
from deepstd.io.dicom.layout import Layout
from deepstd.io.dicom.places import Place

if TYPE_CHECKING:
    from pydicom import Dataset

_SAME_MM = 1e-2  # between positions of one slice
_SAME_DIRECTION = 1e-3  # of unit vectors
_MOST_UNEVEN = 0.1  # of the distance between slices
_USUAL_GAP = 1.5  # times the smallest; larger ones have slices between
# Planes of a volume for each frame of the object, so that a few frames make no huge volume.
_MOST_PLANES = 4


@dataclass(frozen=True)
class Segmented:
    """A segmentation as a volume.

    Attributes:
        voxels: (column, row, slice[, segment]), or (row, column[, frame]) without an affine.
        affine: (column, row, slice) to RAS+ mm, 4x4, or None.
        layout: places of the frames.
        notes: sentences for users.
        nbytes: bytes of the frames as the object stores them, without compression.
    """

    voxels: np.ndarray
    affine: np.ndarray | None
    layout: Layout
    notes: tuple[str, ...]
    nbytes: int


def segmented(frames: Sequence[Frame]) -> Segmented:
    """Return the volume of a segmentation's frames.

    Args:
        frames: all frames of the object, in its order; copies are left out.

    Raises:
        InputError: the pixels or the header are damaged, or copies differ.
    """
    frames, notes = without_copies(frames)
    image = frames[0].image
    planes = pixels(image)
    numbers = [_segment_of(frame) for frame in frames]
    bits = 1 if image.packed else 8 * image.dtype.itemsize
    nbytes = image.nbytes_of(len(frames))
    grid = _grid_of(frames)
    pairs = [] if grid is None else list(zip(grid.slices, numbers, strict=True))
    if grid is not None and len(set(pairs)) == len(pairs):
        notes += grid.notes
        affine = affine_of(grid.first, grid.step)
        if image.packed and min(numbers) > 0 and grid.count <= _MOST_PLANES * len(frames):
            merged = _merged(planes, pairs, grid.count)
            if merged is not None:
                notes.append(f"{_told(numbers)}: voxels are numbers of segments, 0 is none")
                layout = Layout(bits, grid.slices, numbers, merged=True)
                return Segmented(merged, affine, layout, tuple(notes), nbytes)
        layout = Layout(bits, grid.slices, numbers, merged=False)
        if layout.count <= _MOST_PLANES * len(frames):
            several = len(layout.parts) > 1
            if several:
                named = ", ".join(map(str, layout.parts))
                notes.append(f"{_told(numbers)}: one after the other on a fourth axis ({named})")
            return Segmented(_apart(planes, layout), affine, layout, tuple(notes), nbytes)
    notes.append("the frames of the segmentation form no grid: a stack in the order of the object")
    layout = Layout(bits, list(range(len(frames))), [0] * len(frames), merged=False)
    stack = np.asfortranarray(np.moveaxis(planes, 0, -1))
    voxels = stack if len(frames) > 1 else stack[..., 0]
    return Segmented(voxels, None, layout, tuple(notes), nbytes)


def complete(dataset: Dataset) -> None:
    """Fill in, in place, what a segmentation must state and de-identification removes.

    Names of segments are free text. The standard's term for what was segmented takes their place.
    """
    segments: Any = dataset.get("SegmentSequence") or []
    for segment in segments:
        if not segment.get("SegmentLabel"):
            codes: Any = segment.get("SegmentedPropertyTypeCodeSequence") or []
            told = text(codes[0], "CodeMeaning") if codes else ""
            segment.SegmentLabel = told or f"Segment {segment.get('SegmentNumber', '')}".rstrip()
        is_manual = text(segment, "SegmentAlgorithmType") == "MANUAL"
        if not is_manual and not segment.get("SegmentAlgorithmName"):
            segment.SegmentAlgorithmName = "REMOVED"
    if "ContentDescription" not in dataset:
        dataset.ContentDescription = None
    if not dataset.get("ContentLabel"):
        dataset.ContentLabel = "SEGMENTATION"


@dataclass(frozen=True)
class _Grid:
    """Even slices: index of the slice of each frame, number of slices, first plane, step in mm."""

    slices: list[int]
    count: int
    first: Place
    step: np.ndarray
    notes: tuple[str, ...]


def _grid_of(frames: Sequence[Frame]) -> _Grid | None:
    """Return the grid of the frames' slices, None where there is none."""
    places = [frame.place for frame in frames if frame.place is not None]
    if len(places) < len(frames) or not all(_is_parallel(place, places[0]) for place in places):
        return None
    positions = np.stack([place.position for place in places])
    heights = positions @ places[0].normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    levels = np.cumsum([0, *(gaps > _SAME_MM)])
    between = gaps[gaps > _SAME_MM]
    first = places[order[0]]
    if not between.size:
        step = first.normal * (_distance_of(frames[0]) or 1.0)
        slices = np.zeros(len(frames), np.int64)
    else:
        usual = float(np.median(between[between < _USUAL_GAP * between.min()]))
        indices = np.cumsum([0, *np.maximum(1, np.rint(between / usual)).astype(np.int64)])
        slices = np.empty(len(frames), np.int64)
        slices[order] = indices[levels]
        step = (positions[order[-1]] - positions[order[0]]) / indices[-1]
    regular = first.position + slices[:, None] * step
    uneven = float(np.linalg.norm(positions - regular, axis=1).max())
    if uneven > max(_SAME_MM, _MOST_UNEVEN * float(np.linalg.norm(step))):
        return None
    count = int(slices.max()) + 1
    notes = []
    if uneven > EVEN_WITHIN_MM:
        notes.append(f"slices deviate by up to {uneven:.2g} mm from even ones, as which they lie")
    empty = count - len(set(slices.tolist()))
    if empty:
        notes.append(f"{empty} slices without a frame are empty")
    return _Grid(slices.tolist(), count, first, step, tuple(notes))


def _is_parallel(one: Place, other: Place) -> bool:
    turned = float(np.abs(one.orientation - other.orientation).max())
    return turned <= _SAME_DIRECTION and np.allclose(one.spacing, other.spacing, rtol=1e-4)


def _distance_of(frame: Frame) -> float | None:
    """Return the distance between slices in mm that a frame states, None where there is none."""
    for group in functional_groups(frame.image.dataset, frame.number):
        measures: Any = group.get("PixelMeasuresSequence") or []
        for part in measures:
            if found := number(part, "SpacingBetweenSlices"):
                return abs(found)
    return frame.thickness


def _segment_of(frame: Frame) -> int:
    """Return the number of a frame's segment, 0 where the frame is of no single one."""
    for group in functional_groups(frame.image.dataset, frame.number):
        identified: Any = group.get("SegmentIdentificationSequence") or []
        for part in identified:
            if (found := number(part, "ReferencedSegmentNumber")) is not None:
                return int(found)
    return 0


def _merged(planes: np.ndarray, pairs: list[tuple[int, int]], count: int) -> np.ndarray | None:
    """Return numbers of segments, (column, row, slice); None where segments overlap."""
    largest = max(number for _, number in pairs)
    shape = (planes.shape[2], planes.shape[1], count)
    voxels = np.zeros(shape, np.uint8 if largest < 1 << 8 else np.uint16, order="F")
    for plane, (slice_, segment) in zip(planes, pairs, strict=True):
        target, mask = voxels[..., slice_].T, plane != 0
        if target[mask].any():
            return None
        target[mask] = segment
    return voxels


def _apart(planes: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the pixels of the frames, (column, row, slice[, segment])."""
    parts = len(layout.parts)
    slices = layout.count // parts
    shape = (planes.shape[2], planes.shape[1], slices, parts)
    voxels = np.zeros(shape, planes.dtype, order="F")
    for plane, index in zip(planes, layout.planes, strict=True):
        voxels[..., index // parts, index % parts] = plane.T
    return voxels if parts > 1 else voxels[..., 0]


def _told(numbers: Sequence[int]) -> str:
    count = len(set(numbers))
    return f"a segmentation of {count} segment{'s' * (count > 1)}"
