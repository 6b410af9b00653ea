from __future__ import annotations

import dataclasses
import io
import random
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.coding.bytes import encode_varint
from deepstd.container import (
    About,
    BundleRef,
    FrameChunks,
    Head,
    pack_notes,
    pack_source_header,
    parse,
    parse_head_only,
    read_beginning,
    read_description,
    write_container,
    write_exact_container,
)
from deepstd.container.format import PREAMBLE, VERSION, ChunkType, encode_chunk
from deepstd.errors import (
    ContainerError,
    DamagedError,
    NotDstdError,
    TruncatedError,
    UnsupportedVersionError,
)
from deepstd.quality import Quality
from deepstd.volume import SourceHeader

DECODED = bytes(32)
HEAD = Head(
    "nifti1",
    np.dtype("<i2"),
    (37, 52, 30),
    BundleRef("hippocampus-t1", "1.0.0", bytes(range(8))),
    Quality(1.5, 9.0, 41.25, 0.96875),
)
CINE = dataclasses.replace(HEAD, shape=(8, 8, 4, 3))
RAW_HEADER = bytes(range(200)) + b"header" * 30
FRAME = FrameChunks(b"texture" * 9, b"shape" * 7)

payloads = st.binary(max_size=300)
frames = st.builds(
    FrameChunks,
    texture=payloads,
    shape=st.none() | payloads,
    tiles=st.lists(payloads, max_size=3).map(tuple),
    specials=st.none() | payloads,
)


def source_payload(head: Head = HEAD) -> bytes:
    return pack_source_header(SourceHeader("nifti1", RAW_HEADER), head.shape, head.dtype)


def sample() -> bytes:
    return write_container(HEAD, source_payload(), [FRAME], DECODED)


def cine() -> bytes:
    parts = [
        FrameChunks(b"first", b"s", (b"tile", b"", b"other tile"), b"nan"),
        FrameChunks(b"second"),
        FrameChunks(b"", None, (b"t",), b"inf"),
    ]
    return write_container(CINE, b"", parts, DECODED, b"filter")


def noted() -> bytes:
    about = About(pack_notes(("slices are tilted", "one is missing"), 1 << 10), np.dtype("u1"))
    return write_container(HEAD, source_payload(), [FRAME], DECODED, None, about)


def chunk(letter: str, payload: bytes = b"") -> bytes:
    """A chunk with a right checksum, of any type."""
    return encode_chunk(ord(letter), payload)  # type: ignore[arg-type]


HEAD_CHUNK, END = chunk("H", HEAD.pack()), chunk("E", bytes(4))


@given(st.lists(frames, min_size=3, max_size=3), payloads, st.binary(min_size=32, max_size=32))
def test_parts_come_back(parts: list[FrameChunks], header: bytes, digest: bytes) -> None:
    data = write_container(CINE, header, parts, digest)
    container = parse(data, "f")
    assert container.head == CINE
    assert container.packed_source_header == header
    assert list(container.frames) == parts
    container.check(digest)
    with pytest.raises(DamagedError, match="not what was encoded"):
        container.check(digest[1:])
    assert container.wiener is None
    assert parse(write_container(CINE, header, parts, digest, b"w"), "f").wiener == b"w"
    assert container.nbytes == len(data)


def test_the_source_header_comes_back() -> None:
    container = parse(memoryview(sample()), "f")
    assert container.source_header() == SourceHeader("nifti1", RAW_HEADER)
    assert parse(cine(), "f").source_header() == SourceHeader("nifti1")


def test_sections_cover_the_file() -> None:
    container = parse(cine(), "f")
    names = [section.name for section in container.sections]
    expected = "preamble HEAD SPCL SHAP TEXT TILE TILE TILE TEXT SPCL TEXT TILE WIEN HASH"
    assert " ".join(names) == expected
    end = 0
    for section in container.sections:
        assert section.offset == end
        end += section.nbytes
    assert end == container.nbytes


def test_an_ordinary_file_costs_little_beside_shape_and_texture() -> None:
    oblique_header = b"\x02" * 75  # the most that a header of a scanner's oblique scan takes
    for header, most in ((b"\x2a", 92), (b"\x0a" * 30, 121), (oblique_header, 167)):
        data = write_container(HEAD, header, [FrameChunks(b"t" * 300, b"s" * 200)], DECODED)
        assert len(data) - 500 <= most


