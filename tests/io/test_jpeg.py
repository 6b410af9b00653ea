"""JPEG: decoded grey values come back bit for bit as PNG; colours and absurd sizes are refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advice import run_advice
from PIL import Image

from deepstd import api, io
from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError

ROWS, COLUMNS = 37, 53
VALUES = np.add.outer(np.arange(ROWS) * 3, np.arange(COLUMNS) * 2).astype(np.uint8)


def save(path: Path, mode: str = "L", **options: Any) -> Path:
    Image.fromarray(VALUES).convert(mode).save(path, format="jpeg", quality=90, **options)
    return path


def decoded(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("L"))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"dpi": (254, 127)}])
@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "no-suffix"])
def test_grey(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = save(tmp_path / name, **options)
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, decoded(path))
    assert volume.affine is None
    assert any(f"JPEG image of {path.stat().st_size} bytes" in note for note in volume.notes)
    assert io.declared(path) == ((ROWS, COLUMNS), np.uint8)
    found = io.outline(path)
    assert found is not None
    assert (found.shape, found.dtype) == ((ROWS, COLUMNS), np.uint8)
    io.write(volume, tmp_path / "back.png")
    with Image.open(tmp_path / "back.png") as back:
        np.testing.assert_array_equal(np.asarray(back), volume.voxels)
        if options.get("dpi"):
            assert back.info["dpi"] == pytest.approx((254, 127), abs=0.1)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_equal_channels_are_grey(tmp_path: Path, subsampling: int) -> None:
    path = save(tmp_path / "a.jpg", "RGB", subsampling=subsampling)
    volume = io.read(path)
    with Image.open(path) as image:
        image.draft("L", image.size)  # the decoder's luma alone
        assert image.mode == "L"
        np.testing.assert_array_equal(volume.voxels, np.asarray(image))
    assert any("equal channels" in note for note in volume.notes)


def test_one_coloured_pixel_is_refused(tmp_path: Path) -> None:
    colours = np.stack([VALUES] * 3, -1)
    colours[16:24, 16:24, 0] += 40
    Image.fromarray(colours).save(tmp_path / "a.jpg", quality=95)
    with pytest.raises(UnsupportedFormatError, match=r"a\.jpg: .*in colour \(RGB\)") as caught:
        io.read(tmp_path / "a.jpg")
    run_advice(str(caught.value), tmp_path)
    assert io.read(tmp_path / "scan.png").shape == VALUES.shape


def test_cmyk_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", "CMYK")
    for use in (io.read, io.declared):
        with pytest.raises(UnsupportedFormatError, match=r"in colour \(CMYK"):
            use(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", exif=exif.tobytes(), dpi=(254, 127))
    plain = decoded(path)
    expected = {
        1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1],
        5: plain.T, 6: plain[::-1].T, 7: plain[::-1, ::-1].T, 8: plain.T[::-1],
    }[orientation]  # fmt: skip
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, expected)
    assert io.declared(path) == (expected.shape, np.uint8)


def test_several_images_are_refused(tmp_path: Path) -> None:
    images = [Image.fromarray(VALUES), Image.fromarray(VALUES[::-1])]
    images[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=images[1:])
    with pytest.raises(UnsupportedFormatError, match="2 images in a JPEG"):
        io.read(tmp_path / "a.jpg")


@pytest.mark.parametrize(("rows", "columns"), [(65500, 65500), (20000, 6000)])
def test_an_absurd_size_is_refused_before_decoding(tmp_path: Path, rows: int, columns: int) -> None:
    data = bytearray(save(tmp_path / "a.jpg").read_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", rows, columns)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.jpg: .*too many pixels"):
        io.read(tmp_path / "a.jpg")
    assert io.outline(tmp_path / "a.jpg") is None


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    data = save(tmp_path / "a.jpg").read_bytes()
    for length in range(3, len(data) - 2, 29):
        (tmp_path / "a.jpg").write_bytes(data[:length])
        with pytest.raises(DeepSTDError, match=r"a\.jpg: ") as caught:
            io.read(tmp_path / "a.jpg")
        assert "\n" not in str(caught.value)


def test_lossless_and_back(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg")
    api.compress(path, tmp_path / "a.dstd", lossless=True)
    api.decompress(tmp_path / "a.dstd", tmp_path / "b.png")
    np.testing.assert_array_equal(io.read(tmp_path / "b.png").voxels, decoded(path))
    assert api.verify(tmp_path / "a.dstd", against=path).as_stated


def test_a_batch_finds_them(tmp_path: Path) -> None:
    save(tmp_path / "view1_frontal.jpg")
    assert [scan.name for scan in io.discover(tmp_path).scans] == ["view1_frontal"]


def test_a_real_radiograph(data_dir: Path, tmp_path: Path) -> None:
    """As CheXpert-small has them: an 8-bit radiograph, smaller, as JPEG."""
    picture = sorted((data_dir / "chest-xray" / "images").glob("*.png"))[0]
    with Image.open(picture) as image:
        image.convert("L").resize((390, 320)).save(tmp_path / "view1_frontal.jpg", quality=85)
    volume = io.read(tmp_path / "view1_frontal.jpg")
    assert volume.shape == (320, 390)
    np.testing.assert_array_equal(volume.voxels, decoded(tmp_path / "view1_frontal.jpg"))
