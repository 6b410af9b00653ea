"""Reading DICOM: geometry, grey scale, what is refused and how."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import InputError, MissingExtraError, UnsupportedFormatError
from deepstd.io import dicom

UPRIGHT = [(10.0, 20.0, 5.0 + 2.5 * k) for k in range(5)]


def test_slices_are_sorted_by_position_whatever_their_names_and_numbers(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    volume = io.read(save_series(ramp, UPRIGHT))
    np.testing.assert_array_equal(volume.voxels, ramp)
    assert volume.voxels.dtype == np.int16
    expected = [[-0.25, 0, 0, -10], [0, -0.5, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]]
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, expected, atol=1e-12)
    facts = dicom.facts_of(volume.source.raw)
    assert (facts.slope, facts.intercept, volume.notes) == (1.0, -1024.0, ())


def test_a_folder_an_archive_and_the_files_give_the_same_volume(
    save_series: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    folder = save_series(ramp, UPRIGHT)
    (folder / "README.txt").write_text("not DICOM")
    archive = tmp_path / "series.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in folder.iterdir():
            packed.write(path, f"a/b/{path.name}")
    read = [io.read(source) for source in (folder, archive, sorted(folder.iterdir()))]
    for volume in read:
        np.testing.assert_array_equal(volume.voxels, ramp)
        assert volume.source.raw == read[0].source.raw


def test_a_tilted_gantry_shears_the_affine_and_is_told(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    positions = [(0.0, 1.0 * k, 3.0 * k) for k in range(5)]
    volume = io.read(save_series(ramp, positions))
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine[:3, 2], [0, -1, 3], atol=1e-12)
    assert any("tilted by 18.4 degrees" in note for note in volume.notes)


def test_missing_slices_are_named_and_positions_kept(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    heights = [0.0, 2.0, 4.0, 8.0, 10.0]
    volume = io.read(save_series(ramp, [(0, 0, z) for z in heights]))
    (note,) = volume.notes
    assert note.startswith("1 slices seem to be missing after (0.00, 0.00, 4.00) mm")
    positions = dicom.facts_of(volume.source.raw).positions
    assert positions is not None
    assert [p[2] for p in positions] == heights


def test_a_slice_that_is_there_twice_counts_once(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    folder = save_series(ramp, UPRIGHT)
    first = next(folder.iterdir())
    (folder / "copy").write_bytes(first.read_bytes())
    volume = io.read(folder)
    np.testing.assert_array_equal(volume.voxels, ramp)
    assert any("there twice" in note for note in volume.notes)


def test_two_different_slices_in_one_place_are_refused_with_the_place(
    save_series: Callable[..., Path], make_slice: Callable[..., Any], ramp: np.ndarray
) -> None:
    folder = save_series(ramp, UPRIGHT)
    other = make_slice(np.zeros((4, 6), np.int16), UPRIGHT[2])
    other.save_as(folder / "other", enforce_file_format=True)
    with pytest.raises(InputError, match=r"2 at \(10.00, 20.00, 10.00\) mm .*other"):
        io.read(folder)


def test_moments_become_a_fourth_axis(make_slice: Callable[..., Any], tmp_path: Path) -> None:
    voxels = np.arange(3 * 4 * 2 * 3, dtype=np.uint16).reshape(3, 4, 2, 3)
    for k in range(2):
        for t in range(3):
            plane = np.ascontiguousarray(voxels[..., k, t].T)
            dataset = make_slice(plane, (0, 0, k), TriggerTime=str(100 * (2 - t)))
            dataset.save_as(tmp_path / f"{k}{t}", enforce_file_format=True)
    volume = io.read(tmp_path)
    np.testing.assert_array_equal(volume.voxels, voxels[..., ::-1])


def test_several_series_must_be_chosen_among(
    save_series: Callable[..., Path], make_slice: Callable[..., Any], ramp: np.ndarray
) -> None:
    folder = save_series(ramp, UPRIGHT)
    other = make_slice(np.ones((9, 7), np.uint8), SeriesInstanceUID="1.2.3.9", Modality="MR")
    other.save_as(folder / "other", enforce_file_format=True)
    with pytest.raises(InputError, match=r"several series\. Choose one with --series"):
        io.read(folder)
    surveyed = io.survey([folder])["series"]
    ids = {entry["modality"]: entry["id"] for entry in surveyed}
    assert io.read(folder, series=ids["MR"]).shape == (7, 9, 1)
    assert io.read(folder, series=ids["CT"]).shape == (6, 4, 5)
    with pytest.raises(InputError, match="there is no series beef"):
        io.read(folder, series="beef")


def test_orientations_in_one_series_are_several_stacks(
    save_series: Callable[..., Path], make_slice: Callable[..., Any], ramp: np.ndarray
) -> None:
    folder = save_series(ramp, UPRIGHT)
    turned = make_slice(np.zeros((4, 6), np.int16), ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    turned.save_as(folder / "turned", enforce_file_format=True)
    shapes = sorted(tuple(entry["shape"]) for entry in io.survey([folder])["series"])
    assert shapes == [(6, 4, 1), (6, 4, 5)]


def test_slices_with_slopes_of_their_own_share_one_scale(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 1000, (3, 4, 6)).astype(np.uint16)
    slopes, intercepts = [0.5, 2.0, 1.25], [0.0, -10.0, 3.0]
    for k, plane in enumerate(planes):
        scale = {"RescaleSlope": str(slopes[k]), "RescaleIntercept": str(intercepts[k])}
        make_slice(plane, (0, 0, k), **scale).save_as(tmp_path / str(k), enforce_file_format=True)
    volume = io.read(tmp_path)
    facts = dicom.facts_of(volume.source.raw)
    real = np.stack([p * s + b for p, s, b in zip(planes, slopes, intercepts, strict=True)], -1)
    restored = volume.voxels * facts.slope + facts.intercept
    assert np.abs(restored - real.swapaxes(0, 1)).max() <= 0.51 * facts.slope
    assert any("3 different rescale slopes" in note for note in volume.notes)


def test_bits_above_those_stored_are_no_part_of_a_value(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    signed = np.array([[-5, 7], [2047, -2048]], np.int16)
    overlaid = (signed & 0x0FFF) | np.int16(0x5000)
    dataset = make_slice(overlaid, BitsStored=12, HighBit=11)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(io.read(tmp_path / "a.dcm").voxels[..., 0].T, signed)


def test_a_projection_has_no_geometry_and_axes_row_column(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    plane = np.arange(20, dtype=np.uint16).reshape(4, 5)
    dataset = make_slice(plane, None, Modality="DX", PhotometricInterpretation="MONOCHROME1")
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    volume = io.read(tmp_path / "x.dcm")
    np.testing.assert_array_equal(volume.voxels, plane)
    assert volume.affine is None
    assert any("MONOCHROME1" in note for note in volume.notes)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"colour image \(RGB\)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour image"),
        ({"Rows": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5"}, "without an image"),
        ({"BitsAllocated": 64}, "64 bits"),
        ({"PixelRepresentation": None}, "floats"),
        ({"HighBit": 12}, "up to bit 12"),
    ],
)
def test_what_is_no_grey_image_is_refused(
    make_slice: Callable[..., Any], tmp_path: Path, attributes: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "a.dcm"
    make_slice(np.zeros((4, 4), np.int16), **attributes).save_as(path, enforce_file_format=True)
    with pytest.raises(UnsupportedFormatError, match=reason) as caught:
        io.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelData": b"\0\0"},
        {"PixelSpacing": [0, 1]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImagePositionPatient": [1, 2]},
        {"RescaleSlope": "0"},
    ],
)
def test_damaged_objects_are_refused_without_a_word_of_the_patient(
    make_slice: Callable[..., Any],
    tmp_path: Path,
    attributes: dict[str, Any],
    secrets: tuple[str, ...],
) -> None:
    path = tmp_path / "a.dcm"
    make_slice(np.zeros((4, 4), np.int16), **attributes).save_as(path, enforce_file_format=True)
    with pytest.raises(InputError) as caught:
        io.read(path)
    assert str(path) in str(caught.value)
    assert not any(secret in str(caught.value) for secret in secrets)


def test_every_cut_of_a_file_is_refused_or_still_whole(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    plane = np.arange(16, dtype=np.int16).reshape(4, 4)
    path = tmp_path / "a.dcm"
    make_slice(plane).save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        with pytest.raises((InputError, UnsupportedFormatError)):
            io.read(path)


def test_a_damaged_slice_is_not_left_out(
    save_series: Callable[..., Path], make_slice: Callable[..., Any], ramp: np.ndarray
) -> None:
    folder = save_series(ramp, UPRIGHT)
    last = make_slice(np.zeros((4, 6), np.int16), (10.0, 20.0, 17.5), PixelSpacing=[0, 1])
    last.save_as(folder / "last", enforce_file_format=True)
    with pytest.raises(InputError, match="last: PixelSpacing"):
        io.read(folder)
    (entry,) = io.survey([folder])["series"]
    assert "PixelSpacing" in entry["problem"]
    (scan,) = io.discover(folder).scans
    assert len(scan.files) == 6
    with pytest.raises(InputError, match="last: PixelSpacing"):
        io.read_scan(scan)
    (folder / "last").write_bytes(bytes(128) + b"DICM" + bytes(50))
    with pytest.raises(InputError, match="last: the DICOM header ends before"):
        io.read(folder)


def test_more_frames_than_the_file_can_hold_are_refused_at_once(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.dcm"
    dataset = make_slice(np.zeros((4, 4), np.int16), NumberOfFrames=1_000_000)
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(InputError, match="1000000 frames, 32000000 bytes in all, the file has"):
        io.read(path)


def test_the_logging_of_pydicom_is_as_it_was(
    save_series: Callable[..., Path], ramp: np.ndarray
) -> None:
    logger = logging.getLogger("pydicom")
    logger.setLevel(logging.WARNING)
    io.read(save_series(ramp, UPRIGHT))
    assert logger.level == logging.WARNING


def test_a_missing_decoder_names_what_to_install(
    make_slice: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom.pixels import utils

    def without_plugins(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("Unable to decompress: plugins are missing dependencies")

    path = tmp_path / "a.dcm"
    make_slice(np.zeros((4, 4), np.int16)).save_as(path, enforce_file_format=True)
    monkeypatch.setattr(utils, "pixel_array", without_plugins)
    with pytest.raises(MissingExtraError, match=r'pip install "deepstd\[dicom\]"'):
        io.read(path)


def test_archives_that_are_damaged_or_absurd_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="damaged zip archive"):
        io.read(path)


def test_a_folder_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No DICOM file is there"):
        io.read(tmp_path)


def test_series_are_discovered_whatever_their_names(
    make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    def save(name: str, k: int, series: str, **attributes: Any) -> None:
        plane = np.full((4, 5), k, np.int16)
        dataset = make_slice(plane, (0, 0, k), SeriesInstanceUID=series, **attributes)
        dataset.save_as(tmp_path / name, enforce_file_format=True)

    (tmp_path / "study").mkdir()
    for k in range(3):
        save(f"study/IM{2 - k}", k, "1.2.3")
        save(f"study/x.{k}", k, "1.2.4")
    save("colour.dcm", 0, "1.2.5", PhotometricInterpretation="PALETTE COLOR")
    save("damaged.dcm", 0, "1.2.6", PixelSpacing=[0, 0])
    save("alone.dcm", 0, "1.2.7")
    (tmp_path / "notes.txt").write_text("no scan")
    found = io.discover(tmp_path)
    alone, *series = [scan for scan in found.scans if scan.series]
    assert (alone.name, alone.sizes) == ("alone.dcm", (20, 40))
    assert [len(scan.files) for scan in series] == [3, 3]
    assert all(scan.name == f"study/{scan.series}" for scan in series)
    assert {io.read_scan(scan).shape for scan in series} == {(5, 4, 3)}
    (damaged,) = [scan for scan in found.scans if not scan.series]
    assert damaged.name == "damaged.dcm"
    with pytest.raises(InputError, match="PixelSpacing"):
        io.read_scan(damaged)
    colour, notes = found.passed_over
    assert (colour.name, notes.name) == ("colour.dcm", "notes.txt")
    assert "colour" in colour.reason
