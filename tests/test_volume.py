"""A Volume refuses what the codec cannot hold, and shows its geometry and voxels to NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from deepstd.errors import GeometryError, InputError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume, as_volume

TILTED = np.array([[0, -2.0, 0, 5], [3.0, 0, 0, 6], [4.0, 0, 1.5, 7], [0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", ["?", "i1", ">u2", "<i4", "u8", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_grey_values_are_accepted(dtype: str, shape: tuple[int, ...]) -> None:
    volume = Volume(np.zeros(shape, dtype))
    assert volume.shape == shape
    assert volume.nbytes == np.prod(shape) * np.dtype(dtype).itemsize
    assert volume.spacing is None
    assert volume.summary()["dtype"] == np.dtype(dtype).str


@pytest.mark.parametrize("dtype", ["c8", "O", "U1", "M8[s]", np.longdouble, [("a", "u1")]])
def test_other_types_are_refused(dtype: object) -> None:
    with pytest.raises(UnsupportedFormatError, match="not supported"):
        Volume(np.zeros((2, 2), dtype))  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.mark.parametrize("shape", [(), (4,), (2, 0), (1, 1, 1, 1, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedFormatError, match="axes"):
        Volume(np.zeros(shape))


@pytest.mark.parametrize("affine", [np.eye(3), np.full((4, 4), np.nan), np.zeros(16)])
def test_affines_that_are_none_are_refused(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="4x4"):
        Volume(np.zeros((2, 2)), affine)


def test_spacing_is_the_length_of_the_columns() -> None:
    affine = TILTED
    assert Volume(np.zeros((2, 2, 2)), affine).spacing == pytest.approx((5, 2, 1.5))
    assert Volume(np.zeros((2, 2, 2, 3)), affine).spacing == pytest.approx((5, 2, 1.5))
    assert Volume(np.zeros((2, 2)), affine).spacing == pytest.approx((5, 2))


def test_replaced_voxels_keep_the_rest() -> None:
    source = SourceHeader("nifti1", b"header")
    volume = Volume(np.zeros((2, 2), np.int16), np.eye(4), source)
    other = volume.replace_voxels(np.ones((2, 2), np.int16))
    assert other.source is source
    np.testing.assert_array_equal(other.affine, volume.affine)
    assert other.voxels.sum() == 4


def test_orientation_and_origin_are_those_of_the_affine() -> None:
    volume = Volume(np.zeros((2, 2, 2)), TILTED)
    assert volume.orientation == ("A", "L", "S")
    assert volume.origin == (5, 6, 7)
    assert Volume(np.zeros((2, 2)), TILTED).orientation == ("A", "L")
    assert Volume(np.zeros((2, 2, 2))).orientation is None
    assert Volume(np.zeros((2, 2, 2))).origin is None
    assert Volume(np.zeros((2, 2, 2)), np.diag([1.0, 0, 1, 1])).orientation is None


def test_numpy_takes_a_volume_as_its_voxels() -> None:
    voxels = np.arange(6, dtype=np.int16).reshape(2, 3)
    volume = Volume(voxels)
    assert np.asarray(volume) is voxels
    assert np.mean(volume) == voxels.mean()
    copied = np.array(volume)
    assert not np.shares_memory(copied, voxels)
    np.testing.assert_array_equal(copied, voxels)
    converted = np.asarray(volume, dtype=np.float32)
    assert converted.dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(volume, dtype=np.float32, copy=False)
    assert np.array(volume, copy=False) is voxels


def test_a_volume_is_told_in_one_line() -> None:
    volume = Volume(
        np.zeros((2, 3, 4), ">i2"), TILTED, SourceHeader("nifti1"), notes=("one\ntwo", "three")
    )
    assert repr(volume) == (
        "Volume(shape=(2, 3, 4), dtype=>i2, spacing=(5, 2, 1.5) mm, orientation=ALS, "
        "format='nifti1', notes=2)"
    )
    assert repr(Volume(np.zeros((2, 3)))) == "Volume(shape=(2, 3), dtype=float64, format='npy')"


class TestArrays:
    def test_an_array_becomes_a_volume(self) -> None:
        voxels = np.zeros((2, 3, 4), np.int16)
        volume = as_volume(voxels, TILTED)
        assert volume.voxels is voxels
        np.testing.assert_array_equal(volume.affine, TILTED)
        assert as_volume(voxels).affine is None

    def test_so_does_what_numpy_takes_as_an_array(self) -> None:
        class Array:
            def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
                return np.ones((2, 3), np.uint8)

        assert as_volume(Array()).voxels.dtype == np.uint8

    def test_a_volume_stays_what_it_is(self) -> None:
        volume = Volume(np.zeros((2, 2)))
        assert as_volume(volume) is volume
        with pytest.raises(InputError, match="affine of its own"):
            as_volume(volume, TILTED)

    def test_masked_values_are_not_taken_for_measured_ones(self) -> None:
        masked = np.ma.masked_equal(np.arange(6).reshape(2, 3), 3)
        with pytest.raises(InputError, match="masked"):
            Volume(masked)
        unmasked = Volume(np.ma.masked_equal(np.arange(6).reshape(2, 3), 9)).voxels
        assert type(unmasked) is np.ndarray
