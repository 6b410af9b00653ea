"""Label maps come back exactly from masks of their regions, in fewer bytes than as grey values."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstd import io, lossless
from deepstd.errors import DamagedError
from deepstd.lossless import masks, payload
from deepstd.lossless.arrangement import ORDERS

AS_MASKS = len(ORDERS)


def blocks(shape: tuple[int, ...], seed: int, values: np.ndarray) -> np.ndarray:
    """Return a map of boxes at random places, the later over the earlier."""
    random = np.random.default_rng(seed)
    found = np.full(shape, values[0])
    for value in values[1:]:
        ends = [np.sort(random.integers(0, n + 1, 2)) for n in shape]
        found[tuple(slice(a, b + 1) for a, b in ends)] = value
    return found


def way_of(made: bytes) -> int:
    """Return the order of the axes, or the way of the masks beyond the orders."""
    return made[4]


def assert_exact(voxels: np.ndarray) -> bytes:
    made = lossless.encode(voxels)
    found = lossless.decode(made, voxels.shape, voxels.dtype, "x.dstd")
    assert found.dtype == voxels.dtype
    np.testing.assert_array_equal(found, voxels)
    return made


@settings(max_examples=25)
@given(
    st.lists(st.integers(3, 14), min_size=1, max_size=4),
    st.sampled_from(["u1", "i2", ">u2", "i4", "u8", "f4"]),
    st.integers(2, 30),
    st.integers(0, 999),
)
def test_maps_of_any_type_are_exact(shape: list[int], kind: str, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.choice(120, count, replace=False).astype(kind)
    assert_exact(blocks(tuple(shape), seed, values))


@pytest.fixture
def organs(data_dir: Path) -> np.ndarray:
    path = data_dir / "samples/ct-abdomen-3mm-organs.nii.gz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return io.read(path).voxels


def test_many_regions_are_masks(organs: np.ndarray) -> None:
    made = assert_exact(organs)
    assert way_of(made) == AS_MASKS + masks.BY_VALUE
    xz = len(lzma.compress(organs.tobytes(order="F"), preset=9 | lzma.PRESET_EXTREME))
    assert len(made) < 0.6 * xz


def test_overlapping_regions_are_masks_of_bits(phantom: Callable[..., np.ndarray]) -> None:
    grid = np.indices((40, 36, 30))
    balls = [
        sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < 100
        for centre in ((14, 15, 15), (20, 20, 14), (25, 18, 12), (21, 14, 18))
    ]
    made = assert_exact(
        np.packbits(np.stack(balls), axis=0, bitorder="little")[0].astype(np.uint16)
    )
    assert way_of(made) == AS_MASKS + masks.BY_BIT
    # Grey values are no map.
    assert way_of(assert_exact(phantom((12, 13, 14)))) < AS_MASKS


def test_segments_in_frames_are_apart(organs: np.ndarray) -> None:
    part = organs[20:80, 20:80]
    whole = np.stack([part == n for n in np.unique(part)[1:9]], -1)
    made = assert_exact(whole)
    assert way_of(made) == AS_MASKS + masks.BY_VALUE
    assert len(made) < 0.9 * len(lossless.encode(whole, may_be_labels=False))


def test_the_reference_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = blocks((20, 22, 9), 3, np.array([0, 4, 9, 7, 2, 30], np.uint8))
    made = lossless.encode(voxels)
    assert way_of(made) >= AS_MASKS
    monkeypatch.setattr(payload, "engine", lambda: None)
    assert lossless.encode(voxels) == made
    np.testing.assert_array_equal(
        lossless.decode(made, voxels.shape, voxels.dtype, "x.dstd"), voxels
    )


def test_masks_too_large_are_left_out() -> None:
    # Every region reaches through the whole map, so that its masks would take 30 times the work.
    voxels = np.kron(np.arange(30, dtype=np.uint8), np.ones((1, 4), np.uint8)).repeat(6, 0)
    voxels = np.stack([voxels, voxels[:, ::-1], np.roll(voxels, 60, 1)])
    voxels[0, 0, :30] = voxels[2, 5, -30:] = np.arange(30)
    assert way_of(assert_exact(voxels)) < AS_MASKS


def test_damaged_masks_are_refused() -> None:
    """Wrong fields behind a right checksum are refused or give levels, never another error."""
    voxels = blocks((20, 22, 9), 3, np.array([0, 4, 9, 7, 2, 30], np.uint8))
    made = lossless.encode(voxels)
    assert way_of(made) >= AS_MASKS
    messages = []
    for at in range(len(made) - 4):
        for mask in (1, 0x80, 0xFF):
            body = bytearray(made[4:])
            body[at] ^= mask
            packed = zlib.crc32(body).to_bytes(4, "little") + bytes(body)
            try:
                found = lossless.decode(packed, voxels.shape, voxels.dtype, "x.dstd")
            except DamagedError as error:
                messages.append(str(error))
            else:
                assert found.shape == voxels.shape
    assert len(messages) > len(made) // 2
    assert [text for text in messages if not text.startswith("x.dstd: ")] == []
    with pytest.raises(DamagedError, match="outside of the scan"):
        lossless.decode(made, (7, 6, 4), voxels.dtype, "x.dstd")
