"""Packed files: what gzip and bzip2 unpack is unpacked, and damage is told."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Image

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.streams import head, opened

VOXELS = np.random.default_rng(0).integers(-900, 900, (7, 6, 5), np.int16)
SCAN = Nifti1Image(VOXELS, np.diag([1, 2, 3, 1])).to_bytes()


def put(folder: Path, data: bytes, name: str = "scan.nii.gz") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@settings(deadline=None, max_examples=40)
@given(
    parts=st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    zeros=st.integers(0, 3),
    level=st.sampled_from([0, 6]),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=5),
)
def test_members_are_read_one_after_another(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[bytes],
    zeros: int,
    level: int,
    sizes: list[int],
) -> None:
    packed = b"".join(gzip.compress(part, level, mtime=0) for part in parts) + bytes(zeros)
    path = put(tmp_path_factory.mktemp("gzip"), packed)
    found = b""
    with opened(path) as unpacked:
        for size in sizes * 900:
            piece = unpacked.stream.read(size)
            found += piece
            if not piece:
                break
        assert unpacked.notes == ()
    assert found == b"".join(parts) == gzip.decompress(packed)
    assert head(path, 10) == found[:10]


@pytest.mark.parametrize("cut", [10, 352, 353, 500])
def test_a_scan_in_several_members(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(SCAN[:cut]) + gzip.compress(SCAN[cut:])
    np.testing.assert_array_equal(io.read(put(tmp_path, packed)).voxels, VOXELS)


@pytest.mark.parametrize("rest", [b"trailing bytes", b"\0\0x", b"x", b"\x1f", bytes(600) + b"tail"])
def test_bytes_after_gzip_data_are_passed_over_and_told(tmp_path: Path, rest: bytes) -> None:
    path = put(tmp_path, gzip.compress(SCAN) + rest)
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert [note for note in volume.notes if "no gzip data follow" in note]
    io.write(volume, tmp_path / "back.nii")
    assert (tmp_path / "back.nii").read_bytes() == SCAN


def test_zeros_after_gzip_data_are_nothing_to_tell(tmp_path: Path) -> None:
    volume = io.read(put(tmp_path, gzip.compress(SCAN) + bytes(512)))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert not [note for note in volume.notes if "gzip" in note]


def test_a_later_member_that_is_damaged(tmp_path: Path) -> None:
    """Voxels that are not there are never made up, whatever follows the first member."""
    first, second = (gzip.compress(part, mtime=0) for part in (SCAN[:500], SCAN[500:]))
    read = 0
    for position in range(len(second)):
        damaged = bytearray(second)
        damaged[position] ^= 0x55
        path = put(tmp_path, first + damaged)
        try:
            volume = io.read(path)
        except InputError:
            continue
        # A byte of the member's header that means nothing, such as its time.
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        read += 1
    assert read < 10


def test_bzip2(tmp_path: Path) -> None:
    packed = bz2.compress(SCAN[:400]) + bz2.compress(SCAN[400:])
    volume = io.read(put(tmp_path, packed, "scan.nii.bz2"))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    io.write(volume, tmp_path / "back.nii")
    assert (tmp_path / "back.nii").read_bytes() == SCAN
    for length in (2, 3, 20, len(packed) // 2, len(packed) - 1):
        with pytest.raises(InputError, match=r"cut\.nii\.bz2"):
            io.read(put(tmp_path, packed[:length], "cut.nii.bz2"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_file_packed_twice_names_the_way_out(tmp_path: Path, pack: object) -> None:
    name = f"scan.nii.{'gz' if pack is gzip.compress else 'bz2'}"
    path = put(tmp_path, pack(pack(SCAN)), name)  # pyright: ignore[reportCallIssue]
    with pytest.raises(UnsupportedFormatError, match=rf"packed twice.*-dk {path}"):
        io.read(path)
