"""Special voxels come back exactly; backgrounds are found where they are and nowhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepstd.special_values import Specials, Value, backgrounds_of, find, standing_apart, without
from deepstd.special_values.masks import pack_mask
from tests.helpers.masks import blobs, disc, padded_ct, stripped_head

DTYPES = ["?", "u1", "i1", "u2", ">i2", "u4", "i4", "u8", "i8", "f2", "f4", ">f8"]
SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)


def split(
    voxels: np.ndarray, backgrounds: Sequence[Value] | None = None
) -> tuple[np.ndarray, Specials | None]:
    """A frame without its special voxels, and these; without backgrounds, what stands apart."""
    found = find(voxels, standing_apart(voxels) if backgrounds is None else backgrounds)
    return without(voxels, found), found


def assert_comes_back(
    voxels: np.ndarray, backgrounds: Sequence[Value] | None = None
) -> tuple[np.ndarray, Specials | None]:
    """Split, pack, unpack, restore: specials exact, other voxels exact in `filled`."""
    filled, specials = split(voxels, backgrounds)
    assert filled.shape == voxels.shape
    assert filled.dtype in (np.float32, np.float64)
    assert np.isfinite(filled).all()
    if specials is None:
        np.testing.assert_array_equal(filled, voxels.astype(filled.dtype))
        return filled, None
    again = Specials.from_bytes(specials.to_bytes(), voxels.shape)
    np.testing.assert_array_equal(again.labels, specials.labels)
    np.testing.assert_array_equal(again.values, specials.values)
    ordinary = ~again.mask
    np.testing.assert_array_equal(filled[ordinary], voxels[ordinary].astype(filled.dtype))
    decoded = np.where(again.mask, np.zeros_like(voxels), voxels)
    np.testing.assert_array_equal(again.restore(decoded), voxels)
    return filled, specials


@given(
    voxels=st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES)),
    fortran=st.booleans(),
    backgrounds=st.sampled_from([(), (0,), (1, 0)]),
)
def test_any_frame_comes_back(
    voxels: np.ndarray, fortran: bool, backgrounds: tuple[int, ...]
) -> None:
    assert_comes_back(np.asfortranarray(voxels) if fortran else voxels, backgrounds)


@given(
    voxels=hnp.arrays(
        np.float32, SHAPES, elements=st.sampled_from([0.5, -3, math.nan, math.inf, -math.inf])
    )
)
def test_not_finite_values_come_back(voxels: np.ndarray) -> None:
    _, specials = assert_comes_back(voxels)
    found = () if specials is None else specials.values
    assert sum(not math.isfinite(v) for v in found) == sum(
        (np.isnan(voxels).any(), np.isposinf(voxels).any(), np.isneginf(voxels).any())
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_frames_are_exact_and_cheap(dtype: str) -> None:
    for shape in ((1, 1), (1, 1, 1), (8, 8, 8)):
        for value in (0, 1):
            frame = np.full(shape, value, dtype)
            filled, specials = split(frame)
            assert specials is not None
            assert (filled == 0).all()
            assert len(specials.to_bytes()) <= 14
            np.testing.assert_array_equal(specials.restore(filled.astype(dtype)), frame)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_frame_without_an_ordinary_voxel(value: float) -> None:
    for shape in ((1, 1, 1), (64, 64, 20)):
        filled, specials = assert_comes_back(np.full(shape, value, np.float32))
        assert specials is not None
        assert (filled == 0).all()
        assert len(specials.to_bytes()) < 16


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_extremes_of_64_bits_are_exact(dtype: str) -> None:
    limits = np.iinfo(dtype)
    for value in (limits.min, limits.max):
        voxels = np.full((64, 64), limits.max // 2, dtype)
        voxels[:40] = value
        filled, specials = assert_comes_back(voxels)
        assert specials is not None
        assert specials.values == (int(value), int(limits.max // 2))
        assert filled.dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "largest", "expected"),
    [("u1", 255, "f4"), ("u2", 65535, "f4"), ("i4", 2**24, "f4"), ("i4", -(2**24) - 1, "f8"),
     ("u8", 7, "f4"), ("f2", 1, "f4"), ("f4", 1, "f4"), ("f8", 1, "f8")],
)  # fmt: skip
def test_the_working_type_holds_every_value(dtype: str, largest: int, expected: str) -> None:
    filled, _ = split(np.array([[largest, 0], [3, 2]], dtype), ())
    assert filled.dtype == np.dtype(expected)
    assert filled[0, 0] == largest


@pytest.mark.parametrize("padding", [-2000, -3024, -32768, 32767])
def test_padding_of_ct_is_found(padding: int) -> None:
    voxels = padded_ct(padding=padding)
    filled, specials = assert_comes_back(voxels)
    assert specials is not None
    assert specials.values == (padding,)
    np.testing.assert_array_equal(specials.mask, ~disc(512, 256))
    assert len(specials.to_bytes()) <= 100
    body = voxels[~specials.mask]
    assert body.min() <= filled.min()
    assert filled.max() <= body.max()


def test_padding_and_nan_in_one_frame() -> None:
    voxels = padded_ct(256, 6).astype(np.float32)
    voxels[100:110, 50:60, 2] = math.nan
    voxels[120, 120, 3] = -math.inf
    _, specials = assert_comes_back(voxels)
    assert specials is not None
    assert specials.values[1:] == (-math.inf, -2000)


def test_padding_blurred_at_its_edge_is_found() -> None:
    voxels = padded_ct()
    edge = disc(512, 256) & ~disc(512, 255.8)
    voxels[edge] = -1500
    _, specials = assert_comes_back(voxels)
    assert specials is not None


def test_background_that_goes_over_into_noise_is_no_padding() -> None:
    rng = np.random.default_rng(0)
    magnitude = np.abs(rng.normal(0, 3, (64, 64, 20)))
    magnitude[20:40, 20:40] += 300
    clipped_air = np.maximum(rng.normal(-1015, 15, (64, 64, 20)), -1024)
    clipped_air[20:40, 20:40] = 40
    for scan in (magnitude, clipped_air):
        assert split(scan.astype(np.int16))[1] is None


def test_the_fill_is_smooth() -> None:
    """Its steps stay below those of the anatomy beside it: nothing new for a wavelet to code."""
    rows, columns = np.mgrid[:256, :256]
    smooth = 1000 + 200 * np.sin(rows / 60) * np.cos(columns / 45)
    inside = disc(256, 110)
    voxels = np.where(inside, smooth, math.nan).astype(np.float32)
    filled, _ = split(voxels)
    steps = max(np.abs(np.diff(filled, axis=axis)).max() for axis in (0, 1))
    assert steps < 12
    far = ~disc(256, 160)
    assert np.abs(np.diff(filled, n=2, axis=0)[far[1:-1]]).mean() < 0.5


def test_huge_values_do_not_overflow_the_fill() -> None:
    for dtype in (np.float32, np.float64):
        voxels = np.full((40, 40, 3), np.finfo(dtype).max, dtype)
        voxels[:, 20:] = np.finfo(dtype).min
        voxels[10:30, 10:30] = math.nan
        assert_comes_back(voxels)


def test_a_whole_chest_takes_seconds() -> None:
    voxels = np.asfortranarray(padded_ct(256, 128))
    started = time.process_time()
    _, specials = split(voxels)
    assert specials is not None
    assert len(specials.to_bytes()) < 110
    assert time.process_time() - started < 10


def test_real_mr_has_no_padding(data_dir: Path) -> None:
    scans = [
        *sorted((data_dir / "brain-ms").glob("*.nii.gz"))[:3],
        *sorted((data_dir / "hippocampus-t1" / "images").glob("*.nii*"))[:10],
        *sorted((data_dir / "cardiac-cine" / "images").glob("*.nii*"))[:5],
    ]
    assert scans
    for scan in scans:
        voxels = np.asanyarray(nib.load(scan).dataobj.get_unscaled())  # pyright: ignore[reportAttributeAccessIssue]
        assert split(voxels)[1] is None, scan.name


def test_real_ct_padding_is_found(data_dir: Path) -> None:
    """Of 44 slices 14, all of one maker, have padding; the others clip air, which is none."""
    pydicom = pytest.importorskip("pydicom", reason="needs deepstd[dicom]")
    fired = 0
    for scan in sorted((data_dir / "chest-ct-slices").glob("*.dcm")):
        dataset = pydicom.dcmread(scan)
        _, specials = split(dataset.pixel_array)
        assert (specials is not None) == ("GE" in dataset.Manufacturer), scan.name
        if specials is not None:
            fired += 1
            assert len(specials.to_bytes()) <= 100
    assert fired == 14


def values_of(voxels: np.ndarray, declared: Sequence[Value] = ()) -> list[Value]:
    return [background.value for background in backgrounds_of([voxels], declared)]


def test_a_ragged_background_is_a_candidate() -> None:
    head = stripped_head((48, 56, 40))
    assert values_of(head) == [0]
    (found,) = backgrounds_of([head])
    assert found.share == pytest.approx((head == 0).mean())
    assert not found.declared
    # Two frames of a scan, of which one holds nothing else.
    assert values_of(np.where(head > 0, head - 1024, -1024)) == [-1024]
    (found,) = backgrounds_of([head, np.zeros_like(head)])
    assert found.share == pytest.approx((1 + (head == 0).mean()) / 2)


def test_values_that_are_scattered_or_rare_are_no_candidates() -> None:
    voxels = np.random.default_rng(0).integers(1000, 2000, (64, 64, 20), dtype=np.int16)
    scattered = np.where(np.random.default_rng(1).random(voxels.shape) < 0.3, -2000, voxels)
    assert values_of(scattered) == []
    voxels[:3, :3] = -2000
    assert values_of(voxels) == []


def test_declared_padding_is_a_candidate_wherever_it_is() -> None:
    voxels = np.random.default_rng(0).integers(1000, 2000, (64, 64), dtype=np.int16)
    voxels[5, 5] = -2000
    assert values_of(voxels, [-2000, -3024, 70000]) == [-2000]
    assert backgrounds_of([voxels], [-2000])[0].declared


def test_values_of_any_type_may_be_backgrounds() -> None:
    inside = blobs((40, 40))
    noise = np.random.default_rng(0).random((40, 40))
    for dtype, value in (("f4", -1.5), ("f2", 0), (">f8", 1e300), ("u1", 255), ("i8", -(2**62))):
        voxels = np.where(inside, noise * 100, 0).astype(dtype)
        voxels[~inside] = value
        assert values_of(voxels)[:1] == [value]
    assert set(values_of(inside)) == {False, True}


def test_a_value_that_is_left_stays_in_the_frame() -> None:
    head = stripped_head((24, 28, 20)).astype(np.float32)
    head[10, 10, 10] = math.nan
    found = find(head, [0])
    left = without(head, found, [0])
    assert found is not None
    assert found.values[1] == 0
    np.testing.assert_array_equal(left == 0, head == 0)
    assert np.isfinite(left).all()
    filled = without(head, found)
    assert filled[head == 0].min() > 0


def test_two_values_alone_are_exact() -> None:
    mask = blobs((30, 30, 9))
    filled, specials = assert_comes_back(np.where(mask, 7, 3), [3])
    assert specials is not None
    assert specials.values == (3, 7)
    assert (filled == 0).all()
    assert len(specials.to_bytes()) < len(pack_mask(mask)) + 20  # the rest needs no mask
