"""Headers of NRRD files, attached (.nrrd) or in a file of their own (.nhdr).

NRRD0004 ─ "field: value" and "key:=value" lines ─ empty line or end of file ─▶ Header
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.itk_data import AT_THE_END, Layout, detached
from deepstd.io.itk_header import Header, damaged, next_line, numbers, whole
from deepstd.io.others import FILE

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"NRRD000"
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int",
           "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {
    "raw": "raw", "gz": "deflate", "gzip": "deflate", "hex": "hex",
    "txt": "ascii", "text": "ascii", "ascii": "ascii",
}  # fmt: skip
_ALIASES = {
    "datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip",
    "oldmin": "old min", "oldmax": "old max", "sampleunits": "sample units",
    "axismins": "axis mins", "axismaxs": "axis maxs", "centerings": "centers",
}  # fmt: skip
# Fields of the values' range before quantisation, and of their unit.
_OF_VALUES = ("old min", "old max", "sample units")
_UNITS = ("HU", "Bq/ml", "Bq/mL", "BQML", "g/ml", "counts", "%", "a.u.", "ms", "s", "Hz", "T")
_NUMBER = re.compile(r"[+-]?[0-9.]{1,20}(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_ONE_VALUE_A_VOXEL = ("domain", "space", "time", "none", "???")
_WORD = re.compile(r"[A-Za-z0-9-]+")
_ESCAPE = re.compile(r"\\([n\\])")
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)


def parse(path: Path) -> Header:
    """Read and check the header of an NRRD file.

    Raises:
        UnsupportedFormatError: colour or vectors, bzip2, several data files, or other types.
        InputError: the header is damaged.
    """
    with open(path, "rb") as stream:
        fields, pairs, attached = _lines(stream)
        offset = stream.tell()
    axes = whole("dimension", fields.get("dimension", ""), 1, 16)
    lengths = [whole("sizes", word, 1) for word in fields.get("sizes", "").split()]
    if len(lengths) != axes:
        raise damaged("sizes", f"{axes} whole numbers", fields.get("sizes", ""))
    _check_kinds(fields.get("kinds"), axes)
    data = fields.get("data file")
    if data is None and not attached:
        raise InputError("the file ends in the header. It is cut short")
    layout = Layout(
        tuple(lengths),
        _dtype(fields),
        _encoding(fields),
        path if data is None else detached(path.parent, data),
        _offset(fields, 0 if data is not None else offset),
        whole("line skip", fields.get("line skip", "0")),
        max(whole("byte skip", fields.get("byte skip", "0"), AT_THE_END), 0),
    )
    return Header(layout, _plain(fields, lengths), pairs, notes=_notes(fields))


def _lines(stream: BinaryIO) -> tuple[dict[str, str], dict[str, str], bool]:
    """Return fields, key-value pairs, and whether an empty line ended them."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    next_line(stream)
    while (line := next_line(stream)) is not None:
        if not line:
            return fields, pairs, True
        if line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise InputError("a line of the header is no field. The header is damaged")
        if value.startswith("="):
            pairs[name] = _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else "\\", value[1:])
        else:
            name = name.strip().lower()
            fields[_ALIASES.get(name, name)] = value.strip()
            if name in ("data file", "datafile") and value.strip().upper().startswith("LIST"):
                break
    return fields, pairs, False


def _notes(fields: dict[str, str]) -> tuple[str, ...]:
    """Return a note on fields of the header that describe the values and that no reader applies."""
    told = [_quoted(name, fields[name]) for name in _OF_VALUES if name in fields]
    if not told:
        return ()
    return (
        f"the header says of its values: {', '.join(told)}. Neither applied, as SimpleITK does "
        "not, nor kept",
    )


def _quoted(name: str, value: str) -> str:
    """Return a field with its value, or without a value of free text, which may name a patient."""
    plain = value.strip('"')
    return f"{name} {value}" if plain in _UNITS or _NUMBER.fullmatch(plain) else name


