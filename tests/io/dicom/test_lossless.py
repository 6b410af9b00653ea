"""Lossless files of DICOM series: the same pixels, and nothing that speaks of loss."""

from __future__ import annotations

import io as streams
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

import deepstd
from deepstd import io
from deepstd.container import parse
from deepstd.errors import DamagedError, InputError
from deepstd.io import Metadata
from deepstd.quality import Quality
from deepstd.volume import Volume

Make = Callable[..., Any]
PLACES = [(0.0, 0.0, 3.0 * k) for k in range(4)]
LOSSY = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "DerivationDescription",
    "DerivationCodeSequence",
)


def by_height(folder: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(found, key=lambda one: float(one.ImagePositionPatient[2]))


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 2000, (7, 6, 4)).astype(np.int16)


def there_and_back(
    folder: Path, metadata: Metadata = Metadata.DEIDENTIFIED, **options: Any
) -> list[Dataset]:
    """Compress a series, restore it, and check that its pixels are the same."""
    packed, back = folder.with_name("scan.dstd"), folder.with_name("back")
    deepstd.compress(folder, packed, metadata=metadata, **(options or {"lossless": True}))
    deepstd.decompress(packed, back)
    assert deepstd.verify(packed, against=folder).as_stated
    for before, after in zip(by_height(folder), by_height(back), strict=True):
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
        assert after.pixel_array.dtype == before.pixel_array.dtype
        for keyword in ("RescaleSlope", "RescaleIntercept", "BitsStored", "PixelRepresentation"):
            assert after[keyword].value == before[keyword].value
    return by_height(back)


@pytest.mark.parametrize("metadata", list(Metadata))
def test_nothing_speaks_of_loss(save_series: Make, metadata: Metadata) -> None:
    folder = save_series(pixels(), PLACES, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    for dataset in there_and_back(folder, metadata):
        assert not [keyword for keyword in LOSSY if keyword in dataset]
        if metadata is not Metadata.NONE:
            assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]


@pytest.mark.parametrize("metadata", list(Metadata))
def test_a_source_that_was_lossy_stays_so(save_series: Make, metadata: Metadata) -> None:
    told = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10"}
    folder = save_series(pixels(), PLACES, **told)
    for dataset in there_and_back(folder, metadata):
        assert dataset.LossyImageCompression == "01"
        if metadata is not Metadata.NONE:
            assert dataset.LossyImageCompressionRatio == 10
        assert "LossyImageCompressionMethod" not in dataset
    deepstd.decompress(folder.with_name("scan.dstd"), folder.with_name("small"), level=1)
    assert {d.LossyImageCompression for d in by_height(folder.with_name("small"))} == {"01"}


@pytest.mark.parametrize("metadata", list(Metadata))
def test_a_lossy_transfer_syntax_is_enough(
    make_slice: Make, tmp_path: Path, metadata: Metadata
) -> None:
    from PIL import Image
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    folder = tmp_path / "jpeg"
    folder.mkdir()
    for k in range(2):
        plane = np.random.default_rng(k).integers(0, 255, (16, 16)).astype(np.uint8)
        stream = streams.BytesIO()
        Image.fromarray(plane).save(stream, "JPEG", quality=90)
        dataset = make_slice(plane, (0, 0, 2 * k))
        dataset.PixelData = encapsulate([stream.getvalue()])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.save_as(folder / str(k), enforce_file_format=True)
    assert {d.LossyImageCompression for d in there_and_back(folder, metadata)} == {"01"}


def test_previews_are_not_lossy(save_series: Make) -> None:
    folder = save_series(pixels(), PLACES)
    there_and_back(folder)
    volume = deepstd.decompress(folder.with_name("scan.dstd"), folder.with_name("small"), level=1)
    np.testing.assert_array_equal(volume.voxels, pixels()[::2, ::2, ::2])
    for dataset in by_height(folder.with_name("small")):
        assert "LossyImageCompression" not in dataset


def test_constant_series_are_not_lossy(save_series: Make) -> None:
    folder = save_series(np.full((7, 6, 4), 9, np.int16), PLACES)
    for dataset in there_and_back(folder):
        assert "LossyImageCompression" not in dataset


@pytest.fixture
def pet(make_slice: Make, tmp_path: Path) -> Path:
    """Four slices with slopes of their own, and one padding value."""
    rng = np.random.default_rng(5)
    folder = tmp_path / "pet"
    folder.mkdir()
    for k, slope in enumerate((0.037769796, 3.1202072, 0.087664951, 0.60055343)):
        plane = rng.integers(0, 32000, (16, 15)).astype(np.int16)
        plane[:, :2] = -32768
        more = {"PixelPaddingValue": -32768, "RescaleIntercept": "0", "Modality": "PT"}
        dataset = make_slice(plane, (0, 0, 3 * k), RescaleSlope=str(slope), **more)
        dataset.save_as(folder / str(k), enforce_file_format=True)
    return folder


