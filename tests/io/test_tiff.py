"""TIFF files: every slice, type and size that a file states is read, or refused with a way out."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import nibabel.loadsave
import numpy as np
import pytest
import tifffile
from advice import run_advice
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepstd import api, io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.count import count_samples
from deepstd.io.picture_header import Kept, pack, unpack
from deepstd.volume import SourceHeader, Volume

SLICES = np.random.default_rng(0).integers(0, 60000, (6, 7, 5), np.uint16)  # slice, row, column
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
IMAGEJ = {"spacing": 2.5, "unit": "mm", "axes": "ZYX"}


def write(path: Path, values: np.ndarray = SLICES, **options: Any) -> Path:
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, values, **options)
    return path


def refused(path: Path, words: str) -> str:
    with pytest.raises(InputError, match=words) as caught:
        io.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def assert_slices(path: Path, values: np.ndarray = SLICES) -> Volume:
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, np.moveaxis(values, 0, -1))
    assert volume.voxels.dtype == values.dtype
    assert volume.source.format == "tiff-stack"
    assert io.declared(path) == (volume.shape, volume.voxels.dtype)
    assert count_samples([path]) == volume.voxels.size
    io.check_complete(path, volume)
    return volume


class TestSlicesWithoutDirectoriesOfTheirOwn:
    """One directory may describe a whole stack."""

    @pytest.mark.parametrize(
        "options",
        [
            {"imagej": True, "truncate": True, "metadata": IMAGEJ},
            {"imagej": True, "metadata": IMAGEJ},
            {"truncate": True},
            {"truncate": True, "bigtiff": True, "byteorder": ">"},
            {"bigtiff": True},
            {"volumetric": True, "tile": (16, 16, 16)},
            {"volumetric": True, "tile": (16, 16, 16), "compression": "zlib"},
            {"ome": True, "metadata": {"axes": "ZYX"}},
            {"metadata": None},
            {"metadata": None, "compression": "zlib", "predictor": True},
            {"metadata": None, "rowsperstrip": 2},
            {"metadata": None, "tile": (16, 16)},
        ],
    )
    def test_stacks(self, tmp_path: Path, options: dict[str, Any]) -> None:
        assert_slices(write(tmp_path / "a.tif", **options))

    def test_time_is_a_stack(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", imagej=True, truncate=True, metadata={"axes": "TYX"})
        assert_slices(path)

    @pytest.mark.parametrize("options", [{"imagej": True}, {"imagej": True, "truncate": True},
                                         {"ome": True}])  # fmt: skip
    def test_frames_of_stacks(self, tmp_path: Path, options: dict[str, Any]) -> None:
        values = SLICES.reshape(2, 3, 7, 5)
        path = write(
            tmp_path / "a.tif", values, metadata={"axes": "TZYX", "finterval": 3.0}, **options
        )
        volume = io.read(path)
        np.testing.assert_array_equal(volume.voxels, values.transpose(2, 3, 1, 0))
        io.write(volume, tmp_path / "b.tif")
        back = io.read(tmp_path / "b.tif")
        np.testing.assert_array_equal(back.voxels, volume.voxels)
        assert back.source == volume.source
        assert count_samples([path]) == volume.voxels.size

    def test_a_stack_that_is_cut_short(self, tmp_path: Path) -> None:
        ways: list[dict[str, Any]] = [
            {"imagej": True, "truncate": True},
            {"truncate": True},
            {"metadata": None},
        ]
        for options in ways:
            data = write(tmp_path / "a.tif", **options).read_bytes()
            for cut in (20, 71, 200):
                (tmp_path / "b.tif").write_bytes(data[:-cut])
                refused(tmp_path / "b.tif", "cut short|damaged|belong to no image|in the file")

    def test_a_description_of_more_images_than_there_are(self, tmp_path: Path) -> None:
        """As where a program saved one slice and kept the description of all."""
        for description in (
            "ImageJ=1.53t\nimages=6\nslices=6\n",
            "ImageJ=1.53t\nimages=6\n",
            '{"truncated": true, "shape": [6, 7, 5]}',
            "shape=(6, 7, 5)",
        ):
            path = write(tmp_path / "a.tif", SLICES[0], metadata=None, description=description)
            words = "6 images are said .* 1 can be read|cannot come of"
            run_advice(refused(path, words), tmp_path)
            np.testing.assert_array_equal(io.read(tmp_path / "scan.tif").voxels, SLICES[0])

    def test_data_that_no_directory_describes(self, tmp_path: Path) -> None:
        """Slices after the first, of a file whose description says nothing of them."""
        path = write(tmp_path / "a.tif", SLICES[0], metadata=None)
        path.write_bytes(path.read_bytes() + SLICES[1:].tobytes())
        refused(path, "350 bytes of the file belong to no image.*room for 5 more slices")

    def test_large_descriptions_are_no_slices(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", metadata=None, description="x" * 5000)
        assert_slices(path)

    def test_more_than_slices_and_frames(self, tmp_path: Path) -> None:
        values = np.zeros((2, 2, 2, 7, 5), "u1")
        refused(write(tmp_path / "a.tif", values), "2 x 2 x 2 images .* expected slices and frames")

    def test_a_part_of_several_files(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.ome.tif", ome=True, metadata={"axes": "ZYX"})
        text = path.read_bytes().replace(b'SizeZ="6"', b'SizeZ="9"')
        path.write_bytes(text)
        refused(path, "other files, or are missing|are said to be")


class TestSamples:
    """What a file says of its samples is kept, or refused with a way to their values."""

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("order", "<>")
    def test_types(self, tmp_path: Path, dtype: str, order: str) -> None:
        info = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
        values = (SLICES % 250).astype(dtype)
        values[0, 0, :2] = info.min, info.max
        path = write(tmp_path / "a.tif", values, byteorder=order, metadata=None)
        volume = assert_slices(path, values)
        io.write(volume, tmp_path / "b.tif")
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), values)
        assert tifffile.imread(tmp_path / "b.tif").dtype == values.dtype
        io.write(volume, tmp_path / "b.nii")
        if dtype != "f2":
            back = io.read(tmp_path / "b.nii").voxels
            np.testing.assert_array_equal(back, volume.voxels.swapaxes(0, 1))

    def test_as_pillow_writes_them(self, tmp_path: Path) -> None:
        for mode, dtype in (("F", "f4"), ("I", "i4"), ("L", "u1"), ("I;16", "u2")):
            image = Image.fromarray((SLICES[0] % 250).astype(dtype))
            assert image.mode == mode
            image.save(tmp_path / "a.tif")
            np.testing.assert_array_equal(io.read(tmp_path / "a.tif").voxels, SLICES[0] % 250)

    @pytest.mark.parametrize("kind", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
    @pytest.mark.parametrize("has_imagecodecs", [True, False])
    def test_compressed_pages(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, has_imagecodecs: bool
    ) -> None:
        """LZW is decoded by imagecodecs, or by Pillow where imagecodecs is not installed."""
        pages = [Image.fromarray(slice_) for slice_ in SLICES]
        path = tmp_path / "a.tif"
        pages[0].save(path, save_all=True, append_images=pages[1:], compression=kind)
        if not has_imagecodecs:
            codecs = tifffile.TIFF.DECOMPRESSORS
            known = {code: codecs[code] for code in (8, 32773)}
            monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", known)
        assert_slices(path)

    @pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
    def test_lzw_without_imagecodecs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
    ) -> None:
        pytest.importorskip("imagecodecs", reason="writes LZW")
        values = (SLICES % 250 - (0 if dtype == "u1" else 99)).astype(dtype)
        path = write(tmp_path / "a.tif", values, compression="lzw", metadata=None)
        monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {})
        assert_slices(path, values)

    def test_a_decoder_that_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "a.tif", SLICES.astype("f8"), compression="zlib")
        monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {})
        with pytest.raises(ImportError, match=r"a\.tif.*DEFLATE.*needs: pip install imagecodecs"):
            io.read(path)

    def test_white_is_zero(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", photometric="miniswhite", metadata=None)
        volume = assert_slices(path)
        assert any("white is zero" in note for note in volume.notes)
        io.write(volume, tmp_path / "b.tif")
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            assert file.pages.first.photometric == 0
        np.testing.assert_array_equal(io.read(tmp_path / "b.tif").voxels, volume.voxels)
        io.write(volume, f"{tmp_path / 'out'}/")
        assert io.read(tmp_path / "out").source == volume.source
        io.write(Volume(volume.voxels[..., 0], None, volume.source), tmp_path / "c.png")
        np.testing.assert_array_equal(io.read(tmp_path / "c.png").voxels, 65535 - SLICES[0])

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_orientations(self, tmp_path: Path, orientation: int, compression: str | None) -> None:
        path = write(
            tmp_path / "a.tif",
            SLICES[0],
            metadata=None,
            compression=compression,
            extratags=[(274, "H", 1, orientation, True)],
        )
        volume = io.read(path)
        # libtiff turns it, too. Pillow alone garbles images that are not compressed.
        write(
            tmp_path / "c.tif", SLICES[0], metadata=None, compression="zlib",
            extratags=[(274, "H", 1, orientation, True)],
        )  # fmt: skip
        with Image.open(tmp_path / "c.tif") as image:
            np.testing.assert_array_equal(volume.voxels, np.array(image))
        assert io.declared(path) == (volume.shape, volume.voxels.dtype)
        io.write(volume, tmp_path / "b.tif")
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), volume.voxels)

    @pytest.mark.parametrize(
        ("values", "options", "words"),
        [
            (SLICES[:3].transpose(1, 2, 0), {"photometric": "rgb"}, "3 samples a pixel .RGB"),
            (SLICES[:3], {"photometric": "rgb", "planarconfig": "separate"}, "3 samples a pixel"),
            (SLICES[:2].transpose(1, 2, 0), {"planarconfig": "contig", "extrasamples": [1]},
             "2 samples a pixel"),
            (SLICES, {"imagej": True, "metadata": {"axes": "CYX"}}, "6 channels"),
            (SLICES, {"ome": True, "metadata": {"axes": "CYX"}}, "6 channels"),
        ],
    )  # fmt: skip
    def test_several_samples_a_pixel(
        self, tmp_path: Path, values: np.ndarray, options: dict[str, Any], words: str
    ) -> None:
        message = refused(write(tmp_path / "a.tif", values, **options), words)
        assert "each channel as a scan of its own" in message
        run_advice(message, tmp_path)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "scan.tif"), values[..., 0])

    def test_palettes(self, tmp_path: Path) -> None:
        colours = np.random.default_rng(0).integers(0, 65535, (3, 256), np.uint16)
        indices = (SLICES[0] % 250).astype("u1")
        path = write(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
        run_advice(refused(path, "PALETTE.*indices"), tmp_path)
        np.testing.assert_array_equal(io.read(tmp_path / "scan.tif").voxels, indices)

    def test_few_bits(self, tmp_path: Path) -> None:
        Image.fromarray(SLICES[0] % 2 == 1).save(tmp_path / "a.tif")
        run_advice(refused(tmp_path / "a.tif", "1 bits a sample"), tmp_path)
        np.testing.assert_array_equal(io.read(tmp_path / "scan.tif").voxels, SLICES[0] % 2)

    def test_twelve_bits(self, tmp_path: Path) -> None:
        pytest.importorskip("imagecodecs", reason="packs 12 bits")
        values = SLICES[0] % 4096
        path = write(tmp_path / "a.tif", values, bitspersample=12, metadata=None)
        run_advice(refused(path, "12 bits a sample.*imagecodecs"), tmp_path)
        np.testing.assert_array_equal(io.read(tmp_path / "scan.tif").voxels, values)

    def test_complex_values(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", SLICES[0] + 1j * SLICES[1].astype("c8"))
        run_advice(refused(path, "complex values"), tmp_path)
        np.testing.assert_array_equal(io.read(tmp_path / "scan.tif").voxels, SLICES[0])

    def test_a_bit_map_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(UnsupportedFormatError, match=r"type bool cannot be a TIFF.*\.nii\.gz"):
            io.write(Volume(SLICES > 9), tmp_path / "a.tif")


class TestSizes:
    """Resolution, distances and grey scales come back, and reach other formats."""

    def test_units(self, tmp_path: Path) -> None:
        for unit, dpi in (("INCH", (127, 254)), ("CENTIMETER", (322.58, 645.16)), ("NONE", None)):
            path = write(
                tmp_path / "a.tif", SLICES[0], resolution=(127, 254), resolutionunit=unit,
                metadata=None,
            )  # fmt: skip
            volume = io.read(path)
            assert (volume.source.raw == b"") == (dpi is None)
            io.write(volume, tmp_path / "b.tif", overwrite=True)
            assert io.read(tmp_path / "b.tif").source == volume.source
            if dpi is not None:
                with Image.open(tmp_path / "b.tif") as image:
                    assert image.info["dpi"] == pytest.approx(dpi, rel=1e-6)

    @pytest.mark.parametrize(
        ("unit", "mm"), [("mm", 1), ("um", 1e-3), ("\\u00B5m", 1e-3), ("cm", 10)]
    )
    def test_imagej(self, tmp_path: Path, unit: str, mm: float) -> None:
        path = write(
            tmp_path / "a.tif", imagej=True, resolution=(2, 4),
            metadata={"spacing": 2.5, "unit": unit, "axes": "ZYX"},
        )  # fmt: skip
        volume = assert_slices(path)
        assert any("ImageJ description, which SimpleITK does not read" in n for n in volume.notes)
        io.write(volume, tmp_path / "b.nii")
        spacing = io.read(tmp_path / "b.nii").spacing
        assert spacing == pytest.approx((0.5 * mm, 0.25 * mm, 2.5 * mm))
        io.write(volume, tmp_path / "b.tif")
        back = io.read(tmp_path / "b.tif")
        assert back.source == volume.source
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            assert file.imagej_metadata is not None
            assert file.imagej_metadata["spacing"] == pytest.approx(2.5 * mm)

    @pytest.mark.parametrize("dtype", ["u2", "i2", "f8"])
    def test_ome(self, tmp_path: Path, dtype: str) -> None:
        told = {"axes": "ZYX"} | {
            f"PhysicalSize{a}": s for a, s in zip("XYZ", (500, 250, 2), strict=True)
        }
        told |= {"PhysicalSizeZUnit": "mm"}  # of the others it is µm
        values = SLICES.astype(dtype)
        volume = assert_slices(write(tmp_path / "a.tif", values, ome=True, metadata=told), values)
        io.write(volume, tmp_path / "b.nii")
        assert io.read(tmp_path / "b.nii").spacing == pytest.approx((0.5, 0.25, 2))
        io.write(volume, tmp_path / "b.tif")
        back = io.read(tmp_path / "b.tif")
        np.testing.assert_array_equal(back.voxels, volume.voxels)
        io.write(back, tmp_path / "c.nii")
        assert io.read(tmp_path / "c.nii").spacing == pytest.approx((0.5, 0.25, 2))

    @pytest.mark.parametrize("order", ["XYZCT", "XYCZT", "XYZTC", "XYTZC", "XYTCZ", "XYCTZ"])
    def test_axes_of_ome(self, tmp_path: Path, order: str) -> None:
        """Slices and frames in every order of the standard, a channel of length one among them."""
        lengths = {"Z": 3, "C": 1, "T": 2, "Y": 8, "X": 9}
        values = np.arange(3 * 2 * 8 * 9, dtype="u2").reshape(3, 2, 8, 9)  # Z, T, Y, X
        axes = order[::-1]
        stored = values.transpose(["ZTYX".index(axis) for axis in axes if axis != "C"])
        stored = stored.reshape([lengths[axis] for axis in axes])
        told = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "mm"}
        told |= {"PhysicalSizeY": 25000.0, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.2}
        told |= {"PhysicalSizeZUnit": "cm", "TimeIncrement": 1.5, "TimeIncrementUnit": "min"}
        volume = io.read(write(tmp_path / "a.ome.tif", stored, ome=True, metadata=told))
        np.testing.assert_array_equal(volume.voxels, values.transpose(2, 3, 0, 1))
        io.write(volume, tmp_path / "b.nii")
        image: Any = nibabel.loadsave.load(tmp_path / "b.nii")
        assert image.header.get_zooms() == pytest.approx((0.5, 0.025, 2.0, 90.0))
        np.testing.assert_array_equal(np.asarray(image.dataobj), values.transpose(3, 2, 0, 1))

    @pytest.mark.parametrize(
        ("unit", "mm"), [("Å", 1e-7), ("µm", 1e-3), ("dm", 100), ("ft", 304.8)]
    )
    def test_units_of_ome(self, tmp_path: Path, unit: str, mm: float) -> None:
        told = {"axes": "ZYX"}
        told |= {f"PhysicalSize{axis}": 3.0 for axis in "XYZ"}
        told |= {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}
        volume = io.read(write(tmp_path / "a.tif", ome=True, metadata=told))
        io.write(volume, tmp_path / "b.nrrd")
        spacing = io.read(tmp_path / "b.nrrd").spacing
        assert spacing == pytest.approx((3 * mm,) * 3, rel=1e-5)

    def test_units_without_a_length(self, tmp_path: Path) -> None:
        told = {"axes": "ZYX"} | {f"PhysicalSize{axis}": 3.0 for axis in "XYZ"}
        told |= {f"PhysicalSize{axis}Unit": "pixel" for axis in "XYZ"}
        volume = io.read(write(tmp_path / "a.tif", ome=True, metadata=told))
        assert not volume.source.raw

    @pytest.mark.parametrize("axes", ["CYX", "CZYX", "TCZYX", "ZCYX"])
    def test_channels_of_ome_are_refused(self, tmp_path: Path, axes: str) -> None:
        shape = [{"C": 2, "Z": 3, "T": 2, "Y": 8, "X": 9}[axis] for axis in axes]
        values = np.zeros(shape, "u2")
        path = write(tmp_path / "a.ome.tif", values, ome=True, metadata={"axes": axes})
        assert "Save each channel" in refused(path, "2 channels|2 samples")

    def test_signed_values_of_imagej(self, tmp_path: Path) -> None:
        """ImageJ stores int16 as uint16 with a calibration."""
        path = write(
            tmp_path / "a.tif",
            imagej=True,
            metadata={"axes": "ZYX", "cf": 0, "c0": -32768, "c1": 1},
        )
        volume = assert_slices(path)
        assert any("calibration (1 x value + -32768)" in note for note in volume.notes)
        real = np.moveaxis(SLICES.astype(int) - 32768, 0, -1)
        np.testing.assert_array_equal(io.real_world(volume).voxels, real)
        io.write(volume, tmp_path / "b.tif")
        back = io.read(tmp_path / "b.tif")
        assert back.source == volume.source
        np.testing.assert_array_equal(io.real_world(back).voxels, real)

    def test_another_calibration_is_told(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", imagej=True, metadata={"axes": "ZYX", "cf": 20})
        assert any("calibration function 20 is not kept" in n for n in io.read(path).notes)


class TestStructure:
    """Other images in a file, and directories that are damaged."""

    def test_slices_that_differ(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for values in (SLICES[0], SLICES[1], SLICES[2, :6]):
                file.write(values, photometric="minisblack", metadata=None)
        refused(tmp_path / "a.tif", r"page 3 is TIFF of 6 x 5.*page 1 of 7 x 5")
        with tifffile.TiffWriter(tmp_path / "b.tif") as file:
            for photometric in ("minisblack", "miniswhite"):
                file.write(SLICES[0], photometric=photometric, metadata=None)
        refused(tmp_path / "b.tif", "page 2 .*white is zero.*must be alike")

    def test_smaller_copies_are_left_out_and_told(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(SLICES[0], photometric="minisblack", metadata=None)
            file.write(SLICES[0, ::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
        volume = io.read(tmp_path / "a.tif")
        np.testing.assert_array_equal(volume.voxels, SLICES[0])
        assert any("smaller copies" in note for note in volume.notes)
        assert count_samples([tmp_path / "a.tif"]) == 35
        with tifffile.TiffWriter(tmp_path / "b.tif") as file:
            file.write(SLICES[0], photometric="minisblack", subifds=1, metadata=None)
            file.write(SLICES[0, ::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
        np.testing.assert_array_equal(io.read(tmp_path / "b.tif").voxels, SLICES[0])

    def test_two_scans_in_one_file(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(SLICES, photometric="minisblack")
            file.write(SLICES, photometric="minisblack")
        refused(tmp_path / "a.tif", "2 scans in one file")

    def test_pages_are_counted_before_memory_is_asked_for(self, tmp_path: Path) -> None:
        first = Image.fromarray(np.zeros((3000, 3000), "u1"))
        first.save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
        data = bytearray((tmp_path / "a.tif").read_bytes())
        # Every page after the first is the first once more, in a directory of its own.
        start = int.from_bytes(data[4:8], "little")
        count = int.from_bytes(data[start : start + 2], "little")
        directory = data[start : start + 2 + 12 * count]
        following = start + 2 + 12 * count
        for _ in range(200):
            data[following : following + 4] = len(data).to_bytes(4, "little")
            following = len(data) + len(directory)
            data += directory + bytes(4)
        (tmp_path / "a.tif").write_bytes(data)
        refused(tmp_path / "a.tif", "201.*cannot come of")

    def test_a_circle_of_pages_ends(self, tmp_path: Path) -> None:
        data = bytearray(write(tmp_path / "a.tif", SLICES[:2], metadata=None).read_bytes())
        start = int.from_bytes(data[4:8], "little")
        end = start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")
        second = int.from_bytes(data[end : end + 4], "little")
        end = second + 2 + 12 * int.from_bytes(data[second : second + 2], "little")
        data[end : end + 4] = data[4:8]
        (tmp_path / "a.tif").write_bytes(data)
        try:
            volume = io.read(tmp_path / "a.tif")
        except InputError as error:
            message = str(error)
        else:
            message = "a.tif"
            np.testing.assert_array_equal(volume.voxels, np.moveaxis(SLICES[:2], 0, -1))
        assert "a.tif" in message

    def test_big_endian_directories(self, tmp_path: Path) -> None:
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

    @pytest.mark.parametrize("options", [{}, {"imagej": True, "truncate": True},
                                         {"compression": "zlib", "metadata": None}])  # fmt: skip
    def test_flipped_bytes_never_escape_as_other_errors(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        data = write(tmp_path / "a.tif", SLICES[:3], **options).read_bytes()
        path = tmp_path / "b.tif"
        random = np.random.default_rng(1)
        for _ in range(150):
            flipped = bytearray(data)
            flipped[random.integers(len(data) if random.random() < 0.2 else 400)] ^= 0x55
            path.write_bytes(flipped)
            message = str(path)
            try:
                io.read(path)
            except (InputError, ImportError) as error:
                message = str(error)
            assert str(path) in message


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    dpi=st.sampled_from([None, (100.0, 50.0)]),
    distance=st.sampled_from([None, 2.5]),
)
def test_whatever_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    shape: list[int],
    dpi: tuple[float, float] | None,
    distance: float | None,
) -> None:

    folder = tmp_path_factory.mktemp("tiff")
    voxels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    kept = Kept(dpi, distance if len(shape) > 2 else None)
    source = SourceHeader("tiff" if len(shape) == 2 else "tiff-stack", pack(kept))
    if len(shape) == 4 and dtype in ("u8", "i8", "f2"):
        with pytest.raises(UnsupportedFormatError, match=r"frames of type.*\.nii\.gz"):
            io.write(Volume(voxels, None, source), folder / "a.tif")
        return
    io.write(Volume(voxels, None, source), folder / "a.tif")
    back = io.read(folder / "a.tif")
    # An axis of length one is no axis in TIFF.
    rest = tuple(n for n in shape[2:] if n > 1)
    np.testing.assert_array_equal(back.voxels, voxels.reshape(*shape[:2], *rest))
    found = unpack(back.source.raw)
    if kept.slice is not None and dtype not in ("u8", "i8", "f2"):
        assert found.slice == pytest.approx(kept.slice)
    if dpi is not None:
        assert found.dpi == pytest.approx(dpi)


def test_verify_notices_slices_that_were_lost(
    tmp_path: Path, only_tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that loses slices does so on both sides of the comparison."""
    axes = np.mgrid[:9, :20, :18].sum(0)
    path = write(tmp_path / "a.tif", (axes * 4).astype("u2"), imagej=True, truncate=True)
    lost = Volume(np.ascontiguousarray((axes[0] * 4).astype("u2")))
    monkeypatch.setattr("deepstd.io.registry.format_of_content", lambda path: _Reader(lost))
    api.compress(path, tmp_path / "a.dstd", ratio=4)
    with pytest.raises(InputError, match=r"a\.tif: holds 3240 samples, the compressed scan 360"):
        api.verify(tmp_path / "a.dstd", against=path)


class _Reader:
    """A format whose reader gives one scan."""

    def __init__(self, volume: Volume) -> None:
        self.read = lambda path, metadata: volume