def _check_kinds(kinds: str | None, axes: int) -> None:
    if kinds is None:
        return
    words = kinds.split()
    if len(words) != axes or not all(word == "???" or _WORD.fullmatch(word) for word in words):
        raise damaged("kinds", f"{axes} words", kinds)
    others = [word for word in words if word.lower() not in _ONE_VALUE_A_VOXEL]
    if others:
        raise UnsupportedFormatError(
            f"a scan with an axis of kind {others[0]} (vectors, colour or a list of scans) is not "
            "supported: expected one grey value per voxel. Split it into one file for each"
        )


def _dtype(fields: dict[str, str]) -> np.dtype:
    name = " ".join(fields.get("type", "").lower().split())
    if name not in _DTYPES:
        raise UnsupportedFormatError(
            f"voxels of type {name!r} are not supported: expected integers or floats of at most "
            "64 bits. Save it as one of them"
        )
    endian = fields.get("endian", "little").lower()
    if endian not in ("little", "big"):
        raise damaged("endian", "little or big", endian)
    return np.dtype(_DTYPES[name]).newbyteorder("<" if endian == "little" else ">")


def _encoding(fields: dict[str, str]) -> str:
    name = fields.get("encoding", "").lower()
    if name in ("bz2", "bzip2"):
        raise UnsupportedFormatError(
            "bzip2 is not supported, as ITK does not read it. Save the scan with gzip: unu save "
            f"-f nrrd -e gzip -i {FILE} -o scan.nrrd"
        )
    if name not in _ENCODINGS:
        raise damaged("encoding", "raw, gzip, ascii or hex", name)
    return _ENCODINGS[name]


def _offset(fields: dict[str, str], offset: int) -> int:
    if fields.get("byte skip", "0") != str(AT_THE_END):
        return offset
    if _encoding(fields) != "raw":
        raise damaged("byte skip", "0 or more where the voxels are not raw", "-1")
    return AT_THE_END


def _plain(fields: dict[str, str], lengths: list[int]) -> str:
    """Return the text of the header for ITK: geometry only, every value checked."""
    axes, sizes = len(lengths), " ".join(map(str, lengths))
    lines = ["NRRD0004", "type: unsigned char", f"dimension: {axes}", f"sizes: {sizes}"]
    if "space" in fields:
        if not _WORD.fullmatch(fields["space"]):
            raise damaged("space", "a word such as left-posterior-superior", fields["space"])
        lines.append(f"space: {fields['space']}")
    elif "space dimension" in fields:
        dimension = whole("space dimension", fields["space dimension"], 1, 8)
        lines.append(f"space dimension: {dimension}")
    for name in ("spacings", "axis mins", "axis maxs"):
        if name in fields:
            lines.append(f"{name}: {_perhaps_unknown(name, fields[name], axes)}")
    if "centers" in fields:
        words = fields["centers"].split()
        if len(words) != axes or not all(w in ("cell", "node", "none", "???") for w in words):
            raise damaged("centers", f"{axes} times cell, node or ???", fields["centers"])
        lines.append(f"centers: {' '.join(words)}")
    if "kinds" in fields:
        lines.append(f"kinds: {' '.join(fields['kinds'].split())}")
    lines.append("encoding: raw")
    if "space directions" in fields:
        vectors = _VECTOR.findall(fields["space directions"])
        if len(vectors) != axes:
            raise damaged("space directions", f"{axes} vectors", fields["space directions"])
        told = " ".join(_vector("space directions", vector) for vector in vectors)
        lines.append(f"space directions: {told}")
    if "space origin" in fields:
        lines.append(f"space origin: {_vector('space origin', fields['space origin'])}")
    return "\n".join(lines) + "\n\n"


def _perhaps_unknown(name: str, text: str, axes: int) -> str:
    """Check a field of numbers, of which unknown ones are NaN, and return it."""
    words = text.split()
    known = [word for word in words if word.lower() not in ("nan", "none")]
    values = iter(numbers(name, " ".join(known), len(known)))
    if len(words) != axes:
        raise damaged(name, f"{axes} numbers", text)
    return " ".join(
        "nan" if word.lower() in ("nan", "none") else f"{next(values):.17g}" for word in words
    )


def _vector(name: str, text: str) -> str:
    if text.lower() == "none":
        return "none"
    inside = text.strip().removeprefix("(").removesuffix(")").replace(",", " ")
    values = numbers(name, inside, len(inside.split()))
    return f"({','.join(f'{value:.17g}' for value in values)})"
