"""Arrays within files: ``scan.npz::image``, ``scan.h5::group/image``.

FILE::NAME ─ split ─▶ file, name of an array in it
arrays of a file ─ only_scan ─▶ the one that can be a scan, or an error that lists them
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import array

SEPARATOR = "::"
_PLAIN = re.compile(r"[\w./+-]+")  # names that need no quoting in a command
_MOST_NAME = 60  # characters of a name in a message
_MOST_TOLD = 8  # arrays that a message lists


def split(path: Path) -> tuple[Path, str]:
    """Return the file of a path and the name of an array in it; empty where it names none.

    A file whose own name holds "::" is that file.
    """
    text = str(path)
    if SEPARATOR in text and not path.exists():
        for found in re.finditer(SEPARATOR, text):
            file = Path(text[: found.start()])
            if file.is_file():
                return file, text[found.end() :]
    return path, ""


def told(name: str) -> str:
    """Return the name of an array for messages: one short line without control characters."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in name)
    return shown if len(shown) <= _MOST_NAME else f"{shown[:_MOST_NAME]}…"


def quoted(name: str) -> str:
    """Return the name of an array for a command; NAME where it would need quotes."""
    return name if _PLAIN.fullmatch(name) else "NAME"


def only_scan(arrays: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> str:
    """Return the name of the only array that can be a scan.

    Args:
        arrays: shape and type of each array of a file.

    Raises:
        UnsupportedFormatError: no array can be a scan.
        InputError: several arrays can.
    """
    scans = [name for name, (shape, dtype) in arrays.items() if array.is_scan(shape, dtype)]
    if len(scans) == 1:
        return scans[0]
    listed = ", ".join(
        f"{told(name)} ({' x '.join(map(str, arrays[name][0]))}, {arrays[name][1]})"
        for name in (scans or list(arrays))[:_MOST_TOLD]
    )
    more = len(scans or arrays) - _MOST_TOLD
    listed += f" and {more} more" if more > 0 else ""
    if scans:
        raise InputError(
            f"{len(scans)} arrays can be the scan: {listed}. Name one: FILE::{quoted(scans[0])}"
        )
    raise UnsupportedFormatError(
        "no array in it can be a scan, which takes 2 to 4 axes of integers, booleans or floats"
        f"{f': it holds {listed}' if listed else ': it is empty'}"
    )


def left_out(arrays: Mapping[str, object], chosen: str) -> tuple[str, ...]:
    """Return a note on the arrays beside the chosen one, which are not kept; none without any."""
    others = [told(name) for name in arrays if name != chosen]
    if not others:
        return ()
    more = len(others) - _MOST_TOLD
    names = ", ".join(others[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
    return (f"the array {told(chosen)} of its file; not kept: {names}",)
