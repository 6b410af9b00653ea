"""Segmentations become label volumes, and come back as the same frames of the same segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

import deepstd
from deepstd import io
from deepstd.codec import labels
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import Metadata
from deepstd.io.dicom.layout import Layout

Make = Callable[..., Any]
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
ROWS, COLUMNS = 5, 7  # 35 bits a frame, so frames begin within bytes


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, meaning: str) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)


@pytest.fixture
def save(make_slice: Make, tmp_path: Path) -> Callable[..., Path]:
    """save(frames, [(z, segment)], kind, **attributes): a segmentation as a file."""

    def make(
        frames: np.ndarray,
        places: list[tuple[float, int]],
        kind: str = "BINARY",
        name: str = "object.dcm",  # which says nothing of labels
        **attributes: Any,
    ) -> Path:
        is_binary = kind == "BINARY"
        packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
        data = packed if is_binary else frames.tobytes()
        told = {
            "SOPClassUID": LABEL_MAP if kind == "LABELMAP" else SEGMENTATION,
            "Modality": "SEG",
            "NumberOfFrames": len(frames),
            "SegmentationType": kind,
            "PixelData": data + bytes(len(data) % 2),
            "ImageType": ["DERIVED", "PRIMARY"],
            "LossyImageCompression": "00",
            "ContentLabel": "SEG",
        }
        dataset = make_slice(frames[0], None)
        if is_binary:
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
        for keyword, value in {**told, **attributes}.items():
            setattr(dataset, keyword, value)
        dataset.SegmentSequence = [
            item(
                SegmentNumber=number,
                SegmentLabel="Liver of Doe^Jane",
                SegmentAlgorithmType="MANUAL",
                SegmentedPropertyCategoryCodeSequence=[code("123037004", "Anatomical Structure")],
                SegmentedPropertyTypeCodeSequence=[code("10200004", "Liver")],
            )
            for number in sorted({segment for _, segment in places})
        ]
        measures = item(PixelSpacing=[2, 3], SliceThickness=5, SpacingBetweenSlices=5)
        axes = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        dataset.SharedFunctionalGroupsSequence = [
            item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[axes])
        ]
        dataset.PerFrameFunctionalGroupsSequence = []
        for z, segment in places:
            group = item(PlanePositionSequence=[item(ImagePositionPatient=[10, 20, z])])
            group.FrameContentSequence = [item(DimensionIndexValues=[segment, int(z) + 100])]
            if segment:
                told_segment = item(ReferencedSegmentNumber=segment)
                group.SegmentIdentificationSequence = [told_segment]
            dataset.PerFrameFunctionalGroupsSequence.append(group)
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return make


def apart(count: int, *, seed: int = 0) -> np.ndarray:
    """Return masks (segment, slice, row, column) of three segments without a common voxel."""
    drawn = np.random.default_rng(seed).integers(0, 4, (count, ROWS, COLUMNS))
    return np.stack([drawn == number for number in (1, 2, 3)]).astype(np.uint8)


def there_and_back(
    path: Path, metadata: Metadata = Metadata.DEIDENTIFIED, ratio: float = 8
) -> Dataset:
    """Compress at a ratio, restore as DICOM, and compare pixels, places and segments."""
    packed, back = path.with_suffix(".dstd"), path.with_suffix(".back.dcm")
    report = deepstd.compress(path, packed, ratio=ratio, metadata=metadata)
    assert report.lossless
    deepstd.decompress(packed, back)
    assert deepstd.verify(packed, against=path).as_stated
    before, after = pydicom.dcmread(path), pydicom.dcmread(back)
    np.testing.assert_array_equal(pixel_array(after, raw=True), pixel_array(before, raw=True))
    assert after.PixelData == before.PixelData
    for keyword in (
        *("SOPClassUID", "SegmentationType", "NumberOfFrames", "BitsAllocated", "BitsStored"),
        *("HighBit", "PhotometricInterpretation", "LossyImageCompression", "ImageType"),
    ):
        assert after[keyword].value == before[keyword].value
    assert after.PerFrameFunctionalGroupsSequence == before.PerFrameFunctionalGroupsSequence
    assert after.SharedFunctionalGroupsSequence == before.SharedFunctionalGroupsSequence
    assert len(after.SegmentSequence) == len(before.SegmentSequence)
    for one, other in zip(after.SegmentSequence, before.SegmentSequence, strict=True):
        assert one.SegmentNumber == other.SegmentNumber
        assert one.SegmentedPropertyTypeCodeSequence == other.SegmentedPropertyTypeCodeSequence
    assert "LossyImageCompressionRatio" not in after
    assert "RescaleSlope" not in after
    return after


@pytest.mark.parametrize("metadata", [Metadata.DEIDENTIFIED, Metadata.ALL])
def test_segments_apart_are_one_volume_of_their_numbers(
    save: Callable[..., Path], tmp_path: Path, metadata: Metadata, secrets: tuple[str, ...]
) -> None:
    masks = apart(4)
    order = np.random.default_rng(1).permutation(12)
    numbers = (2, 5, 300)
    places = [(-5.0 * (n % 4), numbers[n // 4]) for n in order]
    path = save(masks.reshape(12, ROWS, COLUMNS)[order], places)
    volume = io.read(path, metadata=metadata)
    # Slices from low to high, which are the last ones first here.
    both = zip(numbers, masks, strict=True)
    expected = np.sum([number * mask.astype(int) for number, mask in both], axis=0)
    np.testing.assert_array_equal(volume.voxels, np.transpose(expected[::-1], (2, 1, 0)))
    assert volume.voxels.dtype == np.uint16
    assert volume.labels
    assert volume.nbytes == -(-12 * ROWS * COLUMNS // 8)
    assert volume.affine is not None
    np.testing.assert_allclose(
        volume.affine, [[-3, 0, 0, -10], [0, -2, 0, -20], [0, 0, 5, -15], [0, 0, 0, 1]]
    )
    after = there_and_back(path, metadata)
    label = after.SegmentSequence[0].SegmentLabel
    assert label == ("Liver" if metadata is Metadata.DEIDENTIFIED else "Liver of Doe^Jane")
    if metadata is Metadata.DEIDENTIFIED:
        written = (tmp_path / "object.back.dcm").read_bytes()
        assert not any(secret.encode() in written for secret in secrets)
    deepstd.decompress(path.with_suffix(".dstd"), tmp_path / "labels.nii.gz")
    image: Any = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume.voxels)
    np.testing.assert_allclose(image.affine, volume.affine)


def test_empty_slices_that_are_left_out_are_empty(save: Callable[..., Path]) -> None:
    masks = apart(8)
    kept = [(0, 1), (0, 2), (0, 7), (1, 1), (2, 6)]  # of 8 slices: 1, 2, 6 and 7
    frames = np.stack([masks[segment, slice_] for segment, slice_ in kept])
    path = save(frames, [(2.5 * slice_, segment + 1) for segment, slice_ in kept])
    volume = io.read(path)
    assert volume.shape == (COLUMNS, ROWS, 7)
    assert any("3 slices without a frame" in note for note in volume.notes)
    assert not volume.voxels[:, :, 2:5].any()
    np.testing.assert_array_equal(volume.voxels[:, :, 6].T, masks[0, 7])
    there_and_back(path)


def test_segments_that_overlap_lie_along_a_fourth_axis(save: Callable[..., Path]) -> None:
    frames = np.random.default_rng(3).integers(0, 2, (6, ROWS, COLUMNS)).astype(np.uint8)
    path = save(frames, [(1.5 * (n // 2), (4, 2)[n % 2]) for n in range(6)])
    volume = io.read(path)
    assert volume.shape == (COLUMNS, ROWS, 3, 2)
    for n, frame in enumerate(frames):
        np.testing.assert_array_equal(volume.voxels[:, :, n // 2, 1 - n % 2].T, frame)
    assert any("(2, 4)" in note for note in volume.notes)
    there_and_back(path)


@pytest.mark.parametrize("segments", [(1,), (1, 2)])
def test_fractions_are_kept_as_they_are(
    save: Callable[..., Path], segments: tuple[int, ...]
) -> None:
    frames = np.random.default_rng(4).integers(0, 256, (6, ROWS, COLUMNS)).astype(np.uint8)
    count = 6 // len(segments)
    places = [(2.0 * (n % count), segments[n // count]) for n in range(6)]
    path = save(
        frames, places, "FRACTIONAL", SegmentationFractionalType="PROBABILITY",
        MaximumFractionalValue=255,
    )  # fmt: skip
    volume = io.read(path)
    assert volume.shape == (COLUMNS, ROWS, count, len(segments))[: 2 + len(segments)]
    there_and_back(path)
    report = deepstd.compress(path, path.with_name("few.dstd"), ratio=200)
    assert labels.NOTE in report.notes


@pytest.mark.parametrize(
    ("dtype", "photometric"), [(np.uint8, "PALETTE COLOR"), (np.uint16, "MONOCHROME2")]
)
def test_maps_of_labels(save: Callable[..., Path], dtype: type, photometric: str) -> None:
    drawn = np.random.default_rng(5).integers(0, 4, (3, ROWS, COLUMNS)).astype(dtype)
    path = save(
        drawn, [(2.0 * n, 0) for n in range(3)], "LABELMAP", PhotometricInterpretation=photometric
    )
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, drawn.transpose(2, 1, 0))
    assert volume.affine is not None
    there_and_back(path)


UNEVEN = [(0.0, 1), (1.0, 1), (1.4, 1), (3.0, 1)]
FAR = [(0.0, 1), (1.0, 1), (500.0, 1), (501.0, 1)]
TWICE = [(0.0, 1), (0.0, 1), (1.0, 1), (1.0, 1)]


@pytest.mark.parametrize("places", [UNEVEN, FAR, TWICE])
def test_frames_without_a_grid_stay_in_their_order(
    save: Callable[..., Path], places: list[tuple[float, int]]
) -> None:
    frames = np.random.default_rng(6).integers(0, 2, (4, ROWS, COLUMNS)).astype(np.uint8)
    path = save(frames, places)
    volume = io.read(path)
    assert volume.affine is None
    np.testing.assert_array_equal(volume.voxels, np.moveaxis(frames, 0, -1))
    assert any("no grid" in note for note in volume.notes)
    there_and_back(path)


def test_frames_of_several_orientations_stay_one_object(save: Callable[..., Path]) -> None:
    frames = np.random.default_rng(6).integers(0, 2, (4, ROWS, COLUMNS)).astype(np.uint8)
    path = save(frames, [(1.0 * n, 1) for n in range(4)])
    dataset = pydicom.dcmread(path)
    for n, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        turned = [0, 1, 0, 0, 0, -1] if n % 2 else [1, 0, 0, 0, 1, 0]
        group.PlaneOrientationSequence = [item(ImageOrientationPatient=turned)]
        group.FrameContentSequence[0].StackID = str(n % 2)
    dataset.save_as(path)
    (entry,) = io.survey([path])["series"]
    assert entry["shape"] == [ROWS, COLUMNS, 4]
    assert io.read(path).affine is None
    there_and_back(path)


def test_one_frame(save: Callable[..., Path]) -> None:
    path = save(apart(1)[0], [(3.0, 1)])
    assert io.read(path).shape == (COLUMNS, ROWS, 1)
    there_and_back(path, ratio=0.1)


def test_random_objects_come_back(save: Callable[..., Path]) -> None:
    rng = np.random.default_rng(7)
    for n in range(12):
        count, step = int(rng.integers(1, 7)), float(rng.uniform(0.5, 4))
        every = [(step * k, s) for k in range(count) for s in (1, 2, 3)]
        some = rng.permutation(len(every))[: int(rng.integers(1, len(every) + 1))]
        masks = apart(count, seed=n)
        if n % 3 == 0:
            masks[:] = rng.integers(0, 2, masks.shape)
        frames = np.stack([masks[k % 3, k // 3] for k in some])
        there_and_back(save(frames, [every[k] for k in some], name=f"{n}.dcm"), ratio=0.1)


def test_a_segmentation_is_a_scan_beside_its_series(
    save: Callable[..., Path], make_slice: Make, tmp_path: Path
) -> None:
    masks = apart(2)
    path = save(np.concatenate([masks[0], masks[1]]), [(z, s) for s in (1, 2) for z in (0, 5)])
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(path.read_bytes())
    make_slice(np.zeros((ROWS, COLUMNS), np.int16)).save_as(
        tmp_path / "ct.dcm", enforce_file_format=True
    )
    shapes = {entry["modality"]: entry["shape"] for entry in io.survey([tmp_path])["series"]}
    assert shapes == {"CT": [COLUMNS, ROWS, 1], "SEG": [COLUMNS, ROWS, 2]}
    scans = io.discover(tmp_path).scans
    sizes = {scan.sizes for scan in scans}
    assert sizes == {(35, 70), (4 * 35, 18)}
    found = [entry for entry in io.survey([tmp_path])["series"] if entry["modality"] == "SEG"]
    assert any("there twice" in note for note in found[0]["notes"])


def test_without_its_data_set_it_is_written_as_a_label_volume_only(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    path = save(apart(3)[0], [(2.0 * n, 1) for n in range(3)])
    volume = io.read(path, metadata=Metadata.NONE)
    assert any("--drop-metadata" in note for note in volume.notes)
    with pytest.raises(UnsupportedFormatError, match="segmentation was not kept"):
        io.write(volume, tmp_path / "back.dcm")
    io.write(volume, tmp_path / "back.nii.gz")


def test_cut_pixels_and_other_volumes_are_refused(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    path = save(apart(400)[0], [(2.0 * n, 1) for n in range(400)])
    whole = path.read_bytes()
    for cut in (2, 900):
        path.write_bytes(whole[: len(whole) - cut])
        with pytest.raises(InputError):
            io.read(path)
    path.write_bytes(whole)
    volume = io.read(path)
    with pytest.raises(InputError, match="describes 400"):
        io.check_header(volume.source, (COLUMNS, ROWS, 399), volume.voxels.dtype)
    layout = Layout(1, [0, 1], [1, 1], merged=True)
    with pytest.raises(InputError, match="2 slices were kept for 3"):
        layout.frames([np.zeros((2, 2), np.uint8)] * 3)


@pytest.mark.parametrize("name", ["liver.dcm", "liver_expb.dcm"])
def test_real_segmentations(data_dir: Path, tmp_path: Path, name: str) -> None:
    source = data_dir / "dicom" / "single" / name
    volume = io.read(source)
    assert volume.shape == (512, 512, 3)
    report = deepstd.compress(source, tmp_path / "seg.dstd", ratio=16)
    assert report.lossless
    assert report.file_bytes < 2000
    deepstd.decompress(tmp_path / "seg.dstd", tmp_path / "back.dcm")
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "back.dcm")
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    for one, other in zip(
        after.PerFrameFunctionalGroupsSequence, before.PerFrameFunctionalGroupsSequence, strict=True
    ):
        assert one.PlanePositionSequence == other.PlanePositionSequence
        assert one.SegmentIdentificationSequence == other.SegmentIdentificationSequence
    assert after.SegmentSequence[0].SegmentLabel == "Liver"
