"""Random series of frames with scales of their own, against values computed with pydicom alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pydicom
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from deepstd import io
from deepstd.io import Metadata, dicom
from deepstd.volume import Volume

ROWS, COLUMNS = 3, 4


@dataclass(frozen=True)
class Stored:
    """Pixels (row, column) of a frame and what its header says of them."""

    pixels: np.ndarray
    bits: int
    slope: str
    intercept: str
    padding: int | None

    @property
    def real(self) -> np.ndarray:
        return self.pixels * float(self.slope) + float(self.intercept)

    @property
    def padded(self) -> np.ndarray:
        return self.pixels == self.padding


numbers = st.one_of(
    st.integers(-3000, 3000).map(str),
    st.floats(1e-4, 1e4).map(lambda x: f"{x:.6g}"),
    st.floats(-1e4, -1e-4).map(lambda x: f"{x:.6g}"),
)
slopes = st.one_of(st.sampled_from(["1", "1", "2", "0.5", "-1"]), numbers).filter(
    lambda slope: float(slope) != 0
)


@st.composite
def frames(draw: st.DrawFn, *, alike: bool) -> list[Stored]:
    """Two to four frames; of one type, depth and padding value where they have to be alike."""

    def way() -> tuple[np.dtype, int, int | None]:
        dtype = np.dtype(draw(st.sampled_from(["u1", "u2", "i2", "u2", "i2", "u4"])))
        bits = draw(st.integers(6, 8 * dtype.itemsize))
        lowest = -(1 << bits - 1) if dtype.kind == "i" else 0
        padding = draw(
            st.one_of(st.none(), st.integers(lowest, min(lowest + (1 << bits), 65536) - 1))
        )
        return dtype, bits, padding

    shared, found = way(), []
    for _ in range(draw(st.integers(2, 4))):
        dtype, bits, padding = shared if alike else way()
        lowest = -(1 << bits - 1) if dtype.kind == "i" else 0
        rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
        pixels = rng.integers(lowest, lowest + (1 << bits), (ROWS, COLUMNS)).astype(dtype)
        if padding is not None and draw(st.booleans()):
            pixels[0] = padding
        found.append(Stored(pixels, bits, draw(slopes), draw(numbers), padding))
    return found


def data_set(frame: Stored, *, implicit: bool) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
    dataset.Modality, dataset.SeriesInstanceUID = "MR", "1.2.3"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * frame.pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = frame.bits, frame.bits - 1
    dataset.PixelRepresentation = int(frame.pixels.dtype.kind == "i")
    if frame.padding is not None:
        dataset.PixelPaddingValue = frame.padding
    return dataset


def save(dataset: Dataset, pixels: np.ndarray, path: Path) -> None:
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OB" if pixels.dtype.itemsize == 1 else "OW", data)
    dataset.save_as(path, enforce_file_format=True)


def save_classic(found: Sequence[Stored], folder: Path, *, implicit: bool) -> None:
    for k, frame in enumerate(found):
        dataset = data_set(frame, implicit=implicit)
        dataset.ImagePositionPatient, dataset.PixelSpacing = [0, 0, 2 * k], [1, 1]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.RescaleSlope, dataset.RescaleIntercept = frame.slope, frame.intercept
        save(dataset, frame.pixels, folder / f"{k}.dcm")


def save_enhanced(found: Sequence[Stored], folder: Path, *, implicit: bool) -> None:
    def item(**values: Any) -> list[Dataset]:
        one = Dataset()
        for keyword, value in values.items():
            setattr(one, keyword, value)
        return [one]

    dataset = data_set(found[0], implicit=implicit)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    dataset.NumberOfFrames = len(found)
    shared, groups = Dataset(), []
    shared.PixelMeasuresSequence = item(PixelSpacing=[1, 1], SliceThickness=2)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for k, frame in enumerate(found):
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=[0, 0, -2 * k])
        group.PixelValueTransformationSequence = item(
            RescaleSlope=frame.slope, RescaleIntercept=frame.intercept, RescaleType="US"
        )
        groups.append(group)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = groups
    save(dataset, np.stack([frame.pixels for frame in found]), folder / "0.dcm")


def check(found: Sequence[Stored], folder: Path, metadata: Metadata, seed: int) -> None:
    """Read, write, and change a little: real-world values are those of the source each time."""
    volume = io.read(folder, metadata=metadata)
    slope, intercept = dicom.scale_of(volume.source)
    missing = np.isnan(volume.voxels)
    assert volume.nbytes == sum(frame.pixels.nbytes for frame in found)
    for k, frame in enumerate(found):
        values = volume.voxels[..., k].T * np.float64(slope) + intercept
        assert not (missing[..., k].T & ~frame.padded).any()
        expected = np.where(missing[..., k].T, np.nan, frame.real)
        np.testing.assert_allclose(values, expected, rtol=2e-7, atol=1e-12)
    assert missing.any() == (
        volume.voxels.dtype.kind == "f" and any(frame.padded.any() for frame in found)
    )
    for k, (pixels, scale) in enumerate(written(volume)):
        np.testing.assert_array_equal(pixels, found[k].pixels)
        np.testing.assert_allclose(scale, (float(found[k].slope), float(found[k].intercept)))

    size = float(np.ptp(np.nan_to_num(volume.voxels.astype(np.float64)))) / 50
    noise = np.random.default_rng(seed).uniform(-size, size, volume.shape)
    changed = volume.voxels + noise
    if volume.voxels.dtype.kind in "iu":
        limits = np.iinfo(volume.voxels.dtype)
        changed = np.clip(np.rint(changed), limits.min, limits.max)
    restored = io.requantised(volume.replace_voxels(changed.astype(volume.voxels.dtype)))
    for k, (pixels, _) in enumerate(written(restored)):
        frame = found[k]
        is_nan = missing[..., k].T
        values = pixels * float(frame.slope) + float(frame.intercept)
        kept = restored.voxels[..., k].T * np.float64(slope) + intercept
        np.testing.assert_allclose(values[~is_nan], kept[~is_nan], rtol=2e-7, atol=1e-9)
        allowed = (size + 1) * abs(slope) + 1.5 * abs(float(frame.slope))
        assert (np.abs(values - frame.real)[~is_nan] <= allowed * (1 + 1e-6)).all()
        if volume.voxels.dtype.kind == "f" and frame.padding is not None:
            np.testing.assert_array_equal(pixels == frame.padding, is_nan)


def written(volume: Volume) -> list[tuple[np.ndarray, tuple[float, float]]]:
    """Pixels, slope and intercept of each frame of a volume written as DICOM, slice by slice."""
    with TemporaryDirectory() as name:
        out = Path(name, "out")
        io.write(volume, out)
        datasets = [pydicom.dcmread(path) for path in sorted(out.iterdir())]
    if "PerFrameFunctionalGroupsSequence" not in datasets[0]:
        scales = [
            (float(d.get("RescaleSlope", 1)), float(d.get("RescaleIntercept", 0))) for d in datasets
        ]
        return list(zip((d.pixel_array for d in datasets), scales, strict=True))
    (one,) = datasets
    parts = [
        group.PixelValueTransformationSequence[0] for group in one.PerFrameFunctionalGroupsSequence
    ]
    scales = [(float(part.RescaleSlope), float(part.RescaleIntercept)) for part in parts]
    return list(zip(one.pixel_array, scales, strict=True))[::-1]


@given(frames(alike=False), st.booleans(), st.sampled_from(list(Metadata)), st.integers(0, 1 << 30))
@settings(max_examples=60)
def test_classic_series(found: list[Stored], implicit: bool, metadata: Metadata, seed: int) -> None:
    with TemporaryDirectory() as name:
        save_classic(found, Path(name), implicit=implicit)
        check(found, Path(name), metadata, seed)


def test_values_beside_the_limit_of_the_voxels_are_written_as_shown() -> None:
    """The coarse frame could store −42,951,000, the voxels only −42,949,672.96."""
    coarse = np.full((ROWS, COLUMNS), 14316, np.uint32)
    fine = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)
    found = [Stored(coarse, 14, "-3000", "0", None), Stored(fine, 6, "1", "1000.62", None)]
    with TemporaryDirectory() as name:
        save_classic(found, Path(name), implicit=False)
        volume = io.read(Path(name))
        slope, intercept = dicom.scale_of(volume.source)
        assert volume.voxels.dtype == np.int32
        voxels = volume.voxels.copy()
        voxels[..., 0] = np.iinfo(np.int32).min
        restored = io.requantised(volume.replace_voxels(voxels))
        (pixels, _), _ = written(restored)
        shown = restored.voxels[..., 0].T * np.float64(slope) + intercept
        np.testing.assert_allclose(pixels * -3000.0, shown)
        assert (pixels == 14316).all()


@given(frames(alike=True), st.booleans(), st.integers(0, 1 << 30))
@settings(max_examples=40)
def test_enhanced_objects(found: list[Stored], implicit: bool, seed: int) -> None:
    with TemporaryDirectory() as name:
        save_enhanced(found, Path(name), implicit=implicit)
        check(found[::-1], Path(name), Metadata.DEIDENTIFIED, seed)
