from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension
from scipy.spatial.transform import Rotation

from deepstd.coding.bytes import Cursor, encode_varint
from deepstd.container import pack_source_header, unpack_source_header
from deepstd.container.dicom_vocabulary import VOCABULARY
from deepstd.container.source_header import MAX_HEADER_BYTES
from deepstd.container.sparse import pack_sparse, unpack_sparse
from deepstd.errors import ContainerError, DamagedError, UnsupportedFormatError
from deepstd.volume import SourceHeader

SHAPE, DTYPE = (5, 6, 7), np.dtype("<i2")
SIZES = {"nifti1": 348, "nifti2": 540}
CLASSES = {"nifti1": nib.Nifti1Image, "nifti2": nib.Nifti2Image}


def header(
    source_format: str = "nifti1", affine: np.ndarray | None = None, codes: int | None = None
) -> bytes:
    """A header as nibabel writes it; ``codes`` sets qform and sform alike."""
    affine = np.eye(4) if affine is None else affine
    image = CLASSES[source_format](np.zeros(SHAPE, DTYPE), affine)
    if codes is not None:
        image.set_qform(affine, codes)
        image.set_sform(affine, codes)
        image.header.set_xyzt_units("mm")
    return image.to_bytes()[: SIZES[source_format] + 4]


def oblique(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    rotation = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    affine[:3, :3] = rotation @ np.diag(rng.uniform(0.4, 3.0, 3))
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return affine


def packed_size(
    raw: bytes,
    source_format: str = "nifti1",
    shape: tuple[int, ...] = SHAPE,
    dtype: np.dtype = DTYPE,
) -> int:
    """Length of the packed header, after checking that it comes back byte for byte."""
    payload = pack_source_header(SourceHeader(source_format, raw), shape, dtype)
    back = unpack_source_header(payload, source_format, shape, dtype, "f")
    assert back == SourceHeader(source_format, raw)
    return len(payload)


def test_a_plain_header_takes_one_byte() -> None:
    assert packed_size(header()) == 1
    assert packed_size(header("nifti2"), "nifti2") == 1


def test_a_header_in_its_own_file_comes_back() -> None:
    pair = header()[:344] + b"ni1\0"
    pair = pair[:108] + struct.pack("<f", 0.0) + pair[112:]
    assert packed_size(pair) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("codes", [None, 1, 2])
def test_an_oblique_header_is_small(seed: int, codes: int | None) -> None:
    assert packed_size(header(affine=oblique(seed), codes=codes)) <= 75


def test_the_second_telling_of_the_geometry_is_nearly_free() -> None:
    twice = header(affine=oblique(3), codes=1)
    only_quaternion = bytearray(twice)
    only_quaternion[254:256] = bytes(2)
    only_quaternion[280:328] = bytes(48)
    assert packed_size(twice) <= packed_size(bytes(only_quaternion)) + 20


def test_a_big_endian_header_is_as_small() -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, ">i2"), oblique(1))
    swapped = nib.Nifti1Image(image.dataobj, image.affine, image.header.as_byteswapped(">"))
    raw = swapped.to_bytes()[:352]
    assert raw[:4] == b"\0\0\1\x5c"
    assert packed_size(raw, dtype=np.dtype(">i2")) == packed_size(header(affine=oblique(1)))


def test_extensions_come_back() -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, DTYPE), np.eye(4))
    text = b"<metadata>" + b"label " * 300 + b"</metadata>"
    image.header.extensions.append(Nifti1Extension("comment", text))
    data = image.to_bytes()
    raw = data[: len(data) - 2 * int(np.prod(SHAPE))]
    assert raw[348] == 1
    assert len(text) < len(raw)
    assert packed_size(raw) < 100


@given(
    st.sampled_from(sorted(SIZES)),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=60),
    st.binary(max_size=40),
    st.integers(0, 1000),
)
def test_any_mutated_header_comes_back(
    source_format: str, changes: list[tuple[int, int]], tail: bytes, seed: int
) -> None:
    raw = bytearray(header(source_format, affine=oblique(seed), codes=1) + tail)
    for place, value in changes:
        raw[place % len(raw)] = value
    packed_size(bytes(raw), source_format)


@given(
    st.sampled_from(["nifti1", "nifti2", "npy", "png", "tiff", "dicom"]), st.binary(max_size=700)
)
def test_any_bytes_come_back(source_format: str, raw: bytes) -> None:
    assert packed_size(raw, source_format) <= len(raw) + 1


@pytest.mark.parametrize(
    "fill", [b"\xff\xff\x7f\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\xff", b"\0\0\0\x80"]
)
def test_absurd_floats_come_back(fill: bytes) -> None:
    raw = bytearray(header())
    raw[76:108] = fill * 8
    raw[256:328] = fill * 18
    packed_size(bytes(raw))


