"""Compact bytes of a series' data sets: common elements once, the others in columns.

    data sets ─ elements as explicit VR little endian ─┬ equal in all ─▶ common
                                                       └ others ─▶ column of one value each

    bytes = common (length 4, bytes) · columns (number 4) · per column: sets x (length 4, bytes)

Neighbours in a column are alike, so that the container's deflate compresses them well.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepstd.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

_LENGTH = struct.Struct("<I")
_MOST_SETS = 1 << 20  # bounds the work on a damaged header


def pack_datasets(datasets: Sequence[Dataset]) -> bytes:
    """Return the bytes of one or more data sets, without file meta information."""
    encoded = [_elements(dataset) for dataset in datasets]
    first = encoded[0]
    common = {t: v for t, v in first.items() if all(e.get(t) == v for e in encoded[1:])}
    others = sorted({tag for e in encoded for tag in e if tag not in common})
    parts = [_counted(b"".join(common[tag] for tag in sorted(common))), _LENGTH.pack(len(others))]
    for tag in others:
        parts += [_counted(e.get(tag, b"")) for e in encoded]
    return b"".join(parts)


def unpack_datasets(data: bytes, count: int) -> list[Dataset]:
    """Return the data sets in bytes from `pack_datasets`.

    Raises:
        InputError: the bytes are damaged.
    """
    if not 1 <= count <= _MOST_SETS:
        raise InputError("the kept DICOM data sets are damaged")
    try:
        common, position = _take(data, 0)
        (columns,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        own = [bytearray(common) for _ in range(count)]
        for _ in range(columns):
            for dataset in own:
                value, position = _take(data, position)
                dataset += value
        if position != len(data):
            raise ValueError("bytes too many")
        return [_dataset(bytes(elements)) for elements in own]
    except Exception as error:  # pydicom raises many kinds, and its messages quote values
        raise InputError("the kept DICOM data sets are damaged") from error


def _elements(dataset: Dataset) -> dict[int, bytes]:
    return {int(element.tag): _encoded(element, dataset) for element in dataset}


def _encoded(element: DataElement, dataset: Dataset) -> bytes:
    from pydicom.charset import convert_encodings
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, convert_encodings(dataset.get("SpecificCharacterSet")))
    return buffer.getvalue()


def _dataset(elements: bytes) -> Dataset:
    from pydicom.filereader import read_dataset

    dataset = read_dataset(io.BytesIO(elements), is_implicit_VR=False, is_little_endian=True)
    dataset.walk(lambda _, element: element.value)
    return dataset


def _counted(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _take(data: bytes, position: int) -> tuple[bytes, int]:
    (count,) = _LENGTH.unpack_from(data, position)
    start = position + _LENGTH.size
    if start + count > len(data):
        raise ValueError("a length beyond the end")
    return data[start : start + count], start + count
