"""Random series, classic and enhanced, beside pydicom's and SimpleITK's reading of each frame.

The references know nothing of volumes: they say of each stored frame what its pixels are and where
the header puts it. Every frame has to be in the volume, there, once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepstd import io
from deepstd.io import Metadata
from deepstd.volume import Volume

Make = Callable[..., Any]
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
# How a header tells phases, and whether de-identified headers still do.
PHASES = {
    "TemporalPositionIdentifier": lambda t: t + 1,
    "TriggerTime": lambda t: 12.5 * t,
    "EchoTime": lambda t: 4 + 3.3 * t,
    "DiffusionBValue": lambda t: 500.0 * t,
    "AcquisitionNumber": lambda t: t + 1,
    "AcquisitionTime": lambda t: f"10{t:02d}00.5",
    "InstanceNumber": lambda t: t,
}


@dataclass(frozen=True)
class Case:
    """A series to be made."""

    shape: tuple[int, int, int, int]
    seed: int
    is_axial: bool
    distance: float
    tilt: float
    rounding: float
    phase: str
    copies: int
    metadata: Metadata


cases = st.builds(
    Case,
    shape=st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(1, 5), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
    is_axial=st.booleans(),
    distance=st.sampled_from([0.4, 1.0, 2.5, 7.0]),
    tilt=st.sampled_from([0.0, 0.0, 0.35]),
    rounding=st.sampled_from([0.0, 1e-5, 5e-4, 4e-3]),
    phase=st.sampled_from(sorted(PHASES)),
    copies=st.integers(0, 2),
    metadata=st.sampled_from(list(Metadata)),
)
several = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Truth:
    """Frames as they are stored.

    Attributes:
        planes: (k, t) to (row, column) pixels.
        places: (k, t) to LPS mm of their first pixel.
        axes: (row, column, spacing between rows, between columns).
    """

    planes: dict[tuple[int, int], np.ndarray]
    places: dict[tuple[int, int], np.ndarray]
    axes: tuple[np.ndarray, np.ndarray, float, float]


def made(case: Case) -> Truth:
    rng = np.random.default_rng(case.seed)
    columns, rows, slices, moments = case.shape
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turn = np.eye(3) if case.is_axial else np.round(turn, 12)
    row, column = turn[0], turn[1]
    step = case.distance * (np.cross(row, column) + case.tilt * column)
    origin = rng.uniform(-200, 200, 3)
    jitter = rng.uniform(-0.5, 0.5, (slices, moments)) * case.rounding * (moments > 1)
    normal = np.cross(row, column)
    keys = [(k, t) for k in range(slices) for t in range(moments)]
    return Truth(
        {key: rng.integers(0, 4096, (rows, columns), np.uint16) for key in keys},
        {(k, t): np.round(origin + k * step + jitter[k, t] * normal, 6) for k, t in keys},
        (row, column, float(rng.choice([0.5, 0.9375])), float(rng.choice([0.5, 1.25]))),
    )


def save_classic(case: Case, truth: Truth, make_slice: Make, folder: Path) -> None:
    rng = np.random.default_rng(case.seed + 1)
    keys = list(truth.planes)
    names = rng.permutation(len(keys) + case.copies)
    row, column, between_rows, between_columns = truth.axes
    for n, (k, t) in enumerate(keys):
        told: dict[str, Any] = {
            "Modality": "MR",
            "InstanceNumber": 1 + t * case.shape[2] + k,
            "ImageOrientationPatient": [*row, *column],
            "PixelSpacing": [between_rows, between_columns],
            "SliceThickness": case.distance,
        }
        if case.phase != "InstanceNumber":
            told[case.phase] = PHASES[case.phase](t)
        for keyword in ("ImageOrientationPatient",):
            told[keyword] = [f"{x:.12f}" for x in told[keyword]]
        place = [float(x) for x in truth.places[k, t]]
        dataset = make_slice(truth.planes[k, t], place, **told)
        copies = [names[n], *([names[len(keys) + n]] if n < case.copies else [])]
        for name in copies:
            dataset.save_as(folder / f"{name:03d}", enforce_file_format=True)


def check(volume: Volume, case: Case, truth: Truth) -> None:
    """Every frame is where its header says, and frames of one phase have one number."""
    columns, rows, slices, moments = case.shape
    expected = (columns, rows, slices, moments) if moments > 1 else (columns, rows, slices)
    assert volume.shape == expected
    assert volume.affine is not None
    voxels = volume.voxels.reshape(case.shape)
    row, column, between_rows, between_columns = truth.axes
    for (k, t), plane in truth.planes.items():
        np.testing.assert_array_equal(voxels[:, :, k, t].T, plane)
        for i, j in ((0, 0), (columns - 1, 0), (0, rows - 1)):
            lps = truth.places[k, t] + i * between_columns * row + j * between_rows * column
            found = volume.affine @ [i, j, k, 1]
            np.testing.assert_allclose(found[:3], lps * LPS_TO_RAS, atol=1e-4 + case.rounding)


@several
@given(case=cases)
def test_classic_series(make_slice: Make, case: Case) -> None:
    truth = made(case)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "series")
        folder.mkdir()
        save_classic(case, truth, make_slice, folder)
        volume = io.read(folder, metadata=case.metadata)
        check(volume, case, truth)
        assert any("there twice" in note for note in volume.notes) == (
            min(case.copies, len(truth.planes)) > 0
        )
        tilted = case.tilt > 0 and case.shape[2] > 1
        assert any("tilted by" in note for note in volume.notes) == tilted
        io.write(volume, Path(name, "back"))
        check(io.read(Path(name, "back")), case, truth)
        independent = [pydicom.dcmread(path) for path in sorted(Path(name, "back").iterdir())]
        assert len(independent) == len(truth.planes)
        for dataset, key in zip(independent, truth.planes, strict=True):
            np.testing.assert_array_equal(dataset.pixel_array, truth.planes[key])
            np.testing.assert_allclose(
                dataset.ImagePositionPatient, truth.places[key], atol=1e-4 + case.rounding
            )


@several
@given(case=cases)
def test_enhanced_objects(make_enhanced: Make, case: Case) -> None:
    truth = made(case)
    rng = np.random.default_rng(case.seed + 2)
    order = [list(truth.planes)[n] for n in rng.permutation(len(truth.planes))]
    row, column, between_rows, between_columns = truth.axes
    orientation = [f"{x:.12f}" for x in (*row, *column)]
    dataset = make_enhanced(
        np.stack([truth.planes[key] for key in order]),
        [(truth.places[key], orientation) for key in order],
        [{"TemporalPositionIndex": t + 1, "InStackPositionNumber": k + 1} for k, t in order],
    )
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = [between_rows, between_columns]
    with tempfile.TemporaryDirectory() as name:
        dataset.save_as(Path(name, "e.dcm"), enforce_file_format=True)
        metadata = Metadata.DEIDENTIFIED if case.metadata is Metadata.NONE else case.metadata
        volume = io.read(Path(name, "e.dcm"), metadata=metadata)
        check(volume, case, truth)
        io.write(volume, Path(name, "back.dcm"))
        check(io.read(Path(name, "back.dcm")), case, truth)
        back = pydicom.dcmread(Path(name, "back.dcm"))
        pixels = back.pixel_array.reshape(-1, *case.shape[1::-1])
        for plane, group, key in zip(
            pixels, back.PerFrameFunctionalGroupsSequence, order, strict=True
        ):
            np.testing.assert_array_equal(plane, truth.planes[key])
            position = group.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(position, truth.places[key], atol=1e-9)


@several
@given(case=cases)
def test_volumes_lie_where_simpleitk_puts_them(make_slice: Make, case: Case) -> None:
    sitk: Any = pytest.importorskip("SimpleITK", reason="needs SimpleITK: deepstd[itk]")
    columns, rows, slices, _ = case.shape
    # ITK reads neither phases nor shear nor copies.
    plain = Case(
        (columns, rows, slices, 1),
        case.seed,
        case.is_axial,
        case.distance,
        0.0,
        0.0,
        case.phase,
        0,
        case.metadata,
    )
    truth = made(plain)
    with tempfile.TemporaryDirectory() as name:
        save_classic(plain, truth, make_slice, Path(name))
        volume = io.read(Path(name))
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(name)
        image = sitk.ReadImage(names)
    assert volume.affine is not None
    np.testing.assert_array_equal(volume.voxels - 1024.0, sitk.GetArrayFromImage(image).T)
    for index in ((0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0), (0, 0, slices - 1)):
        theirs = np.array(image.TransformIndexToPhysicalPoint(index)) * LPS_TO_RAS
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], theirs, atol=1e-3)
