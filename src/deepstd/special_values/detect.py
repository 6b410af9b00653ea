"""Which values of a scan may be kept exactly, and a frame without them.

    frames ─ common values that fill coherent regions, declared padding ─▶ backgrounds
    voxels ─ NaN, infinities, the only value, backgrounds chosen ─▶ Specials ─ fill ─▶ filled

A background is what a tool writes around a scanner's field of view, a brain or a body cut out of
its surroundings: one value, exactly. Whether its mask is worth its bytes is not decided here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.special_values.fill import fill_holes
from deepstd.special_values.payload import Relation, Specials

# A value that fewer voxels hold is a speck: its mask could spare next to nothing.
_LEAST_SHARE = 0.01
_MOST_BACKGROUNDS = 2
# Values at random places tell those that at least 1 % of the voxels hold.
_SAMPLES = 1 << 20
# Neighbouring pairs of which one voxel holds a value, for each voxel that does. Scattered voxels
# have up to six; backgrounds of brains, bodies and fields of view 0.02 to 0.3.
_MOST_EDGES = 1.0
# Padding of a scanner lies this far from nearly all other values, as a share of their range; the
# rest may be in between, where a resampling has blurred its edge.
_LEAST_GAP, _STRAY_SHARE = 0.1, 0.005
_EXACT_IN_FLOAT32 = 1 << 24

Value = float | int


@dataclass(frozen=True)
class Background:
    """A value that fills a part of a scan.

    Attributes:
        value: that its voxels hold exactly.
        share: of all voxels.
        declared: whether the source says that it is no measurement.
    """

    value: Value
    share: float
    declared: bool = False


def backgrounds_of(
    frames: Sequence[np.ndarray], declared: Sequence[Value] = ()
) -> list[Background]:
    """Return values that may be backgrounds of a scan: declared ones, then the most common.

    Args:
        frames: of the scan, each of 2 or 3 axes, of one type.
        declared: values that are no measurement, as the source has it.
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
    """Return the extreme value of a frame that keeps a distance from nearly all others, if any.

    Args:
        voxels: one frame of 2 or 3 axes.
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
    """Return the special voxels of a frame, or None where it has none.

    NaN and infinities always are special, and so is a value that all other voxels share. The
    payload of a NaN and the sign of a zero are not kept.

    Args:
        voxels: one frame of 2 or 3 axes, of any integer, boolean or float type.
        backgrounds: finite values that are special, too.
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
    """Return a frame with a smooth continuation of its ordinary voxels in place of special ones.

    Args:
        voxels: the frame, as given to `find`.
        found: its special voxels.
        left: special values that stay where they are.

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
        # Axis 0 is the outer one of the fill's loops.
        outer_first = (filled.T, hole.T) if filled.flags.f_contiguous else (filled, hole)
        fill_holes(*outer_first)
    return filled


def _relation(value: Value, ordinary: np.ndarray) -> Relation:
    """Return where ordinary voxels, none of which holds a value, lie seen from it."""
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
    """Return the finite values that most of some voxels hold, the most common first."""
    most = max(_SAMPLES // len(frames), 1)
    flat = (frame.reshape(-1, order="A") for frame in frames)
    samples = _finite(np.concatenate([f[_random_places(f.size, most)] for f in flat]))
    values, counts = np.unique(samples, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_BACKGROUNDS]
    # Half of what is asked for: a sample is only a sample.
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
    """Return how many pairs of neighbours have one voxel in a mask."""
    return sum(
        int(np.count_nonzero(planes[1:] != planes[:-1]))
        for planes in (np.moveaxis(mask, axis, 0) for axis in range(mask.ndim))
    )
