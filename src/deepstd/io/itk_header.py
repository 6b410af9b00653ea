"""Parsing of text headers, common to NRRD and MetaImage.

first bytes of a file ─ lines up to the end of the header ─▶ Header (layout, plain text, fields)

ITK may crash on a malformed header, so it never sees the header of the file. Known and well-formed
fields are written anew, and ITK derives the geometry from them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import BinaryIO

from deepstd.errors import InputError
from deepstd.io.itk_data import Layout

MAX_HEADER_BYTES = 1 << 20
MAX_AXIS = 1 << 31  # voxels
_WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Header:
    """A parsed and checked header.

    Attributes:
        layout: location and type of the voxels.
        plain: text of a header with the same geometry and nothing else, for ITK.
        fields: free key-value pairs.
        scale: slope and intercept from stored to real-world values.
        notes: sentences for users.
    """

    layout: Layout
    plain: str
    fields: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 0.0)
    notes: tuple[str, ...] = ()


def next_line(stream: BinaryIO) -> str | None:
    """Read one line of a header without its end; return None at the end of the file.

    Raises:
        InputError: the header is longer than 1 MiB.
    """
    line = stream.readline(MAX_HEADER_BYTES)
    if stream.tell() > MAX_HEADER_BYTES:
        raise InputError(f"the header has more than {MAX_HEADER_BYTES} bytes. It is damaged")
    if not line:
        return None
    return line.decode("utf-8", errors="replace").rstrip("\r\n")


def whole(name: str, text: str, least: int = 0, most: int = MAX_AXIS) -> int:
    """Parse an integer header field.

    Args:
        name: name of the field in messages.
        text: value of the field.
        least: smallest value.
        most: largest value.

    Raises:
        InputError: the value is no integer in this range.
    """
    number = int(text) if _WHOLE.fullmatch(text) else least - 1
    if not least <= number <= most:
        raise damaged(name, "a whole number", text)
    return number


def numbers(name: str, text: str, count: int) -> list[float]:
    """Parse a header field of finite numbers between spaces.

    Args:
        name: name of the field in messages.
        text: value of the field.
        count: expected number of numbers.

    Raises:
        InputError: the value is something else.
    """
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise damaged(name, f"{count} finite numbers", text)
    return values


def damaged(name: str, expected: str, text: str) -> InputError:
    """Return the error for a damaged field of a header."""
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return InputError(f"the header's {name} is {shown!r}, expected {expected}. It is damaged")