def test_the_head_needs_only_the_beginning() -> None:
    assert parse_head_only(sample()[:80], "f") == HEAD
    with pytest.raises(TruncatedError):
        parse_head_only(sample()[:20], "f")


@pytest.mark.parametrize("make", [sample, cine, noted])
def test_every_truncation_is_noticed(make: Callable[[], bytes]) -> None:
    data = make()
    for length in range(len(data)):
        with pytest.raises(TruncatedError, match=r"^scan\.dstd is cut off: .*verify"):
            parse(data[:length], "scan.dstd")


@pytest.mark.parametrize("make", [sample, cine, noted])
def test_every_changed_byte_is_noticed(make: Callable[[], bytes]) -> None:
    data, rng = make(), random.Random(0)
    for turn in range(2000):
        changed = bytearray(data)
        changed[turn % len(data)] ^= rng.randrange(1, 256)
        with pytest.raises(ContainerError, match=r"scan\.dstd"):
            parse(bytes(changed), "scan.dstd")


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=12), st.booleans())
def test_any_patch_is_noticed_or_harmless(place: int, patch: bytes, insert: bool) -> None:
    data = sample()
    place %= len(data)
    changed = data[:place] + patch + data[place + (0 if insert else len(patch)) :]
    if changed != data:
        with pytest.raises(ContainerError):
            parse(changed, "f")


@given(st.lists(st.tuples(st.sampled_from("HOnyVSTLEx"), st.binary(max_size=60)), max_size=8))
def test_any_chunks_are_a_file_or_an_error(chunks: list[tuple[str, bytes]]) -> None:
    data = PREAMBLE + HEAD_CHUNK + b"".join(chunk(*c) for c in chunks)
    try:
        container = parse(data, "f")
        container.source_header()
    except ContainerError:
        return
    kinds = "".join(letter for letter, _ in chunks)
    assert kinds.count("T") == 1
    assert kinds.endswith("E")
    assert kinds.count("E") == 1


@pytest.mark.parametrize(
    ("letters", "problem"),
    [
        ("TE", ""),
        ("OVSTLLE", ""),
        ("OnVSTLLE", ""),
        ("nTE", ""),
        ("nnTE", "a NOTE chunk cannot follow NOTE"),
        ("TnE", "a NOTE chunk cannot follow TEXT"),
        ("nOTE", "a SRCH chunk cannot follow NOTE"),
        ("VnTE", "a NOTE chunk cannot follow SPCL"),
        ("yTE", "its smallest type"),
        ("xTxEx", "follow its end"),
        ("xOxTxE", ""),
        ("E", "cannot follow HEAD"),
        ("HTE", "a HEAD chunk cannot follow HEAD"),
        ("OOTE", "a SRCH chunk cannot follow SRCH"),
        ("TOE", "cannot follow TEXT"),
        ("SSTE", "cannot follow SHAP"),
        ("SVTE", "a SPCL chunk cannot follow SHAP"),
        ("SLE", "cannot follow SHAP"),
        ("VE", "cannot follow SPCL"),
        ("TTE", "expected 1 frames, found 2"),
        ("TLTE", "expected 1 frames, found 2"),
        ("TEE", "follow its end"),
    ],
)
def test_order_and_number_of_chunks(letters: str, problem: str) -> None:
    body = b"".join(END if c == "E" else chunk(c, b"\0p") for c in letters)
    data = PREAMBLE + HEAD_CHUNK + body
    if problem:
        with pytest.raises(DamagedError, match=problem):
            parse(data, "f")
    else:
        assert parse(data, "f").frames[0].texture == b"\0p"


def test_the_head_comes_first() -> None:
    for letter in "Tx":
        with pytest.raises(DamagedError):
            parse(PREAMBLE + chunk(letter) + HEAD_CHUNK + chunk("T") + END, "f")


def test_a_skipped_chunk_is_listed() -> None:
    data = PREAMBLE + HEAD_CHUNK + chunk("x", b"new") + chunk("T") + END
    assert [s.name for s in parse(data, "f").sections][2] == "unknown 0x78"


