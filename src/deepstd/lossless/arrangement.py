"""The order of coding: axes of a scan as slices, rows and columns, cut into slabs.

    levels (up to 4 axes) ─ order of axes ─▶ (frames · slices, rows, columns) ─▶ slabs

Slabs know nothing of each other, so that each is coded in a thread of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

Box = tuple[slice, ...]
ORDERS = tuple(itertools.permutations(range(3)))
"""Orders of the three spatial axes: slices, rows, columns."""
# A second slab doubles the speed and costs about half a per cent of the bytes of a small scan.
_TWO_FROM, _FOUR_FROM = 1 << 19, 1 << 25  # voxels
_LEAST_UNITS = 4  # of a slab: frames, slices or bands of rows
_BAND = 32  # rows
# Taps along the rows reach far. Where a long filter predicts much better than a short one, along
# an axis that a scanner has interpolated, that axis is the one across the rows.
_SHORT, _LONG = 2, 8
_SAMPLES = 1 << 15


@dataclass(frozen=True)
class Arrangement:
    """Places of all voxels in the order of coding.

    Attributes:
        shape: of the scan.
        order: index of `ORDERS`.
    """

    shape: tuple[int, ...]
    order: int

    @staticmethod
    def of(levels: np.ndarray) -> Arrangement:
        """Choose the order of the axes for levels of up to four axes.

        Slices are across the shortest axis. Thick slices differ most from each other.
        """
        space = _space(levels.shape)
        across = min(range(3), key=lambda axis: (space[axis], -axis))
        first, second = (axis for axis in range(3) if axis != across)
        frame = levels.reshape(*space, -1)[..., 0]
        middle = np.take(frame, space[across] // 2, axis=across).astype(np.float64)
        if _memory(middle.T) < _memory(middle):
            first, second = second, first
        return Arrangement(levels.shape, ORDERS.index((across, first, second)))

    @property
    def _axes(self) -> tuple[int, ...]:
        """Axes of a scan of four axes as frames, slices, rows and columns."""
        return 3, *ORDERS[self.order]

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        space = _space(self.shape)
        slices, rows, columns = (space[axis] for axis in ORDERS[self.order])
        return (self.shape[3] if len(self.shape) > 3 else 1), slices, rows, columns

    @property
    def stack(self) -> tuple[int, int, int]:
        """Slices of all frames, rows and columns."""
        frames, slices, rows, columns = self._sizes
        return frames * slices, rows, columns

    @property
    def period(self) -> int:
        """Slices of a frame; 0 where slices follow each other in one way alone."""
        frames, slices, _, _ = self._sizes
        return slices if frames > 1 and slices > 1 else 0

    def stacked(self, levels: np.ndarray) -> np.ndarray:
        """Return levels in the order of coding, contiguous: slices, rows, columns."""
        whole = levels.reshape(*_space(self.shape), -1).transpose(self._axes)
        return np.ascontiguousarray(whole).reshape(self.stack)

    def restored(self, stack: np.ndarray) -> np.ndarray:
        """Invert `stacked`."""
        whole = stack.reshape(self._sizes).transpose(np.argsort(self._axes))
        return np.ascontiguousarray(whole).reshape(self.shape)

    def places(self, box: Box) -> tuple[slice, slice, slice, slice]:
        """Return frames, slices, rows and columns of a part of the scan."""
        space = (*(slice(0, 1),) * (3 - len(box)), *box)[:3] if len(box) < 3 else box[:3]
        whole = *space, (box[3] if len(box) > 3 else slice(0, 1))
        frames, slices, rows, columns = (whole[axis] for axis in self._axes)
        return frames, slices, rows, columns

    @property
    def slices(self) -> int:
        """Slices of a frame."""
        return self._sizes[1]

    def part_restored(self, part: np.ndarray, box: Box) -> np.ndarray:
        """Return levels of a part (frames, slices, rows, columns) in the axes of the scan."""
        shape = [span.stop - span.start for span in box]
        return np.ascontiguousarray(part.transpose(np.argsort(self._axes))).reshape(shape)

    def slabs(self) -> list[tuple[slice, slice]]:
        """Return the slices and rows of each slab; the shape alone decides."""
        slices, rows, columns = self.stack
        voxels = slices * rows * columns
        wanted = 1 if voxels < _TWO_FROM else 2 if voxels < _FOUR_FROM else 4
        if slices == 1:
            return [(slice(None), slice(*part)) for part in _shares(rows, _BAND, wanted)]
        unit = self.period or 1
        return [(slice(*part), slice(None)) for part in _shares(slices, unit, wanted)]


def _shares(size: int, unit: int, wanted: int) -> list[tuple[int, int]]:
    """Cut a range into equal shares, at multiples of a unit."""
    units = size // unit
    count = max(1, min(wanted, units // _LEAST_UNITS))
    edges = [n * units // count * unit for n in range(count)] + [size]
    return list(itertools.pairwise(edges))


def _space(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return sizes of the spatial axes; a scan of fewer axes has one voxel along the first."""
    a, b, c = (1, 1, 1, *shape)[-3:] if len(shape) < 3 else shape[:3]
    return a, b, c


def _memory(plane: np.ndarray) -> float:
    """Return the error of a long filter down the columns, in that of a short one."""
    if plane.shape[0] <= _LONG or plane.shape[1] < 1:
        return 1.0
    centred = (plane - plane.mean()).T
    runs = np.lib.stride_tricks.sliding_window_view(centred, _LONG + 1, axis=1)
    runs = runs.reshape(-1, _LONG + 1)
    runs = runs[:: max(1, len(runs) // _SAMPLES)]
    products = runs.T @ runs
    short = _error(products[_LONG - _SHORT :, _LONG - _SHORT :])
    return _error(products) / short if short > 0 else 1.0


def _error(products: np.ndarray) -> float:
    """Return the squared error of the best linear prediction of the last of some values."""
    known, target = products[:-1, :-1], products[:-1, -1]
    ridge = np.eye(len(known)) * (1e-9 * np.trace(known) + 1e-9)
    return float(products[-1, -1] - target @ np.linalg.solve(known + ridge, target))
