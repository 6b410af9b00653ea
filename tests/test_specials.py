"""Special voxels come back exactly; padding is found where it is and nowhere else."""

from __future__ import annotations

import math
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepstd.errors import DamagedError
from deepstd.specials import Specials, split
from deepstd.specials.masks import pack_mask, unpack_mask

DTYPES = ["?", "u1", "i1", "u2", ">i2", "u4", "i4", "u8", "i8", "f2", "f4", ">f8"]
SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)


def disc(size: int, radius: float, x: float = 0, y: float = 0) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return (rows - x) ** 2 + (columns - y) ** 2 <= radius**2


def padded_ct(size: int = 512, slices: int | None = None, padding: int = -2000) -> np.ndarray:
    """A noisy body in air, with padding outside the circle of view."""
    shape = (size, size) if slices is None else (size, size, slices)
    scan = np.random.default_rng(0).normal(-1000, 15, shape)
    scan[disc(size, size * 0.35)] += 1040
    scan[~disc(size, size / 2)] = padding
    return scan.astype(np.int16)


def assert_comes_back(voxels: np.ndarray) -> tuple[np.ndarray, Specials | None]:
    """Split, pack, unpack, restore: specials exact, other voxels exact in `filled`."""
    filled, specials = split(voxels)
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
)
def test_any_frame_comes_back(voxels: np.ndarray, fortran: bool) -> None:
    assert_comes_back(np.asfortranarray(voxels) if fortran else voxels)


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


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=4, max_side=12)))
def test_any_mask_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack_mask(pack_mask(mask), mask.shape), mask)


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6)),
    centre=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    radius=st.floats(1, 25),
    flip=st.booleans(),
)
def test_discs_in_slices_come_back(
    sides: tuple[int, int, int], centre: tuple[float, float], radius: float, flip: bool
) -> None:
    mask = np.stack([disc(40, radius + k % 3, *centre) for k in range(6)], axis=-1)
    mask = mask[: sides[0], : sides[1], : sides[2]] ^ flip
    np.testing.assert_array_equal(unpack_mask(pack_mask(mask), mask.shape), mask)


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
        assert specials.values == (int(value),)
        assert filled.dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "largest", "expected"),
    [("u1", 255, "f4"), ("u2", 65535, "f4"), ("i4", 2**24, "f4"), ("i4", -(2**24) - 1, "f8"),
     ("u8", 7, "f4"), ("f2", 1, "f4"), ("f4", 1, "f4"), ("f8", 1, "f8")],
)  # fmt: skip
def test_the_working_type_holds_every_value(dtype: str, largest: int, expected: str) -> None:
    filled, _ = split(np.array([[largest, 0], [3, 2]], dtype))
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


def test_padding_in_a_scattered_mask_is_left_alone() -> None:
    voxels = np.random.default_rng(0).integers(1000, 2000, (64, 64, 20), dtype=np.int16)
    voxels[np.random.default_rng(1).random(voxels.shape) < 0.3] = -2000
    assert split(voxels)[1] is None


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


@given(data=st.data())
def test_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    frame = padded_ct(48, 3).astype(np.float32)
    frame[20:25, 30:33, 1] = math.nan
    if data.draw(st.booleans()):
        frame = np.where(np.random.default_rng(0).random(frame.shape) < 0.2, math.inf, frame)
    _, specials = split(frame)
    assert specials is not None
    payload = bytearray(specials.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = payload[: data.draw(st.integers(0, len(payload)))]
    message = "scan.dstd"
    try:
        found = Specials.from_bytes(bytes(payload), frame.shape, "scan.dstd")
    except DamagedError as error:
        message = str(error)
    else:
        assert found.labels.shape == frame.shape
        assert found.labels.max() <= len(found.values)
    assert "scan.dstd" in message


@given(payload=st.binary(max_size=60))
def test_any_bytes_are_refused_or_understood(payload: bytes) -> None:
    try:
        found = Specials.from_bytes(payload, (7, 6, 5))
    except DamagedError:
        return
    assert found.labels.shape == (7, 6, 5)


def test_a_payload_for_a_smaller_frame_asks_for_no_memory() -> None:
    voxels = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    voxels[np.random.default_rng(1).random((40, 40)) < 0.4] = math.nan
    _, specials = split(voxels)
    assert specials is not None
    with pytest.raises(DamagedError, match="special values"):
        Specials.from_bytes(specials.to_bytes(), (1 << 20, 1 << 16, 1), "scan.dstd")


def test_a_value_that_does_not_fit_is_damage() -> None:
    labels = np.ones((2, 2), np.uint8)
    for value, dtype in ((math.nan, "i2"), (-1, "u1"), (70000, "u2"), (2, "?"), (0.5, "i4")):
        with pytest.raises(DamagedError, match="fit"):
            Specials((value,), labels).restore(np.zeros((2, 2), dtype))
    with pytest.raises(ValueError, match="shape"):
        Specials((0,), labels).restore(np.zeros((2, 3)))


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
