"""Frames that do not share one grey scale: each keeps its own, and nothing is lost.

Values are checked against pydicom alone: stored values times slope plus intercept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from deepstd import io
from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import Metadata, dicom
from deepstd.volume import Derivation, Volume

DERIVATION = Derivation(8.0, "DeepSTD 8:1")
PADDING = -32768
Make = Callable[..., Dataset]


def save(dataset: Dataset, path: Path, *, implicit: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def read_by_pydicom(folder: Path) -> list[Dataset]:
    """All images of a folder by the height of their slice."""
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(found, key=lambda one: float(one.ImagePositionPatient[2]))


def real(dataset: Dataset) -> np.ndarray:
    """Real-world values (column, row) of a slice, NaN where they are padding."""
    stored = dataset.pixel_array
    values = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    if "PixelPaddingValue" in dataset:
        values[stored == dataset.PixelPaddingValue] = np.nan
    return values.T


def real_of(volume: Volume) -> np.ndarray:
    slope, intercept = dicom.scale_of(volume.source)
    return volume.voxels.astype(np.float64) * slope + intercept


@pytest.fixture
def magnitude_and_phase(make_slice: Make, tmp_path: Path) -> Path:
    """Four slices of magnitude to 2e6 and of phase from −π to π, in one series."""
    rng = np.random.default_rng(3)
    kinds = (
        (["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"], "500", "0"),
        (["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"], "0.001534", "-3.14159"),
    )
    for number, (image_type, slope, intercept) in enumerate(kinds):
        for k in range(4):
            dataset = make_slice(
                rng.integers(0, 4096, (5, 6)).astype(np.uint16),
                (0, 0, 3 * k),
                ImageType=image_type,
                RescaleSlope=slope,
                RescaleIntercept=intercept,
                Modality="MR",
                BitsStored=12,
                HighBit=11,
            )
            save(dataset, tmp_path / "mr" / f"{number}{k}")
    return tmp_path / "mr"


def test_magnitude_and_phase_are_series_of_their_own(magnitude_and_phase: Path) -> None:
    with pytest.raises(InputError) as caught:
        io.read(magnitude_and_phase)
    message = str(caught.value)
    assert "\n" not in message
    assert "several series. Choose one with --series" in message
    entries = io.survey([magnitude_and_phase])["series"]
    assert [entry["shape"] for entry in entries] == [[6, 5, 4]] * 2
    for entry, kind in zip(entries, (r"M_FFE\M\FFE", r"PHASE MAP\P\FFE"), strict=True):
        assert f"{entry['id']} (MR {kind}, 4 frames of 6 x 5)" in message
        assert any(kind in note for note in entry["notes"])
        volume = io.read(magnitude_and_phase, series=entry["id"])
        number = entries.index(entry)
        files = [magnitude_and_phase / f"{number}{k}" for k in range(4)]
        expected = np.stack([real(pydicom.dcmread(path)) for path in files], -1)
        np.testing.assert_allclose(real_of(volume), expected, rtol=1e-12)
        assert volume.voxels.dtype == np.uint16
        # The same id where the other kind is not at hand, as a batch reads its files.
        np.testing.assert_array_equal(io.read(files, series=entry["id"]).voxels, volume.voxels)


def test_a_batch_finds_magnitude_and_phase(magnitude_and_phase: Path) -> None:
    scans = io.discover(magnitude_and_phase).scans
    spans = sorted(float(np.ptp(real_of(io.read_scan(scan)))) for scan in scans)
    assert len(spans) == 2
    assert 6 < spans[0] < 2 * np.pi
    assert spans[1] > 1e6


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "ADC"]},
        {"ImageType": ["DERIVED", "SECONDARY"]},
        {"ComplexImageComponent": "PHASE"},
        {"RescaleType": "HZ"},
    ],
)
def test_frames_in_one_place_that_say_another_quantity_are_apart(
    make_slice: Make, tmp_path: Path, attributes: dict[str, Any]
) -> None:
    for k in range(3):
        usual = {"ImageType": ["ORIGINAL", "PRIMARY", "TRACEW"], "RescaleType": "US"}
        for number, more in enumerate((usual, {**usual, "RescaleSlope": "0.01", **attributes})):
            plane = np.full((4, 4), 100 * number + k, np.uint16)
            save(make_slice(plane, (0, 0, k), **more), tmp_path / "mr" / f"{number}{k}")
    entries = io.survey([tmp_path / "mr"])["series"]
    assert [entry["shape"] for entry in entries] == [[4, 4, 3]] * 2


def item(**values: Any) -> list[Dataset]:
    """A sequence of one item."""
    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return [one]


@pytest.mark.parametrize("metadata", [Metadata.DEIDENTIFIED, Metadata.ALL])
def test_quantities_in_one_enhanced_object_are_series_of_their_own(
    make_slice: Make, tmp_path: Path, metadata: Metadata
) -> None:
    frames = np.random.default_rng(4).integers(0, 4096, (6, 5, 4)).astype(np.uint16)
    dataset = make_slice(frames[0], None, Modality="MR", NumberOfFrames=6)
    dataset.SOPClassUID, dataset.PixelData = "1.2.840.10008.5.1.4.1.1.4.1", frames.tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[1, 1], SliceThickness=1)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups, scales = [], {"M": ("500", "0"), "P": ("0.0015", "-3.14159")}
    for number in range(6):
        group, kind = Dataset(), "MP"[number % 2]
        slope, intercept = scales[kind]
        group.PlanePositionSequence = item(ImagePositionPatient=[0, 0, number // 2])
        group.PixelValueTransformationSequence = item(
            RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US"
        )
        group.MRImageFrameTypeSequence = item(FrameType=["ORIGINAL", "PRIMARY", "FFE", kind])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    save(dataset, tmp_path / "a" / "e.dcm")
    with pytest.raises(InputError, match=r"\(MR FFE\\M, 3 frames .*\(MR FFE\\P, 3 frames"):
        io.read(tmp_path / "a")
    assert [len(scan.files) for scan in io.discover(tmp_path / "a").scans] == [1, 1]
    for number, entry in enumerate(io.survey([tmp_path / "a"])["series"]):
        volume = io.read(tmp_path / "a", series=entry["id"], metadata=metadata)
        slope, intercept = map(float, scales["MP"[number]])
        stored = frames[number::2].transpose(2, 1, 0)
        np.testing.assert_array_equal(volume.voxels, stored)
        assert dicom.scale_of(volume.source) == (slope, intercept)
        io.write(volume, tmp_path / f"{number}.dcm", derivation=DERIVATION)
        back = pydicom.dcmread(tmp_path / f"{number}.dcm")
        np.testing.assert_array_equal(back.pixel_array, frames[number::2])
        assert len(back.PerFrameFunctionalGroupsSequence) == 3
        for group in back.PerFrameFunctionalGroupsSequence:
            assert group.MRImageFrameTypeSequence[0].FrameType[3] == "MP"[number]
            assert group.PixelValueTransformationSequence[0].RescaleSlope == slope


def test_quantities_that_share_a_scale_stay_together(make_slice: Make, tmp_path: Path) -> None:
    for k in range(3):
        for component in ("REAL", "IMAGINARY"):
            plane = np.full((4, 4), k, np.int16)
            dataset = make_slice(plane, (0, 0, k), ComplexImageComponent=component)
            save(dataset, tmp_path / "mr" / f"{component}{k}")
    assert io.read(tmp_path / "mr").shape == (4, 4, 3, 2)


def test_halves_of_a_volume_from_two_programs_stay_together(
    make_slice: Make, tmp_path: Path
) -> None:
    for k in range(4):
        attributes = {"ImageType": ["ORIGINAL" if k < 2 else "DERIVED", "PRIMARY", "AXIAL"]}
        attributes |= {"RescaleIntercept": "-1024"} if k < 2 else {"RescaleIntercept": "0"}
        attributes |= {"RescaleType": "HU"} if k < 2 else {}
        save(
            make_slice(np.full((4, 4), k, np.int16), (0, 0, k), **attributes),
            tmp_path / "a" / str(k),
        )
    assert io.read(tmp_path / "a").shape == (4, 4, 4)


def mapping(slope: float) -> list[Dataset]:
    """A Real World Value Mapping of all stored values to Bq/ml."""
    return item(
        RealWorldValueFirstValueMapped=-32768,
        RealWorldValueLastValueMapped=32767,
        RealWorldValueSlope=slope,
        RealWorldValueIntercept=0.0,
        LUTLabel="BQML",
        MeasurementUnitsCodeSequence=item(
            CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Bq/ml"
        ),
    )


@pytest.fixture
def pet(make_slice: Make, tmp_path: Path) -> Path:
    """Six slices with slopes from 0.01 to 3, a mapping that says the same, and padding."""
    rng = np.random.default_rng(5)
    slopes = [0.037769796, 3.1202072, 0.087664951, 0.60055343, 0.012080182, 0.27516148]
    for k, slope in enumerate(slopes):
        plane = rng.integers(0, 32000, (5, 6)).astype(np.int16)
        plane[:, :2] = PADDING
        dataset = make_slice(
            plane,
            (0, 0, 3 * k),
            RescaleSlope=str(slope),
            RescaleIntercept="0",
            Modality="PT",
            Units="BQML",
            PixelPaddingValue=PADDING,
            WindowCenter=f"{slope * 16000:.6g}",
            WindowWidth=f"{slope * 32000:.6g}",
            SmallestImagePixelValue=PADDING,
            LargestImagePixelValue=int(plane.max()),
            RealWorldValueMappingSequence=mapping(slope),
        )
        save(dataset, tmp_path / "pet" / str(k), implicit=k % 2 == 1)
    return tmp_path / "pet"


def test_slices_with_slopes_of_their_own_are_read_as_real_values(pet: Path) -> None:
    volume = io.read(pet)
    expected = np.stack([real(one) for one in read_by_pydicom(pet)], -1)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, expected, rtol=1e-7)
    assert dicom.scale_of(volume.source) == (1.0, 0.0)
    assert np.isnan(volume.voxels[:2]).all()
    assert volume.nbytes == 2 * volume.voxels.size
    assert io.largest_step(volume) == 3.1202072
    assert any("6 different rescale slopes" in note for note in volume.notes)
    assert any("60 voxels of padding" in note for note in volume.notes)


def test_slices_with_slopes_of_their_own_come_back_as_they_were(pet: Path, tmp_path: Path) -> None:
    io.write(io.read(pet), tmp_path / "out", derivation=DERIVATION)
    for before, after in zip(read_by_pydicom(pet), read_by_pydicom(tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
        for keyword in ("RescaleSlope", "RescaleIntercept", "PixelRepresentation", "BitsStored"):
            assert after[keyword].value == before[keyword].value
        for keyword in ("WindowCenter", "WindowWidth", "PixelPaddingValue"):
            assert after[keyword].value == before[keyword].value
        assert after["PixelPaddingValue"].VR == "SS"
        assert "SmallestImagePixelValue" not in after
        one, other = (d.RealWorldValueMappingSequence[0] for d in (before, after))
        assert other.RealWorldValueSlope == one.RealWorldValueSlope
        assert other["RealWorldValueFirstValueMapped"].VR == "SS"
        assert other.RealWorldValueFirstValueMapped == -32768


def test_padding_stays_padding_and_nothing_else_becomes_it(pet: Path, tmp_path: Path) -> None:
    volume = io.read(pet)
    # A codec may restore a value far below the smallest that a slice can store.
    worse = volume.replace_voxels(np.where(volume.voxels < 100, -1e9, volume.voxels))
    worse = io.requantised(worse.replace_voxels(worse.voxels.astype(np.float32)))
    io.write(worse, tmp_path / "out")
    for k, after in enumerate(read_by_pydicom(tmp_path / "out")):
        padded = after.pixel_array.T == PADDING
        np.testing.assert_array_equal(padded, np.isnan(volume.voxels[..., k]))
        np.testing.assert_allclose(real(after), worse.voxels[..., k], rtol=1e-6)


def test_padding_values_without_data_sets(pet: Path, tmp_path: Path) -> None:
    volume = io.read(pet, metadata=Metadata.NONE)
    io.write(volume, tmp_path / "out")
    for before, after in zip(read_by_pydicom(pet), read_by_pydicom(tmp_path / "out"), strict=True):
        np.testing.assert_allclose(real(after), real(before), rtol=1e-12)
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)


def test_padding_of_a_range_is_written_as_the_padding_value(
    make_slice: Make, tmp_path: Path
) -> None:
    for k, slope in enumerate(("0.37", "0.11")):
        plane = np.array([[0, 1, 2], [3, 900, 4000]], np.uint16)
        more = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 2, "RescaleIntercept": str(k)}
        save(make_slice(plane, (0, 0, k), RescaleSlope=slope, **more), tmp_path / "a" / str(k))
    volume = io.read(tmp_path / "a")
    assert np.isnan(volume.voxels[:, 0]).all()
    assert not np.isnan(volume.voxels[:, 1]).any()
    low = io.requantised(volume.replace_voxels(np.where(volume.voxels > 0, -9, volume.voxels)))
    io.write(low, tmp_path / "out")
    for after in read_by_pydicom(tmp_path / "out"):
        assert after.pixel_array.tolist() == [[0, 0, 0], [3, 3, 3]]


def test_padding_that_stands_for_one_value_is_that_value_in_other_formats(
    make_slice: Make, tmp_path: Path
) -> None:
    for k, slope in enumerate(("0.37", "0.11")):
        plane = np.array([[0, 1, 2], [3, 900, 4000]], np.uint16)
        more = {"PixelPaddingValue": 0, "RescaleIntercept": "0"}
        save(make_slice(plane, (0, 0, k), RescaleSlope=slope, **more), tmp_path / "a" / str(k))
    volume = io.read(tmp_path / "a")
    assert np.isnan(volume.voxels).sum() == 2
    for name in ("a.nii", "a.mha", "a.mhd", "a.npy"):
        io.write(volume, tmp_path / name)
        back = io.read(tmp_path / name)
        expected = np.nan_to_num(volume.voxels, nan=0.0)
        np.testing.assert_array_equal(back.voxels.reshape(expected.shape), expected)


def test_a_nan_in_a_slice_without_a_padding_value_cannot_be_dicom(
    make_slice: Make, tmp_path: Path
) -> None:
    for k, slope in enumerate(("0.37", "0.11")):
        plane = np.array([[0, 1], [900, 4000]], np.uint16)
        save(make_slice(plane, (0, 0, k), RescaleSlope=slope), tmp_path / "a" / str(k))
    volume = io.read(tmp_path / "a")
    broken = volume.replace_voxels(np.where(volume.voxels > -1000, np.nan, volume.voxels))
    with pytest.raises(InputError, match="Pixel Padding Value"):
        io.write(broken, tmp_path / "out")
    plain = io.read(tmp_path / "a" / "0")
    halves = plain.replace_voxels(plain.voxels * 0.5)
    with pytest.raises(UnsupportedFormatError, match="float64"):
        io.write(halves, tmp_path / "out")


def test_a_preview_keeps_the_scales_of_the_slices_that_are_left(pet: Path, tmp_path: Path) -> None:
    volume = io.read(pet)
    left = volume.voxels[::2, ::2, ::2].copy()
    source = io.subsampled(volume.source, left.shape, (2, 2, 2))
    io.write(Volume(left, io.affine_of(source), source), tmp_path / "out")
    after = read_by_pydicom(tmp_path / "out")
    assert len(after) == 3
    for before, one in zip(read_by_pydicom(pet)[::2], after, strict=True):
        np.testing.assert_allclose(real(one), real(before)[::2, ::2], rtol=1e-12)
        assert one.RescaleSlope == before.RescaleSlope


@pytest.mark.parametrize("way", ["sign", "depth", "bits"])
def test_slices_of_several_pixel_types_are_one_volume(
    make_slice: Make, tmp_path: Path, way: str
) -> None:
    rng = np.random.default_rng(2)
    for k in range(6):
        hounsfield = rng.integers(-1024, 1477, (5, 6))
        plane = (hounsfield + 1024).astype(np.uint16)
        attributes: dict[str, Any] = {"RescaleIntercept": "-1024"}
        if way == "sign" and k > 2:
            plane, attributes = hounsfield.astype(np.int16), {"RescaleIntercept": "0"}
        elif way == "depth":
            plane = (plane // 10).astype(np.uint16 if k > 2 else np.uint8)
        elif way == "bits" and k > 2:
            attributes |= {"BitsStored": 12, "HighBit": 11}
        attributes["PixelPaddingValue"] = -2000 if plane.dtype.kind == "i" else 255
        save(
            make_slice(plane, (0, 0, 2 * k), **attributes),
            tmp_path / "ct" / str(k),
            implicit=k == 4,
        )
    volume = io.read(tmp_path / "ct")
    before = read_by_pydicom(tmp_path / "ct")
    expected = np.stack([real(one) for one in before], -1)
    plain = np.stack([one.pixel_array.T + float(one.RescaleIntercept) for one in before], -1)
    assert volume.voxels.dtype == (np.int16 if way == "sign" else np.uint16)
    np.testing.assert_array_equal(real_of(volume), plain)
    assert volume.nbytes == sum(one.pixel_array.nbytes for one in before)
    io.write(volume, tmp_path / "out", derivation=DERIVATION)
    for one, other in zip(before, read_by_pydicom(tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(other.pixel_array, one.pixel_array)
        kind = "SS" if one.PixelRepresentation else "US"
        padding = other["PixelPaddingValue"]
        assert (padding.VR, padding.value) == (kind, one.PixelPaddingValue)
        for keyword in ("PixelRepresentation", "BitsAllocated", "BitsStored", "RescaleIntercept"):
            assert other[keyword].value == one[keyword].value, keyword
    assert not np.isnan(expected).all()
    (entry,) = io.survey([tmp_path / "ct"])["series"]
    assert entry["shape"] == [6, 5, 6]


def test_padding_that_stands_for_several_values_is_nan_even_among_whole_numbers(
    make_slice: Make, tmp_path: Path
) -> None:
    signed, unsigned = np.array([[-2000, 40]], np.int16), np.array([[0, 1064]], np.uint16)
    for k, (plane, intercept) in enumerate(((signed, "0"), (unsigned, "-1024"))):
        padding = {"PixelPaddingValue": int(plane.min()), "RescaleIntercept": intercept}
        save(make_slice(plane, (0, 0, k), **padding), tmp_path / "ct" / str(k))
    volume = io.read(tmp_path / "ct")
    np.testing.assert_array_equal(volume.voxels[:, 0], [[np.nan] * 2, [40.0] * 2])
    io.write(volume, tmp_path / "out")
    for one, plane in zip(read_by_pydicom(tmp_path / "out"), (signed, unsigned), strict=True):
        np.testing.assert_array_equal(one.pixel_array, plane)


def test_slopes_that_are_multiples_of_one_are_exact_integers(
    make_slice: Make, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    slopes, intercepts = ("1.0", "2.0", "1.25"), ("0.0", "-10.0", "3.0")
    for k, (slope, intercept) in enumerate(zip(slopes, intercepts, strict=True)):
        plane = rng.integers(20, 1000, (4, 6)).astype(np.uint16)
        scale = {"RescaleSlope": slope, "RescaleIntercept": intercept}
        save(make_slice(plane, (0, 0, k), **scale), tmp_path / "a" / str(k))
    volume = io.read(tmp_path / "a")
    before = read_by_pydicom(tmp_path / "a")
    np.testing.assert_array_equal(real_of(volume), np.stack([real(one) for one in before], -1))
    assert volume.voxels.dtype == np.uint16
    assert dicom.scale_of(volume.source) == (0.25, 0.0)
    noisy = volume.replace_voxels(volume.voxels + np.uint16(1))
    np.testing.assert_array_equal(io.requantised(noisy).voxels, volume.voxels)
    io.write(volume, tmp_path / "out")
    for one, other in zip(before, read_by_pydicom(tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(other.pixel_array, one.pixel_array)
        assert other.RescaleSlope == one.RescaleSlope


def test_a_modality_lut_that_is_a_line_is_a_slope(make_slice: Make, tmp_path: Path) -> None:
    plane = np.arange(16, dtype=np.uint8).reshape(4, 4)
    dataset = make_slice(plane, RescaleSlope=None, RescaleIntercept=None)
    dataset.ModalityLUTSequence = table([3 * n + 7 for n in range(256)])
    save(dataset, tmp_path / "a" / "0")
    volume = io.read(tmp_path / "a")
    assert dicom.scale_of(volume.source) == (3.0, 7.0)
    io.write(volume, tmp_path / "out")
    (back,) = read_by_pydicom(tmp_path / "out")
    assert back.ModalityLUTSequence[0].LUTData == dataset.ModalityLUTSequence[0].LUTData
    assert "RescaleSlope" not in back


@pytest.mark.parametrize("values", [[n * n for n in range(256)], [7] * 256, list(range(100))])
def test_a_modality_lut_that_is_no_line_is_refused(
    make_slice: Make, tmp_path: Path, values: list[int]
) -> None:
    dataset = make_slice(np.zeros((4, 4), np.uint8), RescaleSlope=None, RescaleIntercept=None)
    dataset.ModalityLUTSequence = table(values)
    save(dataset, tmp_path / "a.dcm")
    with pytest.raises(UnsupportedFormatError, match=r"a\.dcm: a Modality LUT .*straight line"):
        io.read(tmp_path / "a.dcm")


def table(values: list[int]) -> list[Dataset]:
    """A Modality LUT for stored values from 0 on."""
    found = item(LUTDescriptor=[len(values), 0, 16], ModalityLUTType="US")
    found[0].add_new("LUTData", "OW", np.asarray(values, "<u2").tobytes())
    return found
