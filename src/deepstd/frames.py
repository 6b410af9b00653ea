"""From a stored frame to finite grey values of 2 or 3 real axes, and back.

    stored frame ─ special values out ─ one-sample axis dropped ─▶ values (float)
    values ─ rounded, clipped ─ special values in ─▶ stored frame
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepstd.specials import Specials
from deepstd.volume import Volume


def frames_of(volume: Volume) -> list[np.ndarray]:
    """Stored frames of a scan, each with 2 or 3 axes."""
    if volume.voxels.ndim < 4:
        return [volume.voxels]
    return [volume.voxels[..., t] for t in range(volume.voxels.shape[3])]


def flat_axis(shape: Sequence[int]) -> int | None:
    """The axis to drop from a 3-D frame of one slice, so that it is coded as an image."""
    if len(shape) != 3 or 1 not in shape:
        return None
    return max(axis for axis in range(3) if shape[axis] == 1)


def stored(values: np.ndarray, dtype: np.dtype, specials: Specials | None) -> np.ndarray:
    """Values of a decoder as a frame of the stored type, special values put back.

    Args:
        values: float64, of the frame's shape.
        dtype: stored type; its byte order is kept.
        specials: what was taken out, or None.
    """
    if dtype.kind == "b":
        frame = values > 0.5
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # The largest 64-bit integers are not floats: clip to the nearest float inside.
        low, high = float(limits.min), float(limits.max)
        high = high if int(high) <= limits.max else float(np.nextafter(high, 0.0))
        frame = np.clip(np.rint(values), low, high).astype(dtype)
    else:
        limit = float(np.finfo(dtype).max)
        frame = np.clip(values, -limit, limit).astype(dtype)
    frame = frame.astype(dtype, copy=False)
    return frame if specials is None else specials.restore(frame)
