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
from deepstd.io.dicom.frames import Frame, spacing_between_slices

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
        InputError: several frames at some places and not at others, or an unfit position.
    """
    frames, notes = _without_doubles(frames)
    orientation = frames[0].orientation
    if orientation is None or not frames[0].has_place:
        return Grid([[frame] for frame in frames], None, None, tuple(notes))
    normal = np.cross(*orientation)
    places = _places(sorted(frames, key=lambda f: float(_position(f) @ normal)), normal)
    moments = {len(place) for place in places}
    if len(moments) > 1:
        raise InputError(_unequal(places))
    placed = [sorted(place, key=lambda f: f.moment) for place in places]
    positions = np.stack([_position(place[0]) for place in placed])
    affine, uneven, more = _affine(placed[0][0], positions, orientation, normal)
    notes += more
    if moments != {1}:
        notes.append(f"{moments.pop()} frames at each of {len(placed)} places: a fourth axis")
    return Grid(placed, affine, positions if uneven else None, tuple(notes))


def _position(frame: Frame) -> np.ndarray:
    assert frame.position is not None
    return frame.position


def _without_doubles(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """Files that are there twice count once."""
    seen: dict[tuple[str, int], Frame] = {}
    for frame in frames:
        seen.setdefault((frame.image.instance, frame.number), frame)
    doubles = len(frames) - len(seen)
    told = [f"{doubles} frames are there twice (the same instance): each is used once"]
    return list(seen.values()), told if doubles else []


def _places(frames: list[Frame], normal: np.ndarray) -> list[list[Frame]]:
    places: list[list[Frame]] = []
    last = -math.inf
    for frame in frames:
        along = float(_position(frame) @ normal)
        if along - last > _SAME_PLACE_MM:
            places.append([])
            last = along
        places[-1].append(frame)
    return places


def _unequal(places: list[list[Frame]]) -> str:
    counts = [len(place) for place in places]
    usual = max(set(counts), key=counts.count)
    odd = [place for place in places if len(place) != usual]
    named = "; ".join(
        f"{len(place)} at {_told(_position(place[0]))} "
        f"({', '.join(f.image.item.label for f in place[:3])}{' …' * (len(place) > 3)})"
        for place in odd[:_MOST_NAMED]
    )
    more = f" and {len(odd) - _MOST_NAMED} more places" if len(odd) > _MOST_NAMED else ""
    return (
        f"{usual} slices at most positions, but {named}{more}. Some are missing or superfluous: "
        "remove what does not belong to the series, or complete it"
    )


def _told(position: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in position) + ") mm"


def _affine(
    frame: Frame, positions: np.ndarray, orientation: np.ndarray, normal: np.ndarray
) -> tuple[np.ndarray, bool, list[str]]:
    """Affine, whether positions deviate from it, and notes."""
    assert frame.spacing is not None
    between_rows, between_columns = frame.spacing
    notes: list[str] = []
    uneven = False
    if len(positions) == 1:
        stated = spacing_between_slices(frame.image) or frame.thickness
        step = normal * (abs(stated) if stated else 1.0)
    else:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        regular = positions[0] + np.arange(len(positions))[:, None] * step
        uneven = bool(np.abs(positions - regular).max() > _EVEN_WITHIN_MM)
        notes = [*_gaps(positions, normal), *_tilt(step, normal)]
    affine = np.eye(4)
    affine[:3, 0] = orientation[0] * between_columns
    affine[:3, 1] = orientation[1] * between_rows
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
