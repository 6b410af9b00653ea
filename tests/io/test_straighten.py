"""Sheared scans on a grid of right angles: every voxel is what lies at its place."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd import io
from deepstd.errors import GeometryError
from deepstd.io.shear import SHEARED, is_sheared
from deepstd.volume import SourceHeader, Volume

tilts = st.floats(-0.6, 0.6).filter(lambda t: abs(t) > 0.01)
Matrix = np.ndarray


def turned(seed: int) -> Matrix:
    """A random rotation, or a reflection."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q


def sheared(seed: int, tilt: tuple[float, float], order: tuple[int, ...] = (0, 1, 2)) -> Matrix:
    """An affine whose axis ``order[2]`` leans towards the other two."""
    straight = np.diag([0.8, 0.5, 2.5])
    straight[0, 2], straight[1, 2] = 2.5 * tilt[0], 2.5 * tilt[1]
    affine = np.eye(4)
    affine[:3, list(order)] = turned(seed) @ straight
    affine[:3, 3] = [10.0, -20.0, 30.0]
    return affine


def field(affine: Matrix, shape: tuple[int, ...]) -> np.ndarray:
    """A linear function of the place in the world, which linear interpolation restores."""
    places = np.einsum("ij,j...->i...", affine[:3, :3], np.indices(shape[:3]))
    values = np.tensordot([3.0, -2.0, 5.0], places + affine[:3, 3, None, None, None], 1)
    return values


@given(st.integers(0, 1000), tilts, tilts, st.sampled_from(list(itertools.permutations(range(3)))))
def test_voxels_are_where_the_affine_says(
    seed: int, one: float, other: float, order: tuple[int, ...]
) -> None:
    affine = sheared(seed, (one, other), order)
    shape = (9, 8, 7)
    source = io.with_own_header(Volume(field(affine, shape), affine))
    straight = io.straightened(source)
    assert straight.affine is not None
    assert not is_sheared(straight.affine, 3)
    assert np.sign(np.linalg.det(straight.affine[:3, :3])) == np.sign(np.linalg.det(affine[:3, :3]))
    lowest = source.voxels.min()
    inside = straight.voxels > lowest + 1e-6
    assert inside.sum() > 0.5 * source.voxels.size
    expected = field(straight.affine, straight.shape)
    np.testing.assert_allclose(straight.voxels[inside], expected[inside], atol=1e-3)
    # No slice is lost: what is not outside covers all but the rim of every slice.
    axis = order[2]
    counts = inside.sum(axis=tuple(n for n in range(3) if n != axis))
    plane = [shape[n] for n in range(3) if n != axis]
    assert counts.min() >= (plane[0] - 1) * (plane[1] - 1) - 1


@pytest.mark.parametrize("dtype", ["i2", "u2", ">i2", "f4", "f8", "u1", "?"])
def test_types_stay(dtype: str) -> None:
    affine = sheared(1, (0.3, 0.0))
    voxels = (field(affine, (9, 8, 7)) % 200 > 90).astype(dtype) * np.asarray(3).astype(dtype)
    straight = io.straightened(Volume(voxels, affine, nrrd(affine)))
    assert straight.voxels.dtype == voxels.dtype
    assert set(np.unique(straight.voxels)) <= ({0, 1} if dtype == "?" else set(range(4))) or (
        dtype in ("f4", "f8")
    )


def nrrd(affine: Matrix) -> SourceHeader:
    """A kept header of NRRD, which any affine suits."""
    matrix = affine[:3] * np.array([[-1.0], [-1.0], [1.0]])
    sizes = np.linalg.norm(matrix[:, :3], axis=0)
    told = {
        "origin": matrix[:, 3].tolist(),
        "spacing": sizes.tolist(),
        "direction": (matrix[:, :3] / sizes).ravel().tolist(),
    }
    return SourceHeader("nrrd", str(told).replace("'", '"').encode())


def test_frames_are_straightened_alike() -> None:
    affine = sheared(3, (0.2, -0.1))
    one = field(affine, (9, 8, 7))
    four = io.with_own_header(Volume(np.stack([one, 2 * one], -1), affine))
    straight = io.straightened(four)
    alone = io.straightened(io.with_own_header(Volume(one, affine)))
    assert straight.shape == (*alone.shape, 2)
    inside = alone.voxels > one.min() + 1e-6
    np.testing.assert_allclose(straight.voxels[..., 1][inside], 2 * alone.voxels[inside], rtol=1e-6)


def test_whole_shifts_change_no_value() -> None:
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[0, 2] = 3.0  # three voxels a slice
    voxels = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")
    voxels[2, 2, 1] = np.nan
    straight = io.straightened(io.with_own_header(Volume(voxels, affine)))
    assert straight.shape == (15, 5, 4)
    for k in range(4):
        np.testing.assert_array_equal(straight.voxels[3 * k : 3 * k + 6, :, k], voxels[..., k])
    assert np.isnan(straight.voxels).sum() == 1


