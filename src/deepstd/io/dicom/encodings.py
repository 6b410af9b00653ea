"""Data set and pixels of a DICOM object in any transfer syntax.

bytes ─ deflated? ─ inflate ─▶ stream ─┬ up to the pixels ─▶ data set
                                       └ pixels ─ decoder ─▶ stored values
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.dicom.unpacked import MOST_HEADER_BYTES, inflated

if TYPE_CHECKING:
    from pydicom import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
_EXPLICIT = "1.2.840.10008.1.2.1"
# Preamble, magic, and the element that states the length of the file meta information.
_META_LENGTH = struct.Struct("<128x4sHH2sHI")
_MOST_META_BYTES = 1 << 16  # 64 KiB
_MOST_TIMES = 8  # repetitions of an element, after which parsing stops
_PIXEL_DATA = 0x7FE00010
_PIXELS = (0x7FE00008, 0x7FE00009, _PIXEL_DATA)


def read_header(stream: BinaryIO, label: str) -> Dataset:
    """Return a data set up to its pixels, with its file meta information.

    Args:
        stream: whole object.
        label: name of the object in errors.
    """
    from pydicom.filereader import read_partial
    from pydicom.uid import UID

    plain, is_deflated = _plain(stream, MOST_HEADER_BYTES, label)
    dataset = read_partial(plain, stop_when=_stop_at(lambda tag: tag in _PIXELS), force=True)
    if is_deflated:
        dataset.file_meta.TransferSyntaxUID = UID(DEFLATED)
    return dataset


def read_pixels(stream: BinaryIO, syntax: str, most: int, label: str) -> np.ndarray:
    """Return the stored values of all frames.

    Args:
        stream: whole object.
        syntax: UID of the transfer syntax, empty where the object states none.
        most: largest number of bytes to which the object may inflate.
        label: name of the object in errors.
    """
    from pydicom.pixels.utils import pixel_array

    plain, _ = _plain(stream, most, label)
    return pixel_array(plain if syntax else _with_transfer_syntax(plain), raw=True)


def check_whole(stream: BinaryIO, most: int, least: int, label: str) -> None:
    """Raise an InputError where an object has fewer bytes of uncompressed pixels than it needs.

    pydicom fills up pixels of single bits, where they are cut short, from memory that was in use.

    Args:
        stream: whole object, whose pixels are not compressed.
        most: largest number of bytes to which the object may inflate.
        least: bytes of its pixels.
        label: name of the object in errors.
    """
    from pydicom.filereader import read_partial

    plain, _ = _plain(stream, most, label)
    dataset = read_partial(plain, stop_when=_stop_at(lambda tag: tag > _PIXEL_DATA), force=True)
    found = len(dataset.get("PixelData") or b"")
    if found < least:
        raise InputError(
            f"{label}: has {found} bytes of pixels, its header declares {least}. It is damaged or "
            "cut short"
        )


def check_decodable(syntax: str) -> None:
    """Raise an error for a transfer syntax that has no decoder, installed or not.

    Raises:
        UnsupportedFormatError: the transfer syntax has none.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    if not syntax:
        return
    try:
        get_decoder(syntax)
    except NotImplementedError as error:
        name = UID(syntax).name
        known = f"{name}, {syntax}" if name != syntax else syntax
        raise UnsupportedFormatError(
            f"pixels in a transfer syntax ({known}) that is not decoded here. Convert it: "
            "gdcmconv --raw IN OUT, or dcmconv of DCMTK"
        ) from error


def _plain(stream: BinaryIO, most: int, label: str) -> tuple[BinaryIO, bool]:
    """Return an inflated stream of the object, and whether the object was deflated."""
    head = stream.read(_META_LENGTH.size)
    if len(head) == _META_LENGTH.size:
        magic, group, element, vr, _, length = _META_LENGTH.unpack(head)
        told = (magic, group, element, vr) == (b"DICM", 2, 0, b"UL")
        if told and length <= _MOST_META_BYTES:
            head += stream.read(length)
            # A UID of odd length would be followed by a zero; this one is even.
            uid = DEFLATED.encode()
            if struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid in head:
                explicit = _EXPLICIT.encode().ljust(len(uid), b"\0")
                return inflated(stream, most, label, head.replace(uid, explicit)), True
            first = stream.read(8)
        else:
            first = head[-12:]
        if first and not any(first):
            raise InputError(
                f"{label}: the DICOM header ends before its first element; zeros follow. It is cut "
                "short: copy or export it again"
            )
    stream.seek(0)
    return stream, False


def _stop_at(is_end: Callable[[int], bool]) -> Callable[[Any, str | None, int], bool]:
    """Return a test for the end of reading: an element, or one that is repeated too often.

    A parser takes two minutes for 64 MiB of zeros, which are elements (0000,0000) of no length.
    """
    last, times = -1, 0

    def stop(tag: Any, vr: str | None, length: int) -> bool:
        nonlocal last, times
        times = times + 1 if int(tag) == last else 1
        last = int(tag)
        return times > _MOST_TIMES or is_end(last)

    return stop


def _with_transfer_syntax(stream: BinaryIO) -> Dataset:
    """Return a whole data set without a preamble, with the transfer syntax of its pixels."""
    from pydicom.filereader import read_partial
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    end = _stop_at(lambda tag: tag > _PIXEL_DATA)
    dataset = read_partial(stream, stop_when=end, force=True)
    is_implicit, is_little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return dataset
