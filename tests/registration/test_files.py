"""`deepstd.register`: files in, files out, and fields that SimpleITK understands."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepstd
from deepstd import io
from deepstd.cli.app import main
from deepstd.errors import (
    BundleError,
    DeepSTDError,
    GeometryError,
    InputError,
    OutputExistsError,
    UnsupportedFormatError,
)
from deepstd.registration import files as registration
from deepstd.registration.files import Outputs, register
from deepstd.registration.pair import PairReport
from deepstd.registration.transform import Grid, PairTransform
from deepstd.volume import SourceHeader, Volume

nib = pytest.importorskip("nibabel")


def oblique(spacing: tuple[float, ...], seed: int) -> np.ndarray:
    """A voxel-to-world matrix of no axis of the world's."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * np.sign(np.diag(turn)) * spacing
    affine[:3, 3] = rng.uniform(-40, 40, 3)
    return affine


@pytest.fixture
def scans(tmp_path: Path) -> tuple[Path, Path]:
    """Two scans of ellipsoids of other sizes, on other grids, and labels of the first."""
    for name, shape, spacing, seed, radius in (
        ("moving", (26, 22, 18), (1.5, 1.5, 2.0), 1, 12.0),
        ("fixed", (24, 24, 20), (1.7, 1.6, 1.8), 2, 13.0),
    ):
        affine = oblique(spacing, seed)
        index = np.moveaxis(np.indices(shape).astype(float), 0, -1)
        middle = (np.array(shape) - 1) / 2
        away = (index - middle) @ affine[:3, :3].T
        distance = np.linalg.norm(away / [1.0, 1.2, 0.9], axis=-1)
        near = np.linalg.norm(away - [5.0, 0.0, 3.0], axis=-1)
        image = 900 / (1 + np.exp((distance - radius) / 1.5)) + 400 * np.exp(-(near**2) / 30)
        for label, values in ((False, image), (True, (distance < radius) * 3.0)):
            voxels = np.rint(values).astype(np.uint8 if label else np.int16)
            volume = io.with_own_header(Volume(voxels, affine, SourceHeader("npy")))
            io.write(volume, tmp_path / f"{name}{'-labels' * label}.nii.gz")
    return tmp_path / "moving.nii.gz", tmp_path / "fixed.nii.gz"


def test_simpleitk_applies_the_fields_to_the_same_effect(scans: tuple[Path, Path]) -> None:
    sitk = pytest.importorskip("SimpleITK")
    moving, fixed = scans
    folder = moving.parent
    others = Outputs(
        inverse=folder / "back.nii.gz",
        labels=folder / "moving-labels.nii.gz",
        warped_labels=folder / "warped-labels.nii.gz",
        fixed_labels=folder / "fixed-labels.nii.gz",
        inverse_labels=folder / "back-labels.nii.gz",
        field=folder / "field.nii.gz",
        inverse_field=folder / "inverse.nii",
    )
    report = deepstd.register(moving, fixed, folder / "out.nii.gz", others)
    assert set(report.outputs) == {
        "output", "inverse", "warped_labels", "inverse_labels", "field", "inverse_field",
    }  # fmt: skip
    assert report.ncc_after > 0.98
    for one, other, field, out, labels in (
        (moving, fixed, "field.nii.gz", "out.nii.gz", "warped-labels.nii.gz"),
        (fixed, moving, "inverse.nii", "back.nii.gz", "back-labels.nii.gz"),
    ):
        vectors = sitk.ReadImage(str(folder / field), sitk.sitkVectorFloat64)
        grid = sitk.ReadImage(str(other))
        assert vectors.GetSize() == grid.GetSize()
        transform = sitk.DisplacementFieldTransform(vectors)
        image = sitk.ReadImage(str(one), sitk.sitkFloat32)
        theirs = sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear))
        ours = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / out)))
        difference = np.abs(theirs - ours)[2:-2, 2:-2, 2:-2]
        assert np.quantile(difference, 0.99) < 3
        own = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / labels)))
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(other).replace(".nii", "-labels.nii")))
        assert set(np.unique(own)) == {0, 3}
        assert 2 * ((own > 0) & (theirs > 0)).sum() / ((own > 0).sum() + (theirs > 0).sum()) > 0.93
    ours, theirs = (np.array(io.read(path).affine) for path in (folder / "out.nii.gz", fixed))
    assert np.allclose(ours, theirs, atol=1e-4)


