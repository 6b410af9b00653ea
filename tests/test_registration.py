"""`deepstd.register`: files in, files out, and fields that SimpleITK understands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import deepstd
from deepstd import io
from deepstd.errors import BundleError, InputError
from deepstd.registration import Outputs, register
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
    from deepstd.codec import shape_model_of

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
