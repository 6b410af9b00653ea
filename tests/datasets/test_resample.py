"""Resampling to a voxel size: the field of view stays, smooth scans come out right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.datasets.resample import resampled
from deepstd.errors import GeometryError
from deepstd.volume import Volume

WANTED = (2.0, 2.0, 10.0)


def _affine(spacing: tuple[float, ...]) -> np.ndarray:
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = 31.0, -40.0, 7.0
    return affine


def _world(volume: Volume) -> np.ndarray:
    places = np.moveaxis(np.indices(volume.shape), 0, -1)
    assert volume.affine is not None
    return places @ volume.affine[:3, :3].T + volume.affine[:3, 3]


@given(
    spacing=st.tuples(*[st.floats(0.7, 4.0)] * 2, st.floats(4.5, 20.0)),
    shape=st.tuples(st.integers(8, 24), st.integers(8, 24), st.integers(2, 9)),
)
def test_a_slope_stays_a_slope_in_the_world(
    spacing: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    slope = np.array([3.0, -2.0, 1.5])
    volume = Volume(np.zeros(shape, np.float32), _affine(spacing))
    volume = Volume((_world(volume) @ slope).astype(np.float32), volume.affine)
    found = resampled(volume, WANTED)
    assert found.spacing == pytest.approx(WANTED)
    assert found.voxels.dtype == np.float32
    extents = np.multiply(found.shape, WANTED)
    assert np.abs(extents - np.multiply(shape, spacing)).max() <= max(WANTED) / 2 + 1e-6 or (
        1 in found.shape
    )
    corner = np.array([-0.5, -0.5, -0.5, 1.0])
    assert found.affine is not None
    assert volume.affine is not None
    assert found.affine @ corner == pytest.approx(volume.affine @ corner)
    # At the borders the last value holds, and smoothing sees less of the slope.
    inner = tuple(slice(2, -2) if n > 4 else slice(0, 0) for n in found.shape)
    apart = found.voxels[inner] - (_world(found) @ slope)[inner]
    assert apart.size == 0 or float(np.abs(apart).max()) < 0.02 * float(np.ptp(volume.voxels)) + 1


def test_the_longest_side_of_a_voxel_gets_the_longest_one() -> None:
    volume = Volume(np.zeros((20, 6, 18), np.int16), _affine((1.2, 7.0, 1.2)))
    assert resampled(volume, WANTED).spacing == pytest.approx((2, 10, 2))


def test_detail_is_averaged_and_values_stay_in_the_type() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 2, (64, 64, 8)) * 65535
    found = resampled(Volume(values.astype(np.uint16), _affine((0.5, 0.5, 10.0))), WANTED)
    assert found.voxels.dtype == np.uint16
    assert found.voxels.shape == (16, 16, 8)
    assert abs(float(found.voxels.mean()) - 32767) < 1000
    assert float(found.voxels.std()) < 0.4 * float(values.std())


@pytest.mark.parametrize(
    "volume",
    [
        Volume(np.zeros((4, 4, 4), np.int16)),
        Volume(np.zeros((4, 4), np.int16), np.eye(4)),
        Volume(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)),
    ],
)
def test_scans_without_geometry_or_with_frames_are_refused(volume: Volume) -> None:
    with pytest.raises(GeometryError, match="three axes with a voxel size"):
        resampled(volume, WANTED)