def test_a_bundle_lends_its_template(tmp_path: Path) -> None:
    from deepstd import bundle as bundles
    from deepstd.codec.model import shape_model_of

    model = shape_model_of(bundles.load(bundles.find("hippocampus-t1")))
    assert model is not None
    moved = np.roll(model.template, (2, -3, 1), (0, 1, 2)).astype(np.float32)
    volume = io.with_own_header(Volume(moved, model.affine, SourceHeader("npy")))
    io.write(volume, tmp_path / "moved.nii.gz")
    report = register(tmp_path / "moved.nii.gz", "hippocampus-t1", tmp_path / "out.nii.gz")
    assert report.fixed.startswith("hippocampus-t1")
    assert report.ncc_after > 0.97
    assert io.read(tmp_path / "out.nii.gz").shape == model.template.shape


def test_a_bundle_without_template_and_a_scan_with_moments_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).normal(size=(8, 8, 8)))
    np.save(tmp_path / "cine.npy", np.zeros((8, 8, 8, 3)))
    with pytest.raises(BundleError, match="no template"):
        register(tmp_path / "scan.npy", "generic", tmp_path / "out.npy")
    with pytest.raises(InputError, match=r"missing\.nii: there is no such scan, and no bundle"):
        register(tmp_path / "scan.npy", tmp_path / "missing.nii", tmp_path / "out.npy")
    with pytest.raises(InputError, match="3 moments"):
        register(tmp_path / "scan.npy", tmp_path / "cine.npy", tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()


@pytest.fixture
def not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration that must not be begun."""
    monkeypatch.setattr(
        "deepstd.registration.pair.register_pair", lambda *_, **__: pytest.fail("registered")
    )


@pytest.fixture
def folder(scans: tuple[Path, Path]) -> Path:
    """Where the scans are, with labels that cannot be used, and a file that is there already."""
    folder = scans[0].parent
    for name, labels in (
        ("other-shape", np.zeros((5, 6, 7), np.uint8)),
        ("many", np.zeros((26, 22, 18), np.int32)),
    ):
        np.save(folder / f"{name}.npy", labels)
    (folder / "there.nii.gz").write_bytes(b"precious")
    return folder


@pytest.mark.usefixtures("not_registered")
@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"output": "there.nii.gz"}, OutputExistsError, r"there\.nii\.gz: the file exists"),
        ({"inverse": "there.nii.gz"}, OutputExistsError, r"there\.nii\.gz: the file exists"),
        ({"field": "there.nii.gz"}, OutputExistsError, r"there\.nii\.gz: the file exists"),
        (
            {"output": "out.jpg"},
            UnsupportedFormatError,
            r"out\.jpg: JPEG files .* are read and not",
        ),
        ({"inverse": "back.xyz"}, UnsupportedFormatError, r"back\.xyz: the suffix names no"),
        ({"inverse_field": "field.npy"}, UnsupportedFormatError, r"field\.npy: a displacement"),
        (
            {"output": "out.png"},
            UnsupportedFormatError,
            r"out\.png: a scan of 3 axes and type int16",
        ),
        ({"output": "slices/"}, UnsupportedFormatError, "slices/: a scan of 2 axes and type int16"),
        ({"output": "out.dcm"}, UnsupportedFormatError, r"out\.dcm: a scan from npy"),
        ({"output": "no/out.nii"}, InputError, r"no/out\.nii: the folder .* does not exist"),
        ({"inverse": "out.nii.gz"}, InputError, r"out\.nii\.gz: is given for two outputs"),
        ({"inverse_field": "out.nii.gz"}, InputError, r"out\.nii\.gz: is given for two"),
        ({"output": "moving.nii.gz"}, InputError, r"moving\.nii\.gz: is an input"),
        ({"inverse": "fixed.nii.gz"}, InputError, r"fixed\.nii\.gz: is an input"),
        (
            {"labels": "typo.nii.gz", "warped_labels": "w.nii"},
            InputError,
            r"typo\.nii\.gz: no such",
        ),
        (
            {"labels": "other-shape.npy", "warped_labels": "w.nii"},
            InputError,
            r"other-shape\.npy: labels of shape \(5, 6, 7\), expected \(26, 22, 18\)",
        ),
        (
            {"fixed_labels": "moving-labels.nii.gz", "inverse_labels": "w.nii"},
            InputError,
            r"moving-labels\.nii\.gz: labels of shape \(26, 22, 18\), expected \(24, 24, 20\)",
        ),
        (
            {"labels": "many.npy", "warped_labels": "w.png"},
            UnsupportedFormatError,
            r"w\.png: a scan of 3 axes and type int32",
        ),
    ],
)
def test_what_cannot_succeed_is_not_begun(
    folder: Path, wanted: dict[str, str], error: type[DeepSTDError], words: str
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    paths = {kind: f"{folder}/{name}" for kind, name in wanted.items()}
    output = paths.pop("output", f"{folder}/out.nii.gz")
    with pytest.raises(error, match=f"^{folder}/{words}"):
        register(folder / "moving.nii.gz", folder / "fixed.nii.gz", output, Outputs(**paths))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.usefixtures("not_registered")
def test_an_input_is_no_output_even_where_files_may_be_replaced(folder: Path) -> None:
    (folder / "link.nii.gz").symlink_to(folder / "moving.nii.gz")
    others = Outputs(inverse=folder / "link.nii.gz")
    with pytest.raises(InputError, match=r"link\.nii\.gz: is an input"):
        register(
            folder / "moving.nii.gz",
            folder / "fixed.nii.gz",
            folder / "out.nii.gz",
            others,
            overwrite=True,
        )


@pytest.mark.usefixtures("not_registered")
def test_fields_of_images_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.eye(12, dtype=np.uint8))
    for others in (Outputs(field=tmp_path / "f.nii"), Outputs(inverse_field=tmp_path / "f.nii")):
        with pytest.raises(GeometryError, match=r"f\.nii: only fields of 3-D scans"):
            register(tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "out.npy", others)
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "b.npy"}


def test_nothing_is_written_where_the_registration_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise GeometryError("the scans cannot be laid on each other")

    monkeypatch.setattr("deepstd.registration.pair.register_pair", fail)
    before = sorted(path.name for path in folder.iterdir())
    others = Outputs(inverse=folder / "back.npy", field=folder / "field.nii")
    with pytest.raises(GeometryError, match=r"moving\.nii\.gz: the scans cannot be laid"):
        register(folder / "moving.nii.gz", folder / "fixed.nii.gz", folder / "out.nii", others)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.fixture
def laid_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration that lays centre on centre, at once."""

    def lay(
        moving: np.ndarray, moving_affine: Any, fixed: np.ndarray, fixed_affine: Any, **_: object
    ) -> tuple[PairTransform, PairReport]:
        grids = Grid(fixed.shape, fixed_affine), Grid(moving.shape, moving_affine)
        to_moving = np.diag([*grids[0].reach, 1.0])
        to_moving[:-1, -1] = grids[1].centre
        report = PairReport(0.0, 0.0, 0.0, 0.0, 0.0, None, 0, 0.0)
        return PairTransform(*grids, to_moving, None), report

    monkeypatch.setattr("deepstd.registration.pair.register_pair", lay)


@pytest.mark.usefixtures("laid_on")
@pytest.mark.parametrize("name", ["w.nii.gz", "w.npy", "w.nrrd", "w.mhd"])
@pytest.mark.parametrize(("kind", "stored"), [("?", np.uint8), ("f2", np.float32)])
def test_labels_of_any_type_go_on_a_grid_in_the_world(
    folder: Path, name: str, kind: str, stored: type
) -> None:
    """But for .npy, no format has booleans and half precision: they become what holds them."""
    if name in ("w.nrrd", "w.mhd"):
        pytest.importorskip("SimpleITK")
    labels = np.zeros((26, 22, 18), kind)
    labels[8:18, 8:14, 6:12] = 1
    np.save(folder / "labels.npy", labels)
    others = Outputs(labels=folder / "labels.npy", warped_labels=folder / name)
    register(folder / "moving.nii.gz", folder / "fixed.nii.gz", folder / "out.nii.gz", others)
    warped = io.read(folder / name)
    assert warped.voxels.dtype == (kind if name == "w.npy" else stored)
    assert warped.shape == (24, 24, 20)
    np.testing.assert_array_equal(np.unique(warped.voxels), [0, 1])
    assert (warped.affine is None) == (name == "w.npy")
    if warped.affine is not None:
        grid = np.array(io.read(folder / "fixed.nii.gz").affine)
        np.testing.assert_allclose(warped.affine, grid, atol=1e-4)


@pytest.mark.usefixtures("laid_on")
def test_labels_of_both_scans_are_compared(folder: Path) -> None:
    moving, fixed = np.zeros((26, 22, 18), np.uint8), np.zeros((24, 24, 20), np.uint8)
    moving[8:18, 8:14, 6:12] = 1
    fixed[7:17, 9:15, 9:15] = 1
    fixed[2, 2, 2] = 2
    np.save(folder / "a.npy", moving)
    np.save(folder / "b.npy", fixed)
    others = Outputs(labels=folder / "a.npy", fixed_labels=folder / "b.npy")
    scans = folder / "moving.nii.gz", folder / "fixed.nii.gz"
    report = register(*scans, folder / "out.nii.gz", others)
    assert set(report.outputs) == {"output"}
    again = Outputs(labels=folder / "a.npy", warped_labels=folder / "w.npy")
    register(*scans, folder / "out2.nii.gz", again)
    warped = io.read(folder / "w.npy").voxels
    shared = np.count_nonzero((warped == 1) & (fixed == 1))
    expected = 2 * shared / (np.count_nonzero(warped == 1) + np.count_nonzero(fixed == 1))
    assert shared > 0
    assert report.dice == {1: pytest.approx(expected), 2: 0.0}
    assert report.dice_before.keys() == {1, 2}
    assert report.to_dict()["dice"] == report.dice


def test_labels_of_one_scan_need_a_place_to_go(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels of the fixed scan: give where they go, too"):
        Outputs(fixed_labels=tmp_path / "b.npy").check()
    with pytest.raises(InputError, match=r"labels of the moving scan: give what to warp, too"):
        Outputs(fixed_labels=tmp_path / "b.npy", warped_labels=tmp_path / "w.npy").check()


GOOD = PairReport(0.3, 0.6, 0.8, 0.5, 0.0, 10, 5, 1.0)


@pytest.mark.parametrize(
    ("changed", "covered", "labels", "words"),
    [
        ({}, 1.0, ({}, {}), []),
        ({}, 1.0, ({1: 0.5}, {1: 0.7}), []),
        ({"ncc_after": 0.41}, 1.0, ({}, {}), ["correlation is 0.41"]),
        ({"ncc_before": 0.9}, 1.0, ({}, {}), ["lower than by the headers"]),
        ({"folding_percent": 3.0}, 1.0, ({}, {}), ["folds in 3.0 %"]),
        ({"cycle_error_voxels": 4.5}, 1.0, ({}, {}), ["miss each other by 4.5 voxels"]),
        ({}, 0.2, ({}, {}), ["only 20 % of the fixed scan"]),
        ({}, 1.0, ({1: 0.5, 2: 0.5}, {1: 0.6, 2: 0.1}), ["labels overlap less"]),
    ],
)
def test_a_poor_fit_is_told(
    changed: dict[str, float],
    covered: float,
    labels: tuple[dict[int, float], dict[int, float]],
    words: list[str],
) -> None:
    told = list(registration.poor_fit(replace(GOOD, **changed), 60, covered, *labels))  # pyright: ignore[reportArgumentType]
    assert len(told) == len(words)
    for sentence, expected in zip(told, words, strict=True):
        assert expected in sentence


@pytest.mark.usefixtures("laid_on")
def test_the_command_warns_of_a_poor_fit_and_tells_dice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [str(folder / "moving.nii.gz"), "--to", str(folder / "fixed.nii.gz")]
    labels = ["--labels", f"{folder}/moving-labels.nii.gz"]
    labels += ["--fixed-labels", f"{folder}/fixed-labels.nii.gz"]
    assert main(["register", *scans, "-o", str(folder / "out.nii.gz"), *labels]) == 0
    told = capsys.readouterr()
    assert "warning: poor fit: the correlation is 0.00 only" in told.err
    assert re.search(r"Dice of 3 +0\.\d{4} by the headers, 0\.\d{4} registered", told.out)


@pytest.mark.usefixtures("laid_on")
def test_existing_outputs_are_replaced_when_that_is_allowed(folder: Path) -> None:
    others = Outputs(field=folder / "there.nii.gz")
    moving, fixed = folder / "moving.nii.gz", folder / "fixed.nii.gz"
    register(moving, fixed, folder / "out.nii.gz", others, overwrite=True)
    first = (folder / "there.nii.gz").read_bytes()
    assert first != b"precious"
    register(moving, fixed, folder / "out.nii.gz", others, overwrite=True)
    assert (folder / "there.nii.gz").read_bytes() == first
    assert not [path for path in folder.iterdir() if path.name.startswith(".deepstd")]
