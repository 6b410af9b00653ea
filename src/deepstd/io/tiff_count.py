"""Counts of the samples in a TIFF file, made without tifffile.

file ─ chain of directories ─ sizes, descriptions ─▶ number of samples

The directories are read here byte by byte. Slices that tifffile or its use loses are counted, too.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from deepstd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUBFILE, _WIDTH, _LENGTH, _DESCRIPTION, _DEPTH = 254, 256, 257, 270, 32997
_COPIES = 1 | 4  # reduced images and masks
_MOST_DIRECTORIES = 1 << 20  # bounds the work on a damaged file
_MOST_TEXT = 1 << 20  # 1 MiB
_SIZES = {1: "B", 2: "c", 3: "H", 4: "I", 16: "Q"}
_IMAGES = re.compile(rb"^images=([0-9]{1,9})\s*$", re.MULTILINE)
_HYPERSTACK = re.compile(rb"^(?:channels|slices|frames)=([0-9]{1,9})\s*$", re.MULTILINE)
# Shape in tifffile's present and former description.
_SHAPE = re.compile(rb'^\{(?:.*, )?"shape": \[([0-9, ]+)\]|^shape=\(([0-9, ]+)\)')


class _Layout(NamedTuple):
    """Byte order and struct formats of directories; BigTIFF has wider ones."""

    order: str
    entries: str
    offset: str
    entry: str

    def read(self, stream: BinaryIO, form: str) -> tuple[int, ...]:
        """Read numbers of a struct format; raise struct.error at the end of the file."""
        return struct.unpack(self.order + form, stream.read(struct.calcsize(self.order + form)))


def count(path: Path) -> int:
    """Return the number of samples in a file of grey images, by directories and descriptions.

    Raises:
        InputError: a directory is cut short.
    """
    found = stated = 0
    with open(path, "rb") as stream:
        for tags in _directories(stream):
            area = tags.get(_WIDTH, 0) * tags.get(_LENGTH, 0)
            if not tags.get(_SUBFILE, 0) & _COPIES:
                found += area * tags.get(_DEPTH, 1)
                stated = max(stated, _stated(stream, tags, area))
    return max(found, stated)


def _stated(stream: BinaryIO, tags: dict[int, int], area: int) -> int:
    """Return the number of samples that a directory's description states, or 0."""
    if _DESCRIPTION not in tags:
        return 0
    here = stream.tell()
    stream.seek(tags[_DESCRIPTION])
    text = stream.read(_MOST_TEXT).partition(b"\0")[0]
    stream.seek(here)
    if text.startswith(b"ImageJ="):
        planes = 1
        for length in _HYPERSTACK.findall(text):
            planes *= int(length)
        return area * max(planes, *(int(n) for n in _IMAGES.findall(text)), 0)
    shape, samples = _SHAPE.match(text), 1
    if shape is None:
        return 0
    for length in (shape[1] or shape[2]).split(b","):
        samples *= int(length or 1)
    return samples


def _directories(stream: BinaryIO) -> Iterator[dict[int, int]]:
    """Yield the tags of each directory: integers, and the offset of the description."""
    head = stream.read(16)
    order = "<" if head.startswith(b"II") else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    layout = _Layout(order, "Q", "Q", "HHQ") if big else _Layout(order, "H", "I", "HHI")
    stream.seek(8 if big else 4)
    seen: set[int] = set()
    try:
        (offset,) = layout.read(stream, layout.offset)
        while offset and offset not in seen and len(seen) < _MOST_DIRECTORIES:
            seen.add(offset)
            stream.seek(offset)
            (entries,) = layout.read(stream, layout.entries)
            tags = {}
            for _ in range(entries):
                tag, kind, number = layout.read(stream, layout.entry)
                value = stream.read(8 if big else 4)
                tags |= _value(layout, tag, kind, number, value, stream.tell())
            (offset,) = layout.read(stream, layout.offset)
            yield tags
    except struct.error as error:
        raise InputError("a directory is not whole. The file is cut short") from error


def _value(
    layout: _Layout, tag: int, kind: int, number: int, value: bytes, end: int
) -> dict[int, int]:
    if tag == _DESCRIPTION:
        inside = number <= len(value)
        (offset,) = struct.unpack(layout.order + layout.offset, value)
        return {tag: end - len(value) if inside else offset}
    if tag not in (_SUBFILE, _WIDTH, _LENGTH, _DEPTH) or kind not in _SIZES or kind == 2:
        return {}
    return {tag: struct.unpack_from(layout.order + _SIZES[kind], value)[0]}
