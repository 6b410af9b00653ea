"""Detection of special values in a scan, and their replacement in a frame.

    frames ─ common values that fill coherent regions, declared padding ─▶ backgrounds
    voxels ─ NaN, infinities, the only value, backgrounds chosen ─▶ Specials ─ fill ─▶ filled

A background is the constant value outside of a scanner's field of view, or outside of a brain or
body mask. The encoder decides later whether the mask of a background is worth its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.special_values.fill import fill_holes
from deepstd.special_values.payload import Relation, Specials

# Least share of voxels of a background: a smaller one saves next to no bytes.
_LEAST_SHARE = 0.01
_MOST_BACKGROUNDS = 2
# Random voxels, enough to find every value that at least 1 % of the voxels hold.
_SAMPLES = 1 << 20
# Most boundary faces (pairs of neighbours with one voxel in the background) per background voxel.
# Scattered voxels have up to six; backgrounds of brains, bodies and fields of view 0.02 to 0.3.
_MOST_EDGES = 1.0
# Least distance of a scanner's padding from the other values, as a share of their range; and share
# of values that may lie closer, where resampling has blurred the edge.
_LEAST_GAP, _STRAY_SHARE = 0.1, 0.005
_EXACT_IN_FLOAT32 = 1 << 24

Value = float | int


@dataclass(frozen=True)
class Background:
    """A value that fills a coherent region of a scan.

    Attributes:
        value: exact value of its voxels.
        share: share of all voxels, 0 to 1.
        declared: True where the source declares the value as padding.
    """

    value: Value
    share: float
    declared: bool = False


def backgrounds_of(
    frames: Sequence[np.ndarray], declared: Sequence[Value] = ()
) -> list[Background]:
    """Return candidates for the backgrounds of a scan: declared values, then common values.

    Args:
        frames: frames of the scan, each of 2 or 3 axes and of one type.
        declared: padding values that the source declares.
    """
    size = sum(frame.size for frame in frames)
    counts = {value: sum(_count(frame, value) for frame in frames) for value in declared}
    found = [Background(v, count / size, declared=True) for v, count in counts.items() if count]
    for value in _common(frames):
        count = sum(_count(frame, value) for frame in frames)
        if value in counts or count < _LEAST_SHARE * size:
            continue
        edges = sum(_edges(frame == value) for frame in frames)
        if edges <= _MOST_EDGES * count:
            found.append(Background(value, count / size))
    return found


def standing_apart(voxels: np.ndarray) -> tuple[Value, ...]:
    """Return the minimum or maximum of a frame where it is far from nearly all other values.

    Args:
        voxels: one frame of 2 or 3 axes.

    Returns:
        One value, or none where no extreme value is common and isolated.
    """
    ordinary = _finite(voxels)
    if ordinary.size == 0:
        return ()
    extremes = (ordinary.min().item(), ordinary.max().item())
    counts = [np.count_nonzero(ordinary == extreme) for extreme in extremes]
    count, value = max(zip(counts, extremes, strict=True), key=lambda pair: pair[0])
    if count == ordinary.size or count < _LEAST_SHARE * voxels.size:
        return ()
    others = ordinary[_random_places(ordinary.size)]
    others = others[others != value]
    if others.size == 0:
        others = ordinary[ordinary != value]
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.abs(others.astype(np.float64) - float(value))
        near, far = np.quantile(distance, [_STRAY_SHARE, 0.99])
    return (value,) if np.isfinite(far) and near >= _LEAST_GAP * far else ()


def find(voxels: np.ndarray, backgrounds: Sequence[Value] = ()) -> Specials | None:
    """Find the special voxels of a frame; return None where it has none.

    NaN and infinities are always special, as is a value that all other voxels share. The payload of
    a NaN and the sign of a zero are not kept.

    Args:
        voxels: one frame of 2 or 3 axes, of any integer, boolean or float type.
        backgrounds: further, finite special values.
    """
    labels = np.zeros_like(voxels, dtype=np.uint8)
    values: list[Value] = []

    def label(value: Value, mask: np.ndarray) -> None:
        if mask.any():
            values.append(value)
            labels[mask] = len(values)

    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        label(math.nan, np.isnan(voxels))
        label(math.inf, voxels == math.inf)
        label(-math.inf, voxels == -math.inf)
    for value in backgrounds:
        label(value, voxels == value)
    ordinary = voxels[labels == 0] if values else voxels.reshape(-1, order="A")
    only = ordinary[:1]
    if ordinary.size and (ordinary == only).all():
        label(only[0].item(), labels == 0)
        ordinary = only[:0]
    if not values:
        return None
    return Specials(tuple(values), labels, tuple(_relation(value, ordinary) for value in values))


def without(voxels: np.ndarray, found: Specials | None, left: Sequence[Value] = ()) -> np.ndarray:
    """Replace special voxels of a frame by a smooth continuation of the ordinary voxels.

    Args:
        voxels: one frame of 2 or 3 axes.
        found: its special voxels, the result of `find`.
        left: special values that are not replaced.

    Returns:
        float64 where float32 cannot hold the values, else float32, in the memory order of
        ``voxels``; finite everywhere, and zero if no voxel is ordinary.
    """
    filled = voxels.astype(_working_type(voxels), order="K")
    if found is None:
        return filled
    hole = found.mask
    if hole.all():
        filled[...] = 0
        return filled
    stays = [number for number, value in enumerate(found.values, 1) if value in left]
    hole &= ~np.isin(found.labels, stays)
    if hole.any():
        filled[hole] = 0
        # The fill loops over axis 0, which must be the slowest in memory.
        outer_first = (filled.T, hole.T) if filled.flags.f_contiguous else (filled, hole)
        fill_holes(*outer_first)
    return filled


def _relation(value: Value, ordinary: np.ndarray) -> Relation:
    """Return the relation of ordinary values to a special value that none of them equals."""
    if ordinary.size == 0 or not math.isfinite(value):
        return Relation.ANYWHERE
    if ordinary.min().item() > value:
        return Relation.ABOVE
    return Relation.BELOW if ordinary.max().item() < value else Relation.APART


def _working_type(voxels: np.ndarray) -> type[np.floating]:
    kind, size = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "f":
        return np.float64 if size == 8 else np.float32
    if size <= 2:
        return np.float32
    largest = max(abs(int(voxels.min())), abs(int(voxels.max())))
    return np.float32 if largest <= _EXACT_IN_FLOAT32 else np.float64


def _common(frames: Sequence[np.ndarray]) -> list[Value]:
    """Return the most common finite values of a random sample, the most common first."""
    most = max(_SAMPLES // len(frames), 1)
    flat = (frame.reshape(-1, order="A") for frame in frames)
    samples = _finite(np.concatenate([f[_random_places(f.size, most)] for f in flat]))
    values, counts = np.unique(samples, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_BACKGROUNDS]
    # Half of the threshold, as a sample's share deviates from the true one.
    return [values[n].item() for n in order if counts[n] >= 0.5 * _LEAST_SHARE * samples.size]


def _random_places(size: int, most: int = _SAMPLES) -> np.ndarray:
    if size <= most:
        return np.arange(size)
    return np.random.default_rng(0).integers(0, size, most)


def _finite(voxels: np.ndarray) -> np.ndarray:
    flat = voxels.reshape(-1, order="A")
    return flat[np.isfinite(flat)] if voxels.dtype.kind == "f" else flat


def _count(frame: np.ndarray, value: Value) -> int:
    return int(np.count_nonzero(frame == value))


def _edges(mask: np.ndarray) -> int:
    """Count the pairs of neighbours with exactly one voxel in a mask."""
    return sum(
        int(np.count_nonzero(planes[1:] != planes[:-1]))
        for planes in (np.moveaxis(mask, axis, 0) for axis in range(mask.ndim))
    )
