"""Distances between slices, and notes on them for users.

positions ─ distances along the normal ─▶ gaps, uneven slices
mean step ─ angle to the normal ─▶ tilt
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.errors import InputError

EVEN_WITHIN_MM = 1e-2  # deviation from even distances that is not reported
_WHOLE_GAP_WITHIN = 0.1  # of the usual distance, for a gap of missing slices
_TILT_FROM_DEGREES = 0.1  # smaller angles are rounding errors
_MOST_NAMED = 6
# Missing slices per existing one, above which a stack is no volume with gaps.
_MOST_MISSING = 1.0
# Gaps are a pattern of the scanner if this share of the distances is odd and no slices overlap.
_OFTEN = 0.25
_OVERLAP = 0.9
_ONLY_MEAN = "Positions are kept; NIfTI, NRRD and MetaImage only hold their mean distance"


def told(position: np.ndarray) -> str:
    """Return a position as text."""
    return "(" + ", ".join(f"{x:.2f}" for x in position) + ") mm"


def notes_on_gaps(positions: np.ndarray, normal: np.ndarray, thickness: float | None) -> list[str]:
    """Return sentences about slices that are missing or unevenly spaced.

    Args:
        positions: (K, 3) LPS mm, in order along the normal, at different heights.
        normal: unit vector.
        thickness: *Slice Thickness* in mm, or None.

    Raises:
        InputError: too many slices are missing for a volume with gaps.
    """
    distances = np.diff(positions @ normal)
    usual = float(np.median(distances))
    odd = np.flatnonzero(np.abs(distances - usual) > EVEN_WITHIN_MM)
    if len(odd) == 0:
        return []
    ratios = distances[odd] / usual
    missing = np.maximum(np.rint(ratios) - 1, 0)
    where = ", ".join(told(positions[k]) for k in odd[:_MOST_NAMED])
    where += f" and {len(odd) - _MOST_NAMED} more" if len(odd) > _MOST_NAMED else ""
    is_pattern = (
        len(odd) >= _OFTEN * len(distances)
        and thickness is not None
        and distances.min() >= _OVERLAP * thickness
    )
    are_many = missing.sum() > _MOST_MISSING * len(positions)
    if are_many and not is_pattern:
        raise InputError(
            f"{len(positions)} slices, {distances.min():.4g} to {distances.max():.4g} mm apart: "
            f"{missing.sum():.0f} would be missing after {where}. They are several stacks, or a "
            "part of one: complete the series, or give the slices of one stack alone"
        )
    are_whole = (np.abs(ratios - np.rint(ratios)) < _WHOLE_GAP_WITHIN).all()
    if are_whole and (missing >= 1).all() and not are_many:
        sentence = f"{missing.sum():.0f} slices seem to be missing after {where}"
    else:
        sentence = (
            f"slices lie {distances.min():.4g} to {distances.max():.4g} mm apart; not "
            f"{usual:.4g} mm after {where}"
        )
    return [f"{sentence}. {_ONLY_MEAN}"]


def notes_on_shifts(positions: np.ndarray, normal: np.ndarray, pixel: float) -> list[str]:
    """Return a sentence about slices that do not lie on a straight line.

    Args:
        positions: (K, 3) LPS mm, in order along the normal, at different heights.
        normal: unit vector.
        pixel: pixel size in mm, a tenth of which is tolerated.
    """
    heights = positions @ normal
    span = positions[-1] - positions[0]
    along = (heights - heights[0])[:, None] / (heights[-1] - heights[0])
    shift = float(np.linalg.norm(positions - positions[0] - along * span, axis=1).max())
    if shift <= pixel / 10:
        return []
    return [
        f"slices are shifted in their plane by up to {shift:.4g} mm from a straight line. "
        "Positions are kept; NIfTI, NRRD and MetaImage only hold the line"
    ]


def notes_on_tilt(step: np.ndarray, normal: np.ndarray) -> list[str]:
    """Return a sentence about a tilted gantry.

    Args:
        step: (3,) vector from a slice to the next in mm.
        normal: unit vector.
    """
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    degrees = math.degrees(math.acos(min(1.0, abs(cosine))))
    if degrees < _TILT_FROM_DEGREES:
        return []
    return [f"slices are tilted by {degrees:.1f} degrees (gantry): the affine is sheared"]
