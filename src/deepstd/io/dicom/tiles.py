"""Slices of a mosaic as DICOM objects.

    planes, data sets with their private header ─▶ planes side by side, an object each
    planes, data sets without it ─▶ an object a slice, with a position of its own

Only the private header states that slices lie side by side. Without it they are stored separately.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepstd.io.dicom.mosaic import KIND, kinds_of

if TYPE_CHECKING:
    from pydicom import Dataset


def side_by_side(planes: Sequence[np.ndarray], moments: int) -> list[np.ndarray]:
    """Return a square mosaic for each time point; tiles without a slice are zero.

    Args:
        planes: (row, column) slices, ordered by slice and then by time point.
        moments: number of time points.
    """
    slices = len(planes) // moments
    grid = math.ceil(math.sqrt(slices))
    rows, columns = planes[0].shape
    mosaics = []
    for moment in range(moments):
        tiles = np.zeros((grid * grid, rows, columns), planes[moment].dtype)
        tiles[:slices] = planes[moment::moments]
        tiled = tiles.reshape(grid, grid, rows, columns).swapaxes(1, 2)
        mosaics.append(tiled.reshape(grid * rows, grid * columns))
    return mosaics


def one_a_slice(
    datasets: Sequence[Dataset], slices: int, set_place: Callable[[Dataset, int], None]
) -> list[Dataset]:
    """Return a data set for each slice of mosaics, in the order of the planes of the volume.

    Args:
        datasets: data sets of the mosaics, without private elements.
        slices: number of slices in each mosaic.
        set_place: writes the position of the plane with the given index to a data set.
    """
    moments = len(datasets)
    found = []
    for slice_ in range(slices):
        for moment, mosaic in enumerate(datasets):
            dataset = copy.deepcopy(mosaic)
            kinds = [kind for kind in kinds_of(dataset) if kind != KIND]
            if kinds:
                dataset.ImageType = kinds
            if "SliceLocation" in dataset:  # of the mosaic as a whole
                del dataset.SliceLocation
            dataset.InstanceNumber = moment * slices + slice_ + 1
            if moments > 1:
                dataset.TemporalPositionIdentifier = moment + 1
                dataset.NumberOfTemporalPositions = moments
            set_place(dataset, slice_ * moments + moment)
            found.append(dataset)
    return found
