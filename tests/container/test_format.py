from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.coding.bytes import Cursor, encode_varint
from deepstd.container.format import PREAMBLE, ChunkType, encode_chunk, is_skippable
from deepstd.errors import DamagedError


def cursor(data: bytes) -> Cursor:
    return Cursor(data, "scan.dstd", "the part")


@given(st.integers(0, 2**64 - 1))
def test_a_varint_comes_back_in_the_fewest_bytes(value: int) -> None:
    data = encode_varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    reader = cursor(data + b"rest")
    assert reader.varint() == value
    assert reader.remaining == 4


@pytest.mark.parametrize("value", [-1, 2**64])
def test_what_is_no_varint_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="2\\*\\*64"):
        encode_varint(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x00",  # zero in two bytes
        b"\xff\x80\x00",
        b"\xff" * 10 + b"\x01",  # eleven bytes
        b"\xff" * 9 + b"\x02",  # 2**64 and more
    ],
    ids=lambda data: data.hex() or "empty",
)
def test_a_malformed_varint_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedError, match=r"scan\.dstd is damaged: the part"):
        cursor(data).varint()


def test_a_varint_over_its_limit_is_damage() -> None:
    assert cursor(b"\x05").varint(most=5) == 5
    with pytest.raises(DamagedError, match="at most 5"):
        cursor(b"\x06").varint(most=5)


def test_a_cursor_stops_at_the_end() -> None:
    reader = cursor(b"abc")
    assert reader.take(2) == b"ab"
    with pytest.raises(DamagedError, match="expected 2 more bytes, found 1"):
        reader.take(2)
    with pytest.raises(DamagedError, match="1 bytes too many"):
        reader.finish()
    assert reader.byte() == ord("c")
    reader.finish()


def test_the_preamble_shows_what_a_transfer_did() -> None:
    assert len(PREAMBLE) == 8
    assert PREAMBLE.replace(b"\r\n", b"\n") != PREAMBLE
    assert PREAMBLE.replace(b"\n", b"\r\n") != PREAMBLE
    assert bytes(b & 0x7F for b in PREAMBLE) != PREAMBLE


def test_a_chunk_is_framed_as_specified() -> None:
    assert encode_chunk(ChunkType.TEXT, b"1234").hex(" ") == "54 04 31 32 33 34 3d 72 fa 69"


def test_only_chunks_that_no_decoder_needs_may_be_skipped() -> None:
    skippable = {chunk_type for chunk_type in ChunkType if is_skippable(chunk_type)}
    assert skippable == {ChunkType.NOTE, ChunkType.TYPE}
    assert is_skippable(ord("x"))
