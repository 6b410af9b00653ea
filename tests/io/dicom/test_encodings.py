"""Deflated objects, transfer syntaxes without a decoder, and files that unpack to gigabytes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from deepstd import io
from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError
from deepstd.io.dicom import unpacked
from deepstd.io.dicom.encodings import read_header

Make = Callable[..., Any]
PLANE = np.arange(24, dtype=np.int16).reshape(4, 6)


@pytest.fixture
def deflated(make_slice: Make, tmp_path: Path) -> Path:
    dataset = make_slice(PLANE)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "d.dcm", enforce_file_format=True)
    return tmp_path / "d.dcm"


def end_of_meta(whole: bytes) -> int:
    """Where the file meta information of a file ends."""
    return 144 + int.from_bytes(whole[140:144], "little")


def test_a_deflated_object_is_read_and_named(deflated: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(deflated, "d")
    for path in (deflated, tmp_path / "d.zip"):
        np.testing.assert_array_equal(io.read(path).voxels[..., 0].T, PLANE)
        (entry,) = io.survey([path])["series"]
        assert (entry["transfer_syntax"], entry["problem"]) == (
            "Deflated Explicit VR Little Endian",
            None,
        )
    assert pydicom.dcmread(deflated).pixel_array.shape == PLANE.shape


def test_every_cut_of_a_deflated_object_is_refused(deflated: Path) -> None:
    whole = deflated.read_bytes()
    for end in range(100, len(whole) - 1, 41):
        deflated.write_bytes(whole[:end])
        with pytest.raises(DeepSTDError) as caught:
            io.read(deflated)
        assert str(deflated) in str(caught.value)


def test_a_deflated_object_that_inflates_for_ever_is_not_followed(
    deflated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither behind the pixels, where nothing is read, nor in an element before them."""
    whole = deflated.read_bytes()
    start = end_of_meta(whole)
    plain = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    most = 1 << 20
    monkeypatch.setattr(unpacked, "MOST_HEADER_BYTES", most)
    monkeypatch.setattr("deepstd.io.dicom.encodings.MOST_HEADER_BYTES", most)
    monkeypatch.setattr("deepstd.io.dicom.images.MOST_HEADER_BYTES", most)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(50 * most)

    def with_data(data: bytes) -> None:
        packed = deflate.copy()
        deflated.write_bytes(whole[:start] + packed.compress(data) + packed.flush())

    with_data(plain + zeros)
    np.testing.assert_array_equal(io.read(deflated).voxels[..., 0].T, PLANE)
    private = b"\x09\0\x10\0LO\x04\0ACME\x09\0\x01\x10OB\0\0" + len(zeros).to_bytes(4, "little")
    first = plain.index(b"\x10\0\x10\0PN")
    with_data(plain[:first] + private + zeros + plain[first:])
    with pytest.raises(InputError, match=f"unpacks to more than the {most} bytes"):
        io.read(deflated)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
        ("1.2.840.10008.1.2.4.102", "MPEG-4"),
        ("1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.8.1"),
        ("1.3.6.1.4.1.9999.1", "1.3.6.1.4.1.9999.1"),
    ],
)
def test_a_transfer_syntax_without_a_decoder_is_refused_by_name_not_as_damaged(
    make_slice: Make, tmp_path: Path, syntax: str, name: str
) -> None:
    path = tmp_path / "a.dcm"
    dataset = make_slice(PLANE)
    dataset.save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    meta = dataset.file_meta
    meta.TransferSyntaxUID = UID(syntax)
    with path.open("wb") as stream:
        stream.write(whole[:132])
        write_file_meta_info(DicomFileLike(stream), meta, enforce_standard=False)
        stream.write(whole[end_of_meta(whole) :])
    with pytest.raises(UnsupportedFormatError, match="gdcmconv --raw") as caught:
        io.read(path)
    assert name in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_zeros_instead_of_elements_are_refused_at_once(make_slice: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    make_slice(PLANE).save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    meta = end_of_meta(whole)
    first = whole.index(b"\x28\0\x10\0US")
    for begin, message in (
        (whole[:132], "zeros follow. It is cut short"),
        (whole[:meta], "zeros follow. It is cut short"),
        (whole[:first], "ends before it says how large"),
    ):
        path.write_bytes(begin + bytes(1 << 20))
        with pytest.raises(InputError, match=message):
            io.read(path)
        with path.open("rb") as stream, suppress(InputError):
            read_header(stream, "a")
            assert stream.tell() < len(begin) + 1000