def test_an_unknown_chunk_that_matters_asks_for_an_upgrade() -> None:
    data = PREAMBLE + HEAD_CHUNK + chunk("Q") + chunk("T") + END
    with pytest.raises(UnsupportedVersionError, match=r"f: chunk type 0x51 .*`pip install -U"):
        parse(data, "f")


@pytest.mark.parametrize(
    ("version", "remedy"), [(VERSION + 1, "Upgrade DeepSTD"), (1, "older than the first release")]
)
def test_another_version_says_what_reads_it(version: int, remedy: str) -> None:
    data = bytearray(sample())
    data[7] = version
    message = f"^f has format version {version}, this release reads version {VERSION}. .*{remedy}"
    with pytest.raises(UnsupportedVersionError, match=message):
        parse(bytes(data), "f")


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08\0\0\0\0\0\0", b"not a dstd file", b"\0"])
def test_another_kind_of_file_is_named(data: bytes) -> None:
    with pytest.raises(NotDstdError, match=r"^photo\.jpg is not a \.dstd file"):
        parse(data, "photo.jpg")


def test_an_empty_file_is_truncated() -> None:
    with pytest.raises(TruncatedError, match="it has 0 bytes"):
        parse(b"", "f")


@pytest.mark.parametrize(
    "transfer",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: bytes(b & 0x7F for b in data),
    ],
    ids=["crlf to lf", "lf to crlf", "7 bits"],
)
def test_a_transfer_in_text_mode_is_named(transfer: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DamagedError, match="text mode"):
        parse(transfer(sample()), "f")


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, 2**64 - 1])
def test_a_hostile_length_asks_for_no_memory(length: int) -> None:
    data = PREAMBLE + HEAD_CHUNK + b"T" + encode_varint(length) + bytes(100)
    tracemalloc.start()
    try:
        with pytest.raises(TruncatedError, match=f"expected {length} more bytes"):
            parse(data, "f")
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_chunks_that_are_skipped_cost_only_themselves() -> None:
    """What is passed over is not kept, so no chunk more makes the next ones cost more."""
    many = 30_000
    data = PREAMBLE + HEAD_CHUNK + chunk("x") * many + chunk("T", b"texture") + END
    tracemalloc.start()
    try:
        beginning = read_beginning(io.BytesIO(data), "f")
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()
    assert beginning.nbytes == len(data) - len(END)
    container = parse(data, "f")
    assert len(container.sections) == many + 4
    assert beginning.frames == container.frames == (FrameChunks(b"texture"),)


def test_many_frames_cost_only_themselves() -> None:
    head = dataclasses.replace(HEAD, shape=(2, 2, 1, 5_000))
    parts = [FrameChunks(bytes([n % 256]) * 40, b"s" if n % 3 else None) for n in range(5_000)]
    data = write_container(head, b"", parts, DECODED)
    assert read_beginning(io.BytesIO(data), "f").frames == tuple(parts)
    assert parse(data, "f").frames == tuple(parts)


def test_damage_is_told_by_its_place_in_the_file() -> None:
    before = PREAMBLE + HEAD_CHUNK + chunk("x", b"new")
    spoilt = bytearray(chunk("T", b"texture"))
    spoilt[3] ^= 1
    data = before + bytes(spoilt) + END
    for read in (parse, lambda data, name: read_beginning(io.BytesIO(data), name)):
        with pytest.raises(DamagedError, match=f"chunk at byte {len(before)} is wrong"):
            read(data, "f")


def test_a_million_promised_frames_ask_for_no_memory() -> None:
    head = dataclasses.replace(HEAD, shape=(1, 1, 1, 1 << 20))
    data = PREAMBLE + chunk("H", head.pack()) + chunk("T") + END
    with pytest.raises(DamagedError, match="expected 1048576 frames, found 1"):
        parse(data, "f")


def test_a_hash_of_another_length_is_damage() -> None:
    with pytest.raises(DamagedError, match="bytes of hash"):
        parse(PREAMBLE + HEAD_CHUNK + chunk("T") + chunk("E", b"123"), "f")


