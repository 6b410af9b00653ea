"""Payloads of special values: what is damaged is refused, and ordinary voxels stay ordinary."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.errors import DamagedError
from deepstd.special_values import Specials, find, payloads, standing_apart, unpacked
from deepstd.special_values.masks import compress, pack_mask
from deepstd.special_values.payload import Relation
from tests.helpers.masks import blobs, padded_ct, stripped_head


@given(data=st.data())
def test_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    frame = padded_ct(48, 3).astype(np.float32)
    frame[20:25, 30:33, 1] = math.nan
    if data.draw(st.booleans()):
        frame = np.where(np.random.default_rng(0).random(frame.shape) < 0.2, math.inf, frame)
    specials = find(frame, standing_apart(frame))
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
    specials = find(voxels)
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


def test_masks_and_labels_of_older_files_are_read() -> None:
    labels = np.zeros((6, 5), np.uint8)
    labels[:2], labels[4] = 1, 2
    mask = pack_mask(labels > 0)
    method, packed = compress(labels[labels > 0].tobytes())
    values = bytes([0, 3 | 1 << 3, 7])
    old = b"\x02" + values + struct.pack("<I", len(mask)) + mask + bytes([method]) + packed
    found = Specials.from_bytes(old, (6, 5))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.values, (math.nan, 7))
    assert set(found.relations) == {Relation.ANYWHERE}


def test_several_values_have_masks_of_their_own() -> None:
    """A label for each special voxel would take more than an outline twice."""
    voxels = stripped_head((48, 56, 40)).astype(np.float32)
    voxels[:, :, :3] = math.nan
    voxels[:4] = -2000
    found = find(voxels, [-2000, 0])
    assert found is not None
    again = Specials.from_bytes(found.to_bytes(), voxels.shape)
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.values, found.values)
    assert again.relations == found.relations
    alone = find(voxels, [0])
    assert alone is not None
    assert len(found.to_bytes()) < len(alone.to_bytes()) + 60


def test_masks_that_overlap_are_damage() -> None:
    mask = pack_mask(blobs((20, 20)))
    values = bytes([0x82, 0, 3 | 1 << 3, 7])
    with pytest.raises(DamagedError, match="two values"):
        Specials.from_bytes(values + struct.pack("<I", len(mask)) + mask + mask, (20, 20))


def test_frames_with_the_same_special_voxels_share_one_payload() -> None:
    head = stripped_head((24, 28, 20))
    other = np.where(head > 0, head + 3, 0)
    moved = np.roll(head, 1, 0)
    found = [find(frame, [0]) for frame in (head, other, np.ones_like(head) * head.max(), moved)]
    packed = payloads(found)
    assert packed[0]
    assert packed[1] == b""
    assert packed[2]
    assert packed[3]
    first = unpacked(packed[0], None, head.shape, "scan.dstd")
    assert unpacked(packed[1], first, head.shape, "scan.dstd") is first
    assert unpacked(None, first, head.shape, "scan.dstd") is None
    with pytest.raises(DamagedError, match=r"scan\.dstd"):
        unpacked(b"", None, head.shape, "scan.dstd")


@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "i8", "f2", "f4", ">f8"])
def test_no_ordinary_voxel_becomes_a_background(dtype: str) -> None:
    """Whatever a codec makes of them, masks by a threshold stay the same."""
    mask = blobs((16, 16, 6))
    voxels = np.where(mask, 1, 0).astype(dtype)
    if dtype != "?":
        voxels[mask] += np.arange(np.count_nonzero(mask)).astype(dtype) % 90
    specials = find(voxels, [0])
    assert specials is not None
    again = Specials.from_bytes(specials.to_bytes(), voxels.shape)
    rough = np.zeros_like(voxels)
    np.testing.assert_array_equal(again.restore(rough) > 0, mask)
    if np.dtype(dtype).kind in "if":
        np.testing.assert_array_equal(again.restore(rough - 5) > 0, mask)


def test_ordinary_voxels_stay_on_their_side_of_a_background() -> None:
    voxels = np.array([[0, 0, 5, -3]], np.int16)
    for value, others, decoded, expected in (
        (0, [5, 3], [0, -7], [1, 1]),
        (0, [-5, -3], [0, 7], [-1, -1]),
        (0, [5, -3], [0, -7], [1, -7]),
        (0, [5, -3], [4, -7], [4, -7]),
    ):
        voxels[0, 2:] = others
        specials = find(voxels, [value])
        assert specials is not None
        restored = specials.restore(np.array([[9, 9, *decoded]], np.int16))
        np.testing.assert_array_equal(restored, [[0, 0, *expected]])


def test_backgrounds_next_to_each_other_keep_their_neighbours_apart() -> None:
    voxels = np.array([[0, 0, 1, 1, 9, -9]], np.int16)
    specials = find(voxels, [1, 0])
    assert specials is not None
    restored = specials.restore(np.array([[5, 5, 5, 5, 0, 1]], np.int16))
    np.testing.assert_array_equal(restored, [[0, 0, 1, 1, 2, 2]])


def test_a_background_at_the_end_of_a_type_cannot_have_others_beyond_it() -> None:
    labels = np.array([[1, 0]], np.uint8)
    wrong = Specials((255,), labels, (Relation.ABOVE,))
    with pytest.raises(DamagedError, match="beyond"):
        wrong.restore(np.zeros((1, 2), np.uint8))
