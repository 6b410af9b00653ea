"""Headers of MetaImage files, before their voxels (.mha) or in a file of their own (.mhd).

"Key = Value" lines, the last of them ElementDataFile ─▶ Header
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.itk_data import AT_THE_END, Layout, detached
from deepstd.io.itk_header import Header, damaged, next_line, numbers, whole

if TYPE_CHECKING:
    from pathlib import Path

_BEGINNING = re.compile(rb"\s*(ObjectType|NDims|Comment|ObjectSubType)\s*=")
_DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS = ("Offset", "Position", "Origin")
KEYS = frozenset(
    (
        *_MATRICES, *_ORIGINS, "ObjectType", "ObjectSubType", "NDims", "Comment", "Name", "ID",
        "ParentID", "AcquisitionDate", "Color", "CompressedData", "CompressedDataSize",
        "CompressionLevel", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB",
        "CenterOfRotation", "AnatomicalOrientation", "DistanceUnits", "ElementSpacing", "DimSize",
        "HeaderSize", "HeaderSizesPerDataFile", "Modality", "SequenceID", "ImagePosition",
        "ElementMin", "ElementMax", "ElementNumberOfChannels", "ElementSize", "ElementType",
        "ElementNBits", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset",
        "ElementDataFile",
    )
)  # fmt: skip


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a MetaImage."""
    return _BEGINNING.match(head) is not None


def parse(path: Path) -> Header:
    """Read and check the header of a MetaImage file.

    Raises:
        UnsupportedFormatError: several values per voxel, several data files, or other types.
        InputError: the header is damaged.
    """
    with open(path, "rb") as stream:
        keys = _lines(stream)
        offset = stream.tell()
    kind = keys.get("ObjectType", "Image")
    if kind != "Image":
        raise UnsupportedFormatError("a MetaIO file that is not an image. Give an image")
    axes = whole("NDims", keys.get("NDims", ""), 1, 10)
    lengths = [whole("DimSize", word, 1) for word in keys.get("DimSize", "").split()]
    if len(lengths) != axes:
        raise damaged("DimSize", f"{axes} whole numbers", keys.get("DimSize", ""))
    if keys.get("ElementNumberOfChannels", "1") != "1":
        raise UnsupportedFormatError(
            "a scan with several values per voxel (colour or vectors) is not supported: expected "
            "one grey value. Split it into one file for each"
        )
    data = keys["ElementDataFile"]
    local = data.upper() == "LOCAL"
    skip = whole("HeaderSize", keys.get("HeaderSize", "0"), 0 if local else AT_THE_END)
    encoding = _encoding(keys)
    if skip == AT_THE_END and encoding != "raw":
        raise damaged("HeaderSize", "0 or more where the voxels are not raw", "-1")
    layout = Layout(
        tuple(lengths),
        _dtype(keys),
        encoding,
        path if local else detached(path.parent, data),
        offset if local else skip,
    )
    pairs = {name: value for name, value in keys.items() if name not in KEYS}
    scale, notes = _scale(keys)
    return Header(layout, _plain(keys, lengths), pairs, scale, notes)


def _scale(keys: dict[str, str]) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Return slope and offset from stored values to intensities, and notes for users."""
    names = ("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset")
    values = zip(names, ("1", "0"), strict=True)
    slope, offset = (numbers(name, keys.get(name, default), 1)[0] for name, default in values)
    if slope == 0:
        return (1.0, 0.0), ("ElementToIntensityFunctionSlope is 0: slope and offset are not kept",)
    if (slope, offset) == (1.0, 0.0):
        return (1.0, 0.0), ()
    return (slope, offset), (
        f"ElementToIntensityFunction is {slope:g} x value + {offset:g}: kept for MetaImage and "
        "applied in other formats; SimpleITK ignores it",
    )


def _lines(stream: BinaryIO) -> dict[str, str]:
    keys: dict[str, str] = {}
    while (line := next_line(stream)) is not None:
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise InputError("a line of the header is no field. The header is damaged")
        keys[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            return keys
    raise InputError("the header names no ElementDataFile. The file is damaged or cut short")


def _dtype(keys: dict[str, str]) -> np.dtype:
    name = keys.get("ElementType", "")
    if name not in _DTYPES:
        raise UnsupportedFormatError(
            f"voxels of type {name[:40]!r} are not supported: expected integers or floats of at "
            "most 64 bits. Save it as one of them"
        )
    order = keys.get("BinaryDataByteOrderMSB", keys.get("ElementByteOrderMSB", "False"))
    return np.dtype(_DTYPES[name]).newbyteorder(">" if _is_true(order) else "<")


def _encoding(keys: dict[str, str]) -> str:
    if not _is_true(keys.get("BinaryData", "True")):
        return "ascii"
    return "deflate" if _is_true(keys.get("CompressedData", "False")) else "raw"


def _is_true(text: str) -> bool:
    return text[:1].upper() in ("T", "Y", "1")


def _plain(keys: dict[str, str], lengths: list[int]) -> str:
    """Return the text of the header for ITK: geometry only, every value checked."""
    axes = len(lengths)
    lines = ["ObjectType = Image", f"NDims = {axes}", "BinaryData = True"]
    groups = ((_MATRICES, axes * axes), (_ORIGINS, axes), (("ElementSpacing",), axes))
    for names, count in (*groups, (("ElementSize",), axes)):
        for name in names:
            if name in keys:
                values = numbers(name, keys[name], count)
                lines.append(f"{name} = {' '.join(f'{value:.17g}' for value in values)}")
                break
    units = keys.get("DistanceUnits")
    if units in ("um", "mm", "cm"):
        lines.append(f"DistanceUnits = {units}")
    lines.append(f"DimSize = {' '.join(map(str, lengths))}")
    lines += ["ElementType = MET_UCHAR", "ElementDataFile = LOCAL"]
    return "\n".join(lines) + "\n"
