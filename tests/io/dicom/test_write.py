"""DICOM out: the series back as derived images; what is kept and what is not."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from deepstd import io
from deepstd.errors import InputError, OutputExistsError, UnsupportedFormatError
from deepstd.io import Metadata, dicom
from deepstd.volume import Derivation, SourceHeader, Volume

UPRIGHT = [(10.0, 20.0, 5.0 + 2.5 * k) for k in range(5)]
DERIVATION = Derivation(64.0, "DeepSTD 64:1")


def written(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("metadata", list(Metadata))
def test_a_series_comes_back_with_its_geometry_and_grey_scale(
    save_series: Callable[..., Path], ramp: np.ndarray, tmp_path: Path, metadata: Metadata
) -> None:
    volume = io.read(save_series(ramp, UPRIGHT), metadata=metadata)
    io.write(volume, tmp_path / "out", derivation=DERIVATION)
    back = io.read(tmp_path / "out")
    np.testing.assert_array_equal(back.voxels, ramp)
    assert back.affine is not None
    assert volume.affine is not None
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)
    assert dicom.facts_of(back.source.raw).intercept == -1024.0
    for k, dataset in enumerate(written(tmp_path / "out")):
        np.testing.assert_array_equal(dataset.pixel_array.T, ramp[..., k])
        assert tuple(dataset.ImagePositionPatient) == UPRIGHT[k]


def test_restored_images_say_that_they_are_derived_and_lossy(
    save_series: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    lossy = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "10",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    folder = save_series(ramp, UPRIGHT, **lossy)
    before = {str(d.SOPInstanceUID) for d in written(folder)}
    io.write(io.read(folder, metadata=Metadata.ALL), tmp_path / "out", derivation=DERIVATION)
    after = written(tmp_path / "out")
    for dataset in after:
        assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
        assert dataset.LossyImageCompression == "01"
        assert list(dataset.LossyImageCompressionRatio) == [10, 64]
        assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "DEEPSTD"]
        assert "DeepSTD 64:1" in dataset.DerivationDescription
        assert dataset.DerivationCodeSequence[0].CodeValue == "113040"
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID in before
    identities = {str(d.SOPInstanceUID) for d in after}
    assert len(identities) == len(after)
    assert not identities & before
    assert {d.StudyInstanceUID for d in after} == {"1.2.3.4"}
    assert len({d.SeriesInstanceUID for d in after} | {"1.2.3.4.5"}) == 2


def test_by_default_nothing_that_identifies_is_kept_and_the_rest_is(
    save_series: Callable[..., Path],
    ramp: np.ndarray,
    tmp_path: Path,
    secrets: tuple[str, ...],
) -> None:
    item = Dataset()
    item.PatientName, item.CodeValue = secrets[0], "KEPT-CODE"
    item.CodingSchemeDesignator, item.CodeMeaning = "SCT", "Meaning"
    folder = save_series(ramp, UPRIGHT, ProcedureCodeSequence=[item], SliceLocation="7.5")
    kept = io.read(folder).source.raw
    everything = io.read(folder, metadata=Metadata.ALL).source.raw
    for secret in secrets:
        assert secret.encode() not in kept
        assert secret.encode() in everything
    assert b"1.2.3.4" not in kept
    io.write(io.read(folder), tmp_path / "out", derivation=DERIVATION)
    for dataset in written(tmp_path / "out"):
        assert (dataset.KVP, dataset.BodyPartExamined, dataset.SliceLocation) == (120, "CHEST", 7.5)
        assert dataset.ProcedureCodeSequence[0].CodeValue == "KEPT-CODE"
        assert dataset.PatientIdentityRemoved == "YES"
        assert not str(dataset.PatientName)
    assert not any(secret in str(d) for d in written(tmp_path / "out") for secret in secrets)


def test_uids_are_replaced_so_that_what_belongs_together_still_does(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    frames = []
    for series in ("1.2.3.4.5", "1.2.3.4.6"):
        dataset = make_slice(
            np.zeros((4, 4), np.int16), FrameOfReferenceUID="1.9", SeriesInstanceUID=series
        )
        path = tmp_path / series
        dataset.save_as(path, enforce_file_format=True)
        io.write(io.read(path), f"{tmp_path}/out{series}/")
        frames += written(tmp_path / f"out{series}")
    one, other = frames
    assert one.FrameOfReferenceUID == other.FrameOfReferenceUID != "1.9"
    assert one.StudyInstanceUID == other.StudyInstanceUID != "1.2.3.4"
    assert one.SeriesInstanceUID != other.SeriesInstanceUID


def test_private_attributes_are_kept_only_with_everything(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    dataset = make_slice(np.zeros((4, 4), np.int16))
    dataset.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "PRIVATE-WORD")
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    assert b"PRIVATE-WORD" in io.read(tmp_path / "a", metadata=Metadata.ALL).source.raw
    assert b"PRIVATE-WORD" not in io.read(tmp_path / "a").source.raw


def test_values_beyond_the_bits_of_the_scanner_widen_them(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    plane = np.array([[0, 4095], [1, 2]], np.uint16)
    make_slice(plane, BitsStored=12, HighBit=11).save_as(tmp_path / "a", enforce_file_format=True)
    volume = io.read(tmp_path / "a")
    brighter = volume.replace_voxels(volume.voxels + np.uint16(3))
    io.write(brighter, tmp_path / "b.dcm", derivation=DERIVATION)
    back = pydicom.dcmread(tmp_path / "b.dcm")
    assert (back.BitsStored, back.HighBit) == (13, 12)
    np.testing.assert_array_equal(back.pixel_array, plane + 3)


def enhanced(frames: np.ndarray, heights: list[float]) -> Dataset:
    """An enhanced MR object, one functional group a frame."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4.1", generate_uid()
    dataset.Modality, dataset.SeriesInstanceUID = "MR", "1.7"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = frames.astype("<u2").tobytes()

    def wrapped(**values: Any) -> list[Dataset]:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return [item]

    shared = Dataset()
    shared.PixelMeasuresSequence = wrapped(PixelSpacing=[1, 1], SliceThickness=1)
    shared.PlaneOrientationSequence = wrapped(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    shared.PixelValueTransformationSequence = wrapped(
        RescaleSlope="2", RescaleIntercept="1", RescaleType="US"
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for height in heights:
        group = Dataset()
        group.PlanePositionSequence = wrapped(ImagePositionPatient=[height, 0, 0])
        group.MRImageFrameTypeSequence = wrapped(FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"])
        group.FrameContentSequence = wrapped(FrameComments="SECRET-WORD")
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    return dataset


def test_an_enhanced_object_comes_back_as_one(tmp_path: Path) -> None:
    frames = np.arange(4 * 3 * 2, dtype=np.uint16).reshape(4, 3, 2)
    heights = [6.0, 0.0, 4.0, 2.0]
    enhanced(frames, heights).save_as(tmp_path / "e.dcm", enforce_file_format=True)
    volume = io.read(tmp_path / "e.dcm")
    np.testing.assert_array_equal(volume.voxels, frames[[0, 2, 3, 1]].transpose(2, 1, 0))
    facts = dicom.facts_of(volume.source.raw)
    assert (facts.slope, facts.intercept) == (2.0, 1.0)
    assert b"SECRET-WORD" not in volume.source.raw
    io.write(volume, tmp_path / "back.dcm", derivation=DERIVATION)
    back = pydicom.dcmread(tmp_path / "back.dcm")
    np.testing.assert_array_equal(back.pixel_array, frames)
    groups = back.PerFrameFunctionalGroupsSequence
    assert [g.PlanePositionSequence[0].ImagePositionPatient[0] for g in groups] == heights
    assert all(g.MRImageFrameTypeSequence[0].FrameType[0] == "DERIVED" for g in groups)
    shared = back.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    assert (shared.RescaleSlope, shared.RescaleIntercept) == (2, 1)
    assert "RescaleSlope" not in back


def test_a_multi_frame_object_needs_its_data_set(tmp_path: Path) -> None:
    frames = np.zeros((2, 3, 2), np.uint16)
    enhanced(frames, [0.0, 1.0]).save_as(tmp_path / "e.dcm", enforce_file_format=True)
    volume = io.read(tmp_path / "e.dcm", metadata=Metadata.NONE)
    with pytest.raises(UnsupportedFormatError, match="--drop-metadata"):
        io.write(volume, tmp_path / "back.dcm")


def test_the_same_voxels_get_the_same_uids_and_others_do_not(
    save_series: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    volume = io.read(save_series(ramp, UPRIGHT))
    changed = volume.replace_voxels(volume.voxels + np.int16(1))
    for name, one in (("a", volume), ("b", volume), ("c", changed)):
        io.write(one, tmp_path / name)
    first, second, third = ([d.SOPInstanceUID for d in written(tmp_path / n)] for n in "abc")
    assert first == second
    assert not set(first) & set(third)


def test_the_output_folder_is_never_mixed_up_with_other_files(
    save_series: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    volume = io.read(save_series(ramp, UPRIGHT))
    out = tmp_path / "out"
    io.write(volume, out)
    with pytest.raises(OutputExistsError):
        io.write(volume, out)
    io.write(volume, out, overwrite=True)
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds something else, mine\.txt"):
        io.write(volume, out, overwrite=True)
    assert (out / "mine.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".deepstd")] == []


def test_a_scan_of_another_format_has_no_dicom(tmp_path: Path) -> None:
    volume = Volume(np.zeros((3, 3, 3), np.int16))
    with pytest.raises(UnsupportedFormatError, match="no DICOM data sets"):
        io.write(volume, tmp_path / "a.dcm")
    with pytest.raises(UnsupportedFormatError, match="cannot be one file"):
        dicom.write_object(
            Volume(np.zeros((3, 3, 3), np.int16), np.eye(4), _plain_header()),
            tmp_path / "a.dcm",
            None,
        )


def _plain_header() -> SourceHeader:
    from deepstd.io.dicom.header import Facts, pack

    facts = Facts(
        np.eye(4)[:3].tolist(), None, None, 1.0, 0.0, "MONOCHROME2", 16, "CT", "", "none", None, 0
    )
    return SourceHeader("dicom", pack(facts, []))


def test_damaged_headers_in_a_file_are_told(
    save_series: Callable[..., Path],
    ramp: np.ndarray,
    tmp_path: Path,
) -> None:
    volume = io.read(save_series(ramp, UPRIGHT))
    raw = volume.source.raw
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(raw)
        damaged[int(rng.integers(len(raw)))] ^= int(rng.integers(1, 256))
        changed = Volume(volume.voxels, volume.affine, SourceHeader("dicom", bytes(damaged)))
        with suppress(InputError, UnsupportedFormatError):
            io.write(changed, tmp_path / "out", overwrite=True)
    for end in (0, 3, 50, len(raw) // 2, len(raw) - 1):
        with pytest.raises(InputError):
            io.write(
                Volume(volume.voxels, volume.affine, SourceHeader("dicom", raw[:end])),
                tmp_path / "cut",
            )


def test_data_sets_of_many_slices_are_small(
    save_series: Callable[..., Path], make_slice: Callable[..., Any]
) -> None:
    voxels = np.zeros((4, 4, 60), np.int16)
    folder = save_series(voxels, [(0, 0, 1.25 * k) for k in range(60)])
    raw = io.read(folder).source.raw
    assert len(zlib.compress(raw, 9)) < 1500
