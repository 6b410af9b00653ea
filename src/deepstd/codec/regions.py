"""Places in a scan: the largest error, the part that the template explains worst.

map of a frame ─ maximum ─ connected, at least half as large ─▶ centre, bounding box ─▶ Region
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepstd.findings import Region
from deepstd.windows import smoothed

# Voxels of a block whose error is averaged: about the smallest lesion that matters.
_BLOCK = 4
# Smoothing of the blocks, so that a lesion between two blocks counts as one within.
_SMOOTHING = 0.7


def around_peak(values: np.ndarray) -> np.ndarray:
    """Return the connected part of a map around its maximum, down to half of that, bool."""
    allowed = np.pad(values >= 0.5 * values.max(), 1)
    reached = np.zeros_like(allowed)
    place = np.unravel_index(int(values.argmax()), values.shape)
    edge = np.array([[p + 1] for p in place])
    reached[tuple(edge)] = True
    while edge.size:  # a step outwards at a time, across faces
        steps = [
            edge + sign * np.eye(values.ndim, dtype=int)[:, [a]]
            for a in range(values.ndim)
            for sign in (-1, 1)
        ]
        around = np.unique(np.concatenate(steps, 1), axis=1)
        edge = around[:, allowed[tuple(around)] & ~reached[tuple(around)]]
        reached[tuple(edge)] = True
    return reached[(slice(1, -1),) * values.ndim]


def region_of(
    mask: np.ndarray, excess: float, affine: np.ndarray | None, frame: int | None = None
) -> Region:
    """Return centre and bounding box of the voxels of a mask.

    Args:
        mask: bool, 2 or 3 axes, not empty.
        excess: ratio that the region states.
        affine: voxel-to-world matrix, (4, 4), or None.
        frame: number of the frame; None for a scan without frames.
    """
    spans = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(tuple(a for a in range(mask.ndim) if a != axis)))
        spans.append((int(found[0]), int(found[-1]) + 1))
    return _region(spans, excess, affine, frame)


def largest_error(
    original: np.ndarray, restored: np.ndarray, affine: np.ndarray | None
) -> Region | None:
    """Return the region of the largest error, averaged over some voxels; None without error.

    Its ``excess`` is the ratio of the root mean square error to that of the scan.

    Args:
        original, restored: stored values of 2 to 4 axes; non-finite voxels do not count.
        affine: voxel-to-world matrix, (4, 4), or None.
    """
    framed = original.ndim == 4
    frames = range(original.shape[-1]) if framed else (None,)
    errors = [
        block_errors(original[..., t], restored[..., t])
        if t is not None
        else block_errors(original, restored)
        for t in frames
    ]
    mean = float(np.mean([blocks.mean() for blocks in errors]))
    if not mean > 0 or not np.isfinite(mean):
        return None
    worst = int(np.argmax([blocks.max() for blocks in errors]))
    blocks = errors[worst]
    inner = around_peak(blocks)
    spans = []
    for axis, length in enumerate(original.shape[: inner.ndim]):
        found = np.flatnonzero(inner.any(tuple(a for a in range(inner.ndim) if a != axis)))
        spans.append((int(found[0]) * _BLOCK, min(int(found[-1] + 1) * _BLOCK, length)))
    excess = float(np.sqrt(blocks[inner].mean() / mean))
    return _region(spans, excess, affine, worst if framed else None)


def block_errors(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Return the mean squared error of blocks of 4 voxels an edge, smoothed, float64.

    Args:
        original, restored: stored values of 2 or 3 axes; non-finite voxels count as exact.
    """
    rows = []
    for start in range(0, original.shape[0], _BLOCK):
        part = slice(start, start + _BLOCK)
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.square(original[part].astype(np.float64) - restored[part])
        error[~np.isfinite(error)] = 0
        error = error.mean(0)
        for axis, length in enumerate(original.shape[1:]):
            starts = np.arange(0, length, _BLOCK)
            counts = np.minimum(length - starts, _BLOCK)
            shape = [-1 if a == axis else 1 for a in range(error.ndim)]
            error = np.add.reduceat(error, starts, axis) / counts.reshape(shape)
        rows.append(error)
    return smoothed(np.stack(rows), _SMOOTHING, "edge")


def _region(
    spans: Sequence[tuple[int, int]],
    excess: float,
    affine: np.ndarray | None,
    frame: int | None,
) -> Region:
    voxel = tuple((first + stop - 1) // 2 for first, stop in spans)
    size = tuple(stop - first for first, stop in spans)
    world = None
    if affine is not None:
        place = np.zeros(3)
        place[: len(voxel)] = voxel
        x, y, z = (affine[:3, :3] @ place + affine[:3, 3]).tolist()
        world = (x, y, z)
    return Region(voxel if frame is None else (*voxel, frame), size, world, excess)