def test_no_header_takes_nothing() -> None:
    assert packed_size(b"", "png") == 0


def test_real_headers(data_dir: Path) -> None:
    paths = sorted(data_dir.rglob("*.nii.gz"))[::5]
    assert paths
    for path in paths:
        image = nib.Nifti1Image.from_filename(path)
        with gzip.open(path) as file:
            raw = file.read(int(image.dataobj.offset))  # type: ignore[union-attr]
        size = packed_size(raw, shape=image.shape, dtype=np.dtype(image.get_data_dtype()))
        assert size <= 75 or len(raw) > 352, path.name


def test_the_mni_header(mni152_t1: Path) -> None:
    image = nib.Nifti1Image.from_filename(mni152_t1)
    with gzip.open(mni152_t1) as file:
        raw = file.read(352)
    assert packed_size(raw, shape=image.shape, dtype=np.dtype(image.get_data_dtype())) <= 10


def test_a_packed_header_of_this_version_is_read_for_ever() -> None:
    payload = bytes.fromhex(
        "0a0afa312cafe6997c01407677d3000342128969bc28ab373da1a27fbfa0cb42b180be42803cc2200d1a3117"
        "d0169bc7150032f294e5f574ffff80c80031a85ce2db212520f945"
    )
    raw = unpack_source_header(payload, "nifti1", SHAPE, DTYPE, "f").raw
    assert zlib.crc32(raw) == 0xB8AF35D2


def test_attributes_of_dicom_take_little_and_are_read_for_ever() -> None:
    assert zlib.crc32(VOCABULARY) == 0xEF52E68
    attributes = VOCABULARY[1000:1400] + b"something new" + VOCABULARY[2000:]
    payload = pack_source_header(SourceHeader("dicom", attributes), SHAPE, DTYPE)
    assert len(payload) < 40 < len(zlib.compress(attributes, 9)) / 10
    assert unpack_source_header(payload, "dicom", SHAPE, DTYPE, "f").raw == attributes


def test_too_long_a_header_is_refused() -> None:
    source = SourceHeader("tiff", bytes(MAX_HEADER_BYTES + 1))
    with pytest.raises(UnsupportedFormatError, match="at most 67108864"):
        pack_source_header(source, SHAPE, DTYPE)


def bomb(declared: int) -> bytes:
    """A payload of few bytes that says it inflates to ``declared``, and inflates to 64 MiB."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = compressor.compress(bytes(1 << 26)) + compressor.flush()
    return b"\x01" + encode_varint(declared) + stream


@pytest.mark.parametrize("declared", [0, 1000, MAX_HEADER_BYTES + 1, 1 << 60])
def test_a_bomb_is_refused_without_inflating_it(declared: int) -> None:
    payload = bomb(declared)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            unpack_source_header(payload, "npy", SHAPE, DTYPE, "f")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"\x03", "mode 3 does not exist"),
        (b"\x32", "header style 6 does not exist"),
        (b"\xc2", "tail mode 3 does not exist"),
        (b"\x01\x05\xff\xff", "does not inflate"),
        (b"\x82\x05\x20", "expected 32 more bytes"),
        (b"\x02\xff\xff", "passes the last header element"),
        (b"\x02\x00\x20\x01\x01", "a value of 2 bytes for a header element of 1"),
        (b"\x02\x30\x01", "expected 3 more bytes, found 1"),
    ],
)
def test_malformed_payloads_are_damage(payload: bytes, problem: str) -> None:
    with pytest.raises(DamagedError, match=problem):
        unpack_source_header(payload, "nifti1", SHAPE, DTYPE, "f")


@given(st.sampled_from(["nifti1", "nifti2", "npy", "dicom"]), st.binary(max_size=60))
def test_any_payload_is_a_header_or_an_error(source_format: str, payload: bytes) -> None:
    try:
        source = unpack_source_header(payload, source_format, SHAPE, DTYPE, "f")
    except ContainerError:
        return
    assert packed_size(source.raw, source_format) <= len(source.raw) + 1


@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**64 - 1)), max_size=80))
def test_sparse_residuals_come_back(elements: list[tuple[int, int]]) -> None:
    widths = [width for width, _ in elements]
    values = [value % (1 << 8 * width) if value % 3 else 0 for width, value in elements]
    data = pack_sparse(values, widths)
    assert unpack_sparse(Cursor(data, "f", "part"), widths) == values


@pytest.mark.parametrize(
    ("values", "size"),
    [([0] * 300, 0), ([1, *[0] * 299], 2), ([*[0] * 256, -1], 3), ([0x3F800000] * 16, 33)],
)
def test_sparse_residuals_are_short(values: list[int], size: int) -> None:
    assert len(pack_sparse(values, [4] * len(values))) == size
