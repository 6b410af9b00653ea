"""Decision on exact backgrounds: masks that are worth their bytes, and values to code instead.

    frames ─ candidates (special values) ─ bytes of the masks ───────┐
                 └ filled ─ magnitudes of the coefficients, with ────┴▶ kept or not,
                            and without the background ─▶ saving        filled or left

A brain or a body cut out of its surroundings has a sharp edge, which costs a wavelet more than a
mask. A noise floor that is clipped at a value has no edge, and its mask is large. The decision
compares their bytes at the target size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd import special_values
from deepstd.rate.start import StepScale, first_start
from deepstd.special_values import Background, Specials, Value
from deepstd.texture.scaling import (
    STEP_CODE_MAX,
    STEP_CODE_MIN,
    STEPS_PER_OCTAVE,
    Scaling,
)
from deepstd.texture.tiling import middle_slices
from deepstd.texture.wavelet.anisotropy import relative_sizes
from deepstd.texture.wavelet.lifting import decompose, split_plan
from deepstd.texture.wavelet.magnitudes import Magnitudes

Part = tuple[np.ndarray, Specials | None]

# Largest cost of a mask beyond the bytes that it saves: a share of the bytes of its voxels at the
# mean rate. For declared padding, the largest cost is a share of the whole file.
_WORTH, _WORTH_OF_DECLARED = 1 / 8, 1 / 2
# A file of masks alone shows nothing of the scan.
_MOST = 3 / 4
# Backgrounds that save a smaller share of the bytes are not filled. Where a background meets its
# surroundings in small steps, a context model codes it as cheaply; X-rays gain 0.05 to 0.2 dB.
_CLEAR_SAVING = 0.05
# Share of a scan above which a note reports an undeclared background that is not kept.
_NOTED_SHARE = 0.1
# Voxels and fewest slices of the middle of a frame on which the saving is estimated.
_ESTIMATED_VOXELS, _FEWEST_SLICES = 1 << 22, 16
# Clipping bound of normalised values, in ranges of the scaling.
_FARTHEST = 2.0**20


@dataclass(frozen=True)
class Parts:
    """A scan without its special voxels.

    Attributes:
        frames: finite values and special values of each frame.
        notes: notes for the user on backgrounds that are not kept.
    """

    frames: list[Part]
    notes: tuple[str, ...] = ()


def take_out(
    frames: Sequence[np.ndarray],
    allowed: int,
    spacing: Sequence[float] | None = None,
    padding: Sequence[Value] = (),
) -> Parts:
    """Separate special values from a scan: non-finite values, and backgrounds worth their masks.

    Args:
        frames: stored values of each frame, of 2 or 3 axes, of one shape and type.
        allowed: bytes of the whole file.
        spacing: voxel size along each axis in mm, or None.
        padding: padding values that the source declares.
    """
    found = [special_values.find(frame) for frame in frames]
    kept: list[Value] = []
    left: list[Value] = []
    notes: list[str] = []
    room = _MOST * allowed
    for background in special_values.backgrounds_of(frames, padding):
        trial = [special_values.find(frame, [*kept, background.value]) for frame in frames]
        nbytes = _bytes_of(trial) - _bytes_of(found)
        middle = len(frames) // 2
        before, after = (
            special_values.without(frames[middle], each[middle], left) for each in (found, trial)
        )
        saved = _saved(before, after, allowed / len(frames), spacing)
        if nbytes <= min(_worth(background, saved, allowed), room):
            kept.append(background.value)
            room -= nbytes
            found = trial
            if saved < _CLEAR_SAVING:
                left.append(background.value)
        elif background.declared or background.share >= _NOTED_SHARE:
            notes.append(
                f"the background of value {background.value:g} is not kept exactly: its mask would "
                f"take {nbytes} of {allowed} bytes"
            )
    filled = [_filled(frame, own, left) for frame, own in zip(frames, found, strict=True)]
    return Parts(list(zip(filled, found, strict=True)), tuple(notes))


def _filled(frame: np.ndarray, found: Specials | None, left: Sequence[Value]) -> np.ndarray:
    """Return a frame without its special values; short integers that have none are not copied."""
    if found is None and frame.dtype.kind in "iu" and frame.dtype.itemsize <= 2:
        return frame
    return special_values.without(frame, found, left)


def _worth(background: Background, saved: float, allowed: int) -> float:
    """Return the largest number of bytes that the mask of a background may take."""
    worth = (max(saved, 0.0) + _WORTH * background.share) * allowed
    return max(worth, _WORTH_OF_DECLARED * allowed) if background.declared else worth


def _bytes_of(found: Sequence[Specials | None]) -> int:
    """Return the bytes of the special values of all frames."""
    return sum(len(payload or b"") for payload in special_values.payloads(found))


def _saved(
    original: np.ndarray, filled: np.ndarray, allowed: float, spacing: Sequence[float] | None
) -> float:
    """Return the share of a frame's bytes that the wavelet saves once a background is filled.

    Args:
        original, filled: frame before and after the background is filled.
        allowed: bytes that the frame may take.
        spacing: voxel size along each axis in mm, or None.
    """
    allowed /= original.size
    original, filled = (
        middle_slices(values, _ESTIMATED_VOXELS, -1, _FEWEST_SLICES)
        for values in (original, filled)
    )
    if not filled.any():
        return 1.0
    plan = split_plan(filled.shape, relative_sizes(filled, spacing))
    scaling = Scaling.fit(filled)

    def magnitudes(values: np.ndarray) -> Magnitudes:
        normalised = np.clip(scaling.normalise(values), -_FARTHEST, _FARTHEST)
        return Magnitudes(decompose(normalised[None, None], plan)[1])

    with_edge, without = magnitudes(original), magnitudes(filled)
    start = first_start(
        lambda code: with_edge.significant(-code / STEPS_PER_OCTAVE),
        original.size,
        max(round(allowed * original.size), 1),
        StepScale(STEP_CODE_MIN, STEP_CODE_MAX, STEPS_PER_OCTAVE),
    )
    step = -start.step_code / STEPS_PER_OCTAVE
    return 1.0 - without.bits(step) / (with_edge.bits(step) or 1.0)