def test_what_is_straight_stays_as_it_is() -> None:
    affine = np.eye(4)
    affine[:3, :3] = turned(5) * [1.0, 2.0, 3.0]
    volume = Volume(np.zeros((4, 5, 6), "i2"), affine)
    assert io.straightened(volume) is volume
    assert io.straightened(Volume(np.zeros((4, 5), "i2"))).affine is None


def test_axes_without_a_right_angle_are_refused() -> None:
    affine = np.eye(4)
    affine[0, 1], affine[0, 2], affine[1, 2] = 0.3, 0.2, 0.25
    with pytest.raises(GeometryError, match=r"right angles.*\.nrrd"):
        io.straightened(io.with_own_header(Volume(np.zeros((4, 5, 6), "i2"), affine)))


def test_the_header_keeps_scale_and_text(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(240, dtype="i2").reshape(8, 6, 5), sheared(2, (0.4, 0)))
    image.header["descrip"] = b"from a tilted gantry"
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / "tilted.nii")
    data = bytearray((tmp_path / "tilted.nii").read_bytes())
    data[112:120] = np.array([0.5, -10.0], "<f4").tobytes()
    (tmp_path / "tilted.nii").write_bytes(data)
    straight = io.straightened(io.read(tmp_path / "tilted.nii"))
    assert "-10 around them" in straight.notes[-1]
    io.write(straight, tmp_path / "straight.nii.gz")
    back = nibabel.Nifti1Image.from_filename(tmp_path / "straight.nii.gz")
    raw = gzip.decompress((tmp_path / "straight.nii.gz").read_bytes())
    assert np.frombuffer(raw[112:120], "<f4").tolist() == [0.5, -10.0]
    assert bytes(back.header["descrip"]).rstrip(b"\0") == b"from a tilted gantry"
    assert straight.affine is not None
    np.testing.assert_allclose(back.get_sform(), straight.affine, atol=1e-5)
    np.testing.assert_allclose(back.get_qform(), straight.affine, atol=1e-4)


class TestItk:
    """What programs based on ITK open."""

    @pytest.fixture
    def tilted(self) -> Volume:
        affine = sheared(7, (0.0, 0.3))
        return io.with_own_header(Volume(np.rint(field(affine, (9, 8, 7))).astype("i2"), affine))

    def test_a_sheared_scan(self, tilted: Volume, tmp_path: Path) -> None:
        sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: deepstd[itk]")
        sitk.ProcessObject_SetGlobalWarningDisplay(False)
        io.write(tilted, tmp_path / "scan.nii.gz")
        with pytest.raises(RuntimeError, match="orthonormal"):
            sitk.ReadImage(tmp_path / "scan.nii.gz")
        for name in ("scan.nrrd", "scan.mha"):
            io.write(tilted, tmp_path / name)
            assert sitk.ReadImage(tmp_path / name).GetSize() == (9, 8, 7)
            assert is_sheared(io.read(tmp_path / name).affine, 3)
        straight = io.straightened(tilted)
        io.write(straight, tmp_path / "straight.nii.gz")
        image = sitk.ReadImage(tmp_path / "straight.nii.gz")
        assert image.GetSize() == straight.shape

    @pytest.mark.parametrize("tilt", [2e-5, 7e-5, 1.3e-4, 1e-3])
    def test_the_limit_is_itks(self, tmp_path: Path, tilt: float) -> None:
        sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: deepstd[itk]")
        sitk.ProcessObject_SetGlobalWarningDisplay(False)
        affine = np.diag([1.0, 1.0, 3.0, 1.0])
        affine[1, 2] = 3 * tilt
        io.write(Volume(np.zeros((4, 5, 6), "i2"), affine), tmp_path / "scan.nii")
        try:
            sitk.ReadImage(tmp_path / "scan.nii")
            opens = True
        except RuntimeError:
            opens = False
        assert is_sheared(affine, 3) != opens


def test_reading_tells_of_a_sheared_scan(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), "i2"), sheared(4, (0.1, 0.0)))
    image.to_filename(tmp_path / "tilted.nii")
    assert io.read(tmp_path / "tilted.nii").notes == (SHEARED,)
    nibabel.Nifti1Image(np.zeros((4, 5, 6), "i2"), np.eye(4)).to_filename(tmp_path / "straight.nii")
    assert io.read(tmp_path / "straight.nii").notes == ()


@pytest.mark.parametrize(
    ("name", "told"), [("a.nii.gz", True), ("b.NII", True), ("c.nrrd", False), ("d/", False)]
)
def test_only_nifti_is_warned_of(name: str, told: bool) -> None:
    tilted = Volume(np.zeros((4, 5, 6), "i2"), sheared(4, (0.1, 0.0)), notes=("else", SHEARED))
    assert io.notes_of_output(tilted, name) == (("else", SHEARED) if told else ("else",))
