""".npy files: the same bytes come back, and nothing is unpickled."""

from __future__ import annotations

import io as streams
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume


def npy_bytes(array: np.ndarray) -> bytes:
    stream = streams.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def put(folder: Path, data: bytes) -> Path:
    path = folder / "scan.npy"
    path.write_bytes(data)
    return path


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(["?", "u1", "<i2", ">i2", "<u4", ">u8", "<f2", "<f4", ">f8"]),
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    fortran=st.booleans(),
)
def test_round_trip_is_byte_identical(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, shape: tuple[int, ...], fortran: bool
) -> None:
    folder = tmp_path_factory.mktemp("npy")
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    data = npy_bytes(np.asarray(values, order="F" if fortran else "C"))
    volume = io.read(put(folder, data))
    np.testing.assert_array_equal(volume.voxels, values)
    assert volume.voxels.dtype == np.dtype(dtype)
    assert volume.affine is None
    assert len(volume.source.raw) <= 1
    io.write(volume.replace_voxels(np.ascontiguousarray(volume.voxels)), folder / "b.npy")
    assert (folder / "b.npy").read_bytes() == data


@pytest.mark.parametrize("fortran", [False, True])
def test_an_unusual_header_comes_back(tmp_path: Path, fortran: bool) -> None:
    values = np.arange(12, dtype="<i2").reshape(3, 4)
    text = f"{{'shape': (3, 4), 'fortran_order': {fortran}, 'descr': '<i2'}}\n".encode()
    data = npy.magic(2, 0) + len(text).to_bytes(4, "little") + text
    data += values.tobytes(order="F" if fortran else "C")
    volume = io.read(put(tmp_path, data))
    np.testing.assert_array_equal(volume.voxels, values)
    io.write(volume, tmp_path / "b.npy")
    assert (tmp_path / "b.npy").read_bytes() == data


@pytest.mark.parametrize(
    "array",
    [
        np.array([[{"a": 1}, None]], dtype=object),
        np.zeros((2, 2), dtype="c8"),
        np.zeros((2, 2), dtype=[("a", "u1")]),
        np.zeros((2, 2), dtype="U3"),
        np.zeros((2, 2), dtype="M8[s]"),
        np.zeros(5),
        np.zeros((2,) * 5),
        np.zeros((0, 2)),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(UnsupportedFormatError, match=r"scan\.npy"):
        io.read(path)


def test_damage_is_an_input_error(tmp_path: Path) -> None:
    data = npy_bytes(np.zeros((3, 4), "i2"))
    for length in range(len(data)):
        with pytest.raises(InputError, match=r"scan\.npy"):
            io.read(put(tmp_path, data[:length]))
    with pytest.raises(InputError, match="25"):
        io.read(put(tmp_path, data + b"x"))
    with pytest.raises(InputError, match="follow"):
        io.read(put(tmp_path, data.replace(b"(3, 4)", b"(9999999,9999999)")))
    with pytest.raises(UnsupportedFormatError, match="version"):
        io.read(put(tmp_path, npy.magic(3, 0) + data[8:]))


def test_nifti_to_npy_and_back(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    io.write(Volume(voxels, np.eye(4)), tmp_path / "a.nii.gz")
    io.write(io.read(tmp_path / "a.nii.gz"), tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), voxels)
    io.write(io.read(tmp_path / "b.npy"), tmp_path / "c.nii")
    np.testing.assert_array_equal(io.read(tmp_path / "c.nii").voxels, voxels)


def test_a_header_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    raw = npy_bytes(np.zeros((3, 4), "i2"))[:128]
    for voxels in (np.zeros((4, 3), "i2"), np.zeros((3, 4), "i4")):
        with pytest.raises(InputError, match=r"b\.npy.*declares"):
            io.write(Volume(voxels, None, SourceHeader("npy", raw)), tmp_path / "b.npy")
    with pytest.raises(InputError, match=r"b\.npy"):
        io.write(Volume(np.zeros((3, 4)), None, SourceHeader("npy", b"junk")), tmp_path / "b.npy")
