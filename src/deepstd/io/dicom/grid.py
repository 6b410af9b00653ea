"""Grids of frames: sorted by position and time, with an affine that fits.

    frames ─ copies once ─ along the normal ─▶ positions k ─ at each position by time ─▶ (k, t)
    first and last position ─▶ affine (RAS+ mm), sheared where the gantry was tilted
    distances ─▶ notes: gaps, uneven slices, tilt

Slices are sorted by *Image Position (Patient)* where it is stated. Their distance follows from the
positions, never from *Slice Thickness*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom import gaps, gather, mosaic, unplaced
from deepstd.io.dicom.copies import without_copies
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.patients import check_one_patient
from deepstd.io.dicom.places import Place, spacing_between_slices

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TOLD_FROM_MM = 1e-3  # smaller differences are not reported
_MOST_NAMED = 6


@dataclass(frozen=True)
class Grid:
    """Frames on a grid.

    Attributes:
        frames: frames[k][t].
        affine: (column, row, slice) to RAS+ mm, 4x4, or None where the frames have no position.
        positions: (K, 3) LPS mm of the slices where the affine does not state them exactly, else
            None.
        notes: sentences for users.
        assumed: whether a part of the affine is assumed, as the headers do not state it.
    """

    frames: list[list[Frame]]
    affine: np.ndarray | None
    positions: np.ndarray | None
    notes: tuple[str, ...]
    assumed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume.

        (columns, rows, slices[, time points]), or (rows, columns[, frames]) without an affine.
        """
        image = self.frames[0][0].image
        slices, moments = len(self.frames), len(self.frames[0])
        plane = (image.columns, image.rows)
        if self.affine is None:
            return (*plane[::-1], slices) if slices > 1 else plane[::-1]
        return (*plane, slices, moments) if moments > 1 else (*plane, slices)


def arrange(frames: Sequence[Frame]) -> Grid:
    """Sort frames of equal size and orientation onto a grid.

    Raises:
        InputError: frames of two patients; several frames at some positions and not at others;
            slices that contradict each other, do not state their position, or for the most part are
            missing.
        MissingExtraError: comparing copies needs a decoder that is not installed.
    """
    check_one_patient(frames)
    frames, notes = without_copies(frames)
    notes += mosaic.notes_of(frames[0].image)
    assumed = False
    if any(frame.place is None for frame in frames):
        unplaced.check_all_unplaced(frames)
        if len(frames) == 1 or not all(unplaced.is_slice(frame.image) for frame in frames):
            return Grid([[frame] for frame in frames], None, None, tuple(notes))
        frames, more = unplaced.placed(frames)
        assumed, notes = True, notes + more
    located = [_Located(frame, frame.place) for frame in frames if frame.place is not None]
    slices, more = _slices(located)
    affine, uneven, of_affine = _affine(slices)
    grid = [[one.frame for one in slice_] for slice_ in slices]
    positions = np.stack([slice_[0].place.position for slice_ in slices]) if uneven else None
    return Grid(grid, affine, positions, (*notes, *of_affine, *more), assumed)


@dataclass(frozen=True)
class _Located:
    frame: Frame
    place: Place


def _slices(located: list[_Located]) -> tuple[list[list[_Located]], list[str]]:
    """Return frames along the normal, grouped by position and sorted there by time; and notes."""
    heights = np.asarray([float(one.place.position @ located[0].place.normal) for one in located])
    moments = [one.frame.moment for one in located]
    places = gather.gathered(heights, moments, located[0].frame.thickness)
    slices = [[located[n] for n in place] for place in places]
    counts = {len(place) for place in places}
    if len(counts) > 1:
        raise InputError(_unequal(slices))
    odd = gather.mixed_phases(places, moments)
    if odd is not None:
        raise InputError(
            f"other temporal positions at {_named(slices[odd])} than at other places. "
            "Slices are missing or superfluous: remove what does not belong here, or complete it"
        )
    _check_in_line(slices)
    count = counts.pop()
    if count == 1:
        return slices, []
    where = f"each of {len(slices)} places" if len(slices) > 1 else "one place"
    notes = [f"{count} frames at {where}: a fourth axis"]
    extent = gather.extent_of(places, heights)
    if extent > _TOLD_FROM_MM:
        notes.append(f"positions of these differ by up to {extent:.2g} mm: taken as one")
    return slices, notes