def test_the_writer_refuses_what_the_reader_would() -> None:
    with pytest.raises(ValueError, match="expected 1 frames, got 2"):
        write_container(HEAD, b"", [FRAME, FRAME], DECODED)


def test_a_chunk_of_the_format_is_known() -> None:
    assert "".join(sorted(chr(t) for t in ChunkType)) == "EHLORSTVWXny"


def test_a_lossless_file_has_one_chunk_for_all_frames() -> None:
    about = About(pack_notes(("slices are tilted",), 1 << 10), np.dtype("u1"))
    data = write_exact_container(CINE, source_payload(CINE), b"voxels", DECODED, about)
    container = parse(data, "f")
    assert (container.exact, container.frames, container.wiener) == (b"voxels", (), None)
    container.check(DECODED)
    assert container.notes == ("slices are tilted",)
    assert parse(cine(), "f").exact is None
    beginning = read_beginning(io.BytesIO(data[:-9]), "f")
    assert (beginning.exact, beginning.frames) == (b"voxels", ())
    assert read_description(io.BytesIO(data), "f").smallest == np.dtype("u1")


@pytest.mark.parametrize("kind", [k for k in ChunkType if k is not ChunkType.HASH])
def test_nothing_but_the_hash_follows_the_voxels_of_a_lossless_file(kind: ChunkType) -> None:
    chunks = [
        encode_chunk(ChunkType.HEAD, HEAD.pack()),
        encode_chunk(ChunkType.EXAC, b"voxels"),
        encode_chunk(kind, b"more"),
        encode_chunk(ChunkType.HASH, DECODED),
    ]
    with pytest.raises(DamagedError, match="chunk cannot follow EXAC"):
        parse(PREAMBLE + b"".join(chunks), "f")
    if kind in (ChunkType.HEAD, ChunkType.SRCH, ChunkType.NOTE, ChunkType.TYPE):
        return
    chunks[1:3] = chunks[2:0:-1]
    with pytest.raises(DamagedError, match="cannot follow"):
        parse(PREAMBLE + b"".join(chunks), "f")


def test_notes_and_the_smallest_type_come_back() -> None:
    data = noted()
    container = parse(data, "f")
    assert container.notes == ("slices are tilted", "one is missing")
    assert container.smallest == np.dtype("u1")
    assert [s.name for s in container.sections][1:5] == ["HEAD", "SRCH", "NOTE", "TYPE"]
    assert read_beginning(io.BytesIO(data), "f").notes == container.notes
    assert (parse(sample(), "f").notes, parse(sample(), "f").smallest) == ((), None)


@pytest.mark.parametrize("payload", [b"", b"\x0f", b"\x20", b"\0\0"])
def test_a_malformed_smallest_type_is_damage(payload: bytes) -> None:
    data = PREAMBLE + HEAD_CHUNK + chunk("y", payload) + chunk("T") + END
    with pytest.raises(DamagedError, match="its smallest type"):
        parse(data, "f")


class Counted(io.BytesIO):
    """A stream that counts the bytes that are read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.taken += len(piece)
        return piece


def test_a_description_is_read_without_the_frames() -> None:
    big = [FrameChunks(bytes(1 << 20), bytes(1 << 10), (bytes(1 << 20),), bytes(1 << 16))]
    about = About(pack_notes(("slices are tilted",), 1 << 10))
    data = write_container(HEAD, source_payload(), big, DECODED, b"filter", about)
    stream = Counted(data)
    told = read_description(stream, "f")
    assert (told.head, told.notes, told.nbytes) == (HEAD, ("slices are tilted",), len(data))
    assert told.source_header() == SourceHeader("nifti1", RAW_HEADER)
    assert stream.taken < 1000


@pytest.mark.parametrize("make", [sample, cine, noted])
def test_a_description_tells_a_file_that_is_cut_off(make: Callable[[], bytes]) -> None:
    data = make()
    assert read_description(io.BytesIO(data), "f").nbytes == len(data)
    for length in range(len(data)):
        with pytest.raises(ContainerError):
            read_description(io.BytesIO(data[:length]), "f")
    with pytest.raises(DamagedError, match="2 bytes follow its end"):
        read_description(io.BytesIO(data + b"xx"), "f")
