"""Places of the chunks of a .dstd file, for reading one chunk without the others.

    ranges ─ type and length of each chunk ─▶ ChunkIndex ─ payload ─ CRC-32 ─▶ bytes

Order and lengths are checked as in `chunks`. A chunk's checksum is checked when it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from deepstd.coding.bytes import MAX_VARINT_BYTES, Cursor, damaged, truncated
from deepstd.container.chunks import check_order, check_preamble, type_name
from deepstd.container.format import CRC_BYTES, PREAMBLE, ChunkType
from deepstd.container.head import Head
from deepstd.container.reader import Description, description_of

# Bytes read at once where chunks begin: the header of most files, then a few small chunks.
_FIRST, _AHEAD = 1 << 14, 1 << 9
_DESCRIBING = (ChunkType.HEAD, ChunkType.SRCH, ChunkType.NOTE, ChunkType.TYPE)
_TYPES = {int(chunk_type): chunk_type for chunk_type in ChunkType}


class ByteRanges(Protocol):
    """Interface of a file of which ranges are read."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        ...

    def read(self, start: int, count: int) -> bytes:
        """Return ``count`` bytes from the byte ``start`` on, fewer at the end of the file."""
        ...


class Place(NamedTuple):
    """Place of a chunk: type (None if unknown and to be skipped), first byte, sizes in bytes."""

    type: ChunkType | None
    offset: int
    begin: int
    nbytes: int

    @property
    def end(self) -> int:
        """First byte behind the chunk."""
        return self.offset + self.begin + self.nbytes + CRC_BYTES


@dataclass(frozen=True)
class FramePlaces:
    """Places of the chunks of a frame, as `deepstd.container.FrameChunks` has their payloads."""

    texture: Place
    shape: Place | None
    tiles: tuple[Place, ...]
    specials: Place | None


@dataclass(frozen=True)
class ChunkIndex:
    """Places of all chunks of a file.

    Attributes:
        head: contents of the HEAD chunk.
        frames: places of the chunks of each frame; none in a lossless file.
        exact: place of the EXAC chunk, or None.
        wiener: place of the WIEN chunk, or None.
        residual: place of the RESI chunk of an exact part, or None.
        lossy_nbytes: bytes of the file without an exact part.
    """

    head: Head
    frames: tuple[FramePlaces, ...]
    exact: Place | None
    wiener: Place | None
    residual: Place | None
    lossy_nbytes: int


def read_index(source: ByteRanges, name: str) -> tuple[ChunkIndex, Description]:
    """Read the places of all chunks of a file, and the chunks that describe the scan.

    Other payloads are passed over.

    Args:
        source: the file.
        name: name of the file, for messages.

    Raises:
        ContainerError: the file is no .dstd file, cut off, or its chunks are out of order.
    """
    ahead = _Ahead(source)
    check_preamble(ahead.read(0, len(PREAMBLE)), name)
    places: list[Place] = []
    described: list[tuple[ChunkType, bytes]] = []
    at, last = len(PREAMBLE), None
    while last is not ChunkType.HASH:
        place = _place_at(ahead, at, name)
        check_order(place.type, last, name)
        last = last if place.type is None else place.type
        places.append(place)
        if place.type is not None and place.type in _DESCRIBING:
            described.append((place.type, payload_at(ahead, place, name)))
        at = place.end
    residual, end = None, at
    if at < source.size:
        residual = _place_at(ahead, at, name)
        if residual.type is not ChunkType.RESI:
            raise damaged(name, f"{source.size - at} bytes follow its end")
        digest = _place_at(ahead, residual.end, name)
        if digest.type is not ChunkType.HASH or digest.end != source.size:
            raise damaged(name, "its exact part does not end with a hash")
    description = description_of(described, name, source.size)
    head = description.head
    known = [place for place in places if place.type is not None]
    of_kind = {place.type: place for place in known if place.type is not None}
    frames, exact = _frames(known), of_kind.get(ChunkType.EXAC)
    if exact is None and len(frames) != head.frame_count:
        raise damaged(name, f"expected {head.frame_count} frames, found {len(frames)}")
    index = ChunkIndex(
        head,
        tuple(frames),
        exact,
        of_kind.get(ChunkType.WIEN),
        residual,
        end,
    )
    return index, description


def payload_at(source: ByteRanges, place: Place, name: str) -> bytes:
    """Read the payload of a chunk, and check its checksum.

    Args:
        source: the file.
        place: place of the chunk.
        name: name of the file, for messages.

    Raises:
        TruncatedError: the file ends before the chunk does.
        DamagedError: the checksum is wrong.
    """
    data = source.read(place.offset, place.end - place.offset)
    if len(data) < place.end - place.offset:
        raise truncated(name, f"it ends within the chunk at byte {place.offset}")
    body = memoryview(data)[:-CRC_BYTES]
    if zlib.crc32(body) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise damaged(name, f"the checksum of the chunk at byte {place.offset} is wrong")
    return bytes(body[place.begin :])


def _place_at(source: ByteRanges, offset: int, name: str) -> Place:
    """Read type and length of the chunk that begins at a byte."""
    start = source.read(offset, 1 + MAX_VARINT_BYTES)
    if not start:
        raise truncated(name, f"it ends at byte {offset}, without a hash")
    type_name(start[0], offset, name)
    cursor = Cursor(start[1:], name, "its framing")
    length = cursor.varint()
    place = Place(_TYPES.get(start[0]), offset, 1 + cursor.position, length)
    if place.end > source.size:
        raise truncated(name, f"its framing: expected {place.end - source.size} more bytes")
    return place


def _frames(places: Sequence[Place]) -> list[FramePlaces]:
    """Group chunks of a valid order into frames, one for each TEXT chunk."""
    frames: list[FramePlaces] = []
    specials = shape = texture = None
    tiles: list[Place] = []

    def finish() -> None:
        if texture is not None:
            frames.append(FramePlaces(texture, own_shape, tuple(tiles), own_specials))

    own_shape = own_specials = None
    for place in places:
        if place.type is ChunkType.SPCL:
            specials = place
        elif place.type is ChunkType.SHAP:
            shape = place
        elif place.type is ChunkType.TEXT:
            finish()
            texture, own_shape, own_specials, tiles = place, shape, specials, []
            specials = shape = None
        elif place.type is ChunkType.TILE:
            tiles.append(place)
    finish()
    return frames


class _Ahead:
    """A file of which a little more is read than asked for, and kept."""

    def __init__(self, source: ByteRanges) -> None:
        self._source, self._start, self._data = source, 0, b""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._source.size

    def read(self, start: int, count: int) -> bytes:
        """Return ``count`` bytes from the byte ``start`` on, fewer at the end of the file."""
        stop = min(start + count, self.size)
        if not self._start <= start <= stop <= self._start + len(self._data):
            ahead = _AHEAD if start else _FIRST
            self._start, self._data = start, self._source.read(start, max(count, ahead))
        return self._data[start - self._start : stop - self._start]
