"""Folders of images: one volume, there and back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepstd import api, io
from deepstd.errors import InputError, OutputExistsError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume


def voxels(dtype: str = "u2", slices: int = 12) -> np.ndarray:
    shape = (7, 5, slices)
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)


def save(folder: Path, values: np.ndarray, suffix: str = ".png") -> Path:
    """Slices under names whose alphabetical order is not their order."""
    folder.mkdir()
    for number in range(values.shape[2]):
        Image.fromarray(values[..., number]).save(folder / f"slice_{number + 1}{suffix}")
    return folder


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize(
    ("suffix", "name"), [(".png", "png-stack"), (".tif", "tiff-stack"), (".TIFF", "tiff-stack")]
)
def test_a_folder(tmp_path: Path, suffix: str, name: str, dtype: str) -> None:
    values = voxels(dtype)
    folder = save(tmp_path / "in", values, suffix)
    (folder / ".hidden").write_bytes(b"x")
    volume = io.read(folder)
    np.testing.assert_array_equal(volume.voxels, values)
    assert volume.voxels.dtype == dtype
    assert (volume.affine, volume.source) == (None, SourceHeader(name))
    io.write(volume, tmp_path / "out")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    ending = ".png" if suffix == ".png" else ".tif"
    assert written == [f"slice_{n:04d}{ending}" for n in range(1, 13)]
    np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, values)


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
def test_pages(tmp_path: Path, dtype: str) -> None:
    values = voxels().astype(dtype)
    io.write(Volume(values), tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert getattr(image, "n_frames", 1) == 12
    volume = io.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.voxels, values)
    assert volume.source == SourceHeader("tiff-stack")
    io.write(volume, f"{tmp_path / 'out'}/")
    np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, values)


def test_other_ways_to_name_a_folder(tmp_path: Path) -> None:
    volume = Volume(voxels())
    (tmp_path / "there").mkdir()
    for place in (f"{tmp_path / 'new'}/", tmp_path / "there"):
        io.write(volume, place)
        np.testing.assert_array_equal(io.read(place).voxels, volume.voxels)
    with pytest.raises(UnsupportedFormatError, match="suffix names no format"):
        io.write(volume, tmp_path / "no-suffix")


def test_slices_that_differ(tmp_path: Path) -> None:
    for number, other in enumerate(
        [voxels()[:6, :, 0], voxels("u1")[..., 0], np.zeros((5, 7), "u2")]
    ):
        folder = save(tmp_path / str(number), voxels())
        Image.fromarray(other).save(folder / "slice_3.png")
        Image.fromarray(other).save(folder / "slice_11.png")
        with pytest.raises(
            InputError, match=r"slice_3\.png is PNG of .* slice_1\.png PNG of 7 x 5"
        ):
            io.read(folder)
    folder = save(tmp_path / "mixed", voxels())
    Image.fromarray(voxels()[..., 0]).save(folder / "slice_2.tif")
    with pytest.raises(InputError, match=r"slice_2\.tif is TIFF"):
        io.read(folder)


def test_folders_that_are_no_stack(tmp_path: Path) -> None:
    folder = save(tmp_path / "in", voxels())
    (folder / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"in: .*notes\.txt"):
        io.read(folder)
    (folder / "notes.txt").rename(folder / "slice_4.png")
    with pytest.raises(InputError, match=r"in: slice_4\.png"):
        io.read(folder)
    (folder / "slice_4.png").unlink()
    Image.new("RGB", (5, 7)).save(folder / "slice_4.png")
    with pytest.raises(UnsupportedFormatError, match=r"in: slice_4\.png.*RGB"):
        io.read(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="No DICOM file is there"):
        io.read(tmp_path / "empty")


def test_a_slice_that_is_cut_short(tmp_path: Path) -> None:
    folder = save(tmp_path / "in", voxels())
    data = (folder / "slice_5.png").read_bytes()
    (folder / "slice_5.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"in: slice_5\.png"):
        io.read(folder)


@pytest.mark.parametrize(
    "values", [voxels().astype("i2"), voxels()[..., 0], voxels()[..., None], voxels() > 3]
)
def test_scans_that_are_no_stack(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"out.*nii\.gz"):
        io.write(Volume(values), f"{tmp_path / 'out'}/")
    assert list(tmp_path.iterdir()) == []


def test_slices_of_types_that_only_tiff_has(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    values = voxels().astype("f4") / 7 - 3
    for number in range(values.shape[2]):
        Image.fromarray(values[..., number]).save(tmp_path / "in" / f"{number}.tif")
    volume = io.read(tmp_path / "in")
    np.testing.assert_array_equal(volume.voxels, values)
    io.write(volume, tmp_path / "out")
    np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, values)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_all_slices_say_is_kept(tmp_path: Path, suffix: str) -> None:
    folder = save(tmp_path / "in", voxels(slices=3))
    for path in list(folder.iterdir()):
        with Image.open(path) as image:
            image.save(path.with_suffix(suffix), dpi=(127, 254))
        if suffix != ".png":
            path.unlink()
    volume = io.read(folder)
    io.write(volume, tmp_path / "out")
    with Image.open(tmp_path / "out" / f"slice_0001{suffix}") as image:
        assert image.info["dpi"] == pytest.approx((127, 254), abs=0.02)
    assert io.read(tmp_path / "out").source == volume.source
    Image.fromarray(voxels()[..., 0]).save(folder / f"slice_2{suffix}", dpi=(100, 100))
    assert io.read(folder).source.raw == b""


class TestFoldersInThePlaceOfOthers:
    """Nothing that is not ours is deleted, and nothing half-written stays."""

    def test_existing_slices(self, tmp_path: Path) -> None:
        old, new = Volume(voxels(slices=12)), Volume(voxels(slices=3) // 2)
        io.write(old, f"{tmp_path / 'out'}/")
        with pytest.raises(OutputExistsError, match="out"):
            io.write(new, tmp_path / "out")
        np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, old.voxels)
        io.write(new, tmp_path / "out", overwrite=True)
        np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, new.voxels)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    @pytest.mark.parametrize("name", ["precious.txt", "slice_1.png", "slice_0001.png.bak"])
    def test_other_files_are_kept(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / name).write_bytes(b"x")
        with pytest.raises(InputError, match=name):
            io.write(Volume(voxels()), tmp_path / "out", overwrite=True)
        assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_folder_named_like_a_slice_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "out" / "slice_0001.png").mkdir(parents=True)
        with pytest.raises(InputError, match="slice_0001"):
            io.write(Volume(voxels()), tmp_path / "out", overwrite=True)
        assert (tmp_path / "out" / "slice_0001.png").is_dir()

    def test_a_file_that_appears_meanwhile_is_kept(self, tmp_path: Path) -> None:
        def write() -> None:
            with io.atomic_folder(tmp_path / "out", ours=lambda name: True) as folder:
                (folder / "mine").touch()
                (tmp_path / "out").mkdir()
                (tmp_path / "out" / "theirs").touch()

        with pytest.raises(OutputExistsError, match="out"):
            write()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
    def test_a_failure_leaves_nothing(
        self, tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_image = Image.Image.save
        calls = iter(range(100))

        def fail(*arguments: object, **options: object) -> None:
            if next(calls) == 5:
                raise error
            save_image(*arguments, **options)  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
            io.write(Volume(voxels()), f"{tmp_path / 'out'}/")
        assert list(tmp_path.iterdir()) == []

    def test_the_old_folder_returns_where_the_new_cannot_take_its_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = Volume(voxels())
        io.write(old, f"{tmp_path / 'out'}/")
        rename, calls = os.rename, iter(range(100))

        def fail(*arguments: Path) -> None:
            if next(calls) == 1:
                raise OSError(28, "No space left on device")
            rename(*arguments)

        monkeypatch.setattr(os, "rename", fail)
        with pytest.raises(InputError, match="No space"):
            io.write(Volume(voxels(slices=2)), tmp_path / "out", overwrite=True)
        np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, old.voxels)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_through_the_codec(tmp_path: Path, only_tiny: Path) -> None:
    axes = np.mgrid[:20, :18, :9].astype(float)
    folder = save(tmp_path / "in", (axes.sum(0) * 4).astype("u1"))
    api.compress(folder, tmp_path / "a.dstd", ratio=10)
    volume = api.decompress(tmp_path / "a.dstd", tmp_path / "out")
    np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, volume.voxels)
    api.decompress(tmp_path / "a.dstd", tmp_path / "out.tif")
    np.testing.assert_array_equal(io.read(tmp_path / "out.tif").voxels, volume.voxels)
