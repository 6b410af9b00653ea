"""Notes on a scan for its users, such as missing slices, in few bytes.

    sentences ─ printable, as many as fit ─ joined ─ deflate with VOCABULARY ─▶ payload of NOTE

    payload = mode (1) · text          0: UTF-8, 1: UTF-8 deflated with VOCABULARY as the dictionary

Files may come from untrusted sources, so text is made printable in both directions.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence

from deepstd.coding.bytes import Cursor

MOST_TEXT_BYTES = 4096
_PLAIN, _DEFLATED = 0, 1
_RAW_DEFLATE = -15
_SEPARATOR = "\n"
# Usual notes, the most frequent last. A part of the file format: a byte changed here makes the
# notes of earlier files unreadable.
VOCABULARY = "\n".join(
    (
        " and  more places are there twice (the same instance): each is used once",
        "the order of the slices is that of Instance Number, their positions are not known",
        "the size leaves no room to keep the background exactly: its values are near",
        "the header states no , which is read as  as SimpleITK and nibabel do",
        "slices have 12 different rescale slopes: kept on one scale of 65536 values, 0.1 apart",
        "real-world values as float32, as slices differ in their rescale slope and intercept",
        "2 frames at each of 20 places: a fourth axis",
        "dark is bright in these pixels (MONOCHROME1): stored as they are",
        "slices seem to be missing after (-125.00, -120.50, -60.00) mm and 10 more. Positions are "
        "kept; NIfTI, NRRD and MetaImage only hold their mean distance",
        "slices lie 1.5 to 5.0 mm apart; not 2.5 mm after (-100.00, -110.25, 75.00) mm, "
        "(-100.00, -110.25, 77.50) mm",
        "slices are tilted by 15.0 degrees (gantry): the affine is sheared",
        "its axes are not at right angles: SimpleITK, ANTs and nnU-Net do not open it as NIfTI. "
        "Restore it to .nrrd or .mha, which keep them, or with --straighten",
    )
).encode()


def printable(text: str) -> str:
    """Return text on one line without control, format, surrogate and unassigned characters."""
    shown = (sign for sign in text if sign.isspace() or unicodedata.category(sign)[0] not in "CZ")
    return " ".join("".join(shown).split())


def pack_notes(notes: Sequence[str], room: int) -> bytes:
    """Pack as many notes as fit, from the first on; return b"" where none fits.

    Args:
        notes: sentences.
        room: most bytes of the payload.
    """
    texts = [text for note in notes if (text := printable(note))]
    for count in range(len(texts), 0, -1):
        raw = _SEPARATOR.join(texts[:count]).encode()
        payload = min(bytes([_PLAIN]) + raw, bytes([_DEFLATED]) + _deflate(raw), key=len)
        if len(raw) <= MOST_TEXT_BYTES and len(payload) <= room:
            return payload
    return b""


def unpack_notes(payload: bytes, name: str) -> tuple[str, ...]:
    """Unpack the notes of a file ``name``.

    Raises:
        DamagedError: the payload is malformed.
    """
    cursor = Cursor(payload, name, "its notes")
    mode = cursor.byte()
    raw = cursor.take(cursor.remaining)
    if mode == _DEFLATED:
        raw = _inflate(raw, cursor)
    elif mode != _PLAIN:
        raise cursor.error(f"mode {mode} does not exist")
    if len(raw) > MOST_TEXT_BYTES:
        raise cursor.error(f"expected at most {MOST_TEXT_BYTES} bytes of text")
    try:
        lines = raw.decode().split(_SEPARATOR)
    except UnicodeDecodeError as error:
        raise cursor.error("they are not UTF-8") from error
    return tuple(text for line in lines if (text := printable(line)))


def _deflate(raw: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, zdict=VOCABULARY)
    return compressor.compress(raw) + compressor.flush()


def _inflate(packed: bytes, cursor: Cursor) -> bytes:
    decompressor = zlib.decompressobj(_RAW_DEFLATE, zdict=VOCABULARY)
    try:
        raw = decompressor.decompress(packed, MOST_TEXT_BYTES + 1)
    except zlib.error as error:
        raise cursor.error("they do not inflate") from error
    if len(raw) <= MOST_TEXT_BYTES and (not decompressor.eof or decompressor.unused_data):
        raise cursor.error("they do not inflate to their end")
    return raw
