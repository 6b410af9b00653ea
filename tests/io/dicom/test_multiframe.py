"""Several stacks in one object: each a volume, and each a whole object when restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from deepstd import io
from deepstd.io import Metadata
from deepstd.io.dicom.multiframe import keep_frames

AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
CORONAL = (1, 0, 0, 0, 0, -1)
HEIGHTS = (-10, 0, 10)


@pytest.fixture
def planes() -> np.ndarray:
    """(12, 4, 6) frames, all different."""
    return np.arange(12 * 4 * 6, dtype=np.uint16).reshape(12, 4, 6)


def contents(stacks: list[str]) -> list[dict[str, Any]]:
    """Frame contents: stack, position in it, and both as dimension indices."""
    counts = {name: 0 for name in stacks}
    found = []
    for name in stacks:
        counts[name] += 1
        index = [int(name), counts[name]]
        found.append(
            {"StackID": name, "InStackPositionNumber": index[1], "DimensionIndexValues": index}
        )
    return found


THREE_PLANES = (
    [((0, 0, z), AXIAL) for z in HEIGHTS]
    + [((x, 0, 0), SAGITTAL) for x in HEIGHTS]
    + [((0, y, 0), CORONAL) for y in HEIGHTS]
)
PARALLEL = [((0, 0, z), AXIAL) for z in (*HEIGHTS, 95, 105, 115)]
OVERLAPPING = [((0, 0, z), AXIAL) for z in HEIGHTS] + [((40, 0, z), AXIAL) for z in HEIGHTS]


@pytest.mark.parametrize("metadata", [Metadata.DEIDENTIFIED, Metadata.ALL])
@pytest.mark.parametrize("places", [THREE_PLANES, PARALLEL, OVERLAPPING])
def test_each_stack_is_a_volume_and_comes_back_as_a_whole_object(
    make_enhanced: Callable[..., Any],
    planes: np.ndarray,
    tmp_path: Path,
    places: list[Any],
    metadata: Metadata,
) -> None:
    count = len(places)
    names = [str(1 + n // 3) for n in range(count)]
    dataset = make_enhanced(planes[:count], places, contents(names))
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    series = io.survey([tmp_path / "e.dcm"])["series"]
    assert [entry["shape"] for entry in series] == [[6, 4, 3]] * (count // 3)
    assert len({entry["id"] for entry in series}) == count // 3
    for n, entry in enumerate(series):
        volume = io.read(tmp_path / "e.dcm", series=entry["id"], metadata=metadata)
        own = planes[3 * n : 3 * n + 3].transpose(2, 1, 0)
        is_turned = places[3 * n][1] == SAGITTAL  # whose normal is against x
        np.testing.assert_array_equal(volume.voxels, own[..., ::-1] if is_turned else own)
        io.write(volume, tmp_path / f"{n}.dcm")
        back = pydicom.dcmread(tmp_path / f"{n}.dcm")
        assert back.NumberOfFrames == len(back.PerFrameFunctionalGroupsSequence) == 3
        np.testing.assert_array_equal(back.pixel_array, planes[3 * n : 3 * n + 3])
        told = [group.FrameContentSequence[0] for group in back.PerFrameFunctionalGroupsSequence]
        assert [content.StackID for content in told] == [str(n + 1)] * 3
        assert [content.InStackPositionNumber for content in told] == [1, 2, 3]
        assert [list(content.DimensionIndexValues) for content in told] == [[1, 1], [1, 2], [1, 3]]
        again = io.read(tmp_path / f"{n}.dcm")
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        assert again.affine is not None
        assert volume.affine is not None
        np.testing.assert_allclose(again.affine, volume.affine, atol=1e-9)


def test_stacks_of_one_slice_each_are_one_volume(
    make_enhanced: Callable[..., Any], planes: np.ndarray, tmp_path: Path
) -> None:
    places = [((0, 0, z), AXIAL) for z in HEIGHTS]
    dataset = make_enhanced(planes[:3], places, contents(["1", "2", "3"]))
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(io.read(tmp_path / "e.dcm").voxels, planes[:3].transpose(2, 1, 0))


def test_phases_of_an_object_are_sorted_by_their_index(
    make_enhanced: Callable[..., Any], planes: np.ndarray, tmp_path: Path
) -> None:
    order = np.random.default_rng(3).permutation(12)
    places = [((0, 0, 10.0 * (n % 4) + 0.01 * (n // 4)), AXIAL) for n in order]
    told = [{"TemporalPositionIndex": int(n) // 4 + 1} for n in order]
    dataset = make_enhanced(planes, places, told)
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    volume = io.read(tmp_path / "e.dcm")
    for number, n in enumerate(order):
        np.testing.assert_array_equal(volume.voxels[:, :, n % 4, n // 4].T, planes[number])
    io.write(volume, tmp_path / "back.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "back.dcm").pixel_array, planes)


def test_objects_that_share_a_uid_are_volumes_of_their_own(
    make_enhanced: Callable[..., Any], planes: np.ndarray, tmp_path: Path
) -> None:
    for n, height in enumerate((0, 100)):
        places = [((0, 0, z + height), AXIAL) for z in HEIGHTS]
        dataset = make_enhanced(
            planes[3 * n : 3 * n + 3], places, contents(["1"] * 3), SOPInstanceUID="1.2.9"
        )
        dataset.save_as(tmp_path / f"{n}", enforce_file_format=True)
        dataset.save_as(tmp_path / f"copy{n}", enforce_file_format=True)
    scans = io.discover(tmp_path).scans
    assert [scan.sizes for scan in scans] == [(72, 144), (72, 144)]
    sums = sorted(int(io.read_scan(scan).voxels.sum()) for scan in scans)
    assert sums == [int(planes[:3].sum()), int(planes[3:6].sum())]
    assert all("there twice" in io.read_scan(scan).notes[0] for scan in scans)


def test_vectors_of_an_object_keep_the_values_of_the_frames_that_stay() -> None:
    dataset = pydicom.Dataset()
    dataset.NumberOfFrames = 4
    dataset.FrameIncrementPointer = [0x00540080, 0x00540010]
    dataset.SliceVector, dataset.EnergyWindowVector = [1, 2, 1, 2], [1, 1, 2, 2]
    keep_frames(dataset, [1, 3])
    assert dataset.NumberOfFrames == 2
    assert (list(dataset.SliceVector), list(dataset.EnergyWindowVector)) == ([2, 2], [1, 2])
