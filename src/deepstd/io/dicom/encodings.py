"""Bytes of a DICOM object to its data set and pixels, whatever transfer syntax they are in.

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
# Preamble, magic, and the element that tells how long the file meta information is.
_META_LENGTH = struct.Struct("<128x4sHH2sHI")
_MOST_META_BYTES = 1 << 16
_MOST_TIMES = 8
_PIXEL_DATA = 0x7FE00010
_PIXELS = (0x7FE00008, 0x7FE00009, _PIXEL_DATA)


def read_header(stream: BinaryIO, label: str) -> Dataset:
    """Return a data set up to its pixels, with its file meta information."""
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
        stream: the whole object.
        syntax: UID of its transfer syntax, empty where it states none.
        most: bytes to which it may inflate.
        label: names it in errors.
    """
    from pydicom.pixels.utils import pixel_array

    plain, _ = _plain(stream, most, label)
    return pixel_array(plain if syntax else _with_transfer_syntax(plain), raw=True)


def check_decodable(syntax: str) -> None:
    """Refuse a transfer syntax that has no decoder, installed or not.

    Raises:
        UnsupportedFormatError: it is one.
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
    """Return a stream that is not deflated but says the same, and whether it was deflated."""
    head = stream.read(_META_LENGTH.size)
    if len(head) == _META_LENGTH.size:
        magic, group, element, vr, _, length = _META_LENGTH.unpack(head)
        told = (magic, group, element, vr) == (b"DICM", 2, 0, b"UL")
        if told and length <= _MOST_META_BYTES:
            head += stream.read(length)
            # Of even length, with a zero where one is needed: there is none here.
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
    """Return a test for the end of reading: an element, or one that is there again and again.

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
    """Return a whole data set without a preamble, told how its pixels are stored."""
    from pydicom.filereader import read_partial
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    end = _stop_at(lambda tag: tag > _PIXEL_DATA)
    dataset = read_partial(stream, stop_when=end, force=True)
    is_implicit, is_little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return dataset
