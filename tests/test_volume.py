"""A Volume refuses what the codec cannot hold, and derives spacing from its affine."""

from __future__ import annotations

import numpy as np
import pytest

from deepstd.errors import GeometryError, UnsupportedFormatError
from deepstd.volume import SourceHeader, Volume


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
    affine = np.array([[0, -2.0, 0, 5], [3.0, 0, 0, 6], [4.0, 0, 1.5, 7], [0, 0, 0, 1]])
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
