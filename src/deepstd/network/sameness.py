"""Comparison of two files: one DICOM object, whatever their transfer syntaxes, or two.

files ─ data sets ─ equal elements ─ equal pixels, decoded where one is compressed ─▶ yes or no

The standard lets a node send an object in another transfer syntax the next time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepstd.errors import DeepSTDError
from deepstd.io.dicom.images import silenced

if TYPE_CHECKING:
    from pydicom import Dataset

_PIXEL_DATA = 0x7FE00010
# Elements of the encoding alone.
_OF_ENCODING = (0xFFFCFFFC, 0x7FE00001, 0x7FE00002)


def same_object(one: Path, other: Path) -> bool:
    """Return whether two files hold the same object; False where one cannot be read."""
    from pydicom import dcmread

    try:
        with silenced():
            first, second = dcmread(one), dcmread(other)
            return _plain(first) == _plain(second) and _same_pixels(first, second)
    except (DeepSTDError, MemoryError):
        return False
    except Exception:  # pydicom and decoders raise many kinds for damaged files
        return False


def _plain(dataset: Dataset) -> Dataset:
    """Return the elements besides pixels, lengths of groups and what is of the encoding."""
    from pydicom import Dataset as NewDataset

    plain = NewDataset()
    for element in dataset:
        is_length = element.tag.element == 0
        if element.tag != _PIXEL_DATA and element.tag not in _OF_ENCODING and not is_length:
            plain.add(element)
    return plain


def _same_pixels(first: Dataset, second: Dataset) -> bool:
    if ("PixelData" in first) != ("PixelData" in second):
        return False
    if "PixelData" not in first or first.PixelData == second.PixelData:
        return True
    from pydicom.pixels.utils import pixel_array

    return np.array_equal(pixel_array(first, raw=True), pixel_array(second, raw=True))
