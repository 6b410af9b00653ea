"""NIfTI files: stored values, header bytes and affine survive; damage gives a clear error."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header, Nifti1Image, data_type_codes
from nibabel.nifti2 import Nifti2Header

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
AFFINE = np.array([[-0.7, 0.1, 0, 90], [0, 0.8, -0.2, -120], [0.1, 0, 2.5, 7], [0, 0, 0, 1]])


def nifti_bytes(
    kind: str = "nifti1",
    order: str = "<",
    dtype: str = "i2",
    shape: tuple[int, ...] = (5, 4, 3),
    extensions: bytes = bytes(4),
    end: bytes = b"",
    **fields: object,
) -> bytes:
    """A whole single-file NIfTI with awkward header fields set."""
    header_class = Nifti1Header if kind == "nifti1" else Nifti2Header
    header = header_class(endianness=order)
    header.set_data_shape(shape)
    header["datatype"] = data_type_codes[np.dtype(dtype)]
    header["bitpix"] = np.dtype(dtype).itemsize * 8
    header["pixdim"][1:4] = (0.7, 0.8, 2.5)
    header.set_sform(AFFINE, code=1)
    header.set_qform(AFFINE, code=2)
    header["scl_slope"], header["scl_inter"] = 2.5, -1024
    header["descrip"] = b"kept \xff as it is"
    header["xyzt_units"] = 10
    header["vox_offset"] = header.sizeof_hdr + len(extensions)
    for name, value in fields.items():
        header[name] = value
    rng = np.random.default_rng(0)
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return header.binaryblock + extensions + rng.bytes(count) + end


def put(folder: Path, data: bytes, name: str = "scan.nii") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["nifti1", "nifti2"]),
    order=st.sampled_from("<>"),
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple),
    extensions=st.binary(max_size=100).map(lambda b: b"\1\0\0\0" + b),
    end=st.binary(max_size=20),
    zipped=st.booleans(),
)
def test_round_trip_is_byte_identical(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    order: str,
    dtype: str,
    shape: tuple[int, ...],
    extensions: bytes,
    end: bytes,
    zipped: bool,
) -> None:
    folder = tmp_path_factory.mktemp("nifti")
    data = nifti_bytes(kind, order, dtype, shape, extensions, end)
    source = put(
        folder, gzip.compress(data) if zipped else data, "in.nii.gz" if zipped else "a.nii"
    )
    volume = io.read(source)
    assert volume.shape == shape
    assert volume.voxels.dtype == np.dtype(order + dtype)
    assert volume.source.format == kind
    io.write(volume, folder / "b.nii")
    io.write(volume, folder / "b.nii.gz")
    assert (folder / "b.nii").read_bytes() == data
    assert gzip.decompress((folder / "b.nii.gz").read_bytes()) == data


def test_values_and_affine_are_nibabels(tmp_path: Path) -> None:
    path = put(tmp_path, nifti_bytes())
    image = Nifti1Image.from_filename(path)
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, image.dataobj.get_unscaled())  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(io.affine_of(volume.source), image.affine)  # pyright: ignore[reportCallIssue, reportArgumentType]
    np.testing.assert_array_equal(io.affine_of(volume.source), volume.affine)


@pytest.mark.parametrize(
    ("fields", "scale"),
    [({"xyzt_units": 3}, 1e-3), ({"xyzt_units": 1}, 1e3), ({"xyzt_units": 0}, 1.0)],
)
def test_affine_is_in_millimetres(tmp_path: Path, fields: dict, scale: float) -> None:
    affine = io.read(put(tmp_path, nifti_bytes(**fields))).affine
    assert affine is not None
    np.testing.assert_allclose(affine[:3], AFFINE[:3] * scale, rtol=1e-6)


def test_decoded_voxels_are_written_in_the_byte_order_of_the_file(tmp_path: Path) -> None:
    data = nifti_bytes(order=">")
    volume = io.read(put(tmp_path, data))
    native = np.ascontiguousarray(volume.voxels, dtype="i2")
    io.write(volume.replace_voxels(native), tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == data


def test_axes_of_length_one_after_the_fourth_come_back(tmp_path: Path) -> None:
    data = nifti_bytes(shape=(4, 3, 2, 2, 1, 1))
    volume = io.read(put(tmp_path, data))
    assert volume.shape == (4, 3, 2, 2)
    io.write(volume, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == data


def test_zero_vox_offset_means_after_the_header(tmp_path: Path) -> None:
    data = nifti_bytes(vox_offset=0)
    volume = io.read(put(tmp_path, data))
    np.testing.assert_array_equal(
        volume.voxels, io.read(put(tmp_path, nifti_bytes(), "b.nii")).voxels
    )
    io.write(volume, tmp_path / "c.nii")
    assert (tmp_path / "c.nii").read_bytes() == data


def test_equal_scans_give_equal_gzip_files(tmp_path: Path) -> None:
    volume = io.read(put(tmp_path, nifti_bytes()))
    io.write(volume, tmp_path / "a.nii.gz")
    io.write(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "f2"])
@pytest.mark.parametrize("affine", [AFFINE, None])
def test_fresh_header(tmp_path: Path, dtype: str, affine: np.ndarray | None) -> None:
    voxels = (np.arange(60).reshape(5, 4, 3) % 2 if dtype == "bool" else np.arange(60)).astype(
        dtype
    )
    voxels = voxels.reshape(5, 4, 3)
    io.write(Volume(voxels, affine), tmp_path / "a.nii.gz")
    back = io.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(back.voxels, voxels)
    assert back.voxels.dtype == {"bool": np.uint8, "f2": np.float32}.get(dtype, np.dtype(dtype))
    if affine is not None:
        assert back.affine is not None
        np.testing.assert_allclose(back.affine, affine, rtol=1e-6)
    image = Nifti1Image.from_filename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), voxels)


def test_long_axes_take_nifti2(tmp_path: Path) -> None:
    io.write(Volume(np.zeros((40000, 2), np.uint8), np.eye(4)), tmp_path / "a.nii")
    assert io.read(tmp_path / "a.nii").source.format == "nifti2"


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"datatype": 32}, UnsupportedFormatError, "complex64"),
        ({"datatype": 128}, UnsupportedFormatError, "RGB"),
        ({"datatype": 1536}, UnsupportedFormatError, "float128"),
        ({"datatype": 777}, UnsupportedFormatError, "777"),
        ({"magic": b"ni1"}, InputError, "image file .* is not beside"),
        ({"magic": b""}, UnsupportedFormatError, "Analyze"),
        ({"dim": [5, 5, 4, 3, 1, 3, 1, 1]}, UnsupportedFormatError, "axes"),
        ({"dim": [1, 60, 1, 1, 1, 1, 1, 1]}, UnsupportedFormatError, "axes"),
        ({"dim": [3, 5, 0, 3, 1, 1, 1, 1]}, InputError, "damaged"),
        ({"dim": [3, -1, 4, 3, 1, 1, 1, 1]}, InputError, "damaged"),
        ({"dim": [9, 5, 4, 3, 1, 1, 1, 1]}, InputError, "damaged"),
        ({"dim": [4, 32767, 32767, 32767, 32767, 1, 1, 1]}, InputError, "cannot hold"),
        ({"dim": [3, 6, 4, 3, 1, 1, 1, 1]}, InputError, "cannot hold"),
        ({"vox_offset": 100}, InputError, "damaged"),
        ({"vox_offset": -1}, InputError, "damaged"),
        ({"vox_offset": np.nan}, InputError, "damaged"),
        ({"vox_offset": 1e30}, InputError, "damaged"),
        ({"vox_offset": 1e9}, InputError, "damaged"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_headers_are_refused(
    tmp_path: Path, fields: dict, error: type[InputError], words: str, zipped: bool
) -> None:
    data = nifti_bytes(**fields)
    path = put(tmp_path, gzip.compress(data) if zipped else data, "odd.nii")
    if zipped and fields.get("dim") == [3, 6, 4, 3, 1, 1, 1, 1]:
        words = "cut short"
    with pytest.raises(error, match=words) as caught:
        io.read(path)
    assert str(path) in str(caught.value)


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="follow"):
        io.read(put(tmp_path, nifti_bytes(end=bytes(70000))))


@pytest.mark.parametrize("zipped", [False, True])
def test_every_truncation_is_an_input_error(tmp_path: Path, zipped: bool) -> None:
    data = nifti_bytes(shape=(3, 3, 3), dtype="u1", extensions=b"\1\0\0\0" + bytes(20))
    data = gzip.compress(data, mtime=0) if zipped else data
    for length in range(0, len(data) - (0 if zipped else 1), 5):
        with pytest.raises(InputError, match=r"cut\.nii"):
            io.read(put(tmp_path, data[:length], "cut.nii"))


@settings(deadline=None, max_examples=200)
@given(data=st.data(), zipped=st.booleans())
def test_flipped_bytes_never_escape_as_other_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, zipped: bool
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    whole = nifti_bytes()
    whole = gzip.compress(whole, mtime=0) if zipped else whole
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = put(folder, bytes(damaged))
    try:
        volume = io.read(path)
    except InputError as error:
        message = str(error)
    else:
        message = str(path)
        io.write(volume, folder / "b.nii")
        again = (
            gzip.decompress(damaged) if zipped and damaged[:2] == b"\x1f\x8b" else bytes(damaged)
        )
        assert (folder / "b.nii").read_bytes() == again
    assert str(path) in message


def test_a_wrong_checksum_in_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(nifti_bytes(shape=(30, 20, 20))))
    data[-8] ^= 1
    with pytest.raises(InputError, match=r"scan\.nii\.gz.*data check"):
        io.read(put(tmp_path, bytes(data), "scan.nii.gz"))


def test_a_header_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    volume = io.read(put(tmp_path, nifti_bytes()))
    cases = [
        Volume(volume.voxels[:2], volume.affine, volume.source),
        Volume(volume.voxels.astype("f4"), volume.affine, volume.source),
        Volume(volume.voxels, np.eye(4), volume.source),
        Volume(volume.voxels, None, volume.source),
        Volume(volume.voxels, volume.affine, SourceHeader("nifti1", b"short")),
        Volume(volume.voxels, volume.affine, SourceHeader("nifti1", volume.source.raw[:348])),
    ]
    for case in cases:
        with pytest.raises(InputError, match=r"b\.nii.*header"):
            io.write(case, tmp_path / "b.nii")
    assert not (tmp_path / "b.nii").exists()


def test_absurd_sizes_are_refused_without_memory(tmp_path: Path) -> None:
    """A NIfTI-2 header of exabytes, and lengths whose product overflows 64 bits."""
    data = bytearray(nifti_bytes("nifti2"))
    struct.pack_into("<8q", data, 16, 3, 2**40, 2**40, 2**40, 1, 1, 1, 1)
    with pytest.raises(InputError, match="cannot hold"):
        io.read(put(tmp_path, bytes(data)))


def test_real_scans_come_back(tmp_path: Path, data_dir: Path) -> None:
    scans = sorted((data_dir / "samples").glob("**/*.nii*"))
    assert scans
    for scan in scans:
        volume = io.read(scan)
        io.write(volume, tmp_path / "b.nii", overwrite=True)
        data = scan.read_bytes()
        assert (tmp_path / "b.nii").read_bytes() == (
            gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        )
