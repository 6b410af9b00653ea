"""Grey PNG and TIFF: pixels and resolution survive, everything else is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume


def chunk(name: bytes, payload: bytes) -> bytes:
    body = name + payload
    return len(payload).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def tiny_png(width: int, height: int, bits: int, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    row = b"\0" + bytes((min(width, 100) * bits + 7) // 8)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * min(height, 100)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("dpi", [None, (71.9836, 150.0)])
def test_round_trip(
    tmp_path: Path, dtype: type, suffix: str, dpi: tuple[float, float] | None
) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (7, 5), dtype, endpoint=True)
    source = tmp_path / f"a{suffix}"
    options: dict[str, Any] = {} if dpi is None else {"dpi": dpi}
    Image.fromarray(pixels).save(source, **options)
    volume = io.read(source)
    np.testing.assert_array_equal(volume.voxels, pixels)
    assert volume.voxels.dtype == dtype
    assert volume.shape == (7, 5)  # rows, columns
    assert volume.affine is None
    assert (volume.source.raw == b"") == (dpi is None)
    io.write(volume, tmp_path / f"b{suffix}")
    back = io.read(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(back.voxels, pixels)
    assert back.source == volume.source
    if dpi is not None:
        with Image.open(tmp_path / f"b{suffix}") as image:
            assert image.info["dpi"] == pytest.approx(dpi, abs=0.02)


def test_big_endian_tiff(tmp_path: Path) -> None:
    pixels = (np.arange(12).reshape(3, 4) * 1000).astype(">u2")
    entries = [
        (256, 3, 4), (257, 3, 3), (258, 3, 16), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 3, 3), (279, 4, 24),
    ]  # fmt: skip
    directory = len(entries).to_bytes(2, "big")
    for tag, kind, value in entries:
        field = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        directory += struct.pack(">HHI", tag, kind, 1) + field
    data = b"MM\0*" + (8 + 24).to_bytes(4, "big") + pixels.tobytes() + directory + bytes(4)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").voxels, pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_other_modes_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new("L", (4, 4), 7).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedFormatError, match=r"a\.png.*convert\(\"L\"\)"):
        io.read(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["F", "I", "1", "RGB"])
def test_other_tiff_modes_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(UnsupportedFormatError, match=r"a\.tif"):
        io.read(tmp_path / "a.tif")


def test_transparency_inversion_and_animations_are_refused(tmp_path: Path) -> None:
    grey = Image.new("L", (4, 4), 7)
    grey.save(tmp_path / "key.png", transparency=7)
    grey.save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    grey.save(tmp_path / "moving.png", save_all=True, append_images=[Image.new("L", (4, 4), 9)])
    for name in ("key.png", "inverted.tif", "moving.png"):
        with pytest.raises(UnsupportedFormatError, match=name):
            io.read(tmp_path / name)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_is_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "a.png").write_bytes(tiny_png(8, 8, bits))
    with pytest.raises(UnsupportedFormatError, match=r"a\.png"):
        io.read(tmp_path / "a.png")


@pytest.mark.parametrize("side", [10_000, 100_000, 2**31 - 1])
def test_bombs_are_refused(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(tiny_png(side, side, 8))
    with pytest.raises(InputError, match=r"a\.png"):
        io.read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_damage_is_an_input_error(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    for length in range(0, len(data) // 2, 7):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"a\."):
            io.read(path)
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 0x55
        path.write_bytes(flipped)
        message = str(path)
        try:
            io.read(path)
        except InputError as error:
            message = str(error)
        assert str(path) in message


@pytest.mark.parametrize(
    "voxels",
    [np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3), np.int16), np.zeros((3, 3), bool)],
)
def test_scans_that_are_no_image_are_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"a\.png.*nii\.gz"):
        io.write(Volume(voxels), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_image_header_is_an_input_error(tmp_path: Path) -> None:
    volume = Volume(np.zeros((3, 3), np.uint8), None, SourceHeader("png", b"{"))
    with pytest.raises(InputError, match=r"a\.png.*header"):
        io.write(volume, tmp_path / "a.png")


def test_png_to_nifti(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    io.write(io.read(tmp_path / "a.png"), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(io.read(tmp_path / "a.nii.gz").voxels, pixels)