@pytest.mark.parametrize("metadata", list(Metadata))
def test_slices_with_slopes_of_their_own(pet: Path, metadata: Metadata) -> None:
    there_and_back(pet, metadata)
    container = parse(pet.with_name("scan.dstd").read_bytes(), "scan.dstd")
    assert container.head.dtype == np.float32
    # The values of the files are coded, which are smaller than the voxels.
    assert container.exact is not None
    assert len(container.exact) < 1.1 * container.head.stored_bytes
    volume = io.read(pet)
    preview = deepstd.decompress(pet.with_name("scan.dstd"), level=1)
    np.testing.assert_array_equal(preview.voxels, volume.voxels[::2, ::2, ::2])


def test_voxels_that_no_file_stores_come_back_too(pet: Path, tmp_path: Path) -> None:
    volume = io.read(pet)
    for voxels in (volume.voxels + np.float32(1e-3), np.where(volume.voxels > 9, np.nan, 1.0)):
        changed = volume.replace_voxels(voxels.astype(np.float32))
        deepstd.compress(changed, tmp_path / "a.dstd", lossless=True, overwrite=True)
        back = deepstd.decompress(tmp_path / "a.dstd").voxels
        assert back.tobytes() == changed.voxels.tobytes()


LAYERED = {"max_bytes": 4000, "effort": "fast", "with_residual": True}


def test_an_exact_part_speaks_of_no_loss(save_series: Make, only_tiny: Path) -> None:
    folder = save_series(pixels(), PLACES, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    for dataset in there_and_back(folder, **{**LAYERED, "max_bytes": 1500}):
        assert not [keyword for keyword in LOSSY if keyword in dataset]
    deepstd.decompress(folder.with_name("scan.dstd"), folder.with_name("lossy"), lossy=True)
    for dataset in by_height(folder.with_name("lossy")):
        assert dataset.LossyImageCompression == "01"


def test_an_exact_part_of_slices_with_slopes_of_their_own(pet: Path, only_tiny: Path) -> None:
    there_and_back(pet, **LAYERED)
    told = deepstd.info(pet.with_name("scan.dstd"))
    assert 0 < told.exact_bytes < 1.1 * told.stored_bytes


def test_slices_of_several_pixel_types(make_slice: Make, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for k, code in enumerate(("<i2", "<u2", "<i2")):
        plane = np.random.default_rng(k).integers(0, 900, (9, 8)).astype(code)
        make_slice(plane, (0, 0, 2 * k)).save_as(folder / str(k), enforce_file_format=True)
    there_and_back(folder)


def test_a_range_of_padding_is_refused_with_a_way_out(make_slice: Make, tmp_path: Path) -> None:
    folder = tmp_path / "range"
    folder.mkdir()
    for k, slope in enumerate(("0.37", "0.11")):
        plane = np.array([[0, 1, 2], [3, 900, 4000]], np.uint16)
        more = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 2, "RescaleIntercept": str(k)}
        dataset = make_slice(plane, (0, 0, k), RescaleSlope=slope, **more)
        dataset.save_as(folder / str(k), enforce_file_format=True)
    with pytest.raises(InputError, match=r"range: .* 4 voxels, .* cannot be lossless\. .*--ratio"):
        deepstd.compress(folder, tmp_path / "scan.dstd", lossless=True)
    assert not (tmp_path / "scan.dstd").exists()
    # Voxels that a program has changed are not those of the files, and come back as they are.
    volume = io.read(folder)
    changed = volume.replace_voxels(volume.voxels + np.float32(1))
    deepstd.compress(changed, tmp_path / "changed.dstd", lossless=True)
    back = deepstd.decompress(tmp_path / "changed.dstd").voxels
    assert back.tobytes() == changed.voxels.tobytes()
    # The way out: one slice alone is on one scale.
    deepstd.compress(folder / "0", tmp_path / "scan.dstd", lossless=True)
    deepstd.decompress(tmp_path / "scan.dstd", tmp_path / "back.dcm")
    before, after = (pydicom.dcmread(path) for path in (folder / "0", tmp_path / "back.dcm"))
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)


def test_a_header_without_stored_values_is_damage(pet: Path) -> None:
    from deepstd.codec import exact
    from deepstd.container import NO_BUNDLE, Head, write_exact_container

    head = Head("npy", np.dtype("<f4"), (16, 15, 4), NO_BUNDLE, Quality(0, 0, np.inf, 1))
    deepstd.compress(pet, pet.with_name("scan.dstd"), lossless=True)
    payload = parse(pet.with_name("scan.dstd").read_bytes(), "x").exact
    assert payload is not None
    data = write_exact_container(head, b"", payload, bytes(4))
    with pytest.raises(DamagedError, match=r"scan\.dstd is damaged: its voxels"):
        exact.decode(parse(data, "scan.dstd"))


def test_real_series(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "dicom" / "series-generic-anatomical-002-non-isotropic"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    deepstd.compress(folder, tmp_path / "scan.dstd", lossless=True)
    back = deepstd.decompress(tmp_path / "scan.dstd", tmp_path / "back")
    assert isinstance(back, Volume)
    for before, after in zip(by_height(folder), by_height(tmp_path / "back"), strict=True):
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
