"""Frames to a grid: sorted by place and moment, with the affine that fits.

    frames ─ along the normal ─▶ places k ─ at each place by moment ─▶ (k, t)
    first and last position ─▶ affine (RAS+ mm), sheared where the gantry was tilted
    distances ─▶ notes: gaps, uneven slices, tilt

Slices are sorted by *Image Position (Patient)*, never by number, and their distance is that of
their positions, never *Slice Thickness*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.errors import InputError
from deepstd.io.dicom.frames import Frame, Place, spacing_between_slices

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_PLACE_MM = 1e-3
_EVEN_WITHIN_MM = 1e-2
_WHOLE_GAP_WITHIN = 0.1
_TILT_FROM_DEGREES = 0.1
_MOST_NAMED = 6


@dataclass(frozen=True)
class Grid:
    """Frames in their places.

    Attributes:
        frames: frames[k][t].
        affine: (column, row, slice) to RAS+ mm, or None where the frames have no place.
        positions: (K, 3) LPS mm of the slices where the affine cannot say them exactly, else None.
        notes: what a user should know, in sentences.
    """

    frames: list[list[Frame]]
    affine: np.ndarray | None
    positions: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the volume: (columns, rows, slices[, moments]); (rows, columns, …) without a place."""
        image = self.frames[0][0].image
        slices, moments = len(self.frames), len(self.frames[0])
        plane = (image.columns, image.rows)
        if self.affine is None:
            return (*plane[::-1], slices) if slices > 1 else plane[::-1]
        return (*plane, slices, moments) if moments > 1 else (*plane, slices)


def arrange(frames: Sequence[Frame]) -> Grid:
    """Sort frames of equal size and orientation.

    Raises:
        InputError: several frames at some places and not at others.
    """
    frames, notes = _without_doubles(frames)
    located = [_Located(frame, frame.place) for frame in frames if frame.place is not None]
    if len(located) < len(frames):
        return Grid([[frame] for frame in frames], None, None, tuple(notes))
    normal = np.cross(*located[0].place.orientation)
    slices = _slices(located, normal)
    moments = {len(slice_) for slice_ in slices}
    if len(moments) > 1:
        raise InputError(_unequal(slices))
    slices = [sorted(slice_, key=lambda one: one.frame.moment) for slice_ in slices]
    positions = np.stack([slice_[0].place.position for slice_ in slices])
    affine, uneven, more = _affine(slices[0][0], positions, normal)
    notes += more
    if moments != {1}:
        notes.append(f"{moments.pop()} frames at each of {len(slices)} places: a fourth axis")
    grid = [[one.frame for one in slice_] for slice_ in slices]
    return Grid(grid, affine, positions if uneven else None, tuple(notes))


@dataclass(frozen=True)
class _Located:
    frame: Frame
    place: Place


def _without_doubles(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """Files that are there twice count once."""
    seen: dict[tuple[str, int], Frame] = {}
    for frame in frames:
        seen.setdefault((frame.image.instance, frame.number), frame)
    doubles = len(frames) - len(seen)
    told = [f"{doubles} frames are there twice (the same instance): each is used once"]
    return list(seen.values()), told if doubles else []


def _slices(located: list[_Located], normal: np.ndarray) -> list[list[_Located]]:
    """Frames along the normal; those at one place together."""
    slices: list[list[_Located]] = []
    last = -math.inf
    heights = [float(one.place.position @ normal) for one in located]
    for number in np.argsort(heights, kind="stable"):
        along = heights[number]
        if along - last > _SAME_PLACE_MM:
            slices.append([])
            last = along
        slices[-1].append(located[number])
    return slices


def _unequal(slices: list[list[_Located]]) -> str:
    counts = [len(slice_) for slice_ in slices]
    usual = max(set(counts), key=counts.count)
    odd = [slice_ for slice_ in slices if len(slice_) != usual]
    named = "; ".join(
        f"{len(slice_)} at {_told(slice_[0].place.position)} "
        f"({', '.join(one.frame.image.item.label for one in slice_[:3])}{' …' * (len(slice_) > 3)})"
        for slice_ in odd[:_MOST_NAMED]
    )
    more = f" and {len(odd) - _MOST_NAMED} more places" if len(odd) > _MOST_NAMED else ""
    return (
        f"{usual} slices at most positions, but {named}{more}. Some are missing or superfluous: "
        "remove what does not belong to the series, or complete it"
    )


def _told(position: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in position) + ") mm"


def _affine(
    first: _Located, positions: np.ndarray, normal: np.ndarray
) -> tuple[np.ndarray, bool, list[str]]:
    """Affine, whether positions deviate from it, and notes."""
    between_rows, between_columns = first.place.spacing
    notes: list[str] = []
    uneven = False
    if len(positions) == 1:
        stated = spacing_between_slices(first.frame.image) or first.frame.thickness
        step = normal * (abs(stated) if stated else 1.0)
    else:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        regular = positions[0] + np.arange(len(positions))[:, None] * step
        uneven = bool(np.abs(positions - regular).max() > _EVEN_WITHIN_MM)
        notes = [*_gaps(positions, normal), *_tilt(step, normal)]
    affine = np.eye(4)
    affine[:3, 0] = first.place.orientation[0] * between_columns
    affine[:3, 1] = first.place.orientation[1] * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return _LPS_TO_RAS @ affine, uneven, notes


def _gaps(positions: np.ndarray, normal: np.ndarray) -> list[str]:
    distances = np.diff(positions @ normal)
    usual = float(np.median(distances))
    odd = np.flatnonzero(np.abs(distances - usual) > _EVEN_WITHIN_MM)
    if len(odd) == 0:
        return []
    ratios = distances[odd] / usual
    missing = np.rint(ratios)
    where = ", ".join(_told(positions[k]) for k in odd[:_MOST_NAMED])
    where += f" and {len(odd) - _MOST_NAMED} more" if len(odd) > _MOST_NAMED else ""
    if (np.abs(ratios - missing) < _WHOLE_GAP_WITHIN).all() and (missing >= 2).all():
        told = f"{int((missing - 1).sum())} slices seem to be missing after {where}"
    else:
        told = (
            f"slices lie {distances.min():.4g} to {distances.max():.4g} mm apart; not "
            f"{usual:.4g} mm after {where}"
        )
    return [told + ". Positions are kept; NIfTI, NRRD and MetaImage only hold their mean distance"]


def _tilt(step: np.ndarray, normal: np.ndarray) -> list[str]:
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    degrees = math.degrees(math.acos(min(1.0, abs(cosine))))
    if degrees < _TILT_FROM_DEGREES:
        return []
    return [f"slices are tilted by {degrees:.1f} degrees (gantry): the affine is sheared"]
