"""Choice of the slice that pictures show, and the files that keep it for the page.

original, restored ─ mean |e| over squares of every slice ─ largest ─▶ View
restored ─ slice ─▶ pictures/DIGEST-TARGET-CODEC.npz, and of its labels .labels.npz
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepstd import io
from deepstd.evaluate.figures import unit_of
from deepstd.evaluate.rows import Row
from deepstd.volume import Volume

_SQUARES_ACROSS = 6  # along the shorter side of a slice
_SMALLEST_SQUARE = 16  # voxels


@dataclass(frozen=True)
class View:
    """A slice (i, j) of a scan and a square in it.

    Attributes:
        slice: index along the third axis.
        frame: index along the fourth axis.
        i, j: indices of the first corner of the square.
        size: side of the square in voxels; shorter axes are covered whole.
    """

    slice: int
    frame: int
    i: int
    j: int
    size: int

    def of(self, voxels: np.ndarray) -> np.ndarray:
        """Return the slice of a scan of 2 to 4 axes."""
        return voxels[(..., *(self.slice, self.frame)[: voxels.ndim - 2])]


def worst_view(original: np.ndarray, restored: np.ndarray) -> View:
    """Find the square with the largest mean absolute error, in any slice of a scan."""
    from scipy.ndimage import uniform_filter

    size = max(_SMALLEST_SQUARE, min(original.shape[:2]) // _SQUARES_ACROSS)
    size = min(size, *original.shape[:2])
    worst, found = -1.0, View(0, 0, 0, 0, size)
    for index in np.ndindex(original.shape[2:]):
        error = np.abs(original[(..., *index)].astype(np.float32) - restored[(..., *index)])
        # Squares are given by their centres; squares that exceed the slice are moved inside.
        mean = np.asarray(uniform_filter(np.nan_to_num(error), size, mode="reflect"))
        i, j = np.unravel_index(int(mean.argmax()), mean.shape)
        if mean[i, j] > worst:
            worst = float(mean[i, j])
            k, t = (*index, 0, 0)[:2]
            found = View(
                k, t, _corner(i, size, mean.shape[0]), _corner(j, size, mean.shape[1]), size
            )
    return found


def _corner(centre: np.integer, size: int, length: int) -> int:
    return min(max(int(centre) - size // 2, 0), length - size)


def keep_slice(folder: Path, row: Row, volume: Volume, restored: np.ndarray, view: View) -> None:
    """Write the slice of the original with its scale and unit, once, and the restored slice."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.zeros((0, 0)) if volume.affine is None else volume.affine
    original = original_path(folder, row)
    if not original.is_file():
        scale, unit = io.scale_of(volume.source), unit_of(volume) or ""
        part = view.of(volume.voxels)
        np.savez_compressed(original, slice=part, affine=affine, scale=scale, unit=unit)
    np.savez_compressed(restored_path(folder, row), slice=view.of(restored))


def keep_labels(
    folder: Path, row: Row, volume: Volume, before: np.ndarray, after: np.ndarray, part: int
) -> None:
    """Write a slice of the original with its labels before and after compression.

    Args:
        folder: folder of the pictures.
        row: row of the restored scan.
        volume: the original.
        before, after: label maps of original and restored scan, in the original's shape.
        part: number of the slice, counted over all axes after the first two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.zeros((0, 0)) if volume.affine is None else volume.affine
    slices = [a.reshape(*a.shape[:2], -1)[..., part] for a in (volume.voxels, before, after)]
    names = dict(zip(("scan", "before", "after"), slices, strict=True))
    np.savez_compressed(labels_path(folder, row), affine=affine, slice=part, **names)


def original_path(folder: Path, row: Row) -> Path:
    """Return the path of the original's slice."""
    return folder / f"{row.digest}-{row.target[:-1]}-original.npz"


def restored_path(folder: Path, row: Row) -> Path:
    """Return the path of a restored slice."""
    codec = re.sub(r"[^a-z0-9]+", "-", row.codec.lower())
    return folder / f"{row.digest}-{row.target[:-1]}-{codec}.npz"


def labels_path(folder: Path, row: Row) -> Path:
    """Return the path of the label maps of original and restored slice."""
    return restored_path(folder, row).with_suffix(".labels.npz")
