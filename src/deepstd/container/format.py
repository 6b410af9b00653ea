"""Elements of a .dstd file: signature, chunks, varints.

    file  = signature (7) · version (1) · chunk …
    chunk = type (1) · length (varint) · payload · CRC-32 of all three (4)

The signature follows PNG's: its first byte has the high bit set, and it ends with "CR LF LF". A
reader thus recognises a transfer that stripped bits or rewrote line ends.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

from deepstd.coding.bytes import encode_varint

SIGNATURE = b"\xd5STD\r\n\n"
VERSION = 4
PREAMBLE = SIGNATURE + bytes([VERSION])
CRC_BYTES = 4
_ANCILLARY_BIT = 0x20


class ChunkType(IntEnum):
    """Chunk types of format version 4, each an ASCII letter.

    A type with bit 5 set (a small letter) may be skipped by a reader that does not know it.
    """

    HEAD = ord("H")
    SRCH = ord("O")
    NOTE = ord("n")
    TYPE = ord("y")
    SPCL = ord("V")
    SHAP = ord("S")
    TEXT = ord("T")
    TILE = ord("L")
    WIEN = ord("W")
    EXAC = ord("X")
    HASH = ord("E")
    RESI = ord("R")


class Coding(IntEnum):
    """Contents of an EXAC chunk, its first byte.

    VOXELS and STORED are lossless: voxels, or values as DICOM slices on different scales store
    them. STEPS holds the codes of voxels in equal steps.
    """

    VOXELS = 0
    STORED = 1
    STEPS = 2


def is_skippable(chunk_type: int) -> bool:
    """Return True where a reader that does not know a chunk type may skip it."""
    return bool(chunk_type & _ANCILLARY_BIT)


def encode_chunk(chunk_type: ChunkType, payload: bytes) -> bytes:
    """Encode a whole chunk: type, length, payload and checksum."""
    body = bytes([chunk_type]) + encode_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")
