"""Files taken apart into chunks and put together again, with right checksums.

.dstd file ─ chunks_of ─▶ types, payloads ─ changed ─ joined ─▶ .dstd file
"""

from __future__ import annotations

import random

from deepstd.codec import decoder
from deepstd.codec.codec import Codec
from deepstd.coding.bytes import encode_varint
from deepstd.container import Container, parse, write_container
from deepstd.container.format import CRC_BYTES, PREAMBLE, ChunkType, encode_chunk
from deepstd.progress import Progress

Chunks = list[tuple[ChunkType, bytes]]


def chunks_of(data: bytes) -> Chunks:
    """Type and payload of every chunk of a file, in order."""
    found: Chunks = []
    for section in parse(data, "f").sections[1:]:
        whole = data[section.offset : section.offset + section.nbytes]
        payload = next(
            whole[1 + n : -CRC_BYTES]
            for n in range(1, 11)
            if encode_varint(len(whole) - 1 - n - CRC_BYTES) == whole[1 : 1 + n]
        )
        found.append((ChunkType(whole[0]), payload))
    return found


def joined(chunks: Chunks) -> bytes:
    """A file of chunks, with a right checksum behind each of them."""
    return PREAMBLE + b"".join(encode_chunk(kind, payload) for kind, payload in chunks)


def changed(payload: bytes, generator: random.Random) -> bytes:
    """A payload with a byte changed, added or taken away, or with a stretch of random bytes."""
    data, place = bytearray(payload), generator.randrange(len(payload) + 1)
    way = generator.randrange(5)
    if way == 0 or not payload:
        data.insert(place, generator.randrange(256))
    elif way == 1:
        del data[min(place, len(data) - 1)]
    elif way == 2:
        data[place : place + 4] = generator.randbytes(len(data[place : place + 4]))
    else:
        data[min(place, len(data) - 1)] ^= 1 << generator.randrange(8)
    return bytes(data)


def decoded_of(container: Container, codec: Codec) -> bytes:
    """SHA-256 of the symbols of a file with textures, which its hash covers."""
    return decoder._decode(codec.model, container, 0, Progress(), container.wiener)[1]


def with_header(container: Container, codec: Codec, packed: bytes) -> bytes:
    """The file with another header of the original, and with a right hash."""
    symbols = decoded_of(container, codec)
    return write_container(container.head, packed, container.frames, symbols, container.wiener)


def without_filter(container: Container, codec: Codec) -> bytes:
    """The file without its Wiener filter and notes, and with a right hash."""
    symbols = decoded_of(container, codec)
    header = container.packed_source_header
    return write_container(container.head, header, container.frames, symbols)