def _check_in_line(slices: list[list[_Located]]) -> None:
    """Raise an InputError for frames at one height that lie side by side."""
    for slice_ in slices:
        axes = slice_[0].place.orientation
        in_plane = np.stack([axes @ one.place.position for one in slice_])
        apart = float(np.linalg.norm(np.ptp(in_plane, axis=0)))
        if apart > min(slice_[0].place.spacing) / 2:
            raise InputError(
                f"slices at one height lie {apart:.4g} mm apart in their plane: "
                f"{_named(slice_)}. They are of several stacks: give the slices of one alone"
            )


def _unequal(slices: list[list[_Located]]) -> str:
    counts = [len(slice_) for slice_ in slices]
    usual = max(set(counts), key=counts.count)
    odd = [slice_ for slice_ in slices if len(slice_) != usual]
    named = "; ".join(f"{len(slice_)} at {_named(slice_)}" for slice_ in odd[:_MOST_NAMED])
    more = f" and {len(odd) - _MOST_NAMED} more places" if len(odd) > _MOST_NAMED else ""
    return (
        f"{usual} slices at most positions, but {named}{more}. Some are missing or superfluous: "
        "remove what does not belong to the series, or complete it"
    )


def _named(slice_: list[_Located]) -> str:
    """Return the position of a slice and its first files, as text."""
    files = ", ".join(one.frame.image.item.label for one in slice_[:3]) + " …" * (len(slice_) > 3)
    return f"{gaps.told(slice_[0].place.position)} ({files})"


def _affine(slices: list[list[_Located]]) -> tuple[np.ndarray, bool, list[str]]:
    """Return the affine, whether positions deviate from it, and notes."""
    first = slices[0][0]
    positions = np.stack([slice_[0].place.position for slice_ in slices])
    normal = first.place.normal
    notes: list[str] = []
    uneven = False
    if len(positions) == 1:
        stated = spacing_between_slices(first.frame.image.dataset) or first.frame.thickness
        step = normal * (abs(stated) if stated else 1.0)
    else:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        regular = positions[0] + np.arange(len(positions))[:, None] * step
        uneven = bool(np.abs(positions - regular).max() > gaps.EVEN_WITHIN_MM)
        if uneven and len(slices[0]) == 1:
            _check_one_phase([slice_[0].frame for slice_ in slices])
        notes += gaps.notes_on_gaps(positions, normal, first.frame.thickness)
        notes += gaps.notes_on_shifts(positions, normal, min(first.place.spacing))
        notes += gaps.notes_on_tilt(step, normal)
    return affine_of(first.place, step), uneven, notes


def affine_of(first: Place, step: np.ndarray) -> np.ndarray:
    """Return the affine, 4x4, (column, row, slice) to RAS+ mm, of even slices.

    Args:
        first: plane of the first slice.
        step: (3,) LPS mm from slice to slice.
    """
    between_rows, between_columns = first.spacing
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[0] * between_columns
    affine[:3, 1] = first.orientation[1] * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return _LPS_TO_RAS @ affine


def _check_one_phase(frames: list[Frame]) -> None:
    """Raise an InputError for slices of several temporal positions that lie unevenly."""
    phases = gather.phases_of([frame.moment for frame in frames])
    if 1 < phases <= len(frames) / 2:  # numbers that count slices are no temporal positions
        raise InputError(
            f"slices of {phases} temporal positions do not lie at the same places, so they are "
            "no volumes of one grid. Give the slices of one temporal position alone"
        )
