"""SOP Instance UIDs that are not unique, copies, contradictions, and slices of two patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import InputError

Make = Callable[..., Any]
PLACES = [(10.0, 20.0, 5.0 + 2.5 * k) for k in range(5)]


@pytest.fixture
def save(make_slice: Make, tmp_path: Path) -> Callable[..., Path]:
    """save(name, plane, place, **attributes): a slice in the folder of the test."""

    def put(name: str, plane: np.ndarray, place: Any, **attributes: Any) -> Path:
        dataset = make_slice(np.ascontiguousarray(plane.T), place, **attributes)
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return put


@pytest.mark.parametrize("shared", [range(5), (1, 3)])
def test_slices_that_share_a_uid_are_all_kept(
    save: Callable[..., Path], ramp: np.ndarray, tmp_path: Path, shared: Any
) -> None:
    for k in range(5):
        uid = {"SOPInstanceUID": "1.2.9"} if k in shared else {}
        save(str(k), ramp[..., k], PLACES[k], InstanceNumber=k + 1, **uid)
    volume = io.read(tmp_path)
    np.testing.assert_array_equal(volume.voxels, ramp)
    (note,) = volume.notes
    assert note.startswith(f"{len(shared)} frames share a SOP Instance UID")
    (scan,) = io.discover(tmp_path).scans
    assert scan.sizes == (ramp.size, ramp.nbytes)
    io.write(volume, tmp_path / "out")
    np.testing.assert_array_equal(io.read(tmp_path / "out").voxels, ramp)
    assert io.read(tmp_path / "out").notes == ()


def test_phases_that_share_a_uid_are_all_kept(
    save: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    blank = np.zeros_like(ramp[..., 0])
    for k in range(2):
        for t in range(3):
            save(
                f"{k}{t}",
                blank if k else ramp[..., t],
                PLACES[k],
                InstanceNumber=2 * t + k,
                TemporalPositionIdentifier=t + 1,
                SOPInstanceUID="1.2.9",
            )
    voxels = io.read(tmp_path).voxels
    np.testing.assert_array_equal(voxels[:, :, 0], ramp[..., :3])
    assert not voxels[:, :, 1].any()


def test_a_copy_in_another_encoding_counts_once(
    save: Callable[..., Path], make_slice: Make, ramp: np.ndarray, tmp_path: Path
) -> None:
    from pydicom.uid import RLELossless

    for k in range(5):
        save(str(k), ramp[..., k], PLACES[k], SOPInstanceUID=f"1.2.{k}")
    packed = make_slice(np.ascontiguousarray(ramp[..., 2].T), PLACES[2], SOPInstanceUID="1.2.2")
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(tmp_path / "packed", enforce_file_format=True)
    volume = io.read(tmp_path)
    np.testing.assert_array_equal(volume.voxels, ramp)
    assert volume.notes == ("1 frames are there twice (the same instance): each is used once",)


def test_one_uid_and_place_with_other_pixels_is_refused_with_both_files(
    save: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    for k in range(5):
        save(str(k), ramp[..., k], PLACES[k], SOPInstanceUID=f"1.2.{k}")
    save("other", ramp[..., 2] + np.int16(1), PLACES[2], SOPInstanceUID="1.2.2")
    with pytest.raises(InputError, match=r"/2 and .*/other have one SOP Instance UID"):
        io.read(tmp_path)
    (entry,) = io.survey([tmp_path])["series"]
    assert "other pixels" in entry["problem"]


def test_two_projections_of_one_uid_are_two_images_or_refused(
    save: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    for k in range(2):
        save(
            str(k),
            ramp[..., k],
            None,
            Modality="DX",
            SOPInstanceUID="1.2.9",
            InstanceNumber=k,
        )
    series = [entry["id"] for entry in io.survey([tmp_path])["series"]]
    assert len(set(series)) == 2
    images = [io.read(tmp_path, series=name).voxels.sum() for name in series]
    assert images == [ramp[..., 0].sum(), ramp[..., 1].sum()]
    save("1", ramp[..., 1], None, Modality="DX", SOPInstanceUID="1.2.9", InstanceNumber=0)
    with pytest.raises(InputError, match="other pixels"):
        io.read(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientID", "PID-9"), ("PatientName", "Roe^Richard"), ("PatientBirthDate", "19700101")],
)
def test_slices_of_two_patients_in_one_series_are_refused(
    save: Callable[..., Path],
    ramp: np.ndarray,
    tmp_path: Path,
    secrets: tuple[str, ...],
    keyword: str,
    value: str,
) -> None:
    for k in range(5):
        save(str(k), ramp[..., k], PLACES[k], **({keyword: value} if k == 3 else {}))
    with pytest.raises(InputError, match=rf"/0 and .*/3 are in one series.*{keyword} differs") as e:
        io.read(tmp_path)
    assert not any(secret in str(e.value) for secret in (*secrets, value))


def test_one_patient_written_in_two_ways_is_one(
    save: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    names = ["Doe^Jane", "DOE^JANE^^", None, "Doe^Jane", ""]
    for k in range(5):
        save(str(k), ramp[..., k], PLACES[k], PatientName=names[k])
    np.testing.assert_array_equal(io.read(tmp_path).voxels, ramp)
