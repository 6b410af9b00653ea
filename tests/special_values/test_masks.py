"""Masks of any shape come back exactly, in no more bytes than they need."""

from __future__ import annotations

import lzma
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepstd.errors import DamagedError
from deepstd.special_values.contexts import decode_contexts, encode_contexts
from deepstd.special_values.masks import pack_mask, unpack_mask
from tests.helpers.masks import blobs, disc, stripped_head, wavy

CONTEXTS = 8


def assert_comes_back(mask: np.ndarray) -> bytes:
    packed = pack_mask(mask)
    np.testing.assert_array_equal(unpack_mask(packed, mask.shape), mask)
    coded = encode_contexts(mask)
    again = decode_contexts(coded, mask.shape)
    assert again.dtype == bool
    np.testing.assert_array_equal(again, mask)
    return packed


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=4, max_side=12)))
def test_any_mask_comes_back(mask: np.ndarray) -> None:
    assert_comes_back(mask)


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
    assert_comes_back(mask)


@given(
    shape=st.lists(st.integers(1, 23), min_size=2, max_size=3).map(tuple),
    kind=st.sampled_from(["blobs", "noise", "line", "empty", "full", "voxel"]),
    seed=st.integers(0, 99),
    fortran=st.booleans(),
)
def test_masks_of_every_kind_come_back(
    shape: tuple[int, ...], kind: str, seed: int, fortran: bool
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    if kind == "blobs":
        mask = blobs(shape, seed, smooth=1.0)
    elif kind == "noise":
        mask = rng.random(shape) < rng.random()
    elif kind == "line":
        mask[rng.integers(shape[0])] = True
    elif kind == "full":
        mask[...] = True
    elif kind == "voxel":
        mask[tuple(rng.integers(shape))] = True
    assert_comes_back(np.asfortranarray(mask) if fortran else mask)


def test_a_ragged_edge_takes_half_of_what_lzma_takes() -> None:
    mask = stripped_head((64, 72, 50)) == 0
    packed = assert_comes_back(mask)
    assert packed[1] == CONTEXTS
    assert len(packed) < 0.5 * len(lzma.compress(np.packbits(mask).tobytes(), preset=9))


def test_smooth_outlines_take_a_few_dozen_bytes() -> None:
    assert len(assert_comes_back(~disc(512, 250))) <= 75
    assert len(assert_comes_back(~wavy(512, 250))) <= 260


def test_thick_slices_are_told_from_thin_ones() -> None:
    """Voxels of slices that differ say less of each other than those of one slice."""
    solid = stripped_head((80, 80, 80)) == 0
    for axis in range(3):
        mask = np.moveaxis(solid[:, :, ::8], 2, axis)
        coded = encode_contexts(np.ascontiguousarray(mask))
        octaves = [coded[0] >> 2 * a & 3 for a in range(3)]
        assert octaves[axis] > max(octaves[:axis] + octaves[axis + 1 :])


def test_noise_takes_hardly_more_than_its_information() -> None:
    mask = np.random.default_rng(0).random((128, 128, 32)) < 0.1
    share = mask.mean()
    bits = -mask.size * (share * math.log2(share) + (1 - share) * math.log2(1 - share))
    assert len(encode_contexts(mask)) < 1.03 * bits / 8


@given(data=st.data())
def test_damaged_contexts_are_refused_or_another_mask(data: st.DataObject) -> None:
    mask = blobs((17, 12, 9), smooth=1.0)
    coded = bytearray(encode_contexts(mask))
    for _ in range(data.draw(st.integers(1, 4))):
        coded[data.draw(st.integers(0, len(coded) - 1))] = data.draw(st.integers(0, 255))
    coded = coded[: data.draw(st.integers(0, len(coded)))]
    try:
        found = decode_contexts(bytes(coded), mask.shape)
    except DamagedError:
        return
    assert found.shape == mask.shape


def test_unknown_methods_are_refused() -> None:
    packed = pack_mask(blobs((20, 20)))
    for method in (3, 7, 9, 12, 255):
        with pytest.raises(DamagedError, match="unknown kind"):
            unpack_mask(bytes([packed[0], method]) + packed[2:], (20, 20))
    with pytest.raises(DamagedError, match="unknown kind"):
        decode_contexts(b"", (20, 20))
    with pytest.raises(DamagedError, match="unknown kind"):
        decode_contexts(bytes([1 << 4]), (20, 20))
