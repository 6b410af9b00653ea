"""What NRRD and MetaImage headers have in common: where they end, and numbers in them.

first bytes of a file ─ lines up to the end of the header ─▶ Header (layout, plain text, fields)

ITK follows a malformed header into a crash, so it never sees the file's own. What is known of a
header and well-formed is written anew, and ITK is asked what geometry that means.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import BinaryIO

from deepstd.errors import InputError
from deepstd.io.itk_data import Layout

MAX_HEADER_BYTES = 1 << 20
MAX_AXIS = 1 << 31
_WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Header:
    """A header that was understood.

    Attributes:
        layout: where the voxels are and what they are.
        plain: the same header with nothing but geometry, for ITK.
        fields: the free key-value pairs.
        scale: slope and intercept from stored to real-world values.
        notes: what a user should know of it, in sentences.
    """

    layout: Layout
    plain: str
    fields: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 0.0)
    notes: tuple[str, ...] = ()


def next_line(stream: BinaryIO) -> str | None:
    """One line of a header without its end; None at the end of the file.

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
    """A whole number of a header field; InputError where it is none."""
    number = int(text) if _WHOLE.fullmatch(text) else least - 1
    if not least <= number <= most:
        raise damaged(name, "a whole number", text)
    return number


def numbers(name: str, text: str, count: int) -> list[float]:
    """So many numbers of a header field, all finite; InputError where they are not."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise damaged(name, f"{count} finite numbers", text)
    return values


def damaged(name: str, expected: str, text: str) -> InputError:
    """The error for a field of a header that is not as it must be."""
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return InputError(f"the header's {name} is {shown!r}, expected {expected}. It is damaged")
