"""Which voxels of a frame are special, and the frame without them.

    voxels ─ NaN, infinities ─┐
           └ padding? ────────┴▶ labels ─▶ Specials
                                    └ hole ─ fill ─▶ filled

Padding is what a scanner writes outside its field of view: an extreme value far from all others,
-2000 where air is -1000. A transform codec would spend its bits on that step, a mask says where it
is in a few bytes. Air and the background of MR go over into noise, and are left alone.
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.specials.fill import fill_holes
from deepstd.specials.masks import pack_mask
from deepstd.specials.payload import Specials

_MIN_PADDING_SHARE = 0.01
# Padding lies this far from nearly all other values, as a share of their range; the rest may be
# in between, where a resampling has blurred its edge.
_MIN_GAP, _STRAY_SHARE = 0.1, 0.005
_SAMPLES = 1 << 20
# The mask may take this share of a file of that ratio, and a little more in a small scan: with a
# circle's mask of 75 bytes, CT slices in JPEG 2000 at 64:1 have 25 to 50 % less error inside it.
_MAX_MASK_SHARE, _AT_RATIO = 0.005, 64
_SPARE_BYTES, _SPARE_SHARE = 96, 1 / 1024
_EXACT_IN_FLOAT32 = 1 << 24


def split(voxels: np.ndarray) -> tuple[np.ndarray, Specials | None]:
    """Take the special voxels out of a frame.

    NaN and infinities always are special, and so is a value that all other voxels share. The
    extreme value that more voxels hold is, too, when it fills at least 1 % of the frame, keeps a
    distance from the other values, and its mask costs next to nothing. The payload of a NaN and the
    sign of a zero are not kept.

    Args:
        voxels: one frame of 2 or 3 axes, of any integer, boolean or float type.

    Returns:
        ``filled``, float64 where float32 cannot hold the values, else float32, in the memory
        order of ``voxels``; finite everywhere, and zero if no voxel is ordinary. And the specials,
        or None without any.
    """
    labels = np.zeros_like(voxels, dtype=np.uint8)
    values: list[float | int] = []
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        masks = (np.isnan(voxels), voxels == math.inf, voxels == -math.inf)
        for value, mask in zip((math.nan, math.inf, -math.inf), masks, strict=True):
            if mask.any():
                values.append(value)
                labels[mask] = len(values)
    padding = _padding(voxels, labels)
    if padding is not None:
        values.append(padding)
        labels[(voxels == padding) & (labels == 0)] = len(values)
    filled = voxels.astype(_working_type(voxels), order="K")
    if not values:
        return filled, None
    hole = labels != 0
    filled[hole] = 0
    if not hole.all():
        # Axis 0 is the outer one of the fill's loops.
        outer_first = (filled.T, hole.T) if filled.flags.f_contiguous else (filled, hole)
        fill_holes(*outer_first)
    return filled, Specials(tuple(values), labels)


def _working_type(voxels: np.ndarray) -> type[np.floating]:
    kind, size = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "f":
        return np.float64 if size == 8 else np.float32
    if size <= 2:
        return np.float32
    largest = max(abs(int(voxels.min())), abs(int(voxels.max())))
    return np.float32 if largest <= _EXACT_IN_FLOAT32 else np.float64


def _padding(voxels: np.ndarray, labels: np.ndarray) -> float | int | None:
    """The value that fills the outside of the frame, if there is one worth a mask."""
    ordinary = voxels[labels == 0] if labels.any() else voxels.reshape(-1, order="A")
    if ordinary.size == 0:
        return None
    extremes = (ordinary.min().item(), ordinary.max().item())
    counts = [np.count_nonzero(ordinary == extreme) for extreme in extremes]
    count, value = max(zip(counts, extremes, strict=True), key=lambda pair: pair[0])
    if count == ordinary.size:
        return value
    if count < _MIN_PADDING_SHARE * voxels.size:
        return None
    if not _stands_apart(ordinary, value):
        return None
    spare = min(_SPARE_BYTES, voxels.nbytes * _SPARE_SHARE)
    allowed = spare + voxels.nbytes * _MAX_MASK_SHARE / _AT_RATIO
    return value if len(pack_mask((voxels == value) & (labels == 0))) <= allowed else None


def _stands_apart(ordinary: np.ndarray, value: float | int) -> bool:
    """Whether nearly all other values keep a distance; air and MR background go over into noise."""
    picked = np.random.default_rng(0).integers(0, ordinary.size, min(_SAMPLES, ordinary.size))
    others = ordinary[picked]
    others = others[others != value]
    if others.size == 0:
        others = ordinary[ordinary != value]
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.abs(others.astype(np.float64) - float(value))
        near, far = np.quantile(distance, [_STRAY_SHARE, 0.99])
    return bool(np.isfinite(far) and near >= _MIN_GAP * far)
