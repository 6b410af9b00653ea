"""Grey PNG: pixels, resolution and significant bits survive, everything else is refused."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advice import run_advice
from PIL import Image
from PIL.PngImagePlugin import PngInfo

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
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".TIFF"])
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


def refused(path: Path) -> str:
    with pytest.raises(UnsupportedFormatError, match=re.escape(str(path))) as caught:
        io.read(path)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_other_modes_name_a_way_to_their_values(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.arange(0, 240, 10, dtype="u1").reshape(4, 6))
    image = grey.convert(mode)
    image.save(tmp_path / "a.png")
    message = refused(tmp_path / "a.png")
    assert f"mode {mode} " in message
    run_advice(message, tmp_path)
    stored = np.asarray(image)
    expected = stored if stored.ndim == 2 else stored[..., 0]
    np.testing.assert_array_equal(np.load(tmp_path / "scan.npy"), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_names_a_way_to_its_values(tmp_path: Path, bits: int) -> None:
    values = np.arange(8, dtype="u1") % (1 << bits)
    packed = "".join(f"{value:0{bits}b}" for value in values)
    row = b"\0" + int(packed, 2).to_bytes(bits, "big")
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    run_advice(refused(tmp_path / "a.png"), tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "scan.npy"), values[None])


def test_colours_of_16_bits_are_not_left_to_pillow(tmp_path: Path) -> None:
    """Pillow reads them as 8 bits."""
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + bytes(range(6)))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert f"magick {tmp_path / 'a.png'} -separate" in refused(tmp_path / "a.png")


def test_transparency_and_animations_are_refused(tmp_path: Path) -> None:
    grey = Image.new("L", (4, 4), 7)
    grey.save(tmp_path / "key.png", transparency=7)
    grey.save(tmp_path / "moving.png", save_all=True, append_images=[Image.new("L", (4, 4), 9)])
    run_advice(refused(tmp_path / "key.png"), tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "scan.npy"), np.full((4, 4), 7))
    assert "animation of 2 frames" in refused(tmp_path / "moving.png")


@pytest.mark.parametrize(("dtype", "bits"), [("u2", 12), ("u2", 1), ("u1", 6), ("u2", None)])
def test_significant_bits_are_kept(tmp_path: Path, dtype: str, bits: int | None) -> None:
    pixels = (np.arange(12).reshape(3, 4) * 16).astype(dtype)
    chunks = PngInfo()
    if bits is not None:
        chunks.add(b"sBIT", bytes([bits]))
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=chunks, dpi=(254, 254))
    volume = io.read(tmp_path / "a.png")
    io.write(volume, tmp_path / "b.png")
    data = (tmp_path / "b.png").read_bytes()
    assert (chunk(b"sBIT", bytes([bits or 0])) in data) == (bits is not None)
    assert data.find(b"sBIT") < data.find(b"IDAT")
    assert io.read(tmp_path / "b.png").source == volume.source


def test_a_resolution_is_kept_for_png_alone(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), "u1")).save(tmp_path / "a.png", dpi=(127, 254))
    volume = io.read(tmp_path / "a.png")
    assert any("127 x 254 dpi" in note and "1 mm" in note for note in volume.notes)
    half = Volume(volume.voxels[::2, ::2], None, io.subsampled(volume.source, (2, 2), (2, 2)), ())
    io.write(half, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["dpi"] == pytest.approx((63.5, 127), abs=0.02)


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
